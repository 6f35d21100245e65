//! What a learner does with the requests of its own clients: they go to the leader, and come back as commits.
//!
//! What lives here: which requests are on their way, whose reply a committed transaction is, where the clients' sessions are, and
//! which sessions were alive since the leader last asked. What does not: what a request means (the leader judges), and what is
//! committed (`quorum`).
//!
//! Invariants:
//! - Requests reach the leader in the order in which they came, and only the oldest one may be answered by a commit: the number of a
//!   request alone says nothing, since a session that moved uses its numbers again.
//! - A reply leaves behind its transaction, and behind every one before it.
//! - A session is no member's own: whether it lives is the leader's answer.

use std::collections::{BTreeMap, VecDeque};

use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::{DecodeError, Reader, Writer};
use rookeeper_proto::packet::from_learner::{ForwardedRequest, FromLearner};
use rookeeper_proto::password;
use rookeeper_proto::request::{ConnectRequest, Write};
use rookeeper_proto::response::ConnectResponse;
use rookeeper_proto::txn::{Record, Txn};
use rookeeper_quorum::committed::Entry;
use rookeeper_tree::prep::{self, Prepared, ReplyShape};
use rookeeper_tree::tree::Tree;

use crate::effect::{CloseReason, Committed, Effect};
use crate::input::{ConnId, ReplyTo, SyncRequest, WriteRequest};
use crate::mutation::{Mutation, mutated};
use crate::session_ids::SessionIds;
use crate::sessions::{TimeoutBounds, is_ahead};

/// One thing that a learner wants done for its clients.
#[derive(Debug)]
pub enum ForwarderEffect {
    /// Say this to the leader.
    Say(FromLearner),
    /// Do this here.
    Here(Effect),
}

/// A request on its way.
#[derive(Debug)]
struct Forwarded {
    session: SessionId,
    cxid: i32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A client's write.
    Write { write: Write, to: ReplyTo },
    /// A client's new session.
    Begin {
        conn: ConnId,
        timeout_ms: i32,
        read_only: Option<bool>,
    },
}

/// A client that came with an old session.
#[derive(Debug)]
struct Returning {
    conn: ConnId,
    session: SessionId,
    timeout_ms: i32,
    read_only: Option<bool>,
}

/// A client that has its session here.
#[derive(Debug, Clone, Copy)]
struct Attached {
    conn: ConnId,
    timeout_ms: i32,
}

/// The way of a learner's requests.
#[derive(Debug)]
pub struct Forwarder {
    timeouts: TimeoutBounds,
    ids: SessionIds,
    /// Oldest first.
    on_their_way: VecDeque<Forwarded>,
    /// In the order in which the leader was asked: its answers have no numbers.
    syncs: VecDeque<SyncRequest>,
    /// In the order in which the leader was asked; its answers name the session only.
    returning: VecDeque<Returning>,
    attached: BTreeMap<SessionId, Attached>,
    by_conn: BTreeMap<ConnId, SessionId>,
    /// Sessions that were alive since the last ping, and their timeouts, ms.
    touched: BTreeMap<SessionId, i32>,
}

impl Forwarder {
    /// A server that begins to serve clients, whose sessions get `ids`.
    #[must_use]
    pub const fn new(ids: SessionIds, timeouts: TimeoutBounds) -> Self {
        Self {
            timeouts,
            ids,
            on_their_way: VecDeque::new(),
            syncs: VecDeque::new(),
            returning: VecDeque::new(),
            attached: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            touched: BTreeMap::new(),
        }
    }

    /// A client wants a session, or its old one again.
    pub fn connect(
        &mut self,
        tree: &Tree,
        conn: ConnId,
        request: &ConnectRequest,
        effects: &mut Vec<ForwarderEffect>,
    ) {
        let ours = tree.last_zxid();
        if is_ahead(request, ours) {
            let why = CloseReason::ClientAhead {
                seen: request.last_zxid_seen,
                ours,
            };
            effects.push(ForwarderEffect::Here(Effect::Close { conn, why }));
            return;
        }
        let timeout_ms = self.timeouts.negotiate(request.timeout_ms);
        let read_only = request.read_only.map(|_| false);
        if request.session == SessionId::NONE {
            self.begin_session(conn, timeout_ms, read_only, effects);
        } else if password::matches(request.session, &request.password) {
            let session = request.session;
            self.returning.push_back(Returning {
                conn,
                session,
                timeout_ms,
                read_only,
            });
            effects.push(ForwarderEffect::Say(FromLearner::Revalidate {
                session,
                timeout_ms,
            }));
        } else {
            effects.push(refused(conn, read_only));
        }
    }

