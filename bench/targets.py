"""What Rookeeper wants to reach, and whether a run reached it. A target is computed from the figures of one run and nothing else."""

from dataclasses import dataclass
from typing import Callable

RATE = "operations_per_second"
CPU = "server_cpu_us_per_operation"


@dataclass
class Figures:
    """Reports of `rookeeper bench` by name: of both servers, of the echo, of appending."""
    ours: dict
    java: dict
    echo: dict
    append: dict

    def of(self, who, *keys):
        """A figure, or None where it was not measured."""
        value = getattr(self, who)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def failures(self):
        """Name, server and message of each bench that could not be finished."""
        for who in ("ours", "java"):
            for name, report in getattr(self, who).items():
                # A number counts connections that failed: a result like others.
                if isinstance(report, dict) and isinstance(report.get("failed"), str):
                    yield name, who, report["failed"]


@dataclass
class Target:
    row: str
    text: str
    # None where something was not measured.
    met: Callable[[Figures], bool | None]

    @property
    def name(self):
        return f"{self.row}: {self.text}"


def compared(first, second, test):
    return None if first is None or second is None else bool(test(first, second))


def times_java(row, factor):
    return Target(row, f"{factor} x throughput", lambda f: compared(
        f.of("ours", row, RATE), f.of("java", row, RATE), lambda o, j: o >= factor * j))


def cpu_of_java(row, part):
    return Target(row, f"1/{part} CPU", lambda f: compared(
        f.of("ours", row, CPU), f.of("java", row, CPU), lambda o, j: o <= j / part))


def tail_of_java(row, part, keys=()):
    keys = keys or (row,)
    return Target(row, f"p99.9 at most 1/{part} of Java's", lambda f: compared(
        f.of("ours", *keys, "p999_us"), f.of("java", *keys, "p999_us"), lambda o, j: o <= j / part))


def share_of_echo(row, percent):
    return Target(row, f"{percent} % of echo", lambda f: compared(
        f.of("ours", row, RATE), f.of("echo", row, RATE), lambda o, e: o >= e * percent / 100))


def cpu_of_echo(row, factor):
    return Target(row, f"CPU {factor} x echo's", lambda f: compared(
        f.of("ours", row, CPU), f.of("echo", row, CPU), lambda o, e: o <= factor * e))


def p99_of_p50(row, factor):
    return Target(row, f"p99 <= {factor} x p50", lambda f: compared(
        f.of("ours", row, "p99_us"), f.of("ours", row, "p50_us"), lambda p99, p50: p99 <= factor * p50))


def p50_beyond_sync(row, more_us):
    return Target(row, f"p50 <= one fdatasync + {more_us} us", lambda f: compared(
        f.of("ours", row, "p50_us"), f.of("append", row, "p50_us"), lambda p50, sync: p50 <= sync + more_us))


def at_most(row, text, limit, *keys, scale=1):
    return Target(row, text, lambda f: compared(f.of("ours", *keys), limit, lambda o, most: o / scale <= most))


def at_least(row, text, limit, *keys):
    return Target(row, text, lambda f: compared(f.of("ours", *keys), limit, lambda o, least: o >= least))


GET_D16, EXISTS_D16 = "get 100 B, C50D16", "exists, C50D16"
GET_D1, GET_C1 = "get 100 B, C50D1", "get 100 B, C1D1"
SET_D16, SET_C1 = "set 100 B, C50D16", "set 100 B, C1D1"
CREATE_D16, MIXED_D16 = "create 100 B, C50D16", "mixed 90 % reads, C50D16"
MULTI_D1, LIST_D1 = "multi of 10 sets, C50D1", "getChildren of 1,000 names, C50D1"

