//! The semaphore against a server.
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

use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::semaphore::Semaphore;
use rookeeper_client::{Client, CreateOptions, Error, Expected, OpCode, State};
use tokio::task::JoinHandle;
use world::{World, children, reach, soon};

const PATH: &str = "/licences";
const LEASES: &str = "/licences/leases";
const LOCKS: &str = "/licences/locks";
/// Too short for anything that has to wait.
const MOMENT: Duration = Duration::from_millis(100);

fn two(client: &Client) -> Semaphore {
    Semaphore::new(client, PATH, 2)
}

fn acquires(client: &Client) -> JoinHandle<Result<Guard, Error>> {
    let semaphore = two(client);
    tokio::spawn(async move { semaphore.acquire().await })
}

async fn got<T>(waiting: JoinHandle<Result<T, Error>>) -> T {
    soon(waiting).await.unwrap().unwrap()
}

#[tokio::test]
async fn there_are_as_many_leases_as_there_are_and_who_comes_first_is_served_first() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let first = two(&a).acquire().await.unwrap();
    let second = two(&b).acquire().await.unwrap();
    assert_ne!(first.token(), second.token());
    assert!(two(&a).try_acquire().await.unwrap().is_none());
    assert!(two(&b).acquire_within(MOMENT).await.unwrap().is_none());
    children(&a, LEASES, 2).await;
    let third = acquires(&a);
    children(&a, LEASES, 3).await;
    let fourth = acquires(&b);
    children(&a, LOCKS, 2).await;
    second.release().await.unwrap();
    let third = got(third).await;
    assert!(!fourth.is_finished());
    first.release().await.unwrap();
    let fourth = got(fourth).await;
    assert!(third.is_held() && fourth.is_held());
    children(&a, LOCKS, 0).await;
    children(&a, LEASES, 2).await;
}

#[tokio::test]
async fn the_names_are_those_of_curator() {
    let world = World::new();
    let client = world.client().await;
    let lease = two(&client).acquire().await.unwrap();
    assert!(lease.path().starts_with("/licences/leases/_c_"));
    assert!(lease.path().ends_with("-lease-0000000000"));
}

#[tokio::test]
async fn a_free_lease_is_two_round_trips() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let witness = world.client().await;
    let lease = two(&client).acquire().await.unwrap();
    lease.release().await.unwrap();
    children(&witness, LOCKS, 0).await;
    wire.requests();
    let lease = two(&client).acquire().await.unwrap();
    // Both pairs travel together; nobody waits for the deletion.
    wire.asked(5).await;
    let expected = [
        OpCode::Create2,
        OpCode::GetChildren2,
        OpCode::Create2,
        OpCode::GetChildren2,
        OpCode::Delete,
    ];
    assert_eq!(wire.requests(), expected);
    lease.release().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Delete]);
}

#[tokio::test]
async fn a_release_wakes_one_waiter() {
    const WAITERS: usize = 6;
    let world = World::new();
    let (waiter, wire) = world.client_by_wire().await;
    let holder = world.client().await;
    let mut leases = two(&holder).acquire_many(2).await.unwrap();
    children(&holder, LOCKS, 0).await;
    wire.requests();
    let first = acquires(&waiter);
    children(&holder, LEASES, 3).await;
    // Two pairs, and the watch on the leases.
    wire.asked(5).await;
    wire.requests();
    let mut waiting = Vec::new();
    for count in 1..WAITERS {
        waiting.push(acquires(&waiter));
        // Create, children, a watch on the predecessor; the one that is next watches its own znode too.
        wire.asked(count * 3 + 1).await;
    }
    wire.requests();
    leases.pop().unwrap().release().await.unwrap();
    let first = got(first).await;
    // It looks, drops the watch of that look and its place in front, which goes to one of the others: that makes a lease, looks at the
    // leases and looks again with a watch. The rest has heard nothing.
    children(&holder, LEASES, 3).await;
    let others = wire.requests();
    assert!(others.len() <= 6, "{others:?}");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert!(first.is_held());
}

#[tokio::test]
async fn several_leases_are_had_together_and_two_who_want_several_do_not_block_each_other() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let wants_both = |client: &Client| {
        let semaphore = two(client);
        tokio::spawn(async move {
            for _ in 0..10 {
                let leases = semaphore.acquire_many(2).await?;
                assert_eq!(leases.len(), 2);
            }
            Ok::<_, Error>(())
        })
    };
    let (one, other) = (wants_both(&a), wants_both(&b));
    got(one).await;
    got(other).await;
    children(&a, LEASES, 0).await;
    let too_many = two(&a).acquire_many(3).await;
    assert!(matches!(too_many, Err(Error::BadArgument(_))));
}

#[tokio::test]
async fn every_child_is_a_lease_whatever_its_name() {
    let world = World::new();
    let client = world.client().await;
    drop(two(&client).acquire().await.unwrap());
    let plain = CreateOptions::persistent();
    client
        .create("/licences/leases/x", "", &plain)
        .await
        .unwrap();
    let lease = two(&client).acquire().await.unwrap();
    let waiting = acquires(&client);
    children(&client, LEASES, 3).await;
    assert!(!waiting.is_finished());
    client
        .delete("/licences/leases/x", Expected::Any)
        .await
        .unwrap();
    drop(got(waiting).await);
    assert!(lease.is_held());
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_nothing() {
    let world = World::new();
    let client = world.client().await;
    let leases = two(&client).acquire_many(2).await.unwrap();
    let (third, fourth) = (acquires(&client), acquires(&client));
    children(&client, LEASES, 3).await;
    children(&client, LOCKS, 2).await;
    third.abort();
    fourth.abort();
    children(&client, LEASES, 2).await;
    children(&client, LOCKS, 0).await;
    drop(leases);
    children(&client, LEASES, 0).await;
}

#[tokio::test]
async fn a_lease_whose_create_was_not_answered_is_one_lease() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    drop(two(&b).acquire().await.unwrap());
    children(&b, LOCKS, 0).await;
    wire.swallow_replies();
    let waiting = acquires(&a);
    children(&b, LOCKS, 1).await;
    wire.break_once();
    let lease = got(waiting).await;
    assert_eq!(children(&b, LEASES, 1).await.len(), 1);
    children(&b, LOCKS, 0).await;
    assert!(lease.is_held());
}

#[tokio::test]
async fn a_lease_of_a_session_that_ends_is_lost_first_and_given_away_then() {
    let world = World::new();
    let (a, wire) = world.brief_client_by_wire().await;
    let b = world.client().await;
    let mut leases = two(&a).acquire_many(2).await.unwrap();
    let waiting = acquires(&b);
    children(&b, LEASES, 3).await;
    wire.hold();
    soon(leases[0].lost()).await;
    assert!(!leases[1].is_held() && !waiting.is_finished());
    drop(got(waiting).await);
    wire.break_once();
    reach(&a, State::Expired).await;
    let last = leases.pop().unwrap();
    assert_eq!(last.release().await, Err(Error::SessionExpired));
}

#[tokio::test]
async fn a_restarted_server_knows_the_leases() {
    let mut world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let leases = two(&a).acquire_many(2).await.unwrap();
    let waiting = acquires(&b);
    children(&a, LEASES, 3).await;
    world.stop();
    soon(leases[0].lost()).await;
    reach(&b, State::Suspended).await;
    world.start();
    reach(&a, State::Connected).await;
    reach(&b, State::Connected).await;
    assert!(leases[0].is_held() && !waiting.is_finished());
    drop(leases);
    drop(got(waiting).await);
}