    fn begin_session(
        &mut self,
        conn: ConnId,
        timeout_ms: i32,
        read_only: Option<bool>,
        effects: &mut Vec<ForwarderEffect>,
    ) {
        let session = self.ids.give();
        self.on_their_way.push_back(Forwarded {
            session,
            cxid: 0,
            what: What::Begin {
                conn,
                timeout_ms,
                read_only,
            },
        });
        let mut body = Vec::new();
        body.put_i32(timeout_ms);
        effects.push(ForwarderEffect::Say(FromLearner::Request(
            ForwardedRequest {
                session,
                cxid: 0,
                op: OpCode::CreateSession.code(),
                body: body.into(),
                identities: None,
            },
        )));
    }

    /// A client wants a change.
    pub fn write(&mut self, request: WriteRequest, effects: &mut Vec<ForwarderEffect>) {
        let speaks = self.attached.get(&request.session).map(|it| it.conn);
        if speaks != Some(request.conn) {
            // Its end is on the way, or it moved: the client learns it from its closing connection.
            return;
        }
        let identities = request.identities.as_slice().to_vec();
        effects.push(ForwarderEffect::Say(FromLearner::Request(
            ForwardedRequest {
                session: request.session,
                cxid: request.xid.0,
                op: request.op,
                body: request.body,
                identities: Some(identities),
            },
        )));
        self.on_their_way.push_back(Forwarded {
            session: request.session,
            cxid: request.xid.0,
            what: What::Write {
                write: request.write,
                to: ReplyTo {
                    conn: request.conn,
                    xid: request.xid,
                    behind: request.behind,
                },
            },
        });
    }

    /// A client wants to see what the leader has.
    pub fn sync(&mut self, request: SyncRequest, effects: &mut Vec<ForwarderEffect>) {
        let Some(first) = request.reads.first() else {
            return;
        };
        effects.push(ForwarderEffect::Say(FromLearner::Request(
            ForwardedRequest {
                session: request.session,
                cxid: first.header.xid.0,
                op: first.header.op,
                body: first.body.clone(),
                identities: Some(first.identities.as_slice().to_vec()),
            },
        )));
        self.syncs.push_back(request);
    }

    /// The leader has said everything that it had committed when the oldest sync reached it, and all of that is applied.
    pub fn sync_done(&mut self, effects: &mut Vec<ForwarderEffect>) {
        let done = self.syncs.pop_front();
        effects.extend(done.map(|request| ForwarderEffect::Here(Effect::from(request))));
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        if let Some(session) = self.by_conn.remove(&conn) {
            self.attached.remove(&session);
        }
    }

    /// Sessions were heard of.
    pub fn heard(&mut self, heard: impl IntoIterator<Item = SessionId>) {
        for session in heard {
            if let Some(attached) = self.attached.get(&session) {
                self.touched.insert(session, attached.timeout_ms);
            }
        }
    }

    /// The leader pings: the sessions that were alive since the last time.
    pub fn ping(&mut self, zxid: Zxid) -> FromLearner {
        FromLearner::Ping {
            zxid,
            touched: std::mem::take(&mut self.touched).into_iter().collect(),
        }
    }

    /// The leader has answered whether a session lives.
    pub fn revalidated(
        &mut self,
        session: SessionId,
        valid: bool,
        effects: &mut Vec<ForwarderEffect>,
    ) {
        let asked = |returning: &Returning| returning.session == session;
        let Some(place) = self.returning.iter().position(asked) else {
            return;
        };
        let Some(returning) = self.returning.remove(place) else {
            return;
        };
        let Returning {
            conn,
            timeout_ms,
            read_only,
            ..
        } = returning;
        if valid {
            self.attach(session, conn, timeout_ms, read_only, effects);
        } else {
            effects.push(refused(conn, read_only));
        }
    }

