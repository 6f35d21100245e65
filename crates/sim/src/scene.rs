//! What a process or a client can reach: time, the network, chance, and those who look on.
//!
//! Invariant: the first thing that is wrong is kept, and what follows from it is not told.

use crate::agenda::{Agenda, Event, Time};
use crate::checks::{Checks, Seen};
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::network::{Cargo, End, LinkId, Network, Purpose};
use crate::plan::Plan;
use crate::trace::Trace;

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) now: Time,
    pub(crate) plan: Plan,
    pub(crate) agenda: Agenda,
    pub(crate) network: Network,
    pub(crate) dice: Dice,
    pub(crate) checks: Checks,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    /// Faults are over.
    pub(crate) healed: bool,
    violation: Option<String>,
}

impl Scene {
    pub(crate) fn new(plan: Plan, dice: Dice, trace: Trace) -> Self {
        Self {
            now: 0,
            network: Network::new(plan.latency),
            agenda: Agenda::default(),
            checks: Checks::new(&plan),
            coverage: Coverage::default(),
            healed: false,
            violation: None,
            plan,
            dice,
            trace,
        }
    }

    /// Lets something happen after a while.
    pub(crate) fn after(&mut self, while_: Time, event: Event) {
        self.agenda.put(self.now + while_, event);
    }

    pub(crate) fn open(&mut self, purpose: Purpose, ends: [End; 2]) -> LinkId {
        let (now, dice, agenda) = (self.now, &mut self.dice, &mut self.agenda);
        self.network.open(purpose, ends, now, dice, agenda)
    }

    pub(crate) fn send(&mut self, link: LinkId, end: End, cargo: Cargo) {
        let (now, dice, agenda) = (self.now, &mut self.dice, &mut self.agenda);
        self.network.send(link, end, cargo, now, dice, agenda);
    }

    /// Closes a link in order.
    pub(crate) fn close(&mut self, link: LinkId, end: End) {
        let (now, dice, agenda) = (self.now, &mut self.dice, &mut self.agenda);
        self.network.close(link, end, (now, 0, false), dice, agenda);
    }

    /// Closes a link as the end of a process does.
    pub(crate) fn abandon(&mut self, link: LinkId, end: End, after: Time) {
        let (now, dice, agenda) = (self.now, &mut self.dice, &mut self.agenda);
        self.network
            .close(link, end, (now, after, true), dice, agenda);
    }

    /// Breaks a link in the middle.
    pub(crate) fn sever(&mut self, link: LinkId) {
        let (now, dice, agenda) = (self.now, &mut self.dice, &mut self.agenda);
        self.network.sever(link, now, dice, agenda);
    }

    /// Shows something to the checks.
    pub(crate) fn see(&mut self, seen: &Seen<'_>) {
        if self.violation.is_none()
            && let Err(wrong) = self.checks.see(self.now, seen)
        {
            self.wrong(wrong);
        }
    }

    /// Something is not as it must be.
    pub(crate) fn wrong(&mut self, what: String) {
        if self.violation.is_none() {
            self.trace.tell(self.now, || format!("VIOLATION {what}"));
            self.violation = Some(what);
        }
    }

    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        self.trace.tell(self.now, line);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.coverage.count(what);
    }
}
