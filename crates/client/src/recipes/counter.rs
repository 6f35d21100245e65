//! A number of 64 bits that many clients change.
//!
//! On the wire (Curator's `DistributedAtomicLong`): one persistent znode with 8 bytes, big endian, two's complement. A znode that is
//! missing or without data counts as 0. Its missing parents are made as containers.
//!
//! Promised: a change that is reported as done was done once, on the value that is reported as the one before. A change is tried again
//! only when it is certain that it did not happen. When that cannot be found out, the error's
//! [`outcome`](crate::Error::outcome) is unknown, and the counter may have been changed once; never twice.
//! Not promised: fairness. Whoever comes too late reads and tries again, so among many writers one may need many attempts. Each failed
//! attempt means that somebody else succeeded. With [`Counter::in_line_after`] whoever was too late so often lines up at a
//! [mutex](super::mutex), as with Curator's `PromotedToLock`.
//!
//! ```no_run
//! use rookeeper_client::Client;
//! use rookeeper_client::recipes::counter::{Counter, CounterError};
//!
//! # async fn example() -> Result<(), CounterError> {
//! let client = Client::connect("zk1:2181").await?;
//! let visitors = Counter::new(&client, "/visitors");
//! let change = visitors.add(3).await?;
//! assert_eq!(change.after, change.before + 3);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use thiserror::Error;
use tokio::time::sleep;

use super::guard::Guard;
use super::mutex::Mutex;
use super::protected::create_with_parents;
use crate::{Backoff, Client, CreateOptions, Error, Expected, Outcome, Retry};

/// Pauses of one who came too late, so that many writers do not come at the same time again.
const TOO_LATE: Backoff =
    Backoff::exponential(Duration::from_millis(1), Duration::from_millis(50)).jitter();

/// Why a counter did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CounterError {
    /// The servers or the connection.
    #[error(transparent)]
    Client(#[from] Error),
    /// The znode holds something else than a counter.
    #[error("{path} has {len} bytes of data, a counter has 8 or none")]
    Corrupt {
        /// The counter's path.
        path: String,
        /// Bytes of data.
        len: usize,
    },
    /// The sum does not fit into 64 bits; nothing was changed.
    #[error("the sum of {value} and {delta} does not fit")]
    Overflow {
        /// The counter's value.
        value: i64,
        /// What should have been added.
        delta: i64,
    },
}

/// A change that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The value that was changed.
    pub before: i64,
    /// The value since.
    pub after: i64,
}

/// A number that many clients change. Clones are the same counter.
#[derive(Debug, Clone)]
pub struct Counter {
    client: Client,
    path: String,
    promotion: Option<Promotion>,
}

/// What those do who were too late too often.
#[derive(Debug, Clone)]
struct Promotion {
    attempts: u32,
    mutex: Mutex,
}

/// The value, and where it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    value: i64,
    /// `None`: there is no znode.
    version: Option<i32>,
}

/// What became of one attempt.
enum Attempt {
    Done,
    /// Somebody else was first.
    TooLate,
}

