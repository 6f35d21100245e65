//! The leader's side: the port that learners connect to, open while this server leads.
//!
//! What lives here: listening, letting in, and the connections by number. What does not: who a learner is, and whether it may stay
//! (`quorum`).

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ballot::Address;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::progress::LearnerId;
use socket2::{Domain, Socket, Type};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::inlet::{Inlet, InletError};
use super::outbox::Outbox;
use super::{QuorumPortLimits, Tie, prepare};
use crate::inbox::{Inbox, Message};

/// Connections at once, whoever is behind them.
const MAX_LEARNERS: usize = 1024;
/// Connections that the kernel keeps before they are accepted.
const BACKLOG: i32 = 128;
/// Pause before a port that cannot be opened is tried again.
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// Where and how learners are let in.
#[derive(Debug, Clone)]
pub struct LearnerPortConfig {
    /// The own addresses, as the membership has them.
    pub addresses: Vec<Address>,
    /// Listen on every interface (`quorumListenOnAllIPs`).
    pub listen_on_all: bool,
    /// Bounds.
    pub limits: QuorumPortLimits,
}

/// A learner that was let in.
#[derive(Debug)]
pub struct Joined {
    /// Its number.
    pub learner: LearnerId,
    /// The way to it.
    outbox: Outbox,
    /// What it says.
    inlet: Inlet,
    /// Where it comes from.
    address: SocketAddr,
    counted: Counted,
}

/// A connected learner.
#[derive(Debug)]
struct Connected {
    outbox: Outbox,
    /// Until it ends.
    inlet: Option<Inlet>,
    address: SocketAddr,
    _counted: Counted,
}

/// The port, and who is connected.
#[derive(Debug)]
pub struct LearnerPort {
    config: LearnerPortConfig,
    inbox: Arc<Inbox>,
    runtime: Handle,
    tie: Tie,
    listening: Vec<JoinHandle<()>>,
    learners: BTreeMap<LearnerId, Connected>,
    next: Arc<AtomicU64>,
    count: Arc<AtomicUsize>,
}

impl Drop for LearnerPort {
    fn drop(&mut self) {
        self.close();
    }
}

impl LearnerPort {
    /// A closed port.
    #[must_use]
    pub fn new(config: LearnerPortConfig, inbox: Arc<Inbox>, runtime: Handle) -> Self {
        Self {
            config,
            inbox,
            runtime,
            tie: Tie::default(),
            listening: Vec::new(),
            learners: BTreeMap::new(),
            next: Arc::default(),
            count: Arc::default(),
        }
    }

    /// Opens the port for this time of leading.
    pub fn open(&mut self, tie: Tie) {
        self.close();
        self.tie = tie;
        for address in &self.config.addresses {
            let door = Door {
                address: address.clone(),
                on_all: self.config.listen_on_all,
                limits: self.config.limits,
                inbox: Arc::clone(&self.inbox),
                tie,
                next: Arc::clone(&self.next),
                count: Arc::clone(&self.count),
            };
            self.listening.push(self.runtime.spawn(door.stand()));
        }
    }

    /// Closes the port and every connection, at once.
    pub fn close(&mut self) {
        self.listening.drain(..).for_each(|task| task.abort());
        for (_, connected) in std::mem::take(&mut self.learners) {
            connected.outbox.cut();
        }
        self.tie = Tie::default();
    }

    /// True while inputs of this time of leading count.
    #[must_use]
    pub fn is_tied(&self, tie: Tie) -> bool {
        tie != Tie::default() && tie == self.tie
    }

    /// Takes in a learner that has connected.
    pub fn join(&mut self, joined: Joined) -> LearnerId {
        let Joined {
            learner,
            outbox,
            inlet,
            address,
            counted,
        } = joined;
        let connected = Connected {
            outbox,
            inlet: Some(inlet),
            address,
            _counted: counted,
        };
        self.learners.insert(learner, connected);
        learner
    }

    /// This time of leading.
    #[must_use]
    pub const fn tie(&self) -> Tie {
        self.tie
    }

    /// Where learners may say something.
    pub fn inlets(&self) -> impl Iterator<Item = (LearnerId, &Inlet)> {
        self.learners
            .iter()
            .filter_map(|(id, connected)| Some((*id, connected.inlet.as_ref()?)))
    }

