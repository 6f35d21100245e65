"""The tables of bench/RESULTS.md."""

from targets import CPU, CREATE_D16, GET_D1, GET_D16, LOAD_TARGETS, RATE, SET_D16, verdict


def number(value, digits=0):
    return f"{value:,.{digits}f}" if isinstance(value, (int, float)) else "-"


def ratio(a, b):
    return f"{a / b:.1f}" if a and b else "-"


def share(part, whole):
    return f"{100 * part / whole:.0f} %" if part and whole else "-"


def verdicts(targets, figures):
    return "; ".join(f"{target.text}: {verdict(target, figures)}" for target in targets) or "-"


def load_table(rows, figures):
    yield ("| work | Rookeeper ops/s | Java ops/s | ratio | share of echo | share of append | CPU us/op, ours / Java / echo "
           "| p50 / p99 / p99.9 / max us | Java's | slowest second, of the average | target: met |")
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for name in rows:
        reports = [getattr(figures, who).get(name, {}) for who in ("ours", "java", "echo")]
        if RATE not in reports[0]:
            continue
        rate = [report.get(RATE) for report in reports]
        append = figures.of("append", name, "records_per_second")
        cpu = " / ".join(number(report.get(CPU), 2) for report in reports)
        tails = [" / ".join(number(report.get(key)) for key in ("p50_us", "p99_us", "p999_us", "max_us"))
                 for report in reports[:2]]
        targets = [target for target in LOAD_TARGETS if target.row == name]
        yield (f"| {name} | {number(rate[0])} | {number(rate[1])} | {ratio(*rate[:2])} | {share(rate[0], rate[2])} "
               f"| {share(rate[0], append)} | {cpu} | {tails[0]} | {tails[1]} "
               f"| {share(reports[0].get('slowest_second_share'), 1)} | {verdicts(targets, figures)} |")


# what, keys into the reports, divisor, whether the echo has it too, text of the target that speaks of it
SINGLES = [
    ("one set seen by 1,000 watchers: median until the last has heard, ms", ("fanout", "p50_us"), 1000, True, "last event below 4 ms"),
    ("CPU per event, us", ("fanout", "server_cpu_us_per_event"), 1, True, "5 us CPU per event"),
    ("CPU per event and re-arm, us", ("fanout", "server_cpu_us_per_event_and_rearm"), 1, True, None),
    ("2,000 connections at once, ms", ("storm", "all_open_ms"), 1, False, "200 ms"),
    ("resident, empty, MB", ("idle",), 1e6, False, "12 MB"),
    ("bytes per idle session (of 5,000)", ("idle sessions", "server_bytes_per_session"), 1, False, "4,096 B"),
    ("thousandths of a core for 5,000 pinging sessions", ("idle sessions", "server_cores"), 0.001, False, "0.01 core"),
    ("bytes per watch, 1,000,000 of one client on paths of 30", ("watches", "server_bytes_per_watch"), 1, False, "48 B and its path"),
    ("resident with the filled tree, MB", ("fill", "server_resident_bytes"), 1e6, False, "260 MB"),
    ("bytes per znode, 100 B data, 20-character name", ("fill", "server_bytes_per_znode"), 1, False, None),
    ("start to first answer, empty, ms", ("start, empty (ms)",), 1, False, "30 ms"),
    ("start to first answer, filled tree, ms", ("start, filled (ms)",), 1, False, "700 ms"),
]


def scaled(value, divisor):
    return value / divisor if isinstance(value, (int, float)) else None


def single_table(targets, figures):
    yield "| what | Rookeeper | Java | ceiling | target: met |"
    yield "|---|---|---|---|---|"
    for title, keys, divisor, ceiling, text in SINGLES:
        values = [number(scaled(figures.of(who, *keys), divisor), 2) for who in ("ours", "java")]
        floor = number(scaled(figures.of("echo", *keys), divisor), 2) if ceiling else "-"
        about = [target for target in targets if target.text == text]
        yield f"| {title} | {values[0]} | {values[1]} | {floor} | {verdicts(about, figures)} |"


