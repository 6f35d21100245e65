//! A second, naive tree: a map from path to znode, everything recomputed from it, written from the specification and not from
//! the crate. It judges and applies in one step, so it *is* the tree after everything in flight.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod history;
pub(crate) mod requests;

use std::collections::{BTreeMap, BTreeSet};

use rookeeper_proto::acl::{Acl, AclRequest};
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::multi::WriteOp;
use rookeeper_proto::request::{Check, Create, Delete, SetAcl, SetData, Write};
use rookeeper_proto::stat::{Stat, StatPersisted};
use rookeeper_tree::apply::{Change, ChangeKind, Outcome};
use rookeeper_tree::tree::{Tree, View};

pub(crate) use requests::Who;

/// A znode; `next` is the number that the next sequential child gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) stat: StatPersisted,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: Vec<Acl>,
    pub(crate) next: i32,
}

/// What a watcher might hear: kind, path, ACL of the znode and of its parent (empty: open to everybody).
pub(crate) type Event = (ChangeKind, String, Vec<Acl>, Vec<Acl>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Laws {
    pub(crate) extended_types: bool,
    pub(crate) enforce_quota: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) zxid: Zxid,
    pub(crate) time: i64,
    pub(crate) session: SessionId,
    pub(crate) who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    pub(crate) quotas: BTreeSet<String>,
}

type Judged<T> = Result<T, ErrorCode>;
const OPEN: i32 = 31;

fn open_acl() -> Vec<Acl> {
    vec![Acl::new(OPEN, "world", "anyone")]
}

impl World {
    pub(crate) fn empty() -> Self {
        let node = |acl: Vec<Acl>, aversion| Node {
            stat: StatPersisted { aversion, ..StatPersisted::default() },
            data: Some(Vec::new()),
            acl,
            next: 0,
        };
        let reader = vec![Acl::new(1, "world", "anyone")];
        let nodes = [
            ("/".to_owned(), node(open_acl(), 0)),
            ("/zookeeper".to_owned(), node(open_acl(), 0)),
            ("/zookeeper/quota".to_owned(), node(open_acl(), 0)),
            ("/zookeeper/config".to_owned(), node(reader, -1)),
        ];
        Self { nodes: nodes.into(), sessions: BTreeMap::new(), quotas: BTreeSet::new() }
    }

    // What can be seen.

    pub(crate) fn children(&self, path: &str) -> BTreeSet<String> {
        let parent = if path == "/" { "" } else { path };
        let below = self.nodes.keys().filter_map(|p| p.strip_prefix(parent)?.strip_prefix('/'));
        below.filter(|name| !name.is_empty() && !name.contains('/')).map(Into::into).collect()
    }

    pub(crate) fn descendants(&self, path: &str) -> usize {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        self.nodes.keys().filter(|p| p.len() > prefix.len() && p.starts_with(&prefix)).count()
    }

    pub(crate) fn ephemerals(&self, session: SessionId, laws: Laws) -> BTreeSet<String> {
        let own = |node: &Node| node.stat.ephemeral_owner == session.0 && !self.is_special(node, laws);
        self.nodes.iter().filter(|(_, node)| own(node)).map(|(p, _)| p.clone()).collect()
    }

    fn is_special(&self, node: &Node, laws: Laws) -> bool {
        let owner = node.stat.ephemeral_owner;
        owner == i64::MIN || (laws.extended_types && (owner as u64) >> 40 == 0xff_0000)
    }

    pub(crate) fn stat(&self, path: &str, laws: Laws) -> Stat {
        let node = &self.nodes[path];
        let children = self.children(path).len() as i32;
        let owner = if self.is_special(node, laws) { 0 } else { node.stat.ephemeral_owner };
        let p = node.stat;
        Stat {
            czxid: p.czxid,
            mzxid: p.mzxid,
            ctime: p.ctime,
            mtime: p.mtime,
            version: p.version,
            cversion: p.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: p.aversion,
            ephemeral_owner: owner,
            data_length: node.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: children,
            pzxid: p.pzxid,
        }
    }

