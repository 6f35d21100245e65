"""A network of our own for each member, on a bridge: links break one way, both ways, or flap, and nobody outside notices.

`enter_sandbox` starts the script again in its own network, mount and process namespaces: whatever happens to it, its
processes, mounts and interfaces end with it. This needs root, and iproute2 and util-linux only.

A cut direction loses every packet silently, as a broken wire does: the sender believes in a hardware address that nobody has.
"""

import os
import subprocess
import sys

MARK = "ROOKEEPER_SANDBOX"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
NAMES_DIR = "/run/netns"
PREFIX = "10.77.0."
BRIDGE = "members"
OWN = PREFIX + "254"
NOBODY = "02:00:00:00:00:01"


def enter_sandbox():
    """Returns inside the sandbox; the process that was started outside is replaced."""
    if os.environ.get(MARK) == "entered":
        return
    if os.geteuid() != 0:
        raise SystemExit(f"{os.path.basename(sys.argv[0])}: networks of its own need root")
    os.environ[MARK] = "entered"
    os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, *sys.argv])


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


class Network:
    """One namespace for each server id, and a bridge that this process can reach them by."""

    def __init__(self, sids):
        self.sids = list(sids)
        os.makedirs(NAMES_DIR, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", NAMES_DIR)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", OWN + "/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for sid in self.sids:
            self._add(sid)

    @staticmethod
    def _add(sid):
        name = f"m{sid}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"v{sid}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"v{sid}", "master", BRIDGE, "up")
        run("ip", "-n", name, "addr", "add", PREFIX + str(sid) + "/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "set", "eth0", "up")

    @staticmethod
    def place(sid):
        """What a `Member` needs to live there."""
        return {"host": PREFIX + str(sid), "prefix": ["ip", "netns", "exec", f"m{sid}"]}

    @staticmethod
    def cut(source, target):
        """What `source` sends to `target` is lost from now on."""
        run("ip", "-n", f"m{source}", "neigh", "replace", PREFIX + str(target), "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")

    def isolate(self, sid):
        """No packets between this member and the others; clients still reach all."""
        for other in self.sids:
            if other != sid:
                self.cut(sid, other)
                self.cut(other, sid)

    def heal(self):
        for sid in self.sids:
            run("ip", "-n", f"m{sid}", "neigh", "flush", "all", "nud", "permanent")

    @staticmethod
    def link(sid, up):
        """The member's only cable, for clients too."""
        run("ip", "link", "set", f"v{sid}", "up" if up else "down")
