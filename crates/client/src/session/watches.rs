//! Which watches this session has, and whom an event concerns.
//!
//! Several watches of the same kind on one path share one watch at the server. Paths are the server's, chroot included.
//!
//! Invariant: what is listed here is what the server is asked to watch again after a reconnect.

use std::collections::BTreeMap;
use std::sync::Arc;

use rookeeper_proto::code::{AddWatchMode, EventType, WatcherType};
use rookeeper_proto::request::WatchList;

/// A watch of this client: unique as long as the client lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WatchId(pub(crate) u64);

/// What a watch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchKind {
    /// One change of data, or the deletion.
    Data,
    /// The same, or the creation of what is not there.
    Exist,
    /// One change of the child list, or the deletion.
    Child,
    /// Everything about one znode and its child list, until it is removed.
    Persistent,
    /// Everything about a znode and those below it, until it is removed.
    Recursive,
}

impl WatchKind {
    /// True for a watch that is used up by its first event.
    #[must_use]
    pub(crate) const fn is_once(self) -> bool {
        matches!(self, Self::Data | Self::Exist | Self::Child)
    }

    const fn list(self) -> usize {
        match self {
            Self::Data => WatchList::Data as usize,
            Self::Exist => WatchList::Exist as usize,
            Self::Child => WatchList::Child as usize,
            Self::Persistent => WatchList::Persistent as usize,
            Self::Recursive => WatchList::PersistentRecursive as usize,
        }
    }

    const fn matches(self, kind: WatcherType) -> bool {
        match kind {
            WatcherType::Any => true,
            WatcherType::Children => matches!(self, Self::Child),
            WatcherType::Data => matches!(self, Self::Data | Self::Exist),
            WatcherType::Persistent => matches!(self, Self::Persistent),
            WatcherType::PersistentRecursive => matches!(self, Self::Recursive),
        }
    }
}

impl From<AddWatchMode> for WatchKind {
    fn from(mode: AddWatchMode) -> Self {
        match mode {
            AddWatchMode::Persistent => Self::Persistent,
            AddWatchMode::PersistentRecursive => Self::Recursive,
        }
    }
}

/// Bytes of path text in one setWatches request at most, so that it stays far below the frame limit of any server.
/// In tests almost nothing, so that there are several requests.
const CHUNK_BYTES: usize = if cfg!(test) { 8 } else { 128 * 1024 };
/// What a path costs in a request besides its text.
const PATH_OVERHEAD: usize = 4;

/// All watches of a session.
#[derive(Debug, Default)]
pub(crate) struct WatchTable {
    paths: BTreeMap<Arc<str>, Vec<(WatchKind, WatchId)>>,
    places: BTreeMap<WatchId, (Arc<str>, WatchKind)>,
    /// Requests on their way that will leave a watch, by path.
    coming: BTreeMap<Arc<str>, usize>,
}

impl WatchTable {
    /// A request that leaves a watch on `path` is on its way.
    pub(crate) fn announce(&mut self, path: &Arc<str>) {
        *self.coming.entry(Arc::clone(path)).or_default() += 1;
    }

    /// Such a request was answered, or never will be.
    pub(crate) fn arrived(&mut self, path: &str) {
        if let Some(count) = self.coming.get_mut(path) {
            *count -= 1;
            if *count == 0 {
                self.coming.remove(path);
            }
        }
    }

    /// The server has the watch.
    pub(crate) fn add(&mut self, id: WatchId, path: &Arc<str>, kind: WatchKind) {
        self.places.insert(id, (Arc::clone(path), kind));
        self.paths
            .entry(Arc::clone(path))
            .or_default()
            .push((kind, id));
    }

    /// Forgets a watch. What the server may forget as well is the answer: nothing while others need it, or may need it soon.
    pub(crate) fn remove(&mut self, id: WatchId) -> Option<(Arc<str>, WatcherType)> {
        let (path, kind) = self.places.remove(&id)?;
        let left = self.paths.get_mut(&path)?;
        left.retain(|(_, other)| *other != id);
        let needed = left.iter().any(|(other, _)| *other == kind);
        let alone = left.is_empty();
        if alone {
            self.paths.remove(&path);
        }
        if needed || self.coming.contains_key(&path) {
            return None;
        }
        match kind {
            // Servers before 3.9 know no more than this, and nothing else is on the path.
            _ if alone => Some((path, WatcherType::Any)),
            WatchKind::Persistent => Some((path, WatcherType::Persistent)),
            WatchKind::Recursive => Some((path, WatcherType::PersistentRecursive)),
            // Servers before 3.9 would remove persistent watches too. One event too many does no harm.
            WatchKind::Data | WatchKind::Exist | WatchKind::Child => None,
        }
    }

