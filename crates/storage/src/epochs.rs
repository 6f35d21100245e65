//! The two epochs of a member as one value, and what files mean that a crash left in disagreement (disk formats 5 and 9).
//!
//! What does not live here: the files ([`crate::epoch_files`]), and when a member accepts or enters an epoch.
//!
//! Invariant: `0 <= current <= accepted`, in memory and, at every moment, on the disk. An epoch is entered only after its
//! history is durable, so the history may be ahead of `current` after a crash, but never of `accepted`.

use rookeeper_proto::ids::Zxid;
use tracing::warn;

use crate::dirs::DataDirs;
use crate::disk::Disk;
use crate::epoch_files::{EpochError, EpochFile};

/// What a member has promised, and whose history it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    accepted: i64,
    current: i64,
}

impl Epochs {
    /// Reads both files; `last` is the end of the loaded history. Files that are missing are made, durably, of what it says
    /// (a stand-alone server has none).
    pub fn recover(disk: &dyn Disk, dirs: &DataDirs, last: Zxid) -> Result<Self, EpochError> {
        let of_history = last.epoch().max(0);
        let accepted = read_accepted(disk, dirs)?;
        let current = read_current(disk, dirs, of_history, accepted)?;
        let accepted = match accepted {
            Some(accepted) => accepted,
            // The current epoch is made first: without the other it can only be that of the history.
            None if current <= of_history => {
                EpochFile::Accepted.write(disk, dirs, of_history)?;
                of_history
            }
            None => {
                return Err(EpochError::AcceptedLost {
                    path: EpochFile::Accepted.path(dirs),
                    current,
                });
            }
        };
        if current > accepted {
            return Err(EpochError::CurrentAhead {
                dir: dirs.snapshots().to_path_buf(),
                accepted,
                current,
            });
        }
        Ok(Self { accepted, current })
    }

    /// The highest epoch this member has promised to follow.
    #[must_use]
    pub const fn accepted(self) -> i64 {
        self.accepted
    }

    /// The epoch of the leader whose history this member has.
    #[must_use]
    pub const fn current(self) -> i64 {
        self.current
    }

    /// Promises to follow no leader of a lower epoch; durable on return. The same epoch again is nothing new.
    pub fn accept(
        &mut self,
        disk: &dyn Disk,
        dirs: &DataDirs,
        epoch: i64,
    ) -> Result<(), EpochError> {
        if epoch < self.accepted {
            return Err(EpochError::Backwards {
                epoch,
                known: self.accepted,
            });
        }
        if epoch > self.accepted {
            EpochFile::Accepted.write(disk, dirs, epoch)?;
            self.accepted = epoch;
        }
        Ok(())
    }

    /// Takes note that the history of the leader of `epoch`, which was accepted, is durable here; durable on return.
    pub fn enter(
        &mut self,
        disk: &dyn Disk,
        dirs: &DataDirs,
        epoch: i64,
    ) -> Result<(), EpochError> {
        if epoch > self.accepted {
            return Err(EpochError::NotAccepted {
                epoch,
                accepted: self.accepted,
            });
        }
        if epoch < self.current {
            return Err(EpochError::Backwards {
                epoch,
                known: self.current,
            });
        }
        if epoch > self.current {
            EpochFile::Current.write(disk, dirs, epoch)?;
            self.current = epoch;
        }
        Ok(())
    }
}

/// An unfinished file counts when the finished one is missing or behind the current epoch: to have promised more is always
/// safe. (ZOOKEEPER-4269: its rename had failed, and the current epoch was written all the same.)
fn read_accepted(disk: &dyn Disk, dirs: &DataDirs) -> Result<Option<i64>, EpochError> {
    let accepted = EpochFile::Accepted.read(disk, dirs)?;
    let current = EpochFile::Current.read(disk, dirs)?;
    let (Some(current), Some(unfinished)) =
        (current, EpochFile::Accepted.read_unfinished(disk, dirs)?)
    else {
        return Ok(accepted);
    };
    if accepted.is_some_and(|accepted| accepted >= current) || unfinished < current {
        return Ok(accepted);
    }
    warn!(
        unfinished,
        "acceptedEpoch is taken from its unfinished file"
    );
    EpochFile::Accepted.write(disk, dirs, unfinished)?;
    Ok(Some(unfinished))
}

