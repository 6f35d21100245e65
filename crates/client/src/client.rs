//! The client: every operation of a server as a method.
//!
//! Each method takes its place in the order when it is called, not when its answer is awaited; calls made one after another are
//! executed one after another, and travel together.

mod reads;
mod watching;
mod writes;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::reply;
use rookeeper_proto::stat::Stat;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug_span;
use tracing::field::Empty;

use crate::builder::Builder;
use crate::call::{Call, Question, read_body};
use crate::chroot::Root;
use crate::connection::{Ask, Command, Interest, Trouble};
use crate::error::Error;
use crate::session::Reply;
use crate::state::{State, States};
use crate::znode::Data;

/// Bytes of a request besides what the caller gives: length, xid, operation.
const FRAME_LENGTH_BYTES: usize = 4;

/// A client of one ensemble, with one session. Clones are cheap and share it; when the last one is dropped, the session is closed in
/// the background, after what was asked before, and its watches end.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) root: Root,
}

/// What all clones share.
pub(crate) struct Shared {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) status: Arc<Status>,
    pub(crate) next_watch: AtomicU64,
    pub(crate) limits: Limits,
}

/// The bounds of a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one request.
    pub(crate) max_request: usize,
    /// Requests without an answer.
    pub(crate) max_waiting: usize,
    /// How long one may take.
    pub(crate) request_timeout: Duration,
}

/// What the connection tells everybody.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) shown: Mutex<Shown>,
    /// Requests without an answer.
    pub(crate) waiting: AtomicUsize,
}

/// What is known of the session now.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) state: State,
    pub(crate) session: SessionId,
    pub(crate) password: Vec<u8>,
    pub(crate) timeout: Duration,
    pub(crate) server: Option<SocketAddr>,
    pub(crate) zxid: Zxid,
    /// Why the last attempt to connect came to nothing.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) listeners: Vec<mpsc::UnboundedSender<State>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.session())
            .field("state", &self.state())
            .field("root", &self.root.name())
            .finish()
    }
}

/// Opening and looking at a client.
impl Client {
    /// Connects with the usual settings. `hosts` is `server[,server...][/chroot]`, see [`Builder::open`].
    pub async fn connect(hosts: &str) -> Result<Self, Error> {
        Builder::new().connect(hosts).await
    }

    /// Settings to choose from.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// How the session stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.status.shown.lock().state
    }

    /// Every change of the state from now on.
    #[must_use]
    pub fn states(&self) -> States {
        let (sender, changes) = mpsc::unbounded_channel();
        let mut shown = self.shared.status.shown.lock();
        if !shown.state.is_final() {
            shown.listen(sender);
        }
        States::new(changes)
    }

    /// The session's id; 0 before there is one.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.shared.status.shown.lock().session
    }

    /// What proves that the session is ours; with its id, another client can go on with it.
    #[must_use]
    pub fn session_password(&self) -> Vec<u8> {
        self.shared.status.shown.lock().password.clone()
    }

    /// The session's timeout: as wished, until a server has decided.
    #[must_use]
    pub fn negotiated_timeout(&self) -> Duration {
        self.shared.status.shown.lock().timeout
    }

    /// The server in use.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.shared.status.shown.lock().server
    }

    /// The last transaction that this client has seen.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.shared.status.shown.lock().zxid
    }

    /// The same session, with `path` as its root. The znode need not exist.
    pub fn chroot(&self, path: &str) -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::clone(&self.shared),
            root: self.root.below(path)?,
        })
    }

    /// The server's path of this client's `/`.
    #[must_use]
    pub fn root(&self) -> &str {
        self.root.name()
    }

    /// Ends the session after what was called before: its ephemerals are gone when this returns. Whatever is called later fails with
    /// [`Error::Closed`], but who closes a second time waits for the same end, and the end of an expired session is no error.
    pub async fn close(&self) -> Result<(), Error> {
        let (call, answer) = oneshot::channel();
        let sent = self.shared.commands.send(Command::Close(call));
        if sent.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Err(Error::Closed)).map(drop)
    }

    /// Adds an identity to this connection and all later ones.
    pub async fn add_auth(
        &self,
        scheme: impl Into<String>,
        proof: impl Into<Vec<u8>>,
    ) -> Result<(), Error> {
        let (call, answer) = oneshot::channel();
        let command = Command::Auth(call, scheme.into(), proof.into());
        if self.shared.commands.send(command).is_err() {
            return Err(Error::Closed);
        }
        let limit = self.shared.limits.request_timeout;
        let answer = timeout(limit, answer).await.map_err(|_| Error::Timeout)?;
        answer.unwrap_or(Err(Error::Closed)).map(drop)
    }
}

