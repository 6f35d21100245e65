//! How a connection comes about: whose turn it is, looking up names, and the search for a server that can write.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Line, Trouble};
use crate::hosts::{Host, Roster};
use crate::resolve::{Resolve, ServiceRecord, in_turn};
use crate::retry::Backoff;
use crate::rounds::Rounds;
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;

/// An attempt gets at least this long, however many servers there are.
const ATTEMPT_MIN: Duration = Duration::from_millis(500);
/// An answer to `isro` comes at once or never.
const QUESTION_LIMIT: Duration = Duration::from_secs(1);
/// How long servers that are known wait for what the records say now: name servers may be away together with the connection.
const RENEWAL_LIMIT: Duration = Duration::from_secs(2);
/// The answer of a server that has a quorum.
const WRITABLE: &[u8; 2] = b"rw";

/// Which servers there are, and how to go about them.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) rounds: Rounds,
    pub(crate) backoff: Backoff,
    /// Timeout of the session: within it, every server should have its turn.
    pub(crate) timeout: Duration,
    /// Addresses of the name that was connected to last.
    pub(crate) addresses: usize,
    options: DialOptions,
    preferred: Option<Found>,
}

/// What it takes to connect to any server.
#[derive(Debug, Clone)]
pub(crate) struct DialOptions {
    pub(crate) resolver: Arc<dyn Resolve>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
}

/// One server at one address.
#[derive(Debug, Clone)]
pub(super) struct Found {
    host: Host,
    address: SocketAddr,
}

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Peer {
    /// As the connect string has it, with the port.
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// How many its name has.
    pub(super) addresses: usize,
}

/// One attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) host: Host,
    /// How often the host had its turn: each time another address is the first.
    turn: usize,
    first: Option<SocketAddr>,
    limit: Duration,
    options: DialOptions,
}

impl Dialing {
    pub(crate) const fn new(
        rounds: Rounds,
        backoff: Backoff,
        timeout: Duration,
        options: DialOptions,
    ) -> Self {
        Self {
            rounds,
            backoff,
            timeout,
            addresses: 1,
            options,
            preferred: None,
        }
    }

    /// How long to wait before the next attempt.
    pub(super) fn pause(&self) -> Duration {
        self.rounds.pause(self.backoff)
    }

    /// Looks the services up, where there are some and a round begins: what to go on with, and what went wrong.
    pub(super) fn survey(
        &self,
    ) -> Option<impl Future<Output = (Roster, Vec<Trouble>)> + Send + use<>> {
        let is_due = self.rounds.begins() && self.rounds.roster().services().next().is_some();
        is_due.then(|| {
            let (options, limit) = (self.options.clone(), self.attempt_limit());
            let mut roster = self.rounds.roster().clone();
            async move {
                let troubles = options.survey(&mut roster, limit).await;
                (roster, troubles)
            }
        })
    }

    /// Whose turn it is. `None` if there is nobody.
    pub(super) fn next(&mut self) -> Option<Attempt> {
        let preferred = self.preferred.take();
        if let Some(found) = &preferred {
            self.rounds.prefer(&found.host);
        }
        let limit = self.attempt_limit();
        let next = self.rounds.next()?;
        Some(Attempt {
            host: next.host,
            turn: next.turn,
            first: preferred.map(|found| found.address),
            limit,
            options: self.options.clone(),
        })
    }

    /// How long one attempt may take, and then the answer to the first word.
    pub(super) fn attempt_limit(&self) -> Duration {
        let servers = self.rounds.len().max(self.addresses);
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        (self.timeout / servers.max(1)).max(ATTEMPT_MIN)
    }

    /// The next attempt goes there.
    pub(super) fn prefer(&mut self, found: Found) {
        self.preferred = Some(found);
    }

    /// Asks all servers but `current` in turn until one can write.
    pub(super) fn find_writable(
        &self,
        current: SocketAddr,
    ) -> impl Future<Output = Found> + Send + use<> {
        let (options, backoff) = (self.options.clone(), self.backoff);
        let mut roster = self.rounds.roster().clone();
        async move {
            let mut round = 0;
            loop {
                sleep(backoff.pause(round)).await;
                round = round.saturating_add(1);
                // Whoever cannot be looked up now is looked for where it was.
                options.survey(&mut roster, QUESTION_LIMIT).await;
                for host in roster.hosts() {
                    if let Some(address) = options.writable(host, current).await {
                        let host = host.clone();
                        return Found { host, address };
                    }
                }
            }
        }
    }
}

impl Attempt {
    /// Looks the name up, now, and tries every address that it has.
    pub(super) async fn run(&self) -> io::Result<(Line, Peer)> {
        let found = self.options.addresses(&self.host, self.limit).await;
        let mut addresses = found.map_err(|error| {
            let text = format!("the name cannot be looked up: {error}");
            io::Error::new(error.kind(), text)
        })?;
        in_turn(&mut addresses, self.turn, self.first);
        let each = self.limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in &addresses {
            match self.options.connect(&self.host, *address, each).await {
                Ok(line) => {
                    let peer = Peer {
                        name: self.host.to_string(),
                        address: *address,
                        addresses: addresses.len(),
                    };
                    return Ok((line, peer));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl DialOptions {
    /// Looks all services of `roster` up, each for `limit` at most, and tells what went wrong. One that cannot be looked up keeps the
    /// servers that it had.
    pub(crate) async fn survey(&self, roster: &mut Roster, limit: Duration) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        for service in roster.services_mut() {
            let limit = match service.is_known() {
                true => limit.min(RENEWAL_LIMIT),
                false => limit,
            };
            let why = match self.records(&service.name, limit).await {
                Ok(records) => service.learn(records).err().map(|why| why.to_string()),
                Err(why) => Some(format!("the service cannot be looked up: {why}")),
            };
            troubles.extend(why.map(|why| Trouble {
                server: service.name.clone(),
                why,
            }));
        }
        troubles
    }

    async fn records(&self, service: &str, limit: Duration) -> io::Result<Vec<ServiceRecord>> {
        let lookup = self.resolver.servers(service);
        in_time(limit, lookup.ok_or(io::ErrorKind::Unsupported)?).await
    }

    async fn addresses(&self, host: &Host, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        in_time(limit, self.resolver.addresses(&host.name, host.port)).await
    }

    async fn connect(&self, host: &Host, to: SocketAddr, limit: Duration) -> io::Result<Line> {
        in_time(limit, self.open(host, to)).await
    }

    #[cfg_attr(
        not(feature = "tls"),
        expect(unused_variables, reason = "a name is proved by TLS")
    )]
    async fn open(&self, host: &Host, to: SocketAddr) -> io::Result<Line> {
        let stream = TcpStream::connect(to).await?;
        // Requests are gathered here, not in the kernel.
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let stream = tls.encrypt(host.plain_name(), stream).await?;
            return Ok(Line::Tls(Box::new(stream)));
        }
        Ok(Line::Plain(stream))
    }

    /// The first address of `host` where somebody can write.
    async fn writable(&self, host: &Host, current: SocketAddr) -> Option<SocketAddr> {
        let addresses = self.addresses(host, QUESTION_LIMIT).await.ok()?;
        for address in addresses.into_iter().filter(|other| *other != current) {
            let answer = in_time(QUESTION_LIMIT, async {
                self.open(host, address).await?.ask(b"isro").await
            });
            if answer.await.is_ok_and(|answer| answer == *WRITABLE) {
                return Some(address);
            }
        }
        None
    }
}

async fn in_time<T>(limit: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(limit, what).await.map_err(late)?
}
