//! Creating a znode when nobody knows whether the last attempt was one.
//!
//! The connection may break after a create was executed and before its answer came. A znode with a plain name is found by its name;
//! a sequential one is not, and an ephemeral that nobody knows of blocks everybody behind it as long as the session lives. So the
//! name tells who asked: `_c_<UUID>-` before the name, as Curator does it. After an unknown outcome the parent's children tell
//! whether the create was executed.
//!
//! What lives here: [`uuid`], [`make_parents`], [`create_with_parents`] and [`Protected`]. What does not: what the znodes mean.
//!
//! Invariants:
//! - A znode is adopted only if it has the own prefix and, being ephemeral, is of the own session: one that an earlier session left
//!   behind ends with that session, and whoever counted on it would lose it without a word.
//! - The search for it begins with a sync, in the order of requests behind the create. So it sees the create if that was executed by
//!   then, whichever server is asked.
//! - A server may execute what a broken connection has left behind after the session has gone on to another connection; ZooKeeper's
//!   does where both are its own. So after an unknown outcome there may come to be several znodes with the own prefix. The first one
//!   counts; the others are removed when the create is settled, and whoever gives its znode up looks for them again
//!   (`Settled::doubt`).
//!
//! ```no_run
//! use rookeeper_client::recipes::protected::Protected;
//! use rookeeper_client::{Client, CreateOptions, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let member = Protected::new(&client, "/queue/member-", "", CreateOptions::ephemeral_sequential());
//! let created = member.create().await?;
//! println!("{}", created.path); // /queue/_c_f47ac10b-58cc-4372-a567-0e02b2c3d479-member-0000000007
//! # Ok(())
//! # }
//! ```

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::{
    Backoff, Call, Client, CreateOptions, Created, Error, ErrorCode, Expected, Outcome, Retry,
    SessionId, Stat, State, States,
};

/// What a protected name begins with.
const MARK: &str = "_c_";
/// When whoever has given up a create without an answer looks for it once more: it may have been executed meanwhile.
const LATE: Duration = Duration::from_secs(1);
/// Bits of the fourth and third group of a random UUID that are not random (RFC 9562, 5.4).
const UUID_FIXED: u128 = 0x4000_8000_0000_0000_0000;
/// Where these bits are.
const UUID_FIXED_MASK: u128 = 0xf000_c000_0000_0000_0000;

/// A random UUID (version 4) as text: 36 characters, lower case.
#[must_use]
pub fn uuid() -> String {
    let bits = fastrand::u128(..) & !UUID_FIXED_MASK | UUID_FIXED;
    let hex = format!("{bits:032x}");
    let (mut rest, mut groups) = (hex.as_str(), Vec::new());
    for length in [8, 4, 4, 4] {
        let (group, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        groups.push(group);
        rest = behind;
    }
    groups.push(rest);
    groups.join("-")
}

/// Parent and name of a path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

/// The path of a child.
pub(crate) fn join(parent: &str, name: &str) -> String {
    match parent {
        "/" => format!("/{name}"),
        _ => format!("{parent}/{name}"),
    }
}

/// Makes the missing ones among the znodes above `path`, without data: as containers, which go when they are empty, or as persistent
/// znodes where a server knows no containers. The client's root itself must be there. Tried again while that makes sense.
pub async fn make_parents(client: &Client, path: &str) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut at = split(path).0;
    while at != "/" {
        match make_parent(client, at).await {
            Ok(()) => break,
            Err(error) if error.is_no_node() && split(at).0 != "/" => missing.push(at),
            Err(error) => return Err(error),
        }
        at = split(at).0;
    }
    for path in missing.into_iter().rev() {
        make_parent(client, path).await?;
    }
    Ok(())
}

async fn make_parent(client: &Client, path: &str) -> Result<(), Error> {
    let container = CreateOptions::container();
    match make(client, path, &container).await {
        Err(error) if knows_no_containers(&error) => {
            make(client, path, &CreateOptions::persistent()).await
        }
        made => made,
    }
}

fn knows_no_containers(error: &Error) -> bool {
    matches!(error, Error::Unsupported(_)) || error.code() == Some(ErrorCode::Unimplemented)
}

