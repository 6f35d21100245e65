//! Where an acceptance scenario plays: a server inside the test, or the one that `ROOKEEPER_ACCEPTANCE_SERVER=host:port` names.
//!
//! Everything happens below a znode of the scenario's own, so that scenarios share a foreign server. Besides the client there is a
//! plain connection, which hears every event that the server sends, wanted or not.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{SocketAddr, ToSocketAddrs};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rookeeper_client::{Builder, Children, Client, CreateOptions, Event, State, Watch};
use rookeeper_proto::compose;
use rookeeper_proto::ids::{SessionId, Xid, Zxid};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::reply::{ReplyHeader, WatcherEvent};
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Wire, World, builder, reach, soon};

/// Names a server that is not ours.
const FOREIGN: &str = "ROOKEEPER_ACCEPTANCE_SERVER";
/// Sessions last 2 to 20 s.
const TICK_MS: u32 = 1000;
/// Of a client whose session is not to end, however busy the machine is.
pub const LONG: Duration = Duration::from_secs(20);
/// Of one whose session is to end soon, and not before the test wants it.
pub const BRIEF: Duration = Duration::from_secs(3);
/// The session of a plain connection.
const RAW_SESSION_MS: i32 = 20_000;
const PASSWORD: [u8; 16] = [0; 16];

/// One scenario's server, and its part of the tree.
pub struct Scene {
    /// Lives as long as the scene.
    _world: Option<World>,
    address: SocketAddr,
    root: String,
}

impl Scene {
    pub async fn new(name: &str) -> Self {
        Self::on(name, || World::with_tick(TICK_MS)).await
    }

    /// With a server of the tick that configurations usually have; a foreign one has the tick that it has.
    pub async fn with_usual_tick(name: &str) -> Self {
        Self::on(name, || World::with_tick(2000)).await
    }

