//! The leader's view of one learner: how far it is in joining, and how far its disk is.
//!
//! What lives here: stages, what was acknowledged, what is owed and since when. What does not: what follows from it.
//!
//! Invariant: an acknowledgement says that everything before it is on the learner's disk too, because a learner logs in order; so
//! the highest one is all that has to be kept.

use std::collections::VecDeque;

use rookeeper_proto::ids::{ServerId, Zxid};

use crate::leader::sync_limits::SyncKind;

/// A connection of a learner, numbered by whoever accepted it; numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnerId(pub u64);

/// What a learner came as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LearnerKind {
    /// Gets proposals and acknowledges them.
    Follower,
    /// Is told what was committed.
    Observer,
}

/// How far a learner is in joining. Only forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Connected, and has not said who it is.
    Unknown,
    /// Has said what it promised, and waits for the new epoch.
    Waiting,
    /// Was offered the epoch.
    Offered,
    /// Has promised it; its log ends here.
    Promised(Zxid),
    /// The leader's log is asked about this position.
    LookedUp(Zxid),
    /// Everything was sent to it that it lacks, and from now on it gets what all get.
    Syncing(SyncKind),
    /// Has the leader's history on its disk, and the epoch.
    Active,
}

/// A learner.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Its id; a learner without one never counts.
    pub(crate) server: Option<ServerId>,
    pub(crate) kind: LearnerKind,
    pub(crate) stage: Stage,
    /// The leader's tick after which it is taken for dead.
    pub(crate) deadline: i64,
    /// When the last thing was said, ms, of which it is known that it was heard: who answers a ping was a learner still when that was
    /// sent. What merely arrives says nothing of the kind, because it may have lain in a buffer.
    pub(crate) confirmed: Option<i64>,
    /// When NEWLEADER was sent, ms.
    offered_history: i64,
    /// When each ping was sent that is not answered. It was told to serve before, so it answers all of them, in order.
    pings: VecDeque<i64>,
    acked: Zxid,
    /// Proposals that it has not acknowledged, and when each was sent.
    owed: VecDeque<(Zxid, i64)>,
}

impl Progress {
    pub(crate) const fn new(deadline: i64) -> Self {
        Self {
            server: None,
            kind: LearnerKind::Follower,
            stage: Stage::Unknown,
            deadline,
            confirmed: None,
            offered_history: 0,
            pings: VecDeque::new(),
            acked: Zxid::ZERO,
            owed: VecDeque::new(),
        }
    }

    /// It was sent what it lacks, and NEWLEADER.
    pub(crate) const fn registered(&mut self, now: i64, sync: SyncKind) {
        self.stage = Stage::Syncing(sync);
        self.offered_history = now;
    }

    /// It is told to serve its clients. It has answered NEWLEADER: so much is known to be heard.
    pub(crate) const fn begins_to_serve(&mut self) {
        self.confirmed = Some(self.offered_history);
    }

    pub(crate) fn pinged(&mut self, now: i64) {
        if self.confirmed.is_some() {
            self.pings.push_back(now);
        }
    }

    pub(crate) fn answered(&mut self) {
        self.confirmed = self.pings.pop_front().or(self.confirmed);
    }

    /// True from the moment on at which it gets what all get.
    pub(crate) const fn is_registered(&self) -> bool {
        matches!(self.stage, Stage::Syncing(_) | Stage::Active)
    }

    pub(crate) fn proposed(&mut self, zxid: Zxid, now: i64) {
        self.owed.push_back((zxid, now));
    }

    pub(crate) fn ack(&mut self, zxid: Zxid) {
        self.acked = self.acked.max(zxid);
        while self.owed.front().is_some_and(|(owed, _)| *owed <= zxid) {
            self.owed.pop_front();
        }
    }

    /// What its disk has, if that counts: before it has taken over the epoch, a quorum without it could elect somebody who does not
    /// have it.
    pub(crate) fn durable(&self) -> Option<(ServerId, Zxid)> {
        let server = self.server.filter(|_| self.stage == Stage::Active)?;
        Some((server, self.acked))
    }

    /// It has joined: what it owes, it owes from now on.
    pub(crate) fn activate(&mut self, now: i64) {
        self.stage = Stage::Active;
        self.owed.iter_mut().for_each(|(_, since)| *since = now);
    }

    /// Since when the oldest proposal is not acknowledged.
    pub(crate) fn owes_since(&self) -> Option<i64> {
        let (_, since) = self.owed.front().filter(|_| self.stage == Stage::Active)?;
        Some(*since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_covers_what_is_before_it_and_is_never_taken_back() {
        let mut learner = Progress::new(0);
        learner.server = Some(ServerId(2));
        (1..=3).for_each(|zxid| learner.proposed(Zxid(zxid), zxid * 10));
        assert_eq!(learner.durable(), None);
        learner.activate(100);
        assert_eq!(learner.owes_since(), Some(100));
        learner.ack(Zxid(2));
        learner.ack(Zxid(1));
        assert_eq!(learner.durable(), Some((ServerId(2), Zxid(2))));
        learner.ack(Zxid(3));
        assert_eq!(learner.owes_since(), None);
    }
}
