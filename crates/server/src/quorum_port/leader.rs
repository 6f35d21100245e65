//! A learner's side: the connection to the leader.
//!
//! What lives here: reaching the leader, hearing it, and receiving its state when the driver says so. What does not: who leads, and
//! what becomes of what it says.
//!
//! The leader may open its port a little later than it is elected: a Java server takes some 200 ms to believe its election. So a
//! refused connection is tried again, quickly.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ballot::Address;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_tree::image::{self, ImageError};
use rookeeper_tree::tree::{Tree, TreeOptions};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::inlet::{Inlet, InletError};
use super::outbox::Outbox;
use super::{QuorumPortLimits, Tie, prepare};
use crate::background::give_way;
use crate::inbox::{Inbox, Message};

/// How long a leader that refuses connections is tried. Java's own servers try five times, 100 ms apart, after a pause that this
/// server need not make.
const REFUSED: Duration = Duration::from_millis(1500);
/// Pause between two tries while the leader is probably about to open its port.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// How long that is so; then pauses double.
const SOON: Duration = Duration::from_millis(250);

/// Why a state did not arrive.
#[derive(Debug, Error)]
pub enum ImageFault {
    /// The stream.
    #[error(transparent)]
    Inlet(#[from] InletError),
    /// What is in it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It came, and that leader is not followed any more.
    #[error("it comes from a leader that is not followed any more")]
    Late,
}

/// The connection to the leader is up.
#[derive(Debug)]
pub struct Reached {
    outbox: Outbox,
    inlet: Inlet,
}

/// The leader's state has arrived, and what it says behind it comes over the same connection.
#[derive(Debug)]
pub struct Received {
    /// The state.
    pub tree: Box<Tree>,
    /// For [`LeaderLink::go_on`].
    pub inlet: Inlet,
}

/// A connection to the leader, or the attempt to get one. Dropping it closes it.
#[derive(Debug)]
pub struct LeaderLink {
    tie: Tie,
    leader: ServerId,
    limits: QuorumPortLimits,
    inbox: Arc<Inbox>,
    outbox: Option<Outbox>,
    /// Away while a state is read from it, and at the end.
    inlet: Option<Inlet>,
    dialing: JoinHandle<()>,
}

impl Drop for LeaderLink {
    fn drop(&mut self) {
        self.dialing.abort();
        if let Some(outbox) = &self.outbox {
            outbox.cut();
        }
    }
}

impl LeaderLink {
    /// Begins to connect, after a pause. [`Message::Reached`] or [`MemberInput::LeaderGone`] follows.
    #[must_use]
    pub fn dial(
        leader: ServerId,
        addresses: Vec<Address>,
        tie: Tie,
        limits: QuorumPortLimits,
        after: Duration,
        inbox: Arc<Inbox>,
        runtime: &Handle,
    ) -> Self {
        let dial = Dial {
            leader,
            addresses,
            tie,
            limits,
            inbox: Arc::clone(&inbox),
        };
        Self {
            tie,
            leader,
            limits,
            inbox,
            outbox: None,
            inlet: None,
            dialing: runtime.spawn(async move {
                sleep(after).await;
                dial.run().await;
            }),
        }
    }

    /// True when inputs of this time of following count.
    #[must_use]
    pub fn is_tied(&self, tie: Tie) -> bool {
        tie == self.tie
    }

    /// The connection is there.
    pub fn reach(&mut self, reached: Reached) {
        self.outbox = Some(reached.outbox);
        self.inlet = Some(reached.inlet);
    }

    /// The way to the leader, once it is reached.
    pub const fn outbox(&mut self) -> Option<&mut Outbox> {
        self.outbox.as_mut()
    }

    /// This time of following.
    #[must_use]
    pub const fn tie(&self) -> Tie {
        self.tie
    }

    /// Where the leader may say something.
    #[must_use]
    pub const fn inlet(&self) -> Option<&Inlet> {
        self.inlet.as_ref()
    }

    /// What the leader has said since, without waiting. The end of the connection comes last, and once.
    pub fn hear(&mut self) -> Vec<MemberInput> {
        let mut inputs = Vec::new();
        let Some(inlet) = &mut self.inlet else {
            return inputs;
        };
        let meaning = |packet| FromLeader::from_packet(packet).map(MemberInput::FromLeader);
        if let Err(why) = inlet.packets(&mut inputs, meaning, is_snap) {
            info!("the connection to the leader {} ended: {why}", self.leader);
            self.inlet = None;
            inputs.push(MemberInput::LeaderGone);
        }
        inputs
    }

