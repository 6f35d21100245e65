//! Znodes that are kept: what is on the wire, and that they come back, whatever happens to them and to the line.
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

use rookeeper_client::recipes::persistent_node::PersistentNode;
use rookeeper_client::recipes::persistent_ttl_node::PersistentTtlNode;
use rookeeper_client::{Acl, Client, CreateOptions, Error, EventType, OpCode, Retry, State};
use world::ensemble::Ensemble;
use world::{World, children, reach, soon};

fn ephemeral() -> CreateOptions {
    CreateOptions::ephemeral()
}

async fn text(client: &Client, path: &str) -> String {
    let data = client.data(path).await.unwrap();
    String::from_utf8(data.bytes.to_vec()).unwrap()
}

/// Waits until the znode is there with this creation or a later one, and tells which it is.
async fn there_after(client: &Client, path: &str, czxid: i64) -> i64 {
    soon(async {
        loop {
            let (stat, changed) = client.exists_watched(path).await.unwrap();
            if let Some(stat) = stat
                && stat.czxid.0 > czxid
            {
                return stat.czxid.0;
            }
            changed.await.unwrap();
        }
    })
    .await
}

/// Waits until nothing is at the path.
async fn gone(client: &Client, path: &str) {
    soon(async {
        loop {
            let (stat, changed) = client.exists_watched(path).await.unwrap();
            if stat.is_none() {
                return;
            }
            changed.await.unwrap();
        }
    })
    .await;
}

/// The path without what is random in it, and its number as zero.
fn shape(path: &str) -> String {
    let name = path.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = "0".repeat(path.len() - name.len());
    match name.split_once("_c_") {
        Some((parent, rest)) => format!("{parent}_c_<>{}{number}", &rest[36..]),
        None => path.to_owned(),
    }
}

#[tokio::test]
async fn every_kind_has_its_name_and_comes_back_under_it() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let open = |path, kind| PersistentNode::open(&client, path, "data", kind).unwrap();
    let numbered = |path, is_ephemeral| {
        PersistentNode::sequential(&client, path, "data", is_ephemeral, Acl::open()).unwrap()
    };
    let container = CreateOptions::container();
    let persistent = CreateOptions::persistent();
    let protected = PersistentNode::protected(&client, "/n/mine", "data", ephemeral()).unwrap();
    let nodes = [
        (open("/n/ephemeral", ephemeral()), "/n/ephemeral", true),
        (open("/n/container", container), "/n/container", false),
        (open("/n/persistent", persistent), "/n/persistent", false),
        (protected, "/n/_c_<>-mine", true),
        (numbered("/n/e-", true), "/n/_c_<>-e-0000000000", true),
        (numbered("/n/p-", false), "/n/_c_<>-p-0000000000", false),
    ];
    for (node, wanted, is_ephemeral) in nodes {
        let path = soon(node.created()).await.unwrap();
        assert_eq!(shape(&path), wanted);
        let stat = other.exists(&path).await.unwrap().unwrap();
        assert_eq!(stat.ephemeral_owner == client.session().0, is_ephemeral);
        other.delete(&path, -1).await.unwrap();
        there_after(&other, &path, stat.czxid.0).await;
        assert_eq!(text(&other, &path).await, "data");
        soon(node.close()).await.unwrap();
        assert_eq!(other.exists(&path).await.unwrap(), None);
    }
    // The parent was made as a container: nobody else would remove it.
    assert_eq!(text(&other, "/n").await, "");
    let refused = PersistentNode::open(&client, "/n/x", "", CreateOptions::ephemeral_sequential());
    assert!(matches!(refused, Err(Error::BadArgument(_))));
}

#[tokio::test]
async fn what_was_set_last_comes_back() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let node = PersistentNode::open(&client, "/s", "one", ephemeral()).unwrap();
    soon(node.created()).await.unwrap();
    node.set("two").await.unwrap();
    assert_eq!(text(&other, "/s").await, "two");
    other.set("/s", "foreign", -1).await.unwrap();
    let before = other.exists("/s").await.unwrap().unwrap().czxid.0;
    other.delete("/s", -1).await.unwrap();
    there_after(&other, "/s", before).await;
    assert_eq!(text(&other, "/s").await, "two");
    assert!(node.path().as_deref() == Some("/s"));
}

