//! A number of 32 bits that many clients see and change.
//!
//! On the wire (Curator's `SharedCount`): as a [shared value](super::shared_value), with 4 bytes, big endian, two's complement. What
//! that recipe promises holds here. To add to a number that many change at once, use a [counter](super::counter).
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::shared_count::{CountError, SharedCount};
//!
//! # async fn example() -> Result<(), CountError> {
//! let client = Client::connect("zk1:2181").await?;
//! let workers = SharedCount::start(&client, "/workers", 4).await?;
//! workers.set(8).await?;
//! assert_eq!(workers.current()?.number, 8);
//! # Ok(())
//! # }
//! ```

use thiserror::Error;

use super::shared_value::{Changes, SharedValue, Versioned};
use crate::{Client, Error, Zxid};

/// Why a count did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CountError {
    /// The servers or the connection.
    #[error(transparent)]
    Client(#[from] Error),
    /// The znode holds something else than a count.
    #[error("the data has {len} bytes, a count has 4")]
    Corrupt {
        /// Bytes of data.
        len: usize,
    },
}

/// A number, and which one of all those that there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub number: i32,
    /// The version of its znode, which [`SharedCount::try_set`] expects.
    pub version: i32,
    /// The transaction that set it: later ones have larger ones.
    pub zxid: Zxid,
}

/// A number that many clients see and change. Clones share one watch.
#[derive(Debug, Clone)]
pub struct SharedCount {
    value: SharedValue,
}

/// Every change of a count from now on; changes that follow each other quickly may come as one.
#[derive(Debug)]
pub struct CountChanges {
    changes: Changes,
}

impl SharedCount {
    /// The count at `path`, which is `seed` if nobody was there before. Wants a tokio runtime.
    pub async fn start(
        client: &Client,
        path: impl Into<String>,
        seed: i32,
    ) -> Result<Self, CountError> {
        let value = SharedValue::start(client, path, seed.to_be_bytes()).await?;
        Ok(Self { value })
    }

    /// What this client saw last. Asks nobody.
    pub fn current(&self) -> Result<Count, CountError> {
        decode(&self.value.current())
    }

    /// Asks the server for the number.
    pub async fn read(&self) -> Result<Count, CountError> {
        decode(&self.value.read().await?)
    }

    /// Sets the number, whatever it was. After an error with an unknown outcome it may be set.
    pub async fn set(&self, number: i32) -> Result<(), CountError> {
        self.value
            .set(number.to_be_bytes())
            .await
            .map_err(Into::into)
    }

    /// Sets the number if it is still the one that was seen; false if it is not, and the current one has been read anew.
    pub async fn try_set(&self, seen: &Count, number: i32) -> Result<bool, CountError> {
        let seen = Versioned {
            bytes: seen.number.to_be_bytes().to_vec().into(),
            version: seen.version,
            zxid: seen.zxid,
        };
        let set = self.value.try_set(&seen, number.to_be_bytes());
        set.await.map_err(Into::into)
    }

    /// Every change from now on.
    #[must_use]
    pub fn changes(&self) -> CountChanges {
        CountChanges {
            changes: self.value.changes(),
        }
    }
}

impl CountChanges {
    /// The next change; `None` when the last clone of the count is gone, or the session has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Count, CountError>> {
        let value = self.changes.next().await?;
        Some(decode(&value))
    }
}

fn decode(value: &Versioned) -> Result<Count, CountError> {
    let bytes = <[u8; 4]>::try_from(&value.bytes[..]).map_err(|_| CountError::Corrupt {
        len: value.bytes.len(),
    })?;
    Ok(Count {
        number: i32::from_be_bytes(bytes),
        version: value.version,
        zxid: value.zxid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &'static [u8]) -> Result<i32, CountError> {
        let value = Versioned {
            bytes: bytes.into(),
            version: 3,
            zxid: Zxid(9),
        };
        decode(&value).map(|count| count.number)
    }

    #[test]
    fn counts_are_the_bytes_that_curator_writes() {
        assert_eq!(decoded(&[0, 0, 0, 7]), Ok(7));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfe]), Ok(-2));
        assert_eq!((-2_i32).to_be_bytes(), [0xff, 0xff, 0xff, 0xfe]);
    }

    #[test]
    fn other_lengths_are_refused() {
        assert_eq!(decoded(b""), Err(CountError::Corrupt { len: 0 }));
        assert_eq!(decoded(&[0; 8]), Err(CountError::Corrupt { len: 8 }));
    }
}
