//! What a four-letter word asks, collected from where it is: only what that word shows.
//!
//! Nothing here decides what an answer looks like (that is [`crate::words`]) and nobody reaches into the member: the driver reports.

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::Ordering::Relaxed;

use rookeeper_node::input::ConnId;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::SessionId;
use rookeeper_tree::quota::{self, Limits, Usage};
use rookeeper_tree::tree::Tree;
use rookeeper_tree::watches::{Summary, Table, WatcherId};
use rustix::process::{Resource, getrlimit};
use rustix::system;
use tokio::sync::oneshot;
use tracing::warn;

use crate::clock;
use crate::connections::Connection;
use crate::driver::DriverReport;
use crate::inbox::Message;
use crate::metrics::Tally;
use crate::service::Service;
use crate::words::{
    self, Bucket, Command, Configuration, ConnectionEntry, DirectorySizes, Environment, Interest,
    MonitorPart, NO_OPERATION, Needs, QuotaEntry, Report, Role, RoleReport, ServerPart,
    SessionEntry, SessionsPart, TraceMask, WatchSummary, Word,
};

/// The connection expiry that `dump` shows goes in steps of this, ms.
const CONNECTION_BUCKET_MS: i64 = 10_000;

/// Answers a word for the connection that asks; does what it commands.
pub async fn answer(service: &Service, word: Word, extra: &[u8], asker: ConnId) -> Vec<u8> {
    let read_only = service.settings.read_only_mode_enabled;
    service.metrics.count_word();
    if !word.is_allowed(&service.settings.client.words, read_only) {
        return word.refusal_text().into_bytes();
    }
    let published = service.role();
    let needs = words::needs(word, published.role);
    let report = report(service, published, needs, asker).await;
    let answer = words::answer(word, &report, extra);
    if let Some(command) = answer.command {
        obey(service, command);
    }
    answer.bytes
}

fn obey(service: &Service, command: Command) {
    match command {
        Command::ResetServerStats => {
            service.metrics.reset();
            service.metrics.packets().reset();
        }
        Command::ResetConnectionStats => {
            service
                .connections
                .open()
                .values()
                .for_each(|connection| connection.talk.reset());
        }
        Command::SetTraceMask(mask) => service.trace_mask.store(mask, Relaxed),
    }
}

async fn report(service: &Service, published: RoleReport, needs: Needs, asker: ConnId) -> Report {
    let mut report = Report {
        role: published.role,
        version: words::version_text(env!("ROOKEEPER_BUILD_DATE")),
        trace_mask: TraceMask(service.trace_mask.load(Relaxed)),
        ..Report::default()
    };
    if needs.server {
        report.server = server(service);
    }
    if needs.configuration {
        let port = service
            .settings
            .client
            .listen
            .as_ref()
            .map(|listen| listen.port);
        report.configuration = Configuration::of(&service.settings, port);
    }
    if needs.directory_sizes || needs.configuration {
        report.directory_sizes = directory_sizes(service);
    }
    if needs.environment {
        report.environment = environment();
    }
    if needs.connections {
        report.connections = connections(service, asker);
    }
    if needs.sessions || needs.digests {
        let driver = ask_driver(service).await;
        report.digests = driver
            .hashes
            .iter()
            .map(|(zxid, digest)| (zxid.0, *digest as u64))
            .collect();
        if needs.sessions {
            report.sessions = sessions(service, &driver);
            report.sessions.global = global_sessions(&service.replica.tree.read(), published.role);
        }
    }
    if needs.watch_summary {
        let Summary {
            connections,
            paths,
            watches,
        } = service.replica.watches.0.lock().summary();
        report.watch_summary = WatchSummary {
            connections: connections as u64,
            paths: paths as u64,
            watches: watches as u64,
        };
    }
    if needs.watches_by_session {
        report.watches_by_session = watches_by_session(service);
    }
    if needs.watches_by_path {
        report.watches_by_path = watches_by_path(service);
    }
    if needs.monitor {
        report.monitor = monitor(service, published.since_ms);
    }
    report
}

async fn ask_driver(service: &Service) -> DriverReport {
    let (ask, answer) = oneshot::channel();
    service.inbox.send(Message::Report(ask));
    // Without a driver the server is ending.
    answer.await.unwrap_or_default()
}

