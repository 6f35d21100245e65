//! Leader latch and leader selector against a server.
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

use std::ops::ControlFlow;

use rookeeper_client::recipes::leader_latch::{LeaderLatch, Leadership, Participant};
use rookeeper_client::recipes::leader_selector::LeaderSelector;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::recipes::protected::create_with_parents;
use rookeeper_client::{Client, CreateOptions, Error, Expected, OpCode, State, Zxid};
use tokio::sync::mpsc;
use world::ensemble::Ensemble;
use world::{World, children, reach, soon};

const PATH: &str = "/leader";

fn candidate(client: &Client, id: &str) -> LeaderLatch {
    LeaderLatch::join(client, PATH, id)
}

async fn leads(latch: &LeaderLatch) -> Zxid {
    let token = soon(latch.lead()).await.unwrap();
    assert!(latch.is_leader());
    token
}

fn participant(id: &str, is_leader: bool) -> Participant {
    Participant {
        id: id.to_owned(),
        is_leader,
    }
}

/// Candidates of the names, in this order in the line.
async fn line(client: &Client, ids: &[&str]) -> Vec<LeaderLatch> {
    let mut latches = Vec::new();
    for id in ids {
        latches.push(candidate(client, id));
        if latches.len() == 1 {
            leads(&latches[0]).await;
        }
        children(client, PATH, latches.len()).await;
    }
    latches
}

#[tokio::test]
async fn the_first_in_line_leads_until_it_leaves() {
    let world = World::new();
    let client = world.client().await;
    let mut latches = line(&client, &["a", "b", "c"]).await;
    let expected = [
        participant("a", true),
        participant("b", false),
        participant("c", false),
    ];
    assert_eq!(latches[2].participants().await.unwrap(), expected);
    let first = latches.remove(0);
    let token = leads(&first).await;
    assert!(!latches[0].is_leader() && !latches[1].is_leader());
    soon(first.leave()).await.unwrap();
    let next = leads(&latches[0]).await;
    assert!(next > token);
    drop(latches.remove(0));
    assert!(leads(&latches[0]).await > next);
}

#[tokio::test]
async fn the_znodes_are_those_of_curator() {
    let world = World::new();
    let client = world.client().await;
    let latch = candidate(&client, "host-7");
    leads(&latch).await;
    let names = children(&client, PATH, 1).await;
    assert!(names[0].starts_with("_c_") && names[0].ends_with("-latch-0000000000"));
    let data = client.data(&format!("{PATH}/{}", names[0])).await.unwrap();
    assert_eq!(data.bytes, "host-7");
}

#[tokio::test]
async fn a_release_wakes_one_candidate_which_asks_nothing() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let first = candidate(&other, "first");
    leads(&first).await;
    wire.requests();
    let mut latches = Vec::new();
    for count in 1..6 {
        latches.push(candidate(&client, "next"));
        // Create, children, a watch on the predecessor; the one that is next watches its own znode too.
        wire.asked(count * 3 + 1).await;
    }
    wire.requests();
    soon(first.leave()).await.unwrap();
    leads(&latches[0]).await;
    // It watches its own znode now, as long as it leads.
    wire.asked(1).await;
    assert_eq!(wire.requests(), [OpCode::Exists]);
    // One that had several ahead looks whether any are left.
    soon(latches.remove(0).leave()).await.unwrap();
    leads(&latches[0]).await;
    wire.asked(3).await;
    let asked = [OpCode::Delete, OpCode::GetChildren2, OpCode::Exists];
    assert_eq!(wire.requests(), asked);
}

#[tokio::test]
async fn a_leader_behind_a_held_line_stops_before_another_one_leads() {
    let world = World::new();
    let (a, wire) = world.brief_client_by_wire().await;
    let b = world.client().await;
    let first = candidate(&a, "a");
    let token = leads(&first).await;
    let second = candidate(&b, "b");
    children(&b, PATH, 2).await;
    wire.hold();
    soon(first.lost()).await;
    assert!(!first.is_leader() && !second.is_leader());
    assert!(leads(&second).await > token);
    wire.break_once();
    assert_eq!(soon(first.lead()).await, Err(Error::SessionExpired));
    assert_eq!(first.leadership(), Leadership::Ended(Error::SessionExpired));
    assert_eq!(first.leave().await, Err(Error::SessionExpired));
}

#[tokio::test]
async fn a_leader_whose_session_outlives_the_break_leads_again() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let first = candidate(&a, "a");
    let token = leads(&first).await;
    let second = candidate(&b, "b");
    children(&b, PATH, 2).await;
    wire.cut();
    soon(first.lost()).await;
    assert!(!first.is_leader());
    wire.mend();
    assert_eq!(leads(&first).await, token);
    assert_eq!(second.leadership(), Leadership::Waiting);
}

#[tokio::test]
async fn a_leader_whose_znode_is_removed_goes_to_the_end() {
    let world = World::new();
    let client = world.client().await;
    let latches = line(&client, &["a", "b"]).await;
    let path = format!("{PATH}/");
    let names = children(&client, PATH, 2).await;
    let first = names.iter().find(|name| name.ends_with("0000000000"));
    client
        .delete(&(path + first.unwrap()), Expected::Any)
        .await
        .unwrap();
    leads(&latches[1]).await;
    children(&client, PATH, 2).await;
    let ids = latches[0].participants().await.unwrap();
    assert_eq!(ids, [participant("b", true), participant("a", false)]);
    assert!(!latches[0].is_leader());
}

#[tokio::test]
async fn a_candidate_whose_create_was_not_answered_is_there_once() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    soon(line(&b, &["b"]).await.remove(0).leave())
        .await
        .unwrap();
    wire.swallow_replies();
    let latch = candidate(&a, "a");
    children(&b, PATH, 1).await;
    wire.break_once();
    leads(&latch).await;
    children(&b, PATH, 1).await;
}

