#!/usr/bin/env python3
"""What users do in the shell, with ours: the acceptance scenarios S30 to S66 by their numbers, on a terminal or on a pipe.

Each case is one scenario, and checks each sentence of what is expected there. Those that need several servers are in
`shell_ensemble.py`; `shell_driver.py` types and reads. With `--server java` the shell also speaks TLS (`shell_tls.py`), and changes the
members of an ensemble.
"""

import base64
import os
import re
import subprocess
import sys
import tempfile
import time

from kazoo.client import KazooClient

import servers
import shell_ensemble
import shell_tls
from report import Report, expect, expect_true, main, wait_until
from servers import four_letter_word
from shell_driver import PROMPT, SHELL_SECONDS, Program, Script, Terminal, one_shot, stat_of

TICK_MS = 500
SHORT_SESSION_MS = 2000
BUSY_SECONDS = 4  # how much later than promised a thing may be seen on a machine that has much to do
DEFAULT_PORT = 2181
FRAME_LIMIT = 1048575
ALL_BYTES = bytes(range(256)) * 3
WELCOME = ["Welcome to ZooKeeper!", "JLine support is enabled"]
CONNECTED = "WatchedEvent state:SyncConnected type:None path:null zxid: -1"
# What a 3.8.0 server answers otherwise than 3.9.3, whatever the shell is.
JAVA_38 = {
    "events have no zxid": True,  # notifications tell theirs since 3.9
}
OLD_NAMES_PRINT = {"ls2": "'ls2' has been deprecated. Please use 'ls [-s] path' instead.",
                   "rmr": "The command 'rmr' has been deprecated. Please use 'deleteall' instead."}


class World:
    """A server, and the ways to call the shell."""

    def __init__(self, server, program):
        self.server = server
        self.program = program

    def target(self, *options, chroot=""):
        return ["-server", self.server.address + chroot, *options]

    def script(self, *options, chroot="", env=None):
        return Script(self.program.words, *self.target(*options, chroot=chroot), env=env)

    def terminal(self, *options, env=None):
        return Terminal(self.program.words, *self.target(*options), env=env)

    def once(self, *command, env=None):
        return one_shot(self.program.words, *self.target(), *command, env=env)

    def word(self, word):
        return four_letter_word(self.server.port, word)

    def event(self, kind, path, zxid):
        """The line of a watch that fired."""
        known = -1 if self.server.is_java and JAVA_38["events have no zxid"] else zxid
        return f"WatchedEvent state:SyncConnected type:{kind} path:{path} zxid: {known}"


# On a new server

def list_of_a_new_server(world):
    """S55 ls -s / on a new server: the list, then the block; what is below /zookeeper"""
    with world.script(env={"TZ": "Asia/Shanghai"}) as shell:
        said = shell.say("ls -s /")
        expect(said[0], "[zookeeper]")
        stat = stat_of(said[1:])
        expect(len(said), 12, "lines")
        # 1 January 1970 in local time, cversion -1, no data.
        expect((stat["cZxid"], stat["ctime"], stat["mtime"]), (0, "Thu Jan 01 08:00:00 CST 1970", "Thu Jan 01 08:00:00 CST 1970"))
        expect((stat["cversion"], stat["dataLength"], stat["numChildren"]), (-1, 0, 1))
        said = shell.say("ls -s /zookeeper")
        expect((said[0], stat_of(said[1:])["cversion"]), ("[config, quota]", -2))
        expect(shell.end(), 0)


def lists_are_sorted(world):
    """S33 ls / on a new server, and sorted afterwards"""
    with world.script() as shell:
        expect(shell.say("ls /"), ["[zookeeper]"])
        shell.create("/ooxx")
        expect(shell.say("ls /"), ["[ooxx, zookeeper]"])
        expect(shell.say("delete /ooxx"), [])


def create_without_data(world):
    """S34 create without data makes a node with null data"""
    with world.script() as shell:
        expect(shell.say("create /ooxx"), ["Created /ooxx"])
        expect(shell.say("get /ooxx"), ["null"])
        expect(shell.stat("/ooxx")["dataLength"], 0)
        expect(shell.say("delete /ooxx"), [])


def empty_data(world):
    """S35 create with empty data, and a child"""
    with world.script() as shell:
        expect(shell.say('create /ooxx ""'), ["Created /ooxx"])
        expect(shell.say('create /ooxx/xxoo ""'), ["Created /ooxx/xxoo"])
        expect(shell.say("ls /ooxx"), ["[xxoo]"])


def get_of_empty_data(world):
    """S36 get of empty data is an empty line"""
    with world.script() as shell:
        expect(shell.say("get /ooxx"), [""])
        expect(shell.stat("/ooxx")["dataLength"], 0)


