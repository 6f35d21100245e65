//! The two directories of a server, the names in them, and the guards around them (disk formats 1).
//!
//! What does not live here: the content of any file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rookeeper_proto::ids::Zxid;
use thiserror::Error;

use crate::disk::{At, Disk, DiskError, LockGuard};
use crate::install;

/// The folder inside `dataDir` and `dataLogDir` that holds snapshots and logs.
pub const VERSION_DIR: &str = "version-2";
/// Our own file, which Java ignores: two processes must not write one directory.
pub const LOCK_FILE: &str = "rookeeper.lock";
/// A log file in the making. It gets its name when the first record is known. Java ignores it.
pub(crate) const SPARE_LOG: &str = "rookeeper-spare.tmp";
/// The marker beside `version-2` of the log directory.
const INITIALIZE: &str = "initialize";
/// Suffix of files that are not finished.
pub(crate) const TMP: &str = ".tmp";
/// Prefix of what was found damaged: neither Java nor we look at such names again.
pub(crate) const DAMAGED: &str = "damaged-";
/// Prefix of logs and snapshots that a state received from a leader has replaced. Purging deletes them.
pub(crate) const REPLACED: &str = "replaced-";
/// Prefix of a received state that is complete and durable, but not in its place yet: it will be, see [`crate::install`].
pub(crate) const WAITING: &str = "install-";
/// Our own marker of a member that has lost part of its history, see [`crate::incomplete`]. Java ignores it.
pub(crate) const INCOMPLETE: &str = "rookeeper.incomplete";

/// How a snapshot is compressed (`zookeeper.snapshot.compression.method`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// One gzip member.
    Gzip,
    /// Snappy in xerial framing.
    Snappy,
}

impl Compression {
    /// The last part of a file name, with its dot.
    const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }
}

/// What a file name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileName {
    /// `log.<hex>`
    Log(Zxid),
    /// `snapshot.<hex>[.gz|.snappy]`
    Snapshot(Zxid, Compression),
}

impl FileName {
    /// Understands a name; `None` for everything that is neither a log nor a snapshot, unfinished and damaged ones included.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let (prefix, hex, suffix) = (parts.next()?, parts.next()?, parts.next());
        let zxid = Zxid(i64::from_str_radix(hex, 16).ok().filter(|z| *z >= 0)?);
        match (prefix, suffix, parts.next()) {
            ("log", None, None) => Some(Self::Log(zxid)),
            ("snapshot", None, None) => Some(Self::Snapshot(zxid, Compression::None)),
            ("snapshot", Some(s), None) if s.eq_ignore_ascii_case("gz") => {
                Some(Self::Snapshot(zxid, Compression::Gzip))
            }
            ("snapshot", Some(s), None) if s.eq_ignore_ascii_case("snappy") => {
                Some(Self::Snapshot(zxid, Compression::Snappy))
            }
            _ => None,
        }
    }
}

/// The name of the log that starts with `zxid`.
#[must_use]
pub fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// The name of the snapshot whose replay starts behind `zxid`.
#[must_use]
pub fn snapshot_name(zxid: Zxid, compression: Compression) -> String {
    format!("snapshot.{:x}{}", zxid.0, compression.suffix())
}

/// Why the directories cannot be used.
#[derive(Debug, Error)]
pub enum DirError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Not there, and not to be created.
    #[error("{} is missing, and zookeeper.datadir.autocreate is false", .0.display())]
    Missing(PathBuf),
    /// dataDir and dataLogDir were exchanged, or one of them was added later.
    #[error(
        "{} holds {name}, which belongs into the other directory: check dataDir and dataLogDir, or move the file",
        dir.display()
    )]
    Swapped {
        /// Where the file lies.
        dir: PathBuf,
        /// The file.
        name: String,
    },
    /// Another process works here.
    #[error("{} is in use by another process (its lock is held)", .0.display())]
    InUse(PathBuf),
}

/// A log file by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Where it is.
    pub path: PathBuf,
    /// The zxid of its first record, as the name says.
    pub zxid: Zxid,
    /// Its length with padding, bytes.
    pub len: u64,
}

/// A snapshot file by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// Replay starts behind this zxid.
    pub zxid: Zxid,
    /// As the name says.
    pub compression: Compression,
    /// Its length, bytes.
    pub len: u64,
}

/// The directories of one server, checked and locked. Cheap to clone; the lock goes with the last clone.
#[derive(Debug, Clone)]
pub struct DataDirs {
    snapshots: PathBuf,
    logs: PathBuf,
    marker: PathBuf,
    _locks: Arc<Vec<Box<dyn LockGuard>>>,
}

