//! What users do with a client library, by the numbers of `docs/acceptance.md`: watches and what they hear.
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

use rookeeper_client::recipes::tree_cache::TreeCache;
use rookeeper_client::{
    AddWatchMode, Client, CreateOptions, EventType, Expected, OpCode, PersistentWatch, Signal,
};
use rookeeper_proto::compose;
use scene::{Raw, Scene, create, enlist, event, is_quiet, list, text};
use world::soon;

/// `getData` with a watch, as a frame.
fn get_watched(path: &str) -> Vec<u8> {
    compose::path_watch(OpCode::GetData, path, true)
}

#[tokio::test]
async fn s85_configuration_centre_with_chroot() {
    let scene = Scene::new("s85").await;
    let operator = scene.client().await;
    create(&operator, "/testConf", "").await;
    create(&operator, "/testConf/AppConf", "old").await;
    let service = scene.client_below("/testConf").await;
    assert_eq!(service.root(), format!("{}/testConf", scene.root()));

    let (data, changed) = service.data_watched("/AppConf").await.unwrap();
    assert_eq!(data.bytes, "old");
    operator.set("/testConf/AppConf", "new", -1).await.unwrap();
    let told = event(changed).await;
    assert_eq!(
        (told.kind, told.path.as_str()),
        (EventType::NodeDataChanged, "/AppConf")
    );
    // Reading again sets the next watch; what happened before is not told again.
    let (data, mut changed) = service.data_watched("/AppConf").await.unwrap();
    assert_eq!(data.bytes, "new");
    assert!(is_quiet(&service, &mut changed).await);
    operator
        .set("/testConf/AppConf", "newer", -1)
        .await
        .unwrap();
    assert_eq!(event(changed).await.kind, EventType::NodeDataChanged);

    let (_, deleted) = service.data_watched("/AppConf").await.unwrap();
    operator.delete("/testConf/AppConf", -1).await.unwrap();
    let told = event(deleted).await;
    assert_eq!(
        (told.kind, told.path.as_str()),
        (EventType::NodeDeleted, "/AppConf")
    );
    assert!(service.data("/AppConf").await.unwrap_err().is_no_node());
    let (absent, created) = service.exists_watched("/AppConf").await.unwrap();
    assert_eq!(absent, None);
    create(&operator, "/testConf/AppConf", "back").await;
    let told = event(created).await;
    assert_eq!(
        (told.kind, told.path.as_str()),
        (EventType::NodeCreated, "/AppConf")
    );
    assert_eq!(text(&service, "/AppConf").await, "back");
}

#[tokio::test]
async fn s85_a_chroot_that_is_not_there_is_no_error_until_it_is_used() {
    let scene = Scene::new("s85").await;
    let service = scene.client_below("/nowhere").await;
    assert_eq!(service.exists("/").await.unwrap(), None);
    let refused = service.create("/a", "", &CreateOptions::persistent()).await;
    assert!(refused.unwrap_err().is_no_node());
    let (_, created) = service.exists_watched("/").await.unwrap();
    create(&scene.client().await, "/nowhere", "").await;
    assert_eq!(event(created).await.path, "/");
    create(&service, "/a", "").await;
}

#[tokio::test]
async fn s92_create_and_exists_as_in_the_java_example() {
    let scene = Scene::new("s92").await;
    let client = scene.client().await;
    create(&client, "/user", "").await;
    let options = CreateOptions::persistent_sequential();
    let first = client.create("/name111", "luck", &options).await.unwrap();
    let second = client.create("/name111", "luck", &options).await.unwrap();
    assert_eq!(first.path, "/name1110000000001");
    assert_eq!(second.path, "/name1110000000002");
    assert_eq!(first.stat.ephemeral_owner, 0);
    assert_eq!(text(&client, &first.path).await, "luck");
    let (acl, _) = client.acl(&first.path).await.unwrap();
    assert_eq!(acl, rookeeper_client::Acl::open());
    assert!(client.exists("/user").await.unwrap().is_some());
    assert_eq!(client.exists("/user100").await.unwrap(), None);
}

