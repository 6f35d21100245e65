//! Each distinct ACL once, with a small id that znodes carry.

use std::collections::BTreeMap;
use std::sync::Arc;

use rookeeper_proto::acl::Acl;

/// A stored ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct AclId(u32);

impl AclId {
    /// Everything to everybody: never stored, -1 in a snapshot.
    pub(crate) const OPEN: Self = Self(0);

    /// The reference in a snapshot.
    pub(crate) const fn wire(self) -> i64 {
        if self.0 == 0 { -1 } else { self.0 as i64 }
    }
}

#[derive(Debug)]
struct Entry {
    acl: Arc<[Acl]>,
    users: usize,
}

/// The ACLs in use. An entry without users is dropped.
#[derive(Debug)]
pub(crate) struct AclTable {
    open: Arc<[Acl]>,
    entries: BTreeMap<AclId, Entry>,
    ids: BTreeMap<Arc<[Acl]>, AclId>,
    next: u32,
}

impl Default for AclTable {
    fn default() -> Self {
        Self {
            open: Acl::open().into(),
            entries: BTreeMap::new(),
            ids: BTreeMap::new(),
            next: 1,
        }
    }
}

impl AclTable {
    /// The id of `acl`, with one more user.
    pub(crate) fn acquire(&mut self, acl: &[Acl]) -> AclId {
        if acl == &*self.open {
            return AclId::OPEN;
        }
        if let Some(id) = self.ids.get(acl) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.users += 1;
            }
            return *id;
        }
        let id = self.free_id();
        let acl: Arc<[Acl]> = acl.into();
        self.ids.insert(Arc::clone(&acl), id);
        self.entries.insert(id, Entry { acl, users: 1 });
        id
    }

    /// Ids go round in the end, and 0 speaks for everybody: a client that invents ACLs all day gets there.
    fn free_id(&mut self) -> AclId {
        loop {
            let id = AclId(self.next);
            self.next = self.next.wrapping_add(1);
            if id != AclId::OPEN && !self.entries.contains_key(&id) {
                return id;
            }
        }
    }

    /// One user less.
    pub(crate) fn release(&mut self, id: AclId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.users -= 1;
        if entry.users == 0
            && let Some(entry) = self.entries.remove(&id)
        {
            self.ids.remove(&entry.acl);
        }
    }

    /// Everything to everybody.
    pub(crate) const fn open(&self) -> &Arc<[Acl]> {
        &self.open
    }

    /// The ACL of `id`.
    pub(crate) fn get(&self, id: AclId) -> &Arc<[Acl]> {
        self.entries.get(&id).map_or(&self.open, |entry| &entry.acl)
    }

    /// All stored ACLs, ascending.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (AclId, &Arc<[Acl]>)> {
        self.entries.iter().map(|(id, entry)| (*id, &entry.acl))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_acls_share_an_entry_until_the_last_user_is_gone() {
        let mut table = AclTable::default();
        let acl = [Acl::new(1, "world", "anyone")];
        let first = table.acquire(&acl);
        assert_eq!(table.acquire(&acl), first);
        table.release(first);
        assert_eq!(&**table.get(first), &acl);
        table.release(first);
        assert_eq!(table.iter().len(), 0);
        assert_eq!(table.acquire(&Acl::open()), AclId::OPEN);
    }

    #[test]
    fn ids_that_went_round_meet_neither_the_open_acl_nor_one_in_use() {
        let mut table = AclTable::default();
        let acl = |n: i32| [Acl::new(n, "world", "anyone")];
        let first = table.acquire(&acl(1));
        table.next = u32::MAX;
        let last = table.acquire(&acl(2));
        let next = table.acquire(&acl(3));
        assert_ne!(next, AclId::OPEN);
        assert_eq!(&**table.get(first), &acl(1));
        assert_eq!(&**table.get(last), &acl(2));
        assert_eq!(&**table.get(next), &acl(3));
    }
}
