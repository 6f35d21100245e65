"""What the kazoo scripts share: clients closed after each case, recorders of events, and the loop over cases."""

import logging
import time

from kazoo.client import KazooClient

import servers
from report import Report, expect, wait_until

TICK_MS = 500  # short, so that a session can be as short as a second
SHORT_SESSION = 1.0  # seconds; the smallest the test server grants
EVENT_SECONDS = 5


class World:
    """The server and the clients of the current case."""

    def __init__(self, server):
        self.server = server
        self.clients = []

    def client(self, chroot="", timeout=10.0, **options):
        retry = {"max_tries": -1, "delay": 0.05, "max_delay": 0.3}
        client = KazooClient(self.server.address + chroot, timeout=timeout, connection_retry=retry, **options)
        self.clients.append(client)
        client.start(timeout=10)
        return client

    def end(self):
        for client in self.clients:
            try:
                client.stop()
                client.close()
            except Exception:
                pass  # a case may have broken its client on purpose
        self.clients.clear()


class Watch:
    """Collects the events of one watch."""

    def __init__(self):
        self.events = []

    def __call__(self, event):
        self.events.append((event.type, event.path))

    def expect(self, *events):
        wait_until(lambda: len(self.events) >= len(events), EVENT_SECONDS, f"events {events}, got {self.events}")
        time.sleep(0.1)  # a surplus event would come now
        expect(self.events, list(events), "events")


def raises(kind, work, *args, **kwargs):
    try:
        value = work(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got {value!r}")


def run_cases(title, description, cases, own_servers=()):
    """Runs (function, arguments) pairs on one server, then the functions that start servers of their own."""
    options = servers.arguments(description,
                                only={"help": "run cases whose name contains this text"}).parse_args()
    logging.disable(logging.CRITICAL)
    make = servers.factory(options)
    report = Report(f"{title} against {options.server}")
    wanted = lambda case: not options.only or options.only in case.__name__
    with make(config={"tickTime": TICK_MS, "maxSessionTimeout": 60000}) as server:
        report.server = server
        world = World(server)
        for case, *arguments in cases:
            if wanted(case):
                report.case(label(case, arguments), case, world, *arguments)
                world.end()
    for case in own_servers:
        if wanted(case):
            report.case(label(case, []), case, make)
    return report.finish()


def label(case, arguments):
    """Name of a case with its arguments and the scenarios its first line names."""
    text = (case.__doc__ or "").split(":")[0]
    words = [case.__name__.replace("_", " "), *arguments]
    return " ".join(words) + (f" [{text}]" if text.startswith("S") else "")
