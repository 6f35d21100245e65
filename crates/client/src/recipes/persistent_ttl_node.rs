//! A znode that outlives its process by a while: it is removed when nobody has touched it for its time to live.
//!
//! On the wire: a container at the path, kept as a [`PersistentNode`], and below it the znode `touch` with a TTL (Curator:
//! `PersistentTtlNode`). It is touched (written, without data) at a third of its TTL. When the process is gone, the server removes `touch` after
//! the TTL and the container some time after that.
//!
//! What it promises: as long as the session can write now and then, both are there, and come back when they are deleted. What it does
//! not: the moment of the removal is the server's, which looks about once a minute unless it is told otherwise; and the server needs
//! `extendedTypesEnabled`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use rookeeper_client::recipes::persistent_ttl_node::PersistentTtlNode;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example(client: &Client) -> Result<(), Error> {
//! let node = PersistentTtlNode::open(client, "/jobs/42", "half done", Duration::from_secs(600))?;
//! node.created().await?;
//! // The process may die and be started again within ten minutes: the znode stays.
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::debug;

use super::persistent_node::{Creations, PersistentNode};
use super::protected;
use crate::{Client, CreateOptions, Error, Expected, Retry};

/// The child that is touched.
const TOUCH: &str = "touch";
/// It is touched so many times within its TTL.
const TOUCHES: u32 = 3;

/// A znode that is removed some time after nobody keeps it any more.
///
/// Dropping it leaves the znode to its TTL. [`PersistentTtlNode::close`] deletes it at once.
#[derive(Debug)]
pub struct PersistentTtlNode {
    node: PersistentNode,
    client: Client,
    child: Arc<str>,
    touched: watch::Receiver<Option<Result<(), Error>>>,
    toucher: JoinHandle<()>,
}

impl PersistentTtlNode {
    /// Begins to keep a znode at `path`. Missing parents are made. The TTL is 1 ms to about 34 years. Needs a tokio runtime.
    pub fn open(
        client: &Client,
        path: &str,
        data: impl Into<Bytes>,
        ttl: Duration,
    ) -> Result<Self, Error> {
        let node = PersistentNode::open(client, path, data, CreateOptions::container())?;
        let child: Arc<str> = protected::join(path, TOUCH).into();
        let (shown, touched) = watch::channel(None);
        let toucher = Toucher {
            client: client.clone(),
            path: Arc::clone(&child),
            ttl,
            creations: node.creations(),
            shown,
        };
        Ok(Self {
            node,
            client: client.clone(),
            child,
            touched,
            toucher: tokio::spawn(toucher.run()),
        })
    }

    /// Waits until it has been created and touched. A server without TTLs refuses here.
    pub async fn created(&self) -> Result<String, Error> {
        let path = self.node.created().await?;
        let mut touched = self.touched.clone();
        match touched.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(error.clone()),
            Ok(_) => Ok(path),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Gives it other data, now and whenever it comes back.
    pub async fn set(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        self.node.set(data).await
    }

    /// Deletes it with all that belongs to it. What others created below it is in the way ([`Error::is_not_empty`]).
    pub async fn close(self) -> Result<(), Error> {
        self.toucher.abort();
        protected::delete(&self.client, &self.child).await?;
        self.node.close().await
    }
}

/// The task that touches.
struct Toucher {
    client: Client,
    path: Arc<str>,
    ttl: Duration,
    creations: Creations,
    shown: watch::Sender<Option<Result<(), Error>>>,
}

impl Toucher {
    async fn run(mut self) {
        loop {
            match self.touch().await {
                Ok(true) => drop(self.shown.send_replace(Some(Ok(())))),
                // Its parent is away, and about to come back.
                Ok(false) => {}
                Err(error) => {
                    debug!(path = %self.path, %error, "nothing is touched any more");
                    self.shown.send_replace(Some(Err(error)));
                    return;
                }
            }
            tokio::select! {
                () = sleep(self.ttl / TOUCHES) => {}
                () = self.creations.next() => {}
                () = self.shown.closed() => return,
            }
        }
    }

    /// False if there is no parent.
    async fn touch(&self) -> Result<bool, Error> {
        let retry = Retry::forever().idempotent();
        let set = retry.run(|| self.client.set(&self.path, "", Expected::Any));
        match set.await {
            Err(error) if error.is_no_node() => {}
            set => return set.map(|_| true),
        }
        let options = CreateOptions::ttl(self.ttl);
        let create = retry.run(|| self.client.create(&self.path, "", &options));
        match create.await {
            Err(error) if error.is_no_node() => Ok(false),
            Err(error) if error.is_node_exists() => Ok(true),
            create => create.map(|_| true),
        }
    }
}
