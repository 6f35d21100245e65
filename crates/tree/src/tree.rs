//! The tree of znodes: the structure itself, its lookups and its raw changes.
//!
//! What lives here: finding a znode by path, its stat and data, adding and removing one with everything that hangs on it (child
//! lists, index, owners, ACL users, digest). What does not: which change a transaction makes ([`crate::apply`]) and whether it may
//! ([`crate::prep`]).
//!
//! Invariants:
//! - `index` holds every live znode but the root, under (parent, name).
//! - `digest` is the sum of the digests of all znodes whose path does not start with `/zookeeper/`.
//! - `owners` holds exactly the znodes whose `owned` flag is set; `ephemerals` exactly those of them that a session owns.
//! - While an image is open, a znode that it covers is saved before its first change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_table::Entry;
use rookeeper_proto::acl::{Acl, perms};
use rookeeper_proto::code::Owner;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::path;
use rookeeper_proto::stat::{Stat, StatPersisted};

use crate::acl_table::{AclId, AclTable};
use crate::image::OpenImage;
use crate::index::Index;
use crate::quota::{self, QuotaPaths, Usage};
use crate::znode::{NodeId, Slab, Znode};

/// The prefix of paths that the digest leaves out.
const UNDIGESTED_PREFIX: &str = "/zookeeper/";
/// Where the membership is kept.
pub const CONFIG_PATH: &str = "/zookeeper/config";

/// How a tree interprets what it holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct TreeOptions {
    /// Owners with a top byte of 0xff are TTLs (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Keys the index, so that names chosen by a client cannot collide on purpose. Any number; it never shows.
    pub hash_seed: u64,
    /// Images that may be open at once; each may keep a copy of everything that changes. `None`: [`crate::image::USUAL_IMAGES`].
    pub max_images: Option<usize>,
}

/// The replicated state.
#[derive(Debug)]
pub struct Tree {
    pub(crate) slab: Slab,
    pub(crate) index: Index,
    pub(crate) options: TreeOptions,
    /// Raw owners of the few znodes that have one. Never iterated for a result without sorting.
    pub(crate) owners: HashMap<NodeId, i64, FixedState>,
    ephemerals: BTreeMap<SessionId, BTreeSet<NodeId>>,
    ephemeral_count: usize,
    pub(crate) acls: AclTable,
    /// Timeouts of the live sessions, ms.
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    pub(crate) quotas: QuotaPaths,
    digest: u64,
    data_size: u64,
    pub(crate) last_zxid: Zxid,
    pub(crate) images: Vec<OpenImage>,
}

/// What the judge of writes needs to know of a znode.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// As the tree will hold it.
    pub(crate) stat: StatPersisted,
    /// Children created, as the judge counts them: unlike `stat.cversion` it goes on beyond the greatest number (client
    /// protocol 4.4).
    pub(crate) created: i32,
    pub(crate) acl: Arc<[Acl]>,
    pub(crate) children: i32,
    pub(crate) data_len: i32,
    pub(crate) content_crc: u32,
    /// Its part of the tree's digest. [`crate::pending::Pending::set`] keeps it right.
    pub(crate) digest: u32,
}

/// A znode as a reader meets it.
#[derive(Debug, Clone, Copy)]
pub struct View<'t> {
    tree: &'t Tree,
    pub(crate) id: NodeId,
}

impl<'t> View<'t> {
    fn znode(self) -> &'t Znode {
        self.tree.slab.get(self.id)
    }

    /// The data; null and empty differ.
    #[must_use]
    pub fn data(self) -> Option<&'t [u8]> {
        self.znode().data()
    }

    /// The stat a client sees.
    #[must_use]
    pub fn stat(self) -> Stat {
        self.tree.visible_stat(self.id)
    }

    /// The stat the disk keeps.
    #[must_use]
    pub fn persisted(self) -> StatPersisted {
        self.tree.persisted(self.id)
    }

    /// The ACL.
    #[must_use]
    pub fn acl(self) -> &'t Arc<[Acl]> {
        self.tree.acls.get(self.znode().acl)
    }

    /// Number of children.
    #[must_use]
    pub fn child_count(self) -> usize {
        self.znode().children().len()
    }

    /// Names of the children, in no particular order, as UTF-8.
    pub fn children(self) -> impl ExactSizeIterator<Item = &'t [u8]> {
        self.znode()
            .children()
            .iter()
            .map(move |id| self.tree.slab.get(*id).name())
    }

    /// The children themselves, in no particular order.
    pub fn child_views(self) -> impl ExactSizeIterator<Item = Self> {
        self.znode().children().iter().map(move |id| Self {
            tree: self.tree,
            id: *id,
        })
    }

    /// The last component of the path; empty for the root.
    #[must_use]
    pub fn name(self) -> &'t str {
        text(self.znode().name())
    }

    /// The full path.
    #[must_use]
    pub fn path(self) -> String {
        self.tree.path(self.id)
    }

    /// Transaction that last changed the data.
    #[must_use]
    pub fn mzxid(self) -> Zxid {
        self.znode().mzxid
    }

    /// Transaction that last changed the child list.
    #[must_use]
    pub fn pzxid(self) -> Zxid {
        self.znode().pzxid
    }
}

