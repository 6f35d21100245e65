//! Watches: who wants to hear of which znode, and who hears of a change (client protocol 5).
//!
//! What lives here: the two tables, data and child, of all connections of one server, and the rules of what fires and what is
//! used up. What does not: the tree, permissions (the caller filters by READ), frames, sockets. Nobody is called: a change that
//! is asked of the table is answered with events.
//!
//! Invariants:
//! - A path is stored once while at least one watcher watches it, and forgotten with its last watch.
//! - What a call returns depends only on the calls before it: watchers come in ascending order of their ids, paths in order of
//!   their bytes. No hash order shows.
//! - Work is proportional to the watches concerned: one lookup for a change that nobody watches, and no look at ancestors while
//!   there is no recursive watch.
//!
//! Memory for one watcher and one path: 24 bytes and its text for the path, 6 to 11 bytes for the index of paths, 6 to 11 bytes
//! for the way back from the watcher. A further watcher of the same path costs 6 to 11 bytes in place of the first two.

mod crowd;
mod interest;
mod kinds;
mod paths;
mod slab;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use hashbrown::HashTable;
use rookeeper_proto::code::{EventType, WatcherType};
use rookeeper_proto::path;
use rustc_hash::FxHasher;

use self::interest::Interest;
use self::kinds::Kinds;
use self::paths::Paths;
use crate::mutation::{Mutation, mutated};

/// A connection, as its owner numbers them. A number may be used again after [`WatchTable::remove_watcher`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u32);

/// The two tables of watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The znode itself: created, deleted, data changed.
    Data,
    /// Its children; and its deletion.
    Child,
}

/// What a request registers (client protocol 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchKind {
    /// By exists and getData: data table, fires once.
    DataStandard,
    /// By getChildren: child table, fires once.
    ChildStandard,
    /// By addWatch 0: both tables, until removed.
    Persistent,
    /// By addWatch 1: data table, for the path and everything below, until removed.
    Recursive,
}

/// A change of the tree that watches may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A znode was created there, by whatever operation.
    Created(&'a str),
    /// The znode was deleted, by whatever operation.
    Deleted(&'a str),
    /// Its data were set, also to the same bytes.
    DataChanged(&'a str),
}

/// Whose ACL decides who may hear of an event (client protocol 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclOf {
    /// That of the changed znode; of a deleted one, what it was.
    Node,
    /// That of its parent.
    Parent,
}

/// One event for many watchers: encode it once, and send it to each watcher that has READ by `acl_of`. Their standard watches
/// are gone in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing<'a> {
    /// What happened.
    pub kind: EventType,
    /// The path in the event: that of the znode, or of its parent for a change of children.
    pub path: &'a str,
    /// Whose ACL filters.
    pub acl_of: AclOf,
    /// Who hears of it: ascending, each once, at least one.
    pub watchers: Vec<WatcherId>,
}

/// The figures of the word `wchs`. As in Java they count the data table only; [`WatchTable::len`] counts both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Connections with a watch.
    pub connections: usize,
    /// Paths with a watch.
    pub paths: usize,
    /// Pairs of connection and path.
    pub watches: usize,
}

/// All 2^32 - 1 ids of paths are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the table of watches is full")]
pub struct TableFull;

/// The watches of all connections of one server.
#[derive(Debug)]
pub struct WatchTable {
    paths: Paths,
    interest: Interest,
    /// Pairs of watcher and path with a kind of the data table.
    data: usize,
    /// The same of the child table.
    child: usize,
    /// Pairs with a recursive watch: without any, ancestors need not be looked at.
    recursive: usize,
}

impl WatchTable {
    /// An empty table. `key` is secret entropy for the hashes of paths, so that clients cannot choose colliding ones; it has no
    /// influence on any result.
    #[must_use]
    pub fn new(key: u64) -> Self {
        Self {
            paths: Paths::new(key),
            interest: Interest::default(),
            data: 0,
            child: 0,
            recursive: 0,
        }
    }

    /// Registers a watch. One that is there already is left alone; other kinds on the same path stay.
    ///
    /// The path may be any text: addWatch does not check it. Only a new path can find the table full; what else is stored per
    /// path or per watcher is never more than those.
    pub fn add(
        &mut self,
        watcher: WatcherId,
        path: &str,
        kind: WatchKind,
    ) -> Result<(), TableFull> {
        let id = self.paths.find_or_insert(path)?;
        let before = self.paths.kinds(id, watcher);
        let after = before | kind.into();
        if before == after {
            return Ok(());
        }
        self.paths.set(id, watcher, after)?;
        self.account(before, after);
        if before.is_empty() {
            self.interest.insert(watcher, id)?;
        }
        Ok(())
    }

