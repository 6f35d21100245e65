//! Work that is parted among members: each part has one owner, and every member has its share.
//!
//! On the wire (no layout of Curator's): containers `path/members` and `path/leases`. A member is an ephemeral sequential znode
//! `path/members/_c_<UUID>-member-0000000000`. A lease is an ephemeral znode `path/leases/0000000007` for partition 7; its data is the
//! UUID of the member that holds it, its creation's zxid is the fencing token.
//!
//! **Protocol.** Every member watches the list of members and computes its share alone: of M partitions and k members, the first `M % k`
//! in the order of their numbers have one more than the others. Who has too many asks its own holders to stop, and deletes the lease
//! when the holder has returned it. Who has too few watches the list of leases and creates those that are missing; of two who
//! try, the server lets one succeed. Nobody is told what to take, so nobody has to be right about the others.
//!
//! **Invariants.**
//! - A partition has one owner: whoever created the lease that is there. The server lets nobody else create it.
//! - A lease goes in two ways only. This member deletes it, after the [`Lease`] was dropped; or the session ends, and before that comes
//!   [`State::Suspended`](crate::State::Suspended), with which [`Lease::lost`] resolves. So a holder that stops when it is told has stopped
//!   before anybody else can begin. It has a third of the session's timeout for that. A holder that does not drop its lease keeps
//!   the partition as long as the session lives.
//! - Shares differ by one at most when all have seen the last change of members and all leases asked for have been returned.
//! - A newcomer comes last in the order, so nobody gives away more than the newcomer needs; a member that goes may shift the one more
//!   that some have.
//!
//! **Trouble.** When the connection is suspended, all leases are asked back. If the same session is connected again, its leases are still
//! there, and those that were returned are handed out again with the same token. If the session has ended, the partitioner has too.
//! A lease whose creation was not answered is found by the UUID in it.
//!
//! A lease that somebody deletes by hand is noticed: its holder is told to stop, and the partition is had again when it has, unless
//! somebody else was faster. Until the holder stops, only the token tells.
//!
//! **How many wake up.** A change of members concerns all, so all wake up. A lease that becomes free wakes those who have too few.
//!
//! ```no_run
//! use rookeeper_client::recipes::partitioner::{Lease, Partitioner};
//! use rookeeper_client::{Client, Error};
//!
//! # async fn example() -> Result<(), Error> {
//! let client = Client::connect("zk1:2181").await?;
//! let mut partitioner = Partitioner::join(&client, "/crawler", 64).await?;
//! while let Some(lease) = partitioner.next().await {
//!     tokio::spawn(async move {
//!         tokio::select! {
//!             () = crawl(lease.partition(), lease.token()) => {}
//!             () = lease.lost() => {}
//!         }
//!         // Dropped here: now it may be somebody else's.
//!     });
//! }
//! # Ok(())
//! # }
//! # async fn crawl(_: u32, _: rookeeper_client::Zxid) {}
//! ```

mod held;
mod lease;
mod member;
mod share;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::member::Member;
use crate::{Client, Error};

pub use self::lease::Lease;

/// A member among those who share the partitions. Dropping it asks all leases back, and leaves in the background when they have been
/// returned.
#[derive(Debug)]
pub struct Partitioner {
    gained: mpsc::UnboundedReceiver<Lease>,
    leave: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Partitioner {
    /// Becomes a member of those who share `partitions` partitions below `path`; all of them must say the same number. Wants a tokio
    /// runtime.
    pub async fn join(
        client: &Client,
        path: impl Into<String>,
        partitions: u32,
    ) -> Result<Self, Error> {
        let (gains, gained) = mpsc::unbounded_channel();
        let (leave, leaving) = watch::channel(false);
        // Listened to from the beginning, so that no suspension is missed.
        let states = client.states();
        let member = Member::join(client, path.into(), partitions, gains).await?;
        let task = tokio::spawn(member.run(states, leaving));
        Ok(Self {
            gained,
            leave,
            task,
        })
    }

    /// The next partition that is this member's to work on. `None` when the session has ended, or a server has refused what a member
    /// needs. Safe to cancel.
    pub async fn next(&mut self) -> Option<Lease> {
        self.gained.recv().await
    }

    /// Asks all leases back, and waits until they have been returned and others can have them.
    pub async fn leave(mut self) {
        self.leave.send_replace(true);
        self.gained.close();
        // Leases that nobody has taken up.
        while self.gained.recv().await.is_some() {}
        // It ends in no other way than by returning.
        let _ = (&mut self.task).await;
    }
}