LOAD_TARGETS = [
    times_java(GET_D16, 8), cpu_of_java(GET_D16, 10), share_of_echo(GET_D16, 45),
    times_java(EXISTS_D16, 8), cpu_of_java(EXISTS_D16, 10), share_of_echo(EXISTS_D16, 45),
    share_of_echo(GET_D1, 80), cpu_of_echo(GET_D1, 1.4),
    share_of_echo(GET_C1, 80), p99_of_p50(GET_C1, 2),
    times_java(SET_D16, 5), cpu_of_java(SET_D16, 6), tail_of_java(SET_D16, 5),
    at_least(SET_D16, "no second below half of the average", 0.5, SET_D16, "slowest_second_share"),
    p50_beyond_sync(SET_C1, 60),
    times_java(CREATE_D16, 6), cpu_of_java(CREATE_D16, 6),
    times_java(MIXED_D16, 7),
    times_java(MULTI_D1, 4),
    times_java(LIST_D1, 6),
]

# 48 bytes and the path, which has 30 characters.
WATCH_BYTES = 78
MILLION = 1_000_000


def single_targets(znodes):
    """Those of figures that stand alone; some need the tree that they speak of."""
    targets = [
        at_most("fan-out to 1,000", "last event below 4 ms", 4, "fanout", "p50_us", scale=1000),
        at_most("fan-out to 1,000", "5 us CPU per event", 5, "fanout", "server_cpu_us_per_event"),
        at_most("2,000 connections at once", "200 ms", 200, "storm", "all_open_ms"),
        at_most("resident, empty", "12 MB", 12e6, "idle"),
        at_most("idle session", "4,096 B", 4096, "idle sessions", "server_bytes_per_session"),
        at_most("5,000 pinging sessions", "0.01 core", 0.01, "idle sessions", "server_cores"),
        at_most("watch", "48 B and its path", WATCH_BYTES, "watches", "server_bytes_per_watch"),
        at_most("start, empty", "30 ms", 30, "start, empty (ms)"),
    ]
    if znodes == MILLION:
        targets += [
            at_most("resident, 1,000,000 znodes", "260 MB", 260e6, "fill", "server_resident_bytes"),
            at_most("start, 1,000,000 znodes", "700 ms", 700, "start, filled (ms)"),
        ]
    return targets


def growth_targets(znodes, more_znodes):
    """`znodes` is the tree of both servers, `more_znodes` the larger one of ours, if any."""
    tree, largest = f"{znodes:,} znodes", max(znodes, more_znodes)
    kept = 0.75
    targets = [
        tail_of_java(f"set while snapshots are written, {tree}", 5, ("growth", str(znodes), "set")),
        at_least(f"set while snapshots are written, {tree}", "no second below half of the average", 0.5,
                 "growth", str(znodes), "set", "slowest_second_share"),
    ]
    for work in ("get", "set"):
        targets.append(Target(f"{work}, {largest:,} znodes", "within 25 % of 10,000 znodes", lambda f, work=work: compared(
            f.of("ours", "growth", str(largest), work, RATE), f.of("ours", "growth", "10000", work, RATE),
            lambda grown, small: grown >= kept * small)))
    if more_znodes == 10 * MILLION:
        targets.append(at_most("resident, 10,000,000 znodes", "2.6 GB", 2.6e9,
                               "growth", str(more_znodes), "fill", "server_resident_bytes"))
    # What two runs of the same differ by is no loss.
    targets.append(at_least("create and delete, 1,000,000 siblings", "as fast as with ten, within 10 %", 0.9,
                            "siblings", "ratio"))
    return targets


def verdict(target, figures):
    met = target.met(figures)
    return "not measured" if met is None else "yes" if met else "**no**"


def unmet(targets, figures, reasons):
    """A list of the targets that were not reached, with the reason where one is known."""
    missed = [target.name for target in targets if target.met(figures) is False]
    if not missed:
        yield "Every target that was measured is met."
        return
    yield "Not met:"
    yield ""
    for name in missed:
        yield f"- {name}: {reasons.get(name, 'no reason recorded')}"