    /// True when `watcher` has a watch of that type on exactly `path` (checkWatches).
    #[must_use]
    pub fn contains(&self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool {
        let found = self.paths.find(path);
        found.is_some_and(|id| self.paths.kinds(id, watcher).meets(Kinds::of_type(kind)))
    }

    /// Removes the watches of that type on exactly `path` (removeWatches). False when there was none.
    pub fn remove(&mut self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool {
        let Some(id) = self.paths.find(path) else {
            return false;
        };
        let before = self.paths.kinds(id, watcher);
        let found = before.meets(Kinds::of_type(kind));
        if found {
            self.replace(id, watcher, before, before.without(Kinds::of_type(kind)));
        }
        found
    }

    /// Forgets a connection that is closed, in time proportional to its own watches.
    pub fn remove_watcher(&mut self, watcher: WatcherId) {
        self.remove_some(watcher, usize::MAX);
    }

    /// Forgets up to `at_most` watched paths of a connection that is closed; true when nothing is left.
    ///
    /// A client with a million watches takes long to forget, and others wait meanwhile: this does it in parts. Until the end
    /// firings may name the watcher, and its number must not be used again.
    pub fn remove_some(&mut self, watcher: WatcherId, at_most: usize) -> bool {
        let taken = self.interest.take(watcher, at_most);
        for id in taken {
            let before = self.paths.kinds(id, watcher);
            self.account(before, Kinds::NONE);
            self.shed(id, watcher, Kinds::NONE);
        }
        self.interest.paths_of(watcher) == 0
    }

    fn replace(&mut self, id: u32, watcher: WatcherId, before: Kinds, after: Kinds) {
        self.account(before, after);
        if after.is_empty() {
            self.interest.remove(watcher, id);
        }
        self.shed(id, watcher, after);
    }

    /// Leaves `watcher` fewer kinds than before, which cannot fill the table.
    fn shed(&mut self, id: u32, watcher: WatcherId, kinds: Kinds) {
        let shed = self.paths.set(id, watcher, kinds);
        debug_assert_eq!(shed, Ok(()), "a watcher that is there needs no new place");
    }

    /// Keeps the counters when the kinds of one pair change.
    fn account(&mut self, before: Kinds, after: Kinds) {
        let recount = |count: &mut usize, of: Kinds| {
            *count = *count + usize::from(after.meets(of)) - usize::from(before.meets(of));
        };
        recount(&mut self.data, Kinds::of_table(Table::Data));
        recount(&mut self.child, Kinds::of_table(Table::Child));
        recount(&mut self.recursive, Kinds::RECURSIVE);
    }

    /// The events of one applied change, in the order in which they are sent (client protocol 5.3).
    pub fn fire<'a>(&mut self, change: Change<'a>) -> Vec<Firing<'a>> {
        let mut firings = Vec::new();
        if self.paths.is_empty() {
            return firings;
        }
        match change {
            Change::DataChanged(path) => {
                self.fire_node(EventType::NodeDataChanged, path, &mut firings);
            }
            Change::Created(path) => {
                self.fire_node(EventType::NodeCreated, path, &mut firings);
                self.fire_parent(path, &mut firings);
            }
            Change::Deleted(path) => {
                self.fire_deleted(path, &mut firings);
                self.fire_parent(path, &mut firings);
            }
        }
        firings
    }

