"""Starts and stops one standalone server under test: Debian's Java ZooKeeper or Rookeeper.

Both kinds offer the same face (`Server`), so a script never asks which one it talks to, except for listed differences
(`is_java`). Each server has its own data directory, a free loopback port, and a captured log.
"""

import argparse
import os
import shutil
import socket
import tempfile
import time

from process import ServerProcess, definitions, java_command, our_command

HOST = "127.0.0.1"
PORTS = os.environ.get("ROOKEEPER_INTEROP_PORTS", "23100-23199")
KEEP = os.environ.get("ROOKEEPER_INTEROP_KEEP") == "1"  # leave directories and logs behind
START_SECONDS = 30
LOG_LINES = 12
LOG_WIDTH = 200
JAVA_MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"
JAVA_HEAP = "-Xmx384m"

_next_port = None


def free_port():
    """Next port of the range nobody listens on. Ports are handed out in turn, so that two servers never share one."""
    global _next_port
    low, high = (int(p) for p in PORTS.split("-"))
    if _next_port is None:
        _next_port = low + os.getpid() % (high - low + 1)
    for _ in range(low, high + 1):
        port = _next_port
        _next_port = low if port >= high else port + 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue
    raise RuntimeError(f"no free port in {PORTS}")


def four_letter_word(port, word, seconds=5, host=HOST):
    """Answer text of a four-letter word; raises OSError when nobody answers."""
    with socket.create_connection((host, port), timeout=seconds) as sock:
        sock.sendall(word.encode())
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return answer.decode("utf-8", "replace")


class Server(ServerProcess):
    """A server process over one data directory.

    `settings`: `-Dname=value` words (names with their `zookeeper.` prefix); `config`: further lines of the
    configuration file. `data_dir`: a directory to open, which is not removed by `discard`.
    """

    kind = "?"
    is_java = False

    def __init__(self, settings=None, config=None, data_dir=None):
        self.settings = dict(settings or {})
        self.config = {"tickTime": 2000, "4lw.commands.whitelist": "*", "maxClientCnxns": 0, **(config or {})}
        self.work_dir = tempfile.mkdtemp(prefix="rookeeper-interop-")
        self.data_dir = data_dir or os.path.join(self.work_dir, "data")
        os.makedirs(self.data_dir, exist_ok=True)
        self.log_path = os.path.join(self.work_dir, "server.log")
        self.port = free_port()
        self._kept_log = ["(no log)"]

    def __str__(self):
        return f"{self.kind} server"

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def command(self, config_path):
        raise NotImplementedError

    def start(self):
        """Starts the process and returns when `srvr` is answered by a serving server."""
        config_path = os.path.join(self.work_dir, "zoo.cfg")
        with open(config_path, "w") as file:
            for key, value in {**self.config, "dataDir": self.data_dir, "clientPort": self.port}.items():
                file.write(f"{key}={value}\n")
        self.spawn(self.command(config_path))
        self._await_serving()
        return self

    def _await_serving(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self} ended with {self.process.returncode}:\n" + self._tail_text())
            try:
                if "Mode:" in four_letter_word(self.port, "srvr", 2):
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{self} did not serve within {START_SECONDS} s:\n" + self._tail_text())

    def restart(self, hard=True):
        """Stops (kill -9 by default) and starts again on the same port and data."""
        self.kill() if hard else self.terminate()
        return self.start()

    def discard(self):
        """Kills the server and removes what it owns."""
        self.kill()
        self._kept_log = self.log_tail()  # failures are reported after this
        if KEEP:
            print(f"kept: {self.work_dir}")
        else:
            shutil.rmtree(self.work_dir, ignore_errors=True)

    def log_tail(self, lines=LOG_LINES):
        try:
            with open(self.log_path, errors="replace") as file:
                kept = [line.rstrip("\n")[:LOG_WIDTH] for line in file if not line.startswith("\tat ")]
                return kept[-lines:]
        except OSError:
            return self._kept_log

    def _tail_text(self):
        return "\n".join("  | " + line for line in self.log_tail())

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, *_):
        self.discard()


class Java(Server):
    """Debian's ZooKeeper 3.8.0."""

    kind = "java"
    is_java = True

    def command(self, config_path):
        return java_command(JAVA_MAIN, [JAVA_HEAP, *definitions(self.settings)], config_path)


class Rookeeper(Server):
    """Our binary: `rookeeper server CFG -Dname=value ...`."""

    kind = "rookeeper"

    def __init__(self, binary, **kwargs):
        super().__init__(**kwargs)
        self.binary = os.path.abspath(binary)

    def command(self, config_path):
        return our_command(self.binary, definitions(self.settings), config_path)


def arguments(description, **extra):
    """Command line common to all scripts: `--server java|rookeeper --binary PATH`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", choices=["java", "rookeeper"], default="rookeeper")
    parser.add_argument("--binary", default=os.path.join(repository(), "target", "release", "rookeeper"))
    for name, options in extra.items():
        parser.add_argument("--" + name.replace("_", "-"), **options)
    return parser


def repository():
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def factory(options):
    """Makes servers of the chosen kind: `make(settings=..., config=..., data_dir=...)`."""
    if options.server == "java":
        return Java
    if not os.access(options.binary, os.X_OK):
        raise SystemExit(f"no binary at {options.binary}: build it (cargo build --release) or give --binary")
    return lambda **kwargs: Rookeeper(options.binary, **kwargs)