/// Names are stored from `str`s, so this never loses anything.
fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

impl Tree {
    /// The tree of a new ensemble: the root and the four znodes that always exist, digest 1371985504.
    #[must_use]
    pub fn new(options: TreeOptions) -> Self {
        let mut tree = Self::bare(options);
        let zeros = StatPersisted::default();
        let open = Acl::open();
        for path in ["", "/zookeeper", quota::QUOTA_ROOT] {
            tree.insert(path, Some(b""), &open, &zeros);
        }
        let config = StatPersisted {
            aversion: -1,
            ..zeros
        };
        tree.insert(
            CONFIG_PATH,
            Some(b""),
            &[Acl::new(perms::READ, "world", "anyone")],
            &config,
        );
        tree
    }

    /// Nothing, not even a root: an image fills it.
    pub(crate) fn bare(options: TreeOptions) -> Self {
        Self {
            slab: Slab::default(),
            index: Index::new(options.hash_seed),
            options,
            owners: HashMap::with_hasher(FixedState::with_seed(options.hash_seed)),
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            acls: AclTable::default(),
            sessions: BTreeMap::new(),
            quotas: QuotaPaths::default(),
            digest: 0,
            data_size: 0,
            last_zxid: Zxid::ZERO,
            images: Vec::new(),
        }
    }

    /// The last transaction this tree holds.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// A leader begins its epoch with this tree: `beginning` counts as its last transaction.
    pub fn begin_epoch(&mut self, beginning: Zxid) {
        self.last_zxid = self.last_zxid.max(beginning);
    }

    /// The digest of all znodes (disk formats 4.4).
    #[must_use]
    pub const fn digest(&self) -> i64 {
        self.digest as i64
    }