#[tokio::test]
async fn s93_one_watch_and_two_changes_are_one_event() {
    let scene = Scene::new("s93").await;
    let (path, writer) = (format!("{}/a", scene.root()), scene.client().await);
    create(&writer, "/a", "v0").await;
    // What the server sends, not what a client makes of it.
    let mut raw = Raw::connect(scene.address(), Some(false)).await;
    raw.ask(get_watched(&path)).await;
    // Twice on one connection is one watch.
    raw.ask(get_watched(&path)).await;
    writer.set("/a", "v1", -1).await.unwrap();
    writer.set("/a", "v2", -1).await.unwrap();
    let changed = format!("NodeDataChanged {path}");
    assert_eq!(raw.told(&path).await, [changed]);

    let (_, changed) = writer.data_watched("/a").await.unwrap();
    let (_, also_changed) = writer.data_watched("/a").await.unwrap();
    writer.set("/a", "v3", -1).await.unwrap();
    writer.set("/a", "v4", -1).await.unwrap();
    assert_eq!(event(changed).await, event(also_changed).await);
}

#[tokio::test]
async fn s94_a_callback_that_reads_again_hears_of_later_changes_and_never_goes_back() {
    const CHANGES: i32 = 200;
    let scene = Scene::new("s94").await;
    let (writer, reader) = (scene.client().await, scene.client().await);
    create(&writer, "/a", "0").await;
    let (data, watch) = reader.data_watched("/a").await.unwrap();
    assert_eq!(data.stat.version, 0);
    let writing = tokio::spawn(async move {
        for version in 0..CHANGES {
            let text = (version + 1).to_string();
            writer.set("/a", text, version).await.unwrap();
        }
    });
    let (mut seen, mut watch, mut events) = (0, watch, 0);
    while seen < CHANGES {
        let told = event(watch).await;
        assert_eq!(told.kind, EventType::NodeDataChanged);
        events += 1;
        let (data, next) = reader.data_watched("/a").await.unwrap();
        assert!(data.stat.version > seen, "the event came before its change");
        assert_eq!(data.bytes, data.stat.version.to_string());
        seen = data.stat.version;
        watch = next;
    }
    writing.await.unwrap();
    assert!(events <= CHANGES);
    assert!(is_quiet(&reader, &mut watch).await);
}

#[tokio::test]
async fn s94_each_change_after_a_new_watch_is_one_event() {
    let scene = Scene::new("s94").await;
    let (writer, reader) = (scene.client().await, scene.client().await);
    create(&writer, "/a", "").await;
    let (_, mut watch) = reader.data_watched("/a").await.unwrap();
    for version in 0..10 {
        writer.set("/a", "x", version).await.unwrap();
        assert_eq!(event(watch).await.kind, EventType::NodeDataChanged);
        (_, watch) = reader.data_watched("/a").await.unwrap();
    }
    assert!(is_quiet(&reader, &mut watch).await);
}

#[tokio::test]
async fn s95_child_watches_hear_of_the_list_and_not_of_data() {
    let scene = Scene::new("s95").await;
    let (writer, reader) = (scene.client().await, scene.client().await);
    create(&writer, "/a", "").await;
    let (names, watch) = list(&reader, "/a").await;
    assert_eq!(names, [""; 0]);
    create(&writer, "/a/b", "").await;
    let told = event(watch).await;
    assert_eq!(
        (told.kind, told.path.as_str()),
        (EventType::NodeChildrenChanged, "/a")
    );
    let (names, mut watch) = list(&reader, "/a").await;
    assert_eq!(names, ["b"]);
    writer.set("/a/b", "data", -1).await.unwrap();
    writer.set("/a", "data", -1).await.unwrap();
    create(&writer, "/a/b/c", "").await;
    reader.sync("/a").await.unwrap();
    assert!(is_quiet(&reader, &mut watch).await);
    writer.delete("/a/b/c", -1).await.unwrap();
    writer.delete("/a/b", -1).await.unwrap();
    assert_eq!(event(watch).await.kind, EventType::NodeChildrenChanged);
    assert_eq!(list(&reader, "/a").await.0, [""; 0]);
}

