"""All kinds of clients of `load.py` at once, on all members of an ensemble, and the judgement on what they noted."""

import history
from load import CreateClient, EphemeralClient, RegisterClient, WatchClient, prepare
from members import tree_of
from report import expect_true, wait_until

PROGRESS_SECONDS = 20
STEPS = 3


class Crowd:
    """Clients that run until `stop`."""

    def __init__(self, ensemble, seed=1):
        connection = ensemble.running()[0].connect()
        prepare(connection)
        connection.close()
        self.notes = history.Notes()
        members = list(ensemble.members.values())
        self.registers = [RegisterClient(n, members, self.notes, seed=seed) for n in range(3)]
        self.creators = [CreateClient(n, members, seed=seed) for n in range(10, 12)]
        self.owners = [EphemeralClient(n, members, seed=seed) for n in range(20, 22)]
        self.watchers = [WatchClient(30, members, seed=seed)]
        self.clients = self.registers + self.creators + self.owners + self.watchers
        for client in self.clients:
            client.start()

    def await_progress(self, seconds=PROGRESS_SECONDS):
        """Every client gets answers."""
        before = [client.answered for client in self.clients]
        wait_until(lambda: all(client.answered > then + STEPS or client.fault for client, then in zip(self.clients, before)),
                   seconds, "every client gets answers")
        self.expect_no_fault()

    def expect_no_fault(self):
        for client in self.clients:
            if client.fault:
                raise client.fault

    def stop(self):
        for client in self.clients:
            client.done.set()
        for client in self.clients:
            client.stop()

    def judge(self, ensemble):
        """Holds all notes against the trees. Returns a text."""
        tree = tree_of(ensemble.running()[0])
        found = self.notes.judge(tree)
        for client in self.creators:
            history.judge_creates(client, tree)
        history.judge_ephemerals({client.path: client.session for client in self.owners}, tree)
        created = sum(len(client.acknowledged) + len(client.deleted) for client in self.creators)
        expect_true(self.notes.acknowledged() > 0 and created > 0, "something was written")
        events = sum(client.events for client in self.watchers)
        expect_true(events > 0, "watches fired")
        return f"{found}, {created} creates and deletes, {events} events, {sum(c.moves for c in self.clients)} connections"