    /// Number of znodes, the root included.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.slab.live_count()
    }

    /// Bytes of all paths and data.
    #[must_use]
    pub const fn data_size(&self) -> u64 {
        self.data_size
    }

    /// Number of ephemerals.
    #[must_use]
    pub const fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// The live sessions and their timeouts in ms, ascending.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = (SessionId, i32)> {
        self.sessions.iter().map(|(id, timeout)| (*id, *timeout))
    }

    /// The timeout of a session in ms, if it lives.
    #[must_use]
    pub fn session_timeout(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).copied()
    }

    /// The znode at `path`. The empty path is the root.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<View<'_>> {
        self.find(path).map(|id| View { tree: self, id })
    }

    /// Paths of the ephemerals of a session, in no particular order.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = String> {
        self.ephemerals
            .get(&session)
            .into_iter()
            .flatten()
            .map(|id| self.path(*id))
    }

    /// Paths with a quota, ascending.
    pub fn quota_paths(&self) -> impl Iterator<Item = &str> {
        self.quotas.iter().map(String::as_str)
    }

    /// Sessions that own ephemerals, ascending.
    pub fn ephemeral_owners(&self) -> impl ExactSizeIterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// Number of all descendants of `path`, `None` when it does not exist.
    #[must_use]
    pub fn descendants(&self, path: &str) -> Option<usize> {
        let top = self.find(path)?;
        if top == NodeId::ROOT {
            // The empty path counts the root as its own descendant, as in Java.
            return Some(self.node_count() - usize::from(!path.is_empty()));
        }
        Some(self.walk(top).count() - 1)
    }

    /// `top` and everything below it, parents before children.
    pub(crate) fn walk(&self, top: NodeId) -> impl Iterator<Item = NodeId> {
        let mut left = vec![top];
        std::iter::from_fn(move || {
            let id = left.pop()?;
            left.extend_from_slice(self.slab.get(id).children());
            Some(id)
        })
    }

    /// Every znode with its path, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = View<'_>> {
        let top = (self.slab.bound() > 0).then_some(NodeId::ROOT);
        top.into_iter()
            .flat_map(|top| self.walk(top))
            .map(|id| View { tree: self, id })
    }

    pub(crate) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.index.get(&self.slab, parent, name)
    }

    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() || path == path::ROOT {
            return Some(NodeId::ROOT);
        }
        let mut rest = path.as_bytes().strip_prefix(b"/")?;
        let mut at = NodeId::ROOT;
        // Names are short: looking at byte after byte beats a searcher.
        while let Some(end) = rest.iter().position(|byte| *byte == b'/') {
            let (name, tail) = rest.split_at(end);
            at = self.child(at, name)?;
            rest = &tail[1..];
        }
        self.child(at, rest)
    }

    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT {
            let znode = self.slab.get(at);
            names.push(text(znode.name()));
            at = NodeId(znode.parent);
        }
        if names.is_empty() {
            return path::ROOT.to_owned();
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    fn path_len(&self, id: NodeId) -> usize {
        let mut len = 0;
        let mut at = id;
        while at != NodeId::ROOT {
            let znode = self.slab.get(at);
            len += znode.name().len() + 1;
            at = NodeId(znode.parent);
        }
        len.max(1)
    }

    pub(crate) fn owner(&self, id: NodeId) -> i64 {
        if self.slab.get(id).owned {
            self.owners.get(&id).copied().unwrap_or_default()
        } else {
            0
        }
    }

    pub(crate) fn persisted(&self, id: NodeId) -> StatPersisted {
        self.slab.get(id).persisted(self.owner(id))
    }

    pub(crate) fn visible_stat(&self, id: NodeId) -> Stat {
        let znode = self.slab.get(id);
        let owner = Owner::decode(self.owner(id), self.options.extended_types).visible();
        self.persisted(id).visible(
            count(znode.children().len()),
            count(znode.data_len()),
            owner,
        )
    }

    pub(crate) const fn open_acl(&self) -> &Arc<[Acl]> {
        self.acls.open()
    }

    pub(crate) fn known(&self, path: &str) -> Option<Known> {
        let id = self.find(path)?;
        let znode = self.slab.get(id);
        Some(Known {
            stat: self.persisted(id),
            created: znode.cversion,
            acl: Arc::clone(self.acls.get(znode.acl)),
            children: count(znode.children().len()),
            data_len: count(znode.data_len()),
            content_crc: znode.content_crc,
            digest: znode.digest,
        })
    }

    // Raw changes. Each keeps the invariants of the module.

    /// Makes room for about so many znodes.
    pub(crate) fn expect(&mut self, znodes: usize) {
        self.index.reserve(&self.slab, znodes);
    }

    /// Adds a znode; the parent must be there, except for the root (empty path), which comes first.
    pub(crate) fn insert(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        stat: &StatPersisted,
    ) -> Option<NodeId> {
        let (parent, name) = match path::split(path) {
            None => (NodeId::ROOT, ""),
            Some((parent, name)) => (self.find(parent)?, name),
        };
        let acl = self.acls.acquire(acl);
        self.insert_below(parent, name, path, data, acl, stat).ok()
    }

    /// As [`Self::insert`], with the parent and the ACL (already acquired) at hand. An existing znode is left alone and returned as
    /// the error.
    pub(crate) fn insert_below(
        &mut self,
        parent: NodeId,
        name: &str,
        path: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: &StatPersisted,
    ) -> Result<NodeId, NodeId> {
        let is_root = self.slab.live_count() == 0;
        let id = if is_root {
            self.slab.allocate()
        } else {
            match self.index.entry(&self.slab, parent, name.as_bytes()) {
                Entry::Occupied(there) => return Err(*there.get()),
                Entry::Vacant(free) => *free.insert(self.slab.allocate()).get(),
            }
        };
        self.note_born(id);
        let mut znode = Znode::default();
        znode.set_persisted(stat);
        znode.set_content(name.as_bytes(), data);
        znode.acl = acl;
        znode.parent = parent.0;
        znode.live = true;
        znode.undigested = path.starts_with(UNDIGESTED_PREFIX);
        znode.content_crc = content_crc(path, data);
        if !is_root {
            znode.slot = self.slab.get_mut(parent).push_child(id);
        }
        self.data_size += (path.len().max(1) + data.map_or(0, <[u8]>::len)) as u64;
        *self.slab.get_mut(id) = znode;
        if stat.ephemeral_owner != 0 {
            self.set_owner(id, stat.ephemeral_owner);
        }
        self.digest_again(id);
        Ok(id)
    }

    fn set_owner(&mut self, id: NodeId, raw: i64) {
        self.owners.insert(id, raw);
        self.slab.get_mut(id).owned = true;
        if let Owner::Session(session) = Owner::decode(raw, self.options.extended_types) {
            self.ephemerals.entry(session).or_default().insert(id);
            self.ephemeral_count += 1;
        }
    }

    fn forget_owner(&mut self, id: NodeId) {
        let Some(raw) = self.owners.remove(&id) else {
            return;
        };
        if let Owner::Session(session) = Owner::decode(raw, self.options.extended_types)
            && let Some(owned) = self.ephemerals.get_mut(&session)
        {
            owned.remove(&id);
            self.ephemeral_count -= 1;
            if owned.is_empty() {
                self.ephemerals.remove(&session);
            }
        }
    }

    /// Removes a znode and hands its children's list position on. Descendants must be gone before.
    pub(crate) fn remove(&mut self, id: NodeId) {
        self.save_leaving(id);
        self.digest = self
            .digest
            .wrapping_sub(u64::from(self.slab.get(id).digest));
        self.index.remove(&self.slab, id);
        let size = self.path_len(id) + self.slab.get(id).data_len();
        let znode = self.slab.get(id);
        let (parent, slot, acl) = (NodeId(znode.parent), znode.slot, znode.acl);
        if let Some(moved) = self.slab.get_mut(parent).swap_remove_child(slot) {
            self.slab.get_mut(moved).slot = slot;
        }
        self.forget_owner(id);
        self.acls.release(acl);
        self.data_size -= size as u64;
        self.slab.release(id);
    }

    /// Replaces the data, and what else `with` changes.
    pub(crate) fn replace_data(
        &mut self,
        id: NodeId,
        path: &str,
        data: Option<&[u8]>,
        with: impl FnOnce(&mut Znode),
    ) {
        let crc = content_crc(path, data);
        self.change(id, |znode| {
            znode.set_data(data);
            znode.content_crc = crc;
            with(znode);
        });
    }

    /// Replaces the ACL.
    pub(crate) fn replace_acl(&mut self, id: NodeId, acl: &[Acl]) {
        let new = self.acls.acquire(acl);
        let old = std::mem::replace(&mut self.edit(id).acl, new);
        self.acls.release(old);
    }

    /// Changes what the digest covers, keeping digest and data size right.
    pub(crate) fn change(&mut self, id: NodeId, with: impl FnOnce(&mut Znode)) {
        let znode = self.edit(id);
        let old_len = znode.data_len() as u64;
        with(znode);
        let new_len = znode.data_len() as u64;
        self.data_size = self.data_size - old_len + new_len;
        self.digest_again(id);
    }

    /// Changes a znode in a way that the digest does not cover.
    fn edit(&mut self, id: NodeId) -> &mut Znode {
        self.save_changing(id);
        self.slab.get_mut(id)
    }

    /// The znode is new or has changed: replaces its part of the tree's digest.
    fn digest_again(&mut self, id: NodeId) {
        let stat = self.persisted(id);
        let znode = self.slab.get_mut(id);
        let new = if znode.undigested {
            0
        } else {
            stat_digest(znode.content_crc, &stat)
        };
        let old = std::mem::replace(&mut znode.digest, new);
        self.digest = self
            .digest
            .wrapping_sub(u64::from(old))
            .wrapping_add(u64::from(new));
    }

    // Quotas.

    /// Recomputes the usage of every quota: after loading, since usage is every server's own business.
    pub(crate) fn find_quotas(&mut self) {
        self.quotas = QuotaPaths::default();
        let Some(root) = self.find(quota::QUOTA_ROOT) else {
            return;
        };
        let paths: Vec<String> = self.walk(root).map(|id| self.path(id)).collect();
        for path in paths {
            if let Some(prefix) = quota::subject(&path, quota::LIMITS) {
                self.quotas.insert(prefix);
            }
        }
        let prefixes: Vec<String> = self.quotas.iter().cloned().collect();
        prefixes
            .iter()
            .for_each(|prefix| self.recompute_usage(prefix));
    }

    /// Counts the subtree of `prefix` anew and writes its usage.
    pub(crate) fn recompute_usage(&mut self, prefix: &str) {
        let usage = self.find(prefix).map_or_else(Usage::default, |top| {
            let one = |id| Usage {
                count: 1,
                bytes: self.slab.get(id).data_len() as i64,
            };
            self.walk(top).map(one).fold(Usage::default(), Usage::plus)
        });
        self.write_usage(prefix, usage);
    }

    /// Adds `change` to the usage of the deepest quota at or above `path`.
    pub(crate) fn add_usage(&mut self, path: &str, change: Usage) {
        let Some(prefix) = self.quotas.deepest(path) else {
            return;
        };
        let stats = self.find(&quota::stats_path(prefix));
        let Some(now) = stats.map(|id| self.slab.get(id).data().and_then(Usage::parse)) else {
            return;
        };
        let prefix = prefix.to_owned();
        match now {
            Some(now) => self.write_usage(&prefix, now.plus(change)),
            None => self.recompute_usage(&prefix),
        }
    }

    fn write_usage(&mut self, prefix: &str, usage: Usage) {
        let path = quota::stats_path(prefix);
        if let Some(id) = self.find(&path) {
            self.replace_data(id, &path, Some(usage.text().as_bytes()), |_| {});
        }
    }
}

