//! Which old files may go (disk formats 8).
//!
//! What does not live here: when to purge.
//!
//! Invariant: from every retained snapshot the history can still be replayed. Only valid snapshots count as retained, and the
//! log that may hold records behind the oldest of them stays, although it starts before it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use rookeeper_proto::ids::Zxid;

use crate::dirs::{DataDirs, LogFile, REPLACED, SnapshotFile};
use crate::disk::{At, Disk, DiskError};
use crate::snapshots;

/// Fewer snapshots are never kept (`autopurge.snapRetainCount`).
pub const MIN_RETAINED: usize = 3;

/// The files to delete, in the order to delete them: `valid` and `all` are the snapshots that pass the quick test and all of
/// them, `logs` the logs. `keep` below [`MIN_RETAINED`] is raised to it. Snapshots come first, so that a crash in between
/// leaves none without its logs.
#[must_use]
pub fn plan(
    valid: &[SnapshotFile],
    all: &[SnapshotFile],
    logs: &[LogFile],
    keep: usize,
) -> Vec<PathBuf> {
    let Some(oldest) = oldest_retained(valid, keep.max(MIN_RETAINED)) else {
        return Vec::new();
    };
    let mut old: Vec<&SnapshotFile> = all.iter().filter(|s| s.zxid < oldest).collect();
    old.sort_by_key(|s| s.zxid);
    let snapshots = old.into_iter().map(|s| s.path.clone());
    // A log named `oldest` holds nothing before it, but the one before may still reach past it.
    let needed = logs.iter().map(|l| l.zxid).filter(|z| *z <= oldest).max();
    let mut dead: Vec<&LogFile> = logs
        .iter()
        .filter(|l| l.zxid < oldest && Some(l.zxid) != needed)
        .collect();
    dead.sort_by_key(|l| l.zxid);
    snapshots
        .chain(dead.into_iter().map(|l| l.path.clone()))
        .collect()
}

/// The zxid of the oldest snapshot to keep. Two encodings of one state count once.
fn oldest_retained(valid: &[SnapshotFile], keep: usize) -> Option<Zxid> {
    let mut zxids: Vec<Zxid> = valid.iter().map(|s| s.zxid).collect();
    zxids.sort_unstable_by(|a, b| b.cmp(a));
    zxids.dedup();
    zxids.truncate(keep);
    zxids.pop()
}

/// Deletes what [`plan`] says and what a received state has replaced, and returns it. Safe while log and snapshots are written,
/// because only older files are touched; not while a log is truncated or a state installed.
pub fn purge(disk: &dyn Disk, dirs: &DataDirs, keep: usize) -> Result<Vec<PathBuf>, DiskError> {
    let all = dirs.list_snapshots(disk)?;
    let mut valid = Vec::new();
    for file in &all {
        if snapshots::looks_valid(disk, file)? {
            valid.push(file.clone());
        }
    }
    let dead = plan(&valid, &all, &dirs.list_logs(disk)?, keep);
    let (snapshots, mut logs): (Vec<_>, Vec<_>) = dead
        .into_iter()
        .partition(|p| all.iter().any(|s| s.path == *p));
    if !valid.is_empty() {
        logs.extend(replaced(disk, dirs)?);
    }
    delete(disk, &snapshots)?;
    delete(disk, &logs)?;
    Ok([snapshots, logs].concat())
}

/// What has lost its place to a received state.
fn replaced(disk: &dyn Disk, dirs: &DataDirs) -> Result<Vec<PathBuf>, DiskError> {
    let mut found = BTreeSet::new();
    for dir in [dirs.snapshots(), dirs.logs()] {
        let entries = disk.list(dir).at("list", dir)?;
        let ours = entries.iter().filter(|e| e.name.starts_with(REPLACED));
        found.extend(ours.map(|e| dir.join(&e.name)));
    }
    Ok(found.into_iter().collect())
}

