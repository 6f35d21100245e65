//! The registry: every counter and summary of one server.

use std::collections::BTreeMap;

use super::{
    batch::ConnectionBatch,
    counters::AtomicCounter,
    names::{AdvancedSummary, Counter, LastingCounter, Summary},
    namespaces::Namespaces,
    packets::{LatencyBatch, PacketStats},
    percentiles::{AdvancedView, AtomicHistogram},
    sizes::AtomicSizes,
    tally::{AtomicTally, Tally},
};

/// Everything one server counts. Made once, shared by `Arc`.
#[derive(Debug)]
pub struct Metrics {
    counters: [AtomicCounter; Counter::COUNT],
    lasting: [AtomicCounter; LastingCounter::COUNT],
    summaries: [AtomicTally; Summary::COUNT],
    advanced: [AtomicHistogram; AdvancedSummary::COUNT],
    read_namespaces: Namespaces,
    write_namespaces: Namespaces,
    /// Only the count of each namespace is used.
    quota_exceeded: Namespaces,
    packets: PacketStats,
    proposals: AtomicSizes,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            counters: zeros(),
            lasting: zeros(),
            summaries: zeros(),
            advanced: zeros(),
            read_namespaces: Namespaces::default(),
            write_namespaces: Namespaces::default(),
            quota_exceeded: Namespaces::default(),
            packets: PacketStats::default(),
            proposals: AtomicSizes::default(),
        }
    }
}

/// An array of defaults; `Default` itself stops at 32.
fn zeros<T: Default, const N: usize>() -> [T; N] {
    std::array::from_fn(|_| T::default())
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds 1 to a counter.
    #[inline]
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds to a counter.
    #[inline]
    pub fn add(&self, counter: Counter, amount: u64) {
        self.counters[counter as usize].add(amount);
    }

    /// Adds 1 to a counter that outlives resets.
    #[inline]
    pub fn count_lasting(&self, counter: LastingCounter) {
        self.lasting[counter as usize].add(1);
    }

    /// Adds a number to a summary.
    #[inline]
    pub fn record(&self, summary: Summary, value: u64) {
        self.summaries[summary as usize].record(value);
    }

    /// Adds a number to a summary with percentiles.
    #[inline]
    pub fn record_advanced(&self, summary: AdvancedSummary, value: u64) {
        self.record_advanced_many(summary, value, 1);
    }

    /// Adds the same number `times` times to a summary with percentiles.
    #[inline]
    pub fn record_advanced_many(&self, summary: AdvancedSummary, value: u64, times: u64) {
        self.advanced[summary as usize].record_many(value, times);
    }

    /// `read_per_namespace`: bytes of path and data of each read.
    pub fn read_namespaces(&self) -> &Namespaces {
        &self.read_namespaces
    }

    /// `write_per_namespace`: bytes of path and data of each write.
    pub fn write_namespaces(&self) -> &Namespaces {
        &self.write_namespaces
    }

    /// Counts a write refused or warned about because of the quota over `path`.
    pub fn count_quota_exceeded(&self, path: &str) {
        self.quota_exceeded.record(path, 1);
    }

    /// Packets, latencies, response sizes, outstanding requests.
    pub fn packets(&self) -> &PacketStats {
        &self.packets
    }

    /// Sizes of the transactions proposed while leading, in bytes. Who begins to lead resets them.
    pub fn proposals(&self) -> &AtomicSizes {
        &self.proposals
    }

    /// Takes over what a connection has gathered and empties its batch.
    #[inline]
    pub fn publish(&self, batch: &mut ConnectionBatch) {
        self.packets.publish(&mut batch.packets);
        self.add(
            Counter::BytesReceivedCount,
            std::mem::take(&mut batch.bytes_received),
        );
        self.add(
            Counter::ResponseBytes,
            std::mem::take(&mut batch.bytes_sent),
        );
        batch.reads.publish(self, AdvancedSummary::Readlatency);
        batch.updates.publish(self, AdvancedSummary::Updatelatency);
        batch.read_namespaces.publish(&self.read_namespaces);
        batch.write_namespaces.publish(&self.write_namespaces);
    }

    /// Counts a four-letter word: one packet in, one out.
    pub fn count_word(&self) {
        let mut batch = LatencyBatch::default();
        batch.received(1);
        batch.sent(1);
        self.packets.publish(&mut batch);
    }

    /// All numbers now, except the packets ([`Self::packets`]) and the proposals ([`Self::proposals`]).
    pub fn snapshot(&self) -> Snapshot {
        let quota = self.quota_exceeded.view();
        Snapshot {
            counters: self.counters.each_ref().map(AtomicCounter::value),
            lasting: self.lasting.each_ref().map(AtomicCounter::value),
            summaries: self.summaries.each_ref().map(AtomicTally::view),
            advanced: self.advanced.each_ref().map(AtomicHistogram::view),
            read_per_namespace: self.read_namespaces.view(),
            write_per_namespace: self.write_namespaces.view(),
            quota_exceeded_per_namespace: quota
                .into_iter()
                .map(|(name, tally)| (name, tally.count()))
                .collect(),
        }
    }

    /// Sets all back to the beginning, except [`LastingCounter`]s and outstanding requests.
    pub fn reset(&self) {
        self.counters.iter().for_each(AtomicCounter::reset);
        self.summaries.iter().for_each(AtomicTally::reset);
        self.advanced.iter().for_each(AtomicHistogram::reset);
        self.read_namespaces.reset();
        self.write_namespaces.reset();
        self.quota_exceeded.reset();
        self.packets.reset();
        self.proposals.reset();
    }
}