HIGH, LOW = "high", "low"
# what, keys into the reports, divisor, which is better
WORST = [
    ("create and delete with ten siblings, ops/s", ("siblings", "few", RATE), 1, HIGH),
    ("create and delete with 1,000,000 siblings, ops/s", ("siblings", "many", RATE), 1, HIGH),
    ("CPU per create or delete with ten, us", ("siblings", "few", CPU), 1, LOW),
    ("CPU per create or delete with 1,000,000, us", ("siblings", "many", CPU), 1, LOW),
    ("p99 with 1,000,000, us", ("siblings", "many", "p99_us"), 1, LOW),
    ("session with 100,000 ephemerals: close answered, ms", ("ephemerals", "close_answered_ms"), 1, LOW),
    ("all of them gone, ms", ("ephemerals", "all_gone_ms"), 1, LOW),
    ("server CPU per ephemeral, us", ("ephemerals", "server_cpu_us_per_ephemeral"), 1, LOW),
    ("p99 of another client's gets meanwhile, us", ("ephemerals", "gets_meanwhile", "p99_us"), 1, LOW),
    ("longest of them, ms", ("ephemerals", "gets_meanwhile", "max_us"), 1000, LOW),
    ("10,000 watches of one session, one multi: last event, ms", ("watch storm", "multi", "last_event_p50_ms"), 1, LOW),
    ("CPU per set and event, us", ("watch storm", "multi", "server_cpu_us_per_set_and_event"), 1, LOW),
    ("10,000 watches of one session, pipelined sets: last event, ms", ("watch storm", "pipeline", "last_event_p50_ms"), 1, LOW),
    ("CPU per set and event, us", ("watch storm", "pipeline", "server_cpu_us_per_set_and_event"), 1, LOW),
    ("one set seen by 10,000 sessions: last event, ms", ("fanout 10,000", "p50_us"), 1000, LOW),
    ("CPU per event, us", ("fanout 10,000", "server_cpu_us_per_event"), 1, LOW),
    ("gets alone, C50D1, ops/s", ("slow reader", "lists", "alone", RATE), 1, HIGH),
    ("gets beside a slow reader of lists, ops/s", ("slow reader", "lists", "beside", RATE), 1, HIGH),
    ("p99 of them alone, us", ("slow reader", "lists", "alone", "p99_us"), 1, LOW),
    ("p99 of them beside it, us", ("slow reader", "lists", "beside", "p99_us"), 1, LOW),
    ("memory grown meanwhile, MB", ("slow reader", "lists", "server_grown_bytes"), 1e6, LOW),
    ("gets alone, C50D1, again, ops/s", ("slow reader", "values", "alone", RATE), 1, HIGH),
    ("gets beside a slow reader of 1 MB values, ops/s", ("slow reader", "values", "beside", RATE), 1, HIGH),
    ("p99 of them alone, us", ("slow reader", "values", "alone", "p99_us"), 1, LOW),
    ("p99 of them beside it, us", ("slow reader", "values", "beside", "p99_us"), 1, LOW),
    ("memory grown meanwhile, MB", ("slow reader", "values", "server_grown_bytes"), 1e6, LOW),
    ("values of 1 MB, C4D2: set, MB/s", ("values", "set_megabytes_per_second"), 1, HIGH),
    ("longest set, ms", ("values", "set", "max_us"), 1000, LOW),
    ("values of 1 MB, C4D2: get, MB/s", ("values", "get_megabytes_per_second"), 1, HIGH),
    ("longest get, ms", ("values", "get", "max_us"), 1000, LOW),
    ("get, 200 components, C50D16, ops/s", ("deep", "deep", "get", RATE), 1, HIGH),
    ("CPU per get, 200 components, us", ("deep", "deep", "get", CPU), 1, LOW),
    ("share of get with two components", ("deep", "get_ratio"), 1, HIGH),
    ("set, 200 components, C50D16, ops/s", ("deep", "deep", "set", RATE), 1, HIGH),
    ("CPU per set, 200 components, us", ("deep", "deep", "set", CPU), 1, LOW),
    ("share of set with two components", ("deep", "set_ratio"), 1, HIGH),
    ("create and delete, 200 components, C50D16, ops/s", ("deep", "deep", "create", RATE), 1, HIGH),
    ("CPU per create or delete, 200 components, us", ("deep", "deep", "create", CPU), 1, LOW),
    ("share of create and delete with two components", ("deep", "create_ratio"), 1, HIGH),
    ("10,000 sessions come back at once: all back, ms", ("reconnect", "all_back_ms"), 1, LOW),
    ("half of them back, ms", ("reconnect", "half_back_ms"), 1, LOW),
    ("sessions lost by it", ("reconnect", "expired"), 1, LOW),
    ("not back within a minute", ("reconnect", "not_back_in_time"), 1, LOW),
    ("CPU per session, us", ("reconnect", "server_cpu_us_per_session"), 1, LOW),
]
# Of a row: keys into the figures. Those of reads are echoes, those of writes appended records.
CEILINGS = {
    ("siblings", "few", RATE): ("append", CREATE_D16, "records_per_second"),
    ("siblings", "many", RATE): ("append", CREATE_D16, "records_per_second"),
    ("slow reader", "lists", "alone", RATE): ("echo", GET_D1, RATE),
    ("slow reader", "lists", "beside", RATE): ("echo", GET_D1, RATE),
    ("slow reader", "values", "alone", RATE): ("echo", GET_D1, RATE),
    ("slow reader", "values", "beside", RATE): ("echo", GET_D1, RATE),
    ("values", "set_megabytes_per_second"): ("append", "1 MB", "megabytes_per_second"),
    ("values", "get_megabytes_per_second"): ("echo", "1 MB", "megabytes_per_second"),
    ("deep", "deep", "set", RATE): ("append", "deep set", "records_per_second"),
    ("deep", "deep", "create", RATE): ("append", "deep set", "records_per_second"),
}
GROWTH_CEILINGS = {"get": ("echo", GET_D16, RATE), "set": ("append", SET_D16, "records_per_second")}


