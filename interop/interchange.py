#!/usr/bin/env python3
"""One ensemble of Java and our members: every role, every way of synchronization in both directions, sessions that move, and
a rolling replacement under load.

`--rounds N` replaces all members N times there and back (default 1).
"""

import time

import jute
import servers
from crowd import Crowd
from jute import CLOSE_SESSION, CREATE, EXISTS, GET_DATA, OPEN_ACL, SET_DATA, SYNC, Closed
from members import JAVA, OURS, SERVING_SECONDS, TICK_MS, Ensemble, exists, java_synchronized, tree_of
from report import Report, expect, expect_true, main, wait_until

OBSERVERS = (4, 5)
# More than any leader keeps in memory: whoever has none of them needs a snapshot.
MANY = 700
FEW = 20
TAIL = 15
TAIL_SECONDS = 1.0  # for proposals that nobody acknowledges to reach the leader's disk
# No synchronization from log files: a learner that lacks many transactions gets a snapshot.
SNAPSHOTS_ONLY = {"zookeeper.snapshotSizeFactor": "-1"}
SHORT_MS = 2 * TICK_MS
EXPIRY_SECONDS = 10


class World:
    """The ensemble of a story, and numbers for its nodes."""

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.made = 0

    def write(self, member, count, root="n"):
        """Creates nodes through a member, pipelined."""
        connection = member.connect()
        window = 100
        for begin in range(0, count, window):
            size = min(window, count - begin)
            for _ in range(size):
                self.made += 1
                connection.send(CREATE, jute.create(f"/{root}{self.made}", b"data", OPEN_ACL, 0))
            for _ in range(size):
                expect(connection.receive().err, 0, "create")
        connection.call(CLOSE_SESSION)
        connection.close()

    def join(self, sid, kind, leader):
        """Starts a member, and looks whether it is a good one."""
        member = self.ensemble[sid].start(kind).await_serving()
        expect(member.role(), "observer" if member.observer else "follower", "role")
        self.works_through(member)
        self.ensemble.expect_equal()
        expect(self.ensemble.await_leader().sid, leader, "leader")
        return member

    def works_through(self, member):
        """A write through this member is seen through all others."""
        self.made += 1
        path = f"/through{self.made}"
        connection = member.connect()
        connection.get(CREATE, jute.create(path, str(member).encode(), OPEN_ACL, 0))
        connection.get(SET_DATA, jute.set_data(path, b"again", 0))
        connection.close()
        for other in self.ensemble.running():
            reader = other.connect()
            reader.get(SYNC, jute.path_only("/"))
            expect(reader.get(GET_DATA, jute.path_watch(path, False))["data"], b"again", f"data at {other}")
            reader.close()

    def expect_kind(self, learner, leader, kind):
        kinds = java_synchronized(learner, leader)
        expect_true(kind in kinds, f"{learner} got {kinds or 'nothing'} from {leader}, expected {kind}")

    def tail_at(self, leader):
        """Kills all members such that only the leader's disk has the last proposals. Returns the paths in it."""
        followers = [member for member in self.ensemble.running() if member is not leader]
        connection = leader.connect()
        for follower in followers:
            follower.pause()
        paths = [f"/tail{self.made + n}" for n in range(TAIL)]
        self.made += TAIL
        for path in paths:
            connection.send(CREATE, jute.create(path, b"tail", OPEN_ACL, 0))
        time.sleep(TAIL_SECONDS)
        for member in (leader, *followers):
            member.kill()  # what the stopped ones have not read yet is lost with their sockets
        connection.close()
        return paths

    def expect_gone(self, paths):
        for member in self.ensemble.running():
            connection = member.connect()
            connection.get(SYNC, jute.path_only("/"))
            left = [path for path in paths if exists(connection, path)]
            expect(left, [], f"never acknowledged, and shown by {member}")
            connection.close()


# Two Java members (1, 2), ours is 3; observers: ours is 4, Java's is 5.

def ours_joins_empty(world):
    world.write(world.ensemble[2], MANY)
    member = world.join(3, OURS, leader=2)
    world.expect_kind(member, world.ensemble[2], "SNAP")


def ours_comes_back(world):
    world.ensemble[3].kill()
    world.write(world.ensemble[1], FEW)
    member = world.join(3, OURS, leader=2)
    world.expect_kind(member, world.ensemble[2], "DIFF")


def ours_missed_much(world):
    world.ensemble[3].kill()
    world.write(world.ensemble[1], MANY)
    member = world.join(3, OURS, leader=2)
    world.expect_kind(member, world.ensemble[2], "SNAP")


def ours_observes(world):
    member = world.join(4, OURS, leader=2)
    world.write(member, FEW)
    world.ensemble.expect_equal()


def observer_of_ours_is_no_voter(world):
    """With one voter and the observer left nothing is served."""
    leader = world.ensemble[2]
    connection = leader.connect()
    world.ensemble[1].kill()
    world.ensemble[3].kill()
    expect_true(_refuses(connection), "a write without a quorum of voters has no success")
    world.ensemble[1].start()
    world.ensemble[3].start()
    world.ensemble.await_all()
    world.ensemble.expect_equal()
    world.ensemble[4].kill()


