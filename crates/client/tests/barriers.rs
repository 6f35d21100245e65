//! Barriers and double barriers.
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

use std::time::Duration;

use rookeeper_client::recipes::barrier::Barrier;
use rookeeper_client::recipes::double_barrier::DoubleBarrier;
use rookeeper_client::{Client, CreateOptions, Error, OpCode, State, WatcherType};
use tokio::task::JoinHandle;
use world::{World, children, reach, soon};

/// Longer than an answer takes, and short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(300);

fn waiting(client: &Client) -> JoinHandle<Result<(), Error>> {
    let barrier = Barrier::new(client, "/barriers/one");
    tokio::spawn(async move { barrier.wait().await })
}

#[tokio::test]
async fn a_barrier_stops_everybody_until_it_is_removed() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let barrier = Barrier::new(&a, "/barriers/one");
    soon(waiting(&b)).await.unwrap().unwrap();
    barrier.set().await.unwrap();
    barrier.set().await.unwrap();
    let stopped = Barrier::new(&b, "/barriers/one");
    assert!(!stopped.wait_within(A_WHILE).await.unwrap());
    let waiting = [waiting(&a), waiting(&b)];
    barrier.remove().await.unwrap();
    for waiting in waiting {
        soon(waiting).await.unwrap().unwrap();
    }
    barrier.remove().await.unwrap();
    assert!(stopped.wait_within(A_WHILE).await.unwrap());
}

#[tokio::test]
async fn a_barrier_outlives_who_set_it_and_restarts_and_holds_back_who_was_cut_off() {
    let mut world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let setter = world.client().await;
    Barrier::new(&setter, "/barriers/one").set().await.unwrap();
    setter.close().await.unwrap();
    let waiting = waiting(&client);
    wire.cut();
    reach(&client, State::Suspended).await;
    world.stop();
    world.start();
    wire.mend();
    reach(&client, State::Connected).await;
    assert!(!waiting.is_finished());
    let other = world.client().await;
    Barrier::new(&other, "/barriers/one")
        .remove()
        .await
        .unwrap();
    soon(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_passes_has_asked_after_all_that_was_set() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    wire.requests();
    Barrier::new(&client, "/barriers/one").wait().await.unwrap();
    // A server that is behind may not know of the barrier yet.
    assert_eq!(wire.requests(), [OpCode::Sync, OpCode::Exists]);
}

#[tokio::test]
async fn waiting_at_a_barrier_ends_with_the_session() {
    let world = World::new();
    let client = world.client().await;
    Barrier::new(&client, "/barriers/one").set().await.unwrap();
    let waiting = waiting(&client);
    tokio::task::yield_now().await;
    client.close().await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), Err(Error::Closed));
}

fn double(client: &Client, members: usize) -> DoubleBarrier {
    DoubleBarrier::new(client, "/double", members)
}

/// Enters and leaves.
fn member(client: &Client, members: usize) -> JoinHandle<Result<(), Error>> {
    let barrier = double(client, members);
    tokio::spawn(async move { barrier.enter().await?.leave().await })
}

/// With the znode there, so that another client can watch it.
async fn world_with_double() -> World {
    let world = World::new();
    let container = CreateOptions::container();
    let client = world.client().await;
    client.create("/double", "", &container).await.unwrap();
    world
}

async fn is_empty(client: &Client) {
    children(client, "/double", 0).await;
}

#[tokio::test]
async fn members_begin_together_and_wait_for_each_other_at_the_end() {
    let world = world_with_double().await;
    let (a, b) = (world.client().await, world.client().await);
    let first = tokio::spawn({
        let barrier = double(&a, 2);
        async move { barrier.enter().await }
    });
    children(&b, "/double", 1).await;
    assert!(!first.is_finished());
    let second = soon(double(&b, 2).enter()).await.unwrap();
    let first = soon(first).await.unwrap().unwrap();
    assert_eq!(children(&a, "/double", 3).await.len(), 3);
    let leaving = tokio::spawn(second.leave());
    assert!(
        tokio::time::timeout(A_WHILE, &mut Box::pin(async {}))
            .await
            .is_ok()
    );
    assert!(!leaving.is_finished());
    soon(first.leave()).await.unwrap();
    is_empty(&a).await;
}

