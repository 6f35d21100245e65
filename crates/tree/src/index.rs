//! Finds a child by parent and name, without storing a path anywhere: about eight bytes per znode.
//!
//! Split into shards, because a hash table that grows moves everything it holds: with one table of millions of entries some unlucky
//! create would wait a tenth of a second.
//!
//! Invariant: an entry is found under the parent and name that its znode has; both must not change while it is in the index.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::znode::{NodeId, Slab};

/// A power of two.
const SHARDS: usize = 256;
/// Bits of the hash that choose the shard: neither those that choose a bucket nor those that tag it.
const SHARD_SHIFT: u32 = 40;

/// All znodes but the root, by parent and name.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Vec<HashTable<NodeId>>,
    hasher: FixedState,
}

impl Index {
    /// Empty, keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let shards = std::iter::repeat_with(HashTable::new)
            .take(SHARDS)
            .collect();
        Self {
            shards,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Where a child is found; for [`Self::guess`].
    pub(crate) fn hash(&self, parent: NodeId, name: &[u8]) -> u64 {
        hash(&self.hasher, parent.0, name)
    }

    /// The child that probably has this hash: nothing is compared.
    pub(crate) fn guess(&self, hash: u64) -> Option<NodeId> {
        self.shards.get(shard(hash))?.find(hash, |_| true).copied()
    }

    pub(crate) fn get(&self, slab: &Slab, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let hash = hash(&self.hasher, parent.0, name);
        let same = |id: &NodeId| {
            let znode = slab.get(*id);
            znode.parent == parent.0 && znode.name() == name
        };
        self.shards.get(shard(hash))?.find(hash, same).copied()
    }

    /// The place of the child `name` of `parent`, taken or free. Who takes it gives its znode that parent and name at once.
    pub(crate) fn entry(&mut self, slab: &Slab, parent: NodeId, name: &[u8]) -> Entry<'_, NodeId> {
        let hasher = &self.hasher;
        let of = |id: &NodeId| hash(hasher, slab.get(*id).parent, slab.get(*id).name());
        let same = |id: &NodeId| {
            let znode = slab.get(*id);
            znode.parent == parent.0 && znode.name() == name
        };
        let hash = hash(hasher, parent.0, name);
        self.shards[shard(hash)].entry(hash, same, of)
    }

    /// Makes room for `more` znodes at once: growing step by step would hash each of them again and again.
    pub(crate) fn reserve(&mut self, slab: &Slab, more: usize) {
        let hasher = &self.hasher;
        let of = |id: &NodeId| hash(hasher, slab.get(*id).parent, slab.get(*id).name());
        for shard in &mut self.shards {
            shard.reserve(more / SHARDS, of);
        }
    }

    pub(crate) fn remove(&mut self, slab: &Slab, id: NodeId) {
        let hash = hash(&self.hasher, slab.get(id).parent, slab.get(id).name());
        if let Some(Ok(entry)) = self
            .shards
            .get_mut(shard(hash))
            .map(|table| table.find_entry(hash, |other| *other == id))
        {
            entry.remove();
        }
    }
}

const fn shard(hash: u64) -> usize {
    (hash >> SHARD_SHIFT) as usize % SHARDS
}

fn hash(state: &FixedState, parent: u32, name: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    parent.hash(&mut hasher);
    hasher.write(name);
    hasher.finish()
}
