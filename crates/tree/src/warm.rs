//! Bringing znodes into the processor's caches before they are needed.
//!
//! In a large tree a lookup waits for memory three times: for the index, the znode, its name and data. Requests come in batches, so
//! the znodes of a batch are touched here step by step: in each step the memory of all of them is asked for at once, and they wait
//! together instead of one after the other. Nothing is changed and nothing is answered; leaving it out changes no result.

use std::hint::black_box;

use rookeeper_proto::path;

use crate::tree::Tree;
use crate::znode::NodeId;

/// Znodes touched together: beyond, the processor has no more misses under way, and what came first may be gone again.
const TOGETHER: usize = 16;
/// Trees with fewer znodes are in the caches anyway.
const WORTHWHILE: usize = 65_536;

impl Tree {
    /// Touches the znodes at `paths`, those that exist. Not every path must be a good one.
    pub fn warm<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        if self.node_count() < WORTHWHILE {
            return;
        }
        let mut paths = paths.into_iter();
        while self.warm_some(&mut paths) == TOGETHER {}
    }

    fn warm_some<'p>(&self, paths: &mut impl Iterator<Item = &'p str>) -> usize {
        let mut hashes = [0; TOGETHER];
        let (mut count, mut last) = (0, None);
        for (place, path) in hashes.iter_mut().zip(paths) {
            count += 1;
            *place = self.hash_of(path, &mut last).unwrap_or_default();
        }
        let mut ids = [None; TOGETHER];
        for (id, hash) in ids.iter_mut().zip(&hashes).take(count) {
            *id = self.index.guess(*hash);
        }
        for id in ids.iter().flatten() {
            let znode = self.slab.get(*id);
            black_box((znode.data_len(), znode.mzxid));
        }
        for id in ids.iter().flatten() {
            let znode = self.slab.get(*id);
            black_box((znode.name().first(), znode.data().map(<[u8]>::last)));
        }
        count
    }

    /// The place of a path in the index. `last` is the parent met before: in a batch many are the same, and a parent of many is in
    /// the caches.
    fn hash_of<'p>(&self, path: &'p str, last: &mut Option<(&'p str, NodeId)>) -> Option<u64> {
        let (parent, name) = path::split(path)?;
        let id = match *last {
            Some((known, id)) if known == parent => id,
            _ => self.find(parent)?,
        };
        *last = Some((parent, id));
        Some(self.index.hash(id, name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::stat::StatPersisted;

    use super::*;
    use crate::tree::TreeOptions;

    #[test]
    fn any_paths_may_be_warmed_and_nothing_changes() {
        let mut tree = Tree::new(TreeOptions::default());
        for n in 0..WORTHWHILE {
            let path = format!("/n{n}");
            assert!(
                tree.insert(&path, None, &[], &StatPersisted::default())
                    .is_some()
            );
        }
        let before = tree.digest();
        tree.warm(["", "/", "x", "/n1", "/n1/none", "//", "/n1/"]);
        tree.warm([]);
        let many: Vec<String> = (0..100).map(|n| format!("/n{}", n * 7)).collect();
        tree.warm(many.iter().map(String::as_str));
        assert_eq!(tree.digest(), before);
    }
}
