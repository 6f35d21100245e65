//! The election port: how votes travel between the servers of an ensemble (quorum protocol 1.1, 1.2, 1.3 and 1.4).
//!
//! What lives here: sockets. One connection per pair of servers, kept by the rule that the server with the higher id opens it; for
//! each peer the newest notification that waits for it. What does not: what a vote means, who is told what and when
//! (`quorum::election`), layouts (`proto::ballot`).
//!
//! Each peer has a task of its own (`peer`), which alone owns the connection to it, the attempts to open one, and what is told to
//! the member about it. So nothing that happens to one peer delays another, and what is told about one peer is told in order. The
//! `listener` accepts; a `greeting` is a connection that has not said yet who it is; `claims`
//! notices when two say that they are the same; `members` knows the tasks and brings
//! both together. Tasks end when what they listen to is dropped: dropping the port ends everything.
//!
//! Invariants:
//! - A notification never arrives after one that was sent later: what waits is replaced, and a replaced connection is closed.
//! - What is sent last is sent again on a new connection, because the old one may have lost it.
//! - [`MemberInput::PeerGone`] is said of a connection that broke, and of a peer whose every address refuses; never of silence, and
//!   never of a connection that was closed because of the rule of ids or because a newer one took its place.
//! - Bytes of a stranger cost a bounded number of sockets for a bounded time. Bytes of a known peer cost one frame, and so many
//!   messages in the inbox.
//!
//! [`MemberInput::PeerGone`]: rookeeper_node::ensemble::effect::MemberInput::PeerGone

mod claims;
mod complaints;
mod dial;
mod greeting;
mod link;
mod listener;
mod members;
mod pace;
mod peer;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rookeeper_proto::ballot::{Address, Handshake, Notification};
use rookeeper_proto::ids::ServerId;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::inbox::Inbox;
use complaints::Complaints;
use listener::{Listener, Places, Standing};
use members::{Context, Members};

/// Settings.
#[derive(Debug, Clone)]
pub struct ElectionPortConfig {
    /// This server.
    pub me: ServerId,
    /// Where the others are: every member but this one, observers too; several addresses per member are possible.
    pub peers: BTreeMap<ServerId, Vec<Address>>,
    /// Own election addresses as told to others in the handshake, in the order of the configuration.
    pub own: Vec<Address>,
    /// Listen on every address (`quorumListenOnAllIPs`) instead of the own ones only.
    pub listen_on_all: bool,
    /// `cnxTimeout`: for one attempt to connect.
    pub connect_timeout: Duration,
    /// `quorumCnxnTimeoutMs`: in which a connection must say who it is.
    pub handshake_timeout: Duration,
    /// `tcpKeepAlive`, for these sockets.
    pub keep_alive: bool,
    /// `electionPortBindRetry`: how often to try to listen; 0: for ever.
    pub bind_retries: u32,
    /// Several addresses per server are allowed (`multiAddress.enabled`): the second version of the handshake, else the first.
    pub multi_address: bool,
}

/// Why the port cannot work.
#[derive(Debug, Error)]
pub enum ElectionPortError {
    /// This server has no address that could be told to others.
    #[error("server {0} has no election address")]
    NoAddress(ServerId),
    /// A name among the own addresses has no address.
    #[error("the election address {place} has no address: {source}")]
    Resolve {
        /// As configured.
        place: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses.
    #[error("cannot listen for elections on {place}: {source}")]
    Bind {
        /// Where.
        place: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The running port. Dropping it closes everything.
#[derive(Debug)]
pub struct ElectionPort {
    members: Arc<Members>,
    /// Counts the restarts; the listener ends when this is dropped.
    restarts: watch::Sender<u64>,
    standing: Arc<Standing>,
}

impl ElectionPort {
    /// Starts listening. What happens is sent to the inbox, as ballots and as news of connections.
    ///
    /// The first try to listen is made here, and looks up the own names. If it fails and others are allowed, they follow in the
    /// background: see [`Self::failure`]. Until one of them succeeds nobody is spoken to: a server that others cannot reach, perhaps
    /// because another one has its port, must not follow a leader and serve clients for a moment.
    pub fn start(
        config: ElectionPortConfig,
        inbox: Arc<Inbox>,
        runtime: Handle,
    ) -> Result<Self, ElectionPortError> {
        let mut places = Places {
            own: config.own,
            on_all: config.listen_on_all,
        };
        let first = places.bind();
        if let Ok(sockets) = &first {
            places.take_ports(sockets);
        }
        let standing = Arc::new(Standing::default());
        let context = Context {
            me: config.me,
            handshake: handshake(config.me, &places.own, config.multi_address)?,
            connect_timeout: config.connect_timeout,
            handshake_timeout: config.handshake_timeout,
            keep_alive: config.keep_alive,
            inbox,
            runtime: runtime.clone(),
            bound: standing.bound.subscribe(),
            complaints: Complaints::default(),
        };
        let members = Arc::new(Members::new(context));
        let listener = Listener {
            places,
            tries: config.bind_retries,
            members: Arc::clone(&members),
            standing: Arc::clone(&standing),
        };
        let first = listener.judge_first(first)?;
        members.set_peers(config.peers);
        let (restarts, told) = watch::channel(0);
        runtime.spawn(listener.run(first, told));
        Ok(Self {
            members,
            restarts,
            standing,
        })
    }

    /// Sends to a peer. Never waits: this replaces what waits for the same peer. Without a connection one is opened.
    pub fn send(&self, to: ServerId, notification: Notification) {
        self.members.send(to, notification);
    }

    /// Closes all connections, forgets what waits, and listens anew. Nothing is said of the connections that end by this.
    pub fn restart(&self) {
        self.members.restart();
        self.restarts.send_modify(|count| *count += 1);
    }

    /// The members are others now, or elsewhere. Connections to those that stay are kept: [`Self::restart`] closes them.
    pub fn set_peers(&self, peers: BTreeMap<ServerId, Vec<Address>>) {
        self.members.set_peers(peers);
    }

    /// Where it listens; empty as long as it cannot.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.standing.addresses.lock().clone()
    }

    /// Why it gave up listening. Once there is a reason it stays: such a server cannot be elected by others for long, and has to end
    /// (ZOOKEEPER-4203: a leader that nobody can reach).
    #[must_use]
    pub fn failure(&self) -> Option<Arc<ElectionPortError>> {
        self.standing.failure.get().cloned()
    }

    /// Closes everything.
    pub fn stop(self) {}
}

impl Drop for ElectionPort {
    fn drop(&mut self) {
        self.members.close();
    }
}

/// What this server says first on connections that it opens.
fn handshake(
    me: ServerId,
    own: &[Address],
    multi_address: bool,
) -> Result<Handshake, ElectionPortError> {
    let first = own.first().ok_or(ElectionPortError::NoAddress(me))?;
    Ok(match multi_address {
        true => Handshake::V2(me, own.to_vec()),
        false => Handshake::V1(me, first.clone()),
    })
}
