#!/usr/bin/env python3
"""Curator's recipes, two Java agents against the server under test: that they work, and what they put on the wire.

What they write is told by the golden files of testdata/curator, the same for a Java server and for ours. The Rust recipes are
held against the same files. Here: locks, elections and barriers; queues, values and nodes are in `curator_things.py`.
"""

import time

import curator_things
import servers
from curator_agent import Agent
from curator_scene import VAIN_MS, WAIT_MS, Scene, Story
from report import Report, expect, expect_true, main, wait_until

TICK_MS = 500
HOUR_MS = 3_600_000
CROWD = 5
ROUNDS = 10


# Locks

def mutex(scene):
    a, b = scene.both("mutex", "/locks/mutex")
    with Story(scene, "mutex.txt", "/locks", "InterProcessMutex: A holds, B waits") as story:
        expect(a("acquire", VAIN_MS), True)
        story.step("A acquires", "/locks/mutex")
        waiting = b.begin("acquire", WAIT_MS)
        story.step("B waits", "/locks/mutex")
        expect_true(waiting.open(), "B waits")
        a("release")
        expect(waiting.word(), True)
        story.step("A releases, B has it", "/locks/mutex")
        b("release")
        story.step("B releases", "/locks/mutex")


def mutex_in_vain(scene):
    a, b = scene.both("mutex", "/vain")
    a("acquire", VAIN_MS)
    expect(b("acquire", VAIN_MS), False)
    expect(len(scene.zk.get_children("/vain")), 1, "nodes after an attempt in vain")
    expect([a("held"), b("held")], [True, False])
    expect(a("acquire", VAIN_MS), True, "the same thread again")
    a("release")
    expect(b("acquire", VAIN_MS), False, "released once of two times")
    a("release")
    expect(b("acquire", VAIN_MS), True)
    b("release")


def mutex_order(scene):
    """one waiter wakes for each release, in the order of arrival"""
    holder, *crowd = scene.several(scene.a, 1, "mutex", "/order") + scene.several(scene.b, CROWD, "mutex", "/order")
    holder("acquire", VAIN_MS)
    waiting = []
    for number, one in enumerate(crowd):
        waiting.append(one.begin("acquire", WAIT_MS))
        wait_until(lambda: len(scene.zk.get_children("/order")) == number + 2, 5, "one more in the queue")
    wait_until(lambda: heard(scene, "getData /order/") == CROWD, 5, "each watches the one before it")
    for number, one in enumerate([holder, *crowd[:-1]]):
        one("release")
        expect(waiting[number].word(), True)
        expect([answer.open() for answer in waiting[number + 1:]], [True] * (CROWD - number - 1), "the others wait")
        expect(heard(scene, "event deleted /order/"), number + 1, "events after so many releases")
    crowd[-1]("release")


def heard(scene, begin):
    return sum(line.startswith(begin) for line in scene.heard("B"))


def mutex_excludes(scene):
    """a counter that reads and writes apart loses nothing"""
    scene.zk.create("/unguarded", b"0")
    locks = [lock for agent in (scene.a, scene.b) for lock in scene.several(agent, 3, "mutex", "/guard")]
    turns = {lock: lock.begin("acquire", WAIT_MS) for lock in locks}
    for _ in range(ROUNDS * len(locks)):
        held = wait_until(lambda: [lock for lock, answer in turns.items() if not answer.open()], 10, "somebody has it")
        expect(len(held), 1, "holders")
        expect(turns[held[0]].word(), True)
        scene.zk.set("/unguarded", str(int(scene.zk.get("/unguarded")[0]) + 1).encode())
        held[0]("release")
        turns[held[0]] = held[0].begin("acquire", WAIT_MS)
    expect(scene.zk.get("/unguarded")[0], str(ROUNDS * len(locks)).encode())
    # Everybody waits once more: let them all through.
    for _ in locks:
        held = wait_until(lambda: [lock for lock, answer in turns.items() if not answer.open()], 10, "somebody has it")
        held[0]("release")
        del turns[held[0]]


def mutex_of_the_dead(scene):
    """a killed holder, and a holder whose session ends"""
    [waiter] = scene.several(scene.b, 1, "mutex", "/dead")
    for end in (Agent.kill, Agent.expire):
        with scene.mortal() as holder:
            holder.new("mutex", "m", "/dead")("acquire", VAIN_MS)
            waiting = waiter.begin("acquire", WAIT_MS)
            wait_until(lambda: len(scene.zk.get_children("/dead")) == 2, 5, "the waiter is in the queue")
            end(holder)
            expect(waiting.word(), True, f"after {end.__name__}")
            waiter("release")


