//! Whom a leader lets in (quorum protocol 3.3).
//!
//! What lives here: what is asked of a learner that says who it is. What does not: what it is told then.

use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::PROTOCOL_VERSION;
use rookeeper_proto::packet::from_learner::LearnerInfo;

use super::effect::{LeaderEffect, LearnerFault, StepDown};
use super::{Leader, Phase};
use crate::epoch::{BadEpoch, MAX_EPOCH, MOST_BEYOND};
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
        if let Some(why) = self.outpromised(accepted.epoch(), info.server) {
            return self.step_down(why, effects);
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
        let accepted = accepted.epoch();
        if !(0..MAX_EPOCH).contains(&accepted) {
            return Err(LearnerFault::Epoch(BadEpoch(accepted)));
        }
        if let Phase::Collecting(proposal) = &self.phase
            && !self.has_vote(info.server)
        {
            proposal.believe(accepted)?;
        }
        Ok(())
    }

    fn has_vote(&self, server: Option<ServerId>) -> bool {
        server.is_some_and(|server| self.verifiers.is_voter(server))
    }

    /// A voter that has promised more than this epoch can never follow in it: with the next fault there may be no quorum. So the next
    /// epoch has to go beyond that promise. Not before the others had their time to join, so that whoever lies about it cannot keep
    /// the ensemble from its work.
    fn outpromised(&self, accepted: i64, server: Option<ServerId>) -> Option<StepDown> {
        let (epoch, server) = (self.established()?, server?);
        let more = accepted - epoch;
        let is_due = self.clock.tick >= self.config.init_limit;
        let why = StepDown::Outpromised { server, accepted };
        (is_due && (1..=MOST_BEYOND).contains(&more) && self.verifiers.is_voter(server))
            .then_some(why)
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
