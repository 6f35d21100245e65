//! A session whose server says anything at all: a seam for fuzzing, compiled for nothing else.
//!
//! What must hold: nothing panics, each call has one answer, nobody hears of a watch after its end, and the session does not ask for a
//! tick that changes nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rookeeper_proto::code::{AddWatchMode, OpCode, WatcherType};
use rookeeper_proto::compose;
use tracing::Span;

use crate::session::{Effect, Moment, Request, Session, SessionSettings, WatchId, WatchKind};

/// How long each connection may take to accept the session.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that nobody answers end after this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Ticks and breaks that may follow from one thing that happened.
const MAX_ROUNDS: usize = 10;

/// One of three.
fn server(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 2181 + u16::from(number % 3)))
}

/// A session, and what it still owes.
struct Play {
    session: Session<u32>,
    now: Duration,
    calls: u32,
    unanswered: BTreeSet<u32>,
    ended: BTreeSet<WatchId>,
    connected: bool,
}

/// Plays one story: the first byte of each piece says what happens, the rest is what the server says or what is asked.
///
/// # Panics
/// When something does not hold.
pub fn play<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut play = Play {
        session: Session::new(settings()),
        now: Duration::ZERO,
        calls: 0,
        unanswered: BTreeSet::new(),
        ended: BTreeSet::new(),
        connected: false,
    };
    for piece in pieces {
        if let Some((what, rest)) = piece.split_first() {
            play.step(*what, rest);
            play.settle();
        }
    }
    play.end();
}

fn settings() -> SessionSettings {
    SessionSettings {
        timeout: Duration::from_secs(10),
        read_only: true,
        request_timeout: REQUEST_TIMEOUT,
        max_in_flight: 4,
        sasl: false,
        identities: vec![("digest".into(), b"u:p".to_vec())],
        resume: None,
    }
}

impl Play {
    fn moment(&self) -> Moment {
        Moment(self.now)
    }

    fn step(&mut self, what: u8, rest: &[u8]) {
        let now = self.moment();
        let number = rest.first().copied().unwrap_or_default();
        match what % 8 {
            0..3 if self.connected => self.session.received(now, Bytes::copy_from_slice(rest)),
            // Who owns a session asks for no connection once it is over.
            0..4 if self.session.is_over() => {}
            0..4 if !self.connected => {
                self.connected = true;
                self.session.opened(now, server(number), PATIENCE);
            }
            3 => self.lost(),
            4 => self.ask(number),
            5 => self.session.unwatch(now, WatchId(u64::from(number))),
            6 => self.now += Duration::from_millis(u64::from(number) * 50),
            _ if number == 0 => {
                let call = self.call();
                self.session.close(now, call);
            }
            _ => {
                let call = self.call();
                let (scheme, proof) = ("digest".to_owned(), rest.to_vec());
                self.session.authenticate(now, call, scheme, proof);
            }
        }
    }

    fn call(&mut self) -> u32 {
        self.calls += 1;
        self.unanswered.insert(self.calls);
        self.calls
    }

    fn ask(&mut self, number: u8) {
        let path = match (number >> 4) % 3 {
            0 => "/",
            1 => "/a",
            _ => "/a/b",
        };
        let (op, kind) = match number % 8 {
            0 => (OpCode::GetData, Some(WatchKind::Data)),
            1 => (OpCode::Exists, Some(WatchKind::Exist)),
            2 => (OpCode::GetChildren2, Some(WatchKind::Child)),
            3 => (OpCode::AddWatch, Some(WatchKind::Persistent)),
            4 => (OpCode::AddWatch, Some(WatchKind::Recursive)),
            5 => (OpCode::RemoveWatches, None),
            6 => (OpCode::WhoAmI, None),
            _ => (OpCode::Delete, None),
        };
        let call = self.call();
        let mode = match kind {
            Some(WatchKind::Recursive) => AddWatchMode::PersistentRecursive,
            _ => AddWatchMode::Persistent,
        };
        let request = Request {
            call,
            op,
            frame: match op {
                OpCode::AddWatch => compose::add_watch(path, mode),
                _ => compose::path(op, path),
            },
            watch: kind.map(|kind| (WatchId(u64::from(call)), kind, path.into())),
            removes: (op == OpCode::RemoveWatches).then(|| (path.to_owned(), WatcherType::Any)),
            span: Span::none(),
        };
        self.session.submit(self.moment(), request);
    }

    fn lost(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.session.lost();
        }
    }

    /// Does everything that is due.
    fn settle(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut hang_up = false;
            for effect in self.session.take_effects() {
                hang_up |= self.perform(effect);
            }
            if self.connected {
                self.session.drain_output(self.moment(), &mut Vec::new());
            }
            if hang_up {
                self.lost();
            } else if self.is_due() {
                self.session.tick(self.moment());
            } else {
                return;
            }
        }
        panic!("it ticks, and is due again at once");
    }

    fn is_due(&self) -> bool {
        let at = self.session.wake_at().filter(|_| !self.session.is_over());
        at.is_some_and(|at| at <= self.moment())
    }

    fn perform(&mut self, effect: Effect<u32>) -> bool {
        match effect {
            Effect::Answer(call, _) => assert!(self.unanswered.remove(&call), "answered twice"),
            Effect::Event(id, _) | Effect::Interrupted(id) | Effect::Restored(id) => {
                assert!(!self.ended.contains(&id), "heard after its end");
            }
            Effect::Ended(id, _) => assert!(self.ended.insert(id), "ended twice"),
            Effect::HangUp(_) => return true,
            Effect::State(_) | Effect::Challenge(_) => {}
        }
        false
    }

    /// Closes, and waits until nobody can wait any more.
    fn end(&mut self) {
        self.lost();
        let call = self.call();
        self.session.close(self.moment(), call);
        self.settle();
        self.now += REQUEST_TIMEOUT;
        self.settle();
        assert!(self.session.is_over(), "it does not end");
        assert!(self.unanswered.is_empty(), "somebody waits for ever");
    }
}
