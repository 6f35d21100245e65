//! Which servers there are, as the connect string says.

use std::fmt;

use crate::chroot::Root;
use crate::error::Error;

/// The port of a server that names none.
pub(crate) const DEFAULT_PORT: u16 = 2181;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
