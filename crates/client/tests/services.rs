//! How a client finds the servers of a service: a name server made by hand, whose records change, that is silent, that says rubbish.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets and files: a failure is its result"
)]
#![cfg(feature = "srv")]

mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rookeeper_client::{Builder, Client, CreateOptions, Error, NameServers, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use world::services::{SERVICE, Target, target};
use world::{Wire, World, free_address, reach, soon};

const A: u16 = 1;
const CNAME: u16 = 5;
const SRV: u16 = 33;

const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
/// Bit of the header: the answer was too long.
const TRUNCATED: u8 = 2;
const HEADER_BYTES: usize = 12;

/// What the name server answers to who asks for the service.
#[derive(Debug, Clone)]
enum Answer {
    Servers(Vec<Target>),
    /// The same, where it does not fit into a packet.
    Long(Vec<Target>),
    /// The service has another name, and these servers.
    Alias(Vec<Target>),
    Code(u8),
    /// Nothing, so many times; then the servers.
    Late(usize, Vec<Target>),
    /// No message at all.
    Rubbish,
    /// A message whose record ends too early.
    CutShort,
}

/// A name server. Whatever name it is asked the address of, it is 127.0.0.1.
struct Namer {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl Namer {
    async fn saying(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(address).await.unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(AtomicUsize::new(0));
        let (told, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                let told = told.lock().clone();
                if let Some(reply) = reply(&packet[..len], told, &count, false) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        let (told, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut question).await.unwrap();
                let reply = reply(&question, told.lock().clone(), &count, true).unwrap();
                stream.write_u16(reply.len() as u16).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        });
        Self {
            address,
            answer,
            asked,
        }
    }

    fn say(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    /// Settings for a client that asks this name server.
    fn builder(&self) -> Builder {
        asking([self.address])
    }
}

fn asking<const N: usize>(servers: [SocketAddr; N]) -> Builder {
    world::builder().resolver(NameServers::new(servers))
}

fn reply(question: &[u8], answer: Answer, asked: &AtomicUsize, whole: bool) -> Option<Vec<u8>> {
    let name_len = question[HEADER_BYTES..]
        .iter()
        .position(|byte| *byte == 0)?
        + 1;
    let after_name = HEADER_BYTES + name_len;
    let kind = u16::from_be_bytes([question[after_name], question[after_name + 1]]);
    let own_name = [0xc0, HEADER_BYTES as u8];
    let mut records = Vec::new();
    let (mut code, mut flags) = (0, 0);
    if kind == A {
        records.push(record(&own_name, A, &[127, 0, 0, 1]));
    } else if kind == SRV {
        let times = asked.fetch_add(1, Ordering::SeqCst);
        let all = |name: &[u8], targets: Vec<Target>| -> Vec<_> {
            let data = targets.iter().map(service_data);
            data.map(|data| record(name, SRV, &data)).collect()
        };
        match answer {
            Answer::Late(count, _) if times < count => return None,
            Answer::Rubbish => return Some(b"rubbish".to_vec()),
            Answer::Servers(targets) | Answer::Late(_, targets) => {
                records = all(&own_name, targets);
            }
            Answer::Long(targets) if whole => records = all(&own_name, targets),
            Answer::Long(_) => flags = TRUNCATED,
            Answer::Alias(targets) => {
                let other = wire_name("_zk._tcp.example.net.");
                records = all(&other, targets);
                records.push(record(&own_name, CNAME, &other));
            }
            Answer::Code(other) => code = other,
            Answer::CutShort => records.push(record(&own_name, SRV, &[0, 1])),
        }
    }
    let mut reply = question[..2].to_vec();
    reply.extend([0x81 | flags, 0x80 | code, 0, 1]);
    reply.extend((records.len() as u16).to_be_bytes());
    reply.extend([0; 4]);
    reply.extend(&question[HEADER_BYTES..after_name + 4]);
    reply.extend(records.concat());
    Some(reply)
}

/// A record of the class of the Internet, not to be kept.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = name.to_vec();
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

fn service_data((priority, port, name): &Target) -> Vec<u8> {
    let numbers = [*priority, 0, *port].map(u16::to_be_bytes).concat();
    [numbers, wire_name(name)].concat()
}

/// A name with a dot at its end, or the root.
fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.trim_start_matches('.').split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes
}

/// One server.
fn one(address: SocketAddr) -> Answer {
    Answer::Servers(vec![target(1, address)])
}

async fn connect(builder: Builder, hosts: &str) -> Client {
    soon(builder.connect(hosts)).await.unwrap()
}

/// The servers of the service, or why they are not known.
async fn servers(builder: &Builder) -> Result<Vec<String>, String> {
    match soon(builder.servers(SERVICE)).await {
        Ok(servers) => Ok(servers),
        Err(Error::NoService { service, why }) => {
            assert_eq!(service, SERVICE);
            Err(why)
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_is_as_good_as_a_list_of_servers() {
    let world = World::new();
    let namer = Namer::saying(one(world.address())).await;
    let whole = connect(namer.builder(), SERVICE).await;
    assert_eq!(whole.server(), Some(world.address()));
    whole
        .create("/app", "", &CreateOptions::persistent())
        .await
        .unwrap();
    let view = connect(namer.builder(), &format!("{SERVICE}/app")).await;
    view.create("/a", "x", &CreateOptions::persistent())
        .await
        .unwrap();
    assert_eq!(&whole.data("/app/a").await.unwrap().bytes[..], b"x");

    namer.say(one(free_address()));
    let hosts = format!("{SERVICE},{}", world.hosts());
    let beside = connect(namer.builder(), &hosts).await;
    assert_eq!(beside.server(), Some(world.address()));
}

#[tokio::test]
async fn a_client_goes_where_the_records_say_when_they_have_changed() {
    let world = World::new();
    let (before, after) = (
        Wire::to(world.address()).await,
        Wire::to(world.address()).await,
    );
    let namer = Namer::saying(one(before.address)).await;
    let client = connect(namer.builder(), SERVICE).await;
    assert_eq!(client.server(), Some(before.address));
    let session = client.session();

    // Nobody asks while the connection stands.
    let asked = namer.asked.load(Ordering::SeqCst);
    namer.say(one(after.address));
    client.sync("/").await.unwrap();
    assert_eq!(namer.asked.load(Ordering::SeqCst), asked);

    before.cut();
    reach(&client, State::Suspended).await;
    reach(&client, State::Connected).await;
    assert_eq!(client.server(), Some(after.address));
    assert_eq!(client.session(), session);
}

#[tokio::test]
async fn servers_are_known_until_the_records_say_otherwise() {
    let world = World::with_tick(1000);
    let wire = Wire::to(world.address()).await;
    let namer = Namer::saying(one(wire.address)).await;
    let patient = namer.builder().session_timeout(Duration::from_secs(20));
    let client = connect(patient, SERVICE).await;
    for trouble in [
        Answer::Code(NO_SUCH_NAME),
        Answer::Code(SERVER_FAILURE),
        Answer::Servers(vec![]),
        Answer::CutShort,
        Answer::Late(usize::MAX, vec![]),
    ] {
        namer.say(trouble);
        client.sync("/").await.unwrap();
        wire.break_once();
        let begun = Instant::now();
        reach(&client, State::Suspended).await;
        reach(&client, State::Connected).await;
        // A silent name server does not cost the session.
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
    let mut states = client.states();
    namer.say(Answer::Servers(vec![(0, 0, ".")]));
    wire.break_once();
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    let back = tokio::time::timeout(Duration::from_millis(500), states.next()).await;
    assert!(back.is_err(), "{back:?}");
    namer.say(one(wire.address));
    assert_eq!(soon(states.next()).await, Some(State::Connected));
}

#[tokio::test]
async fn a_server_of_a_smaller_priority_is_the_first() {
    let world = World::new();
    let mut wires = Vec::new();
    for _ in 0..3 {
        wires.push(Wire::to(world.address()).await);
    }
    let targets = [2, 0, 1].map(|n: u16| target(n, wires[usize::from(n)].address));
    let namer = Namer::saying(Answer::Servers(targets.to_vec())).await;
    for expected in &wires {
        for _ in 0..3 {
            let client = connect(namer.builder(), SERVICE).await;
            assert_eq!(client.server(), Some(expected.address));
            client.close().await.unwrap();
        }
        expected.cut();
    }
}

#[tokio::test]
async fn servers_of_a_service_can_be_asked_for() {
    let targets = vec![(2, 2, "zk2.example.org."), (1, 1, "zk1.example.org.")];
    let expected = Ok(vec!["zk1.example.org:1".into(), "zk2.example.org:2".into()]);
    let namer = Namer::saying(Answer::Rubbish).await;
    for answer in [
        Answer::Servers(targets.clone()),
        Answer::Alias(targets.clone()),
        Answer::Long(targets.clone()),
    ] {
        namer.say(answer.clone());
        assert_eq!(servers(&namer.builder()).await, expected, "{answer:?}");
    }
    let hosts = format!("a,{SERVICE},b:1/app");
    assert_eq!(
        soon(namer.builder().servers(&hosts)).await.unwrap(),
        ["a:2181", "zk1.example.org:1", "zk2.example.org:2", "b:1"]
    );
}

#[tokio::test]
async fn why_a_service_has_no_servers_is_told() {
    let namer = Namer::saying(Answer::Rubbish).await;
    let address = namer.address;
    for (answer, why) in [
        (Answer::Code(NO_SUCH_NAME), "there is no such record".into()),
        (Answer::Servers(vec![]), "there is no such record".into()),
        (
            Answer::Code(SERVER_FAILURE),
            format!("the name server {address} says SERVFAIL"),
        ),
        (
            Answer::CutShort,
            format!("the answer of the name server {address} cannot be read"),
        ),
        (
            Answer::Rubbish,
            format!("the name server {address} gives no answer in time"),
        ),
    ] {
        namer.say(answer.clone());
        let why = format!("the service cannot be looked up: {why}");
        assert_eq!(servers(&namer.builder()).await, Err(why), "{answer:?}");
    }
    namer.say(Answer::Servers(vec![(0, 0, ".")]));
    let why = "its records say that the service is not offered";
    assert_eq!(servers(&namer.builder()).await, Err(why.into()));

    let settings = namer.builder().connect_timeout(Duration::from_millis(500));
    let server = SERVICE.to_owned();
    let why = why.to_owned();
    assert_eq!(
        soon(settings.connect(SERVICE)).await.unwrap_err(),
        Error::Unreachable { server, why }
    );
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_costs_a_second() {
    let known = Ok(vec!["zk1.example.org:1".to_owned()]);
    let targets = vec![(1, 1, "zk1.example.org.")];
    let good = Namer::saying(Answer::Servers(targets.clone())).await;
    let failing = Namer::saying(Answer::Code(SERVER_FAILURE)).await;
    let silent = Namer::saying(Answer::Late(usize::MAX, vec![])).await;
    // A packet may be lost: the only one is asked again.
    let late = Namer::saying(Answer::Late(1, targets)).await;
    let second = Duration::from_secs(1);
    for (builder, cost) in [
        (asking([failing.address, good.address]), Duration::ZERO),
        (asking([free_address(), good.address]), second),
        (asking([silent.address, good.address]), second),
        (asking([late.address]), second),
    ] {
        let begun = Instant::now();
        assert_eq!(servers(&builder).await, known);
        let elapsed = begun.elapsed();
        assert!((cost..cost + second).contains(&elapsed), "{elapsed:?}");
    }
}

#[tokio::test]
async fn looking_up_leaves_nothing_behind() {
    let namer = Namer::saying(Answer::Long(vec![(1, 1, "zk1.example.org.")])).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for _ in 0..20 {
        servers(&namer.builder()).await.unwrap();
    }
    soon(async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
