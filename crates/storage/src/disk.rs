//! The one door to files. Everything else in this crate goes through [`Disk`], so that tests and the simulator can cut the
//! power between any two calls.
//!
//! What does not live here: anything about ZooKeeper's files.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file or directory could not be used.
#[derive(Debug, Error)]
#[error("{op} {}: {source}", path.display())]
pub struct DiskError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was being done, as a verb phrase.
    pub op: &'static str,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    /// True when the disk or the quota is used up: waiting may help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }
}

/// True for ENOSPC and EDQUOT.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Adds path and deed to an [`io::Error`].
pub(crate) trait At<T> {
    fn at(self, op: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, op: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError {
            path: path.to_path_buf(),
            op,
            source,
        })
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading.
    Read,
    /// For reading, writing and truncating; the file must exist.
    Write,
}

/// A file in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: String,
    /// Its length, bytes.
    pub len: u64,
}

/// Held as long as this process owns a directory.
pub trait LockGuard: Debug + Send + Sync {}

/// What is needed of a file system. Paths are absolute or relative to the process, as the caller likes.
pub trait Disk: Debug + Send + Sync {
    /// Makes a new empty file, or empties an old one. Durable only after [`Disk::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// The plain files of a directory, in no particular order. Names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// True when something of that name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Gives a file a new name in one step, replacing what had it. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable only after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a directory and those above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Bytes an unprivileged process may still write in the file system of `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// Takes an exclusive lock on a file (made if missing) until the guard is dropped. `WouldBlock`: another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// An open file. Reading and writing name their place: there is no cursor.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads into `buf` from `offset`; fewer bytes than asked only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. After an error any part of them may be in the file.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Extends the file by `len` zero bytes at its end, `offset`, with blocks that really exist, so that writing them cannot
    /// run out of space. After an error the file may be longer than before.
    fn allocate(&mut self, offset: u64, len: u64) -> io::Result<()>;
    /// Cuts or extends the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Length, bytes.
    fn len(&self) -> io::Result<u64>;
    /// True when the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes content and length durable.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Reads at most `limit` bytes from the start of a small file; `None` when there is none.
pub(crate) fn read_small(
    disk: &dyn Disk,
    path: &Path,
    limit: usize,
) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path, OpenMode::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.at("open", path)?,
    };
    let mut bytes = vec![0; limit];
    let got = file.read_at(0, &mut bytes).at("read", path)?;
    bytes.truncate(got);
    Ok(Some(bytes))
}

/// Replaces a small file by way of `tmp`, in one step; durable on return. A crash may leave `tmp`.
pub(crate) fn replace_small(
    disk: &dyn Disk,
    tmp: &Path,
    path: &Path,
    bytes: &[u8],
) -> Result<(), DiskError> {
    let mut file = disk.create(tmp).at("create", tmp)?;
    file.write_at(0, bytes).at("write", tmp)?;
    file.sync_data().at("sync", tmp)?;
    disk.rename(tmp, path).at("replace", path)?;
    let dir = path.parent().unwrap_or(path);
    disk.sync_dir(dir).at("sync", dir)
}
