//! Orders writes: judges each the moment it comes, gives it its zxid, keeps it until it is committed. A standalone server and the
//! leader of an ensemble do this in the same way; they differ in who says what is committed.
//!
//! What lives here: judging, numbering, what is in flight, the sessions that this member may end, removal of containers and TTL
//! nodes. What does not: when a transaction is committed.
//!
//! Invariants:
//! - `in_flight` is in zxid order without gaps; everything before its front is committed.
//! - A session is `closing` from the moment its closeSession is judged, so nothing of it is judged afterwards.
//! - While the disk is full nothing of the own clients is judged, so none of them waits for a disk that cannot take it.

mod forwarded;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{ServerId, SessionId, Xid, Zxid};
use rookeeper_proto::password;
use rookeeper_proto::request::{ConnectRequest, Write};
use rookeeper_proto::response::ConnectResponse;
use rookeeper_proto::txn::{Record, TxnHeader};
use rookeeper_tree::auth::Identities;
use rookeeper_tree::pending::Pending;
use rookeeper_tree::prep::{self, Author, Prepared, Rules};
use rookeeper_tree::tree::Tree;

use crate::effect::{CloseReason, Committed, Effect, Notice};
use crate::input::{ConnId, Now, ReplyTo, WriteRequest};
use crate::limits::{QUOTA_NOTICE_INTERVAL_MS, STALL_TICKS};
use crate::reaper::{Reaper, ReaperConfig};
use crate::session_ids::SessionIds;
use crate::sessions::{Sessions, Speaker, TimeoutBounds, is_ahead};

/// Settings of who orders writes.
#[derive(Debug, Clone)]
pub struct ProposerConfig {
    /// This server: the top byte of the ids of its sessions.
    pub server: ServerId,
    /// The unit of session expiry, ms.
    pub tick_ms: i64,
    /// Time between two [`tick`](Proposer::tick)s when nothing is wrong, ms.
    pub tick_interval_ms: i64,
    /// Bounds of session timeouts.
    pub timeouts: TimeoutBounds,
    /// What is allowed.
    pub rules: Rules,
    /// Containers and TTL nodes.
    pub reaper: ReaperConfig,
    /// Keys the overlay's table; any number.
    pub hash_seed: u64,
}

/// A transaction between its judgement and its commit.
#[derive(Debug)]
struct InFlight {
    committed: Committed,
    then: Then,
    /// Answers to what came after it and found the disk full; empty nearly always.
    refusals: Vec<Effect>,
}

/// What follows when a transaction is committed.
#[derive(Debug)]
enum Then {
    /// Nothing more.
    Nothing,
    /// A session begins.
    Begin {
        speaker: Speaker,
        timeout_ms: i32,
        read_only: Option<bool>,
    },
    /// A session ends.
    End(CloseReason),
}

/// Who orders writes.
#[derive(Debug)]
pub struct Proposer {
    config: ProposerConfig,
    pub(crate) ids: SessionIds,
    last_proposed: Zxid,
    pending: Pending,
    in_flight: VecDeque<InFlight>,
    sessions: Sessions,
    reaper: Reaper,
    /// The last tick, or the beginning.
    last_tick: i64,
    disk_full: bool,
    next_quota_notice: Option<i64>,
    scratch: Vec<u8>,
}

impl Proposer {
    /// Begins to serve `tree` at `now`: every session in it has its full timeout again.
    #[must_use]
    pub fn new(config: ProposerConfig, tree: &Tree, now: Now) -> Self {
        let mut sessions = Sessions::new(config.tick_ms);
        for (session, timeout_ms) in tree.sessions() {
            sessions.begin(session, timeout_ms, None, now.mono);
        }
        Self {
            ids: SessionIds::new(config.server, tree, now),
            last_proposed: tree.last_zxid(),
            pending: Pending::new(config.hash_seed),
            in_flight: VecDeque::new(),
            reaper: Reaper::new(config.reaper),
            sessions,
            last_tick: now.mono,
            disk_full: false,
            next_quota_notice: None,
            scratch: Vec::new(),
            config,
        }
    }

    /// A leader begins its epoch: the next zxid is the one behind `beginning`.
    pub fn begin_epoch(&mut self, beginning: Zxid) {
        self.last_proposed = beginning;
    }