impl DataDirs {
    /// Prepares `data_dir` and `log_dir` (the same when not configured): creates what is missing if `autocreate`, refuses
    /// swapped directories, takes the locks, sweeps away our own unfinished files, and puts a received state into its place
    /// if a power cut came in between.
    pub fn open(
        disk: &dyn Disk,
        data_dir: &Path,
        log_dir: Option<&Path>,
        autocreate: bool,
    ) -> Result<Self, DirError> {
        let log_dir = log_dir.unwrap_or(data_dir);
        let (snapshots, logs) = (data_dir.join(VERSION_DIR), log_dir.join(VERSION_DIR));
        prepare(disk, &snapshots, autocreate)?;
        prepare(disk, &logs, autocreate)?;
        let mut locks = vec![lock(disk, &snapshots)?];
        if logs != snapshots {
            refuse_swapped(disk, &snapshots, &logs)?;
            locks.push(lock(disk, &logs)?);
        }
        let dirs = Self {
            snapshots,
            logs,
            marker: log_dir.join(INITIALIZE),
            _locks: Arc::new(locks),
        };
        dirs.sweep(disk)?;
        install::complete(disk, &dirs)?;
        Ok(dirs)
    }

    /// `dataDir/version-2`: snapshots and epoch files.
    #[must_use]
    pub fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    /// `dataLogDir/version-2`: transaction logs.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The `initialize` marker beside the log directory's `version-2`.
    pub(crate) fn marker(&self) -> &Path {
        &self.marker
    }

    /// All log files, oldest first.
    pub fn list_logs(&self, disk: &dyn Disk) -> Result<Vec<LogFile>, DiskError> {
        let mut logs: Vec<LogFile> = disk
            .list(&self.logs)
            .at("list", &self.logs)?
            .into_iter()
            .filter_map(|entry| match FileName::parse(&entry.name)? {
                FileName::Log(zxid) => Some(LogFile {
                    path: self.logs.join(&entry.name),
                    zxid,
                    len: entry.len,
                }),
                FileName::Snapshot(..) => None,
            })
            .collect();
        logs.sort_by(|a, b| (a.zxid, &a.path).cmp(&(b.zxid, &b.path)));
        Ok(logs)
    }

    /// All files with the name of a snapshot, newest first, valid or not.
    pub fn list_snapshots(&self, disk: &dyn Disk) -> Result<Vec<SnapshotFile>, DiskError> {
        let mut found: Vec<SnapshotFile> = disk
            .list(&self.snapshots)
            .at("list", &self.snapshots)?
            .into_iter()
            .filter_map(|entry| match FileName::parse(&entry.name)? {
                FileName::Snapshot(zxid, compression) => Some(SnapshotFile {
                    path: self.snapshots.join(&entry.name),
                    zxid,
                    compression,
                    len: entry.len,
                }),
                FileName::Log(_) => None,
            })
            .collect();
        found.sort_by(|a, b| (b.zxid, &a.path).cmp(&(a.zxid, &b.path)));
        Ok(found)
    }

    /// Bytes in the snapshot directory and in the log directory (`zk_data_dir_size`, `zk_log_dir_size`).
    pub fn sizes(&self, disk: &dyn Disk) -> Result<(u64, u64), DiskError> {
        let size = |dir: &Path| -> Result<u64, DiskError> {
            Ok(disk.list(dir).at("list", dir)?.iter().map(|e| e.len).sum())
        };
        Ok((size(&self.snapshots)?, size(&self.logs)?))
    }

    /// Removes what a crash left unfinished: snapshots, spare logs, copies of damaged logs. Epoch files are left: their `.tmp`
    /// has a meaning.
    fn sweep(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        let ours = |dir: &Path, is_ours: fn(&str) -> bool| -> Result<(), DiskError> {
            for entry in disk.list(dir).at("list", dir)? {
                if entry.name.strip_suffix(TMP).is_some_and(is_ours) {
                    let path = dir.join(&entry.name);
                    disk.remove(&path).at("remove", &path)?;
                }
            }
            Ok(())
        };
        ours(&self.snapshots, |name| {
            let snapshot = name.strip_prefix(WAITING).unwrap_or(name);
            name == INCOMPLETE || matches!(FileName::parse(snapshot), Some(FileName::Snapshot(..)))
        })?;
        ours(&self.logs, |name| {
            Some(name) == SPARE_LOG.strip_suffix(TMP) || name.starts_with(DAMAGED)
        })
    }
}

/// Gives a file a free name with `prefix` before its own, and returns that. Durable after a sync of the directory. A file that
/// is gone is none of our worry: purging may be faster.
pub(crate) fn rename_aside(
    disk: &dyn Disk,
    path: &Path,
    prefix: &str,
) -> Result<PathBuf, DiskError> {
    let aside = free_name(disk, path, prefix)?;
    match disk.rename(path, &aside) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed.at("set aside", path)?,
    }
    Ok(aside)
}

/// The name of a file with `prefix` before it, and a number behind it when that is taken.
pub(crate) fn free_name(disk: &dyn Disk, path: &Path, prefix: &str) -> Result<PathBuf, DiskError> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut aside = path.with_file_name(format!("{prefix}{name}"));
    let mut again = 1_u32;
    while disk.exists(&aside).at("look for", &aside)? {
        aside = path.with_file_name(format!("{prefix}{name}.{again}"));
        again = again.saturating_add(1);
    }
    Ok(aside)
}

