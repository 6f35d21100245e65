#!/usr/bin/env python3
"""What users do in the shell, with ours: the acceptance scenarios S30 to S66 by their numbers, on a terminal or on a pipe.

Each case is one scenario, and checks each sentence of what is expected there. Here are those about the shell itself: its lines, its
sessions, its events. Those about nodes are in `shell_nodes.py`, those that need several servers in `shell_ensemble.py`; `shell_driver.py`
types and reads. With `--server java` the shell also speaks TLS (`shell_tls.py`), and changes the members of an ensemble.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

from kazoo.client import KazooClient

import servers
import shell_ensemble
import shell_nodes
import shell_tls
from report import Report, expect, expect_true, main, wait_until
from shell_driver import PROMPT, SHELL_SECONDS, Program, Terminal
from shell_world import CONNECTED, World

TICK_MS = 500
SHORT_SESSION_MS = 2000
BUSY_SECONDS = 4  # how much later than promised a thing may be seen on a machine that has much to do
SLOW_SECONDS = 1.5  # of a server that stands still, longer than an interrupted command may take to end
DEFAULT_PORT = 2181
WELCOME = ["Welcome to ZooKeeper!", "JLine support is enabled"]


# Sessions

def first_lines(world):
    """S31 the first lines of a shell, its event, its timeout"""
    with world.terminal() as shell:
        shell.await_prompt(0)
        lines = shell.lines()
        expect(lines[:3], [f"Connecting to {world.server.address}", *WELCOME])
        expect(shell.events(), [CONNECTED])
        # The event is all that may stand between the first lines and the prompts.
        rest = [line for line in lines[3:] if line and line not in ("WATCHER::", CONNECTED)]
        expect([PROMPT.match(line + " ") is not None for line in rest], [True] * len(rest), f"prompts {rest}")
        expect(re.findall(r"\bto=(\d+)", world.word("cons")), ["30000"], "negotiated timeout")
        # An empty line does not count.
        shell.keys("\r")
        shell.await_line(lambda _: len(shell.lines()) == len(lines) + 1)
        shell.await_prompt(0)
        expect(shell.end(), 0)


def session_lines(world):
    """S72 the log of the shell tells of its session, when it is asked to"""
    with world.script() as shell:
        expect([line for line in shell.seen().splitlines() if "INFO" in line or "environment" in line], [], "unasked lines")
    with world.script(env={"CLIENT_JVMFLAGS": "-Xmx64m -Dzookeeper.console.threshold=INFO"}) as shell:
        shell.create("-e /logged")
        owner = shell.stat("/logged")["ephemeralOwner"]
        host, port = world.server.address.split(":")
        for wanted in (r"Client environment:\S+=.*", rf"Initiating client connection, connectString={host}:{port} sessionTimeout=30000\b.*",
                       rf"Session establishment complete on server \S*{host}:{port}, session id = 0x{owner:x}, negotiated timeout = 30000"):
            expect_true(re.search(rf" INFO .*{wanted}$", shell.seen(), re.M), f"{wanted} in {shell.seen()}")
        expect(shell.end(), 0)


def ends_of_sessions(world):
    """S43 an ephemeral is gone at once after quit, after kill -9 when the session's timeout is over"""
    expect(world.once("create", "/life")[0], 0)
    with world.script() as shell:
        shell.create("-e /life/quit x")
        expect(shell.end(), 0)
    expect(world.once("ls", "/life")[1], ["[]"], "after quit")
    with world.script() as shell:
        shell.create("-e /life/input x")
        shell.end(line=None)
    expect(world.once("ls", "/life")[1], ["[]"], "after the end of the input")
    shell = world.script("-timeout", str(SHORT_SESSION_MS))
    shell.create("-e /life/killed x")
    shell.kill()
    begin = time.monotonic()
    with world.script() as other:
        expect(other.say("ls /life"), ["[killed]"], "right after kill -9")
        wait_until(lambda: other.say("ls /life") == ["[]"], SHELL_SECONDS, "the end of the killed session")
    waited, latest = time.monotonic() - begin, (SHORT_SESSION_MS + TICK_MS) / 1000
    # A heartbeat may have come a third of the timeout before the kill.
    expect_true(SHORT_SESSION_MS / 2000 < waited < latest + BUSY_SECONDS, f"gone after {waited:.1f} s")


# Watches

