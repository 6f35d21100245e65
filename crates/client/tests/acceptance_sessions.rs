//! What users do with a client library, by the numbers of `docs/acceptance.md`: sessions, and the shapes of what large programs ask.
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

use std::ops::Range;
use std::time::Duration;

use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{
    Acl, CreateOptions, Error, ErrorCode, EventType, Multi, MultiResult, OpCode, State, perms,
};
use rookeeper_proto::compose;
use scene::{BRIEF, LONG, Raw, Scene, create, enlist, event, list, text};
use tokio::time::sleep;
use world::{Wire, builder, reach, soon};

/// Bytes of a request that any server accepts, from xid to the end.
const MAX_REQUEST: usize = 0xf_ffff;

/// Bytes of a `setData` request besides path and data.
const SET_OVERHEAD: usize = 4 + 4 + 4 + 4 + 4;

#[tokio::test]
async fn s65_a_request_may_have_a_megabyte_and_not_one_byte_more() {
    let scene = Scene::new("s65").await;
    let settings = builder().session_timeout(LONG).max_request(2 * MAX_REQUEST);
    let hosts = format!("{}{}", scene.address(), scene.root());
    let client = soon(settings.connect(&hosts)).await.unwrap();
    create(&client, "/a", "").await;
    let fits = MAX_REQUEST - SET_OVERHEAD - scene.root().len() - "/a".len();
    let bytes: Vec<u8> = (0..fits).map(|at| (at % 251) as u8).collect();
    client.set("/a", &bytes, -1).await.unwrap();
    assert_eq!(client.data("/a").await.unwrap().bytes, bytes);

    let session = client.session();
    let mut states = client.states();
    let larger = client.set("/a", vec![0; fits + 1], -1).await;
    assert_eq!(larger.unwrap_err(), Error::ConnectionLost);
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    assert_eq!(soon(states.next()).await, Some(State::Connected));
    assert_eq!(client.session(), session);
    assert_eq!(client.data("/a").await.unwrap().stat.version, 1);

    // With the usual settings it does not cost the connection.
    let usual = scene.client().await;
    let refused = usual.set("/a", vec![0; fits + 1], -1).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    assert_eq!(usual.state(), State::Connected);
}

#[tokio::test]
async fn s66_any_bytes_come_back_unchanged() {
    let scene = Scene::new("s66").await;
    let client = scene.client().await;
    let every: Vec<u8> = (0..=255).collect();
    let random: Vec<u8> = (0..10_000).map(|_| fastrand::u8(..)).collect();
    for (at, bytes) in [&every[..], &random[..], b"", b"\0", "\u{1F600}".as_bytes()]
        .into_iter()
        .enumerate()
    {
        create(&client, &format!("/{at}"), bytes).await;
        let data = client.data(&format!("/{at}")).await.unwrap();
        assert_eq!(data.bytes, bytes);
        assert_eq!(data.stat.data_length as usize, bytes.len());
    }
}

#[tokio::test]
async fn s84_the_session_timeout_is_between_two_and_twenty_ticks() {
    let scene = Scene::with_usual_tick("s84").await;
    let tick = scene.tick().await;
    let hosts = scene.address().to_string();
    for (asked, given) in [
        (Duration::from_secs(600), tick * 20),
        (tick * 25, tick * 20),
        (tick * 20, tick * 20),
        (tick * 5, tick * 5),
        (tick * 2, tick * 2),
        (tick / 2, tick * 2),
    ] {
        let client = soon(builder().session_timeout(asked).connect(&hosts)).await;
        let client = client.unwrap();
        assert_eq!(client.negotiated_timeout(), given, "asked {asked:?}");
        client.close().await.unwrap();
    }
}

