//! The mutex against a server, while lines, sessions and servers break.
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

use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::multi_lock::MultiLock;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{Client, CreateOptions, Error, Expected, OpCode, State};
use tokio::task::JoinHandle;
use world::ensemble::Ensemble;
use world::{Wire, World, children, reach, soon};

const PATH: &str = "/locks/x";
/// Too short for anything that has to wait.
const MOMENT: Duration = Duration::from_millis(100);

fn mutex(client: &Client) -> Mutex {
    Mutex::new(client, PATH)
}

/// Waits for the lock in a task of its own.
fn waits(client: &Client) -> JoinHandle<Result<Guard, Error>> {
    let mutex = mutex(client);
    tokio::spawn(async move { mutex.lock().await })
}

/// The lock, held, and a waiter whose znode is there.
async fn held_and_waited_for(
    holder: &Client,
    waiter: &Client,
) -> (Guard, JoinHandle<Result<Guard, Error>>) {
    let guard = mutex(holder).lock().await.unwrap();
    let waiting = waits(waiter);
    children(holder, PATH, 2).await;
    (guard, waiting)
}

async fn got(waiting: JoinHandle<Result<Guard, Error>>) -> Guard {
    soon(waiting).await.unwrap().unwrap()
}

#[tokio::test]
async fn who_comes_first_is_served_first_and_tokens_grow() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let mut guard = mutex(&a).lock().await.unwrap();
    let mut waiting = Vec::new();
    for count in 2..6 {
        waiting.push(waits(if count % 2 == 0 { &b } else { &a }));
        children(&a, PATH, count).await;
    }
    for next in waiting {
        assert!(guard.is_held() && !next.is_finished());
        let token = guard.token();
        guard.release().await.unwrap();
        guard = got(next).await;
        assert!(guard.token() > token);
    }
    guard.release().await.unwrap();
    children(&a, PATH, 0).await;
}

#[tokio::test]
async fn a_free_lock_is_taken_with_two_requests_and_released_with_one() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    mutex(&client)
        .lock()
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    wire.requests();
    let guard = mutex(&client).lock().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Create2, OpCode::GetChildren2]);
    guard.release().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Delete]);
}

#[tokio::test]
async fn a_release_wakes_one_waiter_which_asks_nothing() {
    const WAITERS: usize = 10;
    let world = World::new();
    let (witness, wire) = world.client_by_wire().await;
    let holder = world.client().await;
    let guard = mutex(&holder).lock().await.unwrap();
    wire.requests();
    let mut waiting = Vec::new();
    for waiter in 0..WAITERS {
        waiting.push(waits(&witness));
        // Create, children, a watch on the predecessor; the one that is next watches its own znode too.
        wire.asked((waiter + 1) * 3 + 1).await;
    }
    wire.requests();
    guard.release().await.unwrap();
    let guard = got(waiting.remove(0)).await;
    assert_eq!(wire.requests(), []);
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    assert!(guard.is_held());
}

#[tokio::test]
async fn among_many_a_hand_over_costs_a_deletion_and_a_read() {
    const CLIENTS: usize = 10;
    const EACH: usize = 10;
    let world = World::new();
    let first = world.client().await;
    let guard = mutex(&first).lock().await.unwrap();
    let (mut waiting, mut wires, mut clients) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let (client, wire) = world.client_by_wire().await;
        for _ in 0..EACH {
            waiting.push(waits(&client));
        }
        // Create, children, a watch on the predecessor.
        wire.asked(EACH * 3).await;
        children(&first, PATH, 1 + waiting.len()).await;
        clients.push(client);
        wires.push(wire);
    }
    // The one that is next watches its own znode too.
    wires[0].asked(EACH * 3 + 1).await;
    for wire in &wires {
        wire.requests();
    }
    let mut guard = guard;
    for (number, next) in waiting.into_iter().enumerate() {
        guard.release().await.unwrap();
        guard = got(next).await;
        let asked: Vec<OpCode> = wires.iter().flat_map(Wire::requests).collect();
        let count = |op: OpCode| asked.iter().filter(|asked| **asked == op).count();
        // Nobody else has woken up. Who was next when it came need not look; the first deletion is not seen here.
        let once = usize::from(number > 0);
        let seen = (count(OpCode::Delete), count(OpCode::GetChildren2));
        assert_eq!((seen, asked.len()), ((once, once), 2 * once), "{asked:?}");
    }
}