fn prepare(disk: &dyn Disk, dir: &Path, autocreate: bool) -> Result<(), DirError> {
    if disk.exists(dir).at("look for", dir)? {
        return Ok(());
    }
    if !autocreate {
        return Err(DirError::Missing(dir.to_path_buf()));
    }
    disk.create_dir_all(dir).at("create", dir)?;
    // A directory that a power cut takes away would take its files along.
    for above in dir.ancestors().skip(1).take(2) {
        if above.as_os_str().is_empty() {
            continue;
        }
        match disk.sync_dir(above) {
            // Not ours to read, so it was not made here either.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.at("sync", above)?,
        }
    }
    Ok(())
}

/// Also the proof that the directory is writable.
fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn LockGuard>, DirError> {
    let path = dir.join(LOCK_FILE);
    match disk.lock(&path) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(DirError::InUse(dir.to_path_buf())),
        locked => Ok(locked.at("lock", &path)?),
    }
}

fn refuse_swapped(disk: &dyn Disk, snapshots: &Path, logs: &Path) -> Result<(), DirError> {
    let check = |dir: &Path, foreign: fn(FileName) -> bool| {
        let found = disk.list(dir).at("list", dir)?;
        match found
            .into_iter()
            .find(|e| FileName::parse(&e.name).is_some_and(foreign))
        {
            None => Ok(()),
            Some(entry) => Err(DirError::Swapped {
                dir: dir.to_path_buf(),
                name: entry.name,
            }),
        }
    };
    check(snapshots, |name| matches!(name, FileName::Log(_)))?;
    check(logs, |name| matches!(name, FileName::Snapshot(..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_disk::OsDisk;

    #[test]
    fn names_say_kind_zxid_and_compression() {
        let check = |name, expect| assert_eq!(FileName::parse(name), expect, "{name}");
        check("log.100000001", Some(FileName::Log(Zxid(0x1_0000_0001))));
        check(
            "snapshot.0",
            Some(FileName::Snapshot(Zxid(0), Compression::None)),
        );
        check(
            "snapshot.a.GZ",
            Some(FileName::Snapshot(Zxid(10), Compression::Gzip)),
        );
        check(
            "snapshot.a.snappy",
            Some(FileName::Snapshot(Zxid(10), Compression::Snappy)),
        );
        for other in [
            "log",
            "log.",
            "log.xyz",
            "log.-1",
            "log.1.tmp",
            "log.1.gz",
            "snapshot.1.tmp",
            "snapshot.1.gz.tmp",
            "snapshot.10000000000000000",
            "damaged-snapshot.1",
            "acceptedEpoch",
        ] {
            check(other, None);
        }
        assert_eq!(log_name(Zxid(0x1_0000_0001)), "log.100000001");
        assert_eq!(
            snapshot_name(Zxid(0x1a), Compression::Snappy),
            "snapshot.1a.snappy"
        );
    }

    #[test]
    fn missing_directories_are_created_only_when_allowed() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        assert!(matches!(
            DataDirs::open(&OsDisk, &data, None, false),
            Err(DirError::Missing(_))
        ));
        let dirs = DataDirs::open(&OsDisk, &data, None, true).unwrap();
        assert_eq!(dirs.logs(), data.join("version-2"));
        assert_eq!(dirs.snapshots(), dirs.logs());
    }

    #[test]
    fn swapped_directories_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let (data, log) = (root.path().join("data"), root.path().join("log"));
        drop(DataDirs::open(&OsDisk, &data, Some(&log), true).unwrap());
        std::fs::write(log.join("version-2/snapshot.0"), b"").unwrap();
        assert!(matches!(
            DataDirs::open(&OsDisk, &data, Some(&log), true),
            Err(DirError::Swapped { .. })
        ));
        std::fs::remove_file(log.join("version-2/snapshot.0")).unwrap();
        std::fs::write(data.join("version-2/log.1"), b"").unwrap();
        assert!(matches!(
            DataDirs::open(&OsDisk, &data, Some(&log), true),
            Err(DirError::Swapped { .. })
        ));
    }

    #[test]
    fn a_second_owner_is_refused_until_the_first_has_gone() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        assert!(matches!(
            DataDirs::open(&OsDisk, root.path(), None, true),
            Err(DirError::InUse(_))
        ));
        drop(first);
        DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
    }

    #[test]
    fn unfinished_snapshots_go_but_unfinished_epochs_stay() {
        let root = tempfile::tempdir().unwrap();
        drop(DataDirs::open(&OsDisk, root.path(), None, true).unwrap());
        let dir = root.path().join("version-2");
        for name in [
            "snapshot.5.tmp",
            "snapshot.5.gz.tmp",
            "install-snapshot.5.gz.tmp",
            "rookeeper.incomplete.tmp",
            "damaged-log.5.tmp",
            SPARE_LOG,
            "currentEpoch.tmp",
        ] {
            std::fs::write(dir.join(name), b"1").unwrap();
        }
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let left: Vec<String> = OsDisk
            .list(&dir)
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .filter(|n| n != LOCK_FILE)
            .collect();
        assert_eq!(left, ["currentEpoch.tmp"]);
        assert_eq!(dirs.sizes(&OsDisk).unwrap(), (1, 1));
    }
}
