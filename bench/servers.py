"""The servers that bench/compare measures: Rookeeper and Debian's Java ZooKeeper, each started in a directory of its own. What
bench/ensemble shares with it stands here too; its ensembles are in members.py."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

PORT = 23990


def srvr(port):
    """What the word `srvr` answers, empty where nothing does."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(b"srvr")
            while part := s.recv(4096):
                answer += part
    except OSError:
        pass
    return answer.decode()


def wait_until_serving(port, process, seconds=120):
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        if "Mode:" in srvr(port):
            return
        time.sleep(0.002)
    raise SystemExit("the server does not answer")


def java_command(main, memory, config):
    jars = ":".join(str(p) for folder in ("/usr/share/java", "/usr/share/zookeeper")
                    for p in Path(folder).glob("*.jar"))
    return ["java", f"-Xmx{memory}", "-cp", f"/etc/zookeeper/conf:{jars}", "-Dzookeeper.root.logger=WARN,CONSOLE",
            f"org.apache.zookeeper.server.{main}", config]


def java_version():
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "zookeeper"], capture_output=True, text=True)
    return done.stdout or "unknown"


class Server:
    warm_up = 2

    def __init__(self, directory):
        self.directory = Path(directory)

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Returns the ms until it answers."""
        begun = time.monotonic()
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory)
        wait_until_serving(PORT, self.process)
        return (time.monotonic() - begun) * 1000

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def config(self):
        path = self.directory / "zoo.cfg"
        path.write_text(f"tickTime=2000\ndataDir={self.directory}/data\nclientPort={PORT}\nmaxClientCnxns=0\n"
                        "maxSessionTimeout=60000\n4lw.commands.whitelist=*\nadmin.enableServer=false\n")
        return str(path)

    def snapshots(self):
        return {path.name for path in (self.directory / "data/version-2").glob("snapshot.*")}

    def resident(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return None


class Rookeeper(Server):
    name = "Rookeeper"

    def __init__(self, directory, binary):
        super().__init__(directory)
        self.binary = binary

    def command(self):
        return [self.binary, "server", self.config()]


class Java(Server):
    name = "Java"
    # Its compiler has to see the code for a while.
    warm_up = 5

    def command(self):
        return java_command("ZooKeeperServerMain", "4g", self.config())


def bench(binary, server_pid, *words, port=PORT, timeout=600):
    """One `rookeeper bench`; a failure is a result too."""
    command = [binary, "bench", "--server", f"127.0.0.1:{port}", "--json"]
    if server_pid:
        command += ["--pid", str(server_pid)]
    try:
        done = subprocess.run(command + list(map(str, words)), capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {timeout} s"}
    if done.returncode:
        return {"failed": done.stderr.strip()}
    return json.loads(done.stdout)
