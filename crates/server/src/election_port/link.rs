//! One connection whose other side is known: frames in, frames out.
//!
//! Invariants:
//! - Room for a frame grows with the bytes that came, not with the length that was announced.
//! - A frame that is no notification is dropped and the connection goes on; a wrong length ends it (quorum protocol 1.3, 2.2).
//! - Waiting for what is next can be given up at any time, and nothing is lost.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rookeeper_proto::ballot::{self, BallotError, Notification};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{debug, warn};

/// Room that is made before each read, bytes: an ordinary notification and more.
const READ_ROOM: usize = 4096;
/// Bytes of the length before each notification.
const PREFIX_LEN: usize = 4;
/// Idle time before keep-alive probes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Why a connection ended.
#[derive(Debug, Error)]
pub(super) enum End {
    /// The other side closed it.
    #[error("the other side closed it")]
    Closed,
    /// The system says so.
    #[error(transparent)]
    Io(io::Error),
    /// What follows cannot be found.
    #[error("a message has a wrong length: {0}")]
    Length(BallotError),
}

impl End {
    /// True when what was written may not have arrived, and nobody will ask for it again: nobody answered for too long.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

/// What is new on a connection.
#[derive(Debug)]
pub(super) enum News {
    /// The other side said this.
    Heard(Notification),
    /// The system has taken the whole message.
    Written,
    /// There is no more.
    Ended(End),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: TcpStream,
    address: SocketAddr,
    since: Instant,
    incoming: BytesMut,
    outgoing: Bytes,
    /// A notification was heard.
    heard: bool,
    /// Something that is no notification was heard, and logged.
    complained: bool,
}

impl Link {
    /// Of a socket on which the handshake is done; `incoming` came behind it.
    pub(super) fn new(stream: TcpStream, address: SocketAddr, incoming: BytesMut) -> Self {
        Self {
            stream,
            address,
            since: Instant::now(),
            incoming,
            outgoing: Bytes::new(),
            heard: false,
            complained: false,
        }
    }

    /// Where the other side is.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// True when the other side has shown that it is there, by a word or by keeping the connection open for `long`.
    pub(super) fn has_proved_itself(&self, long: Duration) -> bool {
        self.heard || self.since.elapsed() >= long
    }

    /// True while a message is on its way to the system.
    pub(super) fn is_writing(&self) -> bool {
        self.outgoing.has_remaining()
    }

    /// Begins to write; only when nothing else is being written.
    pub(super) fn write(&mut self, notification: &Notification) {
        let mut frame = Vec::new();
        notification.encode_frame(&mut frame);
        self.outgoing = frame.into();
    }

    /// Writes and reads until something is new.
    pub(super) async fn news(&mut self) -> News {
        loop {
            match self.take_message() {
                Ok(Some(notification)) => return News::Heard(notification),
                Ok(None) => {}
                Err(error) => return News::Ended(End::Length(error)),
            }
            if let Some(news) = self.transfer().await {
                return news;
            }
        }
    }

    async fn transfer(&mut self) -> Option<News> {
        self.incoming.reserve(READ_ROOM);
        let writing = self.is_writing();
        let (mut reader, mut writer) = self.stream.split();
        let failed = |error| Some(News::Ended(End::Io(error)));
        tokio::select! {
            read = reader.read_buf(&mut self.incoming) => match read {
                Ok(0) => Some(News::Ended(End::Closed)),
                Ok(_) => None,
                Err(error) => failed(error),
            },
            written = writer.write_buf(&mut self.outgoing), if writing => match written {
                Ok(_) => (!self.outgoing.has_remaining()).then_some(News::Written),
                Err(error) => failed(error),
            },
        }
    }

    /// The next notification of those bytes that are here.
    fn take_message(&mut self) -> Result<Option<Notification>, BallotError> {
        while let Some(prefix) = self.incoming.first_chunk::<PREFIX_LEN>() {
            let len = ballot::frame_len(i32::from_be_bytes(*prefix))?;
            if self.incoming.len() < PREFIX_LEN + len {
                break;
            }
            self.incoming.advance(PREFIX_LEN);
            // A copy: a vote is kept for long, and must not keep the whole room of this connection with it.
            let message = Bytes::copy_from_slice(&self.incoming.split_to(len));
            match Notification::decode(&message) {
                Ok(notification) => {
                    self.heard = true;
                    return Ok(Some(notification));
                }
                Err(error) => self.complain(&error),
            }
        }
        Ok(None)
    }

    fn complain(&mut self, error: &BallotError) {
        let address = self.address;
        if self.complained {
            debug!(%error, "a message on the election connection with {address} is no notification and is dropped");
        } else {
            warn!(%error, "a message on the election connection with {address} is no notification and is dropped");
        }
        self.complained = true;
    }
}

/// What these sockets are set to. `silence`: how long the other side may leave unacknowledged what was sent; then the connection
/// ends, instead of after a quarter of an hour: a new one is through as soon as the network is.
pub(super) fn set_options(
    stream: &TcpStream,
    keep_alive: bool,
    silence: Duration,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    if keep_alive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(silence))?;
    #[cfg(not(target_os = "linux"))]
    let _ = silence;
    Ok(())
}
