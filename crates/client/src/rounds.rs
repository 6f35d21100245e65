//! Whose turn it is to be connected to.

use std::time::Duration;

use crate::hosts::{Host, Roster};
use crate::retry::Backoff;

/// The servers in an order that is kept, so that clients spread and an attempt goes on where the last one ended.
#[derive(Debug)]
pub(crate) struct Rounds {
    roster: Roster,
    turns: Vec<Turns>,
    next: usize,
    /// Attempts of this round.
    tried: usize,
    /// Rounds that failed since a connection held.
    failed: u32,
}

/// A server, and how often it had its turn, from a random number on.
#[derive(Debug)]
struct Turns {
    host: Host,
    count: usize,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) host: Host,
    /// Which turn of this host.
    pub(crate) turn: usize,
}

impl Rounds {
    pub(crate) fn new(mut roster: Roster) -> Self {
        roster.shuffle();
        let mut rounds = Self {
            roster,
            turns: Vec::new(),
            next: 0,
            tried: 0,
            failed: 0,
        };
        rounds.take_turns();
        rounds
    }

    /// How many there are among whom time is shared. A service that is looked up takes its time, too.
    pub(crate) fn len(&self) -> usize {
        self.turns.len() + self.roster.services().count()
    }

    /// The pause before the next attempt: none until every server has failed.
    pub(crate) fn pause(&self, backoff: Backoff) -> Duration {
        match self.failed.checked_sub(1) {
            Some(round) if self.begins() => backoff.pause(round),
            _ => Duration::ZERO,
        }
    }

    /// True where no server has had its turn yet, or all of them.
    pub(crate) const fn begins(&self) -> bool {
        self.tried == 0
    }

    /// Whose turn it is. `None` if no server is known: that is a round, too.
    pub(crate) fn next(&mut self) -> Option<Next> {
        self.tried += 1;
        if self.tried >= self.turns.len() {
            self.tried = 0;
            self.failed = self.failed.saturating_add(1);
        }
        let at = self.next.checked_rem(self.turns.len())?;
        self.next = at + 1;
        let turns = self.turns.get_mut(at)?;
        turns.count = turns.count.wrapping_add(1);
        Some(Next {
            host: turns.host.clone(),
            turn: turns.count,
        })
    }

    /// All servers and services.
    pub(crate) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Goes on with what is known now, from its beginning: the order of a service says who is first.
    pub(crate) fn renew(&mut self, roster: Roster) {
        self.roster = roster;
        self.next = 0;
        self.take_turns();
    }

    /// The next attempt goes to `host`.
    pub(crate) fn prefer(&mut self, host: &Host) {
        if let Some(at) = self.turns.iter().position(|turns| turns.host == *host) {
            self.next = at;
        }
    }

    /// A connection was a good one: the next failure is the first one again.
    pub(crate) const fn held(&mut self) {
        self.tried = 0;
        self.failed = 0;
    }

    /// Every known server has turns; who had some goes on counting.
    fn take_turns(&mut self) {
        let before = std::mem::take(&mut self.turns);
        let count = |host: &Host| {
            let known = before.iter().find(|turns| turns.host == *host);
            known.map_or_else(|| usize::from(fastrand::u8(..)), |turns| turns.count)
        };
        let hosts = self.roster.hosts();
        let turns = hosts.map(|host| Turns {
            count: count(host),
            host: host.clone(),
        });
        self.turns = turns.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::parse;
    use crate::resolve::service::ServiceRecord;

    const BACKOFF: Backoff = Backoff::fixed(Duration::from_secs(1));

    fn rounds(hosts: &str) -> Rounds {
        Rounds::new(parse(hosts).unwrap().0)
    }

    /// Seconds of pause, and the name that comes after it.
    fn step(rounds: &mut Rounds) -> (u64, Option<String>) {
        let pause = rounds.pause(BACKOFF).as_secs();
        (pause, rounds.next().map(|next| next.host.name))
    }

    /// The services have these servers now, each with the next priority.
    fn learn(rounds: &mut Rounds, targets: &[&str]) {
        let mut roster = rounds.roster().clone();
        let records = targets
            .iter()
            .zip(0..)
            .map(|(target, priority)| ServiceRecord {
                priority,
                weight: 0,
                port: 1,
                target: (*target).to_owned(),
            });
        let records: Vec<_> = records.collect();
        for service in roster.services_mut() {
            service.learn(records.clone()).unwrap();
        }
        rounds.renew(roster);
    }

    #[test]
    fn a_pause_comes_when_every_server_has_failed() {
        let mut rounds = rounds("a,b");
        let pauses: Vec<u64> = (0..5).map(|_| step(&mut rounds).0).collect();
        assert_eq!(pauses, [0, 0, 1, 0, 1]);
        rounds.held();
        assert_eq!(step(&mut rounds).0, 0);
    }

    #[test]
    fn an_order_is_kept_where_a_connection_held() {
        let mut rounds = rounds("a,b,c");
        let names: Vec<_> = (0..3).map(|_| step(&mut rounds).1).collect();
        assert_eq!(step(&mut rounds), (1, names[0].clone()));
        rounds.held();
        assert_eq!(step(&mut rounds), (0, names[1].clone()));
    }

    #[test]
    fn a_preferred_server_is_the_next_one() {
        let mut rounds = rounds("a,b,c");
        let first = rounds.next().unwrap();
        rounds.prefer(&first.host);
        let again = rounds.next().unwrap();
        assert_eq!((&again.host, again.turn), (&first.host, first.turn + 1));
    }

    #[test]
    fn a_service_without_servers_is_a_round_that_fails() {
        let mut rounds = rounds("_zk._tcp.example.org");
        assert_eq!(rounds.len(), 1);
        assert_eq!(step(&mut rounds), (0, None));
        assert!(rounds.begins());
        assert_eq!(step(&mut rounds), (1, None));
        learn(&mut rounds, &["a"]);
        assert_eq!(rounds.len(), 2);
        assert_eq!(step(&mut rounds), (1, Some("a".into())));
    }

    #[test]
    fn what_is_known_anew_is_tried_from_its_beginning() {
        let mut rounds = rounds("_zk._tcp.example.org");
        learn(&mut rounds, &["a", "b"]);
        assert_eq!(step(&mut rounds).1.as_deref(), Some("a"));
        assert!(!rounds.begins());
        rounds.held();
        assert!(rounds.begins());
        learn(&mut rounds, &["c", "a"]);
        let names: Vec<_> = (0..2).map(|_| step(&mut rounds).1.unwrap()).collect();
        assert_eq!(names, ["c", "a"]);
        assert!(rounds.begins());
    }

    #[test]
    fn a_server_that_stays_goes_on_counting_its_turns() {
        let mut rounds = rounds("_zk._tcp.example.org");
        learn(&mut rounds, &["a"]);
        let first = rounds.next().unwrap();
        learn(&mut rounds, &["b", "a"]);
        rounds.next();
        assert_eq!(rounds.next().unwrap().turn, first.turn + 1);
    }
}
