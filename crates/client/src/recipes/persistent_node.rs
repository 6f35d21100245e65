//! A znode that is there as long as somebody keeps it: when it is deleted, it comes back.
//!
//! On the wire: the znode itself, of the kind that was asked for, and an `exists` watch on it (Curator: `PersistentNode`). A protected
//! or sequential one has `_c_<UUID>-` before its name; when it comes back, it has the name that it had.
//!
//! What it promises: while the session lives, a deleted znode is created again at once, and an attempt whose outcome is unknown
//! leaves no second one. What it does not: data that others write stays (it is written again with the next creation), and the znode
//! is away for as long as a deletion takes to be heard. A [`Client`] has one session for life, so an ephemeral one ends with it: with
//! a new client, make a new recipe.
//!
//! An ephemeral of another session at the same path is not touched; this one is created when the other goes. A persistent znode that
//! is there already is taken over, and gets the data.
//!
//! ```no_run
//! use rookeeper_client::recipes::persistent_node::PersistentNode;
//! use rookeeper_client::{Client, CreateOptions, Error};
//!
//! # async fn example(client: &Client) -> Result<(), Error> {
//! let kind = CreateOptions::ephemeral();
//! let node = PersistentNode::open(client, "/workers/w7", "idle", kind)?;
//! println!("{}", node.created().await?);
//! node.set("busy").await?;
//! node.close().await
//! # }
//! ```

use std::future::pending;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::protected::{self, Protected, create_with_parents};
use super::wake::woken;
use crate::{Acl, Backoff, Client, CreateOptions, Error, Expected, Retry, SessionId, Stat};

/// Why a kind is refused.
const NUMBERED: &str =
    "what comes back keeps its name: a kind with a number has its own way to begin";

/// A znode that comes back when it is deleted.
///
/// Dropping it lets go of the znode: an ephemeral one is deleted in the background, any other stays. [`PersistentNode::close`] deletes
/// either.
#[derive(Debug)]
pub struct PersistentNode {
    wishes: mpsc::UnboundedSender<Wish>,
    standing: watch::Receiver<Standing>,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It was never there.
    Coming,
    /// It was created so many times, last at this path, and is there as far as is known.
    There(String, u64),
    /// It was deleted, and is about to come back.
    Gone(String, u64),
    /// Nobody keeps it any more.
    Ended(Error),
}

/// What the owner wants.
#[derive(Debug)]
enum Wish {
    Set(Bytes, oneshot::Sender<Result<(), Error>>),
    Close(oneshot::Sender<Result<(), Error>>),
}

impl PersistentNode {
    /// Begins to keep a znode at `path`, of any kind without a number. Missing parents are made. Needs a tokio runtime.
    pub fn open(
        client: &Client,
        path: &str,
        data: impl Into<Bytes>,
        options: CreateOptions,
    ) -> Result<Self, Error> {
        Self::begin(client, path, data.into(), None, options)
    }

    /// The same with a protected name: `_c_<UUID>-` before the last part of the path.
    pub fn protected(
        client: &Client,
        path: &str,
        data: impl Into<Bytes>,
        options: CreateOptions,
    ) -> Result<Self, Error> {
        let first = Some(options.clone());
        Self::begin(client, path, data.into(), first, options)
    }

    /// The same with a protected name and a number behind it, which it keeps when it comes back. It is ephemeral or not, and may be
    /// used by those in the ACL.
    pub fn sequential(
        client: &Client,
        path: &str,
        data: impl Into<Bytes>,
        ephemeral: bool,
        acl: Vec<Acl>,
    ) -> Result<Self, Error> {
        let (first, again) = if ephemeral {
            (
                CreateOptions::ephemeral_sequential(),
                CreateOptions::ephemeral(),
            )
        } else {
            (
                CreateOptions::persistent_sequential(),
                CreateOptions::persistent(),
            )
        };
        let first = Some(first.acl(acl.clone()));
        Self::begin(client, path, data.into(), first, again.acl(acl))
    }

    fn begin(
        client: &Client,
        path: &str,
        data: Bytes,
        first: Option<CreateOptions>,
        options: CreateOptions,
    ) -> Result<Self, Error> {
        if options.mode().is_sequential() {
            return Err(Error::BadArgument(NUMBERED));
        }
        // A view from a path that is none is refused.
        client.chroot(path)?;
        let (wishes, inbox) = mpsc::unbounded_channel();
        let (shown, standing) = watch::channel(Standing::Coming);
        let keeper = Keeper {
            client: client.clone(),
            wanted: path.to_owned(),
            data,
            first,
            options,
            path: None,
            doubt: None,
            creations: 0,
            shown,
            inbox,
        };
        tokio::spawn(keeper.run());
        Ok(Self { wishes, standing })
    }

