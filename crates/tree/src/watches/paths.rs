//! The watched paths: each is stored once, has a 32-bit id, and knows its watchers.
//!
//! A path is found by a keyed hash, because clients choose paths. The hash of a path is built component by component, so that
//! all its ancestors are found in one pass over its bytes, however deep it is.

use std::hash::{DefaultHasher, Hasher as _};

use hashbrown::HashTable;
use rookeeper_proto::path::ROOT;

use super::crowd::Crowd;
use super::kinds::Kinds;
use super::slab::Slab;
use super::{TableFull, WatcherId};

/// The watchers of one path: most paths have one.
#[derive(Debug, Default)]
enum Watchers {
    #[default]
    Nobody,
    One(WatcherId, Kinds),
    /// A place in `Paths::crowds`.
    Crowd(u32),
}

#[derive(Debug, Default)]
struct Place {
    path: Box<str>,
    watchers: Watchers,
}

// Memory per watch is counted: a path costs these bytes, its text, and its share of the index.
const _: () = assert!(size_of::<Place>() == 24);

/// At a million paths the growth of a part concerns some 14,000 of them: a few milliseconds.
const INDEX_PARTS: usize = 64;

/// All watched paths.
#[derive(Debug)]
pub(super) struct Paths {
    places: Slab<Place>,
    /// The ids by the hash of their paths, in parts: when one grows, which means to hash all its paths anew, the pause is short.
    index: [HashTable<u32>; INDEX_PARTS],
    crowds: Slab<Crowd>,
    /// Sum of the lengths of all paths, bytes.
    text_bytes: usize,
    key: u64,
}

