//! Why no server answers: asked only after a session did not come up in time, to tell it in words.

use std::io::{self, ErrorKind};
use std::net::Ipv6Addr;
use std::time::Duration;

use rookeeper_client::TlsOptions;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::shell::Target;

/// How long one server may take to accept a connection.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a server that was encrypted to may take to say that it does not want us.
const REFUSAL: Duration = Duration::from_millis(500);
/// The port of a host that names none.
const PORT: u16 = 2181;
/// Servers that are asked; the rest of a longer list is passed over.
const MOST: usize = 16;

/// Why each server of a target cannot be spoken to. `None` when one of them can.
pub(crate) async fn complaints(target: &Target) -> Option<String> {
    let attempts: Vec<_> = servers(&target.hosts)
        .into_iter()
        .map(|server| tokio::spawn(attempt(server, target.tls.clone())))
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

async fn attempt(server: String, tls: Option<TlsOptions>) -> Option<String> {
    let why = match timeout(ATTEMPT, reach(&server, tls)).await {
        Ok(Ok(())) => return None,
        Ok(Err(why)) => why,
        Err(_) => "no answer".to_owned(),
    };
    Some(format!("{server}: {why}"))
}

async fn reach(server: &str, tls: Option<TlsOptions>) -> Result<(), String> {
    let stream = TcpStream::connect(server).await;
    let stream = stream.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    })?;
    let Some(tls) = tls else {
        return Ok(());
    };
    let tried = tls.try_out(name(server), stream, REFUSAL).await;
    tried.map_err(|error| format!("TLS: {}", in_words(&error)))
}

/// What a failed handshake says. A server that does not speak TLS ends the connection, or says something else.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
            "the server ended the connection".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The host of `host:port`, as its certificate has it.
fn name(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The server with a port; of an address in brackets the colon behind them counts.
fn with_port(server: &str) -> String {
    let server = server.trim();
    if server.parse::<Ipv6Addr>().is_ok() {
        return format!("[{server}]:{PORT}");
    }
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
        assert_eq!(with_port("::1"), "[::1]:2181");
        assert_eq!(with_port("[::1]:5"), "[::1]:5");
    }

    #[test]
    fn a_certificate_has_the_name_alone() {
        assert_eq!(name("zk1:2181"), "zk1");
        assert_eq!(name("[::1]:2181"), "::1");
    }

    fn target(hosts: String) -> Target {
        Target {
            hosts,
            timeout: ATTEMPT,
            read_only: false,
            tls: None,
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        assert_eq!(complaints(&target(format!("{address}/app"))).await, None);
        drop(free);
        assert_eq!(
            complaints(&target(format!("{address}/app"))).await,
            Some(format!("{address}: connection refused"))
        );
    }
}
