//! What a server starts from (disk formats 5.1 steps 1 and 2). The loading is the caller's, through
//! [`crate::snapshot_reader`] and [`crate::replay`], because only the tree can read bodies.
//!
//! What does not live here: epochs, elections, the tree.
//!
//! Invariant: logs are never ignored. An empty tree is the start only when there is no log, when the logs tell the whole
//! history, or when the operator says so.

use std::path::PathBuf;

use rookeeper_proto::ids::Zxid;
use thiserror::Error;

use crate::dirs::{DataDirs, LogFile, SnapshotFile};
use crate::disk::{At, Disk, DiskError};
use crate::log_reader::{LogReader, ReadError};
use crate::snapshots;

/// The highest epoch a new ensemble's first leader has. A history that begins in a later one may have lost its beginning.
const FIRST_EPOCH: i64 = 1;

/// What lies in the directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Neither a usable snapshot nor a log.
    Nothing {
        /// The marker `initialize` is there.
        initialize: bool,
    },
    /// Logs, but no snapshot that looks valid.
    LogsWithoutSnapshot {
        /// The first record of all, or the zxid in the oldest name if there is no record.
        first: Zxid,
        /// The last record of the newest log, or the zxid in its name if it has none.
        last_logged: Zxid,
    },
    /// Snapshots to try, newest first; never empty.
    Snapshots(Vec<SnapshotFile>),
    /// Snapshots that have begun a history, and none that looks valid.
    InvalidSnapshots {
        /// The newest.
        newest: PathBuf,
    },
}

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Logs without a snapshot are replayed over an empty tree (`zookeeper.snapshot.trust.empty`).
    pub trust_empty: bool,
    /// An empty directory is a new database (`zookeeper.db.autocreate`).
    pub autocreate: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            trust_empty: false,
            autocreate: true,
        }
    }
}

/// How to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A new database: write `snapshot.0`, then [`consume_marker`].
    Fresh,
    /// A directory that may not become a database by itself: zxid -1. It may follow, but its vote does not count.
    NotAllowed,
    /// Replay from zxid 0 over the empty tree. A snapshot must be written after the next synchronization.
    LogsAlone,
    /// Load the first that reads completely with correct seals, each try from a fresh tree, then replay.
    Snapshots(Vec<SnapshotFile>),
}

/// Why there is no start.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What the history begins with is damaged: an empty database in its place would forget it.
    #[error("no snapshot is valid, not even the newest, {}: restore one", newest.display())]
    InvalidSnapshots {
        /// The newest.
        newest: PathBuf,
    },
    /// Logs without the beginning of the history.
    #[error(
        "no valid snapshot in {}, but log entries up to {last_logged}: restore a snapshot; only if the logs are known to \
         hold everything, set zookeeper.snapshot.trust.empty=true",
        dir.display()
    )]
    LogsWithoutSnapshot {
        /// The snapshot directory.
        dir: PathBuf,
        /// The last entry.
        last_logged: Zxid,
    },
}

/// Looks at the directories. Nothing is changed.
pub fn survey(disk: &dyn Disk, dirs: &DataDirs) -> Result<Found, RecoverError> {
    let candidates = snapshots::candidates(disk, dirs)?;
    if !candidates.is_empty() {
        return Ok(Found::Snapshots(candidates));
    }
    let logs = dirs.list_logs(disk)?;
    let first = match logs.first() {
        Some(oldest) => Some(first_record(disk, &logs)?.unwrap_or(oldest.zxid)),
        None => None,
    };
    // A server that ends before its very first snapshot is whole has lost nothing.
    let invalid = dirs.list_snapshots(disk)?.into_iter().next();
    if let Some(newest) = invalid.filter(|it| it.zxid > Zxid::ZERO)
        && !first.is_some_and(begins_history)
    {
        let newest = newest.path;
        return Ok(Found::InvalidSnapshots { newest });
    }
    let (Some(first), Some(newest)) = (first, logs.last()) else {
        let marker = dirs.marker();
        let initialize = disk.exists(marker).at("look for", marker)?;
        return Ok(Found::Nothing { initialize });
    };
    Ok(Found::LogsWithoutSnapshot {
        first,
        last_logged: last_record(disk, newest)?.unwrap_or(newest.zxid),
    })
}

