//! Why something did not succeed, and whether it may have happened all the same.

use std::io;

use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::jute::DecodeError;
use rookeeper_proto::path::PathError;
use thiserror::Error;

/// What is known about a request that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changed nothing, and never will.
    NothingHappened,
    /// It may have been executed, or may still be.
    Unknown,
}

/// Why a request, a watch or a session came to no good end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The server refused it.
    #[error("{}: {path}", refusal(*code))]
    Refused {
        /// Its reason.
        code: ErrorCode,
        /// The path of the request, as the caller gave it; empty where there is none.
        path: String,
    },
    /// The server refused one part of a multi, and so nothing of it was done.
    #[error("part {index} of the multi, {}: {path}", refusal(*code))]
    PartRefused {
        /// Which, from 0.
        index: usize,
        /// Its reason.
        code: ErrorCode,
        /// The path of that part.
        path: String,
    },
    /// The connection broke after the request was sent and before its answer came.
    #[error("the connection was lost before the answer came; the outcome is unknown")]
    ConnectionLost,
    /// The deadline passed, and the request was still waiting for a connection.
    #[error("no server could be reached in time; nothing was sent")]
    NotSent,
    /// [`Builder::connect`](crate::Builder::connect) has waited long enough, and no server had accepted the session.
    #[error("no server could be reached in time; the last one, {server}: {why}")]
    Unreachable {
        /// The server that was tried last, or the service that could not be looked up, as the connect string or the service names it.
        server: String,
        /// What went wrong there.
        why: String,
    },
    /// [`Builder::servers`](crate::Builder::servers) could not look a service up.
    #[error("{service}: {why}")]
    NoService {
        /// As the connect string names it.
        service: String,
        /// What went wrong.
        why: String,
    },
    /// The deadline passed, and the answer had not come.
    #[error("no answer in time; the outcome is unknown")]
    Timeout,
    /// The session ended: its ephemerals and watches are gone.
    #[error("the session has expired")]
    SessionExpired,
    /// The server did not accept an identity; the session is of no use any more.
    #[error("the authentication failed")]
    AuthFailed,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// The path has no valid form.
    #[error("{path:?}: {source}")]
    BadPath {
        /// As the caller gave it.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// An argument that no server would accept.
    #[error("{0}")]
    BadArgument(&'static str),
    /// The request is longer than any server would read; it would cost the connection.
    #[error("the request has {len} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes of the request.
        len: usize,
        /// Most bytes that a request may have (`max_request`).
        limit: usize,
    },
    /// As many requests as may wait are waiting (`max_waiting`).
    #[error("too many requests are waiting")]
    Overloaded,
    /// This server does not know the operation.
    #[error("the server does not know the operation {0:?}")]
    Unsupported(OpCode),
    /// The answer could not be read.
    #[error("the answer cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The watch was removed.
    #[error("the watch was removed")]
    WatchRemoved,
    /// The text that names the servers.
    #[error("{text:?} does not name servers: {why}")]
    BadHosts {
        /// As given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A server's reason in words.
const fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::NoNode => "there is no such znode",
        ErrorCode::NodeExists => "the znode exists already",
        ErrorCode::NotEmpty => "the znode has children",
        ErrorCode::BadVersion => "the version is another one",
        ErrorCode::NoAuth => "not permitted",
        ErrorCode::NoChildrenForEphemerals => "an ephemeral znode has no children",
        ErrorCode::InvalidAcl => "the ACL is not valid",
        ErrorCode::BadArguments => "the arguments are not valid",
        ErrorCode::NotReadOnly => "this server serves reads only now",
        ErrorCode::QuotaExceeded => "a quota would be exceeded",
        ErrorCode::NoWatcher => "there is no such watch",
        ErrorCode::Unimplemented => "the server does not offer this",
        ErrorCode::ThrottledOp => "the server is too busy",
        ErrorCode::SystemError => "the server cannot do it now",
        ErrorCode::ReconfigDisabled => "reconfiguration is switched off",
        ErrorCode::ReconfigInProgress => "another reconfiguration is under way",
        ErrorCode::NewConfigNoQuorum => "the new configuration has no quorum in step",
        ErrorCode::RuntimeInconsistency => "another operation of the multi failed",
        ErrorCode::EphemeralOnLocalSession => "a local session has no ephemerals",
        ErrorCode::MarshallingError => "the server could not read the request",
        _ => "refused by the server",
    }
}

impl Error {
    /// The server's reason, if a server refused.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } | Self::PartRefused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True when the znode is not there.
    #[must_use]
    pub fn is_no_node(&self) -> bool {
        self.code() == Some(ErrorCode::NoNode)
    }

    /// True when the znode is there already.
    #[must_use]
    pub fn is_node_exists(&self) -> bool {
        self.code() == Some(ErrorCode::NodeExists)
    }

    /// True when the version was not the expected one.
    #[must_use]
    pub fn is_bad_version(&self) -> bool {
        self.code() == Some(ErrorCode::BadVersion)
    }

    /// True when the znode has children.
    #[must_use]
    pub fn is_not_empty(&self) -> bool {
        self.code() == Some(ErrorCode::NotEmpty)
    }

    /// Whether the request may have been executed.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::ConnectionLost | Self::Timeout | Self::Malformed(_) | Self::SessionExpired => {
                Outcome::Unknown
            }
            _ => Outcome::NothingHappened,
        }
    }

    /// True for troubles of the connection that may pass: the same session can try again.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLost
                | Self::NotSent
                | Self::Unreachable { .. }
                | Self::NoService { .. }
                | Self::Timeout
                | Self::Overloaded
                | Self::Refused {
                    code: ErrorCode::ThrottledOp | ErrorCode::NotReadOnly,
                    ..
                }
        )
    }
}

/// Why a connection ended or never came to be: for the log.
#[derive(Debug, Error)]
pub(crate) enum Disconnection {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    ClosedByServer,
    #[error("nothing was heard from the server for too long")]
    Silent,
    #[error("the server sent what cannot be read: {0}")]
    Garbage(#[from] DecodeError),
    #[error("the server announced a frame of {0} bytes")]
    FrameLength(i32),
    #[error("the server answered what was not asked")]
    OutOfOrder,
    #[error("the session is over")]
    Over,
    #[error("a server that can write was found")]
    BetterServer,
    #[error("the SASL mechanism gave up: {0}")]
    Sasl(String),
}
