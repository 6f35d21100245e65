#!/usr/bin/env python3
"""Debian's Java shell (zkCli.sh 3.8.0) against the server under test.

cli/NAME.in is typed into the shell on an empty server; what each command prints is compared with cli/NAME.txt, the
transcript of a 3.9.3 shell and server. The shell here is of 3.8.0, so what differs only because of the shell is listed
in `SHELL_38`. zxids in the transcripts are exact: every session, failed write
and successful write takes one. One-shot commands and two shells at once follow.
"""

import os
import re
import subprocess
import threading

import servers
from report import Report, expect, main, wait_until

SHELL = "/usr/share/zookeeper/bin/zkCli.sh"
SHELL_SECONDS = 60
TRANSCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cli")
# Typed after every command: their answers part the outputs of the commands, on either stream.
OUT_MARKER, OUT_MARK = "printwatches", re.compile(r"^printwatches is (on|off)$")
ERR_MARKER, ERR_MARK = "delete", re.compile(r"^delete \[-v version\] path$")
SETTINGS = {"ttl": {"zookeeper.extendedTypesEnabled": "true"}, "enforce": {"zookeeper.enforceQuota": "true"}}

PROMPT = re.compile(r"^\[zk: [^ ]+\(\w+\) \d+\] ?(.*)$")
NORMALIZE = [
    (re.compile(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d{2} \d{2}:\d{2}:\d{2} \S+ \d{4}"), "<DATE>"),
    (re.compile(r"0x[0-9a-f]{13,16}"), "<SESSION>"),
    (re.compile(r"^ZooKeeper CLI version: .*"), "ZooKeeper CLI version: <VERSION>"),
    (re.compile(r"(WatchedEvent .*) zxid: -?\d+$"), r"\1"),
]
UNORDERED = ("getEphemerals", "whoami")

# Commands whose output differs between the shells of 3.8.0 and 3.9.3 whatever the server: options -b and -x are newer,
# the usage text that unknown commands print lists other options, history shows the markers, and whether deleteall tells
# of its failure is a race in that shell.
SHELL_38 = {"deleteall /p2", "get -b /m1", "get -x /m8", "set /m1 b25l -b", "history", "help",
            "ls2 /t", "ls2 / watch", "rmr /t", "exists /t"}


def shell_command(server, *words):
    environment = {**os.environ, "CLIENT_JVMFLAGS": "-Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
                   "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    return ["sh", "-c", 'exec "$0" "$@"', SHELL, "-server", server.address, *words], environment


def normalize(line):
    for pattern, token in NORMALIZE:
        line = pattern.sub(token, line)
    return line


def take_events(lines):
    """Parts event lines from all others; drops blank lines, which belong to events as often as to outputs. The last event of a shell
    that quits is its own, and on a busy machine the process may end before it is printed: it is passed over."""
    events = [line for line in lines if line.startswith("WatchedEvent ")]
    others = [line for line in lines if line and line != "WATCHER::" and line not in events]
    return others, [event for event in events if "state:Closed" not in event]


def without_late(events, wanted):
    """The shell prints events on a thread of its own: one that came while `printwatches` was off may see it on again. Such an
    event, one more than was recorded, is passed over."""
    for at, event in enumerate(events):
        if len(events) == len(wanted) + 1 and events[:at] + events[at + 1:] == wanted and "NodeDataChanged" in event:
            return wanted
    return events


def read_transcript(name):
    """Commands, the output of each, and all events of the recorded session."""
    with open(os.path.join(TRANSCRIPTS, name + ".in"), encoding="utf-8") as file:
        commands = [line for line in file.read().split("\n") if line.strip()]
    with open(os.path.join(TRANSCRIPTS, name + ".txt"), encoding="utf-8") as file:
        lines, events = take_events([normalize(line) for line in file.read().split("\n")])
    outputs = []
    for line in lines:
        if PROMPT.match(line):
            outputs.append([])
        elif outputs and not line.startswith("[exit status") and line != commands[len(outputs) - 1]:
            outputs[-1].append(line)  # a line typed while an event came stands on a line of its own
    return commands, outputs, events


class Typed:
    """What one shell printed: per command its standard output and error, all events, and the exit status."""

    def __init__(self, server, commands):
        words, environment = shell_command(server)
        # The marker itself is its own mark when a transcript uses it.
        typed = "".join(f"{ERR_MARKER}\n{OUT_MARKER}\n" if command == OUT_MARKER else
                        f"{command}\n{ERR_MARKER}\n{OUT_MARKER}\n" for command in commands)
        done = subprocess.run(words, input=typed, capture_output=True, timeout=SHELL_SECONDS, env=environment,
                              encoding="utf-8")
        self.status = done.returncode
        out, self.events = take_events([normalize(line) for line in done.stdout.split("\n")])
        while out and not out.pop(0).startswith("JLine support is"):
            pass
        err = [normalize(line) for line in done.stderr.split("\n") if line and not line.startswith("SLF4J")]
        self.out, self.err = split(out, OUT_MARK), split(err, ERR_MARK)

    def matches(self, number, command, wanted):
        """Whether the transcript's output is an interleaving of what came on the two streams."""
        out, err, rest = self.out[number], self.err[number], list(wanted)
        if command.split()[0] in UNORDERED:
            return words_of(out + err) == words_of(wanted)
        for line in err:
            if line not in rest:
                return False
            rest.remove(line)
        return rest == out

    def output(self, number):
        return self.err[number] + self.out[number]


def split(lines, mark):
    parts = [[]]
    for line in lines:
        if mark.match(line):
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def words_of(lines):
    return sorted(word for line in lines for word in re.split(r"[\[\], ]+", line))


def play(report, name, make):
    commands, wanted, wanted_events = read_transcript(name)
    with make(settings=SETTINGS.get(name)) as server:
        report.server = server
        typed = Typed(server, commands)
    report.case(f"{name}: all commands were run", expect, (len(typed.out), len(typed.err)),
                (len(commands), len(commands)))  # quit: its markers are not read any more
    skipped = 0
    for number, command in enumerate(commands):
        name_of_case = f"{name}: {command}"
        if command in SHELL_38 or command == OUT_MARKER:
            skipped += 1
        elif number < min(len(typed.out), len(typed.err)) and not typed.matches(number, command, wanted[number]):
            report.fail(name_of_case, "\n      got      " + "\n               ".join(typed.output(number)) +
                        "\n      expected " + "\n               ".join(wanted[number]))
        else:
            report.ok(name_of_case)
    if skipped:
        print(f"skip  {name}: {skipped} commands that differ in the shell of 3.8.0, or are markers")
    events = without_late(typed.events, wanted_events) if "printwatches off" in commands else typed.events
    report.case(f"{name}: events", expect, events, wanted_events, "events")
    report.case(f"{name}: exit status", expect, typed.status, 0)


# One-shot commands and two shells

def one_shot(server, *words):
    command, environment = shell_command(server, *words)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SHELL_SECONDS,
                          env=environment, encoding="utf-8")
    out, _ = take_events([normalize(line) for line in done.stdout.split("\n")])
    err = [line for line in done.stderr.split("\n") if line and not line.startswith("SLF4J")]
    return done.returncode, [line for line in out if not line.startswith("Connecting to")], err


ONE_SHOTS = [
    (["ls", "/"], (0, ["[zookeeper]"], [])),
    (["create", "/one", "v"], (0, [], ["Created /one"])),
    (["create", "/one", "v"], (1, [], ["Node already exists: /one"])),
    (["get", "/one"], (0, ["v"], [])),
    (["set", "/one", "w"], (0, [], [])),
    (["get", "/one"], (0, ["w"], [])),
    (["sync", "/"], (0, ["Sync is OK"], [])),
    (["delete", "/one"], (0, [], [])),
    (["get", "/one"], (1, [], ["Node does not exist: /one"])),
]


class Shell:
    """A shell that stays open."""

    def __init__(self, server):
        words, environment = shell_command(server)
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=environment, encoding="utf-8")
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()
        self.wait("state:SyncConnected type:None")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(normalize(line.rstrip("\n")))

    def type(self, command, answer=None):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        if answer:
            self.wait(answer)

    def wait(self, text):
        wait_until(lambda: self.count(text), SHELL_SECONDS, f"the shell prints {text!r}; it printed {self.lines}")

    def count(self, text):
        return sum(text in line for line in list(self.lines))

    def end(self, kill=False):
        if kill:
            self.process.kill()
        else:
            self.type("quit")
        self.process.wait(SHELL_SECONDS)


def two_shells(server):
    """A watch in one shell, the changes in another; it fires once."""
    one, two = Shell(server), Shell(server)
    one.type("create /user \"u\"", "Created /user")
    one.type("ls -w /user", "[]")
    two.type("create /user/name \"tom\"", "Created /user/name")
    one.wait("WatchedEvent state:SyncConnected type:NodeChildrenChanged path:/user")
    two.type("create /user/second \"\"", "Created /user/second")
    one.type("get -w /user/name", "tom")
    two.type("set /user/name a")
    two.type("set /user/name b")
    two.type("sync /", "Sync is OK")
    one.wait("type:NodeDataChanged path:/user/name")
    one.type("sync /", "Sync is OK")
    expect((one.count("NodeDataChanged"), one.count("NodeChildrenChanged")), (1, 1), "events")
    one.end()
    two.end()


def ephemeral_ends_with_its_shell(server):
    """quit ends it at once, a killed shell after its session timeout."""
    one, two = Shell(server), Shell(server)
    one.type("create -e /eph x", "Created /eph")
    two.type("create -e /killed x", "Created /killed")
    one.end()
    expect(one_shot(server, "get", "/eph")[0], 1, "exit status after quit")
    two.end(kill=True)
    status, out, _ = one_shot(server, "get", "-s", "/killed")
    expect((status, out[0]), (0, "x"), "killed shell")


def shell_survives_restart(server):
    """The same session and its ephemeral after kill -9 of the server."""
    shell = Shell(server)
    shell.type("create -e /survivor here", "Created /survivor")
    server.restart()
    wait_until(lambda: shell.count("state:SyncConnected type:None") == 2, SHELL_SECONDS, "connected again")
    shell.type("getEphemerals", "[/survivor]")
    expect(shell.count("state:Expired"), 0)
    shell.end()
    expect(one_shot(server, "get", "/survivor")[0], 1, "exit status after quit")


def run():
    parser = servers.arguments(__doc__.splitlines()[0], only={"help": "run only the transcript of this name"})
    options = parser.parse_args()
    make = servers.factory(options)
    report = Report(f"zkCli.sh against {options.server}")
    names = sorted(n.removesuffix(".in") for n in os.listdir(TRANSCRIPTS) if n.endswith(".in"))
    for name in names:
        if options.only in (None, name):
            play(report, name, make)
    if not options.only:
        with make() as server:
            report.server = server
            for words, wanted in ONE_SHOTS:
                report.case("one-shot: " + " ".join(words), lambda: expect(one_shot(server, *words), wanted))
            report.case("two shells and watches [S58, S59]", two_shells, server)
            report.case("ephemerals and the end of a shell [S43, S57]", ephemeral_ends_with_its_shell, server)
            report.case("a shell and a restart of the server [S44]", shell_survives_restart, server)
    return report.finish()


if __name__ == "__main__":
    main(run)
