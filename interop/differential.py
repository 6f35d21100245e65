#!/usr/bin/env python3
"""Sends one seeded random request sequence to two servers in lock-step and compares everything they answer.

Compared: every reply (header zxid relative to the first one, error, body), every Stat field except the times, every
event with its place before the reply, the ends of connections, and at the end the whole trees. The first server is
Java 3.8.0; the second is Rookeeper (`--server rookeeper`) or another Java (`--server java`, which proves the tool).
"""

import traceback

import jute
import sequence
import servers
from jute import Closed, Connection, Event, Stat
from report import Report, main

SUPER = "super:pw"
SETTINGS = {
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.DigestAuthenticationProvider.superDigest": sequence.digest_id(SUPER),
    # Nodes are reaped by the clock: keep that out of the comparison.
    "znode.container.checkIntervalMs": "86400000",
}
UNORDERED = {"children", "paths", "ids", "acl"}
# Generous time-outs: a stall of the machine must not end a session on one side only.
CONFIG = {"minSessionTimeout": 20000, "maxSessionTimeout": 60000}

# --- What is known to differ, all in one place -----------------------------------------------------------------------
#
# By the protocol free, so compared as sets:
#   children lists, getEphemerals, whoAmI; ACL entries (the identities an `auth` entry expands to have no order);
#   events of one closeSession (the ephemerals are deleted in any order).
# Volatile, so replaced: session ids (by the order of their first use), passwords, times (only "zero or not" is kept).
# Java 3.8.0 against 3.9.3, which Rookeeper follows:
DIFFERENCES = {
    "event header zxid": "3.8.0 writes -1; from Rookeeper the zxid of the write is demanded, -1 after setWatches",
    "create2 inside multi": "3.8.0 answers type 1 without Stat: results of type 15 are compared by their path",
    "exists and ACLs": "3.8.0 does not check READ: exists is never sent below /p",
    "watcher types 4, 5": "unknown to 3.8.0, and its types 1, 2 include the persistent ones: never sent for such paths",
    "several watch modes": "3.8.0 keeps one mode per connection and path: each pair uses one mode only",
    "check outside multi": "3.8.0 never answers: not sent",
    "the old connection of a session that moved": "3.8.0 sometimes leaves it open: only ours must close it",
    "pipelined behind setACL": "3.8.0 may judge by the old ACL: nothing is sent behind a setACL before its reply",
    "checkWatches": "3.8.0 says yes when anybody watches the path: not sent",
    "undecodable single writes": "3.8.0 spends a zxid on them, 3.9 does not: not sent",
    "bad create flag in multi": "3.8.0 gives an error result instead of -5: not sent",
}
# Faults of Java that are not to be copied (they stop the server, or its ensemble) are never sent: see sequence.py.
# ---------------------------------------------------------------------------------------------------------------------


class Mismatch(AssertionError):
    pass


