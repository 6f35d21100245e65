#!/usr/bin/env python3
"""Hurts an ensemble while clients write, read, watch and own ephemerals: partitions, kills, stops, full disks, flapping links.

Every member has a network of its own, so this needs root. In the end what the clients noted is held against the trees of all
members: linearizable writes, the order of each session, ephemerals, watches (`history.py`).

`--long` repeats everything with other leaders and longer (about half an hour); `--rounds N` says how often.
"""

import glob
import random
import re
import subprocess
import time

import history
import jute
import network
import servers
from crowd import Crowd
from disk_full import SmallDisk
from jute import CREATE, EXISTS, GET_DATA, OPEN_ACL, SET_DATA, SYNC, Closed
from load import Read, Write, path_of
from members import JAVA, OURS, TICK_MS, Ensemble, exists
from report import Report, expect, expect_true, main, wait_until

SIDS = (1, 2, 3)
DISK_MB = 160  # for what a long run leaves there before a restart purges it
DISK_SID = 3  # the highest: it can be made the leader
SYNC_TICKS = 4
INIT_TICKS = 10
SYNC_SECONDS = TICK_MS * SYNC_TICKS / 1000
# Until a majority works again: noticed, elected, synchronized, on a slow machine. It may elect one that it cannot reach first, and
# tries for initLimit.
FAILOVER_SECONDS = 20
STEP_DOWN_SECONDS = SYNC_SECONDS + 5
PAUSE_SECONDS = 2.5 * SYNC_SECONDS
HOLD_SECONDS = 2 * SYNC_SECONDS
KILLS = 3
READERS = 10
FLAPS = 5
LONG_ROUNDS = 12
SILENT_MS = 4000
DISK_FULL_SECONDS = 30
LARGE_WRITES = 20
SLOW_SYNC_MS = 200


class World:
    """The ensemble, its network, and the crowd on it."""

    def __init__(self, ensemble, net, crowd, disk, clocks):
        self.ensemble, self.net, self.crowd, self.disk, self.clocks = ensemble, net, crowd, disk, clocks
        self.begun = []  # (when, story): says which story a contradiction in the history belongs to

    def leader(self):
        return self.ensemble.await_leader(FAILOVER_SECONDS)

    def follower(self):
        leader = self.leader()
        return next(member for member in self.ensemble.running() if member is not leader)

    def others(self, member):
        return [other for other in self.ensemble.members.values() if other is not member]

    def heals(self):
        """All links are whole: everybody serves, and everybody gets on."""
        self.net.heal()
        self.ensemble.await_all()
        self.crowd.await_progress()

    def majority_goes_on(self, without, leader_gone):
        """The others serve; if the leader is the one that is away, another one leads."""
        for member in self.others(without):
            member.await_serving(FAILOVER_SECONDS)
        if leader_gone:
            wait_until(lambda: any(other.role() == "leader" for other in self.others(without)), FAILOVER_SECONDS, "a new leader")
        before = self.crowd.notes.acknowledged()
        wait_until(lambda: self.crowd.notes.acknowledged() > before + 5, FAILOVER_SECONDS, "writes are acknowledged")
        self.crowd.expect_no_fault()

    def serves_nobody(self, member):
        wait_until(lambda: not member.serves(), STEP_DOWN_SECONDS, f"{member} stops serving")


def leader_is_cut_off(world):
    leader = world.leader()
    world.net.isolate(leader.sid)
    world.serves_nobody(leader)
    wait_until(lambda: leader.role() != "leader", STEP_DOWN_SECONDS, "it steps down")
    world.majority_goes_on(leader, True)
    world.heals()


def follower_is_cut_off(world):
    follower, leader = world.follower(), world.leader()
    world.net.isolate(follower.sid)
    world.serves_nobody(follower)
    world.majority_goes_on(follower, False)
    expect(world.leader().sid, leader.sid, "leader")
    world.heals()


