"""Java clients with Curator's recipes, each a process driven line by line: what a script says to `curator/Agent.java`.

`compile_agent()` builds the folder `curator/` into target/curator when a source is newer than the result. `Agent` is one
process with one session, `Recipe` one recipe in it. A question that waits is begun with `begin` and its answer fetched
later, so that one script plays holder and waiter; every wait here has a deadline.
"""

import glob
import os
import queue
import subprocess
import tempfile
import threading
import time
import urllib.parse

import servers
from process import JAVA_JARS
from report import expect_true

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "curator")
CLASSES = os.path.join(servers.repository(), "target", "curator")
STAMP = os.path.join(CLASSES, "stamp")
JARS = ("curator-recipes", "curator-framework", "curator-client", "curator-x-discovery", "zookeeper", "guava", "slf4j-nop",
        "jackson-core", "jackson-databind", "jackson-annotations")
# A small heap and one compiler, as for the servers: an agent answers half a second after its start.
JAVA_WORDS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
COMPILE_SECONDS = 120
BUILD_SECONDS = 600
ANSWER_SECONDS = 40  # longer than the agent's own deadline (ANSWER_MS), which it answers with `late`
END_SECONDS = 10
SESSION_MS = 10000
NULL = None


def class_path():
    return ":".join([CLASSES, *(f"{JAVA_JARS}/{jar}.jar" for jar in JARS)])


def compile_agent():
    """Compiles `curator/*.java` unless what is there is newer. Raises when javac is not content."""
    sources = sorted(glob.glob(os.path.join(SOURCES, "*.java")))
    newest = max(os.path.getmtime(source) for source in sources)
    if os.path.exists(STAMP) and os.path.getmtime(STAMP) > newest:
        return
    os.makedirs(CLASSES, exist_ok=True)
    # Debian's jars name neighbours that are not installed: no fault of ours.
    done = subprocess.run(["javac", "-Xlint:all,-path", "-Werror", "-cp", class_path(), "-d", CLASSES, *sources],
                          timeout=COMPILE_SECONDS, capture_output=True, text=True)
    expect_true(done.returncode == 0, f"javac: {done.stderr}")
    with open(STAMP, "w") as stamp:
        stamp.write(f"{newest}\n")


def java_command(main, *arguments):
    return ["java", *JAVA_WORDS, "-cp", class_path(), main, *arguments]


class Refused(Exception):
    """The recipe threw. `kind` is the simple name of the Java class."""

    def __init__(self, question, kind, text):
        super().__init__(f"{question}: {kind}: {text}")
        self.kind = kind


class Answer:
    """A question on its way."""

    def __init__(self, question):
        self.question = question
        self._words = queue.Queue(1)
        self._known = None

    def give(self, words):
        self._words.put(words)

    def open(self):
        """True while there is no answer."""
        return self._known is None and self._words.empty()

    def words(self, seconds=ANSWER_SECONDS):
        """What it answered, words after `ok`. Raises `Refused`, or AssertionError when nothing came in time."""
        if self._known is None:
            try:
                self._known = self._words.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"no answer within {seconds} s: {self.question}") from None
        verdict, *rest = self._known
        expect_true(verdict in ("ok", "error"), f"{self.question}: {verdict}")
        if verdict == "error":
            raise Refused(self.question, *rest)
        return rest

    def word(self, seconds=ANSWER_SECONDS):
        """The only word of the answer; `true` and `false` as such."""
        words = self.words(seconds)
        expect_true(len(words) == 1, f"{self.question}: one word, got {words}")
        return {"true": True, "false": False}.get(words[0], words[0])