class Side:
    """One of the two servers, with its connections and what is needed to make its answers comparable."""

    def __init__(self, server):
        self.server = server
        self.names = {}  # session id -> S1, S2, ... in the order they were opened
        self.slots = [None] * sequence.SLOTS
        self.last_zxid = 0
        first = Connection(server.port)
        self.base = first.call(jute.PING, b"", jute.PING_XID)[0].zxid
        first.call(jute.CLOSE_SESSION)
        first.close()
        for slot in range(sequence.SLOTS):
            self.open(slot, 30000)

    def open(self, slot, timeout):
        self.slots[slot] = connection = Connection(self.server.port, timeout)
        self.names[connection.session] = f"S{len(self.names) + 1}"
        return ["opened", connection.timeout, len(connection.password)]

    # Sending and reading a step: first both servers get the bytes, then both are read.

    def begin(self, step):
        if step.what != "call":
            return
        connection = self.slots[step.slot]
        for op, body, xid in step.requests:
            connection.send(op, body(self.base) if callable(body) else body, xid)

    def finish(self, step):
        """Everything the step caused: a list per slot of comparable items."""
        own = getattr(self, "_" + step.what)(step)
        seen = {f"slot {step.slot}": own}
        for slot in range(sequence.SLOTS):
            events = self._events_until_ping(slot)
            if step.what == "reopen":
                events.sort()
            seen[f"slot {slot} later"] = events
        return seen

    def _call(self, step):
        items = []
        connection = self.slots[step.slot]
        try:
            for op, _, xid in step.requests:
                items += self._until_reply(connection, op, len(step.requests) == 1)
            if self._is_fatal(step, items):
                connection.frame()
                items.append("a frame after a fatal error")
        except Closed:
            items.append("closed")
            items.append(self._reattach(step))
        except TimeoutError:
            items.append("no answer in time")
            raise Mismatch(f"{self.server.kind}: no answer; so far {items}") from None
        return items

    @staticmethod
    def _is_fatal(step, items):
        op = step.requests[0][0]
        last = items[-1]
        return isinstance(last, tuple) and last[0] == "reply" and (
            last[3] == -6 and op in sequence.UNKNOWN_OPCODES or op == jute.AUTH and last[3] == -115)

    def _until_reply(self, connection, op, alone):
        items, events = [], []
        while isinstance(item := connection.receive(), Event):
            events.append(item)
            items.append(self._event(item))
        if alone:
            self._check_event_zxids(op, item, events)
        items.append(self._reply(op, item))
        return items

    def _check_event_zxids(self, op, reply, events):
        """3.8.0 has no zxid in events; from the others the one of the transaction is demanded."""
        if self.server.is_java:
            return
        wanted = -1 if op in (jute.SET_WATCHES, jute.SET_WATCHES2) else reply.zxid
        for event in events:
            if event.zxid != wanted:
                raise Mismatch(f"{event} has not the zxid {wanted} of its transaction")

    def _reattach(self, step):
        old = self.slots[step.slot]
        if not step.keep:
            old.close()
        new = Connection(self.server.port, step.timeout, old.session, old.password, self.last_zxid)
        if step.keep:
            try:
                while True:
                    old.frame()
            except Closed:
                old.close()
            except TimeoutError:
                # 3.8.0 now and then forgets to close it; a client of today would wait for its own timeout.
                if not self.server.is_java:
                    raise
                old.close()
        self.slots[step.slot] = new
        return ["attached", new.refused, new.timeout, new.session == old.session, new.password == old.password]

    def _reopen(self, step):
        connection = self.slots[step.slot]
        reply, events = connection.call(jute.CLOSE_SESSION)
        items = sorted(map(self._event, events)) + [self._reply(jute.CLOSE_SESSION, reply)]
        try:
            connection.frame()
            items.append("a frame after closeSession")
        except Closed:
            items.append("closed")
        connection.close()
        return items + [self.open(step.slot, step.timeout)]

    def _probe(self, step):
        wanted = {"ahead": (0, bytes(16), self.last_zxid + 1000000), "unknown": (0x0177777777777777, bytes(16), 0),
                  "password": (0x0100000000000001, b"x" * 16, 0)}[step.probe]
        session, password, zxid = wanted
        try:
            connection = Connection(self.server.port, 30000, session, password, zxid)
        except Closed:
            return ["closed without answer"]
        items = ["refused" if connection.refused else "accepted", connection.session, connection.password.hex()]
        try:
            connection.frame()
        except Closed:
            items.append("closed")
        connection.close()
        return items

    def _events_until_ping(self, slot):
        connection = self.slots[slot]
        reply, events = connection.call(jute.PING, b"", jute.PING_XID)
        self.last_zxid = max(self.last_zxid, reply.zxid)
        return [self._event(event) for event in events]

    # Making answers comparable

    def _event(self, event):
        return ("event", event.type, event.state, event.path)

    def _reply(self, op, reply):
        body = self._body(op, reply)
        return ("reply", reply.xid, self.zxid(reply.zxid), reply.err, body)

    def _body(self, op, reply):
        if not reply.body:
            return {}
        try:
            return self.plain(jute.decode(op, reply.body))
        except ValueError as error:
            return {"undecodable": str(error), "bytes": reply.body.hex()}

    def zxid(self, value):
        return value - self.base if value > 0 else value

    def plain(self, value, name=""):
        if isinstance(value, Stat):
            return self.stat(value)
        if isinstance(value, dict):
            return {key: self.plain(inner, key) for key, inner in value.items()}
        if name == "results":
            return [self.result(*result) for result in value]
        if name in UNORDERED and value is not None:
            return sorted(value, key=repr)
        return value

    def result(self, kind, err, fields):
        if kind == jute.CREATE2:
            return (jute.CREATE, err, {"path": fields["path"]})
        return (kind, err, self.plain(fields))

    def stat(self, stat):
        return {
            **stat._asdict(), "czxid": self.zxid(stat.czxid), "mzxid": self.zxid(stat.mzxid),
            "pzxid": self.zxid(stat.pzxid), "ctime": stat.ctime != 0, "mtime": stat.mtime != 0,
            "owner": self.names.get(stat.owner, stat.owner),
        }

    def tree(self):
        """The whole tree as the super user sees it."""
        connection = Connection(self.server.port)
        self.names[connection.session] = f"S{len(self.names) + 1}"
        connection.call(jute.AUTH, jute.auth("digest", SUPER.encode()), jute.AUTH_XID)
        tree = self.plain(jute.walk(connection))
        connection.call(jute.CLOSE_SESSION)
        connection.close()
        return tree

    def close(self):
        for connection in self.slots:
            if connection is not None:
                connection.close()


def same(left, right):
    for key in left:
        if left[key] != right[key]:
            raise Mismatch(f"{key}:\n" + difference(left[key], right[key]))


