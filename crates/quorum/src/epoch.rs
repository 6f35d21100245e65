//! Discovery: a leader and its learners agree on a new epoch, which no earlier leader can have (quorum protocol 3.3).
//!
//! What lives here: what the leader collects, and what a learner promises. What does not: packets, connections, the disk.
//!
//! Invariants:
//! - The new epoch is higher than every epoch that a quorum, the leader included, has promised.
//! - Whoever has promised an epoch never promises a lower one, and says so only when the promise is on the disk.
//! - A leader whose history is behind that of one of its first learners is not followed by that one.

use std::collections::BTreeSet;

use rookeeper_proto::ids::{ServerId, Zxid};
use thiserror::Error;

use crate::mutation::{Mutation, mutated};
use crate::verifier::Verifiers;
use crate::vote::History;

/// The highest epoch that fits into a zxid. Nobody gets there; who says so is not believed.
pub const MAX_EPOCH: i64 = i32::MAX as i64;

/// The counter of the last transaction that an epoch has. The one behind it is never given: what follows that is the beginning of the
/// next epoch, which is another leader's (ZOOKEEPER-1277).
pub const LAST_COUNTER: u32 = u32::MAX - 1;

/// The first zxid of an epoch, which no transaction has.
#[must_use]
pub fn beginning(epoch: i64) -> Zxid {
    Zxid::new(u32::try_from(epoch).unwrap_or(0), 0)
}

/// An epoch that no zxid can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("epoch {0} is none")]
pub struct BadEpoch(pub i64);

/// The promises that a new leader hears of before it proposes its epoch.
#[derive(Debug, Clone, Default)]
pub struct EpochProposal {
    highest: i64,
    from: BTreeSet<ServerId>,
}

impl EpochProposal {
    /// A learner, or the leader itself, has promised `accepted`. Those without a vote raise the epoch and do not count.
    pub fn report(&mut self, server: Option<ServerId>, accepted: i64) -> Result<(), BadEpoch> {
        if !(0..MAX_EPOCH).contains(&accepted) {
            return Err(BadEpoch(accepted));
        }
        self.highest = self.highest.max(accepted);
        self.from.extend(server);
        Ok(())
    }

    /// The new epoch, when a quorum has reported.
    #[must_use]
    pub fn complete(&self, me: ServerId, verifiers: &Verifiers) -> Option<i64> {
        let quorum = verifiers.is_quorum(|voter| self.from.contains(&voter));
        let next = self.highest + i64::from(!mutated(Mutation::EpochNotRaised));
        (quorum && self.from.contains(&me)).then_some(next)
    }
}

/// A learner has more than the leader: the election was wrong, or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it has {learner}, and the leader {leader}")]
pub struct BehindLearner {
    /// What the learner has.
    pub learner: History,
    /// What the leader has.
    pub leader: History,
}

/// The learners that follow the new epoch.
#[derive(Debug, Clone)]
pub struct EpochAcks {
    own: History,
    from: BTreeSet<ServerId>,
}

impl EpochAcks {
    /// For a leader with the history `own` at the beginning of its leadership.
    #[must_use]
    pub const fn new(own: History) -> Self {
        Self {
            own,
            from: BTreeSet::new(),
        }
    }

    /// A server, or the leader itself, has promised the epoch. `current` is the epoch of its history; `None` when it had
    /// promised before, and then it does not count.
    pub fn ack(
        &mut self,
        server: Option<ServerId>,
        current: Option<i64>,
        last: Zxid,
    ) -> Result<(), BehindLearner> {
        let Some(epoch) = current else {
            return Ok(());
        };
        let learner = History { epoch, last };
        if learner > self.own && !mutated(Mutation::AheadLearnersIgnored) {
            let leader = self.own;
            return Err(BehindLearner { learner, leader });
        }
        if last != History::MISSING {
            self.from.extend(server);
        }
        Ok(())
    }

    /// True when a quorum follows.
    #[must_use]
    pub fn is_complete(&self, me: ServerId, verifiers: &Verifiers) -> bool {
        let quorum = verifiers.is_quorum(|voter| self.from.contains(&voter));
        quorum && self.from.contains(&me)
    }
}

