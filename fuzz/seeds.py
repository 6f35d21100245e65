#!/usr/bin/env python3
"""Makes the first corpora of the fuzz targets from the recorded vectors and files in testdata.

usage: seeds.py DIRECTORY     one folder per target is made in it
"""

import re
import struct
import sys
from pathlib import Path

TESTDATA = Path(__file__).resolve().parent.parent / "testdata"
LOG_HEADER = 16
RECORD_PREFIX = 12
# A vector's volatile parts are replaced by zeros of their size.
VOLATILE = re.compile(r"<(\w+)(?::(\d+))?>")
# What `acl_path` judges, behind the byte that tells which kind of text it is.
TEXTS = {
    0: ["/", "/a/b", "/a//b", "/a/.", "/a/..", "/a\u0001", "/\u00e4\u20ac", "/zookeeper/quota/a/zookeeper_limits"],
    1: ["count=1,bytes=2", "count=3,bytes=-1=;byteHardLimit=9;countHardLimit=8", "count=,bytes", ";;=,"],
    3: ["digest\0\0user:secret", "ip\0\0\0\0\0\0127.0.0.1/16", "ensemble\0ensemble", "x509\0\0\0\0CN=a\\,b,O=c+OU=\"d\"", "sasl\0\0\0\0u/h@R"],
}


# The member target's clock at its start, and its server id: they make the ids of its sessions.
MEMBER_WALL_MS = 1_700_000_000_000
STANDALONE_ID = 1


def client_stories():
    """Stories for the `client` target: a connection, an accepted session, calls of each kind, answers, events, breaks."""
    accepted = struct.pack(">iiqi", 0, 10_000, 7, 16) + bytes(16) + b"\0"
    def reply(xid, err=0, zxid=5):
        return b"\0" + struct.pack(">iqi", xid, zxid, err)
    def event(kind, path):
        return reply(-1, 0, 9) + struct.pack(">iii", kind, 3, len(path)) + path
    begin = [b"\0", b"\0" + accepted, reply(-4)]
    asked = [bytes([4, n]) for n in range(0x10, 0x15)]
    answered = [reply(n) for n in range(1, 5)] + [reply(5)]
    yield "events", begin + asked + answered + [event(kind, b"/a") for kind in (3, 4, 1, 2)]
    yield "restore", begin + asked + answered + [b"\3", *begin, reply(-8, 0, 8), event(3, b"/a"), bytes([4, 0x15]), reply(6)]
    yield "unsupported", begin + asked + answered + [b"\3", *begin, reply(-8, -6, -1), reply(6, -6, -1)]
    yield "expired", begin + asked + [b"\3", b"\0", b"\0" + bytes(8) + bytes(8) + struct.pack(">i", 16) + bytes(16) + b"\0"]
    yield "close", begin + asked + [b"\7\0", reply(1), reply(2), bytes([5, 3]), bytes([6, 200]), b"\7\1u:p", reply(-4, -115)]


def frames_of(vector):
    """What the clients of one vector send, in order: number of the connection, and the frame without its length."""
    sizes, frames, sending = {}, [], False
    for line in vector.read_text().splitlines():
        line = line.split(" ;")[0]
        start = re.match(r"(\d+)([<>]) (.*)", line)
        if start:
            sending = start.group(2) == ">"
            line = start.group(3)
            if sending:
                frames.append((int(start.group(1)), bytearray()))
        elif not line.startswith("   "):
            sending = False
            continue
        for name, size in VOLATILE.findall(line):
            if size:
                sizes[name] = int(size)
        if sending:
            frames[-1][1].extend(piece(line, sizes))
    return [(client, bytes(frame[4:])) for client, frame in frames if len(frame) > 8]


def piece(line, sizes):
    """The bytes of one line: hexadecimal, text in quotes, volatile parts."""
    found = bytearray()
    for word in re.findall(r'"(?:[^"\\]|\\.)*"|<[^>]*>|\S+', line):
        volatile = VOLATILE.fullmatch(word)
        if word.startswith('"'):
            found += word[1:-1].encode()
        elif volatile:
            found += bytes(int(volatile.group(2) or sizes.get(volatile.group(1), 8)))
        elif re.fullmatch(r"(?:[0-9a-f]{2})+", word):
            found += bytes.fromhex(word)
    return bytes(found)


def cut(frames):
    """Pieces as the targets read them: two bytes of length each."""
    return b"".join(struct.pack(">H", len(f)) + f for f in frames if len(f) < 0x10000)


