//! What one connection gathers while it serves one batch of requests.

use super::{
    names::AdvancedSummary, namespaces::NamespaceBatch, packets::LatencyBatch, registry::Metrics,
};

/// Numbers of one connection that have not been published yet.
///
/// Recording costs no shared memory as long as latencies and namespaces repeat, which within a batch they do; a
/// change hands over the run before it. Publish after each batch ([`Metrics::publish`]) and before dropping it.
#[derive(Debug, Default)]
pub struct ConnectionBatch {
    pub(super) packets: LatencyBatch,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) reads: Run,
    pub(super) updates: Run,
    pub(super) read_namespaces: NamespaceBatch,
    pub(super) write_namespaces: NamespaceBatch,
}

impl ConnectionBatch {
    /// Counts a frame from the client, `bytes` without the length prefix.
    #[inline]
    pub fn received(&mut self, bytes: u64) {
        self.packets.received(1);
        self.bytes_received += bytes;
    }

    /// Counts a frame to the client that answers no request, such as a watch event.
    #[inline]
    pub fn sent(&mut self, bytes: u64) {
        self.packets.sent(1);
        self.bytes_sent += bytes;
    }

    /// A request begins to wait for its answer. One that is answered within the batch may skip this and
    /// [`Self::ended`].
    #[inline]
    pub fn began(&mut self, requests: u32) {
        self.packets.began(requests);
    }

    /// Requests wait no more; also to be said of those a closing connection gives up.
    #[inline]
    pub fn ended(&mut self, requests: u32) {
        self.packets.ended(requests);
    }

    /// Counts the answer to a request without a transaction (reads and pings).
    #[inline]
    pub fn answered_read(&mut self, metrics: &Metrics, latency_ms: u64, bytes: u64) {
        self.answered(latency_ms, bytes);
        self.reads
            .record(metrics, AdvancedSummary::Readlatency, latency_ms);
    }

    /// Counts the answer to a request with a transaction (writes, also failed ones; opening and closing a session).
    #[inline]
    pub fn answered_update(&mut self, metrics: &Metrics, latency_ms: u64, bytes: u64) {
        self.answered(latency_ms, bytes);
        self.updates
            .record(metrics, AdvancedSummary::Updatelatency, latency_ms);
    }

    #[inline]
    fn answered(&mut self, latency_ms: u64, bytes: u64) {
        self.sent(bytes);
        self.packets.latency(latency_ms);
        self.packets.response_size(bytes);
    }

    /// Counts `bytes` (path and data) read under a path.
    #[inline]
    pub fn read_under(&mut self, metrics: &Metrics, path: &str, bytes: u64) {
        self.read_namespaces
            .record(metrics.read_namespaces(), path, bytes);
    }

    /// Counts `bytes` (path and data) written under a path.
    #[inline]
    pub fn wrote_under(&mut self, metrics: &Metrics, path: &str, bytes: u64) {
        self.write_namespaces
            .record(metrics.write_namespaces(), path, bytes);
    }
}

/// The same number several times in a row.
#[derive(Debug, Default)]
pub(super) struct Run {
    value: u64,
    times: u64,
}

impl Run {
    #[inline]
    fn record(&mut self, metrics: &Metrics, summary: AdvancedSummary, value: u64) {
        if value != self.value {
            self.publish(metrics, summary);
            self.value = value;
        }
        self.times += 1;
    }

    #[inline]
    pub(super) fn publish(&mut self, metrics: &Metrics, summary: AdvancedSummary) {
        metrics.record_advanced_many(summary, self.value, std::mem::take(&mut self.times));
    }
}
