//! Partitions among members who come, go and lose their line.
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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_client::recipes::partitioner::{Lease, Partitioner};
use rookeeper_client::recipes::protected::create_with_parents;
use rookeeper_client::{Client, CreateOptions, Expected, OpCode, State, WatcherType, Zxid};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use world::ensemble::Ensemble;
use world::{World, children, reach, soon};

const PATH: &str = "/work";
const PARTITIONS: u32 = 10;

/// Who works on what, as the workers themselves say. It fails the test when two work on the same partition.
#[derive(Clone, Default)]
struct Owners {
    now: Arc<Mutex<BTreeMap<u32, (usize, Zxid)>>>,
    tokens: Arc<Mutex<BTreeMap<u32, Zxid>>>,
    changes: watch::Sender<u64>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Owners {
    fn begin(&self, member: usize, lease: &Lease) {
        let (partition, token) = (lease.partition(), lease.token());
        if let Some(other) = self.now.lock().insert(partition, (member, token)) {
            let violation = format!("{partition} is worked on by {member} and {other:?}");
            self.violations.lock().push(violation);
        }
        let last = self.tokens.lock().insert(partition, token);
        if last.is_some_and(|last| last > token) {
            let violation = format!("{partition} has an older token than before");
            self.violations.lock().push(violation);
        }
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn end(&self, lease: &Lease) {
        self.now.lock().remove(&lease.partition());
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn shares(&self) -> BTreeMap<usize, usize> {
        let mut shares = BTreeMap::new();
        for (member, _) in self.now.lock().values() {
            *shares.entry(*member).or_default() += 1;
        }
        shares
    }

    /// Waits until everybody has so many.
    async fn settle(&self, expected: &[(usize, usize)]) {
        let expected: BTreeMap<usize, usize> = expected.iter().copied().collect();
        let mut changes = self.changes.subscribe();
        let reached = tokio::time::timeout(world::PATIENCE, async {
            while self.shares() != expected {
                changes.changed().await.unwrap();
            }
        });
        let in_time = reached.await.is_ok();
        assert!(in_time, "{:?} and not {expected:?}", self.shares());
        self.check();
    }

    fn check(&self) {
        assert_eq!(*self.violations.lock(), Vec::<String>::new());
    }
}

struct Worker {
    client: Client,
    leave: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Worker {
    async fn leave(self) {
        self.leave.send(()).unwrap();
        soon(self.task).await.unwrap();
    }
}

/// A member that works on what it gets until it is told to stop.
async fn worker(number: usize, client: Client, owners: &Owners) -> Worker {
    let mut partitioner = soon(Partitioner::join(&client, PATH, PARTITIONS))
        .await
        .unwrap();
    let (leave, mut leaving) = oneshot::channel();
    let owners = owners.clone();
    let task = tokio::spawn(async move {
        loop {
            let lease = tokio::select! {
                lease = partitioner.next() => lease,
                _ = &mut leaving => return partitioner.leave().await,
            };
            let Some(lease) = lease else { return };
            let owners = owners.clone();
            tokio::spawn(async move {
                owners.begin(number, &lease);
                lease.lost().await;
                owners.end(&lease);
                drop(lease);
            });
        }
    });
    Worker {
        client,
        leave,
        task,
    }
}

#[tokio::test]
async fn members_share_evenly_when_they_come_and_when_they_leave() {
    let world = World::new();
    let owners = Owners::default();
    let first = worker(1, world.client().await, &owners).await;
    owners.settle(&[(1, 10)]).await;
    let second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    let third = worker(3, world.client().await, &owners).await;
    owners.settle(&[(1, 4), (2, 3), (3, 3)]).await;
    first.leave().await;
    owners.settle(&[(2, 5), (3, 5)]).await;
    second.leave().await;
    owners.settle(&[(3, 10)]).await;
    third.leave().await;
    owners.settle(&[]).await;
    let judge = world.client().await;
    assert_eq!(judge.descendants(PATH).await.unwrap(), 2);
}

#[tokio::test]
async fn a_newcomer_gets_only_what_it_needs() {
    let world = World::new();
    let owners = Owners::default();
    let _first = worker(1, world.client().await, &owners).await;
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    let before = owners.now.lock().clone();
    let _third = worker(3, world.client().await, &owners).await;
    owners.settle(&[(1, 4), (2, 3), (3, 3)]).await;
    let after = owners.now.lock().clone();
    let moved = before
        .iter()
        .filter(|(partition, owner)| after[partition] != **owner);
    assert_eq!(moved.count(), 3);
}

#[tokio::test]
async fn the_partitions_of_a_member_whose_session_ends_go_to_the_others() {
    let world = World::new();
    let owners = Owners::default();
    let first = worker(1, world.client().await, &owners).await;
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    first.client.close().await.unwrap();
    owners.settle(&[(2, 10)]).await;
    soon(first.task).await.unwrap();
}

#[tokio::test]
async fn a_member_that_loses_its_line_stops_before_others_begin_and_ends_with_its_session() {
    let world = World::new();
    let owners = Owners::default();
    let (client, wire) = world.brief_client_by_wire().await;
    let first = worker(1, client, &owners).await;
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    // Nothing arrives, and nobody is told.
    wire.hold();
    owners.settle(&[(2, 10)]).await;
    wire.break_once();
    reach(&first.client, State::Expired).await;
    soon(first.task).await.unwrap();
    owners.settle(&[(2, 10)]).await;
}

#[tokio::test]
async fn a_member_that_is_back_in_time_has_its_own_again_with_the_same_tokens() {
    let world = World::new();
    let owners = Owners::default();
    let (client, wire) = world.client_by_wire().await;
    let first = worker(1, client, &owners).await;
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    let before = owners.now.lock().clone();
    wire.cut();
    owners.settle(&[(2, 5)]).await;
    wire.mend();
    owners.settle(&[(1, 5), (2, 5)]).await;
    assert_eq!(*owners.now.lock(), before);
    first.leave().await;
    owners.settle(&[(2, 10)]).await;
}

#[tokio::test]
async fn leases_that_were_created_without_an_answer_are_found() {
    let world = World::new();
    let owners = Owners::default();
    let (client, wire) = world.client_by_wire().await;
    let _first = worker(1, world.client().await, &owners).await;
    owners.settle(&[(1, 10)]).await;
    let second = worker(2, client, &owners).await;
    for _ in 0..10 {
        wire.swallow_replies();
        tokio::time::sleep(Duration::from_millis(5)).await;
        wire.break_once();
        reach(&second.client, State::Connected).await;
    }
    owners.settle(&[(1, 5), (2, 5)]).await;
}

#[tokio::test]
async fn a_member_whose_first_create_is_executed_late_counts_once() {
    let world = World::new();
    let owners = Owners::default();
    let judge = world.client().await;
    let members = format!("{PATH}/members");
    create_with_parents(&judge, &members, "", &CreateOptions::container())
        .await
        .unwrap();
    let (client, wire) = world.client_by_wire().await;
    wire.keep(OpCode::Create2);
    let joining = tokio::spawn({
        let (client, owners) = (client.clone(), owners.clone());
        async move { worker(1, client, &owners).await }
    });
    wire.kept().await;
    wire.break_once();
    let _first = soon(joining).await.unwrap();
    owners.settle(&[(1, 10)]).await;
    assert_eq!(wire.deliver().await, 0);
    children(&judge, &members, 1).await;
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
}

#[tokio::test]
async fn a_holder_that_does_not_stop_keeps_its_partition_from_everybody() {
    let world = World::new();
    let client = world.client().await;
    let mut partitioner = Partitioner::join(&client, PATH, 1).await.unwrap();
    let lease = soon(partitioner.next()).await.unwrap();
    assert!(lease.is_held());
    let leaving = tokio::spawn(partitioner.leave());
    soon(lease.lost()).await;
    assert!(!lease.is_held());
    let other = world.client().await;
    let mut second = Partitioner::join(&other, PATH, 1).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(300), second.next()).await;
    assert!(waited.is_err() && !leaving.is_finished());
    let token = lease.token();
    drop(lease);
    soon(leaving).await.unwrap();
    assert!(soon(second.next()).await.unwrap().token() > token);
}

#[tokio::test]
async fn a_lease_that_somebody_deletes_is_noticed_and_had_again() {
    let world = World::new();
    let owners = Owners::default();
    let _first = worker(1, world.client().await, &owners).await;
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    let before = owners.now.lock().clone();
    let judge = world.client().await;
    for partition in before.keys() {
        let path = lease_path(*partition);
        judge.delete(&path, Expected::Any).await.unwrap();
        // The work stops, and goes on with a larger token.
        let mut changes = owners.changes.subscribe();
        let again = || owners.now.lock().get(partition).copied();
        soon(async {
            while again().is_none_or(|again| again == before[partition]) {
                changes.changed().await.unwrap();
            }
        })
        .await;
    }
    owners.settle(&[(1, 5), (2, 5)]).await;
}

/// The znode of a lease.
fn lease_path(partition: u32) -> String {
    format!("{PATH}/leases/{partition:010}")
}

/// The next lease of a member that has one coming.
async fn lease(partitioner: &mut Partitioner) -> Lease {
    soon(partitioner.next()).await.unwrap()
}

#[tokio::test]
async fn a_lease_that_somebody_deleted_is_not_taken_from_its_next_owner() {
    let world = World::new();
    let clients = [
        world.client().await,
        world.client().await,
        world.client().await,
    ];
    let mut first = Partitioner::join(&clients[0], PATH, 3).await.unwrap();
    let mut held = vec![lease(&mut first).await];
    held.push(lease(&mut first).await);
    held.push(lease(&mut first).await);
    let mut second = Partitioner::join(&clients[1], PATH, 3).await.unwrap();
    let asked_back = held.pop().unwrap();
    soon(asked_back.lost()).await;
    // Its holder does not stop, and somebody thinks that he may help.
    let path = lease_path(asked_back.partition());
    clients[2].delete(&path, Expected::Any).await.unwrap();
    let taken = lease(&mut second).await;
    assert!(taken.token() > asked_back.token());
    assert_eq!(taken.partition(), asked_back.partition());
    drop(asked_back);
    // The first one has done what it had to do when it has left.
    drop(held);
    soon(first.leave()).await;
    let stat = clients[2].exists(&path).await.unwrap().unwrap();
    assert!(taken.is_held() && stat.czxid == taken.token());
}

#[tokio::test]
async fn a_member_whose_watches_somebody_removes_goes_on() {
    let world = World::new();
    let owners = Owners::default();
    let first = worker(1, world.client().await, &owners).await;
    owners.settle(&[(1, 10)]).await;
    for path in [format!("{PATH}/members"), lease_path(0)] {
        // It may be about to leave one.
        let remove = || first.client.remove_watches(&path, WatcherType::Any);
        soon(async { while remove().await.is_err() {} }).await;
    }
    let _second = worker(2, world.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
}

#[tokio::test]
async fn a_partitioner_that_is_dropped_leaves() {
    let world = World::new();
    let owners = Owners::default();
    let client = world.client().await;
    let mut partitioner = Partitioner::join(&client, PATH, PARTITIONS).await.unwrap();
    let held = soon(partitioner.next()).await.unwrap();
    drop(partitioner);
    soon(held.lost()).await;
    let _second = worker(2, world.client().await, &owners).await;
    drop(held);
    owners.settle(&[(2, 10)]).await;
}

#[tokio::test]
async fn nobody_has_a_partition_twice_while_everybody_comes_and_goes() {
    let mut world = World::new();
    let owners = Owners::default();
    let mut workers = Vec::new();
    for round in 0..12 {
        let (client, wire) = world.client_by_wire().await;
        workers.push((worker(round, client, &owners).await, wire));
        if round % 2 == 1 {
            workers.remove(0).0.leave().await;
        }
        if let Some((_, wire)) = workers.get(round / 4) {
            wire.break_once();
        }
        if round == 8 {
            world.stop();
            world.start();
        }
        owners.check();
    }
    let members: Vec<usize> = (6..12).collect();
    let shares: Vec<(usize, usize)> = members
        .iter()
        .map(|member| (*member, if *member < 10 { 2 } else { 1 }))
        .collect();
    owners.settle(&shares).await;
}

#[tokio::test]
async fn partitions_have_one_owner_across_a_change_of_leader() {
    let mut ensemble = Ensemble::new().await;
    let owners = Owners::default();
    let _first = worker(1, ensemble.client().await, &owners).await;
    let second = worker(2, ensemble.client().await, &owners).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    ensemble.lose_leader().await;
    reach(&second.client, State::Connected).await;
    owners.settle(&[(1, 5), (2, 5)]).await;
    second.leave().await;
    owners.settle(&[(1, 10)]).await;
}
