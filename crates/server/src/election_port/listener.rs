//! Listening: bind, patiently, and accept for ever.
//!
//! Invariants:
//! - No client ends the listener, and none makes another wait (ZOOKEEPER-2836, 3320): each accepted connection has a task.
//! - What cannot be bound is tried again as often as the settings say. Then there is a reason, and it stays.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_proto::ballot::Address;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task;
use tokio::time;
use tracing::{error, info, warn};

use super::ElectionPortError;
use super::greeting::Greetings;
use super::members::Members;
use crate::client_port;
use crate::config::ListenAddress;

/// Pause between two tries to bind.
const BIND_PAUSE: Duration = Duration::from_secs(1);
/// Pause after a failed accept: mostly the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that wait to be accepted, at most: every member at once, many times.
const BACKLOG: i32 = 128;

/// Where to listen.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The own addresses.
    pub(super) own: Vec<Address>,
    /// On their ports, but on all addresses of this machine.
    pub(super) on_all: bool,
}

/// What others may know of the listener.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Where it listens.
    pub(super) addresses: Mutex<Vec<SocketAddr>>,
    /// True once it has listened.
    pub(super) bound: watch::Sender<bool>,
    /// Why it never will again.
    pub(super) failure: OnceLock<Arc<ElectionPortError>>,
}

/// What the task needs.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) places: Places,
    /// How often to try to bind; 0: for ever.
    pub(super) tries: u32,
    pub(super) members: Arc<Members>,
    pub(super) standing: Arc<Standing>,
}

type Bound = Vec<StdListener>;

impl Places {
    /// Binds every place, or none. Looks names up, which may take a while.
    pub(super) fn bind(&self) -> Result<Bound, ElectionPortError> {
        if self.on_all {
            let ports: BTreeSet<_> = self.own.iter().map(|address| address.port).collect();
            return ports.into_iter().map(bind_everywhere).collect();
        }
        let mut bound = BTreeSet::new();
        let mut sockets = Vec::new();
        for place in &self.own {
            let address = look_up(place)?;
            if address.port() == 0 || bound.insert(address) {
                sockets.push(bind_at(address)?);
            }
        }
        Ok(sockets)
    }

    /// Puts the ports that the system chose where none was written.
    pub(super) fn take_ports(&mut self, sockets: &Bound) {
        for (place, socket) in self.own.iter_mut().zip(sockets) {
            if let (0, Ok(address)) = (place.port, socket.local_addr()) {
                place.port = address.port();
            }
        }
    }
}

/// The address to bind for a name: the first of IPv4, as Java does, else the first.
fn look_up(place: &Address) -> Result<SocketAddr, ElectionPortError> {
    let failed = |source| ElectionPortError::Resolve {
        place: place.clone(),
        source,
    };
    let found = (place.host.as_str(), place.port).to_socket_addrs();
    let found: Vec<_> = found.map_err(failed)?.collect();
    let four = found.iter().find(|address| address.is_ipv4());
    let first = four.or_else(|| found.first()).copied();
    first.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

fn bind_at(address: SocketAddr) -> Result<StdListener, ElectionPortError> {
    client_port::listen(address, BACKLOG).map_err(|source| ElectionPortError::Bind {
        place: address.to_string(),
        source,
    })
}

fn bind_everywhere(port: u16) -> Result<StdListener, ElectionPortError> {
    let everywhere = ListenAddress { host: None, port };
    client_port::bind(&everywhere, u32::try_from(BACKLOG).ok()).map_err(|error| {
        ElectionPortError::Bind {
            place: format!("*:{port}"),
            source: io::Error::other(error),
        }
    })
}

impl Listener {
    /// What the first try means: sockets, nothing yet, or the end.
    pub(super) fn judge_first(
        &self,
        first: Result<Bound, ElectionPortError>,
    ) -> Result<Option<Bound>, ElectionPortError> {
        match first {
            Ok(sockets) => {
                self.note_bound(&sockets);
                Ok(Some(sockets))
            }
            Err(error) if self.tries == 1 => Err(error),
            Err(error) => {
                warn!("{error}: it is tried again every second");
                Ok(None)
            }
        }
    }

    /// Listens until nobody can tell it to begin anew any more.
    pub(super) async fn run(self, first: Option<Bound>, mut restarts: watch::Receiver<u64>) {
        let mut first = first;
        // The first try was one of them.
        let mut failed = u32::from(first.is_none());
        loop {
            tokio::select! {
                ended = self.serve(first.take(), failed) => {
                    let Err(error) = ended;
                    error!("{error}: given up, other members cannot reach this one");
                    self.standing.addresses.lock().clear();
                    // The first reason stays.
                    let _ = self.standing.failure.set(Arc::new(error));
                    return;
                }
                told = restarts.changed() => if told.is_err() {
                    return;
                },
            }
            failed = 0;
        }
    }

    async fn serve(
        &self,
        first: Option<Bound>,
        failed: u32,
    ) -> Result<Infallible, ElectionPortError> {
        let sockets = match first {
            Some(sockets) => sockets,
            None => self.bind(failed).await?,
        };
        let mut listeners = Vec::new();
        for socket in sockets {
            let place = place_of(&socket);
            let listener = TcpListener::from_std(socket);
            listeners.push(listener.map_err(|source| ElectionPortError::Bind { place, source })?);
        }
        accept(&listeners, &self.members).await
    }

    async fn bind(&self, failed: u32) -> Result<Bound, ElectionPortError> {
        let mut failed = failed;
        self.standing.addresses.lock().clear();
        loop {
            if failed > 0 {
                time::sleep(BIND_PAUSE).await;
            }
            let places = self.places.clone();
            let tried = task::spawn_blocking(move || places.bind()).await;
            match tried.unwrap_or_else(|panic| Err(broken(io::Error::other(panic)))) {
                Ok(sockets) => {
                    self.note_bound(&sockets);
                    return Ok(sockets);
                }
                Err(error) => {
                    failed = failed.saturating_add(1);
                    if self.tries != 0 && failed >= self.tries {
                        return Err(error);
                    }
                    if failed == 1 {
                        warn!("{error}: it is tried again every second");
                    }
                }
            }
        }
    }

    fn note_bound(&self, sockets: &Bound) {
        let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
        let addresses: Vec<_> = addresses.collect();
        for address in &addresses {
            info!("listening for elections on {address}");
        }
        *self.standing.addresses.lock() = addresses;
        self.standing.bound.send_replace(true);
    }
}

fn place_of(socket: &StdListener) -> String {
    socket
        .local_addr()
        .map_or_else(|_| String::new(), |address| address.to_string())
}

fn broken(source: io::Error) -> ElectionPortError {
    ElectionPortError::Bind {
        place: "any address".to_owned(),
        source,
    }
}

/// Accepts for ever. All listeners are in this one task, so that they are closed when it is given up, and not some time later.
async fn accept<Never>(listeners: &[TcpListener], members: &Arc<Members>) -> Never {
    let mut greetings = Greetings::default();
    loop {
        match next(listeners).await {
            Ok((stream, from)) => {
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                greetings.begin(members, stream, from);
            }
            Err(error) => {
                warn!(%error, "an election connection could not be accepted");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The next connection on any of them.
async fn next(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    future::poll_fn(|context| {
        let mut tried = listeners.iter().map(|one| one.poll_accept(context));
        tried.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}
