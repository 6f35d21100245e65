//! The client port: listens, lets connections in within the limits, and hands each to its own task.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::client_conn;
use crate::config::ListenAddress;
use crate::connections::TooMany;
use crate::io_threads::Spawner;
use crate::metrics::Counter;
use crate::service::Service;

/// The listen backlog when none is configured; the system caps it at its own maximum.
const DEFAULT_BACKLOG: i32 = 65_535;
/// Pause after a failed accept: mostly the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Idle time before keep-alive probes, with `clientTcpKeepAlive`.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Why the port cannot be opened.
#[derive(Debug, Error)]
pub enum BindError {
    /// The name of the address has none.
    #[error("clientPortAddress {host}: {source}")]
    Resolve {
        /// As configured.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the port. Without a host it listens on all addresses of both families where the system can.
pub fn bind(
    address: &ListenAddress,
    backlog: Option<u32>,
) -> Result<std::net::TcpListener, BindError> {
    let backlog = backlog
        .and_then(|n| i32::try_from(n).ok())
        .unwrap_or(DEFAULT_BACKLOG);
    let port = address.port;
    let Some(host) = &address.host else {
        let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        return listen(both, backlog).or_else(|_| {
            let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
            listen(four, backlog).map_err(|source| BindError::Bind {
                address: four,
                source,
            })
        });
    };
    let resolved = (host.as_str(), port)
        .to_socket_addrs()
        .map(|mut all| all.next());
    let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
    let address = resolved
        .and_then(|first| first.ok_or_else(none))
        .map_err(|source| BindError::Resolve {
            host: host.clone(),
            source,
        })?;
    listen(address, backlog).map_err(|source| BindError::Bind { address, source })
}

/// Opens a port at one address.
pub(crate) fn listen(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Accepts until told to stop.
pub async fn accept(
    service: Arc<Service>,
    listener: std::net::TcpListener,
    spawner: Spawner,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, "the client port cannot be served");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(&service, &spawner, stream, peer),
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(service: &Arc<Service>, spawner: &Spawner, stream: TcpStream, peer: SocketAddr) {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    match service.connections.admit(peer.ip()) {
        Ok((conn, count)) => {
            if let Err(error) = set_options(&stream, service.settings.client.tcp_keep_alive) {
                debug!(%error, "socket options of /{peer} could not be set");
            }
            let service = Arc::clone(service);
            let Ok(stream) = stream.into_std() else {
                return;
            };
            spawner.spawn(async move {
                match TcpStream::from_std(stream) {
                    Ok(stream) => client_conn::serve(service, conn, peer, stream).await,
                    Err(error) => warn!(%error, "the connection of /{peer} cannot be served"),
                }
                drop(count);
            });
        }
        Err(TooMany::Sockets(limit)) => {
            service.metrics.count(Counter::ConnectionRejected);
            warn!(
                "Too many connections: /{} is refused - the system allows this process {limit} (ulimit -n)",
                peer.ip()
            );
        }
        Err(TooMany::FromAddress(limit)) => {
            service.metrics.count(Counter::ConnectionRejected);
            warn!("Too many connections from /{} - max is {limit}", peer.ip());
        }
        Err(TooMany::InAll(limit)) => {
            service.metrics.count(Counter::ConnectionRejected);
            warn!(
                "Too many connections: /{} is refused - max is {limit}",
                peer.ip()
            );
        }
    }
}

fn set_options(stream: &TcpStream, keep_alive: bool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if keep_alive {
        SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
    }
    Ok(())
}
