//! `mntr`: the recorded keys and values, and what collectors demand of its lines.

use std::collections::BTreeMap;

use super::sample::standalone;
use crate::{
    metrics::{
        AdvancedSummary, AdvancedView, Counter, LastingCounter, Percentiles, Snapshot, Summary,
        Tally,
    },
    words::{MonitorPart, QuotaEntry, Report, Word, answer},
};

const RECORDED: &str = include_str!("../../../../../testdata/words/standalone/mntr.txt");
const KEYS: &str = include_str!("../../../../../testdata/words/mntr-keys-standalone.txt");

/// The keys of 3.4 after the header, in the order in which exporters know them.
const OLD_KEYS: [&str; 14] = [
    "zk_avg_latency",
    "zk_max_latency",
    "zk_min_latency",
    "zk_packets_received",
    "zk_packets_sent",
    "zk_num_alive_connections",
    "zk_outstanding_requests",
    "zk_znode_count",
    "zk_watch_count",
    "zk_ephemerals_count",
    "zk_approximate_data_size",
    "zk_open_file_descriptor_count",
    "zk_max_file_descriptor_count",
    "zk_fsync_threshold_exceed_count",
];

/// The only key that Rookeeper adds standalone (operations, 3.6).
pub(super) const ADDED: &str = "zk_fsync_threshold_exceed_count\t0";

pub(super) fn said(report: &Report) -> String {
    String::from_utf8(answer(Word::Mntr, report, b"").bytes).expect("words are text")
}

pub(super) fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

/// The numbers of a recording.
pub(super) struct Recording(BTreeMap<&'static str, &'static str>);

impl Recording {
    pub(super) fn number(&self, key: &str) -> u64 {
        let value = self.0.get(format!("zk_{key}").as_str()).expect(key);
        value.parse().expect(key)
    }

    fn tally(&self, name: &str) -> Tally {
        let part = |part: &str| self.number(&format!("{part}_{name}"));
        Tally::of(part("min"), part("max"), part("cnt"), part("sum"))
    }

    fn advanced(&self, name: &str) -> AdvancedView {
        let part = |part: &str| self.number(&format!("{part}_{name}"));
        AdvancedView {
            tally: self.tally(name),
            percentiles: Percentiles {
                p50: part("p50"),
                p95: part("p95"),
                p99: part("p99"),
                p999: part("p999"),
            },
        }
    }

    fn namespaces(&self, set: &str) -> BTreeMap<String, Tally> {
        let suffix = format!("_{set}");
        let keys = self.0.keys();
        keys.filter_map(|key| key.strip_prefix("zk_cnt_")?.strip_suffix(&suffix))
            .map(|name| (name.to_owned(), self.tally(&format!("{name}{suffix}"))))
            .collect()
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            read_per_namespace: self.namespaces("read_per_namespace"),
            write_per_namespace: self.namespaces("write_per_namespace"),
            ..Snapshot::default()
        };
        for counter in Counter::ALL {
            snapshot.counters[counter as usize] = self.number(counter.name());
        }
        for summary in Summary::ALL {
            snapshot.summaries[summary as usize] = self.tally(summary.name());
        }
        for summary in AdvancedSummary::ALL {
            snapshot.advanced[summary as usize] = self.advanced(summary.name());
        }
        snapshot
    }

    /// The recorded server when it was asked; `report` has what `mntr` says nothing of.
    pub(super) fn report(&self, mut report: Report) -> Report {
        report.server.packets.received = self.number("packets_received");
        report.server.packets.sent = self.number("packets_sent");
        report.monitor = MonitorPart {
            metrics: self.snapshot(),
            ephemerals: self.number("ephemerals_count"),
            watches: self.number("watch_count"),
            approximate_data_size: self.number("approximate_data_size"),
            global_sessions: self.number("global_sessions"),
            local_sessions: self.number("local_sessions"),
            open_file_descriptors: Some(self.number("open_file_descriptor_count")),
            max_file_descriptors: Some(self.number("max_file_descriptor_count")),
            uptime_ms: self.number("uptime"),
            quotas: Vec::new(),
        };
        report
    }
}

impl Recording {
    pub(super) fn of(text: &'static str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.split_once('\t'))
                .collect(),
        )
    }
}

/// The recorded standalone server when it was asked.
fn recorded() -> Report {
    Recording::of(RECORDED).report(standalone())
}

#[test]
fn it_says_what_the_recorded_server_said() {
    let said = said(&recorded());
    let expected = RECORDED.replace("_m 7_", "_m_7_");
    assert_eq!(
        sorted(said.lines()),
        sorted(expected.lines().chain([ADDED]))
    );
}

