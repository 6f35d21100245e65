//! What a leader does when time passes: it pings, and gives up learners, or itself (quorum protocol 3.10).
//!
//! What lives here: ticks and limits. What does not: reading a clock.
//!
//! Invariant: a leader that no quorum of voters answers stops leading within `syncLimit` ticks and one more.

use rookeeper_proto::packet::from_leader::FromLeader;

use super::Leader;
use super::effect::{LeaderEffect, LearnerFault, StepDown};
use crate::mutation::{Mutation, mutated};
use crate::progress::{Progress, Stage};

/// The leader's time: half ticks, and until when a phase may last.
#[derive(Debug)]
pub(super) struct Clock {
    /// Whole ticks since the beginning.
    pub(super) tick: i64,
    half: bool,
    /// When the current phase must be over, ms.
    pub(super) phase_ends: i64,
}

impl Clock {
    pub(super) const fn new(phase_ends: i64) -> Self {
        Self {
            tick: 0,
            half: false,
            phase_ends,
        }
    }

    /// True when a whole tick is over.
    const fn advance(&mut self) -> bool {
        self.half = !self.half;
        if !self.half {
            self.tick += 1;
        }
        !self.half
    }
}

impl Leader {
    pub(super) fn tick(&mut self, now: i64, effects: &mut Vec<LeaderEffect>) {
        let whole = self.clock.advance();
        if let Some(milestone) = self.milestone()
            && now >= self.clock.phase_ends
        {
            return self.step_down(StepDown::NoQuorum(milestone), effects);
        }
        self.close_late(now, effects);
        let blind = mutated(Mutation::LeadsWithoutQuorum);
        if whole && self.established().is_some() && !self.has_quorum() && !blind {
            return self.step_down(StepDown::QuorumLost, effects);
        }
        for (to, progress) in &mut self.learners {
            if progress.is_registered() {
                progress.pinged(now);
                let said = FromLeader::Ping(self.last_proposed);
                effects.push(LeaderEffect::Send { to: *to, said });
            }
        }
    }

    fn close_late(&mut self, now: i64, effects: &mut Vec<LeaderEffect>) {
        let limit = self.config.tick_ms * self.config.sync_limit;
        let late = |progress: &Progress| {
            if progress.deadline < self.clock.tick {
                return Some(LearnerFault::Silent);
            }
            let ms = now - progress.owes_since()?;
            (ms >= limit).then_some(LearnerFault::Slow(ms))
        };
        let late: Vec<_> = self
            .learners
            .iter()
            .filter_map(|(learner, progress)| Some((*learner, late(progress)?)))
            .collect();
        for (learner, why) in late {
            self.close(learner, why, effects);
        }
    }

    /// True when a quorum of voters is connected; who is late was closed.
    fn has_quorum(&self) -> bool {
        let known = |progress: &&Progress| progress.stage != Stage::Unknown;
        let there: Vec<_> = self.learners.values().filter(known).collect();
        let is_there = |voter| there.iter().any(|progress| progress.server == Some(voter));
        let me = self.config.me;
        self.verifiers
            .is_quorum(|voter| voter == me || is_there(voter))
    }
}
