//! Servers of one ensemble inside the test, three unless said otherwise, of which any can be stopped and started again.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_client::{Client, Lookup, Resolve};
use rookeeper_server::boot::Server;
use rookeeper_server::config::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::ports::free_ports;
use super::{builder, soon};

const MEMBERS: u16 = 3;
/// Time between two looks at a member: nobody tells when it begins to serve.
const LOOK: Duration = Duration::from_millis(10);
/// Sessions last longer than an election does.
const SESSION: Duration = Duration::from_secs(10);

/// Servers that elect their leader.
pub struct Ensemble {
    dir: tempfile::TempDir,
    /// What all configurations say of the members.
    lines: String,
    ports: BTreeMap<u16, u16>,
    running: BTreeMap<u16, Server>,
}

impl Ensemble {
    /// All running, and one of them leading.
    pub async fn new() -> Self {
        let mut ensemble = Self::of(MEMBERS);
        (1..=MEMBERS).for_each(|id| ensemble.start(id));
        ensemble.serving().await;
        ensemble
    }

    /// So many, none of them running.
    pub fn of(members: u16) -> Self {
        let ports = free_ports(usize::from(members) * 3);
        let mut ensemble = Self {
            dir: tempfile::tempdir().unwrap(),
            lines: String::new(),
            ports: BTreeMap::new(),
            running: BTreeMap::new(),
        };
        for (id, ports) in (1..=members).zip(ports.chunks(3)) {
            ensemble.ports.insert(id, ports[2]);
            ensemble.lines += &format!("server.{id}=127.0.0.1:{}:{}\n", ports[0], ports[1]);
        }
        ensemble
    }

    pub fn start(&mut self, id: u16) {
        let data = self.dir.path().join(id.to_string());
        fs::create_dir_all(&data).unwrap();
        let text = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={}\n{}",
            data.display(),
            self.ports[&id],
            self.lines,
        );
        let words = [
            "-Dzookeeper.preAllocSize=64",
            "-Dzookeeper.4lw.commands.whitelist=*",
            "-Dzookeeper.extendedTypesEnabled=true",
        ];
        let loaded = Settings::of_member(&text, &words, &id.to_string()).unwrap();
        let server = Server::start(loaded.settings).unwrap();
        self.running.insert(id, server);
    }

    pub fn stop(&mut self, id: u16) {
        drop(self.running.remove(&id).unwrap());
    }

    /// Who leads now.
    pub async fn leader(&self) -> u16 {
        for id in self.running.keys() {
            if self.mode(*id).await.as_deref() == Some("leader") {
                return *id;
            }
        }
        panic!("nobody leads");
    }

    /// Waits until every running member serves.
    pub async fn serving(&self) {
        for id in self.running.keys() {
            soon(async {
                while self.mode(*id).await.is_none() {
                    sleep(LOOK).await;
                }
            })
            .await;
        }
    }

    /// Stops the leader, and waits until the others have another one.
    pub async fn lose_leader(&mut self) -> u16 {
        let leader = self.leader().await;
        self.stop(leader);
        self.serving().await;
        leader
    }

    /// A client of all members.
    pub async fn client(&self) -> Client {
        let address = |id: &u16| self.address(*id).to_string();
        let hosts: Vec<String> = self.ports.keys().map(address).collect();
        let (hosts, builder) = (hosts.join(","), builder().session_timeout(SESSION));
        soon(builder.connect(&hosts)).await.unwrap()
    }

    /// The same, which begins at the leader.
    pub async fn client_of_leader(&self) -> Client {
        let hosts = LeaderFirst {
            leader: Mutex::new(Some(self.address(self.leader().await))),
            all: self.ports.keys().map(|id| self.address(*id)).collect(),
        };
        let builder = builder().session_timeout(SESSION).resolver(hosts);
        soon(builder.connect("members.example")).await.unwrap()
    }

    pub fn address(&self, id: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[&id]))
    }

    /// What a member says that it is; nothing while it serves nobody.
    pub async fn mode(&self, id: u16) -> Option<String> {
        let mut socket = TcpStream::connect(self.address(id)).await.ok()?;
        socket.write_all(b"srvr").await.ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.ok()?;
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(str::to_owned)
    }
}

/// Answers the first question with the leader, and the later ones with everybody.
#[derive(Debug)]
struct LeaderFirst {
    leader: Mutex<Option<SocketAddr>>,
    all: Vec<SocketAddr>,
}

impl Resolve for LeaderFirst {
    fn addresses<'a>(&'a self, _name: &'a str, _port: u16) -> Lookup<'a> {
        let leader = self.leader.lock().take();
        let addresses = leader.map_or_else(|| self.all.clone(), |leader| vec![leader]);
        Box::pin(async move { Ok(addresses) })
    }
}
