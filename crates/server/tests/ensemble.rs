//! Members of an ensemble over real sockets and files: what clients and operators see while leaders come and go.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets: a failure is its result"
)]

mod ports;
mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ports::free_ports;
use raw::*;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::{FromLearner, LearnerInfo};
use rookeeper_proto::packet::{PROTOCOL_VERSION, Packet};
use rookeeper_server::boot::Server;
use rookeeper_server::config::Settings;

/// Time between two looks at something that takes its time.
const LOOK: Duration = Duration::from_millis(5);
/// An observer that waits for nothing serves long before.
const SHOULD_HAVE_COME: Duration = Duration::from_millis(500);

struct Ensemble {
    dir: tempfile::TempDir,
    lines: String,
    extra: String,
    words: Vec<&'static str>,
    /// Where clients go.
    ports: BTreeMap<u16, u16>,
    /// Where learners go.
    quorum_ports: BTreeMap<u16, u16>,
    running: BTreeMap<u16, Server>,
}

impl Ensemble {
    fn new(voters: u16, observers: u16, extra: &str) -> Self {
        let count = voters + observers;
        let ports = free_ports(usize::from(count) * 3);
        let mut lines = String::new();
        for (index, ports) in ports.chunks(3).enumerate() {
            let id = index as u16 + 1;
            let role = if id > voters { ":observer" } else { "" };
            lines += &format!("server.{id}=127.0.0.1:{}:{}{role}\n", ports[0], ports[1]);
        }
        let of = |place: usize| (1..=count).zip(ports.iter().skip(place).step_by(3).copied());
        Self {
            dir: tempfile::tempdir().unwrap(),
            lines,
            extra: extra.to_owned(),
            words: vec!["-Dzookeeper.preAllocSize=64"],
            ports: of(2).collect(),
            quorum_ports: of(0).collect(),
            running: BTreeMap::new(),
        }
    }

    fn data(&self, id: u16) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    fn start(&mut self, id: u16) {
        let data = self.data(id);
        fs::create_dir_all(&data).unwrap();
        let text = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={}\nclientPort={}\n{}{}",
            data.display(),
            self.ports[&id],
            self.lines,
            self.extra
        );
        let loaded = Settings::of_member(&text, &self.words, &id.to_string()).unwrap();
        let server = Server::start(loaded.settings).unwrap();
        self.running.insert(id, server);
    }

    fn start_all(&mut self) {
        let ids: Vec<u16> = self.ports.keys().copied().collect();
        ids.into_iter().for_each(|id| self.start(id));
        self.await_serving();
    }

    fn stop(&mut self, id: u16) {
        drop(self.running.remove(&id).unwrap());
    }

    fn address(&self, id: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[&id]))
    }

    /// What a member says that it is; nothing while it serves nobody.
    fn mode(&self, id: u16) -> Option<String> {
        let mut socket = TcpStream::connect(self.address(id)).ok()?;
        socket.write_all(b"srvr").ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(str::to_owned)
    }

    #[track_caller]
    fn await_serving(&self) {
        for id in self.running.keys() {
            eventually("a member does not serve", || self.mode(*id).is_some());
        }
    }

    fn leader(&self) -> u16 {
        let leads = |id: &&u16| self.mode(**id).as_deref() == Some("leader");
        *self.running.keys().find(leads).unwrap()
    }

    /// Some member that does not lead.
    fn follower(&self) -> u16 {
        let leader = self.leader();
        *self.running.keys().find(|id| **id != leader).unwrap()
    }

    /// Everybody has the same, in the end.
    #[track_caller]
    fn assert_equal(&self) {
        let state = |server: &Server| {
            let tree = server.service().replica.tree.read();
            (tree.last_zxid(), tree.digest(), tree.node_count())
        };
        eventually("the trees differ", || {
            let mut states = self.running.values().map(state);
            let first = states.next();
            states.all(|state| Some(state) == first)
        });
        for server in self.running.values() {
            let wrong = &server.service().gauges.digest_mismatches;
            assert_eq!(wrong.load(std::sync::atomic::Ordering::Relaxed), 0);
        }
    }
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(LOOK);
    }
}

