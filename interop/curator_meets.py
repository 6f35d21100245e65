#!/usr/bin/env python3
"""Curator's recipes and ours on the same paths: a Java agent and a Rust agent exclude, follow and await each other.

Each case runs twice: once Curator comes first, once our client. The Rust agent is `crates/client/examples/recipe_agent.rs`.
"""

from kazoo.client import KazooClient

import servers
from curator_agent import Agent, RustAgent
from report import Report, expect, expect_true, main, wait_until

TICK_MS = 500
VAIN_MS = 300  # of a wait that is not going to be over
WAIT_MS = 20_000  # of one that is
SHORT_SESSION_MS = 2000
STEP_SECONDS = 10
ROUNDS = 10


class Pair:
    """Who comes first and who comes second, and a plain client that looks at trees."""

    def __init__(self, server, first, second):
        self.server = server
        self.zk = KazooClient(server.address)
        self.zk.start(STEP_SECONDS)
        self.kinds = (first, second)
        self.first, self.second = first(server.address), second(server.address)
        self._count = 0

    def both(self, kind, path, *words):
        self._count += 1
        name = f"{kind}{self._count}"
        return self.first.new(kind, name, path, *words), self.second.new(kind, name, path, *words)

    def children(self, path, count):
        wait_until(lambda: self.zk.exists(path) and len(self.zk.get_children(path)) == count, STEP_SECONDS, f"{count} below {path}")

    def close(self):
        for agent in (self.first, self.second):
            agent.kill()
        self.zk.stop()
        self.zk.close()


def mutex(pair):
    a, b = pair.both("mutex", "/meet/mutex")
    expect(a("acquire", VAIN_MS), True)
    expect(b("acquire", VAIN_MS), False, "the other has it")
    waiting = b.begin("acquire", WAIT_MS)
    pair.children("/meet/mutex", 2)
    expect_true(waiting.open(), "the second waits")
    a("release")
    expect(waiting.word(), True)
    expect(a("acquire", VAIN_MS), False)
    b("release")
    expect(a("acquire", VAIN_MS), True)
    a("release")


def mutex_in_turns(pair):
    """a counter that reads and writes apart loses nothing"""
    pair.zk.create("/unguarded", b"0", makepath=True)
    locks = pair.both("mutex", "/meet/turns")
    turns = [lock.begin("acquire", WAIT_MS) for lock in locks]
    for _ in range(ROUNDS * len(locks)):
        held = wait_until(lambda: [n for n, answer in enumerate(turns) if not answer.open()], STEP_SECONDS, "somebody has it")
        expect(len(held), 1, "holders")
        expect(turns[held[0]].word(), True)
        pair.zk.set("/unguarded", str(int(pair.zk.get("/unguarded")[0]) + 1).encode())
        locks[held[0]]("release")
        turns[held[0]] = locks[held[0]].begin("acquire", WAIT_MS)
    expect(int(pair.zk.get("/unguarded")[0]), ROUNDS * len(locks))
    pair.zk.delete("/unguarded")
    for _ in locks:
        held = wait_until(lambda: [n for n, answer in enumerate(turns) if answer and not answer.open()], STEP_SECONDS, "the last ones")
        turns[held[0]] = None
        locks[held[0]]("release")


def mutex_of_the_dead(pair):
    """a holder that is killed"""
    _, waiter = pair.both("mutex", "/meet/dead")
    holder = pair.kinds[0](pair.server.address, SHORT_SESSION_MS)
    holder.new("mutex", "m", "/meet/dead")("acquire", VAIN_MS)
    waiting = waiter.begin("acquire", WAIT_MS)
    pair.children("/meet/dead", 2)
    holder.kill()
    expect(waiting.word(), True)
    waiter("release")


def read_write_lock(pair):
    a, b = pair.both("readwrite", "/meet/readwrite")
    expect(a("write", VAIN_MS), True)
    expect([b("read", VAIN_MS), b("write", VAIN_MS)], [False, False], "while the other writes")
    waiting = b.begin("read", WAIT_MS)
    pair.children("/meet/readwrite", 2)
    a("unwrite")
    expect(waiting.word(), True)
    expect(a("read", VAIN_MS), True, "two readers")
    a("unread")
    expect(a("write", VAIN_MS), False, "while the other reads")
    waiting = a.begin("write", WAIT_MS)
    pair.children("/meet/readwrite", 2)
    b("unread")
    expect(waiting.word(), True)
    a("unwrite")


def semaphore(pair):
    a, b = pair.both("semaphore", "/meet/semaphore", 2)
    for one in (a, b):
        expect(len(one.words("acquire", WAIT_MS)), 1, "a lease")
    for one in (a, b):
        expect(one.words("acquire", VAIN_MS), [], "no third lease")
    waiting = b.begin("acquire", WAIT_MS)
    pair.children("/meet/semaphore/leases", 3)
    expect_true(waiting.open(), "the third waits")
    a("release")
    expect(len(waiting.words()), 1)
    b("release")
    b("release")
    pair.children("/meet/semaphore/leases", 0)


def latch(pair):
    path = "/meet/latch"
    a = pair.first.new("latch", "latch", path, "one")
    b = pair.second.new("latch", "latch", path, "two")
    a("start")
    expect(a("await", WAIT_MS), True)
    b("start")
    expect(b("await", VAIN_MS), False, "the other leads")
    expect([a("leader"), b("leader")], ["one", "one"])
    waiting = b.begin("await", WAIT_MS)
    a("leave")
    expect(waiting.word(), True)
    expect([b("leads"), b("leader")], [True, "two"])
    b("leave")
    pair.children(path, 0)


def barrier(pair):
    a, b = pair.both("barrier", "/meet/barrier")
    a("set")
    expect(b("await", VAIN_MS), False)
    waiting = b.begin("await", WAIT_MS)
    a("remove")
    expect(waiting.word(), True)
    expect(a("await", VAIN_MS), True, "nothing is there")


def double_barrier(pair):
    a, b = pair.both("double", "/meet/double", 2)
    entering = a.begin("enter", WAIT_MS)
    pair.children("/meet/double", 1)
    expect_true(entering.open(), "the first waits for the second")
    expect(b("enter", WAIT_MS), True)
    expect(entering.word(), True)
    leaving = a.begin("leave", WAIT_MS)
    expect(b("leave", WAIT_MS), True)
    expect(leaving.word(), True)


CASES = (mutex, mutex_in_turns, mutex_of_the_dead, read_write_lock, semaphore, latch, barrier, double_barrier)


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    make = servers.factory(options)
    report = Report(f"Curator and our recipes against {options.server}")
    with make(config={"tickTime": TICK_MS}) as server:
        report.server = server
        for first, second in ((Agent, RustAgent), (RustAgent, Agent)):
            pair = report.case(f"{first.NAME} comes first", Pair, server, first, second)
            if pair is None:
                continue
            try:
                for case in CASES:
                    report.case(f"{first.NAME} first: {case.__doc__ or case.__name__.replace('_', ' ')}", case, pair)
                    pair.zk.delete("/meet", recursive=True)
            finally:
                pair.close()
    return report.finish()


if __name__ == "__main__":
    main(run)
