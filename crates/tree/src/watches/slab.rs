//! Values under 32-bit ids, in chunks: growing moves nothing and leaves no doubled capacity behind.

use std::mem;

/// Values per chunk.
const CHUNK: usize = 256;

/// A slab. A place that was taken holds `T::default()` until it is used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    /// Ids below it were given out; some are free again, but never all of them.
    next: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            next: 0,
        }
    }
}

impl<T: Default> Slab<T> {
    /// No id is as large as this one.
    pub(super) const NO_ID: u32 = u32::MAX;

    /// Stores `value`; `None` when all ids are in use.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(id) = self.free.pop() {
            if let Some(place) = self.get_mut(id) {
                *place = value;
            }
            return Some(id);
        }
        let id = self.next;
        if id == Self::NO_ID {
            return None;
        }
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        self.next += 1;
        Some(id)
    }

    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.chunks
            .get(id as usize / CHUNK)?
            .get(id as usize % CHUNK)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.chunks
            .get_mut(id as usize / CHUNK)?
            .get_mut(id as usize % CHUNK)
    }

    /// Takes the value out and frees its id. The memory of an empty slab goes back.
    pub(super) fn take(&mut self, id: u32) -> T {
        let value = self.get_mut(id).map(mem::take).unwrap_or_default();
        self.free.push(id);
        if self.free.len() == self.next as usize {
            *self = Self::default();
        }
        value
    }

    /// True when no id is in use.
    pub(super) fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Every place, free ones too.
    pub(super) fn places(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes on the heap, without what the values themselves hold there.
    pub(super) fn allocated(&self) -> usize {
        self.chunks.capacity() * size_of::<Vec<T>>()
            + self.chunks.len() * CHUNK * size_of::<T>()
            + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_used_again_and_an_empty_slab_holds_nothing() {
        let mut slab = Slab::default();
        let ids: Vec<_> = (0..600).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(slab.take(ids[300]), 300);
        assert_eq!(slab.insert(7), Some(ids[300]));
        assert_eq!(slab.get(ids[300]), Some(&7));
        assert_eq!(slab.get(600), None);
        for id in ids {
            slab.take(id);
        }
        assert!(slab.is_empty() && slab.allocated() == 0);
    }
}