#[tokio::test]
async fn a_create_without_an_answer_makes_one_znode() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    other
        .create("/p", "", &CreateOptions::persistent())
        .await
        .unwrap();
    client.sync("/").await.unwrap();
    wire.swallow_replies();
    let plain = PersistentNode::open(&client, "/p/plain", "1", ephemeral()).unwrap();
    let mine = PersistentNode::protected(&client, "/p/mine", "2", ephemeral()).unwrap();
    let numbered = PersistentNode::sequential(&client, "/p/s-", "3", true, Acl::open()).unwrap();
    let names = children(&other, "/p", 3).await;
    wire.break_once();
    let mut paths = Vec::new();
    for node in [&plain, &mine, &numbered] {
        paths.push(soon(node.created()).await.unwrap());
    }
    paths.sort();
    let wanted: Vec<String> = names.iter().map(|name| format!("/p/{name}")).collect();
    assert_eq!(paths, wanted);
    assert_eq!(children(&other, "/p", 3).await, names);
}

#[tokio::test]
async fn a_create_that_is_executed_late_goes_with_the_node() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let container = CreateOptions::container();
    other.create("/p", "", &container).await.unwrap();
    wire.keep(OpCode::Create2);
    let node = PersistentNode::sequential(&client, "/p/x-", "1", true, Acl::open()).unwrap();
    wire.kept().await;
    wire.break_once();
    let path = soon(node.created()).await.unwrap();
    assert_eq!(wire.deliver().await, 0);
    let names = children(&other, "/p", 2).await;
    assert!(names.iter().any(|name| path.ends_with(name)));
    soon(node.close()).await.unwrap();
    assert_eq!(children(&other, "/p", 0).await.len(), 0);
}

#[tokio::test]
async fn an_ephemeral_of_another_session_is_waited_for() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    other.create("/e", "theirs", &ephemeral()).await.unwrap();
    let node = PersistentNode::open(&client, "/e", "mine", ephemeral()).unwrap();
    node.set("mine again").await.unwrap();
    client.sync("/").await.unwrap();
    assert_eq!(
        (text(&client, "/e").await.as_str(), node.path()),
        ("theirs", None)
    );
    other.close().await.unwrap();
    assert_eq!(soon(node.created()).await.unwrap(), "/e");
    assert_eq!(text(&client, "/e").await, "mine again");
}

#[tokio::test]
async fn two_who_keep_the_same_path_do_not_fight() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let first = PersistentNode::open(&client, "/e", "1", ephemeral()).unwrap();
    soon(first.created()).await.unwrap();
    let second = PersistentNode::open(&other, "/e", "2", ephemeral()).unwrap();
    soon(first.close()).await.unwrap();
    soon(second.created()).await.unwrap();
    assert_eq!(text(&client, "/e").await, "2");
}

#[tokio::test]
async fn a_persistent_znode_that_is_there_is_taken_over() {
    let world = World::new();
    let client = world.client().await;
    let kind = CreateOptions::persistent();
    client.create("/t", "old", &kind).await.unwrap();
    let node = PersistentNode::open(&client, "/t", "new", kind).unwrap();
    soon(node.created()).await.unwrap();
    assert_eq!(text(&client, "/t").await, "new");
}

