//! A cache of the children of a znode, with their data.
//!
//! On the wire: a recursive watch on the parent, which also brings events of what is deeper; those are passed over. Nothing is
//! created. The parent itself is not held, and need not be there. What it promises and what not is told in [`cache`](super::cache).
//!
//! ```no_run
//! use rookeeper_client::recipes::children_cache::ChildrenCache;
//! use rookeeper_client::Client;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let workers = ChildrenCache::open(client, "/app/workers")?;
//! workers.initialized().await?;
//! for worker in workers.snapshot().iter() {
//!     println!("{} {:?}", worker.name(), worker.data.bytes);
//! }
//! # Ok(())
//! # }
//! ```

use std::ops::Deref;
use std::sync::Arc;

use super::cache::{Cache, CacheOptions, Znode};
use crate::{Client, Error};

/// A copy of all children of a znode that is kept current.
#[derive(Debug)]
pub struct ChildrenCache {
    cache: Cache,
}

impl ChildrenCache {
    /// Begins to read, with the usual settings. Needs a tokio runtime.
    pub fn open(client: &Client, path: &str) -> Result<Self, Error> {
        Self::with(client, path, CacheOptions::new())
    }

    /// The same with other settings.
    pub fn with(client: &Client, path: &str, options: CacheOptions) -> Result<Self, Error> {
        Ok(Self {
            cache: Cache::open(client, path, (1, 1), options)?,
        })
    }

    /// A child by its name, as it is held now.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Arc<Znode>> {
        let root = self.cache.root().trim_end_matches('/');
        self.cache.get(&format!("{root}/{name}"))
    }
}

impl Deref for ChildrenCache {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.cache
    }
}
