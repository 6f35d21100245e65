//! Which paths each watcher watches: the way back from a watcher to its watches.

use hashbrown::HashTable;

use super::slab::Slab;
use super::{TableFull, WatcherId, hash_number};

/// So many paths stand in the watcher itself.
const FEW: usize = 2;
const NO_PATH: u32 = Slab::<u32>::NO_ID;

#[derive(Debug)]
struct Watcher {
    id: WatcherId,
    paths: PathIds,
}

#[derive(Debug, Clone, Copy)]
enum PathIds {
    /// Places without a path hold [`NO_PATH`].
    Few([u32; FEW]),
    /// A place in `Interest::sets`.
    Many(u32),
}

// Ten thousand connections with one watch each are a normal case.
const _: () = assert!(size_of::<Watcher>() == 16);

/// All watchers. A watcher without a path is not here.
#[derive(Debug, Default)]
pub(super) struct Interest {
    watchers: HashTable<Watcher>,
    sets: Slab<HashTable<u32>>,
}

impl Interest {
    /// Notes that `watcher` watches `path`; again is no harm.
    pub(super) fn insert(&mut self, watcher: WatcherId, path: u32) -> Result<(), TableFull> {
        let hash = hash_number(watcher.0);
        let Some(known) = self.watchers.find_mut(hash, |other| other.id == watcher) else {
            let fresh = Watcher {
                id: watcher,
                paths: PathIds::Few([path, NO_PATH]),
            };
            self.watchers
                .insert_unique(hash, fresh, |other| hash_number(other.id.0));
            return Ok(());
        };
        if let PathIds::Few(few) = &mut known.paths {
            if few.contains(&path) {
                return Ok(());
            }
            if let Some(place) = few.iter_mut().find(|place| **place == NO_PATH) {
                *place = path;
                return Ok(());
            }
            let mut set = HashTable::new();
            few.iter().for_each(|id| insert_id(&mut set, *id));
            known.paths = PathIds::Many(self.sets.insert(set).ok_or(TableFull)?);
        }
        if let PathIds::Many(set) = known.paths {
            self.sets
                .get_mut(set)
                .into_iter()
                .for_each(|set| insert_id(set, path));
        }
        Ok(())
    }

    /// Notes that `watcher` watches `path` no more.
    pub(super) fn remove(&mut self, watcher: WatcherId, path: u32) {
        let hash = hash_number(watcher.0);
        let Ok(mut known) = self.watchers.find_entry(hash, |other| other.id == watcher) else {
            return;
        };
        let idle = match &mut known.get_mut().paths {
            PathIds::Few(few) => {
                let places = few.iter_mut().filter(|place| **place == path);
                places.for_each(|place| *place = NO_PATH);
                few.iter().all(|place| *place == NO_PATH)
            }
            PathIds::Many(set) => {
                let set = *set;
                let idle = self
                    .sets
                    .get_mut(set)
                    .is_none_or(|set| remove_id(set, path));
                if idle {
                    self.sets.take(set);
                }
                idle
            }
        };
        if idle {
            known.remove();
            super::shrink(&mut self.watchers, |other| hash_number(other.id.0));
        }
    }

    /// Takes up to `at_most` paths from `watcher`, in the order in which they lie in memory. A watcher without any is forgotten.
    pub(super) fn take(&mut self, watcher: WatcherId, at_most: usize) -> Vec<u32> {
        let hash = hash_number(watcher.0);
        let Some(known) = self.watchers.find(hash, |other| other.id == watcher) else {
            return Vec::new();
        };
        let all: &mut dyn Iterator<Item = u32> = match &known.paths {
            PathIds::Few(few) => &mut few.iter().copied().filter(|path| *path != NO_PATH),
            PathIds::Many(set) => &mut self.sets.get(*set).into_iter().flatten().copied(),
        };
        let mut taken: Vec<_> = all.take(at_most).collect();
        taken.iter().for_each(|path| self.remove(watcher, *path));
        taken.sort_unstable();
        taken
    }

    /// How many paths `watcher` watches.
    pub(super) fn paths_of(&self, watcher: WatcherId) -> usize {
        let found = self
            .watchers
            .find(hash_number(watcher.0), |other| other.id == watcher);
        found.map_or(0, |watcher| match &watcher.paths {
            PathIds::Few(few) => few.iter().filter(|path| **path != NO_PATH).count(),
            PathIds::Many(set) => self.sets.get(*set).map_or(0, HashTable::len),
        })
    }

    /// Bytes on the heap.
    pub(super) fn allocated(&self) -> usize {
        let sets = self
            .sets
            .places()
            .map(HashTable::allocation_size)
            .sum::<usize>();
        self.watchers.allocation_size() + self.sets.allocated() + sets
    }
}

fn insert_id(set: &mut HashTable<u32>, id: u32) {
    let hash = hash_number(id);
    if set.find(hash, |other| *other == id).is_none() {
        set.insert_unique(hash, id, |other| hash_number(*other));
    }
}

/// True when the set is empty afterwards.
fn remove_id(set: &mut HashTable<u32>, id: u32) -> bool {
    if let Ok(entry) = set.find_entry(hash_number(id), |other| *other == id) {
        entry.remove();
        super::shrink(set, |other| hash_number(*other));
    }
    set.is_empty()
}
