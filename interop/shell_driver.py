"""Our shell as a process: on a pipe, as a single command, or on a terminal that somebody types on.

What lives here: how it is started, what is typed, and what came back, with events told apart from results. What does not: what
should come back. `Screen` shows what a person would see of the bytes that a terminal got.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

from report import expect, expect_true

SHELL_SECONDS = 30
COLUMNS, ROWS = 220, 50  # wide enough that no line wraps
# Typed behind every line: its answer ends the results of that line.
MARKER, MARK = "printwatches", re.compile(r"^printwatches is (on|off)\n", re.M)
EVENT = re.compile(r"\nWATCHER::\n\n(WatchedEvent .*)\n")
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ \[myid:\] - .*\n", re.M)
PROMPT = re.compile(r"\[zk: (\S+)\((\w+)\) (\d+)\] ")
ESCAPE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")
STAT_LINES = ["cZxid", "ctime", "mZxid", "mtime", "pZxid", "cversion", "dataVersion", "aclVersion", "ephemeralOwner", "dataLength",
              "numChildren"]
ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "TERM": "xterm", "CLIENT_JVMFLAGS": "", "JVMFLAGS": ""}


class Program:
    """How the shell is called: the binary with its subcommand, or a link of the old name."""

    def __init__(self, binary, folder):
        self.words = [os.path.abspath(binary), "cli"]
        link = os.path.join(folder, "zkCli.sh")
        os.symlink(self.words[0], link)
        self.old_name = [link]


def environment(more=None):
    return {**os.environ, **ENVIRONMENT, **(more or {})}


def one_shot(words, *command, env=None):
    """Status, lines of results, lines of complaints of a single command; what is said of its connection is left out."""
    done = subprocess.run([*words, *command], stdin=subprocess.DEVNULL, capture_output=True, timeout=SHELL_SECONDS,
                          env=environment(env), encoding="utf-8")
    out = EVENT.sub("", done.stdout).splitlines()
    return done.returncode, [line for line in out if not line.startswith("Connecting to ")], done.stderr.splitlines()


def stat_of(lines):
    """The fields of the block that `lines` end with; its lines are those of ZooKeeper, in that order."""
    block = [line.partition(" = ") for line in lines[-len(STAT_LINES):]]
    expect([name for name, _, _ in block], STAT_LINES, f"lines of the block in {lines}")
    numbers = ("cversion", "dataVersion", "aclVersion", "dataLength", "numChildren")
    zxids = ("cZxid", "mZxid", "pZxid", "ephemeralOwner")
    return {name: int(value) if name in numbers else int(value, 16) if name in zxids else value for name, _, value in block}


class Process:
    """What both kinds of open shells have: all that was printed so far, and the end."""

    def __init__(self):
        self.text = ""
        self._taken = 0
        self._more = threading.Condition()

    def _print(self, text):
        with self._more:
            self.text += text
            self._more.notify_all()

    def _await(self, look, what):
        """Waits until `look()` finds something in what was printed. Returns it."""
        found = None

        def has_come():
            nonlocal found
            found = look()
            return found
        with self._more:
            expect_true(self._more.wait_for(has_come, SHELL_SECONDS), f"not within {SHELL_SECONDS} s: {what()}")
        return found

    def events(self, part=""):
        """Events that came by now and hold this text."""
        return [event for event in EVENT.findall(self.seen()) if part in event]

    def await_events(self, count, part):
        self._await(lambda: len(self.events(part)) >= count, lambda: f"{count} events {part!r}; printed was {self.seen()[-2000:]!r}")
        found = self.events(part)
        expect(len(found), count, f"events {part!r}")
        return found

    def kill(self):
        """SIGKILL: the session is left to its timeout."""
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


class Script(Process):
    """A shell that reads lines from a pipe. Results and complaints come on one pipe, in their order."""

    def __init__(self, words, *options, env=None):
        super().__init__()
        self.process = subprocess.Popen([*words, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=environment(env), bufsize=0)
        threading.Thread(target=self._read, daemon=True).start()
        self.first = self.say("")

    def _read(self):
        while chunk := self.process.stdout.read(65536):
            self._print(chunk.decode("utf-8", "backslashreplace"))

    def seen(self):
        return self.text

    def type(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    def say(self, line):
        """Types a line. Returns the lines it printed, without events and the shell's log."""
        self.process.stdin.write(f"{line}\n{MARKER}\n".encode())
        mark = self._await(lambda: MARK.search(self.text, self._taken),
                           lambda: f"an answer to {line[:80]!r}; printed was {self.text[-2000:]!r}")
        said = self.text[self._taken:mark.start()]
        self._taken = mark.end()
        return LOG_LINE.sub("", EVENT.sub("", said)).splitlines()

    def stat(self, path):
        return stat_of(self.say(f"stat {path}"))

    def create(self, words):
        """Creates a node; returns its path."""
        said = self.say(f"create {words}")
        expect((len(said), said[0].partition(" ")[0]), (1, "Created"), f"create {words}: {said}")
        return said[0].partition(" ")[2]

    def end(self, line="quit"):
        """Ends with that line, or with the input if it is None. Returns the status."""
        if line is not None:
            self.type(line)
        self.process.stdin.close()
        return self.process.wait(SHELL_SECONDS)


