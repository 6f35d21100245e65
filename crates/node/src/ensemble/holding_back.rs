//! How long an observer holds back (quorum protocol 2.5): the others do not need it, and many at once are a load for them.
//!
//! What lives here: how long, each time anew by chance, and that it goes on then. What does not: what it goes on with.

use rookeeper_proto::ids::ServerId;

use super::effect::MemberEffect;
use super::{Member, Role, Vocation};
use crate::input::Now;

/// The longest that an observer waits, ms; 0: not at all. Members with a vote never wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObserverWaits {
    /// Before it looks for a leader again.
    pub look: i64,
    /// Before it connects to the leader that it has found.
    pub connect: i64,
}

impl Default for ObserverWaits {
    fn default() -> Self {
        Self {
            look: 200,
            connect: 0,
        }
    }
}

/// What is put off.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Look,
    Connect(ServerId),
}

/// A small generator: nothing depends on its quality.
#[derive(Debug)]
pub(super) struct Lots(u64);

impl Lots {
    /// Each server should have a seed of its own.
    pub(super) const fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed | 1)
    }

    fn below(&mut self, longest: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // Not negative, and below what is not.
        (self.0 >> 1) as i64 % longest.max(1)
    }
}

impl Member {
    /// Takes the step at once, or, as an observer, some time later.
    pub(super) fn take(&mut self, now: Now, step: Step, effects: &mut Vec<MemberEffect>) {
        let ObserverWaits { look, connect } = self.config.observer_waits;
        let wait = match (self.vocation(), step) {
            (Vocation::Participant, _) => 0,
            (Vocation::Observer, Step::Look) => self.lots.below(look),
            (Vocation::Observer, Step::Connect(_)) => self.lots.below(connect),
        };
        self.role = Role::HoldingBack(now.mono.saturating_add(wait), step);
        self.hold_back_no_longer(now, effects);
    }

    /// Goes on, if it is time.
    pub(super) fn hold_back_no_longer(&mut self, now: Now, effects: &mut Vec<MemberEffect>) {
        match self.role {
            Role::HoldingBack(until, step) if until <= now.mono => match step {
                Step::Look => self.look(now, effects),
                Step::Connect(leader) => self.connect(leader, effects),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ_and_stay_below_the_longest() {
        let mut lots = Lots::new(0);
        let drawn: Vec<i64> = (0..100).map(|_| lots.below(200)).collect();
        assert!(drawn.iter().all(|ms| (0..200).contains(ms)), "{drawn:?}");
        assert!(drawn.iter().any(|ms| *ms < 50), "{drawn:?}");
        assert!(drawn.iter().any(|ms| *ms > 150), "{drawn:?}");
        assert_eq!([lots.below(0), lots.below(-5), lots.below(1)], [0, 0, 0]);
    }
}
