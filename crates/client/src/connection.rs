//! The task that owns the session and its socket: it moves bytes and performs effects, and knows no rule.

mod complaints;
mod dial;
mod line;
mod perform;

use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::Zxid;
use tokio::io::AsyncRead;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, debug_span, info};

use crate::client::Status;
use crate::error::{Disconnection, Error};
use crate::sasl::{Mechanism, Mechanisms};
use crate::session::{Moment, Place, Removal, Reply, Request, Session, WatchId};
use crate::state::State;
use crate::watch::Sink;
use complaints::Complaints;
pub(crate) use complaints::Trouble;
pub(crate) use dial::{DialOptions, Dialing};
use dial::{Found, Peer};
use line::Line;

/// Commands taken at once, so that what many callers ask leaves in one write.
const COMMANDS_AT_ONCE: usize = 1024;
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Length field of a frame.
const LENGTH_BYTES: usize = 4;
/// A connection that held this long was a good one: whatever ends it, the next attempt is the first again.
const SETTLED: Duration = Duration::from_secs(1);

/// What a request does to watches where it succeeds.
#[derive(Debug)]
pub(crate) enum Interest {
    /// Leaves one, and this is who hears of it.
    Leaves(Place, Sink),
    /// Removes some.
    Removes(Removal),
}

type Answer = oneshot::Sender<Result<Reply, Error>>;

/// One request of a caller.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) call: Answer,
    pub(crate) op: OpCode,
    pub(crate) frame: Vec<u8>,
    pub(crate) interest: Option<Interest>,
    /// Lasts from the call to the answer.
    pub(crate) span: Span,
}

/// What callers want of the connection.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request.
    Ask(Ask),
    /// Another identity.
    Auth(Answer, String, Vec<u8>),
    /// A watch was dropped.
    Unwatch(WatchId),
    /// The session shall end.
    Close(Answer),
}

/// Whom to answer, and whether the request counts among those that wait.
#[derive(Debug)]
pub(crate) enum Caller {
    Counted(Answer),
    Uncounted(Answer),
    /// The last client is gone; nobody waits.
    Nobody,
}

/// What happened in one turn.
enum Turn {
    Commands,
    /// The last client is gone.
    Abandoned,
    Read(io::Result<()>),
    Wrote(io::Result<usize>),
    Time,
    Better(Found),
}

/// The task's state.
pub(crate) struct Connection {
    session: Session<Caller>,
    /// Lasts as long as the session.
    pub(crate) span: Span,
    inbox: mpsc::UnboundedReceiver<Command>,
    commands: Vec<Command>,
    /// The last turn was one of commands.
    took_commands: bool,
    abandoned: bool,
    status: Arc<Status>,
    /// What `status` says of it.
    shown_zxid: Zxid,
    dialing: Dialing,
    complaints: Complaints,
    sinks: BTreeMap<WatchId, Sink>,
    begun: Instant,
    max_reply: usize,
    mechanisms: Option<Mechanisms>,
    mechanism: Option<Box<dyn Mechanism>>,
    hang_up: Option<Disconnection>,
    /// What a read brings, before it is known how much that is.
    scratch: Vec<u8>,
    read: BytesMut,
    out: Vec<u8>,
    written: usize,
    /// Something was written since the stream was flushed.
    unflushed: bool,
}

impl Connection {
    pub(crate) fn new(
        session: Session<Caller>,
        inbox: mpsc::UnboundedReceiver<Command>,
        status: Arc<Status>,
        dialing: Dialing,
        max_reply: usize,
        mechanisms: Option<Mechanisms>,
    ) -> Self {
        Self {
            session,
            // Of nobody who happens to make the client: it lives on when they are done.
            span: debug_span!(parent: None, "session", session = Empty),
            inbox,
            commands: Vec::new(),
            took_commands: false,
            abandoned: false,
            status,
            shown_zxid: Zxid::ZERO,
            dialing,
            complaints: Complaints::default(),
            sinks: BTreeMap::new(),
            begun: Instant::now(),
            max_reply,
            mechanisms,
            mechanism: None,
            hang_up: None,
            scratch: vec![0; READ_BYTES],
            read: BytesMut::new(),
            out: Vec::new(),
            written: 0,
            unflushed: false,
        }
    }

