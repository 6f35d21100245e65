#!/usr/bin/env python3
"""kazoo, an independent Python client, against the server under test: operations, watches, sessions, ACLs.

The numbers S.. name the acceptance scenarios of the users' notes. The server ticks every 500 ms; further ones have the
usual 2000 ms for the negotiation of time-outs, and a limit of connections.
"""

import socket
import threading
import time

from kazoo.client import KazooState
from kazoo.exceptions import (BadVersionError, ConnectionLoss, InvalidACLError, NoAuthError,
                              NoChildrenForEphemeralsError, NodeExistsError, NoNodeError, NotEmptyError,
                              RolledBackError)
from kazoo.protocol.states import EventType
from kazoo.security import ACL, Id, OPEN_ACL_UNSAFE, make_acl, make_digest_acl

import jute
import servers
from kazoo_world import EVENT_SECONDS, SHORT_SESSION, TICK_MS, Watch, raises, run_cases
from report import expect, expect_true, main, wait_until

FRAME_LIMIT = 1048575


# Nodes

def new_server_root(world):
    """S33, S55"""
    zk = world.client()
    expect(zk.get_children("/"), ["zookeeper"])
    data, stat = zk.get("/")
    expect((data, stat.czxid, stat.ctime, stat.cversion, stat.dataLength, stat.numChildren), (b"", 0, 0, -1, 0, 1))
    expect(zk.get("/zookeeper")[1].cversion, -2)
    expect(sorted(zk.get_children("/zookeeper")), ["config", "quota"])


def create_modes(world):
    """S35, S50, S51, S92"""
    zk = world.client()
    expect(zk.create("/modes"), "/modes")
    expect(zk.create("/modes/p", b"hello zookeeper"), "/modes/p")
    expect(zk.get("/modes/p")[0], b"hello zookeeper")
    expect(zk.exists("/modes/p").dataLength, 15)
    expect(zk.create("/modes/e", b"", ephemeral=True), "/modes/e")
    expect(zk.create("/modes/s", b"", sequence=True), "/modes/s0000000002")
    expect(zk.create("/modes/es-", b"", ephemeral=True, sequence=True), "/modes/es-0000000003")
    path, stat = zk.create("/modes/x", b"12345", include_data=True)
    expect((path, stat.dataLength, stat.version), ("/modes/x", 5, 0))
    expect(zk.create("/modes/deep/er/path", b"v", makepath=True), "/modes/deep/er/path")
    expect(zk.exists("/user100"), None)


def null_and_empty_data(world):
    """S34, S36"""
    zk = world.client()
    zk.create("/null", None)
    zk.create("/empty", b"")
    expect(zk.get("/null")[0], None)
    expect(zk.get("/empty")[0], b"")
    expect(zk.exists("/null").dataLength, 0)


def sequence_counts_every_create(world):
    """S47, S48, S49, S96"""
    zk = world.client()
    zk.create("/seq")
    for name in ("a", "b", "c"):
        zk.create("/seq/" + name)
    expect(zk.create("/seq/user", sequence=True), "/seq/user0000000003")
    expect(zk.create("/seq/name", sequence=True), "/seq/name0000000004")
    raises(NodeExistsError, zk.create, "/seq/a")
    zk.delete("/seq/a")
    zk.delete("/seq/name0000000004")
    zk.create("/seq/nick", ephemeral=True)
    expect(zk.create("/seq/nick", ephemeral=True, sequence=True), "/seq/nick0000000006")
    zk.create("/seq/tree/x", makepath=True)
    zk.delete("/seq/tree", recursive=True)
    expect(zk.create("/seq/user", sequence=True), "/seq/user0000000008")


def errors(world):
    """S52, S53, S54"""
    zk = world.client()
    raises(NoNodeError, zk.create, "/node1/node2", b"val")
    zk.create("/err", b"old")
    raises(NodeExistsError, zk.create, "/err", b"new")
    expect(zk.get("/err")[0], b"old")
    zk.create("/err/child")
    raises(NotEmptyError, zk.delete, "/err")
    raises(BadVersionError, zk.set, "/err", b"x", version=7)
    raises(BadVersionError, zk.delete, "/err", version=7)
    raises(NoNodeError, zk.get, "/none")
    raises(NoNodeError, zk.get_children, "/none")
    raises(NoNodeError, zk.set, "/none", b"")
    zk.create("/err/eph", ephemeral=True)
    raises(NoChildrenForEphemeralsError, zk.create, "/err/eph/x")


