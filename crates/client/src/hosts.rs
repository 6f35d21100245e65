//! Which servers there are, as the connect string says.

use std::fmt;

use fastrand::Rng;

use crate::chroot::Root;
use crate::error::Error;
use crate::resolve::service::{self, NoServers, ServiceRecord};

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 2181;

/// A server by name and port; the name is looked up again for every attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// A service by name, and the servers that it had when it was looked up last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    servers: Vec<Host>,
}

/// One part of a connect string.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Host(Host),
    Service(Service),
}

/// All servers of a connect string, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roster {
    parts: Vec<Part>,
}

impl Host {
    /// The name as others say it: without the dot at its end, which is for who looks it up.
    pub(crate) fn plain_name(&self) -> &str {
        self.name.strip_suffix('.').unwrap_or(&self.name)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, port) = (self.plain_name(), self.port);
        if name.contains(':') {
            write!(f, "[{name}]:{port}")
        } else {
            write!(f, "{name}:{port}")
        }
    }
}

impl From<ServiceRecord> for Host {
    fn from(record: ServiceRecord) -> Self {
        Self {
            name: record.target,
            port: record.port,
        }
    }
}

impl Service {
    /// True if there are servers to be tried.
    pub(crate) const fn is_known(&self) -> bool {
        !self.servers.is_empty()
    }

    /// What a look-up told. An answer without servers changes nothing, unless it says that there are none.
    pub(crate) fn learn(&mut self, records: Vec<ServiceRecord>) -> Result<(), NoServers> {
        match service::in_order(records, &mut Rng::new()) {
            Ok(ordered) => self.servers = ordered.into_iter().map(Host::from).collect(),
            Err(NoServers::NotOffered) => {
                self.servers.clear();
                return Err(NoServers::NotOffered);
            }
            Err(NoServers::NoRecords) => return Err(NoServers::NoRecords),
        }
        Ok(())
    }
}

impl Roster {
    /// All servers that are known.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.parts.iter().flat_map(|part| match part {
            Part::Host(host) => std::slice::from_ref(host),
            Part::Service(service) => &service.servers,
        })
    }

    /// All services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Service> {
        self.parts.iter().filter_map(|part| match part {
            Part::Host(_) => None,
            Part::Service(service) => Some(service),
        })
    }

    /// The same, for those who look them up.
    pub(crate) fn services_mut(&mut self) -> impl Iterator<Item = &mut Service> {
        self.parts.iter_mut().filter_map(|part| match part {
            Part::Host(_) => None,
            Part::Service(service) => Some(service),
        })
    }

    /// Puts hosts and services in a random order, so that clients spread. The order within a service is its own.
    pub(crate) fn shuffle(&mut self) {
        fastrand::shuffle(&mut self.parts);
    }
}

/// `server[,server...][/chroot]`: the servers, each `host`, `host:port` or `_service._proto.domain`, and the view.
pub(crate) fn parse(text: &str) -> Result<(Roster, Root), Error> {
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
    let parts = servers
        .split(',')
        .map(str::trim)
        .filter(|server| !server.is_empty())
        .map(|server| parse_part(server).map_err(bad))
        .collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() {
        return Err(bad("there is no server in it"));
    }
    Ok((Roster { parts }, root))
}

fn parse_part(text: &str) -> Result<Part, &'static str> {
    if !service::is_service(text) {
        let host = parse_host(text).ok_or("a port is a number from 1 to 65535")?;
        return Ok(Part::Host(host));
    }
    if text.contains(':') {
        return Err("a service has no port: its records say the port of each server");
    }
    if !service::is_valid(text) {
        return Err("a service is named _service._proto.domain");
    }
    Ok(Part::Service(Service {
        name: text.to_owned(),
        servers: Vec::new(),
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, u16)> {
        let (roster, _) = parse(text).unwrap();
        let hosts = roster.hosts();
        hosts.map(|host| (host.name.clone(), host.port)).collect()
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
        let (roster, _) = parse("zk1,[::1]:3,zk2.example.:4").unwrap();
        let shown: Vec<String> = roster.hosts().map(ToString::to_string).collect();
        assert_eq!(shown, ["zk1:2181", "[::1]:3", "zk2.example:4"]);
        assert_eq!(parse("a:1,b/app/x").unwrap().1.name(), "/app/x");
        assert_eq!(parse("a/").unwrap().1.name(), "/");
        for bad in ["", ",", "a:0", "a:x", "a:65536", ":2181", "a//b", "[::1]x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    fn record(priority: u16, target: &str, port: u16) -> ServiceRecord {
        ServiceRecord {
            priority,
            weight: 0,
            port,
            target: target.to_owned(),
        }
    }

    fn shown(roster: &Roster) -> Vec<String> {
        roster.hosts().map(ToString::to_string).collect()
    }

    #[test]
    fn a_service_stands_among_hosts_and_has_no_port() {
        let (roster, root) = parse("zk1,_zk._tcp.example.org, zk2:2/app").unwrap();
        let services: Vec<_> = roster.services().map(|service| &service.name).collect();
        assert_eq!(services, ["_zk._tcp.example.org"]);
        assert_eq!(shown(&roster), ["zk1:2181", "zk2:2"]);
        assert_eq!(root.name(), "/app");
        for (bad, why) in [
            (
                "_zk._tcp.example.org:2181",
                "a service has no port: its records say the port of each server",
            ),
            ("_zk._tcp", "a service is named _service._proto.domain"),
        ] {
            let text = bad.to_owned();
            assert_eq!(parse(bad).unwrap_err(), Error::BadHosts { text, why });
        }
        assert_eq!(names("_zk.example"), [("_zk.example".into(), 2181)]);
    }

    #[test]
    fn servers_of_a_service_take_its_place() {
        let (mut roster, _) = parse("a,_zk._tcp.example.org,b").unwrap();
        let mut learn = |records| {
            let learnt = roster.services_mut().next().unwrap().learn(records);
            (learnt, shown(&roster))
        };
        let both = vec![record(2, "y.", 2), record(1, "x.", 1)];
        let known = ["a:2181", "x:1", "y:2", "b:2181"].map(str::to_owned);
        assert_eq!(learn(both), (Ok(()), known.to_vec()));
        assert_eq!(learn(vec![]), (Err(NoServers::NoRecords), known.to_vec()));
        let (learnt, known) = learn(vec![record(0, ".", 0)]);
        assert_eq!(learnt, Err(NoServers::NotOffered));
        assert_eq!(known, ["a:2181", "b:2181"]);
    }
}