    /// Disk formats 4.4, from scratch.
    pub(crate) fn digest(&self) -> i64 {
        let one = |(path, node): (&String, &Node)| {
            if path.starts_with("/zookeeper/") {
                return 0;
            }
            let mut bytes = if path == "/" { Vec::new() } else { path.clone().into_bytes() };
            bytes.extend(node.data.iter().flatten());
            let s = node.stat;
            for long in [s.czxid.0, s.mzxid.0, s.pzxid.0, s.ctime, s.mtime] {
                bytes.extend(long.to_be_bytes());
            }
            for int in [s.version, s.cversion, s.aversion] {
                bytes.extend(int.to_be_bytes());
            }
            bytes.extend(s.ephemeral_owner.to_be_bytes());
            u64::from(crc32fast::hash(&bytes))
        };
        self.nodes.iter().map(one).fold(0u64, u64::wrapping_add) as i64
    }

    // Judging and applying in one.

    pub(crate) fn write(
        &mut self,
        laws: Laws,
        committed: &Self,
        at: At,
        write: &Write,
        events: &mut Vec<Event>,
    ) -> Judged<Outcome> {
        let mut turn = Turn { world: self, committed, laws, at, events };
        match write {
            Write::Create(create) => {
                let kind = turn.kind(create, false)?;
                turn.create(create, kind)
            }
            Write::Delete(delete) => turn.delete(delete),
            Write::SetData(set) => turn.set_data(set),
            Write::SetAcl(set) => turn.set_acl(set),
            Write::Multi(ops) => turn.multi(ops),
            Write::BrokenMulti => Err(ErrorCode::MarshallingError),
            Write::Reconfig(_) => Err(ErrorCode::ReconfigDisabled),
            Write::CloseSession => {
                turn.close_session();
                Ok(Outcome::Done)
            }
            Write::DeleteContainer(path) => turn.reap(path),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Kind {
    owner: i64,
    sequential: bool,
}

struct Turn<'a> {
    world: &'a mut World,
    committed: &'a World,
    laws: Laws,
    at: At,
    events: &'a mut Vec<Event>,
}

fn parent_of(path: &str) -> Judged<String> {
    if path.contains('\0') {
        return Err(ErrorCode::BadArguments);
    }
    match path.rfind('/') {
        None => Err(ErrorCode::BadArguments),
        Some(0) => Ok("/".into()),
        Some(at) => Ok(path[..at].into()),
    }
}

fn full_check(path: &str) -> Judged<()> {
    let bad = |c: char| {
        let n = c as u32;
        n < 0x20 || (0x7f..=0x9f).contains(&n) || (0xd800..=0xf8ff).contains(&n) || n >= 0xfff0
    };
    let parts: Vec<&str> = path.split('/').collect();
    let fine = path == "/"
        || (parts.len() > 1
            && parts[0].is_empty()
            && parts[1..].iter().all(|p| !matches!(*p, "" | "." | ".."))
            && !path.chars().any(bad));
    if fine { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

/// `key=number` pairs of a quota text; `None` when a number is none.
fn pairs(text: &[u8]) -> Option<BTreeMap<String, i64>> {
    let mut found = BTreeMap::new();
    for pair in String::from_utf8(text.into()).ok()?.split([',', ';']).filter(|p| !p.is_empty()) {
        let mut parts = pair.split('=');
        let key = parts.next()?.to_owned();
        let value = parts.next().filter(|v| !v.is_empty());
        found.insert(key, value.map_or(Some(-1), |v| v.parse().ok())?);
    }
    Some(found)
}

fn quota_of(path: &str, name: &str) -> Option<String> {
    let top = path.strip_suffix(name)?.strip_suffix('/')?.strip_prefix("/zookeeper/quota")?;
    (!top.is_empty() && top.starts_with('/')).then(|| top.to_owned())
}

impl Turn<'_> {
    fn existing(&self, path: &str) -> Judged<Node> {
        // An odd path is no key of the map; the empty one is the root.
        let path = if path.is_empty() { "/" } else { path };
        self.world.nodes.get(path).cloned().ok_or(ErrorCode::NoNode)
    }

    fn allow(&self, node: &Node, needed: i32) -> Judged<()> {
        let who = self.at.who;
        let grants = |acl: &Acl| {
            acl.perms & needed != 0
                && match acl.who.scheme.as_str() {
                    "world" => true,
                    "digest" => who.digest_ids().contains(&acl.who.id),
                    _ => false,
                }
        };
        if who == Who::Super || node.acl.iter().any(grants) { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    fn fix_up(&self, acl: Option<&[AclRequest]>) -> Judged<Vec<Acl>> {
        let mut distinct: Vec<AclRequest> = Vec::new();
        for entry in acl.unwrap_or_default() {
            if !distinct.contains(entry) {
                distinct.push(entry.clone());
            }
        }
        let mut fixed = Vec::new();
        for AclRequest { perms, scheme, id } in distinct {
            match (scheme.as_deref(), id.as_deref()) {
                (Some("world"), Some("anyone")) => fixed.push(Acl::new(perms, "world", "anyone")),
                (Some("world"), None) => return Err(ErrorCode::MarshallingError),
                (Some("digest"), Some(id)) if id.split(':').count() == 2 => {
                    fixed.push(Acl::new(perms, "digest", id));
                }
                (Some("auth"), _) if !self.at.who.digest_ids().is_empty() => {
                    let ids = self.at.who.digest_ids();
                    fixed.extend(ids.into_iter().map(|id| Acl::new(perms, "digest", id)));
                }
                _ => return Err(ErrorCode::InvalidAcl),
            }
        }
        if fixed.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(fixed) }
    }

    fn event(&mut self, kind: ChangeKind, path: &str) {
        let closed = |acl: &[Acl]| if acl == open_acl() { Vec::new() } else { acl.to_vec() };
        let acl = closed(&self.world.nodes[path].acl);
        let parent = match parent_of(path) {
            Ok(parent) => closed(&self.world.nodes[&parent].acl),
            Err(_) => Vec::new(),
        };
        self.events.push((kind, path.into(), acl, parent));
    }

    // Create.

    fn kind(&self, create: &Create, in_multi: bool) -> Judged<Kind> {
        let (flags, ttl_op) = (create.flags, create.op == OpCode::CreateTtl);
        let ttl_flag = flags == 5 || flags == 6;
        if in_multi && !ttl_op && (ttl_flag || !(0..=6).contains(&flags)) {
            return Err(ErrorCode::MarshallingError);
        }
        if !(0..=6).contains(&flags) {
            return Err(ErrorCode::BadArguments);
        }
        if ttl_flag && !self.laws.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        if !in_multi && ttl_flag != ttl_op {
            return Err(ErrorCode::BadArguments);
        }
        let container = create.op == OpCode::CreateContainer || (in_multi && flags == 4);
        let owner = if container {
            i64::MIN
        } else if ttl_flag {
            if create.ttl < 1 || create.ttl >= 1 << 40 {
                return Err(ErrorCode::BadArguments);
            }
            (0xff00_0000_0000_0000 | create.ttl as u64) as i64
        } else if flags == 1 || flags == 3 {
            self.at.session.0
        } else {
            0
        };
        Ok(Kind { owner, sequential: matches!(flags, 2 | 3 | 6) })
    }

    fn create(&mut self, create: &Create, kind: Kind) -> Judged<Outcome> {
        let given = create.path.clone().ok_or(ErrorCode::MarshallingError)?;
        let parent_path = parent_of(&given)?;
        let acl = self.fix_up(create.acl.as_deref())?;
        let parent = self.existing(&parent_path)?;
        self.allow(&parent, 4)?;
        let path = if kind.sequential {
            let n = i64::from(parent.next);
            if n < 0 { format!("{given}-{:09}", -n) } else { format!("{given}{n:010}") }
        } else {
            given
        };
        full_check(&path)?;
        if self.world.nodes.contains_key(&path) {
            return Err(ErrorCode::NodeExists);
        }
        if parent.stat.ephemeral_owner != 0 && !self.world.is_special(&parent, self.laws) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data = create.data.as_ref().map(|d| d.to_vec());
        self.enforce_quota(&path, 1, data.as_ref().map_or(0, Vec::len) as i64)?;
        if path == "/zookeeper/quota/zookeeper_limits" {
            return Err(ErrorCode::BadArguments);
        }
        let (zxid, time) = (self.at.zxid, self.at.time);
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: kind.owner,
            ..StatPersisted::default()
        };
        self.world.nodes.insert(path.clone(), Node { stat, data, acl, next: 0 });
        let parent = self.world.nodes.get_mut(&parent_path).unwrap();
        parent.next = parent.next.wrapping_add(1);
        if parent.next > parent.stat.cversion {
            parent.stat.cversion = parent.next;
            parent.stat.pzxid = zxid;
        }
        if let Some(top) = quota_of(&path, "zookeeper_limits") {
            self.world.quotas.insert(top);
        }
        if let Some(top) = quota_of(&path, "zookeeper_stats") {
            self.recount(&top);
        }
        let len = create.data.as_ref().map_or(0, |d| d.len()) as i64;
        self.use_quota(&path, 1, len);
        self.event(ChangeKind::Created, &path);
        Ok(Outcome::Stat(self.world.stat(&path, self.laws)))
    }

    // Delete.

    fn deletable(&self, path: &str) -> Judged<String> {
        let parent = parent_of(path)?;
        match path {
            "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config" => Err(ErrorCode::BadArguments),
            _ => Ok(parent),
        }
    }

    fn delete(&mut self, delete: &Delete) -> Judged<Outcome> {
        let path = delete.path.clone().ok_or(ErrorCode::MarshallingError)?;
        let parent = self.existing(&self.deletable(&path)?)?;
        self.allow(&parent, 8)?;
        let node = self.existing(&path)?;
        if delete.version != -1 && delete.version != node.stat.version {
            return Err(ErrorCode::BadVersion);
        }
        if !self.world.children(&path).is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        self.remove(&path);
        Ok(Outcome::Done)
    }

    fn remove(&mut self, path: &str) {
        self.event(ChangeKind::Deleted, path);
        let node = self.world.nodes.remove(path).unwrap();
        let parent = self.world.nodes.get_mut(&parent_of(path).unwrap()).unwrap();
        parent.stat.pzxid = parent.stat.pzxid.max(self.at.zxid);
        if let Some(top) = quota_of(path, "zookeeper_limits") {
            self.world.quotas.remove(&top);
        }
        self.use_quota(path, -1, -(node.data.map_or(0, |d| d.len()) as i64));
    }

    fn close_session(&mut self) {
        self.world.sessions.remove(&self.at.session);
        for path in self.world.ephemerals(self.at.session, self.laws) {
            self.remove(&path);
        }
    }

    /// The reaper's request: only what the reaper may have seen goes.
    fn reap(&mut self, path: &str) -> Judged<Outcome> {
        self.deletable(path)?;
        let node = self.existing(path)?;
        if !self.world.children(path).is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        let seen = self.committed.nodes.get(path).is_some_and(|seen| seen.stat.czxid == node.stat.czxid);
        let owner = node.stat.ephemeral_owner;
        let ttl = owner & 0xff_ffff_ffff;
        let due = self.world.is_special(&node, self.laws)
            && seen
            && (owner == i64::MIN || self.at.time - node.stat.mtime > ttl);
        if !due {
            return Err(ErrorCode::BadVersion);
        }
        self.remove(path);
        Ok(Outcome::Done)
    }

    // Changes.

    fn set_data(&mut self, set: &SetData) -> Judged<Outcome> {
        let path = set.path.clone().ok_or(ErrorCode::BadArguments)?;
        full_check(&path)?;
        let node = self.existing(&path)?;
        self.allow(&node, 2)?;
        let data = set.data.as_ref().map(|d| d.to_vec());
        let len = |data: &Option<Vec<u8>>| data.as_ref().map_or(0, Vec::len) as i64;
        let more = len(&data) - len(&node.data);
        self.enforce_quota(&path, 0, more)?;
        if set.version != -1 && set.version != node.stat.version {
            return Err(ErrorCode::BadVersion);
        }
        if quota_of(&path, "zookeeper_stats").is_some() && data.as_deref().and_then(pairs).is_none() {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.world.nodes.get_mut(&path).unwrap();
        node.data = data;
        node.stat.version = node.stat.version.wrapping_add(1);
        node.stat.mzxid = self.at.zxid;
        node.stat.mtime = self.at.time;
        self.use_quota(&path, 0, more);
        self.event(ChangeKind::DataChanged, &path);
        Ok(Outcome::Stat(self.world.stat(&path, self.laws)))
    }

    fn set_acl(&mut self, set: &SetAcl) -> Judged<Outcome> {
        let path = set.path.clone().ok_or(ErrorCode::BadArguments)?;
        full_check(&path)?;
        let acl = self.fix_up(set.acl.as_deref())?;
        let node = self.existing(&path)?;
        self.allow(&node, 16)?;
        if set.version != -1 && set.version != node.stat.aversion {
            return Err(ErrorCode::BadVersion);
        }
        let node = self.world.nodes.get_mut(&path).unwrap();
        node.acl = acl;
        node.stat.aversion = node.stat.aversion.wrapping_add(1);
        Ok(Outcome::Stat(self.world.stat(&path, self.laws)))
    }

    fn check(&self, check: &Check) -> Judged<Outcome> {
        let path = check.path.clone().ok_or(ErrorCode::MarshallingError)?;
        full_check(&path)?;
        let node = self.existing(&path)?;
        self.allow(&node, 1)?;
        if check.version != -1 && check.version != node.stat.version {
            return Err(ErrorCode::BadVersion);
        }
        Ok(Outcome::Done)
    }

    fn multi(&mut self, ops: &[WriteOp]) -> Judged<Outcome> {
        let (world, events) = (self.world.clone(), self.events.len());
        let mut outcomes = Vec::new();
        let mut failed = None;
        let broken = ops.iter().any(|op| self.breaks_decoding(op));
        for op in ops {
            match self.multi_op(op) {
                Ok(outcome) => outcomes.push(outcome),
                Err(code) => {
                    failed = Some(code);
                    break;
                }
            }
        }
        let Some(code) = failed.filter(|_| !broken).or(broken.then_some(ErrorCode::MarshallingError)) else {
            return Ok(Outcome::Multi(outcomes));
        };
        *self.world = world;
        self.events.truncate(events);
        if code == ErrorCode::MarshallingError {
            return Err(code);
        }
        let at = outcomes.len();
        let tell = |n: usize| match n.cmp(&at) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => code.code(),
            std::cmp::Ordering::Greater => -2,
        };
        Ok(Outcome::Multi((0..ops.len()).map(|n| Outcome::Failed(tell(n))).collect()))
    }

    fn breaks_decoding(&self, op: &WriteOp) -> bool {
        match op {
            WriteOp::Create(c) => c.path.is_none() || self.kind(c, true) == Err(ErrorCode::MarshallingError),
            WriteOp::Delete(d) => d.path.is_none(),
            WriteOp::SetData(s) => s.path.is_none(),
            WriteOp::Check(c) => c.path.is_none(),
        }
    }

    fn multi_op(&mut self, op: &WriteOp) -> Judged<Outcome> {
        match op {
            WriteOp::Create(create) => {
                let kind = self.kind(create, true)?;
                self.create(create, kind)
            }
            WriteOp::Delete(delete) => self.delete(delete),
            WriteOp::SetData(set) => self.set_data(set),
            WriteOp::Check(check) => self.check(check),
        }
    }

    // Quotas.

    fn deepest(world: &World, path: &str) -> Option<String> {
        let covers = |top: &&String| path == **top || path.starts_with(&format!("{top}/"));
        world.quotas.iter().filter(covers).max_by_key(|top| top.len()).cloned()
    }

    fn enforce_quota(&self, path: &str, count: i64, bytes: i64) -> Judged<()> {
        if !self.laws.enforce_quota {
            return Ok(());
        }
        let Some(top) = Self::deepest(self.committed, path) else { return Ok(()) };
        let text = |name: &str| self.committed.nodes.get(&format!("/zookeeper/quota{top}/{name}"));
        let (Some(limits), Some(stats)) = (text("zookeeper_limits"), text("zookeeper_stats")) else {
            return Ok(());
        };
        let (Some(limits), Some(stats)) = (&limits.data, &stats.data) else { return Ok(()) };
        let (Some(limits), Some(stats)) = (pairs(limits), pairs(stats)) else {
            return Err(ErrorCode::MarshallingError);
        };
        for (hard, used, more) in [("countHardLimit", "count", count), ("byteHardLimit", "bytes", bytes)] {
            let limit = limits.get(hard).copied().unwrap_or(-1);
            if limit >= 0 && more != 0 && stats.get(used).copied().unwrap_or(-1) + more > limit {
                return Err(ErrorCode::QuotaExceeded);
            }
        }
        Ok(())
    }

    fn recount(&mut self, top: &str) {
        let below = |path: &str| path == top || path.starts_with(&format!("{top}/"));
        let (mut count, mut bytes) = (0, 0);
        for (path, node) in &self.world.nodes {
            if below(path) {
                count += 1;
                bytes += node.data.as_ref().map_or(0, Vec::len);
            }
        }
        self.world.put_stats(top, count, bytes as i64);
    }

    fn use_quota(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(top) = Self::deepest(self.world, path) else { return };
        let stats = self.world.nodes.get(&format!("/zookeeper/quota{top}/zookeeper_stats"));
        let Some(stats) = stats else { return };
        match stats.data.as_deref().and_then(pairs) {
            Some(now) => {
                let of = |key| now.get(key).copied().unwrap_or(-1);
                self.world.put_stats(&top, of("count") + count, of("bytes") + bytes);
            }
            None => self.recount(&top),
        }
    }
}

impl World {
    fn put_stats(&mut self, top: &str, count: i64, bytes: i64) {
        if let Some(node) = self.nodes.get_mut(&format!("/zookeeper/quota{top}/zookeeper_stats")) {
            node.data = Some(format!("count={count},bytes={bytes}").into_bytes());
        }
    }
}

// Comparing.

/// Every field of every znode, and everything that is derived from them.
#[track_caller]
pub(crate) fn assert_same(tree: &Tree, world: &World, laws: Laws) {
    let paths: BTreeSet<String> = tree.iter().map(View::path).collect();
    assert_eq!(paths, world.nodes.keys().cloned().collect());
    assert_eq!(tree.node_count(), world.nodes.len());
    for (path, node) in &world.nodes {
        let view = tree.get(path).unwrap();
        assert_eq!(view.persisted(), node.stat, "{path}");
        assert_eq!(view.stat(), world.stat(path, laws), "{path}");
        assert_eq!(view.data(), node.data.as_deref(), "{path}");
        assert_eq!(**view.acl(), *node.acl, "{path}");
        let children: BTreeSet<String> = view.children().map(Into::into).collect();
        assert_eq!(children, world.children(path), "{path}");
        assert_eq!(tree.descendants(path), Some(world.descendants(path)), "{path}");
    }
    let mut owners = 0;
    for session in 0..8 {
        let own: BTreeSet<String> = tree.ephemerals(SessionId(session)).collect();
        let expected = if session == 0 { BTreeSet::new() } else { world.ephemerals(SessionId(session), laws) };
        assert_eq!(own, expected);
        owners += own.len();
    }
    assert_eq!(tree.ephemeral_count(), owners);
    assert_eq!(tree.sessions().collect::<BTreeMap<_, _>>(), world.sessions);
    let size = |(path, node): (&String, &Node)| path.len() + node.data.as_ref().map_or(0, Vec::len);
    assert_eq!(tree.data_size(), world.nodes.iter().map(size).sum::<usize>() as u64);
    assert_eq!(tree.digest(), world.digest());
}

/// The events of a transaction in the form of the model.
pub(crate) fn events_of(changes: &[Change<'_>]) -> Vec<Event> {
    let acl = |acl: &Option<std::sync::Arc<[Acl]>>| acl.as_ref().map_or_else(Vec::new, |a| a.to_vec());
    let event = |c: &Change<'_>| (c.kind, c.path.to_string(), acl(&c.acl), acl(&c.parent_acl));
    changes.iter().map(event).collect()
}