def stat_and_zxids(world):
    """S37, S38, S39, S41, S45, S46"""
    zk = world.client()
    zk.create("/stat", b"")
    z = zk.exists("/stat").czxid
    zk.create("/stat/child", b"")
    stat = zk.exists("/stat")
    expect((stat.pzxid, stat.cversion, stat.numChildren, stat.version, stat.mzxid), (z + 1, 1, 1, 0, z))
    expect(zk.exists("/stat/child").czxid, z + 1)
    stat = zk.set("/stat", b"hello")
    expect((stat.version, stat.mzxid, stat.czxid, stat.pzxid, stat.dataLength), (1, z + 2, z, z + 1, 5))
    expect(stat.ephemeralOwner, 0)
    raises(NodeExistsError, zk.create, "/stat")
    raises(NoNodeError, zk.delete, "/stat/none")
    raises(BadVersionError, zk.set, "/stat", b"", version=9)
    zk.get("/stat")
    zk.sync("/stat")
    zk.create("/stat/a")
    expect(zk.exists("/stat/a").czxid, z + 6, "zxid after three failed writes")
    world.client()
    zk.create("/stat/b")
    expect(zk.exists("/stat/b").czxid, z + 8, "zxid after the opening of a session")


def sync_returns(world):
    """S64"""
    expect(world.client().sync("/"), "/")


def binary_and_large_data(world):
    """S65, S66"""
    zk = world.client()
    every_byte = bytes(range(256)) * 40
    zk.create("/bytes", every_byte)
    expect(zk.get("/bytes")[0], every_byte)
    overhead = 8 + 4 + len("/large") + 4 + (4 + 4 + 4 + 5 + 4 + 6) + 4
    largest = bytes(FRAME_LIMIT - overhead)
    zk.create("/large", largest)
    expect(len(zk.get("/large")[0]), len(largest))
    raises(ConnectionLoss, zk.create, "/larger", bytes(FRAME_LIMIT))
    wait_until(lambda: zk.connected, 10, "connected again after a request that was too large")
    expect(zk.exists("/larger"), None)
    zk.delete("/large")


# Watches

def data_watch_fires_once(world):
    """S59, S93"""
    zk, other, watch = world.client(), world.client(), Watch()
    zk.create("/w1", b"0")
    zk.get("/w1", watch=watch)
    other.set("/w1", b"1")
    other.set("/w1", b"2")
    watch.expect((EventType.CHANGED, "/w1"))


def data_watch_rearmed(world):
    """S94"""
    zk, other = world.client(), world.client()
    zk.create("/w2", b"0")
    seen, rearmed = [], threading.Semaphore(0)

    @zk.DataWatch("/w2")
    def changed(data, _stat):
        seen.append(int(data))
        rearmed.release()

    for value in range(1, 6):
        expect_true(rearmed.acquire(timeout=EVENT_SECONDS), f"callback before change {value}")
        other.set("/w2", str(value).encode())
    expect_true(rearmed.acquire(timeout=EVENT_SECONDS), "last callback")
    expect(seen, [0, 1, 2, 3, 4, 5])


def exists_watch(world):
    """S85, S98"""
    zk, other = world.client(), world.client()
    made, gone, changed = Watch(), Watch(), Watch()
    expect(zk.exists("/w3", watch=made), None)
    other.create("/w3", b"")
    made.expect((EventType.CREATED, "/w3"))
    zk.exists("/w3", watch=changed)
    other.set("/w3", b"x")
    changed.expect((EventType.CHANGED, "/w3"))
    zk.get("/w3", watch=gone)
    other.delete("/w3")
    gone.expect((EventType.DELETED, "/w3"))


