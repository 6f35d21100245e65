//! Work that is given to one of many: queues, and partitions.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use rookeeper_client::recipes::delay_queue::DelayQueue;
use rookeeper_client::recipes::id_queue::IdQueue;
use rookeeper_client::recipes::partitioner::Partitioner;
use rookeeper_client::recipes::priority_queue::PriorityQueue;
use rookeeper_client::recipes::queue::{Consumer, Delivery, Options, Queue, QueueError};
use rookeeper_client::recipes::simple_queue::SimpleQueue;
use rookeeper_client::{Client, Error, OpCode, Outcome, Zxid};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::scene::{Recipe, Scene};
use super::world::soon;

const PATH: &str = "/x";
const LOCKS: &str = "/locks";

/// What queues of one kind have in common.
pub trait Kind: Clone + Send + Sync + 'static {
    const NAME: &str;
    /// Items stay until they are done.
    const LOCKS: bool;

    fn at(client: &Client) -> Self;
    fn put(&self, item: &'static str) -> impl Future<Output = Result<(), QueueError>> + Send;
    fn consumer(&self) -> Consumer;
}

fn locked() -> Options {
    Options::new().locks(LOCKS)
}

#[derive(Clone)]
pub struct Plain(Queue);

impl Kind for Plain {
    const NAME: &str = "queue";
    const LOCKS: bool = true;

    fn at(client: &Client) -> Self {
        Self(Queue::with(client, PATH, locked()))
    }

    async fn put(&self, item: &'static str) -> Result<(), QueueError> {
        self.0.put(item).await
    }

    fn consumer(&self) -> Consumer {
        self.0.consumer()
    }
}

#[derive(Clone)]
pub struct Simple(SimpleQueue);

impl Kind for Simple {
    const NAME: &str = "simple_queue";
    const LOCKS: bool = false;

    fn at(client: &Client) -> Self {
        Self(SimpleQueue::new(client, PATH))
    }

    async fn put(&self, item: &'static str) -> Result<(), QueueError> {
        self.0.put(item).await
    }

    fn consumer(&self) -> Consumer {
        self.0.consumer()
    }
}

/// The items are due at once: when they are is told elsewhere.
#[derive(Clone)]
pub struct Delayed(DelayQueue);

impl Kind for Delayed {
    const NAME: &str = "delay_queue";
    const LOCKS: bool = true;

    fn at(client: &Client) -> Self {
        Self(DelayQueue::with(client, PATH, locked()))
    }

    async fn put(&self, item: &'static str) -> Result<(), QueueError> {
        self.0.put_after(Duration::ZERO, item).await
    }

    fn consumer(&self) -> Consumer {
        self.0.consumer()
    }
}

#[derive(Clone)]
pub struct Prioritized(PriorityQueue);

impl Kind for Prioritized {
    const NAME: &str = "priority_queue";
    const LOCKS: bool = true;

    fn at(client: &Client) -> Self {
        Self(PriorityQueue::with(client, PATH, locked()))
    }

    async fn put(&self, item: &'static str) -> Result<(), QueueError> {
        self.0.put(-7, item).await
    }

    fn consumer(&self) -> Consumer {
        self.0.consumer()
    }
}

#[derive(Clone)]
pub struct Identified(IdQueue);

impl Kind for Identified {
    const NAME: &str = "id_queue";
    const LOCKS: bool = true;

    fn at(client: &Client) -> Self {
        Self(IdQueue::with(client, PATH, locked()))
    }

    async fn put(&self, item: &'static str) -> Result<(), QueueError> {
        self.0.put("id", item).await
    }

    fn consumer(&self) -> Consumer {
        self.0.consumer()
    }
}

/// A queue of this kind.
pub struct Of<K>(PhantomData<K>);

fn taking<K: Kind>(queue: &K) -> JoinHandle<Result<Delivery, QueueError>> {
    let mut consumer = queue.consumer();
    tokio::spawn(async move { consumer.next().await })
}

async fn take<K: Kind>(queue: &K) -> Delivery {
    soon(taking(queue)).await.unwrap().unwrap()
}

/// It may be there, and whoever has put it knows that.
fn is_unknown(result: Result<(), QueueError>) {
    match result {
        Err(QueueError::Client(error)) => assert_eq!(error.outcome(), Outcome::Unknown),
        other => panic!("{other:?}"),
    }
}

/// A put, a taking and an end that are not answered.
async fn unanswered_with_locks<K: Kind>(scene: &Scene, queue: &K) {
    let taking = {
        let mut consumer = queue.consumer();
        async move { consumer.next().await }
    };
    let seen = async { drop(scene.count(LOCKS, 1).await) };
    let taken = scene.unanswered(OpCode::Create2, taking, seen).await;
    let delivery = taken.unwrap();
    assert_eq!(delivery.items, ["one"]);
    assert_eq!(
        scene.count(LOCKS, 1).await,
        std::slice::from_ref(&delivery.name)
    );
    let seen = async { drop(scene.count(PATH, 0).await) };
    let done = scene.unanswered(OpCode::Multi, delivery.done(), seen).await;
    done.unwrap();
    scene.count(LOCKS, 0).await;
}

async fn unanswered_without_locks<K: Kind>(scene: &Scene, queue: &K) {
    let taking = {
        let mut consumer = queue.consumer();
        async move { consumer.next().await }
    };
    let seen = async { drop(scene.count(PATH, 0).await) };
    match scene.unanswered(OpCode::Delete, taking, seen).await {
        // Handed over all the same, with a word of doubt.
        Err(QueueError::Unclear { items, .. }) => assert_eq!(items, ["one"]),
        other => panic!("{other:?}"),
    }
}

