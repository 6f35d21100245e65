//! Servers inside the test, and a line to them that can be cut.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod ensemble;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rookeeper_client::{Backoff, Builder, Client, OpCode, State};
use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Pauses between attempts to connect are short here.
pub const BACKOFF: Backoff = Backoff::fixed(Duration::from_millis(20));

/// Ticks are short here, and so are sessions.
const TICK_MS: u32 = 200;
/// A session that ends soon after its client is silent.
pub const BRIEF: Duration = Duration::from_secs(1);

/// What comes in time.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("not in time")
}

/// A server that can be stopped and started again at the same address with the same data.
pub struct World {
    dir: tempfile::TempDir,
    address: SocketAddr,
    tick_ms: u32,
    words: Vec<String>,
    server: Option<Server>,
}

impl World {
    /// With ticks of 200 ms: sessions last 400 ms to 4 s.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// The same with `-D` words for the server.
    pub fn with(words: &[&str]) -> Self {
        Self::of(TICK_MS, words)
    }

    /// With other ticks.
    pub fn with_tick(tick_ms: u32) -> Self {
        Self::of(tick_ms, &[])
    }

    fn of(tick_ms: u32, words: &[&str]) -> Self {
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            address: free_address(),
            tick_ms,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            server: None,
        };
        world.start();
        world
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn hosts(&self) -> String {
        self.address.to_string()
    }

    pub fn stop(&mut self) {
        drop(self.server.take());
    }

    pub fn start(&mut self) {
        let settings = settings(self.dir.path(), self.address, self.tick_ms, &self.words);
        self.server = Some(Server::start(settings).unwrap());
    }

    /// A client that is connected, with a session of 4 s.
    pub async fn client(&self) -> Client {
        connect(&self.hosts()).await
    }

    /// The same with a root.
    pub async fn client_below(&self, root: &str) -> Client {
        connect(&format!("{}{root}", self.address)).await
    }

    /// A client behind a line that can be cut, and the line.
    pub async fn client_by_wire(&self) -> (Client, Wire) {
        let wire = Wire::to(self.address).await;
        (connect(&wire.address.to_string()).await, wire)
    }

    /// The same, with a session of 1 s.
    pub async fn brief_client_by_wire(&self) -> (Client, Wire) {
        let wire = Wire::to(self.address).await;
        let brief = builder().session_timeout(BRIEF);
        let client = soon(brief.connect(&wire.address.to_string())).await;
        (client.unwrap(), wire)
    }
}

/// Settings for a quick client.
pub fn builder() -> Builder {
    Client::builder()
        .session_timeout(Duration::from_secs(4))
        .connect_timeout(PATIENCE)
        .backoff(BACKOFF)
}

pub async fn connect(hosts: &str) -> Client {
    soon(builder().connect(hosts)).await.unwrap()
}

/// Waits until the client is in this state.
pub async fn reach(client: &Client, state: State) {
    let mut states = client.states();
    soon(async {
        let mut now = Some(client.state());
        while now != Some(state) {
            assert!(now.is_some(), "it never came to {state:?}");
            now = states.next().await;
        }
    })
    .await;
}

fn settings(dir: &Path, address: SocketAddr, tick_ms: u32, words: &[String]) -> config::Settings {
    let mut all = vec![
        address.port().to_string(),
        dir.to_str().unwrap().to_owned(),
        tick_ms.to_string(),
        "-Dzookeeper.clientPortAddress=127.0.0.1".to_owned(),
        "-Dzookeeper.preAllocSize=64".to_owned(),
        "-Dzookeeper.4lw.commands.whitelist=*".to_owned(),
        "-Dzookeeper.extendedTypesEnabled=true".to_owned(),
        "-Dzookeeper.maxClientCnxns=0".to_owned(),
    ];
    all.extend_from_slice(words);
    config::load(&all, JvmVariables::default())
        .unwrap()
        .settings
}

/// An address that nobody has now.
pub fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// What a line does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Both,
    /// What the client says arrives; what the server says does not.
    RequestsOnly,
    /// What the server says arrives; what the client says does not.
    RepliesOnly,
    /// Nothing arrives, and nobody learns of it.
    Nothing,
    /// Connections are refused.
    Cut,
}

