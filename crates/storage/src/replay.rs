//! The records after a snapshot, in order, through all log files (disk formats 5.1 step 4 and 5.2).
//!
//! What does not live here: what a record does to the tree.
//!
//! Invariants:
//! - Every record given follows the one before (or the base); a hole is an error, never silence.
//! - A record is given once, even if it was logged twice (ZOOKEEPER-4541).
//! - Only the newest file may end torn, or an older one whose history goes on without a hole in the next. Where the next begins an epoch
//!   the numbers do not tell: [`Replay::doubt`] is for who can see it in the tree.
//! - [`ReplayEnd::settle`] must be called before anything is appended: what was read may not be durable yet, when a process
//!   and not the machine had died, and new records must not become durable before it.

use std::path::{Path, PathBuf};

use rookeeper_proto::ids::Zxid;
use thiserror::Error;
use tracing::{info, warn};

use crate::dirs::{DataDirs, LogFile};
use crate::disk::{At, Disk, DiskError, OpenMode};
use crate::log_format::HEADER_LEN;
use crate::log_reader::{LogEnd, LogReader, LogRecord, ReadError};

/// Why the history cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A file is damaged or cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Transactions are missing.
    #[error(
        "{} continues at offset {offset} with {found}, but the history ends at {last}{}: transactions in between are \
         missing; put back the missing log file, or (in an ensemble) move the data aside to fetch it from the leader",
        path.display(), torn_note(torn.as_deref())
    )]
    Gap {
        /// The file that does not fit.
        path: PathBuf,
        /// The record that does not follow.
        offset: u64,
        /// Its zxid.
        found: Zxid,
        /// The zxid before the hole: of a record, or of the snapshot.
        last: Zxid,
        /// The file that ended torn before the hole.
        torn: Option<PathBuf>,
    },
}

impl ReplayError {
    /// The file and the place in it where the history breaks: damage, or a record that does not follow. `None` when the disk
    /// failed.
    #[must_use]
    pub fn broken_at(&self) -> Option<(&Path, u64)> {
        match self {
            Self::Gap { path, offset, .. }
            | Self::Read(ReadError::Corrupt { path, offset, .. }) => Some((path, *offset)),
            Self::Read(ReadError::Disk(_)) | Self::Disk(_) => None,
        }
    }
}

fn torn_note(torn: Option<&Path>) -> String {
    torn.map(|p| format!(" where {} is torn", p.display()))
        .unwrap_or_default()
}

/// A log file that was read, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    /// The file.
    pub path: PathBuf,
    /// Where its records end, and whether a power cut left more.
    pub end: LogEnd,
}

/// Where the history ends.
#[derive(Debug)]
pub struct ReplayEnd {
    /// The zxid of the last record, or the base if none followed it.
    pub last: Zxid,
    /// Records given.
    pub records: u64,
    /// All files read, oldest first.
    pub files: Vec<LogTail>,
    logs: PathBuf,
}

impl ReplayEnd {
    /// Makes the files that were read durable, cuts a torn tail off the newest, and deletes newest files without any record.
    /// After that a [`crate::log_writer::LogWriter`] may begin: it opens a new file.
    pub fn settle(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let mut newest = true;
        for LogTail { path, end } in self.files.iter().rev() {
            let empty = end.offset <= HEADER_LEN as u64;
            if newest && empty {
                info!(file = %path.display(), "removing a log without any record");
                disk.remove(path).at("remove", path)?;
                continue;
            }
            let mut file = disk.open(path, OpenMode::Write).at("open", path)?;
            if let Some(damage) = end.torn.filter(|_| newest) {
                warn!(file = %path.display(), offset = end.offset, %damage, "cutting off an unfinished write");
                file.truncate(end.offset).at("truncate", path)?;
            }
            file.sync_data().at("sync", path)?;
            newest = false;
        }
        disk.sync_dir(&self.logs).at("sync", &self.logs)
    }
}

