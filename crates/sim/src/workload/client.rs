//! One client: it has a session, asks for this and that, loses its connection, comes back elsewhere, and sometimes falls silent.

use std::collections::VecDeque;

use bytes::Bytes;
use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::password;
use rookeeper_proto::request::ConnectRequest;

use super::answer::{Answer, Said};
use super::ask::{Ask, QUEUE};
use crate::agenda::{Event, MS, Time};
use crate::checks::{Of, Seen};
use crate::network::{Cargo, End, LinkId};
use crate::plan::{LONGEST_SESSION, TICK_MS};
use crate::scene::Scene;

/// What a client asked and was not told.
#[derive(Debug)]
struct Sent {
    xid: i32,
    ask: Ask,
    at: Time,
}

/// Where a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nowhere.
    Apart,
    /// Waits for its session since then.
    Greeting(LinkId, Time),
    /// Has one.
    On(LinkId),
}

/// What a client wants of the world at one of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    /// A connection to any server.
    Connection,
}

#[derive(Debug)]
pub(crate) struct Client {
    number: usize,
    state: State,
    session: SessionId,
    timeout_ms: i32,
    /// The timeout it asks for, as long as it has one session: members do not tell each other of a new one.
    wanted_ms: i32,
    seen: Zxid,
    next_xid: i32,
    sent: VecDeque<Sent>,
    received: Vec<u8>,
    /// Made so many names.
    names: u64,
    version: i32,
    spoke: Time,
    /// Asks for nothing until then.
    silent_until: Time,
    /// Answers to writes since everything was mended.
    pub(crate) writes_since_healed: u64,
    /// Only keeps its session.
    pub(crate) at_rest: bool,
}

/// xid of pings.
const PING: i32 = -2;
/// How long a client waits for its session, ms.
const PATIENCE: Time = 2_500 * MS;

impl Client {
    pub(crate) const fn new(number: usize) -> Self {
        Self {
            number,
            state: State::Apart,
            session: SessionId::NONE,
            timeout_ms: 0,
            wanted_ms: 0,
            seen: Zxid::ZERO,
            next_xid: 1,
            sent: VecDeque::new(),
            received: Vec::new(),
            names: 0,
            version: 0,
            spoke: 0,
            silent_until: 0,
            writes_since_healed: 0,
            at_rest: false,
        }
    }

    const fn end(&self) -> End {
        End::Client(self.number)
    }

    pub(crate) const fn link(&self) -> Option<LinkId> {
        match self.state {
            State::Apart => None,
            State::Greeting(link, _) | State::On(link) => Some(link),
        }
    }

    /// Its time to do something.
    pub(crate) fn step(&mut self, scene: &mut Scene) -> Wish {
        let (low, high) = scene.plan.step;
        let next = scene.dice.between(low, high);
        scene.after(next, Event::Client(self.number));
        let now = scene.now;
        if now < self.silent_until {
            return Wish::Nothing;
        }
        match self.state {
            State::Apart => Wish::Connection,
            State::Greeting(_, since) if now - since > PATIENCE => {
                self.hang_up(scene);
                Wish::Nothing
            }
            State::Greeting(..) => Wish::Nothing,
            State::On(link) => {
                self.act(link, scene);
                Wish::Nothing
            }
        }
    }

    fn act(&mut self, link: LinkId, scene: &mut Scene) {
        let waited = self.sent.front().map_or(0, |sent| scene.now - sent.at);
        if waited > Time::from(self.timeout_ms) * MS * 2 / 3 {
            scene.tell(|| format!("client {} waits no longer", self.number));
            self.hang_up(scene);
            return;
        }
        if !self.at_rest && self.does_something_rare(link, scene) {
            return;
        }
        let idle = scene.now - self.spoke > Time::from(self.timeout_ms) * MS / 4;
        if self.at_rest {
            if idle {
                self.ask(link, Ask::Ping, scene);
            }
            return;
        }
        let depth = 1 + scene.dice.below(scene.plan.depth);
        while (self.sent.len() as u64) < depth {
            let ask = self.choose(scene);
            self.ask(link, ask, scene);
        }
    }

