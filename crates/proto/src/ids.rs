//! The identifiers of the field, as types, so that one cannot be passed for another.

use std::fmt;

/// A transaction id: epoch in the high 32 bits, counter in the low 32. Compared as a signed number, as everywhere in ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The zxid of `counter` within `epoch`.
    #[must_use]
    pub const fn new(epoch: u32, counter: u32) -> Self {
        Self(((epoch as i64) << 32) | counter as i64)
    }

    /// The leader's epoch (arithmetic shift, as in Java).
    #[must_use]
    pub const fn epoch(self) -> i64 {
        self.0 >> 32
    }

    /// The count of transactions within the epoch.
    #[must_use]
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The zxid of the next transaction of the same leader.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// True when `self` may directly follow `before` in one history: the next counter, or the first one of a later epoch.
    #[must_use]
    pub const fn follows(self, before: Self) -> bool {
        self.0 == before.0.wrapping_add(1) || (self.epoch() > before.epoch() && self.counter() == 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A session: the id of the creating server in the top byte, a counter below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: internal requests of the server itself.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A member of the ensemble, the number in `myid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl ServerId {
    /// What a standalone server puts into the top byte of its session ids.
    pub const STANDALONE: Self = Self(1);
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The client's number of a request, echoed in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub i32);

impl Xid {
    /// Reply header of a watch event.
    pub const EVENT: Self = Self(-1);
    /// Reply header of every ping, whatever the request said.
    pub const PING: Self = Self(-2);
}

#[cfg(test)]
mod tests {
    use super::Zxid;

    #[test]
    fn epoch_and_counter_share_the_number() {
        let z = Zxid::new(5, 7);
        assert_eq!((z.0, z.epoch(), z.counter()), (0x5_0000_0007, 5, 7));
        assert_eq!(z.to_string(), "0x500000007");
    }

    #[test]
    fn a_history_goes_on_with_the_next_counter_or_a_new_epoch() {
        assert!(Zxid::new(1, 2).follows(Zxid::new(1, 1)));
        assert!(Zxid::new(3, 1).follows(Zxid::new(1, 9)));
        assert!(!Zxid::new(1, 3).follows(Zxid::new(1, 1)));
        assert!(!Zxid::new(2, 2).follows(Zxid::new(1, 9)));
    }
}