/// The records after a snapshot.
#[derive(Debug)]
pub struct Replay<'a> {
    disk: &'a dyn Disk,
    /// Still to be read, newest first.
    files: Vec<LogFile>,
    current: Option<LogReader>,
    end: ReplayEnd,
    doubt: Option<Doubt>,
}

/// A torn file, and behind it a new epoch: perhaps the torn record was the last of its epoch, perhaps it never counted.
#[derive(Debug)]
struct Doubt {
    path: PathBuf,
    offset: u64,
    found: Zxid,
    last: Zxid,
    torn: PathBuf,
}

impl<'a> Replay<'a> {
    /// The records behind `base`, which is the zxid in the name of the snapshot that was loaded.
    pub fn from(disk: &'a dyn Disk, dirs: &DataDirs, base: Zxid) -> Result<Self, ReplayError> {
        let mut files = dirs.list_logs(disk)?;
        let first = files
            .iter()
            .rposition(|log| log.zxid <= base.next())
            .unwrap_or(0);
        files.drain(..first);
        files.reverse();
        Ok(Self {
            disk,
            files,
            current: None,
            doubt: None,
            end: ReplayEnd {
                last: base,
                records: 0,
                files: Vec::new(),
                logs: dirs.logs().to_path_buf(),
            },
        })
    }

    /// The next record, `None` at the end. After an error the history must not be used.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and must not go on then"
    )]
    pub fn next(&mut self) -> Result<Option<LogRecord>, ReplayError> {
        loop {
            let Some(reader) = &mut self.current else {
                let Some(file) = self.files.pop() else {
                    return Ok(None);
                };
                self.current = Some(LogReader::open(self.disk, &file.path)?);
                continue;
            };
            match reader.next()? {
                None => self.leave_file(),
                Some(record) if record.zxid <= self.end.last => {}
                Some(record) => return self.accept(record).map(Some),
            }
        }
    }

    /// Where the history ends; reads what is left of it.
    pub fn finish(mut self) -> Result<ReplayEnd, ReplayError> {
        while self.next()?.is_some() {}
        Ok(self.end)
    }

    /// The file that the last record given came from.
    pub(crate) fn current_path(&self) -> Option<&Path> {
        self.current.as_ref().map(LogReader::path)
    }

    fn leave_file(&mut self) {
        if let Some(reader) = self.current.take()
            && let Some(end) = reader.end()
        {
            let path = reader.path().to_path_buf();
            self.end.files.push(LogTail { path, end });
        }
    }

    /// What is wrong if the tree is not what the records say that it is: transactions are missing where a torn file was followed by a new
    /// epoch. `None` without such a place.
    #[must_use]
    pub fn doubt(&self) -> Option<ReplayError> {
        let doubt = self.doubt.as_ref()?;
        Some(ReplayError::Gap {
            path: doubt.path.clone(),
            offset: doubt.offset,
            found: doubt.found,
            last: doubt.last,
            torn: Some(doubt.torn.clone()),
        })
    }

    fn accept(&mut self, record: LogRecord) -> Result<LogRecord, ReplayError> {
        let (found, offset, last) = (record.zxid, record.offset, self.end.last);
        let path = || {
            let path = self.current_path().map(Path::to_path_buf);
            path.unwrap_or_default()
        };
        if !found.follows(last) {
            return Err(ReplayError::Gap {
                path: path(),
                offset,
                found,
                last,
                torn: self.torn_before(),
            });
        }
        if found.epoch() != last.epoch()
            && let Some(torn) = self.torn_before()
        {
            self.doubt = Some(Doubt {
                path: path(),
                offset,
                found,
                last,
                torn,
            });
        }
        self.end.last = record.zxid;
        self.end.records += 1;
        Ok(record)
    }

    fn torn_before(&self) -> Option<PathBuf> {
        let tail = self.end.files.last()?;
        tail.end.torn.map(|_| tail.path.clone())
    }
}
