#!/usr/bin/env python3
"""Plays the other members of an ensemble to one of ours, and lies: as a learner about its history, as a leader about everything.

Only one member is real at first; this script votes with it, becomes its follower or its leader, and breaks the protocol. Then
the true members start: the ensemble serves, with all that it had, and nothing of what the liar said.
"""

import re
import socket
import struct
import threading
import time

import jute
import servers
from jute import CREATE, EXISTS, OPEN_ACL, In, Out
from members import JAVA, OURS, SYNC_SECONDS, Ensemble, exists
from report import Report, expect, expect_true, main, wait_until
from wire_abuse import ACK_EPOCH, DIFF, FOLLOWER_INFO, HUGE, LEADER_INFO, LOOKING, NEW_LEADER, PROTOCOL, SNAP, TRUNC, UP_TO_DATE
from wire_abuse import Abuser, greeting, learner_info, make, notification, packet

SIDS = (1, 2, 3)
REAL = 2
PROPOSAL, COMMIT = 2, 4
CONFIG = {"syncLimit": 4, "initLimit": 8}
NODES = 20
VOTE_SECONDS = 10
LIE_SECONDS = 1.0  # for the member to do something about the lie
LISTEN_SECONDS = 15
FAR = 1000  # epochs ahead
HASTE_SECONDS = 2
TRIES = 40  # to reach a leader that offers too little, in that time


class Voter(threading.Thread):
    """Votes for `leader` with the real member, in its round, in the name of `sid`."""

    def __init__(self, ensemble, sid, leader):
        super().__init__(daemon=True)
        self.real, self.sid, self.leader = ensemble[REAL], sid, leader
        self.done = False
        self.sock = self.listener = None
        self.address = (ensemble[sid].host, ensemble[sid].election_port)
        if sid < REAL:  # the higher id opens the connection
            self.listener = socket.create_server(self.address)
            self.listener.settimeout(VOTE_SECONDS)

    def run(self):
        try:
            self.sock = self._meet()
            self.sock.settimeout(VOTE_SECONDS)
            while not self.done:
                self._answer()
        except (OSError, EOFError, struct.error):
            pass  # the member ended the connection, or the case is over

    def _meet(self):
        if self.listener:
            sock = self.listener.accept()[0]
            size = struct.unpack(">qqi", exactly(sock, 20))[2]
            exactly(sock, size)
            return sock
        wait_until(lambda: listens(self.real.host, self.real.election_port), VOTE_SECONDS, "the member listens for votes")
        sock = socket.create_connection((self.real.host, self.real.election_port), VOTE_SECONDS)
        sock.sendall(greeting(self.sid, f"{self.address[0]}:{self.address[1]}".encode()))
        return sock

    def _answer(self):
        """Gives back the vote that it hears, for another leader."""
        body = In(exactly(self.sock, struct.unpack(">i", exactly(self.sock, 4))[0]))
        state, _, zxid, round_number, epoch = body.int(), body.long(), body.long(), body.long(), body.long()
        if state == LOOKING:
            self.sock.sendall(notification(LOOKING, self.leader, zxid, round_number, epoch))

    def close(self):
        self.done = True
        for sock in (self.sock, self.listener):
            if sock:
                sock.close()


def exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def listens(host, port):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


