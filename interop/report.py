"""One line per case, a closing sum, and the server's log when something failed."""

import sys
import time
import traceback

FRAMES_SHOWN = 6


class Report:
    """Counts cases. `server` (optional) is asked for the end of its log at the first failures."""

    LOGS_SHOWN = 3

    def __init__(self, title):
        self.title = title
        self.passed = 0
        self.failed = 0
        self.server = None
        self._logs_left = self.LOGS_SHOWN
        print(f"== {title}", flush=True)

    def case(self, name, work, *args):
        """Runs `work`; any exception is a failure. Returns its value, None after a failure."""
        begin = time.monotonic()
        try:
            value = work(*args)
        except (Exception, SystemExit) as error:
            self.fail(name, self._explain(error))
            return None
        self.ok(name, f"{(time.monotonic() - begin) * 1000:.0f} ms")
        return value

    def ok(self, name, note=""):
        self.passed += 1
        print(f"ok    {name}" + (f"  ({note})" if note else ""), flush=True)

    def fail(self, name, reason):
        self.failed += 1
        print(f"FAIL  {name}: {reason}", flush=True)
        if self.server is not None and self._logs_left > 0:
            self._logs_left -= 1
            print("      server log, last lines:")
            for line in self.server.log_tail():
                print(f"      | {line}")

    def finish(self):
        """Prints the sum; the value is the exit status."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed else 0

    @staticmethod
    def _explain(error):
        if isinstance(error, AssertionError):
            where = traceback.extract_tb(error.__traceback__)
            way = " > ".join(f"{w.name}:{w.lineno}" for w in where[-FRAMES_SHOWN:])
            return f"{error or 'assertion'} [{way} {where[-1].line}]"
        where = traceback.extract_tb(error.__traceback__)
        own = [w for w in where if "interop" in w.filename] or where
        way = " > ".join(f"{w.name}:{w.lineno}" for w in own[-FRAMES_SHOWN:])
        return f"{type(error).__name__}: {error} [{way}]"


def expect(actual, wanted, what="value"):
    """Equality with both sides in the message."""
    if actual != wanted:
        raise AssertionError(f"{what}: got {actual!r}, expected {wanted!r}")


def expect_true(condition, what):
    if not condition:
        raise AssertionError(what)


def wait_until(condition, seconds, what):
    """Polls until `condition()` is true; its value is returned. Past `seconds`: failure."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def main(run):
    """Calls `run()` and ends the process with its status."""
    sys.exit(run())
