//! A queue whose items are taken when their time has come.
//!
//! On the wire (Curator's `DistributedDelayQueue`): as a [queue](super::queue), with the time in the name of the item: milliseconds since
//! 1970 as upper case hexadecimal digits between bars, at least eight. Who is due first comes first.
//!
//! Promised: no item comes before its time by the clock of its consumer, or by that of the producer if the time was given as a delay. So
//! clocks should agree, as far as the difference matters. Not promised: an upper bound; a consumer sleeps until the first item is due
//! or the queue changes, then takes what is due, one after another. All else is as in a queue.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::delay_queue::DelayQueue;
//! use rookeeper_client::recipes::queue::QueueError;
//!
//! # async fn example() -> Result<(), QueueError> {
//! let client = Client::connect("zk1:2181").await?;
//! let queue = DelayQueue::new(&client, "/reminders");
//! queue.put_after(Duration::from_secs(60), "a minute is over").await?;
//! let delivery = queue.consumer().next().await?;
//! # Ok(())
//! # }
//! ```

use std::time::{Duration, SystemTime};

use super::queue::order::{Order, due_name};
use super::queue::place::{Place, now};
use super::queue::{Consumer, Options, QueueError};
use crate::{Client, Error};

/// A queue of items with their times. Clones are the same queue.
#[derive(Debug, Clone)]
pub struct DelayQueue {
    place: Place,
}

impl DelayQueue {
    /// At most once, without a bound.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self::with(client, path, Options::new())
    }

    /// With options.
    #[must_use]
    pub fn with(client: &Client, path: impl Into<String>, options: Options) -> Self {
        let mut place = Place::new(client, path.into(), options);
        place.order = Order::Due;
        Self { place }
    }

    /// Puts an item that is due after this time. After an error with an unknown outcome it may be there.
    pub async fn put_after(
        &self,
        delay: Duration,
        item: impl AsRef<[u8]>,
    ) -> Result<(), QueueError> {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.put(now().saturating_add(delay), item).await
    }

    /// Puts an item that is due at this time, which must be later than the beginning of 1970.
    pub async fn put_at(&self, time: SystemTime, item: impl AsRef<[u8]>) -> Result<(), QueueError> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let due = since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        self.put(due, item).await
    }

    async fn put(&self, due: u64, item: impl AsRef<[u8]>) -> Result<(), QueueError> {
        // What a Java client reads has 63 bits.
        if due == 0 || i64::try_from(due).is_err() {
            let error = Error::BadArgument("a time is at least 1 ms after the beginning of 1970");
            return Err(error.into());
        }
        self.place.put(&due_name(due), &[item]).await
    }

    /// Takes items that are due.
    #[must_use]
    pub fn consumer(&self) -> Consumer {
        Consumer::new(self.place.clone())
    }
}