    /// Transactions judged and not yet committed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, conn: ConnId) {
        self.sessions.detach(conn);
    }

    /// Sessions were heard of, at these monotonic times.
    pub fn heard(&mut self, heard: Vec<(SessionId, i64)>) {
        for (session, at) in heard {
            self.sessions.heard(session, at);
        }
    }

    /// The log has no room for more (true), or has it again (false).
    pub const fn disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// The sessions, for reports.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    // Sessions.

    /// A client wants a session, or its old one again.
    pub fn connect(
        &mut self,
        tree: &Tree,
        now: Now,
        conn: ConnId,
        request: &ConnectRequest,
        effects: &mut Vec<Effect>,
    ) {
        let ours = tree.last_zxid();
        if is_ahead(request, ours) {
            let why = CloseReason::ClientAhead {
                seen: request.last_zxid_seen,
                ours,
            };
            effects.push(Effect::Close { conn, why });
            return;
        }
        let timeout_ms = self.config.timeouts.negotiate(request.timeout_ms);
        let read_only = request.read_only.map(|_| false);
        if request.session == SessionId::NONE {
            self.begin_session(tree, now, (conn, timeout_ms, read_only), effects);
            return;
        }
        let session = request.session;
        // The password first: a wrong one must not cost the legitimate client its connection (client protocol 8.3).
        let known = password::matches(session, &request.password) && self.sessions.is_open(session);
        if !known {
            effects.push(Effect::Connected {
                conn,
                response: ConnectResponse::Refused,
                read_only,
            });
            return;
        }
        if let Some(old) = self.sessions.attach(session, conn, timeout_ms, now.mono) {
            effects.push(Effect::Close {
                conn: old,
                why: CloseReason::Reattached(session),
            });
        }
        let response = ConnectResponse::Accepted {
            session,
            timeout_ms,
        };
        effects.push(Effect::Connected {
            conn,
            response,
            read_only,
        });
    }

    fn begin_session(
        &mut self,
        tree: &Tree,
        now: Now,
        (conn, timeout_ms, read_only): (ConnId, i32, Option<bool>),
        effects: &mut Vec<Effect>,
    ) {
        if self.disk_full {
            effects.push(Effect::Close {
                conn,
                why: CloseReason::DiskFull,
            });
            return;
        }
        let session = self.ids.give();
        let then = Then::Begin {
            speaker: Speaker::Client(conn),
            timeout_ms,
            read_only,
        };
        self.propose_session(tree, now, (session, Xid(0)), timeout_ms, then, effects);
    }

    fn propose_session(
        &mut self,
        tree: &Tree,
        now: Now,
        origin: (SessionId, Xid),
        timeout_ms: i32,
        then: Then,
        effects: &mut Vec<Effect>,
    ) {
        let (zxid, rules) = (self.last_proposed.next(), &self.config.rules);
        let prepared = prep::prepare_session(tree, &mut self.pending, rules, zxid, timeout_ms);
        self.propose(now, origin, prepared, None, then, effects);
    }

    // Writes.

    /// A client of this server wants a change.
    pub fn write(
        &mut self,
        tree: &Tree,
        now: Now,
        request: WriteRequest,
        effects: &mut Vec<Effect>,
    ) {
        let WriteRequest {
            conn,
            session,
            xid,
            write,
            identities,
            behind,
            ..
        } = request;
        if !self.sessions.may_write(session, conn) {
            // Its end is on the way, or it moved: the client learns it from its closing connection.
            return;
        }
        if self.disk_full {
            let to = ReplyTo { conn, xid, behind };
            self.refuse(tree, session, to, write == Write::CloseSession, effects);
            return;
        }
        let then = self.then(session, &write);
        let prepared = self.judge(tree, now, session, &identities, &write);
        let to = ReplyTo { conn, xid, behind };
        self.propose(now, (session, xid), prepared, Some(to), then, effects);
    }

    /// There is no room for the record. The reply waits for those of the writes in flight: clients drop a connection whose
    /// replies come out of order. A connection that asked for the end of its session takes nothing more, so it is closed.
    fn refuse(
        &mut self,
        tree: &Tree,
        session: SessionId,
        to: ReplyTo,
        closes: bool,
        effects: &mut Vec<Effect>,
    ) {
        let (zxid, turn) = match self.in_flight.back_mut() {
            Some(last) => (last.committed.header.zxid, &mut last.refusals),
            None => (tree.last_zxid(), effects),
        };
        let conn = to.conn;
        turn.push(Effect::Refuse {
            to,
            session,
            zxid,
            code: ErrorCode::SystemError,
        });
        if closes {
            turn.push(Effect::Close {
                conn,
                why: CloseReason::DiskFull,
            });
        }
    }

    /// What follows the commit of a write. From here on a session that is being closed asks for nothing more.
    fn then(&mut self, session: SessionId, write: &Write) -> Then {
        if *write == Write::CloseSession {
            self.sessions.closing(session);
            Then::End(CloseReason::SessionClosed(session))
        } else {
            Then::Nothing
        }
    }

    fn judge(
        &mut self,
        tree: &Tree,
        now: Now,
        session: SessionId,
        identities: &Arc<Identities>,
        write: &Write,
    ) -> Prepared {
        let place = (self.last_proposed.next(), now.wall);
        let author = Author {
            session,
            identities,
        };
        prep::prepare(
            tree,
            &mut self.pending,
            &self.config.rules,
            author,
            place,
            write,
        )
    }

    fn propose(
        &mut self,
        now: Now,
        (session, xid): (SessionId, Xid),
        prepared: Prepared,
        reply_to: Option<ReplyTo>,
        then: Then,
        effects: &mut Vec<Effect>,
    ) {
        let zxid = self.last_proposed.next();
        self.last_proposed = zxid;
        let kind = prepared.txn.kind().code();
        let header = TxnHeader {
            session,
            cxid: xid.0,
            zxid,
            time: now.wall,
            kind,
        };
        let Prepared {
            txn,
            digest,
            shape,
            over_soft_quota,
        } = prepared;
        self.note_soft_quota(now, over_soft_quota, effects);
        let record = Record {
            header,
            txn,
            digest,
        };
        self.scratch.clear();
        record.encode(&mut self.scratch);
        effects.push(Effect::Append {
            zxid,
            record: Bytes::copy_from_slice(&self.scratch),
        });
        let prepared = Prepared {
            txn: record.txn,
            digest,
            shape,
            over_soft_quota: None,
        };
        let committed = Committed {
            header,
            prepared,
            reply_to,
        };
        self.in_flight.push_back(InFlight {
            committed,
            then,
            refusals: Vec::new(),
        });
    }

    /// Tells the operator, but not for every write that goes on beyond the limit.
    fn note_soft_quota(&mut self, now: Now, over: Option<String>, effects: &mut Vec<Effect>) {
        let Some(path) = over else { return };
        if self.next_quota_notice.is_none_or(|next| now.mono >= next) {
            self.next_quota_notice = Some(now.mono + QUOTA_NOTICE_INTERVAL_MS);
            effects.push(Effect::Notice(Notice::OverSoftQuota { path }));
        }
    }

    /// Everything up to `zxid` is committed.
    pub fn committed(&mut self, now: Now, zxid: Zxid, effects: &mut Vec<Effect>) {
        while let Some(next) = self.in_flight.front()
            && next.committed.header.zxid <= zxid
            && let Some(next) = self.in_flight.pop_front()
        {
            let InFlight {
                committed,
                then,
                refusals,
            } = next;
            let session = committed.header.session;
            effects.push(Effect::Apply(committed));
            match then {
                Then::Nothing => {}
                Then::Begin {
                    speaker,
                    timeout_ms,
                    read_only,
                } => {
                    self.sessions
                        .begin(session, timeout_ms, Some(speaker), now.mono);
                    if let Speaker::Client(conn) = speaker {
                        let response = ConnectResponse::Accepted {
                            session,
                            timeout_ms,
                        };
                        effects.push(Effect::Connected {
                            conn,
                            response,
                            read_only,
                        });
                    }
                }
                Then::End(why) => {
                    if let Some(conn) = self.sessions.end(session) {
                        effects.push(Effect::Close { conn, why });
                    }
                }
            }
            effects.extend(refusals);
        }
        self.pending.committed(zxid);
    }

    // Time.

    /// Time has passed.
    pub fn tick(&mut self, tree: &Tree, now: Now, effects: &mut Vec<Effect>) {
        self.forgive_lost_time(now, effects);
        if self.disk_full {
            // Sessions cannot be ended without the log.
            return;
        }
        for (session, timeout_ms) in self.sessions.expire(now.mono) {
            effects.push(Effect::Notice(Notice::Expiring {
                session,
                timeout_ms,
            }));
            self.sessions.closing(session);
            let nobody = Arc::new(Identities::default());
            let prepared = self.judge(tree, now, session, &nobody, &Write::CloseSession);
            let then = Then::End(CloseReason::SessionExpired(session));
            self.propose(now, (session, Xid(0)), prepared, None, then, effects);
        }
        for path in self.reaper.due(tree, now) {
            let write = Write::DeleteContainer(path);
            let nobody = Arc::new(Identities::default());
            let prepared = self.judge(tree, now, SessionId::NONE, &nobody, &write);
            self.propose(
                now,
                (SessionId::NONE, Xid(0)),
                prepared,
                None,
                Then::Nothing,
                effects,
            );
        }
    }

    /// If the ticks stood still, so did this process: what clients sent meanwhile waits unread in the sockets. And while the disk
    /// is full no time counts at all: sessions get their full time when it is back.
    fn forgive_lost_time(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let last = std::mem::replace(&mut self.last_tick, now.mono);
        let (gap, interval) = (now.mono - last, self.config.tick_interval_ms);
        let stalled = gap > STALL_TICKS * interval;
        if stalled {
            let ms = gap - interval;
            effects.push(Effect::Notice(Notice::Stalled { ms }));
        }
        if self.disk_full {
            self.sessions.postpone(gap);
        } else if stalled {
            self.sessions.postpone(gap - interval);
        }
    }
}
