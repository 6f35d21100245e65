//! A service whose records change, for who looks it up without a name server.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use parking_lot::Mutex;
use rookeeper_client::{Lookup, Resolve, ServiceLookup, ServiceRecord};

/// What the service is called.
pub const SERVICE: &str = "_zookeeper._tcp.example.org";

/// A server as a record names it: priority, port, name.
pub type Target = (u16, u16, &'static str);

/// Knows one service: tells the next list each time, and the last one for ever. All names are those of this machine.
#[derive(Debug)]
pub struct Services(Mutex<VecDeque<Vec<Target>>>);

impl Services {
    pub fn new<const N: usize>(lists: [Vec<Target>; N]) -> Self {
        Self(Mutex::new(lists.into()))
    }
}

impl Resolve for Services {
    fn addresses<'a>(&'a self, _name: &'a str, port: u16) -> Lookup<'a> {
        Box::pin(async move { Ok(vec![(Ipv4Addr::LOCALHOST, port).into()]) })
    }

    fn servers<'a>(&'a self, service: &'a str) -> Option<ServiceLookup<'a>> {
        Some(Box::pin(async move {
            assert_eq!(service, SERVICE);
            let mut lists = self.0.lock();
            let list = match lists.len() {
                1 => lists[0].clone(),
                _ => lists.pop_front().unwrap(),
            };
            let record = |(priority, port, target): Target| ServiceRecord {
                priority,
                weight: 0,
                port,
                target: target.to_owned(),
            };
            Ok(list.into_iter().map(record).collect())
        }))
    }
}

/// A server at this address, under a name.
pub fn target(priority: u16, address: SocketAddr) -> Target {
    (priority, address.port(), "localhost.")
}
