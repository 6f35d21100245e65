"""Cases of `curator_layout.py` about things that are put somewhere: queues, values, counters, nodes, members, services."""

import time

from curator_scene import VAIN_MS, WAIT_MS, Story
from report import expect, expect_true, wait_until

WAVES = 10


# Queues

def queue(scene):
    [put] = scene.several(scene.a, 1, "queue", "/queue", "put")
    with Story(scene, "queue.txt", "/queue", "DistributedQueue: A puts, B takes") as story:
        put("put", "one")
        put("put", "two", "three")
        put("put", "")
        put("put", "caf\u00e9")
        story.step("A puts one, two and three together, an empty text, and one that is not ASCII", "/queue")
        [take] = scene.several(scene.b, 1, "queue", "/queue", "take")
        take.news.expect("item", "caf\u00e9")
        story.step("B has taken all", "/queue", wire=False)
        expect(take.news.all(), [("item", text) for text in ("one", "two", "three", "", "caf\u00e9")])
        put("put", "last")
        take.news.expect("item", "last")
        story.step("one more", "/queue", wire=False)


def queue_with_locks(scene):
    """an item whose consumer dies goes to another"""
    [put] = scene.several(scene.a, 1, "queue", "/safe", "put")
    with Story(scene, "queue-with-locks.txt", "/safe", "DistributedQueue with locks: B takes and holds the item") as story:
        put("put", "one")
        story.step("A puts", "/safe")
        with scene.mortal() as consumer:
            taken = consumer.new("queue", "q", "/safe", "hold", "/safelocks")
            taken.news.expect("item", "one")
            [take] = scene.several(scene.b, 1, "queue", "/safe", "hold", "/safelocks")
            time.sleep(VAIN_MS / 1000)
            expect(take.news.all(), [], "what is locked is not taken")
            consumer.kill()
            wait_until(lambda: not scene.zk.get_children("/safelocks"), 10, "the dead consumer's lock is gone")
            # Curator does not watch locks: it looks again when the queue changes.
            put("put", "two")
            take.news.expect("item", "one")
            story.step("the first consumer is dead, B holds the item", "/safe", "/safelocks", wire=False)
            take("go")
            take.news.expect("item", "two")
            take("go")
            story.step("B is done", "/safe", "/safelocks", wire=False)


def priority_queue(scene):
    priorities = [5, 0, -3, 2**31 - 1, -2**31, 10, 5, 1, -1]
    [put] = scene.several(scene.a, 1, "priority", "/priority", "put")
    with Story(scene, "priority-queue.txt", "/priority", "DistributedPriorityQueue: items tell their priority") as story:
        for number, priority in enumerate(priorities):
            put("put", f"{priority} put as {number}", priority)
        story.step("A puts", "/priority")
        [take] = scene.several(scene.b, 1, "priority", "/priority", "take")
        take.news.expect("item", "2147483647 put as 3")
        story.step("B has taken all", "/priority", wire=False)
    order = sorted(range(len(priorities)), key=lambda number: priorities[number])
    expect(take.news.all(), [("item", f"{priorities[number]} put as {number}") for number in order])


def delay_queue(scene):
    [put] = scene.several(scene.a, 1, "delay", "/delay", "put")
    with Story(scene, "delay-queue.txt", "/delay", "DistributedDelayQueue: long due, due first, and never") as story:
        for text, due in (("2001", 10**12), ("never", 9 * 10**15), ("first", 1)):
            put("put", text, due)
        story.step("A puts", "/delay")
        [take] = scene.several(scene.b, 1, "delay", "/delay", "take")
        take.news.expect("item", "2001")
        story.step("B has taken what is due", "/delay", wire=False)
    expect(take.news.all(), [("item", "first"), ("item", "2001")])
    begin = time.time()
    put("put", "soon", int(begin * 1000) + 1500)
    take.news.expect("item", "soon")
    expect_true(time.time() - begin > 1.4, "not before it is due")


def id_queue(scene):
    [put] = scene.several(scene.a, 1, "identified", "/identified", "put")
    with Story(scene, "id-queue.txt", "/identified", "DistributedIdQueue: A puts, and removes by id") as story:
        for text, name in (("one", "my id"), ("two", "x"), ("three", "a/b|c"), ("four", "my id")):
            put("put", text, name)
        story.step("A puts", "/identified")
        expect(put("remove", "my id"), "2")
        story.step("A removes two", "/identified", wire=False)


def simple_queue(scene):
    a, b = scene.both("simple", "/simple")
    with Story(scene, "simple-queue.txt", "/simple", "SimpleDistributedQueue: bytes as they are") as story:
        a("offer", "one")
        a("offer", "two")
        story.step("A offers", "/simple")
        expect([b("poll", VAIN_MS), b("poll", VAIN_MS), b("poll", VAIN_MS)], ["one", "two", None])
        story.step("B has polled", "/simple", wire=False)
        waiting = b.begin("poll", WAIT_MS)
        story.step("B waits")
        a("offer", "three")
        expect(waiting.word(), "three")
        story.step("A offers one more", "/simple", wire=False)


# Values

