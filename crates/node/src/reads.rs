//! Answers to requests that change nothing, straight into the connection's output (client protocol 4.1, 4.8, 5).
//!
//! A read and the watch it leaves happen under one view of the tree, so no change falls between them.

use std::ops::DerefMut;

use bytes::Bytes;
use rookeeper_proto::acl::{self as wire, perms};
use rookeeper_proto::code::OpCode;
use rookeeper_proto::code::{AddWatchMode, ErrorCode, EventType, WatcherType};
use rookeeper_proto::ids::{SessionId, Xid};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::multi::{self, MultiHeader, ReadOp};
use rookeeper_proto::request::{
    self, PathWatch, Read, Request, RequestHeader, SetWatches, WatchList, WatchQuery,
};
use rookeeper_proto::response::{self, NO_ZXID};
use rookeeper_tree::acl;
use rookeeper_tree::auth::{self, AuthConfig, Identities};
use rookeeper_tree::tree::{Tree, View as Znode};
use rookeeper_tree::watches::{WatchKind, WatchTable, WatcherId};

/// How a read reaches the table of watches, which has a lock of its own: most reads leave no watch and never ask.
pub trait WatchGate {
    /// The table, for the length of one operation.
    fn open(&self) -> impl DerefMut<Target = WatchTable>;
}

/// What a read sees.
#[derive(Debug)]
pub struct View<'a, W> {
    /// The tree, which does not change while the view lives.
    pub tree: &'a Tree,
    /// The watches.
    pub watches: &'a W,
    /// Providers and super users.
    pub auth: &'a AuthConfig,
}

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// Who gets the events of watches.
    pub watcher: WatcherId,
    /// Whose ephemerals count as own.
    pub session: SessionId,
    /// Who may read what.
    pub identities: &'a Identities,
}

type Answer<T> = Result<T, ErrorCode>;

/// Answers one request that is no write, whose body may be malformed: appends its reply to `out`.
pub fn answer<W: WatchGate>(
    view: &View<'_, W>,
    reader: Reader<'_>,
    header: RequestHeader,
    body: &Bytes,
    out: &mut Vec<u8>,
) {
    let zxid = view.tree.last_zxid();
    match request::decode(header.op, body) {
        Ok(Request::Ping) => response::reply_header(out, Xid::PING, zxid, ErrorCode::Ok),
        Ok(Request::Read(read)) => serve(view, reader, header.xid, &read, out),
        _ => response::reply_header(out, header.xid, zxid, ErrorCode::MarshallingError),
    }
}

/// Serves one read: appends events (of setWatches) and the reply to `out`.
pub fn serve<W: WatchGate>(
    view: &View<'_, W>,
    reader: Reader<'_>,
    xid: Xid,
    read: &Read<'_>,
    out: &mut Vec<u8>,
) {
    let zxid = view.tree.last_zxid();
    let start = out.len();
    let serving = Serving { view, reader };
    if let Read::SetWatches(set) = read {
        let code = serving.set_watches(set, out).err().unwrap_or(ErrorCode::Ok);
        response::reply_header(out, xid, zxid, code);
        return;
    }
    let mut failure = None;
    response::reply(out, xid, zxid, ErrorCode::Ok, |out| {
        failure = serving.body(read, out).err()
    });
    if let Some(code) = failure {
        // A multiRead that met a write keeps its (empty) list; every other failure is only a header.
        let aborted = matches!(read, Read::MultiRead(_));
        out.truncate(start);
        response::reply(out, xid, zxid, code, |out| {
            if aborted {
                MultiHeader::END.encode(out);
            }
        });
    }
}

struct Serving<'a, W> {
    view: &'a View<'a, W>,
    reader: Reader<'a>,
}