/// The numbers of a [`Metrics`] at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// In the order of [`Counter::ALL`].
    pub counters: [u64; Counter::COUNT],
    /// In the order of [`LastingCounter::ALL`].
    pub lasting: [u64; LastingCounter::COUNT],
    /// In the order of [`Summary::ALL`].
    pub summaries: [Tally; Summary::COUNT],
    /// In the order of [`AdvancedSummary::ALL`].
    pub advanced: [AdvancedView; AdvancedSummary::COUNT],
    /// By namespace, as clients wrote it.
    pub read_per_namespace: BTreeMap<String, Tally>,
    /// By namespace, as clients wrote it.
    pub write_per_namespace: BTreeMap<String, Tally>,
    /// By namespace, as clients wrote it.
    pub quota_exceeded_per_namespace: BTreeMap<String, u64>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            counters: [0; Counter::COUNT],
            lasting: [0; LastingCounter::COUNT],
            summaries: [Tally::new(); Summary::COUNT],
            advanced: [AdvancedView::default(); AdvancedSummary::COUNT],
            read_per_namespace: BTreeMap::new(),
            write_per_namespace: BTreeMap::new(),
            quota_exceeded_per_namespace: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{PacketView, Sizes};

    #[test]
    fn a_new_registry_shows_zeros() {
        assert_eq!(Metrics::new().snapshot(), Snapshot::default());
    }

    #[test]
    fn every_metric_is_recorded_in_its_own_place() {
        let metrics = Metrics::new();
        for (n, counter) in (1..).zip(Counter::ALL) {
            metrics.add(counter, n);
        }
        for (n, summary) in (1..).zip(Summary::ALL) {
            metrics.record(summary, n);
        }
        for (n, summary) in (1..).zip(AdvancedSummary::ALL) {
            metrics.record_advanced(summary, n);
        }
        let snapshot = metrics.snapshot();
        assert!((1..).zip(snapshot.counters).all(|(n, value)| n == value));
        assert!(
            (1..)
                .zip(snapshot.summaries)
                .all(|(n, tally)| tally == Tally::of(n, n, 1, n))
        );
        assert!(
            (1..)
                .zip(snapshot.advanced)
                .all(|(n, view)| view.percentiles.p999 == n)
        );
    }

    #[test]
    fn a_connection_publishes_what_it_gathered() {
        let metrics = Metrics::new();
        let mut batch = ConnectionBatch::default();
        batch.received(40);
        batch.received(60);
        batch.began(1);
        for ms in [0, 0, 2] {
            batch.answered_read(&metrics, ms, 16);
        }
        batch.read_under(&metrics, "/app/a", 100);
        batch.wrote_under(&metrics, "/kafka", 7);
        batch.answered_update(&metrics, 5, 20);
        batch.sent(30);
        metrics.publish(&mut batch);
        metrics.publish(&mut batch);
        metrics.count_word();

        let packets = PacketView {
            received: 3,
            sent: 6,
            outstanding: 1,
            latency: Tally::of(0, 5, 4, 7),
            responses: Some(Sizes {
                last: 20,
                min: 16,
                max: 20,
            }),
        };
        assert_eq!(metrics.packets().view(), packets);
        let snapshot = metrics.snapshot();
        let advanced = |summary: AdvancedSummary| snapshot.advanced[summary as usize];
        assert_eq!(
            advanced(AdvancedSummary::Readlatency).tally,
            Tally::of(0, 2, 3, 2)
        );
        assert_eq!(advanced(AdvancedSummary::Readlatency).percentiles.p50, 0);
        assert_eq!(
            advanced(AdvancedSummary::Updatelatency).tally,
            Tally::of(5, 5, 1, 5)
        );
        assert_eq!(snapshot.counters[Counter::BytesReceivedCount as usize], 100);
        assert_eq!(snapshot.counters[Counter::ResponseBytes as usize], 98);
        assert_eq!(
            snapshot.read_per_namespace["app"],
            Tally::of(100, 100, 1, 100)
        );
        assert_eq!(snapshot.write_per_namespace["kafka"], Tally::of(7, 7, 1, 7));
    }

    #[test]
    fn a_reset_keeps_lasting_counters() {
        let metrics = Metrics::new();
        metrics.count(Counter::WatchBytes);
        metrics.count_quota_exceeded("/app/x");
        metrics.count_lasting(LastingCounter::FsyncThresholdExceeded);
        assert_eq!(metrics.snapshot().quota_exceeded_per_namespace["app"], 1);
        metrics.count_word();
        metrics.reset();
        let mut expected = Snapshot::default();
        expected.lasting[LastingCounter::FsyncThresholdExceeded as usize] = 1;
        assert_eq!(metrics.snapshot(), expected);
        assert_eq!(metrics.packets().view(), PacketView::default());
    }

    #[test]
    fn threads_lose_nothing() {
        const THREADS: u64 = 4;
        const ROUNDS: u64 = 2_000;
        let metrics = Metrics::new();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let metrics = &metrics;
                scope.spawn(move || {
                    let mut batch = ConnectionBatch::default();
                    for n in 0..ROUNDS {
                        batch.answered_read(metrics, n % 3, 16);
                        batch.read_under(metrics, &format!("/t{}", (thread + n) % 5), 1);
                        metrics.publish(&mut batch);
                    }
                });
            }
        });
        let snapshot = metrics.snapshot();
        let latency = snapshot.advanced[AdvancedSummary::Readlatency as usize].tally;
        assert_eq!(latency.count(), THREADS * ROUNDS);
        assert_eq!(metrics.packets().view().latency, latency);
        let names = snapshot.read_per_namespace;
        assert_eq!(
            (names.len(), names.values().map(Tally::count).sum()),
            (5, THREADS * ROUNDS)
        );
    }

    /// Snapshots and resets come at any moment; nothing they see may stop the server.
    #[test]
    fn readers_and_resets_run_beside_recording() {
        const ROUNDS: u64 = 5_000;
        let metrics = Metrics::new();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 0..ROUNDS {
                    metrics.record_advanced(AdvancedSummary::Readlatency, 50 + n % 100);
                    metrics.read_namespaces().record("/app", n);
                }
            });
            while !writer.is_finished() {
                let view = metrics.snapshot().advanced[AdvancedSummary::Readlatency as usize];
                assert!(view.tally.min() <= view.tally.max());
                assert!(view.percentiles.p999 <= view.tally.max());
                metrics.reset();
            }
        });
    }
}
