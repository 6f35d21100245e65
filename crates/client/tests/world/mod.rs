//! Servers inside the test: one, or an ensemble (`ensemble`), a line to them that can be cut (`wire`), and how they are found by the name
//! of a service (`services`).
#![allow(dead_code, reason = "each test file uses its part")]

pub mod ensemble;
#[path = "../../../server/tests/ports/mod.rs"]
pub mod ports;
pub mod services;
pub mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rookeeper_client::{Backoff, Builder, Client, State};
use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables};
use tokio::time::timeout;

pub use wire::Wire;

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
    SocketAddr::from(([127, 0, 0, 1], ports::free_ports(1)[0]))
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
