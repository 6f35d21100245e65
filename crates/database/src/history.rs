//! What a leader's log on the disk can tell a learner that has missed more than the leader remembers.
//!
//! What lives here: a position in the log, and the records behind it. What does not: whether the log is the better choice
//! (`quorum`), and how records reach a learner.
//!
//! Reading goes on beside the writing of the log, on any thread: it ends at a zxid that is known to be durable.

use std::sync::Arc;

use bytes::Bytes;
use rookeeper_proto::ids::Zxid;
use rookeeper_quorum::sync_plan;
use rookeeper_storage::dirs::DataDirs;
use rookeeper_storage::disk::Disk;
use rookeeper_storage::log_range::{LogRange, RangeError};
use rookeeper_storage::log_reader::ReadError;

/// Records shorter than this altogether are always worth sending, bytes: next to it the cost of a whole state is not in its size.
const ALWAYS_CHEAP: u64 = 1024 * 1024;

/// How much of its log a leader sends before the whole state is the better choice (`zookeeper.snapshotSizeFactor`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogUse {
    /// Nothing: a negative factor.
    Never,
    /// All that there is: a factor of zero.
    Always,
    /// As long as the records are shorter than this share of the newest snapshot, percent.
    UpToPercent(u64),
}

impl Default for LogUse {
    fn default() -> Self {
        Self::UpToPercent(33)
    }
}

/// The log as it was at one moment.
#[derive(Debug, Clone)]
pub struct History {
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    /// The last record that is durable.
    through: Zxid,
    log_use: LogUse,
}

impl History {
    pub(crate) const fn new(
        disk: Arc<dyn Disk>,
        dirs: DataDirs,
        through: Zxid,
        log_use: LogUse,
    ) -> Self {
        Self {
            disk,
            dirs,
            through,
            log_use,
        }
    }

    /// What the log says about the end of a learner's history; `None` when it does not reach back so far. Reads everything
    /// behind it, so that nothing is promised which is not there.
    pub fn around(&self, peer: Zxid) -> Result<Option<sync_plan::LogAround>, RangeError> {
        let Some(range) = self.find(peer)? else {
            return Ok(None);
        };
        let limit = self.limit(&range);
        let mut records = range.records(&*self.disk);
        let Some((at_or_before, _)) = records.next()? else {
            return Ok(None);
        };
        let (mut behind, mut unbroken_to, mut bytes) = (None, at_or_before, 0);
        while bytes <= limit
            && let Some((zxid, txn)) = records.next()?
        {
            behind.get_or_insert(zxid);
            unbroken_to = zxid;
            bytes += txn.len() as u64;
        }
        Ok(Some(sync_plan::LogAround {
            at_or_before,
            behind,
            unbroken_to,
            is_cheap: bytes <= limit,
        }))
    }

    /// Gives the records of the range to `each`, in order, until that says false.
    pub fn give(
        &self,
        range: sync_plan::LogRange,
        mut each: impl FnMut(Zxid, Bytes) -> bool,
    ) -> Result<(), RangeError> {
        let ends = RangeError::Ends {
            through: range.through,
        };
        let Some(files) = self.find(range.after)? else {
            return Err(ends);
        };
        let mut records = files.records(&*self.disk);
        while let Some((zxid, txn)) = records.next()? {
            if zxid > range.after && !each(zxid, txn) {
                return Ok(());
            }
            if zxid >= range.through {
                return Ok(());
            }
        }
        Err(ends)
    }

    fn find(&self, peer: Zxid) -> Result<Option<LogRange>, RangeError> {
        if self.log_use == LogUse::Never {
            return Ok(None);
        }
        Ok(LogRange::find(&*self.disk, &self.dirs, peer, self.through).map_err(ReadError::from)?)
    }

    /// Bytes of records that may be sent.
    fn limit(&self, range: &LogRange) -> u64 {
        match self.log_use {
            LogUse::Never => 0,
            LogUse::Always => u64::MAX,
            LogUse::UpToPercent(percent) => {
                let snapshot = range.newest_snapshot().unwrap_or(0);
                (snapshot.saturating_mul(percent) / 100).max(ALWAYS_CHEAP)
            }
        }
    }
}
