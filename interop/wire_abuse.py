#!/usr/bin/env python3
"""Talks to the ports between servers as no server should: garbage, half packets, lies, silence.

Meanwhile clients write. After each case the same leader leads, writes go on, and where a fault is named below the logs name it.
In the end the members are no bigger than before.
"""

import os
import re
import socket
import struct
import time

import servers
from crowd import Crowd
from jute import In, Out
from members import JAVA, OURS, TICK_MS, Ensemble, Member
from report import Report, expect, expect_true, main, wait_until

SIDS = (1, 2, 3)
SYNC_TICKS = 6
INIT_TICKS = 8
INIT_SECONDS = TICK_MS * INIT_TICKS / 1000
STRANGER = 77
ANSWER_SECONDS = 5
CLOSE_SECONDS = INIT_SECONDS + 5
CROWD = 100  # connections that say nothing
ROUNDS = 200  # connections of those that come again and again
GROWTH_KB = 64 * 1024
HUGE = 0x7FFFFFFF
FAR_EPOCH = 0x7FFFFFF0

FOLLOWER_INFO, OBSERVER_INFO, LEADER_INFO, ACK_EPOCH, ACK, PING, REQUEST, REVALIDATE = 11, 16, 17, 18, 3, 5, 1, 6
NEW_LEADER, UP_TO_DATE, DIFF, TRUNC, SNAP = 10, 12, 13, 14, 15
PROTOCOL = 0x10000
V1 = -65536
LOOKING, LEADING = 0, 2


def packet(kind, zxid, data=None):
    return Out().int(kind).long(zxid).buffer(data).int(-1)


def learner_info(sid, protocol=PROTOCOL, version=0):
    return bytes(Out().long(sid).int(protocol).long(version))


def make(epoch, counter=0):
    return epoch << 32 | counter


