#!/usr/bin/env python3
"""Kills the server in the middle of pipelined writes: nothing it acknowledged may be missing afterwards.

A write without an answer is unknown: it may be there or not, but the ones that are there must be a prefix of what its
connection sent, since the requests of one connection are executed in order.
"""

import random
import threading

import jute
import servers
from jute import CREATE, EXISTS, GET_CHILDREN, MULTI, OPEN_ACL, SET_DATA, Closed, Connection
from report import Report, expect, expect_true, main

ROUNDS = 5
WRITERS = 3
WINDOW = 64  # requests in flight of one writer
SESSION_MS = 40000


class Writer(threading.Thread):
    """Sends creates, sets and multis with a window of requests in flight, and notes what was acknowledged."""

    def __init__(self, connection, root):
        super().__init__(daemon=True)
        self.connection = connection
        self.root = root
        self.sent = 0
        self.acknowledged = 0
        self.zxids = []
        self.fault = None

    def run(self):
        try:
            while True:
                while self.sent - self.acknowledged < WINDOW:
                    self.connection.send(*self._request(self.sent))
                    self.sent += 1
                self._answer()
        except (Closed, OSError):
            pass
        except AssertionError as error:
            self.fault = error

    def _answer(self):
        reply = self.connection.receive()
        expect(reply.err, 0, f"request {self.acknowledged}")
        self.zxids.append(reply.zxid)
        self.acknowledged += 1

    def _request(self, number):
        data = str(number).encode()
        if number % 3 == 0:
            return CREATE, jute.create(f"{self.root}/n{number}", data, OPEN_ACL, 0)
        if number % 3 == 1:
            return SET_DATA, jute.set_data(self.root, data, -1)
        pair = [(CREATE, jute.create(f"{self.root}/n{number}", data, OPEN_ACL, 1)),
                (SET_DATA, jute.set_data(self.root, data, -1))]
        return MULTI, jute.multi(pair)


def crash_round(server, number, hard, patience):
    """Returns a text with what was acknowledged and what was found."""
    writers = []
    for index in range(WRITERS):
        connection = Connection(server.port, SESSION_MS)
        root = f"/crash-{number}-{index}"
        connection.get(CREATE, jute.create(root, b"-1", OPEN_ACL, 0))
        writers.append(Writer(connection, root))
    for writer in writers:
        writer.start()
    patience.wait(random.Random(number).uniform(0.1, 0.6))
    server.kill() if hard else server.terminate()
    for writer in writers:
        writer.join(20)
        expect_true(not writer.is_alive(), "the connection ended with the server")
        if writer.fault:
            raise writer.fault
    server.start()
    return [survived(server, writer) for writer in writers]


def survived(server, writer):
    before = writer.connection
    connection = Connection(server.port, SESSION_MS, before.session, before.password)
    expect_true(not connection.refused, "the session survived")
    names = connection.get(GET_CHILDREN, jute.path_watch(writer.root, False))["children"]
    found = {int(name[1:]) for name in names}
    applied = int(connection.get(jute.GET_DATA, jute.path_watch(writer.root, False))["data"]) + 1
    expect_true(writer.acknowledged > 0, "something was acknowledged before the end")
    # The data of the root is set by two of three requests: at most one create may follow the last set.
    end = applied + 1 if applied in found else applied
    expect_true(end >= writer.acknowledged, f"{writer.acknowledged} acknowledged, {end} found")
    expect_true(end <= writer.sent, f"{writer.sent} sent, {end} found")
    expect(found, {n for n in range(end) if n % 3 != 1}, "nodes")
    expect_true(writer.zxids == sorted(set(writer.zxids)), "zxids grow")
    last = max(n for n in found if n < writer.acknowledged)
    stat = connection.get(EXISTS, jute.path_watch(f"{writer.root}/n{last}", False))["stat"]
    expect(stat.czxid, writer.zxids[last], "zxid of an acknowledged create")
    expect(stat.owner, 0 if last % 3 == 0 else before.session, "owner")
    connection.close()
    return writer.acknowledged, end


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    make = servers.factory(options)
    report = Report(f"crashes under load of {options.server}")
    with make(settings={"zookeeper.snapCount": "1000"}) as server:
        report.server = server
        for number in range(ROUNDS):
            hard = number != ROUNDS - 1
            result = report.case(f"round {number}: {'SIGKILL' if hard else 'SIGTERM'} during writes", crash_round,
                                 server, number, hard, threading.Event())
            if result is None:
                break
            print(f"      acknowledged and found per connection: {result}")
    return report.finish()


if __name__ == "__main__":
    main(run)
