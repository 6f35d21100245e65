//! Runs seeds: one alone with its history, many on all cores, and the search for deliberate mistakes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::trace::Trace;
use crate::world::World;

/// What a seed came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// What is wrong, if anything is.
    pub violation: Option<String>,
    /// What was met.
    pub coverage: Coverage,
    /// The history, if it was asked for.
    pub trace: Vec<String>,
}

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many were run.
    pub seeds: u64,
    /// Those that went wrong, with what is wrong, ascending.
    pub failures: Vec<(u64, String)>,
    /// What was met, in all of them together.
    pub coverage: Coverage,
}

/// Runs one seed. With `history` the report has every line of it.
#[must_use]
pub fn one(seed: u64, history: bool) -> Report {
    let trace = if history {
        Trace::Kept(Vec::new())
    } else {
        Trace::Silent
    };
    match catch_unwind(AssertUnwindSafe(|| World::new(seed, trace).run())) {
        Ok(outcome) => Report {
            seed,
            violation: outcome.violation,
            coverage: outcome.coverage,
            trace: outcome.trace,
        },
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Report {
                seed,
                violation: Some(format!("panic: {}", text.unwrap_or("without a word"))),
                coverage: Coverage::default(),
                trace: Vec::new(),
            }
        }
    }
}

/// Runs `seeds` seeds from `first` on, on all cores, and begins none after `limit`.
#[must_use]
pub fn many(first: u64, seeds: u64, limit: Option<Duration>) -> Summary {
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let summary = Mutex::new(Summary::default());
    let work = || {
        while limit.is_none_or(|limit| begun.elapsed() < limit) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= seeds {
                return;
            }
            let report = one(seed, false);
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.seeds += 1;
            summary.coverage.add(&report.coverage);
            let failure = report.violation.map(|violation| (seed, violation));
            summary.failures.extend(failure);
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(work);
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failures.sort();
    summary
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How the search for a mistake ended.
#[cfg(feature = "mutations")]
#[derive(Debug, Clone)]
pub struct Hunt {
    /// Which mistake, and how soon it must be found.
    pub wanted: crate::mutation::Wanted,
    /// The first seed that found it, counted from 1, and by what.
    pub found: Option<(u64, String)>,
}

/// Looks for every mistake, on all cores.
#[cfg(feature = "mutations")]
#[must_use]
pub fn hunt(wanted: &[crate::mutation::Wanted]) -> Vec<Hunt> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let hunts = Mutex::new(Vec::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(wanted) = wanted.get(at) else { return };
            let hunt = search(*wanted);
            let mut hunts = hunts.lock().unwrap_or_else(PoisonError::into_inner);
            hunts.push((at, hunt));
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(work);
        }
    });
    let mut hunts = hunts.into_inner().unwrap_or_else(PoisonError::into_inner);
    hunts.sort_by_key(|(at, _)| *at);
    hunts.into_iter().map(|(_, hunt)| hunt).collect()
}

#[cfg(feature = "mutations")]
fn search(wanted: crate::mutation::Wanted) -> Hunt {
    crate::mutation::set(Some(wanted.mutation));
    let found = (1..=wanted.within).find_map(|seed| Some((seed, one(seed, false).violation?)));
    crate::mutation::set(None);
    Hunt { wanted, found }
}
