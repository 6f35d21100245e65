//! The lock for readers and writers against a server.
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
use rookeeper_client::recipes::read_write_lock::{ReadWriteLock, WriteGuard};
use rookeeper_client::{Client, CreateOptions, Error, Expected, OpCode, State};
use tokio::task::JoinHandle;
use world::{World, children, reach, soon};

const PATH: &str = "/locks/rw";
/// Too short for anything that has to wait.
const MOMENT: Duration = Duration::from_millis(100);

type Task<T> = JoinHandle<Result<T, Error>>;

fn lock(client: &Client) -> ReadWriteLock {
    ReadWriteLock::new(client, PATH)
}

fn reads(client: &Client) -> Task<Guard> {
    let lock = lock(client);
    tokio::spawn(async move { lock.read().await })
}

fn writes(client: &Client) -> Task<WriteGuard> {
    let lock = lock(client);
    tokio::spawn(async move { lock.write().await })
}

async fn got<T>(waiting: Task<T>) -> T {
    soon(waiting).await.unwrap().unwrap()
}

#[tokio::test]
async fn readers_share_and_a_writer_is_alone() {
    let world = World::new();
    let client = world.client().await;
    let lock = lock(&client);
    let first = lock.read().await.unwrap();
    let second = lock.read().await.unwrap();
    assert!(lock.try_write().await.unwrap().is_none());
    let writer = writes(&client);
    children(&client, PATH, 3).await;
    first.release().await.unwrap();
    assert!(lock.write_within(MOMENT).await.unwrap().is_none());
    assert!(!writer.is_finished());
    second.release().await.unwrap();
    let writer = got(writer).await;
    assert!(lock.try_read().await.unwrap().is_none());
    assert!(lock.read_within(MOMENT).await.unwrap().is_none());
    writer.release().await.unwrap();
    children(&client, PATH, 0).await;
}

#[tokio::test]
async fn readers_behind_a_waiting_writer_wait_for_it() {
    let world = World::new();
    let client = world.client().await;
    let first = lock(&client).read().await.unwrap();
    let writer = writes(&client);
    children(&client, PATH, 2).await;
    let readers = [reads(&client), reads(&client)];
    children(&client, PATH, 4).await;
    let token = first.token();
    first.release().await.unwrap();
    let writer = got(writer).await;
    assert!(writer.token() > token && writer.is_held());
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    writer.release().await.unwrap();
    for reader in readers {
        drop(got(reader).await);
    }
}

#[tokio::test]
async fn a_free_lock_is_taken_with_two_requests_and_released_with_one() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let lock = lock(&client);
    lock.write().await.unwrap().release().await.unwrap();
    wire.requests();
    let writing = lock.write().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Create2, OpCode::GetChildren2]);
    let reading = writing.downgrade().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Multi]);
    reading.release().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Delete]);
    drop(lock.read().await.unwrap());
}

#[tokio::test]
async fn the_names_are_those_of_curator() {
    let world = World::new();
    let client = world.client().await;
    let reading = lock(&client).read().await.unwrap();
    assert!(reading.path().ends_with("-__READ__0000000000"));
    drop(reading);
    let writing = lock(&client).write().await.unwrap();
    assert!(writing.path().ends_with("-__WRIT__0000000001"));
    assert!(writing.path().starts_with("/locks/rw/_c_"));
}

#[tokio::test]
async fn znodes_of_another_kind_hinder_writers_as_with_curator() {
    let world = World::new();
    let client = world.client().await;
    drop(lock(&client).read().await.unwrap());
    let bare = "/locks/rw/__READ__0000000000";
    let plain = CreateOptions::persistent();
    client.create(bare, "", &plain).await.unwrap();
    assert!(lock(&client).try_write().await.unwrap().is_none());
    assert!(lock(&client).try_read().await.unwrap().is_some());
    client.delete(bare, Expected::Any).await.unwrap();
    assert!(lock(&client).write().await.is_ok());
}