    /// Forgets all watches on `path` of the kinds that `kind` names, and tells which they were.
    pub(crate) fn remove_all(&mut self, path: &str, kind: WatcherType) -> Vec<WatchId> {
        let all = self.paths.get(path).into_iter().flatten();
        let ids: Vec<WatchId> = all
            .filter(|(other, _)| other.matches(kind))
            .map(|(_, id)| *id)
            .collect();
        for id in &ids {
            self.remove(*id);
        }
        ids
    }

    /// Whom an event concerns. Watches that it uses up are gone.
    pub(crate) fn fire(&mut self, event: EventType, path: &str) -> Vec<WatchId> {
        let hears = |kind: WatchKind| match kind {
            WatchKind::Data | WatchKind::Exist => event != EventType::NodeChildrenChanged,
            WatchKind::Child => {
                matches!(
                    event,
                    EventType::NodeChildrenChanged | EventType::NodeDeleted
                )
            }
            WatchKind::Persistent => true,
            WatchKind::Recursive => false,
        };
        let here = self.paths.get(path).into_iter().flatten();
        let mut ids: Vec<(WatchKind, WatchId)> =
            here.filter(|(kind, _)| hears(*kind)).copied().collect();
        if event != EventType::NodeChildrenChanged {
            ids.extend(self.recursive_above(path));
        }
        for (kind, id) in &ids {
            if kind.is_once() {
                self.remove(*id);
            }
        }
        ids.into_iter().map(|(_, id)| id).collect()
    }

