//! Counters, shared values and counts, unique ids.
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

use rookeeper_client::recipes::counter::{Change, Counter, CounterError};
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::recipes::shared_count::{CountError, SharedCount};
use rookeeper_client::recipes::shared_value::SharedValue;
use rookeeper_client::recipes::unique_ids::{IdBlocks, SequenceIds};
use rookeeper_client::{Client, CreateOptions, Outcome, State, WatcherType};
use world::ensemble::Ensemble;
use world::{World, children, reach, soon};

fn plain() -> CreateOptions {
    CreateOptions::persistent()
}

#[tokio::test]
async fn a_counter_that_was_never_changed_is_zero_and_counts_from_there() {
    let world = World::new();
    let client = world.client().await;
    let counter = Counter::new(&client, "/numbers/long");
    assert_eq!(counter.get().await.unwrap(), 0);
    assert!(client.exists("/numbers").await.unwrap().is_none());
    let change = counter.add(5).await.unwrap();
    assert_eq!(
        change,
        Change {
            before: 0,
            after: 5
        }
    );
    assert_eq!(counter.add(-7).await.unwrap().after, -2);
    let data = client.data("/numbers/long").await.unwrap();
    assert_eq!(data.bytes, (-2_i64).to_be_bytes().to_vec());
    assert_eq!(counter.compare_and_set(0, 1).await.unwrap(), Err(-2));
    assert_eq!(counter.compare_and_set(-2, 1 << 40).await.unwrap(), Ok(()));
    assert!(!counter.initialize(3).await.unwrap());
    counter.set(9).await.unwrap();
    assert_eq!(counter.increment().await.unwrap().after, 10);
    assert_eq!(counter.decrement().await.unwrap().after, 9);
    let other = Counter::new(&client, "/numbers/other");
    assert!(other.initialize(3).await.unwrap());
    Counter::new(&client, "/deep/er/third")
        .set(4)
        .await
        .unwrap();
    assert_eq!(other.get().await.unwrap(), 3);
}

#[tokio::test]
async fn data_that_is_no_counter_is_refused_and_a_sum_that_does_not_fit_changes_nothing() {
    let world = World::new();
    let client = world.client().await;
    client.create("/three", "abc", &plain()).await.unwrap();
    let refused = Counter::new(&client, "/three").add(1).await;
    let (path, len) = ("/three".to_owned(), 3);
    assert_eq!(refused, Err(CounterError::Corrupt { path, len }));
    client.create("/empty", "", &plain()).await.unwrap();
    let counter = Counter::new(&client, "/empty");
    assert_eq!(counter.add(i64::MAX).await.unwrap().before, 0);
    let (value, delta) = (i64::MAX, 1);
    let overflow = CounterError::Overflow { value, delta };
    assert_eq!(counter.increment().await, Err(overflow));
    assert_eq!(counter.get().await.unwrap(), i64::MAX);
}

