//! How a client finds a server: names with several addresses, servers that say nothing, that close, that have no quorum, that never
//! stop talking.
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

mod world;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rookeeper_client::{Client, Error, ErrorCode, EventType, Lookup, Resolve, State, Zxid};
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Xid};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::request::RequestHeader;
use rookeeper_proto::response::{self, ConnectResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use world::services::{SERVICE, Services, target};
use world::{Wire, World, builder, free_address, reach, soon};

/// Answers each question with the next list, and the last list for ever.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Vec<SocketAddr>>>);

impl Script {
    fn new<const N: usize>(lists: [Vec<SocketAddr>; N]) -> Self {
        Self(Mutex::new(lists.into()))
    }
}

impl Resolve for Script {
    fn addresses<'a>(&'a self, name: &'a str, _port: u16) -> Lookup<'a> {
        let mut lists = self.0.lock().unwrap();
        let list = match lists.len() {
            1 => lists[0].clone(),
            _ => lists.pop_front().unwrap(),
        };
        let known = name == "zk.example";
        Box::pin(async move {
            known
                .then_some(list)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}

/// A server made by hand: `talk` has each connection.
async fn false_server<F>(talk: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream));
        }
    });
    address
}

async fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u32().await?;
    let mut frame = vec![0; len as usize];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Reads the connect request and accepts the session.
async fn accept(stream: &mut TcpStream, timeout_ms: i32, read_only: bool) -> io::Result<()> {
    frame(stream).await?;
    let accepted = ConnectResponse::Accepted {
        session: SessionId(77),
        timeout_ms,
    };
    let mut out = Vec::new();
    accepted.encode(Some(read_only), &mut out);
    stream.write_all(&out).await
}

/// Answers every request: writes are refused, as by a server without a quorum.
async fn serve_reads(mut stream: TcpStream) -> io::Result<()> {
    let mut word = [0; 4];
    stream.peek(&mut word).await?;
    if &word == b"isro" {
        return stream.write_all(b"ro").await;
    }
    accept(&mut stream, 4000, true).await?;
    loop {
        let frame = frame(&mut stream).await?;
        let header = RequestHeader::decode(&mut Reader::new(&frame)).unwrap();
        let err = match OpCode::from_i32(header.op) {
            Some(OpCode::SetData) => ErrorCode::NotReadOnly,
            _ => ErrorCode::Ok,
        };
        let mut out = Vec::new();
        response::reply_header(&mut out, header.xid, Zxid(0), err);
        stream.write_all(&out).await?;
    }
}

async fn say_nothing(mut stream: TcpStream) -> io::Result<()> {
    loop {
        frame(&mut stream).await?;
    }
}

async fn connect(lists: Script) -> Client {
    let builder = builder().resolver(lists);
    soon(builder.connect("zk.example:1")).await.unwrap()
}

#[tokio::test]
async fn a_name_is_looked_up_again_for_every_attempt() {
    let world = World::new();
    let client = connect(Script::new([
        vec![],
        vec![free_address()],
        vec![world.address()],
    ]))
    .await;
    assert_eq!(client.server(), Some(world.address()));
}

#[tokio::test]
async fn a_silent_address_costs_its_share_of_the_time_and_is_not_always_the_first() {
    let world = World::new();
    let mut addresses = vec![world.address()];
    for _ in 0..3 {
        addresses.push(false_server(say_nothing).await);
    }
    let begun = Instant::now();
    let client = connect(Script::new([addresses])).await;
    assert_eq!(client.server(), Some(world.address()));
    // A quarter of the session's timeout of 4 s for each that had its turn before.
    assert!(begun.elapsed() < Duration::from_millis(4500));
}

