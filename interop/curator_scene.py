"""Two Java agents behind relays, and stories about what they write: each step of a story is compared with golden text.

A story is a file of testdata/curator. A step has a title, the requests and events that passed since the step before (of A,
then of B), and the trees below some paths. What differs from run to run has names: `<A1>` is the first UUID that A put into
a path, `<address>` the text of a client's address, Curator's data of nodes that have none.

With UPDATE_GOLDENFILES=1 in the environment the files are written anew.
"""

import difflib
import os
import re
import time

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

import servers
from curator_agent import Agent
from curator_wire import Tap, shown

GOLDEN = os.path.join(servers.repository(), "testdata", "curator")
UPDATE = os.environ.get("UPDATE_GOLDENFILES") == "1"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ADDRESS = re.compile(r'"\d+\.\d+\.\d+\.\d+"')
# Of a waiter that is going to get what it waits for. Longer than an answer may take: a recipe whose time is over looks once
# more, which would hide that nobody woke it.
WAIT_MS = 60_000
VAIN_MS = 300  # of one that is not
SHORT_SESSION_MS = 2000
STEP_SECONDS = 10
QUIET_SECONDS = 0.6
KAZOO_SECONDS = 10


class Scene:
    """The server, agents A and B (`a`, `b`), each behind a relay, and a plain client `zk` that looks at trees.

    Behind the relay `elsewhere` come and go agents that a story kills; what they say is not told, but what they make has a
    kind.
    """

    def __init__(self, server):
        self.server = server
        self.taps = {"A": Tap(server.port), "B": Tap(server.port)}
        self.elsewhere = Tap(server.port)
        self.zk = KazooClient(server.address)
        self.zk.start(KAZOO_SECONDS)
        self.a = Agent(self.taps["A"].address)
        self.b = Agent(self.taps["B"].address)
        self._count = 0

    def both(self, kind, path, *words, b_words=None):
        """The recipe in both agents; `b_words` where those of B differ."""
        name = self._name(kind)
        return self.a.new(kind, name, path, *words), self.b.new(kind, name, path, *(b_words or words))

    def mortal(self):
        """An agent to be killed: its session is short."""
        return Agent(self.elsewhere.address, SHORT_SESSION_MS)

    def several(self, agent, number, kind, path, *words):
        return [agent.new(kind, self._name(kind), path, *words) for _ in range(number)]

    def _name(self, kind):
        self._count += 1
        return f"{kind}{self._count}"

    def heard(self, letter):
        """Lines of a relay so far."""
        return self.taps[letter].lines()

    def close(self):
        for agent in (self.a, self.b):
            agent.kill()
        self.zk.stop()
        self.zk.close()
        for tap in (*self.taps.values(), self.elsewhere):
            tap.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Story:
    """One golden file. A context: its end compares what is left, or writes the file.

    `root`: the path below which the story plays, or several; what passes elsewhere belongs to other stories.
    """

    def __init__(self, scene, file_name, root, about):
        self.scene = scene
        self.roots = (root,) if isinstance(root, str) else root
        self.path = os.path.join(GOLDEN, file_name)
        self.steps = [f"# {about}\n"]
        self.wanted = [] if UPDATE else read_steps(self.path)
        self.begun = {letter: len(tap.lines()) for letter, tap in scene.taps.items()}
        self.at = dict(self.begun)

    def step(self, title, *paths, wire=True):
        """What passed since the last step, and the trees below `paths`. `wire` False: passed in no certain order."""
        index = len(self.steps)
        wanted = self.wanted[index] if index < len(self.wanted) else None
        text, ends = self._await(lambda: self._text(title, paths, wire), wanted)
        self.steps.append(text)
        self.at = ends
        if not UPDATE and text != wanted:
            raise AssertionError(f"{os.path.basename(self.path)}, {title}:\n" + difference(wanted or "", text))

    def _await(self, look, wanted):
        deadline = time.monotonic() + STEP_SECONDS
        seen, since = look(), time.monotonic()
        while time.monotonic() < deadline:
            if seen[0] == wanted or UPDATE and time.monotonic() - since > QUIET_SECONDS:
                break
            time.sleep(0.02)
            now = look()
            if now != seen:
                seen, since = now, time.monotonic()
        return seen

    def _text(self, title, paths, wire):
        names, lines, ends = self._names(), [f"== {title}"], {}
        for letter in self.scene.taps:
            heard = self.scene.heard(letter)
            ends[letter] = len(heard)
            lines += [f"{letter}  {line}" for line in heard[self.at[letter]:] if wire and self._is_ours(line)]
        for path in paths:
            lines += ["", *self._tree(path)]
        return named("\n".join(lines), names) + "\n", ends

    def _is_ours(self, line):
        return any((word + "/").startswith(root + "/") for word in line.split() for root in self.roots)

    def _names(self):
        """UUID -> `<A1>`, by who made a node with it, in the order of the relay."""
        names = {}
        for letter in self.scene.taps:
            own = 0
            for line in self.scene.heard(letter)[self.begun[letter]:]:
                for uuid in UUID.findall(line) if line.startswith("create") else ():
                    if uuid not in names:
                        own += 1
                        names[uuid] = f"<{letter}{own}>"
        return names

    def _tree(self, path):
        try:
            data, stat = self.scene.zk.get(path)
            children = self.scene.zk.get_children(path)
        except NoNodeError:
            return [f"{path} is not there"]
        lines = [f"{path} {self._kind(path, stat)} {shown(data)}"]
        # By what is behind the UUID: the order must not depend on chance.
        for child in sorted(children, key=lambda name: (UUID.sub("", name), named(name, self._names()))):
            lines += self._tree(f"{path}/{child}")
        return lines

    def _kind(self, path, stat):
        kinds = {}
        for tap in (self.scene.elsewhere, *self.scene.taps.values()):
            kinds.update(tap.made())
        kind = kinds.get(path, "foreign").replace(" sequential", "")
        owners = {self.scene.a.session: "A", self.scene.b.session: "B"}
        owner = stat.ephemeralOwner & (1 << 64) - 1
        return f"{kind} of {owners.get(owner, 'another')}" if owner else kind

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and UPDATE:
            os.makedirs(GOLDEN, exist_ok=True)
            with open(self.path, "w") as file:
                file.write("\n".join(self.steps))
        elif kind is None and len(self.steps) != len(self.wanted):
            raise AssertionError(f"{os.path.basename(self.path)} has {len(self.wanted)} steps, told: {len(self.steps)}")


def read_steps(path):
    """Head and steps of a golden file, as they are told."""
    with open(path) as file:
        text = file.read()
    head, *steps = text.split("\n== ")
    return [head, *("== " + step.rstrip("\n") + "\n" for step in steps)]


def named(text, names):
    text = UUID.sub(lambda found: names.get(found[0], "<uuid>"), text)
    return ADDRESS.sub("<address>", text)


def difference(wanted, got):
    return "\n".join(difflib.unified_diff(wanted.splitlines(), got.splitlines(), "recorded", "now", lineterm=""))