#[tokio::test]
async fn s98_data_watches_and_child_watches() {
    let scene = Scene::new("s98").await;
    let client = scene.client().await;
    let full = |path: &str| format!("{}{path}", scene.root());
    create(&client, "/a", "").await;
    let mut raw = Raw::connect(scene.address(), Some(false)).await;
    let (getting, asking, listing) = (OpCode::GetData, OpCode::Exists, OpCode::GetChildren2);
    let watch = |op, path: &str| compose::path_watch(op, &full(path), true);

    // What is read without a watch leaves none, and writing leaves none either.
    for op in [getting, asking, listing] {
        raw.ask(compose::path_watch(op, &full("/a"), false)).await;
    }
    let set = compose::frame(OpCode::SetData, |out| {
        compose::set_data(&full("/a"), Some(b"own"), -1, out);
    });
    raw.ask(set).await;
    client.set("/a", "1", -1).await.unwrap();
    assert_eq!(raw.told("/").await, [""; 0]);

    // Data watches: changed, deleted, created.
    raw.ask(watch(getting, "/a")).await;
    client.set("/a", "2", -1).await.unwrap();
    raw.ask(watch(asking, "/a")).await;
    client.set("/a", "3", -1).await.unwrap();
    raw.ask(watch(getting, "/a")).await;
    // Not by the list of children.
    create(&client, "/a/b", "").await;
    client.delete("/a/b", -1).await.unwrap();
    client.delete("/a", -1).await.unwrap();
    raw.ask(watch(asking, "/a")).await;
    create(&client, "/a", "").await;
    // Reading what is not there leaves no watch.
    raw.ask(watch(getting, "/none")).await;
    create(&client, "/none", "").await;
    let data_events = [
        "NodeDataChanged",
        "NodeDataChanged",
        "NodeDeleted",
        "NodeCreated",
    ];
    let expected = data_events.map(|kind| format!("{kind} {}", full("/a")));
    assert_eq!(raw.told("/").await, expected);

    // Child watches: the list changed, the parent was deleted.
    raw.events.clear();
    raw.ask(watch(listing, "/a")).await;
    client.set("/a", "4", -1).await.unwrap();
    create(&client, "/a/b", "").await;
    client.delete("/a/b", -1).await.unwrap();
    raw.ask(watch(listing, "/a")).await;
    client.delete("/a", -1).await.unwrap();
    let expected =
        ["NodeChildrenChanged", "NodeDeleted"].map(|kind| format!("{kind} {}", full("/a")));
    assert_eq!(raw.told("/").await, expected);
}

#[tokio::test]
async fn s86_service_registry() {
    let scene = Scene::new("s86").await;
    let (service, user) = (scene.client().await, scene.client().await);
    let options = CreateOptions::ephemeral_sequential();
    let refused = service.create("/servers/server01", "", &options).await;
    assert!(refused.unwrap_err().is_no_node());

    create(&service, "/servers", "").await;
    let (_, mut watch) = list(&user, "/servers").await;
    let servers = [
        ("server01", "a:1"),
        ("server02", "b:2"),
        ("server03", "c:3"),
    ];
    let mut online = Vec::new();
    for (number, (name, address)) in servers.into_iter().enumerate() {
        let path = enlist(&service, &format!("/servers/{name}"), address).await;
        assert_eq!(path, format!("/servers/{name}{number:010}"));
        online.push(path);
        assert_eq!(event(watch).await.kind, EventType::NodeChildrenChanged);
        let names;
        (names, watch) = list(&user, "/servers").await;
        assert_eq!(names.len(), number + 1);
        assert_eq!(text(&user, &online[number]).await, address);
    }

    let mut gone = Vec::new();
    for path in &online {
        gone.push(user.exists_watched(path).await.unwrap().1);
    }
    let process = service.session().0;
    service.close().await.unwrap();
    let last = service.last_zxid();
    assert_eq!(event(watch).await.kind, EventType::NodeChildrenChanged);
    let children = user.children("/servers").await.unwrap();
    assert_eq!(children.names, [""; 0]);
    // The end of the session is the transaction that removed all of them.
    assert_ne!(process, 0);
    assert_eq!(children.stat.pzxid, last);
    let mut zxids = Vec::new();
    for gone in gone {
        let told = soon(gone).await.unwrap();
        assert_eq!(told.kind, EventType::NodeDeleted);
        zxids.push(told.zxid);
    }
    assert!(zxids.iter().all(|zxid| *zxid == zxids[0]));
}

#[tokio::test]
async fn s57_what_is_there_after_a_reconnect() {
    let scene = Scene::new("s57").await;
    let first = scene.client().await;
    create(&first, "/user", "").await;
    for options in [
        CreateOptions::persistent_sequential(),
        CreateOptions::ephemeral_sequential(),
        CreateOptions::ephemeral(),
        CreateOptions::persistent_sequential(),
    ] {
        first.create("/nick", "", &options).await.unwrap();
    }
    first.close().await.unwrap();
    let mut names = scene.client().await.children("/").await.unwrap().names;
    names.sort();
    assert_eq!(names, ["nick0000000001", "nick0000000004", "user"]);
}