class News:
    """What a recipe told without being asked, in order."""

    def __init__(self):
        self._told = []
        self._changed = threading.Condition()

    def add(self, words):
        with self._changed:
            self._told.append(tuple(words))
            self._changed.notify_all()

    def all(self):
        with self._changed:
            return list(self._told)

    def expect(self, *words, after=0, seconds=ANSWER_SECONDS):
        """Waits until `words` were told after the first `after` ones; returns how many had been told by then."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while words not in self._told[after:]:
                left = deadline - time.monotonic()
                expect_true(left > 0, f"not told within {seconds} s: {words}, but {self._told}")
                self._changed.wait(left)
            return self._told.index(words, after) + 1


class Agent:
    """A process with one Curator client. A context: at its end the session is closed, or the process killed."""

    NAME = "Curator"

    def __init__(self, hosts, session_ms=SESSION_MS, prefix=()):
        self._errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen([*prefix, *self.command()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self._errors, text=True, encoding="utf-8")
        self._lock = threading.Lock()
        self._questions = {}
        self._news = {}
        self._last = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.session = int(self.begin("connect", hosts, session_ms).word(), 16)
        except BaseException:
            self.kill()
            raise

    def command(self):
        """Builds the agent if it has to be built; the value starts it."""
        compile_agent()
        return java_command("Agent")

    def begin(self, *words):
        """Asks; the value is an `Answer`."""
        answer = Answer(" ".join(str(word) for word in words))
        with self._lock:
            self._last += 1
            self._questions[str(self._last)] = answer
            line = " ".join([str(self._last), *(encoded(word) for word in words)])
            try:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
            except (OSError, ValueError) as error:
                raise AssertionError(f"the agent is gone: {error}") from None
        return answer

    def new(self, kind, name, path, *words):
        """A recipe of a kind; kinds and verbs are told at the head of each file of `curator/`."""
        self.begin("new", kind, name, path, *words).words()
        return Recipe(self, name)

    def news(self, name="-"):
        """What the recipe of that name told; `-`: states of the connection."""
        with self._lock:
            return self._news.setdefault(name, News())

    def expire(self):
        """Ends the session at the server; returns when the client has a new one."""
        self.session = int(self.begin("expire").word(), 16)

    def close(self):
        """Closes recipes and session."""
        try:
            if self.process.poll() is None:
                self.begin("close").words()
        finally:
            self._end()

    def kill(self):
        """SIGKILL: the session stays until the server expires it."""
        self.process.kill()
        self._end()

    def _end(self):
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(END_SECONDS)
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            try:
                stream.close()
            except OSError:
                pass  # what was not yet written to a dead process

    def _read(self):
        for line in self.process.stdout:
            first, *words = (decoded(word) for word in line.rstrip("\n").split(" "))
            if first == "*":
                self.news(words[0] if words[0] is not NULL else "-").add(words[1:])
                continue
            with self._lock:
                answer = self._questions.pop(first, None)
            if answer:
                answer.give(words)
        with self._lock:
            unanswered, self._questions = self._questions, {}
        for answer in unanswered.values():
            answer.give(["the agent ended before it answered"])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.kill()


class RustAgent(Agent):
    """The same with our client, as far as `crates/client/examples/recipe_agent.rs` goes."""

    NAME = "our client"

    def command(self):
        done = subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "-p", "rookeeper-client", "--example", "recipe_agent"],
                              cwd=servers.repository(), timeout=BUILD_SECONDS, capture_output=True, text=True)
        expect_true(done.returncode == 0, f"cargo: {done.stderr}")
        return [os.path.join(servers.repository(), "target", "release", "examples", "recipe_agent")]


class Recipe:
    """A recipe in an agent: `recipe("acquire", 1000)` asks and waits, `recipe.begin(...)` only asks."""

    def __init__(self, agent, name):
        self.agent = agent
        self.name = name

    def begin(self, verb, *words):
        return self.agent.begin("do", self.name, verb, *words)

    def words(self, verb, *words):
        return self.begin(verb, *words).words()

    def __call__(self, verb, *words):
        """The only word of the answer, None when it has none, all when it has several."""
        answer = self.begin(verb, *words)
        told = answer.words()
        return answer.word() if len(told) == 1 else told or None

    @property
    def news(self):
        return self.agent.news(self.name)


def encoded(word):
    text = str(word)
    return urllib.parse.quote_plus(text) or '""'


def decoded(word):
    if word == "-":
        return NULL
    return "" if word == '""' else urllib.parse.unquote_plus(word)
