//! The history of the ensemble as an omniscient observer knows it: what was ever logged, what of it is committed, and what the
//! state is at each committed transaction.
//!
//! Invariants that are held here, because nothing else can be judged without them:
//! - What is committed only gets longer: a new leader, and everybody who serves, goes on from all that was committed before.
//! - Each transaction promises the digest that a tree has after it.
//! - No session begins under the id of one that lives.

use std::collections::BTreeMap;

use bytes::Bytes;
use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::stat::Stat;
use rookeeper_proto::txn::{Record, Txn};
use rookeeper_tree::tree::Tree;

use super::Seen;
use crate::disk;

/// A znode at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Znode {
    pub(crate) stat: Stat,
    pub(crate) data: Option<Vec<u8>>,
}

/// What follows what.
#[derive(Debug)]
struct Logged {
    after: Zxid,
    txn: Bytes,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    /// Everything that ever was in any log.
    logged: BTreeMap<Zxid, Logged>,
    /// The last transaction before each epoch that began.
    beginnings: BTreeMap<i64, Zxid>,
    /// Digests after what is committed.
    committed: BTreeMap<Zxid, i64>,
    last: Zxid,
    tree: Tree,
    /// By path: what it is from this zxid on; `None` is nothing.
    changes: BTreeMap<String, Vec<(Zxid, Option<Znode>)>>,
    /// By path: when its list of children changed.
    lists: BTreeMap<String, Vec<Zxid>>,
    /// Of those who serve: in which epoch.
    epochs: BTreeMap<ServerId, i64>,
    /// The newest epoch that began.
    newest: i64,
    /// Sessions that ended.
    ended: BTreeMap<SessionId, Zxid>,
    /// What was committed by the last thing seen.
    fresh: Vec<Zxid>,
}

impl Default for Ledger {
    fn default() -> Self {
        let tree = disk::empty_tree();
        Self {
            logged: BTreeMap::new(),
            beginnings: BTreeMap::new(),
            committed: BTreeMap::from([(Zxid::ZERO, tree.digest())]),
            last: Zxid::ZERO,
            tree,
            changes: BTreeMap::new(),
            lists: BTreeMap::new(),
            epochs: BTreeMap::new(),
            newest: 0,
            ended: BTreeMap::new(),
            fresh: Vec::new(),
        }
    }
}

impl Ledger {
    /// The transaction at which a history that ends at `zxid` ends: the beginning of an epoch is none.
    pub(crate) fn transaction(&self, zxid: Zxid) -> Zxid {
        if zxid.counter() == 0 && zxid.epoch() > 0 {
            let before = self.beginnings.get(&zxid.epoch());
            before.copied().unwrap_or(zxid)
        } else {
            zxid
        }
    }

    /// The last transaction that is committed.
    pub(crate) const fn last(&self) -> Zxid {
        self.last
    }

    /// Transactions that are known to be committed since the last thing seen.
    pub(crate) fn fresh(&self) -> &[Zxid] {
        &self.fresh
    }

    /// The digest after a committed transaction.
    pub(crate) fn digest(&self, zxid: Zxid) -> Option<i64> {
        self.committed.get(&self.transaction(zxid)).copied()
    }

    /// What a record was logged behind, and the record.
    pub(crate) fn logged(&self, zxid: Zxid) -> Option<(Zxid, &Bytes)> {
        let logged = self.logged.get(&zxid)?;
        Some((logged.after, &logged.txn))
    }

    /// True when a history that ends at `end` has the transaction `zxid`.
    pub(crate) fn contains(&self, end: Zxid, zxid: Zxid) -> bool {
        let mut at = self.transaction(end);
        while at > zxid {
            match self.logged.get(&at) {
                Some(logged) => at = logged.after,
                None => return false,
            }
        }
        at == zxid
    }

    /// A path as it was after `zxid`.
    pub(crate) fn at(&self, path: &str, zxid: Zxid) -> Option<&Znode> {
        let changes = self.changes.get(path)?;
        let end = changes.partition_point(|(from, _)| *from <= zxid);
        changes.get(end.checked_sub(1)?)?.1.as_ref()
    }

    /// The first change of a path behind `after`, up to `through`.
    pub(crate) fn first_change(&self, path: &str, after: Zxid, through: Zxid) -> Option<Zxid> {
        let changes = self.changes.get(path)?;
        let start = changes.partition_point(|(from, _)| *from <= after);
        let (zxid, _) = changes.get(start)?;
        (*zxid <= through).then_some(*zxid)
    }

    /// The first change of the list of children of a path.
    pub(crate) fn first_list_change(&self, path: &str, after: Zxid, through: Zxid) -> Option<Zxid> {
        let changes = self.lists.get(path)?;
        let start = changes.partition_point(|from| *from <= after);
        changes.get(start).copied().filter(|zxid| *zxid <= through)
    }