    /// Reads the state that follows the SNAP, on a thread of its own. [`Message::Image`] follows.
    pub fn receive_image(&mut self, zxid: Zxid, options: TreeOptions) {
        let receiver = Receiver {
            leader: self.leader,
            tie: self.tie,
            patience: self.limits.image,
            inbox: Arc::clone(&self.inbox),
        };
        let Some(inlet) = self.inlet.take() else {
            return receiver.tell(Err(InletError::Closed.into()));
        };
        let end = receiver.clone();
        let started = thread::Builder::new()
            .name("rookeeper-from-leader".to_owned())
            .spawn(move || {
                give_way();
                receiver.receive(inlet, zxid, options);
            });
        if let Err(error) = started {
            end.tell(Err(InletError::from(error).into()));
        }
    }

    /// Goes on to hear the leader behind its state.
    pub fn go_on(&mut self, inlet: Inlet) {
        self.inlet = Some(inlet);
    }
}

/// What the thread needs that reads a state.
#[derive(Clone)]
struct Receiver {
    leader: ServerId,
    tie: Tie,
    patience: Duration,
    inbox: Arc<Inbox>,
}

impl Receiver {
    fn receive(&self, mut inlet: Inlet, zxid: Zxid, options: TreeOptions) {
        // A leader that hangs in the middle of it must not keep this member for ever.
        let _ = inlet.socket().set_read_timeout(Some(self.patience));
        let loaded: Result<Tree, ImageFault> =
            inlet.state(|source| Ok(image::load(source, zxid, 0, options)?));
        let _ = inlet.socket().set_read_timeout(None);
        self.tell(loaded.map(|tree| Received {
            tree: Box::new(tree),
            inlet,
        }));
    }

    /// Behind a state that did not arrive nothing can be read.
    fn tell(&self, loaded: Result<Received, ImageFault>) {
        let failed = loaded.is_err();
        self.inbox.send(Message::Image(self.tie, loaded));
        if failed {
            info!(
                "the connection to the leader {} is of no use any more",
                self.leader
            );
            let gone = vec![MemberInput::LeaderGone];
            self.inbox.send(Message::Tied(self.tie, gone));
        }
    }
}

/// The attempt to reach a leader.
struct Dial {
    leader: ServerId,
    addresses: Vec<Address>,
    tie: Tie,
    limits: QuorumPortLimits,
    inbox: Arc<Inbox>,
}

impl Dial {
    async fn run(self) {
        let socket = match self.connect().await {
            Ok(socket) => socket,
            Err(error) => return self.give_up(&error),
        };
        if let Err(error) = self.begin(socket) {
            self.give_up(&error);
        }
    }

    fn give_up(&self, error: &io::Error) {
        warn!(%error, "the leader {} cannot be reached", self.leader);
        let gone = vec![MemberInput::LeaderGone];
        self.inbox.send(Message::Tied(self.tie, gone));
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let begun = Instant::now();
        let (end, refused_end) = (begun + self.limits.connect, begun + REFUSED);
        let mut pause = FIRST_PAUSE;
        loop {
            let attempt = timeout_at(end, self.attempt()).await;
            let error = match attempt {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => error,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let last = if refused { refused_end.min(end) } else { end };
            if Instant::now() + pause > last {
                return Err(error);
            }
            sleep(pause).await;
            if begun.elapsed() > SOON {
                pause = (pause * 2).min(self.limits.pause.max(FIRST_PAUSE));
            }
        }
    }

    /// All addresses of all names at once; the first connection is it.
    async fn attempt(&self) -> io::Result<TcpStream> {
        let mut attempts = JoinSet::new();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for Address { host, port } in &self.addresses {
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(found) => found.for_each(|address: SocketAddr| {
                    attempts.spawn(tokio::net::TcpStream::connect(address));
                }),
                Err(error) => last = error,
            }
        }
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok(stream)) => return stream.into_std(),
                Ok(Err(error)) => last = error,
                Err(error) => last = io::Error::other(error),
            }
        }
        Err(last)
    }

    fn begin(&self, socket: TcpStream) -> io::Result<()> {
        prepare(&socket, &self.limits)?;
        let outbox = Outbox::start(socket.try_clone()?, "rookeeper-to-leader")?;
        let inlet = Inlet::new(socket, self.limits.packet);
        let reached = Reached { outbox, inlet };
        self.inbox.send(Message::Reached(self.tie, reached));
        Ok(())
    }
}

const fn is_snap(input: &MemberInput) -> bool {
    matches!(input, MemberInput::FromLeader(FromLeader::Snap(_)))
}
