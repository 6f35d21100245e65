//! What the caches of a node, of children and of a tree have in common.
//!
//! A cache is a copy of a part of the tree that is kept current by one task. It is read without waiting, and tells its changes.
//!
//! **What it promises.** A znode never goes back to an earlier version, and no change is told twice. Changes may be skipped: what is
//! written twice in a moment may be told once. After a lost connection everything is read again, and the differences are told between
//! [`Change::Stale`] and [`Change::Fresh`]; what happened and was undone meanwhile is not told. A cache is behind its server by what is
//! on its way; [`Cache::sync`] waits for that.
//!
//! **What it does not.** Different znodes are not shown as of one moment. Of a stat, what the children change (their number,
//! `cversion`, `pzxid`) and what a change of the ACL changes is as old as the last change of the data. A znode that may not be read is
//! not there, nor is what is below it.
//!
//! Servers before 3.9 have one watch for each path of a session, whatever its kind (ZOOKEEPER-4466): there, another cache or another
//! watch of the same client on the path of this one makes it read everything again, since it may have missed changes. Nothing is lost;
//! where that is too much reading, give one of them a client of its own.
//!
//! **How it hears.** By one persistent watch; by one-shot watches where a server does not know those (before 3.6), or where
//! [`CacheOptions::one_shot_watches`] says so.
//!
//! **Bounds.** Znodes and bytes are limited ([`CacheOptions`]): a cache that grows beyond ends with an error and keeps what it has.
//! Reads in flight are limited, and so is what waits for a slow reader (see [`Changes`]).
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::cache::Change;
//! use rookeeper_client::recipes::tree_cache::TreeCache;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("zk1:2181").await?;
//! let cache = TreeCache::open(&client, "/app")?;
//! if !cache.initialized_within(Duration::from_secs(10)).await? {
//!     println!("no answer yet: it goes on reading in the background");
//! }
//! let mut changes = cache.changes();
//! while let Some(change) = changes.next().await {
//!     if let Change::Added(znode) = change {
//!         println!("{} is there, with {} bytes", znode.path, znode.data.bytes.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What lives here: `scope` (which znodes belong), `survey` (what is to be read), `reading` (reads on their way), `attention` and
//! `bells` (watches), `contents` (what is held), `changes` (what is told), `upkeep` (the task that puts them together).

mod attention;
mod bells;
mod changes;
mod contents;
mod reading;
mod scope;
mod survey;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Client, Data, Error, Retry};
pub use changes::{Change, Changes};
pub use contents::Snapshot;
use contents::{Contents, Standing};
use scope::Scope;
use upkeep::{Upkeep, Waiter, Work};

/// Znodes that a cache holds at most, unless another limit is set.
pub const MAX_ZNODES: usize = 1_000_000;
/// Bytes that a cache holds at most, paths and data and a part for each znode, unless another limit is set.
pub const MAX_BYTES: usize = 512 << 20;
/// Reads of a cache on the wire at once, unless another number is set.
pub const READS_IN_FLIGHT: usize = 256;

/// A znode as a cache holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// Its path in the client's view.
    pub path: Arc<str>,
    /// Its data and its stat.
    pub data: Data,
}

impl Znode {
    /// The last part of its path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Why a cache changes no more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CacheError {
    /// The session has ended, or a server said what cannot be understood.
    #[error(transparent)]
    Client(#[from] Error),
    /// There are more znodes than it may hold.
    #[error("there are more than {limit} znodes at {root}: the cache has ended")]
    TooManyZnodes {
        /// The cache's root.
        root: String,
        /// The limit.
        limit: usize,
    },
    /// Its znodes are larger than it may hold.
    #[error("the znodes at {root} have more than {limit} bytes: the cache has ended")]
    TooManyBytes {
        /// The cache's root.
        root: String,
        /// The limit.
        limit: usize,
    },
    /// The cache was dropped.
    #[error("the cache was dropped")]
    Dropped,
}

/// Settings of a cache. Everything has a default.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    pub(super) one_shot_watches: bool,
    max_znodes: usize,
    max_bytes: usize,
    reads_in_flight: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            one_shot_watches: false,
            max_znodes: MAX_ZNODES,
            max_bytes: MAX_BYTES,
            reads_in_flight: READS_IN_FLIGHT,
        }
    }
}

