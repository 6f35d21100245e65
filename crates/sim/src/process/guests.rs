//! The client connections of a process: each is a conversation of its own, which reads the tree between the turns of the member.
//!
//! Invariant: events and replies reach a client in the order in which they were made.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::ops::DerefMut;

use bytes::Bytes;
use rookeeper_node::conversation::Conversation;
use rookeeper_node::delivery::{self, Deliveries, Delivery};
use rookeeper_node::effect::{Effect, Notice};
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::{ConnId, Input};
use rookeeper_node::reads::{View, WatchGate};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::password;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response::{self, ConnectResponse};
use rookeeper_tree::auth::AuthConfig;
use rookeeper_tree::watches::{WatchTable, WatcherId};

use super::{Process, frames, now};
use crate::boundary::{Boundary, mutated};
use crate::checks::Seen;
use crate::network::{Cargo, LinkId};
use crate::scene::Scene;

/// Reads that are served in one go.
const READS: usize = 64;
/// Bytes of replies beyond which no more reads are served in one go.
const BUDGET: usize = 1 << 20;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Guest {
    link: LinkId,
    talk: Conversation,
    out: Vec<u8>,
    /// Frames that are not read while the talk is interrupted.
    unread: VecDeque<Bytes>,
    /// Events of what was applied without a leader, and may come to nothing.
    held: Vec<u8>,
    /// What it was promised, ms, and the last zxid it was told.
    timeout_ms: i32,
    told: Zxid,
    /// Nothing more is taken; it is closed when all is written.
    leaving: bool,
}

impl Guest {
    fn dismiss(&mut self) {
        self.talk.deafen();
        self.leaving = true;
    }

    /// An event is for its client.
    fn hear(&mut self, event: &[u8]) {
        let held = self.talk.is_interrupted() && !mutated(Boundary::EventsBeforeTheLeader);
        let out = if held { &mut self.held } else { &mut self.out };
        out.extend_from_slice(event);
    }

    /// What its client would say that comes back to its session.
    fn renewal(&self) -> Option<ConnectRequest> {
        let session = self.talk.session()?;
        Some(ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.told,
            timeout_ms: self.timeout_ms,
            session,
            password: password::password(session).to_vec(),
            read_only: None,
        })
    }
}

/// The watches while somebody reads.
struct Gate<'a>(RefCell<&'a mut WatchTable>);

impl WatchGate for Gate<'_> {
    fn open(&self) -> impl DerefMut<Target = WatchTable> {
        RefMut::map(self.0.borrow_mut(), |table| &mut **table)
    }
}

impl Process {
    pub(super) fn hear_guest(&mut self, link: LinkId, cargo: Cargo, scene: &mut Scene) {
        match cargo {
            Cargo::Hello => {
                let conn = ConnId(self.next_conn);
                self.next_conn += 1;
                let mut talk = Conversation::new(conn, "127.0.0.1".to_owned());
                if !mutated(Boundary::SyncNotOrdered) {
                    talk.order_syncs();
                }
                self.guests.insert(
                    conn,
                    Guest {
                        link,
                        talk,
                        out: Vec::new(),
                        unread: VecDeque::new(),
                        held: Vec::new(),
                        timeout_ms: 0,
                        told: Zxid::ZERO,
                        leaving: false,
                    },
                );
            }
            Cargo::Bytes(frame) => {
                let Some(conn) = self.conn_of(link) else {
                    return;
                };
                self.receive(conn, frame, scene);
                self.serve_guests(scene);
            }
            Cargo::Closed => {
                if let Some(conn) = self.conn_of(link) {
                    self.guests.remove(&conn);
                    self.part_from(conn, scene);
                }
            }
            _ => {}
        }
    }

    fn conn_of(&self, link: LinkId) -> Option<ConnId> {
        let guest = self.guests.iter().find(|(_, guest)| guest.link == link);
        guest.map(|(conn, _)| *conn)
    }

    fn receive(&mut self, conn: ConnId, frame: Bytes, scene: &mut Scene) {
        let at = now(self.clocks, scene.now).mono;
        let Some(guest) = self.guests.get_mut(&conn) else {
            return;
        };
        if guest.talk.is_interrupted() {
            guest.unread.push_back(frame);
            return;
        }
        if let Some(session) = guest.talk.session() {
            self.heard.insert(session, at);
        }
        let auth = AuthConfig::default();
        match guest.talk.receive(&auth, at, frame, &mut guest.out) {
            Ok(None) => {}
            Ok(Some(input)) => {
                self.put(MemberInput::Local(input), scene);
            }
            Err(fault) => {
                guest.leaving = true;
                scene.wrong(format!("a client made a fault: {fault}"));
            }
        }
    }

