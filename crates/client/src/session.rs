//! One session as a state machine without socket, clock or task: calls and frames go in, bytes and effects come out.
//!
//! What lives here: the handshake, the order of requests and their answers, identities, heartbeats and deadlines, watches and their
//! way through a reconnect. What does not: which server is tried next, how bytes travel, who waits for an answer (a call is a value of
//! any type `C`, given back with its answer). The facts are in client protocol 2, 3 and 5.
//!
//! Invariants:
//! - Requests leave in the order in which they were submitted, and each is answered exactly once.
//! - What was sent and not answered when a connection breaks is never sent again: its outcome is unknown.
//! - After a reconnect nothing is sent before identities and watches are.

mod flight;
mod heart;
mod incoming;
mod lacks;
mod mixing;
mod terms;
mod watches;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rookeeper_proto::code::{OpCode, WatcherType};
use rookeeper_proto::compose;
use rookeeper_proto::ids::{SessionId, Xid, Zxid};
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response;
use tracing::Span;

use crate::error::{Disconnection, Error};
use crate::state::State;
use flight::Flight;
use heart::Heart;
use lacks::Lacks;
use mixing::Mixing;
pub(crate) use terms::{Effect, Moment, Place, Removal, Reply, Request, SessionSettings};
use watches::WatchTable;
pub(crate) use watches::{WatchId, WatchKind};

/// The xid of auth requests.
const AUTH_XID: Xid = Xid(-4);
/// The xid of setWatches requests.
const SET_WATCHES_XID: Xid = Xid(-8);
/// Bytes that are handed to the connection at once; more follows when they have left.
const OUTPUT_BYTES: usize = 1 << 20;
/// What a server says in the header of a reply to an operation that it does not know.
const UNKNOWN_OPERATION: Zxid = Zxid(-1);

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Offline,
    /// The connect request is out.
    Greeting,
    /// The session is on, and the SASL exchange goes on.
    Proving,
    /// Requests flow.
    Online,
    /// There never will be one again.
    Over,
}

/// What a server gave this session.
#[derive(Debug, Clone)]
struct Identity {
    session: SessionId,
    password: Vec<u8>,
    /// Given by a server without a quorum: others do not know it.
    local: bool,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Session<C> {
    settings: SessionSettings,
    phase: Phase,
    state: State,
    identity: Option<Identity>,
    last_zxid: Zxid,
    /// Every event up to here was heard: watches are registered again from here on.
    told_zxid: Zxid,
    flight: Flight<C>,
    heart: Heart,
    /// A server that has not accepted the session by now is given up.
    greet_by: Moment,
    /// When requests began to flow on this connection.
    begun: Moment,
    /// This connection is to end: nothing that it brings is believed any more.
    given_up: bool,
    identities: Vec<(String, Vec<u8>)>,
    /// Who waits for the auth requests on the wire, in order.
    proofs: VecDeque<Option<C>>,
    watches: WatchTable,
    /// setWatches requests without an answer.
    restoring: usize,
    /// The connection before this one had persistent watches.
    interrupted: bool,
    lacks: Lacks,
    mixing: Mixing,
    closing: bool,
    /// Who wants the same end as the one who asked for it first.
    closers: Vec<C>,
    end: Error,
    output: Vec<u8>,
    effects: Vec<Effect<C>>,
}

impl<C> Session<C> {
    /// A session that is not there yet.
    #[must_use]
    pub(crate) fn new(settings: SessionSettings) -> Self {
        let identity = settings.resume.clone().map(|(session, password)| Identity {
            session,
            password,
            local: false,
        });
        Self {
            phase: Phase::Offline,
            state: State::Connecting,
            identity,
            last_zxid: Zxid::ZERO,
            told_zxid: Zxid::ZERO,
            flight: Flight::new(settings.max_in_flight),
            heart: Heart::new(settings.timeout),
            greet_by: Moment::default(),
            begun: Moment::default(),
            given_up: false,
            identities: settings.identities.clone(),
            proofs: VecDeque::new(),
            watches: WatchTable::default(),
            restoring: 0,
            interrupted: false,
            lacks: Lacks::default(),
            mixing: Mixing::default(),
            closing: false,
            closers: Vec::new(),
            end: Error::Closed,
            output: Vec::new(),
            effects: Vec::new(),
            settings,
        }
    }

    /// Id and password, once there is a session.
    pub(crate) fn identity(&self) -> Option<(SessionId, &[u8])> {
        let identity = self.identity.as_ref()?;
        Some((identity.session, &identity.password))
    }

    /// Negotiated timeout, or the wanted one.
    pub(crate) const fn timeout(&self) -> Duration {
        self.heart.timeout()
    }

    /// Largest zxid that was seen.
    pub(crate) const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// How it stands.
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// True when no connection is wanted any more.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What has to be done, in order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect<C>> {
        std::mem::take(&mut self.effects)
    }

