//! Files and names as they are seen and as they would survive a power cut.
//!
//! What does not live here: the calls that change them, and when they fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is kept or lost as one, bytes.
const SECTOR: usize = 512;

/// What becomes of unsynced changes when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// All are lost.
    Nothing,
    /// All had reached the disk.
    Everything,
    /// A prefix of them did, the last one in part, to the byte. The seed chooses how many.
    Prefix(u64),
    /// Any sectors of any writes did. The seed chooses.
    Sectors(u64),
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(super) enum Naming {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Naming {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }

    pub(super) fn touches(&self, dir: &Path) -> bool {
        let (Self::Link(path, _) | Self::Rename(_, path) | Self::Remove(path)) = self;
        path.parent() == Some(dir)
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => content.resize(*len, 0),
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*offset..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    /// The pieces of a write that lie in one sector each.
    fn sectors(&self) -> Vec<Self> {
        let Self::Write(offset, bytes) = self else {
            return vec![self.clone()];
        };
        let mut pieces = Vec::new();
        let (mut at, mut rest) = (*offset, bytes.as_slice());
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
            pieces.push(Self::Write(at, piece.to_vec()));
            (at, rest) = (at + piece.len(), tail);
        }
        pieces
    }

    fn in_part(&self, dice: &mut Dice) -> Option<Self> {
        match self {
            Self::Resize(_) => None,
            Self::Write(offset, bytes) => {
                let kept = bytes.get(..dice.below(bytes.len() + 1))?;
                Some(Self::Write(*offset, kept.to_vec()))
            }
        }
    }
}

impl Inode {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    pub(super) fn settle(&mut self, tear: Tear, dice: &mut Dice) {
        let changes = std::mem::take(&mut self.unsynced);
        match tear {
            Tear::Nothing => {}
            Tear::Everything => self.durable.clone_from(&self.live),
            Tear::Prefix(_) => {
                let kept = dice.below(changes.len() + 1);
                for change in changes.iter().take(kept) {
                    change.apply(&mut self.durable);
                }
                if let Some(part) = changes.get(kept).and_then(|c| c.in_part(dice)) {
                    part.apply(&mut self.durable);
                }
            }
            Tear::Sectors(_) => {
                for piece in changes.iter().flat_map(Change::sectors) {
                    // Lengths are metadata: a journal keeps their order, so none is lost before one that survives.
                    if matches!(piece, Change::Resize(_)) || dice.below(2) == 0 {
                        piece.apply(&mut self.durable);
                    }
                }
            }
        }
        self.live.clone_from(&self.durable);
    }
}

/// A small seeded generator (xorshift), so that this crate needs no other.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(tear: Tear) -> Self {
        let seed = match tear {
            Tear::Nothing | Tear::Everything => 0,
            Tear::Prefix(seed) | Tear::Sectors(seed) => seed,
        };
        // The generator must not start at zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`, 0 for 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let n = n.max(1) as u64;
        usize::try_from((self.0 >> 11) % n).unwrap_or(0)
    }
}
