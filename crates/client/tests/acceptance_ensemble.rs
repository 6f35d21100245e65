//! What users of an ensemble rely on, by the numbers of `docs/acceptance.md`: three members inside the test, of which some go and
//! come back.
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

mod scene;
mod world;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{
    AddWatchMode, Client, CreateOptions, Error, EventType, Retry, Signal, State,
};
use scene::{create, enlist, event, four_letter_word, list, text};
use world::ensemble::Ensemble;
use world::{Wire, builder, reach, soon};

/// Sessions last longer than an election does.
const SESSION: Duration = Duration::from_secs(10);
/// The members' tick.
const TICK: Duration = Duration::from_millis(500);
const MEMBERS: [u16; 3] = [1, 2, 3];

/// A client of these members only.
async fn client_of(ensemble: &Ensemble, members: &[u16]) -> Client {
    let addresses: Vec<SocketAddr> = members.iter().map(|id| ensemble.address(*id)).collect();
    connect(&addresses).await
}

async fn connect(addresses: &[SocketAddr]) -> Client {
    let hosts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let settings = builder().session_timeout(SESSION);
    soon(settings.connect(&hosts.join(","))).await.unwrap()
}

/// The members that do not lead.
fn followers(leader: u16) -> Vec<u16> {
    MEMBERS.into_iter().filter(|id| *id != leader).collect()
}

/// These members answer, and serve nobody, for two ticks.
async fn none_serves(ensemble: &Ensemble, members: &[u16]) {
    let begun = Instant::now();
    while begun.elapsed() < TICK * 2 {
        for id in members {
            let said = four_letter_word(ensemble.address(*id), "srvr").await;
            let text = "This ZooKeeper instance is not currently serving requests";
            assert!(said.starts_with(text), "{said}");
        }
        tokio::time::sleep(TICK / 10).await;
    }
}

#[tokio::test]
async fn s5_of_four_servers_started_one_after_another_the_third_leads() {
    let mut ensemble = Ensemble::of(4);
    ensemble.start(1);
    ensemble.start(2);
    none_serves(&ensemble, &[1, 2]).await;
    ensemble.start(3);
    ensemble.serving().await;
    assert_eq!(ensemble.leader().await, 3);
    ensemble.start(4);
    ensemble.serving().await;
    for (id, mode) in [
        (1, "follower"),
        (2, "follower"),
        (3, "leader"),
        (4, "follower"),
    ] {
        assert_eq!(ensemble.mode(id).await.as_deref(), Some(mode), "{id}");
    }
    // One of four may be lost, a second one not.
    let client = client_of(&ensemble, &[3]).await;
    ensemble.stop(4);
    create(&client, "/a", "").await;
    let mut states = client.states();
    ensemble.stop(2);
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
}

#[tokio::test]
async fn s6_of_five_empty_servers_started_one_after_another_the_third_leads() {
    let mut ensemble = Ensemble::of(5);
    ensemble.start(1);
    ensemble.start(2);
    none_serves(&ensemble, &[1, 2]).await;
    for id in 3..=5 {
        ensemble.start(id);
        ensemble.serving().await;
        assert_eq!(ensemble.leader().await, 3);
    }
    for id in [1, 2, 4, 5] {
        assert_eq!(ensemble.mode(id).await.as_deref(), Some("follower"));
    }
}

#[tokio::test]
async fn s44_a_session_moves_with_its_ephemerals_when_its_server_dies() {
    let mut ensemble = Ensemble::new().await;
    let witness = ensemble.client().await;
    // Only one way leads to each member; the first is the only one at the beginning.
    let first = Wire::to(ensemble.address(1)).await;
    let second = Wire::to(ensemble.address(2)).await;
    second.cut();
    let client = connect(&[first.address, second.address]).await;
    let (session, mut states) = (client.session(), client.states());
    let ephemeral = enlist(&client, "/e-", "").await;
    assert_eq!(client.server(), Some(first.address));

    second.mend();
    ensemble.stop(1);
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    assert_eq!(soon(states.next()).await, Some(State::Connected));
    assert_eq!(client.server(), Some(second.address));
    assert_eq!(client.session(), session);
    let retry = Retry::forever().idempotent();
    let stat = retry.run(|| client.exists(&ephemeral)).await.unwrap();
    assert_eq!(stat.unwrap().ephemeral_owner, session.0);
    let seen = retry.run(|| witness.exists(&ephemeral)).await.unwrap();
    assert_eq!(seen, stat);
}

