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

/// Epochs beyond the own one that a promise may be without being taken for a lie: a member that makes promises alone makes one for each
/// election.
pub const MOST_BEYOND: i64 = 1000;

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

/// A server without a vote says that it has promised what no voter can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "it has no vote, and says that it has promised epoch {accepted}, far beyond the {own} that this server has promised"
)]
pub struct Unbelievable {
    /// What it says.
    pub accepted: i64,
    /// What the leader has promised itself.
    pub own: i64,
}

/// The promises that a new leader hears of before it proposes its epoch.
#[derive(Debug, Clone)]
pub struct EpochProposal {
    own: i64,
    highest: i64,
    from: BTreeSet<ServerId>,
}

impl EpochProposal {
    /// For the leader `me`, which has promised `accepted` itself.
    pub fn new(me: ServerId, accepted: i64) -> Result<Self, BadEpoch> {
        Ok(Self {
            own: promisable(accepted)?,
            highest: accepted,
            from: [me].into(),
        })
    }

    /// A learner has promised `accepted`. Those without a vote raise the epoch and do not count.
    ///
    /// Whatever anybody says, the epoch is about [`MOST_BEYOND`] above the own promise at most: one word could use up all epochs there
    /// are. A voter that has promised more does not follow this leader, but one of those that come after it.
    pub fn report(&mut self, server: Option<ServerId>, accepted: i64) -> Result<(), BadEpoch> {
        let most = self.own.saturating_add(MOST_BEYOND);
        self.highest = self.highest.max(promisable(accepted)?.min(most));
        self.from.extend(server);
        Ok(())
    }

    /// Refuses what a server without a vote cannot have promised: it promises no more than voters have.
    pub const fn believe(&self, accepted: i64) -> Result<(), Unbelievable> {
        let own = self.own;
        match accepted > own.saturating_add(MOST_BEYOND) {
            true => Err(Unbelievable { accepted, own }),
            false => Ok(()),
        }
    }

    /// The new epoch, when a quorum has reported.
    #[must_use]
    pub fn complete(&self, verifiers: &Verifiers) -> Option<i64> {
        let quorum = verifiers.is_quorum(|voter| self.from.contains(&voter));
        let next = self.highest + i64::from(!mutated(Mutation::EpochNotRaised));
        quorum.then_some(next)
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

/// An epoch behind which there is another.
fn promisable(accepted: i64) -> Result<i64, BadEpoch> {
    match (0..MAX_EPOCH).contains(&accepted) {
        true => Ok(accepted),
        false => Err(BadEpoch(accepted)),
    }
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
        let mut proposal = EpochProposal::new(ME, 4).unwrap();
        proposal.report(some(9), 11).unwrap();
        proposal.report(None, 12).unwrap();
        assert_eq!(proposal.complete(&three()), None, "no quorum");
        proposal.report(some(2), 7).unwrap();
        proposal.report(some(3), 3).unwrap();
        assert_eq!(proposal.complete(&three()), Some(13));
    }

    /// One word must not use up all epochs; a voter that is far ahead is reached step by step.
    #[test]
    fn nobody_raises_the_epoch_without_bounds() {
        let (mut own, ahead, mut elections) = (4, 4 + 3 * MOST_BEYOND, 0);
        while own <= ahead {
            let mut proposal = EpochProposal::new(ME, own).unwrap();
            assert!(proposal.believe(own + MOST_BEYOND).is_ok());
            assert!(proposal.believe(own + MOST_BEYOND + 1).is_err());
            proposal.report(some(2), ahead).unwrap();
            let next = proposal.complete(&three()).unwrap();
            assert!(next > own && next <= own + MOST_BEYOND + 1);
            (own, elections) = (next, elections + 1);
        }
        assert_eq!((own, elections), (ahead + 1, 3));
    }

    /// ZOOKEEPER-2959: observers and strangers are no quorum.
    #[test]
    fn zookeeper_2959_reports_of_observers_do_not_count() {
        let mut proposal = EpochProposal::new(ME, 0).unwrap();
        for id in [4, 5, 6] {
            proposal.report(some(id), 0).unwrap();
        }
        assert_eq!(proposal.complete(&three()), None);
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
        assert!(EpochProposal::new(ME, MAX_EPOCH).is_err());
        let mut proposal = EpochProposal::new(ME, MAX_EPOCH - 1).unwrap();
        assert!(proposal.report(some(2), MAX_EPOCH).is_err());
        assert!(proposal.report(some(2), -1).is_err());
    }
}
