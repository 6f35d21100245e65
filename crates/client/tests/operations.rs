//! Every operation of the client against a server, and what happens when the line or the server breaks.
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

use std::time::{Duration, Instant};

use rookeeper_client::{
    Acl, AddWatchMode, CreateOptions, Error, ErrorCode, EventType, Expected, Multi, MultiRead,
    MultiResult, ReadResult, Signal, State, WatcherType, Zxid, perms,
};
use world::{World, builder, connect, reach, soon};

fn plain() -> CreateOptions {
    CreateOptions::persistent()
}

#[tokio::test]
async fn a_znode_is_created_read_changed_and_deleted() {
    let world = World::new();
    let client = world.client().await;
    let created = client.create("/a", "one", &plain()).await.unwrap();
    assert_eq!((created.path.as_str(), created.stat.version), ("/a", 0));
    assert_eq!(client.exists("/a").await.unwrap(), Some(created.stat));
    let stat = client.set("/a", "two", 0).await.unwrap();
    let data = client.data("/a").await.unwrap();
    assert_eq!(
        (&data.bytes[..], data.is_null, data.stat),
        (&b"two"[..], false, stat)
    );
    assert!(client.set("/a", "x", 0).await.unwrap_err().is_bad_version());
    assert!(
        client
            .create("/a", "", &plain())
            .await
            .unwrap_err()
            .is_node_exists()
    );
    client.create("/a/b", "", &plain()).await.unwrap();
    assert!(
        client
            .delete("/a", Expected::Any)
            .await
            .unwrap_err()
            .is_not_empty()
    );
    let children = client.children("/a").await.unwrap();
    assert_eq!(
        (children.names, children.stat.num_children),
        (vec!["b".to_owned()], 1)
    );
    assert_eq!(client.descendants("/a").await.unwrap(), 1);
    client.delete("/a/b", -1).await.unwrap();
    client.delete("/a", 1).await.unwrap();
    assert_eq!(client.exists("/a").await.unwrap(), None);
    let missing = client.data("/a").await.unwrap_err();
    assert_eq!(missing.code(), Some(ErrorCode::NoNode));
    assert_eq!(missing.to_string(), "there is no such znode: /a");
}

#[tokio::test]
async fn every_kind_of_znode_is_what_it_is() {
    let world = World::new();
    let client = world.client().await;
    let owner = |path: &'static str| {
        let client = client.clone();
        async move { client.exists(path).await.unwrap().unwrap().ephemeral_owner }
    };
    let created = client
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    assert_eq!(created.stat.ephemeral_owner, client.session().0);
    assert_eq!(owner("/e").await, client.session().0);
    let first = client
        .create("/s-", "", &CreateOptions::persistent_sequential())
        .await
        .unwrap();
    let second = client
        .create("/s-", "", &CreateOptions::ephemeral_sequential())
        .await
        .unwrap();
    assert_eq!(first.path, "/s-0000000001");
    assert_eq!(second.path, "/s-0000000002");
    client
        .create("/c", "", &CreateOptions::container())
        .await
        .unwrap();
    let hour = Duration::from_secs(3600);
    client
        .create("/t", "", &CreateOptions::ttl(hour))
        .await
        .unwrap();
    assert_eq!((owner("/c").await, owner("/t").await), (0, 0));
    assert_eq!(client.ephemerals("/").await.unwrap().len(), 2);
    client.create("/n", "", &plain().null_data()).await.unwrap();
    assert!(client.data("/n").await.unwrap().is_null);
    client.set("/n", "", -1).await.unwrap();
    assert!(!client.data("/n").await.unwrap().is_null);
    client.set_null("/n", -1).await.unwrap();
    assert!(client.data("/n").await.unwrap().is_null);
}

#[tokio::test]
async fn order_is_fixed_when_a_method_is_called() {
    let world = World::new();
    let client = world.client().await;
    client.create("/a", "", &plain()).await.unwrap();
    let mut sets = Vec::new();
    for version in 0..500 {
        sets.push(client.set("/a", version.to_string(), version));
    }
    let last = client.data("/a");
    // Awaited backwards: they were sent forwards.
    assert_eq!(last.await.unwrap().bytes, "499");
    for (version, set) in sets.into_iter().enumerate().rev() {
        assert_eq!(set.await.unwrap().version, version as i32 + 1);
    }
}

