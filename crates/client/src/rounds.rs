//! Whose turn it is to be connected to.

use std::time::Duration;

use crate::hosts::{DEFAULT_PORT, Host};
use crate::retry::Backoff;

/// The servers in a random order that is kept, so that clients spread and an attempt goes on where the last one ended.
#[derive(Debug)]
pub(crate) struct Rounds {
    hosts: Vec<Host>,
    /// How often each had its turn, from a random number on.
    turns: Vec<usize>,
    next: usize,
    /// Attempts that failed since a connection held.
    failed: usize,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) host: Host,
    /// Which turn of this host.
    pub(crate) turn: usize,
    /// To be waited before.
    pub(crate) pause: Duration,
}

impl Rounds {
    pub(crate) fn new(mut hosts: Vec<Host>) -> Self {
        fastrand::shuffle(&mut hosts);
        let turns = hosts.iter().map(|_| usize::from(fastrand::u8(..)));
        Self {
            turns: turns.collect(),
            hosts,
            next: 0,
            failed: 0,
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whose turn it is, and the pause before: none until every server has failed.
    pub(crate) fn next(&mut self, backoff: Backoff) -> Next {
        let at = self.next % self.hosts.len();
        self.next = at + 1;
        let rounds = self.failed / self.hosts.len();
        let first = self.failed.is_multiple_of(self.hosts.len());
        self.failed += 1;
        let pause = match rounds.checked_sub(1) {
            Some(round) if first => backoff.pause(u32::try_from(round).unwrap_or(u32::MAX)),
            _ => Duration::ZERO,
        };
        let turn = self.turns.get_mut(at).map_or(0, |turn| {
            *turn = turn.wrapping_add(1);
            *turn
        });
        let host = self.hosts.get(at).cloned().unwrap_or(Host {
            name: String::new(),
            port: DEFAULT_PORT,
        });
        Next { host, turn, pause }
    }

    /// Every server: for the search for one that can write.
    pub(crate) fn hosts(&self) -> Vec<Host> {
        self.hosts.clone()
    }

    /// The next attempt goes to `host`.
    pub(crate) fn prefer(&mut self, host: &Host) {
        if let Some(at) = self.hosts.iter().position(|other| other == host) {
            self.next = at;
        }
    }

    /// A connection was a good one: the next failure is the first one again.
    pub(crate) const fn held(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::parse;

    #[test]
    fn a_pause_comes_when_every_server_has_failed() {
        let (hosts, _) = parse("a,b").unwrap();
        let mut rounds = Rounds::new(hosts);
        let backoff = Backoff::fixed(Duration::from_secs(1));
        let pauses: Vec<u64> = (0..5)
            .map(|_| rounds.next(backoff).pause.as_secs())
            .collect();
        assert_eq!(pauses, [0, 0, 1, 0, 1]);
        rounds.held();
        assert_eq!(rounds.next(backoff).pause, Duration::ZERO);
    }

    #[test]
    fn a_preferred_server_is_the_next_one() {
        let (hosts, _) = parse("a,b,c").unwrap();
        let mut rounds = Rounds::new(hosts);
        let first = rounds.next(Backoff::default());
        rounds.prefer(&first.host);
        let again = rounds.next(Backoff::default());
        assert_eq!((&again.host, again.turn), (&first.host, first.turn + 1));
    }
}
