//! Values and numbers.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rookeeper_client::recipes::counter::{Counter, CounterError};
use rookeeper_client::recipes::shared_count::{CountError, SharedCount};
use rookeeper_client::recipes::shared_value::SharedValue;
use rookeeper_client::recipes::unique_ids::{IdBlocks, IdError, SequenceIds};
use rookeeper_client::{Client, Error, OpCode, Outcome};

use super::scene::{Recipe, Scene};
use super::world::soon;

const PATH: &str = "/x";

/// Waits until the znode has this version.
async fn version(client: &Client, version: i32) {
    soon(async {
        loop {
            let (stat, changed) = client.exists_watched(PATH).await.unwrap();
            if stat.is_some_and(|stat| stat.version == version) {
                return;
            }
            changed.await.unwrap();
        }
    })
    .await;
}

/// It was done or not, and whoever asked for it knows that he does not know.
fn is_unknown<T: Debug>(result: Result<T, impl Into<Option<Error>> + Debug>) {
    let error: Option<Error> = result.unwrap_err().into();
    assert_eq!(error.unwrap().outcome(), Outcome::Unknown);
}

pub struct Counters;

fn client_error(error: CounterError) -> Error {
    match error {
        CounterError::Client(error) => error,
        other => panic!("{other}"),
    }
}

impl Recipe for Counters {
    const NAME: &str = "counter";

    async fn unanswered(scene: Scene) {
        let (counter, judge) = (
            Counter::new(&scene.client, PATH),
            Counter::new(&scene.other, PATH),
        );
        assert_eq!(counter.add(5).await.unwrap().after, 5);
        let adding = {
            let counter = counter.clone();
            async move { counter.add(3).await }
        };
        let seen = version(&scene.other, 1);
        let added = scene.unanswered(OpCode::SetData, adding, seen).await;
        match added {
            Ok(change) => assert_eq!((change.before, change.after), (5, 8)),
            Err(error) => is_unknown(Err::<(), _>(client_error(error))),
        }
        assert_eq!(judge.get().await.unwrap(), 8);
        let setting = async move { counter.set(20).await };
        let seen = version(&scene.other, 2);
        let set = scene.unanswered(OpCode::SetData, setting, seen).await;
        set.unwrap();
        assert_eq!(judge.get().await.unwrap(), 20);
    }

    async fn expires(scene: Scene) {
        let counter = Counter::new(&scene.client, PATH);
        counter.add(5).await.unwrap();
        scene.fault().await;
        let refused = counter.add(1).await.unwrap_err();
        assert_eq!(client_error(refused), Error::SessionExpired);
        assert_eq!(Counter::new(&scene.other, PATH).get().await.unwrap(), 5);
    }

    async fn lives_on(scene: Scene) {
        let counter = Counter::new(&scene.client, PATH);
        counter.add(5).await.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let adding = {
            let (counter, over) = (counter.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut done, mut unknown) = (0, 0);
                while !over.load(Ordering::SeqCst) {
                    match counter.increment().await {
                        Ok(_) => done += 1,
                        Err(error) => {
                            is_unknown(Err::<(), _>(client_error(error)));
                            unknown += 1;
                        }
                    }
                }
                (done, unknown)
            })
        };
        scene.fault().await;
        over.store(true, Ordering::SeqCst);
        let (done, unknown) = soon(adding).await.unwrap();
        let counted = counter.get().await.unwrap() - 5;
        assert!((done..=done + unknown).contains(&counted));
    }
}

pub struct SharedValues;

impl Recipe for SharedValues {
    const NAME: &str = "shared_value";

    async fn unanswered(scene: Scene) {
        let starting = {
            let client = scene.client.clone();
            async move { SharedValue::start(&client, PATH, "mine").await }
        };
        let seen = scene.there(PATH, true);
        let started = scene.unanswered(OpCode::Create2, starting, seen).await;
        let value = started.unwrap();
        let follower = SharedValue::start(&scene.other, PATH, "other").await;
        let follower = follower.unwrap();
        assert_eq!(follower.current().bytes, "mine");
        let (mut own, mut changes) = (value.changes(), follower.changes());
        let setting = {
            let value = value.clone();
            async move { value.set("next").await }
        };
        let seen = version(&scene.other, 1);
        is_unknown(scene.unanswered(OpCode::SetData, setting, seen).await);
        assert_eq!(soon(changes.next()).await.unwrap().bytes, "next");
        assert_eq!(soon(own.next()).await.unwrap().bytes, "next");
    }

    async fn expires(scene: Scene) {
        let value = SharedValue::start(&scene.client, PATH, "a").await.unwrap();
        let mut changes = value.changes();
        scene.fault().await;
        assert_eq!(soon(changes.next()).await, None);
        assert_eq!(value.set("b").await, Err(Error::SessionExpired));
        assert_eq!(scene.other.data(PATH).await.unwrap().bytes, "a");
    }

    async fn lives_on(scene: Scene) {
        let value = SharedValue::start(&scene.client, PATH, "a").await.unwrap();
        let follower = SharedValue::start(&scene.other, PATH, "b").await.unwrap();
        let mut changes = follower.changes();
        scene.fault().await;
        value.set("next").await.unwrap();
        assert_eq!(soon(changes.next()).await.unwrap().bytes, "next");
    }
}

pub struct SharedCounts;

fn of_count(error: CountError) -> Error {
    match error {
        CountError::Client(error) => error,
        other @ CountError::Corrupt { .. } => panic!("{other}"),
    }
}

impl Recipe for SharedCounts {
    const NAME: &str = "shared_count";

