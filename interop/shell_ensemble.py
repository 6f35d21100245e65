"""What users do in the shell on several servers, and how the shell looks at them: cases for `shell.py`.

What lives here: the scenarios S40, S42, S44, S45 and S47, the recorded conversation about members (`testdata/shell`), and `top`.
"""

import os
import re
import time

import members
import servers
from members import JAVA, OURS, Ensemble
from report import expect, expect_true, wait_until
from shell_driver import EVENT, PROMPT, SHELL_SECONDS, Script, Terminal, one_shot

SIDS = (1, 2, 4)
COUNTER_BITS = 32
OPENINGS = 40  # shells until one is at the wanted server
RECORDED = os.path.join(servers.repository(), "testdata", "shell")
# Of the password "admin" of the user "super".
SUPER = {"zookeeper.DigestAuthenticationProvider.superDigest": "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="}
RECORDED_PORTS = {"26101": ("port", 1), "26102": ("port", 2), "26103": ("port", 3), "26104": ("port", 4),
                  "26111": ("quorum_port", 1), "26112": ("quorum_port", 2), "26113": ("quorum_port", 3), "26114": ("quorum_port", 4),
                  "26121": ("election_port", 1), "26122": ("election_port", 2), "26123": ("election_port", 3), "26124": ("election_port", 4)}
NEW_PORTS = ("26115", "26125")


class DynamicMember(members.Member):
    """Its port for clients stands in its line, so that clients and reconfigurations know it."""

    @property
    def line(self):
        return f"{super().line};{self.host}:{self.port}"

    def _config(self):
        lines = super()._config().splitlines()
        return "\n".join(line for line in lines if not line.startswith("clientPort")) + "\n"


class DynamicEnsemble(Ensemble):
    member_class = DynamicMember


class World:
    """An ensemble of one kind, and the shell."""

    def __init__(self, ensemble, kind, program):
        self.ensemble = ensemble
        self.kind = kind
        self.program = program

    def hosts(self, *sids):
        return ",".join(f"{servers.HOST}:{self.ensemble[sid].port}" for sid in sids)

    def script(self, *sids):
        return Script(self.program.words, "-server", self.hosts(*sids))

    def once(self, sid, *command):
        return one_shot(self.program.words, "-server", self.hosts(sid), *command)

    def session_at(self, sid):
        """The session of the only shell that is at this server; None when there is none."""
        found = re.findall(r"sid=0x([0-9a-f]+),", self.ensemble[sid].word("cons"))
        return int(found[0], 16) if found else None


def owner_tells_the_server(world):
    """S42 the top byte of an owner is the server that made the session"""
    for sid in (2, 4):
        with world.script(sid) as shell:
            expect(shell.say('create -e /oxox "asfasfdasf"'), ["Created /oxox"])
            owner = shell.stat("/oxox")["ephemeralOwner"]
            expect((owner >> 56, owner), (sid, world.session_at(sid)), "server and session")
            expect_true(re.search(rf"^0x{owner:x}:\n\t/oxox$", world.ensemble.leader().word("dump"), re.M), "dump tells of it")
            expect(shell.end(), 0)


def sessions_take_zxids(world):
    """S45 opening a session takes a zxid, closing one too"""
    with world.script(4) as shell:
        def create():
            return shell.stat(shell.create("-s /n"))["cZxid"]
        shell.create("/n")
        first = create()
        expect(create() - first, 1, "nothing between")
        first = create()
        with world.script(2) as other:
            expect(other.say("sync /"), ["Sync is OK"])
            expect(create() - first, 2, "another client connects on server 2")
            first = create()
            other.end()
        expect(create() - first, 2, "it closes its session")


def one_counter_for_all(world):
    """S47 sequence numbers are shared by all servers"""
    with world.script(2) as two, world.script(4) as four:
        before = two.create("-s /abc x")
        expect_true(re.fullmatch(r"/abc\d{10}", before), f"ten digits: {before}")
        for count, shell in enumerate((two, four, four, two), 1):
            expect(shell.create("-s /abc x"), f"/abc{int(before[4:]) + count:010}")
        two.end()
        four.end()


