//! `conf`, `dirs` and `envi`: what the server was told and where it runs.

use std::path::Path;

use super::{
    java_version,
    page::Page,
    report::{Configuration, DirectorySizes, EnsembleConfiguration, Environment, Report},
};
use crate::config::{EnsembleSettings, Role, Settings};

/// Directory below `dataDir` and `dataLogDir` that holds the files.
const VERSION_DIRECTORY: &str = "version-2";
/// What stands for things that only a Java process has.
const NOT_AVAILABLE: &str = "<NA>";
/// Memory is shown in these.
const BYTES_PER_MEGABYTE: u64 = 1 << 20;
/// The only election algorithm there is.
const FAST_LEADER_ELECTION: u32 = 3;

impl Configuration {
    /// What `conf` shows of a server with these settings. `client_port` is the port that is really open.
    pub fn of(settings: &Settings, client_port: Option<u16>) -> Self {
        let ensemble = settings.ensemble.as_ref();
        Self {
            client_port,
            secure_client_port: None,
            data_dir: version_directory(&settings.data_dir),
            data_log_dir: version_directory(&settings.data_log_dir),
            tick_time_ms: millis(settings.tick_time),
            max_client_cnxns: settings.client.max_connections_per_ip,
            min_session_timeout_ms: millis(settings.min_session_timeout),
            max_session_timeout_ms: millis(settings.max_session_timeout),
            client_port_listen_backlog: settings.client.backlog,
            server_id: ensemble.map_or(0, |ensemble| ensemble.me.0.unsigned_abs()),
            ensemble: ensemble.map(EnsembleConfiguration::of),
        }
    }
}

impl EnsembleConfiguration {
    /// What a member says of its ensemble, by its own settings.
    fn of(settings: &EnsembleSettings) -> Self {
        let membership = &settings.membership;
        let own = membership.member(settings.me);
        let endpoint = own.and_then(|member| member.endpoints.first());
        Self {
            init_limit: settings.init_limit,
            sync_limit: settings.sync_limit,
            election_port: endpoint.map_or(0, |at| at.election_port),
            quorum_port: endpoint.map_or(0, |at| at.quorum_port),
            is_observer: settings.vocation == Role::Observer,
            servers: membership
                .members()
                .map(|(id, member)| format!("server.{id}={member}"))
                .collect(),
            version: membership.version(),
        }
    }
}

fn version_directory(parent: &Path) -> String {
    parent.join(VERSION_DIRECTORY).display().to_string()
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `conf`.
pub(super) fn configuration(page: &mut Page, report: &Report) {
    let conf = &report.configuration;
    let sizes = report.directory_sizes;
    page.line(format_args!(
        "clientPort={}",
        or_minus_one(conf.client_port)
    ));
    page.line(format_args!(
        "secureClientPort={}",
        or_minus_one(conf.secure_client_port)
    ));
    page.line(format_args!("dataDir={}", conf.data_dir));
    page.line(format_args!("dataDirSize={}", sizes.data));
    page.line(format_args!("dataLogDir={}", conf.data_log_dir));
    page.line(format_args!("dataLogSize={}", sizes.log));
    page.line(format_args!("tickTime={}", conf.tick_time_ms));
    page.line(format_args!(
        "maxClientCnxns={}",
        conf.max_client_cnxns.unwrap_or(0)
    ));
    page.line(format_args!(
        "minSessionTimeout={}",
        conf.min_session_timeout_ms
    ));
    page.line(format_args!(
        "maxSessionTimeout={}",
        conf.max_session_timeout_ms
    ));
    page.line(format_args!(
        "clientPortListenBacklog={}",
        or_minus_one(conf.client_port_listen_backlog)
    ));
    page.line(format_args!("serverId={}", conf.server_id));
    if let Some(ensemble) = &conf.ensemble {
        membership(page, ensemble);
    }
}

fn membership(page: &mut Page, ensemble: &EnsembleConfiguration) {
    page.line(format_args!("initLimit={}", ensemble.init_limit));
    page.line(format_args!("syncLimit={}", ensemble.sync_limit));
    page.line(format_args!("electionAlg={FAST_LEADER_ELECTION}"));
    page.line(format_args!("electionPort={}", ensemble.election_port));
    page.line(format_args!("quorumPort={}", ensemble.quorum_port));
    page.line(format_args!("peerType={}", u8::from(ensemble.is_observer)));
    page.line(format_args!("membership: "));
    for server in &ensemble.servers {
        page.line(format_args!("{server}"));
    }
    // The only answer of its kind that does not end its last line.
    page.put(format_args!("version={:x}", ensemble.version));
}

fn or_minus_one(value: Option<impl Into<i64>>) -> i64 {
    value.map_or(-1, Into::into)
}

/// `dirs`.
pub(super) fn directory_sizes(page: &mut Page, report: &Report) {
    let DirectorySizes { data, log } = report.directory_sizes;
    page.line(format_args!("datadir_size: {data}"));
    page.line(format_args!("logdir_size: {log}"));
}

/// `envi`.
pub(super) fn environment(page: &mut Page, report: &Report) {
    page.line(format_args!("Environment:"));
    for (key, value) in report.environment.rows(&report.version) {
        page.line(format_args!("{key}={value}"));
    }
}

impl Environment {
    /// Every key with its value, in the order shown.
    pub fn rows(&self, version: &str) -> Vec<(&'static str, String)> {
        let text = str::to_owned;
        let none = || NOT_AVAILABLE.to_owned();
        let memory = |bytes: u64| format!("{}MB", bytes / BYTES_PER_MEGABYTE);
        vec![
            ("zookeeper.version", text(version)),
            ("host.name", text(&self.host_name)),
            ("java.version", java_version()),
            ("java.vendor", none()),
            ("java.home", none()),
            ("java.class.path", none()),
            ("java.library.path", none()),
            ("java.io.tmpdir", none()),
            ("java.compiler", none()),
            ("os.name", text(&self.os_name)),
            ("os.arch", text(&self.os_arch)),
            ("os.version", text(&self.os_version)),
            ("user.name", text(&self.user_name)),
            ("user.home", text(&self.user_home)),
            ("user.dir", text(&self.user_dir)),
            ("os.memory.free", memory(self.memory_free)),
            ("os.memory.max", memory(self.memory_max)),
            ("os.memory.total", memory(self.memory_total)),
        ]
    }
}
