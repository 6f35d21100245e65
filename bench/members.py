"""The ensembles that bench/ensemble measures: three processes on this machine, on free ports, each with a directory of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from servers import java_command, srvr

MEMBERS = 3
# How long an ensemble may take to have a leader and followers.
PATIENCE = 120
# How long a member may take to end.
FAREWELL = 60
# Between two questions to a member.
POLL = 0.005
TICKS = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    """Ports that nobody had a moment ago; held together, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Member:
    def __init__(self, directory, client_port):
        self.directory, self.client_port, self.process = directory, client_port, None

    @property
    def pid(self):
        return self.process.pid

    def start(self, command):
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.ended()

    def ended(self):
        """Waits for an end that somebody else has asked for."""
        try:
            self.process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def forget(self):
        """Its data is gone, as on a new disk."""
        shutil.rmtree(self.directory / "data/version-2")

    def state(self):
        """What it says to be, or None while it does not serve, and the newest transaction it has."""
        answer = srvr(self.client_port)
        mode, zxid = re.search(r"^Mode: (\w+)", answer, re.MULTILINE), re.search(r"^Zxid: (0x[0-9a-f]+)", answer, re.MULTILINE)
        return (mode[1], int(zxid[1], 16)) if mode and zxid else (None, None)

    def cpu_seconds(self):
        # The name of the process, in brackets, may hold anything.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        user, system = int(fields[11]), int(fields[12])
        return (user + system) / TICKS

    def last_words(self):
        return "\n".join((self.directory / "server.log").read_text(errors="replace").splitlines()[-10:])


class Ensemble:
    """A context: when it is left, no process stays."""

    def __init__(self, directory):
        ports = free_ports(3 * MEMBERS)
        self.peers = [f"server.{n + 1}=127.0.0.1:{ports[3 * n]}:{ports[3 * n + 1]}" for n in range(MEMBERS)]
        self.members = [self.member(Path(directory) / f"member-{n + 1}", n + 1, ports[3 * n + 2]) for n in range(MEMBERS)]

    def member(self, directory, number, client_port):
        data = directory / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text(f"{number}\n")
        (directory / "zoo.cfg").write_text("\n".join([
            "tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={data}", f"clientPort={client_port}",
            "clientPortAddress=127.0.0.1", "maxClientCnxns=0", "4lw.commands.whitelist=*", "admin.enableServer=false",
            *self.peers, ""]))
        return Member(directory, client_port)

    def __enter__(self):
        for member in self.members:
            self.start(member)
        return self

    def __exit__(self, *_):
        for member in self.members:
            if member.process:
                member.process.kill()
                member.process.wait()

    def start(self, member):
        member.start(self.command(str(member.directory / "zoo.cfg")))

    def settled(self):
        """Leader, follower, follower; waits until it is so."""
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            for member in self.members:
                if member.process.poll() is not None:
                    raise SystemExit(f"a member ended with {member.process.returncode}:\n{member.last_words()}")
            modes = [member.state()[0] for member in self.members]
            if sorted(map(str, modes)) == ["follower", "follower", "leader"]:
                leader = modes.index("leader")
                return [self.members[(leader + n) % MEMBERS] for n in range(MEMBERS)]
            time.sleep(POLL)
        raise SystemExit("the ensemble finds no leader")

    def cpu_seconds(self):
        return sum(member.cpu_seconds() for member in self.members)


class RookeeperEnsemble(Ensemble):
    name = "Rookeeper"

    def __init__(self, directory, binary):
        super().__init__(directory)
        self.binary = binary

    def command(self, config):
        return [self.binary, "server", config]


class JavaEnsemble(Ensemble):
    name = "Java"

    def command(self, config):
        return java_command("quorum.QuorumPeerMain", "2g", config)
