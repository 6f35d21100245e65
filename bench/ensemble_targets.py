"""What an ensemble of Rookeeper wants to reach, and the tables of the part "Ensembles" of bench/RESULTS.md."""

from tables import number, ratio, scaled, share, verdicts
from targets import CPU, RATE, Target, at_most, compared, cpu_of_java, times_java

SET_LEADER, SET_FOLLOWER = "set 100 B, C50D16, leader", "set 100 B, C50D16, follower"
SET_LEADER_C1, SET_FOLLOWER_C1 = "set 100 B, C1D1, leader", "set 100 B, C1D1, follower"
MIXED_LEADER, GET_FOLLOWER = "mixed 90 % reads, C50D16, leader", "get 100 B, C50D16, follower"
KILLED, STOPPED = "leader killed", "leader stopped"
MISSED, ANEW = "100,000 transactions missed", "1,000,000 znodes, empty directory"


def p99_of_java(row, part):
    return Target(row, f"p99 at most 1/{part} of Java's", lambda f: compared(
        f.of("ours", row, "p99_us"), f.of("java", row, "p99_us"), lambda o, j: o <= j / part))


LOADED = [
    times_java(SET_LEADER, 4), cpu_of_java(SET_LEADER, 5), p99_of_java(SET_LEADER, 3),
    times_java(SET_FOLLOWER, 5), p99_of_java(SET_FOLLOWER, 3),
    times_java(SET_LEADER_C1, 2),
    times_java(SET_FOLLOWER_C1, 2),
    times_java(MIXED_LEADER, 6),
    times_java(GET_FOLLOWER, 8),
]


def below(row, text, limit, key):
    """Not reached either when a round could not be finished."""
    return Target(row, text, lambda f: compared(
        f.of("ours", row, key), limit, lambda ours, limit: ours < limit and not f.of("ours", row, "unfinished")))


FAILOVER = [
    below(KILLED, "median below 50 ms", 50, "median_ms"), below(KILLED, "worst below 150 ms", 150, "worst_ms"),
    below(STOPPED, "median below 20 ms", 20, "median_ms"),
]
CATCH_UP = [
    at_most(MISSED, "1 second", 1, MISSED, "seconds"),
    at_most(ANEW, "3 seconds", 3, ANEW, "seconds"),
    at_most(ANEW, "the leader's p99 at most twice what it was", 2, ANEW, "p99_ratio"),
]


def loads_table(rows, figures):
    yield ("| work | Rookeeper ops/s | Java ops/s | ratio | share of append | CPU us/op of all members, ours / Java "
           "| p50 / p99 / p99.9 / max us | Java's | errors, ours / Java | target: met |")
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name in rows:
        ours, java = (getattr(figures, who).get(name, {}) for who in ("ours", "java"))
        tails = [" / ".join(number(report.get(key)) for key in ("p50_us", "p99_us", "p999_us", "max_us")) for report in (ours, java)]
        cpu = " / ".join(number(report.get(CPU), 2) for report in (ours, java))
        errors = " / ".join(number(report.get("errors")) for report in (ours, java))
        append = figures.of("append", name, "records_per_second")
        about = [target for target in LOADED if target.row == name]
        yield (f"| {name} | {number(ours.get(RATE))} | {number(java.get(RATE))} | {ratio(ours.get(RATE), java.get(RATE))} "
               f"| {share(ours.get(RATE), append)} | {cpu} | {tails[0]} | {tails[1]} | {errors} | {verdicts(about, figures)} |")


def failover_cells(report):
    counts = [str(len(report.get("rounds_ms", [])))]
    if report.get("unfinished"):
        counts.append(f"{len(report['unfinished'])} not finished")
    return f"{number(report.get('median_ms'), 1)} / {number(report.get('worst_ms'), 1)} | {', '.join(counts)}"


def failover_table(figures):
    yield "| what | Rookeeper, median / worst ms | rounds | Java, median / worst ms | rounds | target: met |"
    yield "|---|---|---|---|---|---|"
    for name in (KILLED, STOPPED):
        ours, java = (failover_cells(getattr(figures, who).get(name, {})) for who in ("ours", "java"))
        about = [target for target in FAILOVER if target.row == name]
        yield f"| {name} | {ours} | {java} | {verdicts(about, figures)} |"


# what, row of the targets, key into its report, factor, digits, texts of the targets that speak of it
CAUGHT_UP = [
    ("100,000 transactions missed: caught up after, ms", MISSED, "seconds", 1000, 0, ["1 second"]),
    ("1,000,000 znodes, empty directory: caught up after, ms", ANEW, "seconds", 1000, 0, ["3 seconds"]),
    ("p99 of set C1D1 at the leader before, us", ANEW, "p99_before_us", 1, 0, []),
    ("p99 of the worst second meanwhile, us", ANEW, "p99_meanwhile_us", 1, 0, []),
    ("ratio of the two", ANEW, "p99_ratio", 1, 2, ["the leader's p99 at most twice what it was"]),
]


def catch_up_table(figures):
    yield "| what | Rookeeper | Java | target: met |"
    yield "|---|---|---|---|"
    for title, row, key, factor, digits, texts in CAUGHT_UP:
        ours, java = (number(scaled(figures.of(who, row, key), 1 / factor), digits) for who in ("ours", "java"))
        about = [target for target in CATCH_UP if target.row == row and target.text in texts]
        yield f"| {title} | {ours} | {java} | {verdicts(about, figures)} |"


def failures(figures):
    """What could not be finished."""
    for name, who, message in figures.failures():
        yield f"- {name}, {who}: {message}"
    for who in ("ours", "java"):
        for name in (KILLED, STOPPED):
            for message in figures.of(who, name, "unfinished") or []:
                yield f"- {name}, {who}: {message}"