def leader_is_heard_by_nobody(world):
    """What the leader sends is lost, what others send to it arrives."""
    leader = world.leader()
    for other in world.others(leader):
        world.net.cut(leader.sid, other.sid)
    world.majority_goes_on(leader, True)
    world.serves_nobody(leader)
    world.heals()


def leader_hears_nobody(world):
    """What others send to the leader is lost."""
    leader = world.leader()
    for other in world.others(leader):
        world.net.cut(other.sid, leader.sid)
    world.majority_goes_on(leader, True)
    world.serves_nobody(leader)
    world.heals()


def follower_is_deaf(world):
    """One follower does not hear the leader: the other one is enough."""
    follower, leader = world.follower(), world.leader()
    world.net.cut(leader.sid, follower.sid)
    time.sleep(HOLD_SECONDS)
    world.majority_goes_on(follower, False)
    world.heals()


def follower_is_dumb(world):
    """The leader does not hear one follower."""
    follower, leader = world.follower(), world.leader()
    world.net.cut(follower.sid, leader.sid)
    time.sleep(HOLD_SECONDS)
    world.majority_goes_on(follower, False)
    world.heals()


def followers_do_not_see_each_other(world):
    """Both see the leader: nothing happens to anybody."""
    leader = world.leader()
    one, other = world.others(leader)
    world.net.cut(one.sid, other.sid)
    world.net.cut(other.sid, one.sid)
    time.sleep(HOLD_SECONDS)
    world.crowd.await_progress()
    expect(world.leader().sid, leader.sid, "leader")
    world.heals()


def leader_is_killed_often(world):
    for _ in range(KILLS):
        leader = world.leader()
        leader.kill()
        world.majority_goes_on(leader, True)
        leader.start().await_serving()
    world.heals()


def all_are_killed(world):
    """A power cut of the whole ensemble."""
    for member in world.ensemble.running():
        member.kill()
    for member in world.ensemble.members.values():
        member.start()
    world.heals()


def stopped_leader_returns(world, synced):
    """Requests that a stopped leader finds on return are answered with what is true then, or not at all."""
    leader = world.leader()
    register = path_of(0)
    connections = [leader.connect() for _ in range(READERS)]
    old = connections[0].get(GET_DATA, jute.path_watch(register, False))["stat"].version
    leader.pause()
    begin = time.monotonic()
    try:
        world.majority_goes_on(leader, True)
        version = version_at(world.others(leader)[0], register)
        expect_true(version > old, "something was written meanwhile")
        time.sleep(max(0.0, PAUSE_SECONDS - (time.monotonic() - begin)))
        for connection in connections:
            if synced:
                connection.send(SYNC, jute.path_only(register))
            connection.send(GET_DATA, jute.path_watch(register, False))
    finally:
        leader.resume()
    until = time.monotonic() + SYNC_SECONDS
    shown = [shown for connection in connections for shown in versions_shown(connection, until)]
    wait_until(lambda: world.ensemble.leader() not in (None, leader), STEP_DOWN_SECONDS, "it steps down")
    world.heals()
    stale = [found for found in shown if found < version]
    expect(stale, [], f"versions of {register} shown on return, while {version} was known to be written")


def version_at(member, path):
    connection = member.connect()
    connection.get(SYNC, jute.path_only(path))
    version = connection.get(GET_DATA, jute.path_watch(path, False))["stat"].version
    connection.close()
    return version


def versions_shown(connection, until):
    """Versions in the answers to reads that come until then."""
    versions = []
    try:
        while True:
            connection.sock.settimeout(max(0.01, until - time.monotonic()))
            reply = connection.receive()
            if reply.err == 0 and len(reply.body) > jute.STAT.size:
                versions.append(jute.decode(GET_DATA, reply.body)["stat"].version)
    except (Closed, OSError):
        return versions
    finally:
        connection.close()


