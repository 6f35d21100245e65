//! A queue: whoever puts, and whoever takes.
//!
//! On the wire (Curator's `DistributedQueue`): `path` is a persistent znode; each item `path/queue-0000000000` is persistent and
//! sequential, and holds one or several items with their lengths. What lies between with another name is left alone.
//! With locks: for each item that somebody works on, an ephemeral znode of the same name below the lock path.
//!
//! **At most once** ([`Queue::new`]): a consumer deletes an item, then hands it out. If the program dies in between, the item is lost;
//! two consumers never have the same. If the answer to the delete is lost and the item is gone, nobody knows who has taken it: the
//! consumer says [`QueueError::Unclear`] and gives you the items, to use or not.
//! **At least once** ([`Options::locks`]): a consumer locks an item, hands it out, and deletes both when you say
//! [`Delivery::done`]. If the program dies, the lock goes with its session, and another consumer has the item. Consumers of ours hear of
//! that at once; those of Curator look again when the queue changes.
//!
//! **Order.** As put, by the server's numbers. Several consumers work at the same time, so the work may end in another order. An item
//! that was given back keeps its place.
//!
//! **Items that make trouble.** Data that is no item is deleted, and the consumer says [`QueueError::Garbage`] with the bytes. An item on
//! which the work fails: [`Delivery::give_back`] counts the failures in the version of its znode, [`Delivery::requeue`] puts it behind the
//! others, [`Delivery::bury`] moves it to another queue. An item whose consumer dies each time comes again each time, uncounted.
//!
//! **Putting** is not tried again when its outcome is unknown: the item would be there twice. The bound of [`Options::max_items`] is
//! looked at before a put, so producers that put at the same moment may exceed it by one each.
//!
//! **How many wake up.** Curator's layout lets a consumer of an empty queue watch the list of children, so each put wakes all idle
//! consumers, and one of them gets the item; a producer that waits for room watches it too. With [`Options::in_line`] the idle consumers of
//! ours stand in line at a lock: the first watches the queue, the others their predecessors, and a put wakes one. Consumers that are
//! never idle watch nothing.
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::queue::{Options, Queue, QueueError};
//!
//! # async fn example() -> Result<(), QueueError> {
//! let client = Client::connect("zk1:2181").await?;
//! let queue = Queue::with(&client, "/jobs", Options::new().locks("/jobs-locks").max_items(1000));
//! queue.put("one job").await?;
//! let mut consumer = queue.consumer();
//! loop {
//!     let delivery = consumer.next().await?;
//!     println!("{:?}", delivery.items);
//!     delivery.done().await?;
//! }
//! # }
//! ```

mod claim;
mod consumer;
mod delivery;
mod envelope;
pub(super) mod order;
pub(super) mod place;

use bytes::Bytes;
use thiserror::Error;

use self::order::WORD;
use self::place::Place;
use crate::{Client, Error};

pub use self::consumer::Consumer;
pub use self::delivery::Delivery;

/// Why an item could not be put, taken or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueueError {
    /// The servers or the connection.
    #[error(transparent)]
    Client(#[from] Error),
    /// What lay in the queue was no item. It has been deleted.
    #[error("{name} was no item of a queue, and has been deleted")]
    Garbage {
        /// The name of the znode.
        name: String,
        /// Its data.
        data: Bytes,
    },
    /// The connection broke while an item was taken. It is gone from the queue; whether this consumer or another one has taken it
    /// cannot be known.
    #[error("{name} is gone, and nobody knows who has taken it: {source}")]
    Unclear {
        /// The name of the znode.
        name: String,
        /// What was in it.
        items: Vec<Bytes>,
        /// What happened to the connection.
        source: Error,
    },
    /// The lock of the item was not ours any more.
    #[error("the lock of {name} was lost, somebody else may have the item")]
    Lost {
        /// The name of the znode.
        name: String,
    },
}

/// How a queue works. All its producers and consumers should agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub(super) locks: Option<String>,
    pub(super) max_items: Option<usize>,
    pub(super) line: Option<String>,
}

impl Options {
    /// At most once, without a bound.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At least once: items are locked below this path.
    #[must_use]
    pub fn locks(mut self, path: impl Into<String>) -> Self {
        self.locks = Some(path.into());
        self
    }

    /// Producers wait while so many items are there.
    #[must_use]
    pub const fn max_items(mut self, max: usize) -> Self {
        self.max_items = Some(max);
        self
    }

    /// Consumers of ours take turns at a lock with this path, so that a put wakes one of them. Others need not know of it.
    #[must_use]
    pub fn in_line(mut self, path: impl Into<String>) -> Self {
        self.line = Some(path.into());
        self
    }
}

/// A queue. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct Queue {
    place: Place,
}

impl Queue {
    /// At most once, without a bound.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self::with(client, path, Options::new())
    }

    /// With options.
    #[must_use]
    pub fn with(client: &Client, path: impl Into<String>, options: Options) -> Self {
        Self {
            place: Place::new(client, path.into(), options),
        }
    }

    /// Puts an item. Waits for room first, if there is a bound. After an error with an unknown outcome it may be there.
    pub async fn put(&self, item: impl AsRef<[u8]>) -> Result<(), QueueError> {
        self.put_many(&[item]).await
    }

    /// Puts items into one znode: they come as one [`Delivery`], and count as one.
    pub async fn put_many<T: AsRef<[u8]>>(&self, items: &[T]) -> Result<(), QueueError> {
        self.place.put(WORD, items).await
    }

    /// Takes items.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.place.clone())
    }
}
