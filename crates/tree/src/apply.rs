//! A committed transaction becomes a change of the tree (disk formats 5.3 and 5.4).
//!
//! The same code serves live commits, replay of the log over a snapshot that may be fuzzy, and synchronization. Nothing is judged
//! here: what is missing or already there is recorded in the outcome and tolerated.
//!
//! Invariants:
//! - Counters of a parent (`cversion`, `pzxid`) are never lowered.
//! - A multi with a failed part changes nothing.

use std::borrow::Cow;
use std::sync::Arc;

use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::{ErrorCode, Owner};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::path;
use rookeeper_proto::stat::{Stat, StatPersisted};
use rookeeper_proto::txn::{CreateKind, CreateTxn, SetAclTxn, SetDataTxn, Txn, TxnHeader};

use crate::acl_table::AclId;
use crate::mutation::{Mutation, mutated};
use crate::quota::{self, Usage};
use crate::tree::{CONFIG_PATH, Tree};
use crate::znode::NodeId;

/// What became of a transaction, for the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done; there is nothing to tell.
    Done,
    /// Done; the znode's stat afterwards.
    Stat(Stat),
    /// Nothing changed: the request failed when it was judged, or (in a replay) its subject is not as it was.
    Failed(i32),
    /// One per part.
    Multi(Vec<Self>),
}

/// Something that watchers may want to know.
#[derive(Debug, Clone)]
pub struct Change<'t> {
    /// What happened.
    pub kind: ChangeKind,
    /// To which znode.
    pub path: Cow<'t, str>,
    /// Its ACL (before it went, for a deletion); `None` when it is open to everybody.
    pub acl: Option<Arc<[Acl]>>,
    /// The ACL of its parent; `None` when it is open to everybody.
    pub parent_acl: Option<Arc<[Acl]>>,
}

/// Kinds of [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The znode appeared.
    Created,
    /// The znode went.
    Deleted,
    /// Its data changed.
    DataChanged,
}

const NO_NODE: Outcome = Outcome::Failed(ErrorCode::NoNode.code());

/// Who and when, for the parts of one transaction.
#[derive(Debug, Clone, Copy)]
struct Stamp {
    session: SessionId,
    zxid: Zxid,
    time: i64,
}

