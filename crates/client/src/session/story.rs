//! A session that is spoken to by hand: calls are numbers, frames are written by the server's side of `proto`.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use rookeeper_proto::code::{ErrorCode, EventType};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::request::RequestHeader;
use rookeeper_proto::response::ConnectResponse;

use super::*;

pub(super) const SESSION: SessionId = SessionId(0x0100_0000_0000_0007);

pub(super) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
pub(super) const OTHER_SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2);

pub(super) fn settings() -> SessionSettings {
    SessionSettings {
        timeout: Duration::from_secs(30),
        read_only: false,
        request_timeout: Duration::from_secs(20),
        max_in_flight: 3,
        sasl: false,
        identities: Vec::new(),
        resume: None,
    }
}

pub(super) fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

/// A session, the time, and what came out of it.
pub(super) struct Story {
    pub(super) session: Session<u32>,
    pub(super) now: Moment,
    effects: Vec<Effect<u32>>,
}

impl Story {
    pub(super) fn new(settings: SessionSettings) -> Self {
        Self {
            session: Session::new(settings),
            now: at(0),
            effects: Vec::new(),
        }
    }

    pub(super) fn connected() -> Self {
        let mut story = Self::new(settings());
        story.connect();
        story
    }

    pub(super) fn connect(&mut self) {
        self.connect_to(SERVER);
    }

    pub(super) fn connect_to(&mut self, server: SocketAddr) {
        self.session.opened(self.now, server, at(10).0);
        let hello = self.sent_bytes();
        assert!(!hello.is_empty());
        self.accept(false);
    }

    pub(super) fn accept(&mut self, read_only: bool) {
        let response = ConnectResponse::Accepted {
            session: SESSION,
            timeout_ms: 30_000,
        };
        let mut out = Vec::new();
        response.encode(Some(read_only), &mut out);
        self.frame(&out);
    }

    /// What a server says, with its length.
    pub(super) fn frame(&mut self, bytes: &[u8]) {
        let frame = Bytes::copy_from_slice(bytes.get(4..).unwrap());
        self.session.received(self.now, frame);
    }

    pub(super) fn reply(&mut self, xid: i32, zxid: i64, err: ErrorCode) {
        let mut out = Vec::new();
        response::reply_header(&mut out, Xid(xid), Zxid(zxid), err);
        self.frame(&out);
    }

    pub(super) fn event(&mut self, kind: EventType, path: &str) {
        self.event_of(Zxid(9), kind, path);
    }

    /// The same with a zxid, or without one as of servers before 3.9.
    pub(super) fn event_of(&mut self, zxid: Zxid, kind: EventType, path: &str) {
        let mut out = Vec::new();
        response::event(&mut out, zxid, kind, path);
        self.frame(&out);
    }

    pub(super) fn ask(&mut self, call: u32, op: OpCode) {
        self.session.submit(
            self.now,
            Request {
                call,
                op,
                frame: compose::path(op, "/a"),
                watch: None,
                removes: None,
                span: Span::none(),
            },
        );
    }

    pub(super) fn ask_watched(&mut self, call: u32, op: OpCode, id: u64, kind: WatchKind) {
        self.ask_watched_at(call, "/a", op, id, kind);
    }

    pub(super) fn ask_watched_at(
        &mut self,
        call: u32,
        path: &str,
        op: OpCode,
        id: u64,
        kind: WatchKind,
    ) {
        self.session.submit(
            self.now,
            Request {
                call,
                op,
                frame: compose::path_watch(op, path, true),
                watch: Some((WatchId(id), kind, path.into())),
                removes: None,
                span: Span::none(),
            },
        );
    }

    pub(super) fn ask_removal(&mut self, call: u32, kind: WatcherType) {
        let op = OpCode::RemoveWatches;
        self.session.submit(
            self.now,
            Request {
                call,
                op,
                frame: compose::watch_query(op, "/a", kind),
                watch: None,
                removes: Some(("/a".to_owned(), kind)),
                span: Span::none(),
            },
        );
    }

    pub(super) fn sent_bytes(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.session.drain_output(self.now, &mut out);
        out
    }

    /// What left: xid and operation of each request.
    pub(super) fn sent(&mut self) -> Vec<(i32, OpCode)> {
        self.sent_frames()
            .into_iter()
            .map(|(xid, op, _)| (xid, op))
            .collect()
    }

    pub(super) fn sent_frames(&mut self) -> Vec<(i32, OpCode, Bytes)> {
        let bytes = self.sent_bytes();
        let mut reader = Reader::new(&bytes);
        let mut frames = Vec::new();
        while !reader.is_empty() {
            let frame = reader.buffer().unwrap().unwrap();
            let mut body = Reader::new(frame);
            let header = RequestHeader::decode(&mut body).unwrap();
            let op = OpCode::from_i32(header.op).unwrap();
            frames.push((header.xid.0, op, Bytes::copy_from_slice(body.rest())));
        }
        frames
    }

    pub(super) fn tick(&mut self, seconds: u64) {
        self.now = at(seconds);
        self.session.tick(self.now);
    }

    pub(super) fn effects(&mut self) -> Vec<String> {
        self.effects = self.session.take_effects();
        self.effects.iter().map(tell).collect()
    }
}

pub(super) fn tell(effect: &Effect<u32>) -> String {
    match effect {
        Effect::Answer(call, Ok(reply)) => format!("{call}: {}", reply.err),
        Effect::Answer(call, Err(error)) => format!("{call}: {error:?}"),
        Effect::Event(id, event) => format!("watch {}: {:?} {}", id.0, event.kind, event.path),
        Effect::Interrupted(id) => format!("watch {} interrupted", id.0),
        Effect::Restored(id) => format!("watch {} restored", id.0),
        Effect::Ended(id, error) => format!("watch {} ended: {error:?}", id.0),
        Effect::State(state) => format!("{state:?}"),
        Effect::Challenge(token) => format!("challenge {token:?}"),
        Effect::HangUp(why) => format!("hang up: {why}"),
    }
}
