//! A summary that also knows percentiles, from a histogram of fixed size.
//!
//! Numbers below 64 have a bucket each; above, 32 buckets share each power of two, so that a percentile is at most
//! 1/32 too high. Numbers from [`TOP`] on share the last bucket. Invariant: a percentile is never outside the
//! smallest and largest number recorded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::tally::{AtomicTally, Tally};

/// Buckets per power of two, as a power of two.
const PRECISION_BITS: u32 = 5;
/// Numbers below this one have a bucket of their own.
const EXACT: u64 = 1 << (PRECISION_BITS + 1);
/// Powers of two told apart: numbers from `1 << TOP_BITS` on share the last bucket (milliseconds: 4.6 hours).
const TOP_BITS: u32 = 24;
/// The largest number that has a bucket; larger ones are put there too.
const TOP: u64 = (1 << TOP_BITS) - 1;
/// Number of buckets.
const BUCKETS: usize =
    EXACT as usize + (((TOP_BITS - PRECISION_BITS - 1) as usize) << PRECISION_BITS);

/// Percentiles of the numbers recorded, 0 without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the numbers are not above it.
    pub p50: u64,
    /// 95 % of the numbers are not above it.
    pub p95: u64,
    /// 99 % of the numbers are not above it.
    pub p99: u64,
    /// 99.9 % of the numbers are not above it.
    pub p999: u64,
}

/// What an advanced summary shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdvancedView {
    /// Minimum, maximum, count and sum.
    pub tally: Tally,
    /// Percentiles.
    pub percentiles: Percentiles,
}

/// A tally and a histogram that many threads add to.
#[derive(Debug)]
pub(super) struct AtomicHistogram {
    tally: AtomicTally,
    buckets: Box<[AtomicU64]>,
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self {
            tally: AtomicTally::default(),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl AtomicHistogram {
    /// Adds the same number `times` times.
    #[inline]
    pub(super) fn record_many(&self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.tally.record_many(value, times);
        if let Some(bucket) = self.buckets.get(bucket_of(value)) {
            bucket.fetch_add(times, Relaxed);
        }
    }

    pub(super) fn view(&self) -> AdvancedView {
        let tally = self.tally.view();
        let counts: Vec<u64> = self.buckets.iter().map(|n| n.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let at =
            |per_mille: u64| percentile(&counts, total, per_mille).clamp(tally.min(), tally.max());
        AdvancedView {
            tally,
            percentiles: Percentiles {
                p50: at(500),
                p95: at(950),
                p99: at(990),
                p999: at(999),
            },
        }
    }

    pub(super) fn reset(&self) {
        self.tally.reset();
        self.buckets.iter().for_each(|n| n.store(0, Relaxed));
    }
}

/// The bucket of a number.
#[inline]
fn bucket_of(value: u64) -> usize {
    let value = value.min(TOP);
    if value < EXACT {
        return value as usize;
    }
    let shift = value.ilog2() - PRECISION_BITS;
    ((shift as usize) << PRECISION_BITS) + (value >> shift) as usize
}

/// The largest number of a bucket.
fn highest_of(bucket: usize) -> u64 {
    if bucket < EXACT as usize {
        return bucket as u64;
    }
    if bucket + 1 >= BUCKETS {
        return u64::MAX;
    }
    let shift = (bucket >> PRECISION_BITS) - 1;
    let leading = bucket - (shift << PRECISION_BITS);
    ((leading as u64 + 1) << shift) - 1
}

/// The number that `per_mille` of all are not above.
fn percentile(counts: &[u64], total: u64, per_mille: u64) -> u64 {
    let rank = (u128::from(total) * u128::from(per_mille)).div_ceil(1000);
    let mut seen = 0_u128;
    for (bucket, &count) in counts.iter().enumerate() {
        seen += u128::from(count);
        if count > 0 && seen >= rank {
            return highest_of(bucket);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(values: impl IntoIterator<Item = u64>) -> AdvancedView {
        let histogram = AtomicHistogram::default();
        values
            .into_iter()
            .for_each(|value| histogram.record_many(value, 1));
        histogram.view()
    }

    #[test]
    fn buckets_are_gapless_and_hold_their_numbers() {
        let mut next = 0;
        for bucket in 0..BUCKETS - 1 {
            assert_eq!(bucket_of(next), bucket, "first of bucket {bucket}");
            let highest = highest_of(bucket);
            assert_eq!(bucket_of(highest), bucket, "last of bucket {bucket}");
            assert!(
                (highest - next) * 32 <= next.max(32),
                "width of bucket {bucket}"
            );
            next = highest + 1;
        }
        assert_eq!(bucket_of(next), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn small_numbers_have_exact_percentiles() {
        let view = recorded(1..=50);
        assert_eq!(
            view.percentiles,
            Percentiles {
                p50: 25,
                p95: 48,
                p99: 50,
                p999: 50
            }
        );
        assert_eq!(view.tally, Tally::of(1, 50, 50, 1275));
    }

    #[test]
    fn large_numbers_stay_within_a_32nd_and_within_what_was_recorded() {
        let p = recorded(1..=100_000).percentiles;
        for (got, exact) in [
            (p.p50, 50_000),
            (p.p95, 95_000),
            (p.p99, 99_000),
            (p.p999, 99_900),
        ] {
            assert!(
                (exact..=exact + exact / 32).contains(&got),
                "{got} for {exact}"
            );
        }
        assert_eq!(recorded([1000]).percentiles.p50, 1000);
        assert_eq!(recorded([u64::MAX]).percentiles.p999, u64::MAX);
    }

    #[test]
    fn a_reset_forgets() {
        assert_eq!(recorded([]), AdvancedView::default());
        let histogram = AtomicHistogram::default();
        histogram.record_many(70, 3);
        histogram.record_many(70, 0);
        assert_eq!(histogram.view().tally.count(), 3);
        histogram.reset();
        assert_eq!(histogram.view(), AdvancedView::default());
    }
}
