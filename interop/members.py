"""Starts, stops, kills and watches the members of an ensemble: Rookeeper or Debian's Java 3.8.0, mixed as a script likes.

A member is a server id with its ports and its data directory. Which kind of server runs on them is said at each start, so
one kind can take over the directory of the other. `Ensemble` is a context: at its end all processes are killed and the
directories are gone.
"""

import os
import re
import shutil
import tempfile

import jute
import servers
from jute import EXISTS, GET_ACL, GET_CHILDREN, GET_DATA, SYNC, Closed, Connection
from process import ServerProcess, definitions, java_command, our_command
from report import expect, expect_true, wait_until

TICK_MS = 500
INIT_TICKS = 30
SYNC_TICKS = 6
SYNC_SECONDS = TICK_MS * SYNC_TICKS / 1000
SERVING_SECONDS = 40  # a Java member on a slow machine
EQUAL_SECONDS = 20
ASK_SECONDS = 3
WINDOW = 100  # requests in flight while a tree is read: times three
JAVA_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
JAVA_HEAP = "-Xmx256m"
JAVA_TELLS = "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.quorum.LearnerHandler=debug"
LOG_LINES = 6  # of each member, when a case failed
LOG_NOISE = ("\tat ", "Committing global session", "NIOServerCnxn", "EndOfStreamException", "global closeSession",
             "purge]")
JAVA, OURS = "java", "rookeeper"
# What each server's log says about how a learner was synchronized, by the learner and by the leader. Only Java's words count:
# they are the independent witness.
JAVA_LEARNED = {"DIFF": "Getting a diff from the leader", "SNAP": "Getting a snapshot from leader",
                "TRUNC": "Truncating log to get in sync"}
JAVA_SENT = {"DIFF": r"Sending DIFF zxid=\S+\s+for peer sid: {sid}\b", "SNAP": r"Sending snapshot last zxid of peer",
             "TRUNC": r"Sending TRUNC .*for peer sid:\s*{sid}\b"}


