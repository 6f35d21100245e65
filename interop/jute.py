"""The client protocol in a few lines: encoder, decoder, request bodies, reply decoding and a raw connection.

Written from the protocol description alone and independent of the Rust code, so that a mistake made there is not
repeated here. Nothing is retried or hidden: a caller sees every frame.
"""

import socket
import struct
from collections import namedtuple

HOST = "127.0.0.1"
REPLY_SECONDS = 10
NUDGE_SECONDS = 3

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL, GET_CHILDREN, SYNC = 1, 2, 3, 4, 5, 6, 7, 8, 9
PING, GET_CHILDREN2, CHECK, MULTI, CREATE2, RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = 11, 12, 13, 14, 15, 16, 17, 18
CREATE_CONTAINER, CREATE_TTL, MULTI_READ = 19, 21, 22
AUTH, SET_WATCHES, SASL, GET_EPHEMERALS, GET_ALL_CHILDREN_NUMBER = 100, 101, 102, 103, 104
SET_WATCHES2, ADD_WATCH, WHO_AM_I, CLOSE_SESSION, ERROR = 105, 106, 107, -11, -1
OP_NAMES = {
    value: name for name, value in list(globals().items())
    if name.isupper() and isinstance(value, int) and name not in ("REPLY_SECONDS", "NUDGE_SECONDS", "HOST")
}
EVENT_XID, PING_XID, AUTH_XID, SET_WATCHES_XID = -1, -2, -4, -8
OPEN_ACL = [(31, "world", "anyone")]

Stat = namedtuple("Stat", "czxid mzxid ctime mtime version cversion aversion owner length children pzxid")
STAT = struct.Struct(">qqqqiiiqiiq")
Reply = namedtuple("Reply", "xid zxid err body")
Event = namedtuple("Event", "zxid type state path")


class Out(bytearray):
    """Encoder: every method appends and returns self."""

    def int(self, value):
        self += struct.pack(">i", value)
        return self

    def long(self, value):
        self += struct.pack(">q", value)
        return self

    def bool(self, value):
        self.append(1 if value else 0)
        return self

    def buffer(self, value):
        if value is None:
            return self.int(-1)
        self.int(len(value))
        self += value
        return self

    def string(self, value):
        return self.buffer(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)

    def vector(self, items, write):
        if items is None:
            return self.int(-1)
        self.int(len(items))
        for item in items:
            write(item)
        return self

    def strings(self, items):
        return self.vector(items, self.string)

    def acl(self, entries):
        return self.vector(entries, lambda e: self.int(e[0]).string(e[1]).string(e[2]))


