//! A cache of one znode.
//!
//! On the wire: a persistent watch on the path (Curator: `NodeCache`, `CuratorCache` with `SINGLE_NODE_CACHE`); nothing is created.
//! What it promises and what not is told in [`cache`](super::cache).
//!
//! ```no_run
//! use rookeeper_client::recipes::node_cache::NodeCache;
//! use rookeeper_client::Client;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = NodeCache::open(client, "/app/settings")?;
//! settings.initialized().await?;
//! println!("{:?}", settings.data());
//! let mut changes = settings.changes();
//! while let Some(change) = changes.next().await {
//!     println!("{change:?}");
//! }
//! # Ok(())
//! # }
//! ```

use std::ops::Deref;
use std::sync::Arc;

use super::cache::{Cache, CacheOptions, Znode};
use crate::{Client, Error};

/// A copy of one znode that is kept current. The znode need not be there.
#[derive(Debug)]
pub struct NodeCache {
    cache: Cache,
}

impl NodeCache {
    /// Begins to read, with the usual settings. Needs a tokio runtime.
    pub fn open(client: &Client, path: &str) -> Result<Self, Error> {
        Self::with(client, path, CacheOptions::new())
    }

    /// The same with other settings.
    pub fn with(client: &Client, path: &str, options: CacheOptions) -> Result<Self, Error> {
        Ok(Self {
            cache: Cache::open(client, path, (0, 0), options)?,
        })
    }

    /// The znode as it is held now, `None` if it is not there.
    #[must_use]
    pub fn data(&self) -> Option<Arc<Znode>> {
        self.cache.get(self.cache.root())
    }
}

impl Deref for NodeCache {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.cache
    }
}
