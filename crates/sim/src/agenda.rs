//! What happens when, in virtual time.
//!
//! Invariant: what is due at the same moment happens in the order in which it was put here.

use std::collections::BTreeMap;

use rookeeper_proto::ids::ServerId;

use crate::faults::Mend;
use crate::network::LinkId;

/// Microseconds since the beginning of the world.
pub(crate) type Time = i64;

/// Microseconds of a millisecond.
pub(crate) const MS: Time = 1000;

/// A process: a member in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) server: ServerId,
    pub(crate) life: u32,
}

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something arrives at the end of a link.
    Arrive { link: LinkId, lane: usize },
    /// A process takes what is in its inbox.
    Turn(Who),
    /// A process looks at its clock.
    Tick(Who),
    /// The disk of a process is done with its records.
    Synced(Who),
    /// A process tries to reach its leader.
    Reach { who: Who, attempt: u64 },
    /// Two servers look after the election connection between them.
    Dial(ServerId, ServerId),
    /// A client does something.
    Client(usize),
    /// Something breaks.
    Fault,
    /// Something is mended.
    Mend(Mend),
    /// A process begins.
    Start(ServerId),
    /// Everything is mended, for good.
    Heal,
    /// Is everybody where all should be?
    Look,
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(Time, u64), Event>,
    next: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Time, event: Event) {
        self.events.insert((at, self.next), event);
        self.next += 1;
    }

    pub(crate) fn take(&mut self) -> Option<(Time, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
