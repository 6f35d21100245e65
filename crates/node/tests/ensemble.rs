//! Whole members against each other: election, discovery, synchronization, broadcast, and the requests of clients on top of it.

mod world;

use rookeeper_proto::ids::{ServerId, SessionId};
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_proto::response::ConnectResponse;
use rookeeper_quorum::vote::History;
use world::{REMEMBERED, World};

/// Longer than an election and a synchronization take, ms.
const WHILE: i64 = 2000;

fn three() -> World {
    let mut world = World::new(3, 0, REMEMBERED);
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    world
}

#[test]
fn three_members_find_a_leader_and_all_serve() {
    let world = three();
    assert_eq!(
        world.leader(),
        Some(3),
        "of equal histories the highest id leads"
    );
    assert_eq!(world.serving(), [1, 2, 3]);
    world.assert_equal();
}

#[test]
fn writes_through_any_member_reach_all_of_them() {
    let mut world = three();
    for id in 1..=3 {
        let session = world.session(id, 7);
        world.create(id, (7, session), 1, &format!("/by{id}"), 0);
        world.create(id, (7, session), 2, &format!("/by{id}"), 0);
        let replies = &world.server(ServerId(id)).replies;
        assert_eq!(replies, &[(7, 1, 0), (7, 2, -110)], "member {id}");
    }
    for server in world.running.values() {
        for id in 1..=3 {
            assert!(server.tree.get(&format!("/by{id}")).is_some());
        }
    }
    world.assert_equal();
}

#[test]
fn a_dead_leader_is_replaced_at_once_and_comes_back_with_what_it_missed() {
    let mut world = three();
    let session = world.session(1, 7);
    world.create(1, (7, session), 1, "/before", 1);
    world.kill(3);
    world.run(30);
    assert_eq!(world.leader(), Some(2), "within three steps of time");
    assert_eq!(world.serving(), [1, 2]);

    // Its session lives, and so does its ephemeral.
    world.connect(1, 8, session);
    let answer = world.server(ServerId(1)).connected.get(&8).cloned();
    assert!(
        matches!(answer, Some(ConnectResponse::Accepted { session: same, .. }) if same == session)
    );
    world.create(1, (8, session), 2, "/after", 0);
    assert_eq!(world.server(ServerId(1)).replies.last(), Some(&(8, 2, 0)));

    world.start(3);
    world.run(WHILE);
    assert_eq!(world.leader(), Some(2), "who leads goes on leading");
    assert_eq!(world.serving(), [1, 2, 3]);
    let back = world.server(ServerId(3));
    assert!(back.tree.get("/before").is_some() && back.tree.get("/after").is_some());
    world.assert_equal();
}

#[test]
fn what_only_a_cut_off_leader_logged_is_forgotten() {
    let mut world = three();
    let session = world.session(3, 7);
    world.create(3, (7, session), 1, "/kept", 0);
    world.part(1, 3);
    world.part(2, 3);
    world.create(3, (7, session), 2, "/lost", 0);
    assert_eq!(
        world.server(ServerId(3)).replies,
        [(7, 1, 0)],
        "no quorum, no reply"
    );
    world.run(3 * WHILE);
    assert_eq!(world.leader(), Some(2));
    assert_eq!(world.serving(), [1, 2], "a leader without a quorum stops");
    let other = world.session(1, 9);
    world.create(1, (9, other), 1, "/other", 0);

    world.heal();
    world.run(3 * WHILE);
    assert_eq!(world.serving(), [1, 2, 3]);
    for server in world.running.values() {
        assert!(server.tree.get("/kept").is_some() && server.tree.get("/other").is_some());
        assert!(server.tree.get("/lost").is_none());
    }
    world.assert_equal();
}

#[test]
fn who_missed_more_than_the_leader_remembers_gets_the_whole_state() {
    let mut world = World::new(3, 0, 4);
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    world.kill(1);
    let session = world.session(2, 7);
    for n in 0..20 {
        world.create(2, (7, session), n, &format!("/n{n}"), 0);
    }
    world.start(1);
    world.run(WHILE);
    assert_eq!(world.serving(), [1, 2, 3]);
    assert_eq!(world.server(ServerId(1)).tree.node_count(), 24);
    world.assert_equal();
    // And it takes part in what comes then, also with its new disk after another start.
    world.kill(1);
    world.create(2, (7, session), 30, "/more", 0);
    world.start(1);
    world.run(WHILE);
    assert!(world.server(ServerId(1)).tree.get("/more").is_some());
    world.assert_equal();
}

