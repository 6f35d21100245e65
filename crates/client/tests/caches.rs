//! Caches of a node, of children and of a tree: what they hold and what they tell, whatever happens to the line. Every test runs with
//! persistent watches and with one-shot ones.
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

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rookeeper_client::recipes::cache::{Cache, CacheError, CacheOptions, Change, Changes, Znode};
use rookeeper_client::recipes::children_cache::ChildrenCache;
use rookeeper_client::recipes::node_cache::NodeCache;
use rookeeper_client::recipes::tree_cache::TreeCache;
use rookeeper_client::{
    AddWatchMode, Client, CreateOptions, Error, OpCode, Retry, State, WatcherType, Zxid,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::ensemble::Ensemble;
use world::{Wire, World, reach, soon};

/// Seed of the random test; `CACHE_SEED` sets another one.
const SEED: u64 = 20_261_121;
/// Random histories in each way to watch.
const HISTORIES: u64 = 4;
/// Steps of one history.
const STEPS: usize = 250;

fn plain() -> CreateOptions {
    CreateOptions::persistent()
}

/// Both ways to watch.
fn ways() -> [CacheOptions; 2] {
    [false, true].map(|one_shot| CacheOptions::new().one_shot_watches(one_shot))
}

/// A znode's path and text.
fn show(znode: &Znode) -> String {
    format!(
        "{}={}",
        znode.path,
        String::from_utf8_lossy(&znode.data.bytes)
    )
}

fn held(cache: &Cache) -> Vec<String> {
    cache.snapshot().iter().map(|znode| show(znode)).collect()
}

fn word(change: &Change) -> String {
    match change {
        Change::Added(znode) => format!("+{}", show(znode)),
        Change::Changed { now, .. } => format!("!{}", show(now)),
        Change::Removed(znode) => format!("-{}", znode.path),
        other => format!("{other:?}"),
    }
}

/// The next changes up to and including one that reads so.
async fn told_until(changes: &mut Changes, last: &str) -> Vec<String> {
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != last) {
        let change = soon(changes.next()).await.expect("the stream has ended");
        words.push(word(&change));
    }
    words
}

async fn create(client: &Client, path: &str, data: &str) {
    client.create(path, data, &plain()).await.unwrap();
}

#[tokio::test]
async fn a_node_cache_follows_a_znode_from_its_creation_to_its_deletion() {
    let world = World::new();
    let other = world.client().await;
    for options in ways() {
        let client = world.client().await;
        let cache = NodeCache::with(&client, "/n", options).unwrap();
        soon(cache.initialized()).await.unwrap();
        assert_eq!(cache.data(), None);
        let mut changes = cache.changes();
        assert_eq!(
            told_until(&mut changes, "Initialized").await,
            ["Initialized"]
        );
        create(&other, "/n", "1").await;
        create(&other, "/n/below", "").await;
        assert_eq!(told_until(&mut changes, "+/n=1").await.len(), 1);
        other.set("/n", "2", -1).await.unwrap();
        assert_eq!(told_until(&mut changes, "!/n=2").await.len(), 1);
        assert_eq!(cache.data().unwrap().data.stat.version, 1);
        other.delete("/n/below", -1).await.unwrap();
        other.delete("/n", -1).await.unwrap();
        assert_eq!(told_until(&mut changes, "-/n").await.len(), 1);
        assert_eq!((cache.data(), cache.is_fresh()), (None, true));
    }
}

#[tokio::test]
async fn a_children_cache_holds_the_children_and_nothing_else() {
    let world = World::new();
    let other = world.client().await;
    for options in ways() {
        let client = world.client().await;
        let cache = ChildrenCache::with(&client, "/p", options).unwrap();
        soon(cache.initialized()).await.unwrap();
        create(&other, "/p", "parent").await;
        for name in ["a", "b", "c"] {
            create(&other, &format!("/p/{name}"), name).await;
        }
        create(&other, "/p/a/deep", "").await;
        other.set("/p", "again", -1).await.unwrap();
        other.set("/p/b", "B", -1).await.unwrap();
        other.delete("/p/c", -1).await.unwrap();
        soon(cache.sync()).await.unwrap();
        assert_eq!(held(&cache), ["/p/a=a", "/p/b=B"]);
        assert_eq!(show(&cache.child("b").unwrap()), "/p/b=B");
        for path in ["/p/a/deep", "/p/a", "/p/b", "/p"] {
            other.delete(path, -1).await.unwrap();
        }
        soon(cache.sync()).await.unwrap();
        assert!(cache.snapshot().is_empty());
        create(&other, "/p", "").await;
        create(&other, "/p/new", "1").await;
        soon(cache.sync()).await.unwrap();
        assert_eq!(held(&cache), ["/p/new=1"]);
        other.delete("/p/new", -1).await.unwrap();
        other.delete("/p", -1).await.unwrap();
    }
}