impl CacheOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Use one-shot watches even where the server has persistent ones. Each znode then costs up to two watches, and each change a
    /// read that leaves another.
    #[must_use]
    pub const fn one_shot_watches(mut self, only: bool) -> Self {
        self.one_shot_watches = only;
        self
    }

    /// Znodes to hold at most; beyond it the cache ends with [`CacheError::TooManyZnodes`]. [`MAX_ZNODES`] unless set. While it reads,
    /// it may know the names of as many again.
    #[must_use]
    pub const fn max_znodes(mut self, znodes: usize) -> Self {
        self.max_znodes = znodes;
        self
    }

    /// Bytes to hold at most; beyond it the cache ends with [`CacheError::TooManyBytes`]. [`MAX_BYTES`] unless set.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Reads on the wire at once, at least 1. [`READS_IN_FLIGHT`] unless set.
    #[must_use]
    pub fn reads_in_flight(mut self, reads: usize) -> Self {
        self.reads_in_flight = reads.max(1);
        self
    }
}

/// A part of the tree that is kept current. What all caches can do; each derefs to it.
///
/// Dropping it ends its task and its streams, and removes its watches.
#[derive(Debug)]
pub struct Cache {
    client: Client,
    root: Arc<str>,
    contents: Arc<Contents>,
    waiters: mpsc::UnboundedSender<Waiter>,
    task: JoinHandle<()>,
}

impl Cache {
    /// Begins to read. Needs a tokio runtime.
    pub(super) fn open(
        client: &Client,
        root: &str,
        (first, last): (usize, usize),
        options: CacheOptions,
    ) -> Result<Self, Error> {
        // A view from a path that is none is refused.
        client.chroot(root)?;
        let contents = Arc::new(Contents::new());
        let (waiters, asked) = mpsc::unbounded_channel();
        let scope = Scope::new(root, first, last);
        let root = Arc::clone(&scope.root);
        let upkeep = Upkeep {
            client: client.clone(),
            scope,
            options,
            contents: Arc::clone(&contents),
            waiters: asked,
            work: Work::default(),
        };
        Ok(Self {
            client: client.clone(),
            root,
            contents,
            waiters,
            task: tokio::spawn(upkeep.run()),
        })
    }

    /// The path that it was made for.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Everything it holds now. The next change after this copies the map once (not the znodes).
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.contents.snapshot()
    }

    /// One znode, as it is held now.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Arc<Znode>> {
        self.contents.get(path)
    }

    /// A number that grows with every change of what is held.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.contents.revision()
    }

    /// What it holds, as additions, and every change from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes {
            queue: self.contents.follow(),
        }
    }

    /// Waits until all that was there has been read once; through an outage too. Safe to cancel.
    pub async fn initialized(&self) -> Result<(), CacheError> {
        let mut standing = self.contents.standing();
        let reached = standing.wait_for(|standing| *standing != Standing::Loading);
        match reached.await.as_deref() {
            Ok(Standing::Ended(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(CacheError::Dropped),
        }
    }

    /// The same, waiting no longer than `time`: false if it was not read by then.
    pub async fn initialized_within(&self, time: Duration) -> Result<bool, CacheError> {
        match timeout(time, self.initialized()).await {
            Ok(initialized) => initialized.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// True when everything was read and the connection is there. False says that what is held may be old.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        *self.contents.standing().borrow() == Standing::Fresh
    }

    /// Waits until it holds everything that was committed when this was called; tries again while the connection is lost. Safe to
    /// cancel.
    pub async fn sync(&self) -> Result<(), CacheError> {
        let retry = Retry::forever().idempotent();
        retry.run(|| self.client.sync(&self.root)).await?;
        let (waiter, done) = oneshot::channel();
        // Nobody there to do it: the end has a reason.
        let _ = self.waiters.send(waiter);
        done.await.map_err(|_| self.end())
    }

    fn end(&self) -> CacheError {
        match &*self.contents.standing().borrow() {
            Standing::Ended(error) => error.clone(),
            _ => CacheError::Dropped,
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.task.abort();
        self.contents.end(CacheError::Dropped);
    }
}