fn exists(client: &mut Client, path: &str) -> bool {
    client.call(op::EXISTS, &path_watch(path)).unwrap().err == 0
}

/// A client that asks its server to catch up before it reads.
fn exists_after_sync(client: &mut Client, path: &str) -> bool {
    assert_eq!(
        client.call(op::SYNC, &Out::new().string("/")).unwrap().err,
        0
    );
    exists(client, path)
}

#[test]
fn what_one_member_acknowledges_all_have() {
    let mut ensemble = Ensemble::new(3, 1, "");
    ensemble.start_all();
    let modes: Vec<_> = (1..=4).map(|id| ensemble.mode(id).unwrap()).collect();
    assert_eq!(modes.iter().filter(|mode| *mode == "leader").count(), 1);
    assert_eq!(modes.iter().filter(|mode| *mode == "follower").count(), 2);
    assert_eq!(modes[3], "observer");
    let mut clients: Vec<_> = (1..=4)
        .map(|id| Client::connect(ensemble.address(id)))
        .collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let path = format!("/of{at}");
        assert_eq!(
            client
                .call(op::CREATE, &create(&path, b"x", 0))
                .unwrap()
                .err,
            0
        );
    }
    for client in &mut clients {
        for at in 0..4 {
            assert!(exists_after_sync(client, &format!("/of{at}")));
        }
    }
    ensemble.assert_equal();
}

#[test]
fn a_client_with_nothing_in_flight_does_not_notice_a_new_leader() {
    let mut ensemble = Ensemble::new(3, 0, "");
    ensemble.start_all();
    let (leader, at) = (ensemble.leader(), ensemble.follower());
    let mut client = Client::connect(ensemble.address(at));
    let ephemeral = create("/mine", b"", 1);
    assert_eq!(client.call(op::CREATE, &ephemeral).unwrap().err, 0);
    ensemble.stop(leader);
    // The same connection: a read, a write, and what belongs to the session is still there.
    assert!(exists(&mut client, "/mine"));
    assert_eq!(
        client
            .call(op::CREATE, &create("/later", b"", 0))
            .unwrap()
            .err,
        0
    );
    assert!(exists_after_sync(&mut client, "/mine"));
    ensemble.await_serving();
    assert_ne!(ensemble.leader(), leader);
    ensemble.start(leader);
    ensemble.await_serving();
    ensemble.assert_equal();
}

/// What the leader judges it judges by the tree as it is: an end of a session that it proposes by itself, between the writes of others.
#[test]
fn sessions_that_expire_among_many_writes_promise_the_true_digest() {
    let mut ensemble = Ensemble::new(
        3,
        0,
        "tickTime=50\ninitLimit=100\nsyncLimit=100\nminSessionTimeout=100\n",
    );
    ensemble.start_all();
    let mut writer = Client::connect(ensemble.address(ensemble.leader()));
    writer.must(op::CREATE, &create("/busy", b"", 0));
    let silent = Hello {
        timeout: 100,
        ..Hello::default()
    };
    let mut left = Vec::new();
    let ended = Instant::now() + Duration::from_secs(3);
    while Instant::now() < ended {
        let mut client = Client::open(ensemble.address(ensemble.leader()), &silent).unwrap();
        let path = format!("/of{}", left.len());
        client.must(op::CREATE, &create(&path, b"", 1));
        drop(client);
        left.push(path);
        // The leader shall never be idle.
        let more = if left.len() == 1 { 1500 } else { 500 };
        for _ in 0..more {
            writer.send(op::SET_DATA, &set_data("/busy", b"x")).unwrap();
        }
        for _ in 0..500 {
            assert_eq!(writer.reply().unwrap().err, 0);
        }
    }
    for _ in 0..1000 {
        assert_eq!(writer.reply().unwrap().err, 0);
    }
    eventually("an ephemeral of a session that is over stays", || {
        left.iter().all(|path| !exists(&mut writer, path))
    });
    ensemble.assert_equal();
}

