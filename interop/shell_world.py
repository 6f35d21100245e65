"""A server and the ways to call our shell on it: what the cases of `shell.py` and `shell_nodes.py` are given."""

from servers import four_letter_word
from shell_driver import Script, Terminal, one_shot

CONNECTED = "WatchedEvent state:SyncConnected type:None path:null zxid: -1"
# What a 3.8.0 server answers otherwise than 3.9.3, whatever the shell is.
JAVA_38 = {
    "events have no zxid": True,  # notifications tell theirs since 3.9
}


class World:
    """A server, and the ways to call the shell."""

    def __init__(self, server, program):
        self.server = server
        self.program = program

    def target(self, *options, chroot=""):
        return ["-server", self.server.address + chroot, *options]

    def script(self, *options, chroot="", env=None):
        return Script(self.program.words, *self.target(*options, chroot=chroot), env=env)

    def terminal(self, *options, env=None):
        return Terminal(self.program.words, *self.target(*options), env=env)

    def once(self, *command, env=None):
        return one_shot(self.program.words, *self.target(), *command, env=env)

    def word(self, word):
        return four_letter_word(self.server.port, word)

    def event(self, kind, path, zxid):
        """The line of a watch that fired."""
        known = -1 if self.server.is_java and JAVA_38["events have no zxid"] else zxid
        return f"WatchedEvent state:SyncConnected type:{kind} path:{path} zxid: {known}"
