//! Deliberate mistakes, one at a time, and how soon each must be found.
//!
//! What lives here: the list, the switch, and the mistakes of drivers, disks and links ([`Boundary`]), which are made in this
//! crate. Those that only the deciding crates can make are in their own `mutation` modules. Without the feature `mutations` the
//! switch is a constant, and nothing of this is compiled in.

use rookeeper_node::mutation::Mutation as Node;
use rookeeper_quorum::mutation::Mutation as Quorum;
use rookeeper_tree::mutation::Mutation as Tree;

/// Mistakes that a driver, a disk or a link makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Records count as durable when they are wanted.
    AckBeforeSync,
    /// Some records never reach the log.
    AppendLost,
    /// In the synchronization the history counts as durable at once, so the epoch is written before it.
    EpochBeforeHistory,
    /// Two transactions change places.
    ApplyOutOfOrder,
    /// The history is not cut.
    TruncationSkipped,
    /// The history is cut in memory only.
    TruncationOfTheTreeOnly,
    /// The history is cut on the disk only.
    TruncationOfTheDiskOnly,
    /// The promise of an epoch stays in memory.
    PromiseNotWritten,
    /// The epoch of the history stays in memory.
    EpochNotWritten,
    /// A received state stays in memory.
    ImageNotSaved,
    /// A leader sends an empty state.
    EmptyImage,
    /// A leader leaves out a record of its log.
    LogRangeWithoutFirst,
    /// Replies go before events.
    EventsBehindReplies,
    /// Some events are not sent.
    EventLost,
    /// Syncs of a learner's clients are answered by the learner.
    SyncNotOrdered,
    /// A link to a client changes the order.
    LinkSwaps,
    /// A member begins with its snapshot alone.
    LogNotReplayed,
    /// A member that lost its disk counts like any other.
    EmptyMemberVotes,
}

/// Any of the mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// Around a member.
    Boundary(Boundary),
    /// In a member.
    Node(Node),
    /// In elections, leaders and learners.
    Quorum(Quorum),
    /// In the tree.
    Tree(Tree),
}

/// A mistake, and within how many seeds it must be found, counted from the first.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// What.
    pub mutation: Mutation,
    /// How soon.
    pub within: u64,
}

const fn boundary(mutation: Boundary, within: u64) -> Wanted {
    let mutation = Mutation::Boundary(mutation);
    Wanted { mutation, within }
}

const fn node(mutation: Node, within: u64) -> Wanted {
    let mutation = Mutation::Node(mutation);
    Wanted { mutation, within }
}

const fn quorum(mutation: Quorum, within: u64) -> Wanted {
    let mutation = Mutation::Quorum(mutation);
    Wanted { mutation, within }
}

const fn tree(mutation: Tree, within: u64) -> Wanted {
    let mutation = Mutation::Tree(mutation);
    Wanted { mutation, within }
}

/// Seeds for a mistake that does harm in nearly every history.
const COMMON: u64 = 100;
/// Seeds for one that needs several things to happen in a certain order.
const RARE: u64 = 1000;

/// All mistakes.
pub const ALL: &[Wanted] = &[
    boundary(Boundary::AckBeforeSync, COMMON),
    boundary(Boundary::AppendLost, COMMON),
    boundary(Boundary::EpochBeforeHistory, COMMON),
    boundary(Boundary::ApplyOutOfOrder, COMMON),
    boundary(Boundary::TruncationSkipped, COMMON),
    boundary(Boundary::TruncationOfTheTreeOnly, COMMON),
    boundary(Boundary::TruncationOfTheDiskOnly, COMMON),
    boundary(Boundary::PromiseNotWritten, COMMON),
    boundary(Boundary::EpochNotWritten, COMMON),
    boundary(Boundary::ImageNotSaved, COMMON),
    boundary(Boundary::EmptyImage, COMMON),
    boundary(Boundary::LogRangeWithoutFirst, COMMON),
    boundary(Boundary::EventsBehindReplies, COMMON),
    boundary(Boundary::EventLost, COMMON),
    boundary(Boundary::SyncNotOrdered, COMMON),
    boundary(Boundary::LinkSwaps, COMMON),
    boundary(Boundary::LogNotReplayed, COMMON),
    boundary(Boundary::EmptyMemberVotes, RARE),
    quorum(Quorum::VoteOrderReversed, COMMON),
    quorum(Quorum::CommitWithoutQuorum, COMMON),
    quorum(Quorum::HalfIsAQuorum, COMMON),
    quorum(Quorum::EpochNotRaised, COMMON),
    quorum(Quorum::EstablishedWithoutQuorum, COMMON),
    quorum(Quorum::LearnerDoesNotAcknowledge, COMMON),
    quorum(Quorum::LeadsWithoutQuorum, COMMON),
    quorum(Quorum::AheadLearnersIgnored, RARE),
    node(Node::WindowKeptAcrossTruncation, RARE),
    node(Node::AnyCommitAnswers, COMMON),
    node(Node::ClientAheadAdmitted, RARE),
    node(Node::SessionsExpireEarly, COMMON),
    tree(Tree::SessionTableNotReplicated, COMMON),
    tree(Tree::EphemeralsOutliveSessions, COMMON),
    tree(Tree::WatchFiresTwice, COMMON),
];

impl std::fmt::Display for Mutation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boundary(it) => write!(f, "{it:?}"),
            Self::Node(it) => write!(f, "{it:?}"),
            Self::Quorum(it) => write!(f, "{it:?}"),
            Self::Tree(it) => write!(f, "{it:?}"),
        }
    }
}

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;

    use super::{Boundary, Mutation};

    thread_local! {
        static ACTIVE: Cell<Option<Boundary>> = const { Cell::new(None) };
    }

    /// Makes one mistake in this thread, or none.
    pub fn set(mutation: Option<Mutation>) {
        let mut own = (None, None, None, None);
        match mutation {
            Some(Mutation::Boundary(it)) => own.0 = Some(it),
            Some(Mutation::Node(it)) => own.1 = Some(it),
            Some(Mutation::Quorum(it)) => own.2 = Some(it),
            Some(Mutation::Tree(it)) => own.3 = Some(it),
            None => {}
        }
        ACTIVE.set(own.0);
        rookeeper_node::mutation::set(own.1);
        rookeeper_quorum::mutation::set(own.2);
        rookeeper_tree::mutation::set(own.3);
    }

    pub(crate) fn mutated(mutation: Boundary) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(feature = "mutations")]
pub(crate) use switch::mutated;
#[cfg(feature = "mutations")]
pub use switch::set;

/// True when this mistake is to be made.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn mutated(_: Boundary) -> bool {
    false
}