#[test]
fn a_session_moves_to_another_member_with_its_ephemerals() {
    let mut ensemble = Ensemble::new(3, 0, "");
    ensemble.start_all();
    let mut first = Client::connect(ensemble.address(1));
    assert_eq!(
        first.call(op::CREATE, &create("/e", b"", 1)).unwrap().err,
        0
    );
    let hello = first.hello();
    let mut second = Client::open(ensemble.address(2), &hello).unwrap();
    assert_eq!(second.session, first.session);
    assert!(exists_after_sync(&mut second, "/e"));
    // The old connection may not write for the session any more.
    let old = first.call(op::CREATE, &create("/stolen", b"", 0));
    assert!(old.is_err() || old.unwrap().err != 0);
    second.call(op::CLOSE, &Out::new()).unwrap();
    let mut third = Client::connect(ensemble.address(3));
    assert!(!exists_after_sync(&mut third, "/e"));
    assert!(!exists(&mut third, "/stolen"));
    ensemble.assert_equal();
}

#[test]
fn a_member_that_comes_late_gets_the_state_and_one_that_comes_back_what_it_missed() {
    let mut ensemble = Ensemble::new(3, 0, "");
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let mut client = Client::connect(ensemble.address(1));
    for n in 0..600 {
        let body = create(&format!("/n{n}"), &[7; 300], 0);
        assert_eq!(client.call(op::CREATE, &body).unwrap().err, 0);
    }
    ensemble.start(3);
    ensemble.await_serving();
    ensemble.assert_equal();
    ensemble.stop(3);
    for n in 0..20 {
        assert_eq!(
            client
                .call(op::DELETE, &delete(&format!("/n{n}")))
                .unwrap()
                .err,
            0
        );
    }
    ensemble.start(3);
    ensemble.await_serving();
    ensemble.assert_equal();
}

#[test]
fn without_a_quorum_nobody_is_served_and_nothing_is_lost() {
    let mut ensemble = Ensemble::new(3, 0, "");
    ensemble.start_all();
    let leader = ensemble.leader();
    let mut client = Client::connect(ensemble.address(leader));
    assert_eq!(
        client
            .call(op::CREATE, &create("/kept", b"", 0))
            .unwrap()
            .err,
        0
    );
    let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
    others.iter().for_each(|id| ensemble.stop(*id));
    // The leader notices within two ticks, keeps its clients for a moment, then sends them away.
    assert!(client.call(op::CREATE, &create("/lost", b"", 0)).is_err());
    eventually("a leader without a quorum serves", || {
        ensemble.mode(leader).is_none()
    });
    ensemble.start(others[0]);
    ensemble.await_serving();
    let mut client = Client::connect(ensemble.address(others[0]));
    assert!(exists_after_sync(&mut client, "/kept"));
}

#[test]
fn a_damaged_history_is_set_aside_and_fetched_from_the_leader() {
    let mut ensemble = Ensemble::new(3, 0, "");
    ensemble.start_all();
    let mut client = Client::connect(ensemble.address(ensemble.leader()));
    for n in 0..50 {
        let body = create(&format!("/n{n}"), &[7; 100], 0);
        assert_eq!(client.call(op::CREATE, &body).unwrap().err, 0);
    }
    let id = ensemble.follower();
    ensemble.assert_equal();
    ensemble.stop(id);
    damage_newest_log(&ensemble.data(id).join("version-2"));
    ensemble.start(id);
    ensemble.await_serving();
    ensemble.assert_equal();
    let kept = fs::read_dir(ensemble.data(id).join("version-2")).unwrap();
    let names: Vec<String> = kept
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names.iter().any(|name| name.contains("damaged")),
        "{names:?}"
    );
    assert!(
        !names.iter().any(|name| name == "rookeeper.incomplete"),
        "{names:?}"
    );
}

