//! How many learners a leader brings to its history at a time (quorum protocol 3.5.1).
//!
//! What lives here: counting, and who has to come again. What does not: what a learner is sent.
//!
//! A learner has its place from the first packet of its synchronization to its acknowledgement of NEWLEADER, or to its end.
//!
//! Invariant: a follower is counted and never sent away: the ensemble may need it for its quorum, above all when an epoch begins.

use super::Leader;
use super::effect::LearnerFault;
use crate::progress::{LearnerId, LearnerKind, Progress, Stage};
use crate::sync_plan::Opening;

/// How many learners may be synchronized at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncLimits {
    /// With the whole state.
    pub states: usize,
    /// With what they lack or have too much.
    pub differences: usize,
}

impl Default for SyncLimits {
    fn default() -> Self {
        Self {
            states: 10,
            differences: 100,
        }
    }
}

/// What a synchronization costs the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// Everything is sent (SNAP).
    State,
    /// A part of the history is sent (DIFF, TRUNC).
    Difference,
}

impl SyncKind {
    pub(super) const fn of(opening: Opening) -> Self {
        match opening {
            Opening::Snap => Self::State,
            Opening::Diff(_) | Opening::Trunc(_) => Self::Difference,
        }
    }
}

impl std::fmt::Display for SyncKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::State => "the whole state",
            Self::Difference => "what they lack",
        })
    }
}

impl Leader {
    /// Whether this learner may be synchronized now.
    pub(super) fn has_place(&self, learner: LearnerId, sync: SyncKind) -> Result<(), LearnerFault> {
        let SyncLimits {
            states,
            differences,
        } = self.config.sync_limits;
        let most = match sync {
            SyncKind::State => states,
            SyncKind::Difference => differences,
        };
        let same = |progress: &&Progress| progress.stage == Stage::Syncing(sync);
        let under_way = self.learners.values().filter(same).count();
        let observes = |progress: &Progress| progress.kind == LearnerKind::Observer;
        match self.learners.get(&learner).is_some_and(observes) && under_way >= most {
            true => Err(LearnerFault::TooManySyncs { under_way, sync }),
            false => Ok(()),
        }
    }
}
