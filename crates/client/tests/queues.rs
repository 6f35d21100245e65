//! Queues of all kinds: who gets what, how often, and what is left behind.
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

use std::collections::BTreeSet;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use rookeeper_client::recipes::delay_queue::DelayQueue;
use rookeeper_client::recipes::id_queue::IdQueue;
use rookeeper_client::recipes::priority_queue::PriorityQueue;
use rookeeper_client::recipes::queue::{Consumer, Delivery, Options, Queue, QueueError};
use rookeeper_client::recipes::simple_queue::SimpleQueue;
use rookeeper_client::{Client, CreateOptions, State, WatcherType};
use tokio::sync::mpsc;
use world::ensemble::Ensemble;
use world::{World, children, reach, soon};

/// Longer than an answer takes, and short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(300);

fn locked() -> Options {
    Options::new().locks("/locks")
}

fn text(delivery: &Delivery) -> String {
    let items = delivery
        .items
        .iter()
        .map(|item| String::from_utf8_lossy(item));
    items.collect::<Vec<_>>().join(" ")
}

async fn next(consumer: &mut Consumer) -> Delivery {
    soon(consumer.next()).await.unwrap()
}

async fn take(consumer: &mut Consumer) -> String {
    let delivery = next(consumer).await;
    let text = text(&delivery);
    delivery.done().await.unwrap();
    text
}

#[tokio::test]
async fn items_come_in_the_order_in_which_they_were_put() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let queue = Queue::new(&a, "/deep/queue");
    queue.put("one").await.unwrap();
    queue.put_many(&["two", "three"]).await.unwrap();
    queue.put("").await.unwrap();
    let names = children(&a, "/deep/queue", 3).await;
    assert_eq!(names[0], "queue-0000000000");
    let data = a.data("/deep/queue/queue-0000000000").await.unwrap();
    assert_eq!(
        &data.bytes[..],
        b"\x00\x01\x00\x01\x01\x00\x00\x00\x03one\x02"
    );
    let mut consumer = Queue::new(&b, "/deep/queue").consumer();
    for expected in ["one", "two three", ""] {
        assert_eq!(take(&mut consumer).await, expected);
    }
    assert!(consumer.try_next().await.unwrap().is_none());
    children(&a, "/deep/queue", 0).await;
}

#[tokio::test]
async fn a_consumer_waits_for_items_and_leaves_alone_what_is_none() {
    let world = World::new();
    let client = world.client().await;
    let queue = Queue::new(&client, "/queue");
    let mut consumer = queue.consumer();
    let waiting = tokio::spawn(async move { take(&mut consumer).await });
    while client.exists("/queue").await.unwrap().is_none() {}
    let plain = CreateOptions::persistent();
    client.create("/queue/other", "", &plain).await.unwrap();
    queue.put("late").await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), "late");
    assert_eq!(children(&client, "/queue", 1).await, ["other"]);
}

#[tokio::test]
async fn what_is_no_item_is_deleted_and_handed_over() {
    let world = World::new();
    let client = world.client().await;
    for (path, options) in [("/plain", Options::new()), ("/locked", locked())] {
        let queue = Queue::with(&client, path, options);
        queue.put("before").await.unwrap();
        let garbage = format!("{path}/queue-");
        let sequential = CreateOptions::persistent_sequential();
        client
            .create(&garbage, "garbage", &sequential)
            .await
            .unwrap();
        queue.put("after").await.unwrap();
        let mut consumer = queue.consumer();
        assert_eq!(take(&mut consumer).await, "before");
        let (name, data) = ("queue-0000000001".to_owned(), "garbage".into());
        let refused = soon(consumer.next()).await.unwrap_err();
        assert_eq!(refused, QueueError::Garbage { name, data });
        assert_eq!(take(&mut consumer).await, "after");
        children(&client, path, 0).await;
    }
    children(&client, "/locks", 0).await;
}

/// Consumers that write down what they took, until the world ends.
async fn consumers(
    world: &World,
    path: &str,
    options: &Options,
) -> mpsc::UnboundedReceiver<String> {
    let (taken, all) = mpsc::unbounded_channel();
    for _ in 0..5 {
        let mut consumer = Queue::with(&world.client().await, path, options.clone()).consumer();
        let taken = taken.clone();
        tokio::spawn(async move {
            while let Ok(delivery) = consumer.next().await {
                taken.send(text(&delivery)).unwrap();
                delivery.done().await.unwrap();
            }
        });
    }
    all
}

