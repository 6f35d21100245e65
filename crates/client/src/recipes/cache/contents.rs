//! What a cache holds, and whom it tells. Readings come in, changes go out; one older than what is held changes nothing.
//!
//! Invariant: the map and what was told to each reader change together, under one lock.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::changes::{Change, Queue};
use super::{CacheError, Znode};
use crate::{Data, Zxid};

/// What a znode costs besides its path and its data, about.
const ZNODE_BYTES: usize = 256;

/// All znodes of a cache at one moment. It does not change; the cache goes on with another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    znodes: BTreeMap<Arc<str>, Arc<Znode>>,
}

impl Snapshot {
    /// The znode at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Arc<Znode>> {
        self.znodes.get(path)
    }

    /// All znodes, by path.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Znode>> {
        self.znodes.values()
    }

    /// The znodes right below `path`, by name. It passes over everything below them.
    pub fn children<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Arc<Znode>> {
        let prefix = prefix(path);
        let depth = prefix.matches('/').count();
        self.below(&prefix)
            .filter(move |znode| znode.path.matches('/').count() == depth)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.znodes.len()
    }

    /// True without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.znodes.is_empty()
    }

    fn below<'a>(&'a self, prefix: &str) -> impl Iterator<Item = &'a Arc<Znode>> + use<'a> {
        // '0' follows '/': between the two is what begins with the prefix.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let range = (Bound::Excluded(prefix), Bound::Excluded(&*end));
        self.znodes.range::<str, _>(range).map(|(_, znode)| znode)
    }
}

fn prefix(path: &str) -> String {
    match path {
        "/" => "/".to_owned(),
        _ => format!("{path}/"),
    }
}

/// How a cache stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It reads for the first time.
    Loading,
    /// It follows.
    Fresh,
    /// It may be behind.
    Stale,
    /// It changes no more.
    Ended(CacheError),
}

/// What is shared between the cache's task and those who look.
#[derive(Debug)]
pub(super) struct Contents {
    held: Mutex<Held>,
    /// Only changed while `held` is locked.
    standing: watch::Sender<Standing>,
}

#[derive(Debug)]
struct Held {
    snapshot: Arc<Snapshot>,
    bytes: usize,
    revision: u64,
    readers: Vec<Weak<Queue>>,
}

impl Held {
    fn tell(&mut self, change: &Change) {
        self.readers.retain(|reader| {
            let reader = reader.upgrade();
            reader.is_some_and(|queue| {
                queue.push(change.clone());
                true
            })
        });
    }
}

impl Contents {
    pub(super) fn new() -> Self {
        Self {
            held: Mutex::new(Held {
                snapshot: Arc::default(),
                bytes: 0,
                revision: 0,
                readers: Vec::new(),
            }),
            standing: watch::Sender::new(Standing::Loading),
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.held.lock().snapshot)
    }

    pub(super) fn get(&self, path: &str) -> Option<Arc<Znode>> {
        self.held.lock().snapshot.get(path).cloned()
    }

    /// Znodes and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let held = self.held.lock();
        (held.snapshot.len(), held.bytes)
    }

    /// Counts changes of the znodes.
    pub(super) fn revision(&self) -> u64 {
        self.held.lock().revision
    }

    /// How the cache stands, and every change of it.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The zxid of the last change of a znode that is held.
    pub(super) fn changed_at(&self, path: &str) -> Option<Zxid> {
        let held = self.held.lock();
        held.snapshot.get(path).map(|znode| znode.data.stat.mzxid)
    }

    /// A reader: it is told what is held first.
    pub(super) fn follow(&self) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        let mut held = self.held.lock();
        for znode in held.snapshot.iter() {
            queue.push(Change::Added(Arc::clone(znode)));
        }
        let standing = self.standing.borrow();
        if *standing != Standing::Loading {
            queue.push(Change::Initialized);
        }
        match &*standing {
            Standing::Stale => queue.push(Change::Stale),
            Standing::Ended(error) => {
                queue.push(Change::Ended(error.clone()));
                queue.end();
            }
            Standing::Loading | Standing::Fresh => {}
        }
        held.readers.retain(|reader| reader.strong_count() > 0);
        held.readers.push(Arc::downgrade(&queue));
        queue
    }

    /// A znode was read. True if it was not held before.
    pub(super) fn show(&self, path: &Arc<str>, data: Data) -> bool {
        let mut held = self.held.lock();
        let before = held.snapshot.get(path).cloned();
        let (changed, bytes) = (data.stat.mzxid, cost(path, &data));
        if let Some(before) = &before
            && before.data.stat.mzxid >= changed
        {
            return false;
        }
        let now = Arc::new(Znode {
            path: Arc::clone(path),
            data,
        });
        let snapshot = Arc::make_mut(&mut held.snapshot);
        snapshot.znodes.insert(Arc::clone(path), Arc::clone(&now));
        let freed = before.as_ref().map_or(0, |znode| cost(path, &znode.data));
        held.bytes = held.bytes + bytes - freed;
        held.revision += 1;
        let is_new = before.is_none();
        held.tell(&match before {
            None => Change::Added(now),
            Some(before) => Change::Changed { before, now },
        });
        is_new
    }

    /// A znode is not there, nor anything below it. Tells what was held, those below first.
    pub(super) fn remove(&self, path: &str) -> Vec<Arc<str>> {
        let mut held = self.held.lock();
        let below = held.snapshot.below(&prefix(path));
        let itself = held.snapshot.get(path).into_iter();
        let mut gone: Vec<Arc<Znode>> = itself.chain(below).cloned().collect();
        gone.reverse();
        for znode in &gone {
            let snapshot = Arc::make_mut(&mut held.snapshot);
            snapshot.znodes.remove(&znode.path);
            held.bytes -= cost(&znode.path, &znode.data);
            held.revision += 1;
            held.tell(&Change::Removed(Arc::clone(znode)));
        }
        gone.iter().map(|znode| Arc::clone(&znode.path)).collect()
    }

    /// The cache may be behind from now on.
    pub(super) fn turn_stale(&self) {
        let mut held = self.held.lock();
        if *self.standing.borrow() == Standing::Fresh {
            self.standing.send_replace(Standing::Stale);
            held.tell(&Change::Stale);
        }
    }

    /// Everything has been read.
    pub(super) fn turn_fresh(&self) {
        let mut held = self.held.lock();
        let change = match *self.standing.borrow() {
            Standing::Loading => Change::Initialized,
            Standing::Stale => Change::Fresh,
            Standing::Fresh | Standing::Ended(_) => return,
        };
        self.standing.send_replace(Standing::Fresh);
        held.tell(&change);
    }

    /// Nothing changes any more.
    pub(super) fn end(&self, error: CacheError) {
        let mut held = self.held.lock();
        if matches!(*self.standing.borrow(), Standing::Ended(_)) {
            return;
        }
        self.standing.send_replace(Standing::Ended(error.clone()));
        held.tell(&Change::Ended(error));
        for reader in std::mem::take(&mut held.readers) {
            if let Some(queue) = reader.upgrade() {
                queue.end();
            }
        }
    }
}

