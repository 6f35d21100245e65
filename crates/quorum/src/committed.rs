//! The newest committed transactions, kept for learners that lack only a few (quorum protocol 3.5).
//!
//! What lives here: a window without holes. What does not: the log on the disk, and what a learner is sent.
//!
//! Invariant: what is in the window is an unbroken part of the history, up to the last committed transaction. A window with a hole
//! would be sent to others as if it were whole (ZOOKEEPER-4925), so a transaction that does not follow is refused.

use std::collections::VecDeque;

use bytes::Bytes;
use rookeeper_proto::ids::Zxid;
use thiserror::Error;

/// Transactions kept when nothing is said about it.
pub const DEFAULT_COUNT: usize = 500;
/// Bytes of transactions kept at most, whatever their number; the newest one is always kept.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A transaction: its place, and its bytes as log and peers have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub zxid: Zxid,
    /// Header, body and digest; shared, never copied.
    pub txn: Bytes,
}

/// A transaction came that is not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{found} does not follow {after}")]
pub struct Hole {
    /// What was there.
    pub after: Zxid,
    /// What came.
    pub found: Zxid,
}

/// The window.
#[derive(Debug, Clone)]
pub struct CommittedWindow {
    entries: VecDeque<Entry>,
    bytes: usize,
    last: Zxid,
    /// The last transaction in the state; the beginning of an epoch is none.
    transaction: Zxid,
    count: usize,
}

impl CommittedWindow {
    /// An empty window behind `last`, the last transaction that is contained in the state. It keeps `count` transactions.
    #[must_use]
    pub const fn new(last: Zxid, count: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            last,
            transaction: last,
            count,
        }
    }

    /// Adds the next committed transaction.
    pub fn push(&mut self, entry: Entry) -> Result<(), Hole> {
        if !entry.zxid.follows(self.last) {
            return Err(Hole {
                after: self.last,
                found: entry.zxid,
            });
        }
        self.last = entry.zxid;
        self.transaction = entry.zxid;
        self.bytes += entry.txn.len();
        self.entries.push_back(entry);
        while self.entries.len() > self.count.max(1) || self.bytes > MAX_BYTES {
            if self.entries.len() == 1 {
                break;
            }
            let oldest = self.entries.pop_front();
            self.bytes -= oldest.map_or(0, |oldest| oldest.txn.len());
        }
        Ok(())
    }

    /// The state is another now: a snapshot was loaded, or the log was cut. Nothing before it is known.
    pub fn reset(&mut self, last: Zxid) {
        *self = Self::new(last, self.count);
    }

    /// A leader has established its epoch: what follows begins with `epoch`'s first transaction.
    pub fn begin_epoch(&mut self, epoch: Zxid) {
        self.last = self.last.max(epoch);
    }

    /// The last zxid that is contained in the state; the beginning of an epoch counts as one.
    #[must_use]
    pub const fn last(&self) -> Zxid {
        self.last
    }

    /// The oldest transaction in the window; the last of the state when the window is empty.
    #[must_use]
    pub fn oldest(&self) -> Zxid {
        let oldest = self.entries.front();
        oldest.map_or(self.transaction, |entry| entry.zxid)
    }

    /// The newest transaction of the state, whether it is in the window or not.
    #[must_use]
    pub const fn newest(&self) -> Zxid {
        self.transaction
    }

    /// True when the window has no transaction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The transactions behind `zxid`, in order.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|entry| entry.zxid <= zxid);
        self.entries.range(start..)
    }

    /// The newest transaction at or before `zxid`.
    #[must_use]
    pub fn at_or_before(&self, zxid: Zxid) -> Option<Zxid> {
        let end = self.entries.partition_point(|entry| entry.zxid <= zxid);
        let index = end.checked_sub(1)?;
        self.entries.get(index).map(|entry| entry.zxid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(epoch: u32, counter: u32, len: usize) -> Entry {
        Entry {
            zxid: Zxid::new(epoch, counter),
            txn: vec![0; len].into(),
        }
    }

    /// ZOOKEEPER-4925: a window with a hole is never made.
    #[test]
    fn zookeeper_4925_a_hole_is_refused() {
        let mut window = CommittedWindow::new(Zxid::new(1, 3), 10);
        window.push(entry(1, 4, 1)).unwrap();
        let (after, found) = (Zxid::new(1, 4), Zxid::new(1, 6));
        assert_eq!(window.push(entry(1, 6, 1)), Err(Hole { after, found }));
        assert!(window.push(entry(1, 4, 1)).is_err());
        assert!(window.push(entry(2, 2, 1)).is_err());
        window.push(entry(2, 1, 1)).unwrap();
        assert_eq!((window.oldest(), window.newest()), (after, Zxid::new(2, 1)));
    }

    #[test]
    fn it_keeps_the_newest_by_count_and_by_bytes() {
        let mut window = CommittedWindow::new(Zxid::ZERO, 3);
        for counter in 1..=5 {
            window.push(entry(0, counter, 1)).unwrap();
        }
        assert_eq!(window.oldest(), Zxid(3));
        window.push(entry(0, 6, MAX_BYTES - 1)).unwrap();
        assert_eq!(window.oldest(), Zxid(5));
        window.push(entry(0, 7, MAX_BYTES)).unwrap();
        assert_eq!((window.oldest(), window.newest()), (Zxid(7), Zxid(7)));
    }

    #[test]
    fn an_empty_window_is_where_the_state_is() {
        let mut window = CommittedWindow::new(Zxid(7), 3);
        assert_eq!((window.oldest(), window.newest()), (Zxid(7), Zxid(7)));
        window.push(entry(0, 8, 1)).unwrap();
        window.reset(Zxid(20));
        assert!(window.is_empty() && window.last() == Zxid(20));
        window.begin_epoch(Zxid::new(2, 0));
        assert_eq!(window.last(), Zxid::new(2, 0));
        assert_eq!((window.oldest(), window.newest()), (Zxid(20), Zxid(20)));
        window.push(entry(2, 1, 1)).unwrap();
    }

    #[test]
    fn parts_are_found_by_zxid() {
        let mut window = CommittedWindow::new(Zxid(0), 9);
        (1..=4).for_each(|counter| window.push(entry(0, counter, 1)).unwrap());
        let zxids = |after| {
            window
                .after(Zxid(after))
                .map(|e| e.zxid.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(zxids(2), [3, 4]);
        assert_eq!(zxids(0).len(), 4);
        assert_eq!(zxids(9).len(), 0);
        assert_eq!(window.at_or_before(Zxid(9)), Some(Zxid(4)));
        assert_eq!(window.at_or_before(Zxid(0)), None);
    }
}