class Abuser:
    """One raw connection to a port between servers."""

    def __init__(self, member, port):
        self.sock = socket.create_connection((member.host, port), timeout=ANSWER_SECONDS)
        self.own_port = self.sock.getsockname()[1]
        self.pending = b""

    def say(self, data):
        """Sends; true while the other side takes it."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def read(self, size, seconds=ANSWER_SECONDS):
        self.sock.settimeout(seconds)
        while len(self.pending) < size:
            chunk = self.sock.recv(65536)
            if not chunk:
                raise EOFError
            self.pending += chunk
        piece, self.pending = self.pending[:size], self.pending[size:]
        return piece

    def packet(self):
        """(kind, zxid, data) of a leader's packet."""
        kind, zxid, size = struct.unpack(">iqi", self.read(16))
        data = self.read(size) if size > 0 else b""
        expect(self.read(4), b"\xff\xff\xff\xff", "authinfo of a leader's packet")
        return kind, zxid, data

    def is_closed(self, seconds=CLOSE_SECONDS):
        """True when the other side ends the connection in this time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sock.settimeout(max(0.05, end - time.monotonic()))
            try:
                if not self.sock.recv(65536):
                    return True
            except socket.timeout:
                return False
            except OSError:
                return True
        return False

    def close(self):
        self.sock.close()


class World:
    def __init__(self, ensemble, crowd):
        self.ensemble, self.crowd = ensemble, crowd
        self.leader = ensemble.await_leader()

    def learner(self):
        return Abuser(self.leader, self.leader.quorum_port)

    def voter(self, member=None):
        member = member or self.leader
        return Abuser(member, member.election_port)

    def follower(self):
        return next(member for member in self.ensemble.running() if member is not self.leader)

    def goes_on(self):
        """Nobody noticed: the same leader, and every client gets answers."""
        self.crowd.await_progress()
        expect(self.ensemble.await_leader().sid, self.leader.sid, "leader")

    def logged(self, words, member=None):
        """The log has a line with these words (a pattern)."""
        member = member or self.leader
        wait_until(lambda: re.search(words, member.log()), ANSWER_SECONDS, f"{member} logs {words!r}")


def refused(world, open_port, data, named=True):
    """The bytes end the connection, and the log names whose it was. Not `named`: one of its kind was named just before."""
    abuser = open_port()
    abuser.say(data)
    expect_true(abuser.is_closed(), "the connection is closed")
    if named:
        world.logged(rf"WARN.*:{abuser.own_port}\b")
    abuser.close()
    world.goes_on()


def half(world, open_port, data):
    """Half of a packet and then the end, again and again."""
    for _ in range(ROUNDS):
        abuser = open_port()
        abuser.say(data[:len(data) // 2])
        abuser.close()
    world.goes_on()


def silent(world, open_port):
    """Many connections that say nothing are closed in their time."""
    crowd = [open_port() for _ in range(CROWD)]
    world.goes_on()
    open_still = [abuser for abuser in crowd if not abuser.is_closed()]
    expect(len(open_still), 0, "silent connections that are still open")
    for abuser in crowd:
        abuser.close()
    world.goes_on()


def impostor(world, sid, kind=FOLLOWER_INFO, epoch=0, protocol=PROTOCOL):
    """Says that it is a learner with this id; returns the connection after LEADERINFO, None if it was refused."""
    abuser = world.learner()
    abuser.say(packet(kind, make(epoch), learner_info(sid, protocol)))
    try:
        answer, zxid, data = abuser.packet()
    except (EOFError, OSError):
        abuser.close()
        return None
    expect(answer, LEADER_INFO, "answer to a learner")
    expect(struct.unpack(">i", data)[0], PROTOCOL, "protocol")
    return abuser, zxid >> 32


def lies_about_accepted_epoch(world, sid):
    """A learner that promised a far later epoch to somebody: it is not let in, or it learns the real one."""
    let_in = impostor(world, sid, epoch=FAR_EPOCH)
    if let_in:
        expect_true(let_in[1] < FAR_EPOCH, "the ensemble keeps its epoch")
        let_in[0].close()
    world.goes_on()


def is_ahead(world, sid):
    """A learner whose history is newer than the leader's, by its own words."""
    let_in = impostor(world, sid)
    if let_in:
        abuser, epoch = let_in
        abuser.say(packet(ACK_EPOCH, make(epoch + 5, 9), bytes(Out().int(epoch + 5))))
        expect_true(abuser.is_closed(), "a learner that is ahead is sent away")
        abuser.close()
    world.goes_on()


def acknowledges_what_nobody_proposed(world):
    """An observer that joins properly, then acknowledges the future, repeats itself and sends what only leaders send."""
    abuser, epoch = impostor(world, STRANGER, OBSERVER_INFO)
    abuser.say(packet(ACK_EPOCH, 0, bytes(Out().int(epoch))))
    abuser.say(packet(ACK, make(epoch)))
    for zxid in (make(epoch, HUGE), make(FAR_EPOCH, 1), -1, 0):
        abuser.say(packet(ACK, zxid))
    for kind in (NEW_LEADER, UP_TO_DATE, DIFF, TRUNC, SNAP, 99, -7):
        abuser.say(packet(kind, make(FAR_EPOCH)))
    world.goes_on()
    abuser.close()
    world.goes_on()


def sends_bad_requests(world):
    """An observer that joins properly, then forwards requests that cannot be understood."""
    abuser, epoch = impostor(world, STRANGER, OBSERVER_INFO)
    abuser.say(packet(ACK_EPOCH, 0, bytes(Out().int(epoch))))
    abuser.say(packet(ACK, make(epoch)))
    create, multi = (bytes(Out().long(1).int(1).int(op)) for op in (1, 14))
    for body in (b"", b"\0", os.urandom(40), create + b"\xff" * 30, multi + b"\x7f" * 64):
        for kind in (REQUEST, REVALIDATE, PING):
            abuser.say(packet(kind, -1, body))
    abuser.close()
    world.goes_on()