#[tokio::test]
async fn many_who_add_at_once_lose_nothing_and_never_see_the_same_change() {
    const EACH: i64 = 25;
    let world = World::new();
    let mut adding = Vec::new();
    for _ in 0..4 {
        let client = world.client().await;
        adding.push(tokio::spawn(async move {
            let counter = Counter::new(&client, "/many");
            let mut seen = Vec::new();
            for _ in 0..EACH {
                seen.push(counter.increment().await.unwrap().after);
            }
            seen
        }));
    }
    let mut all = Vec::new();
    for adding in adding {
        all.extend(soon(adding).await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=4 * EACH).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_was_too_late_too_often_waits_in_line() {
    const EACH: i64 = 10;
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let turn = Mutex::new(&other, "/line").lock().await.unwrap();
    let counter = |client: &Client, attempts| {
        let counter = Counter::new(client, "/counted");
        counter.in_line_after(attempts, "/line")
    };
    let adding = tokio::spawn({
        let counter = counter(&client, 0);
        async move { counter.increment().await }
    });
    children(&other, "/line", 2).await;
    // Whoever is not too late has no need to wait.
    let change = counter(&other, 1).add(5).await.unwrap();
    assert_eq!((change.after, adding.is_finished()), (5, false));
    turn.release().await.unwrap();
    assert_eq!(soon(adding).await.unwrap().unwrap().after, 6);
    children(&other, "/line", 0).await;
    let mut adding = Vec::new();
    for _ in 0..8 {
        let counter = counter(&client, 1);
        adding.push(tokio::spawn(async move {
            for _ in 0..EACH {
                counter.increment().await.unwrap();
            }
        }));
    }
    for adding in adding {
        soon(adding).await.unwrap();
    }
    assert_eq!(counter(&other, 1).get().await.unwrap(), 6 + 8 * EACH);
    children(&other, "/line", 0).await;
}

#[tokio::test]
async fn an_addition_on_a_line_that_breaks_is_done_once_or_of_unknown_outcome() {
    const ADDITIONS: usize = 30;
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let judge = Counter::new(&world.client().await, "/once");
    let counter = Counter::new(&client, "/once");
    let (mut done, mut unknown) = (0, 0);
    for round in 0..ADDITIONS {
        let adding = tokio::spawn({
            let counter = counter.clone();
            async move { counter.increment().await }
        });
        // The line breaks at another moment each time; what is asked meanwhile happens without an answer.
        for _ in 0..round % 4 {
            judge.get().await.unwrap();
        }
        wire.swallow_replies();
        judge.add(1_000_000).await.unwrap();
        wire.break_once();
        match soon(adding).await.unwrap() {
            Ok(_) => done += 1,
            Err(CounterError::Client(error)) => {
                assert_eq!(error.outcome(), Outcome::Unknown);
                unknown += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    let counted = judge.get().await.unwrap() % 1_000_000;
    assert!(
        (done..=done + unknown).contains(&counted),
        "{counted} of {done} and {unknown}"
    );
}

#[tokio::test]
async fn a_set_whose_answer_is_lost_is_done_when_it_returns() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let judge = world.client().await;
    let counter = Counter::new(&client, "/set");
    counter.set(1).await.unwrap();
    let (_, change) = judge.data_watched("/set").await.unwrap();
    wire.swallow_replies();
    let setting = tokio::spawn({
        let counter = counter.clone();
        async move { counter.set(2).await }
    });
    soon(change).await.unwrap();
    wire.break_once();
    soon(setting).await.unwrap().unwrap();
    assert_eq!(counter.get().await.unwrap(), 2);
}

#[tokio::test]
async fn a_value_is_seen_by_all_and_the_first_seed_stays() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let of_a = SharedValue::start(&a, "/shared/value", "of A")
        .await
        .unwrap();
    let of_b = SharedValue::start(&b, "/shared/value", "of B")
        .await
        .unwrap();
    assert_eq!(of_b.current().bytes, "of A");
    let mut changes = of_b.changes();
    of_a.set("next").await.unwrap();
    assert_eq!(of_a.current().bytes, "next");
    let seen = soon(changes.next()).await.unwrap();
    assert_eq!((&seen.bytes[..], seen.version), (&b"next"[..], 1));
    assert!(of_b.try_set(&seen, "third").await.unwrap());
    // A saw an older one, and reads the one that is there.
    assert!(!of_a.try_set(&seen, "fourth").await.unwrap());
    assert_eq!(of_a.current().bytes, "third");
    a.close().await.unwrap();
    b.close().await.unwrap();
    let judge = world.client().await;
    assert_eq!(judge.data("/shared/value").await.unwrap().bytes, "third");
}

#[tokio::test]
async fn a_value_is_followed_across_a_broken_line_a_restart_and_a_deletion() {
    let mut world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let judge = world.client().await;
    let value = SharedValue::start(&client, "/value", "0").await.unwrap();
    let mut changes = value.changes();
    wire.cut();
    reach(&client, State::Suspended).await;
    judge.set("/value", "while cut", -1).await.unwrap();
    wire.mend();
    assert_eq!(soon(changes.next()).await.unwrap().bytes, "while cut");
    world.stop();
    reach(&judge, State::Suspended).await;
    world.start();
    soon(reach(&judge, State::Connected)).await;
    judge.set("/value", "restarted", -1).await.unwrap();
    assert_eq!(soon(changes.next()).await.unwrap().bytes, "restarted");
    judge.delete("/value", -1).await.unwrap();
    judge.create("/value", "again", &plain()).await.unwrap();
    assert_eq!(soon(changes.next()).await.unwrap().bytes, "again");
}

#[tokio::test]
async fn a_value_that_nobody_holds_any_more_leaves_no_watch() {
    let world = World::new();
    let client = world.client().await;
    let value = SharedValue::start(&client, "/value", "0").await.unwrap();
    let mut changes = value.changes();
    drop(value);
    assert_eq!(soon(changes.next()).await, None);
}

#[tokio::test]
async fn changes_end_with_the_session() {
    let world = World::new();
    let client = world.client().await;
    let value = SharedValue::start(&client, "/value", "0").await.unwrap();
    let mut changes = value.changes();
    client.close().await.unwrap();
    assert_eq!(soon(changes.next()).await, None);
    assert_eq!(value.current().bytes, "0");
    assert!(value.set("1").await.is_err());
}

#[tokio::test]
async fn a_value_is_followed_although_somebody_removes_the_watch() {
    let world = World::new();
    let (client, judge) = (world.client().await, world.client().await);
    let value = SharedValue::start(&client, "/value", "0").await.unwrap();
    let mut changes = value.changes();
    let removed = client.remove_watches("/value", WatcherType::Any).await;
    removed.unwrap();
    judge.set("/value", "1", -1).await.unwrap();
    assert_eq!(soon(changes.next()).await.unwrap().bytes, "1");
}

#[tokio::test]
async fn a_count_has_four_bytes() {
    let world = World::new();
    let client = world.client().await;
    let count = SharedCount::start(&client, "/count", 7).await.unwrap();
    assert_eq!(client.data("/count").await.unwrap().bytes, vec![0, 0, 0, 7]);
    let mut changes = count.changes();
    let seen = count.current().unwrap();
    assert!(count.try_set(&seen, -2).await.unwrap());
    assert!(!count.try_set(&seen, 5).await.unwrap());
    assert_eq!(soon(changes.next()).await.unwrap().unwrap().number, -2);
    client.set("/count", "what", -1).await.unwrap();
    client.set("/count", "no count", -1).await.unwrap();
    assert_eq!(count.read().await, Err(CountError::Corrupt { len: 8 }));
}

#[tokio::test]
async fn ids_increase_whoever_asks_and_although_older_znodes_are_removed() {
    let mut world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let ids = [
        SequenceIds::new(&a, "/app/ids"),
        SequenceIds::cleaned(&b, "/app/ids"),
    ];
    let mut last = None;
    for round in 0..40 {
        if round == 20 {
            world.stop();
            world.start();
        }
        let id = soon(ids[round % 2].next()).await.unwrap();
        assert!(last < Some(id));
        last = Some(id);
    }
    ids[0].sweep(last.unwrap()).await.unwrap();
    assert!(children(&a, "/app/ids", 0).await.is_empty());
    assert!(Some(ids[0].next().await.unwrap()) > last);
}

#[tokio::test]
async fn cleaned_ids_remove_what_others_have_left() {
    let world = World::new();
    let client = world.client().await;
    let left = SequenceIds::new(&client, "/ids");
    for _ in 0..10 {
        left.next().await.unwrap();
    }
    assert_eq!(
        SequenceIds::cleaned(&client, "/ids").next().await.unwrap(),
        10
    );
    children(&client, "/ids", 0).await;
}

#[tokio::test]
async fn ids_increase_although_answers_are_lost() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let judge = world.client().await;
    let ids = SequenceIds::new(&client, "/ids");
    assert_eq!(ids.next().await.unwrap(), 0);
    wire.swallow_replies();
    let asking = tokio::spawn(async move { ids.next().await });
    children(&judge, "/ids", 2).await;
    wire.break_once();
    assert_eq!(soon(asking).await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn ids_increase_across_a_change_of_leader() {
    let mut ensemble = Ensemble::new().await;
    let client = ensemble.client().await;
    let ids = SequenceIds::cleaned(&client, "/ids");
    let first = ids.next().await.unwrap();
    let second = ids.next().await.unwrap();
    ensemble.lose_leader().await;
    let third = soon(ids.next()).await.unwrap();
    assert!(first < second && second < third);
}

#[tokio::test]
async fn blocks_of_ids_do_not_overlap() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let mut blocks = [
        IdBlocks::new(&client, "/blocks", 7),
        IdBlocks::new(&other, "/blocks", 3),
    ];
    assert_eq!(blocks[0].next().await.unwrap(), 1);
    assert_eq!(blocks[1].next().await.unwrap(), 8);
    let (mut seen, mut last) = (BTreeSet::from([1, 8]), [1, 8]);
    for round in 0..60 {
        if round % 9 == 0 {
            wire.break_once();
        }
        let id = soon(blocks[round % 2].next()).await.unwrap();
        assert!(seen.insert(id) && id > last[round % 2]);
        last[round % 2] = id;
    }
    let reserved = blocks[0].reserve(1000).await.unwrap();
    assert_eq!(reserved.end - reserved.start, 1000);
    assert!(reserved.start > seen.last().copied().unwrap());
}