def child_watch(world):
    """S58, S95, S98"""
    zk, other = world.client(), world.client()
    zk.create("/w4")
    watch = Watch()
    zk.get_children("/w4", watch=watch)
    other.create("/w4/name", b"tom")
    other.create("/w4/second", b"")
    watch.expect((EventType.CHILD, "/w4"))
    data_change, on_delete = Watch(), Watch()
    zk.get_children("/w4", watch=data_change)
    other.set("/w4/name", b"tim")
    other.set("/w4", b"own data")
    data_change.expect()
    other.delete("/w4/name")
    data_change.expect((EventType.CHILD, "/w4"))
    other.delete("/w4/second")
    zk.get_children("/w4", watch=on_delete)
    other.delete("/w4")
    on_delete.expect((EventType.DELETED, "/w4"))


def own_event_before_reply(world):
    zk, watch = world.client(), Watch()
    zk.create("/w5", b"")
    zk.get("/w5", watch=watch)
    zk.set("/w5", b"1")
    watch.expect((EventType.CHANGED, "/w5"))


def watch_not_set_by_failed_read(world):
    zk, watch = world.client(), Watch()
    raises(NoNodeError, zk.get, "/w6", watch=watch)
    raises(NoNodeError, zk.get_children, "/w6", watch=watch)
    zk.create("/w6")
    watch.expect()


# Sessions

def ephemeral_owner(world):
    """S42"""
    zk = world.client()
    zk.create("/owned", ephemeral=True)
    owner = zk.exists("/owned").ephemeralOwner
    expect(owner, zk.client_id[0])
    expect(owner >> 56, 1, "server id in the top byte")
    listed = servers.four_letter_word(world.server.port, "dump")
    expect_true(f"0x{owner:x}" in listed, f"dump names the session:\n{listed}")


def ephemeral_gone_after_close(world):
    """S43, S57"""
    one, other = world.client(), world.client()
    one.create("/gone", ephemeral=True)
    one.create("/stays-", sequence=True)
    one.stop()
    expect(other.exists("/gone"), None)
    expect_true(any(name.startswith("stays-") for name in other.get_children("/")), "sequential node stays")


def ephemeral_gone_after_expiry(world):
    """S43, S97, S102: the socket dies without closeSession"""
    watcher, watch = world.client(), Watch()
    watcher.create("/group")
    lost = jute.Connection(world.server.port, timeout=int(SHORT_SESSION * 1000))
    lost.get(jute.CREATE, jute.create("/group/A", b"", jute.OPEN_ACL, 1))
    watcher.get_children("/group", watch=watch)
    begin = time.monotonic()
    lost.close()
    wait_until(lambda: watch.events, 10, "event of the expiry")
    lived = time.monotonic() - begin
    watch.expect((EventType.CHILD, "/group"))
    expect(watcher.get_children("/group"), [])
    # Never before its time; at most one tick (of rounding) and one (of checking) after it.
    expect_true(SHORT_SESSION - 0.1 <= lived <= SHORT_SESSION + 3 * TICK_MS / 1000, f"session lived {lived:.2f} s")
    again = jute.Connection(world.server.port, session=lost.session, password=lost.password)
    expect_true(again.refused, "an expired session is refused")
    again.close()


def paused_client_loses_its_session(world):
    """S99, S102"""
    zk = world.client(timeout=SHORT_SESSION)
    states = []
    zk.add_listener(states.append)
    zk.create("/paused", ephemeral=True)
    old = zk.client_id[0]
    hold_connection(zk, zk._connection._socket, SHORT_SESSION + 3 * TICK_MS / 1000)
    wait_until(lambda: KazooState.LOST in states, 15, f"LOST, got {states}")
    wait_until(lambda: zk.connected, 15, "a new session")
    expect_true(zk.client_id[0] != old, "another session id")
    expect(zk.exists("/paused"), None)