#[tokio::test]
async fn many_consumers_share_the_items_and_none_comes_twice() {
    const ITEMS: usize = 100;
    let world = World::new();
    let client = world.client().await;
    for (path, options) in [("/plain", Options::new()), ("/locked", locked())] {
        let mut taken = consumers(&world, path, &options).await;
        let queue = Queue::with(&client, path, options);
        for item in 0..ITEMS {
            queue.put(item.to_string()).await.unwrap();
        }
        let mut seen = BTreeSet::new();
        for _ in 0..ITEMS {
            assert!(seen.insert(soon(taken.recv()).await.unwrap()));
        }
        children(&client, path, 0).await;
        assert!(taken.try_recv().is_err());
    }
    children(&client, "/locks", 0).await;
}

#[tokio::test]
async fn of_consumers_in_line_a_put_wakes_the_first_and_the_one_behind_it() {
    const CONSUMERS: usize = 6;
    let world = World::new();
    let producer = world.client().await;
    let queue = Queue::with(&producer, "/queue", locked().in_line("/line"));
    queue.put("make the znodes").await.unwrap();
    take(&mut queue.consumer()).await;
    let container = CreateOptions::container();
    producer.create("/line", "", &container).await.unwrap();
    let (taken, mut all) = mpsc::unbounded_channel();
    let mut wires = Vec::new();
    for number in 0..CONSUMERS {
        let (client, wire) = world.client_by_wire().await;
        let mut consumer = Queue::with(&client, "/queue", locked().in_line("/line")).consumer();
        let taken = taken.clone();
        tokio::spawn(async move {
            taken.send((number, next(&mut consumer).await)).unwrap();
            // Its line goes with its session: this one does not come again.
            std::future::pending::<()>().await;
            drop(client);
        });
        // The list, a place in line and who is ahead, and what it waits for.
        wire.asked(4).await;
        children(&producer, "/line", number + 1).await;
        wires.push(wire);
    }
    for wire in &wires {
        wire.requests();
    }
    queue.put("one").await.unwrap();
    let (number, delivery) = soon(all.recv()).await.unwrap();
    assert_eq!((number, text(&delivery).as_str()), (0, "one"));
    // The second takes its place: it lists with a watch.
    wires[1].asked(1).await;
    let awake = wires.iter().filter(|wire| !wire.requests().is_empty());
    assert_eq!(awake.count(), 2);
    delivery.done().await.unwrap();
    queue.put("two").await.unwrap();
    assert_eq!(soon(all.recv()).await.unwrap().0, 1);
}

#[tokio::test]
async fn consumers_in_line_share_all_items() {
    const ITEMS: usize = 50;
    let world = World::new();
    let client = world.client().await;
    let options = Options::new().in_line("/line");
    let mut taken = consumers(&world, "/queue", &options).await;
    let queue = Queue::with(&client, "/queue", options);
    let mut seen = BTreeSet::new();
    for item in 0..ITEMS {
        queue.put(item.to_string()).await.unwrap();
        if item % 7 == 0 {
            while seen.len() <= item {
                assert!(seen.insert(soon(taken.recv()).await.unwrap()));
            }
        }
    }
    while seen.len() < ITEMS {
        assert!(seen.insert(soon(taken.recv()).await.unwrap()));
    }
}

#[tokio::test]
async fn an_item_that_somebody_works_on_is_nobody_elses_and_comes_again_when_he_dies() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let queue = Queue::with(&b, "/queue", locked());
    queue.put("job").await.unwrap();
    let delivery = next(&mut Queue::with(&a, "/queue", locked()).consumer()).await;
    let first = delivery.token().unwrap();
    let lock = b.exists("/locks/queue-0000000000").await.unwrap().unwrap();
    assert_eq!((lock.ephemeral_owner, lock.czxid), (a.session().0, first));
    let mut consumer = queue.consumer();
    assert!(consumer.try_next().await.unwrap().is_none());
    let waiting = tokio::spawn(async move { next(&mut consumer).await });
    a.close().await.unwrap();
    let again = soon(waiting).await.unwrap();
    assert!(again.token().unwrap() > first);
    assert!(delivery.done().await.is_err());
    again.done().await.unwrap();
    children(&b, "/queue", 0).await;
    children(&b, "/locks", 0).await;
}

