//! The open connections of a server: their mailboxes, their number, and how many come from one address.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rookeeper_node::input::ConnId;
use rookeeper_tree::auth::Identities;
use tokio::net::tcp::OwnedWriteHalf;

use crate::mailbox::Mailbox;
use crate::talk::Talk;

/// Most connections at once.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// From one address (`maxClientCnxns`); `None` is no limit.
    pub per_address: Option<u32>,
    /// In total (`maxCnxns`); `None` is no limit.
    pub total: Option<u32>,
    /// Open sockets, also of connections that are just ending: what the system allows this process, without what it needs for
    /// its files.
    pub sockets: usize,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Too many from its address; the limit.
    FromAddress(u32),
    /// Too many in all; the limit.
    InAll(u32),
    /// More would leave no file descriptors for the log; the limit.
    Sockets(usize),
}

/// A socket that counts until this is dropped.
#[derive(Debug)]
pub struct SocketCount(Arc<AtomicUsize>);

impl Drop for SocketCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// How to reach it.
    pub mailbox: Arc<Mailbox>,
    /// What was said.
    pub talk: Arc<Talk>,
    /// Where it comes from.
    pub peer: SocketAddr,
}

/// Connections by number.
pub type Open = HashMap<ConnId, Connection>;

#[derive(Debug, Default)]
struct Count {
    per_address: HashMap<IpAddr, u32>,
    total: u32,
    next: u32,
}

/// All of them.
#[derive(Debug)]
pub struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    count: Mutex<Count>,
    sockets: Arc<AtomicUsize>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
            count: Mutex::default(),
            sockets: Arc::default(),
        }
    }

    /// Lets a connection in and gives it a number that no open connection has. Its socket counts as long as the other value lives.
    pub fn admit(&self, peer: IpAddr) -> Result<(ConnId, SocketCount), TooMany> {
        let mut count = self.count.lock();
        if self.sockets() >= self.limits.sockets {
            return Err(TooMany::Sockets(self.limits.sockets));
        }
        if let Some(limit) = self.limits.total.filter(|limit| count.total >= *limit) {
            return Err(TooMany::InAll(limit));
        }
        let from_peer = count.per_address.get(&peer).copied().unwrap_or_default();
        if let Some(limit) = self.limits.per_address.filter(|limit| from_peer >= *limit) {
            return Err(TooMany::FromAddress(limit));
        }
        let open = self.open.lock();
        let conn = loop {
            count.next = count.next.wrapping_add(1);
            if !open.contains_key(&ConnId(count.next)) {
                break ConnId(count.next);
            }
        };
        *count.per_address.entry(peer).or_default() += 1;
        count.total += 1;
        self.sockets.fetch_add(1, Ordering::Relaxed);
        Ok((conn, SocketCount(Arc::clone(&self.sockets))))
    }

    /// Number of sockets, those of connections that are just ending included.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Makes an admitted connection known to the driver.
    pub fn register(
        &self,
        conn: ConnId,
        (peer, socket): (SocketAddr, Option<Arc<OwnedWriteHalf>>),
        who: Arc<Identities>,
        mono: i64,
    ) -> Connection {
        let mailbox = Arc::new(Mailbox::new(conn, socket, who));
        mailbox.hear(mono);
        let connection = Connection {
            mailbox,
            talk: Arc::new(Talk::begin()),
            peer,
        };
        self.open.lock().insert(conn, connection.clone());
        connection
    }

    /// An admitted connection is gone.
    pub fn leave(&self, conn: ConnId, peer: IpAddr) {
        self.open.lock().remove(&conn);
        let mut count = self.count.lock();
        count.total -= 1;
        if let Some(from_peer) = count.per_address.get_mut(&peer) {
            *from_peer -= 1;
            if *from_peer == 0 {
                count.per_address.remove(&peer);
            }
        }
    }

    /// All open connections, for a batch of deliveries.
    pub fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }

    /// Number of open connections, those without a session included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.lock().total as usize
    }

    /// True when nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