def child_watch(world):
    """S58 a watch on children fires once, above the line that is being typed"""
    world.once("create", "/user")
    with world.terminal() as one, world.script() as two, world.script() as three:
        one.await_prompt(0)
        expect(one.enter("ls -w /user"), ["[]"])
        expect(three.say("ls -w /user"), ["[]"])
        one.keys("get /us")
        one.await_line(lambda line: line.endswith("get /us"))
        before = len(one.lines())
        two.create('/user/name "tom"')
        zxid = two.stat("/user")["pZxid"]
        wanted = world.event("NodeChildrenChanged", "/user", zxid)
        expect(one.await_events(1, "/user"), [wanted])
        line = one.await_line(lambda line: line.endswith("get /us"))
        expect(one.lines()[before - 1:], ["", "WATCHER::", "", wanted, line], "the line is drawn again below the event")
        two.create("/user/second")
        # On the pipe the form is the same; the second create fires nothing.
        expect(three.await_events(1, "/user"), [wanted])
        expect(three.say("sync /"), ["Sync is OK"])
        one.keys("er\r")
        one.await_prompt(2)
        expect(one.lines()[-2], "null")
        expect((len(one.events("/user")), len(three.events("/user"))), (1, 1), "events")
        expect(one.end(), 0)


def data_watch(world):
    """S59 two sets, one event"""
    with world.script() as one, world.script() as two:
        expect(one.say("get -w /user/name"), ["tom"])
        two.say("set /user/name a")
        zxid = two.stat("/user/name")["mZxid"]
        two.say("set /user/name b")
        expect(one.await_events(1, "NodeDataChanged"), [world.event("NodeDataChanged", "/user/name", zxid)])
        one.say("sync /")
        expect(one.say("get /user/name"), ["b"])
        expect(len(one.events("/user/name")), 1)


def old_watches(world):
    """S60 the third word watch sets a watch and says what is new"""
    told = {"stat": "'stat path [watch]' has been deprecated. Please use 'stat [-w] path' instead.",
            "get": "'get path [watch]' has been deprecated. Please use 'get [-s] [-w] path' instead.",
            "ls": "'ls path [watch]' has been deprecated. Please use 'ls [-w] path' instead."}
    with world.script() as one, world.script() as two:
        for count, name in enumerate(told):
            two.create(f"/old{name}")
            expect(one.say(f"{name} /old{name} watch")[0], told[name])
            if name == "ls":
                two.create(f"/old{name}/child")
            else:
                two.say(f"set /old{name} x")
            kind = "NodeChildrenChanged" if name == "ls" else "NodeDataChanged"
            one.await_events(1, f"type:{kind} path:/old{name}")
            expect(len(one.events("path:/")), count + 1)
            two.say(f"deleteall /old{name}")


# Lines

def help_lists(world):
    """S32 help lists the commands, and the names of 3.4 work"""
    recorded = os.path.join(servers.repository(), "testdata", "shell", "errors.txt")
    with open(recorded, encoding="utf-8") as file:
        known = {line.rstrip("\n") for line in file if line.startswith("\t")}
    expect_true(len(known) > 20, "commands of 3.9.3")
    status, out, err = world.once("help")
    expect((status, err, known - set(out)), (0, [], set()), "help")
    expect(out[1:], sorted(out[1:]), "the list is sorted")
    status, out, err = world.once("help", "create")
    expect((status, err, out[0]), (0, [], "create [-s] [-e] [-c] [-t ttl] path [data] [acl]"))
    status, out, err = world.once("no-such-command")
    expect((status, out, err[-1]), (127, [], "Command not found: Command not found no-such-command"))
    for name, told in shell_nodes.OLD_NAMES_PRINT.items():
        world.once("create", "/old")
        status, _, err = world.once(name, "/old")
        expect((status, err), (0, [told]), name)
    world.once("deleteall", "/old")


def lines_again(world):
    """S63 history, redo, printwatches off, connect, close"""
    with world.terminal() as shell:
        shell.await_prompt(0)
        for number in range(3):
            shell.enter(f"create /h{number} {number}")
        expect(shell.enter("get /h1"), ["1"])
        expect(shell.enter("redo 3"), ["1"])
        expect(shell.enter("history"), ["0 - create /h0 0", "1 - create /h1 1", "2 - create /h2 2", "3 - get /h1", "4 - get /h1", "5 - history"])
        for number in range(6, 11):
            expect(shell.enter("get /h2"), ["2"])
        expect([line.split(" - ")[0] for line in shell.enter("history")], [str(n) for n in range(1, 12)], "the last eleven")
        expect(shell.enter("redo 12"), ["Command index out of range"])
        expect(shell.enter("redo 99"), ["Command index out of range"])
        expect(shell.enter("printwatches off"), [])
        expect(shell.enter("get -w /h0"), ["0"])
        expect(shell.enter("set /h0 x"), [])
        expect(shell.enter("printwatches"), ["printwatches is off"])
        expect(shell.enter("printwatches on"), [])
        expect(shell.events("/h0"), [], "events while they are off")
        begun = len(shell.events("SyncConnected type:None"))
        said = shell.enter(f"connect localhost:{world.server.port}")
        expect_true(any("state:Closed" in line for line in said), f"the old session is closed: {said}")
        shell.await_events(begun + 1, "SyncConnected type:None")
        expect(shell.enter("get /h2"), ["2"])
        expect_true(f"[zk: localhost:{world.server.port}(CONNECTED)" in shell.lines()[-1], shell.lines()[-1])
        shell.keys("close\r")
        shell.await_line(lambda line: "(CLOSED)" in line)
        expect(shell.enter("ls /"), ["Not connected"])
        expect(shell.end(), 1)