    /// Waits until it has been created, and tells its path.
    pub async fn created(&self) -> Result<String, Error> {
        let mut standing = self.standing.clone();
        let reached = standing.wait_for(|standing| *standing != Standing::Coming);
        match reached.await.as_deref() {
            Ok(Standing::There(path, _) | Standing::Gone(path, _)) => Ok(path.clone()),
            Ok(Standing::Ended(error)) => Err(error.clone()),
            Ok(Standing::Coming) | Err(_) => Err(Error::Closed),
        }
    }

    /// Its path, once it was created.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::There(path, _) | Standing::Gone(path, _) => Some(path.clone()),
            Standing::Coming | Standing::Ended(_) => None,
        }
    }

    /// True as long as nothing else is known. False while it is about to be created, and when nobody keeps it any more.
    #[must_use]
    pub fn is_there(&self) -> bool {
        matches!(*self.standing.borrow(), Standing::There(..))
    }

    /// Gives it other data, now and whenever it comes back. While it is away, this only remembers them.
    pub async fn set(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let data = data.into();
        self.wish(Wish::Set(data, done), answer).await
    }

    /// Deletes it, and waits until that is done.
    pub async fn close(self) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.wish(Wish::Close(done), answer).await
    }

    /// The next creation; never, when nobody keeps it any more.
    pub(super) fn creations(&self) -> Creations {
        Creations {
            standing: self.standing.clone(),
        }
    }

    async fn wish(
        &self,
        wish: Wish,
        answer: oneshot::Receiver<Result<(), Error>>,
    ) -> Result<(), Error> {
        // Nobody there to fulfil it: the end has a reason.
        let _ = self.wishes.send(wish);
        answer.await.unwrap_or_else(|_| Err(self.end()))
    }

    fn end(&self) -> Error {
        match &*self.standing.borrow() {
            Standing::Ended(error) => error.clone(),
            _ => Error::Closed,
        }
    }
}

/// Tells when a node was created once more.
#[derive(Debug)]
pub(super) struct Creations {
    standing: watch::Receiver<Standing>,
}

impl Creations {
    /// Waits for the next. Safe to cancel.
    pub(super) async fn next(&mut self) {
        while self.standing.changed().await.is_ok() {
            if matches!(*self.standing.borrow_and_update(), Standing::There(..)) {
                return;
            }
        }
        pending().await
    }
}

/// The task that keeps it.
struct Keeper {
    client: Client,
    wanted: String,
    data: Bytes,
    /// How it is created the first time, if it gets another name than what is wanted.
    first: Option<CreateOptions>,
    options: CreateOptions,
    /// Where it is, or was: it comes back there.
    path: Option<String>,
    /// How it was created, if that may have left a second one.
    doubt: Option<Protected>,
    creations: u64,
    shown: watch::Sender<Standing>,
    inbox: mpsc::UnboundedReceiver<Wish>,
}

/// Why keeping ended in good order.
enum LetGo {
    Closed(oneshot::Sender<Result<(), Error>>),
    Dropped,
}

impl Keeper {
    async fn run(mut self) {
        let end = match self.keep().await {
            Err(error) => error,
            Ok(LetGo::Dropped) => {
                if self.is_ephemeral() {
                    // Its error means that the session is over, and the znode with it.
                    let _ = self.remove().await;
                }
                Error::Closed
            }
            Ok(LetGo::Closed(done)) => {
                // Whoever closed it need not wait.
                let _ = done.send(self.remove().await);
                Error::Closed
            }
        };
        self.shown.send_replace(Standing::Ended(end));
    }

    async fn keep(&mut self) -> Result<LetGo, Error> {
        loop {
            if let Some(let_go) = self.make().await? {
                return Ok(let_go);
            }
            if let Some(let_go) = self.guard().await? {
                return Ok(let_go);
            }
        }
    }

    /// Until it is there, or not wanted any more.
    async fn make(&mut self) -> Result<Option<LetGo>, Error> {
        loop {
            let attempt = self.attempt();
            tokio::select! {
                made = attempt.make() => {
                    let (path, doubt) = made?;
                    self.doubt = self.doubt.take().or(doubt);
                    self.creations += 1;
                    self.path = Some(path.clone());
                    self.shown.send_replace(Standing::There(path, self.creations));
                    return Ok(None);
                }
                wish = self.inbox.recv() => match wish {
                    None => return Ok(Some(LetGo::Dropped)),
                    Some(Wish::Close(done)) => return Ok(Some(LetGo::Closed(done))),
                    Some(Wish::Set(data, done)) => {
                        self.data = data;
                        let _ = done.send(Ok(()));
                    }
                },
            }
        }
    }

