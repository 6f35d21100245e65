//! What users build on a client library, by the numbers of `docs/acceptance.md`: elections, locks, ids, groups.
//!
//! With `ROOKEEPER_ACCEPTANCE_SERVER=host:port` against that server.
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

use std::time::Instant;

use rookeeper_client::recipes::group::GroupMember;
use rookeeper_client::recipes::leader_latch::LeaderLatch;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::recipes::unique_ids::SequenceIds;
use rookeeper_client::{Client, CreateOptions, EventType, Expected, OpCode, Watch};
use scene::{Scene, create, enlist, event, is_quiet, list};
use tokio::sync::oneshot;
use world::{Wire, World, soon};

/// A time within which a session that is cut off has to end: its timeout, two ticks for the server to see it, and a busy machine.
const GRACE_TICKS: u32 = 10;

/// One in a line: its client, its znode, and the watch on the one before it.
struct Waiter {
    client: Client,
    wire: Wire,
    path: String,
    ahead: Option<Watch>,
}

/// Clients that line up below `path` as users write it by hand: an ephemeral with a number, and a watch on the one before it.
async fn line_up(scene: &Scene, path: &str, count: usize) -> Vec<Waiter> {
    let mut line: Vec<Waiter> = Vec::new();
    for _ in 0..count {
        let (client, wire) = scene.brief_client_by_wire().await;
        let own = enlist(&client, &format!("{path}/n-"), "").await;
        let (names, _) = list(&client, path).await;
        assert!(own.ends_with(names.last().unwrap()));
        let ahead = match line.last() {
            Some(before) => {
                let (stat, watch) = client.exists_watched(&before.path).await.unwrap();
                assert!(stat.is_some());
                Some(watch)
            }
            None => None,
        };
        line.push(Waiter {
            client,
            wire,
            path: own,
            ahead,
        });
    }
    line
}

/// The first of `line` hears that the one before it is gone, and nobody else hears anything.
async fn only_the_first_wakes(line: &mut [Waiter]) {
    let (first, others) = line.split_first_mut().unwrap();
    let told = event(first.ahead.take().unwrap()).await;
    assert_eq!(told.kind, EventType::NodeDeleted);
    for other in others {
        let watch = other.ahead.as_mut().unwrap();
        assert!(is_quiet(&other.client, watch).await);
    }
    let (names, _) = list(&first.client, first.path.rsplit_once('/').unwrap().0).await;
    assert!(first.path.ends_with(&names[0]));
}

#[tokio::test]
async fn s87_master_election() {
    let scene = Scene::new("s87").await;
    create(&scene.client().await, "/master", "").await;
    let mut line = line_up(&scene, "/master", 4).await;
    // The leader's session closes: exactly one hears of it.
    line.remove(0).client.close().await.unwrap();
    only_the_first_wakes(&mut line).await;
    // A crash is the same, after the session's time.
    line.remove(0).wire.cut();
    only_the_first_wakes(&mut line).await;
    // Somebody in the middle goes: nobody leads because of that.
    line.remove(0).client.close().await.unwrap();
    only_the_first_wakes(&mut line).await;
}

#[tokio::test]
async fn s87_master_election_with_the_recipe() {
    let scene = Scene::new("s87").await;
    let mut candidates = Vec::new();
    let witness = scene.client().await;
    for id in ["a", "b", "c"] {
        let (client, wire) = scene.client_by_wire().await;
        let latch = LeaderLatch::join(&client, "/election", id);
        if id == "a" {
            soon(latch.lead()).await.unwrap();
        } else {
            // Create, list, and a watch on the znode before; who is next watches its own as well.
            wire.asked(3).await;
        }
        candidates.push((client, wire, latch));
    }
    world::children(&witness, "/election", 3).await;
    let first = candidates.remove(0);
    let token = soon(first.2.lead()).await.unwrap();
    candidates
        .iter()
        .for_each(|(_, wire, _)| drop(wire.requests()));
    first.0.close().await.unwrap();
    assert!(!first.2.is_leader());
    assert!(soon(candidates[0].2.lead()).await.unwrap() > token);
    // The last one was not even told: it has nothing to ask.
    candidates[1].0.sync("/").await.unwrap();
    assert_eq!(candidates[1].1.requests(), [OpCode::Sync]);
    assert!(!candidates[1].2.is_leader());
}