/// A server that has counted nothing shows every key all the same.
#[test]
fn no_key_is_missing_and_none_is_strange() {
    let mut report = standalone();
    let metrics = &mut report.monitor.metrics;
    for set in [
        &mut metrics.read_per_namespace,
        &mut metrics.write_per_namespace,
    ] {
        set.insert("NAMESPACE".to_owned(), Tally::of(1, 1, 1, 1));
    }
    let said = said(&report);
    let keys = said
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.0));
    let expected = KEYS.replace("<NAMESPACE>", "NAMESPACE");
    let expected = expected.lines().chain(["zk_fsync_threshold_exceed_count"]);
    assert_eq!(sorted(keys), sorted(expected));
}

#[test]
fn the_header_comes_first_and_then_the_keys_of_3_4() {
    let said = said(&recorded());
    let keys: Vec<_> = said
        .lines()
        .filter_map(|line| Some(line.split_once('\t')?.0))
        .collect();
    assert_eq!(keys[..2], ["zk_version", "zk_server_state"]);
    assert_eq!(keys[2..2 + OLD_KEYS.len()], OLD_KEYS);
}

/// `^zk_(\w[\w.-]*)\s+([\w.-]+)`, by which Telegraf reads every line (operations, 3.7).
fn telegraf_reads(line: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let more = |c: char| word(c) || c == '.' || c == '-';
    line.strip_prefix("zk_")
        .and_then(|rest| rest.split_once('\t'))
        .is_some_and(|(key, value)| {
            key.starts_with(word) && key.chars().all(more) && value.starts_with(more)
        })
}

/// Collectors of numbers: key and value by a tab, the value a number without an exponent.
fn is_number_or_known(line: &str) -> bool {
    let Some((key, value)) = line.split_once('\t') else {
        return false;
    };
    matches!(key, "zk_version" | "zk_server_state")
        || value == "null"
        || (value.parse::<f64>().is_ok() && !value.contains(['e', 'E']))
}

#[test]
fn names_from_clients_break_no_collector() {
    let mut report = recorded();
    let tally = Tally::of(1, 1, 20_000, 1);
    let names = [
        "m 7",
        "-x",
        ".",
        "a:b",
        "ä\t\n",
        "a.b-c",
        "other/namespaces",
        "\u{3000}",
    ];
    for name in names {
        let metrics = &mut report.monitor.metrics;
        metrics.read_per_namespace.insert(name.to_owned(), tally);
        metrics
            .quota_exceeded_per_namespace
            .insert(name.to_owned(), 3);
        report.monitor.quotas.push(QuotaEntry {
            namespace: name.to_owned(),
            count_limit: Some(10),
            ..QuotaEntry::default()
        });
    }
    report.monitor.open_file_descriptors = None;
    let said = said(&report);
    for line in said.lines() {
        assert!(telegraf_reads(line), "{line:?}");
        assert!(is_number_or_known(line), "{line:?}");
    }
    for expected in [
        "zk_avg_a_b_read_per_namespace\t0.0001\n",
        "zk_avg_a.b-c_read_per_namespace\t0.0001\n",
        "zk___quota_exceeded_error_per_namespace\t6\n",
        "zk__x_quota_count_limit_per_namespace\t10\n",
        "zk__x_quota_bytes_usage_per_namespace\t0\n",
        "zk_open_file_descriptor_count\tnull\n",
    ] {
        assert!(said.contains(expected), "{expected:?}");
    }
    assert!(!said.contains("zk__x_quota_bytes_limit"));
}

#[test]
fn names_that_look_the_same_are_taken_together() {
    let mut report = standalone();
    let set = &mut report.monitor.metrics.write_per_namespace;
    set.insert("m 7".to_owned(), Tally::of(5, 9, 2, 14));
    set.insert("m_7".to_owned(), Tally::of(1, 6, 3, 10));
    let said = said(&report);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("m_7")).collect();
    assert_eq!(
        lines,
        [
            "zk_avg_m_7_write_per_namespace\t4.8",
            "zk_min_m_7_write_per_namespace\t1",
            "zk_max_m_7_write_per_namespace\t9",
            "zk_cnt_m_7_write_per_namespace\t5",
            "zk_sum_m_7_write_per_namespace\t24",
        ]
    );
}

#[test]
fn nothing_answered_yet() {
    let mut report = standalone();
    report.server.packets.responses = None;
    report.monitor.metrics.lasting[LastingCounter::AuthFailed as usize] = 4;
    let said = said(&report);
    for expected in [
        "zk_last_client_response_size\t-1\n",
        "zk_max_client_response_size\t-1\n",
        "zk_min_client_response_size\t-1\n",
        "zk_auth_failed_count\t4\n",
    ] {
        assert!(said.contains(expected), "{expected:?}");
    }
}
