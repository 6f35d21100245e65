#!/usr/bin/env python3
"""The users' scenarios (docs/acceptance.md) with our own client against a server that is not ours: one case for each test.

The tests are `crates/client/tests/acceptance*.rs`, which also run against our server by `cargo test`. Here they get the address
of a server; `acceptance_ensemble.rs` brings its own members and stays out.
"""

import json
import os
import re
import subprocess
import time

import servers
from report import Report, expect, expect_true, main

PROGRAMS = ("acceptance", "acceptance_sessions", "acceptance_recipes")
ADDRESS = "ROOKEEPER_ACCEPTANCE_SERVER"  # read by crates/client/tests/scene
TICK_MS = 1000
USUAL_TICK_MS = 2000
# Uses a server of its own, with settings that no foreign one has.
OWN_SERVER = ("s89_the_parent_goes_when_nobody_wants_the_lock",)
# What depends on the tick of the server is seen with the usual one too.
WITH_USUAL_TICK = "s84_the_session_timeout_is_between_two_and_twenty_ticks"
THREADS = 4
BUILD_SECONDS = 600
RUN_SECONDS = 120
REASON_LINES = 6


def build():
    """Builds the test programs unless they are there; their paths by name."""
    words = [word for name in PROGRAMS for word in ("--test", name)]
    done = subprocess.run(["cargo", "test", "--no-run", "--quiet", "--locked", "--message-format", "json", "-p", "rookeeper-client", *words],
                          cwd=servers.repository(), timeout=BUILD_SECONDS, capture_output=True, text=True)
    expect_true(done.returncode == 0, f"cargo: {done.stderr}")
    built = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            built[message["target"]["name"]] = message["executable"]
    expect(sorted(built), sorted(PROGRAMS), "programs")
    return built


def run_tests(program, address, *words):
    """Runs a program; for each of its tests nothing, or why it failed."""
    skipped = [word for name in OWN_SERVER for word in ("--skip", name)]
    done = subprocess.run([program, "--test-threads", str(THREADS), *skipped, *words], timeout=RUN_SECONDS, capture_output=True, text=True,
                          env={**os.environ, ADDRESS: address, "RUST_BACKTRACE": "0"})
    text = done.stdout + done.stderr
    results = dict(re.findall(r"^test (\w+) \.\.\. (\w+)$", text, re.MULTILINE))
    expect_true(results, f"no test ran: {text[-500:]}")
    expect(done.returncode == 0, all(result == "ok" for result in results.values()), "status")
    return {name: None if result == "ok" else reason(text, name) for name, result in results.items()}


def reason(text, name):
    """The first lines of what a test said."""
    said = text.partition(f"---- {name} stdout ----")[2].partition("\n---- ")[0]
    lines = [line for line in said.splitlines() if line.strip()]
    return "; ".join(lines[:REASON_LINES]) or "it said nothing"


def tell(report, results, note):
    """A line for each test."""
    for name, failure in sorted((results or {}).items()):
        scenario, _, words = name.partition("_")
        case = f"{scenario.upper()} {words.replace('_', ' ')}{note}"
        if failure is None:
            report.ok(case)
        else:
            report.fail(case, failure)


def run():
    options = servers.arguments(__doc__.splitlines()[0]).parse_args()
    make = servers.factory(options)
    report = Report(f"our client and the users' scenarios against {options.server}")
    built = report.case("build", build)
    if built is None:
        return report.finish()
    begun = time.monotonic()
    with make(config={"tickTime": TICK_MS}) as server:
        report.server = server
        for name in PROGRAMS:
            tell(report, report.case(name, run_tests, built[name], server.address), "")
    with make(config={"tickTime": USUAL_TICK_MS}) as server:
        report.server = server
        results = report.case("with the usual tick", run_tests, built["acceptance_sessions"], server.address, "--exact", WITH_USUAL_TICK)
        tell(report, results, ", with the usual tick")
    print(f"in {time.monotonic() - begun:.0f} s")
    return report.finish()


if __name__ == "__main__":
    main(run)