/// What a learner does with the epoch it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Make the promise durable, then say the epoch of the own history.
    Promise(i64),
    /// It was promised before: say so.
    Promised,
    /// A higher one was promised: leave.
    Refuse,
}

/// Answers a leader that offers `offered` to a learner that has promised `accepted`.
pub fn answer(accepted: i64, offered: i64) -> Result<Answer, BadEpoch> {
    if !(0..=MAX_EPOCH).contains(&offered) {
        return Err(BadEpoch(offered));
    }
    Ok(match offered.cmp(&accepted) {
        std::cmp::Ordering::Greater => Answer::Promise(offered),
        std::cmp::Ordering::Equal => Answer::Promised,
        std::cmp::Ordering::Less => Answer::Refuse,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::Verifier;

    const ME: ServerId = ServerId(1);

    fn three() -> Verifiers {
        Verifiers::one(Verifier::Majority([1, 2, 3].map(ServerId).into()))
    }

    fn some(id: i64) -> Option<ServerId> {
        Some(ServerId(id))
    }

    /// ZOOKEEPER-1343: the epoch is higher than all that were reported, whoever reported it and in whatever order.
    #[test]
    fn zookeeper_1343_the_epoch_is_higher_than_every_promise() {
        let mut proposal = EpochProposal::default();
        proposal.report(some(2), 7).unwrap();
        proposal.report(some(3), 3).unwrap();
        assert_eq!(
            proposal.complete(ME, &three()),
            None,
            "the leader itself is missing"
        );
        proposal.report(some(9), 11).unwrap();
        proposal.report(None, 12).unwrap();
        proposal.report(some(1), 4).unwrap();
        assert_eq!(proposal.complete(ME, &three()), Some(13));
    }

    /// ZOOKEEPER-2959: observers and strangers are no quorum.
    #[test]
    fn zookeeper_2959_reports_of_observers_do_not_count() {
        let mut proposal = EpochProposal::default();
        for id in [1, 4, 5, 6] {
            proposal.report(some(id), 0).unwrap();
        }
        assert_eq!(proposal.complete(ME, &three()), None);
        let mut acks = EpochAcks::new(History {
            epoch: 1,
            last: Zxid(9),
        });
        for id in [1, 4, 5, 6] {
            acks.ack(some(id), Some(0), Zxid(0)).unwrap();
        }
        assert!(!acks.is_complete(ME, &three()));
        acks.ack(some(2), None, Zxid(0)).unwrap();
        acks.ack(some(3), Some(1), History::MISSING).unwrap();
        assert!(
            !acks.is_complete(ME, &three()),
            "who promised before, or has lost its data, does not count"
        );
        acks.ack(some(3), Some(1), Zxid(9)).unwrap();
        assert!(acks.is_complete(ME, &three()));
    }

    #[test]
    fn a_leader_behind_a_learner_is_not_followed() {
        let leader = History {
            epoch: 2,
            last: Zxid::new(2, 5),
        };
        let mut acks = EpochAcks::new(leader);
        let learner = |epoch, last| History { epoch, last };
        for (epoch, last) in [(3, Zxid(0)), (2, Zxid::new(2, 6))] {
            let refused = Err(BehindLearner {
                learner: learner(epoch, last),
                leader,
            });
            assert_eq!(acks.ack(some(2), Some(epoch), last), refused);
        }
        acks.ack(some(2), Some(1), Zxid::new(2, 9)).unwrap();
    }

    #[test]
    fn promises_are_kept() {
        assert_eq!(answer(4, 5), Ok(Answer::Promise(5)));
        assert_eq!(answer(5, 5), Ok(Answer::Promised));
        assert_eq!(answer(6, 5), Ok(Answer::Refuse));
        assert_eq!(answer(6, MAX_EPOCH + 1), Err(BadEpoch(MAX_EPOCH + 1)));
        assert!(answer(0, -1).is_err());
        let mut proposal = EpochProposal::default();
        assert!(proposal.report(some(2), MAX_EPOCH).is_err());
        assert!(proposal.report(some(2), -1).is_err());
    }
}
