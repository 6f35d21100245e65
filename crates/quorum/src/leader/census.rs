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

    /// Until when nobody else can lead, ms: a quorum follows that has heard of this leader so lately that it does not give it up
    /// before. Who shows its state later than that may show what is old.
    #[must_use]
    pub fn fresh_until(&self, now: i64) -> i64 {
        let limit = self.config.tick_ms * self.config.sync_limit;
        let confirmed = self.learners.values().filter_map(|p| p.confirmed);
        let mut times: Vec<i64> = confirmed.chain([now]).collect();
        times.sort_unstable();
        let quorum_at = |at: i64| {
            self.verifiers.is_quorum(|voter| {
                let confirmed = |p: &Progress| {
                    p.server == Some(voter) && p.confirmed.is_some_and(|time| time >= at)
                };
                voter == self.config.me || self.learners.values().any(confirmed)
            })
        };
        let latest = times.into_iter().rev().find(|at| quorum_at(*at));
        latest.map_or(i64::MIN, |at| at.saturating_add(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::sync_limits::SyncKind;

    /// Pings are answered in order, and an answer says when its ping was sent, not when the answer came.
    #[test]
    fn an_answer_confirms_the_time_of_its_ping() {
        let mut learner = Progress::new(0);
        learner.pinged(5);
        learner.answered();
        assert_eq!(learner.confirmed, None, "it is not told to serve yet");
        learner.registered(7, SyncKind::Difference);
        learner.begins_to_serve();
        assert_eq!(learner.confirmed, Some(7), "NEWLEADER was answered");
        learner.pinged(20);
        learner.pinged(30);
        learner.answered();
        assert_eq!(learner.confirmed, Some(20));
        learner.answered();
        learner.answered();
        assert_eq!(learner.confirmed, Some(30));
    }
}
