//! Clients between two leaders: what they see of an election is as little as possible.
//!
//! What lives here: which connections outlive the loss of a leader, for how long, and how their sessions go on with the next one. What
//! does not: whether a session lives (the leader), and what a connection does meanwhile ([`Conversation::interrupt`]).
//!
//! A connection with nothing in flight waits, and so does a client that connects, for a moment at most ([`GRACE_MS`]). When there is a
//! leader again each session is opened anew on behalf of its client, by the same way as any other: the leader says whether it lives,
//! and on which server it goes on.
//!
//! Invariant: who is kept has seen nothing but what the tree says that is there when it goes on, and has its watches on that tree. So
//! whoever waits with a session ends when the history is not carried on but cut or replaced ([`Kept::history_replaced`]): of what lies
//! between the two states no watch would tell.
//!
//! [`Conversation::interrupt`]: crate::conversation::Conversation::interrupt

use std::collections::BTreeSet;

use rookeeper_proto::request::ConnectRequest;

use crate::input::ConnId;

/// How long clients are kept without a leader, ms. A client of the shortest usual session waits longer for an answer; and where there
/// is no quorum, clients should soon try other servers.
pub const GRACE_MS: i64 = 2000;
/// Clients that may wait for their session.
const MAX_WAITING: usize = 10_000;

/// Clients between two leaders.
#[derive(Debug, Default)]
pub struct Kept {
    /// Since when there is no leader, while that is not too long; monotonic ms.
    since: Option<i64>,
    /// Their sessions go on.
    connections: BTreeSet<ConnId>,
    /// They want a session.
    waiting: Vec<(ConnId, ConnectRequest)>,
}

impl Kept {
    /// There is no leader any more, as of `now` (monotonic ms); these connections have a session.
    pub fn begin(&mut self, now: i64, connections: impl IntoIterator<Item = ConnId>) {
        *self = Self {
            since: Some(now),
            connections: connections.into_iter().collect(),
            waiting: Vec::new(),
        };
    }

    /// Keeps a client that connects, if there is hope; gives the request back if there is not.
    pub fn connect(&mut self, conn: ConnId, request: ConnectRequest) -> Option<ConnectRequest> {
        if self.connections.contains(&conn) {
            // Asked on its behalf when there was a leader, who is gone again. It is asked once more, and once only.
            return None;
        }
        if self.since.is_none() || self.waiting.len() >= MAX_WAITING {
            return Some(request);
        }
        self.waiting.push((conn, request));
        None
    }

    /// The client is gone.
    pub fn forget(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
        self.waiting.retain(|(waiting, _)| *waiting != conn);
    }

    /// Ends the waiting when it has been too long: these connections are to end.
    #[must_use = "nobody else ends them"]
    pub fn overdue(&mut self, now: i64) -> Vec<ConnId> {
        match self.since {
            Some(since) if now - since >= GRACE_MS => self.give_up(),
            _ => Vec::new(),
        }
    }

    /// Keeps nobody any more: these connections are to end.
    #[must_use = "nobody else ends them"]
    pub fn give_up(&mut self) -> Vec<ConnId> {
        let Self {
            connections,
            waiting,
            ..
        } = std::mem::take(self);
        let waiting = waiting.into_iter().map(|(conn, _)| conn);
        waiting.chain(connections).collect()
    }

    /// The history was cut or replaced: these connections are to end. Who waits for a session goes on waiting.
    #[must_use = "nobody else ends them"]
    pub fn history_replaced(&mut self) -> BTreeSet<ConnId> {
        std::mem::take(&mut self.connections)
    }

    /// There is a leader: what its clients ask, and those who are kept. `renewal` is what the client of a connection would say that
    /// comes back to its session; without it the connection is left alone.
    pub fn resume(
        &mut self,
        mut renewal: impl FnMut(ConnId) -> Option<ConnectRequest>,
    ) -> Vec<(ConnId, ConnectRequest)> {
        self.since = None;
        let mut requests = std::mem::take(&mut self.waiting);
        let again = |conn: &ConnId| Some((*conn, renewal(*conn)?));
        requests.extend(self.connections.iter().filter_map(again));
        requests
    }

    /// True when the answer to a connect request is about a session that goes on: its client has not asked, and is not told.
    pub fn went_on(&mut self, conn: ConnId) -> bool {
        self.connections.remove(&conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);
    const NEW: ConnId = ConnId(3);

    fn request() -> ConnectRequest {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: rookeeper_proto::ids::Zxid::ZERO,
            timeout_ms: 4000,
            session: rookeeper_proto::ids::SessionId::NONE,
            password: Vec::new(),
            read_only: None,
        }
    }

    fn begun() -> Kept {
        let mut kept = Kept::default();
        kept.begin(100, [A, B]);
        kept
    }

    fn conns(requests: Vec<(ConnId, ConnectRequest)>) -> Vec<ConnId> {
        requests.into_iter().map(|(conn, _)| conn).collect()
    }

    #[test]
    fn with_a_leader_nobody_is_kept() {
        assert_eq!(Kept::default().connect(NEW, request()), Some(request()));
        assert!(!Kept::default().went_on(A));
    }

    #[test]
    fn sessions_go_on_and_new_clients_have_their_turn() {
        let mut kept = begun();
        assert_eq!(kept.connect(NEW, request()), None);
        kept.forget(B);
        assert_eq!(conns(kept.resume(|_| Some(request()))), [NEW, A]);
        assert!(kept.went_on(A) && !kept.went_on(A));
        assert!(!kept.went_on(NEW), "it asked, and is told");
    }

    #[test]
    fn a_leader_who_goes_before_it_has_answered_is_asked_nothing_twice() {
        let mut kept = begun();
        assert_eq!(conns(kept.resume(|_| Some(request()))), [A, B]);
        kept.begin(200, [A, B]);
        assert_eq!(kept.connect(A, request()), None);
        assert_eq!(conns(kept.resume(|_| Some(request()))), [A, B]);
    }

    #[test]
    fn whoever_waits_too_long_ends() {
        let mut kept = begun();
        assert_eq!(kept.connect(NEW, request()), None);
        assert_eq!(kept.overdue(100 + GRACE_MS - 1), []);
        assert_eq!(kept.overdue(100 + GRACE_MS), [NEW, A, B]);
        assert_eq!(kept.overdue(100 + 2 * GRACE_MS), []);
        assert_eq!(kept.connect(NEW, request()), Some(request()));
    }

    #[test]
    fn another_history_ends_those_who_saw_this_one() {
        let mut kept = begun();
        assert_eq!(kept.connect(NEW, request()), None);
        assert_eq!(kept.history_replaced(), BTreeSet::from([A, B]));
        assert_eq!(conns(kept.resume(|_| Some(request()))), [NEW]);
    }
}