#[tokio::test]
async fn a_multi_happens_as_a_whole_or_not_at_all() {
    let world = World::new();
    let client = world.client_below("/").await;
    let multi = Multi::new()
        .create("/m", "1", &plain())
        .create("/m/s-", "", &CreateOptions::persistent_sequential())
        .set("/m", "2", 0)
        .check("/m", 1)
        .delete("/m/s-0000000000", -1);
    let results = client.multi(multi).await.unwrap();
    assert!(
        matches!(&results[1], MultiResult::Created(created) if created.path == "/m/s-0000000000")
    );
    assert!(matches!(&results[2], MultiResult::Set(stat) if stat.version == 1));
    assert_eq!(results[3..], [MultiResult::Checked, MultiResult::Deleted]);
    let failed = client
        .multi(Multi::new().set("/m", "3", -1).check("/m", 7))
        .await
        .unwrap_err();
    assert_eq!(
        failed,
        Error::PartRefused {
            index: 1,
            code: ErrorCode::BadVersion,
            path: "/m".into()
        }
    );
    assert_eq!(client.data("/m").await.unwrap().bytes, "2");
    assert_eq!(client.multi(Multi::new()).await.unwrap(), []);
    let reads = MultiRead::new().data("/m").children("/m").data("/none");
    let results = client.multi_read(reads).await.unwrap();
    assert!(matches!(&results[0], Ok(ReadResult::Data(Some(data), _)) if data == "2"));
    assert_eq!(results[1], Ok(ReadResult::Children(vec![])));
    assert!(results[2].as_ref().unwrap_err().is_no_node());
}

#[tokio::test]
async fn the_last_zxid_is_that_of_whatever_came_last() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let created = client.create("/a", "", &plain()).await.unwrap();
    assert_eq!(client.last_zxid(), created.stat.czxid);
    let (_, changed) = client.data_watched("/a").await.unwrap();
    other.set("/a", "x", -1).await.unwrap();
    let event = soon(changed).await.unwrap();
    assert_eq!(client.last_zxid(), event.zxid);
    client.close().await.unwrap();
    assert!(client.last_zxid() > event.zxid);
}

#[tokio::test]
async fn identities_open_what_they_own() {
    let world = World::new();
    let client = world.client().await;
    client.add_auth("digest", "u:p").await.unwrap();
    let mine = vec![Acl::new(perms::ALL, "auth", "")];
    client
        .create("/mine", "", &plain().acl(mine))
        .await
        .unwrap();
    let (acl, stat) = client.acl("/mine").await.unwrap();
    assert_eq!((acl[0].who.scheme.as_str(), stat.aversion), ("digest", 0));
    let who = client.who_am_i().await.unwrap();
    assert!(who.iter().any(|id| id.scheme == "digest" && id.id == "u"));
    let other = world.client().await;
    assert_eq!(
        other.data("/mine").await.unwrap_err().code(),
        Some(ErrorCode::NoAuth)
    );
    client.set_acl("/mine", &Acl::open(), 0).await.unwrap();
    other.data("/mine").await.unwrap();
    let third = builder()
        .auth("digest", "u:p")
        .connect(&world.hosts())
        .await
        .unwrap();
    assert_eq!(third.who_am_i().await.unwrap().len(), 2);
    let refused = builder()
        .auth("nonsense", "x")
        .connect(&world.hosts())
        .await;
    assert!(matches!(refused, Err(Error::AuthFailed) | Ok(_)));
    if let Ok(client) = refused {
        reach(&client, State::AuthFailed).await;
        assert_eq!(client.data("/").await.unwrap_err(), Error::AuthFailed);
    }
}

#[tokio::test]
async fn a_view_has_its_own_root() {
    let world = World::new();
    let client = world.client().await;
    client.create("/app", "", &plain()).await.unwrap();
    let view = world.client_below("/app").await;
    let created = view.create("/x", "1", &plain()).await.unwrap();
    assert_eq!(created.path, "/x");
    let (_, watch) = view.data_watched("/x").await.unwrap();
    let mut all = view
        .watch("/", AddWatchMode::PersistentRecursive)
        .await
        .unwrap();
    client.set("/app/x", "2", -1).await.unwrap();
    assert_eq!(soon(watch).await.unwrap().path, "/x");
    let Some(Signal::Event(event)) = soon(all.next()).await else {
        panic!("no event")
    };
    assert_eq!(
        (event.kind, event.path.as_str()),
        (EventType::NodeDataChanged, "/x")
    );
    assert_eq!(
        client
            .chroot("/app")
            .unwrap()
            .data("/x")
            .await
            .unwrap()
            .bytes,
        "2"
    );
    let missing = view.data("/none").await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no such znode: /none");
}

