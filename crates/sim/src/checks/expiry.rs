//! A session that is over is over everywhere; and none ends before its time, or because of what only servers know.

use std::collections::BTreeMap;

use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::SessionId;

use super::{Check, Ledger, Seen};
use crate::agenda::{MS, Time};
use crate::plan::{SYNC_LIMIT, TICK_MS};
use crate::workload::ask::Ask;

/// A server may answer a client for so long while its leader does not hear of it any more.
const SLACK: Time = (SYNC_LIMIT + 3) * TICK_MS * MS;

#[derive(Debug)]
struct Life {
    timeout: Time,
    /// When the client last asked something that was answered.
    alive: Time,
    /// It had been silent for so long that it may end all the same, until then.
    excused: Time,
    /// The client wants it to end.
    closing: bool,
}

impl Life {
    fn speaks(&mut self, at: Time) {
        if at - self.alive + SLACK >= self.timeout {
            self.excused = at + SLACK;
        }
        self.alive = self.alive.max(at);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Expiry {
    sessions: BTreeMap<SessionId, Life>,
}

impl Check for Expiry {
    fn see(&mut self, now: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Attached {
                session,
                timeout_ms,
            } if ledger.ended(*session).is_none() => {
                let life = self.sessions.entry(*session).or_insert(Life {
                    timeout: 0,
                    alive: now,
                    excused: 0,
                    closing: false,
                });
                life.timeout = Time::from(*timeout_ms) * MS;
            }
            Seen::Asked { of, ask } => {
                if let (Some(life), Ask::Close) = (self.sessions.get_mut(&of.session), ask) {
                    life.closing = true;
                }
            }
            // Who has an old leader keeps nobody alive.
            Seen::Answered {
                of, asked, server, ..
            } if ledger.is_current(*server) => {
                if let Some(life) = self.sessions.get_mut(&of.session) {
                    life.speaks(*asked);
                }
            }
            Seen::Accepted {
                server,
                session,
                tree,
            } if ledger
                .ended(*session)
                .is_some_and(|ended| tree.last_zxid() >= ended) =>
            {
                return Err(format!(
                    "server {server} gives session {session} to a client, and has seen its end"
                ));
            }
            Seen::Applied {
                header,
                committed: true,
                ..
            } if header.kind == OpCode::CloseSession.code()
                && ledger.fresh().contains(&header.zxid) =>
            {
                return self.ends(now, header.session);
            }
            Seen::Settled { server, tree } => {
                for (session, _) in tree.sessions() {
                    if ledger.ended(session).is_some() {
                        return Err(format!(
                            "server {server} still knows session {session}, which ended"
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Expiry {
    fn ends(&mut self, now: Time, session: SessionId) -> Result<(), String> {
        let Some(life) = self.sessions.remove(&session) else {
            return Ok(());
        };
        let silent = now - life.alive;
        if life.closing || now <= life.excused || silent + SLACK >= life.timeout {
            return Ok(());
        }
        Err(format!(
            "session {session} expired after {} ms of silence, its timeout is {} ms",
            silent / MS,
            life.timeout / MS
        ))
    }
}
