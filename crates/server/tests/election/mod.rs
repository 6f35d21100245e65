//! A member that is nothing but its election port, and the other side of a connection byte by byte.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ballot::{Address, Handshake, Layout, Notification, PeerState};
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_server::election_port::{ElectionPort, ElectionPortConfig};
use rookeeper_server::inbox::{Inbox, Message};
use tokio::runtime::Runtime;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing must happen before a test believes that nothing happens.
pub const QUIET: Duration = Duration::from_millis(400);

/// What a member hears, short enough to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Up(i64),
    Gone(i64),
    /// From whom, and the round that marks the notification.
    Vote(i64, i64),
}

pub struct Member {
    pub id: i64,
    pub port: ElectionPort,
    pub inbox: Arc<Inbox>,
    waiting: Vec<Heard>,
}

pub fn config(id: i64, own: &str) -> ElectionPortConfig {
    ElectionPortConfig {
        me: ServerId(id),
        peers: BTreeMap::new(),
        own: vec![Address::parse(own).unwrap()],
        listen_on_all: false,
        connect_timeout: Duration::from_secs(2),
        handshake_timeout: Duration::from_secs(2),
        keep_alive: true,
        bind_retries: 5,
        multi_address: false,
    }
}

impl Member {
    /// On a port that the system chooses.
    pub fn start(runtime: &Runtime, id: i64) -> Self {
        Self::with(runtime, config(id, "127.0.0.1:0"))
    }

    pub fn with(runtime: &Runtime, config: ElectionPortConfig) -> Self {
        let (id, inbox) = (config.me.0, Arc::new(Inbox::default()));
        let handle = runtime.handle().clone();
        let port = ElectionPort::start(config, Arc::clone(&inbox), handle).unwrap();
        Self {
            id,
            port,
            inbox,
            waiting: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        until("the port listens", || {
            self.port.addresses().first().copied()
        })
    }

    pub fn knows(&self, peers: &[(i64, SocketAddr)]) {
        let places = peers.iter().map(|(id, at)| (*id, at.to_string()));
        self.knows_places(&places.collect::<Vec<_>>());
    }

    pub fn knows_places(&self, peers: &[(i64, String)]) {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, at) in peers {
            let of = places.entry(ServerId(*id)).or_default();
            of.push(Address::parse(at).unwrap());
        }
        self.port.set_peers(places);
    }

    pub fn send(&self, to: i64, mark: i64) {
        self.port.send(ServerId(to), vote(mark));
    }

    fn take(&mut self, patience: Duration) {
        let mut messages = Vec::new();
        self.inbox.take(patience, &mut messages);
        self.waiting.extend(messages.into_iter().map(heard));
    }

    /// The next thing that is heard.
    pub fn next(&mut self) -> Heard {
        let end = Instant::now() + PATIENCE;
        while self.waiting.is_empty() {
            assert!(Instant::now() < end, "server {} hears nothing", self.id);
            self.take(Duration::from_millis(50));
        }
        self.waiting.remove(0)
    }

    /// Everything that is heard until this is, it included.
    pub fn until(&mut self, last: &Heard) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            let next = self.next();
            all.push(next);
            if all.last() == Some(last) {
                return all;
            }
        }
    }

    /// What is heard in a while in which nothing should be.
    pub fn rest(&mut self, quiet: Duration) -> Vec<Heard> {
        let end = Instant::now() + quiet;
        while Instant::now() < end {
            self.take(end.saturating_duration_since(Instant::now()));
        }
        std::mem::take(&mut self.waiting)
    }
}

fn heard(message: Message) -> Heard {
    match message {
        Message::Member(MemberInput::PeerConnected(id)) => Heard::Up(id.0),
        Message::Member(MemberInput::PeerGone(id)) => Heard::Gone(id.0),
        Message::Member(MemberInput::Ballot { from, notification }) => {
            Heard::Vote(from.0, notification.election_epoch)
        }
        other => panic!("unexpected: {other:?}"),
    }
}

/// A notification, marked by its round.
pub fn vote(mark: i64) -> Notification {
    Notification {
        state: PeerState::Looking,
        leader: ServerId(1),
        zxid: Zxid(7),
        election_epoch: mark,
        peer_epoch: 0,
        layout: Layout::V2 {
            config: Bytes::from_static(b"version=0"),
        },
    }
}

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where nobody listens.
pub fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A peer of a few lines: bytes.
pub struct Foreign(pub TcpStream);

impl Foreign {
    /// Opens a connection and says who it is.
    pub fn connect(to: SocketAddr, id: i64, at: SocketAddr) -> Self {
        let mut foreign = Self::silent(to);
        foreign.say(&greeting(id, at));
        foreign
    }

    /// Opens a connection and says nothing.
    pub fn silent(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        Self::over(stream)
    }

    /// Opens a connection whose own system takes a few KiB and then no more.
    pub fn with_little_room(to: SocketAddr) -> Self {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&to.into()).unwrap();
        Self::over(socket.into())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Waits for a connection; what the other side says first comes with it.
    pub fn accept(listener: &TcpListener) -> (Self, Handshake, Vec<u8>) {
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = until("somebody connects", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        let mut foreign = Self::over(stream);
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            foreign.0.read_exact(&mut byte).unwrap();
            bytes.extend(byte);
            if let Some((handshake, _)) = Handshake::decode(&bytes).unwrap() {
                return (foreign, handshake, bytes);
            }
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub fn vote(&mut self, mark: i64) {
        let mut frame = Vec::new();
        vote(mark).encode_frame(&mut frame);
        self.say(&frame);
    }

    /// The mark of the next notification.
    pub fn hear(&mut self) -> i64 {
        let mut prefix = [0; 4];
        self.0.read_exact(&mut prefix).unwrap();
        let mut message = vec![0; usize::try_from(i32::from_be_bytes(prefix)).unwrap()];
        self.0.read_exact(&mut message).unwrap();
        Notification::decode(&message.into())
            .unwrap()
            .election_epoch
    }

    /// Reads until the other side closes, and says what was left.
    pub fn ends(&mut self) -> usize {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => rest.len(),
            Err(error) => panic!("the connection stays open: {error}"),
        }
    }

    /// True while the other side keeps it open and says nothing.
    pub fn is_quiet(&mut self) -> bool {
        self.0.set_read_timeout(Some(QUIET)).unwrap();
        let read = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(read, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

pub fn greeting(id: i64, at: SocketAddr) -> Vec<u8> {
    let address = Address::parse(&at.to_string()).unwrap();
    let mut bytes = Vec::new();
    Handshake::V1(ServerId(id), address).encode(&mut bytes);
    bytes
}

/// A port that takes connections and never answers: its queue is full.
pub struct BlackHole {
    pub address: SocketAddr,
    _listener: socket2::Socket,
    _fill: Vec<socket2::Socket>,
}

impl BlackHole {
    pub fn new() -> Self {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let fill = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            // In progress, all but the first for ever.
            let _ = socket.connect(&address.into());
            socket
        });
        Self {
            address,
            _fill: fill.collect(),
            _listener: listener,
        }
    }
}