impl<K: Kind> Recipe for Of<K> {
    const NAME: &str = K::NAME;

    async fn unanswered(scene: Scene) {
        let (queue, other) = (K::at(&scene.client), K::at(&scene.other));
        other.put("none").await.unwrap();
        take(&other).await.done().await.unwrap();
        let putting = {
            let queue = queue.clone();
            async move { queue.put("one").await }
        };
        let seen = async { drop(scene.count(PATH, 1).await) };
        is_unknown(scene.unanswered(OpCode::Create2, putting, seen).await);
        scene.count(PATH, 1).await;
        if K::LOCKS {
            unanswered_with_locks(&scene, &queue).await;
        } else {
            unanswered_without_locks(&scene, &queue).await;
        }
    }

    async fn expires(scene: Scene) {
        let (queue, other) = (K::at(&scene.client), K::at(&scene.other));
        other.put("one").await.unwrap();
        let held = take(&queue).await;
        assert_eq!(held.items, ["one"]);
        let dies = taking(&queue);
        let again = K::LOCKS.then(|| taking(&other));
        scene.fault().await;
        match soon(dies).await.unwrap() {
            Err(QueueError::Client(Error::SessionExpired)) => {}
            other => panic!("{other:?}"),
        }
        if let Some(again) = again {
            let again = soon(again).await.unwrap().unwrap();
            assert_eq!(again.items, ["one"]);
            assert!(again.token() > held.token());
            held.done().await.unwrap_err();
            again.done().await.unwrap();
        }
        other.put("two").await.unwrap();
        let two = take(&other).await;
        assert_eq!(two.items, ["two"]);
        two.done().await.unwrap();
        scene.count(PATH, 0).await;
    }

    async fn lives_on(scene: Scene) {
        let (queue, other) = (K::at(&scene.client), K::at(&scene.other));
        other.put("one").await.unwrap();
        let held = take(&queue).await;
        let waits = taking(&other);
        scene.fault().await;
        assert!(!waits.is_finished());
        queue.put("two").await.unwrap();
        let two = soon(waits).await.unwrap().unwrap();
        assert_eq!(two.items, ["two"]);
        two.done().await.unwrap();
        held.done().await.unwrap();
        scene.count(PATH, 0).await;
    }
}

pub struct Partitioners;

const PARTITIONS: u32 = 4;

/// A member that works on what it gets until it is told to stop.
struct Worker {
    works_on: watch::Receiver<BTreeMap<u32, Zxid>>,
    /// The member has come to its end.
    task: JoinHandle<()>,
}

impl Worker {
    async fn begin(client: &Client) -> Self {
        let mut partitioner = Partitioner::join(client, PATH, PARTITIONS).await.unwrap();
        let (shown, works_on) = watch::channel(BTreeMap::new());
        let task = tokio::spawn(async move {
            while let Some(lease) = partitioner.next().await {
                let shown = shown.clone();
                tokio::spawn(async move {
                    let (partition, token) = (lease.partition(), lease.token());
                    shown.send_modify(|works| works.extend([(partition, token)]));
                    lease.lost().await;
                    shown.send_modify(|works| works.retain(|other, _| *other != partition));
                    drop(lease);
                });
            }
        });
        Self { works_on, task }
    }

    async fn until(&self, count: usize) -> BTreeMap<u32, Zxid> {
        let mut works_on = self.works_on.clone();
        let reached = soon(works_on.wait_for(|works| works.len() == count)).await;
        reached.unwrap().clone()
    }
}

impl Recipe for Partitioners {
    const NAME: &str = "partitioner";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH, "/x/members", "/x/leases"]).await;
        let joining = {
            let client = scene.client.clone();
            async move { Worker::begin(&client).await }
        };
        let seen = async { drop(scene.count("/x/members", 1).await) };
        // That of the member, and with it those of the leases.
        let worker = scene.unanswered(OpCode::Create2, joining, seen).await;
        let before = worker.until(PARTITIONS as usize).await;
        assert_eq!(scene.count("/x/members", 1).await.len(), 1);
        let other = Worker::begin(&scene.other).await;
        let (own, others) = (worker.until(2).await, other.until(2).await);
        assert!(own.keys().all(|partition| !others.contains_key(partition)));
        assert!(
            others
                .iter()
                .all(|(partition, token)| *token > before[partition])
        );
    }

    async fn expires(scene: Scene) {
        let worker = Worker::begin(&scene.client).await;
        let before = worker.until(PARTITIONS as usize).await;
        let other = Worker::begin(&scene.other).await;
        worker.until(2).await;
        other.until(2).await;
        let stops_first = async {
            let all = other.until(PARTITIONS as usize).await;
            assert!(worker.works_on.borrow().is_empty(), "two owners");
            all
        };
        let (all, ()) = tokio::join!(stops_first, scene.fault());
        assert!(
            all.iter()
                .all(|(partition, token)| *token > before[partition])
        );
        soon(worker.task).await.unwrap();
    }

    async fn lives_on(scene: Scene) {
        let worker = Worker::begin(&scene.client).await;
        worker.until(PARTITIONS as usize).await;
        let other = Worker::begin(&scene.other).await;
        let before = (worker.until(2).await, other.until(2).await);
        let stops = worker.until(0);
        tokio::join!(stops, scene.fault());
        assert_eq!((worker.until(2).await, other.until(2).await), before);
    }
}
