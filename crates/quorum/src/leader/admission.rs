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

/// Ticks that a leader leads at least before it gives up for a promise that somebody tells of. Nothing proves such words, so whoever
/// lies costs one election in that time; whoever is right waits so long.
const LEAST_LEADERSHIP: i64 = 50;

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
        let unproved = |stage| matches!(stage, Stage::Waiting | Stage::Offered);
        self.close_others(from, info.server, unproved, effects);
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
    /// epoch has to go beyond that promise. But whoever says so may lie, and must not keep the ensemble from its work: it is not believed
    /// of a server that is in step, nor before [`LEAST_LEADERSHIP`] and the time that the others have for joining.
    fn outpromised(&self, accepted: i64, server: Option<ServerId>) -> Option<StepDown> {
        let (epoch, server) = (self.established()?, server?);
        let more = accepted - epoch;
        let is_due = self.clock.tick >= self.config.init_limit.max(LEAST_LEADERSHIP);
        let in_step = |it: &Progress| it.server == Some(server) && it.stage == Stage::Active;
        let is_claimed = (1..=MOST_BEYOND).contains(&more)
            && self.verifiers.is_voter(server)
            && !self.learners.values().any(in_step);
        let why = StepDown::Outpromised { server, accepted };
        (is_due && is_claimed).then_some(why)
    }

    /// It follows this leader, so the connection that its server had before is over. Not earlier: anybody can say an id, and what was
    /// acknowledged there counts until the server may be told to forget it.
    pub(super) fn replace_older(
        &mut self,
        from: LearnerId,
        server: Option<ServerId>,
        effects: &mut Vec<LeaderEffect>,
    ) {
        self.close_others(from, server, |_| true, effects);
    }

    /// Closes the other connections of a server that are in such a stage.
    fn close_others(
        &mut self,
        from: LearnerId,
        server: Option<ServerId>,
        which: impl Fn(Stage) -> bool,
        effects: &mut Vec<LeaderEffect>,
    ) {
        let Some(server) = server else { return };
        let others: Vec<_> = self
            .learners
            .iter()
            .filter(|(_, it)| it.server == Some(server) && which(it.stage))
            .map(|(learner, _)| *learner)
            .filter(|learner| *learner != from)
            .collect();
        for other in others {
            self.close(other, LearnerFault::Replaced(server), effects);
        }
    }
}