#[test]
fn a_member_that_may_not_make_a_database_gets_it_from_the_others() {
    let mut ensemble = Ensemble::new(3, 0, "");
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let mut client = Client::connect(ensemble.address(1));
    client.must(op::CREATE, &create("/a", b"", 0));
    ensemble.extra = "db.autocreate=false\n".to_owned();
    ensemble.start(3);
    ensemble.await_serving();
    ensemble.assert_equal();
}

/// Breaks a record in the middle of the newest log.
fn damage_newest_log(dir: &std::path::Path) {
    let logs = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_log = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("log.")
    };
    let newest = logs.filter(is_log).max().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes[3000] ^= 0xff;
    fs::write(&newest, bytes).unwrap();
}

#[test]
fn a_leader_that_does_not_serve_sends_clients_to_the_others() {
    capture_log();
    let mut ensemble = Ensemble::new(3, 0, "leaderServes=no\n");
    ensemble.start_all();
    let leader = ensemble.leader();
    let mut refused = dial(ensemble.address(leader));
    refused.write_all(&Hello::default().frame()).unwrap();
    assert!(drain(&mut refused).unwrap().is_empty());
    let port = refused.local_addr().unwrap().port();
    // All clients of a server may be refused at once: that is no line for each in anybody's log.
    let line = logged(&[
        &format!("/127.0.0.1:{port}"),
        "this server serves nobody now",
    ]);
    assert!(line.contains("DEBUG"), "{line}");
    let mut client = Client::connect(ensemble.address(ensemble.follower()));
    assert_eq!(
        client.call(op::CREATE, &create("/a", b"", 0)).unwrap().err,
        0
    );
}

#[test]
fn every_member_shows_who_belongs_to_the_ensemble() {
    let mut ensemble = Ensemble::new(3, 0, "");
    ensemble.start_all();
    for id in 1..=3 {
        let mut client = Client::connect(ensemble.address(id));
        let shown = client
            .call(op::GET_DATA, &path_watch("/zookeeper/config"))
            .unwrap();
        let text = String::from_utf8(shown.data().to_vec()).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("server.1=127.0.0.1:"), "{text}");
        assert!(text.ends_with("\nversion=0"), "{text}");
    }
}

#[test]
fn ways_from_role_to_role_are_measured_and_told() {
    capture_log();
    let mut ensemble = Ensemble::new(2, 1, "4lw.commands.whitelist=*\n");
    ensemble.start(1);
    logged(&["LOOKING"]);
    logged(&["New election. My id = 1, proposed zxid=0x0"]);
    [2, 3].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let leader = ensemble.leader();
    logged(&[&format!("OBSERVING server {leader}")]);
    logged(&["LEADING - LEADER ELECTION TOOK"]);
    let measured = |id: u16| {
        let text = word(ensemble.address(id), "mntr");
        ["election_time", "follower_sync_time", "observer_sync_time"].map(|name| {
            let name = format!("zk_cnt_{name}\t");
            let count = text.lines().find_map(|line| line.strip_prefix(&name));
            count.unwrap() != "0"
        })
    };
    assert!(measured(leader)[0]);
    let follower = if leader == 1 { 2 } else { 1 };
    assert_eq!(measured(follower), [true, true, false]);
    assert_eq!(measured(3), [false, false, true]);
}

/// A learner that this test plays.
struct Learner {
    socket: TcpStream,
    received: BytesMut,
}

impl Learner {
    /// Comes to a leader as a follower, without any history, as far as to what it is sent.
    fn synchronizing(id: u16, port: u16) -> (Self, FromLeader) {
        let follower = |accepted, info| FromLearner::FollowerInfo { accepted, info };
        let (learner, plan) = Self::coming(follower, id, port);
        (learner, plan.unwrap())
    }

