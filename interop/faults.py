#!/usr/bin/env python3
"""Hurts a running server from outside: stalls, kills, slow readers, silent clients, thousands of connections.

`--connections N` sets the size of the storm (default 10000; the limit of open files is raised as far as it goes).
`--measure` adds memory figures and latencies of others meanwhile; they are printed and prove nothing.
"""

import random
import resource
import select
import socket
import struct
import threading
import time

import jute
import servers
from jute import CREATE, EXISTS, GET_CHILDREN, GET_DATA, MULTI, OPEN_ACL, SET_DATA, Closed, Connection
from report import Report, expect, expect_true, main, wait_until

TICK_MS = 500
SHORT_MS = 1000
STALL_SECONDS = 4
KILLS = 4
SPARE_FILES = 200
IDLE_SESSIONS = 5000
SNAPSHOT_NODES = 300_000
SECONDS = 60
CONNECT = struct.pack(">iiqiqi16s?", 45, 0, 0, 40000, 0, 16, bytes(16), False)


class Pinger(threading.Thread):
    """A client as the libraries have it: pings in time, whatever comes back."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection = connection
        self.done = threading.Event()
        self.fault = None

    def run(self):
        ping = jute.Out().int(jute.PING_XID).int(jute.PING)
        while not self.done.wait(SHORT_MS / 1000 / 3):
            try:
                self.connection.send_frame(ping)
            except OSError as error:
                self.fault = error
                return

    def stop(self):
        self.done.set()
        self.join()
        if self.fault:
            raise self.fault


class Neighbour(threading.Thread):
    """Writes and reads all the time, and remembers how long the longest took."""

    def __init__(self, port, path):
        super().__init__(daemon=True)
        self.connection = Connection(port, 40000)
        self.path = path
        self.connection.get(CREATE, jute.create(path, b"", OPEN_ACL, 1))
        self.done = threading.Event()
        self.rounds = 0
        self.worst = {"read": 0.0, "write": 0.0}
        self.fault = None

    def run(self):
        try:
            while not self.done.is_set():
                self._time("write", SET_DATA, jute.set_data(self.path, str(self.rounds).encode(), -1))
                data = self._time("read", GET_DATA, jute.path_watch(self.path, False))["data"]
                expect(int(data), self.rounds, "own write")
                self.rounds += 1
                self.done.wait(0.002)
        except (AssertionError, OSError, Closed) as error:
            self.fault = error

    def _time(self, what, op, body):
        begin = time.monotonic()
        fields = self.connection.get(op, body)
        self.worst[what] = max(self.worst[what], time.monotonic() - begin)
        return fields

    def stop(self):
        """Ends it; returns a text with the worst latencies."""
        self.done.set()
        self.join()
        self.connection.close()
        if self.fault:
            raise self.fault
        worst = ", ".join(f"{what} {seconds * 1000:.0f} ms" for what, seconds in self.worst.items())
        return f"{self.rounds} rounds, worst {worst}"


def stall(server):
    """The process is stopped for longer than any session lives; clients that pinged meanwhile lose nothing."""
    connection = Connection(server.port, SHORT_MS)
    connection.get(CREATE, jute.create("/stalled", b"", OPEN_ACL, 1))
    pinger = Pinger(connection)
    pinger.start()
    server.pause()
    time.sleep(STALL_SECONDS)
    server.resume()
    time.sleep(SHORT_MS / 1000)
    pinger.stop()
    reply, _ = connection.call(EXISTS, jute.path_watch("/stalled", False), xid=77)
    while reply.xid != 77:
        reply = connection.receive()
    expect(reply.err, 0, "the ephemeral of a stalled server's client")
    connection.close()


def silent(server):
    """A connection that says nothing more and never ends: session and ephemeral go in their time, the socket is closed."""
    watcher = Connection(server.port)
    connection = Connection(server.port, SHORT_MS)
    connection.get(CREATE, jute.create("/silent", b"", OPEN_ACL, 1))
    begin = time.monotonic()
    expect_true(connection.sock.recv(1) == b"", "the server closes the connection")
    took = time.monotonic() - begin
    reply, _ = watcher.call(EXISTS, jute.path_watch("/silent", False))
    expect(reply.err, -101, "the ephemeral")
    expect_true(took > (SHORT_MS - TICK_MS) / 1000, f"not before its time, but after {took:.2f} s")
    watcher.close()
    return f"closed after {took:.2f} s, timeout {SHORT_MS} ms, tick {TICK_MS} ms"


def slow_reader(server):
    """Asks for 300 MB and reads slowly at first: the server holds little of it, and others do not notice."""
    answers, size = 400, 750_000
    connection = Connection(server.port, 40000)
    data = random.Random(1).randbytes(size)
    connection.get(CREATE, jute.create("/large", data, OPEN_ACL, 0))
    before = rss_kb(server)
    neighbour = Neighbour(server.port, "/neighbour-slow")
    neighbour.start()
    for _ in range(answers):
        connection.send(GET_DATA, jute.path_watch("/large", False))
    time.sleep(2)
    grown = rss_kb(server) - before
    for _ in range(answers):
        fields = jute.decode(GET_DATA, connection.receive().body)
        expect_true(fields["data"] == data, "every answer is whole")
    text = neighbour.stop()
    connection.close()
    expect_true(grown < 64 * 1024, f"{grown} kB for answers that nobody reads")
    return f"{grown} kB held; {text}"


def kill_loop(server):
    """SIGKILL again and again, each time soon after the start: what was acknowledged is there."""
    acknowledged = 0
    connection = Connection(server.port)
    connection.get(CREATE, jute.create("/kills", b"", OPEN_ACL, 0))
    for number in range(KILLS):
        deadline = time.monotonic() + random.Random(number).uniform(0.05, 0.5)
        while time.monotonic() < deadline:
            connection.get(CREATE, jute.create(f"/kills/n{acknowledged}", b"", OPEN_ACL, 0))
            acknowledged += 1
        server.restart()
        connection = Connection(server.port)
        names = connection.get(GET_CHILDREN, jute.path_watch("/kills", False))["children"]
        expect_true({f"n{n}" for n in range(acknowledged)} <= set(names), "all that was acknowledged")
        acknowledged = len(names)
    connection.close()
    return f"{acknowledged} creates"


def raise_limit(count):
    """Lets this process and the server have `count` connections each; fewer when the system says no."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return count
        except (ValueError, OSError):
            wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return min(count, wanted - SPARE_FILES)


