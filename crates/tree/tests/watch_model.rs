//! The table of watches against a model that is too simple to be wrong: maps of sets, no sharing, no shortcuts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rookeeper_proto::code::{EventType, WatcherType};
use rookeeper_proto::path;
use rookeeper_tree::watches::{Change, Summary, Table, WatchKind, WatchTable, WatcherId};

/// Few enough for collisions of interest, deep enough for ancestors; the last ones are no paths at all.
const PATHS: [&str; 12] = [
    "/", "/a", "/a/b", "/a/b/c", "/ab", "/a/c", "/d", "/d/e", "/a/b/c/d", "//", "", "a/b",
];
const CROWDED: &str = "/a/b";
/// More than a small crowd holds.
const WATCHERS: u32 = 14;

/// What an idle table may keep: less than one leaked place costs.
const IDLE_BYTES: usize = 4096;

const KINDS: [WatchKind; 4] = [
    WatchKind::DataStandard,
    WatchKind::ChildStandard,
    WatchKind::Persistent,
    WatchKind::Recursive,
];
const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

#[derive(Debug, Clone)]
enum Step {
    Add(u32, &'static str, WatchKind),
    Remove(u32, &'static str, WatcherType),
    Disconnect(u32),
    Fire(Change<'static>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Standard,
    Persistent,
    Recursive,
}

type Heard = (EventType, String, Vec<u32>);

#[derive(Debug, Default)]
struct Model {
    data: BTreeSet<(u32, String, Mode)>,
    child: BTreeSet<(u32, String, Mode)>,
}

impl Model {
    fn table(&mut self, table: Table) -> &mut BTreeSet<(u32, String, Mode)> {
        match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        }
    }

    fn add(&mut self, watcher: u32, path: &str, kind: WatchKind) {
        let tables: &[(Table, Mode)] = match kind {
            WatchKind::DataStandard => &[(Table::Data, Mode::Standard)],
            WatchKind::ChildStandard => &[(Table::Child, Mode::Standard)],
            WatchKind::Persistent => &[
                (Table::Data, Mode::Persistent),
                (Table::Child, Mode::Persistent),
            ],
            WatchKind::Recursive => &[(Table::Data, Mode::Recursive)],
        };
        for (table, mode) in tables {
            self.table(*table).insert((watcher, path.to_owned(), *mode));
        }
    }

    fn remove(&mut self, watcher: u32, path: &str, kind: WatcherType) -> bool {
        let of = |mode| move |entry: &(u32, String, Mode)| entry.2 == mode;
        let mut found = false;
        let mut drop_from =
            |table: &mut BTreeSet<_>, wanted: &dyn Fn(&(u32, String, Mode)) -> bool| {
                let before = table.len();
                table.retain(|entry: &(u32, String, Mode)| {
                    !(entry.0 == watcher && entry.1 == path && wanted(entry))
                });
                found |= table.len() < before;
            };
        match kind {
            WatcherType::Children => drop_from(&mut self.child, &of(Mode::Standard)),
            WatcherType::Data => drop_from(&mut self.data, &of(Mode::Standard)),
            WatcherType::PersistentRecursive => drop_from(&mut self.data, &of(Mode::Recursive)),
            WatcherType::Persistent => {
                drop_from(&mut self.data, &of(Mode::Persistent));
                drop_from(&mut self.child, &of(Mode::Persistent));
            }
            WatcherType::Any => {
                drop_from(&mut self.data, &|_| true);
                drop_from(&mut self.child, &|_| true);
            }
        }
        found
    }

    fn trigger(&mut self, table: Table, path: &str) -> BTreeSet<u32> {
        let entries = self.table(table);
        // Nothing lies below the empty text, which is no path.
        let hit = |entry: &&(u32, String, Mode)| {
            let below = entry.2 == Mode::Recursive
                && !entry.1.is_empty()
                && path::is_at_or_below(path, &entry.1);
            entry.1 == path || below
        };
        let heard = entries.iter().filter(hit).map(|entry| entry.0).collect();
        entries.retain(|entry| !(entry.1 == path && entry.2 == Mode::Standard));
        heard
    }

    fn fire(&mut self, change: Change<'_>) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut tell = |kind, path: &str, to: BTreeSet<u32>| {
            if !to.is_empty() {
                heard.push((kind, path.to_owned(), to.into_iter().collect()));
            }
        };
        let (path, kind) = match change {
            Change::Created(path) => (path, EventType::NodeCreated),
            Change::Deleted(path) => (path, EventType::NodeDeleted),
            Change::DataChanged(path) => (path, EventType::NodeDataChanged),
        };
        let first = self.trigger(Table::Data, path);
        tell(kind, path, first.clone());
        if kind == EventType::NodeDeleted {
            let second = self.trigger(Table::Child, path);
            tell(kind, path, second.difference(&first).copied().collect());
        }
        if kind != EventType::NodeDataChanged
            && let Some((parent, _)) = path::split(path)
        {
            let children = self.trigger(Table::Child, parent);
            tell(EventType::NodeChildrenChanged, parent, children);
        }
        heard
    }

    fn by_path(&self, table: Table) -> BTreeMap<&str, BTreeSet<u32>> {
        let entries = match table {
            Table::Data => &self.data,
            Table::Child => &self.child,
        };
        let mut all = BTreeMap::<_, BTreeSet<_>>::new();
        for (watcher, path, _) in entries {
            all.entry(path.as_str()).or_default().insert(*watcher);
        }
        all
    }
}

/// Does one step to both and compares what they answer.
fn step(table: &mut WatchTable, model: &mut Model, step: &Step) {
    match *step {
        Step::Add(watcher, path, kind) => {
            assert_eq!(table.add(WatcherId(watcher), path, kind), Ok(()));
            model.add(watcher, path, kind);
        }
        Step::Remove(watcher, path, kind) => {
            let id = WatcherId(watcher);
            let known = table.contains(id, path, kind);
            let removed = table.remove(id, path, kind);
            assert_eq!(
                (known, removed),
                (removed, model.remove(watcher, path, kind))
            );
            assert!(!table.contains(id, path, kind));
        }
        Step::Disconnect(watcher) => {
            // In two parts.
            let id = WatcherId(watcher);
            let few = table.paths_of(id) <= 2;
            assert_eq!(table.remove_some(id, 2), few);
            assert!(table.remove_some(id, usize::MAX));
            model.data.retain(|entry| entry.0 != watcher);
            model.child.retain(|entry| entry.0 != watcher);
        }
        Step::Fire(change) => {
            let told = table.fire(change).into_iter().map(|firing| {
                let watchers = firing.watchers.iter().map(|id| id.0).collect();
                (firing.kind, firing.path.to_owned(), watchers)
            });
            assert_eq!(told.collect::<Vec<Heard>>(), model.fire(change));
        }
    }
}

fn compare(table: &WatchTable, model: &Model) {
    let ids = |watchers: BTreeSet<u32>| watchers.into_iter().map(WatcherId).collect::<Vec<_>>();
    let mut pairs = 0;
    for side in [Table::Data, Table::Child] {
        let expected = model.by_path(side);
        pairs += expected.values().map(BTreeSet::len).sum::<usize>();
        let expected = expected.into_iter().map(|(path, who)| (path, ids(who)));
        assert_eq!(table.by_path(side), expected.collect::<Vec<_>>());
    }
    assert_eq!(table.len(), pairs);
    assert_eq!(table.is_empty(), pairs == 0);
    let data = table.by_watcher(Table::Data);
    let summary = Summary {
        connections: data.len(),
        paths: table.by_path(Table::Data).len(),
        watches: data.iter().map(|(_, paths)| paths.len()).sum(),
    };
    assert_eq!(table.summary(), summary);
    let all: BTreeSet<_> = model
        .data
        .iter()
        .chain(&model.child)
        .map(|e| (e.0, &e.1))
        .collect();
    for watcher in 0..WATCHERS {
        let paths = all.iter().filter(|(id, _)| *id == watcher).count();
        assert_eq!(table.paths_of(WatcherId(watcher)), paths);
    }
    let texts: BTreeSet<_> = all.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(
        table.path_bytes(),
        texts.iter().map(|path| path.len()).sum::<usize>()
    );
}

fn any_change() -> impl Strategy<Value = Change<'static>> {
    // Only real paths change.
    (0..9_usize, 0..3).prop_map(|(path, kind)| match kind {
        0 => Change::Created(PATHS[path]),
        1 => Change::Deleted(PATHS[path]),
        _ => Change::DataChanged(PATHS[path]),
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    // One path draws a large crowd.
    let path = prop_oneof![
        1 => Just(CROWDED),
        1 => (0..PATHS.len()).prop_map(|n| PATHS[n]),
    ];
    let kind = (0..KINDS.len()).prop_map(|n| KINDS[n]);
    let wanted = (0..TYPES.len()).prop_map(|n| TYPES[n]);
    prop_oneof![
        12 => (0..WATCHERS, path.clone(), kind).prop_map(|(w, p, k)| Step::Add(w, p, k)),
        3 => (0..WATCHERS, path, wanted).prop_map(|(w, p, k)| Step::Remove(w, p, k)),
        1 => (0..WATCHERS).prop_map(Step::Disconnect),
        4 => any_change().prop_map(Step::Fire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_the_model_does(
        key in any::<u64>(),
        steps in prop::collection::vec(any_step(), 1..250),
    ) {
        let mut table = WatchTable::new(key);
        let mut model = Model::default();
        for one in &steps {
            step(&mut table, &mut model, one);
        }
        compare(&table, &model);
        (0..WATCHERS).for_each(|watcher| table.remove_watcher(WatcherId(watcher)));
        prop_assert!(table.is_empty());
        compare(&table, &Model::default());
        prop_assert!(table.memory_estimate() < IDLE_BYTES, "{}", table.memory_estimate());
    }
}
