//! A learner's clients, their learner, and the one who orders: requests go there and come back as commits.

#![allow(
    clippy::unwrap_used,
    reason = "a test may fail this way, also outside of test functions"
)]

use std::sync::Arc;

use bytes::Bytes;
use rookeeper_node::delivery::{self, Deliveries, Delivery};
use rookeeper_node::effect::{CloseReason, Effect};
use rookeeper_node::forwarder::{Forwarder, ForwarderEffect};
use rookeeper_node::input::{ConnId, Now, WriteRequest};
use rookeeper_node::proposer::{Proposer, ProposerConfig};
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::session_ids::SessionIds;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{ServerId, SessionId, Xid, Zxid};
use rookeeper_proto::jute::{Reader, Writer};
use rookeeper_proto::packet::from_learner::{ForwardedRequest, FromLearner};
use rookeeper_proto::password;
use rookeeper_proto::request::{self, ConnectRequest, Request};
use rookeeper_proto::response::ConnectResponse;
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_tree::auth::{AuthConfig, Identities};
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::{Tree, TreeOptions};
use rookeeper_tree::watches::WatchTable;

const NOW: Now = Now {
    mono: 0,
    wall: 1_000_000,
};
const TIMEOUTS: TimeoutBounds = TimeoutBounds {
    min_ms: 4000,
    max_ms: 40_000,
};
const LEARNER: LearnerId = LearnerId(1);

/// The one who orders, with the tree as it is there.
struct Leader {
    proposer: Proposer,
    tree: Tree,
    watches: WatchTable,
}

/// A learner, with its own tree.
struct Learner {
    id: LearnerId,
    forwarder: Forwarder,
    tree: Tree,
    watches: WatchTable,
    /// Replies by connection, in order.
    replies: Vec<(ConnId, Xid, i32)>,
    connected: Vec<(ConnId, ConnectResponse)>,
    closed: Vec<(ConnId, CloseReason)>,
    /// What is to be said to the leader.
    said: Vec<FromLearner>,
}

fn leader() -> Leader {
    let tree = Tree::new(TreeOptions::default());
    let config = ProposerConfig {
        server: ServerId(3),
        tick_ms: 2000,
        tick_interval_ms: 500,
        timeouts: TIMEOUTS,
        rules: Rules::default(),
        reaper: ReaperConfig::default(),
        hash_seed: 7,
    };
    Leader {
        proposer: Proposer::new(config, &tree, NOW),
        tree,
        watches: WatchTable::new(0),
    }
}

fn learner(number: u64) -> Learner {
    let tree = Tree::new(TreeOptions::default());
    Learner {
        id: LearnerId(number),
        forwarder: Forwarder::new(
            SessionIds::new(ServerId(number as i64), &tree, NOW),
            TIMEOUTS,
        ),
        tree,
        watches: WatchTable::new(0),
        replies: Vec::new(),
        connected: Vec::new(),
        closed: Vec::new(),
        said: Vec::new(),
    }
}

impl Leader {
    /// Orders what `from` forwarded, commits it at once, and returns the transactions.
    fn order(&mut self, from: LearnerId, request: ForwardedRequest) -> Vec<Entry> {
        let mut effects = Vec::new();
        self.proposer
            .forwarded(&self.tree, NOW, from, request, &mut effects);
        let entries: Vec<Entry> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Append { zxid, record } => Some(Entry {
                    zxid: *zxid,
                    txn: record.clone(),
                }),
                _ => None,
            })
            .collect();
        for entry in &entries {
            let mut effects = Vec::new();
            self.proposer.committed(NOW, entry.zxid, &mut effects);
            for effect in effects {
                if let Effect::Apply(committed) = effect {
                    let (auth, mut out) = (AuthConfig::default(), Deliveries::default());
                    let same = delivery::commit(
                        &committed,
                        &mut self.tree,
                        &mut self.watches,
                        &auth,
                        &mut out,
                    );
                    assert!(same, "the leader's digest");
                    assert!(out.list.is_empty(), "nobody here asked");
                }
            }
        }
        entries
    }
}

impl Learner {
    fn do_all(&mut self, effects: Vec<ForwarderEffect>) {
        for effect in effects {
            match effect {
                ForwarderEffect::Say(said) => self.said.push(said),
                ForwarderEffect::Here(Effect::Apply(committed)) => {
                    let (auth, mut out) = (AuthConfig::default(), Deliveries::default());
                    let (tree, watches) = (&mut self.tree, &mut self.watches);
                    assert!(
                        delivery::commit(&committed, tree, watches, &auth, &mut out),
                        "the learner's digest"
                    );
                    for delivery in &out.list {
                        if let Delivery::Reply { frames, conn, .. } = delivery {
                            let mut fields = Reader::new(&out.bytes[frames.start + 4..]);
                            let xid = Xid(fields.i32().unwrap());
                            fields.i64().unwrap();
                            self.replies.push((*conn, xid, fields.i32().unwrap()));
                        }
                    }
                }
                ForwarderEffect::Here(Effect::Connected { conn, response, .. }) => {
                    self.connected.push((conn, response));
                }
                ForwarderEffect::Here(Effect::Close { conn, why }) => self.closed.push((conn, why)),
                ForwarderEffect::Here(other) => panic!("{other:?}"),
            }
        }
    }