    /// True for a server that has the newest leader. Others may not know yet that there is one.
    pub(crate) fn is_current(&self, server: ServerId) -> bool {
        self.epochs.get(&server) == Some(&self.newest)
    }

    /// When a session ended.
    pub(crate) fn ended(&self, session: SessionId) -> Option<Zxid> {
        self.ended.get(&session).copied()
    }

    /// The state after everything that is committed.
    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        self.fresh.clear();
        if let Seen::Serves { who, epoch, .. } = seen {
            self.epochs.insert(who.server, *epoch);
            self.newest = self.newest.max(*epoch);
        }
        match seen {
            Seen::Logged { after, entry, .. } => {
                let after = self.transaction(*after);
                self.logged.entry(entry.zxid).or_insert_with(|| Logged {
                    after,
                    txn: entry.txn.clone(),
                });
                Ok(())
            }
            Seen::Serves {
                who,
                leads: true,
                tree,
                epoch,
            } => {
                let last = self.transaction(tree.last_zxid());
                self.beginnings.entry(*epoch).or_insert(last);
                // Who slept while others went on may still hear that it was to lead: it will commit nothing.
                let late = *epoch < self.newest && self.committed.contains_key(&last);
                if last < self.last && !late {
                    return Err(format!(
                        "server {} leads with {last}, and {} is committed",
                        who.server, self.last
                    ));
                }
                self.commit(last)
            }
            Seen::Applied {
                header,
                committed: true,
                ..
            } => self.commit(header.zxid),
            _ => Ok(()),
        }
    }

    /// Everything up to `zxid` is committed.
    fn commit(&mut self, zxid: Zxid) -> Result<(), String> {
        if self.committed.contains_key(&zxid) {
            return Ok(());
        }
        let mut way = Vec::new();
        let mut at = zxid;
        while at > self.last {
            way.push(at);
            let Some(logged) = self.logged.get(&at) else {
                return Err(format!("{at} is committed, and was in no log"));
            };
            at = logged.after;
        }
        if at != self.last {
            return Err(format!(
                "{zxid} is committed, and goes back to {at} past {}, which is committed too",
                self.last
            ));
        }
        while let Some(next) = way.pop() {
            self.append(next)?;
        }
        Ok(())
    }

    fn append(&mut self, zxid: Zxid) -> Result<(), String> {
        let Some(logged) = self.logged.get(&zxid) else {
            return Ok(());
        };
        let record = Record::decode(&logged.txn).map_err(|error| format!("{zxid}: {error}"))?;
        let session = record.header.session;
        if let Txn::CreateSession { .. } = record.txn
            && self.tree.sessions().any(|(living, _)| living == session)
        {
            return Err(format!("{zxid} begins {session}, which lives"));
        }
        self.tree
            .apply(&record.header, &record.txn, &mut Vec::new());
        let digest = self.tree.digest();
        if record
            .digest
            .is_some_and(|promised| promised.tree_digest != digest)
        {
            return Err(format!("{zxid} promises another digest than it gives"));
        }
        self.last = zxid;
        self.committed.insert(zxid, digest);
        self.fresh.push(zxid);
        self.note(zxid, &record.txn);
        match record.txn {
            Txn::CloseSession { .. } => self.ended.insert(record.header.session, zxid),
            // Ids come from the wall clock: after it went back they come again.
            Txn::CreateSession { .. } => self.ended.remove(&record.header.session),
            _ => None,
        };
        Ok(())
    }

    fn note(&mut self, zxid: Zxid, txn: &Txn) {
        match txn {
            Txn::Create(create) => self.note_birth_or_death(zxid, &create.path),
            Txn::Delete(delete) => self.note_birth_or_death(zxid, &delete.path),
            Txn::SetData(set) => self.note_path(zxid, &set.path),
            Txn::Multi(parts) => parts.iter().for_each(|part| self.note(zxid, part)),
            Txn::CloseSession { paths } => {
                for path in paths.iter().flatten() {
                    self.note_birth_or_death(zxid, path);
                }
            }
            Txn::CreateSession { .. } | Txn::SetAcl(_) | Txn::Check(_) | Txn::Error(_) => {}
        }
    }

    fn note_birth_or_death(&mut self, zxid: Zxid, path: &str) {
        self.note_path(zxid, path);
        let parent = match path.rfind('/') {
            Some(0) | None => "/",
            Some(at) => path.get(..at).unwrap_or("/"),
        };
        self.lists.entry(parent.to_owned()).or_default().push(zxid);
    }

    fn note_path(&mut self, zxid: Zxid, path: &str) {
        let znode = self.tree.get(path).map(|view| Znode {
            stat: view.stat(),
            data: view.data().map(<[u8]>::to_vec),
        });
        let changes = self.changes.entry(path.to_owned()).or_default();
        changes.retain(|(from, _)| *from != zxid);
        changes.push((zxid, znode));
    }
}
