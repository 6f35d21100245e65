//! A gate that is closed for everybody, and opened for everybody.
//!
//! On the wire (Curator's `DistributedBarrier`): one persistent znode. The barrier is closed while it is there; who is there does not
//! matter. Its missing parents are made as containers.
//!
//! Promised: nobody passes while the znode is there; everybody who waits passes after it went. It does not go with the session of who
//! set it. Not promised: that the barrier is still open when a waiter goes on; it may have been set again.
//!
//! All waiters watch the same znode, since all of them pass at once.
//!
//! ```no_run
//! use rookeeper_client::recipes::barrier::Barrier;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let barrier = Barrier::new(&client, "/barriers/maintenance");
//! barrier.set().await?;
//! // ... others wait ...
//! barrier.remove().await
//! # }
//! ```

use std::time::Duration;

use tokio::time::timeout;

use super::protected::{create_with_parents, delete};
use super::wake::woken;
use crate::{Client, CreateOptions, Error, Retry};

/// A gate for everybody. Clones are the same barrier.
#[derive(Debug, Clone)]
pub struct Barrier {
    client: Client,
    path: String,
}

impl Barrier {
    /// A barrier at `path`. Nothing is written before [`Barrier::set`].
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            path: path.into(),
        }
    }

    /// Closes it. Nothing happens if it is closed.
    pub async fn set(&self) -> Result<(), Error> {
        let options = CreateOptions::persistent();
        let create = || create_with_parents(&self.client, &self.path, "", &options);
        match Retry::forever().idempotent().run(create).await {
            Err(error) if !error.is_node_exists() => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens it, and lets everybody pass who waits. Nothing happens if it is open.
    ///
    /// When the connection breaks meanwhile this is tried again, and then also opens a barrier that somebody else has set in between.
    pub async fn remove(&self) -> Result<(), Error> {
        delete(&self.client, &self.path).await
    }

    /// Waits until it is open, until the session ends at most. Safe to cancel.
    pub async fn wait(&self) -> Result<(), Error> {
        // A server that is behind may not know yet that it was set.
        let ask = || {
            let synced = self.client.sync(&self.path);
            let stat = self.client.exists_watched(&self.path);
            async { synced.await.and(stat.await) }
        };
        let retry = Retry::forever().idempotent();
        loop {
            match retry.run(ask).await? {
                (None, _) => return Ok(()),
                (Some(_), watch) => woken(watch).await?,
            };
        }
    }

    /// The same for a limited time; false if it was still closed then.
    pub async fn wait_within(&self, time: Duration) -> Result<bool, Error> {
        match timeout(time, self.wait()).await {
            Ok(passed) => passed.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}