#[test]
fn an_observer_serves_clients_and_does_not_count() {
    let mut world = World::new(3, 1, REMEMBERED);
    (1..=4).for_each(|id| world.start(id));
    world.run(WHILE);
    assert_eq!(world.serving(), [1, 2, 3, 4]);
    let session = world.session(4, 7);
    world.create(4, (7, session), 1, "/observed", 0);
    assert_eq!(world.server(ServerId(4)).replies, [(7, 1, 0)]);
    world.assert_equal();
    world.kill(3);
    world.kill(2);
    world.run(3 * WHILE);
    assert_eq!(
        world.serving(),
        Vec::<i64>::new(),
        "one voter and an observer are no quorum"
    );
}

#[test]
fn all_members_die_and_nothing_is_lost() {
    let mut world = three();
    let session = world.session(2, 7);
    for n in 0..5 {
        world.create(2, (7, session), n, &format!("/n{n}"), 0);
    }
    (1..=3).for_each(|id| world.kill(id));
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    assert_eq!(world.serving(), [1, 2, 3]);
    for server in world.running.values() {
        assert!((0..5).all(|n| server.tree.get(&format!("/n{n}")).is_some()));
    }
    // The session is known to the new leader, and is revalidated.
    world.connect(1, 8, session);
    assert!(matches!(
        world.server(ServerId(1)).connected.get(&8),
        Some(ConnectResponse::Accepted { .. })
    ));
    // One that nobody knows is refused.
    world.connect(1, 9, SessionId(77));
    assert_eq!(
        world.server(ServerId(1)).connected.get(&9),
        Some(&ConnectResponse::Refused)
    );
    world.assert_equal();
}

#[test]
fn a_session_that_nobody_speaks_for_expires_everywhere() {
    let mut world = three();
    let session = world.session(1, 7);
    world.create(1, (7, session), 1, "/e", 1);
    assert_eq!(world.server(ServerId(2)).tree.ephemeral_count(), 1);
    world.run(4 * WHILE);
    for server in world.running.values() {
        assert_eq!(server.tree.ephemeral_count(), 0);
        assert_eq!(server.tree.sessions().len(), 0);
    }
    assert!(
        world.server(ServerId(1)).closed.contains(&7),
        "its connection is closed"
    );
    world.assert_equal();
}

#[test]
fn a_sync_at_a_learner_is_answered_behind_what_the_leader_had_committed() {
    let mut world = three();
    let session = world.session(1, 7);
    world.create(1, (7, session), 1, "/x", 0);
    world.sync(1, (7, session), 2);
    world.create(1, (7, session), 3, "/y", 0);
    world.sync(3, (9, session), 1);
    assert_eq!(
        world.server(ServerId(1)).replies,
        [(7, 1, 0), (7, 2, 0), (7, 3, 0)]
    );
    assert_eq!(
        world.server(ServerId(3)).replies,
        [(9, 1, 0)],
        "who leads has everything"
    );
}

/// A learner loads the leader's state, and loses the leader before the state is on its disk: what is in memory is given up, because
/// a vote says what is on the disk, and the log goes on behind that.
#[test]
fn zookeeper_3642_a_state_that_never_reached_the_disk_is_given_up() {
    let mut world = World::new(3, 0, 1);
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    world.kill(1);
    world.run(WHILE);
    let session = world.session(3, 7);
    for xid in 1..=5 {
        world.create(3, (7, session), xid, &format!("/missed{xid}"), 0);
    }
    world.break_behind_image = true;
    world.start(1);
    world.run(WHILE);
    assert!(!world.break_behind_image, "a state was sent");
    world.create(3, (7, session), 6, "/after", 0);
    world.assert_equal();
    world.kill(1);
    world.start(1);
    world.run(WHILE);
    world.assert_equal();
}

/// Who may have lost what it once acknowledged does not say where its log ends: a leader would count it among those whose history
/// it has seen, and lead with less than a quorum had.
#[test]
fn a_member_with_an_incomplete_history_is_not_counted_in_discovery() {
    let mut world = World::new(3, 0, REMEMBERED);
    world.incomplete.insert(ServerId(1));
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    assert_eq!(world.serving(), [1, 2, 3]);
    let told = |(who, said): &(ServerId, FromLearner)| match said {
        FromLearner::AckEpoch { last, .. } if who.0 == 1 => Some(*last),
        _ => None,
    };
    assert_eq!(world.said.iter().find_map(told), Some(History::MISSING));
}