class Member(ServerProcess):
    """One server id. `host` and `prefix` (words before the command) put it into a network of its own."""

    def __init__(self, ensemble, sid, observer=False, host=servers.HOST, prefix=()):
        self.ensemble = ensemble
        self.sid = sid
        self.observer = observer
        self.host = host
        self.prefix = list(prefix)
        self.environment = {}
        self.kind = None
        self.work_dir = os.path.join(ensemble.work_dir, f"m{sid}")
        self.data_dir = os.path.join(self.work_dir, "data")
        self.log_path = os.path.join(self.work_dir, "log")
        self.log_start = 0
        os.makedirs(self.data_dir)
        self.port, self.quorum_port, self.election_port = (servers.free_port() for _ in range(3))

    def __str__(self):
        return f"{self.kind} {self.sid}"

    @property
    def line(self):
        role = "observer" if self.observer else "participant"
        return f"server.{self.sid}={self.host}:{self.quorum_port}:{self.election_port}:{role}"

    def start(self, kind=None):
        """Starts the process and returns at once. Without a kind: the same as before."""
        expect_true(not self.alive(), f"member {self.sid} is down before its start")
        self.kind = kind or self.kind
        os.makedirs(self.data_dir, exist_ok=True)
        with open(os.path.join(self.data_dir, "myid"), "w") as file:
            file.write(f"{self.sid}\n")
        config = os.path.join(self.work_dir, "zoo.cfg")
        with open(config, "w") as file:
            file.write(self._config())
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.spawn([*self.prefix, *self._command(config)], self.environment)
        return self

    def _config(self):
        own = {"dataDir": self.data_dir, "clientPort": self.port, "clientPortAddress": self.host}
        if self.observer:
            own["peerType"] = "observer"
        lines = [f"{key}={value}" for key, value in {**self.ensemble.config, **own}.items()]
        lines += [member.line for member in self.ensemble.members.values()]
        return "\n".join(lines) + "\n"

    def _command(self, config):
        words = definitions(self.ensemble.settings)
        if self.kind == OURS:
            return our_command(self.ensemble.binary, words, config)
        return java_command(JAVA_MAIN, [JAVA_HEAP, JAVA_TELLS, *words], config)

    def wipe(self):
        """All that it knew is gone, but its id."""
        shutil.rmtree(self.data_dir)

    def connect(self, timeout=30000, session=0, password=bytes(16), last_zxid=0, patience=jute.REPLY_SECONDS):
        nudge = self.nudge if self.kind == JAVA else None
        return Connection(self.port, timeout, session, password, last_zxid, host=self.host, patience=patience, nudge=nudge)

    def nudge(self):
        """A Java server before 3.8.1 that has one client may stand still until another one writes (ZOOKEEPER-4537)."""
        print(f"      {self} stands still: another session is begun there")
        try:
            Connection(self.port, host=self.host, patience=ASK_SECONDS).close()
        except (Closed, OSError):
            pass  # who waits tells

    def word(self, word):
        return servers.four_letter_word(self.port, word, ASK_SECONDS, self.host)

    def serves(self):
        """True when a client gets a session and an answer that went through the leader."""
        if not self.alive():
            raise AssertionError(f"{self} ended:\n" + "\n".join(self.log_tail()))
        try:
            connection = self.connect(patience=ASK_SECONDS)
        except (Closed, OSError):
            return False
        try:
            if connection.refused:
                return False
            reply, _ = connection.call(SYNC, jute.path_only("/"))
            connection.call(jute.CLOSE_SESSION)
            return reply.err == 0
        except (Closed, OSError):
            return False
        finally:
            connection.close()

    def await_serving(self, seconds=SERVING_SECONDS):
        wait_until(self.serves, seconds, f"{self} serves")
        return self

    def role(self):
        """leader, follower, observer; None when it has not found its place. Unlike `serves` this question writes nothing."""
        try:
            mode = re.search(r"^Mode: (\S+)", self.word("srvr"), re.M)
        except OSError:
            return None
        return mode and mode[1]

    def log(self, all_starts=False):
        """What it logged since its last start, or ever."""
        with open(self.log_path, errors="replace") as file:
            file.seek(0 if all_starts else self.log_start)
            return file.read()

    def log_tail(self, lines=servers.LOG_LINES):
        lines_told = [line[:servers.LOG_WIDTH] for line in self.log(True).splitlines()]
        kept = [line for line in lines_told if not any(word in line for word in LOG_NOISE)]
        return kept[-lines:]

    def digests(self):
        """zxid -> digest, as the word `hash` tells them for some zxids."""
        return dict(re.findall(r"^([0-9a-f]+): (\S+)$", self.word("hash"), re.M))

    def mismatches(self):
        """Digests of the leader that this member found different from its own."""
        count = re.search(r"^zk_digest_mismatches_count\s+(\d+)", self.word("mntr"), re.M)
        expect_true(count, f"{self} counts mismatches of digests")
        return int(count[1])