fn cost(path: &str, data: &Data) -> usize {
    ZNODE_BYTES + path.len() + data.bytes.len()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::Stat;
    use crate::recipes::cache::changes::Changes;

    fn data(mzxid: i64) -> Data {
        let stat = Stat {
            mzxid: Zxid(mzxid),
            ..Stat::default()
        };
        Data {
            bytes: bytes::Bytes::from_static(b"x"),
            is_null: false,
            stat,
        }
    }

    fn told(changes: &mut Changes) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(change) = changes.try_next() {
            all.push(match change {
                Change::Added(znode) => format!("+{}@{}", znode.path, znode.data.stat.mzxid.0),
                Change::Changed { now, .. } => format!("={}@{}", now.path, now.data.stat.mzxid.0),
                Change::Removed(znode) => format!("-{}", znode.path),
                other => format!("{other:?}"),
            });
        }
        all
    }

    #[test]
    fn versions_never_go_back_and_nothing_is_told_twice() {
        let contents = Contents::new();
        let mut changes = Changes {
            queue: contents.follow(),
        };
        let path: Arc<str> = "/a".into();
        assert!(contents.show(&path, data(3)));
        assert!(!contents.show(&path, data(2)));
        assert!(!contents.show(&path, data(3)));
        assert!(!contents.show(&path, data(4)));
        assert_eq!(told(&mut changes), ["+/a@3", "=/a@4"]);
    }

    #[test]
    fn what_is_below_goes_with_a_znode_and_before_it() {
        let contents = Contents::new();
        for path in ["/a", "/a/b", "/a/b/c", "/a-b", "/a0", "/b"] {
            contents.show(&path.into(), data(1));
        }
        let snapshot = contents.snapshot();
        let children: Vec<&str> = snapshot.children("/").map(|znode| &*znode.path).collect();
        assert_eq!(children, ["/a", "/a-b", "/a0", "/b"]);
        assert_eq!(snapshot.children("/a").count(), 1);
        let gone = contents.remove("/a");
        assert_eq!(gone, ["/a/b/c".into(), "/a/b".into(), "/a".into()]);
        assert_eq!(snapshot.len(), 6, "a snapshot does not change");
        contents.remove("/");
        assert_eq!(contents.size(), (0, 0));
    }

    #[test]
    fn a_late_reader_begins_with_what_is_held() {
        let contents = Contents::new();
        contents.show(&"/a".into(), data(1));
        contents.turn_fresh();
        contents.turn_stale();
        contents.turn_stale();
        let mut changes = Changes {
            queue: contents.follow(),
        };
        contents.turn_fresh();
        contents.end(CacheError::Dropped);
        assert_eq!(
            told(&mut changes),
            ["+/a@1", "Initialized", "Stale", "Fresh", "Ended(Dropped)"]
        );
        let mut end = std::pin::pin!(changes.next());
        let context = &mut Context::from_waker(Waker::noop());
        assert_eq!(end.as_mut().poll(context), Poll::Ready(None));
    }
}
