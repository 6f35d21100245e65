//! What goes into a session and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rookeeper_proto::code::{OpCode, WatcherType};
use rookeeper_proto::ids::SessionId;
use tracing::Span;

use super::{WatchId, WatchKind};
use crate::error::{Disconnection, Error};
use crate::state::State;
use crate::watch::Event;

/// Time since the client began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(pub(crate) Duration);

impl Moment {
    /// So much later.
    #[must_use]
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self(self.0.saturating_add(pause))
    }
}

/// What a session is to be like.
#[derive(Debug, Clone)]
pub(crate) struct SessionSettings {
    /// Wanted timeout; the server may give another.
    pub(crate) timeout: Duration,
    /// A server without a quorum will do, for reads.
    pub(crate) read_only: bool,
    /// How long a request may take, waiting for a connection included.
    pub(crate) request_timeout: Duration,
    /// Requests on the wire at once.
    pub(crate) max_in_flight: usize,
    /// A SASL exchange precedes everything on each connection.
    pub(crate) sasl: bool,
    /// Identities to begin with: scheme and proof.
    pub(crate) identities: Vec<(String, Vec<u8>)>,
    /// Go on with this session.
    pub(crate) resume: Option<(SessionId, Vec<u8>)>,
}

/// Where a watch will be: the path is the server's.
pub(crate) type Place = (WatchId, WatchKind, Arc<str>);

/// All watches of these kinds on a path of the server's.
pub(crate) type Removal = (String, WatcherType);

/// One request on its way into the order.
#[derive(Debug)]
pub(crate) struct Request<C> {
    /// Whom to answer.
    pub(crate) call: C,
    /// What kind.
    pub(crate) op: OpCode,
    /// The frame, its xid not filled in.
    pub(crate) frame: Vec<u8>,
    /// The watch that it leaves where it succeeds, and the path at the server.
    pub(crate) watch: Option<Place>,
    /// The watches that are gone where it succeeds.
    pub(crate) removes: Option<Removal>,
    /// Of whoever asks; learns the xid, and ends with the answer.
    pub(crate) span: Span,
}

/// An answer as it came: the caller knows how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 0, or the number of an error.
    pub(crate) err: i32,
    /// What follows the header.
    pub(crate) body: Bytes,
}

/// What is to be done for a session.
#[derive(Debug)]
pub(crate) enum Effect<C> {
    /// A call has its answer.
    Answer(C, Result<Reply, Error>),
    /// A watch hears of a change.
    Event(WatchId, Event),
    /// The connection of a persistent watch was lost.
    Interrupted(WatchId),
    /// It is registered again.
    Restored(WatchId),
    /// A watch will hear nothing more.
    Ended(WatchId, Error),
    /// The state is another one now.
    State(State),
    /// The SASL mechanism has to say something: first, or to what the server said.
    Challenge(Option<Bytes>),
    /// Close the connection.
    HangUp(Disconnection),
}

impl Reply {
    /// Nothing but success.
    pub(crate) const fn empty() -> Self {
        Self {
            err: 0,
            body: Bytes::new(),
        }
    }
}
