//! One round of an election: what was proposed, who voted what, and how long to wait (quorum protocol 2.4).
//!
//! What lives here: the sets of votes and their comparison. What does not: what to send, and what follows from a quorum.
//!
//! Invariant: votes of the round are compared in all that they say; votes of those who have a leader already are not, because who
//! joined late repeats other numbers than who was there (ZOOKEEPER-1732, 1818, 3537).

use std::collections::BTreeMap;

use rookeeper_proto::ballot::{Notification, PeerState};
use rookeeper_proto::ids::ServerId;

use crate::vote::{History, Vote};

/// How long an election waits, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Before the proposal is sent again for the first time.
    pub min_interval: i64,
    /// At most, after doubling.
    pub max_interval: i64,
    /// Without news, when a quorum has one opinion and somebody might still have a better one.
    pub finalize: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            min_interval: 200,
            max_interval: 60_000,
            finalize: 200,
        }
    }
}

/// A vote as somebody cast it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cast {
    pub(super) vote: Vote,
    pub(super) election_epoch: i64,
    state: PeerState,
    versioned: bool,
}

impl Cast {
    pub(super) const fn of(notification: &Notification) -> Self {
        Self {
            vote: Vote {
                history: History {
                    epoch: notification.peer_epoch,
                    last: notification.zxid,
                },
                leader: notification.leader,
            },
            election_epoch: notification.election_epoch,
            state: notification.state,
            versioned: notification.layout.is_versioned(),
        }
    }

    pub(super) const fn looking(vote: Vote, election_epoch: i64) -> Self {
        Self {
            vote,
            election_epoch,
            state: PeerState::Looking,
            versioned: true,
        }
    }

    /// True when this is that vote in that round.
    pub(super) fn is(&self, vote: &Vote, election_epoch: i64) -> bool {
        self.vote == *vote && self.election_epoch == election_epoch
    }

    fn either_looks(&self, other: &Self) -> bool {
        self.state == PeerState::Looking || other.state == PeerState::Looking
    }

    /// True when both support the same leader, within the round.
    pub(super) fn agrees_in_round(&self, other: &Self) -> bool {
        if self.either_looks(other) {
            return self.is(&other.vote, other.election_epoch);
        }
        self.vote.leader == other.vote.leader
    }

    /// True when both support the same leader, whatever rounds they counted. Old releases do not tell the leader's epoch.
    pub(super) fn agrees_outside(&self, other: &Self) -> bool {
        if self.either_looks(other) {
            return self.is(&other.vote, other.election_epoch);
        }
        let same_epoch = self.vote.history.epoch == other.vote.history.epoch;
        self.vote.leader == other.vote.leader && (same_epoch || self.versioned != other.versioned)
    }
}

/// Those whose votes agree, in ascending order.
pub(super) fn supporters(
    votes: &BTreeMap<ServerId, Cast>,
    agrees: impl Fn(&Cast) -> bool,
) -> Vec<ServerId> {
    let agreeing = votes.iter().filter(|(_, cast)| agrees(cast));
    agreeing.map(|(voter, _)| *voter).collect()
}

/// True when the leader itself has said that it leads: followers may repeat what is over.
pub(super) fn leads(votes: &BTreeMap<ServerId, Cast>, leader: ServerId) -> bool {
    votes
        .get(&leader)
        .is_some_and(|cast| cast.state == PeerState::Leading)
}

/// The state of a server that looks for a leader.
#[derive(Debug)]
pub(super) struct Round {
    /// What the disk held when the round began.
    pub(super) durable: History,
    /// The vote it began with.
    pub(super) initial: Vote,
    /// The best vote heard of in this round.
    pub(super) proposal: Vote,
    /// Votes of this round.
    pub(super) received: BTreeMap<ServerId, Cast>,
    /// Votes of those who have a leader already.
    pub(super) outside: BTreeMap<ServerId, Cast>,
    pace: Pace,
    interval: i64,
    resend_at: i64,
    quiet_at: Option<i64>,
}

impl Round {
    pub(super) const fn new(durable: History, initial: Vote, pace: Pace, now: i64) -> Self {
        Self {
            durable,
            initial,
            proposal: initial,
            received: BTreeMap::new(),
            outside: BTreeMap::new(),
            pace,
            interval: pace.min_interval,
            resend_at: now + pace.min_interval,
            quiet_at: None,
        }
    }

    /// Forgets what was heard: others are in another round, and who proposed the vote may not be there.
    pub(super) fn begin_again(&mut self) {
        self.received.clear();
        self.proposal = self.initial;
    }

    pub(super) fn supports_proposal(&self, voter: ServerId, clock: i64) -> bool {
        let cast = self.received.get(&voter);
        cast.is_some_and(|cast| cast.is(&self.proposal, clock))
    }

    /// True for a vote for `me` because of a history that is not here: it was lost, or the vote is for somebody who never was.
    pub(super) fn is_beyond(&self, vote: &Vote, me: ServerId) -> bool {
        vote.leader == me && vote.history > self.durable
    }

    /// When time matters next.
    pub(super) fn deadline(&self) -> i64 {
        self.quiet_at
            .map_or(self.resend_at, |at| at.min(self.resend_at))
    }

    pub(super) fn is_quiet(&self, now: i64) -> bool {
        self.quiet_at.is_some_and(|at| now >= at)
    }

    /// True when the proposal is due again; the next time is later.
    pub(super) fn wants_to_resend(&mut self, now: i64) -> bool {
        let due = now >= self.resend_at;
        if due {
            self.interval = self.interval.saturating_mul(2).min(self.pace.max_interval);
            self.resend_at = now + self.interval;
        }
        due
    }

    /// A quorum has one opinion: waits until nothing has been new for a while.
    pub(super) fn wait_for_quiet(&mut self, news: bool, now: i64) {
        if news || self.quiet_at.is_none() {
            self.quiet_at = Some(now + self.pace.finalize);
        }
    }

    pub(super) const fn stop_waiting(&mut self) {
        self.quiet_at = None;
    }
}