    /// The same as an observer; nothing is sent to who has to come again.
    fn observing(id: u16, port: u16) -> (Self, Option<FromLeader>) {
        let observer = |accepted, info| FromLearner::ObserverInfo { accepted, info };
        Self::coming(observer, id, port)
    }

    fn coming(
        who: impl Fn(Zxid, LearnerInfo) -> FromLearner,
        id: u16,
        port: u16,
    ) -> (Self, Option<FromLeader>) {
        let mut learner = Self {
            socket: dial(SocketAddr::from(([127, 0, 0, 1], port))),
            received: BytesMut::new(),
        };
        let info = LearnerInfo {
            server: Some(ServerId(id.into())),
            protocol: PROTOCOL_VERSION,
            config_version: 0,
        };
        learner.say(who(Zxid::ZERO, info));
        let Some(FromLeader::LeaderInfo { .. }) = learner.hear() else {
            panic!("no epoch");
        };
        learner.say(FromLearner::AckEpoch {
            last: Zxid::ZERO,
            current: Some(0),
        });
        let plan = learner.hear();
        (learner, plan)
    }

    fn say(&mut self, what: FromLearner) {
        let mut bytes = Vec::new();
        what.into_packet().encode(&mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    /// Nothing when the leader has closed the connection.
    fn hear(&mut self) -> Option<FromLeader> {
        loop {
            if let Some(packet) = Packet::take(&mut self.received, 1 << 20).unwrap() {
                return Some(FromLeader::from_packet(packet).unwrap());
            }
            // One byte after the other, so that nothing is taken of what follows.
            let mut byte = [0];
            if self.socket.read(&mut byte).unwrap() == 0 {
                return None;
            }
            self.received.extend(byte);
        }
    }
}

/// More than the kernel takes for a peer that does not read.
fn fill(client: &mut Client) {
    for n in 0..20 {
        client.must(
            op::CREATE,
            &create(&format!("/big{n}"), &vec![7; 1_000_000], 0),
        );
    }
}

/// Nobody waits for a learner that asks for the state and does not take it: neither writers nor the next learner
/// (also ZOOKEEPER-3531).
#[test]
fn zookeeper_2201_a_learner_that_does_not_take_its_state_delays_nobody() {
    let mut ensemble = Ensemble::new(3, 1, "commitLogCount=10\nsnapshotSizeFactor=-1\n");
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let leader = ensemble.leader();
    let mut client = Client::connect(ensemble.address(leader));
    fill(&mut client);
    let (hung, plan) = Learner::synchronizing(3, ensemble.quorum_ports[&leader]);
    assert!(matches!(plan, FromLeader::Snap(_)), "{plan:?}");
    for n in 0..20 {
        client.must(op::CREATE, &create(&format!("/n{n}"), b"x", 0));
        client.must(op::DELETE, &delete(&format!("/big{n}")));
    }
    ensemble.start(4);
    ensemble.await_serving();
    ensemble.assert_equal();
    assert_eq!(ensemble.leader(), leader);
    drop(hung);
}

/// A learner whose connection the leader closes gives its share of memory back, although it takes nothing any more.
#[test]
fn zookeeper_2201_a_learner_that_hangs_keeps_no_state_once_it_is_closed() {
    let mut ensemble = Ensemble::new(3, 1, "commitLogCount=10\nsnapshotSizeFactor=-1\n");
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let leader = ensemble.leader();
    let mut client = Client::connect(ensemble.address(leader));
    for n in 0..20 {
        client.must(
            op::CREATE,
            &create(&format!("/big{n}"), &vec![7; 1_000_000], 0),
        );
    }
    let replica = Arc::clone(&ensemble.running[&leader].service().replica);
    let room = || {
        let images = std::iter::from_fn(|| replica.tree.write().open_image().ok());
        images.collect::<Vec<_>>().len()
    };
    let all = room();
    // Each one takes the place of the one before.
    let hung: Vec<_> = (0..=all)
        .map(|_| Learner::synchronizing(3, ensemble.quorum_ports[&leader]))
        .inspect(|(_, plan)| assert!(matches!(plan, FromLeader::Snap(_)), "{plan:?}"))
        .collect();
    eventually("the states of closed learners are kept", || {
        room() == all - 1
    });
    ensemble.start(4);
    ensemble.await_serving();
    drop(hung);
}

/// Hands on what comes to a port of its own, at some rate towards whoever connects.
fn slow_way(to: u16, bytes_per_ms: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut there, mut back) = (near.try_clone().unwrap(), near);
            let (mut from, mut onward) = (far.try_clone().unwrap(), far);
            thread::spawn(move || {
                let _ = std::io::copy(&mut there, &mut onward);
                let _ = onward.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let mut piece = vec![0; bytes_per_ms * 10];
                while let Ok(n @ 1..) = from.read(&mut piece) {
                    thread::sleep(Duration::from_millis((n / bytes_per_ms) as u64));
                    if back.write_all(&piece[..n]).is_err() {
                        break;
                    }
                }
                let _ = from.shutdown(Shutdown::Both);
                let _ = back.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

/// A member takes a state that is longer under way than `initLimit`, and sends clients away meanwhile instead of having them wait.
#[test]
fn zookeeper_1697_a_state_that_is_longer_under_way_than_init_limit_arrives() {
    let mut ensemble = Ensemble::new(3, 0, "initLimit=3\nsnapshotSizeFactor=-1\n");
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let leader = ensemble.leader();
    let mut client = Client::connect(ensemble.address(leader));
    for n in 0..20 {
        let large = create(&format!("/big{n}"), &vec![7; 1_000_000], 0);
        client.must(op::CREATE, &large);
    }
    let quorum_port = ensemble.quorum_ports[&leader];
    let slow = slow_way(quorum_port, 4000);
    ensemble.lines = ensemble
        .lines
        .replace(&format!(":{quorum_port}:"), &format!(":{slow}:"));
    ensemble.start(3);
    let begun = Instant::now();
    let sent_away = Client::open(ensemble.address(3), &Hello::default()).is_err();
    let after = begun.elapsed();
    ensemble.await_serving();
    let served_after = begun.elapsed();
    assert!(sent_away && after < Duration::from_secs(3), "{after:?}");
    assert!(served_after > Duration::from_secs(4), "{served_after:?}");
    ensemble.assert_equal();
    assert_eq!(ensemble.leader(), leader);
}

#[test]
fn an_observer_beyond_the_limit_comes_again_and_a_follower_is_never_sent_away() {
    let limit = "forceSnapshotSync=true\nleader.maxConcurrentSnapSyncs=1\n";
    let mut ensemble = Ensemble::new(3, 2, limit);
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    let mut client = Client::connect(ensemble.address(1));
    client.must(op::CREATE, &create("/a", b"", 0));
    let port = ensemble.quorum_ports[&ensemble.leader()];
    let (first, plan) = Learner::observing(4, port);
    assert!(matches!(plan, Some(FromLeader::Snap(_))), "{plan:?}");
    assert!(Learner::observing(5, port).1.is_none());
    let (follower, plan) = Learner::synchronizing(3, port);
    assert!(matches!(plan, FromLeader::Snap(_)), "{plan:?}");
    // A true one comes again until there is a place.
    ensemble.start(5);
    drop(first);
    assert!(ensemble.mode(5).is_none(), "the follower has the place");
    drop(follower);
    ensemble.await_serving();
    ensemble.assert_equal();
}

/// More than a tree has images for where nobody asks for them.
#[test]
fn as_many_states_are_sent_at_a_time_as_an_operator_allows() {
    const STATES: u16 = 13;
    let limit = format!("forceSnapshotSync=true\nleader.maxConcurrentSnapSyncs={STATES}\n");
    let mut ensemble = Ensemble::new(3, 0, &limit);
    [1, 2].into_iter().for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    fill(&mut Client::connect(ensemble.address(1)));
    let port = ensemble.quorum_ports[&ensemble.leader()];
    let observers: Vec<_> = (0..STATES)
        .map(|n| Learner::observing(100 + n, port))
        .collect();
    for (_, plan) in &observers {
        assert!(matches!(plan, Some(FromLeader::Snap(_))), "{plan:?}");
    }
    assert!(Learner::observing(200, port).1.is_none());
    let (_follower, plan) = Learner::synchronizing(3, port);
    assert!(matches!(plan, FromLeader::Snap(_)), "{plan:?}");
}

#[test]
fn an_observer_holds_back_as_long_as_it_is_told_to() {
    // Drawn below eleven days.
    let mut ensemble = Ensemble::new(3, 1, "observer.reconnectDelayMs=1000000000\n");
    (1..=3).for_each(|id| ensemble.start(id));
    ensemble.await_serving();
    ensemble.start(4);
    thread::sleep(SHOULD_HAVE_COME);
    assert!(ensemble.mode(4).is_none());
    ensemble.stop(4);
    ensemble.extra.clear();
    ensemble.start(4);
    ensemble.await_serving();
}

/// What is proposed can be read back by every member and from every log: requests are refused by what would be written, not by what they
/// say, and what must be written in any case fits.
#[test]
fn zookeeper_3496_nothing_is_proposed_that_nobody_can_read_back() {
    const INVALID_ACL: i32 = -114;
    const IDENTITIES: usize = 20;
    let mut ensemble = Ensemble::new(3, 0, "");
    ensemble.words.push("-Djute.maxbuffer=5000");
    ensemble.start_all();
    let mut client = Client::connect(ensemble.address(ensemble.follower()));
    for n in 0..IDENTITIES {
        let who = format!("a-user-with-a-long-name-{n}:secret");
        let body = Out::new().int(0).string("digest").buffer(who.as_bytes());
        client
            .stream
            .write_all(&request(-4, op::AUTH, &body))
            .unwrap();
        assert_eq!(client.reply().unwrap().err, 0);
    }
    // One word in the request, all identities of the client in the record.
    let acl = |path: &str| {
        let acl = Out::new().string(path).buffer(b"");
        acl.int(1).int(31).string("auth").string("").int(2)
    };
    let mut made = 0;
    let refused = (1..40).find(|count| {
        let parts: Vec<_> = (0..*count).map(|_| (op::CREATE, acl("/s"))).collect();
        let reply = client.call(op::MULTI, &multi(&parts)).unwrap();
        let done = reply.body.starts_with(&op::CREATE.to_be_bytes());
        if done {
            made += *count;
        } else {
            let mut codes = reply.body.windows(4);
            assert!(codes.any(|code| code == INVALID_ACL.to_be_bytes()));
        }
        !done
    });
    assert!(refused.is_some_and(|count| count > 1), "{refused:?}");
    let mut other = Client::connect(ensemble.address(ensemble.leader()));
    for n in 0..100 {
        let path = format!("/{}{n}", "e".repeat(100));
        other.must(op::CREATE, &create(&path, b"", 1));
    }
    other.must(op::CLOSE, &Out::new());
    ensemble.assert_equal();
    for id in 1..=3 {
        ensemble.stop(id);
    }
    ensemble.start_all();
    ensemble.assert_equal();
    let mut client = Client::connect(ensemble.address(1));
    let names = client.must(op::GET_CHILDREN, &path_watch("/")).names();
    assert_eq!(
        names.iter().filter(|name| name.starts_with('s')).count(),
        made
    );
    assert_eq!(names.len(), made + 1, "and /zookeeper");
}