#[tokio::test]
async fn a_writer_that_turns_reader_stays_ahead_of_those_that_wait() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let writing = lock(&a).write().await.unwrap();
    let token = writing.token();
    let writer = writes(&b);
    children(&a, PATH, 2).await;
    let reader = reads(&b);
    children(&a, PATH, 3).await;
    let reading = writing.downgrade().await.unwrap();
    assert!(reading.path().ends_with("-__READ__0000000000"));
    assert_eq!(reading.token(), token);
    // The waiting writer has looked at the line again: it watches the reader.
    children(&a, PATH, 3).await;
    b.sync(PATH).await.unwrap();
    assert!(!writer.is_finished() && !reader.is_finished());
    reading.release().await.unwrap();
    let writer = got(writer).await;
    assert!(writer.token() > token && !reader.is_finished());
    writer.release().await.unwrap();
    drop(got(reader).await);
}

#[tokio::test]
async fn readers_come_in_when_the_writer_turns_reader() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let writing = lock(&a).write().await.unwrap();
    let reader = reads(&b);
    children(&a, PATH, 2).await;
    let reading = writing.downgrade().await.unwrap();
    let other = got(reader).await;
    assert!(reading.is_held() && other.is_held());
}

#[tokio::test]
async fn a_change_of_kind_whose_answer_is_lost_happens_once() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let writing = lock(&a).write().await.unwrap();
    let path = writing.path().to_owned();
    wire.swallow_replies();
    let reading = tokio::spawn(writing.downgrade());
    let (_, gone) = b.exists_watched(&path).await.unwrap();
    if b.exists(&path).await.unwrap().is_some() {
        soon(gone).await.unwrap();
    }
    wire.break_once();
    let reading = got(reading).await;
    let names = children(&b, PATH, 1).await;
    assert!(reading.path().ends_with(&names[0]));
    reading.release().await.unwrap();
    children(&b, PATH, 0).await;
}

#[tokio::test]
async fn a_change_of_kind_that_is_executed_late_is_a_change() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let writer = lock(&a).write().await.unwrap();
    wire.keep(OpCode::Multi);
    let turning = tokio::spawn(writer.downgrade());
    wire.kept().await;
    let mut states = a.states();
    wire.requests();
    wire.break_once();
    for state in [State::Suspended, State::Connected] {
        assert_eq!(soon(states.next()).await, Some(state));
    }
    // It has looked and found nothing, and has not tried again yet.
    wire.asked(2).await;
    wire.deliver().await;
    let reader = soon(turning).await.unwrap().unwrap();
    let names = children(&b, PATH, 1).await;
    assert!(names[0].contains("__READ__") && reader.path().ends_with(&names[0]));
    reader.release().await.unwrap();
    children(&b, PATH, 0).await;
}

#[tokio::test]
async fn a_change_of_kind_that_nobody_waits_for_leaves_nothing() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let writing = lock(&a).write().await.unwrap();
    let path = writing.path().to_owned();
    wire.swallow_replies();
    let reading = tokio::spawn(writing.downgrade());
    let (_, gone) = b.exists_watched(&path).await.unwrap();
    if b.exists(&path).await.unwrap().is_some() {
        soon(gone).await.unwrap();
    }
    reading.abort();
    wire.break_once();
    children(&b, PATH, 0).await;
    assert_eq!(a.state(), State::Connected);
}

#[tokio::test]
async fn a_removed_writer_cannot_turn_reader() {
    let world = World::new();
    let client = world.client().await;
    let writing = lock(&client).write().await.unwrap();
    client.delete(writing.path(), Expected::Any).await.unwrap();
    assert!(writing.downgrade().await.unwrap_err().is_no_node());
    children(&client, PATH, 0).await;
}

#[tokio::test]
async fn a_writer_behind_a_held_line_learns_of_it_before_others_read() {
    let world = World::new();
    let (a, wire) = world.brief_client_by_wire().await;
    let b = world.client().await;
    let writing = lock(&a).write().await.unwrap();
    let reader = reads(&b);
    children(&b, PATH, 2).await;
    wire.hold();
    soon(writing.lost()).await;
    assert!(!writing.is_held() && !reader.is_finished());
    drop(got(reader).await);
}

#[tokio::test]
async fn a_restarted_server_knows_who_reads_and_who_waits() {
    let mut world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let reading = lock(&a).read().await.unwrap();
    let writer = writes(&b);
    children(&a, PATH, 2).await;
    world.stop();
    soon(reading.lost()).await;
    reach(&b, State::Suspended).await;
    world.start();
    reach(&a, State::Connected).await;
    reach(&b, State::Connected).await;
    assert!(reading.is_held() && !writer.is_finished());
    reading.release().await.unwrap();
    drop(got(writer).await);
}