/// Found by the simulator: a leader answered a sync while a write before it was on its way.
#[test]
fn a_sync_at_the_leader_is_answered_behind_the_writes_before_it() {
    let mut world = three();
    let session = world.session(3, 7);
    world.ask_create(3, (7, session), 1, "/before", 0);
    world.sync(3, (7, session), 2);
    let replies = &world.server(ServerId(3)).replies;
    assert_eq!(replies, &[(7, 1, 0), (7, 2, 0)]);
}

#[test]
fn a_role_gives_no_id_that_an_earlier_one_gave_though_the_clock_went_back() {
    let mut world = three();
    let before = world.session(1, 7);
    world.close_session(1, (7, before), 1);
    world.clock_back = 60_000;
    world.kill(3);
    world.run(WHILE);
    assert_eq!(world.serving(), [1, 2]);
    let after = world.session(1, 8);
    assert!(after.0 > before.0, "{after} of a new role, {before} before");
}

/// The session is in nobody's tree when its server comes back, but it is on its way: its client may have been told of it.
#[test]
fn an_id_that_is_on_its_way_is_not_given_again_though_the_clock_went_back() {
    let mut world = three();
    world.stuck_disks.insert(ServerId(2));
    world.ask_connect(ServerId(1), 7, SessionId::NONE);
    while world
        .said
        .last()
        .is_none_or(|(who, said)| *who != ServerId(1) || !matches!(said, FromLearner::Request(_)))
    {
        assert!(world.turn(ServerId(1)), "the request leaves");
    }
    let Some((_, FromLearner::Request(request))) = world.said.last().cloned() else {
        panic!("a request");
    };
    world.kill(1);
    world.clock_back = 60_000;
    world.waiting.insert(ServerId(1), 8);
    world.start(1);
    world.run(600);
    assert_eq!(world.leader(), Some(3), "the leader stayed");
    assert_eq!(world.serving(), [1, 2, 3]);
    let given = world.session(1, 9);
    let connected = &world.server(ServerId(1)).connected;
    let Some(ConnectResponse::Accepted { session: first, .. }) = connected.get(&8) else {
        panic!("the client that waited has a session");
    };
    assert!(*first > request.session && given > *first);
}

/// A leader has no word for "no" but a transaction, and a transaction needs its log. So what learners forward waits for room, while
/// its own clients are told at once.
#[test]
fn a_leader_on_a_full_disk_refuses_its_own_clients_and_lets_those_of_learners_wait() {
    let mut world = three();
    let (own, other) = (world.session(3, 7), world.session(1, 8));
    world.fill(3);
    world.create(3, (7, own), 1, "/refused", 0);
    assert_eq!(world.server(ServerId(3)).replies, [(7, 1, -1)]);
    assert!(!world.waits_for_room(3), "nothing was judged");

    world.create(1, (8, other), 1, "/waits", 0);
    assert!(world.waits_for_room(3));
    world.run(WHILE / 4);
    assert_eq!(world.server(ServerId(1)).replies, [], "neither yes nor no");

    world.make_room(3);
    world.run(WHILE / 4);
    assert_eq!(world.leader(), Some(3), "it went on by itself");
    assert_eq!(world.server(ServerId(1)).replies, [(8, 1, 0)]);
    world.create(3, (7, own), 2, "/again", 0);
    assert_eq!(world.server(ServerId(3)).replies.last(), Some(&(7, 2, 0)));
    world.assert_equal();
}

#[test]
fn a_leader_that_waits_for_room_too_long_is_replaced_and_comes_back_with_what_it_missed() {
    let mut world = three();
    let other = world.session(1, 8);
    world.create(1, (8, other), 1, "/before", 0);
    world.fill(3);
    world.create(1, (8, other), 2, "/waits", 0);
    assert!(world.waits_for_room(3));
    world.run(2 * WHILE);
    assert_eq!(world.leader(), Some(2), "the others have room");
    let new = world.session(1, 9);
    world.create(1, (9, new), 1, "/meanwhile", 0);
    assert_eq!(world.server(ServerId(1)).replies.last(), Some(&(9, 1, 0)));

    world.make_room(3);
    world.run(2 * WHILE);
    assert_eq!(world.leader(), Some(2));
    assert_eq!(world.serving(), [1, 2, 3]);
    for server in world.running.values() {
        for path in ["/before", "/meanwhile"] {
            assert!(server.tree.get(path).is_some(), "{path}");
        }
    }
    world.assert_equal();
}
