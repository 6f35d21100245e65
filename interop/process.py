"""The process of one server under test: started with its log, watched, paused, ended.

What lives here: `ServerProcess`, for a standalone server and for a member of an ensemble alike, and the commands of both
kinds of server. What does not: configurations, ports, and when a server counts as serving.
"""

import os
import signal
import subprocess

STOP_SECONDS = 10
JAVA_JARS = "/usr/share/java"
# A small heap and one compiler: the server starts in about a second and leaves the other core alone.
JAVA_WORDS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.admin.enableServer=false",
              "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"]


def definitions(settings):
    return [f"-D{name}={value}" for name, value in settings.items()]


def java_command(main, words, config_path):
    """Debian's ZooKeeper. `words`: the heap and definitions; a definition here overrides one of `JAVA_WORDS`."""
    jars = f"{JAVA_JARS}/zookeeper.jar:{JAVA_JARS}/slf4j-simple.jar"
    return ["java", *JAVA_WORDS, *words, "-cp", jars, main, config_path]


def our_command(binary, words, config_path):
    return [binary, "server", config_path, *words]


class ServerProcess:
    """Whoever inherits it has a `work_dir` and a `log_path`, and says in `__str__` what it is."""

    process = None

    def spawn(self, command, environment=None):
        """Starts the process and returns at once; what it prints is added to its log. `environment` goes on top of ours."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            cwd=self.work_dir, env={**os.environ, **(environment or {})})

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """SIGKILL: nothing is flushed, as after a power cut of the process."""
        self._end(signal.SIGKILL)

    def terminate(self):
        """SIGTERM: a clean stop. Returns the exit status."""
        return self._end(signal.SIGTERM)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self} ignored signal {how}")
        self.process = None
        return status