    fn connect(&mut self, conn: u32, session: SessionId, password: Vec<u8>) {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session,
            password,
            read_only: Some(false),
        };
        let mut effects = Vec::new();
        self.forwarder
            .connect(&self.tree, ConnId(conn), &request, &mut effects);
        self.do_all(effects);
    }

    fn write(&mut self, conn: u32, session: SessionId, xid: i32, op: OpCode, body: Vec<u8>) {
        let body = Bytes::from(body);
        let Ok(Request::Write(write)) = request::decode(op.code(), &body) else {
            panic!("no write");
        };
        let mut effects = Vec::new();
        let request = WriteRequest {
            conn: ConnId(conn),
            session,
            xid: Xid(xid),
            write,
            op: op.code(),
            body,
            identities: Arc::new(Identities::of_peer("127.0.0.1")),
            behind: Vec::new(),
        };
        self.forwarder.write(request, &mut effects);
        self.do_all(effects);
    }

    fn commit(&mut self, entries: &[Entry]) {
        for entry in entries {
            let mut effects = Vec::new();
            assert!(self.forwarder.committed(entry, &mut effects).is_ok());
            self.do_all(effects);
        }
    }

    /// Everything it said goes to the leader, and what is committed comes back to all `learners`.
    fn requests(&mut self) -> Vec<ForwardedRequest> {
        let mut requests = Vec::new();
        self.said.retain(|said| match said {
            FromLearner::Request(request) => {
                requests.push(request.clone());
                false
            }
            _ => true,
        });
        requests
    }

    fn open_session(&mut self, leader: &mut Leader, conn: u32) -> SessionId {
        self.connect(conn, SessionId::NONE, Vec::new());
        for request in self.requests() {
            let entries = leader.order(self.id, request);
            self.commit(&entries);
        }
        match self.connected.pop() {
            Some((to, ConnectResponse::Accepted { session, .. })) if to == ConnId(conn) => session,
            other => panic!("{other:?}"),
        }
    }
}

fn create(path: &str, flags: i32) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_string(path);
    body.put_buffer(Some(b"data"));
    body.put_count(1);
    body.put_i32(31);
    body.put_string("world");
    body.put_string("anyone");
    body.put_i32(flags);
    body
}

fn delete(path: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_string(path);
    body.put_i32(-1);
    body
}

#[test]
fn requests_come_back_as_commits_and_are_answered_in_their_order() {
    let (mut leader, mut learner) = (leader(), learner(1));
    let session = learner.open_session(&mut leader, 1);
    assert_eq!(session.0 >> 56, 1, "the learner's own id on top");
    learner.write(1, session, 1, OpCode::Create, create("/a", 0));
    learner.write(1, session, 2, OpCode::Create2, create("/a", 0));
    learner.write(1, session, 3, OpCode::Create2, create("/e", 1));
    learner.write(1, session, 4, OpCode::Delete, delete("/a"));
    assert_eq!(learner.forwarder.in_flight(), 4);
    for request in learner.requests() {
        assert_eq!(
            request.identities.as_ref().map(|ids| ids[0].scheme.clone()),
            Some("ip".to_owned())
        );
        let entries = leader.order(LEARNER, request);
        learner.commit(&entries);
    }
    let exists = ErrorCode::NodeExists.code();
    let one = ConnId(1);
    let expected = [
        (one, Xid(1), 0),
        (one, Xid(2), exists),
        (one, Xid(3), 0),
        (one, Xid(4), 0),
    ];
    assert_eq!(learner.replies, expected);
    assert_eq!(learner.forwarder.in_flight(), 0);
    assert_eq!(learner.tree.digest(), leader.tree.digest());
    assert_eq!(learner.tree.ephemeral_count(), 1);

    // Its end removes the ephemeral everywhere, and closes the connection after the reply.
    learner.write(1, session, 5, OpCode::CloseSession, Vec::new());
    for request in learner.requests() {
        let entries = leader.order(LEARNER, request);
        learner.commit(&entries);
    }
    assert_eq!(learner.replies.last(), Some(&(one, Xid(5), 0)));
    assert_eq!(learner.closed, [(one, CloseReason::SessionClosed(session))]);
    assert_eq!(learner.tree.ephemeral_count(), 0);
    assert_eq!(learner.tree.digest(), leader.tree.digest());
}

