//! Which containers and TTL nodes are due (client protocol 4.9, 4.10). Only finds them: each becomes a request that is judged
//! again in the pipeline.

use rookeeper_proto::code::Owner;

use crate::tree::Tree;
use crate::znode::NodeId;

/// When a znode is due.
#[derive(Debug, Clone, Copy)]
pub struct Reaping {
    /// The clock, ms since 1970.
    pub now: i64,
    /// Containers that never had a child are due this long after their last change, ms; 0 means never.
    pub max_never_used_ms: i64,
}

impl Tree {
    /// Paths of containers and TTL nodes that are due, ascending, at most `limit`.
    #[must_use]
    pub fn reapable(&self, reaping: Reaping, limit: usize) -> Vec<String> {
        let due = |(id, raw): (&NodeId, &i64)| {
            let znode = self.slab.get(*id);
            let idle = reaping.now.saturating_sub(znode.mtime);
            let due = match Owner::decode(*raw, self.options.extended_types) {
                Owner::Container if znode.cversion > 0 => true,
                Owner::Container => {
                    reaping.max_never_used_ms > 0 && idle > reaping.max_never_used_ms
                }
                Owner::Ttl(ttl) => idle > ttl,
                Owner::None | Owner::Session(_) => false,
            };
            (due && znode.children().is_empty()).then_some(*id)
        };
        let mut paths: Vec<String> = self
            .owners
            .iter()
            .filter_map(due)
            .map(|id| self.path(id))
            .collect();
        paths.sort_unstable();
        paths.truncate(limit);
        paths
    }
}