class Terminal(Process):
    """A shell on a terminal."""

    def __init__(self, words, *options, env=None):
        super().__init__()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen([*words, *options], stdin=slave, stdout=slave, stderr=slave, env=environment(env),
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        pending = b""
        try:
            while chunk := os.read(self._master, 65536):
                pending += chunk
                # A character may be cut by the end of the chunk.
                for end in range(len(pending), max(len(pending) - 4, -1), -1):
                    try:
                        text = pending[:end].decode()
                    except UnicodeDecodeError:
                        continue
                    self._print(text)
                    pending = pending[end:]
                    break
        except OSError:
            pass  # the shell is gone

    def seen(self):
        return "\n".join(self.lines()) + "\n"

    def lines(self):
        """All lines that were ever on the screen, as they look now."""
        return Screen(self.text).lines

    def column(self):
        """Where the cursor is."""
        return Screen(self.text).column

    def keys(self, keys):
        os.write(self._master, keys.encode())

    def await_line(self, wanted, what=None):
        """Waits until the last line looks like that: a text, or what a function says of it. Returns it."""
        looks = wanted if callable(wanted) else lambda line: line == wanted
        self._await(lambda: looks(self.lines()[-1]), lambda: f"{what or repr(wanted)}; the screen ends with {self.lines()[-12:]}")
        return self.lines()[-1]

    def await_prompt(self, number, state="CONNECTED"):
        """Waits for an empty line to type on."""
        def is_it(line):
            prompt = PROMPT.fullmatch(line + " ") or PROMPT.fullmatch(line)
            return bool(prompt) and (prompt[2], int(prompt[3])) == (state, number)
        return self.await_line(is_it, f"prompt {number} {state}")

    def enter(self, line):
        """Types a line at a prompt and waits for the next one. Returns the lines between them, events included."""
        number = int(PROMPT.match(self.lines()[-1] + " ")[3])
        before = len(self.lines())
        self.keys(line + "\r")
        self.await_line(lambda last: (at := PROMPT.fullmatch(last + " ")) and int(at[3]) == number + 1, f"the prompt after {line!r}")
        return self.lines()[before:-1]

    def end(self, keys="quit\r"):
        self.keys(keys)
        return self.process.wait(SHELL_SECONDS)

    def __exit__(self, *rest):
        super().__exit__(*rest)
        # Not while it is read: its number may soon be that of another file.
        self._reader.join(SHELL_SECONDS)
        os.close(self._master)


class Screen:
    """Lines without a bottom, a cursor, and the few sequences that a line editor sends."""

    def __init__(self, text):
        self.lines, self.row, self.column = [""], 0, 0
        at = 0
        while at < len(text):
            escape = ESCAPE.match(text, at)
            if escape:
                self._escape(escape[1], escape[2])
                at = escape.end()
            elif text[at] == "\x1b" and len(text) - at < 12:
                break  # the rest of the sequence is on its way
            else:
                self._put(text[at])
                at += 1
        self.lines = [line.rstrip() for line in self.lines]

    def _put(self, letter):
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self.row += 1
            while self.row >= len(self.lines):
                self.lines.append("")
        elif letter >= " ":
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[:self.column] + letter + line[self.column + 1:]
            self.column += 1

    def _escape(self, words, letter):
        count = int(words) if words.isdigit() else 1
        if letter == "A":
            self.row = max(0, self.row - count)
        elif letter == "C":
            self.column += count
        elif letter == "D":
            self.column = max(0, self.column - count)
        elif letter == "K":
            self.lines[self.row] = self.lines[self.row][:self.column]
        elif letter == "J" and words in ("", "0"):
            self.lines[self.row] = self.lines[self.row][:self.column]
            del self.lines[self.row + 1:]
        elif letter == "J":
            self.lines, self.row, self.column = [""], 0, 0
        elif letter == "H":
            self.row = self.column = 0
