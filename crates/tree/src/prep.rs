//! The judge of writes: a request becomes a transaction, or an error (client protocol 4).
//!
//! What lives here: every check of every write in the documented order, sequence numbers, the results a client will get. What does
//! not: whether the session lives and whose turn it is (`node`), and the change itself ([`crate::apply`]).
//!
//! Invariants:
//! - The judgement depends on the tree plus what is in flight ([`Pending`]), never on the tree alone; only quota usage is taken
//!   from the tree alone, as Java does.
//! - A failed request leaves no trace in [`Pending`].

use std::sync::Arc;

use rookeeper_proto::acl::{Acl, AclRequest, perms};
use rookeeper_proto::code::{ErrorCode, OpCode, Owner};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::multi::WriteOp;
use rookeeper_proto::path;
use rookeeper_proto::request::{Check, Create, Delete, SetAcl, SetData, Write};
use rookeeper_proto::stat::StatPersisted;
use rookeeper_proto::txn::{
    CheckTxn, CreateKind, CreateTxn, DIGEST_VERSION, DeleteTxn, SetAclTxn, SetDataTxn, Txn,
    TxnDigest,
};

use crate::acl;
use crate::apply;
use crate::auth::{AuthConfig, Identities};
use crate::create_kind::{Kind, Maker};
use crate::pending::Pending;
use crate::quota::{self, Limits, Usage, Verdict};
use crate::tree::{self, Known, Tree};

/// Settings that change what is allowed.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Providers and super users.
    pub auth: AuthConfig,
    /// TTL nodes exist (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Hard quotas refuse writes (`enforceQuota`).
    pub enforce_quota: bool,
    /// Transactions carry the digest of the tree (`digest.enabled`).
    pub digest: bool,
    /// closeSession lists the ephemerals (`closeSessionTxn.enabled`).
    pub close_session_paths: bool,
    /// Reconfiguration is switched on (`reconfigEnabled`).
    pub reconfig: bool,
    /// Longest transaction, bytes, that every member can read back (`jute.maxbuffer` and its extra size). A longer write is
    /// refused before it is proposed. A longer list of ephemerals in a closeSession is left empty, which means the same: every
    /// member removes the ephemerals it knows.
    pub max_record_bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            auth: AuthConfig::default(),
            extended_types: false,
            enforce_quota: false,
            digest: true,
            close_session_paths: true,
            reconfig: false,
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
        }
    }
}

/// Twice the default `jute.maxbuffer`.
const DEFAULT_MAX_RECORD_BYTES: usize = 2 * 0xf_ffff;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The session; [`SessionId::NONE`] for the server itself.
    pub session: SessionId,
    /// The identities of its connection.
    pub identities: &'a Identities,
}

/// What a successful reply carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyShape {
    /// Only the header.
    Header,
    /// create.
    Path,
    /// create2, createContainer, createTTL.
    PathAndStat,
    /// setData, setACL.
    Stat,
    /// A shape per operation.
    Multi(Vec<Self>),
}

/// The shape of the reply to a write that somebody else judged, by what became of it.
#[must_use]
pub fn reply_shape(write: &Write, txn: &Txn) -> ReplyShape {
    let created = |create: &Create, txn: &Txn| {
        let plain =
            matches!(txn, Txn::Create(made) if matches!(made.kind, CreateKind::Plain { .. }));
        // Inside a multi a create2 is logged as a create.
        if plain && create.op != OpCode::Create2 {
            ReplyShape::Path
        } else {
            ReplyShape::PathAndStat
        }
    };
    match (write, txn) {
        (_, Txn::Error(_)) => ReplyShape::Header,
        (Write::Create(create), txn) => created(create, txn),
        (Write::SetData(_) | Write::SetAcl(_), _) => ReplyShape::Stat,
        (Write::Multi(ops), Txn::Multi(parts)) => {
            let shape = |(op, part): (&WriteOp, &Txn)| match op {
                WriteOp::Create(create) => created(create, part),
                WriteOp::SetData(_) => ReplyShape::Stat,
                WriteOp::Delete(_) | WriteOp::Check(_) => ReplyShape::Header,
            };
            ReplyShape::Multi(ops.iter().zip(parts).map(shape).collect())
        }
        _ => ReplyShape::Header,
    }
}

