//! Copies of a part of the tree.

use std::marker::PhantomData;
use std::ops::Deref;

use rookeeper_client::recipes::cache::{Cache, CacheError, Change, Changes};
use rookeeper_client::recipes::children_cache::ChildrenCache;
use rookeeper_client::recipes::node_cache::NodeCache;
use rookeeper_client::recipes::tree_cache::TreeCache;
use rookeeper_client::{Client, CreateOptions, Error, OpCode};

use super::scene::{Recipe, Scene};
use super::world::soon;

/// What caches of one kind have in common.
pub trait Kind: Deref<Target = Cache> + Send + Sync + 'static {
    const NAME: &str;
    /// A znode that it holds.
    const HELD: &str;
    /// What is read last of it.
    const READ: OpCode;

    fn at(client: &Client) -> Self;
}

/// Its root.
const ROOT: &str = "/x";

pub struct Node(NodeCache);

impl Deref for Node {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.0
    }
}

impl Kind for Node {
    const NAME: &str = "node_cache";
    const HELD: &str = "/x";
    const READ: OpCode = OpCode::GetData;

    fn at(client: &Client) -> Self {
        Self(NodeCache::open(client, ROOT).unwrap())
    }
}

pub struct Children(ChildrenCache);

impl Deref for Children {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.0
    }
}

impl Kind for Children {
    const NAME: &str = "children_cache";
    const HELD: &str = "/x/a";
    const READ: OpCode = OpCode::GetChildren2;

    fn at(client: &Client) -> Self {
        Self(ChildrenCache::open(client, ROOT).unwrap())
    }
}

pub struct Tree(TreeCache);

impl Deref for Tree {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.0
    }
}

impl Kind for Tree {
    const NAME: &str = "tree_cache";
    const HELD: &str = "/x/a/b";
    const READ: OpCode = OpCode::GetChildren2;

    fn at(client: &Client) -> Self {
        Self(TreeCache::open(client, ROOT).unwrap())
    }
}

/// A cache of this kind.
pub struct Of<K>(PhantomData<K>);

/// Three znodes below each other.
async fn plant(client: &Client) {
    for path in ["/x", "/x/a", "/x/a/b"] {
        let created = client.create(path, "1", &CreateOptions::persistent());
        created.await.unwrap();
    }
}

fn holds<K: Kind>(cache: &K, data: &str) -> bool {
    let held = cache.get(K::HELD);
    held.is_some_and(|znode| znode.data.bytes == data.as_bytes())
}

/// What is told of the znode, and of the whole, up to this.
async fn told<K: Kind>(changes: &mut Changes, last: &Change) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        let change = soon(changes.next()).await.unwrap();
        match &change {
            Change::Added(now) | Change::Changed { now, .. } if *now.path == *K::HELD => {
                words.push(String::from_utf8_lossy(&now.data.bytes).into_owned());
            }
            Change::Removed(before) if *before.path == *K::HELD => words.push("-".to_owned()),
            _ => {}
        }
        if change == *last {
            return words;
        }
    }
}

impl<K: Kind> Recipe for Of<K> {
    const NAME: &str = K::NAME;

    async fn unanswered(scene: Scene) {
        plant(&scene.other).await;
        let opening = {
            let client = scene.client.clone();
            async move {
                let cache = K::at(&client);
                let initialized = cache.initialized().await;
                (cache, initialized)
            }
        };
        let (cache, initialized) = scene.unanswered_read(K::READ, opening).await;
        initialized.unwrap();
        assert!(holds(&cache, "1"));
        let mut changes = cache.changes();
        assert_eq!(told::<K>(&mut changes, &Change::Initialized).await, ["1"]);
        // What the event makes it read is not answered, and what happens meanwhile is not told.
        let reading = {
            let other = scene.other.clone();
            async move { other.set(K::HELD, "2", -1).await }
        };
        scene
            .unanswered_read(OpCode::GetData, reading)
            .await
            .unwrap();
        soon(cache.sync()).await.unwrap();
        assert!(holds(&cache, "2"));
        // Fresh again, and told once.
        assert_eq!(told::<K>(&mut changes, &Change::Fresh).await, ["2"]);
    }

    async fn expires(scene: Scene) {
        plant(&scene.other).await;
        let cache = K::at(&scene.client);
        soon(cache.initialized()).await.unwrap();
        let mut changes = cache.changes();
        scene.fault().await;
        let end = CacheError::Client(Error::SessionExpired);
        let words = told::<K>(&mut changes, &Change::Ended(end.clone())).await;
        assert_eq!(
            (words, soon(changes.next()).await),
            (vec!["1".to_owned()], None)
        );
        assert!(!cache.is_fresh() && holds(&cache, "1"));
        assert_eq!(cache.sync().await, Err(end.clone()));
        assert_eq!(cache.initialized().await, Err(end));
    }

    async fn lives_on(scene: Scene) {
        plant(&scene.other).await;
        let cache = K::at(&scene.client);
        soon(cache.initialized()).await.unwrap();
        let mut changes = cache.changes();
        assert_eq!(told::<K>(&mut changes, &Change::Initialized).await, ["1"]);
        let stale = told::<K>(&mut changes, &Change::Stale);
        let (stale, ()) = tokio::join!(stale, scene.fault());
        assert!(stale.is_empty());
        scene.other.set(K::HELD, "2", -1).await.unwrap();
        soon(cache.sync()).await.unwrap();
        assert!(cache.is_fresh() && holds(&cache, "2"));
    }
}
