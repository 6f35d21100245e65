//! The liveness of sessions at the member that expires them: who is connected where, who is closing, who is due.
//!
//! Which sessions exist is replicated state and lives in the tree; this is what only the leader (or a standalone server) knows.
//!
//! Invariant: `expiry` holds exactly the sessions that are not closing.

use std::collections::BTreeMap;

use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::request::ConnectRequest;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_tree::expiry::Expiry;

use crate::input::ConnId;
use crate::mutation::{Mutation, mutated};

/// Bounds of the negotiated timeout.
#[derive(Debug, Clone, Copy)]
pub struct TimeoutBounds {
    /// Shortest, ms.
    pub min_ms: i32,
    /// Longest, ms.
    pub max_ms: i32,
}

impl TimeoutBounds {
    /// The timeout a client gets that asks for `wanted` ms.
    #[must_use]
    pub fn negotiate(self, wanted: i32) -> i32 {
        wanted.min(self.max_ms).max(self.min_ms)
    }
}

/// True for a client that has seen more than a server whose state ends at `ours`: it would read below what it has seen.
#[must_use]
pub fn is_ahead(request: &ConnectRequest, ours: Zxid) -> bool {
    request.last_zxid_seen > ours && !mutated(Mutation::ClientAheadAdmitted)
}

/// From where a session's requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A client of this server.
    Client(ConnId),
    /// A client of a learner. Which connection it has is the learner's business.
    Learner(LearnerId),
}

impl Speaker {
    const fn conn(self) -> Option<ConnId> {
        match self {
            Self::Client(conn) => Some(conn),
            Self::Learner(_) => None,
        }
    }
}

#[derive(Debug)]
struct Live {
    timeout_ms: i32,
    closing: bool,
    /// The connection to this server, while there is one.
    conn: Option<ConnId>,
    /// Who last had it, also when the connection is gone: requests handed in before may still come.
    speaker: Option<Speaker>,
}

/// All sessions of this member.
#[derive(Debug)]
pub struct Sessions {
    live: BTreeMap<SessionId, Live>,
    by_conn: BTreeMap<ConnId, SessionId>,
    expiry: Expiry,
}

impl Sessions {
    /// No session; expiry in steps of `tick_ms`.
    #[must_use]
    pub const fn new(tick_ms: i64) -> Self {
        Self {
            live: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            expiry: Expiry::new(tick_ms),
        }
    }

    /// A session begins, or is found in the tree at start: it has its full timeout from `now`.
    pub fn begin(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        speaker: Option<Speaker>,
        now: i64,
    ) {
        let conn = speaker.and_then(Speaker::conn);
        self.live.insert(
            session,
            Live {
                timeout_ms,
                closing: false,
                conn,
                speaker,
            },
        );
        if let Some(conn) = conn {
            self.by_conn.insert(conn, session);
        }
        self.expiry.restart(session, now, lifetime(timeout_ms));
    }

    /// True when the session lives and is not being closed.
    #[must_use]
    pub fn is_open(&self, session: SessionId) -> bool {
        self.live.get(&session).is_some_and(|live| !live.closing)
    }

    /// True when the session is open and has not moved to another connection than `conn`.
    #[must_use]
    pub fn may_write(&self, session: SessionId, conn: ConnId) -> bool {
        self.live
            .get(&session)
            .is_some_and(|live| !live.closing && live.speaker == Some(Speaker::Client(conn)))
    }

    /// Whether a request of the session may come by `learner`. Who asks first owns a session that nobody owns yet, as all of them
    /// are when a leader begins.
    pub fn admit(&mut self, session: SessionId, learner: LearnerId) -> Result<(), ErrorCode> {
        let live = self.live.get_mut(&session).filter(|live| !live.closing);
        let live = live.ok_or(ErrorCode::SessionExpired)?;
        let speaker = Speaker::Learner(learner);
        if *live.speaker.get_or_insert(speaker) == speaker {
            Ok(())
        } else {
            Err(ErrorCode::SessionMoved)
        }
    }

    /// The session goes on at a learner with a new timeout, if it is open: then it is heard of now. Returns that, and the
    /// connection it had here.
    pub fn revalidate(
        &mut self,
        session: SessionId,
        learner: LearnerId,
        timeout_ms: i32,
        now: i64,
    ) -> (bool, Option<ConnId>) {
        let Some(live) = self.live.get_mut(&session).filter(|live| !live.closing) else {
            return (false, None);
        };
        live.speaker = Some(Speaker::Learner(learner));
        live.timeout_ms = timeout_ms;
        let old = live.conn.take();
        if let Some(old) = old {
            self.by_conn.remove(&old);
        }
        self.expiry.restart(session, now, lifetime(live.timeout_ms));
        (true, old)
    }

    /// The session goes on over `conn` with a new timeout. Returns the connection it had. Only for open sessions.
    pub fn attach(
        &mut self,
        session: SessionId,
        conn: ConnId,
        timeout_ms: i32,
        now: i64,
    ) -> Option<ConnId> {
        let live = self.live.get_mut(&session)?;
        live.timeout_ms = timeout_ms;
        live.speaker = Some(Speaker::Client(conn));
        let old = live.conn.replace(conn);
        if let Some(old) = old {
            self.by_conn.remove(&old);
        }
        self.by_conn.insert(conn, session);
        self.expiry.restart(session, now, lifetime(timeout_ms));
        old.filter(|old| *old != conn)
    }