def sessions(port, count):
    """Opens `count` sessions at once: all connect, then all ask, then all are answered."""
    held = []
    for index in range(count):
        sock = socket.socket()
        sock.bind((f"127.0.0.{2 + index // 5000}", 0))
        sock.connect((jute.HOST, port))
        sock.sendall(CONNECT)
        held.append(sock)
    for sock in held:
        sock.settimeout(SECONDS)
        answer = b""
        while len(answer) < 41:
            piece = sock.recv(41 - len(answer))
            expect_true(piece, "a session and not the end of the connection")
            answer += piece
    return held


def storm(server, count):
    neighbour = Neighbour(server.port, "/neighbour-storm")
    neighbour.start()
    begin = time.monotonic()
    held = sessions(server.port, count)
    took = time.monotonic() - begin
    text = neighbour.stop()
    alive = servers.four_letter_word(server.port, "srvr", 20)
    expect_true(f"Connections: {count + 1}" in alive, f"all are counted: {alive}")
    for sock in random.Random(2).sample(held, 100):
        sock.sendall(struct.pack(">iii", 8, jute.PING_XID, jute.PING))
        expect(len(sock.recv(20)), 20, "bytes of the answer to a ping")
    for sock in held:
        sock.close()
    wait_until(lambda: "Connections: 1\n" in servers.four_letter_word(server.port, "srvr", 20), SECONDS, "all are gone")
    return f"{count} sessions in {took:.1f} s; {text}"


def come_and_go(server):
    """Connections that end at every stage of their life, many at once."""
    dice = random.Random(3)
    neighbour = Neighbour(server.port, "/neighbour-storm2")
    neighbour.start()
    for _ in range(3000):
        sock = socket.create_connection((jute.HOST, server.port))
        sock.sendall(CONNECT[:dice.choice([0, 3, 4, 20, 48, 49])])
        if dice.random() < 0.5:
            # An abortive close: the server sees a reset.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif dice.random() < 0.5:
            select.select([sock], [], [], 0.002)
        sock.close()
    text = neighbour.stop()
    wait_until(lambda: "Connections: 1\n" in servers.four_letter_word(server.port, "srvr", 20), SECONDS, "all are gone")
    return text


