//! Why a client connection ended, what the log says about it, and how its socket is closed.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use rookeeper_node::conversation::Fault;
use rookeeper_node::effect::CloseReason;
use rookeeper_proto::ids::SessionId;
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::mailbox::Ending;
use crate::words::Word;

/// Characters of a fault that are logged: a client may choose its words, but not fill the log.
const FAULT_TEXT: usize = 200;

/// How long a closed connection waits for the client to read anything of its last frames.
pub const LINGER: Duration = Duration::from_secs(1);
/// Bytes thrown away while lingering.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The client closed it.
    Client,
    /// The socket failed.
    Socket(io::Error),
    /// The client's fault.
    Fault(Fault),
    /// A frame length that is negative or beyond the limit.
    Length(i32),
    /// Large requests in flight take more memory than allowed.
    LargeRequests,
    /// No session within the time.
    NoSession,
    /// The driver says so.
    Ending(Ending),
    /// A four-letter word was asked.
    Word(Word),
}

impl End {
    /// Writes the line of the log.
    pub fn log(&self, peer: SocketAddr, session: Option<SessionId>) {
        let session = session.unwrap_or_default();
        match self {
            Self::Client => {
                debug!("connection of /{peer} closed by the client (session {session})")
            }
            Self::Socket(error) => {
                debug!("connection of /{peer} failed: {error} (session {session})")
            }
            Self::Fault(fault) => {
                let fault: String = fault.to_string().chars().take(FAULT_TEXT).collect();
                warn!("closing the connection of /{peer} (session {session}): {fault}")
            }
            Self::Length(len) => {
                warn!("closing the connection of /{peer} (session {session}): Len error {len}");
            }
            Self::LargeRequests => {
                warn!(
                    "closing the connection of /{peer} (session {session}): large requests in flight exceed their limit"
                );
            }
            Self::NoSession => {
                info!("closing the connection of /{peer}: no session within the time allowed")
            }
            Self::Ending(Ending::Refused) => {
                info!("Invalid session for client /{peer}, probably expired");
            }
            Self::Ending(Ending::Member(CloseReason::ClientAhead { seen, ours })) => {
                // ZooKeeper's words, which operators search for.
                info!(
                    "Refusing session request for client /{peer} as it has seen zxid {seen} our last zxid is {ours} client must try another server"
                );
            }
            Self::Ending(Ending::Overflow) => {
                warn!(
                    "closing the connection of /{peer} (session {session}): the client does not read"
                );
            }
            // One line for each of all clients: why that is so, a leader lost or a disk full, is told once elsewhere.
            Self::Ending(ending) => {
                let why = Why(*ending);
                debug!("closing the connection of /{peer} (session {session}): {why}")
            }
            Self::Word(_) => {}
        }
    }
}

/// The same in words.
struct Why(Ending);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.0 {
            Ending::Member(reason) => reason,
            Ending::Refused => return f.write_str("there is no such session"),
            Ending::Overflow => return f.write_str("the client does not read"),
            Ending::Stopping => return f.write_str("this server stops"),
        };
        match reason {
            CloseReason::ClientAhead { seen, ours } => {
                write!(
                    f,
                    "it has seen zxid {seen}, and the last one here is {ours}"
                )
            }
            CloseReason::Reattached(session) => {
                write!(f, "session {session} goes on over another connection")
            }
            CloseReason::SessionClosed(session) => write!(f, "session {session} is closed"),
            CloseReason::SessionExpired(session) => write!(f, "session {session} has expired"),
            CloseReason::NotServing => f.write_str("this server serves nobody now"),
            CloseReason::DiskFull => f.write_str("the disk is full"),
        }
    }
}

/// Lets the client read its last frames: closing a socket with unread input would reset it.
pub async fn linger(read: &mut OwnedReadHalf) {
    let _ = SockRef::from(read.as_ref()).shutdown(Shutdown::Write);
    let mut left = LINGER_BYTES;
    let mut waste = vec![0; 4096];
    let drain = async {
        while let Ok(n @ 1..) = read.read(&mut waste).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
}
