//! The ids that a server gives to new sessions (client protocol 3.1).
//!
//! What lives here: where they begin, and what is passed over. What does not: which sessions live.
//!
//! An id is the server's own id in the top byte, and 56 bits that begin with the wall clock at the beginning of a role: 65536 ids
//! for each millisecond. Who begins again `d` ms later begins with other ids as long as it gave less than 65536 * `d` before,
//! which no server reaches: its start alone takes longer than the sessions of its first millisecond. So an id can come twice
//! only when the clock went back.
//!
//! Invariants, whatever the clock says:
//! - No id is given that a session has in the tree, in the log behind it, or in what the leader proposes meanwhile, and none below
//!   it of the same server.
//! - A process gives no id twice, however often its role changes.
//!
//! The bound: after a clock that went back by `d` ms and a restart of the process, ids may come again of sessions that were over
//! before the restart, for as long as `d`; and one of a request for a session that the process before sent to a leader which has
//! not proposed it when this one gives its first ids.

use rookeeper_proto::ids::{ServerId, SessionId};
use rookeeper_tree::tree::Tree;

use crate::input::Now;

/// Bits below the server's id.
const COUNTER_BITS: u32 = 56;
const COUNTER: i64 = (1 << COUNTER_BITS) - 1;

/// Gives ids.
#[derive(Debug, Clone, Copy)]
pub struct SessionIds {
    server: ServerId,
    /// The counter of the next id; never 0, so that no id is 0 or the smallest number, which mean other things.
    next: i64,
}

impl SessionIds {
    /// Of a server that begins to serve `tree` at `now`.
    #[must_use]
    pub fn new(server: ServerId, tree: &Tree, now: Now) -> Self {
        let next = (now.wall << 16) & COUNTER;
        let mut ids = Self {
            server,
            next: next.max(1),
        };
        for (session, _) in tree.sessions() {
            ids.pass(session);
        }
        ids
    }

    /// The id of a new session.
    pub const fn give(&mut self) -> SessionId {
        let given = SessionId((self.server.0 << COUNTER_BITS) | self.next);
        // Behind the last one, which only a peer that makes ids up can cause, they begin anew.
        self.next = if self.next == COUNTER {
            1
        } else {
            self.next + 1
        };
        given
    }

    /// There is, or was, a session with this id: the next one is beyond it, if this server gave it.
    pub const fn pass(&mut self, session: SessionId) {
        let counter = session.0 & COUNTER;
        let own = session.0 & !COUNTER == self.server.0 << COUNTER_BITS;
        if own && counter >= self.next && counter < COUNTER {
            self.next = counter + 1;
        }
    }

    /// What an earlier role of this process has given is passed over.
    #[must_use]
    pub fn behind(mut self, earlier: Option<Self>) -> Self {
        self.next = earlier.map_or(self.next, |it| it.next.max(self.next));
        self
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::code::OpCode;
    use rookeeper_proto::ids::Zxid;
    use rookeeper_proto::txn::{Txn, TxnHeader};
    use rookeeper_tree::tree::TreeOptions;

    use super::*;

    const ME: ServerId = ServerId(5);

    fn at(wall: i64) -> Now {
        Now { mono: 0, wall }
    }

    fn tree_with(sessions: &[i64]) -> Tree {
        let mut tree = Tree::new(TreeOptions::default());
        for (number, session) in (1..).zip(sessions) {
            let header = TxnHeader {
                session: SessionId(*session),
                cxid: 0,
                zxid: Zxid(number),
                time: 0,
                kind: OpCode::CreateSession.code(),
            };
            let txn = Txn::CreateSession { timeout_ms: 4000 };
            tree.apply(&header, &txn, &mut Vec::new());
        }
        tree
    }

    const fn own(counter: i64) -> i64 {
        5 << 56 | counter
    }

    #[test]
    fn ids_begin_with_the_clock_below_the_id_of_the_server() {
        let mut ids = SessionIds::new(ME, &tree_with(&[]), at(1_792_000_000_000));
        assert_eq!(ids.give(), SessionId(0x05a1_3b86_0000_0000));
        assert_eq!(ids.give(), SessionId(0x05a1_3b86_0000_0001));
    }

    #[test]
    fn a_clock_that_went_back_repeats_no_id_of_a_living_session() {
        let sessions = [own(7 << 16), own((9 << 16) + 3), own(8 << 16)];
        let mut ids = SessionIds::new(ME, &tree_with(&sessions), at(2));
        assert_eq!(ids.give(), SessionId(own((9 << 16) + 4)));
    }

    #[test]
    fn ids_of_other_servers_say_nothing() {
        let sessions = [6 << 56 | (9 << 16), -1, 4 << 56 | COUNTER];
        let mut ids = SessionIds::new(ME, &tree_with(&sessions), at(2));
        assert_eq!(ids.give(), SessionId(own(2 << 16)));
    }

    #[test]
    fn servers_with_high_ids_pass_over_their_own_sessions_too() {
        let own = -1_i64 << 56;
        let tree = tree_with(&[own | (9 << 16)]);
        let mut ids = SessionIds::new(ServerId(255), &tree, at(2));
        assert_eq!(ids.give(), SessionId(own | ((9 << 16) + 1)));
    }

    #[test]
    fn an_invented_id_at_the_end_does_not_lead_into_the_ids_of_another_server() {
        let mut ids = SessionIds::new(ME, &tree_with(&[own(COUNTER - 1)]), at(2));
        assert_eq!(ids.give(), SessionId(own(COUNTER)));
        assert_eq!(ids.give(), SessionId(own(1)));
    }

    #[test]
    fn no_id_is_none_or_the_mark_of_a_container() {
        for server in [0, 128] {
            let mut ids = SessionIds::new(ServerId(server), &tree_with(&[]), at(0));
            assert_eq!(ids.give(), SessionId(server << 56 | 1));
        }
    }

    #[test]
    fn a_second_role_of_a_process_goes_on_behind_the_first() {
        let mut first = SessionIds::new(ME, &tree_with(&[]), at(20));
        let given = first.give();
        let mut second = SessionIds::new(ME, &tree_with(&[]), at(3)).behind(Some(first));
        assert_eq!(second.give(), SessionId(given.0 + 1));
    }

    /// A start within the same millisecond, after many sessions: those that live are passed over.
    #[test]
    fn two_starts_at_one_time_share_no_living_session() {
        let mut first = SessionIds::new(ME, &tree_with(&[]), at(7));
        let given: Vec<i64> = (0..100).map(|_| first.give().0).collect();
        let mut second = SessionIds::new(ME, &tree_with(&given[..60]), at(7));
        assert_eq!(second.give(), SessionId(given[60]));
    }
}
