//! Giving up what a leader does not have (TRUNC): ends the history at one zxid.
//!
//! What does not live here: which zxid that is, and loading the state again afterwards.
//!
//! First everything is judged, by reading what a start would read; then files change. A truncation that cannot leave exactly
//! the history up to its zxid is refused with no file touched, and the member asks for a whole state instead.
//!
//! Files change in this order: snapshots that show discarded transactions (ZOOKEEPER-1549) go first, the newest before the
//! others; then the logs behind, the newest first; last the log that holds the zxid is cut.
//!
//! Invariant: after a power cut at any operation a start loads a prefix of the old history that reaches at least to the zxid,
//! and the same truncation, done again, succeeds. So the snapshot that stays must carry the *whole* old history, not only up
//! to the zxid: where only a newer one bridges a hole, the truncation is refused.

use std::path::{Path, PathBuf};

use rookeeper_proto::ids::Zxid;
use thiserror::Error;
use tracing::{info, warn};

use crate::dirs::{DAMAGED, DataDirs, LogFile, rename_aside};
use crate::disk::{At, Disk, DiskError, OpenMode};
use crate::log_reader::LogReader;
use crate::log_writer::{LogError, LogWriter};
use crate::replay::{Replay, ReplayError};
use crate::snapshot_check::{check, reaches};

/// Why there was no truncation. No file was touched.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Every snapshot is damaged, shows transactions behind `to`, or does not tell.
    #[error("no snapshot in {} is whole and known to show nothing behind {to}", dir.display())]
    NoSnapshot {
        /// The snapshot directory.
        dir: PathBuf,
        /// Where the history should end.
        to: Zxid,
    },
    /// The history does not pass `to`.
    #[error("the history has no transaction {to}; the last before it is {before}")]
    NotInHistory {
        /// Where the history should end.
        to: Zxid,
        /// The last zxid that is not behind it.
        before: Zxid,
    },
    /// Without the newer snapshots the history could not be loaded.
    #[error("the history behind the snapshot {base} cannot be read: {source}")]
    History {
        /// The snapshot that would stay.
        base: Zxid,
        /// What is wrong.
        source: ReplayError,
    },
}

