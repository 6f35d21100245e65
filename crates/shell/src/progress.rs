//! How far a long command is: one line on the stream of complaints, which goes when the command ends. Only on a terminal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::console::Console;

/// Short commands show nothing.
const QUIET: Duration = Duration::from_millis(500);
/// How often the line changes.
const STEP: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR: usize = 24;
/// Removes the line and goes to its beginning.
const CLEAR: &str = "\r\u{1b}[K";

/// A count that grows.
#[derive(Debug)]
pub struct Progress {
    console: Arc<Console>,
    unit: &'static str,
    done: usize,
    total: Option<usize>,
    next: Instant,
    is_shown: bool,
}

impl Progress {
    /// Progress towards an unknown end.
    #[must_use]
    pub fn new(console: &Arc<Console>, unit: &'static str) -> Self {
        Self {
            console: Arc::clone(console),
            unit,
            done: 0,
            total: None,
            next: Instant::now() + QUIET,
            is_shown: false,
        }
    }

    /// Progress towards `total`.
    #[must_use]
    pub fn of(console: &Arc<Console>, unit: &'static str, total: usize) -> Self {
        let mut progress = Self::new(console, unit);
        progress.total = Some(total);
        progress
    }

    /// So many more are done.
    pub fn add(&mut self, count: usize) {
        self.done += count;
        let now = Instant::now();
        if self.console.shows_progress() && now >= self.next {
            self.next = now + STEP;
            self.is_shown = true;
            self.console.raw_err(&format!("{CLEAR}{}", self.line()));
        }
    }

    fn line(&self) -> String {
        match self.total {
            None => format!("{} {}", self.done, self.unit),
            Some(total) => {
                let filled = (self.done * BAR).checked_div(total).unwrap_or(BAR).min(BAR);
                let (done, left) = ("#".repeat(filled), ".".repeat(BAR - filled));
                format!("[{done}{left}] {} of {total} {}", self.done, self.unit)
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            self.console.raw_err(CLEAR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        let console = Arc::new(Console::to(Box::new(Vec::new()), Box::new(Vec::new())));
        let mut progress = Progress::of(&console, "nodes", 48);
        progress.add(12);
        assert_eq!(progress.line(), "[######..................] 12 of 48 nodes");
        progress.add(100);
        assert_eq!(
            progress.line(),
            format!("[{}] 112 of 48 nodes", "#".repeat(BAR))
        );
        assert_eq!(
            Progress::of(&console, "x", 0).line(),
            format!("[{}] 0 of 0 x", "#".repeat(BAR))
        );
    }
}
