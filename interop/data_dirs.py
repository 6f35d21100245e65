#!/usr/bin/env python3
"""Data directories change hands: written by one server, killed, opened by the other, and back again.

Compared after every change: the whole tree with every Stat field, ACL and datum, the last zxid, and the sessions,
which must be resumable with their ephemerals. The first server is Java 3.8.0, the second the server under test.
Damaged copies of one directory must open with the same tree on both. At the end the golden directory written by
3.9.3 (testdata/disk) is opened and compared with its recorded content.
"""

import json
import os
import shutil
import stat as file_modes
import tempfile

import jute
import sequence
import servers
from jute import (CLOSE_SESSION, CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL, DELETE, GET_EPHEMERALS, MULTI,
                  OPEN_ACL, PING, SET_ACL, SET_DATA, Connection)
from report import Report, expect, expect_true, main

SUPER = "super:pw"
SETTINGS = {
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.DigestAuthenticationProvider.superDigest": sequence.digest_id(SUPER),
    "znode.container.checkIntervalMs": "86400000",
    "zookeeper.snapCount": "60",
    "zookeeper.preAllocSize": "64",
}
CONFIG = {"maxSessionTimeout": 600000, "tickTime": 2000}
SESSION_MS = 300000  # longer than the whole run, stops included
ROUNDS = 6
WRITES = 150  # per round: several snapshots at this snapCount
TTL = 1 << 36
GOLDEN = os.path.join(servers.repository(), "testdata", "disk")


def call(connection, op, body=b"", err=0):
    reply, _ = connection.call(op, body)
    expect(reply.err, err, jute.OP_NAMES[op])
    return reply


def super_tree(server):
    """The whole tree, read with the rights of the super user."""
    connection = Connection(server.port)
    call_auth(connection, SUPER)
    tree = jute.walk(connection)
    call(connection, CLOSE_SESSION)
    connection.close()
    return tree


def call_auth(connection, user):
    reply, _ = connection.call(jute.AUTH, jute.auth("digest", user.encode()), jute.AUTH_XID)
    expect(reply.err, 0, "auth")


class History:
    """What the servers were told so far and must not forget: the sessions, the tree, the last zxid."""

    def __init__(self):
        self.sessions = []  # (id, password, its ephemerals)
        self.tree = None
        self.zxid = None

    def check(self, server):
        """A freshly started server knows the sessions and the tree."""
        connections = [self._resume(server, *session) for session in self.sessions]
        if connections:
            expect(call(connections[0], PING).zxid, self.zxid, "last zxid")
        if self.tree is not None:
            same_trees(self.tree, super_tree(server))
        return connections

    def _resume(self, server, session, password, ephemerals):
        connection = Connection(server.port, SESSION_MS, session, password)
        expect_true(not connection.refused, f"session {session:#x} is known")
        expect(sorted(connection.get(GET_EPHEMERALS, jute.path_only("/"))["paths"]), sorted(ephemerals), "ephemerals")
        return connection

    def remember(self, server, connections):
        self.tree = super_tree(server)
        self.zxid = call(connections[0], PING).zxid
        self.sessions = [(c.session, c.password, c.get(GET_EPHEMERALS, jute.path_only("/"))["paths"])
                         for c in connections]
        for connection in connections:
            connection.close()
        return len(self.tree)


def same_trees(wanted, got):
    for path in sorted(wanted.keys() | got.keys()):
        if wanted.get(path) != got.get(path):
            raise AssertionError(f"{path}:\n      before {wanted.get(path)}\n      after  {got.get(path)}")


def write(server, round_number, connections):
    """Node kinds, ACLs, quotas, multis, deletions and session ends, enough of them for several snapshots.

    Returns the connections whose sessions go on: one that was inherited and a new one.
    """
    root = f"/round{round_number}"
    main_session = Connection(server.port, SESSION_MS)
    call_auth(main_session, "bob:pw")
    every_kind(main_session, root)
    acls(main_session, root)
    quota(main_session, root)
    multis(main_session, root)
    many_writes(main_session, root)
    ended_session(server, root)
    for kept in connections[1:]:  # end all but one of the inherited sessions: their ephemerals go
        call(kept, CLOSE_SESSION)
        kept.close()
    return connections[:1] + [main_session]