#[tokio::test]
async fn s90_old_and_new_handshakes_creates_and_containers() {
    let scene = Scene::new("s90").await;
    let path = |name: &str| format!("{}/{name}", scene.root());
    // 36 bytes, and one more for who asks with one more.
    for (byte, greeting_bytes) in [(None, 36), (Some(false), 37), (Some(true), 37)] {
        let mut raw = Raw::connect(scene.address(), byte).await;
        assert_eq!(raw.greeting_bytes, greeting_bytes);
        for (op, kind) in [
            (OpCode::Create, CreateOptions::persistent()),
            (OpCode::Create2, CreateOptions::persistent()),
            (OpCode::CreateContainer, CreateOptions::container()),
        ] {
            let made = path(&format!("{op:?}{greeting_bytes}{}", byte == Some(true)));
            let frame = compose::frame(op, |out| {
                let acl = Acl::open();
                let znode = compose::NewZnode {
                    path: &made,
                    data: Some(b""),
                    acl: &acl,
                    mode: kind.mode(),
                    ttl_ms: 0,
                };
                znode.encode(out);
            });
            assert_eq!(raw.ask(frame).await.0.err, ErrorCode::Ok.code(), "{op:?}");
        }
    }
    let names = scene.client().await.children("/").await.unwrap().names;
    assert_eq!(names.len(), 9);
}

#[tokio::test]
async fn s99_client_states() {
    let scene = Scene::new("s99").await;
    let wire = Wire::to(scene.address()).await;
    wire.cut();
    let hosts = format!("{}{}", wire.address, scene.root());
    let brief = builder().session_timeout(BRIEF);
    let client = brief.open(&hosts).unwrap();
    let mut states = client.states();
    assert_eq!(client.state(), State::Connecting);
    let waiting = client.exists("/");
    wire.mend();
    assert_eq!(soon(states.next()).await, Some(State::Connected));
    assert!(soon(waiting).await.unwrap().is_some());

    // Lost, and found again.
    wire.break_once();
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    assert_eq!(soon(states.next()).await, Some(State::Connected));

    // Lost for too long: only a server can tell, so the word comes with the next connection.
    let other = scene.client().await;
    let mark = enlist(&client, "/mark", "").await;
    let (_, gone) = other.exists_watched(&mark).await.unwrap();
    wire.cut();
    assert_eq!(soon(states.next()).await, Some(State::Suspended));
    assert_eq!(event(gone).await.kind, EventType::NodeDeleted);
    assert_eq!(client.state(), State::Suspended);
    wire.mend();
    assert_eq!(soon(states.next()).await, Some(State::Expired));
    assert_eq!(soon(states.next()).await, None);
    assert_eq!(client.exists("/").await, Err(Error::SessionExpired));

    let mut states = other.states();
    other.close().await.unwrap();
    assert_eq!(soon(states.next()).await, Some(State::Closed));
    assert_eq!(soon(states.next()).await, None);
    assert_eq!(other.state(), State::Closed);
    assert_eq!(other.exists("/").await, Err(Error::Closed));
}

#[tokio::test]
async fn s102_a_lock_lives_as_long_as_its_session() {
    let scene = Scene::new("s102").await;
    let ((holder, wire), other) = (scene.brief_client_by_wire().await, scene.client().await);
    let mutex = Mutex::new(&holder, "/locks/x");
    let guard = mutex.lock().await.unwrap();
    // There is no time after which a lock is given away.
    let long = holder.negotiated_timeout() * 2;
    assert!(
        Mutex::new(&other, "/locks/x")
            .lock_within(long)
            .await
            .unwrap()
            .is_none()
    );
    assert!(guard.is_held());

    // The client stands still for longer than its session: nothing that it says arrives.
    wire.hold();
    let next = Mutex::new(&other, "/locks/x").lock().await.unwrap();
    assert!(!guard.is_held());
    soon(guard.lost()).await;
    assert!(next.token() > guard.token());
    let asked = holder.data("/locks");
    wire.break_once();
    assert_eq!(soon(asked).await.unwrap_err(), Error::SessionExpired);
    reach(&holder, State::Expired).await;
    assert!(next.is_held());
}

