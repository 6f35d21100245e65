//! Chooses among the instances of a service, without waiting: the instances are held in a cache.
//!
//! On the wire: what a [`ChildrenCache`] does on `<base>/<name>`; nothing is created (Curator: `ServiceProvider`).
//!
//! What it promises: what is chosen was registered and enabled when the cache last heard, and did not fail often of late
//! ([`Provider::note_error`]). What it does not: that it is still there; while the connection is lost, the last known instances are
//! offered.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::discovery::Discovery;
//! use rookeeper_client::recipes::provider::Strategy;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("zk1:2181").await?;
//! let provider = Discovery::new(&client, "/services")?.provider("shop", Strategy::RoundRobin)?;
//! provider.initialized_within(Duration::from_secs(10)).await?;
//! match provider.pick() {
//!     Some(instance) => println!("ask {instance}"),
//!     None => println!("nobody is there"),
//! }
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::debug;

use super::cache::CacheOptions;
use super::children_cache::ChildrenCache;
use super::discovery::ServiceInstance;
use crate::{Client, Error, Zxid};

/// An instance that fails so often is left out.
pub const ERRORS: u32 = 2;
/// For so long, counted from its first error. Errors longer ago are forgotten.
pub const LEFT_OUT: Duration = Duration::from_secs(30);

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// One after another, in the order of their znodes.
    #[default]
    RoundRobin,
    /// Any, each as likely as the others.
    Random,
    /// The same as before as long as it is there, then any other.
    Sticky,
}

/// The instances of one service, and a way to choose.
#[derive(Debug)]
pub struct Provider {
    cache: ChildrenCache,
    strategy: Strategy,
    errors: u32,
    left_out: Duration,
    known: Mutex<Known>,
}

/// What was made of the cache's znodes.
#[derive(Debug, Default)]
struct Known {
    /// Of the cache; `None` before the first look.
    revision: Option<u64>,
    /// By path, with the version that was read; `None` for what is no instance.
    read: BTreeMap<Arc<str>, (Zxid, Option<Arc<ServiceInstance>>)>,
    failures: BTreeMap<String, Failures>,
    next: usize,
    stuck_to: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    first: Instant,
    count: u32,
}

impl Provider {
    /// Begins to look at the instances below `service`. Needs a tokio runtime.
    pub fn new(client: &Client, service: &str, strategy: Strategy) -> Result<Self, Error> {
        Self::with(client, service, strategy, CacheOptions::new())
    }

    /// The same with other settings of its cache.
    pub fn with(
        client: &Client,
        service: &str,
        strategy: Strategy,
        options: CacheOptions,
    ) -> Result<Self, Error> {
        Ok(Self {
            cache: ChildrenCache::with(client, service, options)?,
            strategy,
            errors: ERRORS,
            left_out: LEFT_OUT,
            known: Mutex::default(),
        })
    }

    /// Leaves out an instance with so many errors (at least 1) for so long, counted from its first error. [`ERRORS`] and [`LEFT_OUT`]
    /// unless set.
    #[must_use]
    pub fn leave_out(mut self, errors: u32, time: Duration) -> Self {
        self.errors = errors.max(1);
        self.left_out = time;
        self
    }

    /// All instances that may be used, those that failed left out.
    #[must_use]
    pub fn instances(&self) -> Vec<Arc<ServiceInstance>> {
        self.usable(&mut self.known.lock())
    }

    /// One of them; `None` if there is none.
    #[must_use]
    pub fn pick(&self) -> Option<Arc<ServiceInstance>> {
        let mut known = self.known.lock();
        let usable = self.usable(&mut known);
        let chosen = match self.strategy {
            _ if usable.is_empty() => None,
            Strategy::RoundRobin => {
                let turn = known.next;
                known.next = turn.wrapping_add(1);
                usable.get(turn % usable.len())
            }
            Strategy::Random => fastrand::choice(&usable),
            Strategy::Sticky => {
                let same = |of: &&Arc<ServiceInstance>| Some(&of.id) == known.stuck_to.as_ref();
                usable
                    .iter()
                    .find(same)
                    .or_else(|| fastrand::choice(&usable))
            }
        };
        known.stuck_to = chosen.map(|instance| instance.id.clone());
        chosen.cloned()
    }

    /// An instance did not do what it should. When it failed often enough, it is left out for a while.
    pub fn note_error(&self, instance: &ServiceInstance) {
        let mut known = self.known.lock();
        known
            .failures
            .retain(|_, failures| failures.first.elapsed() < self.left_out);
        let first = Failures {
            first: Instant::now(),
            count: 0,
        };
        let failures = known.failures.entry(instance.id.clone()).or_insert(first);
        failures.count = failures.count.saturating_add(1);
    }

    fn usable(&self, known: &mut Known) -> Vec<Arc<ServiceInstance>> {
        self.look(known);
        let is_up = |instance: &&Arc<ServiceInstance>| {
            instance.is_enabled && !self.is_left_out(known.failures.get(&instance.id))
        };
        let read = known.read.values().filter_map(|(_, read)| read.as_ref());
        read.filter(is_up).cloned().collect()
    }

    fn is_left_out(&self, failures: Option<&Failures>) -> bool {
        failures.is_some_and(|failures| {
            failures.count >= self.errors && failures.first.elapsed() < self.left_out
        })
    }

    /// Reads what has changed since the last look.
    fn look(&self, known: &mut Known) {
        // Before the snapshot: one that is newer only costs another look.
        let revision = self.cache.revision();
        if known.revision == Some(revision) {
            return;
        }
        let mut before = std::mem::take(&mut known.read);
        for znode in self.cache.snapshot().iter() {
            let mzxid = znode.data.stat.mzxid;
            let kept = before.remove(&znode.path).filter(|(of, _)| *of == mzxid);
            let entry = kept.unwrap_or_else(|| (mzxid, read(&znode.path, &znode.data.bytes)));
            known.read.insert(Arc::clone(&znode.path), entry);
        }
        known.revision = Some(revision);
    }
}

fn read(path: &str, text: &[u8]) -> Option<Arc<ServiceInstance>> {
    match ServiceInstance::from_json(text) {
        Ok(instance) => Some(Arc::new(instance)),
        Err(why) => {
            debug!(path, %why, "passed over");
            None
        }
    }
}

impl Deref for Provider {
    type Target = ChildrenCache;

    /// The cache that it chooses from.
    fn deref(&self) -> &ChildrenCache {
        &self.cache
    }
}