def hold_connection(zk, sock, seconds):
    """Cuts the client's connection and keeps it away from the server for `seconds`."""
    connect = zk._connection._connect
    until = time.monotonic() + seconds

    def late(*args, **kwargs):
        time.sleep(max(0, until - time.monotonic()))
        return connect(*args, **kwargs)

    zk._connection._connect = late
    sock.shutdown(socket.SHUT_RDWR)
    time.sleep(seconds)
    zk._connection._connect = connect


def jitter_keeps_the_session(world):
    """S103"""
    zk, other = world.client(timeout=4.0), world.client()
    states = []
    zk.add_listener(states.append)
    zk.create("/jitter", ephemeral=True)
    session = zk.client_id[0]
    zk._connection._socket.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: KazooState.SUSPENDED in states, 5, "disconnect seen")
    wait_until(lambda: zk.connected, 10, "connected again")
    expect(zk.client_id[0], session, "session id")
    expect(states, [KazooState.SUSPENDED, KazooState.CONNECTED])
    expect(other.exists("/jitter").ephemeralOwner, session)


def restart_keeps_session_and_data(world, signal):
    """S29, S44: data and ephemerals survive, the client resumes its session"""
    zk = world.client(timeout=30.0)
    base = "/restart-" + signal
    zk.create(base, b"durable")
    for number in range(50):
        zk.create(f"{base}/n", str(number).encode(), sequence=True)
    zk.create(f"{base}/eph", ephemeral=True)
    stat, session = zk.exists(base), zk.client_id[0]
    world.server.restart(hard=signal == "SIGKILL")
    wait_until(lambda: zk.connected, 20, "connected again")
    expect(zk.client_id[0], session, "session id")
    expect(zk.get(base), (b"durable", stat))
    expect(len(zk.get_children(base)), 51)
    expect(zk.exists(f"{base}/eph").ephemeralOwner, session)
    expect(zk.create(f"{base}/n", b"", sequence=True), f"{base}/n0000000051")
    zk.stop()
    expect(world.client().exists(f"{base}/eph"), None)


def client_states(world):
    """S99"""
    zk = world.client()
    states = []
    zk.add_listener(states.append)
    expect(zk.state, KazooState.CONNECTED)
    zk.stop()
    wait_until(lambda: KazooState.LOST in states, 5, f"LOST after close, got {states}")


def negotiated_timeouts(make):
    """S84"""
    with make(config={"tickTime": 2000}) as server:
        for asked, granted in [(50000, 40000), (600000, 40000), (1000, 4000), (30000, 30000), (0, 4000), (-5, 4000)]:
            connection = jute.Connection(server.port, timeout=asked)
            expect(connection.timeout, granted, f"time-out for {asked}")
            connection.close()


def connection_limit(make):
    """S18"""
    with make(config={"maxClientCnxns": 5}) as server:
        time.sleep(0.3)  # the connections of the start-up check are gone then
        kept = [jute.Connection(server.port) for _ in range(5)]
        try:
            jute.Connection(server.port)
        except (jute.Closed, OSError):
            pass
        else:
            raise AssertionError("connection 6 of 5 was accepted")
        kept.pop().close()
        wait_until(lambda: connects(server.port), 5, "a place is free again")
        for connection in kept:
            connection.close()


def connects(port):
    try:
        jute.Connection(port).close()
        return True
    except (jute.Closed, OSError):
        return False


# ACLs

def acl_world_read(world):
    """S61"""
    zk = world.client()
    zk.create("/acl-r", b"x", acl=[ACL(1, Id("world", "anyone"))])
    expect(zk.get("/acl-r")[0], b"x")
    raises(NoAuthError, zk.set, "/acl-r", b"y")
    raises(NoAuthError, zk.create, "/acl-r/child")
    raises(NoAuthError, zk.set_acls, "/acl-r", OPEN_ACL_UNSAFE)
    zk.delete("/acl-r")  # needs a right on the parent only


