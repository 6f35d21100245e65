//! What a cache tells: changes in order, and what becomes of them where nobody reads.
//!
//! Invariant: the changes of a stream, applied one after another to an empty map, give what the cache holds.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::Mutex;

use super::{CacheError, Znode};

/// Changes that wait for a slow reader before those of the same znode are put together.
const FOLD_AT: usize = 10_000;

/// A change of what a cache holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A znode is there.
    Added(Arc<Znode>),
    /// A znode was written, or deleted and created again.
    Changed {
        /// As it was told last.
        before: Arc<Znode>,
        /// As it is.
        now: Arc<Znode>,
    },
    /// A znode is not there any more.
    Removed(Arc<Znode>),
    /// All that was there when the cache began has been told.
    Initialized,
    /// The connection is lost: what the cache holds may be old.
    Stale,
    /// Everything has been read again after an interruption, and the differences have been told.
    Fresh,
    /// The cache changes no more; what it holds is as old as this. The last change.
    Ended(CacheError),
}

/// The changes of a cache, beginning with what it holds as additions.
///
/// A slow reader costs bounded memory: when many changes wait, those of the same znode are put together, so that it learns of every
/// znode's last state and not of all between. What then waits is at most a change for each znode told before or held now. The
/// order of changes of different znodes is lost then, [`Change::Initialized`], [`Change::Stale`] and [`Change::Fresh`] come last.
#[derive(Debug)]
pub struct Changes {
    pub(super) queue: Arc<Queue>,
}

impl Changes {
    /// The next change; `None` after the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|context| self.queue.poll(context)).await
    }

    /// The next change if it is there already.
    pub fn try_next(&mut self) -> Option<Change> {
        self.queue.inner.lock().waiting.pop_front()
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.queue.poll(context)
    }
}

/// Changes between a cache and one reader.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Change>,
    /// What waited after the last folding.
    folded: usize,
    ended: bool,
    reader: Option<Waker>,
}

impl Queue {
    pub(super) fn push(&self, change: Change) {
        let mut inner = self.inner.lock();
        // Twice what cannot be folded, so that folding costs a constant for each change.
        if inner.waiting.len() >= FOLD_AT.max(2 * inner.folded) {
            let waiting = std::mem::take(&mut inner.waiting);
            inner.waiting = fold(waiting);
            inner.folded = inner.waiting.len();
        }
        inner.waiting.push_back(change);
        wake(inner.reader.take());
    }

