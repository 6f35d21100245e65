#!/usr/bin/env python3
"""kazoo, an independent Python client, against the server under test: what users build with it.

The numbers S.. name the acceptance scenarios of the users' notes.
"""

import threading
import time

from kazoo.exceptions import BadVersionError, NoNodeError
from kazoo.protocol.states import EventType

import jute
from kazoo_world import SHORT_SESSION, Watch, raises, run_cases
from report import expect, expect_true, main, wait_until


# Uses

def configuration_centre(world):
    """S85: a client below a chroot"""
    plain = world.client()
    plain.create("/testConf")
    zk, changed, gone = world.client(chroot="/testConf"), Watch(), Watch()
    zk.create("/app", b"v1")
    expect(plain.get("/testConf/app")[0], b"v1")
    zk.get("/app", watch=changed)
    plain.set("/testConf/app", b"v2")
    changed.expect((EventType.CHANGED, "/app"))
    expect(zk.get("/app", watch=gone)[0], b"v2")
    plain.delete("/testConf/app")
    gone.expect((EventType.DELETED, "/app"))


def service_registry(world):
    """S86"""
    server, watcher = world.client(), world.client()
    raises(NoNodeError, server.create, "/servers/server01", b"", ephemeral=True, sequence=True)
    server.create("/servers")
    names = [server.create("/servers/server01", b"host", ephemeral=True, sequence=True) for _ in range(3)]
    expect(names, [f"/servers/server01000000000{n}" for n in range(3)])
    watch = Watch()
    expect(len(watcher.get_children("/servers", watch=watch)), 3)
    before = watcher.exists("/servers").pzxid
    server.stop()
    watch.expect((EventType.CHILD, "/servers"))
    expect(watcher.get_children("/servers"), [])
    expect(watcher.exists("/servers").pzxid, before + 1, "one transaction for all three")


def election_by_hand(world):
    """S87, S88: each waits for its predecessor; exactly one is woken"""
    world.client().create("/elect")
    candidates = [world.client() for _ in range(4)]
    names = [zk.create("/elect/c-", ephemeral=True, sequence=True) for zk in candidates]
    watches = [Watch() for _ in candidates]
    for at in range(1, 4):
        candidates[at].exists(names[at - 1], watch=watches[at])
    for at in range(3):
        candidates[at].stop()
        watches[at + 1].expect((EventType.DELETED, names[at]))
        for later in watches[at + 2:]:
            expect(later.events, [])


def registry_names(world):
    """S100: Dubbo's long, percent-encoded ephemerals; large child lists; many pipelined writes"""
    zk = world.client()
    url = "dubbo%3A%2F%2F192.168.1.7%3A20880%2Fcom.example.Service%3Fanyhost%3Dtrue%26" + "a%3Db%26" * 60
    zk.create(f"/dubbo/com.example.Service/providers/{url}", b"", ephemeral=True, makepath=True)
    expect(zk.get_children("/dubbo/com.example.Service/providers"), [url])
    zk.create("/many")
    pending = [zk.create_async(f"/many/region-{n:06d}", b"x" * 20) for n in range(3000)]
    for answer in pending:
        answer.get(timeout=30)
    expect(sorted(zk.get_children("/many")), [f"region-{n:06d}" for n in range(3000)])
    pending = [zk.delete_async(f"/many/region-{n:06d}") for n in range(3000)]
    for answer in pending:
        answer.get(timeout=30)


def pipelined_order(world):
    """S81"""
    zk = world.client()
    zk.create("/fifo", b"")
    pending = [zk.set_async("/fifo", str(n).encode(), -1 if n != 20 else 77) for n in range(40)]
    results = []
    for answer in pending:
        try:
            results.append(answer.get(timeout=10).version)
        except BadVersionError:
            results.append("refused")
    expect(results, [*range(1, 21), "refused", *range(21, 40)])
    expect(zk.get("/fifo")[0], b"39")


# Recipes

def recipe_lock(world):
    """S88, S89"""
    order = []
    first = world.client()
    lock = first.Lock("/lock", "first")
    lock.acquire(timeout=5)
    threads = []
    for number in range(3):
        zk = world.client()
        threads.append(threading.Thread(target=hold_lock, args=(zk, number, order)))
        threads[-1].start()
        wait_until(lambda: len(first.get_children("/lock")) == number + 2, 5, "contender in the queue")
    expect(lock.contenders(), ["first", "c0", "c1", "c2"])
    expect(order, [])
    lock.release()
    for thread in threads:
        thread.join(10)
    expect(order, ["in 0", "out 0", "in 1", "out 1", "in 2", "out 2"])