def completion(world):
    """TAB completes as recorded in testdata/shell/tab-completion.txt"""
    with world.script() as shell:
        for name in ("m1", "m2", "m3", "m4", "m5", "m8", "m9"):
            shell.create(f"/{name}")
        client = KazooClient(world.server.address)
        client.start(SHELL_SECONDS)
        client.create("/m 7", b"")
        client.stop()
        client.close()
    with world.terminal() as shell:
        shell.await_prompt(0)
        shell.keys("cre\t")
        shell.await_line(lambda line: line.endswith("0] create"))
        expect_true(shell.column() == len(shell.lines()[-1]) + 1, "a blank behind a command that is the only one")
        shell.keys(' /tabx "1"\r')
        shell.await_prompt(1)
        shell.keys("ls /zoo\t")
        shell.await_line(lambda line: line.endswith("1] ls /zookeeper"))
        expect(shell.column(), len(shell.lines()[-1]) + 1, "a blank behind the only child")
        shell.keys("\r")
        shell.await_prompt(2)
        before = len(shell.lines())
        shell.keys("\r")
        shell.await_line(lambda _: len(shell.lines()) == before + 1)
        shell.await_prompt(2)
        shell.keys("his\t\r")
        shell.await_prompt(3)
        expect([line.rstrip() for line in shell.lines()[before + 1:-1]], ['0 - create  /tabx "1"', "1 - ls /zookeeper", "2 - history"])
        before = len(shell.lines())
        shell.keys("ge\t")
        shell.await_line(lambda line: line.endswith("3] get") and len(shell.lines()) > before)
        expect(candidates(shell.lines()[before:-1]), ["get", "getAcl", "getAllChildrenNumber", "getEphemerals"])
        shell.keys("\x15ls /m\t")
        shell.await_line(lambda line: line.endswith("3] ls /m") and "m9" in "".join(shell.lines()[-4:-1]))
        before = max(number for number, line in enumerate(shell.lines()) if line.endswith("ls /m") and number < len(shell.lines()) - 1)
        expect(candidates(shell.lines()[before + 1:-1]), ["m 7", "m1", "m2", "m3", "m4", "m5", "m8", "m9"])
        # Nothing matches: nothing happens.
        shell.keys("/none\t\t")
        shell.keys("x")
        shell.await_line(lambda line: line.endswith("3] ls /m/nonex"))
        # Ctrl-C clears the line.
        shell.keys("\x03")
        shell.await_prompt(3)
        shell.end()
    world.once("deleteall", "/tabx")


def pasted_lines(world):
    """lines that are pasted at once are all run, the last one waits; Ctrl-C twice ends the shell"""
    with world.terminal() as shell:
        shell.await_prompt(0)
        shell.keys("create /pasted 1\rset /pasted 2\rget /pasted\rdelete /pasted\rget /zookeep")
        shell.await_line(lambda line: line.endswith("4] get /zookeep"))
        expect(shell.lines()[-3], "2")
        shell.keys("er\r")
        shell.await_prompt(5)
        # Keys that come while a command runs are for the next prompt.
        shell.keys("top -n 2 -d 1\r")
        shell.await_line(lambda _: any(line.startswith("server ") for line in shell.lines()))
        shell.keys("ls /zookeeper\r")
        shell.await_prompt(7)
        expect(shell.lines()[-2], "[config, quota]")
        shell.keys("not run")
        shell.await_line(lambda line: line.endswith("not run"))
        shell.keys("\x03")
        shell.await_prompt(7)
        shell.keys("\x03")
        expect(shell.process.wait(SHELL_SECONDS), 130)
    # Twice at once, while the shell looks for a server between two prompts.
    with Terminal(world.program.words, "-server", f"{servers.HOST}:{servers.free_port()}") as shell:
        shell.await_prompt(0, "CONNECTING")
        before = len(shell.lines())
        shell.keys("\x03")
        shell.await_line(lambda _: len(shell.lines()) > before)
        shell.keys("\x03")
        expect(shell.process.wait(SHELL_SECONDS), 130)
    expect(world.once("get", "/pasted")[0], 1, "the status of a get of what is gone")


