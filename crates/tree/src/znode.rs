//! One znode, and the slab that holds them all.
//!
//! A znode costs about a hundred bytes besides its name and data. Name and data share one allocation; a znode knows its parent
//! and its place in the parent's child list, so that no full path is ever stored and a child is added or removed in constant
//! time however many siblings it has. The owner of an ephemeral, container or TTL node is rare and lives aside, in the tree.

use rookeeper_proto::ids::Zxid;
use rookeeper_proto::stat::StatPersisted;

use crate::acl_table::AclId;

/// A place in the slab. Reused after its znode is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct NodeId(pub(crate) u32);

impl NodeId {
    /// The root, which is its own parent.
    pub(crate) const ROOT: Self = Self(0);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A znode, or a free place of the slab.
#[derive(Debug, Clone, Default)]
pub(crate) struct Znode {
    pub(crate) czxid: Zxid,
    pub(crate) mzxid: Zxid,
    pub(crate) pzxid: Zxid,
    pub(crate) ctime: i64,
    pub(crate) mtime: i64,
    pub(crate) version: i32,
    /// Children ever created; see [`StatPersisted::cversion`].
    pub(crate) cversion: i32,
    pub(crate) aversion: i32,
    pub(crate) acl: AclId,
    pub(crate) parent: u32,
    /// Place in the parent's `children`.
    pub(crate) slot: u32,
    /// CRC-32 over path and data: the part of the node digest that a change of stat does not touch.
    pub(crate) content_crc: u32,
    /// The digest of the znode: CRC-32 of path, data and stat; 0 when it is not part of the tree's.
    pub(crate) digest: u32,
    name_len: u32,
    pub(crate) live: bool,
    /// Data is null, which differs from empty.
    null_data: bool,
    /// An entry exists in the tree's table of owners.
    pub(crate) owned: bool,
    /// Below `/zookeeper/`: not part of the tree digest.
    pub(crate) undigested: bool,
    /// Name and data in one allocation.
    content: Box<[u8]>,
    #[allow(
        clippy::box_collection,
        reason = "most znodes are leaves: 8 bytes instead of 24"
    )]
    children: Option<Box<Vec<NodeId>>>,
}

impl Znode {
    pub(crate) fn set_content(&mut self, name: &[u8], data: Option<&[u8]>) {
        self.null_data = data.is_none();
        self.name_len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        self.content = [name, data.unwrap_or_default()].concat().into_boxed_slice();
    }

    pub(crate) fn set_data(&mut self, data: Option<&[u8]>) {
        self.null_data = data.is_none();
        let data = data.unwrap_or_default();
        match self.content.get_mut(self.name_len as usize..) {
            // Values mostly keep their length.
            Some(old) if old.len() == data.len() => old.copy_from_slice(data),
            _ => self.content = [self.split().0, data].concat().into_boxed_slice(),
        }
    }

    fn split(&self) -> (&[u8], &[u8]) {
        self.content.split_at(self.name_len as usize)
    }

    /// The last component of the path; empty for the root.
    pub(crate) fn name(&self) -> &[u8] {
        self.split().0
    }

    pub(crate) fn data(&self) -> Option<&[u8]> {
        (!self.null_data).then_some(self.split().1)
    }

    pub(crate) fn data_len(&self) -> usize {
        self.split().1.len()
    }

    pub(crate) fn children(&self) -> &[NodeId] {
        self.children.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Adds a child at the end and tells its place.
    pub(crate) fn push_child(&mut self, child: NodeId) -> u32 {
        let children = self.children.get_or_insert_default();
        children.push(child);
        u32::try_from(children.len() - 1).unwrap_or(u32::MAX)
    }

    /// Removes the child at `slot` and tells which one took its place.
    pub(crate) fn swap_remove_child(&mut self, slot: u32) -> Option<NodeId> {
        let children = self.children.as_mut()?;
        let slot = slot as usize;
        if slot >= children.len() {
            return None;
        }
        children.swap_remove(slot);
        let moved = children.get(slot).copied();
        if children.is_empty() {
            self.children = None;
        } else if children.capacity() > 64 && children.len() * 4 < children.capacity() {
            children.shrink_to(children.len() * 2);
        }
        moved
    }

    /// A copy for an image, which needs no child list.
    pub(crate) fn without_children(&self) -> Self {
        Self {
            content: self.content.clone(),
            children: None,
            ..*self
        }
    }

    /// The stat as the disk keeps it; the owner lives in the tree.
    pub(crate) const fn persisted(&self, owner: i64) -> StatPersisted {
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: owner,
            pzxid: self.pzxid,
        }
    }

    pub(crate) const fn set_persisted(&mut self, stat: &StatPersisted) {
        self.czxid = stat.czxid;
        self.mzxid = stat.mzxid;
        self.pzxid = stat.pzxid;
        self.ctime = stat.ctime;
        self.mtime = stat.mtime;
        self.version = stat.version;
        self.cversion = stat.cversion;
        self.aversion = stat.aversion;
    }
}

/// Znodes per block: the slab grows by blocks, so growing never moves a znode and wastes at most one block.
const BLOCK: usize = 1024;

/// All znodes of a tree.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    blocks: Vec<Box<[Znode]>>,
    free: Vec<NodeId>,
    used: u32,
}

impl Slab {
    /// A place for a new znode; its old content is whatever was there.
    pub(crate) fn allocate(&mut self) -> NodeId {
        if let Some(id) = self.free.pop() {
            return id;
        }
        let id = NodeId(self.used);
        self.used += 1;
        if id.index() >= self.blocks.len() * BLOCK {
            self.blocks
                .push(std::iter::repeat_with(Znode::default).take(BLOCK).collect());
        }
        id
    }

    /// Gives a place back and frees what its znode held.
    pub(crate) fn release(&mut self, id: NodeId) {
        *self.get_mut(id) = Znode::default();
        self.free.push(id);
    }

    pub(crate) fn get(&self, id: NodeId) -> &Znode {
        &self.blocks[id.index() / BLOCK][id.index() % BLOCK]
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> &mut Znode {
        &mut self.blocks[id.index() / BLOCK][id.index() % BLOCK]
    }

    /// Places handed out so far: every id is below it.
    pub(crate) const fn bound(&self) -> u32 {
        self.used
    }

    pub(crate) fn live_count(&self) -> usize {
        self.used as usize - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_znode_stays_small() {
        assert!(size_of::<Znode>() <= 112, "{}", size_of::<Znode>());
    }

    #[test]
    fn removing_a_child_moves_the_last_one() {
        let mut parent = Znode::default();
        for n in 1..=3 {
            parent.push_child(NodeId(n));
        }
        assert_eq!(parent.swap_remove_child(0), Some(NodeId(3)));
        assert_eq!(parent.children(), [NodeId(3), NodeId(2)]);
        assert_eq!(parent.swap_remove_child(1), None);
        assert_eq!(parent.swap_remove_child(9), None);
    }

    #[test]
    fn null_data_differs_from_empty_data() {
        let mut znode = Znode::default();
        znode.set_content(b"n", None);
        assert_eq!((znode.name(), znode.data()), (&b"n"[..], None));
        znode.set_data(Some(b""));
        assert_eq!((znode.name(), znode.data()), (&b"n"[..], Some(&b""[..])));
    }
}