def hangs(world):
    """A learner that reads nothing any more loses its connection, and costs no memory beyond a bound."""
    abuser, epoch = impostor(world, STRANGER, OBSERVER_INFO)
    abuser.say(packet(ACK_EPOCH, 0, bytes(Out().int(epoch))))
    abuser.say(packet(ACK, make(epoch)))
    time.sleep(TICK_MS * SYNC_TICKS / 1000 + 1)
    world.goes_on()
    world.logged(rf"(WARN|INFO).*:{abuser.own_port}\b")
    abuser.close()


def greeting(sid, address=b"127.0.0.1:1", first=V1):
    return bytes(Out().long(first).long(sid).buffer(address))


def notification(state, leader, zxid, round_number, epoch, tail=b""):
    body = Out().int(state).long(leader).long(zxid).long(round_number).long(epoch).int(2).buffer(b"") + tail
    return bytes(Out().int(len(body))) + bytes(body)


def votes(world, sid, frames):
    """Notifications in the name of this id, at every member."""
    for member in world.ensemble.running():
        abuser = world.voter(member)
        abuser.say(greeting(sid) + b"".join(frames))
        time.sleep(0.2)
        abuser.close()
    world.goes_on()


def same_id_twice(world):
    """A second process with the id of a follower, and another directory: the ensemble goes on."""
    follower = world.follower()
    double = Member(world.ensemble, f"{follower.sid}-double")
    double.sid = follower.sid
    runs_beside(world, double)


def not_in_the_configuration(world):
    """A process that believes it is a member, while nobody else knows it."""
    stranger = Member(world.ensemble, 9)
    runs_beside(world, stranger, extra=stranger.line)


def runs_beside(world, member, extra=""):
    plain = member._config
    member._config = lambda: plain() + extra + "\n"
    member.start(OURS)
    try:
        for _ in range(3):
            world.crowd.await_progress()
            time.sleep(1)
    finally:
        if member.alive():
            member.kill()
    world.ensemble.await_all()
    world.crowd.await_progress()
    world.leader = world.ensemble.await_leader()


def memory_kb(member):
    with open(f"/proc/{member.process.pid}/status") as file:
        return int(re.search(r"^VmRSS:\s+(\d+)", file.read(), re.M)[1])