class World:
    """An ensemble with a history, whose members start one by one."""

    def __init__(self, ensemble, kind):
        self.ensemble = ensemble
        ensemble.start((2, kind), (1, kind), (3, kind))
        connection = ensemble[1].connect()
        for number in range(NODES):
            reply, _ = connection.call(CREATE, jute.create(f"/kept{number}", b"", OPEN_ACL, 0))
        self.last = reply.zxid
        connection.close()
        ensemble.expect_equal()
        self.epoch = reply.zxid >> 32

    def lie(self, sid, leader, liar, *arguments):
        """Starts the real member, votes with it, and lets `liar` speak; then the true members come."""
        self.ensemble.kill_all()
        real = self.ensemble[REAL]
        voter = Voter(self.ensemble, sid, leader)
        voter.start()
        real.start()
        try:
            liar(self, real, *arguments)
            expect_true(real.alive(), "the member lives")
            expect_true(not real.serves(), "the member serves nobody")
        finally:
            voter.close()
        self.is_whole()

    def promises_and_comes_late(self):
        """The member promised more than the epoch in which others serve meanwhile: it tries without haste, and is in after the
        next election."""
        self.ensemble.kill_all()
        real, voter = self.ensemble[REAL], Voter(self.ensemble, 1, REAL)
        voter.start()
        real.start()
        try:
            promises_far_epoch(self, real, self.epoch + FAR)
        finally:
            voter.close()
            real.kill()
        leader = self.ensemble.start((3, None), (1, None))
        real.start()
        time.sleep(HASTE_SECONDS)
        tries = len(re.findall(r"no longer: the leader offers", real.log()))
        leader.kill()
        self.ensemble.await_all()
        self.is_whole()
        expect_true(tries <= TRIES, f"{tries} tries in {HASTE_SECONDS} s")

    def is_whole(self):
        for sid in SIDS:
            if not self.ensemble[sid].alive():
                self.ensemble[sid].start()
        self.ensemble.await_all()
        self.ensemble.expect_equal()
        for member in self.ensemble.running():
            connection = member.connect()
            missing = [n for n in range(NODES) if not exists(connection, f"/kept{n}")]
            expect(missing, [], f"nodes missing at {member}")
            expect_true(not exists(connection, "/lie"), f"the liar's node is not at {member}")
            connection.close()
        connection = self.ensemble[REAL].connect()
        reply, _ = connection.call(EXISTS, jute.path_watch("/", False))
        connection.close()
        self.epoch = reply.zxid >> 32


# As a follower of the real member

def as_follower(real):
    wait_until(lambda: listens(real.host, real.quorum_port), LISTEN_SECONDS, "the member leads")
    return Abuser(real, real.quorum_port)


def promises_far_epoch(world, real, epoch):
    """It says that it has promised an epoch far ahead."""
    follower = as_follower(real)
    follower.say(packet(FOLLOWER_INFO, make(epoch), learner_info(1)))
    time.sleep(LIE_SECONDS)
    follower.close()


def is_ahead_of_leader(world, real):
    """It says that its history is newer: the leader must not lead it."""
    follower = as_follower(real)
    follower.say(packet(FOLLOWER_INFO, make(world.epoch), learner_info(1)))
    kind, zxid, _ = follower.packet()
    expect(kind, LEADER_INFO, "answer")
    follower.say(packet(ACK_EPOCH, make((zxid >> 32) - 1, HUGE), bytes(Out().int((zxid >> 32) - 1))))
    expect_true(follower.is_closed(), "a follower that is ahead is sent away")
    follower.close()


def acknowledges_only_the_epoch(world, real):
    """It agrees to the epoch and then says nothing: the leader gives up in its time, and serves nobody."""
    follower = as_follower(real)
    follower.say(packet(FOLLOWER_INFO, make(world.epoch), learner_info(1)))
    _, zxid, _ = follower.packet()
    follower.say(packet(ACK_EPOCH, world.last, bytes(Out().int(world.epoch))))
    expect_true(follower.is_closed(LISTEN_SECONDS), "a leader without a quorum ends")
    follower.close()


# As the leader of the real member

def as_leader(world, answers):
    """Waits for the member as its leader would, and says these packets after its FOLLOWERINFO."""
    place = world.ensemble[3]
    with socket.create_server((place.host, place.quorum_port)) as listener:
        listener.settimeout(LISTEN_SECONDS)
        sock = listener.accept()[0]
        sock.settimeout(VOTE_SECONDS)
        info = exactly(sock, 20 + 20)
        expect(struct.unpack(">i", info[:4])[0], FOLLOWER_INFO, "first packet of a follower")
        try:
            sock.sendall(b"".join(bytes(answer) for answer in answers))
            sock.settimeout(SYNC_SECONDS)
            time.sleep(LIE_SECONDS)
        except OSError:
            pass  # refused at once
        sock.close()


