//! What a server says, and what follows for the session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{Xid, Zxid};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::reply::{self, ConnectReply, ReplyHeader, WatcherEvent};

use super::{
    AUTH_XID, Effect, Identity, Moment, Phase, Reply, SET_WATCHES_XID, Session, UNKNOWN_OPERATION,
    WatchId, WatchKind,
};
use crate::error::{Disconnection, Error};
use crate::state::State;
use crate::watch::Event;

impl<C> Session<C> {
    /// A frame came, its length cut off.
    pub(crate) fn received(&mut self, now: Moment, frame: Bytes) {
        if self.given_up {
            return;
        }
        self.heart.heard(now);
        let heard = match self.phase {
            Phase::Greeting => self.greeted(now, &frame),
            Phase::Proving | Phase::Online => self.heard(now, &frame),
            Phase::Offline | Phase::Over => Ok(()),
        };
        if let Err(why) = heard {
            self.given_up = true;
            self.effects.push(Effect::HangUp(why));
        }
    }

    fn greeted(&mut self, now: Moment, frame: &Bytes) -> Result<(), Disconnection> {
        let ConnectReply::Accepted {
            session,
            password,
            timeout_ms,
            read_only,
        } = ConnectReply::decode(frame)?
        else {
            self.finish(State::Expired, Error::SessionExpired);
            return Err(Disconnection::Over);
        };
        self.identity = Some(Identity {
            session,
            password,
            local: read_only && self.identity.as_ref().is_none_or(|known| known.local),
        });
        let timeout = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        self.heart.negotiated(timeout);
        let state = if read_only {
            State::ReadOnly
        } else {
            State::Connected
        };
        if self.settings.sasl {
            self.phase = Phase::Proving;
            self.effects.push(Effect::Challenge(None));
        } else {
            self.begin(now);
        }
        self.go(state);
        Ok(())
    }

