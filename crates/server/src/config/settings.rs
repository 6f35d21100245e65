//! What a configuration means: the typed values the rest of the server works with.
//!
//! Nothing here knows where a value was written. Invariants: sizes are bytes, times are `Duration`, "none" and
//! "off" are `None`; `min_session_timeout` is never above `max_session_timeout`; `data_log_dir` is `data_dir`
//! when no other was given.

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::membership::{Membership, Role};

use super::words::WordList;

/// Everything a server needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The file the settings came from, as it was named.
    pub config_file: Option<PathBuf>,
    /// Directory that holds `version-2` with snapshots (`dataDir`).
    pub data_dir: PathBuf,
    /// Directory that holds `version-2` with logs (`dataLogDir`).
    pub data_log_dir: PathBuf,
    /// Unit of limits, never zero (`tickTime`).
    pub tick_time: Duration,
    /// `initLimit` in ticks as it was written; a member looks into [`EnsembleSettings`].
    pub init_limit: Option<u32>,
    /// `syncLimit` in ticks as it was written; a member looks into [`EnsembleSettings`].
    pub sync_limit: Option<u32>,
    /// Lower clamp of negotiated timeouts.
    pub min_session_timeout: Duration,
    /// Upper clamp of negotiated timeouts.
    pub max_session_timeout: Duration,
    /// `standaloneEnabled`.
    pub standalone_enabled: bool,
    /// `reconfigEnabled`: whether `reconfig` requests are answered at all.
    pub reconfig_enabled: bool,
    /// `readonlymode.enabled`; standalone it only allows the word `isro`.
    pub read_only_mode_enabled: bool,
    /// `extendedTypesEnabled`: nodes with a time to live.
    pub extended_types_enabled: bool,
    /// Client port and its connections.
    pub client: ClientSettings,
    /// Files and the write path.
    pub storage: StorageSettings,
    /// Removal of old files.
    pub purge: PurgeSettings,
    /// Bounds of requests.
    pub limits: LimitSettings,
    /// Removal of empty containers and expired nodes.
    pub containers: ContainerSettings,
    /// Who may do what.
    pub access: AccessSettings,
    /// Log.
    pub log: LogSettings,
    /// The others; `None`: the server runs on its own.
    pub ensemble: Option<EnsembleSettings>,
}

/// A member of an ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleSettings {
    /// The number of this server: the file `myid`; one of the members.
    pub me: ServerId,
    /// Who belongs to the ensemble. The version is that in the name of the membership file, else 0. Of a member whose line
    /// names no client address it knows none, even of this server.
    pub membership: Membership,
    /// What this server is for: the role in its line.
    pub vocation: Role,
    /// Ticks a learner may take to connect and to catch up (`initLimit`); not zero.
    pub init_limit: u32,
    /// Ticks a learner may lag behind (`syncLimit`); not zero.
    pub sync_limit: u32,
    /// Ticks a learner may take to connect to the leader (`connectToLearnerMasterLimit`); not zero.
    pub connect_limit: u32,
    /// Time to connect for an election (`cnxTimeout`).
    pub connect_timeout: Duration,
    /// Time in which an election connection must say who it is (`quorumCnxnTimeoutMs`).
    pub handshake_timeout: Duration,
    /// Keep-alive on sockets between servers (`tcpKeepAlive`).
    pub tcp_keep_alive: bool,
    /// A leader's sockets send at once (`leader.nodelay`).
    pub leader_nodelay: bool,
    /// A learner's socket sends at once (`follower.nodelay`).
    pub follower_nodelay: bool,
    /// Tries to bind the election port after the first one failed (`electionPortBindRetry`); 0: for ever.
    pub election_bind_retries: u32,
    /// The ports between servers listen on all addresses (`quorumListenOnAllIPs`).
    pub listen_on_all_ips: bool,
    /// Members may have several addresses, and handshakes say so (`multiAddress.enabled`).
    pub multi_address: bool,
    /// The leader serves clients too (`leaderServes`).
    pub leader_serves: bool,
    /// Shortest pause between election messages.
    pub min_notification: Duration,
    /// Longest pause between election messages, not shorter than the shortest.
    pub max_notification: Duration,
    /// Pause between attempts to connect to the leader (`leaderConnectDelayDuringRetryMs`).
    pub leader_connect_pause: Duration,
    /// Committed transactions kept in memory for learners, at least 500 (`commitLogCount`).
    pub commit_log_count: usize,
    /// Learners get whole states only (`forceSnapshotSync`).
    pub force_snapshot_sync: bool,
    /// Learners that a leader synchronizes at a time (`leader.maxConcurrentSnapSyncs`, `leader.maxConcurrentDiffSyncs`); not zero.
    pub sync_limits: SyncLimits,
    /// The longest pause of an observer that lost its leader (`observer.election.DelayMs`).
    pub observer_election_delay: Duration,
    /// The longest pause of an observer before it connects (`observer.reconnectDelayMs`).
    pub observer_reconnect_delay: Duration,
    /// Share of a snapshot up to which a learner is fed from the log on the disk, 0 to 1; 0: never (`snapshotSizeFactor`).
    pub snapshot_size_factor: f64,
}

