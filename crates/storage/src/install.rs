//! Taking over the state that a leader sent (SNAP): a snapshot that replaces the whole history that was here.
//!
//! What does not live here: the body, which arrives as bytes, from the session count to the end mark (the leader's signature
//! behind it is the caller's to check); when to ask for it.
//!
//! The state is written under a name that nobody loads, then given a waiting name: from that moment, which is the only one
//! that counts, it is the state of this member. `complete` clears the old history out of its way and moves it into its place;
//! a power cut in between is made good by the next [`DataDirs::open`], before anybody looks at the files.
//!
//! Nothing of the old history stays under its name, not even what lies before the received state: its last transactions may be
//! discarded ones, and the first record of the next epoch would follow them without a visible hole. What is above the received
//! state is removed, the rest is kept under other names for purging.
//!
//! Invariant: after a power cut at any operation the directories hold the old history untouched, or the new state alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rookeeper_proto::ids::Zxid;
use thiserror::Error;
use tracing::info;

use crate::dirs::{
    Compression, DataDirs, FileName, REPLACED, WAITING, rename_aside, snapshot_name,
};
use crate::disk::{At, Disk, DiskError};
use crate::incomplete;
use crate::log_writer::{LogError, LogWriter};
use crate::snapshot_writer::{SnapshotWriter, Trailer};

/// What a body shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Exactly the state at its zxid.
    Exact,
    /// Perhaps parts of later transactions, whose records are still to come. The mark of an incomplete history stays
    /// ([`incomplete::clear`] is the caller's, when those are durable).
    Fuzzy,
}

/// Why a state was not taken over.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The old history could not be ended. It is as it was.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The state could not be written. The old history is as it was.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An earlier one is half way. Its log accepts nothing more either.
    #[error("{} is not in its place yet, restart to put it there", .0.display())]
    Waiting(PathBuf),
    /// It may be written, and the old history may be half gone: the next start makes one of both of it. The log accepts nothing
    /// more.
    #[error("a received state could not be put into its place, restart to do so: {0}")]
    HalfWay(#[source] DiskError),
}

/// A received state on its way to the disk. Dropping it unfinished leaves everything as it was.
#[derive(Debug)]
pub struct Install {
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    zxid: Zxid,
    writer: SnapshotWriter,
}

impl Install {
    /// Begins the state of `zxid`, behind which the log will go on.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dirs: &DataDirs,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, InstallError> {
        if let Some(Waiting { path, .. }) = find(&*disk, dirs)? {
            return Err(InstallError::Waiting(path));
        }
        let name = format!("{WAITING}{}", snapshot_name(zxid, compression));
        let writer = SnapshotWriter::create_as(Arc::clone(&disk), dirs, name, compression)?;
        Ok(Self {
            disk,
            dirs: dirs.clone(),
            zxid,
            writer,
        })
    }

    /// Appends a piece of the body, of any size.
    pub fn write(&mut self, body: &[u8]) -> Result<(), DiskError> {
        self.writer.write(body)
    }

    /// Makes it the state of this member, in place of everything that was there; durable on return. `log` goes on behind it.
    /// Where digests are on and this one is not known, `trailer` has [`Trailer::NO_DIGEST`].
    /// No purging and no snapshot may run meanwhile.
    pub fn finish(
        self,
        log: &mut LogWriter,
        trailer: Trailer,
        content: Content,
    ) -> Result<(), InstallError> {
        log.roll()?;
        let waiting = self.writer.path().to_path_buf();
        if let Err(error) = self.writer.finish(trailer) {
            // Only a file that has not got its name cannot come back.
            if matches!(self.disk.exists(&waiting), Ok(false)) {
                return Err(InstallError::Disk(error));
            }
            log.poison(&error);
            return Err(InstallError::HalfWay(error));
        }
        let mut done = complete(&*self.disk, &self.dirs);
        if content == Content::Exact {
            done = done.and_then(|()| incomplete::clear(&*self.disk, &self.dirs));
        }
        if let Err(error) = done {
            log.poison(&error);
            return Err(InstallError::HalfWay(error));
        }
        info!("the state {} of the leader is in its place", self.zxid);
        Ok(log.restart_after(self.zxid)?)
    }

    /// Gives up; everything stays as it was.
    pub fn abort(self) -> Result<(), DiskError> {
        self.writer.abort()
    }
}

/// Moves a waiting state into its place. Without one nothing happens.
///
/// Until the last step Java would find no database here, or none to start with, but never parts of both histories.
pub(crate) fn complete(disk: &dyn Disk, dirs: &DataDirs) -> Result<(), DiskError> {
    while let Some(Waiting { path, place, zxid }) = find(disk, dirs)? {
        retire_snapshots(disk, dirs, zxid)?;
        retire_logs(disk, dirs, zxid)?;
        disk.rename(&path, &place)
            .at("put the received state to", &place)?;
        disk.sync_dir(dirs.snapshots())
            .at("sync", dirs.snapshots())?;
    }
    Ok(())
}

/// A state that is durable and not in its place.
struct Waiting {
    path: PathBuf,
    place: PathBuf,
    zxid: Zxid,
}

fn find(disk: &dyn Disk, dirs: &DataDirs) -> Result<Option<Waiting>, DiskError> {
    let dir = dirs.snapshots();
    let entries = disk.list(dir).at("list", dir)?;
    Ok(entries.into_iter().find_map(|entry| {
        let name = entry.name.strip_prefix(WAITING)?;
        match FileName::parse(name)? {
            FileName::Snapshot(zxid, _) => Some(Waiting {
                path: dir.join(&entry.name),
                place: dir.join(name),
                zxid,
            }),
            FileName::Log(_) => None,
        }
    }))
}

/// Newest first: until the last is gone, the old history is whole. Another one of the same zxid goes too: it may be fuzzy.
fn retire_snapshots(disk: &dyn Disk, dirs: &DataDirs, zxid: Zxid) -> Result<(), DiskError> {
    let snapshots = dirs.list_snapshots(disk)?;
    for file in &snapshots {
        retire(disk, &file.path, file.zxid > zxid)?;
    }
    sync(disk, dirs.snapshots(), snapshots.is_empty())
}

fn retire_logs(disk: &dyn Disk, dirs: &DataDirs, zxid: Zxid) -> Result<(), DiskError> {
    let logs = dirs.list_logs(disk)?;
    for file in logs.iter().rev() {
        retire(disk, &file.path, file.zxid > zxid)?;
    }
    sync(disk, dirs.logs(), logs.is_empty())
}

fn retire(disk: &dyn Disk, path: &Path, discarded: bool) -> Result<(), DiskError> {
    if discarded {
        disk.remove(path).at("remove", path)
    } else {
        rename_aside(disk, path, REPLACED).map(drop)
    }
}

fn sync(disk: &dyn Disk, dir: &Path, unchanged: bool) -> Result<(), DiskError> {
    if unchanged {
        return Ok(());
    }
    disk.sync_dir(dir).at("sync", dir)
}