def _refuses(connection):
    try:
        reply, _ = connection.call(CREATE, jute.create("/alone", b"", OPEN_ACL, 0))
        return reply.err != 0
    except (Closed, OSError):
        return True


def session_moves(world, path, route):
    """A session with an ephemeral moves along `route` (server ids); closed at the last, its ephemeral goes everywhere."""
    members = [world.ensemble[sid] for sid in route]
    session, password, zxid = 0, bytes(16), 0
    for member in members:
        connection = wait_until(lambda: taken(member, session, password, zxid), EXPIRY_SECONDS, f"{member} takes the session")
        expect_true(not connection.refused, f"{member} knows the session")
        if session:
            expect((connection.session, connection.password), (session, password), f"session at {member}")
        else:
            connection.get(CREATE, jute.create(path, b"mine", OPEN_ACL, 1))
        session, password = connection.session, connection.password
        reply, _ = connection.call(EXISTS, jute.path_watch(path, False))
        expect(jute.decode(EXISTS, reply.body)["stat"].owner, session, f"owner at {member}")
        zxid = reply.zxid
        if member is not members[-1]:
            connection.close()
    connection.get(CLOSE_SESSION)
    world.expect_gone([path])
    late = members[0].connect(session=session, password=password)
    expect_true(late.refused, "a closed session is refused")


def taken(member, session, password, zxid):
    """A connection; None while the member has seen less than the client and sends it away."""
    try:
        return member.connect(session=session, password=password, last_zxid=zxid)
    except Closed:
        return None


def wrong_password(world, sid):
    connection = world.ensemble[1].connect()
    refused = world.ensemble[sid].connect(session=connection.session, password=bytes(16))
    expect_true(refused.refused, "a wrong password is refused")
    expect_true(not exists(connection, "/nothing"), "the session goes on")
    connection.close()


def session_expires(world, sid, path):
    """A client that says nothing more loses its session in its time, everywhere; another that pings keeps it."""
    silent = world.ensemble[sid].connect(timeout=SHORT_MS)
    lively = world.ensemble[sid].connect(timeout=SHORT_MS)
    silent.get(CREATE, jute.create(path, b"", OPEN_ACL, 1))
    lively.get(CREATE, jute.create(path + "-lively", b"", OPEN_ACL, 1))
    witness = world.ensemble[1 if sid != 1 else 2].connect()

    def gone():
        lively.call(jute.PING, xid=jute.PING_XID)
        return not exists(witness, path)

    wait_until(gone, EXPIRY_SECONDS, "the ephemeral of the silent session goes")
    until = time.monotonic() + 1.5 * SHORT_MS / 1000
    while time.monotonic() < until:
        gone()
        time.sleep(SHORT_MS / 4000)
    expect_true(exists(witness, path + "-lively"), "the session that pings lives")
    lively.get(CLOSE_SESSION)


def session_survives_the_leader(world, at, leader_after, path):
    """The leader is killed: a session at another member has its ephemeral afterwards, and can write."""
    member = world.ensemble[at]
    before = member.connect()
    before.get(CREATE, jute.create(path, b"", OPEN_ACL, 1))
    world.ensemble.await_leader().kill()
    member.await_serving()
    wait_until(lambda: world.ensemble.leader() is not None, EXPIRY_SECONDS, "a new leader")
    world.ensemble.expect_leader(leader_after)
    after = member.connect(session=before.session, password=before.password)
    expect_true(not after.refused, "the session is there")
    expect_true(exists(after, path), "the ephemeral is there")
    after.get(SET_DATA, jute.set_data(path, b"still", -1))
    after.get(CLOSE_SESSION)
    world.expect_gone([path])


def java_comes_back(world, sid):
    member = world.join(sid, JAVA, leader=3)
    world.expect_kind(member, world.ensemble[3], "DIFF")


def java_joins_empty(world, sid):
    world.ensemble[sid].kill()
    world.ensemble[sid].wipe()
    world.write(world.ensemble[3], MANY)
    member = world.join(sid, JAVA, leader=3)
    world.expect_kind(member, world.ensemble[3], "SNAP")


def java_observes(world):
    member = world.join(5, JAVA, leader=3)
    world.write(member, FEW)
    world.ensemble.expect_equal()
    member.kill()


def tail_is_cut(world, loser, winner, other):
    """The leader's last proposals reached nobody; others go on without it. When it is back they are gone from its disk."""
    paths = world.tail_at(world.ensemble.expect_leader(loser))
    # Nothing may be written before the loser is back: Java cuts a tail only if nothing of a newer epoch follows.
    for sid in (winner, other):
        world.ensemble[sid].start()
    for sid in (winner, other):
        wait_until(world.ensemble[sid].role, SERVING_SECONDS, f"member {sid} is ready")
    world.ensemble.expect_leader(winner)
    member = world.join(loser, None, leader=winner)
    world.expect_kind(member, world.ensemble[winner], "TRUNC")
    world.expect_gone(paths)
    world.write(world.ensemble[winner], FEW)
    member.kill()
    world.join(loser, None, leader=winner)
    world.expect_gone(paths)