/// Client port and its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// Where to listen; `None`: run without clients.
    pub listen: Option<ListenAddress>,
    /// Backlog of the port; `None`: the most the system allows.
    pub backlog: Option<u32>,
    /// Keep-alive on client sockets.
    pub tcp_keep_alive: bool,
    /// Connections of one client address at most; `None`: no limit (`maxClientCnxns`).
    pub max_connections_per_ip: Option<u32>,
    /// Connections in total at most; `None`: no limit (`maxCnxns`).
    pub max_connections: Option<u32>,
    /// How long a connection may live without opening a session.
    pub sessionless_timeout: Duration,
    /// Four-letter words that are answered.
    pub words: WordList,
}

/// Host and port to listen on. The host may be a name: it is resolved when the port is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Name or address without brackets; `None`: all interfaces.
    pub host: Option<String>,
    /// Port; 0 lets the system choose (possible as an argument only).
    pub port: u16,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_deref() {
            None => write!(f, "0.0.0.0:{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Files and the write path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// Create missing data directories (`datadir.autocreate`).
    pub data_dir_autocreate: bool,
    /// Start empty when there is no database (`db.autocreate`).
    pub db_autocreate: bool,
    /// Bytes by which a log file grows at a time; 0: no growing ahead.
    pub log_preallocation: u64,
    /// Transactions between snapshots, at least 2.
    pub snap_count: u32,
    /// Bytes of log between snapshots.
    pub snap_log_size_limit: Option<u64>,
    /// Bytes after which a new log file begins.
    pub log_roll_size: Option<u64>,
    /// A sync that takes longer is worth a warning.
    pub fsync_warning_threshold: Duration,
    /// Whether the log is synced before an answer leaves.
    pub force_sync: bool,
    /// Form of new snapshots; all forms are read.
    pub snapshot_compression: SnapshotCompression,
    /// Accept logs without any snapshot.
    pub trust_empty_snapshot: bool,
    /// Digest of the tree in transactions and snapshots.
    pub digest_enabled: bool,
    /// Last zxid at the end of snapshots.
    pub serialize_last_processed_zxid: bool,
    /// List of removed ephemerals in the transaction that closes a session.
    pub close_session_txn: bool,
}

/// Form of new snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotCompression {
    /// Plain, `snapshot.Z`.
    None,
    /// `snapshot.Z.gz`.
    Gzip,
    /// `snapshot.Z.snappy`.
    Snappy,
}

/// Removal of old files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeSettings {
    /// Snapshots to keep, at least 3.
    pub retain_count: u32,
    /// Time between purges, the first at start; `None`: never.
    pub interval: Option<Duration>,
}

/// Bounds of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Bytes of the largest frame (`jute.maxbuffer`).
    pub max_buffer: u32,
    /// Extra bytes allowed in log records, at least 1024.
    pub max_buffer_extra: u32,
    /// Requests in flight above which clients are read no more.
    pub global_outstanding: u32,
    /// Bytes above which a request is large; `None`: none is.
    pub large_request_threshold: Option<u32>,
    /// Bytes of large requests in flight at most.
    pub large_request_max_bytes: u64,
    /// Hard quotas refuse writes.
    pub enforce_quota: bool,
}

/// Removal of empty containers and expired nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSettings {
    /// Time between looks.
    pub check_interval: Duration,
    /// Removals in a minute at most.
    pub max_per_minute: u32,
    /// How long a container may stay without ever having a child; `None`: for ever.
    pub max_never_used: Option<Duration>,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// No ACL checks at all.
    pub skip_acl: bool,
    /// Schemes a client may use (`world` is not one of them: it needs no provider).
    pub schemes: BTreeSet<AuthScheme>,
    /// How passwords of scheme `digest` are hashed.
    pub digest_algorithm: DigestAlgorithm,
    /// `NAME:BASE64` of the super user's digest.
    pub super_digest: Option<Secret>,
    /// A session needs one of these schemes; empty: none needed.
    pub enforce_auth_schemes: Vec<AuthScheme>,
    /// Certificate subject that is super user.
    pub x509_super_user: Option<String>,
    /// SASL users that are super users.
    pub sasl_super_users: Vec<String>,
    /// SASL user that passes every SASL entry of an ACL (`letAnySaslUserDoX`).
    pub any_sasl_user: Option<String>,
    /// Names scheme `ensemble` accepts; empty: every name.
    pub ensemble_names: Vec<String>,
}

/// An authentication scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthScheme {
    /// `digest`.
    Digest,
    /// `ip`.
    Ip,
    /// `sasl`: known in ACLs, nobody can authenticate by it in this version.
    Sasl,
    /// `x509`: known in ACLs, nobody can authenticate by it in this version.
    X509,
    /// `ensemble`.
    Ensemble,
}

impl AuthScheme {
    /// The scheme's name in ACLs and auth packets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Ip => "ip",
            Self::Sasl => "sasl",
            Self::X509 => "x509",
            Self::Ensemble => "ensemble",
        }
    }
}

/// How passwords of scheme `digest` are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// `SHA1`.
    Sha1,
    /// `SHA-256`.
    Sha256,
    /// `SHA-512`.
    Sha512,
    /// `SHA3-256`.
    Sha3_256,
}

impl DigestAlgorithm {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha512, Self::Sha3_256];

    /// The name Java gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha3_256 => "SHA3-256",
        }
    }
}

/// A text that no log line may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "***";

impl Secret {
    /// Hides a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Form of a line.
    pub format: LogFormat,
    /// Lines below this level are not written.
    pub level: LogLevel,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Level of a log line, most talkative first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For the curious.
    Debug,
    /// Normal.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
    /// Nothing is logged.
    Off,
}

impl LogLevel {
    /// The level's name as log lines show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Off => "OFF",
        }
    }
}