#[tokio::test]
async fn an_item_that_is_dropped_comes_again_at_once() {
    let world = World::new();
    let client = world.client().await;
    let queue = Queue::with(&client, "/queue", locked());
    queue.put("job").await.unwrap();
    let mut consumer = queue.consumer();
    drop(next(&mut consumer).await);
    assert_eq!(take(&mut consumer).await, "job");
    children(&client, "/locks", 0).await;
}

#[tokio::test]
async fn an_item_on_which_the_work_fails_is_counted_put_behind_or_buried() {
    let world = World::new();
    let client = world.client().await;
    let queue = Queue::with(&client, "/queue", locked());
    queue.put("poison").await.unwrap();
    queue.put("good").await.unwrap();
    let mut consumer = queue.consumer();
    for failures in 0..3 {
        let mut fresh = queue.consumer();
        let delivery = next(&mut fresh).await;
        assert_eq!(
            (text(&delivery).as_str(), delivery.failures()),
            ("poison", failures)
        );
        delivery.give_back().await.unwrap();
    }
    next(&mut consumer).await.requeue().await.unwrap();
    assert_eq!(take(&mut consumer).await, "good");
    let delivery = next(&mut consumer).await;
    assert_eq!(
        (text(&delivery).as_str(), delivery.failures()),
        ("poison", 0)
    );
    delivery.bury("/dead/letters").await.unwrap();
    children(&client, "/queue", 0).await;
    children(&client, "/locks", 0).await;
    let mut dead = Queue::new(&client, "/dead/letters").consumer();
    let delivery = next(&mut dead).await;
    // Without locks it is gone already: giving back puts it again.
    delivery.give_back().await.unwrap();
    assert_eq!(take(&mut dead).await, "poison");
}

#[tokio::test]
async fn a_lock_that_somebody_took_away_is_told() {
    let world = World::new();
    let client = world.client().await;
    let queue = Queue::with(&client, "/queue", locked());
    queue.put("job").await.unwrap();
    let mut consumer = queue.consumer();
    let delivery = next(&mut consumer).await;
    client.delete("/locks/queue-0000000000", -1).await.unwrap();
    let name = "queue-0000000000".to_owned();
    assert_eq!(delivery.done().await, Err(QueueError::Lost { name }));
    assert_eq!(take(&mut consumer).await, "job");
}

#[tokio::test]
async fn producers_wait_for_room() {
    let world = World::new();
    let client = world.client().await;
    let queue = Queue::with(&client, "/queue", Options::new().max_items(2));
    queue.put("1").await.unwrap();
    queue.put("2").await.unwrap();
    let putting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.put("3").await }
    });
    assert!(tokio::time::timeout(A_WHILE, queue.put("4")).await.is_err());
    assert!(!putting.is_finished());
    let mut consumer = queue.consumer();
    assert_eq!(take(&mut consumer).await, "1");
    soon(putting).await.unwrap().unwrap();
    assert_eq!(take(&mut consumer).await, "2");
    assert_eq!(take(&mut consumer).await, "3");
    children(&client, "/queue", 0).await;
}

#[tokio::test]
async fn a_next_that_is_dropped_loses_nothing() {
    let world = World::new();
    let client = world.client().await;
    for (path, options) in [("/plain", Options::new()), ("/locked", locked())] {
        let queue = Queue::with(&client, path, options);
        let mut consumer = queue.consumer();
        let mut taken = Vec::new();
        for item in 0..20 {
            queue.put(item.to_string()).await.unwrap();
            // Dropped after another number of answers each time.
            for steps in 0..4 {
                if let Some(delivery) = some_answers(&mut consumer, steps).await {
                    taken.push(text(&delivery));
                    delivery.done().await.unwrap();
                }
            }
        }
        while taken.len() < 20 {
            taken.push(take(&mut consumer).await);
        }
        taken.sort_by_key(|item| item.parse::<i32>().unwrap());
        assert_eq!(
            taken,
            (0..20).map(|item| item.to_string()).collect::<Vec<_>>()
        );
        children(&client, path, 0).await;
    }
}

