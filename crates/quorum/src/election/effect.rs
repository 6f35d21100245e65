//! What an election wants done.
//!
//! What lives here: a closed enum; effects are performed in order. What does not: why.

use rookeeper_proto::ballot::{Notification, PeerState};
use rookeeper_proto::ids::ServerId;

use crate::membership::Membership;
use crate::vote::Vote;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElectionEffect {
    /// Send this. To a peer without a connection it is also the wish for one; an older notification that still waits for the same
    /// peer is replaced by it.
    Send {
        /// To whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// The round is over.
    Decided(Decision),
    /// A configuration came that is newer than the committed one: keep it. The election goes by it already.
    Adopt(Membership),
    /// The members are others now: close all election connections, forget what waits for them, and listen anew. What is to be sent
    /// in the new round follows.
    Restart,
    /// A voter looks for a leader while this server leads: it may have changed its mind (ZOOKEEPER-3109).
    StillLooking(ServerId),
}

/// How a round ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The vote that won: who leads, and why.
    pub vote: Vote,
    /// The round, as the winners count it.
    pub election_epoch: i64,
    /// What this server is from now on.
    pub state: PeerState,
    /// The voters whose votes decided it, in ascending order.
    pub supporters: Vec<ServerId>,
}
