//! One client connection, without its socket: frames in; reply bytes and requests for the member out.
//!
//! What lives here: the handshake, decoding, what each fault does to the connection (client protocol 3.6), authentication, and
//! whose turn it is. What does not: bytes on a socket, the frame length, four-letter words.
//!
//! Invariants:
//! - Requests take effect in the order sent: a read waits until the writes before it are answered, a write until the reads before
//!   it are answered. Only reads of bounded size between two writes go along with the first, so that the whole run is in flight
//!   together.
//! - `auth` and `sasl` are executed on receipt and may overtake. A request counts with the identities at its receipt.
//! - After closeSession or a fault that closes, nothing more is taken.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{SessionId, Xid, Zxid};
use rookeeper_proto::jute::{DecodeError, Reader as Fields, Writer};
use rookeeper_proto::request::{self, Auth, ConnectRequest, Request, RequestHeader};
use rookeeper_proto::response::{self, NO_ZXID};
use rookeeper_tree::auth::{self, AuthConfig, AuthOutcome, Identities};
use rookeeper_tree::tree::Tree;
use rookeeper_tree::watches::WatcherId;
use thiserror::Error;

use crate::input::{ConnId, Input, ReadBehind, SyncRequest, WriteRequest};
use crate::limits::{MAX_QUEUED_BYTES, MAX_QUEUED_REQUESTS, MAX_RUN};
use crate::queued::{Queued, What, is_ordered, is_served};
use crate::reads::{self, View, WatchGate};

/// Why a connection ends by its client's doing. What is queued for it is written out first.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The first frame is no connect request.
    #[error("malformed connect request: {0}")]
    Connect(DecodeError),
    /// A frame without a request header.
    #[error("frame without a request header: {0}")]
    Header(DecodeError),
    /// An auth or sasl body that cannot be decoded.
    #[error("malformed {0:?} request")]
    Security(OpCode),
    /// The identity was refused.
    #[error("authentication with scheme {0:?} refused")]
    AuthRefused(String),
    /// The client shall try another server.
    #[error("the client asks for another ensemble")]
    OtherEnsemble,
    /// An operation this server does not know.
    #[error("unknown operation {0}")]
    UnknownOperation(i32),
    /// The enforced authentication is missing.
    #[error("authentication is enforced and missing")]
    AuthRequired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has been said.
    New,
    /// The member considers the connect request.
    Connecting,
    /// The session is on.
    Open(SessionId),
    /// Nothing more is taken.
    Deaf,
}

/// A request that was answered, for the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The operation.
    pub op: i32,
    /// The client's number.
    pub xid: Xid,
    /// When it was received, as told to [`Conversation::receive`].
    pub received_at: i64,
    /// Bytes of the answer; 0 for writes and what travelled with them, whose answers come by another way.
    pub bytes: usize,
}

/// A client connection.
#[derive(Debug)]
pub struct Conversation {
    conn: ConnId,
    peer: String,
    phase: Phase,
    identities: Arc<Identities>,
    queue: VecDeque<Queued>,
    /// The sum over `queue`.
    queued_bytes: usize,
    in_flight: VecDeque<Answered>,
    /// Syncs wait for what is in flight; false only where the simulator wants to see that this is found.
    orders_syncs: bool,
    /// closeSession was received: later requests are dropped, as the session is ending.
    ending: bool,
    /// The member has no leader: nothing is taken or served until the session goes on.
    interrupted: bool,
}

impl Conversation {
    /// A fresh connection from `peer`, the text form of its address.
    #[must_use]
    pub fn new(conn: ConnId, peer: String) -> Self {
        let identities = Arc::new(Identities::of_peer(&peer));
        Self {
            conn,
            peer,
            phase: Phase::New,
            identities,
            queue: VecDeque::new(),
            queued_bytes: 0,
            in_flight: VecDeque::new(),
            orders_syncs: false,
            ending: false,
            interrupted: false,
        }
    }

    /// The member orders syncs too: at a learner its leader does.
    pub const fn order_syncs(&mut self) {
        self.orders_syncs = true;
    }

    /// Which connection.
    #[must_use]
    pub const fn conn(&self) -> ConnId {
        self.conn
    }

