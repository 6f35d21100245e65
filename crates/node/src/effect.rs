//! What a member wants done. The driver performs effects in order and decides nothing.

use bytes::Bytes;
use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::response::ConnectResponse;
use rookeeper_proto::txn::{TxnDigest, TxnHeader};
use rookeeper_tree::prep::Prepared;

use crate::input::{ConnId, ReadBehind, ReplyTo, SyncRequest};

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Append a record to the log; it needs a sync before `Synced` may cover it.
    Append {
        /// Its place.
        zxid: Zxid,
        /// Header, body and digest.
        record: Bytes,
    },
    /// Apply a committed transaction to the tree, deliver its events, then its reply.
    Apply(Committed),
    /// Answer a connect request. After a refusal the connection is closed.
    Connected {
        /// Whom.
        conn: ConnId,
        /// What.
        response: ConnectResponse,
        /// The read-only byte of the answer, if the request had one.
        read_only: Option<bool>,
    },
    /// Answer a write that never became a transaction.
    Refuse {
        /// Whom, which request, and the reads that waited for it.
        to: ReplyTo,
        /// Its session.
        session: SessionId,
        /// Header zxid.
        zxid: Zxid,
        /// Why.
        code: ErrorCode,
    },
    /// Serve these reads now, as what they waited for has come.
    Answer {
        /// Whose.
        conn: ConnId,
        /// Its session.
        session: SessionId,
        /// Which.
        reads: Vec<ReadBehind>,
    },
    /// Write out what is queued for the connection, then close it. Nothing that comes later reaches it.
    Close {
        /// Which.
        conn: ConnId,
        /// For the log.
        why: CloseReason,
    },
    /// Something an operator should read.
    Notice(Notice),
}

impl From<SyncRequest> for Effect {
    /// Who has everything that is committed answers a sync at once.
    fn from(request: SyncRequest) -> Self {
        let SyncRequest {
            conn,
            session,
            reads,
        } = request;
        Self::Answer {
            conn,
            session,
            reads,
        }
    }
}

/// Why a member closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client has seen transactions that this server has not.
    ClientAhead {
        /// What the client saw.
        seen: Zxid,
        /// What this server has.
        ours: Zxid,
    },
    /// The session goes on over another connection.
    Reattached(SessionId),
    /// The session ended by request.
    SessionClosed(SessionId),
    /// The session ended by time.
    SessionExpired(SessionId),
    /// This server has no leader, so it serves nobody.
    NotServing,
    /// The log has no room for a new session, or for the end of one.
    DiskFull,
}

/// Facts for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A session did not speak for its timeout.
    Expiring {
        /// Which.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// The process stood still; no session pays for it.
    Stalled {
        /// For how long, ms.
        ms: i64,
    },
    /// A write passed the soft limit of a quota; more such writes within a short time are not told.
    OverSoftQuota {
        /// The path with the quota.
        path: String,
    },
}

/// A transaction whose record is durable.
#[derive(Debug)]
pub struct Committed {
    /// Who, when, which place.
    pub header: TxnHeader,
    /// What, and the digest of the tree afterwards.
    pub prepared: Prepared,
    /// Where the reply goes, if a connected client asked.
    pub reply_to: Option<ReplyTo>,
}

impl Committed {
    /// The digest that the tree must have after this transaction.
    #[must_use]
    pub const fn digest(&self) -> Option<TxnDigest> {
        self.prepared.digest
    }
}