#[test]
fn only_the_oldest_request_is_answered_by_a_commit() {
    let (mut leader, mut one, mut two) = (leader(), learner(1), learner(2));
    let session = one.open_session(&mut leader, 1);
    one.write(1, session, 7, OpCode::Create, create("/first", 0));
    one.write(1, session, 8, OpCode::Create, create("/second", 0));
    let mut requests = one.requests();
    // The second arrives alone, as if the first had been lost with a leader: nobody is told of it out of turn.
    let entries = leader.order(one.id, requests.remove(1));
    one.commit(&entries);
    assert!(one.replies.is_empty());
    assert_eq!(one.forwarder.in_flight(), 2);

    // The same transaction at another server is no request of its.
    two.commit(&entries);
    assert!(two.replies.is_empty() && two.tree.get("/second").is_some());
}

#[test]
fn a_session_moves_between_learners_and_its_old_place_is_refused() {
    let (mut leader, mut one, mut two) = (leader(), learner(1), learner(2));
    let session = one.open_session(&mut leader, 1);

    // A wrong password is answered here; a right one asks the leader.
    two.connect(5, session, vec![0; 16]);
    assert_eq!(
        two.connected.pop(),
        Some((ConnId(5), ConnectResponse::Refused))
    );
    assert!(two.said.is_empty());
    two.connect(6, session, password::password(session).to_vec());
    assert!(matches!(
        two.said.pop(),
        Some(FromLearner::Revalidate { session: asked, timeout_ms: 10_000 }) if asked == session
    ));
    let mut effects = Vec::new();
    let valid = leader
        .proposer
        .revalidate(NOW, two.id, (session, 10_000), &mut effects);
    assert!(valid && effects.is_empty());
    let mut effects = Vec::new();
    two.forwarder.revalidated(session, valid, &mut effects);
    two.do_all(effects);
    assert!(matches!(
        two.connected.pop(),
        Some((ConnId(6), ConnectResponse::Accepted { .. }))
    ));

    // What comes by the old place is refused, and the refusal is a transaction. It is a fault of the connection and no answer to the
    // request: the client must come again, to wherever it wants its session (ZOOKEEPER-710).
    one.write(1, session, 3, OpCode::Create, create("/late", 0));
    for request in one.requests() {
        let entries = leader.order(one.id, request);
        one.commit(&entries);
        two.commit(&entries);
    }
    assert!(one.replies.is_empty() && two.replies.is_empty());
    let why = CloseReason::Reattached(session);
    assert_eq!(one.closed, [(ConnId(1), why)]);

    // A session that is unknown to the leader is refused to its client.
    let ended = SessionId(0x0200_0000_0000_0007);
    two.connect(7, ended, password::password(ended).to_vec());
    let valid = leader
        .proposer
        .revalidate(NOW, two.id, (ended, 10_000), &mut Vec::new());
    let mut effects = Vec::new();
    two.forwarder.revalidated(ended, valid, &mut effects);
    two.do_all(effects);
    assert_eq!(
        two.connected.pop(),
        Some((ConnId(7), ConnectResponse::Refused))
    );
}

#[test]
fn a_ping_tells_the_sessions_that_were_alive_once() {
    let (mut leader, mut learner) = (leader(), learner(1));
    let session = learner.open_session(&mut leader, 1);
    let touched = |learner: &mut Learner| match learner.forwarder.ping(Zxid(9)) {
        FromLearner::Ping { zxid, touched } => {
            assert_eq!(zxid, Zxid(9));
            touched
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        touched(&mut learner),
        [(session, 10_000)],
        "it has just begun"
    );
    assert_eq!(touched(&mut learner), []);
    learner.forwarder.heard([session, SessionId(99)]);
    assert_eq!(touched(&mut learner), [(session, 10_000)]);
    learner.forwarder.disconnected(ConnId(1));
    learner.forwarder.heard([session]);
    assert_eq!(touched(&mut learner), [], "it is not here any more");
}

#[test]
fn what_no_client_may_ask_for_and_what_cannot_be_read_become_errors_of_their_own() {
    let mut leader = leader();
    let request = |op: i32, body: &'static [u8]| ForwardedRequest {
        session: SessionId(0),
        cxid: 0,
        op,
        body: Bytes::from_static(body),
        identities: None,
    };
    for (op, body) in [
        (OpCode::Check.code(), &b"\0\0\0\x02/a\0\0\0\0"[..]),
        (OpCode::CreateSession.code(), b"\0"),
        (OpCode::Create.code(), b"\0"),
        (12_345, b""),
    ] {
        let before = leader.tree.last_zxid();
        let entries = leader.order(LEARNER, request(op, body));
        assert_eq!(
            entries.len(),
            1,
            "{op}: the learner waits for a transaction"
        );
        assert_eq!(leader.tree.last_zxid(), before.next());
        assert_eq!(
            leader.tree.node_count(),
            Tree::new(TreeOptions::default()).node_count()
        );
    }
}