    /// What a learner has said since, without waiting; its end comes last, and once.
    pub fn hear(&mut self, learner: LearnerId) -> Vec<MemberInput> {
        let mut inputs = Vec::new();
        let Some(connected) = self.learners.get_mut(&learner) else {
            return inputs;
        };
        let Some(inlet) = &mut connected.inlet else {
            return inputs;
        };
        let meaning = |packet| {
            let said = FromLearner::from_packet(packet)?;
            Ok(MemberInput::FromLearner {
                from: learner,
                said,
            })
        };
        if let Err(why) = inlet.packets(&mut inputs, meaning, |_| false) {
            log_end(connected.address, &why);
            connected.inlet = None;
            inputs.push(MemberInput::LearnerGone(learner));
        }
        inputs
    }

    /// The way to a learner, while it is connected.
    pub fn outbox(&mut self, learner: LearnerId) -> Option<&mut Outbox> {
        let connected = self.learners.get_mut(&learner)?;
        Some(&mut connected.outbox)
    }

    /// Where a learner comes from.
    #[must_use]
    pub fn address(&self, learner: LearnerId) -> Option<SocketAddr> {
        self.learners
            .get(&learner)
            .map(|connected| connected.address)
    }

    /// Sends what was said to it, as far as it takes that at once, and closes its connection.
    pub fn dismiss(&mut self, learner: LearnerId) {
        self.learners.remove(&learner);
    }

    /// Hands over what was said to all.
    pub fn flush(&mut self) {
        self.learners
            .values_mut()
            .for_each(|connected| connected.outbox.flush());
    }
}

/// One address that is listened on.
struct Door {
    address: Address,
    on_all: bool,
    limits: QuorumPortLimits,
    inbox: Arc<Inbox>,
    tie: Tie,
    next: Arc<AtomicU64>,
    count: Arc<AtomicUsize>,
}

impl Door {
    async fn stand(self) {
        let listener = self.listen().await;
        loop {
            match listener.accept().await {
                Ok((stream, from)) => self.let_in(stream, from),
                Err(error) => {
                    warn!(%error, "cannot accept a learner");
                    tokio::time::sleep(BIND_PAUSE).await;
                }
            }
        }
    }

    /// Tries until it works: without this port there is no quorum, and the leader gives up in its time.
    async fn listen(&self) -> tokio::net::TcpListener {
        let mut told = false;
        loop {
            match self.try_listen().await {
                Ok(listener) => {
                    info!("learners may connect to {}", self.address);
                    return listener;
                }
                Err(error) if !told => {
                    told = true;
                    warn!(%error, "cannot listen for learners on {}; trying on", self.address);
                }
                Err(_) => {}
            }
            tokio::time::sleep(BIND_PAUSE).await;
        }
    }

    async fn try_listen(&self) -> io::Result<tokio::net::TcpListener> {
        let (host, port) = (self.address.host.as_str(), self.address.port);
        if self.on_all || self.address.is_wildcard() {
            let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
            let v4 = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port));
            return bind(any).or_else(|_| bind(v4));
        }
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in tokio::net::lookup_host((host, port)).await? {
            match bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn let_in(&self, stream: tokio::net::TcpStream, from: SocketAddr) {
        if self.count.load(Ordering::Relaxed) >= MAX_LEARNERS {
            warn!("{from} is not let in as a learner: there are {MAX_LEARNERS} already");
            return;
        }
        if let Err(error) = stream
            .into_std()
            .and_then(|socket| self.begin(socket, from))
        {
            warn!(%error, "{from} is not let in as a learner");
        }
    }

    fn begin(&self, socket: TcpStream, from: SocketAddr) -> io::Result<()> {
        prepare(&socket, &self.limits)?;
        let learner = LearnerId(self.next.fetch_add(1, Ordering::Relaxed));
        let joined = Joined {
            learner,
            outbox: Outbox::start(socket.try_clone()?, "rookeeper-to-learner")?,
            inlet: Inlet::new(socket, self.limits.packet),
            address: from,
            counted: Counted::new(&self.count),
        };
        self.inbox.send(Message::Joined(self.tie, joined));
        Ok(())
    }
}

fn log_end(from: SocketAddr, why: &InletError) {
    match why {
        InletError::Malformed(_) | InletError::Unsigned => warn!("{from} is no learner: {why}"),
        InletError::Closed | InletError::Stalled(_) | InletError::Socket(_) => {
            info!("the connection of the learner {from} ended: {why}");
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(TcpListener::from(socket))
}

/// A connection that counts as long as this lives.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
