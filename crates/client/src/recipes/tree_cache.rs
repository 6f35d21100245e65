//! A cache of a znode and of what is below it, down to some depth.
//!
//! On the wire: a recursive watch on the root of the cache (Curator: `TreeCache`, `CuratorCache`); nothing is created. What is below
//! the depth is not held, but its events come. What it promises and what not is told in [`cache`](super::cache).
//!
//! ```no_run
//! use rookeeper_client::recipes::cache::CacheOptions;
//! use rookeeper_client::recipes::tree_cache::TreeCache;
//! use rookeeper_client::Client;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let options = CacheOptions::new().max_znodes(10_000).max_bytes(16 << 20);
//! let tree = TreeCache::with(client, "/app", 3, options)?;
//! tree.initialized().await?;
//! let snapshot = tree.snapshot();
//! for znode in snapshot.children("/app") {
//!     println!("{}", znode.path);
//! }
//! # Ok(())
//! # }
//! ```

use std::ops::Deref;

use super::cache::{Cache, CacheOptions};
use crate::{Client, Error};

/// A copy of a tree that is kept current. The root need not be there.
#[derive(Debug)]
pub struct TreeCache {
    cache: Cache,
}

impl TreeCache {
    /// Begins to read all that is at `path` and below it, with the usual settings. Needs a tokio runtime.
    pub fn open(client: &Client, path: &str) -> Result<Self, Error> {
        Self::with(client, path, usize::MAX, CacheOptions::new())
    }

    /// The same, no deeper than `depth` (0 is the root alone) and with other settings.
    pub fn with(
        client: &Client,
        path: &str,
        depth: usize,
        options: CacheOptions,
    ) -> Result<Self, Error> {
        Ok(Self {
            cache: Cache::open(client, path, (0, depth), options)?,
        })
    }
}

impl Deref for TreeCache {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.cache
    }
}