/// Polls `next` so often, and drops it.
async fn some_answers(consumer: &mut Consumer, polls: usize) -> Option<Delivery> {
    let mut next = std::pin::pin!(consumer.next());
    let mut left = polls;
    let answers = std::future::poll_fn(|context| match next.as_mut().poll(context) {
        Poll::Ready(delivery) => Poll::Ready(Some(delivery.unwrap())),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    // No more answers come where nothing is left to take.
    tokio::time::timeout(A_WHILE, answers).await.ok().flatten()
}

#[tokio::test]
async fn a_consumer_waits_on_when_somebody_removes_its_watch() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let queue = Queue::with(&b, "/queue", locked().max_items(1));
    let mut consumer = Queue::with(&a, "/queue", locked()).consumer();
    let taking = tokio::spawn(async move { next(&mut consumer).await });
    let blind = async |client: &Client| {
        let remove = || client.remove_watches("/queue", WatcherType::Any);
        soon(async { while remove().await.is_err() {} }).await;
    };
    blind(&a).await;
    queue.put("1").await.unwrap();
    let delivery = soon(taking).await.unwrap();
    assert_eq!(text(&delivery), "1");
    // The same for a producer that waits for room.
    let putting = tokio::spawn(async move { queue.put("2").await });
    blind(&b).await;
    delivery.done().await.unwrap();
    soon(putting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_consumer_goes_on_after_a_restart_and_a_broken_line() {
    let mut world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let producer = world.client().await;
    let queue = Queue::with(&producer, "/queue", locked());
    let mut consumer = Queue::with(&client, "/queue", locked()).consumer();
    let waiting = tokio::spawn(async move {
        let first = take(&mut consumer).await;
        (first, consumer)
    });
    wire.cut();
    reach(&client, State::Suspended).await;
    world.stop();
    world.start();
    queue_put(&queue, "one").await;
    wire.mend();
    let (first, mut consumer) = soon(waiting).await.unwrap();
    assert_eq!(first, "one");
    queue_put(&queue, "two").await;
    assert_eq!(take(&mut consumer).await, "two");
}

/// Puts until it is known to be there, from a client whose server has been away.
async fn queue_put(queue: &Queue, item: &str) {
    soon(async { while queue.put(item).await.is_err() {} }).await;
}

#[tokio::test]
async fn an_item_whose_lock_was_created_without_an_answer_is_worked_on_once() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let judge = world.client().await;
    let queue = Queue::with(&judge, "/queue", locked());
    queue.put("1").await.unwrap();
    queue.put("2").await.unwrap();
    let mut consumer = Queue::with(&client, "/queue", locked()).consumer();
    // It has its plan, and the znode of the locks is there.
    assert_eq!(take(&mut consumer).await, "1");
    wire.swallow_replies();
    let taking = tokio::spawn(async move { next(&mut consumer).await });
    children(&judge, "/locks", 1).await;
    wire.break_once();
    let delivery = soon(taking).await.unwrap();
    assert_eq!(text(&delivery), "2");
    wire.swallow_replies();
    let done = tokio::spawn(delivery.done());
    children(&judge, "/queue", 0).await;
    wire.break_once();
    soon(done).await.unwrap().unwrap();
    children(&judge, "/locks", 0).await;
}

#[tokio::test]
async fn an_item_without_locks_that_goes_without_an_answer_is_handed_over_as_unclear() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let judge = world.client().await;
    let queue = SimpleQueue::new(&judge, "/queue");
    let mut consumer = SimpleQueue::new(&client, "/queue").consumer();
    queue.put("1").await.unwrap();
    let mut unclear = 0;
    for round in 0..40 {
        let taking = tokio::spawn(async move {
            let taken = soon(consumer.next()).await;
            (taken, consumer)
        });
        for _ in 0..round % 4 {
            queue.peek().await.unwrap();
        }
        wire.swallow_replies();
        judge.sync("/queue").await.unwrap();
        wire.break_once();
        let taken;
        (taken, consumer) = soon(taking).await.unwrap();
        match taken {
            Ok(delivery) => assert_eq!(text(&delivery), "1"),
            Err(QueueError::Unclear { items, .. }) => {
                assert_eq!(items, ["1"]);
                unclear += 1;
            }
            Err(other) => panic!("{other}"),
        }
        children(&judge, "/queue", 0).await;
        queue.put("1").await.unwrap();
    }
    println!("{unclear} were unclear");
}

#[tokio::test]
async fn the_lowest_priority_comes_first_and_an_urgent_item_overtakes() {
    let world = World::new();
    let client = world.client().await;
    let queue = PriorityQueue::new(&client, "/priority");
    for priority in [5, 0, -3, i32::MAX, i32::MIN, 10] {
        queue.put(priority, priority.to_string()).await.unwrap();
    }
    queue.put_many(5, &["a", "b"]).await.unwrap();
    let mut consumer = queue.consumer();
    for expected in [i32::MIN, -3, 0] {
        assert_eq!(take(&mut consumer).await, expected.to_string());
    }
    queue.put(-7, "urgent").await.unwrap();
    for expected in ["urgent", "5", "a b", "10", "2147483647"] {
        assert_eq!(take(&mut consumer).await, expected);
    }
    assert!(consumer.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn items_come_when_they_are_due_and_not_before() {
    let world = World::new();
    let client = world.client().await;
    let queue = DelayQueue::new(&client, "/delay");
    let mut consumer = queue.consumer();
    let begun = SystemTime::now();
    queue.put_after(A_WHILE, "soon").await.unwrap();
    queue
        .put_at(SystemTime::UNIX_EPOCH + A_WHILE, "long ago")
        .await
        .unwrap();
    queue
        .put_after(Duration::from_secs(3600), "later")
        .await
        .unwrap();
    assert_eq!(take(&mut consumer).await, "long ago");
    assert_eq!(take(&mut consumer).await, "soon");
    assert!(begun.elapsed().unwrap() >= A_WHILE);
    assert!(consumer.try_next().await.unwrap().is_none());
    // While it sleeps, an earlier one comes.
    let waiting = tokio::spawn(async move { take(&mut consumer).await });
    queue.put_after(Duration::ZERO, "now").await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), "now");
    assert!(queue.put_at(SystemTime::UNIX_EPOCH, "never").await.is_err());
    children(&client, "/delay", 1).await;
}

#[tokio::test]
async fn items_are_removed_by_their_ids_unless_somebody_works_on_them() {
    for options in [Options::new(), locked()] {
        let world = World::new();
        let client = world.client().await;
        let queue = IdQueue::with(&client, "/queue", options.clone());
        assert_eq!(queue.remove("my id").await.unwrap(), 0);
        for (id, item) in [("x", "0"), ("my id", "1"), ("a/b|c", "2"), ("my id", "3")] {
            queue.put(id, item).await.unwrap();
        }
        let mut consumer = queue.consumer();
        let worked_on = next(&mut consumer).await;
        assert_eq!(text(&worked_on), "0");
        assert_eq!(queue.remove("x").await.unwrap(), 0);
        worked_on.done().await.unwrap();
        assert_eq!(queue.remove("my id").await.unwrap(), 2);
        let names = children(&client, "/queue", 1).await;
        assert_eq!(names, ["queue-|a_b_c|0000000002"]);
        assert_eq!(queue.remove("a/b|c").await.unwrap(), 1);
        children(&client, "/queue", 0).await;
    }
}

#[tokio::test]
async fn a_simple_queue_holds_bytes_as_they_are() {
    let world = World::new();
    let client: Client = world.client().await;
    let queue = SimpleQueue::new(&client, "/simple");
    assert_eq!(queue.poll().await.unwrap(), None);
    queue.put("one").await.unwrap();
    queue.put("").await.unwrap();
    assert_eq!(
        client.data("/simple/qn-0000000000").await.unwrap().bytes,
        "one"
    );
    assert_eq!(queue.peek().await.unwrap().unwrap(), "one");
    assert_eq!(queue.take().await.unwrap(), "one");
    assert_eq!(queue.poll().await.unwrap().unwrap(), "");
    assert_eq!(queue.take_within(A_WHILE).await.unwrap(), None);
    let taking = tokio::spawn({
        let queue = queue.clone();
        async move { queue.take().await }
    });
    queue.put("late").await.unwrap();
    assert_eq!(soon(taking).await.unwrap().unwrap(), "late");
    children(&client, "/simple", 0).await;
}

#[tokio::test]
async fn no_item_is_lost_or_comes_twice_when_the_leader_goes() {
    const ITEMS: usize = 30;
    let mut ensemble = Ensemble::new().await;
    let (producer, client) = (ensemble.client().await, ensemble.client().await);
    let queue = Queue::with(&producer, "/queue", locked());
    for item in 0..ITEMS {
        queue.put(item.to_string()).await.unwrap();
    }
    let mut consumer = Queue::with(&client, "/queue", locked()).consumer();
    for item in 0..ITEMS {
        let delivery = next(&mut consumer).await;
        assert_eq!(text(&delivery), item.to_string());
        if item == ITEMS / 2 {
            ensemble.lose_leader().await;
        }
        soon(delivery.done()).await.unwrap();
    }
    children(&client, "/queue", 0).await;
}