def stopped_follower_returns(world):
    follower = world.follower()
    follower.pause()
    try:
        world.majority_goes_on(follower, False)
        time.sleep(PAUSE_SECONDS)
    finally:
        follower.resume()
    world.heals()


def silent_session_goes(world):
    """A client falls silent, then the leader is killed: its ephemeral goes, and not before its time."""
    follower, leader = world.follower(), world.leader()
    silent = follower.connect(timeout=SILENT_MS)
    path = f"/silent-{silent.session}"
    silent.get(CREATE, jute.create(path, b"", OPEN_ACL, 1))
    heard = time.monotonic()
    leader.kill()
    world.majority_goes_on(leader, True)
    witness = follower.connect()
    while exists_now(witness, path):
        expect_true(time.monotonic() - heard < SILENT_MS / 1000 + FAILOVER_SECONDS, "the ephemeral goes")
        time.sleep(0.05)
    expect_true(time.monotonic() - heard >= SILENT_MS / 1000, "the session had its time")
    leader.start()
    world.heals()


def exists_now(connection, path):
    connection.get(SYNC, jute.path_only(path))
    return exists(connection, path)


def link_flaps(world, of_leader):
    member = world.leader() if of_leader else world.follower()
    for _ in range(FLAPS):
        world.net.link(member.sid, False)
        time.sleep(random.uniform(0.2, 0.6))
        world.net.link(member.sid, True)
        time.sleep(random.uniform(0.2, 0.6))
    world.heals()


def disk_is_full(world, as_leader):
    """The member with the small disk cannot write: the ensemble can. When there is room it works again by itself."""
    member = world.ensemble[DISK_SID]
    if as_leader:
        make_leader(world, member)
    else:
        make_follower(world, member)
    world.disk.fill()
    try:
        time.sleep(HOLD_SECONDS)
        writer = world.others(member)[0]
        # Space that was reserved lasts for a few of them; from then on the others must do without this member.
        for _ in range(LARGE_WRITES):
            wait_until(lambda: large_write(writer), DISK_FULL_SECONDS, "a large write is accepted")
        world.majority_goes_on(member, False)
    finally:
        world.disk.free()
    if not member.alive():
        member.start()
    world.heals()


def large_write(member):
    """True when a large write through this member is acknowledged."""
    try:
        connection = member.connect()
        reply, _ = connection.call(SET_DATA, jute.set_data("/large", bytes(200_000), -1))
        connection.call(jute.CLOSE_SESSION)
        connection.close()
        return reply.err == 0
    except (Closed, OSError):
        return False


def make_leader(world, member):
    """Kills and restarts leaders until it is this one."""
    for _ in range(20):
        leader = world.leader()
        if leader is member:
            return
        leader.kill()
        for other in world.others(leader):
            other.await_serving(FAILOVER_SECONDS)
        leader.start().await_serving()
    raise AssertionError(f"{member} never led")


def make_follower(world, member):
    if world.leader() is member:
        member.kill()
        world.majority_goes_on(member, True)
        member.start().await_serving()


def clock_jumps(world, seconds):
    """The wall clocks of all members jump, one after the other, the leader's too: no session ends, nothing stands still."""
    before = [client.session for client in world.crowd.clients]
    for member in world.ensemble.members.values():
        world.clocks.jump(member.sid, seconds)
        world.crowd.await_progress()
    time.sleep(HOLD_SECONDS)
    off = written_at(world.leader()) - time.time()
    expect_true(abs(off - seconds) < abs(seconds) / 10, f"what is written now says so: {off:.0f} s from now, {seconds} expected")
    world.crowd.await_progress()
    for member in world.ensemble.members.values():
        world.clocks.jump(member.sid, 0)
    world.heals()
    expect([client.session for client in world.crowd.clients], before, "sessions")


