//! A value that many clients see and change.
//!
//! On the wire (Curator's `SharedValue`): one persistent znode with the raw bytes; its missing parents are made as containers. It stays
//! when all clients have gone.
//!
//! Promised: every client comes to see the last value; values are never seen in another order than they were set, some may be left
//! out. Not promised: that [`SharedValue::current`] is the newest one; it is what this client saw last. A change with
//! [`SharedValue::try_set`] succeeds only if nobody changed the value since.
//!
//! If the znode is deleted, the last value stays the current one until somebody creates it again.
//!
//! ```no_run
//! use rookeeper_client::recipes::shared_value::SharedValue;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let value = SharedValue::start(&client, "/settings", "fast").await?;
//! let seen = value.current();
//! if !value.try_set(&seen, "slow").await? {
//!     println!("somebody else was first: {:?}", value.current().bytes);
//! }
//! let mut changes = value.changes();
//! while let Some(changed) = changes.next().await {
//!     println!("{:?}", changed.bytes);
//! }
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::protected::create_with_parents;
use super::wake::woken;
use crate::{Client, CreateOptions, Data, Error, Expected, Retry, Watch, Zxid};

/// A value, and which one of all those that there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub bytes: Bytes,
    /// The version of its znode, which [`SharedValue::try_set`] expects.
    pub version: i32,
    /// The transaction that set it: later values have larger ones.
    pub zxid: Zxid,
}

impl From<Data> for Versioned {
    fn from(data: Data) -> Self {
        Self {
            bytes: data.bytes,
            version: data.stat.version,
            zxid: data.stat.mzxid,
        }
    }
}

/// A value that many clients see and change. Clones share one watch, which goes with the last of them.
#[derive(Debug, Clone)]
pub struct SharedValue {
    client: Client,
    path: String,
    current: watch::Sender<Versioned>,
    follower: Arc<Follower>,
}

/// Every change of a value from now on; changes that follow each other quickly may come as one.
#[derive(Debug)]
pub struct Changes {
    current: watch::Receiver<Versioned>,
    followed: watch::Receiver<()>,
}

/// The task that follows the value. It ends when this is dropped.
#[derive(Debug)]
struct Follower {
    task: JoinHandle<()>,
    /// Closed when the task has ended.
    followed: watch::Receiver<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SharedValue {
    /// The value at `path`, which is `seed` if nobody was there before. Follows it until the last clone is dropped or the session ends.
    /// Wants a tokio runtime.
    pub async fn start(
        client: &Client,
        path: impl Into<String>,
        seed: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        let path = path.into();
        let (data, watch) = first(client, &path, seed.as_ref()).await?;
        let (current, _) = watch::channel(data.into());
        let (follows, followed) = watch::channel(());
        let follow = follow(client.clone(), path.clone(), current.clone(), watch);
        let task = tokio::spawn(async move {
            follow.await;
            drop(follows);
        });
        Ok(Self {
            client: client.clone(),
            path,
            current,
            follower: Arc::new(Follower { task, followed }),
        })
    }

    /// What this client saw last. Asks nobody.
    #[must_use]
    pub fn current(&self) -> Versioned {
        self.current.borrow().clone()
    }

    /// Asks the server for the value.
    pub async fn read(&self) -> Result<Versioned, Error> {
        let data = read(&self.client, &self.path).await?;
        publish(&self.current, data.into());
        Ok(self.current())
    }

    /// Sets the value, whatever it was. After an error with an unknown outcome it may be set.
    pub async fn set(&self, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.write(value.as_ref(), Expected::Any).await
    }

    /// Sets the value if it is still the one that was seen. False if it is not; the current value has been read anew then.
    pub async fn try_set(&self, seen: &Versioned, value: impl AsRef<[u8]>) -> Result<bool, Error> {
        let expected = Expected::Version(seen.version);
        match self.write(value.as_ref(), expected).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_bad_version() => self.read().await.map(|_| false),
            Err(error) => Err(error),
        }
    }

    /// Every change from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes {
            current: self.current.subscribe(),
            followed: self.follower.followed.clone(),
        }
    }

    async fn write(&self, value: &[u8], expected: Expected) -> Result<(), Error> {
        let set = || self.client.set(&self.path, value, expected);
        let stat = Retry::forever().run(set).await?;
        let bytes = Bytes::copy_from_slice(value);
        publish(
            &self.current,
            Versioned {
                bytes,
                version: stat.version,
                zxid: stat.mzxid,
            },
        );
        Ok(())
    }
}

impl Changes {
    /// The next change. `None` when the last clone of the value is gone, or the session has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<Versioned> {
        tokio::select! {
            biased;
            changed = self.current.changed() => changed.ok()?,
            // Nothing is ever sent: it has ended.
            _ = self.followed.changed() => return None,
        }
        Some(self.current.borrow_and_update().clone())
    }
}

/// An answer may come after that of a later request of another task; the later value stays.
fn publish(current: &watch::Sender<Versioned>, value: Versioned) {
    current.send_if_modified(|shown| {
        let newer = value.zxid > shown.zxid;
        if newer {
            *shown = value;
        }
        newer
    });
}

async fn read(client: &Client, path: &str) -> Result<Data, Error> {
    let retry = Retry::forever().idempotent();
    retry.run(|| client.data(path)).await
}

async fn read_watched(client: &Client, path: &str) -> Result<(Data, Watch), Error> {
    let retry = Retry::forever().idempotent();
    retry.run(|| client.data_watched(path)).await
}

async fn first(client: &Client, path: &str, seed: &[u8]) -> Result<(Data, Watch), Error> {
    loop {
        let options = CreateOptions::persistent();
        let retry = Retry::forever().idempotent();
        let create = || create_with_parents(client, path, seed, &options);
        match retry.run(create).await {
            Err(error) if !error.is_node_exists() => return Err(error),
            _ => {}
        }
        match read_watched(client, path).await {
            // Deleted in between.
            Err(error) if error.is_no_node() => {}
            read => return read,
        }
    }
}

/// Reads the value whenever it changes. Ends with the session.
async fn follow(client: Client, path: String, current: watch::Sender<Versioned>, mut watch: Watch) {
    while woken(watch).await.is_ok() {
        watch = match next(&client, &path, &current).await {
            Ok(watch) => watch,
            Err(_) => return,
        };
    }
}

/// Publishes the value, or waits for the znode to be there again.
async fn next(
    client: &Client,
    path: &str,
    current: &watch::Sender<Versioned>,
) -> Result<Watch, Error> {
    loop {
        match read_watched(client, path).await {
            Ok((data, watch)) => {
                publish(current, data.into());
                return Ok(watch);
            }
            Err(error) if error.is_no_node() => {}
            Err(error) => return Err(error),
        }
        let retry = Retry::forever().idempotent();
        if let (None, created) = retry.run(|| client.exists_watched(path)).await? {
            woken(created).await?;
        }
    }
}
