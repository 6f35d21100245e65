//! What learners' clients want: their requests come over the learner's connection, and the answer is a transaction.
//!
//! What lives here: which of them are ordered at all, and what is refused, by a transaction of its own. What does not: the connections
//! of clients, which are the learner's business.
//!
//! A full disk refuses nothing here. The only answer that a learner understands is a committed transaction with the session and the
//! number of its oldest request, errors included (quorum protocol 4.3): there is no packet for a refusal. An error is a record as well, it
//! takes the next zxid, and whatever is logged behind it needs it in the log, or the log has a hole. So a forwarded request
//! waits for room like anything that was judged, and if that lasts, the others find a leader that has some.

use std::sync::Arc;

use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{SessionId, Xid};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::packet::from_learner::ForwardedRequest;
use rookeeper_proto::request::{self, Request, Write};
use rookeeper_proto::txn::Txn;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_tree::auth::Identities;
use rookeeper_tree::prep::{Prepared, ReplyShape};
use rookeeper_tree::tree::Tree;

use super::{Proposer, Then};
use crate::effect::{CloseReason, Effect};
use crate::input::Now;
use crate::queued::is_ordered;
use crate::sessions::Speaker;

impl Proposer {
    /// A learner's client wants a change. Whatever is wrong with the request becomes a transaction too: the learner waits for one.
    pub fn forwarded(
        &mut self,
        tree: &Tree,
        now: Now,
        from: LearnerId,
        request: ForwardedRequest,
        effects: &mut Vec<Effect>,
    ) {
        let origin = (request.session, Xid(request.cxid));
        if request.op == OpCode::CreateSession.code() {
            let Ok(timeout_ms) = Reader::new(&request.body).i32() else {
                let refused = Err(ErrorCode::MarshallingError);
                self.propose_forwarded(tree, now, origin, refused, effects);
                return;
            };
            let then = Then::Begin {
                speaker: Speaker::Learner(from),
                timeout_ms,
                read_only: None,
            };
            self.propose_session(tree, now, origin, timeout_ms, then, effects);
            return;
        }
        let write = self
            .sessions
            .admit(request.session, from)
            .and_then(|()| write_in(&request));
        let identities = Arc::new(
            request
                .identities
                .unwrap_or_default()
                .into_iter()
                .collect::<Identities>(),
        );
        let asked = write.map(|write| (write, identities));
        self.propose_forwarded(tree, now, origin, asked, effects);
    }

    fn propose_forwarded(
        &mut self,
        tree: &Tree,
        now: Now,
        origin: (SessionId, Xid),
        asked: Result<(Write, Arc<Identities>), ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        let (prepared, then) = match asked {
            Ok((write, identities)) => {
                let then = self.then(origin.0, &write);
                (self.judge(tree, now, origin.0, &identities, &write), then)
            }
            Err(code) => (refused(code), Then::Nothing),
        };
        self.propose(now, origin, prepared, None, then, effects);
    }

    /// While the disk is full writes are refused in their turn; so what waits before them takes its turn there too.
    pub fn answer_in_turn(
        &mut self,
        answers: impl Iterator<Item = Effect>,
        effects: &mut Vec<Effect>,
    ) {
        let turn = match self.in_flight.back_mut() {
            Some(last) => &mut last.refusals,
            None => effects,
        };
        turn.extend(answers);
    }

    /// True while the log has no room.
    #[must_use]
    pub const fn refuses(&self) -> bool {
        self.disk_full
    }

    /// A learner asks whether a session lives, because its client came to it. If so the session is the learner's from now on.
    pub fn revalidate(
        &mut self,
        now: Now,
        from: LearnerId,
        (session, timeout_ms): (SessionId, i32),
        effects: &mut Vec<Effect>,
    ) -> bool {
        let sessions = &mut self.sessions;
        let (valid, old) = sessions.revalidate(session, from, timeout_ms, now.mono);
        effects.extend(old.map(|conn| Effect::Close {
            conn,
            why: CloseReason::Reattached(session),
        }));
        valid
    }
}

/// The write in a forwarded request. A member of an older release forwards what no client may ask for.
fn write_in(request: &ForwardedRequest) -> Result<Write, ErrorCode> {
    if !is_ordered(request.op) {
        return Err(ErrorCode::Unimplemented);
    }
    match request::decode(request.op, &request.body) {
        Ok(Request::Write(write)) => Ok(write),
        _ => Err(ErrorCode::MarshallingError),
    }
}

const fn refused(code: ErrorCode) -> Prepared {
    Prepared {
        txn: Txn::Error(code.code()),
        digest: None,
        shape: ReplyShape::Header,
        over_soft_quota: None,
    }
}