    /// Takes a request into the order.
    pub(crate) fn submit(&mut self, now: Moment, request: Request<C>) {
        if self.closing || self.phase == Phase::Over {
            let end = self.end.clone();
            return self.answer(request.call, Err(end));
        }
        // Without a connection it waits for one: the next server may know it.
        if self.phase == Phase::Online && self.lacks.has(request.op) {
            return self.answer(request.call, Err(Error::Unsupported(request.op)));
        }
        if let Some((_, _, path)) = &request.watch {
            self.watches.announce(path);
        }
        let deadline = now.after(self.settings.request_timeout);
        self.flight.queue(request, deadline);
    }

    /// Adds an identity, on this connection and all later ones.
    pub(crate) fn authenticate(&mut self, now: Moment, call: C, scheme: String, proof: Vec<u8>) {
        if self.closing || self.phase == Phase::Over {
            let end = self.end.clone();
            return self.answer(call, Err(end));
        }
        if self.phase == Phase::Online {
            let deadline = now.after(self.settings.request_timeout);
            let frame = compose::auth(&scheme, &proof);
            self.flight.queue_silent(OpCode::Auth, frame, deadline);
        }
        self.identities.push((scheme, proof));
        self.proofs.push_back(Some(call));
    }

    /// Forgets a watch that nobody waits for.
    pub(crate) fn unwatch(&mut self, now: Moment, id: WatchId) {
        self.flight.abandon(id);
        let removed = self.watches.remove(id);
        let supported = !self.lacks.ever_had(OpCode::RemoveWatches);
        if let Some((path, WatcherType::PersistentRecursive)) = &removed {
            self.doubt(now, path);
        }
        if let Some((path, kind)) = removed.filter(|_| self.phase == Phase::Online && supported) {
            self.flight.queue_silent(
                OpCode::RemoveWatches,
                compose::watch_query(OpCode::RemoveWatches, &path, kind),
                now.after(self.settings.request_timeout),
            );
        }
    }

    /// Ends the session in order: after what was submitted before.
    pub(crate) fn close(&mut self, now: Moment, call: C) {
        if self.phase == Phase::Over {
            return self.answer(call, Ok(Reply::empty()));
        }
        if self.closing {
            return self.closers.push(call);
        }
        if self.identity.is_none() && self.phase == Phase::Offline {
            self.finish(State::Closed, Error::Closed);
            return self.answer(call, Ok(Reply::empty()));
        }
        self.submit(
            now,
            Request {
                call,
                op: OpCode::CloseSession,
                frame: compose::bare(OpCode::CloseSession),
                watch: None,
                removes: None,
                span: Span::none(),
            },
        );
        self.closing = true;
    }