#[tokio::test]
async fn s79_writes_with_one_and_with_two_servers_down() {
    let mut ensemble = Ensemble::new().await;
    let leader = ensemble.leader().await;
    let client = client_of(&ensemble, &[leader]).await;
    create(&client, "/a", "0").await;
    let followers = followers(leader);
    ensemble.stop(followers[0]);
    client.set("/a", "1", 0).await.unwrap();

    // Without a quorum nothing is acknowledged: connections end.
    ensemble.stop(followers[1]);
    let error = soon(client.set("/a", "2", 1)).await.unwrap_err();
    assert_eq!(error, Error::ConnectionLost);
    ensemble.start(followers[0]);
    reach(&client, State::Connected).await;
    // What was acknowledged is there, and of what was not either all or nothing.
    let data = Retry::forever().idempotent();
    let data = data.run(|| client.data("/a")).await.unwrap();
    assert!(
        matches!((data.stat.version, &data.bytes[..]), (1, b"1") | (2, b"2")),
        "{data:?}"
    );
    client.set("/a", "3", data.stat.version).await.unwrap();
}

#[tokio::test]
async fn s80_reads_never_go_back_and_are_fresh_after_a_sync() {
    const WRITES: i32 = 100;
    let ensemble = Ensemble::new().await;
    let writer = client_of(&ensemble, &[1]).await;
    create(&writer, "/a", "").await;
    let mut readers = Vec::new();
    for id in MEMBERS {
        let reader = client_of(&ensemble, &[id]).await;
        readers.push(tokio::spawn(async move {
            reader.sync("/a").await.unwrap();
            let mut seen = 0;
            while seen < WRITES {
                let version = reader.data("/a").await.unwrap().stat.version;
                assert!(version >= seen, "{version} after {seen}");
                seen = version;
            }
        }));
    }
    let fresh = client_of(&ensemble, &[3]).await;
    for version in 0..WRITES {
        writer.set("/a", "x", version).await.unwrap();
        let (synced, read) = (fresh.sync("/a"), fresh.data("/a"));
        synced.await.unwrap();
        assert_eq!(read.await.unwrap().stat.version, version + 1);
    }
    for reader in readers {
        soon(reader).await.unwrap();
    }
}

#[tokio::test]
async fn s80_one_session_sees_no_older_state_on_another_server() {
    let ensemble = Ensemble::new().await;
    let wires = [
        Wire::to(ensemble.address(1)).await,
        Wire::to(ensemble.address(2)).await,
        Wire::to(ensemble.address(3)).await,
    ];
    let addresses: Vec<SocketAddr> = wires.iter().map(|wire| wire.address).collect();
    let (client, writer) = (connect(&addresses).await, ensemble.client().await);
    create(&writer, "/a", "").await;
    client.sync("/a").await.unwrap();
    for version in 0..15 {
        // Seen on one server, at once looked for on the next one.
        writer.set("/a", "x", version).await.unwrap();
        client.sync("/a").await.unwrap();
        let seen = client.data("/a").await.unwrap().stat.version;
        assert_eq!(seen, version + 1);
        let mut states = client.states();
        wires.iter().for_each(Wire::break_once);
        assert_eq!(soon(states.next()).await, Some(State::Suspended));
        assert_eq!(soon(states.next()).await, Some(State::Connected));
        assert!(client.data("/a").await.unwrap().stat.version >= seen);
    }
}

#[tokio::test]
async fn s82_a_leader_without_a_quorum_lets_its_clients_go_and_acknowledges_nothing() {
    let mut ensemble = Ensemble::new().await;
    let leader = ensemble.leader().await;
    let client = client_of(&ensemble, &[leader]).await;
    create(&client, "/a", "").await;
    let mut states = client.states();
    for id in followers(leader) {
        ensemble.stop(id);
    }
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    // The others go on without it, and it comes back to what they have.
    ensemble.stop(leader);
    for id in followers(leader) {
        ensemble.start(id);
    }
    ensemble.serving().await;
    let others = client_of(&ensemble, &followers(leader)).await;
    others.set("/a", "by the others", 0).await.unwrap();
    ensemble.start(leader);
    assert_eq!(soon(states.next()).await, Some(State::Connected));
    assert_eq!(client.server(), Some(ensemble.address(leader)));
    client.sync("/a").await.unwrap();
    assert_eq!(text(&client, "/a").await, "by the others");
    assert!(
        client
            .set("/a", "late", 0)
            .await
            .unwrap_err()
            .is_bad_version()
    );
}

