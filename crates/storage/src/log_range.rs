//! The records that a peer misses, read from the logs on the disk: for a leader whose memory does not reach back that far.
//!
//! What does not live here: what is sent to the peer, and when a whole state is the better choice.
//!
//! Reading may go on while the log is written, because it ends at a zxid that is known to be durable and looks at nothing
//! behind it.
//!
//! Invariants: every record given follows the one before it; damage, a hole or an early end is an error, never silence; what
//! is held is a piece of one file.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rookeeper_proto::ids::Zxid;
use thiserror::Error;

use crate::dirs::{DataDirs, LogFile};
use crate::disk::{Disk, DiskError};
use crate::log_reader::{LogReader, LogRecord, ReadError};
use crate::snapshots;

/// Why the records cannot be given. What was given before is to be forgotten.
#[derive(Debug, Error)]
pub enum RangeError {
    /// A file is damaged or cannot be read (it may have been purged meanwhile).
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Transactions are missing.
    #[error("{} continues at offset {offset} with {found}, which does not follow {last}", path.display())]
    Gap {
        /// The file that does not fit.
        path: PathBuf,
        /// The record that does not follow.
        offset: u64,
        /// Its zxid.
        found: Zxid,
        /// The zxid before the hole.
        last: Zxid,
    },
    /// The log begins behind what the peer has.
    #[error("the log begins with {first}, behind {peer}")]
    BeginsLater {
        /// What the peer has.
        peer: Zxid,
        /// The first record.
        first: Zxid,
    },
    /// The log does not hold what was said to be durable.
    #[error("the log has no record {through}")]
    Ends {
        /// Where reading should have ended.
        through: Zxid,
    },
}

/// Where the records are that a peer misses, and how much there is to read.
#[derive(Debug, Clone)]
pub struct LogRange {
    peer: Zxid,
    through: Zxid,
    /// Oldest first; never empty.
    files: Vec<LogFile>,
    newest_snapshot: Option<u64>,
}

impl LogRange {
    /// Looks for the records behind `peer`, up to `through`, the zxid of a record known to be durable (see
    /// [`crate::log_writer::LogWriter::synced`]). `None`: the logs do not reach back that far.
    pub fn find(
        disk: &dyn Disk,
        dirs: &DataDirs,
        peer: Zxid,
        through: Zxid,
    ) -> Result<Option<Self>, DiskError> {
        let snapshots = dirs.list_snapshots(disk)?;
        // No transaction has this zxid: it may be a state that Java received from a leader, and the records before it, which
        // Java leaves there, discarded ones. The first record behind it follows both without a visible hole.
        let received = |z: Zxid| z.counter() == 0 && z.epoch() > 0 && z > peer && z <= through;
        if snapshots.iter().any(|s| received(s.zxid)) {
            return Ok(None);
        }
        let mut files = dirs.list_logs(disk)?;
        files.retain(|log| log.zxid <= through);
        let Some(first) = files.iter().rposition(|log| log.zxid <= peer) else {
            return Ok(None);
        };
        files.drain(..first);
        let mut newest_snapshot = None;
        for file in &snapshots {
            if newest_snapshot.is_none() && snapshots::looks_valid(disk, file)? {
                newest_snapshot = Some(file.len);
            }
        }
        Ok(Some(Self {
            peer,
            through,
            files,
            newest_snapshot,
        }))
    }

    /// The file that holds `peer`, or what comes before it.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.files.first().map(|log| log.path.as_path())
    }

    /// Bytes of the files to be read, padding included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|log| log.len).sum()
    }

    /// Bytes of the newest snapshot, to compare with: what a whole state would cost, about.
    #[must_use]
    pub const fn newest_snapshot(&self) -> Option<u64> {
        self.newest_snapshot
    }

    /// The records, beginning with the last one that is not behind `peer`.
    #[must_use]
    pub fn records(self, disk: &dyn Disk) -> Records<'_> {
        let mut files = self.files;
        files.reverse();
        Records {
            disk,
            peer: self.peer,
            through: self.through,
            files,
            current: None,
            last: None,
            begun: false,
            next: None,
        }
    }
}

/// The records of a [`LogRange`], in order.
#[derive(Debug)]
pub struct Records<'a> {
    disk: &'a dyn Disk,
    peer: Zxid,
    through: Zxid,
    /// Still to be read, newest first.
    files: Vec<LogFile>,
    current: Option<LogReader>,
    last: Option<Zxid>,
    /// The first record was given.
    begun: bool,
    /// Read while looking for the first.
    next: Option<LogRecord>,
}

impl Records<'_> {
    /// The next record, as it was logged: header, body and digest. `None` when the record `through` was given.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and must not go on then"
    )]
    pub fn next(&mut self) -> Result<Option<(Zxid, Bytes)>, RangeError> {
        let record = match self.next.take() {
            Some(record) => Some(record),
            None if self.begun => self.read()?,
            None => self.first()?,
        };
        Ok(record.map(|record| (record.zxid, record.bytes)))
    }

    /// The last record that is not behind the peer.
    fn first(&mut self) -> Result<Option<LogRecord>, RangeError> {
        let mut before = None;
        while let Some(record) = self.read()? {
            if record.zxid <= self.peer {
                before = Some(record);
                continue;
            }
            if before.is_none() {
                return Err(RangeError::BeginsLater {
                    peer: self.peer,
                    first: record.zxid,
                });
            }
            self.next = Some(record);
            break;
        }
        self.begun = true;
        Ok(before)
    }

    /// The next record of the files; `None` behind `through`.
    fn read(&mut self) -> Result<Option<LogRecord>, RangeError> {
        loop {
            // Behind it the file may be in the middle of a write.
            if self.last == Some(self.through) {
                return Ok(None);
            }
            let Some(reader) = &mut self.current else {
                let through = self.through;
                let file = self.files.pop().ok_or(RangeError::Ends { through })?;
                self.current = Some(LogReader::open(self.disk, &file.path)?);
                continue;
            };
            match reader.next()? {
                None => self.current = None,
                // Logged twice.
                Some(record) if self.last.is_some_and(|last| record.zxid <= last) => {}
                Some(record) => return self.accept(record).map(Some),
            }
        }
    }

    fn accept(&mut self, record: LogRecord) -> Result<LogRecord, RangeError> {
        if record.zxid > self.through {
            return Err(RangeError::Ends {
                through: self.through,
            });
        }
        if let Some(last) = self.last
            && !record.zxid.follows(last)
        {
            return Err(RangeError::Gap {
                path: self
                    .current
                    .as_ref()
                    .map(|r| r.path().to_path_buf())
                    .unwrap_or_default(),
                offset: record.offset,
                found: record.zxid,
                last,
            });
        }
        self.last = Some(record.zxid);
        Ok(record)
    }
}
