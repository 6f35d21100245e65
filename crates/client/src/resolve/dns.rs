//! Name servers, asked without the operating system, which knows addresses only.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use domain::base::iana::{Rcode, Rtype};
use domain::base::message::Message;
use domain::base::name::{Name, ParsedName, ToName};
use domain::base::rdata::ParseRecordData;
use domain::base::wire::ParseError;
use domain::rdata::{A, Aaaa, Srv};
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ResolvOptions, ServerConf, Transport};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::service::{ServiceLookup, ServiceRecord};
use super::{Lookup, Resolve};

/// Name servers that are asked; more of them are passed over. As many as the operating system asks.
const MAX_NAME_SERVERS: usize = 3;
/// Times that each of them is asked, at most, whatever the configuration says.
const MAX_ATTEMPTS: u32 = 5;
/// How long the first answer is waited for, at most; then the next name server is asked. Each round of questions waits twice as long
/// as the one before: a packet may be lost, and an answer may take its time.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
/// Names that are asked for in place of one that is not known.
const MAX_CANDIDATES: usize = 8;

/// A name as DNS has it.
type DnsName = Name<Vec<u8>>;

/// Looks names and services up at name servers of one's own choice, by UDP, and by TCP where an answer is too long.
///
/// Without it a client asks the operating system for addresses, and for services the name servers that `/etc/resolv.conf` names.
#[derive(Debug, Clone)]
pub struct NameServers {
    servers: Vec<ServerConf>,
    options: ResolvOptions,
}

/// Why the name servers were of no use.
#[derive(Debug, Error)]
enum Fault {
    #[error("{0:?} is no name of DNS")]
    NoName(String),
    #[error("there is no such record")]
    NoRecord,
    #[error("no name server is known")]
    NoNameServer,
    #[error("the name server {0} gives no answer in time")]
    Late(SocketAddr),
    #[error("the name server {server} gives no answer: {why}")]
    NoAnswer { server: SocketAddr, why: io::Error },
    #[error("the name server {server} says {code}")]
    Refused { server: SocketAddr, code: Rcode },
    #[error("the answer of the name server {0} cannot be read")]
    Unreadable(SocketAddr),
}

/// What is looked for in an answer.
type Reader<T> = fn(&Message<Bytes>) -> Result<Vec<T>, ParseError>;

impl NameServers {
    /// Asks these, in this order, the first three of them.
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let servers = servers.into_iter();
        Self::of(ResolvConf {
            servers: servers
                .map(|server| ServerConf::new(server, Transport::UdpTcp))
                .collect(),
            options: ResolvOptions::default(),
        })
    }

    /// Those that the operating system asks, now.
    pub(super) async fn of_system() -> io::Result<Self> {
        Ok(Self::of(spawn_blocking(ResolvConf::default).await?))
    }

    fn of(mut conf: ResolvConf) -> Self {
        conf.servers.truncate(MAX_NAME_SERVERS);
        Self {
            servers: conf.servers,
            options: conf.options,
        }
    }

    /// All records of a service.
    pub(super) async fn records(&self, service: &str) -> io::Result<Vec<ServiceRecord>> {
        Ok(self.look_up(service, Rtype::SRV, read_services).await?)
    }

    /// What is known of `name`, or of the names that it stands for where it is not known.
    async fn look_up<T>(&self, name: &str, rtype: Rtype, read: Reader<T>) -> Result<Vec<T>, Fault> {
        for candidate in self.candidates(name)? {
            let found = self.ask(&candidate, rtype, read).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(Fault::NoRecord)
    }

    /// The name itself, and with each suffix of the search list, unless a dot at its end says that it is whole. One of many parts is
    /// probably whole and comes first.
    fn candidates(&self, name: &str) -> Result<Vec<DnsName>, Fault> {
        let named = |text: &str| text.parse::<DnsName>();
        let whole = named(name).map_err(|_| Fault::NoName(name.to_owned()))?;
        if name.ends_with('.') {
            return Ok(vec![whole]);
        }
        let suffixes = self.options.search.as_slice().iter();
        let mut candidates: Vec<DnsName> = suffixes
            .filter(|suffix| !suffix.is_root())
            .take(MAX_CANDIDATES - 1)
            // With a long suffix it may be none any more.
            .filter_map(|suffix| named(&format!("{name}.{suffix}")).ok())
            .collect();
        let has_many_parts = name.matches('.').count() >= self.options.ndots;
        let at = if has_many_parts { 0 } else { candidates.len() };
        candidates.insert(at, whole);
        Ok(candidates)
    }

    /// Asks one name server after the other until one gives an answer, which may be that there is nothing.
    async fn ask<T>(&self, name: &DnsName, rtype: Rtype, read: Reader<T>) -> Result<Vec<T>, Fault> {
        let mut fault = Fault::NoNameServer;
        let attempts = u32::try_from(self.options.attempts).unwrap_or(MAX_ATTEMPTS);
        for attempt in 0..attempts.clamp(1, MAX_ATTEMPTS) {
            let patience = FIRST_PATIENCE * 2_u32.pow(attempt);
            for server in &self.servers {
                let options = ResolvOptions {
                    timeout: self.options.timeout.min(patience),
                    ..self.options.clone()
                };
                match ask_one(server, options, name, rtype, read).await {
                    Ok(found) => return Ok(found),
                    Err(why) => fault = why,
                }
            }
        }
        Err(fault)
    }
}

