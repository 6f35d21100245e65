//! Taking items, one after another.
//!
//! What lives here: choosing an item, taking it for certain, and waiting for one. What does not: what the names mean (`order`), the
//! lock of an item (`claim`), how a delivery ends (`delivery`).
//!
//! Invariant: `next` can be dropped at any moment. What was on its way is in the consumer, and the next call goes on with it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::sleep;

use super::QueueError;
use super::claim::Claim;
use super::delivery::Delivery;
use super::order::Plan;
use super::place::{Place, now};
use crate::recipes::guard::Guard;
use crate::recipes::mutex::Mutex;
use crate::recipes::protected::{delete, join};
use crate::recipes::wake::woken;
use crate::{Backoff, Call, Data, Error, Outcome, Retry, Watch};

/// Longest sleep until an item is due: the clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// Takes the items of a queue. Several consumers share them.
#[derive(Debug)]
pub struct Consumer {
    place: Place,
    /// What the last listing found, without what was tried since.
    plan: VecDeque<String>,
    /// Tried since the last listing.
    tried: usize,
    /// An item that is being taken from a queue without locks.
    taking: Option<Taking>,
}

#[derive(Debug)]
struct Taking {
    name: String,
    data: Data,
    /// The delete on its way; `None` when it has to be asked again.
    delete: Option<Call<()>>,
    /// Deletes whose outcome is not known.
    doubt: Option<Error>,
    /// Deletes that had to be asked again.
    rounds: u32,
}

/// What a consumer waits for.
struct Waiting {
    items: Watch,
    /// Somebody has an item that may come back.
    locks: Option<Watch>,
    due: Option<u64>,
}

impl Consumer {
    pub(crate) const fn new(place: Place) -> Self {
        Self {
            place,
            plan: VecDeque::new(),
            tried: 0,
            taking: None,
        }
    }

    /// The next delivery, until the session ends at most. Safe to cancel: what was on its way comes with the next call; a place in line
    /// is given up.
    ///
    /// After [`QueueError::Garbage`] and [`QueueError::Unclear`] the consumer goes on with the next item.
    pub async fn next(&mut self) -> Result<Delivery, QueueError> {
        if let Some(delivery) = self.try_next().await? {
            return Ok(delivery);
        }
        let _turn = self.turn().await?;
        loop {
            self.wait().await?;
            if let Some(delivery) = self.try_next().await? {
                return Ok(delivery);
            }
        }
    }

    /// Waits until this consumer is the one that watches. It takes nothing by itself: a turn that is lost does no harm.
    async fn turn(&self) -> Result<Option<Guard>, Error> {
        match &self.place.options.line {
            Some(path) => Mutex::new(&self.place.client, path).lock().await.map(Some),
            None => Ok(None),
        }
    }

    /// The next delivery if there is one now.
    pub async fn try_next(&mut self) -> Result<Option<Delivery>, QueueError> {
        if let Some(delivery) = self.settle().await? {
            return Ok(Some(delivery));
        }
        if let Some(delivery) = self.try_plan().await? {
            return Ok(Some(delivery));
        }
        let names = self.place.children().await?;
        let taken = match names.is_empty() {
            true => BTreeSet::new(),
            false => self.locked().await?,
        };
        self.adopt(names, &taken);
        self.try_plan().await
    }

    /// Takes the first item of the plan that nobody else takes.
    async fn try_plan(&mut self) -> Result<Option<Delivery>, QueueError> {
        while self.tried < self.place.per_listing {
            let Some(name) = self.plan.pop_front() else {
                break;
            };
            if let Some(delivery) = self.take(name).await? {
                self.tried += 1;
                return Ok(Some(delivery));
            }
        }
        self.plan.clear();
        Ok(None)
    }

    fn adopt(&mut self, names: Vec<String>, taken: &BTreeSet<String>) -> Plan {
        let mut plan = self.place.plan(names);
        plan.names.retain(|name| !taken.contains(name));
        self.plan = std::mem::take(&mut plan.names);
        self.tried = 0;
        plan
    }

