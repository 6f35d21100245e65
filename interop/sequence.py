"""Seeded random requests for the differential run: what is sent, never how it is answered.

Three rooms of paths keep the requests comparable between Java 3.8.0 and Rookeeper, which follows 3.9.3 (the list of
differences is in `differential.py`): /w readable by everyone, where watches of all kinds are set; /p with arbitrary
ACLs, where `exists` is never used; /q with a quota. Requests that stop a Java server or its log are never made:
createTTL with a bad ttl outside its flags, nodes below /zookeeper/quota apart from the prelude, deleteContainer and
createSession from a client.
"""

import base64
import hashlib
import random
import zlib
from dataclasses import dataclass, field

import jute
from jute import (ADD_WATCH, AUTH, CHECK, CHECK_WATCHES, CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL,
                  DELETE, EXISTS, GET_ACL, GET_ALL_CHILDREN_NUMBER, GET_CHILDREN, GET_CHILDREN2, GET_DATA,
                  GET_EPHEMERALS, MULTI, MULTI_READ, OPEN_ACL, PING, RECONFIG, REMOVE_WATCHES, SASL, SET_ACL, SET_DATA,
                  SET_WATCHES, SET_WATCHES2, SYNC, WHO_AM_I, path_only, path_version, path_watch)

SLOTS = 4
ROOMS = ["/w", "/w", "/p", "/q"]
NAMES = ["a", "b", "c", "long-name", "\u00e9t\u00e9"]
USERS = ["bob:pw", "eve:x:y", "alone"]
UNKNOWN_OPCODES = [0, 10, 23, 77, 999, -1]
BAD_PATHS = [None, "", "w/a", "/w/", "/w//a", "/w/.", "/w/../a", "/w/a\x01", "/w/a\x00b", "/w/\ufff5", b"/w/\xff",
             "/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/none/a", "/none/"]
TTL = 1 << 36  # ms: never reaped during a run


def digest_id(user_password):
    user = user_password.split(":")[0]
    return user + ":" + base64.b64encode(hashlib.sha1(user_password.encode()).digest()).decode()


@dataclass
class Step:
    """One step of the run, always on one slot (connection).

    `what`: "call" (one request, or several pipelined), "reattach" (same session, new connection; `keep` leaves the
    old socket open so that the server has to close it), "reopen" (closeSession, then a new session), "probe" (a
    connect request that is refused or dropped, on a connection of its own).
    Bodies are bytes, or functions of the zxid base of a server.
    """

    slot: int
    what: str
    requests: list = field(default_factory=list)  # (opcode, body, xid or None)
    keep: bool = False
    timeout: int = 30000
    probe: str = ""

    def __str__(self):
        calls = ", ".join(f"{jute.OP_NAMES.get(op, op)}({shown(body)})" for op, body, _ in self.requests)
        return f"slot {self.slot} {self.what} {self.probe}{calls}"


def shown(body):
    raw = bytes(body(0) if callable(body) else body)
    return raw.hex() if len(raw) <= 160 else f"{raw[:160].hex()}... {len(raw)} bytes"