impl<W: WatchGate> Serving<'_, W> {
    fn body(&self, read: &Read<'_>, out: &mut Vec<u8>) -> Answer<()> {
        match read {
            Read::Exists(request) => self.exists(request, out),
            Read::GetData(request) => {
                let node = self.readable(&request.path)?;
                self.watch(request, WatchKind::DataStandard)?;
                out.put_buffer(node.data());
                node.stat().encode(out);
                Ok(())
            }
            Read::GetChildren(request) => {
                let node = self.readable(&request.path)?;
                self.watch(request, WatchKind::ChildStandard)?;
                put_names(node, out);
                Ok(())
            }
            Read::GetChildren2(request) => {
                let node = self.readable(&request.path)?;
                self.watch(request, WatchKind::ChildStandard)?;
                put_names(node, out);
                node.stat().encode(out);
                Ok(())
            }
            Read::GetAcl(path) => self.get_acl(path, out),
            Read::GetAllChildrenNumber(path) => {
                self.readable(path)?;
                let count = self.view.tree.descendants(path).ok_or(ErrorCode::NoNode)?;
                out.put_count(count);
                Ok(())
            }
            Read::GetEphemerals(prefix) => {
                self.ephemerals(prefix.as_deref(), out);
                Ok(())
            }
            Read::Sync(path) => {
                out.put_buffer(*path);
                Ok(())
            }
            Read::MultiRead(ops) => self.multi(ops, out),
            Read::AddWatch { path, mode } => self.add_watch(path, *mode, out),
            Read::CheckWatches(query) => self.check_watches(query),
            Read::RemoveWatches(query) => self.remove_watches(query),
            Read::WhoAmI => {
                let who = auth::who_am_i(self.reader.identities);
                out.put_count(who.len());
                for (scheme, user) in who {
                    out.put_string(&scheme);
                    out.put_string(&user);
                }
                Ok(())
            }
            // Served before: its events precede the reply.
            Read::SetWatches(_) => Ok(()),
        }
    }

    fn existing(&self, path: &str) -> Answer<Znode<'_>> {
        self.view.tree.get(path).ok_or(ErrorCode::NoNode)
    }

    fn allow(&self, node: Znode<'_>, needed: i32) -> Answer<()> {
        if acl::permits(self.view.auth, node.acl(), needed, self.reader.identities) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    fn readable(&self, path: &str) -> Answer<Znode<'_>> {
        let node = self.existing(path)?;
        self.allow(node, perms::READ)?;
        Ok(node)
    }

    fn watch(&self, request: &PathWatch<'_>, kind: WatchKind) -> Answer<()> {
        if request.watch {
            self.add(&request.path, kind)
        } else {
            Ok(())
        }
    }

    fn add(&self, path: &str, kind: WatchKind) -> Answer<()> {
        let mut watches = self.view.watches.open();
        watches
            .add(self.reader.watcher, path, kind)
            .map_err(|_| ErrorCode::SystemError)
    }

    /// Leaves its watch even on a znode that is not there.
    fn exists(&self, request: &PathWatch<'_>, out: &mut Vec<u8>) -> Answer<()> {
        if request.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.existing(&request.path);
        if let Ok(node) = node {
            self.allow(node, perms::READ)?;
        }
        self.watch(request, WatchKind::DataStandard)?;
        node?.stat().encode(out);
        Ok(())
    }

    fn get_acl(&self, path: &str, out: &mut Vec<u8>) -> Answer<()> {
        let node = self.existing(path)?;
        self.allow(node, perms::READ | perms::ADMIN)?;
        let shown = acl::masked(self.view.auth, node.acl(), self.reader.identities);
        wire::encode_list(&shown, out);
        node.stat().encode(out);
        Ok(())
    }

    fn ephemerals(&self, prefix: Option<&str>, out: &mut Vec<u8>) {
        let prefix = prefix
            .filter(|p| !p.trim().is_empty() && *p != "/")
            .unwrap_or_default();
        let paths: Vec<String> = self
            .view
            .tree
            .ephemerals(self.reader.session)
            .filter(|p| p.starts_with(prefix))
            .collect();
        out.put_count(paths.len());
        paths.iter().for_each(|path| out.put_string(path));
    }

    fn multi(&self, ops: &[ReadOp<'_>], out: &mut Vec<u8>) -> Answer<()> {
        let header = |op: OpCode| MultiHeader {
            kind: op.code(),
            done: false,
            err: 0,
        };
        for op in ops {
            match op {
                ReadOp::GetData(path) => match self.readable(path) {
                    Ok(node) => {
                        header(OpCode::GetData).encode(out);
                        out.put_buffer(node.data());
                        node.stat().encode(out);
                    }
                    Err(code) => multi::encode_failure(code, out),
                },
                ReadOp::GetChildren(path) => match self.readable(path) {
                    Ok(node) => {
                        header(OpCode::GetChildren).encode(out);
                        put_names(node, out);
                    }
                    Err(code) => multi::encode_failure(code, out),
                },
                ReadOp::Illegal => return Err(ErrorCode::MarshallingError),
            }
        }
        MultiHeader::END.encode(out);
        Ok(())
    }

    // Watches.

    fn add_watch(&self, path: &str, mode: i32, out: &mut Vec<u8>) -> Answer<()> {
        let kind = match AddWatchMode::from_i32(mode).ok_or(ErrorCode::MarshallingError)? {
            AddWatchMode::Persistent => WatchKind::Persistent,
            AddWatchMode::PersistentRecursive => WatchKind::Recursive,
        };
        self.add(path, kind)?;
        out.put_i32(ErrorCode::Ok.code());
        Ok(())
    }

    fn check_watches(&self, query: &WatchQuery<'_>) -> Answer<()> {
        let kind = WatcherType::from_i32(query.kind).ok_or(ErrorCode::MarshallingError)?;
        found(
            self.view
                .watches
                .open()
                .contains(self.reader.watcher, &query.path, kind),
        )
    }

    fn remove_watches(&self, query: &WatchQuery<'_>) -> Answer<()> {
        let kind = WatcherType::from_i32(query.kind).ok_or(ErrorCode::MarshallingError)?;
        found(
            self.view
                .watches
                .open()
                .remove(self.reader.watcher, &query.path, kind),
        )
    }

    /// The watches of the connection before: what happened meanwhile is told at once, the rest is registered. Neither an ACL nor
    /// a filter applies.
    fn set_watches(&self, set: &SetWatches<'_>, out: &mut Vec<u8>) -> Answer<()> {
        for (kind, paths) in WatchList::ORDER.into_iter().zip(&set.lists) {
            let paths = paths.as_ref().ok_or(ErrorCode::MarshallingError)?;
            for path in paths {
                self.set_watch(kind, set, path, out)?;
            }
        }
        Ok(())
    }

    fn set_watch(
        &self,
        kind: WatchList,
        set: &SetWatches<'_>,
        path: &str,
        out: &mut Vec<u8>,
    ) -> Answer<()> {
        let node = self.view.tree.get(path);
        let known = set.relative_zxid;
        let missed = match (kind, node) {
            (WatchList::Data | WatchList::Child, None) => Some(EventType::NodeDeleted),
            (WatchList::Data, Some(node)) => {
                (node.mzxid() > known).then_some(EventType::NodeDataChanged)
            }
            (WatchList::Child, Some(node)) => {
                (node.pzxid() > known).then_some(EventType::NodeChildrenChanged)
            }
            (WatchList::Exist, node) => node.map(|_| EventType::NodeCreated),
            (WatchList::Persistent | WatchList::PersistentRecursive, _) => None,
        };
        match (missed, kind) {
            (Some(event), _) => {
                response::event(out, NO_ZXID, event, path);
                Ok(())
            }
            (None, WatchList::Data | WatchList::Exist) => self.add(path, WatchKind::DataStandard),
            (None, WatchList::Child) => self.add(path, WatchKind::ChildStandard),
            (None, WatchList::Persistent) => self.add(path, WatchKind::Persistent),
            (None, WatchList::PersistentRecursive) => self.add(path, WatchKind::Recursive),
        }
    }
}

const fn found(there: bool) -> Answer<()> {
    if there {
        Ok(())
    } else {
        Err(ErrorCode::NoWatcher)
    }
}

/// Names hold no character that Java would write in another way than UTF-8 (client protocol 4.1), so their bytes are copied as
/// they are.
fn put_names(node: Znode<'_>, out: &mut Vec<u8>) {
    let names = node.children();
    out.reserve(names.len() * NAME_BYTES_HINT);
    out.put_count(names.len());
    names.for_each(|name| out.put_buffer(Some(name)));
}

/// What a name and its length take, about.
const NAME_BYTES_HINT: usize = 28;