def rss_kb(server):
    with open(f"/proc/{server.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def memory(server):
    """Memory of an idle session and of a watch, by what the process grows."""
    before = rss_kb(server)
    held = sessions(server.port, IDLE_SESSIONS)
    time.sleep(2)
    with_sessions = rss_kb(server)
    for index, sock in enumerate(held):
        sock.sendall(_exists_frames(index))
    for sock in held:
        _skip(sock, 20 * 20)
    time.sleep(2)
    with_watches = rss_kb(server)
    for sock in held:
        sock.close()
    per_session = (with_sessions - before) * 1024 / IDLE_SESSIONS
    per_watch = (with_watches - with_sessions) * 1024 / (IDLE_SESSIONS * 20)
    return f"{per_session:.0f} bytes an idle session, {per_watch:.0f} bytes a watch (20 on 500 shared sets of paths)"


def _exists_frames(index):
    out = b""
    for n in range(20):
        body = bytes(jute.Out().int(n + 1).int(EXISTS) + jute.path_watch(f"/watched-{index % 500}-{n}", True))
        out += struct.pack(">i", len(body)) + body
    return out


def _skip(sock, size):
    while size > 0:
        piece = sock.recv(size)
        expect_true(piece, "an answer")
        size -= len(piece)


def snapshot_latency(make):
    """The worst latency of others while a snapshot of many znodes is written."""
    with make(settings={"zookeeper.snapCount": "1000000"}) as server:
        connection = Connection(server.port, 40000)
        for top in range(30):
            operations = [(CREATE, jute.create(f"/t{top}", b"", OPEN_ACL, 0))]
            connection.get(MULTI, jute.multi(operations))
            for part in range(SNAPSHOT_NODES // 30 // 1000):
                operations = [(CREATE, jute.create(f"/t{top}/n{part}-{n}", bytes(100), OPEN_ACL, 0)) for n in range(1000)]
                connection.get(MULTI, jute.multi(operations))
        connection.close()
        calm = Neighbour(server.port, "/neighbour-calm")
        calm.start()
        time.sleep(3)
        quiet = calm.stop()
        # A start with a log to replay begins a snapshot at once.
        server.restart(hard=False)
        neighbour = Neighbour(server.port, "/neighbour-snapshot")
        neighbour.start()
        written = lambda: [line for line in server.log_tail(200) if "Snapshot " in line and " written" in line]
        wait_until(written, SECONDS, "the snapshot is written")
        return f"calm: {quiet}; during: {neighbour.stop()}; {written()[-1].split('] - ')[-1]}"


def run():
    parser_extras = {"connections": {"type": int, "default": 10000}, "measure": {"action": "store_true"}}
    options = servers.arguments(__doc__.splitlines()[0], **parser_extras).parse_args()
    make = servers.factory(options)
    count = raise_limit(options.connections)
    report = Report(f"faults around {options.server}")
    if count < options.connections:
        report.fail("enough open files", f"the system allows {count} connections, not {options.connections}")
    with make(config={"tickTime": TICK_MS}, settings={"zookeeper.snapCount": "500"}) as server:
        report.server = server
        for name, work in [("a stalled server expires nobody", stall), ("a silent connection", silent),
                           ("a slow reader", slow_reader), ("kill -9 again and again", kill_loop),
                           ("connections end at every stage", come_and_go)]:
            say(report.case(name, work, server))
    with make(config={"maxSessionTimeout": 60000}) as server:
        report.server = server
        say(report.case(f"{count} connections at once", storm, server, count))
    if options.measure:
        with make() as server:
            say(report.case("memory", memory, server))
        say(report.case(f"latency during a snapshot of {SNAPSHOT_NODES} znodes", snapshot_latency, make))
    return report.finish()


def say(text):
    if text:
        print(f"      {text}")


if __name__ == "__main__":
    main(run)
