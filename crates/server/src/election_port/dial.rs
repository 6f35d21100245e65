//! One attempt to open a connection to a peer: its names are looked up now, its addresses tried side by side.
//!
//! An address gets a head start before the next one is tried, so that a dead one costs that much and not the whole timeout.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rookeeper_proto::ballot::Address;
use rookeeper_proto::ids::ServerId;
use tokio::io::AsyncWriteExt;
use tokio::net::{self, TcpStream};
use tokio::task::JoinSet;
use tokio::time;

use super::link;
use super::members::Context;

/// How long an address is tried alone before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses that are tried in one attempt.
const MAX_ADDRESSES: usize = 16;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Dialed {
    /// The connection is up, and the handshake is written.
    Open(TcpStream, SocketAddr),
    /// The peer has the higher id: it was told who calls, the connection is closed, and it connects back.
    Called(SocketAddr),
    /// Nobody listens, at any of its addresses.
    Refused(String),
    /// Not known: silence, a name without an address, no way.
    Unanswered(String),
}

/// Makes one attempt.
pub(super) async fn dial(context: Arc<Context>, to: ServerId, places: Vec<Address>) -> Dialed {
    let limit = context.connect_timeout;
    let names: Vec<_> = places.iter().map(Address::to_string).collect();
    match time::timeout(limit, open(&context, to, places)).await {
        Ok(dialed) => dialed,
        Err(_) => Dialed::Unanswered(format!(
            "{}: no answer within {} ms",
            names.join("|"),
            limit.as_millis()
        )),
    }
}

async fn open(context: &Context, to: ServerId, places: Vec<Address>) -> Dialed {
    let (mut stream, address) = match Race::start(places).run().await {
        Ok(won) => won,
        Err(lost) => return lost,
    };
    match greet(context, &mut stream, to).await {
        Ok(true) => Dialed::Open(stream, address),
        Ok(false) => Dialed::Called(address),
        Err(error) => Dialed::Unanswered(format!("{address}: {error}")),
    }
}

/// Says who this is; true when the connection stays open by the rule of ids.
async fn greet(context: &Context, stream: &mut TcpStream, to: ServerId) -> io::Result<bool> {
    link::set_options(stream, context.keep_alive, context.connect_timeout)?;
    let mut bytes = Vec::new();
    context.handshake.encode(&mut bytes);
    stream.write_all(&bytes).await?;
    let stays = context.me > to;
    if !stays {
        stream.shutdown().await?;
    }
    Ok(stays)
}

/// What one of the tasks of a race found out.
#[derive(Debug)]
enum Step {
    Found(Vec<SocketAddr>),
    NotFound(String),
    Connected(TcpStream, SocketAddr),
    Failed { why: String, refused: bool },
}

/// Names that are looked up and addresses that are tried, all at the same time.
#[derive(Debug)]
struct Race {
    steps: JoinSet<Step>,
    waiting: VecDeque<SocketAddr>,
    /// Addresses that are being tried.
    trying: usize,
    /// Addresses found, tried or waiting.
    found: usize,
    troubles: Vec<String>,
    /// Everything that failed so far was refused.
    refused: bool,
}

impl Race {
    fn start(places: Vec<Address>) -> Self {
        let mut steps = JoinSet::new();
        for place in places.into_iter().take(MAX_ADDRESSES) {
            steps.spawn(look_up(place));
        }
        Self {
            steps,
            waiting: VecDeque::new(),
            trying: 0,
            found: 0,
            troubles: Vec::new(),
            refused: true,
        }
    }

    async fn run(mut self) -> Result<(TcpStream, SocketAddr), Dialed> {
        loop {
            let step = tokio::select! {
                step = self.steps.join_next() => step,
                () = time::sleep(HEAD_START), if !self.waiting.is_empty() => {
                    self.try_next();
                    continue;
                }
            };
            match step {
                Some(Ok(Step::Connected(stream, address))) => return Ok((stream, address)),
                Some(Ok(Step::Found(addresses))) => self.queue(addresses),
                Some(Ok(Step::NotFound(why))) => self.note(why, false),
                Some(Ok(Step::Failed { why, refused })) => {
                    self.trying = self.trying.saturating_sub(1);
                    self.note(why, refused);
                }
                Some(Err(error)) => self.note(error.to_string(), false),
                None if self.waiting.is_empty() => return Err(self.lost()),
                None => {}
            }
            // Who is tried alone keeps the head start.
            if self.trying == 0 {
                self.try_next();
            }
        }
    }

    fn queue(&mut self, addresses: Vec<SocketAddr>) {
        let room = MAX_ADDRESSES.saturating_sub(self.found);
        let before = self.waiting.len();
        self.waiting.extend(addresses.into_iter().take(room));
        self.found += self.waiting.len() - before;
    }

    fn note(&mut self, why: String, refused: bool) {
        self.refused &= refused;
        self.troubles.push(why);
    }

    fn try_next(&mut self) {
        if let Some(address) = self.waiting.pop_front() {
            self.trying += 1;
            self.steps.spawn(connect(address));
        }
    }

    fn lost(self) -> Dialed {
        let why = self.troubles.join("; ");
        match self.refused {
            _ if why.is_empty() => Dialed::Unanswered("(none is known)".to_owned()),
            true => Dialed::Refused(why),
            false => Dialed::Unanswered(why),
        }
    }
}

async fn look_up(place: Address) -> Step {
    match net::lookup_host((place.host.as_str(), place.port)).await {
        Ok(found) => Step::Found(found.collect()),
        Err(error) => Step::NotFound(format!("{place}: {error}")),
    }
}

async fn connect(address: SocketAddr) -> Step {
    match TcpStream::connect(address).await {
        Ok(stream) if is_own_echo(&stream) => Step::Failed {
            why: format!("{address}: connection refused"),
            refused: true,
        },
        Ok(stream) => Step::Connected(stream, address),
        Err(error) => Step::Failed {
            why: format!("{address}: {error}"),
            refused: error.kind() == io::ErrorKind::ConnectionRefused,
        },
    }
}

/// True for a connection of a socket with itself: that is what comes when nobody listens on a port of this machine, and the system
/// happens to choose the same port for the caller.
fn is_own_echo(stream: &TcpStream) -> bool {
    stream.local_addr().ok() == stream.peer_addr().ok()
}