def the_server_dies(world):
    """S44 S40 the server dies: same session, ephemerals there; the new epoch counts from 1"""
    ensemble = world.ensemble
    leader = ensemble.await_leader()
    follower = min(member.sid for member in ensemble.running() if member is not leader)
    shell = shell_at(world, leader.sid, follower)
    with shell:
        shell.create("-e /moving here")
        before = shell.stat("/moving")
        epoch = before["cZxid"] >> COUNTER_BITS
        current = os.path.join(leader.data_dir, "version-2", "currentEpoch")
        with open(current, encoding="ascii") as file:
            expect(int(file.read()), epoch, "the high half of a zxid is the epoch")
        expect(before["ephemeralOwner"], world.session_at(leader.sid), "the session")
        leader.kill()
        # The first write of the new epoch: nobody else asks for anything until it is done.
        wait_until(lambda: len(shell.events("SyncConnected type:None")) == 2, SHELL_SECONDS, f"the shell moves: {shell.seen()}")
        first = shell.stat(shell.create("/first"))["cZxid"]
        expect(first, ((epoch + 1) << COUNTER_BITS) + 1, "zxid of the first write")
        expect(shell.stat("/moving"), before, "the ephemeral, its owner included")
        expect(shell.say("getEphemerals"), ["[/moving]"])
        expect(shell.events("Expired"), [])
        expect(world.session_at(follower), before["ephemeralOwner"], "the same session on another server")
        expect(shell.end(), 0)
    expect(world.once(follower, "get", "/moving"), (1, [], ["Node does not exist: /moving"]))
    leader.start()
    ensemble.await_all()


def shell_at(world, sid, other):
    """A shell that knows both servers and is at the first one. It chooses by itself."""
    for _ in range(OPENINGS):
        shell = world.script(sid, other)
        shell.say("sync /")
        if world.session_at(sid):
            return shell
        shell.end()
    raise AssertionError(f"no shell came to server {sid}")


def top_shows_all(world):
    """top and config show every member: roles, zxids, rates, and who is away"""
    ensemble = world.ensemble
    with world.script(2) as shell:
        told = shell.say("config -c")[0].partition(" ")[2].split(",")
        expect(sorted(told), sorted(world.hosts(*SIDS).split(",")), "addresses for clients")
        told = shell.say("config")
        expect_true(all(member.line in "\n".join(told) for member in ensemble.members.values()), f"lines {told}")
        expect_true(told[-1].startswith("version="), f"version {told}")
        def rows_of_all():
            return table(shell.say("top -n 1"))
        # The opening of this session is on its way to those that follow.
        wait_until(lambda: [row["behind"] for row in rows_of_all()] == ["0"] * len(SIDS), SHELL_SECONDS, "everybody has everything")
        rows = rows_of_all()
        expect({row["server"]: row["mode"] for row in rows}, {f"{servers.HOST}:{m.port}": m.role() for m in ensemble.members.values()})
    with Terminal(world.program.words, "-server", world.hosts(*SIDS)) as shell, world.script(4) as writer:
        shell.await_prompt(0)
        shell.keys("top -d 1\r")
        # Writes go on until two pictures in turn have seen them.
        deadline = time.monotonic() + SHELL_SECONDS
        rows = []
        while not any(row["in/s"].isdigit() and int(row["in/s"]) >= 5 for row in rows if row["server"].endswith(f":{ensemble[4].port}")):
            expect_true(time.monotonic() < deadline, f"a rate on server 4: {shell.lines()}")
            writer.create("-s /top x")
            rows = picture(shell)
        ensemble[1].kill()
        away = f"{servers.HOST}:{ensemble[1].port}"
        wait_until(lambda: any(row["server"] == away and row["zxid"] == "-" for row in picture(shell)), SHELL_SECONDS, f"server 1 is away: {shell.lines()}")
        shell.keys("\x03")
        shell.await_prompt(1)
        shell.end()
    ensemble[1].start()
    ensemble.await_all()


def table(lines):
    """Rows of a table by the names of its columns."""
    head = re.split(r"\s{2,}", lines[0].strip())
    return [dict(zip(head, re.split(r"\s{2,}", line.strip()))) for line in lines[1:] if line.strip()]