    fn choose(&mut self, scene: &mut Scene) -> Ask {
        self.names += 1;
        let unique = format!("{}-{}", self.number, self.names);
        if self.names == 1 {
            return Ask::Create {
                path: QUEUE.to_owned(),
                data: Vec::new(),
            };
        }
        Ask::any(&mut scene.dice, &unique, self.version)
    }

    /// Moves, ends its session, or falls silent; true when it did.
    fn does_something_rare(&mut self, link: LinkId, scene: &mut Scene) -> bool {
        match scene.dice.below(1000) {
            0..8 => {
                scene.count("client moves");
                self.hang_up(scene);
            }
            8..13 => self.ask(link, Ask::Close, scene),
            13..16 => {
                let longest = LONGEST_SESSION * TICK_MS * MS;
                self.silent_until = scene.now + scene.dice.between(longest / 8, longest * 3 / 2);
                if scene.dice.permille(500) {
                    self.hang_up(scene);
                }
            }
            _ => return false,
        }
        true
    }

    fn ask(&mut self, link: LinkId, ask: Ask, scene: &mut Scene) {
        let xid = if ask == Ask::Ping {
            PING
        } else {
            self.next_xid
        };
        if ask != Ask::Ping {
            self.next_xid += 1;
        }
        let frame = ask.frame(xid);
        let (number, session, end) = (self.number, self.session, self.end());
        scene.tell(|| format!("client {number} asks {xid}: {ask:?}"));
        let of = Of {
            client: number,
            session,
            xid,
        };
        scene.see(&Seen::Asked { of, ask: &ask });
        scene.send(link, end, Cargo::Bytes(frame));
        let at = scene.now;
        self.spoke = at;
        self.sent.push_back(Sent { xid, ask, at });
    }

    /// A connection is on its way.
    pub(crate) fn connecting(&mut self, link: LinkId, now: Time) {
        self.state = State::Greeting(link, now);
    }

