//! What a consumer has taken, and how it ends.
//!
//! What lives here: done with it, not done with it, never again. What does not: taking it (`consumer`).

use bytes::Bytes;

use super::QueueError;
use super::claim::Claim;
use super::order::{WORD, without_number};
use super::place::{Place, make_base};
use crate::recipes::protected::join;
use crate::{Backoff, CreateOptions, Error, Multi, Outcome, Zxid};

/// The part of each closing multi that deletes or changes the item.
const ITEM_PART: usize = 0;
/// The part that deletes the lock.
const LOCK_PART: usize = 1;

/// What was put together, and was taken together.
///
/// Of a queue without locks it is gone from the queue already. Of one with locks it stays until [`Delivery::done`]; dropping the
/// delivery gives it back in the background, for anybody to take at once.
#[derive(Debug)]
#[must_use = "an item of a queue with locks that is dropped comes again"]
pub struct Delivery {
    /// What was put: one item, or those of one [`put_many`](super::Queue::put_many).
    pub items: Vec<Bytes>,
    /// The name of the znode.
    pub name: String,
    pub(super) place: Place,
    /// The znode's data.
    pub(super) data: Bytes,
    pub(super) version: i32,
    /// Of a queue with locks.
    pub(super) claim: Option<Claim>,
}

/// What becomes of an item besides losing its lock.
#[derive(Debug, Clone, Copy)]
enum Ending<'a> {
    /// It goes.
    Done,
    /// It stays, and has failed once more.
    Failed,
    /// It goes from here and is created there.
    Moved(&'a str),
}

impl Delivery {
    /// The fencing token: larger than that of whoever had the same item before. `None` without locks.
    #[must_use]
    pub fn token(&self) -> Option<Zxid> {
        self.claim.as_ref().map(|claim| claim.token)
    }

    /// How often this item was given back with [`Delivery::give_back`]. Consumers that died are not counted.
    #[must_use]
    pub const fn failures(&self) -> i32 {
        self.version
    }

    /// The work is done: the item and its lock go together. Tried again until that is known or the session ends.
    ///
    /// [`QueueError::Lost`]: the lock was not ours any more, somebody else may have the item.
    pub async fn done(self) -> Result<(), QueueError> {
        self.end(Ending::Done).await
    }

    /// The work has failed: the item may be taken again at once, at its old place, and counts one more failure. Without locks it is put
    /// at the end of the queue.
    pub async fn give_back(self) -> Result<(), QueueError> {
        match &self.claim {
            Some(_) => self.end(Ending::Failed).await,
            None => self.requeue().await,
        }
    }

    /// The work has failed: the item goes to the end of those with the same priority or time. Its failures are forgotten.
    pub async fn requeue(self) -> Result<(), QueueError> {
        let name = without_number(&self.name).to_owned();
        match &self.claim {
            Some(_) => {
                let path = join(&self.place.path, &name);
                self.end(Ending::Moved(&path)).await
            }
            None => self.place.store(&name, &self.data).await,
        }
    }

    /// The work is hopeless: the item goes to another queue, at `path`, where somebody may look at it.
    pub async fn bury(self, path: &str) -> Result<(), QueueError> {
        make_base(&self.place.client, path).await?;
        match &self.claim {
            Some(_) => self.end(Ending::Moved(&join(path, WORD))).await,
            None => {
                let place = Place::new(&self.place.client, path.to_owned(), super::Options::new());
                place.store(WORD, &self.data).await
            }
        }
    }

    async fn end(mut self, ending: Ending<'_>) -> Result<(), QueueError> {
        let Some(mut claim) = self.claim.take() else {
            return Ok(());
        };
        let multi = self.multi(&claim, ending);
        let mut doubt = false;
        for round in 0_u32.. {
            match self.place.client.multi(multi.clone()).await {
                Ok(_) => break,
                Err(error) if error.is_retriable() => doubt |= error.outcome() == Outcome::Unknown,
                Err(error) if is_about(&error, ITEM_PART) && doubt => break,
                Err(error) if is_about(&error, ITEM_PART) => {
                    // Somebody without locks has taken or changed it.
                    return claim.release().await.map_err(Into::into);
                }
                Err(error) if is_about(&error, LOCK_PART) => {
                    claim.there = false;
                    return Err(QueueError::Lost { name: self.name });
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Backoff::default().pause(round)).await;
        }
        claim.there = false;
        Ok(())
    }

    fn multi(&self, claim: &Claim, ending: Ending<'_>) -> Multi {
        let item = join(&self.place.path, &self.name);
        let multi = match ending {
            Ending::Done | Ending::Moved(_) => Multi::new().delete(item, -1),
            Ending::Failed => Multi::new().set(item, &self.data[..], self.version),
        };
        let multi = multi.delete(&claim.path, -1);
        match ending {
            Ending::Moved(path) => multi.create(
                path,
                &self.data[..],
                &CreateOptions::persistent_sequential(),
            ),
            Ending::Done | Ending::Failed => multi,
        }
    }
}

fn is_about(error: &Error, part: usize) -> bool {
    let missing = error.is_no_node() || error.is_bad_version();
    missing && matches!(error, Error::PartRefused { index, .. } if *index == part)
}
