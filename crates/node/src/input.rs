//! What a member is told.

use std::sync::Arc;

use bytes::Bytes;
use rookeeper_proto::ids::{SessionId, Xid, Zxid};
use rookeeper_proto::request::{ConnectRequest, RequestHeader, Write};
use rookeeper_tree::auth::Identities;

/// A client connection of this server. Numbers are not reused while an old one may still be spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// The two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic, ms since some origin: for everything that expires.
    pub mono: i64,
    /// ms since 1970: for the times that clients see.
    pub wall: i64,
}

/// A write on its way.
#[derive(Debug)]
pub struct WriteRequest {
    /// Where the reply goes.
    pub conn: ConnId,
    /// The session of that connection.
    pub session: SessionId,
    /// Echoed in the reply.
    pub xid: Xid,
    /// What it asks.
    pub write: Write,
    /// The operation as it came.
    pub op: i32,
    /// The request as it came: a learner hands it to its leader unchanged.
    pub body: Bytes,
    /// Who asks: the identities of the connection when the request was received.
    pub identities: Arc<Identities>,
    /// Reads between this write and the next one that is in flight with it.
    pub behind: Vec<ReadBehind>,
}

/// A read between two writes of one client that are in flight together. It must see the first and not the second, so it travels
/// with the first and is served where that is committed.
#[derive(Debug)]
pub struct ReadBehind {
    /// Number and operation.
    pub header: RequestHeader,
    /// The rest of its frame.
    pub body: Bytes,
    /// Who asks: authentication may have come between it and the write.
    pub identities: Arc<Identities>,
}

/// Where the answers to a write, and to the reads behind it, go.
#[derive(Debug)]
pub struct ReplyTo {
    /// The connection.
    pub conn: ConnId,
    /// The number of the write.
    pub xid: Xid,
    /// Served right after the write.
    pub behind: Vec<ReadBehind>,
}

/// A sync on its way: it is answered when what was in flight before is committed here; at a learner, what the leader had proposed
/// before.
#[derive(Debug)]
pub struct SyncRequest {
    /// Where the reply goes.
    pub conn: ConnId,
    /// The session of that connection.
    pub session: SessionId,
    /// The sync itself, and reads between it and the next request that is in flight with it.
    pub reads: Vec<ReadBehind>,
}

/// What happens to a member.
#[derive(Debug)]
pub enum Input {
    /// A client wants a session.
    Connect {
        /// Its connection.
        conn: ConnId,
        /// Its wish.
        request: ConnectRequest,
    },
    /// A client wants a change.
    Write(WriteRequest),
    /// A client wants to see what the leader has. Only learners are asked: elsewhere it is a read like others.
    Sync(SyncRequest),
    /// A connection is gone.
    Disconnected(ConnId),
    /// Sessions were heard of since the last time, at these monotonic times. Comes before each [`Self::Tick`].
    Heard(Vec<(SessionId, i64)>),
    /// Time has passed.
    Tick,
    /// Every record up to this zxid is durable.
    Synced(Zxid),
    /// The log has no room for more (true), or has it again (false).
    DiskFull(bool),
}