def stat_after_a_child(world):
    """S37 the stat of a node after one child was created"""
    with world.script() as shell:
        stat, child = shell.stat("/ooxx"), shell.stat("/ooxx/xxoo")
        expect((stat["pZxid"], stat["cversion"], stat["numChildren"], stat["dataVersion"]), (child["cZxid"], 1, 1, 0))
        expect(stat["mZxid"], stat["cZxid"])


def set_prints_nothing(world):
    """S38 set prints nothing, and changes mZxid and dataVersion only"""
    with world.script() as shell:
        before = shell.stat("/ooxx")
        expect(shell.say('set /ooxx "hello"'), [])
        after = shell.stat("/ooxx")
        expect(shell.say("get /ooxx"), ["hello"])
        expect((after["dataVersion"], after["dataLength"]), (1, 5))
        expect((after["cZxid"], after["pZxid"]), (before["cZxid"], before["pZxid"]))
        expect_true(after["mZxid"] > before["mZxid"], "a new mZxid")
        expect(shell.say("deleteall /ooxx"), [])


def zxids_are_consecutive(world):
    """S39 zxids of create, create and set are consecutive"""
    with world.script() as shell:
        shell.create('/ooxx ""')
        shell.create('/ooxx/xxoo ""')
        shell.say('set /ooxx "hello"')
        node, child = shell.stat("/ooxx"), shell.stat("/ooxx/xxoo")
        first = node["cZxid"]
        expect((child["cZxid"], node["mZxid"]), (first + 1, first + 2))


def owner_of_a_normal_node(world):
    """S41 the owner of a normal node is 0x0"""
    with world.script() as shell:
        expect(shell.say("stat /ooxx")[8], "ephemeralOwner = 0x0")
        expect(shell.say("deleteall /ooxx"), [])


def owner_of_an_ephemeral(world):
    """S42 the owner of an ephemeral is the session, of server 1 when standalone"""
    with world.script() as shell:
        expect(shell.say('create -e /oxox "asfasfdasf"'), ["Created /oxox"])
        owner = shell.stat("/oxox")["ephemeralOwner"]
        expect(owner >> 56, 1, "server id")
        expect_true(f"sid=0x{owner:x}," in world.word("cons"), f"cons tells of {owner:x}")
        expect_true(re.search(rf"^0x{owner:x}:\n\t/oxox$", world.word("dump"), re.M), f"dump tells of {owner:x}")
        expect(shell.say("getEphemerals"), ["[/oxox]"])
        shell.end()
    told = world.script("-timeout", "20000", env={"JVMFLAGS": "-Dzookeeper.console.threshold=INFO"})
    with told as shell:
        shell.create("-e /oxox")
        owner = shell.stat("/oxox")["ephemeralOwner"]
        expect_true(f"session id = 0x{owner:x}, negotiated timeout = 20000" in shell.seen(), f"the log tells of {owner:x}: {shell.seen()}")
        shell.end()


def failed_writes(world):
    """S46 failed writes take a zxid each, reads and sync none"""
    with world.script() as shell:
        def distance(*lines):
            before = shell.stat(shell.create("-s /z/n"))["cZxid"]
            for line in lines:
                shell.say(line)
            return shell.stat(shell.create("-s /z/n"))["cZxid"] - before
        shell.create("/z")
        expect(distance(), 1, "nothing between")
        expect(distance("create /z"), 2, "NodeExists")
        expect(distance("create /missing/z"), 2, "NoNode")
        expect(distance("set -v 7 /z x"), 2, "BadVersion")
        expect(distance("create /z", "delete -v 7 /z", "delete /missing"), 4, "three that fail")
        expect(distance("get /z", "ls /", "stat /missing", "getAcl /z", "sync /"), 1, "reads and sync")
        expect(shell.say("deleteall /z"), [])


def hello_zookeeper(world):
    """S50 data lose their quotes; a deleted node is not there"""
    with world.script() as shell:
        expect(shell.say('create /test "hello zookeeper"'), ["Created /test"])
        said = shell.say("get -s /test")
        expect((said[0], stat_of(said[1:])["dataLength"]), ("hello zookeeper", 15))
        expect(shell.say("delete /test"), [])
        expect(shell.say("get /test"), ["Node does not exist: /test"])
        shell.type("get /test")
        expect(shell.end(), 1, "status: that of the last command")
    expect(world.once("get", "/test"), (1, [], ["Node does not exist: /test"]))


def get_and_set(world):
    """S51 get and set in turns"""
    for command, answer in ((("create", "/testNode", "v1"), ([], ["Created /testNode"])), (("get", "/testNode"), (["v1"], [])),
                            (("set", "/testNode", "v2"), ([], [])), (("get", "/testNode"), (["v2"], []))):
        expect(world.once(*command), (0, *answer), " ".join(command))


