//! Deliberate mistakes, one at a time, and how soon each must be found.
//!
//! What lives here: the list of all mistakes, and the switch of all of them. Those of drivers, disks and links are in [`boundary`](crate::boundary);
//! those that only the deciding crates can make are in their own `mutation` modules. Without the feature `mutations` nothing of
//! this is compiled in.

use rookeeper_node::mutation::Mutation as Node;
use rookeeper_quorum::mutation::Mutation as Quorum;
use rookeeper_tree::mutation::Mutation as Tree;

use crate::boundary::Boundary;

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
    boundary(Boundary::EventsBeforeTheLeader, COMMON),
    boundary(Boundary::EventLost, COMMON),
    boundary(Boundary::SyncNotOrdered, COMMON),
    boundary(Boundary::LinkSwaps, COMMON),
    boundary(Boundary::LogNotReplayed, COMMON),
    boundary(Boundary::ClientsKeptAcrossHistories, RARE),
    boundary(Boundary::StaleReads, RARE),
    boundary(Boundary::EmptyMemberVotes, RARE),
    quorum(Quorum::VoteOrderReversed, COMMON),
    quorum(Quorum::CommitWithoutQuorum, COMMON),
    quorum(Quorum::HalfIsAQuorum, COMMON),
    quorum(Quorum::EpochNotRaised, COMMON),
    quorum(Quorum::EstablishedWithoutQuorum, COMMON),
    quorum(Quorum::LearnerDoesNotAcknowledge, COMMON),
    quorum(Quorum::LeadsWithoutQuorum, COMMON),
    quorum(Quorum::AheadLearnersIgnored, RARE),
    quorum(Quorum::CounterRunsOver, COMMON),
    node(Node::WindowKeptAcrossTruncation, RARE),
    node(Node::AnyCommitAnswers, COMMON),
    node(Node::ClientAheadAdmitted, RARE),
    node(Node::SessionsExpireEarly, COMMON),
    node(Node::JudgedBeforeApplied, COMMON),
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

/// Makes one mistake in this thread, or none.
#[cfg(feature = "mutations")]
pub fn set(mutation: Option<Mutation>) {
    let mut own = (None, None, None, None);
    match mutation {
        Some(Mutation::Boundary(it)) => own.0 = Some(it),
        Some(Mutation::Node(it)) => own.1 = Some(it),
        Some(Mutation::Quorum(it)) => own.2 = Some(it),
        Some(Mutation::Tree(it)) => own.3 = Some(it),
        None => {}
    }
    crate::boundary::set(own.0);
    rookeeper_node::mutation::set(own.1);
    rookeeper_quorum::mutation::set(own.2);
    rookeeper_tree::mutation::set(own.3);
}