    /// The session, once it is on.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Open(session) => Some(session),
            Phase::New | Phase::Connecting | Phase::Deaf => None,
        }
    }

    /// Who the client is.
    #[must_use]
    pub const fn identities(&self) -> &Arc<Identities> {
        &self.identities
    }

    /// Requests received and not answered.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.queue.len() + self.in_flight.len()
    }

    /// Writes on their way, and the reads that travel with them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// False when the socket should not be read for now.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.interrupted
            && self.phase != Phase::Connecting
            && self.queue.len() < MAX_QUEUED_REQUESTS
            && self.queued_bytes < MAX_QUEUED_BYTES
    }

    /// Takes one frame. Replies that overtake are appended to `out`; a connect request comes back for the member.
    pub fn receive(
        &mut self,
        config: &AuthConfig,
        at: i64,
        frame: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<Option<Input>, Fault> {
        match self.phase {
            Phase::New => {
                let request = ConnectRequest::decode(&frame).map_err(Fault::Connect)?;
                self.phase = Phase::Connecting;
                Ok(Some(Input::Connect {
                    conn: self.conn,
                    request,
                }))
            }
            Phase::Connecting | Phase::Open(_) if !self.ending => {
                self.receive_request(config, at, frame, out).map(|()| None)
            }
            Phase::Connecting | Phase::Open(_) | Phase::Deaf => Ok(None),
        }
    }

    fn receive_request(
        &mut self,
        config: &AuthConfig,
        at: i64,
        frame: Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let header = RequestHeader::decode(&mut Fields::new(&frame)).map_err(Fault::Header)?;
        let body = frame.slice(RequestHeader::LEN..);
        match OpCode::from_i32(header.op) {
            Some(OpCode::Auth) => return self.authenticate(config, header.xid, &body, out),
            Some(OpCode::Sasl) => return answer_sasl(header.xid, &body, out),
            _ if !auth::satisfies_enforced(config, &self.identities) => {
                let code = ErrorCode::SessionClosedRequireAuth;
                self.refuse(header, at, code, Zxid::ZERO, Fault::AuthRequired);
            }
            Some(op) if is_served(op) => {
                self.ending = op == OpCode::CloseSession;
                self.queued_bytes += body.len();
                self.queue.push_back(Queued {
                    header,
                    ordered: is_ordered(header.op) || (self.orders_syncs && op == OpCode::Sync),
                    bytes: body.len(),
                    what: What::Body(body),
                    at,
                    identities: None,
                });
            }
            _ => {
                let fault = Fault::UnknownOperation(header.op);
                self.refuse(header, at, ErrorCode::Unimplemented, NO_ZXID, fault);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, header: RequestHeader, at: i64, code: ErrorCode, zxid: Zxid, then: Fault) {
        let what = What::Refusal {
            code,
            zxid: Some(zxid),
            then: Some(then),
        };
        self.queue.push_back(Queued {
            header,
            what,
            ordered: false,
            bytes: 0,
            at,
            identities: None,
        });
        self.ending = true;
    }

    fn authenticate(
        &mut self,
        config: &AuthConfig,
        xid: Xid,
        body: &Bytes,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let Ok(Request::Auth(Auth { scheme, data })) = request::decode(OpCode::Auth.code(), body)
        else {
            return Err(Fault::Security(OpCode::Auth));
        };
        for waiting in &mut self.queue {
            waiting
                .identities
                .get_or_insert_with(|| Arc::clone(&self.identities));
        }
        let identities = Arc::make_mut(&mut self.identities);
        match auth::authenticate(config, scheme.as_deref(), data, &self.peer, identities) {
            AuthOutcome::Accepted => {
                response::reply_header(out, xid, Zxid::ZERO, ErrorCode::Ok);
                Ok(())
            }
            AuthOutcome::Refused => {
                response::reply_header(out, xid, Zxid::ZERO, ErrorCode::AuthFailed);
                Err(Fault::AuthRefused(scheme.unwrap_or_default().into_owned()))
            }
            AuthOutcome::CloseSilently => Err(Fault::OtherEnsemble),
        }
    }

    /// The member accepted the session.
    pub fn open(&mut self, session: SessionId) {
        if self.phase == Phase::Connecting {
            self.phase = Phase::Open(session);
        }
    }

    /// Nothing more is taken or served: the connection only writes out what is queued.
    pub fn deafen(&mut self) {
        self.phase = Phase::Deaf;
        self.queue.clear();
        self.queued_bytes = 0;
    }

    /// The member lost its leader: nothing is taken or served until [`Self::resume`]. False when something is in flight: whether it was
    /// done is not known, so the connection has to end, and its client hears just that.
    #[must_use = "a connection with something in flight has to end"]
    pub fn interrupt(&mut self) -> bool {
        self.interrupted = true;
        self.in_flight.is_empty()
    }

    /// The session goes on with a new leader.
    pub const fn resume(&mut self) {
        self.interrupted = false;
    }

    /// True between two leaders.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// `count` requests in flight were answered, the oldest first; each is told to `answered`.
    pub fn completed(&mut self, count: usize, mut answered: impl FnMut(Answered)) {
        self.in_flight
            .drain(..count.min(self.in_flight.len()))
            .for_each(&mut answered);
    }

    /// Hands the writes and syncs whose turn it is to the member.
    pub fn submit_writes(&mut self, submit: &mut Vec<Input>) {
        let (Phase::Open(session), false) = (self.phase, self.interrupted) else {
            return;
        };
        while let Some(next) = self.queue.pop_front_if(|next| next.is_ordered()) {
            let (header, at, bytes) = (next.header, next.at, next.bytes);
            let What::Body(body) = next.what else { return };
            let own = next.identities;
            let identities = own.unwrap_or_else(|| Arc::clone(&self.identities));
            let in_flight = Answered {
                op: header.op,
                xid: header.xid,
                received_at: at,
                bytes: 0,
            };
            if header.op == OpCode::Sync.code() {
                self.queued_bytes -= bytes;
                self.in_flight.push_back(in_flight);
                let sync = ReadBehind {
                    header,
                    body,
                    identities,
                };
                let behind = self.take_reads_between();
                submit.push(Input::Sync(SyncRequest {
                    conn: self.conn,
                    session,
                    reads: std::iter::once(sync).chain(behind).collect(),
                }));
                continue;
            }
            let Ok(Request::Write(write)) = request::decode(header.op, &body) else {
                // Answered in its turn, without a transaction.
                self.queue.push_front(Queued {
                    header,
                    what: What::Refusal {
                        code: ErrorCode::MarshallingError,
                        zxid: None,
                        then: None,
                    },
                    ordered: false,
                    bytes,
                    at,
                    identities: None,
                });
                return;
            };
            self.queued_bytes -= bytes;
            self.in_flight.push_back(in_flight);
            submit.push(Input::Write(WriteRequest {
                conn: self.conn,
                session,
                xid: header.xid,
                write,
                op: header.op,
                body,
                identities,
                behind: self.take_reads_between(),
            }));
        }
    }

    /// Takes the reads that follow a write, if another write follows them and they may travel. Else they wait here: the answer to
    /// the write will wake this connection, which then serves them.
    fn take_reads_between(&mut self) -> Vec<ReadBehind> {
        let most = MAX_RUN.saturating_sub(self.in_flight.len());
        let travels = |queued: &&Queued| queued.may_travel();
        let count = self.queue.iter().take(most).take_while(travels).count();
        let then_write = self.queue.get(count).is_some_and(Queued::is_ordered);
        if count == 0 || !then_write {
            return Vec::new();
        }
        let (in_flight, queued_bytes) = (&mut self.in_flight, &mut self.queued_bytes);
        let now = &self.identities;
        let travel = |queued: Queued| {
            let What::Body(body) = queued.what else {
                return None;
            };
            *queued_bytes -= queued.bytes;
            in_flight.push_back(Answered {
                op: queued.header.op,
                xid: queued.header.xid,
                received_at: queued.at,
                bytes: 0,
            });
            Some(ReadBehind {
                header: queued.header,
                body,
                identities: queued.identities.unwrap_or_else(|| Arc::clone(now)),
            })
        };
        self.queue.drain(..count).filter_map(travel).collect()
    }

    /// Lets the znodes of the next `count` requests come into the processor's caches while nothing waits for them yet.
    pub fn warm(&self, tree: &Tree, count: usize) {
        let next = self.queue.iter().take(count);
        tree.warm(next.filter_map(Queued::path_of_read));
    }

    /// True when [`Self::serve_reads`] has something to do.
    #[must_use]
    pub fn wants_to_read(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
            && !self.interrupted
            && self.in_flight.is_empty()
            && self.queue.front().is_some_and(Queued::is_answered_here)
    }

    /// Serves the reads whose turn it is, appending replies to `out`: at most `count`, and none once it holds `budget` bytes.
    pub fn serve_reads<W: WatchGate>(
        &mut self,
        view: &View<'_, W>,
        (mut count, budget): (usize, usize),
        out: &mut Vec<u8>,
        mut answered: impl FnMut(Answered),
    ) -> Result<(), Fault> {
        let Phase::Open(session) = self.phase else {
            return Ok(());
        };
        if self.interrupted || !self.in_flight.is_empty() {
            return Ok(());
        }
        while count > 0
            && out.len() < budget
            && let Some(next) = self.queue.pop_front_if(|next| next.is_answered_here())
        {
            count -= 1;
            let RequestHeader { xid, op } = next.header;
            self.queued_bytes -= next.bytes;
            let start = out.len();
            let mut fault = None;
            match next.what {
                What::Refusal { code, zxid, then } => {
                    let zxid = zxid.unwrap_or_else(|| view.tree.last_zxid());
                    response::reply_header(out, xid, zxid, code);
                    fault = then;
                }
                What::Body(body) => {
                    let identities = next.identities.as_ref().unwrap_or(&self.identities);
                    let watcher = WatcherId(self.conn.0);
                    let reader = reads::Reader {
                        watcher,
                        session,
                        identities,
                    };
                    reads::answer(view, reader, next.header, &body, out);
                }
            }
            answered(Answered {
                op,
                xid,
                received_at: next.at,
                bytes: out.len() - start,
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
        }
        Ok(())
    }
}

impl Answered {
    /// True for what the member ordered.
    #[must_use]
    pub fn is_update(&self) -> bool {
        is_ordered(self.op)
    }
}

/// A server without SASL answers every token with success and null (client protocol 6.5).
fn answer_sasl(xid: Xid, body: &Bytes, out: &mut Vec<u8>) -> Result<(), Fault> {
    match request::decode(OpCode::Sasl.code(), body) {
        Ok(Request::Sasl(Some(_))) => {
            response::reply(out, xid, Zxid::ZERO, ErrorCode::Ok, |out| {
                out.put_buffer(None)
            });
            Ok(())
        }
        _ => Err(Fault::Security(OpCode::Sasl)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rookeeper_proto::password;

    fn frame(op: OpCode, body: &[u8]) -> Bytes {
        let mut frame = Vec::new();
        frame.put_i32(1);
        frame.put_i32(op.code());
        frame.extend_from_slice(body);
        frame.into()
    }

    /// A conversation whose session is on.
    fn opened(config: &AuthConfig) -> Conversation {
        let mut talk = Conversation::new(ConnId(1), "127.0.0.1".into());
        let session = SessionId(5);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 4000,
            session,
            password: password::password(session).to_vec(),
            read_only: None,
        };
        let mut hello = Vec::new();
        request.encode(&mut hello);
        assert!(
            talk.receive(config, 0, hello.into(), &mut Vec::new())
                .is_ok()
        );
        talk.open(session);
        talk
    }

    #[test]
    fn a_learner_has_its_leader_order_syncs_and_what_lies_between() {
        let config = AuthConfig::default();
        let (mut path, mut delete) = (Vec::new(), Vec::new());
        path.put_string("/x");
        delete.put_string("/x");
        delete.put_i32(-1);
        let requests = [
            (OpCode::Delete, &delete),
            (OpCode::Sync, &path),
            (OpCode::Ping, &Vec::new()),
            (OpCode::Delete, &delete),
        ];
        let submitted = |learner: bool| {
            let mut talk = opened(&config);
            if learner {
                talk.order_syncs();
            }
            for (op, body) in requests {
                let taken = talk.receive(&config, 0, frame(op, body), &mut Vec::new());
                assert!(matches!(taken, Ok(None)));
            }
            let mut submit = Vec::new();
            talk.submit_writes(&mut submit);
            let kinds: Vec<(char, usize)> = submit
                .iter()
                .map(|input| match input {
                    Input::Write(request) => ('w', request.behind.len()),
                    Input::Sync(request) => ('s', request.reads.len()),
                    _ => ('?', 0),
                })
                .collect();
            (kinds, talk.in_flight())
        };
        assert_eq!(submitted(true), (vec![('w', 0), ('s', 2), ('w', 0)], 4));
        assert_eq!(submitted(false), (vec![('w', 2), ('w', 0)], 4));
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_and_the_bound_is_let_go_with_them() {
        let config = AuthConfig::default();
        let (mut talk, mut out) = (opened(&config), Vec::new());
        let long = vec![0x7f; MAX_QUEUED_BYTES / 2];
        for op in [OpCode::Multi, OpCode::Create] {
            assert!(talk.wants_more());
            let taken = talk.receive(&config, 0, frame(op, &long), &mut out);
            assert!(matches!(taken, Ok(None)));
        }
        assert!(!talk.wants_more());
        // The multi goes to the member, the malformed create waits for its turn to be refused.
        let mut submit = Vec::new();
        talk.submit_writes(&mut submit);
        assert_eq!(submit.len(), 1);
        assert!(talk.wants_more());
        assert_eq!(talk.queued_bytes, MAX_QUEUED_BYTES / 2);
        talk.deafen();
        assert_eq!(talk.queued_bytes, 0);
    }
}