    /// Until the session is over.
    pub(crate) async fn run(mut self) {
        while !self.session.is_over() {
            let Some((line, peer)) = self.dial().await else {
                break;
            };
            let server = peer.address;
            let span = debug_span!("connection", %server);
            debug!(parent: &span, %server, "connected");
            let why = match line {
                Line::Plain(mut stream) => self.serve(&mut stream, &peer).instrument(span).await,
                #[cfg(feature = "tls")]
                Line::Tls(mut stream) => self.serve(&mut stream, &peer).instrument(span).await,
            };
            let session = self
                .session
                .identity()
                .map_or_else(Default::default, |(id, _)| id);
            if self.session.is_over() {
                debug!(%server, %session, %why, "connection ended");
            } else if self.session.state().is_connected() {
                info!(%server, %session, %why, "connection lost");
            } else {
                // The session was not accepted: it never was a connection for anybody.
                self.complain(Trouble {
                    server: peer.name,
                    why: why.to_string(),
                });
            }
            self.session.lost();
            self.status.shown.lock().server = None;
            self.perform();
        }
        self.inbox.close();
        while let Ok(command) = self.inbox.try_recv() {
            self.command(command);
        }
        self.perform();
        self.status.shown.lock().listeners.clear();
    }

    fn now(&self) -> Moment {
        Moment(self.begun.elapsed())
    }

    /// A connection to some server, while callers are listened to. `None` when the session is over.
    async fn dial(&mut self) -> Option<(Line, Peer)> {
        while !self.session.is_over() {
            // What the server gave may be less than what was wished.
            self.dialing.timeout = self.session.timeout();
            self.meanwhile(sleep(self.dialing.pause())).await?;
            if let Some(survey) = self.dialing.survey() {
                let (roster, troubles) = self.meanwhile(survey).await?;
                self.dialing.rounds.renew(roster);
                for trouble in troubles {
                    self.complain(trouble);
                }
            }
            let Some(attempt) = self.dialing.next() else {
                continue;
            };
            let span = debug_span!("connect", server = %attempt.host);
            match self.meanwhile(attempt.run().instrument(span)).await? {
                Ok(connected) => return Some(connected),
                Err(why) => self.complain(Trouble {
                    server: attempt.host.to_string(),
                    why: why.to_string(),
                }),
            }
        }
        None
    }

    /// Waits for `attempt`; commands are taken and deadlines kept meanwhile. `None` when the session is over before it ends.
    async fn meanwhile<T>(&mut self, attempt: impl Future<Output = T>) -> Option<T> {
        let mut attempt = std::pin::pin!(attempt);
        loop {
            if self.is_due() {
                self.take(Turn::Time);
            }
            let sleep = wake_up(self.begun, self.session.wake_at());
            let turn = tokio::select! {
                biased;
                done = &mut attempt => return Some(done),
                turn = poll_fn(|context| self.poll_commands(context)) => turn,
                () = sleep => Turn::Time,
            };
            self.take(turn);
            if self.session.is_over() {
                return None;
            }
        }
    }

    /// Something has to be done now. Whoever is always busy would never learn of it from a clock that comes last.
    fn is_due(&self) -> bool {
        self.session.wake_at().is_some_and(|at| at <= self.now())
    }