#[tokio::test]
async fn many_members_meet_twice_at_the_same_place() {
    let world = world_with_double().await;
    for _ in 0..2 {
        let mut members = Vec::new();
        for _ in 0..8 {
            members.push(member(&world.client().await, 8));
        }
        for member in members {
            soon(member).await.unwrap().unwrap();
        }
    }
    is_empty(&world.client().await).await;
}

#[tokio::test]
async fn who_gives_up_entering_leaves_nothing_behind() {
    let world = world_with_double().await;
    let client = world.client().await;
    let entered = double(&client, 2).enter_within(A_WHILE).await.unwrap();
    assert!(entered.is_none());
    assert_eq!(client.children("/double").await.unwrap().names.len(), 0);
    let entering = tokio::spawn({
        let barrier = double(&client, 2);
        async move { barrier.enter().await.map(drop) }
    });
    children(&client, "/double", 1).await;
    entering.abort();
    is_empty(&client).await;
}

#[tokio::test]
async fn nobody_waits_for_a_member_that_died_inside() {
    let world = world_with_double().await;
    let (a, b, c) = (
        world.client().await,
        world.client().await,
        world.client().await,
    );
    let dying = tokio::spawn({
        let barrier = double(&c, 3);
        async move { barrier.enter().await }
    });
    let second = member(&b, 3);
    let inside = soon(double(&a, 3).enter()).await.unwrap();
    let died = soon(dying).await.unwrap().unwrap();
    let leaving = tokio::spawn(inside.leave());
    c.close().await.unwrap();
    soon(leaving).await.unwrap().unwrap();
    soon(second).await.unwrap().unwrap();
    drop(died);
    is_empty(&a).await;
}

#[tokio::test]
async fn a_round_in_which_all_died_does_not_open_the_next_one() {
    let world = world_with_double().await;
    let (a, b, c) = (
        world.client().await,
        world.client().await,
        world.client().await,
    );
    let inside = soon(double(&a, 1).enter()).await.unwrap();
    a.close().await.unwrap();
    drop(inside);
    assert_eq!(children(&b, "/double", 1).await, ["ready"]);
    let second = member(&b, 2);
    children(&c, "/double", 2).await;
    assert!(!second.is_finished());
    soon(double(&c, 2).enter())
        .await
        .unwrap()
        .leave()
        .await
        .unwrap();
    soon(second).await.unwrap().unwrap();
    is_empty(&c).await;
}

#[tokio::test]
async fn who_comes_late_joins_a_round_under_way() {
    let world = world_with_double().await;
    let (a, b) = (world.client().await, world.client().await);
    let inside = soon(double(&a, 1).enter()).await.unwrap();
    let late = soon(double(&b, 2).enter()).await.unwrap();
    let leaving = tokio::spawn(late.leave());
    soon(inside.leave()).await.unwrap();
    soon(leaving).await.unwrap().unwrap();
    is_empty(&a).await;
}

#[tokio::test]
async fn a_member_whose_answer_was_lost_counts_once() {
    let world = world_with_double().await;
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    wire.swallow_replies();
    let entering = tokio::spawn({
        let barrier = double(&a, 2);
        async move { barrier.enter().await }
    });
    children(&b, "/double", 1).await;
    wire.break_once();
    let second = soon(double(&b, 2).enter()).await.unwrap();
    let first = soon(entering).await.unwrap().unwrap();
    assert_eq!(children(&b, "/double", 3).await.len(), 3);
    let leaving = tokio::spawn(first.leave());
    soon(second.leave()).await.unwrap();
    soon(leaving).await.unwrap().unwrap();
    is_empty(&b).await;
}

/// Removes the watch on the path, once there is one.
async fn blind(client: &Client, path: &str) {
    let remove = || client.remove_watches(path, WatcherType::Any);
    soon(async { while remove().await.is_err() {} }).await;
}

#[tokio::test]
async fn who_waits_waits_on_when_somebody_removes_the_watch() {
    let world = world_with_double().await;
    let (a, b) = (world.client().await, world.client().await);
    Barrier::new(&b, "/barriers/one").set().await.unwrap();
    let stopped = waiting(&a);
    blind(&a, "/barriers/one").await;
    Barrier::new(&b, "/barriers/one").remove().await.unwrap();
    soon(stopped).await.unwrap().unwrap();
    let entering = member(&a, 2);
    blind(&a, "/double/ready").await;
    let inside = soon(double(&b, 2).enter()).await.unwrap();
    soon(inside.leave()).await.unwrap();
    soon(entering).await.unwrap().unwrap();
    is_empty(&b).await;
}
