#!/usr/bin/env python3
"""Fills the disk below a running server: writes are refused, reads go on, and when there is space again writes resume by themselves.

A small tmpfs is mounted for the data directory, so this needs root. What was acknowledged must be there after a kill.
"""

import os
import subprocess
import tempfile

import jute
import servers
from jute import CREATE, EXISTS, GET_DATA, OPEN_ACL, SET_DATA, Closed, Connection
from report import Report, expect, expect_true, main, wait_until

DISK_MB = 48
PREALLOC_KB = 1024
SYSTEM_ERROR = -1
CHUNK = bytes(256 * 1024)
SECONDS = 20


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, megabytes=DISK_MB):
        if os.geteuid() != 0:
            raise SystemExit("disk_full.py: mounting a small disk needs root")
        self.path = tempfile.mkdtemp(prefix="rookeeper-disk-")
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", self.path]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            os.rmdir(self.path)
            raise SystemExit(f"disk_full.py: {' '.join(mount)}: {done.stderr.strip()}")

    def fill(self):
        """Takes every free byte away."""
        with open(os.path.join(self.path, "filler"), "ab", buffering=0) as file:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def free(self):
        os.remove(os.path.join(self.path, "filler"))

    def unmount(self):
        subprocess.run(["umount", "-l", self.path], check=False)
        os.rmdir(self.path)


def write_until_refused(connection):
    """Overwrites `/full` with growing numbers. Returns the last number acknowledged, and the error that ended it."""
    before = shown(connection)
    for number in range(before + 1, before + 2000):
        data = str(number).encode().ljust(len(CHUNK), b" ")
        reply, _ = connection.call(SET_DATA, jute.set_data("/full", data, -1))
        if reply.err:
            return number - 1, reply.err
    raise AssertionError("the disk does not become full")


def shown(connection):
    return int(connection.get(GET_DATA, jute.path_watch("/full", False))["data"])


def refused_session(server):
    try:
        return Connection(server.port).refused
    except Closed:
        return True


def resumes(connection, number):
    reply, _ = connection.call(SET_DATA, jute.set_data("/full", str(number).encode(), -1))
    return reply.err == 0


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    make = servers.factory(options)
    report = Report(f"a full disk below {options.server}")
    disk = SmallDisk()
    try:
        settings = {"zookeeper.preAllocSize": str(PREALLOC_KB), "zookeeper.snapCount": "40"}
        with make(settings=settings, data_dir=os.path.join(disk.path, "data")) as server:
            report.server = server
            rounds(report, server, disk)
    finally:
        disk.unmount()
    return report.finish()


def rounds(report, server, disk):
    writer, idle = Connection(server.port), Connection(server.port)
    writer.get(CREATE, jute.create("/full", b"0", OPEN_ACL, 0))
    for number in range(2):
        disk.fill()
        last, error = report.case(f"round {number}: writes are refused in the end", write_until_refused, writer) or (0, 0)
        report.case("the error is the one for systems", expect, error, SYSTEM_ERROR, "error")
        report.case("reads are served", expect, shown(writer), last, "data of the last acknowledged write")
        report.case("also over other connections", expect, shown(idle), last, "data")
        report.case("a new session is refused", expect_true, refused_session(server), "no session")
        report.case("an old session may move", moves, server, idle)
        idle = Connection(server.port, session=idle.session, password=idle.password)
        disk.free()
        report.case("writes resume by themselves", wait_until, lambda: resumes(writer, last + 1), SECONDS, "a write is accepted")
        report.case("new sessions too", lambda: Connection(server.port).get(EXISTS, jute.path_watch("/full", False)))
    disk.fill()
    last, _ = report.case("round 2: writes are refused again", write_until_refused, writer) or (0, 0)
    server.kill()
    disk.free()
    server.start()
    report.case("after a kill on the full disk everything acknowledged is there",
                lambda: expect(shown(Connection(server.port)), last, "data"))
    report.case("the clean stop", lambda: expect(server.terminate(), 0, "exit status"))


def moves(server, connection):
    moved = Connection(server.port, session=connection.session, password=connection.password)
    expect(moved.session, connection.session, "session")
    connection.session, connection.password = moved.session, moved.password


if __name__ == "__main__":
    main(run)