    /// Serves one connection to its end, and tells why it ended.
    async fn serve<S>(&mut self, stream: &mut S, peer: &Peer) -> Disconnection
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.begin(peer);
        let since = self.now();
        let mut sleep = Box::pin(wake_up(self.begun, None));
        let mut search: Pin<Box<dyn Future<Output = Found> + Send>> = Box::pin(pending());
        let mut searching = false;
        let why = loop {
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
                self.session.drain_output(self.now(), &mut self.out);
            }
            if self.session.state() == State::ReadOnly && !searching {
                search = Box::pin(self.dialing.find_writable(peer.address));
                searching = true;
            }
            let turn = if self.is_due() {
                Turn::Time
            } else {
                sleep.set(wake_up(self.begun, self.session.wake_at()));
                poll_fn(|context| self.poll_turn(stream, &mut sleep, &mut search, context)).await
            };
            if let Some(why) = self.take(turn) {
                break why;
            }
        };
        if self.session.state().is_connected() && self.now() >= since.after(SETTLED) {
            self.dialing.rounds.held();
            self.complaints.forget();
        }
        why
    }

    fn begin(&mut self, peer: &Peer) {
        self.read.clear();
        self.out.clear();
        self.written = 0;
        self.unflushed = false;
        self.hang_up = None;
        self.mechanism = self.mechanisms.as_ref().map(Mechanisms::begin);
        self.status.shown.lock().server = Some(peer.address);
        self.dialing.addresses = peer.addresses;
        let patience = self.dialing.attempt_limit();
        self.session.opened(self.now(), peer.address, patience);
    }

    /// What callers have comes first, so that it leaves in one write; but not twice in a row, so that it does leave.
    fn poll_turn<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        sleep: &mut Pin<Box<impl Future<Output = ()>>>,
        search: &mut Pin<Box<dyn Future<Output = Found> + Send>>,
        context: &mut Context<'_>,
    ) -> Poll<Turn> {
        let commands_first = !std::mem::take(&mut self.took_commands);
        if commands_first && let Poll::Ready(turn) = self.poll_commands(context) {
            return Poll::Ready(turn);
        }
        if let Poll::Ready(wrote) = self.poll_write(stream, context) {
            return Poll::Ready(Turn::Wrote(wrote));
        }
        if let Poll::Ready(read) = self.poll_read(stream, context) {
            return Poll::Ready(Turn::Read(read));
        }
        if !commands_first && let Poll::Ready(turn) = self.poll_commands(context) {
            return Poll::Ready(turn);
        }
        if let Poll::Ready(found) = search.as_mut().poll(context) {
            *search = Box::pin(pending());
            return Poll::Ready(Turn::Better(found));
        }
        sleep.as_mut().poll(context).map(|()| Turn::Time)
    }

    fn poll_commands(&mut self, context: &mut Context<'_>) -> Poll<Turn> {
        if self.abandoned {
            return Poll::Pending;
        }
        match self
            .inbox
            .poll_recv_many(context, &mut self.commands, COMMANDS_AT_ONCE)
        {
            Poll::Ready(0) => Poll::Ready(Turn::Abandoned),
            Poll::Ready(_) => {
                self.took_commands = true;
                Poll::Ready(Turn::Commands)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Pending as well when there is nothing to write. What is encrypted may wait in the stream until it is flushed.
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let unsent = self.out.get(self.written..).unwrap_or_default();
        if !unsent.is_empty() {
            let wrote = ready!(Pin::new(stream).poll_write(context, unsent));
            self.unflushed = true;
            return Poll::Ready(match wrote {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                wrote => wrote,
            });
        }
        if self.unflushed {
            let flushed = ready!(Pin::new(stream).poll_flush(context));
            self.unflushed = false;
            if let Err(error) = flushed {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    }

    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = ReadBuf::new(&mut self.scratch);
        let polled = Pin::new(stream).poll_read(context, &mut room);
        let read = room.filled().len();
        self.read.extend_from_slice(room.filled());
        match polled {
            Poll::Ready(Ok(())) if read == 0 => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            polled => polled,
        }
    }

    /// Deals with what happened; `Some` when the connection has to end.
    fn take(&mut self, turn: Turn) -> Option<Disconnection> {
        match turn {
            Turn::Commands => {
                for command in std::mem::take(&mut self.commands) {
                    self.command(command);
                }
            }
            Turn::Abandoned => {
                self.abandoned = true;
                self.session.close(self.now(), Caller::Nobody);
            }
            Turn::Read(Ok(())) => {
                if let Err(why) = self.frames() {
                    return Some(why);
                }
            }
            Turn::Read(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Some(Disconnection::ClosedByServer);
            }
            Turn::Read(Err(error)) | Turn::Wrote(Err(error)) => return Some(error.into()),
            Turn::Wrote(Ok(bytes)) => self.written += bytes,
            Turn::Time => self.session.tick(self.now()),
            Turn::Better(found) => {
                self.dialing.prefer(found);
                return Some(Disconnection::BetterServer);
            }
        }
        self.perform();
        self.hang_up.take()
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Ask(ask) => {
                let (watch, removes) = match ask.interest {
                    Some(Interest::Leaves(place, sink)) => {
                        self.sinks.insert(place.0, sink);
                        (Some(place), None)
                    }
                    Some(Interest::Removes(removal)) => (None, Some(removal)),
                    None => (None, None),
                };
                self.session.submit(
                    now,
                    Request {
                        call: Caller::Counted(ask.call),
                        op: ask.op,
                        frame: ask.frame,
                        watch,
                        removes,
                        span: ask.span,
                    },
                );
            }
            Command::Auth(call, scheme, proof) => {
                self.session
                    .authenticate(now, Caller::Uncounted(call), scheme, proof);
            }
            Command::Unwatch(id) => {
                self.sinks.remove(&id);
                self.session.unwatch(now, id);
            }
            Command::Close(call) => self.session.close(now, Caller::Uncounted(call)),
        }
    }

    /// Cuts what was read into frames.
    fn frames(&mut self) -> Result<(), Disconnection> {
        let now = self.now();
        while let Some(field) = self.read.first_chunk::<LENGTH_BYTES>() {
            let announced = i32::from_be_bytes(*field);
            let len = usize::try_from(announced)
                .ok()
                .filter(|len| *len <= self.max_reply)
                .ok_or(Disconnection::FrameLength(announced))?;
            if self.read.len() < LENGTH_BYTES + len {
                break;
            }
            self.read.advance(LENGTH_BYTES);
            let frame = self.read.split_to(len).freeze();
            self.session.received(now, frame);
        }
        Ok(())
    }
}

/// Sleeps until the session has something to do; for ever if it has not.
fn wake_up(begun: Instant, at: Option<Moment>) -> Sleep {
    const FOR_EVER: Duration = Duration::from_secs(86_400 * 365);
    sleep_until(begun + at.map_or(FOR_EVER, |moment| moment.0))
}