/// Decides how to start from what was found.
pub fn decide(dirs: &DataDirs, found: Found, policy: Policy) -> Result<Start, RecoverError> {
    match found {
        Found::Snapshots(candidates) => Ok(Start::Snapshots(candidates)),
        Found::InvalidSnapshots { newest } => Err(RecoverError::InvalidSnapshots { newest }),
        Found::Nothing { initialize } if initialize || policy.autocreate => Ok(Start::Fresh),
        Found::Nothing { .. } => Ok(Start::NotAllowed),
        Found::LogsWithoutSnapshot { first, .. } if policy.trust_empty || begins_history(first) => {
            Ok(Start::LogsAlone)
        }
        Found::LogsWithoutSnapshot { last_logged, .. } => Err(RecoverError::LogsWithoutSnapshot {
            dir: dirs.snapshots().to_path_buf(),
            last_logged,
        }),
    }
}

/// Deletes the `initialize` marker if it is there; durable on return.
pub fn consume_marker(disk: &dyn Disk, dirs: &DataDirs) -> Result<(), DiskError> {
    let marker = dirs.marker();
    if !disk.exists(marker).at("look for", marker)? {
        return Ok(());
    }
    disk.remove(marker).at("remove", marker)?;
    match marker.parent() {
        Some(dir) => disk.sync_dir(dir).at("sync", dir),
        None => Ok(()),
    }
}

/// True for the very first zxid of a stand-alone server (epoch 0) or of an ensemble. ZooKeeper before 3.5.3 wrote no snapshot
/// at the start, so that such logs are the complete history.
fn begins_history(first: Zxid) -> bool {
    first.counter() == 1 && (0..=FIRST_EPOCH).contains(&first.epoch())
}

fn first_record(disk: &dyn Disk, logs: &[LogFile]) -> Result<Option<Zxid>, ReadError> {
    for log in logs {
        if let Some(record) = LogReader::open(disk, &log.path)?.next()? {
            return Ok(Some(record.zxid));
        }
    }
    Ok(None)
}

fn last_record(disk: &dyn Disk, log: &LogFile) -> Result<Option<Zxid>, ReadError> {
    let mut reader = LogReader::open(disk, &log.path)?;
    let mut last = None;
    while let Some(record) = reader.next()? {
        last = Some(record.zxid);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_disk::OsDisk;

    fn decide_here(found: Found, trust_empty: bool, autocreate: bool) -> Option<Start> {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let policy = Policy {
            trust_empty,
            autocreate,
        };
        decide(&dirs, found, policy).ok()
    }

    fn logs(first: Zxid) -> Found {
        Found::LogsWithoutSnapshot {
            first,
            last_logged: Zxid::new(9, 9),
        }
    }

    #[test]
    fn an_empty_directory_needs_leave_to_become_a_database() {
        let nothing = |initialize| Found::Nothing { initialize };
        assert_eq!(decide_here(nothing(false), false, true), Some(Start::Fresh));
        assert_eq!(decide_here(nothing(true), false, false), Some(Start::Fresh));
        assert_eq!(
            decide_here(nothing(false), false, false),
            Some(Start::NotAllowed)
        );
    }

    #[test]
    fn zookeeper_3056_logs_alone_do_when_they_are_the_whole_history() {
        for whole in [Zxid::new(0, 1), Zxid::new(1, 1)] {
            assert_eq!(
                decide_here(logs(whole), false, true),
                Some(Start::LogsAlone)
            );
        }
        for doubtful in [Zxid::new(0, 2), Zxid::new(1, 5), Zxid::new(5, 1)] {
            assert_eq!(decide_here(logs(doubtful), false, true), None);
            assert_eq!(
                decide_here(logs(doubtful), true, true),
                Some(Start::LogsAlone)
            );
        }
    }

    #[test]
    fn damaged_snapshots_are_no_empty_directory() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let survey = || survey(&OsDisk, &dirs).unwrap();
        let first = dirs.snapshots().join("snapshot.0");
        std::fs::write(&first, b"ZKSN").unwrap();
        assert_eq!(survey(), Found::Nothing { initialize: false });
        let newest = dirs.snapshots().join("snapshot.100000005");
        std::fs::write(&newest, b"ZKSN and more that is no snapshot").unwrap();
        assert_eq!(survey(), Found::InvalidSnapshots { newest });
        assert_eq!(decide_here(survey(), true, true), None);
    }

    #[test]
    fn the_marker_is_seen_beside_the_log_directory_and_consumed() {
        let root = tempfile::tempdir().unwrap();
        let (data, log) = (root.path().join("data"), root.path().join("log"));
        let dirs = DataDirs::open(&OsDisk, &data, Some(&log), true).unwrap();
        std::fs::write(log.join("initialize"), b"").unwrap();
        let survey = || survey(&OsDisk, &dirs).unwrap();
        assert_eq!(survey(), Found::Nothing { initialize: true });
        consume_marker(&OsDisk, &dirs).unwrap();
        consume_marker(&OsDisk, &dirs).unwrap();
        assert_eq!(survey(), Found::Nothing { initialize: false });
    }
}
