//! How a session stands, and how somebody learns of every change.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

/// How a session stands.
///
/// ```text
/// Connecting -> Connected / ReadOnly <-> Suspended
///       any of them -> Expired / AuthFailed / Closed, and that is the end
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The first connection is being made.
    Connecting,
    /// Connected to a server that can read and write.
    Connected,
    /// Connected to a server without a quorum: it can only read.
    ReadOnly,
    /// The connection is lost and another one is being made. The session may live on; whoever holds a lock has to assume that it
    /// does not. A silent server is given up after two thirds of the session's timeout, so this comes before the session can end.
    Suspended,
    /// The server has ended the session: its ephemerals are gone. Final.
    Expired,
    /// An identity was refused. Final.
    AuthFailed,
    /// The client was closed. Final.
    Closed,
}

impl State {
    /// True while requests are answered.
    #[must_use]
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::ReadOnly)
    }

    /// True when it never changes again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Expired | Self::AuthFailed | Self::Closed)
    }
}

/// Every change of the state from now on, in order. It ends after a final state.
#[derive(Debug)]
pub struct States {
    changes: mpsc::UnboundedReceiver<State>,
}

impl States {
    pub(crate) const fn new(changes: mpsc::UnboundedReceiver<State>) -> Self {
        Self { changes }
    }

    /// The next change; `None` after the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<State> {
        self.changes.recv().await
    }
}

impl Stream for States {
    type Item = State;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<State>> {
        self.changes.poll_recv(context)
    }
}
