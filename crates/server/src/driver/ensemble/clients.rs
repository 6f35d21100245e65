//! The clients of this server between two leaders.
//!
//! What lives here: telling connections what [`Kept`] decides, and asking on behalf of those who are kept. What does not: who is kept,
//! and for how long ([`rookeeper_node::kept`]), and what a connection does meanwhile ([`crate::client_conn`]).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rookeeper_node::effect::CloseReason;
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::{ConnId, Input};
use rookeeper_node::kept::Kept;
use rookeeper_proto::password;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response::ConnectResponse;
use tracing::info;

use crate::connections::Connection;
use crate::driver::{Driver, Turn};
use crate::mailbox::Ending;

impl Driver {
    /// Lets everybody wait.
    pub(super) fn serve_no_longer(&mut self) {
        info!("serving nobody until there is a leader");
        let mut with_session = Vec::new();
        for (conn, connection) in self.connections.open().iter() {
            if connection.mailbox.session().is_some() {
                connection.mailbox.interrupt();
                with_session.push(*conn);
            } else {
                end(connection);
            }
        }
        let now = self.clock.mono();
        self.with_kept(|kept| kept.begin(now, with_session));
    }

    /// Ends the waiting when it has been too long.
    pub(in crate::driver) fn give_clients_up(&mut self) {
        let now = self.clock.mono();
        let overdue = self.with_kept(|kept| kept.overdue(now));
        self.end_all(overdue);
    }

    /// Ends those who have seen a history that is not carried on.
    pub(in crate::driver) fn part_from_clients_of_the_past(&mut self) {
        let connections = self.with_kept(Kept::history_replaced);
        self.end_all(connections);
    }

    fn with_kept<T: Default>(&mut self, act: impl FnOnce(&mut Kept) -> T) -> T {
        let ensemble = self.ensemble();
        ensemble.map_or_else(T::default, |ensemble| act(&mut ensemble.kept))
    }

    fn end_all(&self, connections: impl IntoIterator<Item = ConnId>) {
        let open = self.connections.open();
        let ended = connections.into_iter().filter_map(|conn| open.get(&conn));
        ended.for_each(end);
    }

    /// This server has nothing for clients: it leads, and others serve.
    pub(super) fn turn_away(&self, conn: ConnId) {
        if let Some(connection) = self.connections.open().get(&conn) {
            end(connection);
        }
    }

    /// Goes on with those who waited.
    pub(super) fn serve_again(&mut self, turn: &mut Turn) {
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        ensemble.refusals = 0;
        if ensemble.leads && !ensemble.leader_serves {
            info!("leading, and serving no clients");
            let all = ensemble.kept.give_up();
            self.end_all(all);
            return;
        }
        let connections = Arc::clone(&self.connections);
        let open = connections.open();
        let requests = self.with_kept(|kept| kept.resume(|conn| renewal(open.get(&conn)?)));
        drop(open);
        let inputs = requests
            .into_iter()
            .map(|(conn, request)| MemberInput::Local(Input::Connect { conn, request }));
        if self.gauges.disk_full.load(Ordering::Relaxed) {
            // It is told of changes only, and this one came before it led.
            let full = MemberInput::Local(Input::DiskFull(true));
            turn.answers.push_back(full);
        }
        turn.answers.extend(inputs);
        info!("serving clients");
    }

    /// True when the answer is about a session that goes on: its client has not asked, and is not told.
    pub(in crate::driver) fn went_on(&mut self, conn: ConnId, response: &ConnectResponse) -> bool {
        if !self.with_kept(|kept| kept.went_on(conn)) {
            return false;
        }
        if let Some(connection) = self.connections.open().get(&conn) {
            match response {
                ConnectResponse::Accepted { .. } => connection.mailbox.resume(),
                // It comes again, and is told why.
                ConnectResponse::Refused => end(connection),
            }
        }
        true
    }
}

fn end(connection: &Connection) {
    let why = Ending::Member(CloseReason::NotServing);
    connection.mailbox.end(why);
}

/// What a client would say that comes back to its session.
fn renewal(connection: &Connection) -> Option<ConnectRequest> {
    let session = connection.mailbox.session()?;
    Some(ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: connection.talk.last.lock().zxid,
        timeout_ms: connection.talk.timeout_ms.load(Ordering::Relaxed),
        session,
        password: password::password(session).to_vec(),
        read_only: None,
    })
}
