//! The bounds of a member and of a connection, by name.

/// Requests of one connection that wait for their turn; beyond, its socket is not read.
pub const MAX_QUEUED_REQUESTS: usize = 4096;

/// Bytes of the bodies that wait; beyond, the socket is not read either. One request more may come, however long.
pub const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// Requests of one connection in flight beyond which no reads are sent along with the writes: bounds what the thread that commits
/// does for one client at a time.
pub const MAX_RUN: usize = 64;

/// Containers and TTL nodes removed in one round of the reaper.
pub const MAX_REAPED_PER_ROUND: usize = 1000;

/// A gap between two ticks, in tick lengths, beyond which the process is taken to have stood still.
pub const STALL_TICKS: i64 = 3;

/// Room that a record needs besides the request that caused it: header, digest, a sequence number, counters.
pub const RECORD_OVERHEAD: usize = 256;

/// Time between two notices of passed soft quotas, ms.
pub const QUOTA_NOTICE_INTERVAL_MS: i64 = 1000;