impl Paths {
    pub(super) fn new(key: u64) -> Self {
        Self {
            places: Slab::default(),
            index: [const { HashTable::new() }; INDEX_PARTS],
            crowds: Slab::default(),
            text_bytes: 0,
            key,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The id of `path`, when somebody watches it.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        self.lookup(hash_path(self.key, path), path)
    }

    fn lookup(&self, hash: u64, path: &str) -> Option<u32> {
        let part = self.index.get(part_of(hash))?;
        part.find(hash, |id| self.path(*id) == path).copied()
    }

    /// The watched ones among the proper ancestors of `path`, from the root down.
    pub(super) fn ancestors(&self, path: &str) -> impl Iterator<Item = u32> {
        let above = prefixes(self.key, path).take_while(|(prefix, _)| prefix.len() < path.len());
        above.filter_map(|(prefix, hasher)| self.lookup(hasher.finish(), prefix))
    }

    /// The id of `path`, which is new to the table if need be. Who inserts must set a watcher.
    pub(super) fn find_or_insert(&mut self, path: &str) -> Result<u32, TableFull> {
        let hash = hash_path(self.key, path);
        if let Some(id) = self.lookup(hash, path) {
            return Ok(id);
        }
        let place = Place {
            path: path.into(),
            watchers: Watchers::Nobody,
        };
        let id = self.places.insert(place).ok_or(TableFull)?;
        let (places, key) = (&self.places, self.key);
        if let Some(part) = self.index.get_mut(part_of(hash)) {
            part.insert_unique(hash, id, |id| hash_path(key, path_in(places, *id)));
        }
        self.text_bytes += path.len();
        Ok(id)
    }

    /// The text of a path.
    pub(super) fn path(&self, id: u32) -> &str {
        path_in(&self.places, id)
    }

    /// What `watcher` watches there.
    pub(super) fn kinds(&self, id: u32, watcher: WatcherId) -> Kinds {
        match self.watchers(id) {
            Watchers::One(one, kinds) if *one == watcher => *kinds,
            Watchers::Crowd(crowd) => self.crowd(*crowd).map_or(Kinds::NONE, |c| c.kinds(watcher)),
            Watchers::Nobody | Watchers::One(..) => Kinds::NONE,
        }
    }

    /// Adds who has one of `wanted` there to `out`, in no order, and perhaps more than once.
    pub(super) fn collect(&self, id: u32, wanted: Kinds, out: &mut Vec<WatcherId>) {
        self.collect_of(self.watchers(id), wanted, out);
    }

    fn collect_of(&self, watchers: &Watchers, wanted: Kinds, out: &mut Vec<WatcherId>) {
        match watchers {
            Watchers::One(one, kinds) if kinds.meets(wanted) => out.push(*one),
            Watchers::Crowd(crowd) => {
                self.crowd(*crowd)
                    .into_iter()
                    .for_each(|crowd| crowd.collect(wanted, out));
            }
            Watchers::Nobody | Watchers::One(..) => {}
        }
    }

    /// Makes `kinds` the kinds of `watcher` there. A path that nobody watches any more is forgotten.
    pub(super) fn set(
        &mut self,
        id: u32,
        watcher: WatcherId,
        kinds: Kinds,
    ) -> Result<(), TableFull> {
        let replaced = match *self.watchers(id) {
            Watchers::Nobody => Watchers::One(watcher, kinds),
            Watchers::One(one, _) if one == watcher => Watchers::One(watcher, kinds),
            Watchers::One(..) if kinds.is_empty() => return Ok(()),
            Watchers::One(one, others) => {
                let crowd = Crowd::of_two((one, others), (watcher, kinds));
                Watchers::Crowd(self.crowds.insert(crowd).ok_or(TableFull)?)
            }
            Watchers::Crowd(crowd) => {
                let members = self.crowds.get_mut(crowd);
                members
                    .into_iter()
                    .for_each(|members| members.set(watcher, kinds));
                Watchers::Crowd(crowd)
            }
        };
        self.settle(id, replaced);
        Ok(())
    }

    /// Drops the single kind `kind` of everybody there.
    pub(super) fn drop_kind(&mut self, id: u32, kind: Kinds) {
        let replaced = match *self.watchers(id) {
            Watchers::Nobody => Watchers::Nobody,
            Watchers::One(one, kinds) => Watchers::One(one, kinds.without(kind)),
            Watchers::Crowd(crowd) => {
                let members = self.crowds.get_mut(crowd);
                members
                    .into_iter()
                    .for_each(|members| members.drop_kind(kind));
                Watchers::Crowd(crowd)
            }
        };
        self.settle(id, replaced);
    }

    /// Stores `watchers` in their smallest form.
    fn settle(&mut self, id: u32, mut watchers: Watchers) {
        if let Watchers::Crowd(crowd) = watchers {
            let members = self.crowd(crowd);
            let last = members.and_then(Crowd::last);
            if let Some((one, kinds)) = last {
                watchers = Watchers::One(one, kinds);
            } else if members.is_none_or(Crowd::is_empty) {
                watchers = Watchers::Nobody;
            }
            if !matches!(watchers, Watchers::Crowd(_)) {
                self.crowds.take(crowd);
            }
        }
        match watchers {
            Watchers::Nobody => self.forget(id),
            Watchers::One(_, kinds) if kinds.is_empty() => self.forget(id),
            _ => {
                let place = self.places.get_mut(id);
                place
                    .into_iter()
                    .for_each(|place| place.watchers = std::mem::take(&mut watchers));
            }
        }
    }

    fn forget(&mut self, id: u32) {
        let hash = hash_path(self.key, self.path(id));
        let gone = self.places.take(id);
        self.text_bytes -= gone.path.len();
        let Some(part) = self.index.get_mut(part_of(hash)) else {
            return;
        };
        if let Ok(entry) = part.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        let (places, key) = (&self.places, self.key);
        super::shrink(part, |id| hash_path(key, path_in(places, *id)));
    }

    fn watchers(&self, id: u32) -> &Watchers {
        self.places
            .get(id)
            .map_or(&Watchers::Nobody, |place| &place.watchers)
    }

    fn crowd(&self, crowd: u32) -> Option<&Crowd> {
        self.crowds.get(crowd)
    }

    /// Each path with who has one of `wanted` there, in no order.
    pub(super) fn each(&self, wanted: Kinds) -> impl Iterator<Item = (&str, Vec<WatcherId>)> {
        self.places.places().filter_map(move |place| {
            let mut watchers = Vec::new();
            self.collect_of(&place.watchers, wanted, &mut watchers);
            (!watchers.is_empty()).then_some((&*place.path, watchers))
        })
    }

    /// Bytes on the heap, the texts included.
    pub(super) fn allocated(&self) -> usize {
        let crowds = self.crowds.places().map(Crowd::allocated).sum::<usize>();
        let index = self
            .index
            .iter()
            .map(HashTable::allocation_size)
            .sum::<usize>();
        self.places.allocated() + index + self.crowds.allocated() + crowds + self.text_bytes
    }
}

/// Bits that the hash tables inside do not look at first.
const fn part_of(hash: u64) -> usize {
    (hash >> 32) as usize % INDEX_PARTS
}

fn path_in(places: &Slab<Place>, id: u32) -> &str {
    places.get(id).map_or("", |place| &place.path)
}

fn hash_path(key: u64, path: &str) -> u64 {
    let last = prefixes(key, path).last();
    last.map_or(key, |(_, hasher)| hasher.finish())
}

/// `path` cut at each slash, from the root to all of it, with the hasher that has read so far.
///
/// Every path is fed to the hasher in these pieces, so that a path and a prefix of a longer one have the same hash.
fn prefixes(key: u64, path: &str) -> impl Iterator<Item = (&str, DefaultHasher)> {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(key);
    let mut done = 0;
    std::iter::from_fn(move || {
        let rest = path.get(done..).filter(|rest| !rest.is_empty())?;
        // The first slash is a path of its own; every other one begins a component.
        let end = match rest.strip_prefix('/') {
            Some(_) if done == 0 => ROOT.len(),
            Some(name) => 1 + name.find('/').unwrap_or(name.len()),
            None => rest.find('/').unwrap_or(rest.len()),
        };
        hasher.write(rest.get(..end)?.as_bytes());
        done += end;
        Some((path.get(..done)?, hasher.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &[&str]) {
        let found: Vec<_> = prefixes(1, path).map(|(prefix, _)| prefix).collect();
        assert_eq!(found, expected);
        for (prefix, hasher) in prefixes(1, path) {
            assert_eq!(hasher.finish(), hash_path(1, prefix), "{prefix} of {path}");
        }
    }

    #[test]
    fn a_prefix_hashes_as_it_would_alone() {
        check("/", &["/"]);
        check("/a/bc/d", &["/", "/a", "/a/bc", "/a/bc/d"]);
        check("a/b", &["a", "a/b"]);
        check("//a", &["/", "//a"]);
        check("/a/", &["/", "/a", "/a/"]);
        check("", &[]);
        assert_ne!(hash_path(1, "/a"), hash_path(2, "/a"));
    }

    #[test]
    fn ancestors_are_found_from_the_root_down() {
        let mut paths = Paths::new(0);
        let mut ids = Vec::new();
        for path in ["/", "/a", "/ab", "/a/b/c"] {
            let id = paths.find_or_insert(path).unwrap();
            paths.set(id, WatcherId(1), Kinds::RECURSIVE).unwrap();
            ids.push(id);
        }
        assert_eq!(paths.ancestors("/a/b/c").collect::<Vec<_>>(), ids[..2]);
        assert_eq!(paths.ancestors("/").count(), 0);
    }
}