    fn heard(&mut self, now: Moment, frame: &Bytes) -> Result<(), Disconnection> {
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader)?;
        match header.xid {
            Xid::EVENT => self.event(header.zxid, WatcherEvent::decode(&mut reader)?),
            Xid::PING => {
                self.heart.ponged();
                self.see(header.zxid);
            }
            AUTH_XID => return self.auth_answered(header),
            SET_WATCHES_XID => return self.watches_answered(header),
            _ => return self.answered(now, header, frame),
        }
        Ok(())
    }

    /// The server has everything up to `zxid`, and has told of it: unless watches are still being registered again.
    fn see(&mut self, zxid: Zxid) {
        self.last_zxid = self.last_zxid.max(zxid);
        if self.restoring == 0 {
            self.told_zxid = self.told_zxid.max(zxid);
        }
    }

    /// Of one transaction there may be several events: this one does not say that all of them were told.
    fn event(&mut self, zxid: Zxid, event: WatcherEvent) {
        self.last_zxid = self.last_zxid.max(zxid);
        self.mixing.learn(zxid);
        let (kind, path) = (event.kind, event.path);
        for id in self.watches.fire(kind, &path) {
            let path = path.clone();
            let event = Event { kind, path, zxid };
            self.effects.push(Effect::Event(id, event));
        }
        self.imply(zxid, kind, &path);
    }

    fn auth_answered(&mut self, header: ReplyHeader) -> Result<(), Disconnection> {
        self.heart.answered(self.begun);
        let call = self.proofs.pop_front().flatten();
        let failed = header.err != ErrorCode::Ok.code();
        if let Some(call) = call {
            let answer = if failed {
                Err(Error::AuthFailed)
            } else {
                Ok(Reply::empty())
            };
            self.answer(call, answer);
        }
        if failed {
            self.finish(State::AuthFailed, Error::AuthFailed);
            return Err(Disconnection::Over);
        }
        Ok(())
    }

    fn watches_answered(&mut self, header: ReplyHeader) -> Result<(), Disconnection> {
        self.heart.answered(self.begun);
        if header.err == ErrorCode::Unimplemented.code() {
            // Not again: the server would close every connection.
            self.lacks.learn(OpCode::SetWatches2);
            self.end_persistent_watches();
            return Ok(());
        }
        self.restoring = self.restoring.saturating_sub(1);
        self.see(header.zxid);
        if self.restoring == 0 && std::mem::take(&mut self.interrupted) {
            for (id, kind) in self.watches.ids() {
                if !kind.is_once() {
                    self.effects.push(Effect::Restored(id));
                }
            }
        }
        Ok(())
    }

    fn answered(
        &mut self,
        now: Moment,
        header: ReplyHeader,
        frame: &Bytes,
    ) -> Result<(), Disconnection> {
        let overtakes = header.err == ErrorCode::Unimplemented.code()
            || header.err == ErrorCode::SessionClosedRequireAuth.code();
        let Some(flown) = self.flight.land(header.xid, overtakes) else {
            return Err(Disconnection::OutOfOrder);
        };
        self.heart.answered(flown.sent);
        self.see(header.zxid);
        let body = frame.slice(ReplyHeader::LEN.min(frame.len())..);
        match flown.op {
            OpCode::Sasl => return self.sasl_answered(now, header, &body),
            OpCode::CheckWatches => self.manner_answered(now, header.err),
            OpCode::AddWatch if flown.watch.is_none() => self.mended(header.err),
            _ => {}
        }
        if let Some((id, kind, path)) = &flown.watch {
            self.watches.arrived(path);
            let placed = self.place_watch(header.err, *id, *kind, path);
            if flown.call.is_none() || flown.unwanted {
                self.unwatch(now, *id);
            }
            if let Some(kind) = placed {
                self.mix(now, path, kind);
            }
        }
        if let Some((path, kind)) = flown.removes.as_ref().filter(|_| header.err == 0) {
            self.forget_watches(now, path, *kind);
        }
        let reply =
            if header.err == ErrorCode::Unimplemented.code() && header.zxid == UNKNOWN_OPERATION {
                self.lacks.learn(flown.op);
                Err(Error::Unsupported(flown.op))
            } else if header.err == ErrorCode::SessionExpired.code() {
                // A server may know it before the connection ends.
                Err(Error::SessionExpired)
            } else {
                Ok(Reply {
                    err: header.err,
                    body,
                })
            };
        if flown.op == OpCode::CloseSession {
            self.finish(State::Closed, Error::Closed);
            self.effects.push(Effect::HangUp(Disconnection::Over));
        }
        if let Some(call) = flown.call {
            self.answer(call, reply);
        }
        Ok(())
    }

    /// An exists watch is left where there is no znode, too; where there is one, it is a data watch.
    fn place_watch(
        &mut self,
        err: i32,
        id: WatchId,
        kind: WatchKind,
        path: &Arc<str>,
    ) -> Option<WatchKind> {
        let kind = match (err, kind) {
            (0, WatchKind::Exist) => WatchKind::Data,
            (0, kind) => kind,
            (err, WatchKind::Exist) if err == ErrorCode::NoNode.code() => kind,
            _ => return None,
        };
        self.watches.add(id, path, kind);
        Some(kind)
    }

    fn sasl_answered(
        &mut self,
        now: Moment,
        header: ReplyHeader,
        body: &Bytes,
    ) -> Result<(), Disconnection> {
        if header.err != ErrorCode::Ok.code() {
            self.finish(State::AuthFailed, Error::AuthFailed);
            return Err(Disconnection::Over);
        }
        match reply::data(&mut Reader::new(body), body)? {
            Some(token) => self.effects.push(Effect::Challenge(Some(token))),
            // The last word of a server that is content.
            None => self.proved(now),
        }
        Ok(())
    }

    /// What waited for a connection, and came to a server that does not know it.
    pub(super) fn refuse_what_is_lacking(&mut self) {
        for flown in self.flight.withdraw(|op| self.lacks.has(op)) {
            if let Some(path) = flown.watch_path() {
                self.watches.arrived(path);
            }
            if let Some(call) = flown.call {
                self.answer(call, Err(Error::Unsupported(flown.op)));
            }
        }
    }

    fn end_persistent_watches(&mut self) {
        let persistent: Vec<WatchId> = self
            .watches
            .ids()
            .filter(|(_, kind)| !kind.is_once())
            .map(|(id, _)| id)
            .collect();
        for id in persistent {
            self.watches.remove(id);
            let error = Error::Unsupported(OpCode::SetWatches2);
            self.effects.push(Effect::Ended(id, error));
        }
    }
}
