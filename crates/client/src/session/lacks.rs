//! Which operations which server does not know.
//!
//! A server closes the connection on which it was asked for what it does not know, so it is not asked again. Another server may know
//! more, and the same one may after a restart: what is known of a server is kept across the connection that ended because of it, and
//! forgotten with the next one that ends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rookeeper_proto::code::OpCode;

/// Servers that are remembered; past it all are forgotten, which costs each a connection at worst.
const MAX_SERVERS: usize = 64;

/// What is known of one server.
#[derive(Debug, Default)]
struct Server {
    lacks: BTreeSet<i32>,
    /// It was asked for something that it does not know, and ends its connection for that.
    asked: bool,
}

/// What is known of all servers.
#[derive(Debug, Default)]
pub(crate) struct Lacks {
    servers: BTreeMap<SocketAddr, Server>,
    here: Option<SocketAddr>,
    /// What any of them did not know.
    ever: BTreeSet<i32>,
}

impl Lacks {
    /// A connection to this server begins.
    pub(crate) fn meet(&mut self, server: SocketAddr) {
        self.here = Some(server);
        let because_of_it = self
            .servers
            .get_mut(&server)
            .is_some_and(|known| std::mem::take(&mut known.asked));
        if !because_of_it {
            self.servers.remove(&server);
        }
    }

    /// The server of this connection does not know `op`.
    pub(crate) fn learn(&mut self, op: OpCode) {
        let Some(here) = self.here else {
            return;
        };
        if self.servers.len() >= MAX_SERVERS && !self.servers.contains_key(&here) {
            self.servers.clear();
        }
        let known = self.servers.entry(here).or_default();
        known.lacks.insert(op.code());
        known.asked = true;
        self.ever.insert(op.code());
    }

    /// True when the server of this connection is known not to know `op`.
    pub(crate) fn has(&self, op: OpCode) -> bool {
        let here = self.here.and_then(|here| self.servers.get(&here));
        here.is_some_and(|known| known.lacks.contains(&op.code()))
    }

    /// True when some server did not know `op`: what nobody asked for is not worth a connection.
    pub(crate) fn ever_had(&self, op: OpCode) -> bool {
        self.ever.contains(&op.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 2181))
    }

    #[test]
    fn what_is_known_of_a_server_outlives_the_connection_that_ended_because_of_it() {
        let mut lacks = Lacks::default();
        lacks.meet(server(1));
        lacks.learn(OpCode::WhoAmI);
        assert!(lacks.has(OpCode::WhoAmI) && !lacks.has(OpCode::AddWatch));
        lacks.meet(server(2));
        assert!(!lacks.has(OpCode::WhoAmI));
        lacks.meet(server(1));
        assert!(lacks.has(OpCode::WhoAmI));
        // This one ended for another reason: the server may have been replaced by a newer one.
        lacks.meet(server(1));
        assert!(!lacks.has(OpCode::WhoAmI) && lacks.ever_had(OpCode::WhoAmI));
    }

    #[test]
    fn no_more_servers_are_remembered_than_there_is_room_for() {
        let mut lacks = Lacks::default();
        for number in 0..=MAX_SERVERS as u8 {
            lacks.meet(server(number));
            lacks.learn(OpCode::WhoAmI);
        }
        assert_eq!(lacks.servers.len(), 1);
        assert!(lacks.has(OpCode::WhoAmI));
    }
}