def worst_table(targets, figures):
    yield "| worst case | Rookeeper | Java | better by | ceiling | target: met |"
    yield "|---|---|---|---|---|---|"
    for title, keys, divisor, better in WORST:
        ours, java = (scaled(figures.of(who, *keys), divisor) for who in ("ours", "java"))
        digits = 0 if max(ours or 0, java or 0) >= 1000 else 2
        times = ratio(ours, java) if better is HIGH else ratio(java, ours)
        ceiling = number(figures.of(*CEILINGS[keys])) if keys in CEILINGS else "-"
        about = [target for target in targets if "siblings" in target.row and keys == ("siblings", "many", RATE)]
        yield (f"| {title} | {number(ours, digits)} | {number(java, digits)} | {times} | {ceiling} "
               f"| {verdicts(about, figures)} |")
    for name, who, report in figures.failures():
        yield f"| {name} failed: {report} | {'here' if who == 'ours' else '-'} | {'here' if who == 'java' else '-'} | - | - | - |"


def growth_table(targets, figures):
    yield ("| znodes | work | Rookeeper ops/s | of 10,000 | of the ceiling | CPU us/op | p50 / p99 / p99.9 us | slowest second, of the average "
           "| resident MB | snapshots meanwhile | Java ops/s | of 10,000 | p50 / p99 / p99.9 us | resident MB | target: met |")
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for znodes in figures.of("ours", "growth") or {}:
        for work in ("get", "set"):
            cells = {}
            for who in ("ours", "java"):
                report = figures.of(who, "growth", znodes, work) or {}
                small = figures.of(who, "growth", "10000", work, RATE)
                memory = figures.of(who, "growth", znodes, "fill", "server_resident_bytes")
                cells[who] = (
                    number(report.get(RATE)), share(report.get(RATE), small), number(report.get(CPU), 2),
                    " / ".join(number(report.get(key)) for key in ("p50_us", "p99_us", "p999_us")),
                    share(report.get("slowest_second_share"), 1), number(scaled(memory, 1e6)), number(report.get("snapshots")))
            rate, of_small, cpu, tail, slowest, memory, snapshots = cells["ours"]
            java = cells["java"]
            of_ceiling = share(figures.of("ours", "growth", znodes, work, RATE), figures.of(*GROWTH_CEILINGS[work]))
            about = [target for target in targets
                     if target.row.startswith(work) and target.row.endswith(f", {int(znodes):,} znodes")]
            if work == "get":
                about += [target for target in targets if target.row == f"resident, {int(znodes):,} znodes"]
            yield (f"| {int(znodes):,} | {work} C50D16 | {rate} | {of_small} | {of_ceiling} | {cpu} | {tail} | {slowest} | {memory} | {snapshots} "
                   f"| {java[0]} | {java[1]} | {java[3]} | {java[5]} | {verdicts(about, figures)} |")
