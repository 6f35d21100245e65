//! A lock that one holder has at a time, in the order in which they came.
//!
//! On the wire: `<path>/_c_<UUID>-lock-NNNNNNNNNN`, ephemeral and sequential; `<path>` is a container. The first in line holds the
//! lock. This is the layout of Curator's `InterProcessMutex` and `LeaderSelector`: all exclude each other on the same path.
//!
//! **Promises.** One holder at a time, as [`guard`](super::guard) says. Whoever comes first is served first. A release wakes one
//! waiter. Taking a free lock is one round trip (two requests), releasing it one.
//!
//! **Again by the same owner.** A lock that its holder can take again needs to know who asks. A thread is no answer here, since a task
//! moves between threads; a task is none either, since one task may be several things at once. So an owner is a value: all guards
//! that one [`Owner`] gives share one place, and the last one to go releases it. Hand the owner (or a reference) to whatever acts for
//! you. [`Mutex::lock`] is always a new owner: two of them in one task, one after the other, wait for ever.
//!
//! ```no_run
//! use rookeeper_client::recipes::mutex::Mutex;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let guard = Mutex::new(&client, "/locks/printer").lock().await?;
//! tokio::select! {
//!     () = print(guard.token()) => guard.release().await?,
//!     // Stop: the lock may be somebody else's soon. Without a connection a release would wait for one.
//!     () = guard.lost() => drop(guard),
//! }
//! # Ok(())
//! # }
//! # async fn print(_: rookeeper_client::Zxid) {}
//! ```

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex as Turnstile;
use tokio::time::timeout;

use super::guard::{Guard, Hold};
use super::line::{Line, Rule};
use crate::{Client, Error};

/// What stands before the number.
const WORD: &str = "lock-";
/// Everybody who is ahead is waited for.
const RULE: Rule = Rule {
    words: &[WORD],
    blocks: |_| true,
    closed: true,
};

/// A lock. Cheap to make and to clone; it holds nothing by itself.
#[derive(Debug, Clone)]
pub struct Mutex {
    line: Line,
    data: Bytes,
}

impl Mutex {
    /// The lock at `path`.
    #[must_use]
    pub fn new(client: &Client, path: &str) -> Self {
        Self {
            line: Line::new(client, path, WORD, RULE),
            data: Bytes::new(),
        }
    }

    /// What the znodes of this one contain, for people to read. Nothing unless it is said.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Somebody who can take the lock several times.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner {
            mutex: self.clone(),
            held: Arc::default(),
        }
    }

    /// Waits for the lock. Dropping the future leaves the line; a waiter whose znode somebody removes goes to its end. Errors are
    /// refusals of the server, or the session's end.
    pub async fn lock(&self) -> Result<Guard, Error> {
        self.line.wait(&self.data).await.map(Guard::of)
    }

    /// Takes the lock if nobody has it and nobody waits for it. Waits for the server only.
    pub async fn try_lock(&self) -> Result<Option<Guard>, Error> {
        let place = self.line.try_now(&self.data).await?;
        Ok(place.map(Guard::of))
    }

    /// Waits for the lock, and for the server, no longer than `time`.
    pub async fn lock_within(&self, time: Duration) -> Result<Option<Guard>, Error> {
        within(time, self.lock()).await
    }

    pub(crate) const fn line(&self) -> &Line {
        &self.line
    }
}

/// What comes in time, or `None`.
pub(crate) async fn within<T>(
    time: Duration,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Error> {
    match timeout(time, what).await {
        Ok(done) => done.map(Some),
        Err(_) => Ok(None),
    }
}

/// Somebody who can take a lock several times: the guards share one place in the line. Clones are the same owner.
#[derive(Debug, Clone)]
pub struct Owner {
    mutex: Mutex,
    /// Locked while a place is taken, so that the owner takes one only.
    held: Arc<Turnstile<Weak<Hold>>>,
}

impl Owner {
    /// Waits for the lock, or takes it once more. The same errors as [`Mutex::lock`].
    pub async fn lock(&self) -> Result<Guard, Error> {
        let mut held = self.held.lock().await;
        if let Some(guard) = again(&held).await? {
            return Ok(guard);
        }
        let guard = self.mutex.lock().await?;
        *held = Arc::downgrade(guard.hold());
        Ok(guard)
    }

    /// Takes the lock if this owner has it, or nobody has it and nobody waits for it.
    pub async fn try_lock(&self) -> Result<Option<Guard>, Error> {
        let Ok(mut held) = self.held.try_lock() else {
            return Ok(None);
        };
        if let Some(guard) = again(&held).await? {
            return Ok(Some(guard));
        }
        let guard = self.mutex.try_lock().await?;
        if let Some(guard) = &guard {
            *held = Arc::downgrade(guard.hold());
        }
        Ok(guard)
    }

    /// Waits for the lock no longer than `time`.
    pub async fn lock_within(&self, time: Duration) -> Result<Option<Guard>, Error> {
        within(time, self.lock()).await
    }
}

/// One more guard for what is held. Where that is in doubt, the server is asked.
async fn again(held: &Weak<Hold>) -> Result<Option<Guard>, Error> {
    let Some(hold) = held.upgrade() else {
        return Ok(None);
    };
    let is_held = hold.place.is_held() || hold.place.is_there().await?;
    Ok(is_held.then(|| Guard::again(&hold)))
}