#[tokio::test]
async fn watches_hear_what_they_wait_for() {
    let world = World::new();
    let client = world.client().await;
    let other = world.client().await;
    let (none, created) = client.exists_watched("/w").await.unwrap();
    assert_eq!(none, None);
    let stat = other.create("/w", "", &plain()).await.unwrap().stat;
    let event = soon(created).await.unwrap();
    assert_eq!(
        (event.kind, event.zxid),
        (EventType::NodeCreated, stat.czxid)
    );
    let (_, changed) = client.data_watched("/w").await.unwrap();
    let (_, listed) = client.children_watched("/w").await.unwrap();
    let mut all = client.watch("/w", AddWatchMode::Persistent).await.unwrap();
    other.create("/w/x", "", &plain()).await.unwrap();
    assert_eq!(
        soon(listed).await.unwrap().kind,
        EventType::NodeChildrenChanged
    );
    other.set("/w", "", -1).await.unwrap();
    assert_eq!(
        soon(changed).await.unwrap().kind,
        EventType::NodeDataChanged
    );
    let mut kinds = Vec::new();
    for _ in 0..2 {
        if let Some(Signal::Event(event)) = soon(all.next()).await {
            kinds.push(event.kind);
        }
    }
    assert_eq!(
        kinds,
        [EventType::NodeChildrenChanged, EventType::NodeDataChanged]
    );
}

async fn watches_at(world: &World) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(world.address())
        .await
        .unwrap();
    stream.write_all(b"wchs").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.lines().last().unwrap_or_default().to_owned()
}

