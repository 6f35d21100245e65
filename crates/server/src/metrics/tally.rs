//! Minimum, maximum, count and sum of a stream of numbers, for one owner ([`Tally`]) or many ([`AtomicTally`]).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Decimal places of an average are four: 10 000 parts (operations, 3.6).
const AVERAGE_PARTS: u128 = 10_000;

/// Minimum, maximum, count and sum of the numbers recorded so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Smallest number; `u64::MAX` while `count` is 0, see [`Self::min`].
    least: u64,
    max: u64,
    count: u64,
    sum: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Nothing recorded yet.
    pub const fn new() -> Self {
        Self {
            least: u64::MAX,
            max: 0,
            count: 0,
            sum: 0,
        }
    }

    /// A tally with these values; `count` 0 means empty, whatever the rest.
    pub const fn of(min: u64, max: u64, count: u64, sum: u64) -> Self {
        if count == 0 {
            return Self::new();
        }
        Self {
            least: min,
            max,
            count,
            sum,
        }
    }

    /// Adds one number.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Adds the same number `times` times.
    #[inline]
    pub fn record_many(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.least = self.least.min(value);
        self.max = self.max.max(value);
        self.count += times;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
    }

    /// Adds everything another tally has seen.
    pub fn merge(&mut self, other: &Self) {
        self.least = self.least.min(other.least);
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Smallest number, 0 without any.
    pub const fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.least }
    }

    /// Largest number, 0 without any.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// How many numbers.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All numbers added up.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Average cut to an integer, 0 without numbers.
    pub fn average_floor(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// Average rounded to four decimal places, 0 without numbers.
    pub fn average(&self) -> f64 {
        let count = u128::from(self.count);
        let parts = (u128::from(self.sum) * AVERAGE_PARTS + count / 2)
            .checked_div(count)
            .unwrap_or(0);
        parts as f64 / AVERAGE_PARTS as f64
    }
}

/// A [`Tally`] that many threads add to. It has a cache line of its own, so that neighbours do not slow each other.
#[derive(Debug)]
#[repr(align(64))]
pub struct AtomicTally {
    least: AtomicU64,
    max: AtomicU64,
    count: AtomicU64,
    sum: AtomicU64,
}

impl Default for AtomicTally {
    fn default() -> Self {
        Self {
            least: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl AtomicTally {
    /// Adds one number.
    #[inline]
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Adds the same number `times` times.
    #[inline]
    pub fn record_many(&self, value: u64, times: u64) {
        let mut tally = Tally::new();
        tally.record_many(value, times);
        self.add(&tally);
    }

    /// Adds everything a tally has seen.
    #[inline]
    pub fn add(&self, tally: &Tally) {
        if tally.count == 0 {
            return;
        }
        lower(&self.least, tally.least);
        raise(&self.max, tally.max);
        self.sum.fetch_add(tally.sum, Relaxed);
        self.count.fetch_add(tally.count, Relaxed);
    }

    /// What has been recorded. The parts may be some recordings apart, but the minimum is never above the maximum.
    pub fn view(&self) -> Tally {
        let count = self.count.load(Relaxed);
        let max = self.max.load(Relaxed);
        let least = self.least.load(Relaxed).min(max);
        Tally::of(least, max, count, self.sum.load(Relaxed))
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.max.store(0, Relaxed);
        self.least.store(u64::MAX, Relaxed);
    }
}

/// Lowers a shared minimum. Mostly it is low enough, and a load does not take the cache line from other threads.
#[inline]
pub(super) fn lower(least: &AtomicU64, value: u64) {
    if value < least.load(Relaxed) {
        least.fetch_min(value, Relaxed);
    }
}

/// Raises a shared maximum, in the same way.
#[inline]
pub(super) fn raise(max: &AtomicU64, value: u64) {
    if value > max.load(Relaxed) {
        max.fetch_max(value, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(values: &[u64]) -> Tally {
        let mut tally = Tally::new();
        values.iter().for_each(|&value| tally.record(value));
        tally
    }

    #[test]
    fn an_empty_tally_shows_zeros() {
        let empty = Tally::new();
        assert_eq!(
            (empty.min(), empty.max(), empty.count(), empty.sum()),
            (0, 0, 0, 0)
        );
        assert_eq!((empty.average(), empty.average_floor()), (0.0, 0));
        assert_eq!(AtomicTally::default().view(), empty);
        assert_eq!(Tally::of(3, 4, 0, 5), empty);
    }

    #[test]
    fn averages_are_rounded_to_four_places() {
        assert_eq!(Tally::of(0, 65, 386, 548).average(), 1.4197);
        assert_eq!(Tally::of(0, 8, 402, 80).average(), 0.199);
        assert_eq!(Tally::of(1, 1, 1, 1).average(), 1.0);
        assert_eq!(Tally::of(0, 1, 20_000, 1).average(), 0.0001);
        assert_eq!(Tally::of(0, 1, 20_001, 1).average(), 0.0);
        assert_eq!(
            Tally::of(0, u64::MAX, 1, u64::MAX).average(),
            1.8446744073709552e19
        );
        assert_eq!(tally(&[1, 2, 2]).average_floor(), 1);
    }

    #[test]
    fn shared_and_owned_agree() {
        let shared = AtomicTally::default();
        shared.record(7);
        shared.record_many(3, 2);
        shared.record_many(1, 0);
        shared.add(&tally(&[9, 4]));
        shared.add(&Tally::new());
        let mut owned = tally(&[7, 3, 3]);
        owned.merge(&tally(&[9, 4]));
        assert_eq!(shared.view(), owned);
        assert_eq!(
            (owned.min(), owned.max(), owned.count(), owned.sum()),
            (3, 9, 5, 26)
        );
        shared.reset();
        assert_eq!(shared.view(), Tally::new());
        shared.record(5);
        assert_eq!(shared.view(), tally(&[5]));
    }

    #[test]
    fn a_half_seen_recording_shows_no_impossible_numbers() {
        let shared = AtomicTally::default();
        shared.count.store(1, Relaxed);
        assert_eq!((shared.view().min(), shared.view().max()), (0, 0));
        shared.max.store(5, Relaxed);
        assert_eq!((shared.view().min(), shared.view().max()), (5, 5));
    }
}