    fn part_from(&mut self, conn: ConnId, scene: &mut Scene) {
        self.watches.remove_watcher(WatcherId(conn.0));
        self.put(MemberInput::Local(Input::Disconnected(conn)), scene);
    }

    /// Lets every connection go on as far as it can, and writes out what there is.
    pub(super) fn serve_guests(&mut self, scene: &mut Scene) {
        let conns: Vec<ConnId> = self.guests.keys().copied().collect();
        let mut submitted = Vec::new();
        let now = now(self.clocks, scene.now).mono;
        let fresh = now < self.member.fresh_until(now) || mutated(Boundary::StaleReads);
        if !fresh && self.serves {
            scene.count("reads that wait for contact");
        }
        for conn in conns {
            self.go_on(conn, fresh, &mut submitted);
            self.write_to(conn, scene);
        }
        for input in submitted {
            self.put(MemberInput::Local(input), scene);
        }
    }

    fn go_on(&mut self, conn: ConnId, fresh: bool, submitted: &mut Vec<Input>) {
        let Some(guest) = self.guests.get_mut(&conn) else {
            return;
        };
        loop {
            guest.talk.submit_writes(submitted);
            if !fresh || !guest.talk.wants_to_read() {
                return;
            }
            let auth = AuthConfig::default();
            let gate = Gate(RefCell::new(&mut self.watches));
            let view = View {
                tree: &self.tree,
                watches: &gate,
                auth: &auth,
            };
            let budget = (READS, BUDGET);
            guest.told = self.tree.last_zxid();
            if guest
                .talk
                .serve_reads(&view, budget, &mut guest.out, |_| {})
                .is_err()
            {
                guest.leaving = true;
                return;
            }
        }
    }

    fn write_to(&mut self, conn: ConnId, scene: &mut Scene) {
        let end = self.end();
        let Some(guest) = self.guests.get_mut(&conn) else {
            return;
        };
        if !guest.out.is_empty() {
            scene.send(guest.link, end, frames(&guest.out));
            guest.out.clear();
        }
        if guest.leaving {
            scene.close(guest.link, end);
            self.guests.remove(&conn);
            self.part_from(conn, scene);
        }
    }

    // Between two leaders.

    /// Clients are served no longer; those that nothing is in flight for wait.
    pub(super) fn interrupt_guests(&mut self, scene: &mut Scene) {
        let mut waiting = Vec::new();
        for (conn, guest) in &mut self.guests {
            if guest.talk.session().is_some() && guest.talk.interrupt() {
                waiting.push(*conn);
            } else {
                guest.dismiss();
            }
        }
        self.kept.begin(now(self.clocks, scene.now).mono, waiting);
        self.serve_guests(scene);
    }

    pub(super) fn dismiss_guests(
        &mut self,
        conns: impl IntoIterator<Item = ConnId>,
        scene: &mut Scene,
    ) {
        for conn in conns {
            if let Some(guest) = self.guests.get_mut(&conn) {
                guest.dismiss();
            }
            self.write_to(conn, scene);
        }
    }

    /// Clients that waited go on.
    pub(super) fn greet_guests(&mut self, scene: &mut Scene) {
        let guests = &self.guests;
        let requests = self.kept.resume(|conn| guests.get(&conn)?.renewal());
        for (conn, request) in requests {
            self.put(MemberInput::Local(Input::Connect { conn, request }), scene);
        }
    }

    /// Keeps who connects while there is no leader; gives back what is for the member.
    pub(super) fn keep_back(&mut self, input: MemberInput) -> Option<MemberInput> {
        let MemberInput::Local(input) = input else {
            return Some(input);
        };
        let input = match input {
            Input::Connect { conn, request } if !self.member.is_serving() => {
                let request = self.kept.connect(conn, request)?;
                Input::Connect { conn, request }
            }
            Input::Disconnected(conn) => {
                self.kept.forget(conn);
                input
            }
            input => input,
        };
        Some(MemberInput::Local(input))
    }

    /// The session of a client that waited goes on, or does not.
    fn went_on(&mut self, conn: ConnId, response: &ConnectResponse, scene: &mut Scene) {
        let Some(guest) = self.guests.get_mut(&conn) else {
            return;
        };
        let ConnectResponse::Accepted { session, .. } = *response else {
            guest.dismiss();
            return;
        };
        let server = self.who.server;
        scene.see(&Seen::Accepted {
            server,
            session,
            tree: &self.tree,
        });
        scene.count("sessions kept through elections");
        guest.talk.resume();
        guest.out.append(&mut guest.held);
        for frame in std::mem::take(&mut guest.unread) {
            self.receive(conn, frame, scene);
        }
    }