/// Lengths and counts are bounded by the frame limit and the slab, both far below `i32::MAX`.
pub(crate) fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// CRC-32 of path and data; the root's path is empty here.
pub(crate) fn content_crc(path: &str, data: Option<&[u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(path.as_bytes());
    hasher.update(data.unwrap_or_default());
    hasher.finalize()
}

/// The digest of a znode: CRC-32 of path and data, continued over its stat.
pub(crate) fn stat_digest(content_crc: u32, stat: &StatPersisted) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(content_crc);
    hasher.update(&stat.digest_bytes());
    hasher.finalize()
}

/// True when the digest covers the znode at `path`.
pub(crate) fn is_digested(path: &str) -> bool {
    !path.starts_with(UNDIGESTED_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tree_has_the_documented_digest_and_stats() {
        let tree = Tree::new(TreeOptions::default());
        assert_eq!(tree.digest(), 1_371_985_504);
        assert_eq!(tree.data_size(), 44);
        assert_eq!(tree.get("/").unwrap().stat().cversion, -1);
        assert_eq!(tree.get("/zookeeper").unwrap().stat().cversion, -2);
        assert_eq!(tree.get(CONFIG_PATH).unwrap().stat().aversion, -1);
        assert_eq!(tree.descendants("/"), Some(3));
        assert_eq!(tree.descendants("/zookeeper"), Some(2));
    }

    #[test]
    fn odd_paths_find_nothing_and_the_empty_one_finds_the_root() {
        let tree = Tree::new(TreeOptions::default());
        assert!(tree.get("").is_some());
        for path in [
            "zookeeper",
            "//zookeeper",
            "/zookeeper/",
            "/zookeeper//quota",
            "/Zookeeper",
        ] {
            assert!(tree.get(path).is_none(), "{path}");
        }
    }

    #[test]
    fn adding_and_removing_leaves_no_trace() {
        let mut tree = Tree::new(TreeOptions::default());
        let before = (tree.digest(), tree.node_count(), tree.data_size());
        let stat = StatPersisted {
            ephemeral_owner: 7,
            ..StatPersisted::default()
        };
        let ids: Vec<_> = (0..3000)
            .map(|n| {
                tree.insert(
                    &format!("/n{n}"),
                    Some(b"data"),
                    &[Acl::new(1, "ip", "::1")],
                    &stat,
                )
            })
            .collect();
        assert_eq!(
            (
                tree.ephemeral_count(),
                tree.ephemerals(SessionId(7)).count()
            ),
            (3000, 3000)
        );
        for id in ids.into_iter().flatten() {
            tree.remove(id);
        }
        assert_eq!(before, (tree.digest(), tree.node_count(), tree.data_size()));
        assert_eq!((tree.ephemeral_count(), tree.acls.iter().len()), (0, 1));
    }
}