/// A judged request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What goes into the log; [`Txn::Error`] when refused.
    pub txn: Txn,
    /// The tree afterwards.
    pub digest: Option<TxnDigest>,
    /// What the reply carries if it succeeds.
    pub shape: ReplyShape,
    /// The path of a quota whose soft limit this passes: allowed, and worth a line in the log.
    pub over_soft_quota: Option<String>,
}

/// Judges one write. `zxid` is the place it will have, `time` the clock in ms since 1970.
pub fn prepare(
    tree: &Tree,
    pending: &mut Pending,
    rules: &Rules,
    author: Author<'_>,
    (zxid, time): (Zxid, i64),
    write: &Write,
) -> Prepared {
    pending.begin(tree, zxid);
    let mut judge = Judge {
        tree,
        pending,
        rules,
        author,
        zxid,
        time,
        acl_bytes: 0,
        over_soft_quota: None,
    };
    let (txn, shape) = match judge.write(write) {
        Ok(judged) => judged,
        Err(code) => (Txn::Error(code.code()), ReplyShape::Header),
    };
    let digest = match txn {
        Txn::Error(_) => None,
        _ => judge.digest(),
    };
    let over_soft_quota = judge.over_soft_quota;
    Prepared {
        txn,
        digest,
        shape,
        over_soft_quota,
    }
}

/// Judges the begin of a session, which always succeeds.
pub fn prepare_session(
    tree: &Tree,
    pending: &mut Pending,
    rules: &Rules,
    zxid: Zxid,
    timeout_ms: i32,
) -> Prepared {
    pending.begin(tree, zxid);
    let txn = Txn::CreateSession { timeout_ms };
    let digest = rules.digest.then(|| current_digest(pending));
    Prepared {
        txn,
        digest,
        shape: ReplyShape::Header,
        over_soft_quota: None,
    }
}

const fn current_digest(pending: &Pending) -> TxnDigest {
    TxnDigest {
        version: DIGEST_VERSION,
        tree_digest: pending.digest(),
    }
}

struct Judge<'a> {
    tree: &'a Tree,
    pending: &'a mut Pending,
    rules: &'a Rules,
    author: Author<'a>,
    zxid: Zxid,
    time: i64,
    /// Bytes of the ACLs so far: expanding `auth` may make a request far longer than it came.
    acl_bytes: usize,
    /// The path of a quota whose soft limit the request passes.
    over_soft_quota: Option<String>,
}

pub(crate) type Judged<T> = Result<T, ErrorCode>;

