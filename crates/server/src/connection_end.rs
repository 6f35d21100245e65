//! Why a client connection ended, what the log says about it, and how its socket is closed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rookeeper_node::conversation::Fault;
use rookeeper_node::effect::CloseReason;
use rookeeper_proto::ids::SessionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
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
            Self::Ending(Ending::Member(
                reason @ (CloseReason::ClientAhead { .. }
                | CloseReason::DiskFull
                | CloseReason::NotServing),
            )) => {
                warn!("closing the connection of /{peer}: {reason:?}");
            }
            Self::Ending(Ending::Overflow) => {
                warn!(
                    "closing the connection of /{peer} (session {session}): the client does not read"
                );
            }
            Self::Ending(ending) => {
                debug!("closing the connection of /{peer} (session {session}): {ending:?}")
            }
            Self::Word(_) => {}
        }
    }
}

/// Lets the client read its last frames: closing a socket with unread input would reset it.
pub async fn linger(stream: &mut TcpStream) {
    let _ = stream.shutdown().await;
    let mut left = LINGER_BYTES;
    let mut waste = vec![0; 4096];
    let drain = async {
        while let Ok(n @ 1..) = stream.read(&mut waste).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
}
