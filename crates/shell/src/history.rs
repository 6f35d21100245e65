//! The lines that were run, by number, and which of them may run again.

use std::collections::VecDeque;

use thiserror::Error;

/// How many lines `history` shows.
const SHOWN: usize = 11;
/// How many lines are kept: scripts of any length may be fed to the shell.
const KEPT: usize = 10_000;

/// Why a line cannot run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedoError {
    /// No such number.
    #[error("Command index out of range")]
    OutOfRange,
    /// That line was a `redo` itself.
    #[error("No redoing redos")]
    Redo,
}

/// Lines by number, from 0.
#[derive(Debug, Default)]
pub struct History {
    lines: VecDeque<String>,
    /// The number of the oldest line that is kept.
    first: usize,
}

impl History {
    /// The number that the next line gets.
    #[must_use]
    pub fn next(&self) -> usize {
        self.first + self.lines.len()
    }

    /// Notes a line, and gives it the next number.
    pub fn push(&mut self, line: &str) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
            self.first += 1;
        }
        self.lines.push_back(line.to_owned());
    }

    /// The last lines, as they are shown.
    #[must_use]
    pub fn shown(&self) -> String {
        let skipped = self.lines.len().saturating_sub(SHOWN);
        let lines = (self.first..).zip(&self.lines).skip(skipped);
        lines
            .map(|(number, line)| format!("{number} - {line}\n"))
            .collect()
    }

    /// The line with a number, to be run again in place of the newest one, which asked for it.
    pub fn redo(&mut self, number: i64) -> Result<String, RedoError> {
        let current = self.next().saturating_sub(1);
        let wanted = usize::try_from(number)
            .ok()
            .filter(|wanted| *wanted < current)
            .and_then(|wanted| wanted.checked_sub(self.first))
            .and_then(|at| self.lines.get(at))
            .ok_or(RedoError::OutOfRange)?
            .clone();
        if wanted.split_whitespace().next() == Some("redo") {
            return Err(RedoError::Redo);
        }
        if let Some(last) = self.lines.back_mut() {
            last.clone_from(&wanted);
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: &[&str]) -> History {
        let mut history = History::default();
        lines.iter().for_each(|line| history.push(line));
        history
    }

    #[test]
    fn the_last_eleven_lines_are_shown() {
        let lines: Vec<_> = (0..13).map(|n| format!("get /{n}")).collect();
        let history = with(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let shown = history.shown();
        assert_eq!(shown.lines().count(), 11);
        assert!(shown.starts_with("2 - get /2\n") && shown.ends_with("12 - get /12\n"));
    }

    #[test]
    fn a_line_runs_again_under_the_current_number() {
        let mut history = with(&["create /a", "redo 0"]);
        assert_eq!(history.redo(0).as_deref(), Ok("create /a"));
        assert_eq!(history.shown(), "0 - create /a\n1 - create /a\n");
    }

    #[test]
    fn what_is_not_there_or_a_redo_does_not_run() {
        let mut history = with(&["redo 5", "ls /", "redo 2"]);
        for number in [-1, 2, 3, i64::MAX] {
            assert_eq!(history.redo(number), Err(RedoError::OutOfRange), "{number}");
        }
        assert_eq!(history.redo(0), Err(RedoError::Redo));
    }

    #[test]
    fn old_lines_are_forgotten_and_numbers_stay() {
        let mut history = History::default();
        for n in 0..KEPT + 5 {
            history.push(&n.to_string());
        }
        assert_eq!(history.next(), KEPT + 5);
        assert_eq!(history.redo(4), Err(RedoError::OutOfRange));
        assert_eq!(history.redo(5).as_deref(), Ok("5"));
    }
}