class In:
    """Decoder over one frame; running off its end is a ValueError."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def raw(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise ValueError(f"{size} bytes wanted at {self.at} of {len(self.data)}")
        piece = self.data[self.at:self.at + size]
        self.at += size
        return bytes(piece)

    def int(self):
        return struct.unpack(">i", self.raw(4))[0]

    def long(self):
        return struct.unpack(">q", self.raw(8))[0]

    def bool(self):
        return self.raw(1) != b"\0"

    def buffer(self):
        size = self.int()
        return None if size == -1 else self.raw(size)

    def string(self):
        value = self.buffer()
        return None if value is None else value.decode("utf-8", "surrogatepass")

    def vector(self, read):
        size = self.int()
        return None if size == -1 else [read() for _ in range(size)]

    def stat(self):
        return Stat(*STAT.unpack(self.raw(STAT.size)))

    def acl(self):
        return self.vector(lambda: (self.int(), self.string(), self.string()))

    def rest(self):
        return self.raw(len(self.data) - self.at)


# Request bodies

def create(path, data, acl, flags):
    return Out().string(path).buffer(data).acl(acl).int(flags)


def create_ttl(path, data, acl, flags, ttl):
    return create(path, data, acl, flags).long(ttl)


def path_version(path, version):
    """delete and check."""
    return Out().string(path).int(version)


def path_watch(path, watch):
    """exists, getData, getChildren, getChildren2."""
    return Out().string(path).bool(watch)


def set_data(path, data, version):
    return Out().string(path).buffer(data).int(version)


def set_acl(path, acl, version):
    return Out().string(path).acl(acl).int(version)


def path_only(path):
    """sync, getACL, getEphemerals, getAllChildrenNumber."""
    return Out().string(path)


def path_number(path, number):
    """addWatch (mode), checkWatches and removeWatches (type)."""
    return Out().string(path).int(number)


def set_watches(zxid, lists):
    """3 lists for setWatches, 5 for setWatches2."""
    out = Out().long(zxid)
    for paths in lists:
        out.strings(paths)
    return out


def auth(scheme, data):
    return Out().int(0).string(scheme).buffer(data)


def multi(operations):
    """`operations`: pairs of opcode and body."""
    out = Out()
    for op, body in operations:
        out.int(op).bool(False).int(-1)
        out += body
    return out.int(-1).bool(True).int(-1)


# Replies

def decode(op, body):
    """Decoded body of a reply without error: a dict of named fields. Surplus bytes show as `surplus`."""
    reader = In(body)
    fields = {}
    for name, read in REPLY_FIELDS.get(op, ()):
        fields[name] = read(reader)
    if reader.at < len(body):
        fields["surplus"] = reader.rest().hex()
    return fields


def multi_results(reader):
    results = []
    while True:
        kind, done, err = reader.int(), reader.bool(), reader.int()
        if done:
            return results
        results.append((kind, err, _multi_result(reader, kind)))


def _multi_result(reader, kind):
    if kind == ERROR:
        return {"err": reader.int()}
    return {name: read(reader) for name, read in REPLY_FIELDS.get(kind, ())}


def client_infos(reader):
    return reader.vector(lambda: (reader.string(), reader.string()))


_PATH = ("path", In.string)
_STAT = ("stat", In.stat)
_CHILDREN = ("children", lambda r: r.vector(r.string))
REPLY_FIELDS = {
    CREATE: [_PATH],
    CREATE2: [_PATH, _STAT],
    CREATE_CONTAINER: [_PATH, _STAT],
    CREATE_TTL: [_PATH, _STAT],
    EXISTS: [_STAT],
    GET_DATA: [("data", In.buffer), _STAT],
    SET_DATA: [_STAT],
    GET_ACL: [("acl", In.acl), _STAT],
    SET_ACL: [_STAT],
    GET_CHILDREN: [_CHILDREN],
    GET_CHILDREN2: [_CHILDREN, _STAT],
    SYNC: [_PATH],
    MULTI: [("results", multi_results)],
    MULTI_READ: [("results", multi_results)],
    RECONFIG: [("config", In.buffer), _STAT],
    SASL: [("token", In.buffer)],
    GET_EPHEMERALS: [("paths", lambda r: r.vector(r.string))],
    GET_ALL_CHILDREN_NUMBER: [("number", In.int)],
    ADD_WATCH: [("err", In.int)],
    WHO_AM_I: [("ids", client_infos)],
}


class Closed(Exception):
    """The server ended the connection."""


class Connection:
    """One raw connection with its session. `refused` is true when the server answered with time-out 0.

    `nudge` is called when the server says nothing for NUDGE_SECONDS, once; the answer may then still take `patience`.
    """

    def __init__(self, port, timeout=30000, session=0, password=bytes(16), last_zxid=0, read_only=False, host=HOST,
                 patience=REPLY_SECONDS, nudge=None):
        self.sock = socket.create_connection((host, port), timeout=NUDGE_SECONDS if nudge else patience)
        self.patience, self.nudge = patience, nudge
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = bytearray()
        self.xid = 0
        request = Out().int(0).long(last_zxid).int(timeout).long(session).buffer(password).bool(read_only)
        self.send_frame(request)
        answer = In(self.frame())
        answer.int()
        self.timeout, self.session, self.password = answer.int(), answer.long(), answer.buffer()
        self.refused = self.timeout == 0

    def send_frame(self, body):
        try:
            self.sock.sendall(struct.pack(">i", len(body)) + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the read that follows tells

    def frame(self):
        """Next frame. Raises Closed at the end of the stream and TimeoutError after `patience` seconds."""
        self._fill(4)
        size = struct.unpack(">i", self.pending[:4])[0]
        self._fill(4 + size)
        body = bytes(self.pending[4:4 + size])
        del self.pending[:4 + size]
        return body

    def _fill(self, size):
        while len(self.pending) < size:
            try:
                chunk = self.sock.recv(65536)
            except TimeoutError:
                if not self.nudge:
                    raise
                nudge, self.nudge = self.nudge, None
                nudge()
                self.sock.settimeout(self.patience)
                continue
            except (ConnectionResetError, BrokenPipeError):
                chunk = b""
            if not chunk:
                raise Closed(f"end of stream, left over: {self.pending.hex()}")
            self.pending += chunk

    def send(self, op, body=b"", xid=None):
        """Sends one request, returns its xid."""
        if xid is None:
            self.xid += 1
            xid = self.xid
        self.send_frame(Out().int(xid).int(op) + body)
        return xid

    def receive(self):
        """Next Reply or Event."""
        return parse(self.frame())

    def call(self, op, body=b"", xid=None):
        """One request and its reply; the events before it are returned too: (Reply, [Event])."""
        self.send(op, body, xid)
        events = []
        while isinstance(item := self.receive(), Event):
            events.append(item)
        return item, events

    def get(self, op, body=b""):
        """Decoded fields of a call that must succeed."""
        reply, _ = self.call(op, body)
        if reply.err:
            raise AssertionError(f"{OP_NAMES.get(op, op)}: error {reply.err}")
        return decode(op, reply.body)

    def close(self):
        self.sock.close()


def parse(frame):
    """A server frame after the handshake as Reply or Event."""
    reader = In(frame)
    xid, zxid, err = reader.int(), reader.long(), reader.int()
    if xid == EVENT_XID and err == 0 and len(frame) > 16:
        return Event(zxid, reader.int(), reader.int(), reader.string())
    return Reply(xid, zxid, err, reader.rest())


def walk(connection, root="/"):
    """The whole tree below `root`: path -> {data, stat, acl, children}."""
    tree, waiting = {}, [root]
    while waiting:
        path = waiting.pop()
        data = connection.get(GET_DATA, path_watch(path, False))
        children = connection.get(GET_CHILDREN, path_watch(path, False))["children"]
        acl = connection.get(GET_ACL, path_only(path))["acl"]
        tree[path] = {"data": data["data"], "stat": data["stat"], "acl": acl, "children": sorted(children)}
        waiting += [("" if path == "/" else path) + "/" + name for name in children]
    return tree


def session_password(session):
    """The 16 bytes every server derives from a session id: Java's linear congruential generator, seeded with it."""
    seed = ((session & (1 << 64) - 1) ^ 0xB3415C00 ^ 0x5DEECE66D) & (1 << 48) - 1
    out = b""
    while len(out) < 16:
        seed = (seed * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        out += (seed >> 16 & 0xFFFFFFFF).to_bytes(4, "little")
    return out
