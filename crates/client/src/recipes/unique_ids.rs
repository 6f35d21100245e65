//! Numbers that nobody else gets.
//!
//! **[`SequenceIds`]**: the number that the server gives to a sequential znode. One id costs one write. On the wire:
//! `path/id-0000000000`, persistent and sequential, without data, below the persistent znode `path`. Ids strictly increase in the order
//! of the server's transactions, whoever asks and whichever server is asked, also after deletions, restarts and changes of the leader: the
//! server counts in the parent, and the count is never set back. So `path` must stay: whoever deletes it begins at 0 again. An id has 31
//! bits; when they are used up the next one is refused ([`IdError::Exhausted`]).
//! [`SequenceIds::new`] leaves every znode where it is. [`SequenceIds::cleaned`] removes them: its own last one with each new id,
//! and now and then all that are older than the new one, whoever left them. The count does not depend on them.
//!
//! **[`IdBlocks`]**: a block of ids is reserved by one change of a [counter](super::counter), and given out without asking anybody.
//! Ids have 63 bits. They strictly increase within one `IdBlocks`; among several, blocks do not overlap, but one may give out small
//! numbers while another is far ahead.
//!
//! Both never give out an id twice, and both leave out numbers: when an answer is lost, when somebody else creates a child of `path`,
//! when a program ends with half a block.
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::unique_ids::{IdBlocks, IdError, SequenceIds};
//!
//! # async fn example() -> Result<(), IdError> {
//! let client = Client::connect("zk1:2181").await?;
//! let orders = SequenceIds::cleaned(&client, "/orders");
//! println!("order {}", orders.next().await?);
//! let mut events = IdBlocks::new(&client, "/events", 1000);
//! println!("event {}", events.next().await?);
//! # Ok(())
//! # }
//! ```

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use thiserror::Error;

use super::counter::{Counter, CounterError};
use super::protected::{create_with_parents, join};
use crate::{Client, CreateOptions, Error, Expected, Outcome, Retry};

/// What the name of an id's znode begins with.
const WORD: &str = "id-";
/// Ids after which znodes of others are looked for.
const SWEEP_EVERY: u32 = 1000;

/// Why there is no id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// The servers or the connection.
    #[error(transparent)]
    Client(#[from] Error),
    /// The counter of the blocks.
    #[error(transparent)]
    Counter(#[from] CounterError),
    /// The server has no more numbers for children of this znode.
    #[error("{path} has used up its 31 bits")]
    Exhausted {
        /// The path of the ids.
        path: String,
    },
}

/// Ids from a sequence of znodes. Clones give out ids of the same sequence.
#[derive(Debug, Clone)]
pub struct SequenceIds {
    client: Client,
    path: String,
    /// Of those that clean up.
    given: Option<Arc<AtomicU32>>,
}

/// Ids from blocks that were reserved.
#[derive(Debug)]
pub struct IdBlocks {
    counter: Counter,
    block: u32,
    left: Range<i64>,
}

impl SequenceIds {
    /// Ids below `path`, whose znodes stay.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            path: path.into(),
            given: None,
        }
    }

    /// Ids below `path`, whose znodes are removed.
    #[must_use]
    pub fn cleaned(client: &Client, path: impl Into<String>) -> Self {
        Self {
            given: Some(Arc::default()),
            ..Self::new(client, path)
        }
    }

    /// The next id. Tried again while the outcome is unknown: a number may be left out, none is given twice.
    pub async fn next(&self) -> Result<u32, IdError> {
        let name = self.create().await?;
        let exhausted = || IdError::Exhausted {
            path: self.path.clone(),
        };
        let id = number(&name).ok_or_else(exhausted)?;
        if let Some(given) = &self.given {
            // It has done its work. Should the deletion be lost, a sweep finds the znode.
            drop(self.client.delete(&join(&self.path, &name), Expected::Any));
            if given
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(SWEEP_EVERY)
            {
                self.sweep(id).await?;
            }
        }
        Ok(id)
    }

    /// Removes the znodes of all ids that are smaller than this one, whoever made them.
    pub async fn sweep(&self, below: u32) -> Result<(), IdError> {
        let retry = Retry::forever().idempotent();
        let children = retry.run(|| self.client.children(&self.path)).await?;
        let names = children.names.into_iter();
        let older = names.filter(|name| number(name).is_some_and(|id| id < below));
        let deletes: Vec<_> = older
            .map(|name| self.client.delete(&join(&self.path, &name), Expected::Any))
            .collect();
        for delete in deletes {
            match delete.await {
                // Somebody else sweeps too; what is lost is found by the next sweep.
                Err(error) if !error.is_no_node() && !error.is_retriable() => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Creates a znode, and answers its name.
    async fn create(&self) -> Result<String, Error> {
        let path = join(&self.path, WORD);
        let options = CreateOptions::persistent_sequential();
        let retry = Retry::forever().idempotent();
        let created = loop {
            match retry.run(|| self.client.create(&path, "", &options)).await {
                Err(error) if error.is_no_node() => self.make_base().await?,
                done => break done?,
            }
        };
        let name = created.path.rsplit('/').next().unwrap_or_default();
        Ok(name.to_owned())
    }

    /// Persistent: a container would go when it is empty, and its count with it.
    async fn make_base(&self) -> Result<(), Error> {
        let options = CreateOptions::persistent();
        let create = || create_with_parents(&self.client, &self.path, "", &options);
        match Retry::forever().idempotent().run(create).await {
            Err(error) if !error.is_node_exists() => Err(error),
            _ => Ok(()),
        }
    }
}

impl IdBlocks {
    /// Ids from 1, counted at `path`; each reservation takes `block` of them, at least 1.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>, block: u32) -> Self {
        Self {
            counter: Counter::new(client, path),
            block: block.max(1),
            left: 0..0,
        }
    }

    /// The next id: of the block at hand, or the first of a new one.
    pub async fn next(&mut self) -> Result<i64, IdError> {
        loop {
            if let Some(id) = self.left.next() {
                return Ok(id);
            }
            self.left = self.reserve(self.block).await?;
        }
    }

    /// Reserves `count` ids for this caller alone, by one change of the counter.
    ///
    /// Tried again while the outcome is unknown; the block of an attempt that happened without an answer is left out.
    pub async fn reserve(&self, count: u32) -> Result<Range<i64>, IdError> {
        loop {
            match self.counter.add(i64::from(count)).await {
                Ok(change) => return Ok(change.before + 1..change.after + 1),
                Err(CounterError::Client(error)) if is_lost(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_lost(error: &Error) -> bool {
    error.is_retriable() && error.outcome() == Outcome::Unknown
}

/// The number of an id's znode. Negative ones come after the last one.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix(WORD)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_number_of_its_znode() {
        assert_eq!(number("id-0000000012"), Some(12));
        assert_eq!(number("id-2147483647"), Some(2_147_483_647));
        assert_eq!(number("id--2147483648"), None);
        assert_eq!(number("else"), None);
    }
}
