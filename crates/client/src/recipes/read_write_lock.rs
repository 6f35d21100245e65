//! A lock that many readers or one writer have at a time, in the order in which they came.
//!
//! On the wire: `<path>/_c_<UUID>-__READ__NNNNNNNNNN` and `<path>/_c_<UUID>-__WRIT__NNNNNNNNNN`, ephemeral and sequential; `<path>` is
//! a container. The layout of Curator's `InterProcessReadWriteLock`. A reader waits for the writers ahead of it, a writer for
//! everybody. Readers behind a waiting writer wait, so no writer starves.
//!
//! **Downgrade.** A writer turns into a reader in one transaction: its znode goes, and one with the same number and the other word
//! comes. So it keeps its place in the line, ahead of the writers that wait, and at no moment holds nothing. (Curator takes a new number
//! behind the waiting writers, and the next of them may write while the downgraded one reads.) There is no way from reading to
//! writing: two readers that both wanted it would wait for each other.
//!
//! **Promises**: those of [`guard`](super::guard). The token of a writer is larger than that of every writer before; a downgraded writer
//! keeps its token. Taking a free lock is one round trip, releasing it one, a downgrade one.
//!
//! ```no_run
//! use rookeeper_client::recipes::read_write_lock::ReadWriteLock;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let lock = ReadWriteLock::new(&client, "/locks/index");
//! let writing = lock.write().await?;
//! // The index is written anew, and then read before others change it.
//! let reading = writing.downgrade().await?;
//! reading.release().await
//! # }
//! ```

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::guard::Guard;
use super::line::{Line, Rule};
use super::mutex::within;
use super::place::Place;
use super::protected::{Protected, Undo, join, split};
use crate::{Backoff, Client, CreateOptions, Error, Expected, Multi, Outcome};

const READ: &str = "__READ__";
const WRITE: &str = "__WRIT__";

/// A reader waits for writers. Only readers ever come between.
const READER: Rule = Rule {
    words: &[READ, WRITE],
    blocks: |name| name.contains(WRITE),
    closed: true,
};
/// A writer waits for everybody. The one ahead may turn into a reader, which is ahead then.
const WRITER: Rule = Rule {
    words: &[READ, WRITE],
    blocks: |_| true,
    closed: false,
};

/// A lock for readers and writers. Cheap to make and to clone; it holds nothing by itself. Every call is somebody of its own: whoever
/// holds the lock for writing and asks for it again waits for ever.
#[derive(Debug, Clone)]
pub struct ReadWriteLock {
    readers: Line,
    writers: Line,
    data: Bytes,
}

impl ReadWriteLock {
    /// The lock at `path`.
    #[must_use]
    pub fn new(client: &Client, path: &str) -> Self {
        Self {
            readers: Line::new(client, path, READ, READER),
            writers: Line::new(client, path, WRITE, WRITER),
            data: Bytes::new(),
        }
    }

    /// What the znodes of this one contain, for people to read. Nothing unless it is said.
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Waits until no writer is ahead. Dropping the future leaves the line; a waiter whose znode somebody removes goes to its end.
    /// Errors are refusals of the server, or the session's end.
    pub async fn read(&self) -> Result<Guard, Error> {
        self.readers.wait(&self.data).await.map(Guard::of)
    }

    /// Reads if no writer is there. Waits for the server only.
    pub async fn try_read(&self) -> Result<Option<Guard>, Error> {
        let place = self.readers.try_now(&self.data).await?;
        Ok(place.map(Guard::of))
    }

    /// Waits no longer than `time`.
    pub async fn read_within(&self, time: Duration) -> Result<Option<Guard>, Error> {
        within(time, self.read()).await
    }

    /// Waits until nobody is ahead; otherwise as [`ReadWriteLock::read`].
    pub async fn write(&self) -> Result<WriteGuard, Error> {
        let place = self.writers.wait(&self.data).await?;
        Ok(self.guard(place))
    }

    /// Writes if nobody is there. Waits for the server only.
    pub async fn try_write(&self) -> Result<Option<WriteGuard>, Error> {
        let place = self.writers.try_now(&self.data).await?;
        Ok(place.map(|place| self.guard(place)))
    }

    /// Waits no longer than `time`.
    pub async fn write_within(&self, time: Duration) -> Result<Option<WriteGuard>, Error> {
        within(time, self.write()).await
    }

    fn guard(&self, place: Place) -> WriteGuard {
        WriteGuard {
            guard: Guard::of(place),
            data: self.data.clone(),
        }
    }
}

/// The right to write: a [`Guard`] that can become one for reading.
#[derive(Debug)]
#[must_use = "what is held is released when the guard is dropped"]
pub struct WriteGuard {
    guard: Guard,
    data: Bytes,
}

impl Deref for WriteGuard {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}

impl WriteGuard {
    /// As [`Guard::release`].
    pub async fn release(self) -> Result<(), Error> {
        self.guard.release().await
    }

    /// As [`Guard::release_within`].
    pub async fn release_within(self, time: Duration) -> Result<bool, Error> {
        self.guard.release_within(time).await
    }

    /// Goes on as a reader, without a moment in between. After an error, or when the future is dropped, nothing is held.
    pub async fn downgrade(self) -> Result<Guard, Error> {
        let (client, token) = (self.guard.client().clone(), self.guard.token());
        let (parent, name) = split(self.guard.path());
        let reader = format!("{READ}{}", WRITER.key(name));
        let options = CreateOptions::ephemeral();
        let reader = Protected::new(&client, &join(parent, &reader), self.data.clone(), options);
        let mut undo = reader.undo_on_drop();
        let path = self.turn_into(&reader, &mut undo).await?;
        undo.keep();
        let mut place = Place::of(&client, path, token);
        if let Some(writer) = self.guard.into_place() {
            writer.turn_into(&mut place);
        }
        Ok(Guard::with_token(place, token))
    }

    /// Tries until it is known to be done, or the session ends. The path of the reader is the answer.
    async fn turn_into(&self, reader: &Protected, undo: &mut Undo<'_>) -> Result<String, Error> {
        let backoff = Backoff::default();
        for round in 0.. {
            let swap = Multi::new()
                .delete(self.guard.path(), Expected::Any)
                .create(
                    reader.path(),
                    self.data.clone(),
                    &CreateOptions::ephemeral(),
                );
            match self.guard.client().multi(swap).await {
                Ok(_) => break,
                Err(error) if error.outcome() == Outcome::Unknown => undo.doubt = true,
                Err(error) if error.is_retriable() => {}
                // An earlier attempt may be the reason, which was executed late.
                Err(error) if !undo.doubt || reader.find().await?.is_none() => return Err(error),
                Err(_) => break,
            }
            if undo.doubt && reader.find().await?.is_some() {
                break;
            }
            sleep(backoff.pause(round)).await;
        }
        Ok(reader.path())
    }
}
