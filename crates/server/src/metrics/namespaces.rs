//! Summaries by namespace: one per first component of a path.
//!
//! The set is a table of fixed size that threads read without a lock. A namespace takes a place when it is first
//! seen and keeps it until the server ends; a reset only empties its numbers. Names come from clients, so both
//! their number and their length are bounded: what does not fit is counted under [`OTHER_NAMESPACES`].

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::OnceLock,
};

use super::tally::{AtomicTally, Tally};

/// Places for namespaces in one set.
pub const MAX_NAMESPACES: usize = 256;
/// Bytes of a name that gets a place of its own.
pub const MAX_NAMESPACE_BYTES: usize = 128;
/// The name under which everything without a place is counted. No path can have it as a component.
pub const OTHER_NAMESPACES: &str = "other/namespaces";

/// Places looked at for one name, so that a full table costs little.
const MAX_PROBES: usize = 32;

/// The namespace of a path: its first component. The root has none.
#[inline]
pub fn namespace(path: &str) -> Option<&str> {
    let first = path.strip_prefix('/')?.split('/').next()?;
    (!first.is_empty()).then_some(first)
}

/// The place of a namespace in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceId(Place);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Own(usize),
    Other,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    tally: AtomicTally,
}

/// One summary per namespace.
#[derive(Debug)]
pub struct Namespaces {
    entries: Box<[OnceLock<Entry>]>,
    other: AtomicTally,
    /// Keyed: clients choose the names.
    hasher: RandomState,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self {
            entries: (0..MAX_NAMESPACES).map(|_| OnceLock::new()).collect(),
            other: AtomicTally::default(),
            hasher: RandomState::new(),
        }
    }
}

impl Namespaces {
    /// Finds or gives a namespace its place. Allocates when the name is new.
    pub fn find(&self, name: &str) -> NamespaceId {
        if name.len() > MAX_NAMESPACE_BYTES {
            return NamespaceId(Place::Other);
        }
        let start = (self.hasher.hash_one(name) % MAX_NAMESPACES as u64) as usize;
        let own = (0..MAX_PROBES)
            .map(|step| (start + step) % MAX_NAMESPACES)
            .find(|&place| self.take(place, name));
        NamespaceId(own.map_or(Place::Other, Place::Own))
    }

    /// Whether this place is the namespace's, after taking it if it was free.
    fn take(&self, place: usize, name: &str) -> bool {
        self.entries.get(place).is_some_and(|entry| {
            let entry = entry.get_or_init(|| Entry {
                name: name.into(),
                tally: AtomicTally::default(),
            });
            *entry.name == *name
        })
    }

    /// Whether `id` is the place of this name. False for names without a place of their own.
    #[inline]
    pub fn is(&self, id: NamespaceId, name: &str) -> bool {
        self.entry(id).is_some_and(|entry| *entry.name == *name)
    }

    #[inline]
    fn entry(&self, id: NamespaceId) -> Option<&Entry> {
        match id.0 {
            Place::Own(place) => self.entries.get(place)?.get(),
            Place::Other => None,
        }
    }

    /// Adds a tally to a namespace.
    #[inline]
    pub fn add(&self, id: NamespaceId, tally: &Tally) {
        self.entry(id)
            .map_or(&self.other, |entry| &entry.tally)
            .add(tally);
    }

    /// Adds one number to the namespace of a path. The root is not counted.
    pub fn record(&self, path: &str, value: u64) {
        if let Some(name) = namespace(path) {
            let mut tally = Tally::new();
            tally.record(value);
            self.add(self.find(name), &tally);
        }
    }

    /// The namespaces that have numbers, by name.
    pub fn view(&self) -> BTreeMap<String, Tally> {
        let own = self.entries.iter().filter_map(OnceLock::get);
        own.map(|entry| (&*entry.name, entry.tally.view()))
            .chain([(OTHER_NAMESPACES, self.other.view())])
            .filter(|(_, tally)| tally.count() > 0)
            .map(|(name, tally)| (name.to_owned(), tally))
            .collect()
    }

    /// Forgets the numbers; the places stay.
    pub fn reset(&self) {
        let own = self.entries.iter().filter_map(OnceLock::get);
        own.map(|entry| &entry.tally)
            .chain([&self.other])
            .for_each(AtomicTally::reset);
    }
}

/// Numbers of one set, gathered by one owner. A run of the same namespace costs no shared memory.
#[derive(Debug, Default)]
pub struct NamespaceBatch {
    current: Option<NamespaceId>,
    tally: Tally,
}

impl NamespaceBatch {
    /// Adds one number to the namespace of a path. `set` must be the same for the life of the batch.
    #[inline]
    pub fn record(&mut self, set: &Namespaces, path: &str, value: u64) {
        let Some(name) = namespace(path) else { return };
        if !self.current.is_some_and(|id| set.is(id, name)) {
            self.publish(set);
            self.current = Some(set.find(name));
        }
        self.tally.record(value);
    }

    /// Hands what was gathered to the set.
    #[inline]
    pub fn publish(&mut self, set: &Namespaces) {
        if let Some(id) = self.current {
            set.add(id, &std::mem::take(&mut self.tally));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_the_first_component() {
        for (path, expected) in [
            ("/", None),
            ("", None),
            ("app", None),
            ("/app", Some("app")),
            ("/app/a/b", Some("app")),
            ("/m 7/x", Some("m 7")),
        ] {
            assert_eq!(namespace(path), expected, "{path:?}");
        }
    }

    #[test]
    fn numbers_go_to_their_namespace_directly_and_by_batch() {
        let set = Namespaces::default();
        let mut batch = NamespaceBatch::default();
        batch.record(&set, "/app/a", 10);
        batch.record(&set, "/app", 30);
        batch.record(&set, "/", 99);
        assert!(
            set.view().is_empty(),
            "nothing is shared before it is published"
        );
        batch.record(&set, "/kafka", 5);
        batch.publish(&set);
        batch.publish(&set);
        set.record("/app/c", 2);
        let expected = [
            ("app".to_owned(), Tally::of(2, 30, 3, 42)),
            ("kafka".to_owned(), Tally::of(5, 5, 1, 5)),
        ];
        assert_eq!(set.view(), expected.into());
        set.reset();
        assert!(set.view().is_empty());
        batch.record(&set, "/kafka/x", 7);
        batch.publish(&set);
        assert_eq!(set.view()["kafka"], Tally::of(7, 7, 1, 7));
    }

    #[test]
    fn too_many_and_too_long_names_are_counted_together() {
        let set = Namespaces::default();
        let names = 4 * MAX_NAMESPACES as u64;
        for n in 0..names {
            set.record(&format!("/n{n}"), 1);
        }
        set.record(&format!("/{}", "x".repeat(MAX_NAMESPACE_BYTES + 1)), 1);
        let view = set.view();
        assert!(view.len() <= MAX_NAMESPACES + 1);
        assert!(view[OTHER_NAMESPACES].count() > names - MAX_NAMESPACES as u64);
        assert_eq!(view.values().map(Tally::count).sum::<u64>(), names + 1);
    }
}
