//! Who is known: a handle for the task of each peer, and the door through which accepted connections come to them.
//!
//! Observers without an id are let in as guests: they get a negative id here, can be answered as long as their connection lasts,
//! and are nothing that the member hears news of, only votes (quorum protocol 1.1).
//!
//! Invariant: the table is locked for memory operations only, and alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_proto::ballot::{Address, Handshake, Notification, OBSERVER_WITHOUT_ID};
use rookeeper_proto::ids::ServerId;
use tokio::runtime;
use tokio::sync::watch;
use tracing::debug;

use super::claims::Claim;
use super::complaints::Complaints;
use super::greeting::Refusal;
use super::link::Link;
use super::peer::{Handle, Mail, Peer};
use crate::inbox::Inbox;

/// Observers without an id that are connected at a time.
const MAX_GUESTS: usize = 64;
/// The id of the first guest; they count down.
const FIRST_GUEST: i64 = -1;

/// What all parts of the port share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) me: ServerId,
    /// What this server says first.
    pub(super) handshake: Handshake,
    pub(super) connect_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) keep_alive: bool,
    pub(super) inbox: Arc<Inbox>,
    pub(super) runtime: runtime::Handle,
    /// True from the moment when others can reach this server.
    pub(super) bound: watch::Receiver<bool>,
    pub(super) complaints: Complaints,
}

/// All peers.
#[derive(Debug)]
pub(super) struct Members {
    context: Arc<Context>,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// False once the port is closed: nobody is let in any more.
    open: bool,
    peers: BTreeMap<ServerId, Handle>,
    guests: BTreeMap<ServerId, Handle>,
    next_guest: i64,
}

impl Members {
    /// Nobody yet.
    pub(super) fn new(context: Context) -> Self {
        Self {
            context: Arc::new(context),
            table: Mutex::new(Table {
                open: true,
                peers: BTreeMap::new(),
                guests: BTreeMap::new(),
                next_guest: FIRST_GUEST,
            }),
        }
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn complaints(&self) -> &Complaints {
        &self.context.complaints
    }

    /// These, and no others; who stays keeps its connection.
    pub(super) fn set_peers(&self, peers: BTreeMap<ServerId, Vec<Address>>) {
        let mut table = self.table.lock();
        table.peers.retain(|id, _| peers.contains_key(id));
        for (id, places) in peers {
            match table.peers.get(&id) {
                Some(handle) => handle.set_places(places),
                None if id != self.context.me => {
                    let (handle, peer) = Peer::member(id, places, Arc::clone(&self.context));
                    self.context.runtime.spawn(peer.run());
                    table.peers.insert(id, handle);
                }
                None => {}
            }
        }
    }

    /// What is sent to nobody is not an error: members come and go.
    pub(super) fn send(&self, to: ServerId, notification: Notification) {
        let table = self.table.lock();
        match table.peers.get(&to).or_else(|| table.guests.get(&to)) {
            Some(handle) => handle.send(notification),
            None => debug!("a notification for server {to} is dropped: it is not known here"),
        }
    }

    /// Everybody's connection ends, and what waits is forgotten.
    pub(super) fn restart(&self) {
        let mut table = self.table.lock();
        table.guests.clear();
        table.peers.values().for_each(Handle::restart);
    }

    /// The tasks end.
    pub(super) fn close(&self) {
        let mut table = self.table.lock();
        table.open = false;
        table.peers.clear();
        table.guests.clear();
    }

    /// Decides what becomes of an accepted connection: the rule of ids (quorum protocol 1.1).
    pub(super) fn admit(
        self: &Arc<Self>,
        handshake: &Handshake,
        link: Link,
    ) -> Result<(), Refusal> {
        let id = handshake.server();
        if id == OBSERVER_WITHOUT_ID {
            return self.admit_guest(link);
        }
        if id == self.context.me {
            return Err(Refusal::OwnId(id));
        }
        let from = link.address().ip();
        let places = handshake.addresses().cloned().collect();
        let claim = Claim { from, places };
        let mail = match id < self.context.me {
            // The socket is dropped, and with it the connection.
            true => Mail::Call(claim),
            false => Mail::Adopt(link, claim),
        };
        let table = self.table.lock();
        let handle = table.peers.get(&id).ok_or(Refusal::Stranger(id))?;
        match handle.mail(mail) {
            true => Ok(()),
            false => Err(Refusal::Busy(id)),
        }
    }

    fn admit_guest(self: &Arc<Self>, link: Link) -> Result<(), Refusal> {
        let mut table = self.table.lock();
        if !table.open || table.guests.len() >= MAX_GUESTS {
            return Err(Refusal::Crowd(table.guests.len()));
        }
        let id = ServerId(table.next_guest);
        table.next_guest = table.next_guest.checked_sub(1).unwrap_or(FIRST_GUEST);
        let (handle, peer) = Peer::guest(id, link, Arc::clone(&self.context));
        table.guests.insert(id, handle);
        let members = Arc::clone(self);
        self.context.runtime.spawn(async move {
            peer.run().await;
            members.table.lock().guests.remove(&id);
        });
        Ok(())
    }
}
