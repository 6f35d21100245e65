//! A place: an ephemeral znode with a number, which is this program's as long as it wants it and the session lives.
//!
//! What lives here: taking a place, giving it up, and noticing that it is gone. What does not: who is ahead (`line`).
//!
//! Invariant: a place that is dropped at any moment, or whose taking is given up half way, is deleted in the background. With it goes
//! what its taking may have left besides, where a connection broke meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::protected::{Protected, delete, join, split};
use super::wake::woken;
use crate::{
    Backoff, Children, Client, CreateOptions, Error, ErrorCode, Expected, Retry, SessionId, Stat,
    State, Watch, Zxid,
};

/// A znode of the own session under a parent.
#[derive(Debug)]
pub(crate) struct Place {
    client: Client,
    path: String,
    token: Zxid,
    /// How it was taken, if that may have left more than the znode.
    doubt: Option<Protected>,
    /// Hears when the znode goes. It is used up by the deletion; before that, dropping it would cost a request.
    pub(crate) watch: Option<Watch>,
    /// Somebody else has removed it.
    gone: AtomicBool,
    given_up: bool,
}

impl Place {
    /// Takes a place at the end: `<parent>/_c_<UUID>-<word>NNNNNNNNNN`. What children there are right after that comes along, if the
    /// connection stood; it was asked in the same round trip.
    pub(crate) async fn take(
        client: &Client,
        parent: &str,
        word: &str,
        data: Bytes,
    ) -> Result<(Self, Option<Children>), Error> {
        let options = CreateOptions::ephemeral_sequential();
        let protected = Protected::new(client, &join(parent, word), data, options);
        let create = protected.send();
        let children = client.children(parent);
        let settled = protected.settle_telling(create).await?;
        let created = settled.created;
        let mut place = Self::of(client, created.path, created.stat.czxid);
        place.doubt = settled.doubt.then_some(protected);
        let children = children.await.ok();
        // The create may have been another one than the first, then the list is older than it.
        let name = place.name();
        let children = children.filter(|list| list.names.iter().any(|other| other == name));
        Ok((place, children))
    }

    /// A znode that is there.
    pub(crate) fn of(client: &Client, path: String, token: Zxid) -> Self {
        Self {
            client: client.clone(),
            path,
            token,
            doubt: None,
            watch: None,
            gone: AtomicBool::new(false),
            given_up: false,
        }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn parent(&self) -> &str {
        split(&self.path).0
    }

    pub(crate) fn name(&self) -> &str {
        split(&self.path).1
    }

    /// The zxid of its creation: larger than that of every place that was taken before.
    pub(crate) const fn token(&self) -> Zxid {
        self.token
    }

    /// Deletes the znode. Tried again until it is gone; an error says that the session ended.
    pub(crate) async fn give_up(mut self) -> Result<(), Error> {
        delete(&self.client, &self.path).await?;
        if let Some(doubt) = &self.doubt {
            doubt.remove().await?;
        }
        self.given_up = true;
        Ok(())
    }

    /// The znode has become that of another place, which takes over what there is to look after.
    pub(crate) fn turn_into(mut self, other: &mut Self) {
        self.given_up = true;
        other.doubt = self.doubt.take();
    }

    /// False while the connection is suspended, after the end of the session, and when the znode is known to be gone.
    pub(crate) fn is_held(&self) -> bool {
        self.client.state() == State::Connected && !self.gone.load(Ordering::Acquire)
    }

    /// Waits until it is not held any more.
    pub(crate) async fn lost(&self) {
        let mut states = self.client.states();
        let suspended = async { while self.is_held() && states.next().await.is_some() {} };
        tokio::select! {
            biased;
            () = suspended => {}
            () = self.removed() => self.gone.store(true, Ordering::Release),
        }
    }

    /// Waits until the znode is gone, or the session.
    async fn removed(&self) {
        let backoff = Backoff::default();
        for round in 0.. {
            match self.look_and_wait().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) if error.is_retriable() => sleep(backoff.pause(round)).await,
                Err(_) => return,
            }
        }
    }

    /// True when it is gone, false after some other event.
    async fn look_and_wait(&self) -> Result<bool, Error> {
        let (stat, watch) = self.client.exists_watched(&self.path).await?;
        if !stat.is_some_and(|stat| self.is_own(&stat)) {
            return Ok(true);
        }
        woken(watch).await.map(|()| false)
    }

    /// Asks whether the znode is there and is this one.
    pub(crate) async fn is_there(&self) -> Result<bool, Error> {
        let retry = Retry::forever().idempotent();
        let stat = retry.run(|| self.client.exists(&self.path)).await?;
        let there = stat.is_some_and(|stat| self.is_own(&stat));
        self.gone.fetch_or(!there, Ordering::AcqRel);
        Ok(there)
    }

    /// What a waiter is told when its znode is gone.
    pub(crate) fn removed_error(&self) -> Error {
        Error::Refused {
            code: ErrorCode::NoNode,
            path: self.path.clone(),
        }
    }

    fn is_own(&self, stat: &Stat) -> bool {
        SessionId(stat.ephemeral_owner) == self.client.session()
    }
}

impl Drop for Place {
    /// Asks for the deletion now, so that it comes before whatever this client asks later, and sees to it in the background.
    fn drop(&mut self) {
        if self.given_up {
            return;
        }
        let call = self.client.delete(&self.path, Expected::Any);
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (client, path) = (self.client.clone(), std::mem::take(&mut self.path));
        let (watch, doubt) = (self.watch.take(), self.doubt.take());
        runtime.spawn(async move {
            // Errors say that the session ended, and the znodes with it.
            if call.await.is_err_and(|error| error.is_retriable()) {
                let _ = delete(&client, &path).await;
            }
            if let Some(doubt) = doubt {
                let _ = doubt.remove().await;
            }
            drop(watch);
        });
    }
}