#[tokio::test]
async fn s88_lock_queue() {
    let scene = Scene::new("s88").await;
    let plain = scene.client().await;
    create(&plain, "/locks", "").await;
    let mut line = line_up(&scene, "/locks", 3).await;
    let mut sorted: Vec<_> = line.iter().map(|waiter| waiter.path.clone()).collect();
    sorted.sort();
    let paths: Vec<_> = line.iter().map(|waiter| waiter.path.clone()).collect();
    assert_eq!(paths, sorted);
    // A release wakes the second and not the third, a crash of the second the third.
    plain
        .delete(&line.remove(0).path, Expected::Any)
        .await
        .unwrap();
    only_the_first_wakes(&mut line).await;
    line.remove(0).wire.cut();
    only_the_first_wakes(&mut line).await;
}

#[tokio::test]
async fn s88_lock_queue_with_the_recipe() {
    let scene = Scene::new("s88").await;
    let mut wires = Vec::new();
    for _ in 0..3 {
        wires.push(scene.brief_client_by_wire().await);
    }
    let mutex = |at: usize| Mutex::new(&wires[at].0, "/locks/x");
    let first = mutex(0).lock().await.unwrap();
    let mut waiting = Vec::new();
    for at in [1, 2] {
        let mutex = mutex(at);
        waiting.push(tokio::spawn(async move { mutex.lock().await }));
        world::children(&wires[0].0, "/locks/x", at + 1).await;
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let token = first.token();
    first.release().await.unwrap();
    let second = soon(waiting.remove(0)).await.unwrap().unwrap();
    assert!(second.token() > token && !waiting[0].is_finished());
    // The holder crashes.
    wires[1].1.cut();
    let third = soon(waiting.remove(0)).await.unwrap().unwrap();
    assert!(third.token() > second.token());
    assert!(!second.is_held() && third.is_held());
}

#[tokio::test]
async fn s89_two_clients_take_an_inter_process_mutex_twice_each() {
    let scene = Scene::new("s89").await;
    let (a, b) = (scene.client().await, scene.client().await);
    let owner = Mutex::new(&a, "/locks").owner();
    let (first, again) = (owner.lock().await.unwrap(), owner.lock().await.unwrap());
    assert_eq!(first.path(), again.path());
    // The second thread, which takes it twice as well.
    let other = Mutex::new(&b, "/locks").owner();
    let (got, taken) = oneshot::channel();
    let thread = tokio::spawn(async move {
        let guard = other.lock().await.unwrap();
        let again = other.lock().await.unwrap();
        got.send((guard.token(), again.token())).unwrap();
        drop(guard);
        again.release().await.unwrap();
    });
    let names = world::children(&a, "/locks", 2).await;
    for name in &names {
        // _c_UUID-lock-NNNNNNNNNN
        let (uuid, number) = name
            .strip_prefix("_c_")
            .unwrap()
            .split_once("-lock-")
            .unwrap();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(uuid.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
        assert!(number.len() == 10 && number.parse::<u32>().is_ok());
    }
    first.release().await.unwrap();
    a.sync("/").await.unwrap();
    assert!(again.is_held() && !thread.is_finished());
    assert_eq!(a.children("/locks").await.unwrap().names.len(), 2);
    let token = again.token();
    again.release().await.unwrap();
    let (second, second_again) = soon(taken).await.unwrap();
    assert!(second > token && second == second_again);
    soon(thread).await.unwrap();
    world::children(&a, "/locks", 0).await;
}

#[tokio::test]
async fn s89_the_parent_is_a_container() {
    let scene = Scene::new("s89").await;
    let (client, wire) = scene.client_by_wire().await;
    drop(Mutex::new(&client, "/locks").lock().await.unwrap());
    assert!(wire.requests().contains(&OpCode::CreateContainer));
    let stat = client.exists("/locks").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, 0);
}

#[tokio::test]
async fn s89_the_parent_goes_when_nobody_wants_the_lock() {
    let world = World::with(&["-Dznode.container.checkIntervalMs=50"]);
    let client = world.client().await;
    let guard = Mutex::new(&client, "/locks").lock().await.unwrap();
    let (_, gone) = client.exists_watched("/locks").await.unwrap();
    guard.release().await.unwrap();
    assert_eq!(event(gone).await.kind, EventType::NodeDeleted);
    drop(Mutex::new(&client, "/locks").lock().await.unwrap());
}

#[tokio::test]
async fn s96_unique_ids() {
    let scene = Scene::new("s96").await;
    let client = scene.client().await;
    create(&client, "/ids", "").await;
    let options = CreateOptions::persistent_sequential();
    let mut last = None;
    for turn in 0..50 {
        let path = client.create("/ids/id", "", &options).await.unwrap().path;
        let id: u32 = path.strip_prefix("/ids/id").unwrap().parse().unwrap();
        assert!(last.is_none_or(|last| id > last), "{id} after {last:?}");
        last = Some(id);
        // Smaller ones are deleted, now and then all of them.
        if turn % 7 == 3 {
            for name in client.children("/ids").await.unwrap().names {
                client.delete(&format!("/ids/{name}"), -1).await.unwrap();
            }
        }
    }
    let ids = SequenceIds::cleaned(&client, "/ids");
    for _ in 0..20 {
        let id = ids.next().await.unwrap();
        assert!(Some(id) > last);
        last = Some(id);
    }
}

#[tokio::test]
async fn s97_group_membership() {
    let scene = Scene::new("s97").await;
    let (a, line) = scene.brief_client_by_wire().await;
    let (b, c) = (scene.client().await, scene.client().await);
    create(&b, "/groupMember", "").await;
    for (client, name) in [(&a, "A"), (&b, "B"), (&c, "C")] {
        let path = format!("/groupMember/{name}");
        let options = CreateOptions::ephemeral();
        client.create(&path, "", &options).await.unwrap();
    }
    let (_, for_b) = list(&b, "/groupMember").await;
    let (_, for_c) = list(&c, "/groupMember").await;
    let cut = Instant::now();
    line.cut();
    for (client, watch) in [(&b, for_b), (&c, for_c)] {
        assert_eq!(event(watch).await.kind, EventType::NodeChildrenChanged);
        let (names, mut watch) = list(client, "/groupMember").await;
        assert_eq!(names, ["B", "C"]);
        assert!(is_quiet(client, &mut watch).await);
    }
    let limit = a.negotiated_timeout() + scene.tick().await * GRACE_TICKS;
    assert!(cut.elapsed() < limit, "after {:?}", cut.elapsed());
}

#[tokio::test]
async fn s97_group_membership_with_the_recipe() {
    let scene = Scene::new("s97").await;
    let (a, line) = scene.brief_client_by_wire().await;
    let b = scene.client().await;
    let join = |client, id| GroupMember::join(client, "/groupMember", id, "").unwrap();
    let (member_a, member_b) = (join(&a, "A"), join(&b, "B"));
    for member in [&member_a, &member_b] {
        soon(member.joined()).await.unwrap();
    }
    world::children(&b, "/groupMember", 2).await;
    line.cut();
    world::children(&b, "/groupMember", 1).await;
    let (_, mut watch) = list(&b, "/groupMember").await;
    assert!(is_quiet(&b, &mut watch).await);
    soon(async {
        while member_b.group().members().len() != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(member_b.group().members().contains_key("B"));
}