def parent_is_absent(world):
    """S52 create below an absent node"""
    expect(world.once("create", "/node1/node2", "val"), (1, [], ["Node does not exist: /node1/node2"]))
    expect(world.once("ls", "/node1"), (1, [], ["Node does not exist: /node1"]))


def node_is_there(world):
    """S53 create of an existing node changes nothing"""
    before = world.once("get", "-s", "/testNode")
    expect(world.once("create", "/testNode", "other"), (1, [], ["Node already exists: /testNode"]))
    expect(world.once("get", "-s", "/testNode"), before)


def old_names(world):
    """S54 ls2, rmr, and delete of a node with children"""
    with world.script() as shell:
        shell.create("/testNode/child x")
        block = shell.say("stat /testNode")
        expect(shell.say("ls2 /testNode"), [OLD_NAMES_PRINT["ls2"], "[child]", *block])
        expect(shell.say("delete /testNode"), ["Node not empty: /testNode"])
        expect(shell.say("rmr /testNode"), [OLD_NAMES_PRINT["rmr"]])
        expect(shell.say("ls /"), ["[zookeeper]"])


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
    for name, told in OLD_NAMES_PRINT.items():
        world.once("create", "/old")
        status, _, err = world.once(name, "/old")
        expect((status, err), (0, [told]), name)
    world.once("deleteall", "/old")


# Counters

def counters(world):
    """S48 the counter of the parent counts every create, and nothing else"""
    with world.script() as shell:
        for number in range(6):
            shell.create(f"/n{number} x")
        made = [shell.create(words) for words in ("-s /user", "-s /user", "-s /name", "-s /name", "-e /nick", "-e -s /nick")]
        expect(made, ["/user0000000006", "/user0000000007", "/name0000000008", "/name0000000009", "/nick", "/nick0000000011"])
        expect(shell.say("create /n0"), ["Node already exists: /n0"])
        expect(shell.say("delete /n0"), [])
        expect(shell.create("-s /user"), "/user0000000012")


def counters_go_on(world):
    """S49 deleteall takes a subtree away, and the counter goes on"""
    with world.script() as shell:
        shell.create("/user")
        shell.create("/user/a x")
        shell.create("/user/a/b x")
        expect(shell.say("deleteall /user"), [])
        expect(shell.say("ls /user"), ["Node does not exist: /user"])
        expect(shell.create("-s /user"), "/user0000000014")


def what_stays(world):
    """S57 after quit and a new shell ephemerals are gone, sequential nodes there, sorted"""
    with world.script() as shell:
        shell.create("/stay")
        shell.create("-e /stay/nick x")
        made = [shell.create("-s /stay/z"), shell.create("-s /stay/a"), shell.create("-e -s /stay/b")]
        expect(shell.end(), 0)
    with world.script() as shell:
        expect(shell.say("ls /stay"), [f"[{made[1][6:]}, {made[0][6:]}]"])


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


def other_data(world):
    """S56 get -s, set and get -s again"""
    with world.script() as shell:
        shell.create("/person")
        shell.create("/person/other x")
        expect(stat_of(shell.say("get -s /person/other"))["dataLength"], 1)
        before = shell.stat("/person")
        expect(shell.say('set /person "luck"'), [])
        said = shell.say("get -s /person")
        after = stat_of(said)
        expect((said[0], after["dataLength"], after["dataVersion"], after["cversion"]), ("luck", 4, 1, 1))
        expect((after["cZxid"], after["pZxid"]), (before["cZxid"], before["pZxid"]))


def sync_is_ok(world):
    """S64 sync"""
    expect(world.once("sync", "/"), (0, ["Sync is OK"], []))


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


# Access, quotas, and the shell itself

def access_lists(world):
    """S61 create with an access list: others may not write"""
    world.once("create", "/acl")
    for options, name in (("", "plain"), ("-s ", "s"), ("-e ", "e"), ("-s -e ", "es")):
        with world.script() as shell:
            path = shell.create(f"{options}/acl/{name} data world:anyone:r")
            expect(shell.say(f"getAcl {path}"), ["'world,'anyone", ": r"])
            expect(shell.say(f"get {path}"), ["data"])
            expect(world.once("set", path, "x"), (1, [], [f"Insufficient permission : {path}"]))
            expect(world.once("create", path + "/c"), (1, [], [f"Insufficient permission : {path}/c"]))
            shell.end()


