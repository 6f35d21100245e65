//! What the words show: a plain report that the server fills for one answer.
//!
//! Everything is owned data. Parts that [`super::needs`] does not name for a word may keep their defaults. Times
//! are milliseconds; session ids and zxids are the numbers of the wire.

use std::net::SocketAddr;

use super::role::Role;
use crate::metrics::{PacketView, Sizes, Snapshot, Tally};

/// Everything the words can show.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Part this server plays. If it serves no clients, most words say just that.
    pub role: Role,
    /// Text of [`super::version_text`].
    pub version: String,
    /// Trace mask, without effect on anything.
    pub trace_mask: TraceMask,
    /// The numbers of `srvr`.
    pub server: ServerPart,
    /// Settings in force.
    pub configuration: Configuration,
    /// Bytes in the data directories.
    pub directory_sizes: DirectorySizes,
    /// The machine and the process.
    pub environment: Environment,
    /// Every open connection, the asking one among them.
    pub connections: Vec<ConnectionEntry>,
    /// Sessions, ephemerals and connections by expiry.
    pub sessions: SessionsPart,
    /// Watches counted.
    pub watch_summary: WatchSummary,
    /// Session and the paths it watches, data watches only.
    pub watches_by_session: Vec<(i64, Vec<String>)>,
    /// Path and the sessions that watch it, data watches only.
    pub watches_by_path: Vec<(String, Vec<i64>)>,
    /// Zxid and digest, oldest first: one per 128 transactions, the last [`super::MAX_DIGESTS`].
    pub digests: Vec<(i64, u64)>,
    /// What only `mntr` shows.
    pub monitor: MonitorPart,
}

/// The mask that `stmk` sets and `gtmk` shows. Tools expect it to be kept; nothing is traced by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceMask(pub i64);

impl Default for TraceMask {
    fn default() -> Self {
        Self(306)
    }
}

/// The numbers of `srvr` (and of `stat` and `mntr`).
#[derive(Debug, Clone, Default)]
pub struct ServerPart {
    /// Packets and latencies.
    pub packets: PacketView,
    /// Open connections, the asking one among them.
    pub connections: u64,
    /// Last transaction applied.
    pub zxid: i64,
    /// Nodes in the tree.
    pub node_count: u64,
    /// Sizes of proposals; `None` before the first. Only a leader shows them.
    pub proposals: Option<Sizes>,
}

/// Settings in force, as `conf` shows them.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// Port for clients; `None`: closed.
    pub client_port: Option<u16>,
    /// Port for clients with TLS; `None`: closed.
    pub secure_client_port: Option<u16>,
    /// Directory of snapshots, with `version-2`.
    pub data_dir: String,
    /// Directory of logs, with `version-2`.
    pub data_log_dir: String,
    /// `tickTime`, ms.
    pub tick_time_ms: u64,
    /// Connections of one address; `None`: no limit.
    pub max_client_cnxns: Option<u32>,
    /// Lower clamp of negotiated timeouts, ms.
    pub min_session_timeout_ms: u64,
    /// Upper clamp of negotiated timeouts, ms.
    pub max_session_timeout_ms: u64,
    /// Backlog of the port; `None`: the system's.
    pub client_port_listen_backlog: Option<u32>,
    /// Number in the ensemble, 0 alone.
    pub server_id: u64,
    /// What only a member of an ensemble has.
    pub ensemble: Option<EnsembleConfiguration>,
}

/// Settings of a member of an ensemble.
#[derive(Debug, Clone, Default)]
pub struct EnsembleConfiguration {
    /// `initLimit` in ticks.
    pub init_limit: u32,
    /// `syncLimit` in ticks.
    pub sync_limit: u32,
    /// Port for elections.
    pub election_port: u16,
    /// Port for learners.
    pub quorum_port: u16,
    /// Does not vote.
    pub is_observer: bool,
    /// The `server.` lines, in order.
    pub servers: Vec<String>,
    /// Version of the membership.
    pub version: i64,
}

/// Bytes of all files in the data directories.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirectorySizes {
    /// Directory of snapshots.
    pub data: u64,
    /// Directory of logs; equal when it is the same one.
    pub log: u64,
}

/// The machine and the process, as `envi` shows them.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `host.name`.
    pub host_name: String,
    /// `os.name`.
    pub os_name: String,
    /// `os.arch`.
    pub os_arch: String,
    /// `os.version`.
    pub os_version: String,
    /// `user.name`.
    pub user_name: String,
    /// `user.home`.
    pub user_home: String,
    /// `user.dir`: where the process was started.
    pub user_dir: String,
    /// Bytes the process could still take.
    pub memory_free: u64,
    /// Bytes the process may take.
    pub memory_max: u64,
    /// Bytes the process has taken.
    pub memory_total: u64,
}

