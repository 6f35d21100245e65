//! `mntr`: every number under a name (operations, 3.6 and 3.7).
//!
//! Invariant: every line is `zk_KEY`, a tab and a value, with no blank in the key; collectors give up at the first
//! line that is not.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use super::{
    page::Page,
    report::{QuotaEntry, Report},
    role::{Leadership, Role},
};
use crate::metrics::{
    AdvancedSummary, AdvancedView, Counter, LastingCounter, Sizes, Snapshot, Summary, Tally,
};

/// `mntr`. The keys that servers before 3.6 had follow the header, because exporters look for them there.
pub(super) fn monitor(page: &mut Page, report: &Report) {
    row(page, "version", &report.version);
    row(page, "server_state", report.role.name());
    peer(page, report.role);
    old_gauges(page, report);
    if let Role::Leading(leadership) = &report.role {
        leader_gauges(page, report, leadership);
    }
    new_gauges(page, report);
    quotas(page, &report.monitor.quotas);
    let metrics = &report.monitor.metrics;
    for (counter, value) in Counter::ALL.iter().zip(&metrics.counters) {
        row(page, counter.name(), value);
    }
    for (summary, tally) in Summary::ALL.iter().zip(&metrics.summaries) {
        tally_rows(page, summary.name(), tally);
    }
    for (summary, view) in AdvancedSummary::ALL.iter().zip(&metrics.advanced) {
        advanced_rows(page, summary.name(), view);
    }
    namespaces(page, metrics);
}

fn row(page: &mut Page, key: &str, value: impl fmt::Display) {
    page.line(format_args!("zk_{key}\t{value}"));
}

/// A number that has decimal places even when they are zero.
struct Decimal(f64);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A number, or `null` when nobody knows it.
struct OrNull(Option<u64>);

impl fmt::Display for OrNull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// What only members of an ensemble say at the beginning.
fn peer(page: &mut Page, role: Role) {
    if let Some(state) = role.peer_state() {
        row(page, "peer_state", state);
    }
    if let Role::Observing { master, .. } = role {
        row(page, "observer_master_id", master);
    }
}

/// The keys that a leader adds: first those of 3.4 in their order (`followers` was left out by 3.6, but is still looked for),
/// then the others.
fn leader_gauges(page: &mut Page, report: &Report, leadership: &Leadership) {
    row(page, "followers", leadership.synced_followers);
    row(page, "synced_followers", leadership.synced_followers);
    row(page, "pending_syncs", leadership.pending_syncs);
    sizes(page, "proposal_size", report.server.proposals);
    row(page, "learners", leadership.learners);
    row(page, "leader_uptime", report.monitor.uptime_ms);
    row(page, "synced_observers", leadership.synced_observers);
    let without_vote = leadership.synced_non_voting_followers;
    row(page, "synced_non_voting_followers", without_vote);
}

/// The keys of 3.4 in their order.
fn old_gauges(page: &mut Page, report: &Report) {
    let (server, monitor) = (&report.server, &report.monitor);
    let (packets, latency) = (&server.packets, server.packets.latency);
    row(page, "avg_latency", Decimal(latency.average()));
    row(page, "max_latency", latency.max());
    row(page, "min_latency", latency.min());
    row(page, "packets_received", packets.received);
    row(page, "packets_sent", packets.sent);
    row(page, "num_alive_connections", server.connections);
    row(page, "outstanding_requests", packets.outstanding);
    row(page, "znode_count", server.node_count);
    row(page, "watch_count", monitor.watches);
    row(page, "ephemerals_count", monitor.ephemerals);
    row(page, "approximate_data_size", monitor.approximate_data_size);
    row(
        page,
        "open_file_descriptor_count",
        OrNull(monitor.open_file_descriptors),
    );
    row(
        page,
        "max_file_descriptor_count",
        OrNull(monitor.max_file_descriptors),
    );
    lasting(
        page,
        &monitor.metrics,
        LastingCounter::FsyncThresholdExceeded,
    );
}

fn new_gauges(page: &mut Page, report: &Report) {
    let monitor = &report.monitor;
    if let Some(size) = report.role.quorum_size() {
        row(page, "quorum_size", size);
    }
    row(page, "uptime", monitor.uptime_ms);
    row(page, "global_sessions", monitor.global_sessions);
    row(page, "local_sessions", monitor.local_sessions);
    let responses = report.server.packets.responses;
    sizes(page, "client_response_size", responses);
    lasting(page, &monitor.metrics, LastingCounter::AuthFailed);
    lasting(page, &monitor.metrics, LastingCounter::NonMtlsLocal);
    lasting(page, &monitor.metrics, LastingCounter::NonMtlsRemote);
    // Parts that Rookeeper does not have; dashboards keep their panels (operations, 3.4).
    row(page, "connection_drop_probability", Decimal(0.0));
    row(page, "outstanding_tls_handshake", 0);
}