    fn attach(
        &mut self,
        session: SessionId,
        conn: ConnId,
        timeout_ms: i32,
        read_only: Option<bool>,
        effects: &mut Vec<ForwarderEffect>,
    ) {
        let attached = Attached { conn, timeout_ms };
        if let Some(old) = self.attached.insert(session, attached)
            && old.conn != conn
        {
            self.by_conn.remove(&old.conn);
            effects.push(ForwarderEffect::Here(Effect::Close {
                conn: old.conn,
                why: CloseReason::Reattached(session),
            }));
        }
        self.by_conn.insert(conn, session);
        self.touched.insert(session, timeout_ms);
        effects.push(ForwarderEffect::Here(Effect::Connected {
            conn,
            response: ConnectResponse::Accepted {
                session,
                timeout_ms,
            },
            read_only,
        }));
    }

    /// A transaction goes to the log: one of a session that this server gave an id, perhaps in an earlier life.
    pub fn logged(&mut self, entry: &Entry) {
        // Every record begins with its session. What cannot be read is found when it is committed.
        if let Ok(session) = Reader::new(&entry.txn).i64() {
            self.ids.pass(SessionId(session));
        }
    }

    /// The ids of new sessions, as far as they are given.
    #[must_use]
    pub const fn session_ids(&self) -> SessionIds {
        self.ids
    }

    /// A transaction is committed: it is applied, and answered if it is the oldest request that is on its way.
    pub fn committed(
        &mut self,
        entry: &Entry,
        effects: &mut Vec<ForwarderEffect>,
    ) -> Result<(), DecodeError> {
        let record = Record::decode(&entry.txn)?;
        let header = record.header;
        let own = self.on_their_way.pop_front_if(|first| {
            mutated(Mutation::AnyCommitAnswers)
                || (first.session, first.cxid) == (header.session, header.cxid)
        });
        let (shape, reply_to, begins) = match own.map(|own| own.what) {
            Some(What::Write { write, to }) => match lost(header.session, &record.txn) {
                Some(why) => {
                    let conn = to.conn;
                    effects.push(ForwarderEffect::Here(Effect::Close { conn, why }));
                    (ReplyShape::Header, None, None)
                }
                None => (prep::reply_shape(&write, &record.txn), Some(to), None),
            },
            Some(What::Begin {
                conn,
                timeout_ms,
                read_only,
            }) => (
                ReplyShape::Header,
                None,
                Some((conn, timeout_ms, read_only)),
            ),
            None => (ReplyShape::Header, None, None),
        };
        let ends = header.kind == OpCode::CloseSession.code();
        let prepared = Prepared {
            txn: record.txn,
            digest: record.digest,
            shape,
            over_soft_quota: None,
        };
        effects.push(ForwarderEffect::Here(Effect::Apply(Committed {
            header,
            prepared,
            reply_to,
        })));
        if let Some((conn, timeout_ms, read_only)) = begins {
            self.attach(header.session, conn, timeout_ms, read_only, effects);
        }
        if ends {
            self.end(header.session, effects);
        }
        Ok(())
    }

    /// A session is over, whoever ended it.
    fn end(&mut self, session: SessionId, effects: &mut Vec<ForwarderEffect>) {
        self.touched.remove(&session);
        let Some(attached) = self.attached.remove(&session) else {
            return;
        };
        self.by_conn.remove(&attached.conn);
        effects.push(ForwarderEffect::Here(Effect::Close {
            conn: attached.conn,
            why: CloseReason::SessionClosed(session),
        }));
    }

    /// Requests on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.on_their_way.len()
    }
}

/// Why the connection has to end, if the leader refused a request because of its session: that is no answer to the request, and the
/// client must come again (client protocol 4.3).
fn lost(session: SessionId, txn: &Txn) -> Option<CloseReason> {
    let Txn::Error(code) = txn else { return None };
    let is = |error: ErrorCode| *code == error.code();
    if is(ErrorCode::SessionMoved) {
        Some(CloseReason::Reattached(session))
    } else if is(ErrorCode::SessionExpired) {
        Some(CloseReason::SessionExpired(session))
    } else {
        None
    }
}

const fn refused(conn: ConnId, read_only: Option<bool>) -> ForwarderEffect {
    ForwarderEffect::Here(Effect::Connected {
        conn,
        response: ConnectResponse::Refused,
        read_only,
    })
}