    /// The connection is up: asks for the session.
    pub(crate) fn greet(&mut self, link: LinkId, scene: &mut Scene) {
        if self.link() != Some(link) {
            return;
        }
        if self.session == SessionId::NONE {
            let ticks = scene.dice.between(0, LONGEST_SESSION + 5);
            self.wanted_ms = i32::try_from(ticks * TICK_MS).unwrap_or(0);
        }
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.seen,
            timeout_ms: self.wanted_ms,
            session: self.session,
            password: password::password(self.session).to_vec(),
            read_only: Some(false),
        };
        let mut frame = Vec::new();
        request.encode(&mut frame);
        scene.send(link, self.end(), Cargo::Bytes(frame.into()));
    }

    fn hang_up(&mut self, scene: &mut Scene) {
        if let Some(link) = self.link() {
            scene.close(link, self.end());
            self.lost(link, scene);
        }
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, link: LinkId, scene: &mut Scene) {
        if self.link() != Some(link) {
            return;
        }
        self.state = State::Apart;
        self.received.clear();
        let closed = self.sent.iter().any(|sent| sent.ask == Ask::Close);
        self.sent.clear();
        if closed {
            self.forget();
        }
        scene.see(&Seen::Detached {
            client: self.number,
        });
        scene.tell(|| format!("client {} is disconnected", self.number));
    }

    /// There is no session any more, or nobody cares.
    const fn forget(&mut self) {
        self.session = SessionId::NONE;
        self.seen = Zxid::ZERO;
    }

    /// Bytes came from the server.
    pub(crate) fn hear(
        &mut self,
        link: LinkId,
        server: ServerId,
        bytes: &Bytes,
        scene: &mut Scene,
    ) {
        if self.link() != Some(link) {
            return;
        }
        self.received.extend_from_slice(bytes);
        let mut received = std::mem::take(&mut self.received);
        let mut at = 0;
        while let Some(frame) = next_frame(received.get(at..).unwrap_or_default()) {
            at += 4 + frame.len();
            self.take(link, server, frame, scene);
            if self.link() != Some(link) {
                return;
            }
        }
        received.drain(..at);
        self.received = received;
    }

    fn take(&mut self, link: LinkId, server: ServerId, frame: &[u8], scene: &mut Scene) {
        let first = matches!(self.state, State::Greeting(..));
        match Said::decode(frame, first) {
            Ok(Said::Connected {
                session,
                timeout_ms,
            }) => self.connected(link, server, (session, timeout_ms), scene),
            Ok(Said::Event { zxid, kind, path }) => {
                scene.count("watch events");
                scene.tell(|| format!("client {} hears of {kind} at {path}, {zxid}", self.number));
                scene.see(&Seen::Event {
                    client: self.number,
                    zxid,
                    kind,
                    path: &path,
                });
            }
            Ok(Said::Reply {
                xid,
                zxid,
                code,
                mut body,
            }) => self.replied(server, (xid, zxid, code), &mut body, scene),
            Err(error) => scene.wrong(format!("client {} cannot read: {error}", self.number)),
        }
    }

    fn connected(
        &mut self,
        link: LinkId,
        server: ServerId,
        (session, timeout_ms): (SessionId, i32),
        scene: &mut Scene,
    ) {
        let number = self.number;
        if session == SessionId::NONE {
            scene.count("refused sessions");
            scene.tell(|| format!("client {number} has no session any more"));
            self.hang_up(scene);
            self.forget();
            return;
        }
        let kind = if session == self.session {
            "sessions resumed"
        } else {
            "sessions begun"
        };
        scene.count(kind);
        scene.tell(|| format!("client {number} has session {session} at {server}"));
        self.session = session;
        self.timeout_ms = timeout_ms;
        self.spoke = scene.now;
        self.state = State::On(link);
        scene.see(&Seen::Attached {
            session,
            timeout_ms,
        });
    }

    fn replied(
        &mut self,
        server: ServerId,
        (xid, zxid, code): (i32, Zxid, i32),
        body: &mut rookeeper_proto::jute::Reader<'_>,
        scene: &mut Scene,
    ) {
        let number = self.number;
        let Some(sent) = self.sent.pop_front_if(|sent| sent.xid == xid) else {
            scene.see(&Seen::Strange {
                client: number,
                xid,
            });
            return;
        };
        let Ok(answer) = Answer::decode(&sent.ask, code, body) else {
            scene.wrong(format!("client {number} cannot read the answer to {xid}"));
            return;
        };
        scene.tell(|| format!("client {number} is answered {xid}: {answer:?} {zxid}"));
        let of = Of {
            client: number,
            session: self.session,
            xid,
        };
        scene.see(&Seen::Answered {
            of,
            server,
            ask: &sent.ask,
            asked: sent.at,
            zxid,
            answer: &answer,
        });
        self.seen = self.seen.max(zxid);
        self.version = answer.version().unwrap_or(self.version);
        self.note(&sent.ask, &answer, scene);
        if sent.ask == Ask::Close {
            self.hang_up(scene);
            self.forget();
        }
    }

    fn note(&mut self, ask: &Ask, answer: &Answer, scene: &mut Scene) {
        if !answer.is_good() {
            return;
        }
        match ask {
            Ask::Sync => scene.count("syncs"),
            Ask::Ping => {}
            Ask::Ephemeral { .. } => scene.count("ephemerals"),
            ask if !ask.is_write() => scene.count("reads"),
            _ => {}
        }
        if ask.is_write() {
            scene.count("acknowledged writes");
            self.writes_since_healed += u64::from(scene.healed);
        }
    }
}

/// The frame at the beginning, without its length.
fn next_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let len = usize::try_from(i32::from_be_bytes(*head)).ok()?;
    rest.get(..len)
}