    fn attempt(&self) -> Attempt {
        let (first, options) = match (&self.path, &self.first) {
            (None, Some(first)) => (true, first),
            _ => (false, &self.options),
        };
        Attempt {
            client: self.client.clone(),
            path: self.path.as_ref().unwrap_or(&self.wanted).clone(),
            data: self.data.clone(),
            options: options.clone(),
            gets_new_name: first,
        }
    }

    /// Until it is gone, or not wanted any more.
    async fn guard(&mut self) -> Result<Option<LetGo>, Error> {
        let Some(path) = self.path.clone() else {
            return Ok(None);
        };
        let is_ephemeral = self.is_ephemeral();
        loop {
            tokio::select! {
                gone = until_gone(&self.client, &path, is_ephemeral) => {
                    gone?;
                    self.shown.send_replace(Standing::Gone(path, self.creations));
                    return Ok(None);
                }
                wish = self.inbox.recv() => match wish {
                    None => return Ok(Some(LetGo::Dropped)),
                    Some(Wish::Close(done)) => return Ok(Some(LetGo::Closed(done))),
                    Some(Wish::Set(data, done)) => {
                        self.data = data;
                        let _ = done.send(write(&self.client, &path, &self.data).await.map(drop));
                    }
                },
            }
        }
    }

    fn is_ephemeral(&self) -> bool {
        self.options.mode().is_ephemeral()
    }

    /// Deletes it if it is ours.
    async fn remove(&self) -> Result<(), Error> {
        let path = match &self.path {
            Some(path) => path,
            // A protected one that was on its way is undone by its attempt.
            None if self.first.is_some() => return Ok(()),
            None => &self.wanted,
        };
        let retry = Retry::forever().idempotent();
        let stat = retry.run(|| self.client.exists(path)).await?;
        if stat.is_some_and(|stat| is_ours(&self.client, &stat, self.is_ephemeral())) {
            protected::delete(&self.client, path).await?;
        }
        match &self.doubt {
            Some(doubt) => doubt.remove().await,
            None => Ok(()),
        }
    }
}

fn is_ours(client: &Client, stat: &Stat, is_ephemeral: bool) -> bool {
    !is_ephemeral || SessionId(stat.ephemeral_owner) == client.session()
}

/// Waits until the znode is not there, or is another's.
async fn until_gone(client: &Client, path: &str, is_ephemeral: bool) -> Result<(), Error> {
    let retry = Retry::forever().idempotent();
    loop {
        let (stat, changed) = retry.run(|| client.exists_watched(path)).await?;
        if !stat.is_some_and(|stat| is_ours(client, &stat, is_ephemeral)) {
            return Ok(());
        }
        woken(changed).await?;
    }
}

/// Writes the data; false if there is no znode.
async fn write(client: &Client, path: &str, data: &Bytes) -> Result<bool, Error> {
    let retry = Retry::forever().idempotent();
    match retry.run(|| client.set(path, data, Expected::Any)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_no_node() => Ok(false),
        Err(error) => Err(error),
    }
}

/// One creation, with what it needs.
struct Attempt {
    client: Client,
    path: String,
    data: Bytes,
    options: CreateOptions,
    /// Its path is only what is wanted.
    gets_new_name: bool,
}

impl Attempt {
    /// Its path, and who finds a second one if there may be one.
    async fn make(self) -> Result<(String, Option<Protected>), Error> {
        if self.gets_new_name {
            let protected = Protected::new(&self.client, &self.path, self.data, self.options);
            let settled = protected.settle_telling(protected.send()).await?;
            let doubt = settled.doubt.then_some(protected);
            return Ok((settled.created.path, doubt));
        }
        self.occupy().await?;
        Ok((self.path, None))
    }

    /// Creates it, or takes over what is there. One of ours that an earlier attempt left behind is what is there.
    async fn occupy(&self) -> Result<(), Error> {
        let backoff = Backoff::default();
        for round in 0.. {
            let created =
                create_with_parents(&self.client, &self.path, &self.data, &self.options).await;
            match created {
                Err(error) if error.is_node_exists() => {
                    if self.take_over().await? {
                        return Ok(());
                    }
                }
                Err(error) if error.is_retriable() => sleep(backoff.pause(round)).await,
                created => return created.map(drop),
            }
        }
        Err(Error::ConnectionLost)
    }

    /// False when what was there is gone.
    async fn take_over(&self) -> Result<bool, Error> {
        let is_ephemeral = self.options.mode().is_ephemeral();
        let retry = Retry::forever().idempotent();
        let (stat, gone) = retry.run(|| self.client.exists_watched(&self.path)).await?;
        match stat {
            None => Ok(false),
            Some(stat) if is_ours(&self.client, &stat, is_ephemeral) => {
                write(&self.client, &self.path, &self.data).await
            }
            Some(_) => {
                woken(gone).await?;
                Ok(false)
            }
        }
    }
}
