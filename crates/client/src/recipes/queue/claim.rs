//! The lock of one item: an ephemeral znode with the item's name below the queue's lock path.
//!
//! What lives here: getting it and giving it back. What does not: what is done with the item meanwhile (`delivery`).
//!
//! Invariant: a claim knows its znode by the UUID in the znode's data. So one that was created without an answer is found again, and one
//! of somebody else (another consumer of the same session, too) is never deleted.

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::recipes::protected::{delete, uuid};
use crate::{Backoff, Call, Client, CreateOptions, Created, Error, Outcome, Retry, Stat, Zxid};

/// The right to work on one item. Dropping it gives it back in the background.
#[derive(Debug)]
pub(super) struct Claim {
    client: Client,
    pub(super) path: String,
    mark: String,
    /// The zxid of the lock's creation.
    pub(super) token: Zxid,
    /// There is, or may be, a znode.
    pub(super) there: bool,
}

impl Claim {
    /// Asks for the lock; [`Claim::settle`] has to follow.
    pub(super) fn ask(client: &Client, path: String) -> (Self, Call<Created>) {
        let mark = uuid();
        let call = client.create(&path, &mark, &CreateOptions::ephemeral());
        let claim = Self {
            client: client.clone(),
            path,
            mark,
            token: Zxid(0),
            there: true,
        };
        (claim, call)
    }

    /// The answer: `None` if somebody else has the item.
    ///
    /// A create without an answer is asked again, and not looked for: it may still be on its way, and happen after the look.
    pub(super) async fn settle(mut self, mut call: Call<Created>) -> Result<Option<Self>, Error> {
        let mut doubt = false;
        for round in 0_u32.. {
            match call.await {
                Ok(created) => {
                    self.token = created.stat.czxid;
                    return Ok(Some(self));
                }
                Err(error) if error.is_node_exists() && doubt => break,
                Err(error) if error.is_retriable() => doubt |= error.outcome() == Outcome::Unknown,
                Err(error) => {
                    self.there = doubt || error.outcome() == Outcome::Unknown;
                    let taken = error.is_node_exists();
                    return if taken { Ok(None) } else { Err(error) };
                }
            }
            sleep(Backoff::default().pause(round)).await;
            call = self
                .client
                .create(&self.path, &self.mark, &CreateOptions::ephemeral());
        }
        let stat = owned(&self.client, &self.path, &self.mark).await?;
        self.there = stat.is_some();
        self.token = stat.map_or(Zxid(0), |stat| stat.czxid);
        Ok(self.there.then_some(self))
    }

    /// Gives the lock back.
    pub(super) async fn release(mut self) -> Result<(), Error> {
        self.there = false;
        release(&self.client, &self.path, &self.mark).await
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.there, Handle::try_current()) {
            let (client, path) = (self.client.clone(), self.path.clone());
            let mark = self.mark.clone();
            // Its errors mean that the session is over, and the znode with it.
            runtime.spawn(async move { release(&client, &path, &mark).await });
        }
    }
}

async fn release(client: &Client, path: &str, mark: &str) -> Result<(), Error> {
    match owned(client, path, mark).await? {
        Some(_) => delete(client, path).await,
        None => Ok(()),
    }
}

/// The lock, if it is there and has this mark.
async fn owned(client: &Client, path: &str, mark: &str) -> Result<Option<Stat>, Error> {
    let retry = Retry::forever().idempotent();
    match retry.run(|| client.data(path)).await {
        Ok(data) => {
            Ok((data.bytes == Bytes::copy_from_slice(mark.as_bytes())).then_some(data.stat))
        }
        Err(error) if error.is_no_node() => Ok(None),
        Err(error) => Err(error),
    }
}