def hold_lock(zk, number, order):
    with zk.Lock("/lock", f"c{number}"):
        order.append(f"in {number}")
        time.sleep(0.05)
        order.append(f"out {number}")


def recipe_lock_passes_on_crash(world):
    """S88, S102: the holder's session expires"""
    waiter = world.client()
    waiter.create("/lock-crash")
    dead = jute.Connection(world.server.port, timeout=int(SHORT_SESSION * 1000))
    dead.get(jute.CREATE, jute.create("/lock-crash/uuid__lock__", b"", jute.OPEN_ACL, 3))
    lock = waiter.Lock("/lock-crash", "waiter")
    expect(lock.acquire(blocking=False), False)
    dead.close()
    expect_true(lock.acquire(timeout=10), "lock after the holder's expiry")
    lock.release()


def recipe_election(world):
    """S87"""
    led, stop = [], threading.Event()
    clients = [world.client() for _ in range(3)]
    threads = []

    def lead(number):
        led.append(number)
        if number == 0:
            stop.wait(5)

    for number, zk in enumerate(clients):
        threads.append(threading.Thread(target=zk.Election("/election", str(number)).run, args=(lead, number)))
        threads[-1].start()
        wait_until(lambda: len(clients[0].retry(clients[0].get_children, "/election")) > number
                   if clients[0].exists("/election") else False, 5, "candidate")
    wait_until(lambda: led == [0], 5, "first leads")
    stop.set()
    for thread in threads:
        thread.join(10)
    expect(led, [0, 1, 2])


def recipe_barrier(world):
    one, two = world.client(), world.client()
    barrier = one.Barrier("/barrier")
    barrier.create()
    expect(two.Barrier("/barrier").wait(0.3), False)
    done = []
    thread = threading.Thread(target=lambda: done.append(two.Barrier("/barrier").wait(5)))
    thread.start()
    time.sleep(0.1)
    barrier.remove()
    thread.join(6)
    expect(done, [True])


def recipe_double_barrier(world):
    entered, left = [], []

    def work(number):
        barrier = world.client().DoubleBarrier("/double", 3)
        barrier.enter()
        entered.append(number)
        barrier.leave()
        left.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.3)
    expect(entered, [])
    threads[2].start()
    for thread in threads:
        thread.join(10)
    expect(sorted(left), [0, 1, 2])


def recipe_counter(world):
    clients = [world.client() for _ in range(3)]

    def count(zk):
        counter = zk.Counter("/counter")
        for _ in range(10):
            counter += 2

    threads = [threading.Thread(target=count, args=(zk,)) for zk in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    expect(clients[0].Counter("/counter").value, 60)


def recipe_queues(world):
    zk = world.client()
    queue = zk.Queue("/queue")
    for value, priority in [(b"b", 100), (b"c", 100), (b"a", 50)]:
        queue.put(value, priority)
    expect([queue.get() for _ in range(4)], [b"a", b"b", b"c", None])
    locking = zk.LockingQueue("/locking")
    locking.put_all([b"x", b"y"])
    expect(locking.get(5), b"x")
    expect(world.client().LockingQueue("/locking").get(5), b"y")
    expect_true(locking.consume(), "consumed")
    expect(len(locking), 1)


def recipe_party_and_semaphore(world):
    """S97"""
    one, two = world.client(), world.client()
    one.Party("/party", "one").join()
    party = two.Party("/party", "two")
    party.join()
    expect(sorted(party), ["one", "two"])
    one.stop()
    expect(sorted(party), ["two"])
    first, second = world.client().Semaphore("/sem", max_leases=1), two.Semaphore("/sem", max_leases=1)
    first.acquire(timeout=5)
    expect(second.acquire(blocking=False), False)
    first.release()
    expect_true(second.acquire(timeout=5), "second lease")
    second.release()


def children_watch_recipe(world):
    """S91"""
    zk, other, lists = world.client(), world.client(), []
    zk.create("/cw")
    zk.ChildrenWatch("/cw", lambda names: lists.append(sorted(names)))
    for name in ("a", "b"):
        wait_until(lambda: len(lists) == (1 if name == "a" else 2), 5, "list event")
        other.create("/cw/" + name)
    wait_until(lambda: len(lists) == 3, 5, "last list event")
    expect(lists, [[], ["a"], ["a", "b"]])


CASES = [
    configuration_centre, service_registry, election_by_hand, registry_names, pipelined_order, recipe_lock,
    recipe_lock_passes_on_crash, recipe_election, recipe_barrier, recipe_double_barrier, recipe_counter,
    recipe_queues, recipe_party_and_semaphore, children_watch_recipe,
]


def run():
    return run_cases("kazoo recipes", __doc__.splitlines()[0], [(case,) for case in CASES])


if __name__ == "__main__":
    main(run)