def read_write_lock(scene):
    a, b = scene.both("readwrite", "/readwrite")
    a2, b2 = scene.both("readwrite", "/readwrite")
    with Story(scene, "read-write-lock.txt", "/readwrite", "InterProcessReadWriteLock: both kinds in one queue") as story:
        a("write", VAIN_MS)
        story.step("A writes", "/readwrite")
        writer = a2.begin("write", WAIT_MS)
        story.step("A wants to write once more", "/readwrite")
        reader = b.begin("read", WAIT_MS)
        story.step("B wants to read: it watches the first writer", "/readwrite")
        second = b2.begin("read", WAIT_MS)
        story.step("B wants to read once more", "/readwrite")
        expect(a("read", VAIN_MS), True, "who writes may read")
        story.step("A reads while it writes", "/readwrite")
        a("unread")
        a("unwrite")
        expect(writer.word(), True)
        expect_true(reader.open() and second.open(), "readers wait for the second writer")
        story.step("A is at its second turn", "/readwrite", wire=False)
        a2("unwrite")
        expect([reader.word(), second.word()], [True, True])
        story.step("both readers have it", "/readwrite", wire=False)
        writer = a.begin("write", WAIT_MS)
        story.step("A wants to write behind readers: it watches the last of them", "/readwrite")
        expect(a2("read", VAIN_MS), False, "a reader behind a waiting writer waits")
        b("unread")
        expect_true(writer.open(), "one reader is left")
        b2("unread")
        expect(writer.word(), True)
        story.step("A has it", "/readwrite", wire=False)
        a("unwrite")


def semaphore(scene):
    a, b = scene.both("semaphore", "/semaphore", 1)
    with Story(scene, "semaphore.txt", "/semaphore", "InterProcessSemaphoreV2 with one lease: A has it, B and B wait") as story:
        expect(len(a.words("acquire", VAIN_MS)), 1)
        story.step("A acquires", "/semaphore")
        first = b.begin("acquire", WAIT_MS)
        story.step("B waits", "/semaphore")
        [other] = scene.several(scene.b, 1, "semaphore", "/semaphore", 1)
        second = other.begin("acquire", WAIT_MS)
        story.step("another of B waits behind it", "/semaphore")
        a("release")
        expect(len(first.words()), 1)
        expect_true(second.open(), "one lease")
        story.step("A releases", "/semaphore", wire=False)
        expect(a.words("acquire", VAIN_MS), [], "in vain")
        b("release")
        expect(len(second.words()), 1)
        other("release")
        story.step("all is given back", "/semaphore", wire=False)


def semaphore_of_several(scene):
    a, b = scene.both("semaphore", "/several", 3)
    expect(len(a.words("acquire", VAIN_MS, 2)), 2)
    expect(b.words("acquire", VAIN_MS, 2), [], "two of one that is left")
    expect(len(b.words("acquire", VAIN_MS)), 1)
    waiting = b.begin("acquire", WAIT_MS, 2)
    a("release")
    time.sleep(VAIN_MS / 1000)
    expect_true(waiting.open(), "one is not two")
    a("release")
    expect(len(waiting.words()), 2)


def semaphore_of_the_dead(scene):
    """a killed holder, and a holder whose session ends"""
    [waiter] = scene.several(scene.b, 1, "semaphore", "/deadsem", 1)
    for end in (Agent.kill, Agent.expire):
        with scene.mortal() as holder:
            holder.new("semaphore", "s", "/deadsem", 1).words("acquire", VAIN_MS)
            waiting = waiter.begin("acquire", WAIT_MS)
            end(holder)
            expect(len(waiting.words()), 1, f"leases after {end.__name__}")
            waiter("release")


# Elections

def leader_latch(scene):
    a, b = scene.both("latch", "/latch", "id of A", b_words=("id of B",))
    with Story(scene, "leader-latch.txt", "/latch", "LeaderLatch: A comes first, then B") as story:
        a("start")
        a.news.expect("leads")
        story.step("A is there", "/latch")
        b("start")
        wait_until(lambda: len(scene.zk.get_children("/latch")) == 2, 5, "B's node")
        story.step("B is there", "/latch")
        expect([b("leader"), b.words("all")], ["id of A", ["id of A", "id of B"]])
        story.step("B asks who leads and who is there")
        expect([a("leads"), b("leads"), b("await", VAIN_MS)], [True, False, False])
        a("leave")
        b.news.expect("leads")
        story.step("A leaves", "/latch")
        b("leave")
        story.step("B leaves", "/latch")
    expect(a.news.all(), [("leads",), ("follows",)])


