//! Chance, from a seed: the only source of it in here, so that a seed reproduces a history.

/// A small generator (splitmix64): short, fast, and good enough to choose between a few things.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, 0 for 0.
    pub(crate) const fn below(&mut self, n: u64) -> u64 {
        let n = if n == 0 { 1 } else { n };
        self.any() % n
    }

    /// A number from `low` to `high`, both included.
    pub(crate) const fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).saturating_add(1);
        let span = if span < 1 { 1 } else { span };
        low.saturating_add(self.below(span.unsigned_abs()) as i64)
    }

    /// True in so many of a thousand cases.
    pub(crate) const fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.below(from.len() as u64);
        from.get(usize::try_from(at).unwrap_or(0))
    }

    /// Chooses by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, from: &[(u64, T)]) -> Option<T> {
        let mut left = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, it) in from {
            if left < *weight {
                return Some(*it);
            }
            left -= weight;
        }
        None
    }
}