#[tokio::test]
async fn a_try_does_not_wait_and_leaves_nothing() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let guard = mutex(&a).try_lock().await.unwrap().unwrap();
    assert!(mutex(&b).try_lock().await.unwrap().is_none());
    assert!(mutex(&a).try_lock().await.unwrap().is_none());
    assert_eq!(a.children(PATH).await.unwrap().names.len(), 1);
    guard.release().await.unwrap();
    assert!(mutex(&b).try_lock().await.unwrap().is_some());
}

#[tokio::test]
async fn a_wait_with_a_deadline_ends_and_leaves_nothing() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let guard = mutex(&a).lock().await.unwrap();
    assert!(mutex(&b).lock_within(MOMENT).await.unwrap().is_none());
    children(&a, PATH, 1).await;
    drop(guard);
    let guard = mutex(&b).lock_within(world::PATIENCE).await.unwrap();
    assert!(guard.is_some());
}

#[tokio::test]
async fn a_dropped_guard_releases_before_what_is_asked_next() {
    let world = World::new();
    let client = world.client().await;
    let guard = mutex(&client).lock().await.unwrap();
    let path = guard.path().to_owned();
    drop(guard);
    assert_eq!(client.exists(&path).await.unwrap(), None);
}

#[tokio::test]
async fn a_waiter_that_gives_up_is_passed_over() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let (guard, second) = held_and_waited_for(&a, &b).await;
    let third = waits(&b);
    children(&a, PATH, 3).await;
    second.abort();
    children(&a, PATH, 2).await;
    assert!(!third.is_finished());
    guard.release().await.unwrap();
    drop(got(third).await);
}

#[tokio::test]
async fn an_owner_takes_its_lock_again_without_another_znode() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let owner = mutex(&a).owner();
    let clone = owner.clone();
    let (first, second) = tokio::join!(owner.lock(), clone.lock());
    let third = owner.try_lock().await.unwrap().unwrap();
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.token(), second.token());
    assert_eq!(first.token(), third.token());
    let other = waits(&b);
    children(&a, PATH, 2).await;
    first.release().await.unwrap();
    drop(second);
    assert!(third.is_held() && !other.is_finished());
    third.release().await.unwrap();
    let other = got(other).await;
    assert!(owner.try_lock().await.unwrap().is_none());
    other.release().await.unwrap();
    drop(owner.lock().await.unwrap());
}

#[tokio::test]
async fn other_names_in_the_line_are_read_as_curator_reads_them() {
    let world = World::new();
    let client = world.client().await;
    let plain = CreateOptions::persistent();
    client.create("/locks", "", &plain).await.unwrap();
    client.create(PATH, "", &plain).await.unwrap();
    client.create("/locks/x/junk", "", &plain).await.unwrap();
    mutex(&client)
        .lock()
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    let first = "/locks/x/lock-0000000000";
    client.create(first, "", &plain).await.unwrap();
    let waiting = waits(&client);
    children(&client, PATH, 3).await;
    assert!(!waiting.is_finished());
    client.delete(first, Expected::Any).await.unwrap();
    drop(got(waiting).await);
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_makes_one_place() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    mutex(&b).lock().await.unwrap().release().await.unwrap();
    wire.swallow_replies();
    let waiting = waits(&a);
    let names = children(&b, PATH, 1).await;
    wire.break_once();
    let guard = got(waiting).await;
    assert!(guard.path().ends_with(&names[0]));
    assert_eq!(children(&b, PATH, 1).await, names);
}

#[tokio::test]
async fn a_waiter_dropped_while_its_create_is_on_the_way_leaves_nothing() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    mutex(&b).lock().await.unwrap().release().await.unwrap();
    wire.swallow_replies();
    let waiting = waits(&a);
    children(&b, PATH, 1).await;
    waiting.abort();
    wire.break_once();
    children(&b, PATH, 0).await;
}

/// Takes the lock with a second create, while the first one is still on its way.
async fn locked_with_trouble(a: &Client, b: &Client, wire: &Wire) -> Guard {
    mutex(b).lock().await.unwrap().release().await.unwrap();
    wire.keep(OpCode::Create2);
    let locking = waits(a);
    wire.kept().await;
    wire.break_once();
    let guard = got(locking).await;
    children(b, PATH, 1).await;
    guard
}