fn lasting(page: &mut Page, metrics: &Snapshot, counter: LastingCounter) {
    row(page, counter.name(), metrics.lasting[counter as usize]);
}

/// Three lines, of -1 before there was anything to measure.
fn sizes(page: &mut Page, what: &str, sizes: Option<Sizes>) {
    let mut size = |which, of: fn(Sizes) -> u64| match sizes {
        Some(sizes) => page.line(format_args!("zk_{which}_{what}\t{}", of(sizes))),
        None => page.line(format_args!("zk_{which}_{what}\t-1")),
    };
    size("last", |sizes| sizes.last);
    size("max", |sizes| sizes.max);
    size("min", |sizes| sizes.min);
}

fn tally_rows(page: &mut Page, name: impl fmt::Display, tally: &Tally) {
    page.line(format_args!("zk_avg_{name}\t{:?}", tally.average()));
    page.line(format_args!("zk_min_{name}\t{}", tally.min()));
    page.line(format_args!("zk_max_{name}\t{}", tally.max()));
    page.line(format_args!("zk_cnt_{name}\t{}", tally.count()));
    page.line(format_args!("zk_sum_{name}\t{}", tally.sum()));
}

fn advanced_rows(page: &mut Page, name: &str, view: &AdvancedView) {
    tally_rows(page, name, &view.tally);
    page.line(format_args!("zk_p50_{name}\t{}", view.percentiles.p50));
    page.line(format_args!("zk_p95_{name}\t{}", view.percentiles.p95));
    page.line(format_args!("zk_p99_{name}\t{}", view.percentiles.p99));
    page.line(format_args!("zk_p999_{name}\t{}", view.percentiles.p999));
}

fn namespaces(page: &mut Page, metrics: &Snapshot) {
    for (set, tallies) in [
        ("read_per_namespace", &metrics.read_per_namespace),
        ("write_per_namespace", &metrics.write_per_namespace),
    ] {
        for (key, tally) in joined(tallies, Tally::merge) {
            tally_rows(page, format_args!("{key}_{set}"), &tally);
        }
    }
    let exceeded = &metrics.quota_exceeded_per_namespace;
    for (key, count) in joined(exceeded, |sum, count| *sum += count) {
        page.line(format_args!(
            "zk_{key}_quota_exceeded_error_per_namespace\t{count}"
        ));
    }
}

fn quotas(page: &mut Page, quotas: &[QuotaEntry]) {
    for quota in quotas {
        let key = set_key(&quota.namespace);
        let mut show = |name, value: Option<i64>| {
            if let Some(value) = value {
                page.line(format_args!("zk_{key}_quota_{name}_per_namespace\t{value}"));
            }
        };
        show("count_limit", quota.count_limit);
        show("count_usage", Some(quota.count_usage));
        show("bytes_limit", quota.bytes_limit);
        show("bytes_usage", Some(quota.bytes_usage));
    }
}

/// A set by the keys it is shown under: names that look the same there are taken together, since a collector
/// keeps one line per key.
fn joined<'a, T: Copy>(
    set: &'a BTreeMap<String, T>,
    merge: impl Fn(&mut T, &T),
) -> BTreeMap<Cow<'a, str>, T> {
    let mut rows = BTreeMap::<_, T>::new();
    for (name, value) in set {
        rows.entry(set_key(name))
            .and_modify(|sum| merge(sum, value))
            .or_insert(*value);
    }
    rows
}

/// A name from a client as part of a key (operations, 3.6). Colons, and a dot or dash in front, are replaced too:
/// Telegraf gives up at a key that is not a word character followed by word characters, dots and dashes.
fn set_key(name: &str) -> Cow<'_, str> {
    let fits = |place: usize, c: char| {
        c.is_ascii_alphanumeric() || c == '_' || (place > 0 && matches!(c, '.' | '-'))
    };
    if name.char_indices().all(|(place, c)| fits(place, c)) {
        return Cow::Borrowed(name);
    }
    let kept = |(place, c)| if fits(place, c) { c } else { '_' };
    Cow::Owned(name.char_indices().map(kept).collect())
}