#[tokio::test]
async fn a_tree_cache_holds_what_is_there_down_to_its_depth() {
    let world = World::new();
    let other = world.client().await;
    for path in ["/t", "/t/a", "/t/a/b", "/t/a/b/c", "/tt"] {
        create(&other, path, "1").await;
    }
    for options in ways() {
        let client = world.client().await;
        let cache = TreeCache::with(&client, "/t", 2, options.clone()).unwrap();
        soon(cache.initialized()).await.unwrap();
        assert_eq!(held(&cache), ["/t=1", "/t/a=1", "/t/a/b=1"]);
        let all = TreeCache::with(&client, "/", usize::MAX, options).unwrap();
        soon(all.initialized()).await.unwrap();
        let snapshot = all.snapshot();
        assert!(snapshot.get("/t/a/b/c").is_some() && snapshot.get("/tt").is_some());
        let children: Vec<&str> = snapshot.children("/t").map(|znode| znode.name()).collect();
        assert_eq!(children, ["a"]);
        let mut changes = cache.changes();
        told_until(&mut changes, "Initialized").await;
        create(&other, "/t/x", "").await;
        create(&other, "/t/x/y", "").await;
        create(&other, "/t/x/y/z", "").await;
        soon(cache.sync()).await.unwrap();
        assert_eq!(
            told_until(&mut changes, "+/t/x/y=").await,
            ["+/t/x=", "+/t/x/y="]
        );
        for path in ["/t/x/y/z", "/t/x/y", "/t/x"] {
            other.delete(path, -1).await.unwrap();
        }
        assert_eq!(
            told_until(&mut changes, "-/t/x").await,
            ["-/t/x/y", "-/t/x"]
        );
    }
}

#[tokio::test]
async fn caches_of_one_client_on_one_path_do_not_disturb_each_other() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    create(&other, "/s", "1").await;
    let [persistent, one_shot] = ways();
    let node = NodeCache::with(&client, "/s", persistent.clone()).unwrap();
    let children = ChildrenCache::with(&client, "/s", persistent.clone()).unwrap();
    let tree = TreeCache::with(&client, "/s", 1, persistent).unwrap();
    let leaving = TreeCache::with(&client, "/s", 1, one_shot).unwrap();
    for cache in [&*node, &*children, &*tree, &*leaving] {
        soon(cache.initialized()).await.unwrap();
    }
    drop((leaving, tree));
    other.set("/s", "2", -1).await.unwrap();
    create(&other, "/s/x", "3").await;
    other.set("/s/x", "4", -1).await.unwrap();
    soon(node.sync()).await.unwrap();
    soon(children.sync()).await.unwrap();
    assert_eq!(
        (held(&node), held(&children)),
        (vec!["/s=2".to_owned()], vec!["/s/x=4".to_owned()])
    );
}

#[tokio::test]
async fn paths_are_those_of_the_client_s_view() {
    let world = World::new();
    create(&world.client().await, "/app", "").await;
    for options in ways() {
        let view = world.client_below("/app").await;
        let cache = ChildrenCache::with(&view, "/", options).unwrap();
        create(&view, "/x", "1").await;
        soon(cache.sync()).await.unwrap();
        assert_eq!(held(&cache), ["/x=1"]);
        view.delete("/x", -1).await.unwrap();
    }
    let view = world.client_below("/app").await;
    let refused = TreeCache::open(&view, "no path").unwrap_err();
    assert!(matches!(refused, Error::BadPath { .. }));
}

#[tokio::test]
async fn after_an_interruption_the_differences_are_told_and_nothing_else() {
    let world = World::new();
    let other = world.client().await;
    for options in ways() {
        let (client, wire) = world.client_by_wire().await;
        for path in ["/i", "/i/kept", "/i/gone", "/i/new", "/i/again"] {
            create(&other, path, "1").await;
        }
        other.delete("/i/new", -1).await.unwrap();
        let cache = TreeCache::with(&client, "/i", 9, options).unwrap();
        let mut changes = cache.changes();
        told_until(&mut changes, "Initialized").await;
        wire.cut();
        assert_eq!(told_until(&mut changes, "Stale").await, ["Stale"]);
        assert!(!cache.is_fresh());
        create(&other, "/i/new", "2").await;
        other.delete("/i/gone", -1).await.unwrap();
        other.delete("/i/again", -1).await.unwrap();
        create(&other, "/i/again", "2").await;
        create(&other, "/i/passing", "").await;
        other.delete("/i/passing", -1).await.unwrap();
        wire.mend();
        let mut told = told_until(&mut changes, "Fresh").await;
        told.sort();
        assert_eq!(told, ["!/i/again=2", "+/i/new=2", "-/i/gone", "Fresh"]);
        wire.break_once();
        assert_eq!(told_until(&mut changes, "Fresh").await, ["Stale", "Fresh"]);
        for path in ["/i/kept", "/i/new", "/i/again", "/i"] {
            other.delete(path, -1).await.unwrap();
        }
        assert_eq!(told_until(&mut changes, "-/i").await.len(), 4);
    }
}