impl Judge<'_> {
    fn write(&mut self, write: &Write) -> Judged<(Txn, ReplyShape)> {
        match write {
            Write::Create(create) => {
                let kind = self.maker().alone(create)?;
                self.create(create, kind)
            }
            Write::Delete(delete) => Ok((self.delete(delete)?, ReplyShape::Header)),
            Write::SetData(set) => Ok((self.set_data(set)?, ReplyShape::Stat)),
            Write::SetAcl(set) => Ok((self.set_acl(set)?, ReplyShape::Stat)),
            Write::Multi(ops) => self.multi(ops),
            Write::BrokenMulti => Err(ErrorCode::MarshallingError),
            Write::Reconfig(_) if !self.rules.reconfig => Err(ErrorCode::ReconfigDisabled),
            Write::Reconfig(_) => Err(ErrorCode::Unimplemented),
            Write::CloseSession => Ok((self.close_session(), ReplyShape::Header)),
            Write::DeleteContainer(path) => Ok((self.delete_container(path)?, ReplyShape::Header)),
        }
    }

    fn digest(&self) -> Option<TxnDigest> {
        self.rules.digest.then(|| current_digest(self.pending))
    }

    fn get(&self, path: &str) -> Option<Known> {
        self.pending.get(self.tree, path)
    }

    fn existing(&self, path: &str) -> Judged<Known> {
        self.get(path).ok_or(ErrorCode::NoNode)
    }

    fn allow(&self, known: &Known, needed: i32) -> Judged<()> {
        if acl::permits(&self.rules.auth, &known.acl, needed, self.author.identities) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    fn fixed_acl(&mut self, acl: Option<&[AclRequest]>) -> Judged<Arc<[Acl]>> {
        if acl.is_some_and(is_open) {
            return Ok(Arc::clone(self.tree.open_acl()));
        }
        let fixed = acl::fix_up(&self.rules.auth, acl, self.author.identities)?;
        self.acl_bytes += fixed
            .iter()
            .map(|entry| 12 + entry.who.scheme.len() + entry.who.id.len())
            .sum::<usize>();
        // The rest of the record is no longer than the request, which is at most the other half.
        if self.acl_bytes > self.rules.max_record_bytes / 2 {
            Err(ErrorCode::InvalidAcl)
        } else {
            Ok(fixed.into())
        }
    }

    // Create.

    fn maker(&self) -> Maker {
        Maker {
            extended_types: self.rules.extended_types,
            session: self.author.session,
        }
    }

    fn create(&mut self, create: &Create, kind: Kind) -> Judged<(Txn, ReplyShape)> {
        let given = create.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        let (parent_path, _) = split_without_nul(given)?;
        let acl = self.fixed_acl(create.acl.as_deref())?;
        let parent = self.existing(parent_path)?;
        self.allow(&parent, perms::CREATE)?;
        let path = if kind.mode.is_sequential() {
            format!("{given}{:010}", parent.created)
        } else {
            given.to_owned()
        };
        path::validate(&path).map_err(|_| ErrorCode::BadArguments)?;
        if self.get(&path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        let parent_owner = Owner::decode(parent.stat.ephemeral_owner, self.rules.extended_types);
        if matches!(parent_owner, Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data_len = tree::count(create.data.as_ref().map_or(0, bytes::Bytes::len));
        self.check_quota(
            &path,
            Usage {
                count: 1,
                bytes: i64::from(data_len),
            },
        )?;
        if parent_path == quota::QUOTA_ROOT
            && path::split(&path).is_some_and(|(_, name)| name == quota::LIMITS)
        {
            // A quota on the root: Java stops working when it meets one (client protocol 8.3).
            return Err(ErrorCode::BadArguments);
        }

        let stat = StatPersisted {
            czxid: self.zxid,
            mzxid: self.zxid,
            ctime: self.time,
            mtime: self.time,
            ephemeral_owner: kind.owner.encode(),
            pzxid: self.zxid,
            ..StatPersisted::default()
        };
        let content_crc = tree::content_crc(&path, create.data.as_deref());
        let node = Known {
            stat,
            created: 0,
            acl: Arc::clone(&acl),
            children: 0,
            data_len,
            content_crc,
            digest: 0,
        };
        self.pending.set(self.zxid, &path, None, Some(node));
        if let Owner::Session(session) = kind.owner {
            self.pending.own(session, &path);
        }
        let mut after = parent.clone();
        after.created = after.created.wrapping_add(1);
        let parent_cversion = after.created;
        apply::count_created(&mut after.stat, self.zxid, parent_cversion);
        after.children += 1;
        self.pending.set(
            self.zxid,
            overlay_key(parent_path),
            Some(&parent),
            Some(after),
        );
        let data = create.data.clone();
        let txn = Txn::Create(CreateTxn {
            kind: kind.txn,
            path,
            data,
            acl,
            parent_cversion,
        });
        Ok((txn, kind.shape))
    }

    // Delete.

    fn delete(&mut self, delete: &Delete) -> Judged<Txn> {
        let path = delete.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        let parent_path = deletable(path)?;
        let parent = self.existing(parent_path)?;
        self.allow(&parent, perms::DELETE)?;
        let node = self.existing(path)?;
        check_version(delete.version, node.stat.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.forget(path, &node);
        Ok(Txn::Delete(DeleteTxn {
            path: path.to_owned(),
            by_server: false,
        }))
    }

    /// No ACL and no session check: the request comes from the server itself. Everything else is checked again, because the
    /// znode may have changed since the reaper saw it.
    fn delete_container(&mut self, path: &str) -> Judged<Txn> {
        deletable(path)?;
        let node = self.existing(path)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        if !self.is_still_due(path, &node) {
            return Err(ErrorCode::BadVersion);
        }
        self.forget(path, &node);
        Ok(Txn::Delete(DeleteTxn {
            path: path.to_owned(),
            by_server: true,
        }))
    }

    /// True unless a write in flight put another znode in the place of the one that the reaper saw, or renewed its TTL. Java
    /// deletes whatever empty znode is there, a persistent one included.
    fn is_still_due(&self, path: &str, node: &Known) -> bool {
        let seen = self.tree.get(path).map(|view| view.persisted().czxid);
        let due = match Owner::decode(node.stat.ephemeral_owner, self.rules.extended_types) {
            Owner::Container => true,
            Owner::Ttl(ttl) => self.time.saturating_sub(node.stat.mtime) > ttl,
            Owner::None | Owner::Session(_) => false,
        };
        due && seen == Some(node.stat.czxid)
    }

    /// Notes that `path` goes.
    fn forget(&mut self, path: &str, node: &Known) {
        self.pending.set(self.zxid, path, Some(node), None);
        let Some((parent_path, _)) = path::split(path) else {
            return;
        };
        let Some(parent) = self.get(parent_path) else {
            return;
        };
        let mut after = parent.clone();
        after.stat.pzxid = after.stat.pzxid.max(self.zxid);
        after.children -= 1;
        self.pending.set(
            self.zxid,
            overlay_key(parent_path),
            Some(&parent),
            Some(after),
        );
    }

    fn close_session(&mut self) -> Txn {
        let paths = self.pending.ephemerals(self.tree, self.author.session);
        for path in &paths {
            if let Some(node) = self.get(path) {
                self.forget(path, &node);
            }
        }
        if !self.rules.close_session_paths {
            return Txn::CloseSession { paths: None };
        }
        let bytes: usize = paths.iter().map(|path| path.len() + 4).sum();
        let fits = bytes <= self.rules.max_record_bytes;
        let paths = if fits {
            paths.into_iter().collect()
        } else {
            Vec::new()
        };
        Txn::CloseSession { paths: Some(paths) }
    }

    // Changes.

    fn set_data(&mut self, set: &SetData) -> Judged<Txn> {
        let path = valid(set.path.as_deref())?;
        let node = self.existing(path)?;
        self.allow(&node, perms::WRITE)?;
        let data_len = tree::count(set.data.as_ref().map_or(0, bytes::Bytes::len));
        let bytes = i64::from(data_len) - i64::from(node.data_len);
        self.check_quota(path, Usage { count: 0, bytes })?;
        check_version(set.version, node.stat.version)?;
        if quota::subject(path, quota::STATS).is_some()
            && set.data.as_deref().and_then(Usage::parse).is_none()
        {
            // A Java member stops working when it meets such a text (client protocol 8.3).
            return Err(ErrorCode::BadArguments);
        }
        let mut after = node.clone();
        after.stat.version = after.stat.version.wrapping_add(1);
        after.stat.mzxid = self.zxid;
        after.stat.mtime = self.time;
        after.data_len = data_len;
        after.content_crc = tree::content_crc(digest_path(path), set.data.as_deref());
        let version = after.stat.version;
        self.pending
            .set(self.zxid, overlay_key(path), Some(&node), Some(after));
        let data = set.data.clone();
        Ok(Txn::SetData(SetDataTxn {
            path: path.to_owned(),
            data,
            version,
            reconfig: false,
        }))
    }

    fn set_acl(&mut self, set: &SetAcl) -> Judged<Txn> {
        let path = valid(set.path.as_deref())?;
        let acl = self.fixed_acl(set.acl.as_deref())?;
        let node = self.existing(path)?;
        self.allow(&node, perms::ADMIN)?;
        check_version(set.version, node.stat.aversion)?;
        let mut after = node.clone();
        after.stat.aversion = after.stat.aversion.wrapping_add(1);
        after.acl = Arc::clone(&acl);
        let version = after.stat.aversion;
        self.pending
            .set(self.zxid, overlay_key(path), Some(&node), Some(after));
        Ok(Txn::SetAcl(SetAclTxn {
            path: path.to_owned(),
            acl,
            version,
        }))
    }

    fn check(&self, check: &Check) -> Judged<Txn> {
        let path = check.path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        let path = valid(Some(path))?;
        let node = self.existing(path)?;
        self.allow(&node, perms::READ)?;
        check_version(check.version, node.stat.version)?;
        // The log keeps the version after the check, which is what Java writes.
        let version = node.stat.version.wrapping_add(1);
        Ok(Txn::Check(CheckTxn {
            path: path.to_owned(),
            version,
        }))
    }

    // Multi.

    fn multi(&mut self, ops: &[WriteOp]) -> Judged<(Txn, ReplyShape)> {
        if ops.iter().any(|op| self.is_broken(op)) {
            return Err(ErrorCode::MarshallingError);
        }
        self.pending.begin_multi();
        let mut parts = Vec::with_capacity(ops.len());
        let mut shapes = Vec::with_capacity(ops.len());
        let mut failed = None;
        for op in ops {
            if failed.is_some() {
                parts.push(Txn::Error(ErrorCode::RuntimeInconsistency.code()));
                continue;
            }
            match self.multi_op(op) {
                Ok((txn, shape)) => {
                    parts.push(txn);
                    shapes.push(shape);
                }
                Err(ErrorCode::MarshallingError) => {
                    // Not an error of the protocol but of the request: it fails as a whole (client protocol 4.7).
                    self.pending.roll_back();
                    return Err(ErrorCode::MarshallingError);
                }
                Err(code) => {
                    failed = Some(code);
                    parts.push(Txn::Error(code.code()));
                }
            }
        }
        match failed {
            Some(_) => self.pending.roll_back(),
            None => self.pending.keep(),
        }
        Ok((Txn::Multi(parts), ReplyShape::Multi(shapes)))
    }

    /// True when the operation spoils the whole multi instead of failing alone.
    fn is_broken(&self, op: &WriteOp) -> bool {
        match op {
            WriteOp::Create(create) => {
                let undecodable =
                    self.maker().in_multi(create).err() == Some(ErrorCode::MarshallingError);
                create.path.is_none() || undecodable
            }
            WriteOp::Delete(delete) => delete.path.is_none(),
            WriteOp::SetData(set) => set.path.is_none(),
            WriteOp::Check(check) => check.path.is_none(),
        }
    }

    fn multi_op(&mut self, op: &WriteOp) -> Judged<(Txn, ReplyShape)> {
        match op {
            WriteOp::Create(create) => {
                let kind = self.maker().in_multi(create)?;
                self.create(create, kind)
            }
            WriteOp::Delete(delete) => Ok((self.delete(delete)?, ReplyShape::Header)),
            WriteOp::SetData(set) => Ok((self.set_data(set)?, ReplyShape::Stat)),
            WriteOp::Check(check) => Ok((self.check(check)?, ReplyShape::Header)),
        }
    }

    // Quota.

    fn check_quota(&mut self, path: &str, change: Usage) -> Judged<()> {
        if !self.rules.enforce_quota {
            return Ok(());
        }
        let Some(prefix) = self.tree.quotas.deepest(path) else {
            return Ok(());
        };
        let data = |path: String| self.tree.get(&path).and_then(|view| view.data());
        let Some(limits) = data(quota::limits_path(prefix)) else {
            return Ok(());
        };
        let Some(usage) = data(quota::stats_path(prefix)) else {
            return Ok(());
        };
        let limits = Limits::parse(limits).ok_or(ErrorCode::MarshallingError)?;
        let usage = Usage::parse(usage).ok_or(ErrorCode::MarshallingError)?;
        match limits.judge(usage, change) {
            Verdict::Forbidden => return Err(ErrorCode::QuotaExceeded),
            Verdict::Noted => self.over_soft_quota = Some(prefix.to_owned()),
            Verdict::Fine => {}
        }
        Ok(())
    }
}

/// Everything to everybody: the ACL of nearly every request, which needs no fix-up and no memory of its own.
fn is_open(acl: &[AclRequest]) -> bool {
    match acl {
        [entry] => {
            entry.perms == perms::ALL
                && entry.scheme.as_deref() == Some("world")
                && entry.id.as_deref() == Some("anyone")
        }
        _ => false,
    }
}

/// The root has one name in the overlay, whatever the request called it.
fn overlay_key(path: &str) -> &str {
    if path.is_empty() { path::ROOT } else { path }
}

/// The root's path is empty in the digest.
fn digest_path(path: &str) -> &str {
    if path == path::ROOT { "" } else { path }
}

fn split_without_nul(path: &str) -> Judged<(&str, &str)> {
    if path.contains('\0') {
        return Err(ErrorCode::BadArguments);
    }
    path::split(path).ok_or(ErrorCode::BadArguments)
}

/// The parent of a znode that may be deleted.
fn deletable(path: &str) -> Judged<&str> {
    let (parent, _) = split_without_nul(path)?;
    match path {
        path::ROOT | "/zookeeper" | quota::QUOTA_ROOT | tree::CONFIG_PATH => {
            Err(ErrorCode::BadArguments)
        }
        _ => Ok(parent),
    }
}

fn valid(path: Option<&str>) -> Judged<&str> {
    let path = path.ok_or(ErrorCode::BadArguments)?;
    path::validate(path)
        .map(|()| path)
        .map_err(|_| ErrorCode::BadArguments)
}

/// -1 means: do not compare.
fn check_version(expected: i32, actual: i32) -> Judged<()> {
    if expected == -1 || expected == actual {
        Ok(())
    } else {
        Err(ErrorCode::BadVersion)
    }
}