fn server(service: &Service) -> ServerPart {
    let mut packets = service.metrics.packets().view();
    packets.outstanding = service.gauges.outstanding.load(Relaxed) as u64;
    let tree = service.replica.tree.read();
    ServerPart {
        packets,
        connections: service.connections.len() as u64,
        zxid: tree.last_zxid().0,
        node_count: tree.node_count() as u64,
        proposals: service.metrics.proposals().view(),
    }
}

fn directory_sizes(service: &Service) -> DirectorySizes {
    match service.dirs.sizes(&*service.disk) {
        Ok((data, log)) => DirectorySizes { data, log },
        Err(error) => {
            warn!(%error, "the sizes of the data directories cannot be read");
            DirectorySizes::default()
        }
    }
}

fn environment() -> Environment {
    let variable = |name| env::var(name).unwrap_or_else(|_| "<NA>".to_owned());
    let (uname, memory) = (system::uname(), system::sysinfo());
    let unit = u64::from(memory.mem_unit.max(1));
    Environment {
        host_name: uname.nodename().to_string_lossy().into_owned(),
        os_name: uname.sysname().to_string_lossy().into_owned(),
        os_arch: uname.machine().to_string_lossy().into_owned(),
        os_version: uname.release().to_string_lossy().into_owned(),
        user_name: variable("USER"),
        user_home: variable("HOME"),
        user_dir: env::current_dir()
            .map(|dir| dir.display().to_string())
            .unwrap_or_default(),
        memory_free: memory.freeram * unit,
        memory_max: memory.totalram * unit,
        memory_total: memory.totalram * unit,
    }
}

fn connections(service: &Service, asker: ConnId) -> Vec<ConnectionEntry> {
    let open = service.connections.open();
    let mut all: Vec<_> = open.iter().collect();
    all.sort_unstable_by_key(|(conn, _)| **conn);
    all.into_iter()
        .map(|(conn, connection)| entry(connection, *conn == asker))
        .collect()
}

fn entry(connection: &Connection, asks: bool) -> ConnectionEntry {
    let talk = &connection.talk;
    ConnectionEntry {
        peer: connection.peer,
        interest: if asks {
            Interest::Closing
        } else {
            Interest::Reading
        },
        queued: talk.queued.load(Relaxed),
        received: talk.received.load(Relaxed),
        sent: talk.sent.load(Relaxed),
        session: connection.mailbox.session().map(|id| {
            let last = *talk.last.lock();
            SessionEntry {
                id: id.0,
                last_operation: OpCode::from_i32(last.op)
                    .map_or(NO_OPERATION, words::last_operation),
                established_ms: talk.established,
                timeout_ms: u64::from(talk.timeout_ms.load(Relaxed).unsigned_abs()),
                last_cxid: last.xid.map(|xid| xid.0.cast_unsigned()),
                last_zxid: if last.count == 0 { -1 } else { last.zxid.0 },
                last_response_ms: last.at.unsigned_abs(),
                last_latency_ms: last.latency.unsigned_abs(),
                latency: tally(&last),
            }
        }),
    }
}

fn tally(last: &crate::talk::Last) -> Tally {
    let figure = |n: i64| n.unsigned_abs();
    Tally::of(
        figure(last.min),
        figure(last.max),
        figure(last.count),
        figure(last.sum),
    )
}

fn sessions(service: &Service, driver: &DriverReport) -> SessionsPart {
    let offset = clock::wall() - service.clock.mono();
    let buckets = driver
        .buckets
        .iter()
        .map(|(ends, who)| Bucket {
            ends_ms: ends + offset,
            members: who.iter().map(|session| session.0).collect(),
        })
        .collect();
    SessionsPart {
        buckets,
        ephemerals: ephemerals(&service.replica.tree.read()),
        global: Vec::new(),
        connections: connection_buckets(service, offset),
    }
}

/// Sessions as a learner knows them: that they are, not when they end.
fn global_sessions(tree: &Tree, role: Role) -> Vec<(i64, u64)> {
    let of = |(session, timeout): (SessionId, i32)| (session.0, u64::from(timeout.unsigned_abs()));
    match role.is_learner() {
        true => tree.sessions().map(of).collect(),
        false => Vec::new(),
    }
}

fn ephemerals(tree: &Tree) -> Vec<(i64, Vec<String>)> {
    let paths = |session| {
        let mut paths: Vec<String> = tree.ephemerals(session).collect();
        paths.sort_unstable();
        paths
    };
    tree.ephemeral_owners()
        .map(|session| (session.0, paths(session)))
        .collect()
}

