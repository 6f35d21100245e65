//! Why no server answers: asked only after a session did not come up in time, to tell it in words.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one server may take to accept a connection.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The port of a host that names none.
const PORT: u16 = 2181;
/// Servers that are asked; the rest of a longer list is passed over.
const MOST: usize = 16;

/// What each server of a `host:port,...` list with an optional chroot says to a plain connection. `None` when one of them accepts.
pub(crate) async fn complaints(hosts: &str) -> Option<String> {
    let servers = servers(hosts);
    let attempts: Vec<_> = servers
        .into_iter()
        .map(|server| tokio::spawn(attempt(server)))
        .collect();
    let mut told = Vec::new();
    for attempt in attempts {
        // A task that could not run says nothing.
        if let Ok(complaint) = attempt.await {
            told.push(complaint?);
        }
    }
    Some(told.join(", "))
}

/// The servers of a `host:port,...` list with an optional chroot, each with a port.
pub(crate) fn servers(hosts: &str) -> Vec<String> {
    let (servers, _) = hosts.split_once('/').unwrap_or((hosts, ""));
    servers.split(',').take(MOST).map(with_port).collect()
}

async fn attempt(server: String) -> Option<String> {
    let why = match timeout(ATTEMPT, TcpStream::connect(&server)).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    Some(format!("{server}: {why}"))
}

/// The server with a port; of an address in brackets the colon behind them counts.
fn with_port(server: &str) -> String {
    let server = server.trim();
    let behind = server.rsplit_once(']').map_or(server, |(_, behind)| behind);
    match behind.contains(':') {
        true => server.to_owned(),
        false => format!("{server}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_none_is() {
        assert_eq!(with_port("zk1"), "zk1:2181");
        assert_eq!(with_port(" zk1:21 "), "zk1:21");
        assert_eq!(with_port("[::1]"), "[::1]:2181");
        assert_eq!(with_port("[::1]:5"), "[::1]:5");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        assert_eq!(complaints(&format!("{address}/app")).await, None);
        drop(free);
        assert_eq!(
            complaints(&format!("{address}/app")).await,
            Some(format!("{address}: connection refused"))
        );
    }
}
