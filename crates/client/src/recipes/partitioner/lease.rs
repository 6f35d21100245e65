//! What the owner of a partition has in hand.
//!
//! What lives here: knowing when to stop, and saying that one has stopped. What does not: the znode of the lease (`member`).

use tokio::sync::{mpsc, watch};

use crate::{Client, State, Zxid};

/// A partition that is this member's. Drop it when the work on it has stopped: it may be somebody else's then.
#[derive(Debug)]
#[must_use = "a lease that is dropped is given away"]
pub struct Lease {
    pub(super) partition: u32,
    pub(super) token: Zxid,
    pub(super) client: Client,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) returns: mpsc::UnboundedSender<u32>,
}

impl Lease {
    /// Which partition, from 0.
    #[must_use]
    pub const fn partition(&self) -> u32 {
        self.partition
    }

    /// The fencing token: larger than that of every other member that had this partition before.
    #[must_use]
    pub const fn token(&self) -> Zxid {
        self.token
    }

    /// False when the work has to stop: the partition is asked back, the connection is suspended, the session has ended.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !*self.stop.borrow() && self.client.state() == State::Connected
    }

    /// Waits until the work has to stop. Returns at once if that is so already. Safe to cancel.
    pub async fn lost(&self) {
        let (mut stop, mut states) = (self.stop.clone(), self.client.states());
        let suspended = async { while self.is_held() && states.next().await.is_some() {} };
        tokio::select! {
            () = suspended => {}
            // An error: the member is gone, with its session.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Nobody there to take it back: the session is over.
        let _ = self.returns.send(self.partition);
    }
}
