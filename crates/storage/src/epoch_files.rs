//! `acceptedEpoch` and `currentEpoch`: one decimal number each, replaced in one step (disk formats 9).
//!
//! What does not live here: when an epoch may be written, and what disagreeing files mean ([`crate::epochs`]).

use std::path::PathBuf;

use thiserror::Error;

use crate::dirs::{DataDirs, TMP};
use crate::disk::{Disk, DiskError, read_small, replace_small};

/// More digits than any number has, bytes.
const LIMIT: usize = 64;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochFile {
    /// The highest epoch this server has promised to follow.
    Accepted,
    /// The epoch of the leader whose history this server has taken over.
    Current,
}

/// Why an epoch cannot be read or written.
#[derive(Debug, Error)]
pub enum EpochError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Not a number. Guessing one could elect two leaders.
    #[error("{} holds {text:?} instead of an epoch; restore it, or move the whole data directory aside", path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// Its first line, cut short.
        text: String,
    },
    /// The leader whose history is here was followed, but its promise is gone.
    #[error(
        "acceptedEpoch is {accepted}, but currentEpoch {current} in {}: the member may have promised more than it knows; restore \
         acceptedEpoch, or move the whole data directory aside",
        dir.display()
    )]
    CurrentAhead {
        /// Where both files are.
        dir: PathBuf,
        /// In one file.
        accepted: i64,
        /// In the other.
        current: i64,
    },
    /// The same without the file.
    #[error(
        "acceptedEpoch is missing, but currentEpoch is {current}: the member may have promised more than it knows; restore {}, \
         or move the whole data directory aside",
        path.display()
    )]
    AcceptedLost {
        /// The missing file.
        path: PathBuf,
        /// What the other says.
        current: i64,
    },
    /// The history was written by a leader that was never accepted.
    #[error(
        "{} holds {current}, but the history reaches into epoch {of_history}, which was never accepted: the files do not belong \
         together; restore them, or move the whole data directory aside",
        path.display()
    )]
    HistoryAhead {
        /// The file.
        path: PathBuf,
        /// In it.
        current: i64,
        /// Of the last transaction.
        of_history: i64,
    },
    /// A leader of an epoch that is over.
    #[error("epoch {epoch} is over, {known} is known")]
    Backwards {
        /// Asked for.
        epoch: i64,
        /// What stands.
        known: i64,
    },
    /// An epoch is accepted before it is entered.
    #[error("epoch {epoch} was not accepted, {accepted} is the highest")]
    NotAccepted {
        /// Asked for.
        epoch: i64,
        /// What stands.
        accepted: i64,
    },
}

impl EpochFile {
    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }

    /// The epoch; `None` when the file does not exist.
    pub fn read(self, disk: &dyn Disk, dirs: &DataDirs) -> Result<Option<i64>, EpochError> {
        read(disk, self.path(dirs))
    }

    pub(crate) fn path(self, dirs: &DataDirs) -> PathBuf {
        dirs.snapshots().join(self.name())
    }

    /// What a crash between write and rename left in the `.tmp` file, if it is a number (5.1 step 6).
    pub fn read_unfinished(
        self,
        disk: &dyn Disk,
        dirs: &DataDirs,
    ) -> Result<Option<i64>, EpochError> {
        match read(disk, self.unfinished(dirs)) {
            Err(EpochError::NotANumber { .. }) => Ok(None),
            result => result,
        }
    }

    /// Replaces the epoch; durable on return.
    pub fn write(self, disk: &dyn Disk, dirs: &DataDirs, epoch: i64) -> Result<(), EpochError> {
        let (tmp, path) = (self.unfinished(dirs), self.path(dirs));
        let text = epoch.to_string();
        Ok(replace_small(disk, &tmp, &path, text.as_bytes())?)
    }

    fn unfinished(self, dirs: &DataDirs) -> PathBuf {
        dirs.snapshots().join(format!("{}{TMP}", self.name()))
    }
}

fn read(disk: &dyn Disk, path: PathBuf) -> Result<Option<i64>, EpochError> {
    let Some(bytes) = read_small(disk, &path, LIMIT)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    match line.parse() {
        Ok(epoch) if epoch >= 0 => Ok(Some(epoch)),
        _ => Err(EpochError::NotANumber {
            path,
            text: line.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_disk::OsDisk;

    #[test]
    fn epochs_are_plain_decimal_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        assert_eq!(EpochFile::Current.read(&OsDisk, &dirs).unwrap(), None);
        EpochFile::Current.write(&OsDisk, &dirs, 7).unwrap();
        EpochFile::Current.write(&OsDisk, &dirs, 12).unwrap();
        assert_eq!(EpochFile::Current.read(&OsDisk, &dirs).unwrap(), Some(12));
        assert_eq!(EpochFile::Accepted.read(&OsDisk, &dirs).unwrap(), None);
        let path = dirs.snapshots().join("currentEpoch");
        assert_eq!(std::fs::read(path).unwrap(), b"12");
    }

    #[test]
    fn only_the_first_line_counts_and_nonsense_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let path = dirs.snapshots().join("acceptedEpoch");
        std::fs::write(&path, b"3\nrest").unwrap();
        assert_eq!(EpochFile::Accepted.read(&OsDisk, &dirs).unwrap(), Some(3));
        for nonsense in ["", "x", "3x", "-1", "99999999999999999999"] {
            std::fs::write(&path, nonsense).unwrap();
            let read = EpochFile::Accepted.read(&OsDisk, &dirs);
            assert!(
                matches!(read, Err(EpochError::NotANumber { .. })),
                "{nonsense:?}"
            );
        }
        std::fs::write(dirs.snapshots().join("currentEpoch.tmp"), b"").unwrap();
        let left = EpochFile::Current.read_unfinished(&OsDisk, &dirs).unwrap();
        assert_eq!(left, None);
    }
}
