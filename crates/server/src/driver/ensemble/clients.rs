//! What clients see of an election: as little as possible.
//!
//! What lives here: which connections outlive the loss of a leader, and how their sessions go on with the next one. What does not:
//! whether a session lives (the leader), and what a connection does meanwhile ([`crate::client_conn`]).
//!
//! A connection with nothing in flight waits, and so does a client that connects, for a moment at most (`GRACE`). When there is a leader
//! again each session is opened anew on behalf of its client, by the same way as any other: the leader says whether it lives, and
//! on which server it goes on. A connection with something in flight ends, because nobody knows what became of it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rookeeper_node::effect::CloseReason;
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::{ConnId, Input};
use rookeeper_proto::password;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response::ConnectResponse;
use tracing::info;

use crate::connections::Connection;
use crate::driver::{Driver, Turn};
use crate::mailbox::Ending;

/// How long clients are kept without a leader. A client of the shortest usual session waits longer for an answer; and where there is
/// no quorum, clients should soon try other servers.
const GRACE: Duration = Duration::from_secs(2);
/// Clients that may wait for their session.
const MAX_WAITING: usize = 10_000;

/// Clients between two leaders.
#[derive(Debug, Default)]
pub struct Kept {
    /// Since when there is no leader, while that is not too long.
    since: Option<Instant>,
    /// Their sessions go on.
    connections: BTreeSet<ConnId>,
    /// They want a session.
    waiting: Vec<(ConnId, ConnectRequest)>,
}

impl Kept {
    /// Keeps a client that connects, if there is hope; gives the request back if there is not.
    pub(super) fn keep(&mut self, conn: ConnId, request: ConnectRequest) -> Option<Input> {
        if self.since.is_none() || self.waiting.len() >= MAX_WAITING {
            return Some(Input::Connect { conn, request });
        }
        self.waiting.push((conn, request));
        None
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
        self.waiting.retain(|(waiting, _)| *waiting != conn);
    }
}

impl Driver {
    /// Lets everybody wait.
    pub(super) fn serve_no_longer(&mut self) {
        info!("serving nobody until there is a leader");
        let mut kept = Kept {
            since: Some(Instant::now()),
            ..Kept::default()
        };
        for (conn, connection) in self.connections.open().iter() {
            if connection.mailbox.session().is_some() {
                connection.mailbox.interrupt();
                kept.connections.insert(*conn);
            } else {
                end(connection);
            }
        }
        if let Some(ensemble) = self.ensemble() {
            ensemble.kept = kept;
        }
    }

    /// Ends the waiting when it has been too long.
    pub(in crate::driver) fn give_clients_up(&mut self) {
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        if ensemble
            .kept
            .since
            .is_none_or(|since| since.elapsed() < GRACE)
        {
            return;
        }
        let Kept {
            connections,
            waiting,
            ..
        } = std::mem::take(&mut ensemble.kept);
        let open = self.connections.open();
        let waiting = waiting.iter().map(|(conn, _)| conn);
        waiting
            .chain(&connections)
            .filter_map(|conn| open.get(conn))
            .for_each(end);
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
        ensemble.kept.since = None;
        ensemble.refusals = 0;
        if ensemble.leads && !ensemble.leader_serves {
            info!("leading, and serving no clients");
            let kept = std::mem::take(&mut ensemble.kept);
            let waiting = kept.waiting.iter().map(|(conn, _)| conn);
            waiting
                .chain(&kept.connections)
                .for_each(|conn| self.turn_away(*conn));
            return;
        }
        let connections = ensemble.kept.connections.clone();
        let mut requests = std::mem::take(&mut ensemble.kept.waiting);
        let open = self.connections.open();
        let again = |conn: &ConnId| Some((*conn, renewal(open.get(conn)?)?));
        requests.extend(connections.iter().filter_map(again));
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
        let kept = self
            .ensemble()
            .map(|ensemble| &mut ensemble.kept.connections);
        if !kept.is_some_and(|kept| kept.remove(&conn)) {
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