#[tokio::test]
async fn a_create_that_is_executed_late_does_not_block_those_behind_it() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let guard = locked_with_trouble(&a, &b, &wire).await;
    assert_eq!(wire.deliver().await, 0);
    let waiting = waits(&b);
    children(&b, PATH, 3).await;
    guard.release().await.unwrap();
    let guard = got(waiting).await;
    assert_eq!(children(&b, PATH, 1).await.len(), 1);
    drop(guard);
}

#[tokio::test]
async fn a_create_that_is_executed_late_goes_with_a_dropped_guard() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let guard = locked_with_trouble(&a, &b, &wire).await;
    assert_eq!(wire.deliver().await, 0);
    children(&b, PATH, 2).await;
    drop(guard);
    children(&b, PATH, 0).await;
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_releases() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let (guard, waiting) = held_and_waited_for(&a, &b).await;
    wire.swallow_replies();
    let release = tokio::spawn(guard.release());
    let second = got(waiting).await;
    wire.break_once();
    soon(release).await.unwrap().unwrap();
    assert!(second.is_held());
}

#[tokio::test]
async fn a_guard_dropped_while_the_line_is_cut_releases_when_it_is_mended() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let (guard, waiting) = held_and_waited_for(&a, &b).await;
    wire.cut();
    reach(&a, State::Suspended).await;
    drop(guard);
    wire.mend();
    drop(got(waiting).await);
    assert_eq!(a.state(), State::Connected);
}

#[tokio::test]
async fn a_holder_behind_a_held_line_learns_of_it_before_the_lock_is_given_away() {
    let world = World::new();
    let (a, wire) = world.brief_client_by_wire().await;
    let b = world.client().await;
    let (guard, waiting) = held_and_waited_for(&a, &b).await;
    wire.hold();
    soon(guard.lost()).await;
    assert!(!guard.is_held() && !waiting.is_finished());
    let second = got(waiting).await;
    assert!(second.token() > guard.token());
    wire.break_once();
    reach(&a, State::Expired).await;
    assert_eq!(guard.release().await, Err(Error::SessionExpired));
}

#[tokio::test]
async fn a_holder_whose_session_outlives_the_break_goes_on_holding() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let owner = mutex(&a).owner();
    let guard = owner.lock().await.unwrap();
    let waiting = waits(&b);
    children(&b, PATH, 2).await;
    wire.cut();
    soon(guard.lost()).await;
    // In doubt, the owner's next guard waits for what the server says.
    let again = tokio::spawn(async move { owner.lock().await });
    assert!(!guard.is_held());
    wire.mend();
    let again = got(again).await;
    assert!(guard.is_held() && !waiting.is_finished());
    again.release().await.unwrap();
    guard.release().await.unwrap();
    drop(got(waiting).await);
}

#[tokio::test]
async fn a_waiter_whose_session_ends_is_told_so() {
    let world = World::new();
    let (a, wire) = world.brief_client_by_wire().await;
    let b = world.client().await;
    let (guard, waiting) = held_and_waited_for(&b, &a).await;
    wire.hold();
    children(&b, PATH, 1).await;
    wire.break_once();
    let told = soon(waiting).await.unwrap();
    assert_eq!(told.unwrap_err(), Error::SessionExpired);
    assert!(guard.is_held());
}

#[tokio::test]
async fn a_holder_whose_znode_is_removed_is_told_so() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let guard = mutex(&a).lock().await.unwrap();
    let path = guard.path().to_owned();
    let lost = async {
        guard.lost().await;
        assert!(!guard.is_held());
    };
    let removal = async {
        a.set(&path, "touched", Expected::Any).await.unwrap();
        b.delete(&path, Expected::Any).await.unwrap();
    };
    soon(async { tokio::join!(lost, removal) }).await;
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_waiter_whose_znode_is_removed_goes_to_the_end() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let (guard, second) = held_and_waited_for(&a, &b).await;
    let third = waits(&a);
    let mut names = children(&a, PATH, 3).await;
    names.sort_by_key(|name| name[name.len() - 10..].to_owned());
    a.delete(&format!("{PATH}/{}", names[1]), Expected::Any)
        .await
        .unwrap();
    children(&a, PATH, 3).await;
    guard.release().await.unwrap();
    let third = got(third).await;
    assert!(!second.is_finished());
    third.release().await.unwrap();
    drop(got(second).await);
}