#[tokio::test]
async fn s103_a_short_cut_costs_nothing_and_a_long_one_the_lock() {
    let scene = Scene::new("s103").await;
    let ((holder, wire), other) = (scene.brief_client_by_wire().await, scene.client().await);
    let session = holder.session();
    let guard = Mutex::new(&holder, "/locks/x").lock().await.unwrap();
    let waiting = Mutex::new(&other, "/locks/x");
    let waiting = tokio::spawn(async move { waiting.lock().await });
    world::children(&other, "/locks/x", 2).await;

    wire.cut();
    reach(&holder, State::Suspended).await;
    sleep(holder.negotiated_timeout() / 8).await;
    wire.mend();
    reach(&holder, State::Connected).await;
    assert_eq!(holder.session(), session);
    let stat = holder.exists(guard.path()).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, session.0);
    assert_eq!(stat.czxid, guard.token());
    assert!(guard.is_held() && !waiting.is_finished());

    wire.cut();
    let next = soon(waiting).await.unwrap().unwrap();
    assert!(!guard.is_held());
    assert!(next.token() > guard.token());
    wire.mend();
    reach(&holder, State::Expired).await;
    assert!(next.is_held());
    world::children(&other, "/locks/x", 1).await;
}

#[tokio::test]
async fn s103_more_watches_than_one_request_could_name_outlive_a_cut() {
    const EACH: usize = 400;
    let scene = Scene::new("s103").await;
    let ((client, wire), other) = (scene.client_by_wire().await, scene.client().await);
    // Together more than a request may have.
    let name = |kind: &str, at: usize| format!("/{kind}{at:0>996}");
    let mut creates = Vec::new();
    for kind in ["data", "list"] {
        for at in 0..EACH {
            let path = name(kind, at);
            creates.push(other.create(&path, "", &CreateOptions::persistent()));
        }
    }
    for create in creates {
        create.await.unwrap();
    }
    client.sync("/").await.unwrap();
    let calls: Vec<_> = (0..EACH)
        .map(|at| {
            let data = client.data_watched(&name("data", at));
            let list = client.children_watched(&name("list", at));
            (data, list, client.exists_watched(&name("none", at)))
        })
        .collect();
    let mut watches = Vec::new();
    for (data, list, none) in calls {
        watches.push(data.await.unwrap().1);
        watches.push(list.await.unwrap().1);
        watches.push(none.await.unwrap().1);
    }
    // Some changes fall into the break, some come after it.
    let change = async |which: Range<usize>| {
        let plain = CreateOptions::persistent();
        let mut calls = Vec::new();
        for at in which {
            let child = format!("{}/x", name("list", at));
            let set = other.set(&name("data", at), "x", -1);
            let list = other.create(&child, "", &plain);
            let none = other.create(&name("none", at), "", &plain);
            calls.push((set, list, none));
        }
        for (set, list, none) in calls {
            assert!(set.await.is_ok() && list.await.is_ok() && none.await.is_ok());
        }
    };
    wire.cut();
    reach(&client, State::Suspended).await;
    change(0..EACH / 2).await;
    wire.mend();
    reach(&client, State::Connected).await;
    change(EACH / 2..EACH).await;
    let kinds = [
        EventType::NodeDataChanged,
        EventType::NodeChildrenChanged,
        EventType::NodeCreated,
    ];
    for (watch, kind) in watches.into_iter().zip(kinds.into_iter().cycle()) {
        assert_eq!(event(watch).await.kind, kind);
    }
}

#[tokio::test]
async fn s100_dubbo_registers_urls() {
    const PROVIDERS: &str = "/dubbo/com.example.UserService/providers";
    let scene = Scene::new("s100").await;
    let (provider, wire) = scene.brief_client_by_wire().await;
    let consumer = scene.client().await;
    let mut path = String::new();
    for name in PROVIDERS.split('/').skip(1) {
        path = format!("{path}/{name}");
        create(&provider, &path, "").await;
    }
    let (_, watch) = list(&consumer, PROVIDERS).await;
    let url = |port: u16| {
        let methods = "find%2CfindAll%2Csave%2C".repeat(20);
        format!(
            "{PROVIDERS}/dubbo%3A%2F%2F127.0.0.1%3A{port}%2Fcom.example.UserService%3Fanyhost%3Dtrue%26methods%3D{methods}"
        )
    };
    let ephemeral = CreateOptions::ephemeral();
    let created = provider.create(&url(20880), "", &ephemeral).await.unwrap();
    assert_eq!(created.path, url(20880));
    event(watch).await;
    let (names, watch) = list(&consumer, PROVIDERS).await;
    assert_eq!(format!("{PROVIDERS}/{}", names[0]), url(20880));
    // It registers again after a restart that was too quick for its old session to end.
    let again = scene.client().await;
    let there = again.create(&url(20880), "", &ephemeral).await;
    assert!(there.unwrap_err().is_node_exists());
    again.delete(&url(20880), -1).await.unwrap();
    again.create(&url(20880), "", &ephemeral).await.unwrap();
    event(watch).await;
    // The end of the old session does not take the new znode away.
    provider.close().await.unwrap();
    drop(wire);
    let stat = consumer.exists(&url(20880)).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, again.session().0);
}