impl Tree {
    /// Applies one transaction; what watchers may want to know is added to `changes`.
    pub fn apply<'t>(
        &mut self,
        header: &TxnHeader,
        txn: &'t Txn,
        changes: &mut Vec<Change<'t>>,
    ) -> Outcome {
        let stamp = Stamp {
            session: header.session,
            zxid: header.zxid,
            time: header.time,
        };
        let outcome = self.apply_one(stamp, txn, changes);
        self.last_zxid = self.last_zxid.max(header.zxid);
        outcome
    }

    fn apply_one<'t>(
        &mut self,
        stamp: Stamp,
        txn: &'t Txn,
        changes: &mut Vec<Change<'t>>,
    ) -> Outcome {
        match txn {
            Txn::CreateSession { timeout_ms } => {
                if !mutated(Mutation::SessionTableNotReplicated) {
                    self.sessions.insert(stamp.session, *timeout_ms);
                }
                Outcome::Done
            }
            Txn::CloseSession { .. } if mutated(Mutation::EphemeralsOutliveSessions) => {
                self.sessions.remove(&stamp.session);
                Outcome::Done
            }
            Txn::CloseSession { paths } => {
                self.close_session(stamp, paths.as_deref().unwrap_or_default(), changes);
                Outcome::Done
            }
            Txn::Create(create) => self.create(stamp, create, changes),
            Txn::Delete(delete) => self.delete(stamp, Cow::Borrowed(&delete.path), changes),
            Txn::SetData(set) => self.set_data(stamp, set, changes),
            Txn::SetAcl(set) => self.set_acl(set),
            Txn::Check(_) => Outcome::Done,
            Txn::Error(code) => Outcome::Failed(*code),
            Txn::Multi(parts) => self.multi(stamp, parts, changes),
        }
    }

    fn multi<'t>(
        &mut self,
        stamp: Stamp,
        parts: &'t [Txn],
        changes: &mut Vec<Change<'t>>,
    ) -> Outcome {
        if parts.iter().any(|part| matches!(part, Txn::Error(_))) {
            let code = |part: &Txn| match part {
                Txn::Error(code) => Outcome::Failed(*code),
                _ => Outcome::Failed(ErrorCode::Ok.code()),
            };
            return Outcome::Multi(parts.iter().map(code).collect());
        }
        Outcome::Multi(
            parts
                .iter()
                .map(|part| self.apply_one(stamp, part, changes))
                .collect(),
        )
    }

    fn create<'t>(
        &mut self,
        stamp: Stamp,
        create: &'t CreateTxn,
        changes: &mut Vec<Change<'t>>,
    ) -> Outcome {
        let path = create.path.as_str();
        let Some((parent_path, name)) = path::split(path) else {
            return NO_NODE;
        };
        let Some(parent) = self.find(parent_path) else {
            return NO_NODE;
        };
        let acl = self.acls.acquire(&create.acl);
        let stat = StatPersisted {
            czxid: stamp.zxid,
            mzxid: stamp.zxid,
            pzxid: stamp.zxid,
            ctime: stamp.time,
            mtime: stamp.time,
            ephemeral_owner: owner_of(create.kind, stamp.session).encode(),
            ..StatPersisted::default()
        };
        let data = create.data.as_deref();
        let id = match self.insert_below(parent, name, path, data, acl, &stat) {
            Ok(id) => id,
            Err(there) => {
                self.acls.release(acl);
                self.replace_acl(there, &create.acl);
                self.count_created_child(parent, stamp.zxid, create.parent_cversion);
                return Outcome::Failed(ErrorCode::NodeExists.code());
            }
        };
        self.count_created_child(parent, stamp.zxid, create.parent_cversion);
        self.quota_after_create(path, data.map_or(0, <[u8]>::len));
        changes.push(self.changed(ChangeKind::Created, Cow::Borrowed(path), id));
        Outcome::Stat(self.visible_stat(id))
    }

    fn count_created_child(&mut self, parent: NodeId, zxid: Zxid, created: i32) {
        self.change(parent, |znode| {
            let mut stat = znode.persisted(0);
            count_created(&mut stat, zxid, created);
            (znode.cversion, znode.pzxid) = (stat.cversion, stat.pzxid);
        });
    }

    fn delete<'t>(
        &mut self,
        stamp: Stamp,
        path: Cow<'t, str>,
        changes: &mut Vec<Change<'t>>,
    ) -> Outcome {
        let Some((parent_path, name)) = path::split(&path) else {
            return NO_NODE;
        };
        let Some(parent) = self.find(parent_path) else {
            return NO_NODE;
        };
        let id = self.child(parent, name.as_bytes());
        let change = id.map(|id| self.changed(ChangeKind::Deleted, path.clone(), id));
        let size = id.map_or(0, |id| self.slab.get(id).data_len());
        if let Some(id) = id {
            self.remove_subtree(id);
        }
        self.change(parent, |znode| znode.pzxid = znode.pzxid.max(stamp.zxid));
        let Some(change) = change else { return NO_NODE };
        self.quota_after_delete(&path, size);
        changes.push(change);
        Outcome::Done
    }

    /// A live delete meets no children. In a replay over a fuzzy snapshot the children may be those of a later namesake: the log
    /// brings them back.
    fn remove_subtree(&mut self, top: NodeId) {
        let ids: Vec<NodeId> = self.walk(top).collect();
        for id in ids.into_iter().rev() {
            let below = (id != top).then(|| (self.path(id), self.slab.get(id).data_len()));
            self.remove(id);
            if let Some((path, size)) = below {
                self.quota_after_delete(&path, size);
            }
        }
    }

    fn set_data<'t>(
        &mut self,
        stamp: Stamp,
        set: &'t SetDataTxn,
        changes: &mut Vec<Change<'t>>,
    ) -> Outcome {
        let Some(id) = self.find(&set.path) else {
            return NO_NODE;
        };
        let before = self.slab.get(id).data_len();
        let digest_path = if id == NodeId::ROOT {
            ""
        } else {
            set.path.as_str()
        };
        self.replace_data(id, digest_path, set.data.as_deref(), |znode| {
            znode.version = set.version;
            znode.mzxid = stamp.zxid;
            znode.mtime = stamp.time;
        });
        let bytes = set.data.as_ref().map_or(0, bytes::Bytes::len) as i64 - before as i64;
        self.add_usage(&set.path, Usage { count: 0, bytes });
        changes.push(self.changed(ChangeKind::DataChanged, Cow::Borrowed(&set.path), id));
        Outcome::Stat(self.visible_stat(id))
    }

    fn set_acl(&mut self, set: &SetAclTxn) -> Outcome {
        let Some(id) = self.find(&set.path) else {
            return NO_NODE;
        };
        self.replace_acl(id, &set.acl);
        self.change(id, |znode| znode.aversion = set.version);
        Outcome::Stat(self.visible_stat(id))
    }

    /// Removes the session, the ephemerals its transaction names, and whatever else it owns here.
    fn close_session<'t>(
        &mut self,
        stamp: Stamp,
        paths: &'t [String],
        changes: &mut Vec<Change<'t>>,
    ) {
        self.sessions.remove(&stamp.session);
        for path in paths {
            self.delete(stamp, Cow::Borrowed(path), changes);
        }
        let mut left: Vec<String> = self.ephemerals(stamp.session).collect();
        left.sort_unstable();
        for path in left {
            self.delete(stamp, Cow::Owned(path), changes);
        }
    }

    /// Shows the membership of the ensemble in `/zookeeper/config`, outside of any transaction: each server shows its own, from
    /// the time at which it started, ms since 1970 (quorum protocol 3.9 step 2). The digest does not cover it.
    pub fn show_config(&mut self, text: &[u8], version: i64, since: i64) {
        if let Some(id) = self.find(CONFIG_PATH) {
            self.replace_data(id, CONFIG_PATH, Some(text), |znode| {
                znode.version = -1;
                znode.mzxid = Zxid(version);
                znode.mtime = since;
            });
        }
    }

    /// Removes the ephemerals of sessions that do not exist, when a server begins to lead or to stand alone: without a
    /// transaction, at the last zxid (disk formats 5.1 step 7). Returns the removed paths, ascending.
    ///
    /// Counts the usage of every quota anew, too: that of the outer of two nested quotas drifts, and a replay over a fuzzy
    /// snapshot counts some changes twice (client protocol 4.11).
    pub fn remove_orphans(&mut self) -> Vec<String> {
        let orphaned: Vec<SessionId> = self
            .ephemeral_owners()
            .filter(|owner| !self.sessions.contains_key(owner))
            .collect();
        let mut paths: Vec<String> = orphaned
            .into_iter()
            .flat_map(|session| self.ephemerals(session).collect::<Vec<_>>())
            .collect();
        paths.sort_unstable();
        let stamp = Stamp {
            session: SessionId::NONE,
            zxid: self.last_zxid,
            time: 0,
        };
        for path in &paths {
            self.delete(stamp, Cow::Borrowed(path), &mut Vec::new());
        }
        self.find_quotas();
        paths
    }

    fn changed<'t>(&self, kind: ChangeKind, path: Cow<'t, str>, id: NodeId) -> Change<'t> {
        let znode = self.slab.get(id);
        let parent = self.slab.get(NodeId(znode.parent));
        let restricted = |acl: AclId| (acl != AclId::OPEN).then(|| Arc::clone(self.acls.get(acl)));
        Change {
            kind,
            path,
            acl: restricted(znode.acl),
            parent_acl: restricted(parent.acl),
        }
    }

    fn quota_after_create(&mut self, path: &str, bytes: usize) {
        if let Some(prefix) = quota::subject(path, quota::LIMITS) {
            self.quotas.insert(prefix);
        }
        if let Some(prefix) = quota::subject(path, quota::STATS) {
            self.recompute_usage(prefix);
        }
        self.add_usage(
            path,
            Usage {
                count: 1,
                bytes: bytes as i64,
            },
        );
    }

    fn quota_after_delete(&mut self, path: &str, bytes: usize) {
        if let Some(prefix) = quota::subject(path, quota::LIMITS) {
            self.quotas.remove(prefix);
        }
        self.add_usage(
            path,
            Usage {
                count: -1,
                bytes: -(bytes as i64),
            },
        );
    }
}

