//! The overlay of proposed, not yet committed changes that the judge of writes looks through.
//!
//! A write is judged against the tree as it will be when everything proposed before it is applied. This overlay holds, by path,
//! the znodes that proposals in flight touch, and the digest of the tree after them.
//!
//! Invariant: with nothing in flight the overlay is empty and its digest is the tree's.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rookeeper_proto::ids::{SessionId, Zxid};

use crate::tree::{self, Known, Tree};

/// A znode after the proposals in flight; `None` when they delete it.
#[derive(Debug, Clone)]
struct Entry {
    zxid: Zxid,
    known: Option<Known>,
}

/// Proposed, not yet committed changes.
#[derive(Debug)]
pub struct Pending {
    /// Never iterated for a result.
    entries: HashMap<Box<str>, Entry, FixedState>,
    /// Ephemerals made in flight, for the end of their session.
    owned: BTreeMap<SessionId, BTreeSet<Box<str>>>,
    digest: u64,
    last: Option<Zxid>,
    /// What was said to be in the tree.
    committed: Zxid,
    /// Entries before the changes of the multi under judgement.
    undo: Option<Undo>,
}

#[derive(Debug, Default)]
struct Undo {
    entries: Vec<(Box<str>, Option<Entry>)>,
    digest: u64,
}

impl Pending {
    /// Nothing in flight; `hash_seed` as in [`crate::tree::TreeOptions`].
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self {
            entries: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            owned: BTreeMap::new(),
            digest: 0,
            last: None,
            committed: Zxid::ZERO,
            undo: None,
        }
    }

    /// Number of znodes touched by what is in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Everything up to `zxid` is in the tree now.
    pub fn committed(&mut self, zxid: Zxid) {
        if self.last.is_some_and(|last| last > zxid) {
            self.entries.retain(|_, entry| entry.zxid > zxid);
            let entries = &self.entries;
            self.owned.retain(|_, paths| {
                paths.retain(|path| entries.contains_key(path));
                !paths.is_empty()
            });
        } else {
            self.clear();
        }
        self.committed = zxid;
    }

    /// Forgets everything in flight: it was committed, or it never will be.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.owned.clear();
        self.last = None;
        self.committed = Zxid::ZERO;
    }

    /// The digest of the tree after everything in flight.
    pub(crate) const fn digest(&self) -> i64 {
        self.digest as i64
    }

    /// A proposal with `zxid` is about to be judged.
    pub(crate) fn begin(&mut self, tree: &Tree, zxid: Zxid) {
        debug_assert!(
            tree.last_zxid() >= self.committed,
            "{zxid} is judged by a tree without {}, which is committed",
            self.committed
        );
        if self.last.is_none() {
            self.digest = tree.digest() as u64;
        }
        self.last = Some(zxid);
    }

    pub(crate) fn get(&self, tree: &Tree, path: &str) -> Option<Known> {
        match self.entries.get(path) {
            Some(entry) => entry.known.clone(),
            None => tree.known(path),
        }
    }

    /// The znode at `path` is `after` from now on; `before` is what [`Self::get`] said.
    pub(crate) fn set(
        &mut self,
        zxid: Zxid,
        path: &str,
        before: Option<&Known>,
        mut after: Option<Known>,
    ) {
        if let Some(after) = &mut after {
            let digested = tree::is_digested(path);
            after.digest = if digested {
                tree::stat_digest(after.content_crc, &after.stat)
            } else {
                0
            };
        }
        let part = |known: Option<&Known>| known.map_or(0, |known| u64::from(known.digest));
        self.digest = self
            .digest
            .wrapping_sub(part(before))
            .wrapping_add(part(after.as_ref()));
        let entry = Entry { zxid, known: after };
        let old = match self.entries.get_mut(path) {
            Some(there) => Some(mem::replace(there, entry)),
            None => self.entries.insert(path.into(), entry),
        };
        if let Some(undo) = &mut self.undo {
            undo.entries.push((path.into(), old));
        }
    }

    /// `session` will own the ephemeral at `path`.
    pub(crate) fn own(&mut self, session: SessionId, path: &str) {
        self.owned.entry(session).or_default().insert(path.into());
    }

    /// The ephemerals of `session` after everything in flight, ascending.
    pub(crate) fn ephemerals(&self, tree: &Tree, session: SessionId) -> BTreeSet<String> {
        let owns = |path: &String| {
            let entry = self.entries.get(path.as_str())?;
            let known = entry.known.as_ref();
            Some(known.is_some_and(|known| known.stat.ephemeral_owner == session.0))
        };
        // What a failed multi proposed has no entry any more, and never came to be.
        let proposed = self
            .owned
            .get(&session)
            .into_iter()
            .flatten()
            .map(|path| path.to_string())
            .filter(|path| owns(path) == Some(true));
        tree.ephemerals(session)
            .filter(|path| owns(path) != Some(false))
            .chain(proposed)
            .collect()
    }

    /// From here on changes can be taken back by [`Self::roll_back`].
    pub(crate) fn begin_multi(&mut self) {
        self.undo = Some(Undo {
            entries: Vec::new(),
            digest: self.digest,
        });
    }

    /// The multi stands.
    pub(crate) fn keep(&mut self) {
        self.undo = None;
    }

    /// The multi failed: nothing of it happened.
    pub(crate) fn roll_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        self.digest = undo.digest;
        for (path, old) in undo.entries.into_iter().rev() {
            match old {
                Some(entry) => {
                    self.entries.insert(path, entry);
                }
                None => {
                    self.entries.remove(&path);
                }
            }
        }
    }
}
