//! A queue of bytes as they are.
//!
//! On the wire (Curator's `SimpleDistributedQueue`, which is ZooKeeper's own recipe): the container `path`; each item
//! `path/qn-0000000000`, persistent and sequential, holds the bytes of the item and nothing else.
//!
//! At most once, as a [queue](super::queue) without locks; what is said there of order, of lost answers, and of how many wake up holds
//! here. Any data is an item, so there is no garbage.
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::queue::QueueError;
//! use rookeeper_client::recipes::simple_queue::SimpleQueue;
//!
//! # async fn example() -> Result<(), QueueError> {
//! let client = Client::connect("zk1:2181").await?;
//! let queue = SimpleQueue::new(&client, "/simple");
//! queue.put("one").await?;
//! assert_eq!(queue.take().await?, "one");
//! assert_eq!(queue.poll().await?, None);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::queue::order::SIMPLE_WORD;
use super::queue::place::{Form, Place};
use super::queue::{Consumer, Delivery, Options, QueueError};
use crate::Client;

/// A queue of bytes. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct SimpleQueue {
    place: Place,
}

impl SimpleQueue {
    /// A queue at `path`.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        let mut place = Place::new(client, path.into(), Options::new());
        place.form = Form::Raw;
        Self { place }
    }

    /// Puts an item. After an error with an unknown outcome it may be there.
    pub async fn put(&self, item: impl AsRef<[u8]>) -> Result<(), QueueError> {
        self.place.put(SIMPLE_WORD, &[item]).await
    }

    /// Takes the first item, if there is one.
    pub async fn poll(&self) -> Result<Option<Bytes>, QueueError> {
        let delivery = self.consumer().try_next().await?;
        Ok(delivery.map(only))
    }

    /// Waits for an item and takes it. An item that is being taken when the future is dropped may be lost; to wait for a limited time
    /// or beside something else, use [`SimpleQueue::consumer`], whose `next` can be dropped.
    pub async fn take(&self) -> Result<Bytes, QueueError> {
        self.consumer().next().await.map(only)
    }

    /// Waits for an item for a limited time. Nothing is lost.
    pub async fn take_within(&self, time: Duration) -> Result<Option<Bytes>, QueueError> {
        let mut consumer = self.consumer();
        match timeout(time, consumer.next()).await {
            Ok(delivery) => delivery.map(|delivery| Some(only(delivery))),
            // Something may be on its way.
            Err(_) => Ok(consumer.try_next().await?.map(only)),
        }
    }

    /// The first item, which stays.
    pub async fn peek(&self) -> Result<Option<Bytes>, QueueError> {
        self.place.peek().await.map_err(Into::into)
    }

    /// Takes items, one after another.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.place.clone())
    }
}

/// Data without an envelope is one item.
fn only(delivery: Delivery) -> Bytes {
    delivery.items.into_iter().next().unwrap_or_default()
}