    /// The names of items that somebody has.
    async fn locked(&self) -> Result<BTreeSet<String>, Error> {
        let Some(locks) = &self.place.options.locks else {
            return Ok(BTreeSet::new());
        };
        let retry = Retry::forever().idempotent();
        match retry.run(|| self.place.client.children(locks)).await {
            Ok(children) => Ok(children.names.into_iter().collect()),
            Err(error) if error.is_no_node() => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Waits until there may be something to take.
    async fn wait(&mut self) -> Result<(), Error> {
        let waiting = self.watch().await?;
        if self.plan.is_empty() {
            waiting.end().await?;
        }
        Ok(())
    }

    /// Lists with watches, so that no change falls between.
    async fn watch(&mut self) -> Result<Waiting, Error> {
        let (children, items) = self.place.children_watched(&self.place.path).await?;
        let (mut taken, mut locks) = (BTreeSet::new(), None);
        if let Some(path) = &self.place.options.locks
            && !children.names.is_empty()
        {
            let (names, watch) = self.place.children_watched(path).await?;
            taken.extend(names.names);
            locks = Some(watch);
        }
        let due = self.adopt(children.names, &taken).next_due;
        Ok(Waiting { items, locks, due })
    }

    /// Takes this item, if nobody else has it.
    pub(crate) async fn take(&mut self, name: String) -> Result<Option<Delivery>, QueueError> {
        if self.place.options.locks.is_some() {
            return self.claim(name).await;
        }
        let path = join(&self.place.path, &name);
        let retry = Retry::forever().idempotent();
        let data = match retry.run(|| self.place.client.data(&path)).await {
            Err(error) if error.is_no_node() => return Ok(None),
            data => data?,
        };
        let delete = Some(self.place.client.delete(&path, data.stat.version));
        self.taking = Some(Taking {
            name,
            data,
            delete,
            doubt: None,
            rounds: 0,
        });
        self.settle().await
    }

    /// Waits until it is known whether the item that is being taken is ours.
    ///
    /// A delete without an answer is asked again, and not looked after: it may still be on its way, and happen after the look.
    async fn settle(&mut self) -> Result<Option<Delivery>, QueueError> {
        while let Some(taking) = &mut self.taking {
            let asked = match &mut taking.delete {
                Some(delete) => delete.await,
                None => {
                    sleep(Backoff::default().pause(taking.rounds)).await;
                    taking.rounds += 1;
                    let path = join(&self.place.path, &taking.name);
                    let version = taking.data.stat.version;
                    taking.delete = Some(self.place.client.delete(&path, version));
                    continue;
                }
            };
            taking.delete = None;
            match asked {
                Ok(()) => return self.taken().map(Some),
                Err(error) if error.is_bad_version() => self.taking = None,
                Err(error) if error.is_no_node() && taking.doubt.is_none() => self.taking = None,
                Err(error) if error.outcome() == Outcome::Unknown => {
                    let over = !error.is_retriable();
                    taking.doubt = Some(error);
                    if over {
                        return Err(self.unclear());
                    }
                }
                Err(error) if error.is_retriable() => {}
                Err(_) if taking.doubt.is_some() => return Err(self.unclear()),
                Err(error) => {
                    self.taking = None;
                    return Err(error.into());
                }
            }
        }
        Ok(None)
    }

    /// The item is gone, and one of our deletes may be the reason.
    fn unclear(&mut self) -> QueueError {
        match self.taking.take() {
            Some(taking) => QueueError::Unclear {
                items: self.place.items(&taking.data.bytes).unwrap_or_default(),
                name: taking.name,
                source: taking.doubt.unwrap_or(Error::ConnectionLost),
            },
            None => Error::Closed.into(),
        }
    }

    fn taken(&mut self) -> Result<Delivery, QueueError> {
        let taking = self.taking.take().ok_or(Error::Closed)?;
        self.open(taking.name, taking.data, None)
    }

    /// Takes an item of a queue with locks: the lock first, then the item's data, in one go.
    async fn claim(&mut self, name: String) -> Result<Option<Delivery>, QueueError> {
        let Some(locks) = &self.place.options.locks else {
            return Ok(None);
        };
        let path = join(&self.place.path, &name);
        let (claim, call) = Claim::ask(&self.place.client, join(locks, &name));
        let first = self.place.client.data(&path);
        let claim = match claim.settle(call).await {
            Ok(Some(claim)) => claim,
            Ok(None) => return Ok(None),
            Err(error) if error.is_no_node() => {
                // Nobody has made the znode of the locks yet.
                self.plan.push_front(name);
                self.place.make().await?;
                return Ok(None);
            }
            Err(error) => {
                self.plan.push_front(name);
                return Err(error.into());
            }
        };
        match self.read(&path, first).await {
            Ok(data) => self.open_claimed(name, data, claim).await.map(Some),
            // Done by somebody else since the listing.
            Err(error) if error.is_no_node() => {
                claim.release().await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, path: &str, first: Call<Data>) -> Result<Data, Error> {
        match first.await {
            Err(error) if error.is_retriable() => {
                let retry = Retry::forever().idempotent();
                retry.run(|| self.place.client.data(path)).await
            }
            done => done,
        }
    }

    /// What is no item would come again and again: it goes, and the caller has its bytes.
    async fn open_claimed(
        &self,
        name: String,
        data: Data,
        claim: Claim,
    ) -> Result<Delivery, QueueError> {
        if self.place.items(&data.bytes).is_none() {
            delete(&self.place.client, &join(&self.place.path, &name)).await?;
        }
        self.open(name, data, Some(claim))
    }

    fn open(&self, name: String, data: Data, claim: Option<Claim>) -> Result<Delivery, QueueError> {
        let Some(items) = self.place.items(&data.bytes) else {
            let data = data.bytes;
            return Err(QueueError::Garbage { name, data });
        };
        Ok(Delivery {
            items,
            name,
            place: self.place.clone(),
            data: data.bytes,
            version: data.stat.version,
            claim,
        })
    }
}

impl Waiting {
    async fn end(self) -> Result<(), Error> {
        let locks = async {
            match self.locks {
                Some(watch) => woken(watch).await,
                None => std::future::pending().await,
            }
        };
        let due = async {
            match self.due {
                Some(due) => {
                    let left = Duration::from_millis(due.saturating_sub(now()));
                    sleep(left.min(MAX_SLEEP)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = woken(self.items) => event,
            event = locks => event,
            () = due => Ok(()),
        }
    }
}