def atomic_long(scene):
    a, b = scene.both("long", "/long")
    with Story(scene, "long.txt", "/long", "DistributedAtomicLong: A counts, B compares") as story:
        expect(a("get"), "0")
        story.step("A reads what is not there")
        expect(a("add", 5), ["true", "0", "5"])
        story.step("A adds 5", "/long")
        expect(b("add", -7), ["true", "5", "-2"])
        story.step("B subtracts 7", "/long")
        expect(b("cas", -2, 2**40), ["true", "-2", str(2**40)])
        expect(a("cas", -2, 7)[0], "false")
        story.step("B changes -2 to 2 to the 40th, A cannot", "/long")
        expect(a("init", 3), False)
        a("set", 9)
        story.step("A cannot initialize, but sets", "/long")
    longs = scene.several(scene.a, 3, "long", "/sum") + scene.several(scene.b, 3, "long", "/sum", "/sumlock")
    waves = [[one.begin("add", 1) for one in longs] for _ in range(WAVES)]
    done = sum(answer.words()[0] == "true" for wave in waves for answer in wave)
    expect(longs[0]("get"), str(done), "sum of what was said to be added")


def shared_value(scene):
    a, b = scene.both("value", "/value", "of A", b_words=("of B",))
    with Story(scene, "shared-value.txt", "/value", "SharedValue, after both came with a start of their own") as story:
        expect([a.words("get"), b.words("get")], [["of A", "0"]] * 2)
        story.step("both are there", "/value", wire=False)
        a("set", "next")
        b.news.expect("changed", "next")
        story.step("A sets", "/value")
        expect(b("try", "third"), True)
        a.news.expect("changed", "third")
        story.step("B tries with the version that it saw", "/value")
    expect(a.words("get"), ["third", "2"])


def shared_count(scene):
    a, b = scene.both("count", "/count", 7, b_words=(8,))
    with Story(scene, "shared-count.txt", "/count", "SharedCount, after both came with a start of their own") as story:
        expect([a.words("get"), b.words("get")], [["7", "0"]] * 2)
        story.step("both are there", "/count", wire=False)
        b("set", -2)
        a.news.expect("changed", "-2")
        story.step("B sets -2", "/count")


# Nodes

def persistent_node(scene):
    kinds = [("EPHEMERAL", False), ("EPHEMERAL", True), ("EPHEMERAL_SEQUENTIAL", False), ("EPHEMERAL_SEQUENTIAL", True),
             ("PERSISTENT", False), ("CONTAINER", False)]
    with Story(scene, "persistent-node.txt", ("/nodes", "/kept"), "PersistentNode of several kinds") as story:
        for kind, protected in kinds:
            name = kind.lower() + ("-protected" if protected else "")
            [node] = scene.several(scene.a, 1, "node", f"/nodes/{name}", kind, str(protected).lower(), "data")
            expect(node("start", WAIT_MS), True)
            story.step(f"A keeps {name}", node("path"))
        [kept] = scene.several(scene.b, 1, "node", "/kept", "EPHEMERAL", "false", "data")
        kept("start", WAIT_MS)
        story.step("B keeps one", "/kept")
        scene.zk.delete("/kept")
        wait_until(lambda: scene.zk.exists("/kept"), 5, "it is there again")
        story.step("somebody deletes it", "/kept")
        kept("set", "new")
        story.step("B changes it", "/kept")
        kept("leave")
        # Whether it still takes its watch off depends on which comes first, the event or the reply.
        story.step("B lets it go", "/kept", wire=False)


def group_member(scene):
    a, b = scene.both("member", "/group", "A", "data of A", b_words=("B", "data of B"))
    with Story(scene, "group.txt", "/group", "GroupMember: A and B") as story:
        a("start")
        b("start")
        for one in (a, b):
            wait_until(lambda: one.words("all") == ["A", "data of A", "B", "data of B"], 5, "both see both")
        story.step("both are there", "/group", wire=False)
        b("leave")
        wait_until(lambda: a.words("all") == ["A", "data of A"], 5, "A sees that B left")
        story.step("B left", "/group", wire=False)
        a("leave")


def service_discovery(scene):
    a, b = scene.both("discovery", "/services")
    with Story(scene, "discovery.txt", "/services", "ServiceDiscovery: two instances of web, one of db") as story:
        a("register", "web", "first", "h1.example", 80, 1700000000000, "payload", "{scheme}://{address}:{port}/x")
        story.step("A registers web", "/services")
        b("register", "web", "second", "h2.example", 81, 1700000000001)
        b("register", "db", "third", "h3.example", 5432, 1700000000002)
        story.step("B registers web and db", "/services")
        expect([sorted(a.words("names")), sorted(a.words("ids", "web"))], [["db", "web"], ["first", "second"]])
        expect(a.words("instance", "web", "second"), ["h2.example", "81", None])
        expect({a("choose", "web") for _ in range(4)}, {"first", "second"})
        story.step("A looks", wire=False)
        b("unregister", "second")
        story.step("B unregisters its web", "/services", wire=False)
        wait_until(lambda: {a("choose", "web") for _ in range(4)} == {"first"}, 5, "A sees it")


CASES = [queue, queue_with_locks, priority_queue, delay_queue, id_queue, simple_queue, atomic_long, shared_value,
         shared_count, persistent_node, group_member, service_discovery]