def every_kind(c, root):
    call(c, CREATE, jute.create(root, b"root", OPEN_ACL, 0))
    for name, data in [("null", None), ("empty", b""), ("bytes", bytes(range(256))), ("large", b"x" * 100000),
                       ("\u00e9t\u00e9 \u4e2d\u6587", b"name")]:
        call(c, CREATE2, jute.create(f"{root}/{name}", data, OPEN_ACL, 0))
    call(c, CREATE, jute.create(f"{root}/eph", b"e", OPEN_ACL, 1))
    call(c, CREATE, jute.create(f"{root}/seq-", b"s", OPEN_ACL, 2))
    call(c, CREATE, jute.create(f"{root}/eseq-", b"s", OPEN_ACL, 3))
    call(c, CREATE_CONTAINER, jute.create(f"{root}/box", b"c", OPEN_ACL, 4))
    call(c, CREATE, jute.create(f"{root}/box/in", b"c", OPEN_ACL, 0))
    call(c, CREATE_TTL, jute.create_ttl(f"{root}/ttl", b"t", OPEN_ACL, 5, TTL))
    call(c, CREATE_TTL, jute.create_ttl(f"{root}/ttl-", b"t", OPEN_ACL, 6, (1 << 40) - 1))
    deep = root
    for level in range(20):
        deep += f"/level{level}"
        call(c, CREATE, jute.create(deep, None, OPEN_ACL, 0))


def acls(c, root):
    bob = sequence.digest_id("bob:pw")
    lists = [[(31, "auth", "")], [(1, "world", "anyone"), (31, "digest", bob)], [(3, "ip", "10.0.0.0/8")],
             [(95, "world", "anyone")], [(0, "world", "anyone")]]
    for number, entries in enumerate(lists):
        call(c, CREATE, jute.create(f"{root}/acl{number}", b"a", entries, 0))
    call(c, SET_ACL, jute.set_acl(f"{root}/acl1", [(31, "digest", bob), (1, "ip", "127.0.0.1")], 0))
    call(c, SET_ACL, jute.set_acl(f"{root}/acl1", [(31, "digest", bob)], 0), err=-103)


def quota(c, root):
    node = f"/zookeeper/quota{root}"
    call(c, CREATE, jute.create(node, b"", OPEN_ACL, 0))
    call(c, CREATE, jute.create(f"{node}/zookeeper_limits", b"count=100000,bytes=-1", OPEN_ACL, 0))
    call(c, CREATE, jute.create(f"{node}/zookeeper_stats", b"count=0,bytes=0", OPEN_ACL, 0))


def multis(c, root):
    good = [(CREATE, jute.create(f"{root}/m", b"1", OPEN_ACL, 0)),
            (CREATE2, jute.create(f"{root}/m/two", b"2", OPEN_ACL, 2)),
            (SET_DATA, jute.set_data(f"{root}/m", b"changed", 0)), (jute.CHECK, jute.path_version(f"{root}/m", 1)),
            (CREATE, jute.create(f"{root}/m/eph", b"", OPEN_ACL, 1)),
            (CREATE_CONTAINER, jute.create(f"{root}/m/box", b"", OPEN_ACL, 4)),
            (CREATE_TTL, jute.create_ttl(f"{root}/m/ttl", b"", OPEN_ACL, 5, TTL)),
            (CREATE, jute.create(f"{root}/m/gone", b"", OPEN_ACL, 0)), (DELETE, jute.path_version(f"{root}/m/gone", 0))]
    results = c.get(MULTI, jute.multi(good))["results"]
    expect([err for _, err, _ in results], [0] * len(good), "multi")
    bad = [(CREATE, jute.create(f"{root}/m/never", b"", OPEN_ACL, 0)), (DELETE, jute.path_version(f"{root}/none", 0)),
           (SET_DATA, jute.set_data(f"{root}/m", b"never", -1))]
    results = c.get(MULTI, jute.multi(bad))["results"]
    expect([fields["err"] for _, _, fields in results], [0, -101, -2], "failed multi")


def many_writes(c, root):
    for number in range(WRITES):
        path = f"{root}/many-{number % 20}"
        if number < 20:
            call(c, CREATE, jute.create(path, b"0", OPEN_ACL, 0))
        elif number % 7 == 0:
            call(c, CREATE, jute.create(f"{root}/null", b"", OPEN_ACL, 0), err=-110)
        elif number % 11 == 0:
            call(c, CREATE, jute.create(f"{path}/child-", b"", OPEN_ACL, 2))
        else:
            call(c, SET_DATA, jute.set_data(path, str(number).encode() * (number % 9), -1))
    call(c, DELETE, jute.path_version(f"{root}/empty", -1))


def ended_session(server, root):
    short = Connection(server.port, SESSION_MS)
    for number in range(5):
        call(short, CREATE, jute.create(f"{root}/short{number}", b"", OPEN_ACL, 1))
    call(short, CLOSE_SESSION)
    short.close()


def swap(report, make_first, make_second, data_dir):
    """The rounds; each server is killed or stopped in turn."""
    history = History()
    for number in range(ROUNDS):
        make = (make_first, make_second)[number % 2]
        hard = number % 3 != 2
        with make(settings=SETTINGS, config=CONFIG, data_dir=data_dir) as server:
            report.server = server
            opened = report.case(f"round {number}: {server.kind} opens the directory", history.check, server)
            if opened is None:
                return
            connections = report.case(f"round {number}: {server.kind} writes", write, server, number, opened)
            if connections is None:
                return
            if not report.case(f"round {number}: the tree is noted", history.remember, server, connections):
                return
            if hard:
                server.kill()
            else:
                report.case(f"round {number}: {server.kind} stops on SIGTERM", server.terminate)


