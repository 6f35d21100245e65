//! Counters that only go up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with a cache line of its own, so that neighbours do not slow each other.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct AtomicCounter(AtomicU64);

impl AtomicCounter {
    #[inline]
    pub(super) fn add(&self, amount: u64) {
        if amount != 0 {
            self.0.fetch_add(amount, Relaxed);
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}