fn connection_buckets(
    service: &Service,
    offset: i64,
) -> Vec<Bucket<(std::net::SocketAddr, Option<i64>)>> {
    let mut buckets: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    let sessionless = clock::millis(service.limits.sessionless);
    for connection in service.connections.open().values() {
        let session = connection.mailbox.session();
        let (heard, patience) = match connection.mailbox.heard() {
            Some((_, heard)) => (heard, i64::from(connection.talk.timeout_ms.load(Relaxed))),
            None => (connection.talk.established - offset, sessionless),
        };
        let ends = ((heard + patience).div_euclid(CONNECTION_BUCKET_MS) + 1) * CONNECTION_BUCKET_MS;
        let member = (connection.peer, session.map(|id| id.0));
        buckets.entry(ends + offset).or_default().push(member);
    }
    buckets
        .into_iter()
        .map(|(ends_ms, members)| Bucket { ends_ms, members })
        .collect()
}

/// Sessions by the number of their connection.
fn sessions_by_watcher(service: &Service) -> BTreeMap<WatcherId, i64> {
    let open = service.connections.open();
    let session = |connection: &Connection| connection.mailbox.session().map_or(0, |id| id.0);
    open.iter()
        .map(|(conn, connection)| (WatcherId(conn.0), session(connection)))
        .collect()
}

fn watches_by_session(service: &Service) -> Vec<(i64, Vec<String>)> {
    let sessions = sessions_by_watcher(service);
    let watches = service.replica.watches.0.lock();
    let owned = |paths: Vec<&str>| paths.into_iter().map(str::to_owned).collect();
    watches
        .by_watcher(Table::Data)
        .into_iter()
        .filter_map(|(watcher, paths)| Some((*sessions.get(&watcher)?, owned(paths))))
        .collect()
}

fn watches_by_path(service: &Service) -> Vec<(String, Vec<i64>)> {
    let sessions = sessions_by_watcher(service);
    let watches = service.replica.watches.0.lock();
    let of = |watchers: Vec<WatcherId>| {
        watchers
            .iter()
            .filter_map(|w| sessions.get(w).copied())
            .collect()
    };
    watches
        .by_path(Table::Data)
        .into_iter()
        .map(|(path, who)| (path.to_owned(), of(who)))
        .collect()
}

fn monitor(service: &Service, since_ms: i64) -> MonitorPart {
    let watches = service.replica.watches.0.lock().len() as u64;
    let tree = service.replica.tree.read();
    MonitorPart {
        metrics: service.metrics.snapshot(),
        ephemerals: tree.ephemeral_count() as u64,
        watches,
        approximate_data_size: tree.data_size(),
        global_sessions: tree.sessions().len() as u64,
        local_sessions: 0,
        open_file_descriptors: std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|dir| dir.count() as u64),
        max_file_descriptors: getrlimit(Resource::Nofile).current,
        uptime_ms: uptime(service, since_ms),
        quotas: quotas(&tree),
    }
}

/// How long the present part has been played.
fn uptime(service: &Service, since_ms: i64) -> u64 {
    let lasted = service.clock.mono().saturating_sub(since_ms);
    u64::try_from(lasted).unwrap_or_default()
}

/// Quotas summed up by the first component of their paths.
fn quotas(tree: &Tree) -> Vec<QuotaEntry> {
    let mut entries: BTreeMap<String, QuotaEntry> = BTreeMap::new();
    for prefix in tree.quota_paths() {
        let text = |path: String| tree.get(&path).and_then(|view| view.data());
        let limits = text(quota::limits_path(prefix)).and_then(Limits::parse);
        let usage = text(quota::stats_path(prefix))
            .and_then(Usage::parse)
            .unwrap_or_default();
        let namespace = prefix
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        let entry = entries
            .entry(namespace.to_owned())
            .or_insert_with(|| QuotaEntry {
                namespace: namespace.to_owned(),
                ..QuotaEntry::default()
            });
        let limit = |hard: i64, soft: i64| [hard, soft].into_iter().find(|limit| *limit > -1);
        if let Some(limits) = limits {
            entry.count_limit = limit(limits.hard.count, limits.soft.count).or(entry.count_limit);
            entry.bytes_limit = limit(limits.hard.bytes, limits.soft.bytes).or(entry.bytes_limit);
        }
        entry.count_usage += usage.count;
        entry.bytes_usage += usage.bytes;
    }
    entries.into_values().collect()
}