def says(world, real, make_answers):
    as_leader(world, make_answers(world))


def hello(world, ahead=1):
    """LEADERINFO for a new epoch."""
    return packet(LEADER_INFO, make(world.epoch + ahead), bytes(Out().int(PROTOCOL)))


def proposal(zxid, path=b"/lie"):
    """A create, as a leader proposes it."""
    header = Out().long(1).int(1).long(zxid).long(1).int(CREATE)
    body = Out().buffer(path).buffer(b"").acl(OPEN_ACL).bool(False).int(1)
    return packet(PROPOSAL, zxid, bytes(header + body))


def new_leader(world, ahead=1):
    return packet(NEW_LEADER, make(world.epoch + ahead))


LEADER_LIES = {
    "garbage": lambda w: [b"\x99" * 500],
    "nothing": lambda w: [],
    "half a packet": lambda w: [bytes(hello(w))[:11]],
    "2 GB announced": lambda w: [Out().int(LEADER_INFO).long(make(w.epoch + 1)).int(HUGE)],
    "an epoch below what was promised": lambda w: [packet(LEADER_INFO, make(0), bytes(Out().int(PROTOCOL))), packet(DIFF, w.last)],
    "NEWLEADER before anything else": lambda w: [new_leader(w), packet(UP_TO_DATE, -1)],
    "NEWLEADER of another epoch": lambda w: [hello(w), packet(DIFF, w.last), packet(NEW_LEADER, make(w.epoch + 7))],
    "UPTODATE before NEWLEADER": lambda w: [hello(w), packet(DIFF, w.last), packet(UP_TO_DATE, -1)],
    "a DIFF with a hole": lambda w: [hello(w), packet(DIFF, w.last + 5), proposal(w.last + 5), packet(COMMIT, w.last + 5),
                                     new_leader(w)],
    "a commit of nothing": lambda w: [hello(w), packet(DIFF, w.last), packet(COMMIT, w.last + 1), new_leader(w)],
    "a transaction that is none": lambda w: [hello(w), packet(DIFF, w.last + 1), packet(PROPOSAL, w.last + 1, b"\xff" * 50),
                                             new_leader(w)],
    "a TRUNC to what never was": lambda w: [hello(w), packet(TRUNC, make(w.epoch + 90, 5)), new_leader(w)],
    "a SNAP of garbage": lambda w: [hello(w), packet(SNAP, w.last), b"\x77" * 3000],
    "a SNAP that ends early": lambda w: [hello(w), packet(SNAP, w.last), bytes(Out().string("ZKSN"))[4:], b"\0" * 12],
    "a SNAP of 2 GB announced": lambda w: [hello(w), packet(SNAP, w.last), Out().int(1), Out().long(1).int(1), Out().int(HUGE)],
}


def run():
    options = servers.arguments(__doc__.splitlines()[0], only={"help": "cases whose name contains this"}).parse_args()
    servers.factory(options)
    report = Report("one member among liars")
    with Ensemble(options.binary, SIDS, config=CONFIG) as ensemble:
        report.server = ensemble
        world = World(ensemble, JAVA if options.server == "java" else OURS)
        cases = [
            ("a follower is ahead of the leader", 1, REAL, is_ahead_of_leader),
            ("a follower agrees and falls silent", 1, REAL, acknowledges_only_the_epoch),
            *((f"a leader says {name}", 3, 3, says, lie) for name, lie in LEADER_LIES.items()),
            ("a follower promised the last epoch of all", 1, REAL, promises_far_epoch, HUGE),
            ("a follower promised an epoch far ahead", 1, REAL, promises_far_epoch, FAR),
        ]
        for name, *arguments in cases:
            if not options.only or options.only in name:
                report.case(name, world.lie, *arguments)
        late = "a follower promised an epoch far ahead, and the member comes late"
        if not options.only or options.only in late:
            report.case(late, world.promises_and_comes_late)
    return report.finish()


if __name__ == "__main__":
    main(run)