/// The history may be ahead after a crash between the sync of what a leader sent and the write of its epoch. That leader was
/// accepted before, and what follows one of its transactions in the log follows all of its history: so its epoch is entered.
fn read_current(
    disk: &dyn Disk,
    dirs: &DataDirs,
    of_history: i64,
    accepted: Option<i64>,
) -> Result<i64, EpochError> {
    let current = match EpochFile::Current.read(disk, dirs)? {
        Some(current) if current >= of_history => return Ok(current),
        current => current,
    };
    let unfinished = EpochFile::Current.read_unfinished(disk, dirs)?;
    let epoch = match (current, unfinished) {
        (None, _) => of_history,
        (_, Some(unfinished)) if unfinished >= of_history => unfinished,
        _ if accepted.is_some_and(|accepted| accepted >= of_history) => of_history,
        (Some(current), _) => {
            return Err(EpochError::HistoryAhead {
                path: EpochFile::Current.path(dirs),
                current,
                of_history,
            });
        }
    };
    // What will be refused is not made worse.
    if accepted.is_none_or(|accepted| accepted >= epoch) {
        EpochFile::Current.write(disk, dirs, epoch)?;
    }
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os_disk::OsDisk;

    /// The files before, the epoch of the history, and what is recovered and then on the disk.
    #[track_caller]
    fn check(files: &[(&str, &str)], epoch: u32, expect: Result<(i64, i64), &str>) {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        for (name, text) in files {
            std::fs::write(dirs.snapshots().join(name), text).unwrap();
        }
        let last = Zxid::new(epoch, 7);
        let got = Epochs::recover(&OsDisk, &dirs, last);
        match expect {
            Ok((accepted, current)) => {
                let expect = Epochs { accepted, current };
                assert_eq!(got.unwrap(), expect);
                let read = |file: EpochFile| file.read(&OsDisk, &dirs).unwrap();
                assert_eq!(read(EpochFile::Accepted), Some(accepted));
                assert_eq!(read(EpochFile::Current), Some(current));
                assert_eq!(Epochs::recover(&OsDisk, &dirs, last).unwrap(), expect);
            }
            Err(text) => {
                let error = got.unwrap_err().to_string();
                assert!(error.contains(text), "{error}");
                for (name, text) in files {
                    let now = std::fs::read_to_string(dirs.snapshots().join(name));
                    assert_eq!(now.unwrap(), *text, "{name} was changed");
                }
            }
        }
    }

    #[test]
    fn missing_files_are_made_of_the_history() {
        check(&[], 0, Ok((0, 0)));
        check(&[], 3, Ok((3, 3)));
        // The crash at the first start, between the two.
        check(&[("currentEpoch", "3")], 3, Ok((3, 3)));
        check(&[("acceptedEpoch", "5")], 3, Ok((5, 3)));
    }

    #[test]
    fn files_that_agree_stay() {
        let files = [("acceptedEpoch", "5"), ("currentEpoch", "4")];
        check(&files, 4, Ok((5, 4)));
        check(&files, 2, Ok((5, 4)));
    }

    /// Also ZOOKEEPER-1387 and 2354: what a crash leaves of the two files never prevents a start.
    #[test]
    fn zookeeper_1653_a_crash_before_the_rename_of_the_current_epoch_is_mended() {
        check(
            &[
                ("acceptedEpoch", "5"),
                ("currentEpoch", "4"),
                ("currentEpoch.tmp", "5"),
            ],
            5,
            Ok((5, 5)),
        );
        // What was not written to its end says less than the history.
        check(
            &[
                ("acceptedEpoch", "12"),
                ("currentEpoch", "4"),
                ("currentEpoch.tmp", "1"),
            ],
            12,
            Ok((12, 12)),
        );
    }

    #[test]
    fn zookeeper_2307_a_history_ahead_of_the_current_epoch_was_sent_by_an_accepted_leader() {
        check(
            &[("acceptedEpoch", "5"), ("currentEpoch", "4")],
            5,
            Ok((5, 5)),
        );
        check(
            &[("acceptedEpoch", "4"), ("currentEpoch", "4")],
            5,
            Err("currentEpoch"),
        );
        check(&[("currentEpoch", "4")], 5, Err("currentEpoch"));
        check(
            &[
                ("acceptedEpoch", "4"),
                ("currentEpoch", "4"),
                ("currentEpoch.tmp", "5"),
            ],
            5,
            Err("acceptedEpoch is 4, but currentEpoch 5"),
        );
    }

    #[test]
    fn zookeeper_4269_an_unfinished_promise_counts_when_it_is_needed() {
        let left = ("acceptedEpoch.tmp", "6");
        check(
            &[("acceptedEpoch", "5"), ("currentEpoch", "6"), left],
            5,
            Ok((6, 6)),
        );
        check(&[("currentEpoch", "6"), left], 5, Ok((6, 6)));
        // Here nobody was told of it.
        check(
            &[("acceptedEpoch", "5"), ("currentEpoch", "5"), left],
            5,
            Ok((5, 5)),
        );
    }

    #[test]
    fn a_current_epoch_ahead_of_the_accepted_is_refused() {
        check(
            &[("acceptedEpoch", "5"), ("currentEpoch", "6")],
            5,
            Err("acceptedEpoch is 5, but currentEpoch 6"),
        );
        check(&[("currentEpoch", "6")], 5, Err("acceptedEpoch is missing"));
        check(
            &[("acceptedEpoch", "5"), ("currentEpoch", "-1")],
            5,
            Err("instead of an epoch"),
        );
    }

    #[test]
    fn epochs_only_rise_and_none_is_entered_that_was_not_accepted() {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let mut epochs = Epochs::recover(&OsDisk, &dirs, Zxid::new(2, 1)).unwrap();
        let refused = epochs.enter(&OsDisk, &dirs, 3);
        assert!(matches!(refused, Err(EpochError::NotAccepted { .. })));
        epochs.accept(&OsDisk, &dirs, 4).unwrap();
        epochs.accept(&OsDisk, &dirs, 4).unwrap();
        let refused = epochs.accept(&OsDisk, &dirs, 3);
        assert!(matches!(refused, Err(EpochError::Backwards { .. })));
        epochs.enter(&OsDisk, &dirs, 4).unwrap();
        let refused = epochs.enter(&OsDisk, &dirs, 3);
        assert!(matches!(refused, Err(EpochError::Backwards { .. })));
        assert_eq!((epochs.accepted(), epochs.current()), (4, 4));
        let again = Epochs::recover(&OsDisk, &dirs, Zxid::new(2, 1)).unwrap();
        assert_eq!(again, epochs);
    }
}
