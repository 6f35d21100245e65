//! Bits that change on a disk by themselves, and where they can be noticed.
//!
//! What does not live here: what a member makes of it (`database`), and when it happens.

use std::ops::Range;
use std::path::PathBuf;

use rookeeper_storage::cut_disk::CutDisk;
use rookeeper_storage::dirs::LogFile;

use crate::dice::Dice;
use crate::disk::{Trouble, directories};

/// Magic, version and database id; the last means nothing.
const HEADER: usize = 16;
const MEANT: usize = 8;
/// Of a snapshot: a version that nobody knows is taken for that of a newer release, whose files are not set aside.
const VERSION: Range<usize> = 4..8;
/// Checksum and length before a record, and a byte behind it.
const CHECKSUM: usize = 8;
const BEFORE: usize = 12;
const BEHIND: usize = 1;

/// A byte, and what becomes of it.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) path: PathBuf,
    pub(crate) at: usize,
    pub(crate) bits: u8,
}

impl Spot {
    /// Some byte of the history of a member that is down. The newest record is left alone: whoever finds it changed cannot know that it
    /// was ever whole, as little as of one that was torn by a loss of power.
    pub(crate) fn choose(disk: &CutDisk, dice: &mut Dice) -> Option<Self> {
        let (path, at) = if dice.permille(700) {
            of_logs(disk, dice)?
        } else {
            of_snapshots(disk, dice)?
        };
        let bits = 1 << dice.below(8);
        Some(Self { path, at, bits })
    }
}

fn of_logs(disk: &CutDisk, dice: &mut Dice) -> Option<(PathBuf, usize)> {
    let logs = found(directories(disk).and_then(|dirs| Ok(dirs.list_logs(disk)?)))?;
    let at = usize::try_from(dice.below(logs.len() as u64)).ok()?;
    let LogFile { path, .. } = logs.get(at)?;
    let content = disk.content(path)?;
    let mut ends = ends_of_records(&content);
    // Those of the log that is written must be followed by one that tells of them.
    if at + 1 == logs.len() {
        ends.pop();
    }
    let end = ends.pop()?;
    let byte = usize::try_from(dice.below(end as u64)).ok()?;
    (!(MEANT..HEADER).contains(&byte)).then(|| (path.clone(), byte))
}

fn of_snapshots(disk: &CutDisk, dice: &mut Dice) -> Option<(PathBuf, usize)> {
    let snapshots = found(directories(disk).and_then(|dirs| Ok(dirs.list_snapshots(disk)?)))?;
    let path = dice.pick(&snapshots)?.path.clone();
    let length = disk.content(&path)?.len();
    let byte = usize::try_from(dice.below(length as u64)).ok()?;
    (!VERSION.contains(&byte)).then_some((path, byte))
}

/// A member that has no files yet has nothing that can change.
fn found<T>(files: Result<Vec<T>, Trouble>) -> Option<Vec<T>> {
    files.ok().filter(|files| !files.is_empty())
}

fn ends_of_records(log: &[u8]) -> Vec<usize> {
    let (mut ends, mut at) = (Vec::new(), HEADER);
    while let Some(&[a, b, c, d]) = log
        .get(at + CHECKSUM..at + BEFORE)
        .and_then(|it| it.first_chunk())
    {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length == 0 {
            break;
        }
        at += BEFORE + length + BEHIND;
        ends.push(at);
    }
    ends
}