#[tokio::test]
async fn a_candidate_that_leaves_on_its_way_into_the_line_has_left_when_it_says_so() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let container = CreateOptions::container();
    create_with_parents(&b, PATH, "", &container).await.unwrap();
    wire.swallow_replies_from(OpCode::Create2);
    let latch = candidate(&a, "a");
    children(&b, PATH, 1).await;
    let leaving = tokio::spawn(latch.leave());
    wire.break_once();
    soon(leaving).await.unwrap().unwrap();
    assert_eq!(b.children(PATH).await.unwrap().names, [""; 0]);
}

#[tokio::test]
async fn a_candidate_dropped_at_any_moment_leaves_nothing() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let b = world.client().await;
    let leader = line(&b, &["b"]).await;
    wire.swallow_replies();
    let latch = candidate(&a, "a");
    children(&b, PATH, 2).await;
    drop(latch);
    wire.break_once();
    children(&b, PATH, 1).await;
    assert!(leader[0].is_leader());
}

#[tokio::test]
async fn a_candidate_ends_when_the_server_refuses() {
    let world = World::new();
    let client = world.client_below("/nowhere/at/all").await;
    let latch = candidate(&client, "a");
    assert!(soon(latch.lead()).await.unwrap_err().is_no_node());
}

#[tokio::test]
async fn a_restarted_server_knows_the_leader() {
    let mut world = World::new();
    let client = world.client().await;
    let latches = line(&client, &["a", "b"]).await;
    let token = leads(&latches[0]).await;
    world.stop();
    soon(latches[0].lost()).await;
    world.start();
    assert_eq!(leads(&latches[0]).await, token);
    assert!(!latches[1].is_leader());
}

#[tokio::test]
async fn a_new_leader_of_the_ensemble_knows_who_leads_the_clients() {
    let mut ensemble = Ensemble::new().await;
    let (a, b) = (ensemble.client().await, ensemble.client().await);
    let first = candidate(&a, "a");
    let token = leads(&first).await;
    let second = candidate(&b, "b");
    children(&a, PATH, 2).await;
    ensemble.lose_leader().await;
    reach(&a, State::Connected).await;
    reach(&b, State::Connected).await;
    assert_eq!(soon(first.lead()).await, Ok(token));
    assert!(!second.is_leader());
    soon(first.leave()).await.unwrap();
    assert!(leads(&second).await > token);
}

#[tokio::test]
async fn selectors_lead_in_turn_and_line_up_again() {
    let world = World::new();
    let (tell, mut told) = mpsc::unbounded_channel();
    for id in ["a", "b"] {
        let (client, tell) = (world.client().await, tell.clone());
        tokio::spawn(async move {
            let selector = LeaderSelector::new(&client, PATH, id);
            let work = |leading: rookeeper_client::recipes::guard::Guard| {
                let (tell, client) = (tell.clone(), client.clone());
                async move {
                    // Goes on when the other one waits behind it.
                    children(&client, PATH, 2).await;
                    tell.send((id, leading.token())).unwrap();
                    ControlFlow::<()>::Continue(())
                }
            };
            selector.lead_repeatedly(work).await
        });
    }
    let mut last = ("", Zxid(0));
    for _ in 0..10 {
        let next = soon(told.recv()).await.unwrap();
        assert!(next.0 != last.0 && next.1 > last.1, "{last:?} {next:?}");
        last = next;
    }
}

#[tokio::test]
async fn the_work_is_told_when_leadership_is_lost_and_begins_again_with_a_break() {
    let world = World::new();
    let (a, wire) = world.client_by_wire().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut round = 0;
    let leading = tokio::spawn(async move {
        let selector = LeaderSelector::new(&a, PATH, "a");
        let work = |leading: rookeeper_client::recipes::guard::Guard| {
            round += 1;
            let (round, tell) = (round, tell.clone());
            async move {
                tell.send(round).unwrap();
                if round == 2 {
                    return ControlFlow::Break(round);
                }
                leading.lost().await;
                ControlFlow::Continue(())
            }
        };
        selector.lead_repeatedly(work).await
    });
    assert_eq!(soon(told.recv()).await, Some(1));
    wire.break_once();
    assert_eq!(soon(told.recv()).await, Some(2));
    assert_eq!(soon(leading).await.unwrap(), Ok(2));
}

#[tokio::test]
async fn a_selector_and_a_mutex_exclude_each_other_and_the_id_is_the_data() {
    let world = World::new();
    let client = world.client().await;
    let selector = LeaderSelector::new(&client, PATH, "a");
    let mutex = Mutex::new(&client, PATH);
    let led = selector.lead(|_leading| {
        let (mutex, selector) = (mutex.clone(), selector.clone());
        async move {
            assert!(mutex.try_lock().await.unwrap().is_none());
            selector.participants().await.unwrap()
        }
    });
    assert_eq!(soon(led).await.unwrap(), [participant("a", true)]);
    assert!(mutex.try_lock().await.unwrap().is_some());
}

#[tokio::test]
async fn dropping_a_selector_drops_its_work_and_leaves_the_line() {
    let world = World::new();
    let client = world.client().await;
    let (tell, mut told) = mpsc::unbounded_channel::<()>();
    let leading = tokio::spawn({
        let selector = LeaderSelector::new(&client, PATH, "a");
        async move {
            let work = |_leading| async move {
                tell.send(()).unwrap();
                std::future::pending::<()>().await;
            };
            selector.lead(work).await
        }
    });
    soon(told.recv()).await.unwrap();
    leading.abort();
    assert_eq!(soon(told.recv()).await, None);
    children(&client, PATH, 0).await;
}