#[tokio::test]
async fn s100_kafka_elects_a_controller_and_fences_its_writes() {
    let scene = Scene::new("s100").await;
    let ((first, wire), second) = (scene.brief_client_by_wire().await, scene.client().await);
    for path in ["/brokers", "/brokers/ids", "/brokers/topics"] {
        create(&first, path, "").await;
    }
    create(&first, "/controller_epoch", "0").await;
    // Whoever creates the ephemeral raises the epoch in the same transaction.
    let elect = |epoch: i32, data: &'static str| {
        Multi::new()
            .create("/controller", data, &CreateOptions::ephemeral())
            .set("/controller_epoch", (epoch + 1).to_string(), epoch)
    };
    first.multi(elect(0, "1")).await.unwrap();
    let refused = second.multi(elect(0, "2")).await.unwrap_err();
    assert!(refused.is_node_exists());
    assert_eq!(text(&second, "/controller_epoch").await, "1");
    let (_, gone) = second.exists_watched("/controller").await.unwrap();

    // What a controller writes is checked with its epoch, many at once.
    let topic = |name: &str, epoch| {
        Multi::new().check("/controller_epoch", epoch).create(
            format!("/brokers/topics/{name}"),
            "{}",
            &CreateOptions::persistent(),
        )
    };
    let calls: Vec<_> = (0..100)
        .map(|at| first.multi(topic(&format!("t{at}"), 1)))
        .collect();
    for call in calls {
        let done = call.await.unwrap();
        assert!(matches!(
            &done[..],
            [MultiResult::Checked, MultiResult::Created(_)]
        ));
    }
    wire.cut();
    assert_eq!(event(gone).await.kind, EventType::NodeDeleted);
    second.multi(elect(1, "2")).await.unwrap();
    // The old controller comes back with a new session, and its epoch is refused.
    let late = scene.client().await.multi(topic("late", 1)).await;
    assert!(late.unwrap_err().is_bad_version());
    let topics = second.children("/brokers/topics").await.unwrap();
    assert_eq!(topics.names.len(), 100);
}

#[tokio::test]
async fn s100_kafka_protects_what_it_writes() {
    let scene = Scene::new("s100").await;
    let broker = scene.client().await;
    broker.add_auth("digest", "broker:secret").await.unwrap();
    let mut acl = vec![Acl::new(perms::ALL, "auth", "")];
    acl.push(Acl::new(perms::READ, "world", "anyone"));
    let protected = CreateOptions::persistent().acl(acl);
    broker.create("/config", "1", &protected).await.unwrap();
    let other = scene.client().await;
    assert_eq!(text(&other, "/config").await, "1");
    for refused in [
        other.set("/config", "2", -1).await.map(drop),
        other.set_acl("/config", &Acl::open(), -1).await.map(drop),
        other
            .create("/config/x", "", &CreateOptions::persistent())
            .await
            .map(drop),
    ] {
        assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::NoAuth));
    }
    let parts = Multi::new().check("/config", 0).set("/config", "2", 0);
    let refused = other.multi(parts.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NoAuth));
    broker.multi(parts).await.unwrap();
    assert_eq!(text(&other, "/config").await, "2");
}