    /// The connection is gone; its session lives on until it is due.
    pub fn detach(&mut self, conn: ConnId) {
        if let Some(session) = self.by_conn.remove(&conn)
            && let Some(live) = self.live.get_mut(&session)
        {
            live.conn = None;
        }
    }

    /// The session was heard of at `at`.
    pub fn heard(&mut self, session: SessionId, at: i64) {
        if let Some(live) = self.live.get(&session).filter(|live| !live.closing) {
            self.expiry.touch(session, at, lifetime(live.timeout_ms));
        }
    }

    /// Nobody pays for `ms` during which this process stood still.
    pub fn postpone(&mut self, ms: i64) {
        self.expiry.postpone(ms);
    }

    /// The sessions that are due at `now`, with their timeouts in ms.
    pub fn expire(&mut self, now: i64) -> Vec<(SessionId, i32)> {
        let timeout =
            |live: &BTreeMap<_, Live>, session| live.get(&session).map_or(0, |l| l.timeout_ms);
        self.expiry
            .expire(now)
            .into_iter()
            .map(|s| (s, timeout(&self.live, s)))
            .collect()
    }

    /// From now on requests of this session are dropped: its end is on the way.
    pub fn closing(&mut self, session: SessionId) {
        self.expiry.remove(session);
        if let Some(live) = self.live.get_mut(&session) {
            live.closing = true;
        }
    }

    /// The session is over. Returns its connection.
    pub fn end(&mut self, session: SessionId) -> Option<ConnId> {
        self.expiry.remove(session);
        let conn = self.live.remove(&session)?.conn?;
        self.by_conn.remove(&conn);
        Some(conn)
    }

    /// Number of sessions, closing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// True when there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Expiry buckets: monotonic end in ms, and who ends then.
    pub fn buckets(&self) -> Vec<(i64, Vec<SessionId>)> {
        self.expiry
            .buckets()
            .map(|(end, who)| (end, who.iter().copied().collect()))
            .collect()
    }
}

/// How long a session lives after it was heard of, ms.
fn lifetime(timeout_ms: i32) -> i64 {
    let parts = if mutated(Mutation::SessionsExpireEarly) {
        4
    } else {
        1
    };
    i64::from(timeout_ms) / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: SessionId = SessionId(7);

    #[test]
    fn timeouts_are_clamped_even_when_the_bounds_cross() {
        let bounds = TimeoutBounds {
            min_ms: 4000,
            max_ms: 40_000,
        };
        for (wanted, given) in [
            (100, 4000),
            (1_000_000, 40_000),
            (-5, 4000),
            (0, 4000),
            (9000, 9000),
        ] {
            assert_eq!(bounds.negotiate(wanted), given);
        }
    }

    #[test]
    fn a_reattached_session_keeps_living_when_the_old_connection_goes() {
        let mut sessions = Sessions::new(1000);
        sessions.begin(S, 4000, Some(Speaker::Client(ConnId(1))), 0);
        assert_eq!(sessions.attach(S, ConnId(2), 8000, 0), Some(ConnId(1)));
        sessions.detach(ConnId(1));
        assert_eq!(sessions.end(S), Some(ConnId(2)));
    }

    #[test]
    fn a_session_speaks_through_one_server_at_a_time() {
        let mut sessions = Sessions::new(1000);
        sessions.begin(S, 4000, None, 0);
        let (one, two) = (LearnerId(1), LearnerId(2));
        assert_eq!(sessions.admit(S, one), Ok(()));
        assert_eq!(sessions.admit(S, two), Err(ErrorCode::SessionMoved));
        assert_eq!(sessions.revalidate(S, two, 4000, 10), (true, None));
        assert_eq!(sessions.admit(S, one), Err(ErrorCode::SessionMoved));
        assert_eq!(sessions.attach(S, ConnId(1), 8000, 20), None);
        assert_eq!(sessions.admit(S, two), Err(ErrorCode::SessionMoved));
        assert_eq!(
            sessions.revalidate(S, one, 4000, 30),
            (true, Some(ConnId(1)))
        );
        assert!(!sessions.may_write(S, ConnId(1)));
        sessions.closing(S);
        assert_eq!(sessions.admit(S, one), Err(ErrorCode::SessionExpired));
        assert_eq!(sessions.revalidate(S, one, 4000, 40), (false, None));
    }

    /// Found by the simulator: the client was told its new timeout, and the session ended after the old one.
    #[test]
    fn a_session_that_goes_on_at_a_learner_has_the_timeout_that_its_client_was_told() {
        let mut sessions = Sessions::new(1000);
        sessions.begin(S, 4000, None, 0);
        assert_eq!(sessions.revalidate(S, LearnerId(1), 9000, 0), (true, None));
        assert_eq!(sessions.expire(8000), []);
        sessions.heard(S, 8000);
        assert_eq!(sessions.expire(16_000), []);
        assert_eq!(sessions.expire(18_000), [(S, 9000)]);
    }

    #[test]
    fn a_closing_session_neither_expires_nor_lives() {
        let mut sessions = Sessions::new(1000);
        sessions.begin(S, 4000, None, 0);
        sessions.closing(S);
        sessions.heard(S, 10);
        assert!(!sessions.is_open(S) && sessions.expire(1_000_000).is_empty());
    }
}
