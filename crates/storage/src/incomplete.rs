//! Going on with what is left of a damaged history, as a member that has others to learn the rest from.
//!
//! What does not live here: finding the damage ([`crate::replay`]), and whether a member may go on (a stand-alone server may
//! not: nobody has the rest).
//!
//! A marker beside the epoch files says that transactions which were durable here may be missing. A member that has it must
//! not count as one with a full history (its vote could help to elect a leader without committed transactions), until it has
//! the whole state of a leader.
//!
//! Invariants:
//! - The marker is durable before anything is set aside, and stays until [`clear`].
//! - Nothing is deleted: every byte of the damaged log and of those behind it is kept under another name.
//! - What is left is a prefix of the history, at every moment.

use std::io;
use std::path::{Path, PathBuf};

use rookeeper_proto::ids::Zxid;
use thiserror::Error;
use tracing::warn;

use crate::dirs::{DAMAGED, DataDirs, INCOMPLETE, LogFile, TMP, free_name, rename_aside};
use crate::disk::{At, Disk, DiskError, OpenMode, read_small, replace_small};
use crate::log_reader;

/// More than any marker holds, bytes.
const LIMIT: usize = 64;
/// Bytes copied at once.
const COPIED_AT_ONCE: usize = 256 * 1024;
/// How a zxid begins in the marker.
const HEX: &str = "0x";

/// What the marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete {
    /// The highest zxid that this member is known to have had; `None` when the marker cannot be read, which is no less a mark.
    pub last_known: Option<Zxid>,
}

/// What was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where the damaged log and those behind it are kept now.
    pub kept: Vec<PathBuf>,
    /// As in the marker.
    pub last_known: Zxid,
}

/// Why nothing, or not everything, was set aside. Doing it again is safe.
#[derive(Debug, Error)]
pub enum SetAsideError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Not one of the logs of these directories.
    #[error("{} is no log of this member", .0.display())]
    NotALog(PathBuf),
}

/// The marker, if this member has it.
pub fn read(disk: &dyn Disk, dirs: &DataDirs) -> Result<Option<Incomplete>, DiskError> {
    let Some(bytes) = read_small(disk, &marker(dirs), LIMIT)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let hex = text.trim().strip_prefix(HEX);
    let zxid = hex.and_then(|hex| i64::from_str_radix(hex, 16).ok());
    Ok(Some(Incomplete {
        last_known: zxid.map(Zxid),
    }))
}

/// Marks this member; durable on return. A higher zxid in an old marker stays.
pub fn mark(disk: &dyn Disk, dirs: &DataDirs, last_known: Zxid) -> Result<Zxid, DiskError> {
    let before = read(disk, dirs)?.and_then(|marker| marker.last_known);
    let last_known = before.map_or(last_known, |before| before.max(last_known));
    if before != Some(last_known) {
        let path = marker(dirs);
        let tmp = dirs.snapshots().join(format!("{INCOMPLETE}{TMP}"));
        replace_small(disk, &tmp, &path, format!("{last_known}\n").as_bytes())?;
    }
    Ok(last_known)
}

/// Takes the marker away, when the whole state of a leader is durable here. Durable on return; without a marker nothing happens.
pub fn clear(disk: &dyn Disk, dirs: &DataDirs) -> Result<(), DiskError> {
    let path = marker(dirs);
    match disk.remove(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.at("remove", &path)?,
    }
    disk.sync_dir(dirs.snapshots()).at("sync", dirs.snapshots())
}

/// Ends the history where it breaks, at `offset` of the file `log` (see [`crate::replay::ReplayError::broken_at`]): marks this
/// member, sets the logs behind aside, and keeps of this one what lies before the break. Afterwards it recovers to that.
pub fn set_aside_from(
    disk: &dyn Disk,
    dirs: &DataDirs,
    log: &Path,
    offset: u64,
) -> Result<SetAside, SetAsideError> {
    let logs = dirs.list_logs(disk)?;
    let Some(at) = logs.iter().position(|l| l.path == log) else {
        return Err(SetAsideError::NotALog(log.to_path_buf()));
    };
    let last_known = mark(disk, dirs, last_known(disk, dirs, &logs, at)?)?;
    let mut kept = Vec::new();
    // In any order: no start comes past the damage, as long as that is there.
    for behind in logs.iter().skip(at + 1) {
        kept.push(rename_aside(disk, &behind.path, DAMAGED)?);
    }
    disk.sync_dir(dirs.logs()).at("sync", dirs.logs())?;
    kept.push(copy_aside(disk, dirs, log)?);
    let mut file = disk.open(log, OpenMode::Write).at("open", log)?;
    file.truncate(offset).at("truncate", log)?;
    file.sync_data().at("sync", log)?;
    warn!(
        file = %log.display(), offset, %last_known,
        "the history is cut where it is damaged; everything from there is set aside"
    );
    Ok(SetAside { kept, last_known })
}