    /// Nothing follows.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        wake(inner.reader.take());
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Change>> {
        let mut inner = self.inner.lock();
        match inner.waiting.pop_front() {
            Some(change) => Poll::Ready(Some(change)),
            None if inner.ended => Poll::Ready(None),
            None => {
                inner.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// A znode as it was told, and as it is.
type Difference = (Option<Arc<Znode>>, Option<Arc<Znode>>);

/// One change for each znode, and the last word about the whole.
fn fold(waiting: VecDeque<Change>) -> VecDeque<Change> {
    let mut order: Vec<Difference> = Vec::new();
    let mut places: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    let (mut initialized, mut last) = (None, None);
    for change in waiting {
        let (before, now) = match change {
            Change::Added(now) => (None, Some(now)),
            Change::Changed { before, now } => (Some(before), Some(now)),
            Change::Removed(before) => (Some(before), None),
            Change::Initialized => {
                initialized = Some(change);
                continue;
            }
            Change::Stale | Change::Fresh | Change::Ended(_) => {
                last = Some(change);
                continue;
            }
        };
        let Some(znode) = now.as_ref().or(before.as_ref()) else {
            continue;
        };
        let place = *places.entry(Arc::clone(&znode.path)).or_insert(order.len());
        match order.get_mut(place) {
            Some(known) => known.1 = now,
            None => order.push((before, now)),
        }
    }
    let changes = order.into_iter().filter_map(difference);
    changes.chain(initialized).chain(last).collect()
}

fn difference((before, now): Difference) -> Option<Change> {
    match (before, now) {
        (None, Some(now)) => Some(Change::Added(now)),
        (Some(before), None) => Some(Change::Removed(before)),
        (Some(before), Some(now)) if !Arc::ptr_eq(&before, &now) => {
            Some(Change::Changed { before, now })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::{Data, Stat, Zxid};

    fn znode(path: &str, mzxid: i64) -> Arc<Znode> {
        let stat = Stat {
            mzxid: Zxid(mzxid),
            ..Stat::default()
        };
        let data = Data {
            bytes: bytes::Bytes::new(),
            is_null: false,
            stat,
        };
        Arc::new(Znode {
            path: path.into(),
            data,
        })
    }

    #[test]
    fn changes_of_one_znode_are_put_together() {
        let [a1, a2, b1, b2, c1] = [("/a", 1), ("/a", 2), ("/b", 1), ("/b", 2), ("/c", 1)]
            .map(|(path, mzxid)| znode(path, mzxid));
        let changed = |before: &Arc<Znode>, now: &Arc<Znode>| Change::Changed {
            before: Arc::clone(before),
            now: Arc::clone(now),
        };
        let waiting = [
            Change::Added(Arc::clone(&a1)),
            Change::Removed(Arc::clone(&b1)),
            Change::Stale,
            Change::Added(Arc::clone(&c1)),
            changed(&a1, &a2),
            Change::Initialized,
            Change::Removed(c1),
            Change::Fresh,
            Change::Added(Arc::clone(&b2)),
        ];
        let folded: Vec<Change> = fold(waiting.into()).into();
        let wanted = [
            Change::Added(a2),
            changed(&b1, &b2),
            Change::Initialized,
            Change::Fresh,
        ];
        assert_eq!(folded, wanted);
    }

    #[test]
    fn a_slow_reader_costs_no_more_than_the_znodes() {
        let queue = Queue::default();
        let mut before = znode("/a", 0);
        queue.push(Change::Added(Arc::clone(&before)));
        for mzxid in 1..=3 * FOLD_AT as i64 {
            let now = znode("/a", mzxid);
            queue.push(Change::Changed {
                before: std::mem::replace(&mut before, Arc::clone(&now)),
                now,
            });
            assert!(queue.inner.lock().waiting.len() <= FOLD_AT);
        }
        queue.end();
        let context = Context::from_waker(Waker::noop());
        let mut shown = None;
        while let Poll::Ready(Some(change)) = queue.poll(&context) {
            match change {
                Change::Added(now) | Change::Changed { now, .. } => shown = Some(now),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(shown, Some(before));
    }

    type Map = BTreeMap<Arc<str>, Arc<Znode>>;

    /// What a reader has after a change; it insists that the change fits to what it had.
    fn apply(map: &mut Map, change: &Change) {
        let (had, now) = match change {
            Change::Added(now) => (map.insert(Arc::clone(&now.path), Arc::clone(now)), None),
            Change::Changed { before, now } => (
                map.insert(Arc::clone(&now.path), Arc::clone(now)),
                Some(before),
            ),
            Change::Removed(before) => (map.remove(&before.path), Some(before)),
            _ => return,
        };
        assert_eq!(had.as_ref(), now);
    }

    /// Turns what is there around: `mzxid` makes or writes a znode, or removes it.
    fn change(map: &Map, path: &str, mzxid: i64, removes: bool) -> Option<Change> {
        let now = znode(path, mzxid);
        Some(match (map.get(path).cloned(), removes) {
            (None, true) => return None,
            (None, false) => Change::Added(now),
            (Some(before), true) => Change::Removed(before),
            (Some(before), false) => Change::Changed { before, now },
        })
    }

    proptest! {
        #[test]
        fn folded_changes_lead_to_the_same(
            steps in proptest::collection::vec((0..5_usize, proptest::bool::ANY), 0..60),
            read in 0..60_usize,
        ) {
            let (mut now, mut reader, mut waiting) = (Map::new(), Map::new(), VecDeque::new());
            for (step, (path, removes)) in steps.iter().enumerate() {
                let path = ["/a", "/b", "/c", "/d", "/e"][*path];
                let Some(change) = change(&now, path, step as i64 + 1, *removes) else { continue };
                apply(&mut now, &change);
                if step < read {
                    apply(&mut reader, &change);
                } else {
                    waiting.push_back(change);
                }
            }
            let folded = fold(waiting);
            assert!(folded.len() <= 5);
            folded.iter().for_each(|change| apply(&mut reader, change));
            prop_assert_eq!(reader, now);
        }
    }
}