class Sequence:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.versions = {}  # path -> data version, as far as the replies of the reference told
        self.watched = [[] for _ in range(SLOTS)]  # paths each slot may hold watches on, newest last
        self.highest = 0  # zxid, relative to the base
        self.kinds, self.weights = zip(*[
            (self.create, 22), (self.delete, 9), (self.set_data, 10), (self.exists, 7), (self.get_data, 7),
            (self.children, 8), (self.get_acl, 4), (self.set_acl, 5), (self.multi, 9), (self.multi_read, 3),
            (self.simple, 6), (self.add_watch, 4), (self.check_watches, 4), (self.set_watches, 3), (self.login, 3),
            (self.bad_path, 4), (self.malformed, 4),
        ])

    def prelude(self):
        """Rooms and a quota; the first steps of every run."""
        for slot, user in enumerate(USERS):
            yield Step(slot, "call", [(AUTH, jute.auth("digest", user.encode()), jute.AUTH_XID)])
        for path in ("/w", "/p", "/q"):
            yield Step(0, "call", [(CREATE, jute.create(path, b"room", OPEN_ACL, 0), None)])
        limits = b"count=30,bytes=-1=;byteHardLimit=400;countHardLimit=12"
        for path, data in [("/zookeeper/quota/q", b""), ("/zookeeper/quota/q/zookeeper_limits", limits),
                           ("/zookeeper/quota/q/zookeeper_stats", b"count=1,bytes=4")]:
            yield Step(0, "call", [(CREATE, jute.create(path, data, OPEN_ACL, 0), None)])

    def step(self):
        slot = self.random.randrange(SLOTS)
        dice = self.random.random()
        if dice < 0.012:
            return Step(slot, "reattach", keep=self.random.random() < 0.5, timeout=self._timeout())
        if dice < 0.022:
            return Step(slot, "reopen", timeout=self._timeout())
        if dice < 0.032:
            return Step(slot, "probe", probe=self.random.choice(["ahead", "unknown", "password"]))
        if dice < 0.045:
            return Step(slot, "call", [self._fatal()])
        count = self.random.choice([1] * 8 + [2, 3, 6])
        requests = [self._request(slot, count > 1) for _ in range(count)]
        # 3.8.0 judges what is pipelined behind a setACL by the old ACL, if the new one is not applied yet: nothing follows it.
        ends = next((at + 1 for at, request in enumerate(requests) if request[0] == SET_ACL), count)
        return Step(slot, "call", requests[:ends])

    def learn(self, path, version):
        self.versions[path] = version
        if len(self.versions) > 300:
            self.versions.pop(next(iter(self.versions)))

    def forget(self, path):
        self.versions.pop(path, None)

    def _timeout(self):
        return self.random.choice([-1, 0, 1000, 30000, 35000, 600000])

    def _request(self, slot, pipelined):
        while True:
            kind = self.random.choices(self.kinds, self.weights)[0]
            op, body = kind(slot)
            if not (pipelined and op in (AUTH, SASL)):  # their replies may overtake earlier ones
                xid = self.random.choice([0, -1, -7, 1 << 30]) if self.random.random() < 0.02 else None
                return op, body, None if xid == -1 else xid

    def _fatal(self):
        """A request after which the server closes the connection."""
        if self.random.random() < 0.5:
            return self.random.choice(UNKNOWN_OPCODES), b"", None
        bad = [jute.auth("nope", b"x"), jute.auth("digest", None), jute.auth("world", b""), jute.Out().int(0)]
        return AUTH, self.random.choice(bad), jute.AUTH_XID

    # Pieces

    def _path(self, rooms=ROOMS):
        room = self.random.choice(rooms)
        if self.versions and self.random.random() < 0.6:
            known = [p for p in self.versions if p.startswith(room)]
            if known:
                return self.random.choice(known)
        depth = self.random.choice([0, 1, 1, 1, 1, 2, 2, 3])
        return "/".join([room] + [self.random.choice(NAMES) for _ in range(depth)])

    def _data(self):
        size = self.random.choice([None, 0, 1, 5, 20, 300])
        if size is None:
            return None
        if self.random.random() < 0.01:
            size = 20000
        return self.random.randbytes(size)

    def _version(self, path):
        dice = self.random.random()
        if dice < 0.4:
            return -1
        if dice < 0.85:
            return self.versions.get(path, 0)
        return self.random.choice([0, 1, 5, -2, 2147483647, -2147483648])

    def _acl(self, path):
        if self.random.random() < 0.08:
            return self.random.choice([
                None, [], [(31, "world", "x")], [(31, "digest", "a")], [(31, "digest", "a:b:c")], [(31, "foo", "x")],
                [(31, None, "x")], [(31, "ip", "1.2.3")], [(31, "ip", "127.0.0.1/33")], [(31, "super", "")],
                [(31, "ip", "1.2.3.256")], [(31, "digest", "")]])
        entries = [] if path.startswith("/p") and self.random.random() < 0.5 else list(OPEN_ACL)
        for _ in range(self.random.choice([0, 0, 1, 2, 3]) or (not entries)):
            scheme, identity = self.random.choice(
                [("digest", digest_id(u)) for u in USERS] + [("digest", ":h"), ("digest", "a:b:")]
                + [("ip", "127.0.0.1"), ("ip", "10.0.0.0/8"), ("ip", "0.0.0.0/0")]
                + [("world", "anyone")] + ([("auth", ""), ("auth", None)] if self.random.random() < 0.3 else []))
            entries.append((self.random.choice([31, 31, 1, 2, 3, 5, 16, 15, 0, 95]), scheme, identity))
        self.random.shuffle(entries)
        # 3.8.0 trips over a null id when another entry has the same scheme and permissions: such lists are never sent.
        if any(scheme == "auth" and identity is None for _, scheme, identity in entries):
            entries = [e for e in entries if e[1] != "auth"] + [(31, "auth", None)]
        return entries

    def _mode(self, slot, path):
        """Which kind of watch this slot may have on this path: 3.8.0 keeps only one kind per connection and path."""
        return ["persistent", "recursive", "standard", "standard"][zlib.crc32(f"{slot}{path}".encode()) % 4]

    def _watch(self, slot, path):
        watch = self._mode(slot, path) == "standard" and self.random.random() < 0.5
        if watch:
            self.watched[slot].append(path)
        return watch

    # Requests

    def create(self, _slot):
        path = self._path()
        if self.random.random() < 0.1:
            path += self.random.choice(["/", "/s-"])
        return self._create(path, self._acl(path))

    def _create(self, path, acl):
        op = self.random.choice([CREATE, CREATE, CREATE2, CREATE2, CREATE_CONTAINER, CREATE_TTL])
        if op == CREATE_TTL:
            ttl = self.random.choice([TTL, TTL, TTL, 1 << 35, (1 << 40) - 1, 0, -1, 1 << 40])
            return op, jute.create_ttl(path, self._data(), acl, self.random.choice([5, 6]), ttl)
        flags = 4 if op == CREATE_CONTAINER else self.random.choice([0, 0, 0, 1, 1, 2, 3])
        if self.random.random() < 0.03 and op != CREATE_CONTAINER:
            flags = self.random.choice([5, 6, 7, 9, -1])
        return op, jute.create(path, self._data(), acl, flags)

    def delete(self, _slot):
        path = self._path()
        return DELETE, path_version(path if path.count("/") > 1 else path + "/a", self._version(path))

    def set_data(self, _slot):
        path = self._path()
        return SET_DATA, jute.set_data(path, self._data(), self._version(path))

    def exists(self, slot):
        path = self._path(["/w", "/w", "/q"])
        return EXISTS, path_watch(path, self._watch(slot, path))

    def get_data(self, slot):
        path = self._path()
        return GET_DATA, path_watch(path, self._watch(slot, path))

    def children(self, slot):
        path = self.random.choice([self._path(), self._path(), "/"])
        return self.random.choice([GET_CHILDREN, GET_CHILDREN2]), path_watch(path, self._watch(slot, path))

    def get_acl(self, _slot):
        return GET_ACL, path_only(self._path())

    def set_acl(self, _slot):
        path = self._path()
        version = self.random.choice([-1, -1, 0, 0, 1, 2])
        if path.count("/") < 2:
            return SET_ACL, jute.set_acl(path, OPEN_ACL, version)
        return SET_ACL, jute.set_acl(path, self._acl(path), version)

    def multi(self, _slot):
        return MULTI, jute.multi([self._in_multi() for _ in range(self.random.choice([0, 1, 2, 3, 4, 6]))])

    def _in_multi(self):
        path = self._path()
        dice = self.random.random()
        if dice < 0.45:
            op = self.random.choice([CREATE, CREATE, CREATE2, CREATE_CONTAINER, CREATE_TTL])
            if op == CREATE_TTL:
                return op, jute.create_ttl(path, self._data(), self._acl(path), self.random.choice([5, 6]), TTL)
            flags = 4 if op == CREATE_CONTAINER else self.random.choice([0, 1, 2, 3, 4])
            return op, jute.create(path, self._data(), self._acl(path), flags)
        if dice < 0.6:
            return DELETE, path_version(path + "/a" if path.count("/") < 2 else path, -1)
        version = -1 if self.random.random() < 0.8 else self._version(path)
        if dice < 0.8:
            return SET_DATA, jute.set_data(path, self._data(), version)
        return CHECK, path_version(path, version)

    def multi_read(self, _slot):
        reads = [(self.random.choice([GET_DATA, GET_CHILDREN]), path_watch(self._path(), self.random.random() < 0.3))
                 for _ in range(self.random.choice([0, 1, 3, 5]))]
        return MULTI_READ, jute.multi(reads)

    def simple(self, _slot):
        path = self._path()
        return self.random.choice([
            (SYNC, path_only(path)), (PING, b""), (WHO_AM_I, b""), (SASL, jute.Out().buffer(b"")),
            (GET_EPHEMERALS, path_only(self.random.choice([None, "", "/", "/w", "/p/a", path]))),
            (GET_ALL_CHILDREN_NUMBER, path_only(self.random.choice(["/", "/w", path, "/none"]))),
            (RECONFIG, jute.Out().string(None).string(None).string(None).long(-1)),
        ])

    def add_watch(self, slot):
        path = self._path()
        while self._mode(slot, path) == "standard" and self.random.random() < 0.9:
            path = self._path()
        self.watched[slot].append(path)
        mode = {"persistent": 0, "recursive": 1, "standard": 7}[self._mode(slot, path)]  # 7: refused with -5
        return ADD_WATCH, jute.path_number(path, mode)

    def check_watches(self, slot):
        recent = self.watched[slot] = self.watched[slot][-20:]
        path = self.random.choice(recent) if recent and self.random.random() < 0.7 else self._path()
        kinds = [1, 2, 3, 3, 0, 9] if self._mode(slot, path) == "standard" else [3, 3, 0]
        # 3.8.0 answers checkWatches with yes when anybody watches the path: only removals are compared.
        return REMOVE_WATCHES, jute.path_number(path, self.random.choice(kinds))

    def set_watches(self, slot):
        lists = [[], [], [], [], []]
        for _ in range(self.random.choice([0, 2, 4, 8])):
            path = self._path(["/w", "/w", "/q"])
            mode = self._mode(slot, path)
            lists[{"persistent": 3, "recursive": 4}.get(mode, self.random.randrange(3))].append(path)
        since = self.random.randint(0, self.highest)
        if self.random.random() < 0.5:
            return SET_WATCHES, lambda base: jute.set_watches(base + since, lists[:3])
        return SET_WATCHES2, lambda base: jute.set_watches(base + since, lists)

    def login(self, _slot):
        scheme, data = self.random.choice([("digest", u.encode()) for u in USERS] + [("ip", b"")])
        return AUTH, jute.auth(scheme, data)

    def bad_path(self, slot):
        path = self.random.choice(BAD_PATHS)
        special = path is not None and str(path).startswith("/zookeeper") or path == "/"
        choices = [(CREATE2, jute.create(path, b"", OPEN_ACL, 0)), (GET_DATA, path_watch(path, False)),
                   (GET_CHILDREN2, path_watch(path, False)), (GET_ACL, path_only(path)),
                   (GET_ALL_CHILDREN_NUMBER, path_only(path)), (EXISTS, path_watch(path, False)),
                   (DELETE, path_version(path, -1))]
        if path is not None:  # 3.8.0 answers a null path inside a multi with a zxid of its own
            choices.append((MULTI, jute.multi([(CHECK, path_version(path, -1))])))
        if not special:
            choices += [(SET_DATA, jute.set_data(path, b"x", -1)), (SET_ACL, jute.set_acl(path, OPEN_ACL, -1))]
        if not isinstance(path, bytes):
            choices.append((SYNC, path_only(path)))
        return self.random.choice(choices)

    def malformed(self, slot):
        """A body cut short, or one with surplus bytes (which are ignored)."""
        while True:
            kind = self.random.choice([self.create, self.delete, self.set_data, self.exists, self.get_data,
                                       self.children, self.get_acl, self.set_acl, self.multi, self.multi_read,
                                       self.add_watch, self.check_watches])
            op, body = kind(slot)
            if op == CREATE_TTL:
                continue
            # A single write that cannot be decoded consumes a zxid in 3.8.0 and none in 3.9: never sent.
            single_write = kind in (self.create, self.delete, self.set_data, self.set_acl)
            if single_write or self.random.random() < 0.3:
                return op, bytes(body) + b"surplus"
            return op, bytes(body[:self.random.randrange(len(body))])