def learner_cases(world):
    open_port = world.learner
    info = bytes(packet(FOLLOWER_INFO, 0, learner_info(2)))
    return [
        ("2888: garbage", refused, open_port, os.urandom(4096)),
        ("2888: a client's greeting", refused, open_port, struct.pack(">iiqiqi16s", 44, 0, 0, 40000, 0, 16, bytes(16))),
        ("2888: a request of HTTP", refused, open_port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("2888: data of 2 GB announced", refused, open_port, bytes(Out().int(FOLLOWER_INFO).long(0).int(HUGE))),
        ("2888: a negative length", refused, open_port, bytes(Out().int(FOLLOWER_INFO).long(0).int(-5).int(-1))),
        ("2888: 2^31 identities announced", refused, open_port, info[:-4] + bytes(Out().int(HUGE))),
        ("2888: PING before anything else", refused, open_port, bytes(packet(PING, 0))),
        ("2888: ACK before anything else", refused, open_port, bytes(packet(ACK, make(1, 1)))),
        ("2888: data of a learner that is too short", refused, open_port, bytes(packet(FOLLOWER_INFO, 0, b"\0\0"))),
        ("2888: halves", half, open_port, info),
        ("2888: silence", silent, open_port),
    ]


def voter_cases(world):
    open_port = world.voter
    vote = notification(LOOKING, 2, make(FAR_EPOCH), 1, FAR_EPOCH)
    for_nobody = notification(LOOKING, STRANGER, make(FAR_EPOCH), 1, FAR_EPOCH)
    leads = notification(LEADING, 3, make(FAR_EPOCH), HUGE, FAR_EPOCH)
    return [
        ("3888: garbage", refused, open_port, b"\xfe" + os.urandom(4096)),
        ("3888: a request of HTTP", refused, open_port, b"\xff\xff\xff\xff\xff\xff\x00\x05 / HTTP/1.1\r\nHost: a\r\n\r\n", False),
        ("3888: an address of 2 GB announced", refused, open_port, bytes(Out().long(V1).long(2).int(HUGE)), False),
        ("3888: an address of negative length", refused, open_port, bytes(Out().long(V1).long(2).int(-1)), False),
        ("3888: a version of the protocol that nobody knows", refused, open_port, greeting(2, first=-77), False),
        ("3888: an id that nobody knows", refused, open_port, greeting(STRANGER)),
        ("3888: the leader's own id", refused, open_port, greeting(world.leader.sid)),
        ("3888: a negative id", refused, open_port, greeting(-9), False),
        ("3888: halves", half, open_port, greeting(3)),
        ("3888: silence", silent, open_port),
        ("3888: a message of 2 GB announced", votes, 3, [bytes(Out().int(HUGE))]),
        ("3888: a message of length 0", votes, 3, [bytes(Out().int(0))]),
        ("3888: a message of negative length", votes, 3, [bytes(Out().int(-1))]),
        ("3888: half a message", votes, 3, [vote[:20]]),
        ("3888: a state that does not exist", votes, 3, [notification(99, 3, 0, 1, 1)]),
        ("3888: a vote for a server that does not exist", votes, 3, [for_nobody]),
        ("3888: a vote from a far epoch", votes, 3, [vote]),
        ("3888: somebody who says that it leads in a far round", votes, 3, [leads]),
        ("3888: a configuration that is none", votes, 3, [notification(LOOKING, 3, 0, 1, 1, os.urandom(600))]),
        ("3888: a thousand votes", votes, 3, [vote] * 1000),
    ]


def liar_cases(world):
    follower = world.follower().sid
    return [
        ("a learner with an id of nobody lies about its epoch", lies_about_accepted_epoch, STRANGER),
        ("a learner with the leader's id lies about its epoch", lies_about_accepted_epoch, world.leader.sid),
        ("a learner with a follower's id lies about its epoch", lies_about_accepted_epoch, follower),
        ("a learner with an id of nobody is ahead of the leader", is_ahead, STRANGER),
        ("a learner with the leader's id is ahead of the leader", is_ahead, world.leader.sid),
        ("a learner with a follower's id is ahead of the leader", is_ahead, follower),
        ("an observer acknowledges what nobody proposed", acknowledges_what_nobody_proposed),
        ("an observer forwards requests that are none", sends_bad_requests),
        ("an observer hangs", hangs),
        ("a second process has a follower's id", same_id_twice),
        ("a process that is not in the configuration", not_in_the_configuration),
    ]


def run():
    parser = servers.arguments(__doc__.splitlines()[0], only={"help": "cases whose name contains this"})
    options = parser.parse_args()
    servers.factory(options)
    report = Report("bad words between servers")
    config = {"syncLimit": SYNC_TICKS, "initLimit": INIT_TICKS}
    with Ensemble(options.binary, SIDS, config=config) as ensemble:
        report.server = ensemble
        # The leader is in the middle: votes come in the name of a higher and of a lower id.
        kind = JAVA if options.server == "java" else OURS
        report.case("three members elect a leader", ensemble.start, (2, kind), (1, kind), (3, kind))
        crowd = Crowd(ensemble)
        world = World(ensemble, crowd)
        crowd.await_progress()
        before = {member.sid: memory_kb(member) for member in ensemble.running()}
        for name, work, *arguments in learner_cases(world) + voter_cases(world) + liar_cases(world):
            if not options.only or options.only in name:
                report.case(name, work, world, *arguments)
                world.leader = ensemble.await_leader()
        report.case("memory does not grow", is_no_bigger, ensemble, before)
        report.case("no client met a contradiction, no session was lost", crowd.stop)
        report.case("equal trees and digests", ensemble.expect_equal)
        note = report.case("the history is linearizable", crowd.judge, ensemble)
        print(f"      {note}")
    return report.finish()


def is_no_bigger(ensemble, before):
    grown = {member.sid: memory_kb(member) - before[member.sid] for member in ensemble.running()}
    expect_true(max(grown.values()) < GROWTH_KB, f"grown by {grown} KB")


if __name__ == "__main__":
    main(run)
