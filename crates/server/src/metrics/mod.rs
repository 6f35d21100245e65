//! What a running server counts: one registry, shared by reference, without globals.
//!
//! Here live counters, summaries and the packet accounting. Gauges do not: their values are computed when somebody
//! asks and travel in the report of [`crate::words`]. Text is not made here either; [`Metrics::snapshot`] hands
//! out plain numbers.
//!
//! Invariants:
//! - Recording never blocks, never allocates (except at the first sight of a namespace) and uses relaxed atomics
//!   only. Numbers read together may therefore be a few recordings apart.
//! - The hot path touches shared memory once per batch: a connection gathers in a [`ConnectionBatch`] and
//!   publishes it with [`Metrics::publish`].
//! - The metrics are a closed set with the names of operations, 3.4; those of parts that Rookeeper does not have
//!   are never recorded and stay 0.
//! - [`Metrics::reset`] (the word `srst`) sets everything to its beginning except [`LastingCounter`]s and the
//!   number of outstanding requests. A recording that happens during a reset may be lost.

mod batch;
mod counters;
mod names;
mod namespaces;
mod packets;
mod percentiles;
mod registry;
mod sizes;
mod tally;

pub use batch::ConnectionBatch;
pub use names::{AdvancedSummary, Counter, LastingCounter, Summary};
pub use namespaces::{
    MAX_NAMESPACE_BYTES, MAX_NAMESPACES, NamespaceBatch, NamespaceId, Namespaces, OTHER_NAMESPACES,
    namespace,
};
pub use packets::{LatencyBatch, PacketStats, PacketView};
pub use percentiles::{AdvancedView, Percentiles};
pub use registry::{Metrics, Snapshot};
pub use sizes::{AtomicSizes, Sizes};
pub use tally::{AtomicTally, Tally};
