//! Nothing has to be waited for longer than its caller wants, whatever has become of the server.
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

use rookeeper_client::recipes::discovery::{Discovery, ServiceInstance};
use rookeeper_client::recipes::multi_lock::MultiLock;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::recipes::read_write_lock::ReadWriteLock;
use rookeeper_client::recipes::tree_cache::TreeCache;
use rookeeper_client::{Client, State};
use tokio::time::timeout;
use world::{PATIENCE, World, builder, reach, soon};

/// A time that is over soon.
const BRIEF: Duration = Duration::from_millis(50);

/// With a session that outlives a restart of the server.
async fn patient(world: &World) -> Client {
    let settings = builder().session_timeout(Duration::from_secs(20));
    soon(settings.connect(&world.hosts())).await.unwrap()
}

#[tokio::test]
async fn nothing_waits_longer_than_it_may_for_a_server_that_is_away() {
    let mut world = World::with_tick(1000);
    let (client, other) = (patient(&world).await, patient(&world).await);
    let mutex = Mutex::new(&client, "/lock");
    let guard = soon(mutex.lock()).await.unwrap();
    let canceled = soon(Mutex::new(&client, "/canceled").lock()).await.unwrap();
    let writer = soon(ReadWriteLock::new(&client, "/rw").write()).await;
    let both = soon(MultiLock::new(&client, ["/m1", "/m2"]).lock()).await;
    world.stop();
    soon(reach(&client, State::Suspended)).await;

    assert!(!soon(guard.release_within(BRIEF)).await.unwrap());
    assert!(timeout(BRIEF, canceled.release()).await.is_err());
    assert!(!soon(writer.unwrap().release_within(BRIEF)).await.unwrap());
    assert!(!soon(both.unwrap().release_within(BRIEF)).await.unwrap());
    let cache = TreeCache::open(&client, "/").unwrap();
    assert!(!soon(cache.initialized_within(BRIEF)).await.unwrap());
    let discovery = Discovery::new(&client, "/services").unwrap();
    let web = ServiceInstance::new("web", "h1", 80);
    let registered = soon(discovery.register_within(web, BRIEF)).await.unwrap();
    assert!(registered.is_none());

    // What was given up in time is done in the background.
    world.start();
    assert!(soon(cache.initialized_within(PATIENCE)).await.unwrap());
    for path in ["/lock", "/canceled", "/rw", "/m1", "/m2"] {
        drop(soon(Mutex::new(&other, path).lock()).await.unwrap());
    }
    soon(reach(&client, State::Connected)).await;
    let there = async {
        while !discovery.instances("web").await.unwrap().is_empty() {
            tokio::time::sleep(BRIEF).await;
        }
    };
    soon(there).await;
}