#[tokio::test]
async fn a_restarted_server_knows_who_holds_and_who_waits() {
    let mut world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let (guard, waiting) = held_and_waited_for(&a, &b).await;
    world.stop();
    soon(guard.lost()).await;
    reach(&b, State::Suspended).await;
    world.start();
    reach(&a, State::Connected).await;
    reach(&b, State::Connected).await;
    assert!(guard.is_held() && !waiting.is_finished());
    guard.release().await.unwrap();
    drop(got(waiting).await);
}

#[tokio::test]
async fn a_new_leader_of_the_ensemble_knows_who_holds_and_who_waits() {
    let mut ensemble = Ensemble::new().await;
    let clients = [
        ensemble.client().await,
        ensemble.client().await,
        ensemble.client().await,
    ];
    let guard = mutex(&clients[0]).lock().await.unwrap();
    let mut waiting = Vec::new();
    for (count, client) in [(2, &clients[1]), (3, &clients[2])] {
        waiting.push(waits(client));
        children(&clients[0], PATH, count).await;
    }
    let lost = ensemble.lose_leader().await;
    let mut guard = guard;
    for next in waiting {
        let token = guard.token();
        for client in &clients {
            reach(client, State::Connected).await;
        }
        assert!(guard.is_held() && !next.is_finished());
        guard.release().await.unwrap();
        guard = got(next).await;
        assert!(guard.token() > token);
    }
    ensemble.start(lost);
    ensemble.serving().await;
    guard.release().await.unwrap();
    children(&clients[1], PATH, 0).await;
}

#[tokio::test]
async fn several_locks_are_had_together_or_not_at_all() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let several = MultiLock::new(&a, ["/locks/2", "/locks/1", "/locks/2"]);
    let guards = soon(several.lock()).await.unwrap();
    assert_eq!(guards.tokens().len(), 2);
    assert!(guards.tokens().is_sorted() && guards.is_held());
    guards.release().await.unwrap();
    let one = Mutex::new(&b, "/locks/2").lock().await.unwrap();
    assert!(several.try_lock().await.unwrap().is_none());
    assert!(several.lock_within(MOMENT).await.unwrap().is_none());
    children(&b, "/locks/1", 0).await;
    children(&b, "/locks/2", 1).await;
    one.release().await.unwrap();
    let guards = several.try_lock().await.unwrap().unwrap();
    drop(guards);
    children(&b, "/locks/1", 0).await;
}

#[tokio::test]
async fn who_wants_the_same_locks_in_another_order_does_not_wait_for_ever() {
    let world = World::new();
    let mut tasks = Vec::new();
    for paths in [["/a", "/b", "/c"], ["/c", "/b", "/a"], ["/b", "/a", "/c"]] {
        let client = world.client().await;
        tasks.push(tokio::spawn(async move {
            let several = MultiLock::new(&client, paths);
            for _ in 0..20 {
                several.lock().await?.release().await?;
            }
            Ok::<_, Error>(())
        }));
    }
    for task in tasks {
        soon(task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_lost_lock_of_several_is_told() {
    let world = World::new();
    let (a, b) = (world.client().await, world.client().await);
    let guards = MultiLock::new(&a, ["/l/1", "/l/2"]).lock().await.unwrap();
    let names = children(&b, "/l/2", 1).await;
    let path = format!("/l/2/{}", names[0]);
    let removal = async { b.delete(&path, Expected::Any).await.unwrap() };
    soon(async { tokio::join!(guards.lost(), removal) }).await;
    assert!(!guards.is_held());
}

#[tokio::test]
async fn a_free_lock_is_one_round_trip_of_two_requests_and_its_release_is_one() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    soon(mutex(&client).lock())
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    wire.requests();

    let guard = soon(mutex(&client).lock()).await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Create2, OpCode::GetChildren2]);
    guard.release().await.unwrap();
    assert_eq!(wire.requests(), [OpCode::Delete]);

    // The second request does not wait for the answer to the first.
    wire.swallow_replies();
    let unanswered = waits(&client);
    wire.asked(2).await;
    assert_eq!(wire.requests(), [OpCode::Create2, OpCode::GetChildren2]);
    assert!(!unanswered.is_finished());
}
