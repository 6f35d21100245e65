//! What is voted on: whose history is the best (quorum protocol 2.1).
//!
//! What lives here: histories, votes, and their order. What does not: rounds, and who voted what.
//!
//! Invariant: the order is total, and a longer history wins over every id.

use std::fmt;

use rookeeper_proto::ids::{ServerId, Zxid};

use crate::mutation::{Mutation, mutated};

/// What a server's disk holds, as far as an election cares. Epochs first: a longer tail of an older leader loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct History {
    /// `currentEpoch`: of the last leader whose history was taken over.
    pub epoch: i64,
    /// The last zxid of the log.
    pub last: Zxid,
}

impl History {
    /// What a server says that has lost its data and knows it.
    pub const MISSING: Zxid = Zxid(-1);

    /// What a server says that does not vote at all.
    pub const NONE: Self = Self {
        epoch: i64::MIN,
        last: Zxid(i64::MIN),
    };

    /// True for a server that knows that its data is missing: it neither counts nor is counted.
    #[must_use]
    pub fn is_missing(self) -> bool {
        self.last == Self::MISSING
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of epoch {}", self.last, self.epoch)
    }
}

/// Nobody: what a server votes for that may not be elected.
pub const NOBODY: ServerId = ServerId(i64::MIN);

/// A server, and the history because of which it should lead. The order is the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// Of the server voted for.
    pub history: History,
    /// The server voted for; of equal histories the higher id wins.
    pub leader: ServerId,
}

impl Vote {
    /// True when `self` is to be adopted by somebody who votes for `other`. `weight` is that of `self`'s candidate: one that counts
    /// nothing is never elected.
    #[must_use]
    pub fn beats(&self, other: &Self, weight: i64) -> bool {
        if mutated(Mutation::VoteOrderReversed) {
            return weight != 0 && self < other;
        }
        weight != 0 && self > other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(epoch: i64, last: i64, leader: i64) -> Vote {
        Vote {
            history: History {
                epoch,
                last: Zxid(last),
            },
            leader: ServerId(leader),
        }
    }

    #[test]
    fn epoch_then_zxid_then_id() {
        assert!(vote(2, 0, 1).beats(&vote(1, 9, 9), 1));
        assert!(vote(1, 9, 1).beats(&vote(1, 8, 9), 1));
        assert!(vote(1, 9, 2).beats(&vote(1, 9, 1), 1));
        assert!(!vote(1, 9, 1).beats(&vote(1, 9, 1), 1));
        assert!(!vote(2, 0, 1).beats(&vote(1, 9, 9), 0));
    }

    #[test]
    fn numbers_are_signed() {
        assert!(vote(0, 0, 1).beats(&vote(0, -1, 9), 1));
        let nobody = Vote {
            history: History::NONE,
            leader: NOBODY,
        };
        assert!(vote(0, -1, -1).beats(&nobody, 1));
    }
}