def picture(shell):
    """The rows that stand on a screen; none while it is drawn."""
    lines = shell.lines()
    at = max((number for number, line in enumerate(lines) if line.startswith("server ")), default=None)
    rows = table(lines[at:]) if at is not None else []
    return rows if len(rows) == len(SIDS) and all(len(row) > 3 for row in rows) else []


SCENARIOS = (owner_tells_the_server, sessions_take_zxids, one_counter_for_all, the_server_dies, top_shows_all)


def play(report, options, program):
    kind = JAVA if options.server == "java" else OURS
    chosen = [case for case in SCENARIOS if options.only in case.__doc__]
    if not chosen:
        return
    with DynamicEnsemble(options.binary, SIDS) as ensemble:
        report.server = ensemble
        report.case("an ensemble", ensemble.start, *((sid, kind) for sid in reversed(SIDS)))
        for case in chosen:
            report.case(case.__doc__, case, World(ensemble, kind, program))


# The recorded conversation about members

ZXID = re.compile(r"\b(0x|version=)?(1[0-9a-f]{8})\b")


def recorded_members():
    """Lines that were typed, and what came of each; long lines are wrapped in the recording."""
    with open(os.path.join(RECORDED, "ensemble-reconfig.in"), encoding="utf-8") as file:
        commands = file.read().splitlines()
    with open(os.path.join(RECORDED, "ensemble-reconfig.txt"), encoding="utf-8") as file:
        parts = PROMPT.split(EVENT.sub("", file.read()))
    outputs = []
    for command, part in zip(commands, parts[4::4], strict=True):
        shown = 0
        for letter in command.replace(" ", ""):
            shown = part.index(letter, shown) + 1
        outputs.append(part[shown:].strip("\n").splitlines())
    return list(zip(commands, outputs))


def comparable(command, lines, first):
    """Lines without dates, with zxids as a distance from the first one of the conversation, and lists in an order."""
    shown = []
    for line in lines:
        name, _, value = line.partition(" = ")
        if name in ("ctime", "mtime") and not value.endswith("1970"):
            line = f"{name} = <DATE>"
        line = ZXID.sub(lambda found: f"{found[1] or ''}first+{int(found[2], 16) - first}" if int(found[2], 16) >= first else found[0], line)
        shown.append(line)
    if command == "config -c":
        version, _, addresses = shown[0].partition(" ")
        shown = [version, *sorted(addresses.split(","))]
    return sorted(shown) if command == "whoami" else shown


def members_change(world):
    """reconfig and config as recorded"""
    ports = {old: str(getattr(world.ensemble[sid], name)) for old, (name, sid) in RECORDED_PORTS.items()}
    ports.update({old: str(servers.free_port()) for old in NEW_PORTS})
    recording = recorded_members()

    def now(text):
        return re.sub(r"\b26\d\d\d\b", lambda old: ports[old[0]], text)
    firsts = {}

    def first_of(who, lines):
        if who not in firsts and lines[:1] == ["Committed new configuration:"]:
            firsts[who] = int(lines[-1].partition("=")[2], 16)
        return firsts.get(who, 1 << 62)
    # Not at server 1, which closes its connections when its address changes.
    with world.script(2, 3) as shell:
        for command, wanted in recording:
            if command == "quit":
                break
            said = shell.say(now(command))
            wanted = [now(line) for line in wanted]
            expect(comparable(command, said, first_of("ours", said)), comparable(command, wanted, first_of("theirs", wanted)), command)
        expect(shell.end(), 0)
    expect(len(firsts), 2, "a first reconfiguration")


def play_members(report, options, program):
    """Our servers do not change their members yet: the conversation is held with Java's."""
    if options.only not in members_change.__doc__:
        return
    config = {"reconfigEnabled": "true"}
    with DynamicEnsemble(options.binary, (1, 2, 3, 4), observers=(4,), config=config, settings=SUPER) as ensemble:
        report.server = ensemble
        report.case("an ensemble whose members may change", ensemble.start, *((sid, JAVA) for sid in (3, 2, 1, 4)))
        report.case(members_change.__doc__, members_change, World(ensemble, JAVA, program))
