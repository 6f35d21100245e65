//! A number of leases, given out in the order in which they were asked for.
//!
//! On the wire: `<path>/leases/_c_<UUID>-lease-NNNNNNNNNN`, ephemeral and sequential, is a lease; whoever wants one holds the
//! [`mutex`](super::mutex) at `<path>/locks` until it has it. The layout of Curator's `InterProcessSemaphoreV2`, and with one lease that
//! of its `InterProcessSemaphoreMutex`. How many leases there are is written nowhere: all clients have to say the same number.
//!
//! **Promises.** No more leases than the number at a time, as [`guard`](super::guard) says for each. First come, first served. One
//! waiter is woken per release: only the one that holds the mutex watches the leases. Several leases are collected while the mutex is
//! held, so two who want several never wait for each other. (Curator lets go of the mutex in between.) A free lease is two round trips,
//! its release one.
//!
//! ```no_run
//! use rookeeper_client::recipes::semaphore::Semaphore;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let lease = Semaphore::new(&client, "/licences", 5).acquire().await?;
//! lease.release().await
//! # }
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::guard::Guard;
use super::mutex::{Mutex, within};
use super::place::Place;
use super::protected::join;
use super::wake::woken;
use crate::{Children, Client, Error, Retry};

/// What stands before the number.
const WORD: &str = "lease-";
/// Where those who want a lease wait.
const LOCKS: &str = "locks";
/// Where the leases are.
const LEASES: &str = "leases";

/// Leases to be had. Cheap to make and to clone; it holds nothing by itself.
#[derive(Debug, Clone)]
pub struct Semaphore {
    client: Client,
    mutex: Mutex,
    leases: String,
    limit: usize,
    data: Bytes,
}

impl Semaphore {
    /// The semaphore at `path`, of `limit` leases.
    #[must_use]
    pub fn new(client: &Client, path: &str, limit: usize) -> Self {
        Self {
            client: client.clone(),
            mutex: Mutex::new(client, &join(path, LOCKS)),
            leases: join(path, LEASES),
            limit,
            data: Bytes::new(),
        }
    }

    /// What the leases of this one contain, for people to read. Nothing unless it is said.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Waits for a lease. Dropping the future leaves the line. `NoNode` says that somebody has removed the lease before it was had;
    /// other errors are refusals of the server, or the session's end.
    pub async fn acquire(&self) -> Result<Guard, Error> {
        let turn = self.mutex.lock().await?;
        let lease = self.lease().await;
        // Asked for now, before whatever comes later; there is no need to wait for it.
        drop(turn);
        lease
    }

    /// Waits for `count` leases: all of them, or none. `BadArgument` if there are not so many.
    pub async fn acquire_many(&self, count: usize) -> Result<Vec<Guard>, Error> {
        if count > self.limit {
            return Err(Error::BadArgument("there are not so many leases"));
        }
        let turn = self.mutex.lock().await?;
        let mut leases = Vec::new();
        while leases.len() < count {
            leases.push(self.lease().await?);
        }
        drop(turn);
        Ok(leases)
    }

    /// Takes a lease if there is one and nobody waits for it. Somebody who is about to take one of several counts as waiting. Waits
    /// for the server only.
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        let Some(turn) = self.mutex.try_lock().await? else {
            return Ok(None);
        };
        let lease = self.try_lease().await;
        drop(turn);
        lease
    }

    /// Waits for a lease, and for the server, no longer than `time`.
    pub async fn acquire_within(&self, time: Duration) -> Result<Option<Guard>, Error> {
        within(time, self.acquire()).await
    }

    async fn try_lease(&self) -> Result<Option<Guard>, Error> {
        let (place, seen) = self.take().await?;
        let children = match seen {
            Some(children) => children,
            None => {
                let retry = Retry::forever().idempotent();
                retry.run(|| self.client.children(&self.leases)).await?
            }
        };
        if self.permits(&place, &children)? {
            return Ok(Some(Guard::of(place)));
        }
        place.give_up().await?;
        Ok(None)
    }

    async fn lease(&self) -> Result<Guard, Error> {
        let (place, seen) = self.take().await?;
        if let Some(children) = seen
            && self.permits(&place, &children)?
        {
            return Ok(Guard::of(place));
        }
        let retry = Retry::forever().idempotent();
        loop {
            let look = || self.client.children_watched(&self.leases);
            let (children, changed) = retry.run(look).await?;
            if self.permits(&place, &children)? {
                return Ok(Guard::of(place));
            }
            woken(changed).await?;
        }
    }

    async fn take(&self) -> Result<(Place, Option<Children>), Error> {
        Place::take(&self.client, &self.leases, WORD, self.data.clone()).await
    }

    /// What counts is the number of children, of whatever name.
    fn permits(&self, place: &Place, children: &Children) -> Result<bool, Error> {
        if children.names.iter().any(|name| name == place.name()) {
            Ok(children.names.len() <= self.limit)
        } else {
            Err(place.removed_error())
        }
    }
}
