//! Membership of groups: who is seen, and when nobody is.
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

use rookeeper_client::recipes::cache::Change;
use rookeeper_client::recipes::group::{Group, GroupMember};
use rookeeper_client::{Client, Error};
use world::ensemble::Ensemble;
use world::{World, children, soon};

async fn join(client: &Client, id: &str) -> GroupMember {
    let member = GroupMember::join(client, "/g", id, format!("data of {id}")).unwrap();
    soon(member.joined()).await.unwrap();
    member
}

fn ids(group: &Group) -> Vec<String> {
    group.members().into_keys().collect()
}

/// Waits until the group is of so many.
async fn until(group: &Group, count: usize) -> Vec<String> {
    let mut changes = group.changes();
    soon(async {
        while group.members().len() != count {
            changes.next().await.unwrap();
        }
    })
    .await;
    ids(group)
}

#[tokio::test]
async fn members_see_each_other() {
    let world = World::new();
    let (one, two) = (world.client().await, world.client().await);
    let a = join(&one, "A").await;
    let b = join(&two, "B").await;
    assert_eq!(ids(b.group()), ["A", "B"]);
    assert_eq!(until(a.group(), 2).await, ["A", "B"]);
    assert_eq!(b.group().members()["A"], "data of A");
    // As Curator has it: ephemerals with the id as their name.
    assert_eq!(children(&one, "/g", 2).await, ["A", "B"]);
    let stat = one.exists("/g/A").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, one.session().0);
    a.set("new").await.unwrap();
    b.group().sync().await.unwrap();
    assert_eq!(b.group().members()["A"], "new");
    assert_eq!(a.id(), "A");
    soon(a.leave()).await.unwrap();
    b.group().sync().await.unwrap();
    assert_eq!(ids(b.group()), ["B"]);
}

#[tokio::test]
async fn a_member_whose_session_ends_is_not_seen_any_more() {
    let world = World::new();
    let (lost, wire) = world.brief_client_by_wire().await;
    let client = world.client().await;
    let _gone = join(&lost, "lost").await;
    let _stays = join(&client, "stays").await;
    let group = Group::watch(&client, "/g").unwrap();
    assert_eq!(until(&group, 2).await, ["lost", "stays"]);
    wire.cut();
    assert_eq!(until(&group, 1).await, ["stays"]);
}

#[tokio::test]
async fn a_member_that_is_deleted_comes_back() {
    let world = World::new();
    let client = world.client().await;
    let a = join(&client, "A").await;
    let mut changes = a.group().changes();
    client.delete("/g/A", -1).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        match soon(changes.next()).await.unwrap() {
            Change::Added(_) => told.push("added"),
            Change::Removed(_) => told.push("removed"),
            Change::Changed { .. } => told.extend(["removed", "added"]),
            _ => {}
        }
    }
    assert_eq!(told, ["added", "removed", "added"]);
}

#[tokio::test]
async fn a_broken_line_makes_no_second_member() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let group = Group::watch(&other, "/g").unwrap();
    client.sync("/").await.unwrap();
    wire.swallow_replies();
    let member = GroupMember::join(&client, "/g", "A", "").unwrap();
    // The parent is made in several steps; whatever was done of them is found again.
    wire.break_once();
    soon(member.joined()).await.unwrap();
    assert_eq!(until(&group, 1).await, ["A"]);
}

#[tokio::test]
async fn an_id_is_a_name() {
    let world = World::new();
    let client = world.client().await;
    for id in ["", "a/b"] {
        let refused = GroupMember::join(&client, "/g", id, "").unwrap_err();
        assert!(matches!(refused, Error::BadArgument(_)));
    }
}

#[tokio::test]
async fn a_group_outlives_the_loss_of_the_leader() {
    let mut ensemble = Ensemble::new().await;
    let (one, two) = (ensemble.client().await, ensemble.client().await);
    let a = join(&one, "A").await;
    ensemble.lose_leader().await;
    let b = join(&two, "B").await;
    assert_eq!(ids(b.group()), ["A", "B"]);
    assert_eq!(until(a.group(), 2).await, ["A", "B"]);
}