#[tokio::test]
async fn a_client_of_a_read_only_server_goes_to_one_that_can_write() {
    let world = World::new();
    let read_only = false_server(serve_reads).await;
    let lists = Script::new([
        vec![read_only],
        vec![read_only],
        vec![read_only, world.address()],
    ]);
    let builder = builder().read_only(true).resolver(lists);
    let client = soon(builder.connect("zk.example:1")).await.unwrap();
    assert_eq!(client.state(), State::ReadOnly);
    let mut states = client.states();
    client.sync("/").await.unwrap();
    let refused = client.set("/", "", -1).await;
    assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::NotReadOnly));
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    assert_eq!(soon(states.next()).await, Some(State::Connected));
    assert_eq!(client.server(), Some(world.address()));
    assert_ne!(client.session(), SessionId(77));
    client.set("/", "", -1).await.unwrap();
}

#[tokio::test]
async fn servers_of_a_service_are_looked_up_again_for_every_round() {
    let world = World::new();
    let closing = false_server(|mut stream| async move { frame(&mut stream).await.map(drop) });
    let services = Services::new([
        vec![],
        vec![target(1, free_address()), target(2, closing.await)],
        vec![target(1, world.address())],
    ]);
    let builder = builder().resolver(services);
    let client = soon(builder.connect(SERVICE)).await.unwrap();
    assert_eq!(client.server(), Some(world.address()));
}

#[tokio::test]
async fn a_server_that_can_write_may_be_one_that_a_service_has_got_meanwhile() {
    let world = World::new();
    let read_only = false_server(serve_reads).await;
    let services = Services::new([
        vec![target(1, read_only)],
        vec![target(1, read_only)],
        vec![target(1, read_only), target(2, world.address())],
    ]);
    let builder = builder().read_only(true).resolver(services);
    let client = soon(builder.connect(SERVICE)).await.unwrap();
    assert_eq!(client.state(), State::ReadOnly);
    reach(&client, State::Connected).await;
    assert_eq!(client.server(), Some(world.address()));
}

