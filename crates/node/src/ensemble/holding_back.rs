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

impl Member {
    /// Takes the step at once, or, as an observer, some time later.
    pub(super) fn take(&mut self, now: Now, step: Step, effects: &mut Vec<MemberEffect>) {
        let ObserverWaits { look, connect } = self.config.observer_waits;
        let longest = match (self.vocation(), step) {
            (Vocation::Participant, _) => 0,
            (Vocation::Observer, Step::Look) => look,
            (Vocation::Observer, Step::Connect(_)) => connect,
        };
        let wait = self.lots.below(longest.max(0).unsigned_abs()) as i64;
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