def leader_latch_of_the_dead(scene):
    [follower] = scene.several(scene.b, 1, "latch", "/deadlatch", "B")
    with scene.mortal() as leader:
        latch = leader.new("latch", "l", "/deadlatch", "dead")
        latch("start")
        latch.news.expect("leads")
        follower("start")
        leader.expire()
        follower.news.expect("leads")
        latch.news.expect("follows")
        wait_until(lambda: follower.words("all") == ["B", "dead"], 10, "the old leader is at the end of the queue")


def leader_selector(scene):
    a, b = scene.both("selector", "/selector", "id of A", b_words=("id of B",))
    with Story(scene, "leader-selector.txt", "/selector", "LeaderSelector: A leads, yields to B and queues again") as story:
        a("start")
        a.news.expect("leads")
        story.step("A leads", "/selector")
        b("start")
        wait_until(lambda: len(scene.zk.get_children("/selector")) == 2, 5, "B's node")
        story.step("B queues", "/selector")
        expect(b.words("all"), ["id of A", "id of B"])
        story.step("B asks who is there")
        a("yield")
        b.news.expect("leads")
        wait_until(lambda: len(scene.zk.get_children("/selector")) == 2, 5, "A queues again")
        story.step("A yields", "/selector")
        expect([a("leader"), a("leads"), b("leads")], ["id of B", False, True])
        for one in (a, b):
            one("leave")
        story.step("both leave", "/selector", wire=False)


# Barriers

def barrier(scene):
    a, b = scene.both("barrier", "/barriers/one")
    with Story(scene, "barrier.txt", "/barriers", "DistributedBarrier: A sets it, B waits, A removes it") as story:
        expect(b("await", VAIN_MS), True, "no barrier, no wait")
        story.step("B passes")
        a("set")
        story.step("A sets it", "/barriers")
        waiting = b.begin("await", WAIT_MS)
        story.step("B waits")
        expect_true(waiting.open(), "B waits")
        a("remove")
        expect(waiting.word(), True)
        story.step("A removes it", "/barriers")
        a("set")
        expect(b("await", VAIN_MS), False)
        a("remove")


def double_barrier(scene):
    a, b = scene.both("double", "/double", 2)
    with Story(scene, "double-barrier.txt", "/double", "DistributedDoubleBarrier for two: A, then B") as story:
        entering = a.begin("enter", WAIT_MS)
        story.step("A waits for another", "/double")
        expect_true(entering.open(), "A waits")
        expect([b("enter", WAIT_MS), entering.word()], [True, True])
        story.step("B comes, both are in", "/double")
        leaving = a.begin("leave", WAIT_MS)
        # Who waits for whom depends on the order of two random names; that somebody waits does not.
        time.sleep(VAIN_MS / 1000)
        expect_true(leaving.open(), "A waits until B leaves")
        expect([b("leave", WAIT_MS), leaving.word()], [True, True])
        story.step("both are out", "/double", wire=False)
    # A recipe that was notified once does not wait again: each use wants its own.
    [alone] = scene.several(scene.a, 1, "double", "/double", 2)
    expect(alone("enter", VAIN_MS), False)


CASES = [mutex, mutex_in_vain, mutex_order, mutex_excludes, mutex_of_the_dead, read_write_lock, semaphore,
         semaphore_of_several, semaphore_of_the_dead, leader_latch, leader_latch_of_the_dead, leader_selector, barrier,
         double_barrier, *curator_things.CASES]


def run():
    options = servers.arguments(__doc__.splitlines()[0],
                                only={"help": "run cases whose name contains this text"}).parse_args()
    make = servers.factory(options)
    report = Report(f"Curator against {options.server}")
    # Containers that a recipe left empty stay: their removal is no part of these stories.
    with make(config={"tickTime": TICK_MS}, settings={"znode.container.checkIntervalMs": HOUR_MS}) as server:
        report.server = server
        scene = report.case("agents start", Scene, server)
        if scene is None:
            return report.finish()
        with scene:
            for case in CASES:
                if not options.only or options.only in case.__name__:
                    report.case(case.__name__.replace("_", " "), case, scene)
    return report.finish()


if __name__ == "__main__":
    main(run)