    /// A connection to `server` is there. It has to accept the session within `patience`.
    pub(crate) fn opened(&mut self, now: Moment, server: SocketAddr, patience: Duration) {
        self.lacks.meet(server);
        self.mixing = Mixing::default();
        self.greet_by = now.after(patience);
        self.phase = Phase::Greeting;
        self.given_up = false;
        self.output.clear();
        self.heart.begin(now);
        let known = self.identity.as_ref().filter(|identity| !identity.local);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms: i32::try_from(self.settings.timeout.as_millis()).unwrap_or(i32::MAX),
            session: known.map_or(SessionId::NONE, |identity| identity.session),
            password: known.map_or_else(
                || vec![0; rookeeper_proto::password::PASSWORD_LEN],
                |identity| identity.password.clone(),
            ),
            read_only: Some(self.settings.read_only),
        };
        response::frame(&mut self.output, |out| request.encode(out));
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        let was_up = matches!(self.phase, Phase::Online | Phase::Proving);
        self.phase = Phase::Offline;
        self.output.clear();
        self.restoring = 0;
        // The next connection begins with all identities.
        drop(self.flight.withdraw(|op| op == OpCode::Auth));
        for flown in self.flight.lost() {
            if let Some(path) = flown.watch_path() {
                self.watches.arrived(path);
            }
            if let Some(call) = flown.call {
                self.answer(call, Err(Error::ConnectionLost));
            }
            if flown.op == OpCode::CloseSession {
                self.answer_closers(&Err(Error::ConnectionLost));
                return self.finish(State::Closed, Error::Closed);
            }
        }
        if was_up {
            self.interrupt();
            self.go(State::Suspended);
        }
        if self.closing && self.identity.is_none() {
            // There is no session that could be ended.
            if let Some(call) = self.flight.withdraw_close() {
                self.answer(call, Ok(Reply::empty()));
            }
            self.finish(State::Closed, Error::Closed);
        }
    }

    /// Moves what may leave now behind `out`.
    pub(crate) fn drain_output(&mut self, now: Moment, out: &mut Vec<u8>) {
        if self.phase == Phase::Online {
            let before = self.output.len();
            self.flight.depart(now, &mut self.output, OUTPUT_BYTES);
            if self.output.len() > before {
                self.heart.sent(now);
            }
        }
        if out.is_empty() {
            std::mem::swap(out, &mut self.output);
        } else {
            out.append(&mut self.output);
        }
    }

    /// A token of the SASL mechanism for the server.
    pub(crate) fn say_token(&mut self, now: Moment, token: &[u8]) {
        self.heart.sent(now);
        self.flight
            .fly_silent(now, OpCode::Sasl, compose::sasl(token), &mut self.output);
    }

    /// The SASL mechanism has nothing more to say.
    pub(crate) fn proved(&mut self, now: Moment) {
        if self.phase == Phase::Proving {
            self.begin(now);
        }
    }

    /// Identities first, since watches and requests may need them; then watches, so that no change after this is missed.
    fn begin(&mut self, now: Moment) {
        self.phase = Phase::Online;
        self.begun = now;
        let identities: Vec<Vec<u8>> = self
            .identities
            .iter()
            .map(|(scheme, proof)| compose::auth(scheme, proof))
            .collect();
        // Those that wait are for the last ones; answers to the others are nobody's.
        while self.proofs.len() < identities.len() {
            self.proofs.push_front(None);
        }
        for frame in identities {
            self.send(now, AUTH_XID, frame);
        }
        for lists in self.watches.chunks() {
            self.restoring += 1;
            let frame = compose::set_watches(self.told_zxid, &lists);
            self.send(now, SET_WATCHES_XID, frame);
        }
        self.interrupted &= self.restoring > 0;
        self.refuse_what_is_lacking();
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Moment) {
        for call in self.flight.overdue(now) {
            self.answer(call, Err(Error::Timeout));
        }
        for stale in self.flight.stale(now, &mut self.output) {
            if let Some(path) = stale.watch_path() {
                self.watches.arrived(path);
            }
            if let Some(call) = stale.call {
                self.answer(call, Err(Error::NotSent));
            }
            if stale.op == OpCode::CloseSession {
                self.answer_closers(&Err(Error::NotSent));
            }
        }
        if self.closing && !self.flight.is_closing() && self.phase != Phase::Over {
            self.answer_closers(&Err(Error::Timeout));
            self.finish(State::Closed, Error::Closed);
            self.effects.push(Effect::HangUp(Disconnection::Over));
        }
        if matches!(self.phase, Phase::Offline | Phase::Over) {
            return;
        }
        let silent = match self.phase {
            Phase::Greeting => now >= self.greet_by,
            _ => self.heart.is_silent(now),
        };
        if silent && !std::mem::replace(&mut self.given_up, true) {
            self.effects.push(Effect::HangUp(Disconnection::Silent));
        } else if self.phase == Phase::Online && self.heart.is_ping_due(now) {
            self.heart.pinged(now);
            self.send(now, Xid::PING, compose::bare(OpCode::Ping));
        }
    }

    /// When [`Session::tick`] has something to do next.
    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let heart = match self.phase {
            Phase::Offline | Phase::Over => None,
            Phase::Greeting => Some(self.greet_by),
            Phase::Proving => Some(self.heart.silent_at()),
            Phase::Online => Some(self.heart.silent_at().min(self.heart.ping_at())),
        };
        heart.into_iter().chain(self.flight.next_deadline()).min()
    }

    /// The SASL mechanism cannot go on.
    pub(crate) fn refuse(&mut self) {
        self.finish(State::AuthFailed, Error::AuthFailed);
    }

    fn send(&mut self, now: Moment, xid: Xid, mut frame: Vec<u8>) {
        self.heart.sent(now);
        compose::set_xid(&mut frame, xid);
        self.output.append(&mut frame);
    }

    fn answer(&mut self, call: C, answer: Result<Reply, Error>) {
        self.effects.push(Effect::Answer(call, answer));
    }

    fn answer_closers(&mut self, answer: &Result<Reply, Error>) {
        for call in std::mem::take(&mut self.closers) {
            self.answer(call, answer.clone());
        }
    }

    fn go(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.effects.push(Effect::State(state));
        }
    }

    fn interrupt(&mut self) {
        for (id, kind) in self.watches.ids() {
            if !kind.is_once() {
                self.interrupted = true;
                self.effects.push(Effect::Interrupted(id));
            }
        }
    }

    /// Ends everything: nobody waits for an answer any more.
    fn finish(&mut self, state: State, error: Error) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        self.end = error.clone();
        // Whoever wanted the end of a session that is not there any more has it.
        let first = (state == State::Expired).then(|| self.flight.withdraw_close());
        self.closers.extend(first.flatten());
        for (call, was_sent) in self.flight.clear() {
            let error = if was_sent {
                &Error::ConnectionLost
            } else {
                &error
            };
            self.answer(call, Err(error.clone()));
        }
        let ended = match state {
            State::AuthFailed => Err(error.clone()),
            _ => Ok(Reply::empty()),
        };
        self.answer_closers(&ended);
        for call in std::mem::take(&mut self.proofs).into_iter().flatten() {
            self.answer(call, Err(error.clone()));
        }
        for id in self.watches.clear() {
            self.effects.push(Effect::Ended(id, error.clone()));
        }
        self.go(state);
    }
}

#[cfg(test)]
mod identities;
#[cfg(test)]
mod lossy;
#[cfg(test)]
mod reconnecting;
#[cfg(test)]
mod restoring;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