def written_at(member):
    """The time that a write gets, in seconds since 1970."""
    connection = member.connect()
    stat = connection.get(SET_DATA, jute.set_data("/large", b"", -1))["stat"]
    connection.get(jute.CLOSE_SESSION)
    connection.close()
    return stat.mtime / 1000


def disk_is_slow(world, of_leader):
    """Each sync of one member takes long: nobody loses anything; if it is a follower, nobody waits for it."""
    member = world.leader() if of_leader else world.follower()
    trace = slow_syncs(member)
    try:
        time.sleep(HOLD_SECONDS)
        world.crowd.await_progress()
        world.majority_goes_on(member, False)
        slowest = re.search(r"^zk_max_fsynctime\s+(\d+)", member.word("mntr"), re.M)
        expect_true(slowest and int(slowest[1]) >= SLOW_SYNC_MS, f"syncs are slow: {slowest and slowest[1]} ms")
    finally:
        trace.terminate()
        trace.wait()
    world.heals()


def slow_syncs(member):
    """Attaches a tracer that delays; it lets go when it is terminated."""
    delay = f"inject=fsync,fdatasync:delay_enter={SLOW_SYNC_MS * 1000}"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", delay, "-p", str(member.process.pid)]
    trace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    expect_true(trace.poll() is None, "the tracer runs: " + (trace.stderr.read() if trace.poll() is not None else ""))
    return trace


