//! Members begin together and end together.
//!
//! On the wire (Curator's `DistributedDoubleBarrier`): the container `path`; for each member an ephemeral znode `path/<UUID>`; and
//! `path/ready`, a persistent znode that says that enough have come.
//!
//! **Entering.** A member creates its znode and counts. Who finds that enough are there creates `ready`; all others wait for it. Every
//! child but `ready` counts.
//!
//! **Leaving.** Everybody waits until nobody is left. The member with the lowest name keeps its znode and watches the highest; the
//! others watch the lowest and delete their own. Whoever finds nobody left deletes `ready`.
//!
//! **Members that die.** Their znodes go with their sessions: nobody counts them any more, and nobody waits for them. If all members
//! of a round died, its `ready` stays, and a client of Curator enters at once. A member of ours knows better: a `ready` that is older
//! than every member that is there belongs to a round that is over; when enough have come, it is replaced by a new one. A `ready`
//! with an older member beside it is a round under way: who comes late enters at once, as with Curator.
//!
//! **Deadlines.** Whoever gives up entering takes its znode away, also when the future is dropped. (Curator's stays until the end of the
//! session, and is counted by those who come later. No protocol needs that.) Others may have counted it at that moment: they go on with
//! one less, as if it had died inside. Whoever gives up leaving takes its znode away, and lets the others go on without waiting.
//!
//! Not promised: rounds that overlap. Enter again only after all have left.
//!
//! ```no_run
//! use rookeeper_client::recipes::double_barrier::DoubleBarrier;
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let barrier = DoubleBarrier::new(&client, "/computation", 3);
//! let inside = barrier.enter().await?;
//! // ... all three compute ...
//! inside.leave().await
//! # }
//! ```

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::protected::{create_with_parents, delete, join, uuid};
use super::wake::woken;
use crate::{Client, CreateOptions, Error, Multi, Retry, SessionId, Stat, Watch, Zxid};

/// The znode that says that enough have come.
const READY: &str = "ready";

/// A place where members begin and end together. Clones are the same barrier; every [`DoubleBarrier::enter`] is a member.
#[derive(Debug, Clone)]
pub struct DoubleBarrier {
    client: Client,
    path: String,
    members: usize,
}

/// A member that has entered. Dropping it takes its znode away in the background, without waiting for the others.
#[derive(Debug)]
#[must_use = "a member that is dropped has left"]
pub struct Inside {
    member: Member,
}

/// The znode of one member, which goes when this is dropped.
#[derive(Debug)]
struct Member {
    barrier: DoubleBarrier,
    name: String,
    created: Zxid,
    /// There is, or may be, a znode.
    there: bool,
}

/// What a member that wants to enter does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Enough have come.
    Enter,
    /// Enough are there, and this member has found it out first: `ready` is to be created.
    Declare,
    /// The same, and `ready` of a round that is over is still there.
    DeclareAnew,
    Wait,
}

/// What a member that wants to leave does next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Nobody else is there.
    Done,
    /// Keep the own znode until this one is gone.
    StayBehind(String),
    /// Delete the own znode, and wait until this one is gone.
    GoBefore(String),
}

impl DoubleBarrier {
    /// A barrier at `path` that opens when so many members are there.
    #[must_use]
    pub fn new(client: &Client, path: impl Into<String>, members: usize) -> Self {
        Self {
            client: client.clone(),
            path: path.into(),
            members,
        }
    }

    /// Waits until enough members are there, until the session ends at most. Dropping the future takes the member away.
    pub async fn enter(&self) -> Result<Inside, Error> {
        let mut member = Member::new(self);
        member.enter().await?;
        Ok(Inside { member })
    }

    /// The same for a limited time. `None` if too few came; this member's znode is gone then.
    pub async fn enter_within(&self, time: Duration) -> Result<Option<Inside>, Error> {
        let mut member = Member::new(self);
        if let Ok(entered) = timeout(time, member.enter()).await {
            entered?;
            return Ok(Some(Inside { member }));
        }
        member.withdraw().await.map(|()| None)
    }

    fn ready(&self) -> String {
        join(&self.path, READY)
    }