def records_of(log):
    """The transactions in a log."""
    at, found = LOG_HEADER, []
    while at + RECORD_PREFIX <= len(log):
        (size,) = struct.unpack_from(">i", log, at + 8)
        if size <= 0:
            break
        found.append(log[at + RECORD_PREFIX : at + RECORD_PREFIX + size])
        at += RECORD_PREFIX + size + 1
    return found, at


def password_of(session):
    """The sixteen bytes of a session id (client protocol 3.1)."""
    mask, found = (1 << 48) - 1, b""
    state = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & mask
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & mask
        found += struct.pack("<I", state >> 16 & 0xFFFFFFFF)
    return found


def connect(session, password):
    """A connect request for a new session, or to go on with one."""
    return struct.pack(">iqiqi", 0, 0, 30000, session, len(password)) + password + b"\0"


def moved_session():
    """A session that wanders over three connections, with writes through the ones it left, and ends."""
    session = ((MEMBER_WALL_MS << 24 & (1 << 64) - 1) >> 8) | STANDALONE_ID << 56
    acl = struct.pack(">iii", 1, 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone"
    create = struct.pack(">iii", 1, 1, 2) + b"/e" + struct.pack(">i", 0) + acl + struct.pack(">i", 3)
    again, close = connect(session, password_of(session)), struct.pack(">ii", 2, -11)
    steps = [(0, connect(0, bytes(16))), (0, create), (1, create), (2, again), (0, create), (2, create)]
    return cut(bytes([kind]) + f for kind, f in [*steps, (4, again), (2, close), (4, create), (5, close), (4, again)])


def conversations_of(vector):
    """What went one way over each connection of servers, without SASL and images."""
    found, key = {}, None
    for line in vector.read_text().splitlines():
        if line.startswith("== "):
            _, port, conn, sender, _, _, name, _ = line.split(" ")
            key = None if name in ("AUTH", "NEXT", "SNAPSHOT_STREAM") else (port, f"{conn}-{sender}")
        elif key and re.fullmatch(r"[0-9a-f]+", line):
            found[key] = found.get(key, b"") + bytes.fromhex(line)
    return found


def main(target_dir):
    made = 0

    def seed(target, name, content):
        nonlocal made
        folder = target_dir / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        made += 1

    for vector in sorted((TESTDATA / "client").glob("*.hex")):
        frames = frames_of(vector)
        # An even kind syncs after the frame; two kinds per connection.
        seed("member", vector.stem, cut(bytes([2 * (client - 1)]) + frame for client, frame in frames))
        for number, (_, frame) in enumerate(frames):
            seed("request", f"{vector.stem}-{number}", frame)
    seed("member", "moved-session", moved_session())
    for name, story in client_stories():
        seed("client", name, cut(story))
    for log in sorted((TESTDATA / "disk").rglob("log.*")):
        if log.suffix == ".txt":
            continue
        content = log.read_bytes()
        records, end = records_of(content)
        seed("log", log.name, content[: end + 64])
        seed("txn", log.name, cut(records))
        for number, record in enumerate(records):
            seed("txn", f"{log.name}-{number}", cut([record]))
    kinds = {".gz": b"\1", ".snappy": b"\2"}
    for snapshot in sorted((TESTDATA / "disk").rglob("snapshot.*")):
        if snapshot.suffix != ".txt":
            seed("snapshot", snapshot.name, kinds.get(snapshot.suffix, b"\0") + snapshot.read_bytes())
    for vector in sorted((TESTDATA / "quorum").glob("*.hex")):
        for (port, conn), content in conversations_of(vector).items():
            seed("ballot" if port == "election" else "packet", f"{vector.stem}-{conn}", content)
    for kind, texts in TEXTS.items():
        for number, text in enumerate(texts):
            seed("acl_path", f"text-{kind}-{number}", bytes([kind]) + text.encode())
    for scheme, name in [("world", "anyone"), ("auth", ""), ("digest", "u:h="), ("ip", "10.0.0.0/8"), ("x509", "CN=a")]:
        entry = struct.pack(">i", 31) + b"".join(struct.pack(">i", len(t)) + t.encode() for t in (scheme, name))
        seed("acl_path", f"acl-{scheme}", b"\2" + entry)
    if made < 100:
        sys.exit(f"only {made} seeds: has the layout of testdata changed?")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