/// Sending.
impl Client {
    fn question<X>(&self, path: &str, extra: X) -> Question<X> {
        Question {
            path: path.to_owned(),
            root: self.root.clone(),
            extra,
        }
    }

    fn path_call<T>(
        &self,
        path: &str,
        compose: impl FnOnce(&str) -> Vec<u8>,
        op: OpCode,
        read: fn(Reply, Question<()>) -> Result<T, Error>,
    ) -> Call<T> {
        match self.root.full(path) {
            Ok(full) => self.ask(op, compose(&full), None, self.question(path, ()), read),
            Err(error) => Call::failed(error),
        }
    }

    fn ask<T, X>(
        &self,
        op: OpCode,
        frame: Vec<u8>,
        interest: Option<Interest>,
        question: Question<X>,
        read: fn(Reply, Question<X>) -> Result<T, Error>,
    ) -> Call<T, X> {
        let (len, limit) = (
            frame.len() - FRAME_LENGTH_BYTES,
            self.shared.limits.max_request,
        );
        if len > limit {
            return Call::failed(Error::TooLarge { len, limit });
        }
        let waiting = &self.shared.status.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) >= self.shared.limits.max_waiting {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Call::failed(Error::Overloaded);
        }
        let (call, reply) = oneshot::channel();
        let ask = Ask {
            call,
            op,
            frame,
            interest,
            span: debug_span!(
                "request",
                ?op,
                path = %question.path,
                session = %self.session(),
                xid = Empty,
            ),
        };
        if self.shared.commands.send(Command::Ask(ask)).is_err() {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Call::failed(self.shared.status.end());
        }
        Call::waiting(reply, question, read)
    }
}

impl Shown {
    /// Adds a listener, and forgets those that are gone whenever there is no more room.
    fn listen(&mut self, listener: mpsc::UnboundedSender<State>) {
        let listeners = &mut self.listeners;
        if listeners.len() == listeners.capacity() {
            listeners.retain(|listener| !listener.is_closed());
            // Room for as many again, so that this costs a constant for each.
            listeners.reserve(listeners.len() + 1);
        }
        listeners.push(listener);
    }
}

impl Status {
    /// Why there is no connection yet.
    pub(crate) fn unreachable(&self) -> Error {
        match self.shown.lock().trouble.clone() {
            Some(Trouble { server, why }) => Error::Unreachable { server, why },
            None => Error::NotSent,
        }
    }

    /// Why nothing can be asked any more.
    pub(crate) fn end(&self) -> Error {
        match self.shown.lock().state {
            State::Expired => Error::SessionExpired,
            State::AuthFailed => Error::AuthFailed,
            _ => Error::Closed,
        }
    }
}

fn data_body(reader: &mut Reader<'_>, body: &Bytes) -> Result<Data, DecodeError> {
    let data = reply::data(reader, body)?;
    Ok(Data {
        is_null: data.is_none(),
        bytes: data.unwrap_or_default(),
        stat: Stat::decode(reader)?,
    })
}

fn read_nothing(reply: Reply, question: Question<()>) -> Result<(), Error> {
    read_body(reply, question, |_, _| Ok(())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listeners_that_are_gone_are_forgotten() {
        let client = Client::builder().open("127.0.0.1:1").unwrap();
        let stays = client.states();
        for _ in 0..1000 {
            drop(client.states());
        }
        let most = client.shared.status.shown.lock().listeners.len();
        assert!(most < 10, "{most} listeners, one of them there");
        drop(stays);
    }
}