/// One connection.
#[derive(Debug, Clone)]
pub struct ConnectionEntry {
    /// The client's end.
    pub peer: SocketAddr,
    /// What the connection waits for.
    pub interest: Interest,
    /// Requests received and not answered.
    pub queued: u64,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// The session, once there is one.
    pub session: Option<SessionEntry>,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Nothing: it is being closed, like one that asked a word.
    Closing,
    /// Bytes from the client.
    Reading,
    /// Bytes from the client, and room to send.
    ReadingAndWriting,
}

impl Interest {
    /// The number in `cons` and `stat`.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Closing => 0,
            Self::Reading => 1,
            Self::ReadingAndWriting => 5,
        }
    }
}

/// The session of a connection and its numbers since the last reset.
#[derive(Debug, Clone)]
pub struct SessionEntry {
    /// Session id.
    pub id: i64,
    /// Letters of the last request ([`super::last_operation`]).
    pub last_operation: &'static str,
    /// When the connection was made, ms since 1970.
    pub established_ms: i64,
    /// Negotiated timeout.
    pub timeout_ms: u64,
    /// Xid of the last request that had one of its own (pings and the like do not); opening the session counts
    /// as 0.
    pub last_cxid: Option<u32>,
    /// Zxid of the last answer; -1 before the first.
    pub last_zxid: i64,
    /// When the last answer left, ms on a clock that only goes forward.
    pub last_response_ms: u64,
    /// Latency of the last answer, ms.
    pub last_latency_ms: u64,
    /// Latencies, ms.
    pub latency: Tally,
}

/// Sessions, ephemerals and connections by expiry, as `dump` shows them.
#[derive(Debug, Clone, Default)]
pub struct SessionsPart {
    /// Sessions by the moment they expire together, earliest first. Nobody but a leader or a server on its own knows them.
    pub buckets: Vec<Bucket<i64>>,
    /// Sessions and their timeouts in ms, ascending: what a learner shows instead.
    pub global: Vec<(i64, u64)>,
    /// Sessions and the paths of their ephemerals.
    pub ephemerals: Vec<(i64, Vec<String>)>,
    /// Connections by the moment they are closed if they stay silent, earliest first; with their sessions.
    pub connections: Vec<Bucket<(SocketAddr, Option<i64>)>>,
}

/// What ends together unless it is touched.
#[derive(Debug, Clone)]
pub struct Bucket<T> {
    /// When it ends, ms since 1970.
    pub ends_ms: i64,
    /// What ends.
    pub members: Vec<T>,
}

/// Watches counted, data watches only.
#[derive(Debug, Clone, Copy, Default)]
pub struct WatchSummary {
    /// Connections that watch.
    pub connections: u64,
    /// Paths that are watched.
    pub paths: u64,
    /// Pairs of the two.
    pub watches: u64,
}

/// What only `mntr` shows.
#[derive(Debug, Clone, Default)]
pub struct MonitorPart {
    /// Counters and summaries.
    pub metrics: Snapshot,
    /// Ephemeral nodes.
    pub ephemerals: u64,
    /// Pairs of path and session that watches.
    pub watches: u64,
    /// Bytes of paths and data.
    pub approximate_data_size: u64,
    /// Sessions the ensemble knows.
    pub global_sessions: u64,
    /// Sessions only this server knows.
    pub local_sessions: u64,
    /// Files and sockets open; `None`: unknown.
    pub open_file_descriptors: Option<u64>,
    /// Files and sockets that may be open; `None`: unknown.
    pub max_file_descriptors: Option<u64>,
    /// Since the current role began, ms.
    pub uptime_ms: u64,
    /// Quotas by namespace.
    pub quotas: Vec<QuotaEntry>,
}

/// Quotas of one namespace and what they count.
#[derive(Debug, Clone, Default)]
pub struct QuotaEntry {
    /// First path component, as clients wrote it.
    pub namespace: String,
    /// Nodes allowed; `None`: any number.
    pub count_limit: Option<i64>,
    /// Nodes there are.
    pub count_usage: i64,
    /// Bytes allowed; `None`: any number.
    pub bytes_limit: Option<i64>,
    /// Bytes there are.
    pub bytes_usage: i64,
}