def difference(left, right):
    lines = []
    for at in range(max(len(left), len(right))):
        a = left[at] if at < len(left) else "nothing"
        b = right[at] if at < len(right) else "nothing"
        mark = " " if a == b else "!"
        lines.append(f"      {mark} java   {a}")
        if a != b:
            lines.append(f"      {mark} tested {b}")
    return "\n".join(lines)


def same_trees(left, right):
    for path in sorted(left.keys() | right.keys()):
        if left.get(path) != right.get(path):
            raise Mismatch(f"tree at {path}:\n      java   {left.get(path)}\n      tested {right.get(path)}")
    return len(left)


def learn(run, step, items):
    """Lets the generator know versions and zxids, from the reference's answers."""
    paths = [_path_of(body) for _, body, _ in step.requests]
    replies = [item for item in items if isinstance(item, tuple) and item[0] == "reply"]
    for path, reply in zip(paths, replies):
        run.highest = max(run.highest, reply[2])
        fields = reply[4]
        if reply[3] == -101:
            run.forget(path)
        for _, _, result in fields.get("results", ()):
            if result.get("path"):
                run.learn(result["path"], 0)
        if "path" in fields and "stat" not in fields and fields["path"]:
            run.learn(fields["path"], 0)
        elif "stat" in fields and (name := fields.get("path", path)):
            run.learn(name, fields["stat"]["version"])


def _path_of(body):
    if callable(body) or len(body) < 4:
        return None
    try:
        path = jute.In(body).string()
    except (ValueError, UnicodeDecodeError):
        return None
    return path if path and path.startswith("/") else None


def run_sequence(report, seed, steps, make_left, make_right, right_settings):
    """One seed on two fresh servers; returns what was counted, raises Mismatch with the place."""
    run = sequence.Sequence(seed)
    enforce = {"zookeeper.enforceQuota": "true"} if seed % 2 else {}
    with make_left(settings={**SETTINGS, **enforce}, config=CONFIG) as one, \
            make_right(settings={**SETTINGS, **enforce, **right_settings}, config=CONFIG) as two:
        report.server = two
        left, right = Side(one), Side(two)
        counted = {"requests": 0, "errors": 0, "events": 0}
        try:
            queue = list(run.prelude())
            for index in range(steps + len(queue)):
                step = queue[index] if index < len(queue) else run.step()
                try:
                    lock_step(run, step, left, right, counted)
                except (AssertionError, OSError, Closed) as error:
                    place = f"seed {seed}, step {index}: {step}"
                    raise Mismatch(f"{place}\n      {type(error).__name__}: {error}") from error
            counted["nodes"] = same_trees(left.tree(), right.tree())
        finally:
            left.close()
            right.close()
    return counted


def lock_step(run, step, left, right, counted):
    left.begin(step)
    right.begin(step)
    a, b = left.finish(step), right.finish(step)
    same(a, b)
    own = a[f"slot {step.slot}"]
    learn(run, step, own)
    counted["requests"] += max(1, len(step.requests))
    counted["errors"] += sum(isinstance(i, tuple) and i[0] == "reply" and i[3] != 0 for i in own)
    counted["events"] += sum(isinstance(i, tuple) and i[0] == "event" for items in a.values() for i in items)


def one_seed(report, seed, options, make_right):
    break_with = dict(word.split("=", 1) for word in options.break_with)
    try:
        counted = run_sequence(report, seed, options.ops, servers.Java, make_right, break_with)
    except Mismatch as mismatch:
        if break_with:
            report.ok(f"seed {seed}: the planted difference was found", str(mismatch).splitlines()[0][:100])
        else:
            report.fail(f"seed {seed}", f"{mismatch}\n      again: differential.py --server {options.server} "
                                        f"--seed {seed} --count 1 --ops {options.ops}")
        return
    except Exception as error:
        report.fail(f"seed {seed}", f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        return
    text = ", ".join(f"{number} {what}" for what, number in counted.items())
    if break_with:
        report.fail(f"seed {seed}", f"the planted difference was not found in {text}")
    else:
        report.ok(f"seed {seed}", text)


def run():
    parser = servers.arguments(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=4, help="number of seeds, from --seed on")
    parser.add_argument("--ops", type=int, default=1200, help="steps of each seed")
    parser.add_argument("--break-with", nargs="*", default=[], metavar="NAME=VALUE",
                        help="settings only of the second server: the run must find the difference")
    options = parser.parse_args()
    make_right = servers.factory(options)
    report = Report(f"differential run, Java against {options.server}")
    for subject, treatment in DIFFERENCES.items():
        print(f"note  {subject}: {treatment}")
    for seed in range(options.seed, options.seed + options.count):
        one_seed(report, seed, options, make_right)
    return report.finish()


if __name__ == "__main__":
    main(run)