impl Counter {
    /// A counter at `path`. Nothing is written before the first change.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self {
            client: client.clone(),
            path: path.into(),
            promotion: None,
        }
    }

    /// After so many attempts of one change that came too late, waits for the mutex at `lock`, and goes on while holding it. So
    /// those who wait come in their order; who has no need to wait still writes in between. All who should wait for each other have
    /// to name the same mutex.
    #[must_use]
    pub fn in_line_after(mut self, attempts: u32, lock: &str) -> Self {
        let mutex = Mutex::new(&self.client, lock);
        self.promotion = Some(Promotion { attempts, mutex });
        self
    }

    /// The value; 0 if the counter was never changed.
    pub async fn get(&self) -> Result<i64, CounterError> {
        self.read().await.map(|seen| seen.value)
    }

    /// Adds `delta`, which may be negative. Tried again until nobody else is in between.
    pub async fn add(&self, delta: i64) -> Result<Change, CounterError> {
        let mut turn = None;
        for round in 0_u32.. {
            self.line_up(round, &mut turn).await?;
            let seen = self.read().await?;
            let value = seen.value;
            let after = value
                .checked_add(delta)
                .ok_or(CounterError::Overflow { value, delta })?;
            if let Attempt::Done = self.replace(seen, after).await? {
                let before = value;
                return Ok(Change { before, after });
            }
            sleep(TOO_LATE.pause(round)).await;
        }
        Err(Error::Overloaded.into())
    }

    /// Adds 1.
    pub async fn increment(&self) -> Result<Change, CounterError> {
        self.add(1).await
    }

    /// Subtracts 1.
    pub async fn decrement(&self) -> Result<Change, CounterError> {
        self.add(-1).await
    }

    /// Changes the value to `new` if it is `expected`; else answers the value that it has.
    pub async fn compare_and_set(
        &self,
        expected: i64,
        new: i64,
    ) -> Result<Result<(), i64>, CounterError> {
        let mut turn = None;
        for round in 0_u32.. {
            self.line_up(round, &mut turn).await?;
            let seen = self.read().await?;
            if seen.value != expected {
                return Ok(Err(seen.value));
            }
            if let Attempt::Done = self.replace(seen, new).await? {
                return Ok(Ok(()));
            }
            // Another value, or the same one again.
            sleep(TOO_LATE.pause(round)).await;
        }
        Err(Error::Overloaded.into())
    }

    /// Sets the value, whatever it was. Tried again when the outcome is unknown: a change of somebody else in between is lost then, as
    /// if it had come before.
    pub async fn set(&self, value: i64) -> Result<(), CounterError> {
        let bytes = encode(value);
        let write = || async {
            match self.client.set(&self.path, bytes, Expected::Any).await {
                Err(error) if error.is_no_node() => self.create(value).await,
                done => done.map(drop),
            }
        };
        // Somebody else created it in between: it is there to be set.
        let retry = Retry::forever().idempotent();
        match retry.run(write).await {
            Err(error) if error.is_node_exists() => retry.run(write).await.map_err(Into::into),
            done => done.map_err(Into::into),
        }
    }

    /// Creates the counter with this value; false if it is there already.
    pub async fn initialize(&self, value: i64) -> Result<bool, CounterError> {
        let retry = Retry::forever();
        match retry.run(|| self.create(value)).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_node_exists() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the turn of this change, if it was too late often enough. The turn is only a courtesy: should it be lost, the expected
    /// version still tells.
    async fn line_up(&self, round: u32, turn: &mut Option<Guard>) -> Result<(), Error> {
        if let Some(promotion) = &self.promotion
            && turn.is_none()
            && round >= promotion.attempts
        {
            *turn = Some(promotion.mutex.lock().await?);
        }
        Ok(())
    }

    async fn create(&self, value: i64) -> Result<(), Error> {
        let options = CreateOptions::persistent();
        let created = create_with_parents(&self.client, &self.path, encode(value), &options);
        created.await.map(drop)
    }

    async fn read(&self) -> Result<Seen, CounterError> {
        let retry = Retry::forever().idempotent();
        match retry.run(|| self.client.data(&self.path)).await {
            Ok(data) => Ok(Seen {
                value: self.decode(&data.bytes)?,
                version: Some(data.stat.version),
            }),
            Err(error) if error.is_no_node() => Ok(Seen {
                value: 0,
                version: None,
            }),
            Err(error) => Err(error.into()),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<i64, CounterError> {
        decode(bytes).ok_or_else(|| CounterError::Corrupt {
            path: self.path.clone(),
            len: bytes.len(),
        })
    }

    /// Writes `new` if the counter is still as it was seen.
    async fn replace(&self, seen: Seen, new: i64) -> Result<Attempt, CounterError> {
        let mut doubt: Option<Error> = None;
        for round in 0_u32.. {
            match self.write(seen, new).await {
                Ok(()) => return Ok(Attempt::Done),
                Err(error) if is_too_late(&error) => break,
                Err(error) if !error.is_retriable() => return Err(error.into()),
                Err(error) if error.outcome() == Outcome::Unknown => doubt = Some(error),
                Err(_) => {}
            }
            // The same write again: it expects the same version, so it can happen once only.
            sleep(Backoff::default().pause(round)).await;
        }
        match doubt {
            Some(error) => self.resolve(seen, new, error).await,
            None => Ok(Attempt::TooLate),
        }
    }

    async fn write(&self, seen: Seen, new: i64) -> Result<(), Error> {
        match seen.version {
            Some(version) => {
                let set = self.client.set(&self.path, encode(new), version);
                set.await.map(drop)
            }
            None => self.create(new).await,
        }
    }

    /// The expected version is gone, and an earlier attempt may be the reason. It was not if the write that followed what was seen
    /// wrote something else.
    async fn resolve(&self, seen: Seen, new: i64, doubt: Error) -> Result<Attempt, CounterError> {
        let now = self.read().await?;
        let next = seen.version.map_or(0, |version| version.wrapping_add(1));
        if now.version == Some(next) && now.value != new {
            return Ok(Attempt::TooLate);
        }
        Err(doubt.into())
    }
}

fn is_too_late(error: &Error) -> bool {
    error.is_bad_version() || error.is_node_exists() || error.is_no_node()
}

const fn encode(value: i64) -> [u8; 8] {
    value.to_be_bytes()
}

fn decode(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() {
        return Some(0);
    }
    bytes.try_into().ok().map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_bytes_that_curator_writes() {
        let golden: [(i64, u64); 4] = [
            (5, 0x0000_0000_0000_0005),
            (-2, 0xffff_ffff_ffff_fffe),
            (1 << 40, 0x0000_0100_0000_0000),
            (9, 0x0000_0000_0000_0009),
        ];
        for (value, bytes) in golden {
            assert_eq!(encode(value), bytes.to_be_bytes());
            assert_eq!(decode(&bytes.to_be_bytes()), Some(value));
        }
    }

    #[test]
    fn no_data_is_zero_and_other_lengths_are_refused() {
        assert_eq!(decode(&[]), Some(0));
        assert_eq!(decode(&[1, 2, 3]), None);
        assert_eq!(decode(&[0; 9]), None);
    }
}
