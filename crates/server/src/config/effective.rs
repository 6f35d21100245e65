//! Every setting in force as text, for the start-up log and for who asks a running server.
//!
//! Invariants: each honoured key occurs once (those of ensembles in a member's list only), under the name and in the unit in which it is written; secrets
//! are hidden.

use std::time::Duration;

use super::settings::{
    AccessSettings, AuthScheme, ClientSettings, ContainerSettings, EnsembleSettings, HIDDEN,
    LimitSettings, LogFormat, LogSettings, PurgeSettings, Settings, SnapshotCompression,
    StorageSettings,
};

type Rows = Vec<(String, String)>;

impl Settings {
    /// Name and value of every setting in force.
    pub fn effective(&self) -> Vec<(String, String)> {
        let mut rows = Rows::new();
        self.push_server(&mut rows);
        self.client.push(&mut rows);
        self.storage.push(&mut rows);
        self.purge.push(&mut rows);
        self.limits.push(&mut rows);
        self.containers.push(&mut rows);
        self.access.push(&mut rows);
        self.log.push(&mut rows);
        if let Some(ensemble) = &self.ensemble {
            ensemble.push(&mut rows);
        }
        rows
    }

    fn push_server(&self, rows: &mut Rows) {
        push(rows, "dataDir", self.data_dir.display());
        push(rows, "dataLogDir", self.data_log_dir.display());
        push(rows, "tickTime", self.tick_time.as_millis());
        push(rows, "initLimit", optional(self.init_limit));
        push(rows, "syncLimit", optional(self.sync_limit));
        push(
            rows,
            "minSessionTimeout",
            self.min_session_timeout.as_millis(),
        );
        push(
            rows,
            "maxSessionTimeout",
            self.max_session_timeout.as_millis(),
        );
        push(rows, "standaloneEnabled", self.standalone_enabled);
        push(rows, "reconfigEnabled", self.reconfig_enabled);
        push(rows, "readonlymode.enabled", self.read_only_mode_enabled);
        push(rows, "extendedTypesEnabled", self.extended_types_enabled);
    }
}

impl ClientSettings {
    fn push(&self, rows: &mut Rows) {
        let listen = self.listen.as_ref();
        push(
            rows,
            "clientPort",
            listen.map_or_else(String::new, |at| at.port.to_string()),
        );
        let host = listen.and_then(|at| at.host.clone()).unwrap_or_default();
        push(rows, "clientPortAddress", host);
        push(
            rows,
            "clientPortListenBacklog",
            self.backlog.map_or(-1, i64::from),
        );
        push(rows, "clientTcpKeepAlive", self.tcp_keep_alive);
        push(
            rows,
            "maxClientCnxns",
            self.max_connections_per_ip.unwrap_or_default(),
        );
        push(rows, "maxCnxns", self.max_connections.unwrap_or_default());
        push(
            rows,
            "nio.sessionlessCnxnTimeout",
            self.sessionless_timeout.as_millis(),
        );
        push(rows, "4lw.commands.whitelist", &self.words);
    }
}

impl StorageSettings {
    fn push(&self, rows: &mut Rows) {
        push(rows, "datadir.autocreate", self.data_dir_autocreate);
        push(rows, "db.autocreate", self.db_autocreate);
        push(rows, "preAllocSize", self.log_preallocation / KIB);
        push(rows, "snapCount", self.snap_count);
        push(rows, "snapSizeLimitInKb", kib(self.snap_log_size_limit));
        push(rows, "txnLogSizeLimitInKb", kib(self.log_roll_size));
        push(
            rows,
            "fsync.warningthresholdms",
            self.fsync_warning_threshold.as_millis(),
        );
        push(rows, "forceSync", yes_no(self.force_sync));
        push(
            rows,
            "snapshot.compression.method",
            compression(self.snapshot_compression),
        );
        push(rows, "snapshot.trust.empty", self.trust_empty_snapshot);
        push(rows, "digest.enabled", self.digest_enabled);
        push(
            rows,
            "serializeLastProcessedZxid.enabled",
            self.serialize_last_processed_zxid,
        );
        push(rows, "closeSessionTxn.enabled", self.close_session_txn);
    }
}

impl PurgeSettings {
    fn push(&self, rows: &mut Rows) {
        push(rows, "autopurge.snapRetainCount", self.retain_count);
        push(
            rows,
            "autopurge.purgeInterval",
            self.interval.map_or_else(|| "0".into(), interval),
        );
    }
}

impl LimitSettings {
    fn push(&self, rows: &mut Rows) {
        push(rows, "jute.maxbuffer", self.max_buffer);
        push(rows, "jute.maxbuffer.extrasize", self.max_buffer_extra);
        push(rows, "globalOutstandingLimit", self.global_outstanding);
        push(
            rows,
            "largeRequestThreshold",
            self.large_request_threshold.map_or(-1, i64::from),
        );
        push(rows, "largeRequestMaxBytes", self.large_request_max_bytes);
        push(rows, "enforceQuota", self.enforce_quota);
    }
}