/// Why the history is not truncated.
#[derive(Debug, Error)]
pub enum TruncateError {
    /// The writer could not let go of its file. Nothing is truncated.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It cannot be done here. No file was touched.
    #[error("the history cannot be truncated: {0}")]
    Refused(#[source] Refusal),
    /// The disk failed half way. The history is a prefix of the old one; the log accepts nothing more.
    #[error("the truncation failed half way: {0}")]
    HalfWay(#[source] DiskError),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The newest snapshot now: the state is to be loaded from here.
    pub base: Zxid,
    /// Snapshots and logs that are gone.
    pub removed: Vec<PathBuf>,
}

/// Ends the history at `to`: its last transaction, or the state of a snapshot. `log` goes on behind it. Durable on return; the
/// state in memory is to be loaded again. No purging and no snapshot may run meanwhile.
pub fn truncate(
    disk: &dyn Disk,
    dirs: &DataDirs,
    log: &mut LogWriter,
    to: Zxid,
) -> Result<Truncated, TruncateError> {
    log.roll()?;
    let plan = judge(disk, dirs, to).map_err(TruncateError::Refused)?;
    if let Err(error) = plan.perform(disk, dirs) {
        log.poison(&error);
        return Err(TruncateError::HalfWay(error));
    }
    log.restart_after(to)?;
    info!(
        "history truncated to {to}: {} snapshots and {} logs removed",
        plan.snapshots.len(),
        plan.logs.len()
    );
    Ok(Truncated {
        base: plan.base,
        removed: [plan.snapshots, plan.logs].concat(),
    })
}

/// What will change, in the order in which it will.
#[derive(Debug)]
struct Plan {
    base: Zxid,
    /// Snapshots that show discarded transactions, newest first.
    snapshots: Vec<PathBuf>,
    /// Snapshots that should load before `base` but are damaged, or could not be read: what they show is not known.
    unproven: Vec<PathBuf>,
    /// Logs behind the one that is kept, newest first.
    logs: Vec<PathBuf>,
    cut: Option<Cut>,
}

/// Where a log ends from now on.
#[derive(Debug)]
struct Cut {
    path: PathBuf,
    offset: u64,
    /// No start reads this log, as long as the one behind it is there.
    hidden: bool,
}

fn judge(disk: &dyn Disk, dirs: &DataDirs, to: Zxid) -> Result<Plan, Refusal> {
    let (base, snapshots, unproven) = judge_snapshots(disk, dirs, to)?;
    let logs = dirs.list_logs(disk)?;
    let failed = |source| Refusal::History { base, source };
    let walked = walk(disk, dirs, base, to).map_err(failed)?;
    if walked.before != to {
        let before = walked.before;
        return Err(Refusal::NotInHistory { to, before });
    }
    let (kept, cut) = match walked.cut {
        Some(cut) => (Some(cut.path.clone()), Some(cut)),
        None => behind_snapshot(disk, &logs, to).map_err(failed)?,
    };
    let behind = kept
        .and_then(|kept| logs.iter().position(|log| log.path == kept))
        .map_or(0, |at| at + 1);
    Ok(Plan {
        base,
        snapshots,
        unproven,
        logs: logs
            .iter()
            .skip(behind)
            .rev()
            .map(|log| log.path.clone())
            .collect(),
        cut,
    })
}

/// The newest snapshot that is whole and shows nothing behind `to`; those that may show more; and those above it that are damaged.
fn judge_snapshots(
    disk: &dyn Disk,
    dirs: &DataDirs,
    to: Zxid,
) -> Result<(Zxid, Vec<PathBuf>, Vec<PathBuf>), Refusal> {
    let (mut base, mut beyond, mut unproven) = (None, Vec::new(), Vec::new());
    for file in dirs.list_snapshots(disk)? {
        if file.zxid > to {
            beyond.push(file.path);
            continue;
        }
        match check(disk, &file) {
            // One that does not tell what it shows may show discarded transactions.
            Ok(trailer) if reaches(&file, trailer).is_none_or(|shown| shown > to) => {
                beyond.push(file.path);
            }
            Ok(_) => base = base.or(Some(file.zxid)),
            Err(_) if base.is_some() => {}
            Err(error) => {
                warn!(%error, "a snapshot cannot be judged");
                unproven.push(file.path);
            }
        }
    }
    match base {
        Some(base) => Ok((base, beyond, unproven)),
        None => Err(Refusal::NoSnapshot {
            dir: dirs.snapshots().to_path_buf(),
            to,
        }),
    }
}

struct Walked {
    /// Behind the record `to`, if there is one.
    cut: Option<Cut>,
    /// The last zxid up to `to`.
    before: Zxid,
}

/// Reads the history as a start would, to its very end.
fn walk(disk: &dyn Disk, dirs: &DataDirs, base: Zxid, to: Zxid) -> Result<Walked, ReplayError> {
    let mut replay = Replay::from(disk, dirs, base)?;
    let (mut cut, mut before) = (None, base);
    while let Some(record) = replay.next()? {
        if record.zxid <= to {
            before = record.zxid;
        }
        if record.zxid == to {
            cut = replay.current_path().map(|path| Cut {
                path: path.to_path_buf(),
                offset: record.end(),
                hidden: false,
            });
        }
    }
    Ok(Walked { cut, before })
}

/// When the history ends at a snapshot: the last log that may reach up to it, and where records behind it begin there.
fn behind_snapshot(
    disk: &dyn Disk,
    logs: &[LogFile],
    to: Zxid,
) -> Result<(Option<PathBuf>, Option<Cut>), ReplayError> {
    let Some(log) = logs.iter().rfind(|log| log.zxid <= to) else {
        return Ok((None, None));
    };
    let mut reader = LogReader::open(disk, &log.path)?;
    let mut cut = None;
    while let Some(record) = reader.next()? {
        if record.zxid > to {
            cut = Some(Cut {
                path: log.path.clone(),
                offset: record.offset,
                hidden: logs.iter().any(|log| log.zxid == to.next()),
            });
            break;
        }
    }
    Ok((Some(log.path.clone()), cut))
}

impl Plan {
    fn perform(&self, disk: &dyn Disk, dirs: &DataDirs) -> Result<(), DiskError> {
        for path in &self.snapshots {
            disk.remove(path).at("remove", path)?;
        }
        for path in &self.unproven {
            rename_aside(disk, path, DAMAGED)?;
        }
        if !self.snapshots.is_empty() || !self.unproven.is_empty() {
            disk.sync_dir(dirs.snapshots())
                .at("sync", dirs.snapshots())?;
        }
        let (first, last): (Vec<&Cut>, Vec<&Cut>) = self.cut.iter().partition(|cut| cut.hidden);
        // It would come to light when those behind it go.
        first.into_iter().try_for_each(|cut| cut.perform(disk))?;
        for path in &self.logs {
            disk.remove(path).at("remove", path)?;
            disk.sync_dir(dirs.logs()).at("sync", dirs.logs())?;
        }
        last.into_iter().try_for_each(|cut| cut.perform(disk))
    }
}

impl Cut {
    fn perform(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let path: &Path = &self.path;
        let mut file = disk.open(path, OpenMode::Write).at("open", path)?;
        file.truncate(self.offset).at("truncate", path)?;
        file.sync_data().at("sync", path)
    }
}
