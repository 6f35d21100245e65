//! A queue in which the lowest priority number comes first.
//!
//! On the wire (Curator's `DistributedPriorityQueue`): as a [queue](super::queue), with the priority in the name of the item: `1` and
//! eight hexadecimal digits, or `0` and those of the two's complement for a negative one. Among equals, who was put first comes first.
//!
//! A consumer lists the queue anew before each item, so that an urgent one overtakes all others; with many items that costs much, and
//! [`PriorityQueue::per_listing`] lets it take some from each listing. All else is as in a queue.
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::priority_queue::PriorityQueue;
//! use rookeeper_client::recipes::queue::QueueError;
//!
//! # async fn example() -> Result<(), QueueError> {
//! let client = Client::connect("zk1:2181").await?;
//! let queue = PriorityQueue::new(&client, "/tickets");
//! queue.put(10, "whenever you can").await?;
//! queue.put(-1, "now").await?;
//! let delivery = queue.consumer().next().await?;
//! assert_eq!(delivery.items, ["now"]);
//! # Ok(())
//! # }
//! ```

use super::queue::order::priority_name;
use super::queue::place::Place;
use super::queue::{Consumer, Options, QueueError};
use crate::Client;

/// A queue with priorities. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct PriorityQueue {
    place: Place,
}

impl PriorityQueue {
    /// At most once, without a bound.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self::with(client, path, Options::new())
    }

    /// With options.
    #[must_use]
    pub fn with(client: &Client, path: impl Into<String>, options: Options) -> Self {
        let mut place = Place::new(client, path.into(), options);
        place.per_listing = 1;
        Self { place }
    }

    /// Consumers take so many items, at least 1, before they look for more urgent ones.
    #[must_use]
    pub fn per_listing(mut self, items: usize) -> Self {
        self.place.per_listing = items.max(1);
        self
    }

    /// Puts an item; lower numbers come first. After an error with an unknown outcome it may be there.
    pub async fn put(&self, priority: i32, item: impl AsRef<[u8]>) -> Result<(), QueueError> {
        self.put_many(priority, &[item]).await
    }

    /// Puts items into one znode: they come as one delivery.
    pub async fn put_many<T: AsRef<[u8]>>(
        &self,
        priority: i32,
        items: &[T],
    ) -> Result<(), QueueError> {
        self.place.put(&priority_name(priority), items).await
    }

    /// Takes items.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.place.clone())
    }
}