#[tokio::test]
async fn dropping_lets_go() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let dropped = PersistentNode::open(&client, "/e", "", ephemeral()).unwrap();
    let kept = PersistentNode::open(&client, "/p", "", CreateOptions::persistent()).unwrap();
    for node in [&dropped, &kept] {
        soon(node.created()).await.unwrap();
    }
    drop((dropped, kept));
    gone(&other, "/e").await;
    assert!(other.exists("/p").await.unwrap().is_some());
    // On its way, or there already: it goes either way.
    drop(PersistentNode::open(&client, "/soon", "", ephemeral()).unwrap());
    let closing = PersistentNode::protected(&client, "/q/soon", "", ephemeral()).unwrap();
    soon(closing.close()).await.unwrap();
    gone(&other, "/soon").await;
    soon(async {
        while other
            .children("/q")
            .await
            .is_ok_and(|q| !q.names.is_empty())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_deleted_while_the_line_is_cut_comes_back() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let node = PersistentNode::open(&client, "/c", "x", ephemeral()).unwrap();
    soon(node.created()).await.unwrap();
    let before = other.exists("/c").await.unwrap().unwrap().czxid.0;
    wire.cut();
    reach(&client, State::Suspended).await;
    other.delete("/c", -1).await.unwrap();
    wire.mend();
    there_after(&other, "/c", before).await;
}

#[tokio::test]
async fn it_outlives_a_restart_of_the_server() {
    let mut world = World::new();
    let client = world.client().await;
    let node = PersistentNode::open(&client, "/r", "x", ephemeral()).unwrap();
    soon(node.created()).await.unwrap();
    world.stop();
    reach(&client, State::Suspended).await;
    world.start();
    let other = world.client().await;
    let before = other.exists("/r").await.unwrap().unwrap().czxid.0;
    other.delete("/r", -1).await.unwrap();
    there_after(&other, "/r", before).await;
}

#[tokio::test]
async fn it_outlives_the_loss_of_the_leader() {
    let mut ensemble = Ensemble::new().await;
    let (client, other) = (ensemble.client().await, ensemble.client().await);
    let node = PersistentNode::open(&client, "/f", "x", ephemeral()).unwrap();
    soon(node.created()).await.unwrap();
    // The member that is asked may be behind.
    other.sync("/f").await.unwrap();
    let before = other.exists("/f").await.unwrap().unwrap().czxid.0;
    ensemble.lose_leader().await;
    let retry = Retry::forever().idempotent();
    match soon(retry.run(|| other.delete("/f", -1))).await {
        Err(error) if !error.is_no_node() => panic!("{error}"),
        _ => {}
    }
    there_after(&other, "/f", before).await;
    assert_eq!(text(&other, "/f").await, "x");
}

#[tokio::test]
async fn it_ends_with_its_session() {
    let world = World::new();
    let (client, wire) = world.brief_client_by_wire().await;
    let other = world.client().await;
    let node = PersistentNode::open(&client, "/x", "1", ephemeral()).unwrap();
    soon(node.created()).await.unwrap();
    wire.cut();
    gone(&other, "/x").await;
    wire.mend();
    reach(&client, State::Expired).await;
    assert_eq!(soon(node.set("2")).await, Err(Error::SessionExpired));
    assert_eq!((node.is_there(), node.path()), (false, None));
    let again = PersistentNode::open(&other, "/x", "2", ephemeral()).unwrap();
    soon(again.created()).await.unwrap();
    assert_eq!(text(&other, "/x").await, "2");
}

/// A TTL that is over soon, and a server that looks often.
const TTL: Duration = Duration::from_millis(600);

fn world_that_removes() -> World {
    World::with(&["-Dznode.container.checkIntervalMs=50"])
}

#[tokio::test]
async fn a_ttl_node_lives_as_long_as_it_is_touched() {
    let world = world_that_removes();
    let (client, other) = (world.client().await, world.client().await);
    let node = PersistentTtlNode::open(&client, "/jobs/1", "half", TTL).unwrap();
    assert_eq!(soon(node.created()).await.unwrap(), "/jobs/1");
    assert_eq!(children(&other, "/jobs/1", 1).await, ["touch"]);
    let first = other.exists("/jobs/1/touch").await.unwrap().unwrap();
    // Twice its TTL: it would be gone by now.
    let mut touches = 0;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < 2 * TTL {
        let (_, touched) = other.data_watched("/jobs/1/touch").await.unwrap();
        assert_eq!(
            soon(touched).await.unwrap().kind,
            EventType::NodeDataChanged
        );
        touches += 1;
    }
    assert!((4..=8).contains(&touches), "{touches} touches");
    let last = other.exists("/jobs/1/touch").await.unwrap().unwrap();
    assert_eq!(last.czxid, first.czxid);
    node.set("done").await.unwrap();
    assert_eq!(text(&other, "/jobs/1").await, "done");
    drop(node);
    gone(&other, "/jobs/1/touch").await;
    gone(&other, "/jobs/1").await;
}

#[tokio::test]
async fn a_ttl_node_comes_back_with_its_child() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let ttl = Duration::from_secs(3600);
    let node = PersistentTtlNode::open(&client, "/j", "x", ttl).unwrap();
    soon(node.created()).await.unwrap();
    let before = other.exists("/j").await.unwrap().unwrap().czxid.0;
    other.delete("/j/touch", -1).await.unwrap();
    other.delete("/j", -1).await.unwrap();
    there_after(&other, "/j", before).await;
    assert_eq!(children(&other, "/j", 1).await, ["touch"]);
    soon(node.close()).await.unwrap();
    assert_eq!(other.exists("/j").await.unwrap(), None);
}
