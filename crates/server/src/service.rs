//! What a running server is made of, shared by its connections and its words. Nothing here decides anything.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_storage::dirs::DataDirs;
use rookeeper_storage::disk::Disk;

use crate::clock::Clock;
use crate::config::Settings;
use crate::connections::Connections;
use crate::driver::Gauges;
use crate::inbox::Inbox;
use crate::large_requests::LargeRequests;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::words::RoleReport;

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub struct ServiceLimits {
    /// Longest frame, bytes (`jute.maxbuffer`).
    pub frame: usize,
    /// Requests received and not answered, in all connections, beyond which those that have some are not read
    /// (`globalOutstandingLimit`).
    pub outstanding: usize,
    /// How long a connection may take to open a session (`nio.sessionlessCnxnTimeout`).
    pub sessionless: Duration,
}

/// A running server.
#[derive(Debug)]
pub struct Service {
    /// The tree and its watches.
    pub replica: Arc<Replica>,
    /// The way to the driver.
    pub inbox: Arc<Inbox>,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// Time.
    pub clock: Clock,
    /// Figures of the driver.
    pub gauges: Arc<Gauges>,
    /// Figures of connections.
    pub metrics: Arc<Metrics>,
    /// The trace mask of `gtmk` and `stmk`: kept, as it always was, for whoever asks.
    pub trace_mask: AtomicI64,
    /// The memory of large requests in flight.
    pub large_requests: LargeRequests,
    /// Bounds.
    pub limits: ServiceLimits,
    /// Held by whoever deletes files, or replaces the history as a whole.
    pub deleting: Arc<Mutex<()>>,
    /// As configured.
    pub settings: Arc<Settings>,
    /// Where the files are.
    pub dirs: DataDirs,
    /// How they are reached.
    pub disk: Arc<dyn Disk>,
}

impl Service {
    /// The part this server plays now.
    #[must_use]
    pub fn role(&self) -> RoleReport {
        let published = *self.gauges.role.lock();
        RoleReport::of_server(published, self.settings.ensemble.is_some())
    }
}
