//! Packets, latencies, response sizes and outstanding requests: the numbers of `srvr` and of the first lines of
//! `mntr` (operations, 2.2 and 3.5).

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::{
    counters::AtomicCounter,
    sizes::{AtomicSizes, Sizes},
    tally::{AtomicTally, Tally},
};

/// What one owner has seen since it last published; plain numbers, no shared memory.
#[derive(Debug, Default)]
pub struct LatencyBatch {
    packets_received: u64,
    packets_sent: u64,
    outstanding: i64,
    latency: Tally,
    responses: Option<Sizes>,
}

impl LatencyBatch {
    /// Counts frames from a client: requests, pings, handshakes, four-letter words.
    #[inline]
    pub fn received(&mut self, packets: u64) {
        self.packets_received += packets;
    }

    /// Counts frames to a client: answers and watch events.
    #[inline]
    pub fn sent(&mut self, packets: u64) {
        self.packets_sent += packets;
    }

    /// Requests that begin to wait for their answer.
    #[inline]
    pub fn began(&mut self, requests: u32) {
        self.outstanding += i64::from(requests);
    }

    /// Requests that wait no more: answered, or given up because their connection closed.
    #[inline]
    pub fn ended(&mut self, requests: u32) {
        self.outstanding -= i64::from(requests);
    }

    /// Milliseconds from receipt to answer of one request.
    #[inline]
    pub fn latency(&mut self, ms: u64) {
        self.latency.record(ms);
    }

    /// Size of one answer, without its length prefix.
    #[inline]
    pub fn response_size(&mut self, bytes: u64) {
        Sizes::record(&mut self.responses, bytes);
    }
}

/// The shared numbers.
#[derive(Debug, Default)]
pub struct PacketStats {
    received: AtomicCounter,
    sent: AtomicCounter,
    outstanding: AtomicI64,
    latency: AtomicTally,
    responses: AtomicSizes,
}

/// The shared numbers at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketView {
    /// Frames from clients.
    pub received: u64,
    /// Frames to clients.
    pub sent: u64,
    /// Requests received and not answered.
    pub outstanding: u64,
    /// Milliseconds from receipt to answer.
    pub latency: Tally,
    /// Sizes of answers; `None` before the first.
    pub responses: Option<Sizes>,
}

impl PacketStats {
    /// Takes over what a batch has gathered and empties it.
    #[inline]
    pub fn publish(&self, batch: &mut LatencyBatch) {
        let batch = std::mem::take(batch);
        self.received.add(batch.packets_received);
        self.sent.add(batch.packets_sent);
        self.latency.add(&batch.latency);
        if batch.outstanding != 0 {
            self.outstanding.fetch_add(batch.outstanding, Relaxed);
        }
        if let Some(sizes) = batch.responses {
            self.responses.add(sizes);
        }
    }

    /// The numbers now.
    pub fn view(&self) -> PacketView {
        PacketView {
            received: self.received.value(),
            sent: self.sent.value(),
            outstanding: u64::try_from(self.outstanding.load(Relaxed)).unwrap_or(0),
            latency: self.latency.view(),
            responses: self.responses.view(),
        }
    }

    /// Forgets all but the outstanding requests: they are still there.
    pub fn reset(&self) {
        self.received.reset();
        self.sent.reset();
        self.latency.reset();
        self.responses.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(ms: u64, bytes: u64) -> LatencyBatch {
        let mut batch = LatencyBatch::default();
        batch.received(1);
        batch.began(1);
        batch.latency(ms);
        batch.response_size(bytes);
        batch.sent(1);
        batch.ended(1);
        batch
    }

    #[test]
    fn batches_add_up_and_are_empty_afterwards() {
        let stats = PacketStats::default();
        assert_eq!(stats.view(), PacketView::default());
        let mut batch = exchange(3, 300);
        batch.latency(1);
        batch.response_size(16);
        batch.began(2);
        stats.publish(&mut batch);
        stats.publish(&mut batch);
        stats.publish(&mut exchange(9, 20));
        let expected = PacketView {
            received: 2,
            sent: 2,
            outstanding: 2,
            latency: Tally::of(1, 9, 3, 13),
            responses: Some(Sizes {
                last: 20,
                min: 16,
                max: 300,
            }),
        };
        assert_eq!(stats.view(), expected);
    }

    #[test]
    fn a_reset_keeps_what_still_waits() {
        let stats = PacketStats::default();
        let mut batch = exchange(3, 300);
        batch.began(4);
        stats.publish(&mut batch);
        stats.reset();
        let expected = PacketView {
            outstanding: 4,
            ..PacketView::default()
        };
        assert_eq!(stats.view(), expected);
        batch.ended(5);
        stats.publish(&mut batch);
        assert_eq!(stats.view().outstanding, 0, "never below nothing");
    }
}
