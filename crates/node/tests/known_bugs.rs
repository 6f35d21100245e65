//! Known faults of replication and recovery, replayed with whole members; each test has the number of one.

mod world;

use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_proto::response::ConnectResponse;
use world::{REMEMBERED, World};

/// Longer than an election and a synchronization take, ms.
const WHILE: i64 = 2000;
const EPHEMERAL: i32 = 1;

fn three(window: usize) -> World {
    let mut world = World::new(3, 0, window);
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    world
}

/// Whoever was elected and never followed leaves no trace: its history says what it said before, and nothing of an epoch that was not
/// established is shown (also ZOOKEEPER-582).
#[test]
fn zookeeper_790_an_elected_leader_that_nobody_follows_leaves_no_trace() {
    let mut world = three(REMEMBERED);
    let session = world.session(2, 7);
    world.create(2, (7, session), 1, "/x", 0);
    (1..=3).for_each(|id| world.kill(id));
    (2..=3).for_each(|id| world.start(id));
    let before = world.server(ServerId(3)).tree.last_zxid();
    // All of the election, and nothing behind it: learners connect only when time passes.
    world.settle();
    world.part(2, 3);
    world.run(3 * WHILE);
    assert_eq!(world.serving(), [], "a leader without a quorum");
    assert_eq!(world.server(ServerId(3)).tree.last_zxid(), before);

    world.start(1);
    world.run(WHILE);
    world.heal();
    world.run(2 * WHILE);
    assert_eq!(world.serving(), [1, 2, 3]);
    world.assert_equal();
    let epochs = |zxid: Zxid| zxid.epoch();
    let now = world.server(ServerId(3)).tree.last_zxid();
    assert!(epochs(now) > epochs(before), "{now} in an epoch of its own");
}

/// All machines restart: everybody has the same ephemerals, and the sessions that do not come back end, and theirs with them.
#[test]
fn zookeeper_1367_ephemerals_are_the_same_everywhere_after_all_restart() {
    let mut world = three(REMEMBERED);
    let sessions: Vec<_> = (1..=3)
        .map(|id| {
            let session = world.session(id, 7);
            world.create(id, (7, session), 1, &format!("/e{id}"), EPHEMERAL);
            session
        })
        .collect();
    (1..=3).for_each(|id| world.kill(id));
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE / 2);
    assert_eq!(world.serving(), [1, 2, 3]);
    world.assert_equal();
    for server in world.running.values() {
        assert_eq!(server.tree.ephemeral_count(), 3);
    }
    // One comes back, and keeps coming.
    for conn in 8..16 {
        world.connect(2, conn, sessions[0]);
        let answer = world.server(ServerId(2)).connected.get(&conn);
        assert!(matches!(answer, Some(ConnectResponse::Accepted { .. })));
        world.run(WHILE / 2);
    }
    for server in world.running.values() {
        assert!(server.tree.get("/e1").is_some());
        assert_eq!(server.tree.ephemeral_count(), 1);
        assert_eq!(server.tree.sessions().len(), 1);
    }
    world.assert_equal();
}

/// A session ends while a state is on its way in which it lives: the end comes behind the state, and takes the ephemerals with it.
#[test]
fn zookeeper_3144_a_session_that_ends_behind_a_state_leaves_nothing() {
    let mut world = three(4);
    world.kill(1);
    let (session, other) = (world.session(3, 7), world.session(3, 8));
    world.create(3, (7, session), 1, "/e", EPHEMERAL);
    for n in 0..10 {
        world.create(3, (8, other), n, &format!("/n{n}"), 0);
    }
    let closes = world::close_request((7, session), 2);
    world.behind_image.push_back(closes);
    world.start(1);
    world.run(WHILE / 2);
    assert!(world.behind_image.is_empty(), "a state was sent");
    assert_eq!(world.serving(), [1, 2, 3]);
    for server in world.running.values() {
        assert!(server.tree.get("/e").is_none());
        assert_eq!(server.tree.ephemeral_count(), 0);
    }
    world.assert_equal();
    // Nor does the log of the new one bring it back.
    world.kill(1);
    world.start(1);
    world.run(WHILE / 2);
    assert_eq!(world.server(ServerId(1)).tree.ephemeral_count(), 0);
    world.assert_equal();
}

