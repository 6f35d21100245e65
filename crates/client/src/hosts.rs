//! Which servers there are: the connect string, and whose turn is next.

use std::fmt;
use std::time::Duration;

use crate::chroot::Root;
use crate::error::Error;

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 2181;

/// A server by name and port; the name is looked up again for every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// `host[:port][,host[:port]...][/chroot]`: the servers and the view.
pub(crate) fn parse(text: &str) -> Result<(Vec<Host>, Root), Error> {
    let bad = |why| Error::BadHosts {
        text: text.to_owned(),
        why,
    };
    let (servers, root) = match text.find('/') {
        Some(at) => {
            let (servers, path) = text.split_at(at);
            (servers, Root::top().below(path)?)
        }
        None => (text, Root::top()),
    };
    let hosts = servers
        .split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .map(|server| parse_host(server).ok_or_else(|| bad("a port is a number from 1 to 65535")))
        .collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() {
        return Err(bad("there is no server in it"));
    }
    Ok((hosts, root))
}

/// `name`, `name:port`, `[v6]`, `[v6]:port`, or a bare IPv6 address.
fn parse_host(text: &str) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, rest)) => (name, Some(rest.strip_prefix(':')?)),
        None if text.matches(':').count() > 1 => (text, None),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(DEFAULT_PORT), str::parse).ok()?;
    (port > 0 && !name.is_empty()).then(|| Host {
        name: name.to_owned(),
        port,
    })
}

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
    pub(crate) fn next(&mut self, backoff: crate::retry::Backoff) -> Next {
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
    use crate::retry::Backoff;

    fn names(text: &str) -> Vec<(String, u16)> {
        let (hosts, _) = parse(text).unwrap();
        hosts
            .into_iter()
            .map(|host| (host.name, host.port))
            .collect()
    }

    #[test]
    fn connect_strings_name_servers_and_a_root() {
        assert_eq!(names("zk1"), [("zk1".into(), 2181)]);
        assert_eq!(
            names("zk1:1, zk2:2,[::1]:3,::1"),
            [
                ("zk1".into(), 1),
                ("zk2".into(), 2),
                ("::1".into(), 3),
                ("::1".into(), 2181)
            ]
        );
        let (hosts, _) = parse("zk1,[::1]:3").unwrap();
        let shown: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["zk1:2181", "[::1]:3"]);
        assert_eq!(parse("a:1,b/app/x").unwrap().1.name(), "/app/x");
        assert_eq!(parse("a/").unwrap().1.name(), "/");
        for bad in ["", ",", "a:0", "a:x", "a:65536", ":2181", "a//b", "[::1]x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

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