impl Resolve for NameServers {
    fn addresses<'a>(&'a self, name: &'a str, port: u16) -> Lookup<'a> {
        Box::pin(async move {
            if let Ok(address) = name.parse::<IpAddr>() {
                return Ok(vec![SocketAddr::new(address, port)]);
            }
            let (v6, v4) = tokio::join!(
                self.look_up(name, Rtype::AAAA, read_v6),
                self.look_up(name, Rtype::A, read_v4),
            );
            let found = match (v6, v4) {
                (Ok(v6), Ok(v4)) => [v6, v4].concat(),
                (Ok(found), Err(_)) | (Err(_), Ok(found)) => found,
                // One family may be refused where the other is not known: that is the better reason.
                (Err(Fault::NoRecord), Err(fault)) | (Err(fault), Err(_)) => {
                    return Err(fault.into());
                }
            };
            let with_port = |address| SocketAddr::new(address, port);
            Ok(found.into_iter().map(with_port).collect())
        })
    }

    fn servers<'a>(&'a self, service: &'a str) -> Option<ServiceLookup<'a>> {
        Some(Box::pin(self.records(service)))
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::NoName(_) => io::ErrorKind::InvalidInput,
            Fault::NoRecord | Fault::NoNameServer => io::ErrorKind::NotFound,
            Fault::Late(_) => io::ErrorKind::TimedOut,
            Fault::NoAnswer { why, .. } => why.kind(),
            Fault::Refused { .. } => io::ErrorKind::Other,
            Fault::Unreadable(_) => io::ErrorKind::InvalidData,
        };
        Self::new(kind, fault)
    }
}

/// One question to one name server. A resolver of its own for each: none outlives a change of the network, and which server is asked
/// next, and when, is said above.
async fn ask_one<T>(
    server: &ServerConf,
    options: ResolvOptions,
    name: &DnsName,
    rtype: Rtype,
    read: Reader<T>,
) -> Result<Vec<T>, Fault> {
    let resolver = StubResolver::from_conf(ResolvConf {
        servers: vec![server.clone()],
        options,
    });
    let server = server.addr;
    let answer = resolver.query((name, rtype)).await;
    let message = answer.map_err(|why| match why.kind() {
        io::ErrorKind::TimedOut => Fault::Late(server),
        _ => Fault::NoAnswer { server, why },
    })?;
    let message = message.into_message();
    match message.header().rcode() {
        Rcode::NOERROR => read(&message).map_err(|_| Fault::Unreadable(server)),
        Rcode::NXDOMAIN => Ok(Vec::new()),
        code => Err(Fault::Refused { server, code }),
    }
}

