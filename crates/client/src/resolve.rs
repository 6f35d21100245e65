//! How a name becomes addresses, and a service servers: a seam for who has a way of his own, and the usual way.

#[cfg(feature = "srv")]
mod dns;
pub(crate) mod service;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

#[cfg(feature = "srv")]
pub use dns::NameServers;
pub use service::{ServiceLookup, ServiceRecord};

/// Addresses that are being looked up.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Looks names up.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of `name`, each with `port`. Asked anew before every attempt to connect, so that servers may move; an error costs
    /// that attempt only.
    fn addresses<'a>(&'a self, name: &'a str, port: u16) -> Lookup<'a>;

    /// All records of a service, in any order. Asked anew before every round of attempts to connect; an error costs that round what it
    /// might have known, and the servers that were known stay.
    ///
    /// `None` from who does not look services up: a connect string with a service is then refused. That is asked, too, by calling this and
    /// dropping what it gives, so nothing should happen before it is polled.
    fn servers<'a>(&'a self, service: &'a str) -> Option<ServiceLookup<'a>> {
        let _ = service;
        None
    }
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemResolver;

impl Resolve for SystemResolver {
    fn addresses<'a>(&'a self, name: &'a str, port: u16) -> Lookup<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }

    #[cfg(feature = "srv")]
    fn servers<'a>(&'a self, service: &'a str) -> Option<ServiceLookup<'a>> {
        Some(Box::pin(async move {
            let name_servers = NameServers::of_system().await?;
            name_servers.records(service).await
        }))
    }
}

/// Puts addresses in the order in which they are tried: IPv6 and IPv4 by turns, so that a broken family costs one attempt and not all;
/// then another one first each time, so that one that accepts and does not serve is not always the first. `first` goes before all.
pub(crate) fn in_turn(addresses: &mut Vec<SocketAddr>, turn: usize, first: Option<SocketAddr>) {
    let (mut v6, mut v4): (VecDeque<_>, VecDeque<_>) =
        addresses.drain(..).partition(SocketAddr::is_ipv6);
    while !v6.is_empty() || !v4.is_empty() {
        addresses.extend(v6.pop_front());
        addresses.extend(v4.pop_front());
    }
    if let Some(shift) = turn.checked_rem(addresses.len()) {
        addresses.rotate_left(shift);
    }
    if let Some(at) = addresses.iter().position(|address| Some(*address) == first) {
        addresses.swap(0, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(texts: &[&str], turn: usize, first: Option<&str>) -> Vec<String> {
        let mut addresses: Vec<SocketAddr> = texts.iter().map(|t| t.parse().unwrap()).collect();
        in_turn(
            &mut addresses,
            turn,
            first.map(|text| text.parse().unwrap()),
        );
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn families_are_tried_by_turns() {
        let found = ["1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1", "[::1]:1", "[::2]:1"];
        let order = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "1.0.0.3:1"];
        assert_eq!(ordered(&found, 0, None), order);
        assert_eq!(ordered(&[], 3, None), [""; 0]);
    }

    #[test]
    fn each_turn_begins_with_another_address_unless_one_is_preferred() {
        let found = ["1.0.0.1:1", "1.0.0.2:1"];
        assert_eq!(ordered(&found, 1, None), ["1.0.0.2:1", "1.0.0.1:1"]);
        assert_eq!(ordered(&found, 2, None), found);
        assert_eq!(ordered(&found, 1, Some("1.0.0.1:1")), found);
        assert_eq!(ordered(&found, 2, Some("1.0.0.9:1")), found);
    }
}
