//! The last, smallest and largest of some sizes: answers and proposals. Invariant: the bounds shown hold the last size.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::tally::{lower, raise};

/// Stands for "none yet" in shared sizes.
const NO_SIZE: u64 = u64::MAX;

/// The last, smallest and largest of some sizes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The latest size.
    pub last: u64,
    /// The smallest size.
    pub min: u64,
    /// The largest size.
    pub max: u64,
}

impl Sizes {
    /// Adds one size to those seen so far.
    #[inline]
    pub fn record(seen: &mut Option<Self>, bytes: u64) {
        let before = seen.unwrap_or(Self {
            last: bytes,
            min: bytes,
            max: bytes,
        });
        *seen = Some(Self {
            last: bytes,
            min: before.min.min(bytes),
            max: before.max.max(bytes),
        });
    }
}

/// Sizes that everybody may add to.
#[derive(Debug)]
pub struct AtomicSizes {
    last: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for AtomicSizes {
    fn default() -> Self {
        Self {
            last: AtomicU64::new(NO_SIZE),
            min: AtomicU64::new(NO_SIZE),
            max: AtomicU64::new(0),
        }
    }
}

impl AtomicSizes {
    /// Adds what was seen elsewhere.
    #[inline]
    pub fn add(&self, seen: Sizes) {
        self.last.store(seen.last, Relaxed);
        lower(&self.min, seen.min);
        raise(&self.max, seen.max);
    }

    /// Adds one size.
    #[inline]
    pub fn record(&self, bytes: u64) {
        let (last, min, max) = (bytes, bytes, bytes);
        self.add(Sizes { last, min, max });
    }

    /// The sizes now; `None` before the first.
    pub fn view(&self) -> Option<Sizes> {
        let last = self.last.load(Relaxed);
        // The bounds of this very size may not be there yet.
        (last != NO_SIZE).then(|| Sizes {
            last,
            min: self.min.load(Relaxed).min(last),
            max: self.max.load(Relaxed).max(last),
        })
    }

    /// Forgets them.
    pub fn reset(&self) {
        self.last.store(NO_SIZE, Relaxed);
        self.min.store(NO_SIZE, Relaxed);
        self.max.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{AtomicSizes, Sizes};

    #[test]
    fn last_smallest_and_largest() {
        let sizes = AtomicSizes::default();
        assert_eq!(sizes.view(), None);
        for bytes in [113, 48, 114, 60] {
            sizes.record(bytes);
        }
        let (last, min, max) = (60, 48, 114);
        assert_eq!(sizes.view(), Some(Sizes { last, min, max }));
        sizes.reset();
        assert_eq!(sizes.view(), None);
        sizes.record(7);
        let (last, min, max) = (7, 7, 7);
        assert_eq!(sizes.view(), Some(Sizes { last, min, max }));
    }
}