fn delete(disk: &dyn Disk, files: &[PathBuf]) -> Result<(), DiskError> {
    for path in files {
        match disk.remove(path) {
            // Another purge was faster.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            removed => removed.at("remove", path)?,
        }
    }
    let dirs: BTreeSet<&Path> = files.iter().filter_map(|p| p.parent()).collect();
    for dir in dirs {
        disk.sync_dir(dir).at("sync", dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirs::Compression;
    use crate::os_disk::OsDisk;
    use proptest::prelude::*;

    fn snapshot(zxid: i64) -> SnapshotFile {
        SnapshotFile {
            path: format!("snapshot.{zxid:x}").into(),
            zxid: Zxid(zxid),
            compression: Compression::None,
            len: 100,
        }
    }

    fn log(zxid: i64) -> LogFile {
        LogFile {
            path: format!("log.{zxid:x}").into(),
            zxid: Zxid(zxid),
            len: 100,
        }
    }

    fn check(valid: &[i64], broken: &[i64], logs: &[i64], keep: usize, expect: &[&str]) {
        let valid: Vec<_> = valid.iter().map(|z| snapshot(*z)).collect();
        let mut all = valid.clone();
        all.extend(broken.iter().map(|z| snapshot(*z)));
        let logs: Vec<_> = logs.iter().map(|z| log(*z)).collect();
        let dead = plan(&valid, &all, &logs, keep);
        let dead: Vec<_> = dead.iter().map(|p| p.to_str().unwrap()).collect();
        assert_eq!(dead, expect);
    }

    #[test]
    fn zookeeper_2574_the_log_that_reaches_past_the_oldest_snapshot_stays() {
        check(
            &[0x10, 0x20, 0x30, 0x40],
            &[],
            &[1, 0x11, 0x1a, 0x25],
            3,
            &["snapshot.10", "log.1", "log.11"],
        );
        check(
            &[0x10, 0x20, 0x30, 0x40],
            &[],
            &[1, 0x20],
            3,
            &["snapshot.10", "log.1"],
        );
    }

    #[test]
    fn zookeeper_3231_broken_snapshots_do_not_count_as_retained() {
        check(&[0x10], &[0x20, 0x30, 0x40], &[1, 9, 0x11], 3, &["log.1"]);
        check(&[], &[0x20, 0x30], &[1, 0x11], 3, &[]);
    }

    #[test]
    fn fewer_than_three_are_never_kept() {
        check(&[1, 2, 3, 4], &[], &[], 0, &["snapshot.1"]);
    }

    #[test]
    fn what_a_state_has_replaced_goes_only_when_there_is_a_valid_snapshot() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            std::fs::write(dirs.snapshots().join(name), bytes).unwrap();
        };
        put("replaced-log.1", b"");
        put("replaced-snapshot.1.gz.1", b"");
        put("snapshot.5", b"broken");
        assert_eq!(purge(&OsDisk, &dirs, 3).unwrap(), Vec::<PathBuf>::new());
        put("snapshot.5", b"a whole one\0\0\0\x01/");
        let gone = ["replaced-log.1", "replaced-snapshot.1.gz.1"];
        let gone = gone.map(|name| dirs.snapshots().join(name));
        assert_eq!(purge(&OsDisk, &dirs, 3).unwrap(), gone);
        assert!(gone.iter().all(|path| !path.exists()));
    }

    proptest! {
        /// Every zxid is logged; wherever logs and snapshots begin, each retained snapshot finds all records after it.
        #[test]
        fn every_retained_snapshot_still_finds_its_logs(
            starts in proptest::collection::btree_set(2_i64..200, 0..20),
            snaps in proptest::collection::btree_set(0_i64..200, 0..12),
            keep in 0_usize..6,
        ) {
            let mut logs: Vec<LogFile> = vec![log(1)];
            logs.extend(starts.into_iter().map(log));
            let snaps: Vec<_> = snaps.into_iter().map(snapshot).collect();
            let dead = plan(&snaps, &snaps, &logs, keep);
            let left: Vec<_> = logs.iter().filter(|l| !dead.contains(&l.path)).collect();
            let kept: Vec<_> = snaps.iter().filter(|s| !dead.contains(&s.path)).collect();
            prop_assert!(kept.len() >= snaps.len().min(MIN_RETAINED));
            prop_assert!(kept.len() <= keep.max(MIN_RETAINED) || snaps.is_empty());
            for snapshot in kept {
                let first = left.iter().map(|l| l.zxid).min().unwrap();
                prop_assert!(first <= snapshot.zxid.next());
                let whole = logs.iter().filter(|l| l.zxid >= first);
                prop_assert!(whole.clone().all(|l| left.contains(&l)), "a log in the middle is gone");
            }
        }
    }
}