    async fn unanswered(scene: Scene) {
        let starting = {
            let client = scene.client.clone();
            async move { SharedCount::start(&client, PATH, 1).await }
        };
        let seen = scene.there(PATH, true);
        let started = scene.unanswered(OpCode::Create2, starting, seen).await;
        let count = started.unwrap();
        let mut changes = count.changes();
        let seen = count.current().unwrap();
        let setting = {
            let count = count.clone();
            async move { count.try_set(&seen, 2).await }
        };
        let happened = version(&scene.other, 1);
        let set = scene.unanswered(OpCode::SetData, setting, happened).await;
        is_unknown(set.map_err(of_count));
        assert_eq!(soon(changes.next()).await.unwrap().unwrap().number, 2);
        // Whoever tries once more with what he saw does not do it twice.
        assert!(!count.try_set(&seen, 3).await.unwrap());
        assert_eq!(count.read().await.unwrap().number, 2);
    }

    async fn expires(scene: Scene) {
        let count = SharedCount::start(&scene.client, PATH, 1).await.unwrap();
        let mut changes = count.changes();
        scene.fault().await;
        assert!(soon(changes.next()).await.is_none());
        let refused = count.set(2).await.unwrap_err();
        assert_eq!(of_count(refused), Error::SessionExpired);
        assert_eq!(count.current().unwrap().number, 1);
    }

    async fn lives_on(scene: Scene) {
        let count = SharedCount::start(&scene.client, PATH, 1).await.unwrap();
        let follower = SharedCount::start(&scene.other, PATH, 7).await.unwrap();
        let mut changes = follower.changes();
        scene.fault().await;
        assert!(count.try_set(&count.current().unwrap(), 2).await.unwrap());
        assert_eq!(soon(changes.next()).await.unwrap().unwrap().number, 2);
    }
}

pub struct Sequences;

fn of_id(error: IdError) -> Error {
    match error {
        IdError::Client(error) | IdError::Counter(CounterError::Client(error)) => error,
        other => panic!("{other}"),
    }
}

impl Recipe for Sequences {
    const NAME: &str = "unique_ids-sequence";

    async fn unanswered(scene: Scene) {
        let ids = SequenceIds::new(&scene.client, PATH);
        let first = ids.next().await.unwrap();
        let asking = async move { ids.next().await };
        let seen = async { drop(scene.count(PATH, 2).await) };
        let second = scene.unanswered(OpCode::Create2, asking, seen).await;
        // The number that was not answered is left out.
        assert_eq!(second.unwrap(), first + 2);
        let other = SequenceIds::new(&scene.other, PATH).next().await;
        assert_eq!(other.unwrap(), first + 3);
    }

    async fn expires(scene: Scene) {
        let ids = SequenceIds::cleaned(&scene.client, PATH);
        let last = ids.next().await.unwrap();
        scene.fault().await;
        let refused = ids.next().await.unwrap_err();
        assert_eq!(of_id(refused), Error::SessionExpired);
        let other = SequenceIds::cleaned(&scene.other, PATH).next().await;
        assert!(other.unwrap() > last);
    }

    async fn lives_on(scene: Scene) {
        let ids = SequenceIds::cleaned(&scene.client, PATH);
        let before = ids.next().await.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let across = tokio::spawn(async move {
            let mut given = Vec::new();
            while !seen.load(Ordering::SeqCst) {
                given.push(ids.next().await.unwrap());
            }
            given
        });
        scene.fault().await;
        over.store(true, Ordering::SeqCst);
        let mut given = soon(across).await.unwrap();
        given.insert(0, before);
        let other = SequenceIds::new(&scene.other, PATH).next().await;
        given.push(other.unwrap());
        assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    }
}

pub struct Blocks;

/// Ids of a block.
const BLOCK: u32 = 10;

impl Recipe for Blocks {
    const NAME: &str = "unique_ids-blocks";

    async fn unanswered(scene: Scene) {
        let mut ids = IdBlocks::new(&scene.client, PATH, BLOCK);
        let first = ids.next().await.unwrap();
        let seen = version(&scene.other, 1);
        let reserving = async move { ids.reserve(BLOCK).await };
        let reserved = scene.unanswered(OpCode::SetData, reserving, seen).await;
        let reserved = reserved.unwrap();
        assert!(reserved.start >= first + i64::from(BLOCK));
        let other = IdBlocks::new(&scene.other, PATH, BLOCK).next().await;
        assert!(other.unwrap() >= reserved.end);
    }

    async fn expires(scene: Scene) {
        let mut ids = IdBlocks::new(&scene.client, PATH, 2);
        assert_eq!(ids.next().await.unwrap(), 1);
        scene.fault().await;
        // What was reserved is nobody else's; no more can be.
        assert_eq!(ids.next().await.unwrap(), 2);
        let refused = ids.next().await.unwrap_err();
        assert_eq!(of_id(refused), Error::SessionExpired);
        let other = IdBlocks::new(&scene.other, PATH, 2).next().await;
        assert_eq!(other.unwrap(), 3);
    }

    async fn lives_on(scene: Scene) {
        let mut ids = IdBlocks::new(&scene.client, PATH, 1);
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let across = tokio::spawn(async move {
            let mut given = Vec::new();
            while !seen.load(Ordering::SeqCst) {
                given.push(ids.next().await.unwrap());
            }
            given
        });
        scene.fault().await;
        over.store(true, Ordering::SeqCst);
        let given = soon(across).await.unwrap();
        assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
        let other = IdBlocks::new(&scene.other, PATH, 1).next().await;
        assert!(other.unwrap() > given[given.len() - 1]);
    }
}