    /// The names of the members, sorted.
    async fn present(&self) -> Result<Vec<String>, Error> {
        let retry = Retry::forever().idempotent();
        match retry.run(|| self.client.children(&self.path)).await {
            Ok(children) => {
                let mut names = children.names;
                names.retain(|name| name != READY);
                names.sort_unstable();
                Ok(names)
            }
            // A container without children goes by itself.
            Err(error) if error.is_no_node() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn watched(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let retry = Retry::forever().idempotent();
        retry.run(|| self.client.exists_watched(path)).await
    }

    async fn declare(&self) -> Result<(), Error> {
        let (ready, options) = (self.ready(), CreateOptions::persistent());
        let create = || create_with_parents(&self.client, &ready, "", &options);
        match Retry::forever().idempotent().run(create).await {
            Err(error) if !error.is_node_exists() => Err(error),
            _ => Ok(()),
        }
    }

    /// Replaces `ready` in one transaction, so that whoever waits for it wakes up.
    async fn declare_anew(&self) -> Result<(), Error> {
        let ready = self.ready();
        let replace = || {
            let multi = Multi::new().delete(&ready, -1);
            let multi = multi.create(&ready, "", &CreateOptions::persistent());
            self.client.multi(multi)
        };
        match Retry::forever().idempotent().run(replace).await {
            // The last of the old round was faster.
            Err(error) if error.is_no_node() => Ok(()),
            done => done.map(drop),
        }
    }
}

impl Inside {
    /// Waits until every member has left or died. Dropping the future leaves without waiting.
    pub async fn leave(mut self) -> Result<(), Error> {
        self.member.leave().await
    }

    /// The same for a limited time. False if others were still there; this member has left all the same.
    pub async fn leave_within(mut self, time: Duration) -> Result<bool, Error> {
        if let Ok(left) = timeout(time, self.member.leave()).await {
            return left.map(|()| true);
        }
        self.member.withdraw().await.map(|()| false)
    }
}

impl Member {
    fn new(barrier: &DoubleBarrier) -> Self {
        Self {
            barrier: barrier.clone(),
            name: uuid(),
            created: Zxid(0),
            there: false,
        }
    }

    fn path(&self) -> String {
        join(&self.barrier.path, &self.name)
    }

    async fn enter(&mut self) -> Result<(), Error> {
        let barrier = self.barrier.clone();
        self.created = self.create().await?;
        loop {
            let (ready, watch) = barrier.watched(&barrier.ready()).await?;
            match self.verdict(ready).await? {
                Verdict::Enter => return Ok(()),
                Verdict::Declare => return barrier.declare().await,
                Verdict::DeclareAnew => barrier.declare_anew().await?,
                Verdict::Wait => woken(watch).await?,
            }
        }
    }

    /// The name is nobody else's, so an attempt whose outcome is unknown is found by it. A znode that an earlier attempt left is of
    /// this session, since a client has one session for life.
    async fn create(&mut self) -> Result<Zxid, Error> {
        self.there = true;
        let (path, options) = (self.path(), CreateOptions::ephemeral());
        let client = &self.barrier.client;
        let retry = Retry::forever().idempotent();
        let create = || create_with_parents(client, &path, "", &options);
        match retry.run(create).await {
            Ok(created) => Ok(created.stat.czxid),
            Err(error) if error.is_node_exists() => {
                let stat = retry.run(|| client.exists(&path)).await?;
                let own = stat.filter(|stat| SessionId(stat.ephemeral_owner) == client.session());
                own.map(|stat| stat.czxid).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn verdict(&self, ready: Option<Stat>) -> Result<Verdict, Error> {
        let ready = ready.map(|stat| stat.czxid);
        if ready.is_some_and(|ready| ready > self.created) {
            return Ok(Verdict::Enter);
        }
        let present = self.barrier.present().await?;
        let under_way = match ready {
            Some(ready) => self.any_before(ready, &present).await?,
            None => false,
        };
        let enough = present.len() >= self.barrier.members;
        Ok(verdict(ready.is_some(), under_way, enough))
    }

    /// Whether a member is there that was there before `ready`.
    async fn any_before(&self, ready: Zxid, present: &[String]) -> Result<bool, Error> {
        let ask = || {
            let stat = |name| self.barrier.client.exists(&self.sibling(name));
            let stats: Vec<_> = present.iter().map(|name| stat(name)).collect();
            async {
                let mut found = false;
                for stat in stats {
                    found |= stat.await?.is_some_and(|stat| stat.czxid < ready);
                }
                Ok(found)
            }
        };
        Retry::forever().idempotent().run(ask).await
    }

    async fn leave(&mut self) -> Result<(), Error> {
        let barrier = self.barrier.clone();
        loop {
            let awaited = match step(&self.name, &barrier.present().await?) {
                Step::Done => break,
                Step::StayBehind(awaited) => {
                    (barrier.watched(&self.sibling(&awaited)).await?, false)
                }
                Step::GoBefore(awaited) => (barrier.watched(&self.sibling(&awaited)).await?, true),
            };
            let ((there, watch), go) = awaited;
            if go {
                self.withdraw().await?;
            }
            if there.is_some() {
                woken(watch).await?;
            }
        }
        self.withdraw().await?;
        delete(&barrier.client, &barrier.ready()).await
    }

    fn sibling(&self, name: &str) -> String {
        join(&self.barrier.path, name)
    }

    /// Takes the znode away.
    async fn withdraw(&mut self) -> Result<(), Error> {
        if self.there {
            delete(&self.barrier.client, &self.path()).await?;
            self.there = false;
        }
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.there, Handle::try_current()) {
            let (client, path) = (self.barrier.client.clone(), self.path());
            // Its errors mean that the session is over, and the znode with it.
            runtime.spawn(async move { delete(&client, &path).await });
        }
    }
}

/// `ready`: it is there, and older than the own znode. `under_way`: some member is older than it.
const fn verdict(ready: bool, under_way: bool, enough: bool) -> Verdict {
    match (ready, enough) {
        _ if under_way => Verdict::Enter,
        (_, false) => Verdict::Wait,
        (false, true) => Verdict::Declare,
        (true, true) => Verdict::DeclareAnew,
    }
}

/// `present` is sorted.
fn step(own: &str, present: &[String]) -> Step {
    let mut others = present.iter().filter(|name| *name != own);
    let (Some(lowest), highest) = (others.next(), others.next_back()) else {
        return Step::Done;
    };
    let is_there = present.iter().any(|name| name == own);
    if is_there && own < lowest.as_str() {
        Step::StayBehind(highest.unwrap_or(lowest).clone())
    } else {
        Step::GoBefore(lowest.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step_of(own: &str, present: &[&str]) -> Step {
        let present: Vec<String> = present.iter().map(|name| (*name).to_owned()).collect();
        step(own, &present)
    }

    #[test]
    fn the_lowest_stays_behind_and_waits_for_the_highest() {
        assert_eq!(step_of("a", &["a", "b", "c"]), Step::StayBehind("c".into()));
        assert_eq!(step_of("a", &["a", "b"]), Step::StayBehind("b".into()));
    }

    #[test]
    fn the_others_go_before_the_lowest() {
        assert_eq!(step_of("b", &["a", "b", "c"]), Step::GoBefore("a".into()));
        assert_eq!(step_of("c", &["a", "b", "c"]), Step::GoBefore("a".into()));
        // Gone already, or dead: the next lowest is awaited.
        assert_eq!(step_of("a", &["b", "c"]), Step::GoBefore("b".into()));
    }

    #[test]
    fn nobody_waits_for_nobody() {
        assert_eq!(step_of("a", &["a"]), Step::Done);
        assert_eq!(step_of("a", &[]), Step::Done);
    }

    #[test]
    fn a_ready_of_a_round_that_is_over_is_replaced() {
        assert_eq!(verdict(true, false, true), Verdict::DeclareAnew);
        assert_eq!(verdict(true, false, false), Verdict::Wait);
        assert_eq!(verdict(true, true, false), Verdict::Enter);
        assert_eq!(verdict(false, false, true), Verdict::Declare);
        assert_eq!(verdict(false, false, false), Verdict::Wait);
    }
}
