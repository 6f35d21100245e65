"""What users do with nodes in our shell, on a pipe: the scenarios of `shell.py` about creating, reading, writing, deleting, counting, access
and sizes.

`NEW` come first on a new server and in this order; `OTHERS` want one of their own, whose counter nobody has moved.
"""

import base64
import re
import subprocess

from kazoo.client import KazooClient

from report import expect, expect_true
from shell_driver import SHELL_SECONDS, stat_of
from shell_world import CONNECTED

FRAME_LIMIT = 1048575
ALL_BYTES = bytes(range(256)) * 3
OLD_NAMES_PRINT = {"ls2": "'ls2' has been deprecated. Please use 'ls [-s] path' instead.",
                   "rmr": "The command 'rmr' has been deprecated. Please use 'deleteall' instead."}


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


# Access and quotas

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


NEW = (list_of_a_new_server, lists_are_sorted, create_without_data, empty_data, get_of_empty_data, stat_after_a_child, set_prints_nothing,
       zxids_are_consecutive, owner_of_a_normal_node, owner_of_an_ephemeral, failed_writes, hello_zookeeper, get_and_set, parent_is_absent,
       node_is_there, old_names)
OTHERS = (counters, counters_go_on, what_stays, other_data, sync_is_ok, access_lists, access_and_quota, one_megabyte, all_bytes)
