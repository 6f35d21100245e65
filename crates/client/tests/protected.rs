//! Creating a znode while the line breaks.
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

use rookeeper_client::recipes::protected::{Protected, create_with_parents, make_parents};
use rookeeper_client::{Client, CreateOptions, Created, Error, OpCode, State};
use tokio::task::JoinHandle;
use world::{Wire, World, children, soon};

fn member(client: &Client) -> Protected {
    let options = CreateOptions::ephemeral_sequential();
    Protected::new(client, "/line/member-", "me", options)
}

/// With the parent there, so that another client can watch it.
async fn world_with_line() -> (World, Client) {
    let world = World::new();
    let client = world.client().await;
    let container = CreateOptions::container();
    client.create("/line", "", &container).await.unwrap();
    (world, client)
}

#[tokio::test]
async fn missing_parents_are_made_without_data_and_those_there_stay_as_they_are() {
    let world = World::new();
    let client = world.client().await;
    let plain = CreateOptions::persistent();
    client.create("/a", "data", &plain).await.unwrap();
    make_parents(&client, "/a/b/c/d").await.unwrap();
    make_parents(&client, "/a/b/c/d").await.unwrap();
    make_parents(&client, "/top").await.unwrap();
    assert_eq!(client.data("/a").await.unwrap().bytes, "data");
    let made = client.data("/a/b/c").await.unwrap();
    assert!(made.bytes.is_empty() && !made.is_null);
    assert!(client.exists("/a/b/c/d").await.unwrap().is_none());
    assert!(client.exists("/top").await.unwrap().is_none());
    let created = create_with_parents(&client, "/x/y/z", "1", &plain).await;
    assert_eq!(created.unwrap().path, "/x/y/z");
}

#[tokio::test]
async fn a_root_that_is_not_there_is_an_error_and_no_endless_loop() {
    let world = World::new();
    let client = world.client_below("/nowhere/at/all").await;
    let error = soon(member(&client).create()).await.unwrap_err();
    assert!(error.is_no_node());
}

#[tokio::test]
async fn a_name_has_the_mark_the_uuid_and_the_number() {
    let world = World::new();
    let client = world.client().await;
    let member = member(&client);
    let created = member.create().await.unwrap();
    let expected = format!("/line/_c_{}-member-0000000000", member.uuid());
    assert_eq!(created.path, expected);
    assert_eq!(member.find().await.unwrap(), Some(created));
    member.remove().await.unwrap();
    assert_eq!(member.find().await.unwrap(), None);
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_one_create() {
    let (world, witness) = world_with_line().await;
    let (client, wire) = world.client_by_wire().await;
    let member = member(&client);
    wire.swallow_replies();
    let create = tokio::spawn({
        let member = member.clone();
        async move { member.create().await }
    });
    let names = children(&witness, "/line", 1).await;
    wire.break_once();
    let created = soon(create).await.unwrap().unwrap();
    assert_eq!(created.path, format!("/line/{}", names[0]));
    assert_eq!(created.stat.ephemeral_owner, client.session().0);
    assert_eq!(children(&witness, "/line", 1).await, names);
}

#[tokio::test]
async fn a_create_that_never_arrived_is_made_again() {
    let (world, witness) = world_with_line().await;
    let (client, wire) = world.client_by_wire().await;
    let member = member(&client);
    wire.hold();
    let create = tokio::spawn({
        let member = member.clone();
        async move { member.create().await }
    });
    // The client has given it to the line when a later request of its own has gone the same way.
    assert!(client.exists("/line").await.is_err());
    wire.break_once();
    soon(create).await.unwrap().unwrap();
    children(&witness, "/line", 1).await;
}

#[tokio::test]
async fn what_another_session_left_behind_is_not_adopted() {
    let world = World::new();
    let (earlier, later) = (world.client().await, world.client().await);
    let left = member(&earlier);
    let other = left.create().await.unwrap();
    let again = member(&later).with_uuid(left.uuid());
    assert_eq!(again.find().await.unwrap(), None);
    let own = again.create().await.unwrap();
    assert_ne!(own.path, other.path);
    assert_eq!(again.find().await.unwrap(), Some(own));
}

#[tokio::test]
async fn a_create_that_nobody_waits_for_leaves_nothing_behind() {
    let (world, witness) = world_with_line().await;
    let (client, wire) = world.client_by_wire().await;
    let member = member(&client);
    wire.swallow_replies();
    let create = tokio::spawn({
        let member = member.clone();
        async move { member.create().await }
    });
    children(&witness, "/line", 1).await;
    create.abort();
    assert!(create.await.unwrap_err().is_cancelled());
    wire.break_once();
    children(&witness, "/line", 0).await;
    assert_eq!(member.find().await.unwrap(), None);
}

/// Creates with a first attempt that is kept on its way; the connection breaks, and a later attempt is made.
async fn create_twice(member: &Protected, wire: &Wire) -> JoinHandle<Result<Created, Error>> {
    wire.keep(OpCode::Create2);
    let create = tokio::spawn({
        let member = member.clone();
        async move { member.create().await }
    });
    wire.kept().await;
    wire.break_once();
    create
}

#[tokio::test]
async fn an_attempt_that_is_executed_late_is_removed_when_the_create_is_settled() {
    let (world, witness) = world_with_line().await;
    let (client, wire) = world.client_by_wire().await;
    let member = member(&client);
    let create = create_twice(&member, &wire).await;
    // The second attempt is executed, and the first one behind it; nobody is told.
    wire.swallow_replies_from(OpCode::Create2);
    children(&witness, "/line", 1).await;
    assert_eq!(wire.deliver().await, 0);
    assert_eq!(children(&witness, "/line", 2).await.len(), 2);
    wire.break_once();
    let created = soon(create).await.unwrap().unwrap();
    let names = children(&witness, "/line", 1).await;
    assert_eq!(created.path, format!("/line/{}", names[0]));
    // The earlier one: nobody has come between.
    assert!(created.path.ends_with("-member-0000000000"));
}

#[tokio::test]
async fn an_attempt_that_is_executed_after_all_were_given_up_is_removed() {
    let (world, witness) = world_with_line().await;
    let (client, wire) = world.client_by_wire().await;
    let member = member(&client);
    wire.keep(OpCode::Create2);
    let create = tokio::spawn({
        let member = member.clone();
        async move { member.create().await }
    });
    wire.kept().await;
    create.abort();
    assert!(create.await.unwrap_err().is_cancelled());
    wire.requests();
    let mut states = client.states();
    wire.break_once();
    for state in [State::Suspended, State::Connected] {
        assert_eq!(soon(states.next()).await, Some(state));
    }
    // It has looked, and found nothing.
    wire.asked(2).await;
    assert_eq!(wire.deliver().await, 0);
    children(&witness, "/line", 0).await;
}
