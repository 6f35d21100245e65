//! Settings of a client, and its beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_proto::ids::{SessionId, Zxid};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Instrument;

use crate::chroot::Root;
use crate::client::{Client, Limits, Shared, Shown, Status};
use crate::connection::{Connection, DialOptions, Dialing, Trouble};
use crate::error::Error;
use crate::hosts::{self, Roster, Service};
use crate::resolve::{Resolve, SystemResolver};
use crate::retry::Backoff;
use crate::rounds::Rounds;
use crate::sasl::Mechanisms;
use crate::session::{Session, SessionSettings};
use crate::state::State;
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;

/// Timeout of a session unless another is wished.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take unless another time is set.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests on the wire at once.
const MAX_IN_FLIGHT: usize = 1000;
/// Requests without an answer, on the wire or not.
const MAX_WAITING: usize = 100_000;
/// Bytes of a request: what servers accept unless they are told otherwise (`jute.maxbuffer`).
const MAX_REQUEST: usize = 0xf_ffff;
/// Bytes of a reply. Servers limit what they read, not what they say: a child list may be long.
const MAX_REPLY: usize = 64 << 20;
/// What a connect string with a service lacks.
const NO_SERVICES: &str =
    "to look a service up takes the feature srv of rookeeper-client, or a resolver that does it";