def access_and_quota(world):
    """S62 setAcl, getAcl, addauth, setquota, listquota, delquota"""
    with world.script() as shell:
        shell.create("/mine secret")
        expect(shell.say("addauth digest u:p"), [])
        expect(shell.say("setAcl /mine auth::cdrwa"), [])
        entry = shell.say("getAcl /mine")
        expect((entry[0].partition(",'u:")[0], entry[1]), ("'digest", ": cdrwa"))
        expect(stat_of(shell.say("getAcl -s /mine"))["aclVersion"], 1)
        expect(shell.say("whoami")[0], "Auth scheme: User")
        expect(sorted(shell.say("whoami")[1:]), ["digest: u", "ip: 127.0.0.1"])
        expect(world.once("get", "/mine"), (1, [], ["Insufficient permission : /mine"]))
        expect(shell.say("get /mine"), ["secret"])
        expect(shell.say("setAcl -v 7 /mine auth::r"), ["version No is not valid : /mine"])
        shell.create("/q 12345")
        limits = "absolute path is /zookeeper/quota/q/zookeeper_limits"
        expect(shell.say("listquota /q"), [limits, "quota for /q does not exist."])
        expect(shell.say("setquota -n 5 /q"), [])
        shell.create("/q/child 1")
        expect(shell.say("listquota /q"), [limits, "Output quota for /q count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=-1",
                                           "Output stat for /q count=2,bytes=6"])
        expect_true(shell.say("setquota -n 5 -b 5 /q")[0].startswith("The option 'b' was specified but "), "one option at a time")
        expect(shell.say("delquota -n /q"), [])
        expect(shell.say("listquota /q")[1], "Output quota for /q count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=-1")
        expect(shell.say("delquota /q"), [])
        expect(shell.say("listquota /q"), [limits, "quota for /q does not exist."])
        expect(shell.say("delquota /q"), ["Quota does not exist for /q"])
        expect([shell.say("delete /mine"), shell.say("deleteall /q")], [[], []])


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


def candidates(lines):
    """What stands in columns, by columns."""
    return sorted(word for line in lines for word in re.split(r"\s{2,}", line.strip()))


# Large and binary data

def one_megabyte(world):
    """S65 values up to what fits into a request; a larger one is refused and the session lives"""
    # Header, path, length of the data, the default access list, flags.
    around = 8 + 4 + len("/large") + 4 + (4 + 4 + 4 + len("world") + 4 + len("anyone")) + 4
    most = FRAME_LIMIT - around
    with world.script() as shell:
        expect(shell.say("create /large " + "x" * (most + 1)), [f"the request has {FRAME_LIMIT + 1} bytes, the limit is {FRAME_LIMIT}"])
        expect(shell.say("create /large " + "y" * most), ["Created /large"])
        expect(shell.stat("/large")["dataLength"], most)
        expect([len(line) for line in shell.say("get /large")], [most])
        expect([event for event in shell.events() if event != CONNECTED], [], "the session lived")
        expect(shell.say("delete /large"), [])


def all_bytes(world):
    """S66 arbitrary bytes by a library come back unchanged, in the shell as base64 and as hex"""
    client = KazooClient(world.server.address)
    client.start(SHELL_SECONDS)
    try:
        client.create("/binary", ALL_BYTES)
        expect(client.get("/binary")[0], ALL_BYTES)
        coded = base64.b64encode(ALL_BYTES).decode()
        with world.script() as shell:
            expect(shell.say("get -b /binary"), [coded])
            rows = [line.split("|") for line in shell.say("get -x /binary") if re.match(r"\|[0-9a-f]{8}\|", line)]
            expect(bytes.fromhex("".join(row[2] for row in rows)), ALL_BYTES, "hex dump")
            expect(shell.say(f"set -b /binary {base64.b64encode(ALL_BYTES[::-1]).decode()}"), [])
        expect(client.get("/binary")[0], ALL_BYTES[::-1])
        done = subprocess.run([*world.program.words, "-q", *world.target(), "get", "/binary"], capture_output=True, timeout=SHELL_SECONDS, check=True)
        expect(done.stdout, ALL_BYTES[::-1] + b"\n", "the bytes themselves")
        client.delete("/binary")
    finally:
        client.stop()
        client.close()


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


NEW = (list_of_a_new_server, lists_are_sorted, create_without_data, empty_data, get_of_empty_data, stat_after_a_child, set_prints_nothing,
       zxids_are_consecutive, owner_of_a_normal_node, owner_of_an_ephemeral, failed_writes, hello_zookeeper, get_and_set, parent_is_absent,
       node_is_there, old_names, help_lists)
COUNTERS = (counters, counters_go_on, what_stays, first_lines, session_lines, ends_of_sessions, other_data, sync_is_ok, child_watch,
            data_watch, old_watches, access_lists, access_and_quota, lines_again, completion, pasted_lines, one_megabyte, all_bytes)


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
        play(report, options.only, make, program, NEW)
        play(report, options.only, make, program, COUNTERS)
        shell_ensemble.play(report, options, program)
        if options.server == "java":
            shell_ensemble.play_members(report, options, program)
            shell_tls.play(report, options, program)
    return report.finish()


if __name__ == "__main__":
    main(run)
