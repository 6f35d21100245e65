//! The history of a world as text, for people: one line for each thing that happened.

use crate::agenda::{MS, Time};

/// Where the lines go.
#[derive(Debug)]
pub(crate) enum Trace {
    /// Nowhere: many seeds run.
    Silent,
    /// Kept, in order.
    Kept(Vec<String>),
}

impl Trace {
    pub(crate) fn tell(&mut self, now: Time, line: impl FnOnce() -> String) {
        if let Self::Kept(lines) = self {
            lines.push(format!("{:>6}.{:03}  {}", now / MS, now % MS, line()));
        }
    }

    pub(crate) fn lines(self) -> Vec<String> {
        match self {
            Self::Silent => Vec::new(),
            Self::Kept(lines) => lines,
        }
    }
}