async fn make(client: &Client, path: &str, options: &CreateOptions) -> Result<(), Error> {
    let retry = Retry::forever().idempotent();
    match retry.run(|| client.create(path, "", options)).await {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}

/// Creates a znode, and its parents where they are missing. An attempt whose outcome is unknown is the caller's matter.
pub async fn create_with_parents(
    client: &Client,
    path: &str,
    data: impl AsRef<[u8]>,
    options: &CreateOptions,
) -> Result<Created, Error> {
    loop {
        match client.create(path, data.as_ref(), options).await {
            Err(error) if error.is_no_node() && split(path).0 != "/" => {
                // A container may go again before the znode is in it; then they are made once more.
                make_parents(client, path).await?;
            }
            done => return done,
        }
    }
}

/// A znode that is created once, whatever happens meanwhile.
#[derive(Debug, Clone)]
pub struct Protected {
    client: Client,
    parent: String,
    name: String,
    uuid: String,
    data: Bytes,
    options: CreateOptions,
}

impl Protected {
    /// A znode that will be at `path`, with `_c_<UUID>-` before the last part of it. Nothing happens yet.
    #[must_use]
    pub fn new(
        client: &Client,
        path: &str,
        data: impl Into<Bytes>,
        options: CreateOptions,
    ) -> Self {
        let (parent, name) = split(path);
        Self {
            client: client.clone(),
            parent: parent.to_owned(),
            name: name.to_owned(),
            uuid: uuid(),
            data: data.into(),
            options,
        }
    }

    /// The same with a UUID that was used before.
    #[must_use]
    pub fn with_uuid(mut self, uuid: impl Into<String>) -> Self {
        self.uuid = uuid.into();
        self
    }

    /// The UUID in its name.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// What its name begins with: nobody else's does.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{MARK}{}-", self.uuid)
    }

    /// Its path, without the number that a sequential one will have.
    #[must_use]
    pub fn path(&self) -> String {
        join(&self.parent, &format!("{}{}", self.prefix(), self.name))
    }

    /// Creates it, its parents included, and tries again until it is known to be there, the server refuses, or the session ends.
    ///
    /// Dropping the future undoes what it did, in the background. Whoever wants to try again wants another UUID, and so another
    /// `Protected`.
    pub async fn create(&self) -> Result<Created, Error> {
        let call = self.send();
        self.settle(call).await
    }

    /// Sends the first attempt; [`Protected::settle`] has to follow. What is asked in between travels with it.
    pub fn send(&self) -> Call<Created> {
        self.client.create(&self.path(), &self.data, &self.options)
    }

    /// Waits for an attempt, and does the rest as [`Protected::create`] does.
    pub async fn settle(&self, call: Call<Created>) -> Result<Created, Error> {
        self.settle_telling(call)
            .await
            .map(|settled| settled.created)
    }

    /// The same, and tells whether there was any doubt on the way.
    pub(crate) async fn settle_telling(&self, call: Call<Created>) -> Result<Settled, Error> {
        let mut undo = self.undo_on_drop();
        let result = self.try_until_known(call, &mut undo.doubt).await;
        let happened = result.as_ref().err().map(Error::outcome);
        if happened != Some(Outcome::Unknown) {
            undo.keep();
        }
        result
    }

    /// The same for somebody who looks for it again by himself when the future was dropped: nothing is undone.
    pub(crate) async fn create_and_keep(&self) -> Result<Created, Error> {
        let settled = self.try_until_known(self.send(), &mut false).await;
        settled.map(|settled| settled.created)
    }

    /// Removes what an attempt left, in the background, unless it is told to keep it.
    pub(crate) const fn undo_on_drop(&self) -> Undo<'_> {
        Undo {
            of: Some(self),
            doubt: false,
        }
    }

    async fn try_until_known(
        &self,
        mut call: Call<Created>,
        doubt: &mut bool,
    ) -> Result<Settled, Error> {
        let backoff = Backoff::default();
        for round in 0.. {
            match call.await {
                Err(error) if error.is_no_node() && self.parent != "/" => {
                    make_parents(&self.client, &self.path()).await?;
                }
                Err(error) if error.is_retriable() => {
                    let unknown = error.outcome() == Outcome::Unknown;
                    *doubt |= unknown;
                    if let Some(created) = self.find_if(unknown).await? {
                        return self.alone(created, *doubt).await;
                    }
                    sleep(backoff.pause(round)).await;
                }
                Err(error) => return Err(error),
                Ok(created) => return self.alone(created, *doubt).await,
            }
            call = self.send();
        }
        Err(Error::ConnectionLost)
    }

    /// After doubts, several attempts may have been executed: the first of them stays.
    async fn alone(&self, created: Created, doubt: bool) -> Result<Settled, Error> {
        if !doubt {
            return Ok(Settled { created, doubt });
        }
        let mut all = self.find_all().await?.into_iter();
        let created = all.next().unwrap_or(created);
        for other in all {
            delete(&self.client, &other.path).await?;
        }
        Ok(Settled { created, doubt })
    }

    async fn find_if(&self, unknown: bool) -> Result<Option<Created>, Error> {
        if unknown { self.find().await } else { Ok(None) }
    }

    /// Looks for it: the znode with its prefix that is of this session, or not ephemeral. Tried again until the session ends.
    pub async fn find(&self) -> Result<Option<Created>, Error> {
        Ok(self.find_all().await?.into_iter().next())
    }

    /// All that there are, in the order of their creation.
    async fn find_all(&self) -> Result<Vec<Created>, Error> {
        let mut all = Vec::new();
        for name in self.names().await? {
            let path = join(&self.parent, &name);
            let retry = Retry::forever().idempotent();
            let stat = retry.run(|| self.client.exists(&path)).await?;
            if let Some(stat) = stat.filter(|stat| self.is_own(stat)) {
                all.push(Created { path, stat });
            }
        }
        all.sort_unstable_by_key(|created| created.stat.czxid);
        Ok(all)
    }

    fn is_own(&self, stat: &Stat) -> bool {
        !self.options.mode().is_ephemeral()
            || SessionId(stat.ephemeral_owner) == self.client.session()
    }

    /// The children with its prefix, as they are when this is called or later.
    async fn names(&self) -> Result<Vec<String>, Error> {
        let ask = || {
            let synced = self.client.sync(&self.parent);
            let children = self.client.children(&self.parent);
            async { synced.await.and(children.await) }
        };
        let prefix = self.prefix();
        match Retry::forever().idempotent().run(ask).await {
            Ok(children) => {
                let names = children.names.into_iter();
                Ok(names.filter(|name| name.starts_with(&prefix)).collect())
            }
            Err(error) if error.is_no_node() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Deletes it, wherever an attempt left it. Tried again until the session ends.
    pub async fn remove(&self) -> Result<(), Error> {
        while let Some(created) = self.find().await? {
            delete(&self.client, &created.path).await?;
        }
        Ok(())
    }
}

/// A znode that was created once.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) created: Created,
    /// The outcome of an attempt was not known: another znode with the same prefix may come to be.
    pub(crate) doubt: bool,
}