async fn until_watches(world: &World, count: usize) {
    let wanted = format!("Total watches:{count}");
    soon(async {
        while watches_at(world).await != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dropped_watch_is_gone_at_the_server() {
    let world = World::new();
    let client = world.client().await;
    let (_, first) = client.data_watched("/").await.unwrap();
    let (_, second) = client.data_watched("/").await.unwrap();
    let all = client
        .watch("/", AddWatchMode::PersistentRecursive)
        .await
        .unwrap();
    until_watches(&world, 1).await;
    drop((first, second, all));
    until_watches(&world, 0).await;
    let (_, watch) = client.exists_watched("/none").await.unwrap();
    let mut persistent = client
        .watch("/none", AddWatchMode::Persistent)
        .await
        .unwrap();
    client
        .remove_watches("/none", WatcherType::Any)
        .await
        .unwrap();
    assert_eq!(soon(watch).await.unwrap_err(), Error::WatchRemoved);
    assert_eq!(soon(persistent.next()).await, None);
    let missing = client.remove_watches("/none", WatcherType::Any).await;
    assert_eq!(missing.unwrap_err().code(), Some(ErrorCode::NoWatcher));
}

#[tokio::test]
async fn session_ephemerals_and_watches_outlive_a_broken_line() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    client
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    let (_, once) = client.data_watched("/e").await.unwrap();
    let mut all = client.watch("/e", AddWatchMode::Persistent).await.unwrap();
    let session = client.session();
    wire.cut();
    reach(&client, State::Suspended).await;
    other.set("/e", "meanwhile", -1).await.unwrap();
    let waiting = client.data("/e");
    wire.mend();
    assert_eq!(soon(waiting).await.unwrap().bytes, "meanwhile");
    assert_eq!(client.session(), session);
    assert_eq!(soon(once).await.unwrap().kind, EventType::NodeDataChanged);
    assert_eq!(soon(all.next()).await, Some(Signal::Interrupted));
    // The server tells the one-shot watch what it missed; that concerns both.
    while soon(all.next()).await.unwrap() != Signal::Restored {}
    other.set("/e", "after", -1).await.unwrap();
    assert!(matches!(soon(all.next()).await, Some(Signal::Event(_))));
}

#[tokio::test]
async fn what_was_asked_when_the_line_broke_is_unknown() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    client.sync("/").await.unwrap();
    wire.swallow_replies();
    let create = client.create("/a", "", &plain());
    let other = world.client().await;
    soon(async { while other.exists("/a").await.unwrap().is_none() {} }).await;
    wire.break_once();
    assert_eq!(soon(create).await.unwrap_err(), Error::ConnectionLost);
    assert!(soon(client.exists("/a")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_session_that_was_away_too_long_has_expired() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    client
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    let (_, watch) = client.data_watched("/e").await.unwrap();
    let mut states = client.states();
    wire.cut();
    let other = world.client().await;
    let gone = soon(async {
        let (_, gone) = other.exists_watched("/e").await.unwrap();
        gone.await.unwrap()
    })
    .await;
    assert_eq!(gone.kind, EventType::NodeDeleted);
    wire.mend();
    assert_eq!(soon(watch).await.unwrap_err(), Error::SessionExpired);
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    assert_eq!(soon(states.next()).await, Some(State::Expired));
    assert_eq!(soon(states.next()).await, None);
    assert_eq!(client.data("/").await.unwrap_err(), Error::SessionExpired);
}

#[tokio::test]
async fn a_silent_line_is_given_up_before_the_session_can_end() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    client.sync("/").await.unwrap();
    let begun = Instant::now();
    wire.hold();
    reach(&client, State::Suspended).await;
    assert!(
        begun.elapsed() < Duration::from_millis(3500),
        "{:?}",
        begun.elapsed()
    );
    wire.mend();
    soon(client.sync("/")).await.unwrap();
}

#[tokio::test]
async fn an_idle_session_lives_on_its_heartbeats() {
    let world = World::new();
    let client = builder()
        .session_timeout(Duration::from_millis(400))
        .connect(&world.hosts())
        .await
        .unwrap();
    client
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(2000)).await;
    assert!(client.exists("/e").await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_restarts_finds_its_clients_again() {
    let mut world = World::new();
    let client = world.client().await;
    client
        .create("/e", "kept", &CreateOptions::ephemeral())
        .await
        .unwrap();
    world.stop();
    reach(&client, State::Suspended).await;
    let waiting = client.data("/e");
    world.start();
    assert_eq!(soon(waiting).await.unwrap().bytes, "kept");
}

#[tokio::test]
async fn a_closed_client_leaves_nothing_behind() {
    let world = World::new();
    let client = world.client().await;
    let other = world.client().await;
    client
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    client.close().await.unwrap();
    assert_eq!(other.exists("/e").await.unwrap(), None);
    assert_eq!(client.state(), State::Closed);
    assert_eq!(client.data("/").await.unwrap_err(), Error::Closed);
    client.close().await.unwrap();
    let dropped = world.client().await;
    dropped
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    let (_, gone) = other.exists_watched("/e").await.unwrap();
    drop(dropped);
    assert_eq!(soon(gone).await.unwrap().kind, EventType::NodeDeleted);
}

#[tokio::test]
async fn a_session_can_be_handed_over() {
    let world = World::new();
    let first = world.client().await;
    first
        .create("/e", "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    let second = builder()
        .session(first.session(), first.session_password())
        .connect(&world.hosts())
        .await
        .unwrap();
    assert_eq!(second.session(), first.session());
    assert!(second.exists("/e").await.unwrap().is_some());
}

#[tokio::test]
async fn bounds_are_kept_before_anything_is_sent() {
    let world = World::new();
    let client = builder()
        .max_waiting(2)
        .max_request(1000)
        .request_timeout(Duration::from_millis(300))
        .connect(&world.hosts())
        .await
        .unwrap();
    let long = client
        .create("/long", vec![0; 1000], &plain())
        .await
        .unwrap_err();
    assert!(matches!(long, Error::TooLarge { limit: 1000, .. }));
    assert!(matches!(
        client.data("a").await.unwrap_err(),
        Error::BadPath { .. }
    ));
    assert!(matches!(
        client.create("/a/", "", &plain()).await.unwrap_err(),
        Error::BadPath { .. }
    ));
    let three = [client.sync("/"), client.sync("/"), client.sync("/")];
    let mut answers = Vec::new();
    for call in three {
        answers.push(call.await);
    }
    assert_eq!(answers, [Ok(()), Ok(()), Err(Error::Overloaded)]);
    let nowhere = world::free_address().to_string();
    let alone = builder()
        .request_timeout(Duration::from_millis(100))
        .open(&nowhere)
        .unwrap();
    assert_eq!(alone.data("/").await.unwrap_err(), Error::NotSent);
    let late = builder()
        .connect_timeout(Duration::from_millis(100))
        .connect(&nowhere)
        .await;
    assert!(matches!(late, Err(Error::Unreachable { .. })));
}

#[tokio::test]
async fn a_client_goes_to_the_server_that_answers() {
    let world = World::new();
    let dead = world::free_address();
    for _ in 0..4 {
        let client = connect(&format!("{dead},{}", world.address())).await;
        assert_eq!(client.server(), Some(world.address()));
    }
}

#[tokio::test]
async fn a_server_alone_refuses_to_change_its_members() {
    let member = "server.2=127.0.0.1:2888:3888;2181";
    let refused = async |world: &World| {
        let client = world.client().await;
        let added = client.reconfig(Some(member), None, None, None).await;
        let removed = client.reconfig(None, Some("1"), None, Some(Zxid(7))).await;
        let replaced = client.reconfig(None, None, Some(member), None).await;
        // The connection stands, and knows the others' order.
        client.data("/").await.unwrap();
        [added, removed, replaced].map(|answer| answer.unwrap_err().code())
    };
    let off = refused(&World::new()).await;
    assert_eq!(off, [Some(ErrorCode::ReconfigDisabled); 3]);
    let on = refused(&World::with(&["-Dzookeeper.reconfigEnabled=true"])).await;
    assert_eq!(on, [Some(ErrorCode::Unimplemented); 3]);
}