/// Gives up a history whose beginning is damaged: marks this member, then sets all logs and snapshots aside. Afterwards its directories are
/// empty.
pub fn set_all_aside(disk: &dyn Disk, dirs: &DataDirs) -> Result<SetAside, SetAsideError> {
    let logs = dirs.list_logs(disk)?;
    let last_known = mark(disk, dirs, last_known(disk, dirs, &logs, logs.len())?)?;
    let mut kept = Vec::new();
    // Logs first: with nothing but damaged snapshots a start comes here again.
    for log in &logs {
        kept.push(rename_aside(disk, &log.path, DAMAGED)?);
    }
    disk.sync_dir(dirs.logs()).at("sync", dirs.logs())?;
    for snapshot in dirs.list_snapshots(disk)? {
        kept.push(rename_aside(disk, &snapshot.path, DAMAGED)?);
    }
    disk.sync_dir(dirs.snapshots())
        .at("sync", dirs.snapshots())?;
    warn!(%last_known, "the whole history is set aside: what it begins with is damaged");
    Ok(SetAside { kept, last_known })
}

fn marker(dirs: &DataDirs) -> PathBuf {
    dirs.snapshots().join(INCOMPLETE)
}

/// The highest zxid that the files show, damaged ones included. The log before the damaged one has the last good record when
/// the damaged one has none.
fn last_known(
    disk: &dyn Disk,
    dirs: &DataDirs,
    logs: &[LogFile],
    at: usize,
) -> Result<Zxid, DiskError> {
    let mut last = Zxid::ZERO;
    for snapshot in dirs.list_snapshots(disk)? {
        last = last.max(snapshot.zxid);
    }
    for log in logs.iter().skip(at.saturating_sub(1)) {
        last = last.max(log_reader::last_whole_record(disk, &log.path)?.unwrap_or(last));
    }
    Ok(last)
}

/// The original stays until the copy has its name.
fn copy_aside(disk: &dyn Disk, dirs: &DataDirs, log: &Path) -> Result<PathBuf, DiskError> {
    let aside = free_name(disk, log, DAMAGED)?;
    let mut tmp = aside.clone().into_os_string();
    tmp.push(TMP);
    let tmp = PathBuf::from(tmp);
    let from = disk.open(log, OpenMode::Read).at("open", log)?;
    let mut to = disk.create(&tmp).at("create", &tmp)?;
    let mut piece = vec![0; COPIED_AT_ONCE];
    let mut at = 0;
    loop {
        let got = from.read_at(at, &mut piece).at("read", log)?;
        let Some(bytes) = piece.get(..got).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        to.write_at(at, bytes).at("write", &tmp)?;
        at += got as u64;
    }
    to.sync_data().at("sync", &tmp)?;
    disk.rename(&tmp, &aside).at("name the copy", &aside)?;
    disk.sync_dir(dirs.logs()).at("sync", dirs.logs())?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_disk::OsDisk;

    #[test]
    fn the_marker_keeps_the_highest_zxid_and_goes_when_cleared() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let marked = || read(&OsDisk, &dirs).unwrap().map(|m| m.last_known);
        assert_eq!(marked(), None);
        clear(&OsDisk, &dirs).unwrap();
        for (mark_it, expect) in [(5, 5), (0x1_0000_0007, 0x1_0000_0007), (6, 0x1_0000_0007)] {
            assert_eq!(mark(&OsDisk, &dirs, Zxid(mark_it)).unwrap(), Zxid(expect));
            assert_eq!(marked(), Some(Some(Zxid(expect))));
        }
        for nonsense in ["", "7", "0x", "0xzz"] {
            std::fs::write(marker(&dirs), nonsense).unwrap();
            assert_eq!(marked(), Some(None), "{nonsense:?}");
        }
        assert_eq!(mark(&OsDisk, &dirs, Zxid(3)).unwrap(), Zxid(3));
        assert_eq!(marked(), Some(Some(Zxid(3))));
        clear(&OsDisk, &dirs).unwrap();
        assert_eq!(marked(), None);
    }

    #[test]
    fn only_logs_of_this_member_are_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let refused = set_aside_from(&OsDisk, &dirs, Path::new("log.1"), 16);
        assert!(matches!(refused, Err(SetAsideError::NotALog(_))));
        assert_eq!(read(&OsDisk, &dirs).unwrap(), None);
    }
}