#[tokio::test]
async fn s83_every_server_knows_every_session() {
    let ensemble = Ensemble::new().await;
    let mut clients = Vec::new();
    for id in MEMBERS {
        let client = client_of(&ensemble, &[id]).await;
        enlist(&client, "/e-", "").await;
        clients.push(client);
    }
    let leader = ensemble.address(ensemble.leader().await);
    let dump = four_letter_word(leader, "dump").await;
    for client in &clients {
        let id = format!("0x{:x}", client.session().0);
        assert!(dump.contains(&id), "{id} is not in {dump}");
    }
    // Each goes on at the next member.
    for (client, id) in clients.iter().zip([2, 3, 1]) {
        let address = ensemble.address(id).to_string();
        let settings = builder().session_timeout(SESSION);
        let settings = settings.session(client.session(), client.session_password());
        let heir = soon(settings.connect(&address)).await.unwrap();
        assert_eq!(heir.session(), client.session());
        assert_eq!(heir.ephemerals("/e-").await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn s91_a_default_watcher_and_one_server_of_three_that_is_down() {
    let mut ensemble = Ensemble::new().await;
    ensemble.lose_leader().await;
    // The connect string names all three.
    let (client, writer) = (ensemble.client().await, ensemble.client().await);
    assert_eq!(client.state(), State::Connected);
    let (_, mut watch) = list(&client, "/").await;
    for turn in 0..5 {
        let path = format!("/node{turn}");
        create(&writer, &path, "").await;
        let told = event(watch).await;
        assert_eq!(
            (told.kind, told.path.as_str()),
            (EventType::NodeChildrenChanged, "/")
        );
        let names;
        (names, watch) = list(&client, "/").await;
        assert!(names.contains(&path[1..].to_owned()));
    }
    assert!(scene::is_quiet(&client, &mut watch).await);

    // The same with a watch that stays.
    let mut all = client.watch("/", AddWatchMode::Persistent).await.unwrap();
    for turn in 0..5 {
        writer.delete(&format!("/node{turn}"), -1).await.unwrap();
        match soon(all.next()).await {
            Some(Signal::Event(told)) => assert_eq!(told.kind, EventType::NodeChildrenChanged),
            other => panic!("{other:?}"),
        }
    }
    client.sync("/").await.unwrap();
    assert_eq!(all.try_next(), None);
}

#[tokio::test]
async fn s96_ids_increase_across_a_change_of_leader() {
    let mut ensemble = Ensemble::new().await;
    let client = ensemble.client().await;
    create(&client, "/ids", "").await;
    let options = CreateOptions::persistent_sequential();
    // After an unknown outcome a number may be left out.
    let retry = Retry::forever().idempotent();
    let mut last = String::new();
    for turn in 0..30 {
        if turn == 10 || turn == 20 {
            let lost = ensemble.lose_leader().await;
            ensemble.start(lost);
            ensemble.serving().await;
        }
        let created = retry.run(|| client.create("/ids/id", "", &options)).await;
        let path = created.unwrap().path;
        assert!(path > last, "{path} after {last}");
        last = path;
        let names = retry.run(|| client.children("/ids")).await.unwrap().names;
        for name in names {
            let gone = retry
                .run(|| client.delete(&format!("/ids/{name}"), -1))
                .await;
            assert!(gone.is_ok() || gone.unwrap_err().is_no_node());
        }
    }
}

/// How long nobody could write, from the end of the leader on.
async fn without_leader(ensemble: &mut Ensemble) -> Duration {
    let leader = ensemble.leader().await;
    let client = client_of(ensemble, &followers(leader)).await;
    let begun = Instant::now();
    ensemble.stop(leader);
    // A registration that is refused or lost meanwhile is tried until it succeeds.
    let retry = Retry::forever().idempotent();
    let ephemeral = CreateOptions::ephemeral_sequential();
    let created = soon(retry.run(|| client.create("/r-", "", &ephemeral))).await;
    created.unwrap();
    let took = begun.elapsed();
    ensemble.start(leader);
    ensemble.serving().await;
    client.close().await.unwrap();
    took
}

#[tokio::test]
async fn s101_without_a_leader_for_less_than_two_ticks() {
    /// The machine may be busy: one of so many has to be as quick as promised.
    const TRIES: usize = 8;
    let mut ensemble = Ensemble::new().await;
    let mut all = Vec::new();
    for _ in 0..TRIES {
        let took = without_leader(&mut ensemble).await;
        all.push(took);
        if took < TICK * 2 {
            return;
        }
    }
    panic!("never within two ticks: {all:?}");
}

#[tokio::test]
async fn s73_locks_and_their_waiters_outlive_the_leader() {
    let mut ensemble = Ensemble::new().await;
    let (holder, other) = (ensemble.client().await, ensemble.client().await);
    let guard = Mutex::new(&holder, "/locks/x").lock().await.unwrap();
    let waiting = Mutex::new(&other, "/locks/x");
    let waiting = tokio::spawn(async move { waiting.lock().await });
    world::children(&holder, "/locks/x", 2).await;
    let session = holder.session();
    ensemble.lose_leader().await;
    reach(&holder, State::Connected).await;
    let retry = Retry::forever().idempotent();
    let stat = retry.run(|| holder.exists(guard.path())).await.unwrap();
    assert_eq!(stat.unwrap().ephemeral_owner, session.0);
    assert!(!waiting.is_finished());
    let token = guard.token();
    guard.release().await.unwrap();
    assert!(soon(waiting).await.unwrap().unwrap().token() > token);
}