def editing(world):
    """edit writes what the editor left, refuses when others wrote meanwhile, and leaves Ctrl-C to the editor"""
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        editor, marks = os.path.join(folder, "editor"), os.path.join(folder, "begun")
        with open(editor, "w", encoding="ascii") as file:
            # It says that it has begun, presses Ctrl-C, and ends when its mark is taken away.
            file.write(f"#!/bin/sh\ntrap '' INT\ncp \"$1\" {marks}\nkill -INT 0\nwhile [ -e {marks} ]; do sleep 0.05; done\necho new >> \"$1\"\n")
        os.chmod(editor, 0o700)
        with world.script() as other, world.terminal(env={"EDITOR": editor, "VISUAL": ""}) as shell:
            def edit(meanwhile):
                shell.keys("edit /edited\r")
                wait_until(lambda: os.path.exists(marks), SHELL_SECONDS, "the editor begins")
                with open(marks, encoding="ascii") as file:
                    seen = file.read()
                meanwhile()
                os.unlink(marks)
                return seen
            other.create("/edited old")
            shell.await_prompt(0)
            expect(edit(world.server.pause), "old")
            time.sleep(SLOW_SECONDS)
            world.server.resume()
            shell.await_prompt(1)
            expect(shell.lines()[-2], "written, version 1")
            # Without the newline of the editor.
            expect((other.say("get /edited"), other.stat("/edited")["dataLength"]), (["oldnew"], 6))
            edit(lambda: other.say("set /edited theirs"))
            shell.await_prompt(2)
            told, _, kept = shell.lines()[-2].rpartition(" ")
            expect(told, "/edited was changed or deleted meanwhile; what you wrote is in")
            with open(kept, encoding="ascii") as file:
                expect(file.read(), "oldnewnew\n", "what was written")
            os.unlink(kept)
            expect(other.say("get /edited"), ["theirs"])
            other.say("delete /edited")
            shell.end()


def candidates(lines):
    """What stands in columns, by columns."""
    return sorted(word for line in lines for word in re.split(r"\s{2,}", line.strip()))


# The usual port, in a network where nobody else has it

def without_arguments(program, make):
    """S30 without arguments: localhost:2181"""
    server = make()
    server.port = DEFAULT_PORT
    with server:
        for words in (program.words, program.old_name):
            with Terminal(words) as shell:
                shell.await_prompt(0)
                expect(shell.lines()[-1], f"[zk: localhost:{DEFAULT_PORT}(CONNECTED) 0]")
                expect_true(f"[zk: localhost:{DEFAULT_PORT}(CONNECTED) 0] " in shell.text, "the blank behind the prompt")
                expect(shell.lines()[0], f"Connecting to localhost:{DEFAULT_PORT}")
                expect(shell.end(), 0)


def in_a_network_of_its_own(options):
    """S30 without arguments: localhost:2181"""
    inner = [sys.executable, "-u", os.path.abspath(__file__), "--server", options.server, "--binary", options.binary, "--only", "S30"]
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    alone = ["unshare", *as_root, "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inner, "--alone"]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=4 * SHELL_SECONDS, check=False)
    expect_true(done.returncode == 0 and "1 passed, 0 failed" in done.stdout, done.stdout + done.stderr)


CASES = (help_lists, first_lines, session_lines, ends_of_sessions, child_watch, data_watch, old_watches, lines_again, completion, pasted_lines, editing)


def play(report, only, make, program, cases):
    chosen = [case for case in cases if only in case.__doc__]
    if chosen:
        with make(config={"tickTime": TICK_MS, "maxSessionTimeout": 60000}) as server:
            report.server = server
            for case in chosen:
                report.case(case.__doc__, case, World(server, program))


def run():
    parser = servers.arguments(__doc__.splitlines()[0], only={"default": "", "help": "only the cases whose name has this in it"},
                               alone={"action": "store_true", "help": "the usual port is free here"})
    options = parser.parse_args()
    make = servers.factory(options)
    report = Report(f"our shell against {options.server}")
    with tempfile.TemporaryDirectory(prefix="rookeeper-interop-") as folder:
        program = Program(options.binary, folder)
        if options.alone:
            report.case(without_arguments.__doc__, without_arguments, program, make)
            return report.finish()
        if options.only in in_a_network_of_its_own.__doc__:
            report.case(in_a_network_of_its_own.__doc__, in_a_network_of_its_own, options)
        play(report, options.only, make, program, shell_nodes.NEW)
        play(report, options.only, make, program, shell_nodes.OTHERS + CASES)
        shell_ensemble.play(report, options, program)
        if options.server == "java":
            shell_ensemble.play_members(report, options, program)
            shell_tls.play(report, options, program)
    return report.finish()


if __name__ == "__main__":
    main(run)