def leads_by_zxid(world, kinds):
    """The member with the lowest id has seen more: it leads, although the other has the higher id."""
    world.ensemble.kill_all()
    world.ensemble.start((2, kinds[2]), (1, kinds[1]))
    world.write(world.ensemble[2], FEW)
    world.ensemble.kill_all()
    world.ensemble.start((1, kinds[1]), (3, kinds[3]))
    world.join(2, kinds[2], leader=1)
    world.works_through(world.ensemble[1])
    world.ensemble.expect_equal()


def mixed_story(report, binary):
    with Ensemble(binary, range(1, 6), OBSERVERS, settings=SNAPSHOTS_ONLY) as ensemble:
        report.server = ensemble
        world = World(ensemble)
        case = report.case
        case("two Java members elect the one with the higher id", ensemble.start, (2, JAVA), (1, JAVA))
        case("ours joins a Java leader, empty: SNAP", ours_joins_empty, world)
        case("ours comes back to a Java leader: DIFF", ours_comes_back, world)
        case("ours missed much: SNAP over what it had", ours_missed_much, world)
        case("ours observes a Java leader", ours_observes, world)
        case("sessions move Java, ours, observer, Java", session_moves, world, "/moving-1", (1, 3, 4, 2))
        case("sessions begun at ours move to Java and back", session_moves, world, "/moving-2", (3, 2, 3, 1, 3))
        case("a wrong password is refused by ours", wrong_password, world, 3)
        case("a silent client of ours expires by the Java leader", session_expires, world, 3, "/silent-1")
        case("a silent client of our observer expires by the Java leader", session_expires, world, 4, "/silent-2")
        case("our observer is no voter", observer_of_ours_is_no_voter, world)
        case("the Java leader is killed: ours leads by id, sessions survive", session_survives_the_leader, world, 1, 3, "/kept-1")
        case("Java comes back to our leader: DIFF", java_comes_back, world, 2)
        case("Java joins our leader, empty: SNAP", java_joins_empty, world, 1)
        case("Java observes our leader", java_observes, world)
        case("sessions move while ours leads", session_moves, world, "/moving-3", (3, 1, 3, 2, 1))
        case("a wrong password is refused by Java", wrong_password, world, 2)
        case("a silent client of Java expires by our leader", session_expires, world, 1, "/silent-3")
        case("a silent client of our leader expires", session_expires, world, 3, "/silent-4")
        case("our leader's tail that reached nobody is cut by a Java leader: TRUNC", tail_is_cut, world, 3, 2, 1)
        case("a Java leader's tail is cut by our leader: TRUNC", tail_is_cut, world, 2, 3, 1)
        case("our leader is killed: Java leads, sessions survive", session_survives_the_leader, world, 1, 2, "/kept-2")
        case("ours leads Java by zxid, with the lowest id", leads_by_zxid, world, {1: OURS, 2: JAVA, 3: JAVA})
        case("Java leads ours by zxid, with the lowest id", leads_by_zxid, world, {1: JAVA, 2: OURS, 3: OURS})


# Rolling replacement

def rolling(report, binary, rounds):
    with Ensemble(binary, (1, 2, 3), settings={"zookeeper.snapCount": "2000"}) as ensemble:
        report.server = ensemble
        report.case("three Java members", ensemble.start, (3, JAVA), (1, JAVA), (2, JAVA))
        load = Crowd(ensemble)
        try:
            for number in range(rounds):
                for kind in (OURS, JAVA):
                    for sid in (1, 2, 3):
                        report.case(f"round {number}: member {sid} becomes {kind}", replace, ensemble, load, sid, kind)
        finally:
            report.case("no client met a contradiction, no session was lost", load.stop)
        report.case("equal trees and digests", ensemble.expect_equal)
        note = report.case("every acknowledged write is there, and the history is linearizable", load.judge, ensemble)
        print(f"      {note}")
        report.case("all members are ours: replaced while nobody writes", all_ours, ensemble)


def replace(ensemble, load, sid, kind):
    """Stops one member and starts the other kind on its directory, while clients write."""
    ensemble[sid].terminate()
    ensemble[sid].start(kind).await_serving()
    load.await_progress()
    ensemble.await_leader()
    ensemble.expect_no_mismatch()


def all_ours(ensemble):
    ensemble.kill_all()
    ensemble.start((3, OURS), (1, OURS), (2, OURS))
    ensemble.expect_equal()


def run():
    parser = servers.arguments(__doc__.splitlines()[0], rounds={"type": int, "default": 1})
    options = parser.parse_args()
    servers.factory(options)
    report = Report("Java and ours in one ensemble")
    mixed_story(report, options.binary)
    rolling(report, options.binary, options.rounds)
    return report.finish()


if __name__ == "__main__":
    main(run)