class Clocks:
    """Wall clocks of members, moved by libfaketime; time that only passes is left alone."""

    def __init__(self, directory):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            raise SystemExit("ensemble_faults.py: clocks need the package libfaketime")
        self.preload, self.directory = found[0], directory

    def environment(self, sid):
        self.jump(sid, 0)
        return {"LD_PRELOAD": self.preload, "FAKETIME_TIMESTAMP_FILE": self._file(sid), "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}

    def jump(self, sid, seconds):
        with open(self._file(sid), "w") as file:
            file.write(f"{seconds:+d}\n")

    def _file(self, sid):
        return f"{self.directory}/clock-{sid}"


# The judge must be able to say no.

def judge_sees(report):
    write = lambda value, began, ended, version: Write(1, value, began, ended, version, version)
    good = [write("1:1", 0, 1, 1), write("1:2", 2, 3, 2), write("2:1", 2.5, None, None)]
    fresh = lambda value, began, version: Read(3, value, began, began + 1, version, version, True, "m")
    stories = {
        "a lost write": (good, [], ("1:1", 1)),
        "two writes with one version": ([*good, write("2:2", 2, 3, 2)], [], ("1:2", 2)),
        "an order against time": ([write("1:1", 2, 3, 1), write("2:1", 0, 1, 2)], [], ("2:1", 2)),
        "a value of nobody": (good, [fresh("9:9", 5, 3)], ("1:2", 3)),
        "a stale fresh read": (good, [fresh("1:1", 5, 1)], ("1:2", 2)),
        "a value that changes": (good, [fresh("1:2", 5, 2), fresh("2:1", 6, 2)], ("1:2", 2)),
        "more versions than writes": (good, [], ("2:1", 9)),
    }
    judge = lambda story: history.judge_register("register", *story)
    report.case("the judge accepts a good history", judge, (good, [fresh("1:2", 5, 2), fresh("2:1", 6, 3)], ("2:1", 3)))
    for name, story in stories.items():
        report.case(f"the judge sees {name}", refuses, judge, story)


def refuses(judge, story):
    try:
        judge(story)
    except AssertionError:
        return
    raise AssertionError("accepted")


STORIES = [
    ("the leader is cut off: it steps down, others go on", leader_is_cut_off),
    ("a follower is cut off: it stops serving, others go on", follower_is_cut_off),
    ("nobody hears the leader", leader_is_heard_by_nobody),
    ("the leader hears nobody", leader_hears_nobody),
    ("a follower does not hear the leader", follower_is_deaf),
    ("the leader does not hear a follower", follower_is_dumb),
    ("followers do not hear each other: the leader stays", followers_do_not_see_each_other),
    ("the leader is killed again and again", leader_is_killed_often),
    ("all are killed at once", all_are_killed),
    ("the leader is stopped for longer than syncLimit: a read finds nothing stale on return", stopped_leader_returns, False),
    ("the leader is stopped for longer than syncLimit: a sync and a read neither", stopped_leader_returns, True),
    ("a follower is stopped for longer than syncLimit", stopped_follower_returns),
    ("a silent session goes, although the leader changes", silent_session_goes),
    ("a follower's link flaps", link_flaps, False),
    ("the leader's link flaps", link_flaps, True),
    ("a follower's disk is slow", disk_is_slow, False),
    ("the leader's disk is slow", disk_is_slow, True),
    ("clocks jump an hour ahead", clock_jumps, 3600),
    ("clocks jump an hour back", clock_jumps, -3600),
    ("a follower's disk is full", disk_is_full, False),
    ("the leader's disk is full", disk_is_full, True),
]


def story(report, options, rounds, only):
    net = network.Network(SIDS)
    disk = SmallDisk(DISK_MB)
    kind = JAVA if options.server == "java" else OURS
    config = {"syncLimit": SYNC_TICKS, "initLimit": INIT_TICKS}
    settings = {"zookeeper.preAllocSize": "1024", "zookeeper.snapCount": "3000"}
    try:
        with Ensemble(options.binary, SIDS, config=config, settings=settings, place=net.place) as ensemble:
            report.server = ensemble
            clocks = Clocks(ensemble.work_dir)
            for member in ensemble.members.values() if kind == OURS else []:  # Java hangs under libfaketime
                member.environment = clocks.environment(member.sid)
            ensemble[DISK_SID].data_dir = f"{disk.path}/data"
            report.case("three members elect a leader", ensemble.start, (2, kind), (1, kind), (3, kind))
            connection = ensemble[2].connect()
            connection.get(CREATE, jute.create("/large", b"", OPEN_ACL, 0))
            connection.close()
            crowd = Crowd(ensemble, options.seed)
            world = World(ensemble, net, crowd, disk, clocks)
            try:
                for number in range(rounds):
                    play(report, world, f"round {number}: " if rounds > 1 else "", only)
            finally:
                world.net.heal()
                report.case("no client met a contradiction, no session was lost", crowd.stop)
            report.case("equal trees and digests", ensemble.expect_equal)
            note = report.case("the history is linearizable, ephemerals are those of living sessions", crowd.judge, ensemble)
            for when, name in [] if note else world.begun:
                print(f"      {when:.3f}: {name}")
            print(f"      {note}")
    finally:
        disk.unmount()


def play(report, world, prefix, only):
    for name, work, *arguments in STORIES:
        if only and only not in name:
            continue
        failed = report.failed
        world.begun.append((time.monotonic(), prefix + name))
        report.case(prefix + name, work, world, *arguments)
        if report.failed > failed:
            recover(world)


def recover(world):
    """After a failure the next story shall begin with a whole ensemble."""
    world.net.heal()
    for member in world.ensemble.members.values():
        member.kill()
        member.start()
    for client in world.crowd.clients:
        client.fault = None
    world.ensemble.await_all()


def run():
    parser = servers.arguments(__doc__.splitlines()[0], seed={"type": int, "default": 1},
                               rounds={"type": int, "default": 1}, only={"help": "stories whose name contains this"},
                               long={"action": "store_true", "help": f"{LONG_ROUNDS} rounds"})
    options = parser.parse_args()
    servers.factory(options)
    network.enter_sandbox()
    random.seed(options.seed)
    report = Report(f"faults of an ensemble of {options.server}")
    judge_sees(report)
    story(report, options, LONG_ROUNDS if options.long else options.rounds, options.only)
    return report.finish()


if __name__ == "__main__":
    main(run)