impl ContainerSettings {
    fn push(&self, rows: &mut Rows) {
        push(
            rows,
            "znode.container.checkIntervalMs",
            self.check_interval.as_millis(),
        );
        push(rows, "znode.container.maxPerMinute", self.max_per_minute);
        let never_used = self.max_never_used.unwrap_or_default();
        push(
            rows,
            "znode.container.maxNeverUsedIntervalMs",
            never_used.as_millis(),
        );
    }
}

impl AccessSettings {
    fn push(&self, rows: &mut Rows) {
        push(rows, "skipACL", yes_no(self.skip_acl));
        push(rows, "authProvider", schemes(self.schemes.iter().copied()));
        let digest = self.schemes.contains(&AuthScheme::Digest);
        push(rows, "DigestAuthenticationProvider.enabled", digest);
        push(
            rows,
            "DigestAuthenticationProvider.digestAlg",
            self.digest_algorithm.name(),
        );
        let super_digest = self.super_digest.as_ref().map_or("", |_| HIDDEN);
        push(
            rows,
            "DigestAuthenticationProvider.superDigest",
            super_digest,
        );
        push(
            rows,
            "enforce.auth.enabled",
            !self.enforce_auth_schemes.is_empty(),
        );
        push(
            rows,
            "enforce.auth.schemes",
            schemes(self.enforce_auth_schemes.iter().copied()),
        );
        let x509 = self.x509_super_user.as_deref().unwrap_or_default();
        push(rows, "X509AuthenticationProvider.superUser", x509);
        push(rows, "superUser", self.sasl_super_users.join(","));
        push(
            rows,
            "letAnySaslUserDoX",
            self.any_sasl_user.as_deref().unwrap_or_default(),
        );
        push(rows, "ensembleAuthName", self.ensemble_names.join(","));
    }
}

impl LogSettings {
    fn push(self, rows: &mut Rows) {
        let format = match self.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        push(rows, "log.format", format);
        push(rows, "root.logger", self.level.name());
    }
}

impl EnsembleSettings {
    fn push(&self, rows: &mut Rows) {
        for (id, member) in self.membership.members() {
            push(rows, &format!("server.{id}"), member);
        }
        push(rows, "peerType", self.vocation);
        push(rows, "connectToLearnerMasterLimit", self.connect_limit);
        push(rows, "cnxTimeout", self.connect_timeout.as_millis());
        push(
            rows,
            "quorumCnxnTimeoutMs",
            self.handshake_timeout.as_millis(),
        );
        push(rows, "tcpKeepAlive", self.tcp_keep_alive);
        push(rows, "leader.nodelay", self.leader_nodelay);
        push(rows, "follower.nodelay", self.follower_nodelay);
        push(rows, "electionPortBindRetry", self.election_bind_retries);
        push(rows, "quorumListenOnAllIPs", self.listen_on_all_ips);
        push(rows, "multiAddress.enabled", self.multi_address);
        push(rows, "leaderServes", yes_no(self.leader_serves));
        self.push_pauses(rows);
        push(rows, "commitLogCount", self.commit_log_count);
        push(rows, "forceSnapshotSync", self.force_snapshot_sync);
        let limits = self.sync_limits;
        push(rows, "leader.maxConcurrentSnapSyncs", limits.states);
        push(rows, "leader.maxConcurrentDiffSyncs", limits.differences);
        push(rows, "snapshotSizeFactor", self.snapshot_size_factor);
    }

    fn push_pauses(&self, rows: &mut Rows) {
        for (name, pause) in [
            ("fastleader.minNotificationInterval", self.min_notification),
            ("fastleader.maxNotificationInterval", self.max_notification),
            ("leaderConnectDelayDuringRetryMs", self.leader_connect_pause),
            ("observer.election.DelayMs", self.observer_election_delay),
            ("observer.reconnectDelayMs", self.observer_reconnect_delay),
        ] {
            push(rows, name, pause.as_millis());
        }
    }
}

const KIB: u64 = 1024;
const HOUR: Duration = Duration::from_secs(3600);

fn push(rows: &mut Rows, name: &str, value: impl ToString) {
    rows.push((name.to_owned(), value.to_string()));
}

fn optional(number: Option<u32>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn kib(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-1".to_owned(), |bytes| (bytes / KIB).to_string())
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn compression(method: SnapshotCompression) -> &'static str {
    match method {
        SnapshotCompression::None => "",
        SnapshotCompression::Gzip => "gz",
        SnapshotCompression::Snappy => "snappy",
    }
}

/// Whole hours as a bare number, everything else in milliseconds.
fn interval(interval: Duration) -> String {
    let (millis, hour) = (interval.as_millis(), HOUR.as_millis());
    if millis % hour == 0 {
        (millis / hour).to_string()
    } else {
        format!("{millis}ms")
    }
}

fn schemes(schemes: impl Iterator<Item = AuthScheme>) -> String {
    schemes.map(AuthScheme::name).collect::<Vec<_>>().join(",")
}