#[tokio::test]
async fn a_service_that_nobody_can_look_up_is_refused_at_once() {
    let names_only = builder().resolver(Script::new([vec![]]));
    let mut builders = vec![names_only];
    if cfg!(not(feature = "srv")) {
        builders.push(builder());
    }
    for builder in builders {
        let refused = builder.open(SERVICE).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "\"_zookeeper._tcp.example.org\" does not name servers: to look a service up takes the feature srv of rookeeper-client, or a resolver that does it"
        );
        assert_eq!(soon(builder.servers(SERVICE)).await.unwrap_err(), refused);
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_closes_is_not_stormed() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = false_server(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { accept(&mut stream, 4000, false).await }
    });
    // 20 ms between attempts.
    let client = soon(builder().connect(&address.await.to_string())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let attempts = count.load(Ordering::SeqCst);
    assert!((2..=26).contains(&attempts), "{attempts} attempts");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_flooded_with_events_pings_all_the_same() {
    let (told, mut pings) = tokio::sync::mpsc::unbounded_channel();
    let address = false_server(move |mut stream| {
        let told = told.clone();
        async move {
            accept(&mut stream, 600, false).await?;
            let (mut reader, mut writer) = stream.into_split();
            let mut events = Vec::new();
            for _ in 0..1000 {
                response::event(&mut events, Zxid(1), EventType::NodeDataChanged, "/a");
            }
            let flood =
                tokio::spawn(async move { while writer.write_all(&events).await.is_ok() {} });
            let mut frame = [0; 12];
            while reader.read_exact(&mut frame).await.is_ok() {
                if frame[4..8] == Xid::PING.0.to_be_bytes() {
                    let _ = told.send(Instant::now());
                }
            }
            flood.abort();
            Ok(())
        }
    });
    let begun = Instant::now();
    let client = soon(builder().connect(&address.await.to_string()))
        .await
        .unwrap();
    let first = soon(pings.recv()).await.unwrap();
    assert!(first - begun < Duration::from_millis(550));
    // Nothing that it says is an answer: it is given up before the session can end.
    reach(&client, State::Suspended).await;
}

/// What a connection was waited for in vain, and why it did not come.
async fn in_vain(settings: rookeeper_client::Builder, hosts: &str) -> (String, String) {
    let settings = settings.connect_timeout(Duration::from_millis(1200));
    match soon(settings.connect(hosts)).await {
        Err(Error::Unreachable { server, why }) => (server, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_waits_in_vain_for_a_connection_learns_why() {
    let hosts = free_address().to_string();
    let (server, why) = in_vain(builder(), &hosts).await;
    assert_eq!(server, hosts);
    assert!(why.starts_with("Connection refused"), "{why}");

    let lists = Script::new([vec![]]);
    let (server, why) = in_vain(builder().resolver(lists), "zk.elsewhere:7").await;
    assert_eq!(server, "zk.elsewhere:7");
    assert_eq!(why, "the name cannot be looked up: entity not found");

    let lists = Script::new([vec![]]);
    let (_, why) = in_vain(builder().resolver(lists), "zk.example:7").await;
    assert_eq!(why, "the name has no address");

    let closing = false_server(|mut stream| async move { frame(&mut stream).await.map(drop) });
    let hosts = closing.await.to_string();
    let (server, why) = in_vain(builder(), &hosts).await;
    let closed = "the server closed the connection";
    assert_eq!((server.as_str(), why.as_str()), (hosts.as_str(), closed));

    let hosts = false_server(say_nothing).await.to_string();
    let brief = builder().session_timeout(Duration::from_millis(500));
    let (_, why) = in_vain(brief, &hosts).await;
    assert_eq!(why, "nothing was heard from the server for too long");

    let error = Error::Unreachable {
        server: "zk1:2181".into(),
        why,
    };
    let text = "no server could be reached in time; the last one, zk1:2181: nothing was heard from the server for too long";
    assert_eq!(error.to_string(), text);
}

/// Warnings of the client.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN && metadata.target().contains("client")
    }

    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn each_reason_is_a_warning_once_for_each_server() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let closes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&closes);
    let closing = false_server(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { frame(&mut stream).await.map(drop) }
    });
    let (closing, nobody, neither) = (closing.await, free_address(), free_address());
    let client = builder().open(&format!("{closing},{nobody},{neither}"));
    let client = client.unwrap();
    soon(async {
        while closes.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    drop(client);
    let mut said = warnings.0.lock().unwrap().clone();
    said.sort();
    let mut expected = vec![
        format!("message=no connection server={closing} why=the server closed the connection "),
        format!("message=no connection server={nobody} why=Connection refused (os error 111) "),
        format!("message=no connection server={neither} why=Connection refused (os error 111) "),
    ];
    expected.sort();
    assert_eq!(said, expected);
}

#[tokio::test]
async fn an_attempt_has_its_share_of_the_time_that_the_server_gave() {
    let world = World::new();
    let silent = false_server(say_nothing).await;
    // A server gives 4 s at most; half of 60 s would be the end of the session.
    let settings = builder().session_timeout(Duration::from_secs(60));
    let wires = [Wire::to(world.address()).await, Wire::to(silent).await];
    // The silent one is only there when the session is.
    wires[1].cut();
    let hosts = format!("{},{}", wires[0].address, wires[1].address);
    let client = soon(settings.connect(&hosts)).await.unwrap();
    assert_eq!(client.negotiated_timeout(), Duration::from_secs(4));
    let session = client.session();
    wires[1].mend();
    for _ in 0..3 {
        client.exists("/").await.unwrap();
        wires[0].break_once();
        reach(&client, State::Suspended).await;
        reach(&client, State::Connected).await;
        assert_eq!(client.session(), session);
    }
}

#[tokio::test]
async fn a_client_that_never_had_a_session_closes_at_once() {
    let begun = Instant::now();
    let silent = false_server(say_nothing).await;
    for hosts in [free_address(), silent] {
        let client = builder().open(&hosts.to_string()).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        soon(client.close()).await.unwrap();
        reach(&client, State::Closed).await;
        assert_eq!(client.data("/").await.unwrap_err(), Error::Closed);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn calls_that_nobody_waits_for_do_not_fill_the_queue() {
    let world = World::new();
    let client = builder()
        .max_waiting(8)
        .connect(&world.hosts())
        .await
        .unwrap();
    for _ in 0..50 {
        drop(client.data_watched("/"));
        client.sync("/").await.unwrap();
    }
}