    // What the member has for them.

    pub(super) fn tell_guests(&mut self, effect: Effect, scene: &mut Scene) {
        match effect {
            Effect::Connected {
                conn,
                response,
                read_only,
            } => self.connected(conn, response, read_only, scene),
            Effect::Refuse {
                to,
                session,
                zxid,
                code,
            } => {
                scene.count("writes refused");
                let mut out = Vec::new();
                response::reply_header(&mut out, to.xid, zxid, code);
                let count = 1 + to.behind.len();
                self.read_for(conn_and(session, to.conn), &to.behind, &mut out);
                self.reply(to.conn, &out, count);
            }
            Effect::Answer {
                conn,
                session,
                reads,
            } => {
                let mut out = Vec::new();
                self.read_for(conn_and(session, conn), &reads, &mut out);
                self.reply(conn, &out, reads.len());
            }
            Effect::Close { conn, why } => {
                scene.tell(|| format!("server {} closes a client: {why:?}", self.who.server));
                if let Some(guest) = self.guests.get_mut(&conn) {
                    guest.dismiss();
                }
            }
            Effect::Notice(Notice::Expiring { session, .. }) => {
                scene.count("sessions expired");
                scene.tell(|| format!("server {} expires {session}", self.who.server));
            }
            // Appending and applying are not a guest's matter.
            Effect::Notice(_) | Effect::Append { .. } | Effect::Apply(_) => {}
        }
    }

    fn read_for(
        &mut self,
        who: (SessionId, ConnId),
        reads: &[rookeeper_node::input::ReadBehind],
        out: &mut Vec<u8>,
    ) {
        let auth = AuthConfig::default();
        let gate = Gate(RefCell::new(&mut self.watches));
        let view = View {
            tree: &self.tree,
            watches: &gate,
            auth: &auth,
        };
        delivery::serve_reads(&view, who, reads, out);
    }

    fn connected(
        &mut self,
        conn: ConnId,
        response: ConnectResponse,
        read_only: Option<bool>,
        scene: &mut Scene,
    ) {
        if self.kept.went_on(conn) {
            self.went_on(conn, &response, scene);
            return;
        }
        let Some(guest) = self.guests.get_mut(&conn) else {
            return;
        };
        response.encode(read_only, &mut guest.out);
        match response {
            ConnectResponse::Accepted {
                session,
                timeout_ms,
            } => {
                guest.talk.open(session);
                guest.timeout_ms = timeout_ms;
                let server = self.who.server;
                scene.see(&Seen::Accepted {
                    server,
                    session,
                    tree: &self.tree,
                });
            }
            ConnectResponse::Refused => guest.leaving = true,
        }
    }

    fn reply(&mut self, conn: ConnId, bytes: &[u8], count: usize) {
        // Nothing reaches a client behind the end of its connection.
        if let Some(guest) = self.guests.get_mut(&conn).filter(|guest| !guest.leaving) {
            guest.told = self.tree.last_zxid();
            guest.out.extend_from_slice(bytes);
            guest.talk.completed(count, |_| {});
        }
    }

    /// Copies frames to connections: events first, then the reply, as they are in the list.
    pub(super) fn deliver(&mut self, out: &Deliveries, scene: &mut Scene) {
        let mut list: Vec<&Delivery> = out.list.iter().collect();
        if mutated(Boundary::EventsBehindReplies) {
            list.reverse();
        }
        for delivery in list {
            match delivery {
                Delivery::Event {
                    frame, watchers, ..
                } => {
                    if mutated(Boundary::EventLost) && scene.dice.permille(100) {
                        continue;
                    }
                    let bytes = out.bytes.get(frame.clone()).unwrap_or_default();
                    for watcher in watchers {
                        if let Some(guest) = self.guests.get_mut(&ConnId(watcher.0)) {
                            guest.hear(bytes);
                        }
                    }
                }
                Delivery::Reply {
                    frames,
                    count,
                    conn,
                    ..
                } => {
                    let bytes = out.bytes.get(frames.clone()).unwrap_or_default();
                    self.reply(*conn, bytes, *count);
                }
            }
        }
    }
}

const fn conn_and(session: SessionId, conn: ConnId) -> (SessionId, ConnId) {
    (session, conn)
}
