"""A relay between one client and a server that writes down what passes: one line for each request with its outcome, and one
for each event. It changes nothing. Pings and the handshake are not written down.

It shows what a tree cannot: how a znode was created (a client sees the same owner for containers and persistent znodes), what
is watched, and in which order things are asked.
"""

import socket
import struct
import threading

import jute
import servers

FLAGS = {0: "persistent", 1: "ephemeral", 2: "persistent sequential", 3: "ephemeral sequential", 4: "container",
         5: "ttl", 6: "ttl sequential"}
KINDS_OF_EVENTS = {-1: "state", 1: "created", 2: "deleted", 3: "changed", 4: "children", 5: "data watch removed",
                   6: "child watch removed", 7: "persistent watch removed"}
WATCHERS = {1: "children", 2: "data", 3: "any"}
ERRORS = {-101: "no node", -103: "bad version", -110: "exists", -111: "not empty", -112: "session expired",
          -4: "connection lost", -6: "not known here", -121: "no such watch", 0: "ok"}
CREATES = (jute.CREATE, jute.CREATE2, jute.CREATE_CONTAINER, jute.CREATE_TTL)
CALLED = {jute.CREATE: "create", jute.CREATE2: "create2", jute.CREATE_CONTAINER: "createContainer",
          jute.CREATE_TTL: "createTTL", jute.DELETE: "delete", jute.EXISTS: "exists", jute.GET_DATA: "getData",
          jute.SET_DATA: "setData", jute.GET_CHILDREN: "getChildren", jute.GET_CHILDREN2: "getChildren2",
          jute.SYNC: "sync", jute.CHECK: "check", jute.MULTI: "multi", jute.CHECK_WATCHES: "checkWatches",
          jute.REMOVE_WATCHES: "removeWatches", jute.ADD_WATCH: "addWatch",
          jute.SET_WATCHES: "setWatches", jute.SET_WATCHES2: "setWatches2", jute.CLOSE_SESSION: "closeSession"}
WITH_WATCH = (jute.EXISTS, jute.GET_DATA, jute.GET_CHILDREN, jute.GET_CHILDREN2)


class Tap:
    """Listens on `port` for clients of the server; `lines()` is what was written down, in the order of the replies."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.listener = socket.create_server((servers.HOST, 0))
        self.port = self.listener.getsockname()[1]
        self._lock = threading.Lock()
        self._lines = []
        self._made = {}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"{servers.HOST}:{self.port}"

    def lines(self):
        with self._lock:
            return list(self._lines)

    def made(self):
        """path -> kind of all that was created through here."""
        with self._lock:
            return dict(self._made)

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((servers.HOST, self.server_port))
            conversation = Conversation(self._note)
            for source, target, hear in ((client, server, conversation.asked), (server, client, conversation.told)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=relay, args=(source, target, hear), daemon=True).start()

    def _note(self, line, path=None, kind=None):
        with self._lock:
            self._lines.append(line)
            if path is not None:
                self._made[path] = kind


def relay(source, target, hear):
    """Passes frames on; each is heard before it goes, so that no reply is heard before its request."""
    pending = b""
    try:
        while chunk := source.recv(65536):
            pending += chunk
            while len(pending) >= 4 and len(pending) >= 4 + (size := struct.unpack(">i", pending[:4])[0]):
                hear(pending[4:4 + size])
                target.sendall(pending[:4 + size])
                pending = pending[4 + size:]
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Conversation:
    """One connection: pairs replies with requests."""

    def __init__(self, note):
        self.note = note
        self.waiting = {}
        self.greeted = {"asked": False, "told": False}

    def _first(self, side):
        first, self.greeted[side] = not self.greeted[side], True
        return first

    def asked(self, frame):
        if not self._first("asked"):
            reader = jute.In(frame)
            xid, op = reader.int(), reader.int()
            if op != jute.PING:
                self.waiting[xid] = (op, *request(op, reader))

    def told(self, frame):
        if self._first("told"):
            return
        message = jute.parse(frame)
        if isinstance(message, jute.Event):
            self.note(f"event {KINDS_OF_EVENTS[message.type]} {message.path}".rstrip())
        elif message.xid in self.waiting:
            op, text, kind = self.waiting.pop(message.xid)
            self.note(f"{text} -> {outcome(op, message)}", made(op, message), kind)


def request(op, reader):
    """What is asked, and the kind of znode when one is to be created."""
    name = CALLED.get(op, f"operation {op}")
    if op in CREATES:
        path, data, _, flags = reader.string(), reader.buffer(), reader.acl(), reader.int()
        # The operation decides, whatever the flags say.
        kind = "container" if op == jute.CREATE_CONTAINER else FLAGS.get(flags, str(flags))
        return f"{name} {kind} {path} {shown(data)}", kind
    return " ".join([name, *arguments(op, reader)]), None


def arguments(op, reader):
    if op in WITH_WATCH:
        path, watch = reader.string(), reader.bool()
        return [path, "watch"] if watch else [path]
    if op in (jute.DELETE, jute.CHECK):
        return [reader.string(), version(reader)]
    if op == jute.SET_DATA:
        return [reader.string(), shown(reader.buffer()), version(reader)]
    if op in (jute.REMOVE_WATCHES, jute.CHECK_WATCHES):
        path, kind = reader.string(), reader.int()
        return [path, WATCHERS.get(kind, str(kind))]
    if op == jute.ADD_WATCH:
        path, mode = reader.string(), reader.int()
        return [path, "recursive" if mode else "persistent"]
    if op == jute.MULTI:
        return ["[" + "; ".join(parts(reader)) + "]"]
    return [reader.string()] if op == jute.SYNC else []


def version(reader):
    return f"version {reader.int()}"


def parts(reader):
    """The requests inside a multi."""
    while True:
        op, done, _ = reader.int(), reader.bool(), reader.int()
        if done:
            return
        yield request(op, reader)[0]


def made(op, reply):
    """Path of what was created, if it was."""
    return None if reply.err or op not in CREATES else jute.decode(op, reply.body)["path"]


def outcome(op, reply):
    return made(op, reply) or ERRORS.get(reply.err, str(reply.err))


def shown(data):
    """Bytes for people: quoted where all are printable ASCII, else hexadecimal."""
    if data is None:
        return "null"
    return f'"{data.decode()}"' if all(32 <= byte < 127 for byte in data) else f"0x{data.hex()}"