#[tokio::test]
async fn a_cache_outlives_a_restart_of_the_server() {
    let mut world = World::new();
    for options in ways() {
        let client = world.client().await;
        let cache = ChildrenCache::with(&client, "/", options).unwrap();
        soon(cache.initialized()).await.unwrap();
        let mut changes = cache.changes();
        world.stop();
        told_until(&mut changes, "Stale").await;
        world.start();
        told_until(&mut changes, "Fresh").await;
        let other = world.client().await;
        create(&other, "/after", "").await;
        assert_eq!(told_until(&mut changes, "+/after=").await.len(), 1);
        other.delete("/after", -1).await.unwrap();
    }
}

#[tokio::test]
async fn a_cache_outlives_the_loss_of_the_leader() {
    let mut ensemble = Ensemble::new().await;
    for options in ways() {
        let (client, other) = (ensemble.client().await, ensemble.client().await);
        create(&other, "/f", "1").await;
        let cache = TreeCache::with(&client, "/f", 1, options).unwrap();
        let mut changes = cache.changes();
        soon(cache.initialized()).await.unwrap();
        let lost = ensemble.lose_leader().await;
        let retry = Retry::forever().idempotent();
        soon(retry.run(|| other.set("/f", "2", -1))).await.unwrap();
        soon(cache.sync()).await.unwrap();
        assert_eq!(held(&cache), ["/f=2"]);
        ensemble.start(lost);
        ensemble.serving().await;
        soon(retry.run(|| other.delete("/f", -1))).await.unwrap();
        let mut told = told_until(&mut changes, "-/f").await;
        told.retain(|word| word.contains("/f"));
        // A set that was sent twice makes two versions of one text.
        told.dedup();
        assert_eq!(told, ["+/f=1", "!/f=2", "-/f"]);
    }
}

#[tokio::test]
async fn a_change_costs_one_read_and_a_deletion_none() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    for path in ["/r", "/r/a", "/r/b"] {
        create(&other, path, "1").await;
    }
    let cache = TreeCache::open(&client, "/r").unwrap();
    soon(cache.initialized()).await.unwrap();
    let mut changes = cache.changes();
    told_until(&mut changes, "Initialized").await;
    wire.requests();
    other.set("/r/a", "2", -1).await.unwrap();
    told_until(&mut changes, "!/r/a=2").await;
    create(&other, "/r/c", "3").await;
    told_until(&mut changes, "+/r/c=3").await;
    other.delete("/r/b", -1).await.unwrap();
    told_until(&mut changes, "-/r/b").await;
    assert_eq!(wire.requests(), [OpCode::GetData, OpCode::GetData]);
}

