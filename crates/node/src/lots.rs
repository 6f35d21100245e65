//! Chance where nothing depends on its quality: waits and intervals that shall differ from server to server.
//!
//! What does not live here: where a seed comes from. The same seed draws the same lots, so a simulated server does too.

/// A small generator (xorshift, Marsaglia 2003).
#[derive(Debug)]
pub struct Lots(u64);

impl Lots {
    /// Each server should have a seed of its own.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed | 1)
    }

    /// A number below `bound`; 0 if there is none.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        match self.0.checked_rem(bound) {
            Some(drawn) => drawn,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_differ_and_stay_below_their_bound() {
        let mut lots = Lots::new(0);
        let drawn: Vec<u64> = (0..100).map(|_| lots.below(200)).collect();
        assert!(drawn.iter().all(|lot| *lot < 200), "{drawn:?}");
        assert!(drawn.iter().any(|lot| *lot < 50), "{drawn:?}");
        assert!(drawn.iter().any(|lot| *lot > 150), "{drawn:?}");
        assert_eq!([lots.below(0), lots.below(1)], [0, 0]);
    }
}
