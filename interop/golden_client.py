#!/usr/bin/env python3
"""Replays the golden client vectors of testdata/client byte for byte against the server under test.

The format is described in testdata/client/README.md. One server is started for each distinct `@server` setting.
"""

import os
import re
import select
import socket
import time

import servers
from report import Report, main

REPLY_SECONDS = 10
CLOSE_SECONDS = 25  # the expiry of idle connections included
SILENT_SECONDS = 0.3
GAP_SECONDS = 0.005  # before each request, so that times of different transactions differ
EVENT_XID = b"\xff\xff\xff\xff"
NO_ZXID = b"\xff" * 8

DEFAULT_WORDS = {"4lw.commands.whitelist": "srvr"}  # vectors about refused words rely on the default list

# What Java 3.8.0 does otherwise than 3.9.3, from which the vectors were recorded. A vector listed here must fail on
# 3.8.0 (else the list is stale). Rookeeper has to pass every vector.
JAVA_38_DIFFERS = {
    "32-noauth-reads": "exists is not checked against the ACL of the node",
    "37-multi-ok": "create2 inside a multi is answered as create, without Stat",
    "39-multi-edge": "an invalid create flag inside a multi is an error result, not a decoding error",
    "43-watch-persistent": "watcher types 4 and 5 are unknown: -5",
    "45-check-watches": "watcher types 4 and 5 are unknown: -5",
    "52-check-outside-multi": "check outside a multi gets no answer at all",
    "63-multi-create-flags": "create2 inside a multi is answered as create, without Stat",
}
# Vectors with events: 3.8.0 writes -1 into the header zxid of events, 3.9 the zxid of the transaction.
JAVA_38_EVENT_ZXID = {
    "41-event-data", "42-event-create-delete", "43-watch-persistent", "44-watch-recursive", "46-set-watches",
    "47-set-watches2", "49-multi-events", "50-close-session", "65-watch-delete-consumes",
    "66-ephemeral-cleanup",
}


class Vector:
    def __init__(self, path):
        self.name = os.path.basename(path).removesuffix(".hex")
        self.settings = {}
        self.marks = set()
        self.items = []  # (line number, verb, connection, text)
        with open(path, encoding="utf-8") as file:
            self._parse(file)

    def _parse(self, file):
        for number, line in enumerate(file, 1):
            line = strip_comment(line.rstrip("\n"))
            if not line.strip() or line.startswith("#"):
                continue
            if line.startswith("@server"):
                self._parse_settings(line.removeprefix("@server").strip())
            elif line.startswith("@"):
                self.marks.add(line.strip())
            elif line[0] == " ":
                last = self.items[-1]
                self.items[-1] = (*last[:3], last[3] + " " + line.strip())
            elif line.startswith("sleep"):
                self.items.append((number, "sleep", None, line.split()[1]))
            else:
                head, text = line.split(None, 1) if " " in line else (line, "")
                self.items.append((number, head[-1], int(head[:-1]), text))

    def _parse_settings(self, text):
        if text == "default":
            return
        words = text.split()
        if all("=" in word for word in words):
            self.settings = dict(word.split("=", 1) for word in words)


def strip_comment(line):
    """Drops a trailing ` ;` comment that is not inside quotes."""
    quoted = False
    for at, char in enumerate(line):
        if char == '"':
            quoted = not quoted
        elif char == ";" and not quoted and at > 0 and line[at - 1] == " ":
            return line[:at].rstrip()
    return line


TOKEN = re.compile(r'"(?P<text>[^"]*)"'
                   r'|<(?P<name>\*|[a-z]+\d*)(?::(?P<size>\d+)|(?P<offset>[+-]\d+))?>'
                   r'|(?P<hex>(?:[0-9a-fA-F]{2})+)')


def tokens(text):
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"bad token at {text[at:at + 20]!r}")
        yield match
        at = match.end()


