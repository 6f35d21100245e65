//! A server of a few znodes, as dumb as can be: frames in, frames out, time as an argument.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rookeeper_proto::code::{AddWatchMode, ErrorCode, EventType, OpCode, WatcherType};
use rookeeper_proto::ids::{SessionId, Xid, Zxid};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::request::{self, ConnectRequest, Read, Request, RequestHeader, Write};
use rookeeper_proto::response::{self, ConnectResponse, NO_ZXID};

/// Follows the body of every request of a caller, with its number; servers ignore what follows a body.
const TAG: u32 = 0x7a67_0b57;
const TAG_BYTES: usize = 8;
/// A proof that is not accepted.
pub(super) const WRONG: &[u8] = b"wrong";

/// Writes a caller's number behind the body.
pub(super) fn tagged(mut frame: Vec<u8>, call: u32) -> Vec<u8> {
    frame.extend_from_slice(&TAG.to_be_bytes());
    frame.extend_from_slice(&call.to_be_bytes());
    let len = u32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame
}

fn tag(frame: &[u8]) -> Option<u32> {
    let (rest, call) = frame.split_last_chunk()?;
    let (_, mark) = rest.split_last_chunk()?;
    (u32::from_be_bytes(*mark) == TAG).then(|| u32::from_be_bytes(*call))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Znode {
    pub(super) mzxid: i64,
    pub(super) pzxid: i64,
}

/// What watches can hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) zxid: i64,
    pub(super) kind: EventType,
    pub(super) path: String,
}

/// A caller's request that came to its turn.
#[derive(Debug, Clone)]
pub(super) struct Processed {
    pub(super) call: u32,
    pub(super) err: ErrorCode,
    /// The state in which it found the server.
    pub(super) zxid: i64,
    pub(super) znode: Option<Znode>,
}

#[derive(Debug)]
struct Guest {
    heard: u64,
    timeout: u64,
    link: u64,
}

/// One connection, and the watches that it has.
#[derive(Debug, Default)]
pub(super) struct Link {
    input: Vec<u8>,
    output: Vec<u8>,
    session: Option<i64>,
    closed: bool,
    data: BTreeSet<String>,
    child: BTreeSet<String>,
    /// With the zxid of the registration.
    pub(super) persistent: BTreeMap<String, i64>,
    pub(super) recursive: BTreeMap<String, i64>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) zxid: i64,
    pub(super) tree: BTreeMap<String, Znode>,
    pub(super) changes: Vec<Change>,
    pub(super) processed: Vec<Processed>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) ended: BTreeSet<i64>,
    guests: BTreeMap<i64, Guest>,
    last_session: i64,
}

/// True when a one-shot watch of the data list hears it.
pub(super) fn touches_data(kind: EventType) -> bool {
    kind != EventType::NodeChildrenChanged
}

/// True when a one-shot watch of the child list hears it.
pub(super) fn touches_list(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::NodeChildrenChanged | EventType::NodeDeleted
    )
}

/// True when `path` is `top` or below it.
pub(super) fn is_within(top: &str, path: &str) -> bool {
    top == "/" || path == top || path.strip_prefix(top).is_some_and(|p| p.starts_with('/'))
}

fn parent(path: &str) -> String {
    let at = path.rfind('/').unwrap();
    path[..at.max(1)].to_owned()
}

impl Link {
    fn fire(&mut self, zxid: Zxid, kind: EventType, path: &str) {
        let once = touches_data(kind) && self.data.remove(path);
        let list = touches_list(kind) && self.child.remove(path);
        let above = self.recursive.keys().any(|top| is_within(top, path));
        let stays = self.persistent.contains_key(path) || touches_data(kind) && above;
        if once || list || stays {
            response::event(&mut self.output, zxid, kind, path);
        }
    }

    fn forget(&mut self, path: &str, kind: WatcherType) -> bool {
        let any = kind == WatcherType::Any;
        let data = (any || kind == WatcherType::Data) && self.data.remove(path);
        let child = (any || kind == WatcherType::Children) && self.child.remove(path);
        let persistent =
            (any || kind == WatcherType::Persistent) && self.persistent.remove(path).is_some();
        let recursive = (any || kind == WatcherType::PersistentRecursive)
            && self.recursive.remove(path).is_some();
        data || child || persistent || recursive
    }
}

impl Model {
    pub(super) fn new() -> Self {
        let root = Znode { mzxid: 0, pzxid: 0 };
        Self {
            tree: BTreeMap::from([("/".to_owned(), root)]),
            ..Self::default()
        }
    }

    pub(super) fn accept(&mut self, link: u64) {
        self.links.insert(link, Link::default());
    }

    pub(super) fn hang_up(&mut self, link: u64) {
        self.links.remove(&link);
    }

    /// What a link has to say, and whether that was its last word.
    pub(super) fn output(&mut self, link: u64) -> Option<(Vec<u8>, bool)> {
        let found = self.links.get_mut(&link)?;
        Some((std::mem::take(&mut found.output), found.closed))
    }