def open_copy(make, data_dir, damage=None):
    """The tree a server finds in a (damaged) copy of the directory."""
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        copy = os.path.join(folder, "data")
        copy_writable(data_dir, copy)
        if damage:
            damage(os.path.join(copy, "version-2"))
        with make(settings=SETTINGS, config=CONFIG, data_dir=copy) as server:
            return super_tree(server)


def copy_writable(source, target):
    shutil.copytree(source, target)
    for folder, _, names in os.walk(target):
        os.chmod(folder, file_modes.S_IRWXU)
        for name in names:
            os.chmod(os.path.join(folder, name), file_modes.S_IRUSR | file_modes.S_IWUSR)


def newest(folder, kind):
    names = [n for n in os.listdir(folder) if n.startswith(kind + ".")]
    return os.path.join(folder, max(names, key=lambda n: int(n.split(".")[1], 16)))


def content_end(path):
    """Offset behind the last byte that is not padding."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0"))


def cut_last_record(folder):
    path = newest(folder, "log")
    os.truncate(path, content_end(path) - 5)


def cut_padding(folder):
    path = newest(folder, "log")
    os.truncate(path, content_end(path))


def zero_last_record(folder):
    """The end of the last record was never written, the file keeps its size."""
    path = newest(folder, "log")
    end = content_end(path)
    with open(path, "r+b") as file:
        file.seek(end - 8)
        file.write(bytes(8))


def cut_snapshot(folder):
    path = newest(folder, "snapshot")
    os.truncate(path, os.path.getsize(path) // 2)


def empty_new_log(folder):
    last = int(newest(folder, "log").split(".")[-1], 16)
    open(os.path.join(folder, f"log.{last + 100000:x}"), "wb").close()


DAMAGES = [cut_padding, cut_last_record, zero_last_record, cut_snapshot, empty_new_log]
# An empty newest log is removed at the start by 3.9.3; 3.8.0 refuses to start. Java then gets the copy without it.
JAVA_38_REFUSES = {empty_new_log}


def damaged_copies(report, make_first, make_second, data_dir, second_is_java):
    for damage in [None, *DAMAGES]:
        name = damage.__name__.replace("_", " ") if damage else "undamaged"
        for_java = None if damage in JAVA_38_REFUSES else damage
        for_second = for_java if second_is_java else damage
        report.case(f"copy, {name}: same tree on both", lambda: same_trees(
            open_copy(make_first, data_dir, for_java), open_copy(make_second, data_dir, for_second)))


def golden(make):
    """testdata/disk/dataset, written by 3.9.3: tree, last zxid, sessions."""
    with open(os.path.join(GOLDEN, "expected-tree.json"), encoding="utf-8") as file:
        wanted = json.load(file)
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        copy = os.path.join(folder, "data")
        copy_writable(os.path.join(GOLDEN, "dataset"), copy)
        with make(settings=SETTINGS, config=CONFIG, data_dir=copy) as server:
            for number, session in enumerate(wanted["sessions"]):
                known = int(session["id"], 16)
                connection = Connection(server.port, SESSION_MS, known, jute.session_password(known))
                expect_true(not connection.refused, f"session {session['id']} is known")
                if number == 0:
                    expect(call(connection, PING).zxid, int(wanted["last_zxid"], 16), "last zxid")
                connection.close()
            tree = super_tree(server)
    same_trees({node["path"]: recorded(node, wanted["nodes"]) for node in wanted["nodes"]}, tree)


def recorded(node, nodes):
    stat = node["client_stat"]
    numbers = [int(stat[name], 16) if isinstance(stat[name], str) else stat[name]
               for name in ("czxid", "mzxid", "ctime", "mtime", "version", "cversion", "aversion", "ephemeralOwner",
                            "dataLength", "numChildren", "pzxid")]
    prefix = node["path"].rstrip("/") + "/"
    children = [n["path"][len(prefix):] for n in nodes
                if n["path"].startswith(prefix) and n["path"] != "/" and "/" not in n["path"][len(prefix):]]
    data = node["data_hex"]
    return {"data": None if data is None else bytes.fromhex(data), "stat": jute.Stat(*numbers),
            "acl": [(a["perms"], a["scheme"], a["id"]) for a in node["acl"]], "children": sorted(children)}


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    make = servers.factory(options)
    report = Report(f"data directories, Java and {options.server}")
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        data_dir = os.path.join(folder, "data")
        swap(report, servers.Java, make, data_dir)
        if not report.failed:
            damaged_copies(report, servers.Java, make, data_dir, options.server == "java")
    report.case("golden directory of 3.9.3", golden, make)
    return report.finish()


if __name__ == "__main__":
    main(run)
