//! The connections between a leader and its learners (port 2888), from both sides.
//!
//! What lives here: sockets, and the threads that write to them: [`learners`] is the leader's side, [`leader`] a learner's,
//! [`outbox`] what waits to be sent to one peer, [`inlet`] what comes from one. What does not: what is said, and when
//! (`quorum`, `node`).
//!
//! The driver reads packets and sends small things itself, and never waits for either: no thread has to be woken for a proposal or an
//! acknowledgement. Each connection has a thread that sends what the socket does not take at once, and a state is read by one too, so
//! that a peer that is slow, hung or wrong holds up nobody else.
//!
//! Invariants:
//! - What is said to one peer arrives in the order in which it was said.
//! - What comes over one connection reaches the driver in order, its end last, and nothing of it after it was closed here: inputs
//!   carry the number of the [`Tie`] they belong to.
//! - What waits for a peer is bounded; a peer that does not keep up loses its connection.

pub mod inlet;
pub mod leader;
pub mod learners;
pub mod outbox;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Silence after which the kernel asks whether the other end is there, where that is configured.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// One time of leading, or of following: what was sent over its connections means nothing once it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tie(pub u64);

impl Tie {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How long things between servers may take, and what they may weigh.
#[derive(Debug, Clone, Copy)]
pub struct QuorumPortLimits {
    /// The longest buffer in a packet, bytes (`jute.maxbuffer` and what records may have beyond it).
    pub packet: usize,
    /// How long a learner tries to reach its leader (`initLimit`).
    pub connect: Duration,
    /// How long a learner waits for the next bytes of a state (`initLimit`).
    pub image: Duration,
    /// The longest pause between two tries (`leaderConnectDelayDuringRetryMs`).
    pub pause: Duration,
    /// `tcpKeepAlive`.
    pub keep_alive: bool,
    /// Small packets leave at once (`leader.nodelay`, `follower.nodelay`).
    pub nodelay: bool,
}

/// A dead host is noticed where that is configured.
fn prepare(socket: &TcpStream, limits: &QuorumPortLimits) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(limits.nodelay)?;
    if limits.keep_alive {
        let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE);
        SockRef::from(socket).set_tcp_keepalive(&keep_alive)?;
    }
    Ok(())
}

/// For logs; a socket that is gone has no address.
fn name_of(address: io::Result<SocketAddr>) -> String {
    address.map_or_else(
        |_| "a closed socket".to_owned(),
        |address| address.to_string(),
    )
}
