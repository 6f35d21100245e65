//! Observers give way: they wait before they come back, and they take turns at a leader that sends states.

#![allow(
    clippy::expect_used,
    reason = "a test may fail this way, also outside of test functions"
)]

mod world;

use rookeeper_node::ensemble::holding_back::ObserverWaits;
use rookeeper_proto::ballot::PeerState;
use rookeeper_proto::ids::ServerId;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::leader::effect::LearnerFault;
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use world::{REMEMBERED, World};

/// Longer than an election and a synchronization take, ms.
const WHILE: i64 = 2000;
/// The longest wait of these stories, ms.
const LONGEST: i64 = 1000;
const OBSERVER: ServerId = ServerId(4);

fn with_observer(look: i64, connect: i64) -> World {
    let mut world = World::new(3, 1, REMEMBERED);
    world.observer_waits = ObserverWaits { look, connect };
    (1..=4).for_each(|id| world.start(id));
    world
}

fn state(world: &World) -> PeerState {
    world.running[&OBSERVER].member.state()
}

/// When the observer goes on, if it waits.
fn due(world: &World) -> i64 {
    world.running[&OBSERVER]
        .member
        .deadline()
        .expect("it waits")
}

fn has_connected(world: &World) -> bool {
    let connects = |said: &FromLearner| matches!(said, FromLearner::ObserverInfo { .. });
    let mut said = world.said.iter();
    said.any(|(id, said)| *id == OBSERVER && connects(said))
}

#[test]
fn an_observer_that_lost_its_leader_waits_before_it_looks_for_another() {
    let mut world = with_observer(LONGEST, 0);
    world.run(WHILE);
    assert_eq!(world.serving(), [1, 2, 3, 4]);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let (lost, leader) = (world.mono, world.leader().expect("a leader"));
        world.kill(leader);
        world.settle();
        let due = due(&world);
        waits.push(due - lost);
        // The voters do not wait for it, nor as it does.
        world.run(30);
        assert_eq!(world.serving().len(), 2, "{:?}", world.serving());
        while world.mono < due {
            assert_eq!(state(&world), PeerState::Observing, "it asks nobody yet");
            world.run(10);
        }
        world.run(30);
        assert_eq!(world.serving().len(), 3, "{:?}", world.serving());
        world.start(leader);
        world.run(WHILE);
    }
    assert!(
        waits.iter().all(|ms| (0..LONGEST).contains(ms)),
        "{waits:?}"
    );
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 3, "drawn anew each time: {waits:?}");
}

#[test]
fn an_observer_waits_before_each_connection_to_a_leader_also_the_first() {
    let mut world = with_observer(0, LONGEST);
    world.run(300);
    assert_eq!(state(&world), PeerState::Observing, "it knows who leads");
    let due = due(&world);
    while world.mono < due {
        assert!(!has_connected(&world));
        world.run(10);
    }
    world.run(50);
    assert!(world.serving().contains(&4), "{:?}", world.serving());

    world.run(WHILE);
    let leader = world.leader().expect("a leader");
    world.kill(leader);
    world.run(30);
    assert_eq!(world.serving().len(), 2, "voters do not wait");
    world.run(LONGEST + 100);
    assert_eq!(world.serving().len(), 3);
}

#[test]
fn without_a_wait_an_observer_comes_back_at_once() {
    let mut world = with_observer(0, 0);
    world.run(WHILE);
    world.kill(world.leader().expect("a leader"));
    world.run(60);
    assert_eq!(world.serving().len(), 3);
}

#[test]
fn observers_that_come_at_once_are_synchronized_one_after_the_other() {
    let mut world = World::new(3, 4, 4);
    world.sync_limits = SyncLimits {
        states: 1,
        differences: 1,
    };
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    let session = world.session(1, 7);
    for n in 0..20 {
        world.create(1, (7, session), n, &format!("/n{n}"), 0);
    }
    (4..=7).for_each(|id| world.start(id));
    world.run(WHILE);
    let waits = |why: &LearnerFault| matches!(why, LearnerFault::TooManySyncs { .. });
    assert!(world.faults.iter().any(waits), "{:?}", world.faults);
    assert_eq!(world.serving(), [1, 2, 3, 4, 5, 6, 7]);
    world.assert_equal();

    // An epoch that begins: everybody lacks something, and whoever is needed comes in.
    world.kill(world.leader().expect("a leader"));
    world.run(30);
    assert!(world.leader().is_some(), "observers keep no voter waiting");
    world.run(WHILE);
    assert_eq!(world.serving().len(), 6);
    world.assert_equal();
}
