#!/usr/bin/env python3
"""The ports between servers, as `ss` sees them and as learners find them: who listens, who connects to whom, and how many learners
a leader feeds at a time.
"""

import re
import subprocess

import servers
from jute import CLOSE_SESSION, CREATE, OPEN_ACL, Out, create
from members import JAVA, OURS, Ensemble
from report import Report, expect, expect_true, main, wait_until
from wire_abuse import ACK, ACK_EPOCH, DIFF, FOLLOWER_INFO, LEADER_INFO, OBSERVER_INFO, SNAP, Abuser, learner_info, make, packet

SIDS = (1, 2, 3)
LOOK_SECONDS = 15
TURN_SECONDS = 10
# One learner of each kind at a time; a learner without a history gets the whole state.
ONE_AT_A_TIME = {"zookeeper.leader.maxConcurrentSnapSyncs": 1, "zookeeper.leader.maxConcurrentDiffSyncs": 1,
                 "zookeeper.snapshotSizeFactor": -1}
SOCKET = re.compile(r"^(\S+)\s+\d+\s+\d+\s+\S+:(\d+)\s+\S+:(\S+)\s+.*pid=(\d+)")
EMPTY, STATE, DIFFERENCE = 0, "the whole state", "a difference"
OPENINGS = {SNAP: STATE, DIFF: DIFFERENCE}


# Who listens, who connects (S8)

def sockets(member):
    """(state, own port, port of the other side) of all TCP sockets of a member."""
    told = subprocess.run(["ss", "-H", "-t", "-a", "-n", "-p"], capture_output=True, text=True, check=True).stdout
    rows = [SOCKET.match(line) for line in told.splitlines()]
    return [(row[1], int(row[2]), row[3]) for row in rows if row and int(row[4]) == member.process.pid]


def listens_on(member):
    """Names of the ports on which it listens, as far as they belong to the ensemble."""
    names = {member.port: "client", member.quorum_port: "quorum", member.election_port: "election"}
    return sorted(names[port] for state, port, _ in sockets(member) if state == "LISTEN" and port in names)


def opened_to(member, port):
    """How many connections it has opened to this port."""
    return sum(1 for state, _, other in sockets(member) if state == "ESTAB" and other == str(port))


def picture(ensemble):
    """What `ss` shows of all members: {sid: ports on which it listens}, and {(from, to): connections} for both kinds of port."""
    running = ensemble.running()
    pairs = [(one, other) for one in running for other in running if one is not other]
    quorum = {(one.sid, other.sid): opened_to(one, other.quorum_port) for one, other in pairs}
    election = {(one.sid, other.sid): opened_to(one, other.election_port) for one, other in pairs}
    return {member.sid: listens_on(member) for member in running}, some(quorum), some(election)


def some(counts):
    return {pair: count for pair, count in counts.items() if count}


def expected(ensemble, leader):
    """The election port is open everywhere, the quorum port at the leader only; every other member has one connection to that;
    two members have one connection for elections, which the one with the higher id has opened."""
    sids = [member.sid for member in ensemble.running()]
    listening = {sid: ["client", "election"] + (["quorum"] if sid == leader else []) for sid in sids}
    quorum = {(sid, leader): 1 for sid in sids if sid != leader}
    return listening, quorum, {(one, other): 1 for one in sids for other in sids if one > other}


def is_as_it_should_be(ensemble):
    leader = ensemble.await_leader().sid
    wanted = expected(ensemble, leader)
    try:
        wait_until(lambda: picture(ensemble) == wanted, LOOK_SECONDS, "ports as they should be")
    except AssertionError:
        expect(picture(ensemble), wanted, f"listening, learners, elections, with leader {leader}")


def starts_one_by_one(ensemble, kind):
    """The member with the lowest id is the last: whoever has the lower id still does not keep the connection that it opens."""
    ensemble.start((3, kind), (2, kind), (1, kind))
    is_as_it_should_be(ensemble)