#[tokio::test]
async fn a_cache_that_grows_beyond_its_limit_ends_and_says_so() {
    let world = World::new();
    let other = world.client().await;
    create(&other, "/l", "").await;
    for options in ways() {
        for name in ["a", "b", "c"] {
            create(&other, &format!("/l/{name}"), "").await;
        }
        let client = world.client().await;
        let cache = ChildrenCache::with(&client, "/l", options.clone().max_znodes(3)).unwrap();
        let mut changes = cache.changes();
        told_until(&mut changes, "Initialized").await;
        create(&other, "/l/d", "").await;
        let mut last = None;
        while let Some(change) = soon(changes.next()).await {
            last = Some(change);
        }
        let root = "/l".to_owned();
        let end = CacheError::TooManyZnodes { root, limit: 3 };
        assert_eq!(last, Some(Change::Ended(end.clone())));
        assert_eq!(cache.sync().await, Err(end.clone()));
        assert!(!cache.is_fresh());
        assert!(cache.snapshot().len() >= 3);
        let small = ChildrenCache::with(&client, "/l", options.clone().max_znodes(2)).unwrap();
        assert!(soon(small.initialized()).await.is_err());
        let light = ChildrenCache::with(&client, "/l", options.max_bytes(300)).unwrap();
        let too_many = soon(light.initialized()).await.unwrap_err();
        assert!(matches!(
            too_many,
            CacheError::TooManyBytes { limit: 300, .. }
        ));
        for name in ["a", "b", "c", "d"] {
            other.delete(&format!("/l/{name}"), -1).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_cache_ends_with_its_session() {
    let world = World::new();
    for options in ways() {
        let client = world.client().await;
        let cache = NodeCache::with(&client, "/", options.clone()).unwrap();
        let mut changes = cache.changes();
        told_until(&mut changes, "Initialized").await;
        client.close().await.unwrap();
        let mut last = None;
        while let Some(change) = soon(changes.next()).await {
            last = Some(change);
        }
        let end = CacheError::Client(Error::Closed);
        assert_eq!(last, Some(Change::Ended(end.clone())));
        assert_eq!(cache.initialized().await, Err(end));
        let late = NodeCache::with(&client, "/", options).unwrap();
        assert!(soon(late.initialized()).await.is_err());
    }
}

async fn watches_at(world: &World) -> String {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"wchs").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_dropped_cache_leaves_no_watch_behind() {
    let world = World::new();
    let client = world.client().await;
    create(&client, "/w", "").await;
    create(&client, "/w/x", "").await;
    for options in ways() {
        let cache = TreeCache::with(&client, "/w", 1, options).unwrap();
        soon(cache.initialized()).await.unwrap();
        assert_ne!(watches_at(&world).await, "Total watches:0");
        let mut changes = cache.changes();
        drop(cache);
        assert_eq!(told_until(&mut changes, "Ended(Dropped)").await.len(), 4);
        assert_eq!(soon(changes.next()).await, None);
        soon(async {
            while watches_at(&world).await != "Total watches:0" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_cache_whose_watch_was_removed_begins_again() {
    let world = World::new();
    let client = world.client().await;
    let other = world.client().await;
    create(&other, "/r", "1").await;
    for options in ways() {
        let cache = TreeCache::with(&client, "/r", 1, options).unwrap();
        soon(cache.initialized()).await.unwrap();
        client.remove_watches("/r", WatcherType::Any).await.unwrap();
        soon(cache.sync()).await.unwrap();
        other.set("/r", "2", -1).await.unwrap();
        let mut changes = cache.changes();
        soon(async {
            while changes.next().await.map(|change| word(&change)).as_deref() != Some("!/r=2") {
                if cache.get("/r").is_some_and(|znode| znode.data.bytes == "2") {
                    break;
                }
            }
        })
        .await;
        other.set("/r", "1", -1).await.unwrap();
    }
}

/// A line to a server that seems to be from before 3.6: it does not know `addWatch`.
async fn carry_to_old_server(mut client: TcpStream, server: SocketAddr) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (refusals, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let requests = async {
        let mut is_handshake = true;
        while let Ok(frame) = read_frame(&mut from_client).await {
            if !std::mem::take(&mut is_handshake) && frame[8..12] == ADD_WATCH.to_be_bytes() {
                refusals.send(refusal(&frame[4..8])).unwrap();
            } else if to_server.write_all(&frame).await.is_err() {
                return;
            }
        }
    };
    let replies = async {
        let mut bytes = [0; 4096];
        loop {
            // Replies come whole, since they are short here.
            let sent = tokio::select! {
                Ok(read @ 1..) = from_server.read(&mut bytes) => to_client.write_all(&bytes[..read]).await,
                Some(refusal) = refused.recv() => to_client.write_all(&refusal).await,
                else => return,
            };
            if sent.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}

const ADD_WATCH: i32 = 106;

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let len = from.read_i32().await?;
    let mut frame = len.to_be_bytes().to_vec();
    frame.resize(4 + len as usize, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

/// What a server answers to an operation that it does not know.
fn refusal(xid: &[u8]) -> Vec<u8> {
    const UNIMPLEMENTED: i32 = -6;
    let mut reply = 16_i32.to_be_bytes().to_vec();
    reply.extend(xid);
    reply.extend((-1_i64).to_be_bytes());
    reply.extend(UNIMPLEMENTED.to_be_bytes());
    reply
}

#[tokio::test]
async fn a_server_without_persistent_watches_is_followed_by_one_shot_ones() {
    let world = World::new();
    let other = world.client().await;
    create(&other, "/o", "1").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (old, server) = (listener.local_addr().unwrap(), world.address());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry_to_old_server(client, server));
        }
    });
    let client = world::connect(&old.to_string()).await;
    let refused = client.watch("/o", AddWatchMode::Persistent).await;
    assert!(matches!(refused, Err(Error::Unsupported(_))));
    let cache = TreeCache::open(&client, "/o").unwrap();
    soon(cache.initialized()).await.unwrap();
    other.set("/o", "2", -1).await.unwrap();
    create(&other, "/o/x", "3").await;
    soon(cache.sync()).await.unwrap();
    assert_eq!(held(&cache), ["/o=2", "/o/x=3"]);
}

/// Everything below a path, as another client reads it.
async fn tree(client: &Client, path: &str) -> BTreeMap<String, (Vec<u8>, Zxid)> {
    let mut found = BTreeMap::new();
    let mut missing = vec![path.to_owned()];
    while let Some(path) = missing.pop() {
        let Ok(data) = client.data(&path).await else {
            continue;
        };
        let children = client.children(&path).await.unwrap();
        missing.extend(children.names.iter().map(|name| format!("{path}/{name}")));
        found.insert(path, (data.bytes.to_vec(), data.stat.mzxid));
    }
    found
}

/// What a reader of the stream knows. It insists on what the stream promises.
#[derive(Default)]
struct Follower {
    znodes: BTreeMap<Arc<str>, Arc<Znode>>,
    newest: BTreeMap<Arc<str>, Zxid>,
}

impl Follower {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Added(now) => self.put(None, now),
            Change::Changed { before, now } => self.put(Some(before), now),
            Change::Removed(before) => {
                assert_eq!(self.znodes.remove(&before.path), Some(before));
            }
            _ => {}
        }
    }

    fn put(&mut self, before: Option<Arc<Znode>>, now: Arc<Znode>) {
        let newer = self
            .newest
            .insert(Arc::clone(&now.path), now.data.stat.mzxid);
        assert!(newer < Some(now.data.stat.mzxid), "{} went back", now.path);
        assert_eq!(self.znodes.insert(Arc::clone(&now.path), now), before);
    }
}

/// Sends some writes at once. Most fail, for want of a parent or because of children: what succeeds is random too.
async fn random_writes(client: &Client, random: &mut fastrand::Rng, step: usize) {
    for _ in 0..random.usize(1..5) {
        let mut path = "/h".to_owned();
        for _ in 0..random.usize(0..=3) {
            path.push_str(["/a", "/b", "/c"][random.usize(0..3)]);
        }
        let text = step.to_string();
        let kind = random.u8(0..10);
        if kind >= 6 {
            drop(client.delete(&path, -1));
        }
        if !(6..8).contains(&kind) {
            drop(client.set(&path, &text, -1));
            drop(client.create(&path, &text, &plain()));
        }
    }
    client.sync("/").await.unwrap();
}

async fn random_fault(wire: &Wire, random: &mut fastrand::Rng) {
    let pause = Duration::from_millis(random.u64(0..30));
    match random.u8(0..40) {
        0 => wire.break_once(),
        1 => {
            wire.cut();
            tokio::time::sleep(pause).await;
            wire.mend();
        }
        2 => {
            wire.swallow_replies();
            tokio::time::sleep(pause).await;
            wire.break_once();
        }
        _ => {}
    }
}

async fn random_history(seed: u64, options: CacheOptions) {
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let options = options.reads_in_flight(random.usize(1..8));
    let cache = TreeCache::with(&client, "/h", 3, options).unwrap();
    let mut changes = cache.changes();
    for step in 0..STEPS {
        random_writes(&other, &mut random, step).await;
        random_fault(&wire, &mut random).await;
    }
    reach(&client, State::Connected).await;
    soon(cache.sync()).await.unwrap();
    let held: BTreeMap<String, (Vec<u8>, Zxid)> = cache
        .snapshot()
        .iter()
        .map(|znode| {
            let data = &znode.data;
            (
                znode.path.to_string(),
                (data.bytes.to_vec(), data.stat.mzxid),
            )
        })
        .collect();
    assert_eq!(held, tree(&other, "/h").await, "the cache is not the tree");
    let mut follower = Follower::default();
    while let Some(change) = changes.try_next() {
        follower.apply(change);
    }
    let told: Vec<&Arc<Znode>> = follower.znodes.values().collect();
    let snapshot = cache.snapshot();
    assert_eq!(told, snapshot.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_writes_and_cuts_leave_cache_tree_and_stream_equal() {
    let seed = std::env::var("CACHE_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    for seed in seed..seed + HISTORIES {
        for options in ways() {
            println!("CACHE_SEED={seed} {options:?}");
            random_history(seed, options).await;
        }
    }
}
