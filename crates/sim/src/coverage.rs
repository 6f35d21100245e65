//! How often what was met: a history without elections, truncations and lost connections proves little.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<&'static str, u64>);

/// What must be met in any larger number of seeds.
pub const NEEDED: &[&str] = &[
    "acknowledged writes",
    "client moves",
    "clocks that jump",
    "connections that break",
    "crashes",
    "crashes of leaders with proposals in flight",
    "decayed disks",
    "diffs",
    "diffs from the log",
    "elections",
    "ensembles of five",
    "ephemerals",
    "exhausted epochs",
    "failed disks",
    "full disks",
    "logs cut in the middle of a life",
    "observers",
    "partitions",
    "partitions one way",
    "pauses",
    "power cuts",
    "reads",
    "refused sessions",
    "sessions expired",
    "sessions kept through elections",
    "sessions resumed",
    "snapshots written",
    "starts without a history",
    "states given up",
    "states sent",
    "syncs",
    "truncations",
    "watch events",
    "wiped disks",
];

impl Coverage {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds what another world met.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Of what must be met, what was not.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = NEEDED.iter().filter(|what| !self.0.contains_key(*what));
        missing.copied().collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.0 {
            writeln!(f, "{count:>10}  {what}")?;
        }
        Ok(())
    }
}
