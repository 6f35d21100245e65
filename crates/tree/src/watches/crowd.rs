//! Two and more watchers of one path.

use std::mem;

use hashbrown::HashTable;

use super::kinds::Kinds;
use super::{WatcherId, hash_number};

/// Up to this many watchers are searched one by one.
const FEW: usize = 8;

/// The watchers of one path with their kinds. A crowd that became large stays large until it is empty.
#[derive(Debug)]
pub(super) enum Crowd {
    Few(Vec<(WatcherId, Kinds)>),
    /// One set of watchers per kind, in the order of [`Kinds::EACH`].
    Many(Box<[HashTable<WatcherId>; Kinds::EACH.len()]>),
}

impl Default for Crowd {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Crowd {
    pub(super) fn of_two(first: (WatcherId, Kinds), second: (WatcherId, Kinds)) -> Self {
        Self::Few(vec![first, second])
    }

    pub(super) fn kinds(&self, watcher: WatcherId) -> Kinds {
        match self {
            Self::Few(few) => {
                let found = few.iter().find(|(id, _)| *id == watcher);
                found.map_or(Kinds::NONE, |(_, kinds)| *kinds)
            }
            Self::Many(sets) => {
                let with_sets = Kinds::EACH.into_iter().zip(sets.iter());
                let found = with_sets.filter(|(_, set)| holds(set, watcher));
                found.fold(Kinds::NONE, |all, (kind, _)| all | kind)
            }
        }
    }

    /// Makes `kinds` the kinds of `watcher`.
    pub(super) fn set(&mut self, watcher: WatcherId, kinds: Kinds) {
        if let Self::Few(few) = self {
            let room = few.len() < FEW;
            match few.iter_mut().find(|(id, _)| *id == watcher) {
                Some(entry) => entry.1 = kinds,
                None if room => few.push((watcher, kinds)),
                None => self.grow(),
            }
        }
        match self {
            Self::Few(few) => few.retain(|(_, kinds)| !kinds.is_empty()),
            Self::Many(sets) => set_each(sets.as_mut_slice(), watcher, kinds),
        }
    }

    fn grow(&mut self) {
        let mut sets: Box<[HashTable<WatcherId>; Kinds::EACH.len()]> = Box::default();
        if let Self::Few(few) = self {
            for (watcher, kinds) in few {
                set_each(sets.as_mut_slice(), *watcher, *kinds);
            }
        }
        *self = Self::Many(sets);
    }

    /// The last watcher left, when there is but one in a small crowd.
    pub(super) fn last(&self) -> Option<(WatcherId, Kinds)> {
        match self {
            Self::Few(few) if few.len() == 1 => few.first().copied(),
            _ => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(sets) => sets.iter().all(HashTable::is_empty),
        }
    }

    /// Adds who has one of `wanted` to `out`, in no order, and perhaps more than once.
    pub(super) fn collect(&self, wanted: Kinds, out: &mut Vec<WatcherId>) {
        match self {
            Self::Few(few) => {
                let meeting = few.iter().filter(|(_, kinds)| kinds.meets(wanted));
                out.extend(meeting.map(|(watcher, _)| *watcher));
            }
            Self::Many(sets) => {
                let with_sets = Kinds::EACH.into_iter().zip(sets.iter());
                for (_, set) in with_sets.filter(|(kind, _)| kind.meets(wanted)) {
                    out.extend(set.iter());
                }
            }
        }
    }

    /// Drops the single kind `kind` of everybody.
    pub(super) fn drop_kind(&mut self, kind: Kinds) {
        match self {
            Self::Few(few) => {
                few.iter_mut()
                    .for_each(|(_, kinds)| *kinds = kinds.without(kind));
                few.retain(|(_, kinds)| !kinds.is_empty());
            }
            Self::Many(sets) => {
                for (_, set) in Kinds::EACH
                    .into_iter()
                    .zip(sets.iter_mut())
                    .filter(|(k, _)| *k == kind)
                {
                    mem::take(set);
                }
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn allocated(&self) -> usize {
        match self {
            Self::Few(few) => few.capacity() * size_of::<(WatcherId, Kinds)>(),
            Self::Many(sets) => {
                let tables = sets.iter().map(HashTable::allocation_size).sum::<usize>();
                size_of_val(&**sets) + tables
            }
        }
    }
}

fn holds(set: &HashTable<WatcherId>, watcher: WatcherId) -> bool {
    set.find(hash_number(watcher.0), |id| *id == watcher)
        .is_some()
}

fn set_each(sets: &mut [HashTable<WatcherId>], watcher: WatcherId, kinds: Kinds) {
    for (kind, set) in Kinds::EACH.into_iter().zip(sets) {
        set_one(set, watcher, kinds.meets(kind));
    }
}

fn set_one(set: &mut HashTable<WatcherId>, watcher: WatcherId, present: bool) {
    let hash = hash_number(watcher.0);
    match set.find_entry(hash, |id| *id == watcher) {
        Ok(entry) if !present => {
            entry.remove();
            super::shrink(set, |id| hash_number(id.0));
        }
        Err(_) if present => {
            set.insert_unique(hash, watcher, |id| hash_number(id.0));
        }
        _ => {}
    }
}