class Ensemble:
    """Members by server id. `observers`: which of `sids` are observers. `config`, `settings`: further lines and -D words."""

    member_class = Member

    def __init__(self, binary, sids, observers=(), config=None, settings=None, place=None):
        self.binary = os.path.abspath(binary)
        self.work_dir = tempfile.mkdtemp(prefix="rookeeper-ensemble-")
        self.config = {"tickTime": TICK_MS, "initLimit": INIT_TICKS, "syncLimit": SYNC_TICKS, "maxClientCnxns": 0,
                       "maxSessionTimeout": 60000, "4lw.commands.whitelist": "*", "admin.enableServer": "false",
                       **(config or {})}
        self.settings = dict(settings or {})
        self.members = {}
        for sid in sids:
            self.members[sid] = self.member_class(self, sid, sid in observers, **(place(sid) if place else {}))

    def __getitem__(self, sid):
        return self.members[sid]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members.values():
            member.kill()
        if servers.KEEP:
            print(f"kept: {self.work_dir}")
        else:
            shutil.rmtree(self.work_dir, ignore_errors=True)

    def running(self):
        return [member for member in self.members.values() if member.alive()]

    def start(self, leader, *others):
        """Starts (sid, kind) pairs so that the first one leads: it and the second form a quorum, then come the others."""
        for sid, kind in (leader, *others[:1]):
            self[sid].start(kind)
        self.await_all()
        for sid, kind in others[1:]:
            self[sid].start(kind)
        self.await_all()
        return self.expect_leader(leader[0])

    def await_all(self):
        for member in self.running():
            member.await_serving()

    def leader(self):
        """The one that leads, when there is exactly one."""
        leaders = [member for member in self.running() if member.role() == "leader"]
        return leaders[0] if len(leaders) == 1 else None

    def await_leader(self, seconds=SERVING_SECONDS):
        return wait_until(self.leader, seconds, "somebody leads")

    def expect_leader(self, sid):
        leader = self.await_leader()
        expect(leader.sid, sid, "leader")
        return leader

    def kill_all(self):
        for member in self.running():
            member.kill()

    def log_tail(self):
        """The ends of all logs, for a report of a failure."""
        lines = []
        for member in self.members.values():
            if member.alive():
                lines += [f"{member}:"] + member.log_tail(LOG_LINES)
        return lines

    def expect_equal(self):
        """Every member that runs has the same tree, the same digests where they tell any, and counted no mismatch."""
        wait_until(self._trees_equal, EQUAL_SECONDS, "equal trees")
        self.expect_no_mismatch()
        told = [(member, member.digests()) for member in self.running()]
        for (one, first), (other, second) in zip(told, told[1:]):
            differ = [zxid for zxid in first.keys() & second.keys() if first[zxid] != second[zxid]]
            expect(differ, [], f"zxids with different digests on {one} and {other}")

    def expect_no_mismatch(self):
        for member in self.running():
            expect(member.mismatches(), 0, f"mismatches of digests on {member}")

    def _trees_equal(self):
        trees = [tree_of(member) for member in self.running()]
        self.difference = first_difference(trees)
        return self.difference is None


def tree_of(member):
    """path -> (data, stat, acl, children), as this member shows it after a sync; without what a server makes itself."""
    connection = member.connect()
    connection.get(SYNC, jute.path_only("/"))
    tree, waiting = {}, ["/"]
    while waiting:
        paths, waiting = waiting[:WINDOW], waiting[WINDOW:]
        for path in paths:
            connection.send(GET_DATA, jute.path_watch(path, False))
            connection.send(GET_ACL, jute.path_only(path))
            connection.send(GET_CHILDREN, jute.path_watch(path, False))
        for path in paths:
            data, acl, children = (answer(connection, op, path) for op in (GET_DATA, GET_ACL, GET_CHILDREN))
            names = sorted(name for name in children["children"] if (path, name) != ("/", "zookeeper"))
            tree[path] = {"data": data["data"], "stat": data["stat"], "acl": acl["acl"], "children": names}
            waiting += [("" if path == "/" else path) + "/" + name for name in names]
    connection.call(jute.CLOSE_SESSION)
    connection.close()
    return tree


def answer(connection, op, path):
    reply = connection.receive()
    expect(reply.err, 0, f"error of {jute.OP_NAMES[op]} {path}")
    return jute.decode(op, reply.body)


def first_difference(trees):
    for other in trees[1:]:
        for path in sorted(trees[0].keys() | other.keys()):
            if trees[0].get(path) != other.get(path):
                return path, trees[0].get(path), other.get(path)
    return None


def java_synchronized(learner, leader):
    """Kinds of synchronization since the last start of the learner, as a Java server on either side logged them."""
    kinds = []
    if learner.kind == JAVA:
        kinds += [kind for kind, words in JAVA_LEARNED.items() if words in learner.log()]
    if leader.kind == JAVA:
        log = leader.log()
        kinds += [kind for kind, words in JAVA_SENT.items() if re.search(words.format(sid=learner.sid), log)]
    return kinds


def exists(connection, path):
    reply, _ = connection.call(EXISTS, jute.path_watch(path, False))
    return reply.err == 0