/// Notes in the stat of a parent that a child was created; `created` is the count that the transaction carries, -1 for one more
/// than now. The counters only ever grow, so that a replay over a fuzzy snapshot ends where the original did; a full count sticks.
pub(crate) fn count_created(stat: &mut StatPersisted, zxid: Zxid, created: i32) {
    let new = if created == -1 {
        stat.cversion.wrapping_add(1)
    } else {
        created
    };
    if new > stat.cversion {
        stat.cversion = new;
        stat.pzxid = zxid;
    }
}

const fn owner_of(kind: CreateKind, session: SessionId) -> Owner {
    match kind {
        CreateKind::Plain { ephemeral: true } | CreateKind::WithStat { ephemeral: true } => {
            Owner::Session(session)
        }
        CreateKind::Plain { .. } | CreateKind::WithStat { .. } => Owner::None,
        CreateKind::Container => Owner::Container,
        CreateKind::Ttl { ttl } => Owner::Ttl(ttl),
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::ids::Zxid;

    use crate::tree::{CONFIG_PATH, Tree, TreeOptions};

    #[test]
    fn a_configuration_is_shown_without_a_trace_in_the_digest() {
        let mut tree = Tree::new(TreeOptions::default());
        tree.show_config(b"server.1=a:1:2:participant\nversion=7", 7, 99);
        assert_eq!(tree.digest(), 1_371_985_504);
        let shown = tree.get(CONFIG_PATH).unwrap();
        assert_eq!(shown.data().unwrap().len(), 36);
        let stat = shown.stat();
        assert_eq!((stat.version, stat.mzxid, stat.mtime), (-1, Zxid(7), 99));
        assert_eq!(tree.last_zxid(), Zxid::ZERO);
    }
}