def leader_goes(ensemble):
    """Nobody listens for learners but the next leader, and the one that comes back is a learner."""
    gone = ensemble.await_leader()
    gone.kill()
    is_as_it_should_be(ensemble)
    gone.start().await_serving()
    is_as_it_should_be(ensemble)
    expect_true(ensemble.await_leader() is not gone, "another one leads")


# How many learners at a time

class Learner(Abuser):
    """Comes to the leader, with the history that ends at `last`; `fed` is how it is synchronized, None if it has to come again."""

    def __init__(self, leader, sid, last, info=OBSERVER_INFO):
        super().__init__(leader, leader.quorum_port)
        self.say(packet(info, make(0), learner_info(sid)))
        kind, zxid, _ = self.packet()
        expect(kind, LEADER_INFO, "first packet of a leader")
        self.epoch = zxid >> 32
        self.say(packet(ACK_EPOCH, last, bytes(Out().int(last >> 32))))
        try:
            self.fed = OPENINGS[self.packet()[0]]
        except (EOFError, ConnectionResetError):
            self.fed = None

    def is_done(self):
        self.say(packet(ACK, make(self.epoch)))


def last_zxid(leader):
    return int(re.search(r"^Zxid: 0x([0-9a-f]+)", leader.word("srvr"), re.M)[1], 16)


def comes_in(leader, sid, last):
    """An observer that comes until it is fed: a leader notices in its time that the one before is gone."""
    def fed():
        learner = Learner(leader, sid, last)
        if learner.fed:
            return learner
        learner.close()
        return None
    return wait_until(fed, TURN_SECONDS, f"observer {sid} has its turn")


def observers_take_turns(leader, last, how):
    """One is fed, the next one has to come again, until the first one has acknowledged, or is gone."""
    first = comes_in(leader, 101, last)
    expect((first.fed, Learner(leader, 102, last).fed), (how, None), "two observers")
    first.is_done()
    second = comes_in(leader, 102, last)
    expect(Learner(leader, 103, last).fed, None, "the third observer")
    second.close()
    third = comes_in(leader, 103, last)
    for learner in (first, third):
        learner.close()


def followers_do_not(leader, last, how):
    """A follower is fed at once, whoever is there, and is counted."""
    observer, follower = comes_in(leader, 101, last), Learner(leader, 1, last, FOLLOWER_INFO)
    expect((observer.fed, follower.fed), (how, how), "an observer and a follower")
    observer.close()
    for _ in range(5):
        expect(Learner(leader, 102, last).fed, None, "an observer while the follower is fed")
    follower.is_done()
    comes_in(leader, 102, last).close()
    follower.close()


def kinds_do_not_mix(leader, last):
    """A state takes no place from a difference."""
    state, difference = comes_in(leader, 101, EMPTY), comes_in(leader, 102, last)
    expect((state.fed, difference.fed), (STATE, DIFFERENCE), "one observer of each kind")
    state.close()
    difference.close()


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    servers.factory(options)
    kind = JAVA if options.server == "java" else OURS
    report = Report("ports between servers")
    with Ensemble(options.binary, SIDS) as ensemble:
        report.server = ensemble
        report.case("S8: who listens where, and who connects to whom", starts_one_by_one, ensemble, kind)
        report.case("S8: the same when the leader goes and comes back", leader_goes, ensemble)
    with Ensemble(options.binary, SIDS, settings=ONE_AT_A_TIME) as ensemble:
        report.server = ensemble
        leader = ensemble.start((3, kind), (2, kind))
        connection = leader.connect()
        connection.get(CREATE, create("/a", b"", OPEN_ACL, 0))
        connection.call(CLOSE_SESSION)
        connection.close()
        last = last_zxid(leader)
        for how, history in ((STATE, EMPTY), (DIFFERENCE, last)):
            report.case(f"observers that need {how} take turns", observers_take_turns, leader, history, how)
            report.case(f"followers that need {how} do not", followers_do_not, leader, history, how)
        report.case("states and differences have places of their own", kinds_do_not_mix, leader, last)
    return report.finish()


if __name__ == "__main__":
    main(run)
