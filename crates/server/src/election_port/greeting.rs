//! A connection that was accepted and has not said yet who it is.
//!
//! Invariants:
//! - The whole handshake comes within the timeout, or the connection ends.
//! - Only so many of them are open at a time; the oldest makes room, because who means it speaks at once.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use rookeeper_proto::ballot::{BallotError, Handshake};
use rookeeper_proto::ids::ServerId;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{self, Instant};
use tracing::{debug, warn};

use super::link::{self, Link};
use super::members::{Context, Members};

/// Connections of one listener that have not said who they are.
const MAX_GREETINGS: usize = 64;
/// Room for a handshake and what may follow at once, bytes.
const ROOM: usize = 4096;

/// Why a connection is not used.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// It went before it said anything: a probe, or an attempt that was given up.
    #[error("it was closed before it said who it is")]
    Silent,
    /// Nothing more came.
    #[error("it did not say in time who it is")]
    Late,
    /// The system says so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It speaks something else.
    #[error("what it says is no handshake: {0}")]
    Malformed(#[from] BallotError),
    /// The id is this server's.
    #[error(
        "it says that it is server {0}, and so is this one: either two servers have the same id (myid), or the address of another member leads back to this one"
    )]
    OwnId(ServerId),
    /// The id is nobody's.
    #[error("it says that it is server {0}, which is not in the configuration")]
    Stranger(ServerId),
    /// Too many observers without id.
    #[error("it is an observer without an id, and there are {0} of them already")]
    Crowd(usize),
    /// The peer's task is behind, or it is ending.
    #[error("server {0} connects faster than its connections can be taken over")]
    Busy(ServerId),
}

impl Refusal {
    /// The name of what an operator should look at; `None` when it is nothing of that kind.
    const fn complaint(&self) -> Option<&'static str> {
        match self {
            Self::Silent | Self::Late | Self::Io(_) | Self::Busy(_) => None,
            Self::Malformed(_) => Some("malformed"),
            Self::OwnId(_) => Some("own id"),
            Self::Stranger(_) => Some("stranger"),
            Self::Crowd(_) => Some("crowd"),
        }
    }
}

/// The open ones of one listener.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    tasks: JoinSet<()>,
    /// In the order in which they came.
    order: VecDeque<AbortHandle>,
}

impl Greetings {
    /// Begins one more.
    pub(super) fn begin(&mut self, members: &Arc<Members>, stream: TcpStream, from: SocketAddr) {
        while self.tasks.try_join_next().is_some() {}
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= MAX_GREETINGS
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let task = greet(Arc::clone(members), stream, from);
        self.order.push_back(self.tasks.spawn(task));
    }
}

async fn greet(members: Arc<Members>, stream: TcpStream, from: SocketAddr) {
    let limit = members.context().handshake_timeout;
    let heard = time::timeout(limit, hear(members.context(), stream, from)).await;
    let admitted = match heard {
        Ok(Ok((handshake, link))) => members.admit(&handshake, link),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::Late),
    };
    if let Err(why) = admitted {
        let complaint = why.complaint().filter(|complaint| {
            members
                .complaints()
                .is_news(from.ip(), complaint, Instant::now())
        });
        match complaint {
            Some(_) => warn!("the election connection from {from} is refused: {why}"),
            None => debug!("the election connection from {from} is refused: {why}"),
        }
    }
}

async fn hear(
    context: &Context,
    mut stream: TcpStream,
    from: SocketAddr,
) -> Result<(Handshake, Link), Refusal> {
    link::set_options(&stream, context.keep_alive, context.connect_timeout)?;
    let mut bytes = BytesMut::with_capacity(ROOM);
    loop {
        // It needs no more than the room, whatever comes: the codec has a bound.
        if let Some((handshake, len)) = Handshake::decode(&bytes)? {
            let behind = bytes.split_off(len);
            return Ok((handshake, Link::new(stream, from, behind)));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(match bytes.is_empty() {
                true => Refusal::Silent,
                false => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            });
        }
    }
}