    fn recursive_above<'a>(
        &'a self,
        path: &'a str,
    ) -> impl Iterator<Item = (WatchKind, WatchId)> + 'a {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
        let above = ends.filter_map(|at| path.get(..at));
        let root = (path != "/").then_some("/");
        root.into_iter()
            .chain(above)
            .chain(std::iter::once(path))
            .filter_map(|path| self.paths.get(path))
            .flatten()
            .filter(|(kind, _)| *kind == WatchKind::Recursive)
            .copied()
    }

    /// The watch that hears most of what those on `path` wait for; that of the znode alone is enough for one-shot watches.
    pub(crate) fn widest(&self, path: &str) -> Option<AddWatchMode> {
        let here = self.paths.get(path)?;
        let recursive = here.iter().any(|(kind, _)| *kind == WatchKind::Recursive);
        Some(match recursive {
            true => AddWatchMode::PersistentRecursive,
            false => AddWatchMode::Persistent,
        })
    }

    /// True when a persistent watch on `path` shares it with another kind, that of the newcomer included.
    pub(crate) fn is_mixed(&self, path: &str, newcomer: WatchKind) -> bool {
        let others = self.paths.get(path).into_iter().flatten();
        let mut others = others
            .map(|(kind, _)| *kind)
            .filter(|kind| *kind != newcomer);
        others.any(|kind| !kind.is_once() || !newcomer.is_once())
    }

    /// The persistent watches on `path`, of both reaches.
    pub(crate) fn persistent_at(&self, path: &str) -> Vec<WatchId> {
        let here = self.paths.get(path).into_iter().flatten();
        here.filter(|(kind, _)| !kind.is_once())
            .map(|(_, id)| *id)
            .collect()
    }

    /// All watches, in no order that means anything.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (WatchId, WatchKind)> + '_ {
        self.places.iter().map(|(id, (_, kind))| (*id, *kind))
    }

    /// The lists of the requests that register everything again, each of a bounded size. Five lists where there is a persistent
    /// watch, else three, which older servers know.
    #[must_use]
    pub(crate) fn chunks(&self) -> Vec<Vec<Vec<Arc<str>>>> {
        let lists = self
            .ids()
            .map(|(_, kind)| if kind.is_once() { 3 } else { 5 })
            .max()
            .unwrap_or(3);
        let mut chunks = Vec::new();
        let mut chunk = vec![Vec::new(); lists];
        let mut bytes = 0;
        for (path, list) in self.wanted() {
            if bytes + path.len() > CHUNK_BYTES && bytes > 0 {
                chunks.push(std::mem::replace(&mut chunk, vec![Vec::new(); lists]));
                bytes = 0;
            }
            bytes += path.len() + PATH_OVERHEAD;
            if let Some(list) = chunk.get_mut(list) {
                list.push(path);
            }
        }
        if bytes > 0 {
            chunks.push(chunk);
        }
        chunks
    }

    /// Each path once for each list that it belongs to.
    fn wanted(&self) -> impl Iterator<Item = (Arc<str>, usize)> + '_ {
        self.paths.iter().flat_map(|(path, interests)| {
            let mut lists: Vec<usize> = interests.iter().map(|(kind, _)| kind.list()).collect();
            lists.sort_unstable();
            lists.dedup();
            lists.into_iter().map(|list| (Arc::clone(path), list))
        })
    }

    /// Forgets everything, and tells what there was.
    pub(crate) fn clear(&mut self) -> Vec<WatchId> {
        self.paths.clear();
        self.coming.clear();
        std::mem::take(&mut self.places).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(watches: &[(u64, &str, WatchKind)]) -> WatchTable {
        let mut table = WatchTable::default();
        for (id, path, kind) in watches {
            table.add(WatchId(*id), &Arc::from(*path), *kind);
        }
        table
    }

    fn fire(table: &mut WatchTable, event: EventType, path: &str) -> Vec<u64> {
        let mut ids: Vec<u64> = table.fire(event, path).into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_one_shot_watch_hears_one_event() {
        let mut table = table(&[(1, "/a", WatchKind::Data), (2, "/a", WatchKind::Child)]);
        assert_eq!(fire(&mut table, EventType::NodeDataChanged, "/a"), [1]);
        assert_eq!(fire(&mut table, EventType::NodeDataChanged, "/a"), []);
        assert_eq!(fire(&mut table, EventType::NodeDeleted, "/a"), [2]);
        assert_eq!(table.ids().count(), 0);
    }

    #[test]
    fn persistent_watches_stay_and_recursive_ones_hear_what_is_below() {
        let mut table = table(&[
            (1, "/a", WatchKind::Persistent),
            (2, "/a", WatchKind::Recursive),
            (3, "/", WatchKind::Recursive),
        ]);
        assert_eq!(fire(&mut table, EventType::NodeChildrenChanged, "/a"), [1]);
        assert_eq!(fire(&mut table, EventType::NodeCreated, "/a/b/c"), [2, 3]);
        assert_eq!(
            fire(&mut table, EventType::NodeDataChanged, "/a"),
            [1, 2, 3]
        );
        assert_eq!(fire(&mut table, EventType::NodeDataChanged, "/ab"), [3]);
        assert_eq!(fire(&mut table, EventType::NodeDataChanged, "/"), [3]);
    }

    #[test]
    fn the_server_forgets_only_what_nobody_needs() {
        let mut table = table(&[
            (1, "/a", WatchKind::Data),
            (2, "/a", WatchKind::Data),
            (3, "/a", WatchKind::Persistent),
            (4, "/b", WatchKind::Child),
        ]);
        assert_eq!(table.remove(WatchId(1)), None);
        assert_eq!(
            table.remove(WatchId(3)),
            Some(("/a".into(), WatcherType::Persistent))
        );
        assert_eq!(
            table.remove(WatchId(2)),
            Some(("/a".into(), WatcherType::Any))
        );
        table.announce(&"/b".into());
        assert_eq!(table.remove(WatchId(4)), None);
        table.arrived("/b");
        assert_eq!(table.remove(WatchId(4)), None);
    }

    #[test]
    fn a_one_shot_watch_beside_a_persistent_one_stays_at_the_server() {
        let mut table = table(&[(1, "/a", WatchKind::Data), (2, "/a", WatchKind::Persistent)]);
        assert_eq!(table.remove(WatchId(1)), None);
    }

    #[test]
    fn what_is_registered_again_comes_in_chunks_with_each_path_once() {
        let mut table = table(&[
            (1, "/a", WatchKind::Data),
            (2, "/a", WatchKind::Data),
            (3, "/a", WatchKind::Child),
        ]);
        let once: Vec<Vec<Arc<str>>> = vec![vec!["/a".into()], vec![], vec!["/a".into()]];
        assert_eq!(table.chunks(), [once]);
        let long = "/".to_owned() + &"x".repeat(CHUNK_BYTES / 4);
        for id in 10..16 {
            table.add(
                WatchId(id),
                &format!("{long}{id}").into(),
                WatchKind::Recursive,
            );
        }
        let chunks = table.chunks();
        assert!(chunks.len() > 1 && chunks.iter().all(|lists| lists.len() == 5));
        let paths: usize = chunks.iter().flatten().map(Vec::len).sum();
        assert_eq!(paths, 8);
    }

    #[test]
    fn removal_by_type_tells_whom_it_concerns() {
        let mut table = table(&[
            (1, "/a", WatchKind::Data),
            (2, "/a", WatchKind::Exist),
            (3, "/a", WatchKind::Recursive),
        ]);
        assert_eq!(
            table.remove_all("/a", WatcherType::Data),
            [WatchId(1), WatchId(2)]
        );
        assert_eq!(table.remove_all("/a", WatcherType::Any), [WatchId(3)]);
    }
}
