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

use parking_lot::{Condvar, Mutex};
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
}

/// The connection to the leader is up.
#[derive(Debug)]
pub struct Reached {
    outbox: Outbox,
}

/// What the thread that reads has to wait for.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    /// The learner is busy with what it was told.
    shut: bool,
    /// Read the state of this zxid now.
    wanted: Option<(Zxid, TreeOptions)>,
    closed: bool,
}

/// A connection to the leader, or the attempt to get one. Dropping it closes it.
#[derive(Debug)]
pub struct LeaderLink {
    tie: Tie,
    outbox: Option<Outbox>,
    gate: Arc<Gate>,
    dialing: JoinHandle<()>,
}

impl Drop for LeaderLink {
    fn drop(&mut self) {
        self.dialing.abort();
        self.gate.state.lock().closed = true;
        self.gate.changed.notify_all();
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
        let gate = Arc::new(Gate::default());
        let dial = Dial {
            leader,
            addresses,
            tie,
            limits,
            inbox,
            gate: Arc::clone(&gate),
        };
        Self {
            tie,
            outbox: None,
            gate,
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
    }

    /// The way to the leader, once it is reached.
    pub const fn outbox(&mut self) -> Option<&mut Outbox> {
        self.outbox.as_mut()
    }

    /// While this is false nothing more is read from the leader.
    pub fn listen(&self, wants_more: bool) {
        let mut state = self.gate.state.lock();
        if state.shut == wants_more {
            state.shut = !wants_more;
            self.gate.changed.notify_all();
        }
    }

    /// Reads the state that follows the SNAP. [`Message::Image`] follows.
    pub fn receive_image(&self, zxid: Zxid, options: TreeOptions) {
        self.gate.state.lock().wanted = Some((zxid, options));
        self.gate.changed.notify_all();
    }
}

impl Gate {
    /// Waits until more is wanted; false at the end.
    fn pass(&self) -> bool {
        let mut state = self.state.lock();
        while state.shut && !state.closed {
            self.changed.wait(&mut state);
        }
        !state.closed
    }

    /// Waits until the state is wanted; `None` at the end.
    fn wanted(&self) -> Option<(Zxid, TreeOptions)> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(wanted) = state.wanted.take() {
                return Some(wanted);
            }
            self.changed.wait(&mut state);
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
    gate: Arc<Gate>,
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
        self.inbox.send_tied(self.tie, gone, 0);
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
        let reader = Reader {
            inlet: Inlet::new(socket, self.limits.packet),
            leader: self.leader,
            tie: self.tie,
            limits: self.limits,
            inbox: Arc::clone(&self.inbox),
            gate: Arc::clone(&self.gate),
        };
        // Before anything that the leader says.
        self.inbox
            .send(Message::Reached(self.tie, Reached { outbox }));
        thread::Builder::new()
            .name("rookeeper-from-leader".to_owned())
            .spawn(move || reader.run())
            .map(drop)
    }
}

/// The thread that hears the leader.
struct Reader {
    inlet: Inlet,
    leader: ServerId,
    tie: Tie,
    limits: QuorumPortLimits,
    inbox: Arc<Inbox>,
    gate: Arc<Gate>,
}

impl Reader {
    fn run(mut self) {
        let why = self.hear();
        info!("the connection to the leader {} ended: {why}", self.leader);
        let gone = vec![MemberInput::LeaderGone];
        self.inbox.send_tied(self.tie, gone, 0);
    }

    fn hear(&mut self) -> InletError {
        loop {
            if !self.gate.pass() {
                return InletError::Closed;
            }
            let mut inputs = Vec::new();
            let read = self.inlet.packets(
                &mut inputs,
                |packet| FromLeader::from_packet(packet).map(MemberInput::FromLeader),
                is_snap,
            );
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(why) => return why,
            };
            let state_follows = inputs.last().is_some_and(is_snap);
            self.inbox.send_tied(self.tie, inputs, bytes);
            if state_follows && !self.receive() {
                return InletError::Closed;
            }
        }
    }

    /// Reads the state, once it is wanted; false when nothing may be read behind it.
    fn receive(&mut self) -> bool {
        let Some((zxid, options)) = self.gate.wanted() else {
            return false;
        };
        // A leader that hangs in the middle of it must not keep this member for ever.
        let _ = self
            .inlet
            .socket()
            .set_read_timeout(Some(self.limits.image));
        let loaded: Result<Tree, ImageFault> = self
            .inlet
            .state(|source| Ok(image::load(source, zxid, 0, options)?));
        let _ = self.inlet.socket().set_read_timeout(None);
        let arrived = loaded.is_ok();
        let loaded = loaded.map(Box::new);
        self.inbox.send(Message::Image(self.tie, loaded));
        arrived
    }
}

const fn is_snap(input: &MemberInput) -> bool {
    matches!(input, MemberInput::FromLeader(FromLeader::Snap(_)))
}
