//! What was said over one connection, for the word `cons`. Written by the connection once per turn, read by whoever asks.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{Xid, Zxid};

use crate::clock;

/// Figures of one connection.
#[derive(Debug)]
pub struct Talk {
    /// When it was accepted, ms since 1970.
    pub established: i64,
    /// Frames received.
    pub received: AtomicU64,
    /// Frames sent.
    pub sent: AtomicU64,
    /// Requests received and not answered.
    pub queued: AtomicU64,
    /// Negotiated timeout, ms.
    pub timeout_ms: AtomicI32,
    /// What was answered last.
    pub last: Mutex<Last>,
}

/// What was answered last, and how long answers took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Last {
    /// The operation; 0 before the first.
    pub op: i32,
    /// Its number.
    pub xid: Option<Xid>,
    /// The zxid of its reply.
    pub zxid: Zxid,
    /// When, monotonic ms.
    pub at: i64,
    /// How long it took, ms.
    pub latency: i64,
    /// Shortest, ms.
    pub min: i64,
    /// Longest, ms.
    pub max: i64,
    /// Sum, ms.
    pub sum: i64,
    /// Number of answers.
    pub count: i64,
}

impl Talk {
    /// A connection begins.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            established: clock::wall(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            timeout_ms: AtomicI32::new(0),
            last: Mutex::default(),
        }
    }

    /// Begins counting anew.
    pub fn reset(&self) {
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        *self.last.lock() = Last::default();
    }
}

impl Last {
    /// The session is on.
    pub const fn opened(&mut self) {
        self.op = OpCode::CreateSession.code();
        self.xid = Some(Xid(0));
    }

    /// One more answer, after `latency` ms. Special numbers (pings, setWatches) do not count as the client's last.
    pub fn note(&mut self, op: i32, xid: Xid, at: i64, latency: i64) {
        self.op = op;
        if xid.0 >= 0 {
            self.xid = Some(xid);
        }
        self.at = at;
        self.latency = latency;
        self.min = if self.count == 0 {
            latency
        } else {
            self.min.min(latency)
        };
        self.max = self.max.max(latency);
        self.sum += latency;
        self.count += 1;
    }
}
