//! Whom a leader lets in (quorum protocol 3.3).
//!
//! What lives here: what is asked of a learner that says who it is. What does not: what it is told then.

use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::PROTOCOL_VERSION;
use rookeeper_proto::packet::from_learner::LearnerInfo;

use super::effect::{LeaderEffect, LearnerFault};
use super::{Leader, Phase};
use crate::epoch::{BadEpoch, MAX_EPOCH};
use crate::progress::{LearnerId, LearnerKind, Progress, Stage};

impl Leader {
    pub(super) fn introduced(
        &mut self,
        from: LearnerId,
        kind: LearnerKind,
        (accepted, info): (Zxid, LearnerInfo),
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) {
        if let Err(why) = self.admits(accepted, &info) {
            return self.close(from, why, effects);
        }
        self.close_older(info.server, effects);
        if let Some(progress) = self.learners.get_mut(&from) {
            progress.server = info.server;
            progress.kind = kind;
            progress.stage = Stage::Waiting;
        }
        if let Phase::Collecting(proposal) = &mut self.phase {
            // Cannot fail: it was looked at above.
            let _ = proposal.report(info.server, accepted.epoch());
        }
        self.try_epoch(now, effects);
        self.offer(effects);
    }

    fn admits(&self, accepted: Zxid, info: &LearnerInfo) -> Result<(), LearnerFault> {
        let ours = self.config.membership.version();
        let theirs = info.config_version;
        if info.server == Some(self.config.me) {
            return Err(LearnerFault::Impostor);
        }
        if info.protocol < PROTOCOL_VERSION {
            return Err(LearnerFault::TooOld(info.protocol));
        }
        if theirs > ours {
            return Err(LearnerFault::NewerConfig { theirs, ours });
        }
        match accepted.epoch() {
            0..MAX_EPOCH => Ok(()),
            epoch => Err(LearnerFault::Epoch(BadEpoch(epoch))),
        }
    }

    /// A server has one connection: the newest.
    fn close_older(&mut self, server: Option<ServerId>, effects: &mut Vec<LeaderEffect>) {
        let Some(server) = server else { return };
        let same = |progress: &Progress| progress.server == Some(server);
        let older = self.learners.iter().find(|(_, progress)| same(progress));
        if let Some((older, _)) = older {
            self.close(*older, LearnerFault::Replaced(server), effects);
        }
    }
}
