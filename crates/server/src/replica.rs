//! The tree and its watches, shared by one writer and many readers.
//!
//! The driver is the only writer. A connection reads under a read guard; everything it sees there was applied, and every event of
//! what was applied is in its mailbox already, because the driver queues events before it lets the write guard go.
//!
//! Lock order: tree, then watches or a mailbox. Nobody takes the tree while holding either.

use std::ops::DerefMut;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};
use rookeeper_node::reads::WatchGate;
use rookeeper_tree::auth::AuthConfig;
use rookeeper_tree::tree::Tree;
use rookeeper_tree::watches::WatchTable;

/// What connections read.
#[derive(Debug)]
pub struct Replica {
    /// The replicated state.
    pub tree: RwLock<Tree>,
    /// The watches of this server's connections.
    pub watches: Watches,
    /// Providers and super users.
    pub auth: AuthConfig,
    /// Until when the tree may be shown, monotonic ms: a member that was cut off, or stood still, must hear of the others first.
    pub fresh_until: AtomicI64,
}

impl Replica {
    /// True while the tree may be shown.
    #[must_use]
    pub fn is_fresh(&self, mono: i64) -> bool {
        mono <= self.fresh_until.load(Ordering::Relaxed)
    }
}

/// The watch table behind its lock.
#[derive(Debug)]
pub struct Watches(pub Mutex<WatchTable>);

impl WatchGate for Watches {
    fn open(&self) -> impl DerefMut<Target = WatchTable> {
        self.0.lock()
    }
}