/// ACLs are kept once each and known by a number in a state: one whose last user goes behind the state, and one that comes after it,
/// do not take each other's place, neither in memory nor after another start (also ZOOKEEPER-4846).
#[test]
fn zookeeper_3306_acls_stay_with_their_znodes_behind_a_state() {
    let mut world = three(4);
    world.kill(1);
    let (session, other) = (world.session(3, 7), world.session(3, 8));
    world.perms = 17;
    world.create(3, (7, session), 1, "/goes", EPHEMERAL);
    for n in 0..8 {
        world.perms = 1 | (n << 1);
        world.create(3, (8, other), n, &format!("/n{n}"), 0);
    }
    let closes = world::close_request((7, session), 2);
    world.behind_image.push_back(closes);
    world.start(1);
    world.run(WHILE / 2);
    assert!(world.behind_image.is_empty(), "a state was sent");
    world.connect(3, 9, other);
    for (xid, perms) in [(20, 25), (21, 17)] {
        world.perms = perms;
        world.create(3, (9, other), xid, &format!("/p{perms}"), 0);
    }
    for again in [false, true] {
        if again {
            world.kill(1);
            world.start(1);
            world.run(WHILE / 2);
        }
        assert_eq!(world.serving(), [1, 2, 3]);
        world.assert_equal();
        for server in world.running.values() {
            let perms = |path: &str| server.tree.get(path).map(|it| it.acl()[0].perms);
            let kept = (0..8).map(|n| perms(&format!("/n{n}")));
            assert!(kept.eq((0..8).map(|n| Some(1 | (n << 1)))));
            assert_eq!((perms("/p25"), perms("/p17")), (Some(25), Some(17)));
            assert_eq!(perms("/goes"), None);
        }
    }
}

/// An epoch has no zxid left: its leader gives up in order, another epoch begins, and nothing is lost or numbered behind the end, also when
/// several sessions end at one time there.
#[test]
fn zookeeper_1277_an_exhausted_epoch_is_followed_by_the_next() {
    const LAST: u32 = 9;
    let mut world = World::new(3, 0, REMEMBERED);
    world.last_counter = LAST;
    (1..=3).for_each(|id| world.start(id));
    world.run(WHILE);
    for conn in 0..20 {
        // A session that nobody speaks for, so many of them end together.
        world.connect(1 + i64::from(conn % 3), 100 + conn, SessionId::NONE);
        world.run(WHILE / 10);
        let session = world.session(2, conn);
        world.create(2, (conn, session), 1, &format!("/n{conn}"), 0);
        world.run(WHILE / 10);
        // Where the first one met the end it is unknown; the second one then is the first of the next epoch.
        world.connect(2, 1000 + conn, session);
        world.create(2, (1000 + conn, session), 2, &format!("/n{conn}"), 0);
        let answer = world.server(ServerId(2)).replies.last().copied();
        let answered = |code| answer == Some((1000 + conn, 2, code));
        assert!(answered(0) || answered(-110), "/n{conn}: {answer:?}");
    }
    // Each epoch has room for the ends of some, and gives the others their time again.
    world.run(20 * WHILE);
    assert_eq!(world.serving(), [1, 2, 3]);
    assert_eq!(world.server(ServerId(1)).tree.sessions().len(), 0);
    world.assert_equal();
    for server in world.running.values() {
        assert!((0..20).all(|n| server.tree.get(&format!("/n{n}")).is_some()));
    }
    let last = world.server(ServerId(1)).tree.last_zxid();
    assert!(last.epoch() >= 6, "{last} after some eighty transactions");
    assert!(world.highest_counter() <= LAST);
}

/// The disk of a follower is not done with what its leader wanted when that dies. Until it is, the follower says nothing to anybody:
/// neither a vote, nor an acknowledgement, which the next leader would take for one of its own (also ZOOKEEPER-4541, 4409).
#[test]
fn zookeeper_4712_what_an_old_role_logs_is_not_acknowledged_in_the_next() {
    let mut world = three(REMEMBERED);
    let session = world.session(3, 7);
    world.stuck_disks.insert(ServerId(1));
    world.create(3, (7, session), 1, "/x", 0);
    let logged = world.server(ServerId(2)).tree.last_zxid();
    world.kill(3);
    world.said.clear();
    world.run(WHILE);
    assert_eq!((world.leader(), &*world.said), (None, &[][..]));

    world.stuck_disks.clear();
    world.is_durable(1, logged);
    world.run(WHILE);
    assert_eq!(world.leader(), Some(2), "now there is a second vote");
    assert_eq!(world.serving(), [1, 2]);
    // The disk says it once more, when the member follows already.
    world.is_durable(1, logged);
    world.run(WHILE);
    let begins = Zxid::new(logged.epoch() as u32 + 1, 0);
    let acknowledged: Vec<Zxid> = world
        .said
        .iter()
        .filter_map(|(_, said)| match said {
            FromLearner::Ack(zxid) => Some(*zxid),
            _ => None,
        })
        .collect();
    assert_eq!(acknowledged, [begins, begins], "NEWLEADER and UPTODATE");
    world.assert_equal();
}