#[tokio::test]
async fn s100_hbase_has_large_lists_and_large_multis() {
    const REGIONS: usize = 8000;
    const AT_ONCE: usize = 1000;
    let scene = Scene::new("s100").await;
    let client = scene.client().await;
    create(&client, "/splitWAL", "").await;
    let name =
        |at: usize| format!("/splitWAL/WALs%2Fregionserver%2C16020%2C1700000000000%2F{at:0>100}");
    for first in (0..REGIONS).step_by(AT_ONCE) {
        let multi = (first..first + AT_ONCE).fold(Multi::new(), |multi, at| {
            multi.create(name(at), "", &CreateOptions::persistent())
        });
        assert_eq!(client.multi(multi).await.unwrap().len(), AT_ONCE);
    }
    // More than a megabyte of names: requests are limited, answers are not.
    let children = client.children("/splitWAL").await.unwrap();
    assert_eq!(children.names.len(), REGIONS);
    assert!(children.names.iter().map(String::len).sum::<usize>() > MAX_REQUEST);

    // All or nothing, with a thousand parts too.
    let all = |last: i32| {
        let deletes = (0..AT_ONCE).fold(Multi::new(), |multi, at| multi.delete(name(at), -1));
        deletes.check("/splitWAL", last)
    };
    let refused = client.multi(all(7)).await.unwrap_err();
    assert!(matches!(refused, Error::PartRefused { index: AT_ONCE, .. }));
    assert!(client.exists(&name(0)).await.unwrap().is_some());
    client.multi(all(0)).await.unwrap();
    let left = client.exists("/splitWAL").await.unwrap().unwrap();
    assert_eq!(left.num_children as usize, REGIONS - AT_ONCE);
}

#[tokio::test]
async fn s100_solr_has_an_overseer_queue_and_states_that_are_compared_and_set() {
    let scene = Scene::new("s100").await;
    let (node, overseer) = (scene.client().await, scene.client().await);
    for path in [
        "/overseer",
        "/overseer/queue",
        "/live_nodes",
        "/collections",
    ] {
        create(&node, path, "").await;
    }
    let live = "/live_nodes/127.0.0.1:8983_solr";
    node.create(live, "", &CreateOptions::ephemeral())
        .await
        .unwrap();
    let (names, watch) = list(&overseer, "/overseer/queue").await;
    assert_eq!(names, [""; 0]);
    let options = CreateOptions::persistent_sequential();
    let puts: Vec<_> = (0..50)
        .map(|at| node.create("/overseer/queue/qn-", at.to_string(), &options))
        .collect();
    for put in puts {
        put.await.unwrap();
    }
    event(watch).await;
    for (at, name) in list(&overseer, "/overseer/queue")
        .await
        .0
        .iter()
        .enumerate()
    {
        let path = format!("/overseer/queue/{name}");
        assert_eq!(name, &format!("qn-{at:010}"));
        assert_eq!(text(&overseer, &path).await, at.to_string());
        overseer.delete(&path, -1).await.unwrap();
    }
    create(&overseer, "/collections/state.json", "{}").await;
    let seen = overseer.data("/collections/state.json").await.unwrap();
    node.set("/collections/state.json", "{\"a\":1}", seen.stat.version)
        .await
        .unwrap();
    let late = overseer
        .set("/collections/state.json", "{}", seen.stat.version)
        .await;
    assert!(late.unwrap_err().is_bad_version());
}

#[tokio::test]
async fn s100_codis_takes_turns_with_ephemerals_of_known_names() {
    let scene = Scene::new("s100").await;
    let (proxy, dashboard) = (scene.client().await, scene.client().await);
    for path in ["/jodis", "/jodis/product", "/codis3"] {
        create(&dashboard, path, "").await;
    }
    let (names, watch) = list(&dashboard, "/jodis/product").await;
    assert_eq!(names, [""; 0]);
    let proxy_path = enlist(
        &proxy,
        "/jodis/product/proxy-",
        "{\"addr\":\"127.0.0.1:19000\"}",
    )
    .await;
    event(watch).await;
    let lock = CreateOptions::ephemeral();
    dashboard.create("/codis3/topom", "1", &lock).await.unwrap();
    let second = proxy.create("/codis3/topom", "2", &lock).await;
    assert!(second.unwrap_err().is_node_exists());
    let (_, released) = proxy.exists_watched("/codis3/topom").await.unwrap();
    dashboard.close().await.unwrap();
    assert_eq!(event(released).await.kind, EventType::NodeDeleted);
    proxy.create("/codis3/topom", "2", &lock).await.unwrap();
    assert!(proxy.exists(&proxy_path).await.unwrap().is_some());
}