class Replay:
    """One run of one vector. `event_zxid_free`: accept -1 as the header zxid of an event (and count it)."""

    def __init__(self, vector, port, event_zxid_free):
        self.vector = vector
        self.port = port
        self.names = {}
        self.sockets = {}
        self.event_zxid_free = event_zxid_free
        self.freed = 0

    def run(self):
        try:
            for number, verb, connection, text in self.vector.items:
                try:
                    self._play(verb, connection, text)
                except (AssertionError, OSError, ValueError, KeyError) as error:
                    raise AssertionError(f"line {number}: {type(error).__name__}: {error}") from None
        finally:
            for sock in self.sockets.values():
                sock.close()

    def _play(self, verb, connection, text):
        if verb == "sleep":
            time.sleep(int(text) / 1000)
        elif verb == ">":
            time.sleep(GAP_SECONDS)
            self._socket(connection).sendall(self._encode(text))
        elif verb == "<":
            self._receive(self._socket(connection), text)
        elif text == "close":
            self._expect_close(connection)
        elif text == "silent":
            self._expect_silence(connection)
        elif text == "disconnect":
            self.sockets.pop(connection).close()
        else:
            raise ValueError(f"unknown item {verb} {text}")

    def _socket(self, connection):
        if connection not in self.sockets:
            sock = socket.create_connection((servers.HOST, self.port), timeout=REPLY_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[connection] = sock
        return self.sockets[connection]

    def _encode(self, text):
        return b"".join(self._value(token) for token in tokens(text))

    def _value(self, token):
        if token["text"] is not None:
            return token["text"].encode("ascii")
        if token["hex"]:
            return bytes.fromhex(token["hex"])
        value = self.names[token["name"]]
        offset = int(token["offset"] or 0)
        number = (int.from_bytes(value, "big") + offset) % (1 << 8 * len(value))
        return number.to_bytes(len(value), "big")

    def _receive(self, sock, text):
        parts = list(tokens(text))
        sizes = self._sizes(parts)
        got = receive_exactly(sock, sum(sizes))
        at = 0
        for part, size in zip(parts, sizes):
            self._match(part, got, at, size)
            at += size

    def _sizes(self, parts):
        sizes, bound = [], {name: len(value) for name, value in self.names.items()}
        for part in parts:
            if part["size"]:
                bound[part["name"]] = int(part["size"])
            sizes.append(bound[part["name"]] if part["name"] else len(self._value(part)))
        return sizes

    def _match(self, part, frame, at, size):
        got = frame[at:at + size]
        if part["size"]:
            known = self.names.get(part["name"])
            if part["name"] == "*" or known is None:
                if part["name"] != "*":
                    self.names[part["name"]] = got
                return
            wanted = known
        else:
            wanted = self._value(part)
        if got == wanted:
            return
        if self.event_zxid_free and at == 8 and size == 8 and frame[4:8] == EVENT_XID and got == NO_ZXID:
            self.freed += 1
            return
        raise AssertionError(f"offset {at}, token {part[0]}: got {got.hex()}, expected {wanted.hex()}; "
                             f"frame {frame.hex()}")

    def _expect_close(self, connection):
        sock = self._socket(connection)
        sock.settimeout(CLOSE_SECONDS)
        try:
            extra = sock.recv(4096)
        except ConnectionResetError:
            extra = b""
        if extra:
            raise AssertionError(f"expected the end of the stream, got {extra.hex()}")
        self.sockets.pop(connection).close()

    def _expect_silence(self, connection):
        sock = self._socket(connection)
        if select.select([sock], [], [], SILENT_SECONDS)[0]:
            extra = sock.recv(4096)
            raise AssertionError(f"expected silence, got {extra.hex() or 'the end of the stream'}")


def receive_exactly(sock, size):
    sock.settimeout(REPLY_SECONDS)
    got = b""
    while len(got) < size:
        try:
            chunk = sock.recv(size - len(got))
        except TimeoutError:
            raise AssertionError(f"time-out after {got.hex() or 'no byte'}, expected {size} bytes") from None
        if not chunk:
            raise AssertionError(f"closed after {got.hex() or 'no byte'}, expected {size} bytes")
        got += chunk
    return got


def load(folder):
    """Vectors that can be replayed, grouped by settings; those for a fresh server first."""
    vectors = [Vector(os.path.join(folder, name)) for name in sorted(os.listdir(folder)) if name.endswith(".hex")]
    skipped = [v for v in vectors if v.marks & {"@recorded", "@java-fault"}]
    groups = {}
    for vector in sorted((v for v in vectors if v not in skipped), key=lambda v: "@fresh" not in v.marks):
        groups.setdefault(tuple(sorted(vector.settings.items())), []).append(vector)
    return groups, skipped


def play(report, vector, server):
    java = server.is_java
    replay = Replay(vector, server.port, java and vector.name in JAVA_38_EVENT_ZXID)
    expected = JAVA_38_DIFFERS.get(vector.name) if java else None
    try:
        replay.run()
        failure = None
    except AssertionError as error:
        failure = str(error)
    if not server.alive():
        report.fail(vector.name, f"the server died; {failure}")
        server.start()
    elif expected and failure:
        report.ok(vector.name, f"differs on 3.8.0 as listed: {expected}")
    elif expected:
        report.fail(vector.name, "listed as different on 3.8.0, but it passes")
    elif failure:
        report.fail(vector.name, failure)
    elif java and vector.name in JAVA_38_EVENT_ZXID and replay.freed == 0:
        report.fail(vector.name, "listed for the event zxid of 3.8.0, but there is no difference")
    else:
        report.ok(vector.name, f"{replay.freed} events with zxid -1, as listed for 3.8.0" if replay.freed else "")


def run():
    parser = servers.arguments(__doc__.splitlines()[0], only={"help": "run vectors whose name contains this text"})
    parser.add_argument("--vectors", default=os.path.join(servers.repository(), "testdata", "client"))
    options = parser.parse_args()
    make = servers.factory(options)
    report = Report(f"golden client vectors against {options.server}")
    groups, skipped = load(options.vectors)
    for vector in skipped:
        print(f"skip  {vector.name}  ({', '.join(sorted(vector.marks))})")
    for settings, vectors in groups.items():
        chosen = [v for v in vectors if not options.only or options.only in v.name]
        if not chosen:
            continue
        with make(settings=dict(settings), config=DEFAULT_WORDS) as server:
            report.server = server
            for vector in chosen:
                play(report, vector, server)
    return report.finish()


if __name__ == "__main__":
    main(run)