/// A line between clients and one server.
pub struct Wire {
    pub address: SocketAddr,
    flow: Arc<AtomicU8>,
    requests: watch::Sender<Vec<OpCode>>,
    /// Counts cuts: every connection of before ends.
    cuts: watch::Sender<u64>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let flow = Arc::new(AtomicU8::new(Flow::Both as u8));
        let (cuts, seen) = watch::channel(0);
        let requests = watch::Sender::new(Vec::new());
        let (shared, heard) = (Arc::clone(&flow), requests.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (flow, cuts) = (Arc::clone(&shared), seen.clone());
                let frames = Frames::new(heard.clone());
                if flow.load(Ordering::SeqCst) != Flow::Cut as u8 {
                    tokio::spawn(carry(client, server, flow, cuts, frames));
                }
            }
        });
        Self {
            address,
            flow,
            requests,
            cuts,
        }
    }

    /// What clients have asked since this was called last, without greetings and pings.
    pub fn requests(&self) -> Vec<OpCode> {
        self.requests.send_replace(Vec::new())
    }

    /// Waits until they have asked so often.
    pub async fn asked(&self, count: usize) {
        let mut requests = self.requests.subscribe();
        soon(requests.wait_for(|requests| requests.len() >= count))
            .await
            .unwrap();
    }

    fn set(&self, flow: Flow) {
        self.flow.store(flow as u8, Ordering::SeqCst);
    }

    /// Requests arrive, answers do not: what a caller asks now happens, and the caller does not learn of it.
    pub fn swallow_replies(&self) {
        self.set(Flow::RequestsOnly);
    }

    /// Answers and events arrive, requests do not.
    pub fn swallow_requests(&self) {
        self.set(Flow::RepliesOnly);
    }

    /// Nothing arrives any more, and nobody is told.
    pub fn hold(&self) {
        self.set(Flow::Nothing);
    }

    /// Ends all connections; new ones are refused until [`Wire::mend`].
    pub fn cut(&self) {
        self.set(Flow::Cut);
        self.drop_connections();
    }

    /// Ends all connections; new ones are possible at once, and carry everything.
    pub fn break_once(&self) {
        self.set(Flow::Both);
        self.drop_connections();
    }

    fn drop_connections(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections are possible again, and carry everything.
    pub fn mend(&self) {
        self.set(Flow::Both);
    }
}

/// Cuts what one client says into frames.
struct Frames {
    greeted: bool,
    bytes: Vec<u8>,
    heard: watch::Sender<Vec<OpCode>>,
}

impl Frames {
    const fn new(heard: watch::Sender<Vec<OpCode>>) -> Self {
        Self {
            greeted: false,
            bytes: Vec::new(),
            heard,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some((length, rest)) = self.bytes.split_first_chunk::<4>() {
            let Some(frame) = rest.get(..u32::from_be_bytes(*length) as usize) else {
                return;
            };
            if self.greeted {
                let op = i32::from_be_bytes(frame[4..8].try_into().unwrap());
                let op = OpCode::from_i32(op).filter(|op| *op != OpCode::Ping);
                self.heard.send_modify(|heard| heard.extend(op));
            }
            self.greeted = true;
            let used = 4 + frame.len();
            self.bytes.drain(..used);
        }
    }
}

async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    flow: Arc<AtomicU8>,
    mut cuts: watch::Receiver<u64>,
    mut frames: Frames,
) {
    cuts.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            frames.hear(&bytes[..read]);
            if flow.load(Ordering::SeqCst) <= Flow::RequestsOnly as u8
                && to_server.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
        }
    };
    let replies = async {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
            let flow = flow.load(Ordering::SeqCst);
            if (flow == Flow::Both as u8 || flow == Flow::RepliesOnly as u8)
                && to_client.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
        _ = cuts.changed() => {}
    }
}

/// Waits until `path` has so many children, and gives their names in order.
pub async fn children(client: &Client, path: &str, count: usize) -> Vec<String> {
    soon(async {
        loop {
            let (mut children, changed) = client.children_watched(path).await.unwrap();
            if children.names.len() == count {
                children.names.sort();
                return children.names;
            }
            changed.await.unwrap();
        }
    })
    .await
}