/// Settings of a client. Everything has a default.
#[derive(Debug, Clone)]
pub struct Builder {
    session: SessionSettings,
    connect_timeout: Option<Duration>,
    backoff: Backoff,
    limits: Limits,
    max_reply: usize,
    mechanisms: Option<Mechanisms>,
    dial: DialOptions,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            session: SessionSettings {
                timeout: SESSION_TIMEOUT,
                read_only: false,
                request_timeout: REQUEST_TIMEOUT,
                max_in_flight: MAX_IN_FLIGHT,
                sasl: false,
                identities: Vec::new(),
                resume: None,
            },
            connect_timeout: None,
            backoff: Backoff::default(),
            limits: Limits {
                max_request: MAX_REQUEST,
                max_waiting: MAX_WAITING,
                request_timeout: REQUEST_TIMEOUT,
            },
            max_reply: MAX_REPLY,
            mechanisms: None,
            dial: DialOptions {
                resolver: Arc::new(SystemResolver),
                #[cfg(feature = "tls")]
                tls: None,
            },
        }
    }

    /// How long the session outlives a lost connection; the server may give another time. 30 s unless set.
    #[must_use]
    pub const fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session.timeout = timeout;
        self
    }

    /// How long [`Builder::connect`] waits for the first connection. The session's timeout unless set.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// How long a request may take, the wait for a connection included. 30 s unless set.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.session.request_timeout = timeout;
        self.limits.request_timeout = timeout;
        self
    }

    /// Be content with a server that has no quorum, for reads, until another one is found.
    #[must_use]
    pub const fn read_only(mut self, allowed: bool) -> Self {
        self.session.read_only = allowed;
        self
    }

    /// Adds an identity, told to every server before anything else: `("digest", "user:password")`.
    #[must_use]
    pub fn auth(mut self, scheme: impl Into<String>, proof: impl Into<Vec<u8>>) -> Self {
        self.session.identities.push((scheme.into(), proof.into()));
        self
    }

    /// Proves who this is by SASL on every connection, before anything else.
    #[must_use]
    pub fn sasl(mut self, mechanisms: Mechanisms) -> Self {
        self.session.sasl = true;
        self.mechanisms = Some(mechanisms);
        self
    }

    /// Goes on with a session of another client, which loses its connection.
    #[must_use]
    pub fn session(mut self, id: SessionId, password: impl Into<Vec<u8>>) -> Self {
        self.session.resume = Some((id, password.into()));
        self
    }

    /// Looks names up in another way than the operating system does.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.dial.resolver = Arc::new(resolver);
        self
    }

    /// Speaks TLS with every server.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.dial.tls = Some(options);
        self
    }

    /// How long to wait between attempts to connect, once every server has been tried.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Requests on the wire at once, at least 1. 1,000 unless set; more wait here.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.session.max_in_flight = requests.max(1);
        self
    }

    /// Requests without an answer; more fail at once with [`Error::Overloaded`]. 100,000 unless set.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.limits.max_waiting = requests;
        self
    }

    /// Bytes of a request; longer ones fail at once. 1,048,575 unless set, as with servers.
    #[must_use]
    pub const fn max_request(mut self, bytes: usize) -> Self {
        self.limits.max_request = bytes;
        self
    }

    /// Bytes of a reply; a longer one costs the connection. 64 MiB unless set.
    #[must_use]
    pub const fn max_reply(mut self, bytes: usize) -> Self {
        self.max_reply = bytes;
        self
    }

    /// Makes the client and returns at once; what is asked waits for a connection. `hosts` is `server[,server...][/chroot]`, where a server
    /// is `host`, `host:port`, or a service, `_service._proto.domain`, whose servers are looked up. Needs a tokio runtime.
    pub fn open(&self, hosts: &str) -> Result<Client, Error> {
        let (roster, root) = self.named(hosts)?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let resumed = self.session.resume.clone().unwrap_or_default();
        let status = Arc::new(Status {
            shown: Mutex::new(Shown {
                state: State::Connecting,
                session: resumed.0,
                password: resumed.1,
                timeout: self.session.timeout,
                server: None,
                zxid: Zxid::ZERO,
                trouble: None,
                listeners: Vec::new(),
            }),
            waiting: AtomicUsize::new(0),
        });
        let dialing = Dialing::new(
            Rounds::new(roster),
            self.backoff,
            self.session.timeout,
            self.dial.clone(),
        );
        let session = Session::new(self.session.clone());
        let connection = Connection::new(
            session,
            inbox,
            Arc::clone(&status),
            dialing,
            self.max_reply,
            self.mechanisms.clone(),
        );
        let span = connection.span.clone();
        tokio::spawn(connection.run().instrument(span));
        Ok(Client {
            shared: Arc::new(Shared {
                commands,
                status,
                next_watch: AtomicU64::new(1),
                limits: self.limits,
            }),
            root,
        })
    }

    /// The servers that `hosts` names now, each as `host:port`: services are looked up. For who wants to know whom a client would try.
    pub async fn servers(&self, hosts: &str) -> Result<Vec<String>, Error> {
        let (mut roster, _) = self.named(hosts)?;
        let troubles = self.dial.survey(&mut roster, self.session.timeout).await;
        match troubles.into_iter().next() {
            Some(Trouble { server, why }) => Err(Error::NoService {
                service: server,
                why,
            }),
            None => Ok(roster.hosts().map(ToString::to_string).collect()),
        }
    }

    /// What `hosts` says, if it is something that the resolver can look up.
    fn named(&self, hosts: &str) -> Result<(Roster, Root), Error> {
        let (roster, root) = hosts::parse(hosts)?;
        let resolver = &self.dial.resolver;
        let is_known = |service: &Service| resolver.servers(&service.name).is_some();
        if roster.services().all(is_known) {
            return Ok((roster, root));
        }
        Err(Error::BadHosts {
            text: hosts.to_owned(),
            why: NO_SERVICES,
        })
    }

    /// Makes the client and waits until its session is there. [`Error::Unreachable`] tells why it is not there in time.
    pub async fn connect(&self, hosts: &str) -> Result<Client, Error> {
        let client = self.open(hosts)?;
        let mut states = client.states();
        let patience = self.connect_timeout.unwrap_or(self.session.timeout);
        let connected = async {
            let mut state = Some(client.state());
            while let Some(now) = state.filter(|state| !state.is_connected()) {
                if now.is_final() {
                    return Err(client.shared.status.end());
                }
                state = states.next().await;
            }
            Ok(())
        };
        match timeout(patience, connected).await {
            Ok(Ok(())) => Ok(client),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(client.shared.status.unreachable()),
        }
    }
}