#[tokio::test]
async fn s64_sync() {
    let scene = Scene::new("s64").await;
    let (writer, reader) = (scene.client().await, scene.client().await);
    create(&writer, "/a", "0").await;
    for version in 0..20 {
        writer.set("/a", "x", version).await.unwrap();
        // Both are on their way at once.
        let (synced, read) = (reader.sync("/a"), reader.data("/a"));
        synced.await.unwrap();
        assert_eq!(read.await.unwrap().stat.version, version + 1);
    }
    // The path need not exist.
    reader.sync("/nothing").await.unwrap();
}

#[tokio::test]
async fn s81_a_failed_update_does_not_stop_the_next() {
    const UPDATES: i32 = 300;
    let scene = Scene::new("s81").await;
    let client = scene.client().await;
    create(&client, "/a", "").await;
    let mut calls = Vec::new();
    for update in 0..UPDATES {
        // Every third expects a version that never was.
        let wrong = update % 3 == 2;
        let expected = if wrong { 100_000 } else { -1 };
        let call = client.set("/a", update.to_string(), Expected::from(expected));
        calls.push((update, wrong, call));
    }
    let (mut version, mut last) = (0, 0);
    for (update, wrong, call) in calls {
        match call.await {
            Ok(stat) => {
                version += 1;
                last = update;
                assert!(!wrong && stat.version == version);
            }
            Err(error) => assert!(wrong && error.is_bad_version(), "{error}"),
        }
    }
    assert_eq!(version, UPDATES / 3 * 2);
    assert_eq!(text(&client, "/a").await, last.to_string());
}

/// What a persistent watch hears of, up to this event.
async fn heard(watch: &mut PersistentWatch, kind: EventType, path: &str) {
    loop {
        match soon(watch.next()).await {
            Some(Signal::Event(event)) if event.kind == kind && event.path == path => return,
            Some(_) => {}
            None => panic!("the watch has ended"),
        }
    }
}

/// Until a server has answered what the client asked by itself.
async fn settled(client: &Client) {
    for _ in 0..3 {
        soon(client.sync("/")).await.unwrap();
    }
}

#[tokio::test]
async fn zookeeper_4466_a_cache_misses_nothing_beside_one_shot_watches_of_its_path() {
    let scene = Scene::new("mixed-cache").await;
    let (client, other) = (scene.client().await, scene.client().await);
    create(&client, "/st", "").await;
    let cache = TreeCache::open(&client, "/st").unwrap();
    soon(cache.initialized()).await.unwrap();
    let (_, changed) = client.data_watched("/st").await.unwrap();
    create(&other, "/st/early", "").await;
    other.set("/st", "1", -1).await.unwrap();
    event(changed).await;
    create(&other, "/st/late", "").await;
    other.set("/st/late", "2", -1).await.unwrap();
    soon(async {
        let has = |path, data: &str| {
            cache
                .get(path)
                .is_some_and(|znode| znode.data.bytes == *data.as_bytes())
        };
        while !(has("/st", "1") && has("/st/early", "") && has("/st/late", "2")) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn zookeeper_4466_persistent_watches_of_both_reaches_share_a_path() {
    let scene = Scene::new("mixed-reaches").await;
    let (client, other) = (scene.client().await, scene.client().await);
    for first in [AddWatchMode::Persistent, AddWatchMode::PersistentRecursive] {
        let top = format!("/{first:?}");
        create(&client, &top, "").await;
        let second = match first {
            AddWatchMode::Persistent => AddWatchMode::PersistentRecursive,
            AddWatchMode::PersistentRecursive => AddWatchMode::Persistent,
        };
        let mut one = client.watch(&top, first).await.unwrap();
        let mut two = client.watch(&top, second).await.unwrap();
        let (near, far) = match first {
            AddWatchMode::Persistent => (&mut one, &mut two),
            AddWatchMode::PersistentRecursive => (&mut two, &mut one),
        };
        let (_, listed) = client.children_watched(&top).await.unwrap();
        settled(&client).await;
        let (child, below) = (format!("{top}/x"), format!("{top}/x/y"));
        create(&other, &child, "").await;
        heard(near, EventType::NodeChildrenChanged, &top).await;
        heard(far, EventType::NodeCreated, &child).await;
        assert_eq!(event(listed).await.kind, EventType::NodeChildrenChanged);
        create(&other, &below, "").await;
        heard(far, EventType::NodeCreated, &below).await;
        other.set(&top, "1", -1).await.unwrap();
        heard(near, EventType::NodeDataChanged, &top).await;
        heard(far, EventType::NodeDataChanged, &top).await;
    }
}
