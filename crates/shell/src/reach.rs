//! Why no server answers: asked only after a session did not come up in time, to tell it in words.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rookeeper_client::{Client, TlsOptions};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::shell::Target;

/// How long one server may take to accept a connection, and a service to be looked up.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a server that was encrypted to may take to say that it does not want us.
const REFUSAL: Duration = Duration::from_millis(500);
/// Servers that are asked; the rest of a longer list is passed over.
const MOST: usize = 16;

/// Why each server of a target cannot be spoken to. `None` when one of them can.
pub(crate) async fn complaints(target: &Target) -> Option<String> {
    let mut attempts = Vec::new();
    for server in servers(&target.hosts).await {
        let tls = target.tls.clone();
        attempts.push(tokio::spawn(async move {
            match server {
                Ok(server) => attempt(server, tls).await,
                Err(why) => Some(why),
            }
        }));
    }
    let mut told = Vec::new();
    for attempt in attempts {
        // A task that could not run says nothing.
        if let Ok(complaint) = attempt.await {
            told.push(complaint?);
        }
    }
    Some(told.join(", "))
}

/// The servers of a list with an optional chroot, each with a port; in place of those of a service that cannot be looked up, why.
pub(crate) async fn servers(hosts: &str) -> Vec<Result<String, String>> {
    let (parts, _) = hosts.split_once('/').unwrap_or((hosts, ""));
    let builder = Client::builder().session_timeout(ATTEMPT);
    let mut found = Vec::new();
    for part in parts.split(',').filter(|part| !part.trim().is_empty()) {
        match builder.servers(part).await {
            Ok(servers) => found.extend(servers.into_iter().map(Ok)),
            Err(error) => found.push(Err(error.to_string())),
        }
    }
    found.truncate(MOST);
    found
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_added_where_none_is() {
        let all = servers("zk1, zk2:21,[::1],::1,[::1]:5,/app").await;
        let expected = ["zk1:2181", "zk2:21", "[::1]:2181", "[::1]:2181", "[::1]:5"];
        assert_eq!(all, expected.map(|server| Ok(server.to_owned())));
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

    #[tokio::test]
    async fn a_service_that_is_not_known_is_named() {
        // What the name server says, if there is one, is its own matter.
        let service = "_zookeeper._tcp.rookeeper.invalid.";
        let told = complaints(&target(service.to_owned())).await.unwrap();
        let expected = format!("{service}: the service cannot be looked up: ");
        assert!(told.starts_with(&expected), "{told}");
    }
}
