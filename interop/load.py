"""Clients that write to an ensemble all the time and note what became of every request; `history.py` judges the notes.

A client keeps its session: when a connection breaks it takes the next member and shows the same id and password. A request
without an answer is unknown: it may have happened, or happen later, or never.
"""

import random
import threading
import time
from collections import namedtuple

import jute
from jute import CREATE, DELETE, EXISTS, GET_DATA, OPEN_ACL, SET_DATA, SYNC, Closed, Connection

SESSION_MS = 20000
PATIENCE = 2.0  # seconds until a member that says nothing is left
PAUSE = 0.01  # seconds between requests of one client: the load is steady, not heavy
RETRY = 0.1
REGISTERS = 2
KEPT = 4  # one of so many nodes stays: trees are walked in the end
NO_NODE, NODE_EXISTS, SYSTEM_ERROR = -101, -110, -1

# began and ended in seconds; version, zxid: of the node, as the reply says; None where there is no reply.
Write = namedtuple("Write", "client value began ended version zxid")
Read = namedtuple("Read", "client value began ended version zxid fresh member")


class Expired(Exception):
    """The ensemble does not know the session any more."""


class Client(threading.Thread):
    """A session that moves between members. Subclasses say in `step` what it does. After a fault it goes on; the first is kept."""

    def __init__(self, number, members, seed=0, session_ms=SESSION_MS):
        super().__init__(daemon=True)
        self.number = number
        self.members = list(members)
        self.session_ms = session_ms
        self.random = random.Random(seed * 1000 + number)
        self.done = threading.Event()
        self.connection = None
        self.member = None
        self.session, self.password, self.seen = 0, bytes(16), 0
        self.answered = 0
        self.moves = 0
        self.fault = None

    def run(self):
        while not self.done.is_set():
            try:
                self.connect()
                self.step()
                self.done.wait(PAUSE)
                continue
            except (Closed, OSError):
                pass
            except (AssertionError, ValueError) as error:
                self.fault = self.fault or error
            except Expired as error:
                self.fault = self.fault or error
                self.session, self.password = 0, bytes(16)
            self.leave()
            self.done.wait(RETRY)

    def connect(self):
        if self.connection:
            return
        self.member = self.random.choice(self.members)
        connection = Connection(self.member.port, self.session_ms, self.session, self.password, self.seen,
                                host=self.member.host, patience=PATIENCE)
        if connection.refused:
            connection.close()
            raise Expired(f"session 0x{self.session:x} of client {self.number} expired at {self.member}")
        self.connection, self.session, self.password = connection, connection.session, connection.password
        self.moves += 1
        self.moved()

    def moved(self):
        """After each connect."""

    def leave(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def ask(self, op, body):
        """Reply and the events before it. Per-session order: no reply shows an older state than one before it."""
        reply, events = self.connection.call(op, body)
        if reply.err == SYSTEM_ERROR:
            raise Closed(f"{self.member} refuses")  # its disk may be full; another member can do it
        if reply.zxid > 0:
            if reply.zxid < self.seen:
                raise AssertionError(f"client {self.number} at {self.member}: saw 0x{self.seen:x}, then 0x{reply.zxid:x}")
            self.seen = reply.zxid
        self.answered += 1
        return reply, events

    def step(self):
        raise NotImplementedError

    def stop(self):
        """Ends the thread, leaves the session open. A fault it met is raised."""
        self.done.set()
        self.join(60)
        self.leave()
        if self.is_alive():
            raise AssertionError(f"client {self.number} does not end")
        if self.fault:
            raise self.fault


class RegisterClient(Client):
    """Writes to shared registers and reads them: plainly (its session's order), and after a sync (fresh)."""

    def __init__(self, number, members, notes, **options):
        super().__init__(number, members, **options)
        self.notes = notes
        self.count = 0
        self.versions = [-1] * REGISTERS

    def step(self):
        register = self.random.randrange(REGISTERS)
        if self.random.random() < 0.6:
            self.write(register)
        else:
            self.read(register, fresh=self.random.random() < 0.5)

    def write(self, register):
        self.count += 1
        value = f"{self.number}:{self.count}"
        began, ended, version, zxid = time.monotonic(), None, None, None
        try:
            reply, _ = self.ask(SET_DATA, jute.set_data(path_of(register), value.encode(), -1))
            ended = time.monotonic()
            if reply.err:
                raise AssertionError(f"write {value}: error {reply.err}")
            stat = jute.decode(SET_DATA, reply.body)["stat"]
            version, zxid = stat.version, stat.mzxid
            self.follow(register, version)
        finally:
            self.notes.writes[register].append(Write(self.number, value, began, ended, version, zxid))

    def read(self, register, fresh):
        began = time.monotonic()
        if fresh:
            self.ask(SYNC, jute.path_only(path_of(register)))
        reply, _ = self.ask(GET_DATA, jute.path_watch(path_of(register), False))
        if reply.err:
            raise AssertionError(f"read: error {reply.err}")
        found = jute.decode(GET_DATA, reply.body)
        stat = found["stat"]
        self.follow(register, stat.version)
        self.notes.reads[register].append(Read(self.number, found["data"].decode(), began, time.monotonic(), stat.version,
                                               stat.mzxid, fresh, str(self.member)))

    def follow(self, register, version):
        before = self.versions[register]
        if version < before:
            raise AssertionError(f"client {self.number} at {self.member}: version {before} of register {register}, then {version}")
        self.versions[register] = version


class EphemeralClient(Client):
    """Owns one ephemeral and looks after it: as long as the session lives it must be there."""

    def __init__(self, number, members, **options):
        super().__init__(number, members, **options)
        self.path = f"/ephemerals/{number}"
        self.made_by = 0  # the session that has made it

    def step(self):
        reply, _ = self.ask(EXISTS, jute.path_watch(self.path, False))
        if reply.err == NO_NODE and self.made_by != self.session:
            self.make()
        elif reply.err:
            raise AssertionError(f"ephemeral of client {self.number} at {self.member}: error {reply.err}")
        elif jute.decode(EXISTS, reply.body)["stat"].owner != self.session:
            raise AssertionError(f"ephemeral of client {self.number} has another owner")
        else:
            self.made_by = self.session
        self.done.wait(RETRY)

    def make(self):
        reply, _ = self.ask(CREATE, jute.create(self.path, b"", OPEN_ACL, 1))
        if reply.err not in (0, NODE_EXISTS):
            raise AssertionError(f"create of {self.path}: error {reply.err}")
        self.made_by = self.session


class WatchClient(Client):
    """Reads a register with a watch, over and over: one event for each watch, before the reply that shows the change."""

    version = None
    events = 0

    def moved(self):
        self.version = None  # a watch of another connection is no matter of this one

    def step(self):
        reply, events = self.ask(GET_DATA, jute.path_watch(path_of(0), True))
        version = jute.decode(GET_DATA, reply.body)["stat"].version
        if len(events) > 1:
            raise AssertionError(f"client {self.number}: {len(events)} events of one watch: {events}")
        if self.version is not None and version > self.version and not events:
            raise AssertionError(f"client {self.number} at {self.member}: read version {version} without an event, "
                                 f"the watch was set at {self.version}")
        if self.version is not None and events and version == self.version:
            raise AssertionError(f"client {self.number} at {self.member}: an event, and still version {version}")
        self.events += len(events)
        self.version = version


class CreateClient(Client):
    """Creates nodes and deletes most; remembers what was acknowledged and what is unknown."""

    def __init__(self, number, members, **options):
        super().__init__(number, members, **options)
        self.next = 0
        self.acknowledged = []  # (path, data, zxid of the create)
        self.deleted = []
        self.unknown = []

    def step(self):
        path, data = f"/load/{self.number}-{self.next}", str(self.next).encode()
        self.next += 1
        try:
            reply, _ = self.ask(CREATE, jute.create(path, data, OPEN_ACL, 0))
        except (Closed, OSError):
            self.unknown.append(path)
            raise
        if reply.err:
            raise AssertionError(f"create of {path}: error {reply.err}")
        if self.next % KEPT:
            self.delete(path)
        else:
            self.acknowledged.append((path, data, reply.zxid))

    def delete(self, path):
        self.unknown.append(path)
        reply, _ = self.ask(DELETE, jute.path_version(path, -1))
        if reply.err:
            raise AssertionError(f"delete of {path}: error {reply.err}")
        self.deleted.append(self.unknown.pop())


def path_of(register):
    return f"/registers/{register}"


def prepare(connection):
    """The nodes that these clients work on."""
    for path in ("/registers", "/ephemerals", "/load", *map(path_of, range(REGISTERS))):
        connection.get(CREATE, jute.create(path, b"", OPEN_ACL, 0))