    fn fire_node<'a>(&mut self, kind: EventType, path: &'a str, out: &mut Vec<Firing<'a>>) {
        let mut watchers = Vec::new();
        self.trigger(Table::Data, path, &mut watchers);
        push(out, kind, path, AclOf::Node, watchers);
    }

    /// A connection hears of a deletion once, even if it watches both the znode and its children.
    fn fire_deleted<'a>(&mut self, path: &'a str, out: &mut Vec<Firing<'a>>) {
        let (mut told, mut watchers) = (Vec::new(), Vec::new());
        self.trigger(Table::Data, path, &mut told);
        self.trigger_except(Table::Child, path, &told, &mut watchers);
        push(out, EventType::NodeDeleted, path, AclOf::Node, told);
        push(out, EventType::NodeDeleted, path, AclOf::Node, watchers);
    }

    fn fire_parent<'a>(&mut self, path: &'a str, out: &mut Vec<Firing<'a>>) {
        let Some((parent, _)) = path::split(path) else {
            return;
        };
        let mut watchers = Vec::new();
        self.trigger(Table::Child, parent, &mut watchers);
        push(
            out,
            EventType::NodeChildrenChanged,
            parent,
            AclOf::Parent,
            watchers,
        );
    }

    /// Fires one table for one path (client protocol 5.2): `out` becomes who hears of it, ascending, each once. Standard
    /// watches of that table on exactly `path` are used up.
    pub fn trigger(&mut self, table: Table, path: &str, out: &mut Vec<WatcherId>) {
        out.clear();
        if let Some(id) = self.paths.find(path) {
            self.use_up(table, id, out);
        }
        if table == Table::Data && self.recursive > 0 {
            for id in self.paths.ancestors(path) {
                self.paths.collect(id, Kinds::RECURSIVE, out);
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    /// The same, where the watchers in `told`, which are ascending, hear nothing; their watches are used up all the same.
    pub fn trigger_except(
        &mut self,
        table: Table,
        path: &str,
        told: &[WatcherId],
        out: &mut Vec<WatcherId>,
    ) {
        self.trigger(table, path, out);
        out.retain(|watcher| told.binary_search(watcher).is_err());
    }

    /// Collects everybody in `table` at one path and drops the standard watches.
    fn use_up(&mut self, table: Table, id: u32, out: &mut Vec<WatcherId>) {
        let standard = Kinds::standard(table);
        self.paths.collect(id, standard, out);
        let used = out.len();
        self.paths
            .collect(id, Kinds::of_table(table).without(standard), out);
        if mutated(Mutation::WatchFiresTwice) {
            return;
        }
        for watcher in out.iter().take(used) {
            let before = self.paths.kinds(id, *watcher);
            let after = before.without(standard);
            self.account(before, after);
            if after.is_empty() {
                self.interest.remove(*watcher, id);
            }
        }
        if used > 0 {
            self.paths.drop_kind(id, standard);
        }
    }

    /// Pairs of connection and path, counted in each table: `watch_count` of the metrics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data + self.child
    }

    /// True when nobody watches anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many paths `watcher` watches, in whatever table: what a limit per connection counts.
    #[must_use]
    pub fn paths_of(&self, watcher: WatcherId) -> usize {
        self.interest.paths_of(watcher)
    }

    /// The figures of `wchs`. Walks the whole table.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut paths = 0;
        let mut connections = BTreeSet::new();
        for (_, watchers) in self.paths.each(Kinds::of_table(Table::Data)) {
            paths += 1;
            connections.extend(watchers);
        }
        Summary {
            connections: connections.len(),
            paths,
            watches: self.data,
        }
    }

    /// Each path watched in `table` with its watchers, both ascending: `wchp`, which shows the data table.
    #[must_use]
    pub fn by_path(&self, table: Table) -> Vec<(&str, Vec<WatcherId>)> {
        let mut all: Vec<_> = self.paths.each(Kinds::of_table(table)).collect();
        for (_, watchers) in &mut all {
            watchers.sort_unstable();
            watchers.dedup();
        }
        all.sort_unstable_by_key(|(path, _)| *path);
        all
    }

    /// Each watcher in `table` with its paths, both ascending: `wchc`, which shows the data table.
    #[must_use]
    pub fn by_watcher(&self, table: Table) -> Vec<(WatcherId, Vec<&str>)> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (path, watchers) in self.by_path(table) {
            for watcher in watchers {
                all.entry(watcher).or_default().push(path);
            }
        }
        all.into_iter().collect()
    }

    /// Bytes of the table on the heap, the texts of the paths included; computed from capacities, without what the allocator
    /// adds.
    #[must_use]
    pub fn memory_estimate(&self) -> usize {
        self.paths.allocated() + self.interest.allocated()
    }

    /// Bytes of the texts of all watched paths, each counted once.
    #[must_use]
    pub fn path_bytes(&self) -> usize {
        self.paths.text_bytes()
    }
}

fn push<'a>(
    out: &mut Vec<Firing<'a>>,
    kind: EventType,
    path: &'a str,
    acl_of: AclOf,
    watchers: Vec<WatcherId>,
) {
    if !watchers.is_empty() {
        out.push(Firing {
            kind,
            path,
            acl_of,
            watchers,
        });
    }
}

/// The hash of a number that no client chooses.
fn hash_number(number: u32) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(number);
    hasher.finish()
}

/// A table that is this many times as large as it need be gives memory back.
const SLACK: usize = 8;
/// Tables up to this capacity are left alone unless they are empty.
const SMALL_TABLE: usize = 32;
/// The capacity of the smallest table that is allocated.
const LEAST_TABLE: usize = 3;

/// Gives memory back after a removal, so seldom that a removal stays cheap.
fn shrink<T>(table: &mut HashTable<T>, hasher: impl Fn(&T) -> u64) {
    let (used, capacity) = (table.len(), table.capacity());
    if used == 0 && capacity > LEAST_TABLE {
        *table = HashTable::new();
    } else if capacity > SMALL_TABLE && used < capacity / SLACK {
        table.shrink_to(used * 2, hasher);
    }
}
