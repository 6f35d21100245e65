//! Several mutexes as one: all of them or none.
//!
//! On the wire: a [`mutex`](super::mutex) at each path. They are taken one after the other in the order of their paths, whatever order
//! they were named in, so two who want the same ones never wait for each other; they are released in reverse. Locks that are taken
//! beside this one are not part of the order: whoever holds one of them and then asks for several can still bring a deadlock about.
//!
//! ```no_run
//! use rookeeper_client::recipes::multi_lock::MultiLock;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let both = MultiLock::new(&client, ["/accounts/7", "/accounts/3"]);
//! let guards = both.lock().await?;
//! guards.release().await
//! # }
//! ```

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::guard::Guard;
use super::mutex::{Mutex, within};
use crate::{Client, Error, Zxid};

/// Several locks. Cheap to clone; it holds nothing by itself.
#[derive(Debug, Clone)]
pub struct MultiLock {
    mutexes: Vec<Mutex>,
}

impl MultiLock {
    /// The locks at `paths`. A path that is named twice counts once.
    #[must_use]
    pub fn new<P: Into<String>>(client: &Client, paths: impl IntoIterator<Item = P>) -> Self {
        let paths: BTreeSet<String> = paths.into_iter().map(Into::into).collect();
        let mutex = |path: String| Mutex::new(client, &path);
        Self {
            mutexes: paths.into_iter().map(mutex).collect(),
        }
    }

    /// Waits for all of them. If one fails, or the future is dropped, none is held. The same errors as [`Mutex::lock`].
    pub async fn lock(&self) -> Result<Guards, Error> {
        let mut guards = Guards::default();
        for mutex in &self.mutexes {
            guards.held.push(mutex.lock().await?);
        }
        Ok(guards)
    }

    /// Takes them if nobody has or wants any of them. Waits for the server only.
    pub async fn try_lock(&self) -> Result<Option<Guards>, Error> {
        let mut guards = Guards::default();
        for mutex in &self.mutexes {
            let Some(guard) = mutex.try_lock().await? else {
                guards.release().await?;
                return Ok(None);
            };
            guards.held.push(guard);
        }
        Ok(Some(guards))
    }

    /// Waits for all of them, and for the server, no longer than `time`.
    pub async fn lock_within(&self, time: Duration) -> Result<Option<Guards>, Error> {
        within(time, self.lock()).await
    }
}

/// All locks of a [`MultiLock`], held. Dropping it releases them in reverse, as [`Guard`] says.
#[derive(Debug, Default)]
#[must_use = "what is held is released when the guards are dropped"]
pub struct Guards {
    held: Vec<Guard>,
}

impl Guards {
    /// The fencing tokens, in the order of the paths. Each is one for its own lock only.
    #[must_use]
    pub fn tokens(&self) -> Vec<Zxid> {
        self.held.iter().map(Guard::token).collect()
    }

    /// True while all are held; see [`Guard::is_held`].
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.iter().all(Guard::is_held)
    }

    /// Waits until one of them is lost; see [`Guard::lost`]. Without any lock it waits for ever.
    pub async fn lost(&self) {
        let mut all: Vec<Pin<Box<_>>> = Vec::new();
        for guard in &self.held {
            all.push(Box::pin(guard.lost()));
        }
        poll_fn(|context| {
            let is_lost = all
                .iter_mut()
                .any(|one| one.as_mut().poll(context).is_ready());
            if is_lost {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Releases all, the last one first, and returns when others can have them. An error is the first one that occurred; the others are
    /// released all the same. Safe to cancel: what is not done then is done in the background.
    pub async fn release(mut self) -> Result<(), Error> {
        let mut result = Ok(());
        while let Some(guard) = self.held.pop() {
            result = result.and(guard.release().await);
        }
        result
    }

    /// The same, waiting no longer than `time`; see [`Guard::release_within`].
    pub async fn release_within(self, time: Duration) -> Result<bool, Error> {
        let released = within(time, self.release()).await?;
        Ok(released.is_some())
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        while let Some(guard) = self.held.pop() {
            drop(guard);
        }
    }
}
