//! One write in the naive world: judged and done, or refused.

use std::collections::BTreeMap;

use rookeeper_proto::acl::{Acl, AclRequest};
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::multi::WriteOp;
use rookeeper_proto::request::{Check, Create, Delete, SetAcl, SetData};
use rookeeper_proto::stat::StatPersisted;
use rookeeper_tree::apply::{ChangeKind, Outcome};

use super::{At, Event, Judged, Laws, Node, Who, World, open_acl};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kind {
    owner: i64,
    sequential: bool,
}

pub(super) struct Turn<'a> {
    pub(super) world: &'a mut World,
    pub(super) committed: &'a World,
    pub(super) laws: Laws,
    pub(super) at: At,
    pub(super) events: &'a mut Vec<Event>,
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
    if fine {
        Ok(())
    } else {
        Err(ErrorCode::BadArguments)
    }
}

/// `key=number` pairs of a quota text, by the rules of Java's `split`: no empty parts at the end, but in front; `None` when a
/// part or a number is missing or is none.
fn pairs(text: &[u8]) -> Option<BTreeMap<String, i64>> {
    let text = String::from_utf8_lossy(text).replace(';', ",");
    let java_split = |text: &str, at: char| {
        let mut parts: Vec<String> = text.split(at).map(Into::into).collect();
        while parts.last().is_some_and(String::is_empty) {
            parts.pop();
        }
        parts
    };
    let mut found = BTreeMap::new();
    for (n, pair) in java_split(&text, ',').iter().enumerate() {
        if pair.is_empty() && n > 0 {
            continue;
        }
        let parts = java_split(pair, '=');
        let (key, value) = (parts.first()?, parts.get(1)?);
        let value = if value.is_empty() {
            -1
        } else {
            value.parse().ok()?
        };
        found.insert(key.clone(), value);
    }
    Some(found)
}

fn quota_of(path: &str, name: &str) -> Option<String> {
    let top = path
        .strip_suffix(name)?
        .strip_suffix('/')?
        .strip_prefix("/zookeeper/quota")?;
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
        if who == Who::Super || node.acl.iter().any(grants) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
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
        if fixed.is_empty() {
            Err(ErrorCode::InvalidAcl)
        } else {
            Ok(fixed)
        }
    }

    fn event(&mut self, kind: ChangeKind, path: &str) {
        let closed = |acl: &[Acl]| {
            if acl == open_acl() {
                Vec::new()
            } else {
                acl.to_vec()
            }
        };
        let acl = closed(&self.world.nodes[path].acl);
        let parent = match parent_of(path) {
            Ok(parent) => closed(&self.world.nodes[&parent].acl),
            Err(_) => Vec::new(),
        };
        self.events.push((kind, path.into(), acl, parent));
    }

    // Create.

    pub(super) fn kind(&self, create: &Create, in_multi: bool) -> Judged<Kind> {
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
        Ok(Kind {
            owner,
            sequential: matches!(flags, 2 | 3 | 6),
        })
    }

    pub(super) fn create(&mut self, create: &Create, kind: Kind) -> Judged<Outcome> {
        let given = create.path.clone().ok_or(ErrorCode::MarshallingError)?;
        let parent_path = parent_of(&given)?;
        let acl = self.fix_up(create.acl.as_deref())?;
        let parent = self.existing(&parent_path)?;
        self.allow(&parent, 4)?;
        let path = if kind.sequential {
            let n = i64::from(parent.next);
            if n < 0 {
                format!("{given}-{:09}", -n)
            } else {
                format!("{given}{n:010}")
            }
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
        self.world.nodes.insert(
            path.clone(),
            Node {
                stat,
                data,
                acl,
                next: 0,
            },
        );
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
            "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config" => {
                Err(ErrorCode::BadArguments)
            }
            _ => Ok(parent),
        }
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Judged<Outcome> {
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

    pub(super) fn close_session(&mut self) {
        self.world.sessions.remove(&self.at.session);
        for path in self.world.ephemerals(self.at.session, self.laws) {
            self.remove(&path);
        }
    }

    /// The reaper's request: only what the reaper may have seen goes.
    pub(super) fn reap(&mut self, path: &str) -> Judged<Outcome> {
        self.deletable(path)?;
        let node = self.existing(path)?;
        if !self.world.children(path).is_empty() {
            return Err(ErrorCode::NotEmpty);
        }
        let seen = self
            .committed
            .nodes
            .get(path)
            .is_some_and(|seen| seen.stat.czxid == node.stat.czxid);
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

    pub(super) fn set_data(&mut self, set: &SetData) -> Judged<Outcome> {
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
        if quota_of(&path, "zookeeper_stats").is_some() && data.as_deref().and_then(pairs).is_none()
        {
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

    pub(super) fn set_acl(&mut self, set: &SetAcl) -> Judged<Outcome> {
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

    pub(super) fn multi(&mut self, ops: &[WriteOp]) -> Judged<Outcome> {
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
        let Some(code) = failed
            .filter(|_| !broken)
            .or_else(|| broken.then_some(ErrorCode::MarshallingError))
        else {
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
        Ok(Outcome::Multi(
            (0..ops.len()).map(|n| Outcome::Failed(tell(n))).collect(),
        ))
    }

    fn breaks_decoding(&self, op: &WriteOp) -> bool {
        match op {
            WriteOp::Create(c) => {
                c.path.is_none() || self.kind(c, true) == Err(ErrorCode::MarshallingError)
            }
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
        world
            .quotas
            .iter()
            .filter(covers)
            .max_by_key(|top| top.len())
            .cloned()
    }

    fn enforce_quota(&self, path: &str, count: i64, bytes: i64) -> Judged<()> {
        if !self.laws.enforce_quota {
            return Ok(());
        }
        let Some(top) = Self::deepest(self.committed, path) else {
            return Ok(());
        };
        let text = |name: &str| {
            self.committed
                .nodes
                .get(&format!("/zookeeper/quota{top}/{name}"))
        };
        let (Some(limits), Some(stats)) = (text("zookeeper_limits"), text("zookeeper_stats"))
        else {
            return Ok(());
        };
        let (Some(limits), Some(stats)) = (&limits.data, &stats.data) else {
            return Ok(());
        };
        let (Some(limits), Some(stats)) = (pairs(limits), pairs(stats)) else {
            return Err(ErrorCode::MarshallingError);
        };
        for (hard, used, more) in [
            ("countHardLimit", "count", count),
            ("byteHardLimit", "bytes", bytes),
        ] {
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
        let Some(top) = Self::deepest(self.world, path) else {
            return;
        };
        let stats = self
            .world
            .nodes
            .get(&format!("/zookeeper/quota{top}/zookeeper_stats"));
        let Some(stats) = stats else { return };
        match stats.data.as_deref().and_then(pairs) {
            Some(now) => {
                let of = |key| now.get(key).copied().unwrap_or(-1);
                self.world
                    .put_stats(&top, of("count") + count, of("bytes") + bytes);
            }
            None => self.recount(&top),
        }
    }
}

impl World {
    fn put_stats(&mut self, top: &str, count: i64, bytes: i64) {
        if let Some(node) = self
            .nodes
            .get_mut(&format!("/zookeeper/quota{top}/zookeeper_stats"))
        {
            node.data = Some(format!("count={count},bytes={bytes}").into_bytes());
        }
    }
}