    /// Sessions that were silent for too long.
    pub(super) fn expire(&mut self, now: u64) -> Vec<i64> {
        let late = |guest: &Guest| now >= guest.heard + guest.timeout;
        let due = self.guests.iter().filter(|(_, guest)| late(guest));
        let due: Vec<i64> = due.map(|(id, _)| *id).collect();
        for id in &due {
            self.end(*id);
            self.ended.insert(*id);
        }
        due
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        let ends = self
            .guests
            .values()
            .map(|guest| guest.heard + guest.timeout);
        ends.min()
    }

    fn end(&mut self, session: i64) {
        if let Some(guest) = self.guests.remove(&session)
            && let Some(link) = self.links.get_mut(&guest.link)
        {
            link.closed = true;
        }
    }

    pub(super) fn hear(&mut self, now: u64, link: u64, bytes: &[u8]) {
        let Some(found) = self.links.get_mut(&link) else {
            return;
        };
        found.input.extend_from_slice(bytes);
        while let Some(frame) = self.next_frame(link) {
            self.frame(now, link, &frame);
        }
    }

    fn next_frame(&mut self, link: u64) -> Option<Bytes> {
        let link = self.links.get_mut(&link).filter(|link| !link.closed)?;
        let len = u32::from_be_bytes(*link.input.first_chunk()?) as usize;
        let frame = Bytes::copy_from_slice(link.input.get(4..4 + len)?);
        link.input.drain(..4 + len);
        Some(frame)
    }

    fn frame(&mut self, now: u64, link: u64, frame: &Bytes) {
        match self.links[&link].session {
            None => self.greet(now, link, &ConnectRequest::decode(frame).unwrap()),
            Some(session) => {
                self.guests.get_mut(&session).unwrap().heard = now;
                self.request(link, session, frame);
            }
        }
    }

    fn greet(&mut self, now: u64, link: u64, request: &ConnectRequest) {
        assert!(request.last_zxid_seen.0 <= self.zxid, "from the future");
        let mut session = request.session;
        if session == SessionId::NONE {
            self.last_session += 1;
            session = SessionId(self.last_session);
        } else if let Some(guest) = self.guests.get(&session.0) {
            if let Some(old) = self.links.get_mut(&guest.link) {
                old.closed = true;
            }
        } else {
            let found = self.links.get_mut(&link).unwrap();
            found.closed = true;
            return ConnectResponse::Refused.encode(Some(false), &mut found.output);
        }
        let timeout = u64::try_from(request.timeout_ms).unwrap();
        let guest = Guest {
            heard: now,
            timeout,
            link,
        };
        self.guests.insert(session.0, guest);
        let found = self.links.get_mut(&link).unwrap();
        found.session = Some(session.0);
        let accepted = ConnectResponse::Accepted {
            session,
            timeout_ms: request.timeout_ms,
        };
        accepted.encode(Some(false), &mut found.output);
    }