def acl_digest(world):
    """S62"""
    owner, other = world.client(), world.client()
    owner.add_auth("digest", "bob:secret")
    acl = make_digest_acl("bob", "secret", all=True)
    owner.create("/acl-d", b"private", acl=[acl])
    raises(NoAuthError, other.get, "/acl-d")
    raises(NoAuthError, other.get_children, "/acl-d")
    raises(NoAuthError, other.set, "/acl-d", b"")
    expect(owner.get("/acl-d")[0], b"private")
    expect(owner.get_acls("/acl-d")[0], [acl])
    other.add_auth("digest", "bob:wrong")
    raises(NoAuthError, other.get, "/acl-d")
    other.add_auth("digest", "bob:secret")
    expect(other.get("/acl-d")[0], b"private")
    stat = owner.set_acls("/acl-d", [acl, make_acl("world", "anyone", read=True)])
    expect(stat.aversion, 1)
    reader = world.client()
    expect(reader.get("/acl-d")[0], b"private")
    expect(reader.get_acls("/acl-d")[0][0].id, Id("digest", "bob:x"))
    raises(BadVersionError, owner.set_acls, "/acl-d", [acl], version=9)


def acl_auth_scheme(world):
    zk = world.client()
    raises(InvalidACLError, zk.create, "/acl-a", b"", acl=[ACL(31, Id("auth", ""))])
    zk.add_auth("digest", "ann:pw")
    zk.create("/acl-a", b"", acl=[ACL(31, Id("auth", ""))])
    expect(zk.get_acls("/acl-a")[0], [make_digest_acl("ann", "pw", all=True)])


def acl_invalid_and_ip(world):
    zk = world.client()
    raises(InvalidACLError, zk.create, "/acl-i", b"", acl=[ACL(31, Id("nobody", "x"))])
    raises(InvalidACLError, zk.create, "/acl-i", b"", acl=[ACL(31, Id("ip", "1.2.3"))])
    zk.create("/acl-i", b"local", acl=[ACL(31, Id("ip", "127.0.0.1"))])
    expect(zk.get("/acl-i")[0], b"local")
    zk.create("/acl-j", b"", acl=[ACL(31, Id("ip", "10.1.0.0/16"))])
    raises(NoAuthError, zk.get, "/acl-j")


# Transactions

def transaction_success(world):
    zk = world.client()
    zk.create("/t1", b"")
    multi = zk.transaction()
    multi.check("/t1", 0)
    multi.create("/t1/a", b"1")
    multi.create("/t1/s", b"2", sequence=True)
    multi.set_data("/t1", b"3", version=0)
    multi.create("/t1/b", b"", ephemeral=True)
    multi.delete("/t1/b")
    results = multi.commit()
    expect(results[:3], [True, "/t1/a", "/t1/s0000000001"])
    expect((results[3].version, results[4], results[5]), (1, "/t1/b", True))
    expect(zk.exists("/t1/a").czxid, zk.exists("/t1").mzxid, "one zxid for all")


def transaction_failure(world):
    zk = world.client()
    zk.create("/t2", b"")
    multi = zk.transaction()
    multi.create("/t2/a", b"1")
    multi.check("/t2", 5)
    multi.delete("/t2")
    results = multi.commit()
    expect([type(r) for r in results][:2], [RolledBackError, BadVersionError])
    expect(type(results[2]).__name__, "RuntimeInconsistency")
    expect(zk.get_children("/t2"), [])


CASES = [
    new_server_root, create_modes, null_and_empty_data, sequence_counts_every_create, errors, stat_and_zxids,
    sync_returns, binary_and_large_data, data_watch_fires_once, data_watch_rearmed, exists_watch, child_watch,
    own_event_before_reply, watch_not_set_by_failed_read, ephemeral_owner, ephemeral_gone_after_close,
    ephemeral_gone_after_expiry, paused_client_loses_its_session, jitter_keeps_the_session, client_states,
    acl_world_read, acl_digest, acl_auth_scheme, acl_invalid_and_ip, transaction_success, transaction_failure,
]
RESTARTS = [(restart_keeps_session_and_data, "SIGKILL"), (restart_keeps_session_and_data, "SIGTERM")]


def run():
    cases = [(case,) for case in CASES] + RESTARTS
    return run_cases("kazoo", __doc__.splitlines()[0], cases, [negotiated_timeouts, connection_limit])


if __name__ == "__main__":
    main(run)