/// Deletes a znode, and tries again until it is known to be gone or the session ends.
pub(crate) async fn delete(client: &Client, path: &str) -> Result<(), Error> {
    let retry = Retry::forever().idempotent();
    match retry.run(|| client.delete(path, Expected::Any)).await {
        Err(error) if !error.is_no_node() => Err(error),
        _ => Ok(()),
    }
}

/// Removes a znode whose creator does not wait for it any more.
pub(crate) struct Undo<'a> {
    of: Option<&'a Protected>,
    /// An attempt may still be executed.
    pub(crate) doubt: bool,
}

impl Undo<'_> {
    /// There is nothing to undo, or somebody else sees to it.
    pub(crate) const fn keep(&mut self) {
        self.of = None;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if let (Some(protected), Ok(runtime)) = (self.of, Handle::try_current()) {
            let states = protected.client.states();
            let doubt = self.doubt || protected.client.state() != State::Connected;
            runtime.spawn(undo(protected.clone(), doubt, states));
        }
    }
}

/// Its errors mean that the session is over, and the znode with it.
async fn undo(protected: Protected, mut doubt: bool, mut states: States) -> Result<(), Error> {
    protected.remove().await?;
    tokio::select! {
        biased;
        // The connection broke, perhaps with the create on it.
        state = states.next() => doubt |= state.is_some(),
        () = ready(()) => {}
    }
    if doubt {
        sleep(LATE).await;
        protected.remove().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_a_random_one_of_version_4() {
        let text = uuid();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
        assert!(
            text.chars()
                .all(|c| c == '-' || c.is_ascii_digit() || c.is_ascii_lowercase())
        );
        assert_ne!(text, uuid());
    }

    #[test]
    fn a_path_is_its_parent_and_its_name() {
        for (path, parts) in [("/a/b", ("/a", "b")), ("/a", ("/", "a"))] {
            assert_eq!(split(path), parts);
            assert_eq!(join(parts.0, parts.1), path);
        }
    }
}
