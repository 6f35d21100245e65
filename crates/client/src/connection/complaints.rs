//! Why no connection comes about: said once for each server and reason, and kept for who waits.

use std::collections::BTreeSet;

use tracing::{debug, warn};

use super::Connection;

/// Pairs of server and reason that are remembered; past it nothing is news.
const MAX_TOLD: usize = 100;

/// What became of the last attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// As the connect string names it, with its port.
    pub(crate) server: String,
    /// What went wrong.
    pub(crate) why: String,
}

/// What was said since a connection held.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    told: BTreeSet<(String, String)>,
}

impl Complaints {
    /// True if it was not said yet.
    pub(super) fn is_news(&mut self, trouble: &Trouble) -> bool {
        let Trouble { server, why } = trouble.clone();
        self.told.len() < MAX_TOLD && self.told.insert((server, why))
    }

    /// A connection held: what goes wrong from now on is another matter.
    pub(super) fn forget(&mut self) {
        self.told.clear();
    }
}

impl Connection {
    /// Tells why a server was tried in vain: who waits for a connection, and the log, but not again and again.
    pub(super) fn complain(&mut self, trouble: Trouble) {
        let Trouble { server, why } = &trouble;
        if self.complaints.is_news(&trouble) {
            warn!(%server, %why, "no connection");
        } else {
            debug!(%server, %why, "no connection");
        }
        self.status.shown.lock().trouble = Some(trouble);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(server: &str, why: impl ToString) -> Trouble {
        Trouble {
            server: server.to_owned(),
            why: why.to_string(),
        }
    }

    #[test]
    fn each_reason_of_each_server_is_news_once_until_a_connection_holds() {
        let mut complaints = Complaints::default();
        assert!(complaints.is_news(&trouble("a:1", "refused")));
        assert!(!complaints.is_news(&trouble("a:1", "refused")));
        assert!(complaints.is_news(&trouble("a:1", "late")));
        assert!(complaints.is_news(&trouble("b:1", "refused")));
        complaints.forget();
        assert!(complaints.is_news(&trouble("a:1", "refused")));
    }

    #[test]
    fn reasons_that_are_always_others_come_to_an_end() {
        let mut complaints = Complaints::default();
        let said = (0..MAX_TOLD * 2).filter(|n| complaints.is_news(&trouble("a:1", n)));
        assert_eq!(said.count(), MAX_TOLD);
    }
}