    async fn on(name: &str, world: impl FnOnce() -> World) -> Self {
        let foreign = std::env::var(FOREIGN).ok();
        let world = foreign.is_none().then(world);
        let address = match (&world, &foreign) {
            (Some(world), _) => world.address(),
            (None, Some(text)) => text.to_socket_addrs().unwrap().next().unwrap(),
            (None, None) => unreachable!(),
        };
        let root = format!("/{name}-{:016x}", fastrand::u64(..));
        let scene = Self {
            _world: world,
            address,
            root,
        };
        let top = soon(settings().connect(&address.to_string()))
            .await
            .unwrap();
        create(&top, &scene.root, "").await;
        top.close().await.unwrap();
        scene
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's path of the scenario's part of the tree.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A client whose `/` is the scenario's.
    pub async fn client(&self) -> Client {
        self.client_below("").await
    }

    pub async fn client_below(&self, path: &str) -> Client {
        let hosts = format!("{}{}{path}", self.address, self.root);
        soon(settings().connect(&hosts)).await.unwrap()
    }

    pub async fn client_by_wire(&self) -> (Client, Wire) {
        let wire = Wire::to(self.address).await;
        let hosts = format!("{}{}", wire.address, self.root);
        (soon(settings().connect(&hosts)).await.unwrap(), wire)
    }

    /// The same, with a session that ends soon after the wire is cut.
    pub async fn brief_client_by_wire(&self) -> (Client, Wire) {
        let wire = Wire::to(self.address).await;
        let hosts = format!("{}{}", wire.address, self.root);
        let brief = settings().session_timeout(BRIEF);
        (soon(brief.connect(&hosts)).await.unwrap(), wire)
    }

    /// What the server says to a four-letter word.
    pub async fn word(&self, word: &str) -> String {
        four_letter_word(self.address, word).await
    }

    /// The server's tick.
    pub async fn tick(&self) -> Duration {
        let conf = self.word("conf").await;
        let tick = conf
            .lines()
            .find_map(|line| line.trim().strip_prefix("tickTime="));
        Duration::from_millis(tick.unwrap().parse().unwrap())
    }
}

/// Settings of a client.
fn settings() -> Builder {
    builder().session_timeout(LONG)
}

pub async fn four_letter_word(address: SocketAddr, word: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(word.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon(socket.read_to_string(&mut text)).await.unwrap();
    text
}

/// Creates a znode that stays.
pub async fn create(client: &Client, path: &str, data: impl AsRef<[u8]>) {
    let options = CreateOptions::persistent();
    client.create(path, data, &options).await.unwrap();
}

/// Creates an ephemeral with a number, and gives its path.
pub async fn enlist(client: &Client, path: &str, data: &str) -> String {
    let options = CreateOptions::ephemeral_sequential();
    client.create(path, data, &options).await.unwrap().path
}

/// The event that a watch waits for.
pub async fn event(watch: Watch) -> Event {
    soon(watch).await.unwrap()
}

/// Children with a watch, their names in order.
pub async fn list(client: &Client, path: &str) -> (Vec<String>, Watch) {
    let (Children { mut names, .. }, watch) = client.children_watched(path).await.unwrap();
    names.sort();
    (names, watch)
}

pub async fn text(client: &Client, path: &str) -> String {
    let data = client.data(path).await.unwrap();
    String::from_utf8(data.bytes.to_vec()).unwrap()
}

/// The watch has heard nothing of all that the client's server did before this: whatever it sends to one connection comes in order.
pub async fn is_quiet(client: &Client, watch: &mut Watch) -> bool {
    soon(client.sync("/")).await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    matches!(std::pin::Pin::new(watch).poll(&mut context), Poll::Pending)
}

/// Ends a client as a crash of its process does: the server hears nothing of it.
pub async fn crash(client: &Client, wire: &Wire) {
    wire.cut();
    reach(client, State::Suspended).await;
}

/// A connection without a client.
pub struct Raw {
    stream: TcpStream,
    xid: i32,
    /// All that it was told.
    pub events: Vec<WatcherEvent>,
    /// Bytes of the server's first word.
    pub greeting_bytes: usize,
}

impl Raw {
    /// With the byte about read-only servers, or without it as old clients do.
    pub async fn connect(to: SocketAddr, read_only: Option<bool>) -> Self {
        let mut raw = Self {
            stream: TcpStream::connect(to).await.unwrap(),
            xid: 0,
            events: Vec::new(),
            greeting_bytes: 0,
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: RAW_SESSION_MS,
            session: SessionId::NONE,
            password: PASSWORD.to_vec(),
            read_only,
        };
        let mut out = Vec::new();
        response::frame(&mut out, |out| request.encode(out));
        raw.stream.write_all(&out).await.unwrap();
        raw.greeting_bytes = raw.frame().await.len();
        raw
    }

    async fn frame(&mut self) -> Bytes {
        let len = soon(self.stream.read_u32()).await.unwrap();
        let mut frame = vec![0; len as usize];
        soon(self.stream.read_exact(&mut frame)).await.unwrap();
        frame.into()
    }

    /// Asks, and waits for the answer; events that come before it are kept.
    pub async fn ask(&mut self, mut frame: Vec<u8>) -> (ReplyHeader, Bytes) {
        self.xid += 1;
        compose::set_xid(&mut frame, Xid(self.xid));
        self.stream.write_all(&frame).await.unwrap();
        loop {
            let frame = self.frame().await;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut reader).unwrap();
            if header.xid != Xid::EVENT {
                assert_eq!(header.xid, Xid(self.xid));
                return (header, frame.slice(ReplyHeader::LEN..));
            }
            self.events.push(WatcherEvent::decode(&mut reader).unwrap());
        }
    }

    /// Events of all that happened before this, as kinds and paths.
    pub async fn told(&mut self, path: &str) -> Vec<String> {
        let sync = compose::path(rookeeper_client::OpCode::Sync, path);
        self.ask(sync).await;
        let events = self.events.iter();
        events
            .map(|event| format!("{:?} {}", event.kind, event.path))
            .collect()
    }
}
