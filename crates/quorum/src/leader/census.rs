//! What a leader knows of its learners as a whole: for operators, and for reads that must not be older than the quorum.

use super::Leader;
use crate::progress::{LearnerKind, Progress, Stage};

/// Learners, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Connected, in step or not.
    pub learners: usize,
    /// Voters that have taken over the history.
    pub followers: usize,
    /// Followers in step that have no vote.
    pub non_voting: usize,
    /// Observers that have taken over the history.
    pub observers: usize,
    /// Syncs that wait for what was proposed before them.
    pub syncs: usize,
}

impl Leader {
    /// Counts the learners.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census {
            learners: self.learners.len(),
            syncs: self.syncs.len(),
            ..Census::default()
        };
        let active = |stage| stage == Stage::Active;
        for progress in self.learners.values().filter(|p| active(p.stage)) {
            let votes = progress
                .server
                .is_some_and(|server| self.verifiers.is_voter(server));
            match progress.kind {
                LearnerKind::Observer => census.observers += 1,
                LearnerKind::Follower if votes => census.followers += 1,
                LearnerKind::Follower => census.non_voting += 1,
            }
        }
        census
    }

    /// Until when nobody else can lead for all that is known here, ms: a quorum was heard of lately enough. Who leads longer than
    /// that without a word of a quorum may have been replaced, and what it shows may be old.
    #[must_use]
    pub fn fresh_until(&self, now: i64) -> i64 {
        let limit = self.config.tick_ms * self.config.sync_limit;
        let mut heard: Vec<i64> = self.learners.values().map(|p| p.heard).collect();
        heard.push(now);
        heard.sort_unstable();
        let quorum_at = |at: i64| {
            self.verifiers.is_quorum(|voter| {
                let heard = |p: &Progress| p.server == Some(voter) && p.heard >= at;
                voter == self.config.me || self.learners.values().any(heard)
            })
        };
        let latest = heard.into_iter().rev().find(|at| quorum_at(*at));
        latest.map_or(i64::MIN, |at| at.saturating_add(limit))
    }
}
