//! Deliberate mistakes of drivers, disks and links, which are made in this crate.
//!
//! What does not live here: how soon each must be found, and the mistakes of the deciding crates ([`mutation`](crate::mutation)).

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
    /// Events of what is applied without a leader are sent at once.
    EventsBeforeTheLeader,
    /// Some events are not sent.
    EventLost,
    /// Syncs of a learner's clients are answered by the learner.
    SyncNotOrdered,
    /// A link to a client changes the order.
    LinkSwaps,
    /// A member begins with its snapshot alone.
    LogNotReplayed,
    /// Clients that wait for a leader go on with a history that was not carried on.
    ClientsKeptAcrossHistories,
    /// A member shows its state even if it has heard of nobody for long.
    StaleReads,
    /// A member that lost its disk counts like any other.
    EmptyMemberVotes,
}

rookeeper_proto::mutation_switch!(Boundary);
