//! A queue whose items have ids, by which they can be removed.
//!
//! On the wire (Curator's `DistributedIdQueue`): as a [queue](super::queue), with the id in the name of the item, between bars; slashes and
//! bars in an id are written as underscores. Several items may have the same id.
//!
//! Promised: [`IdQueue::remove`] takes items away that nobody works on; of a queue with locks those that somebody works on stay. All
//! else is as in a queue, the order too: as put, whatever the ids.
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::id_queue::IdQueue;
//! use rookeeper_client::recipes::queue::QueueError;
//!
//! # async fn example() -> Result<(), QueueError> {
//! let client = Client::connect("zk1:2181").await?;
//! let queue = IdQueue::new(&client, "/mails");
//! queue.put("customer 7", "a reminder").await?;
//! // He has paid.
//! assert_eq!(queue.remove("customer 7").await?, 1);
//! # Ok(())
//! # }
//! ```

use super::queue::order::{Order, id_name, id_of};
use super::queue::place::Place;
use super::queue::{Consumer, Options, QueueError};
use crate::Client;

/// A queue of items with ids. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct IdQueue {
    place: Place,
}

impl IdQueue {
    /// At most once, without a bound.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self::with(client, path, Options::new())
    }

    /// With options.
    #[must_use]
    pub fn with(client: &Client, path: impl Into<String>, options: Options) -> Self {
        let mut place = Place::new(client, path.into(), options);
        place.order = Order::Number;
        Self { place }
    }

    /// Puts an item. After an error with an unknown outcome it may be there.
    pub async fn put(&self, id: &str, item: impl AsRef<[u8]>) -> Result<(), QueueError> {
        self.place.put(&id_name(id), &[item]).await
    }

    /// Removes the items with this id, and tells how many that were. Of an item whose removal was not answered nobody knows whether
    /// somebody else has taken it ([`QueueError::Unclear`]); those behind it stay then.
    pub async fn remove(&self, id: &str) -> Result<usize, QueueError> {
        let names = self.place.children().await?;
        // The znode of the locks too: without it, nothing is taken.
        self.place.make().await?;
        let (id, mut consumer, mut removed) = (id_name(id), self.consumer(), 0);
        for name in names.into_iter().filter(|name| id_of(name) == id_of(&id)) {
            match consumer.take(name).await {
                Ok(Some(delivery)) => delivery.done().await?,
                Ok(None) => continue,
                // It was no item, and is gone too.
                Err(QueueError::Garbage { .. }) => {}
                Err(error) => return Err(error),
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// Takes items.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.place.clone())
    }
}