    fn request(&mut self, link: u64, session: i64, frame: &Bytes) {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).unwrap();
        let call = tag(frame);
        let body = frame.slice(RequestHeader::LEN..frame.len() - call.map_or(0, |_| TAG_BYTES));
        let found = (self.zxid, self.looked_at(&body));
        let err = match request::decode(header.op, &body).unwrap() {
            Request::Auth(auth) if auth.data == Some(WRONG) => {
                self.links.get_mut(&link).unwrap().closed = true;
                ErrorCode::AuthFailed
            }
            Request::Ping | Request::Auth(_) => ErrorCode::Ok,
            Request::Read(read) => self.read(link, read),
            Request::Write(Write::CloseSession) => {
                self.end(session);
                ErrorCode::Ok
            }
            Request::Write(write) => self.write(&write),
            Request::Sasl(_) => unreachable!("nobody asked for it"),
        };
        if let Some(call) = call {
            self.processed.push(Processed {
                call,
                err,
                zxid: found.0,
                znode: found.1,
            });
        }
        let zxid = match OpCode::from_i32(header.op) {
            Some(OpCode::Auth) => Zxid::ZERO,
            _ => Zxid(self.zxid),
        };
        let output = &mut self.links.get_mut(&link).unwrap().output;
        response::reply_header(output, header.xid, zxid, err);
        assert_ne!(header.xid, Xid::EVENT);
    }

    /// The znode whose path a body begins with.
    fn looked_at(&self, body: &[u8]) -> Option<Znode> {
        let path = Reader::new(body).string().ok()??;
        self.tree.get(&*path).copied()
    }

    fn read(&mut self, link: u64, read: Read<'_>) -> ErrorCode {
        let there = |path: &str| match self.tree.contains_key(path) {
            true => ErrorCode::Ok,
            false => ErrorCode::NoNode,
        };
        let found = self.links.get_mut(&link).unwrap();
        match read {
            Read::Exists(of) => {
                found.data.extend(of.watch.then(|| of.path.to_string()));
                there(&of.path)
            }
            Read::GetData(of) => {
                let err = there(&of.path);
                let watch = of.watch && err == ErrorCode::Ok;
                found.data.extend(watch.then(|| of.path.to_string()));
                err
            }
            Read::GetChildren2(of) => {
                let err = there(&of.path);
                let watch = of.watch && err == ErrorCode::Ok;
                found.child.extend(watch.then(|| of.path.to_string()));
                err
            }
            Read::AddWatch { path, mode } => {
                let recursive = mode == AddWatchMode::PersistentRecursive.code();
                let list = match recursive {
                    true => &mut found.recursive,
                    false => &mut found.persistent,
                };
                list.entry(path.to_string()).or_insert(self.zxid);
                ErrorCode::Ok
            }
            Read::RemoveWatches(query) => {
                let kind = WatcherType::from_i32(query.kind).unwrap();
                match found.forget(&query.path, kind) {
                    true => ErrorCode::Ok,
                    false => ErrorCode::NoWatcher,
                }
            }
            Read::SetWatches(set) => {
                self.set_watches(link, &set);
                ErrorCode::Ok
            }
            _ => ErrorCode::Ok,
        }
    }

    fn set_watches(&mut self, link: u64, set: &request::SetWatches<'_>) {
        let since = set.relative_zxid.0;
        let found = self.links.get_mut(&link).unwrap();
        for (list, paths) in set.lists.iter().enumerate() {
            for path in paths.iter().flatten() {
                let path = path.to_string();
                let znode = self.tree.get(&path);
                let missed = match (list, znode) {
                    (0 | 2, None) => Some(EventType::NodeDeleted),
                    (0, Some(znode)) if znode.mzxid > since => Some(EventType::NodeDataChanged),
                    (1, Some(_)) => Some(EventType::NodeCreated),
                    (2, Some(znode)) if znode.pzxid > since => Some(EventType::NodeChildrenChanged),
                    _ => None,
                };
                match (missed, list) {
                    (Some(kind), _) => response::event(&mut found.output, NO_ZXID, kind, &path),
                    (None, 0 | 1) => drop(found.data.insert(path)),
                    (None, 2) => drop(found.child.insert(path)),
                    (None, 3) => drop(found.persistent.entry(path).or_insert(self.zxid)),
                    (None, _) => drop(found.recursive.entry(path).or_insert(self.zxid)),
                }
            }
        }
    }

    fn write(&mut self, write: &Write) -> ErrorCode {
        // What is refused consumes a number too.
        self.zxid += 1;
        match write {
            Write::Create(create) => self.create(create.path.as_deref().unwrap()),
            Write::Delete(delete) => self.delete(delete.path.as_deref().unwrap()),
            Write::SetData(set) => self.set(set.path.as_deref().unwrap()),
            _ => ErrorCode::Unimplemented,
        }
    }

    /// Somebody else writes: whatever can be done to the path.
    pub(super) fn meddle(&mut self, path: &str, what: usize) {
        self.zxid += 1;
        match what {
            0 => self.create(path),
            1 => self.delete(path),
            _ => self.set(path),
        };
    }

    fn create(&mut self, path: &str) -> ErrorCode {
        if self.tree.contains_key(path) {
            return ErrorCode::NodeExists;
        }
        let zxid = self.zxid;
        let Some(above) = self.tree.get_mut(&parent(path)) else {
            return ErrorCode::NoNode;
        };
        above.pzxid = zxid;
        let znode = Znode {
            mzxid: zxid,
            pzxid: zxid,
        };
        self.tree.insert(path.to_owned(), znode);
        self.tell(EventType::NodeCreated, path);
        self.tell(EventType::NodeChildrenChanged, &parent(path));
        ErrorCode::Ok
    }

    fn delete(&mut self, path: &str) -> ErrorCode {
        if !self.tree.contains_key(path) {
            return ErrorCode::NoNode;
        }
        if self
            .tree
            .keys()
            .any(|other| other != path && is_within(path, other))
        {
            return ErrorCode::NotEmpty;
        }
        self.tree.remove(path);
        self.tree.get_mut(&parent(path)).unwrap().pzxid = self.zxid;
        self.tell(EventType::NodeDeleted, path);
        self.tell(EventType::NodeChildrenChanged, &parent(path));
        ErrorCode::Ok
    }

    fn set(&mut self, path: &str) -> ErrorCode {
        let Some(znode) = self.tree.get_mut(path) else {
            return ErrorCode::NoNode;
        };
        znode.mzxid = self.zxid;
        self.tell(EventType::NodeDataChanged, path);
        ErrorCode::Ok
    }

    fn tell(&mut self, kind: EventType, path: &str) {
        self.changes.push(Change {
            zxid: self.zxid,
            kind,
            path: path.to_owned(),
        });
        for link in self.links.values_mut().filter(|link| !link.closed) {
            link.fire(Zxid(self.zxid), kind, path);
        }
    }
}