/// The data of one type that an answer has of the name that was asked for, or of the one that this stands for.
fn records<'a, Data>(message: &'a Message<Bytes>) -> Result<Vec<Data>, ParseError>
where
    Data: ParseRecordData<'a, Bytes>,
{
    let name = message.canonical_name().ok_or(ParseError::ShortInput)?;
    let mut found = Vec::new();
    for record in message.answer()?.limit_to_in::<Data>() {
        let record = record?;
        if *record.owner() == name {
            found.push(record.into_data());
        }
    }
    Ok(found)
}

fn read_v6(message: &Message<Bytes>) -> Result<Vec<IpAddr>, ParseError> {
    let found = records::<Aaaa>(message)?.into_iter();
    Ok(found.map(|data| data.addr().into()).collect())
}

fn read_v4(message: &Message<Bytes>) -> Result<Vec<IpAddr>, ParseError> {
    let found = records::<A>(message)?.into_iter();
    Ok(found.map(|data| data.addr().into()).collect())
}

fn read_services(message: &Message<Bytes>) -> Result<Vec<ServiceRecord>, ParseError> {
    let found = records::<Srv<ParsedName<Bytes>>>(message)?.into_iter();
    let record = |data: Srv<ParsedName<Bytes>>| ServiceRecord {
        priority: data.priority(),
        weight: data.weight(),
        port: data.port(),
        // With its dot: a target is a whole name, to which no suffix belongs.
        target: data.target().fmt_with_dot().to_string(),
    };
    Ok(found.map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for in place of `name`, with this configuration.
    fn candidates(conf: &str, name: &str) -> Vec<String> {
        let mut parsed = ResolvConf::new();
        parsed.parse(&mut conf.as_bytes()).unwrap();
        let candidates = NameServers::of(parsed).candidates(name).unwrap();
        candidates.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_that_is_not_whole_is_looked_for_below_the_suffixes_of_the_search_list() {
        let pod = "search default.svc.cluster.local svc.cluster.local\noptions ndots:5";
        assert_eq!(
            candidates(pod, "_zk._tcp.zk"),
            [
                "_zk._tcp.zk.default.svc.cluster.local",
                "_zk._tcp.zk.svc.cluster.local",
                "_zk._tcp.zk"
            ]
        );
        assert_eq!(candidates(pod, "_zk._tcp.zk."), ["_zk._tcp.zk"]);
        assert_eq!(
            candidates("search example.org", "_zk._tcp.zk"),
            ["_zk._tcp.zk", "_zk._tcp.zk.example.org"]
        );
        assert_eq!(candidates("", "_zk._tcp.zk"), ["_zk._tcp.zk"]);
    }

    #[test]
    fn what_is_asked_has_bounds() {
        let suffixes: String = (0..50).map(|n| format!(" s{n}.example")).collect();
        let many = candidates(&format!("search{suffixes}"), "_zk._tcp.zk");
        assert_eq!(many.len(), MAX_CANDIDATES);
        let long = "a.".repeat(100) + "example";
        let conf = format!("search {}", "b.".repeat(60) + "example");
        assert_eq!(candidates(&conf, &long), [long]);
        let many = (0..50).map(|n| SocketAddr::from(([127, 0, 0, n], 53)));
        assert_eq!(NameServers::new(many).servers.len(), MAX_NAME_SERVERS);
    }

    #[test]
    fn what_is_no_name_is_told() {
        let fault = NameServers::new([]).candidates("_zk._tcp..zk").unwrap_err();
        assert_eq!(fault.to_string(), "\"_zk._tcp..zk\" is no name of DNS");
    }
}
