//! Which snapshots are there, which look valid, and what to do with a damaged one (disk formats 4.3 and 5.1).
//!
//! What does not live here: the content of a snapshot ([`crate::snapshot_reader`]).

use std::path::{Path, PathBuf};

use crate::dirs::{Compression, DAMAGED, DataDirs, SnapshotFile, rename_aside};
use crate::disk::{At, Disk, DiskError, OpenMode};
use crate::snapshot_format::{END_MARK, GZIP_MAGIC, XERIAL_MAGIC};

/// More candidates are never tried.
pub const MAX_CANDIDATES: usize = 100;
/// A plain snapshot below this many bytes is none.
const MIN_LEN: u64 = 10;

/// The snapshots worth trying, newest first, at most [`MAX_CANDIDATES`].
pub fn candidates(disk: &dyn Disk, dirs: &DataDirs) -> Result<Vec<SnapshotFile>, DiskError> {
    let mut found = Vec::new();
    for file in dirs.list_snapshots(disk)? {
        if found.len() < MAX_CANDIDATES && looks_valid(disk, &file)? {
            found.push(file);
        }
    }
    Ok(found)
}

/// The quick test: a plain file ends with the end mark, a compressed one starts with its magic.
pub fn looks_valid(disk: &dyn Disk, file: &SnapshotFile) -> Result<bool, DiskError> {
    let ends_marked = file.len >= MIN_LEN;
    Ok(match file.compression {
        Compression::None if !ends_marked => false,
        Compression::None => {
            let tail = file.len - END_MARK.len() as u64;
            piece::<{ END_MARK.len() }>(disk, &file.path, tail)? == Some(END_MARK)
        }
        Compression::Gzip => piece(disk, &file.path, 0)? == Some(GZIP_MAGIC),
        Compression::Snappy => piece(disk, &file.path, 0)? == Some(XERIAL_MAGIC),
    })
}

fn piece<const N: usize>(
    disk: &dyn Disk,
    path: &Path,
    offset: u64,
) -> Result<Option<[u8; N]>, DiskError> {
    let file = disk.open(path, OpenMode::Read).at("open", path)?;
    let mut bytes = [0; N];
    let got = file.read_at(offset, &mut bytes).at("read", path)?;
    Ok((got == N).then_some(bytes))
}

/// Puts a damaged file out of the way under a name that nobody loads, and returns that name. Nothing is deleted.
pub fn set_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, DiskError> {
    let aside = rename_aside(disk, path, DAMAGED)?;
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir).at("sync", dir)?;
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_disk::OsDisk;

    #[test]
    fn damaged_files_are_kept_under_ever_new_names() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("snapshot.5");
        for expect in [
            "damaged-snapshot.5",
            "damaged-snapshot.5.1",
            "damaged-snapshot.5.2",
        ] {
            std::fs::write(&path, b"x").unwrap();
            let aside = set_aside(&OsDisk, &path).unwrap();
            assert_eq!(aside.file_name().unwrap(), expect);
            assert!(aside.exists() && !path.exists());
        }
    }

    #[test]
    fn candidates_pass_the_quick_test_and_come_newest_first() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            std::fs::write(dirs.snapshots().join(name), bytes).unwrap();
        };
        put("snapshot.1", b"12345\0\0\0\x01/");
        put("snapshot.2", b"1234\0\0\0\x01/");
        put("snapshot.3", b"123456\0\0\0\x01");
        put("snapshot.4.gz", b"\x1f\x8brest");
        put("snapshot.5.gz", b"rest");
        put("snapshot.6.snappy", &XERIAL_MAGIC);
        put("snapshot.7.snappy", b"\x82SNAP");
        put("snapshot.8", b"");
        put("snapshot.9.gz.tmp", b"\x1f\x8brest");
        let found: Vec<i64> = candidates(&OsDisk, &dirs)
            .unwrap()
            .iter()
            .map(|s| s.zxid.0)
            .collect();
        assert_eq!(found, [6, 4, 1]);
    }
}
