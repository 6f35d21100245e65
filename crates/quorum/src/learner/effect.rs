//! What a learner hears and what it wants done.
//!
//! What lives here: closed enums. What does not: decisions.
//!
//! Effects are performed in order. Where an effect says that it is answered, the answer is an input that comes when the matter is
//! durable, and not before.

use bytes::Bytes;
use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;
use thiserror::Error;

use crate::committed::Entry;
use crate::epoch::BadEpoch;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LearnerInput {
    /// The leader said something.
    Said(FromLeader),
    /// Answers [`LearnerEffect::WriteAcceptedEpoch`].
    AcceptedEpochWritten(i64),
    /// Answers [`LearnerEffect::WriteCurrentEpoch`].
    CurrentEpochWritten(i64),
    /// Answers [`LearnerEffect::Truncate`]: false when nothing was touched, because it could not be done.
    Truncated(bool),
    /// Answers [`LearnerEffect::LoadImage`]: false when the stream was broken or wrong.
    ImageLoaded(bool),
    /// Answers [`LearnerEffect::SaveImage`].
    ImageSaved(Zxid),
    /// Answers [`LearnerEffect::Append`]: everything up to here is on the disk.
    Synced(Zxid),
    /// Some time has passed.
    Tick,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LearnerEffect {
    /// Say this to the leader.
    Send(FromLearner),
    /// Make the promise durable. Answered.
    WriteAcceptedEpoch(i64),
    /// The history is that of this epoch now: make that durable. Answered.
    WriteCurrentEpoch(i64),
    /// Forget what is behind this, in the log, in snapshots and in memory; durable. Answered.
    Truncate(Zxid),
    /// Replace the state in memory by the stream that follows the packet. Files stay as they are. Answered.
    LoadImage(Zxid),
    /// Write the state in memory as a snapshot, durable; then the older files may go, and the log goes on behind it. Answered.
    SaveImage(Zxid),
    /// Put a transaction into the log. Answered.
    Append(Entry),
    /// A transaction is committed: apply it.
    Commit {
        /// Which.
        entry: Entry,
        /// It changes the configuration: who shall lead from now on.
        activate: Option<ServerId>,
    },
    /// A configuration was proposed: keep it as the last one seen.
    SeeConfig(Bytes),
    /// The history is the leader's, and a quorum has it: serve clients.
    Serve {
        /// The epoch.
        epoch: i64,
        /// The configuration that is in force with it.
        config: Option<Bytes>,
    },
    /// Answer with the sessions that were alive, by [`FromLearner::Ping`].
    Ping(Zxid),
    /// The oldest sync that waits is done: everything before it was committed by effects before this one.
    SyncDone,
    /// The leader knows whether a session lives.
    Revalidated {
        /// Which.
        session: SessionId,
        /// True when it lives.
        valid: bool,
    },
    /// Follow no longer: close the connection, make the log durable, and look for a leader. Nothing follows.
    Leave(Departure),
}

/// Why a learner leaves its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Departure {
    /// The leader's epoch is below what was promised.
    #[error("the leader offers epoch {offered}, and {accepted} is promised")]
    OldEpoch {
        /// The leader's.
        offered: i64,
        /// What was promised.
        accepted: i64,
    },
    /// The leader's epoch is none.
    #[error(transparent)]
    Epoch(#[from] BadEpoch),
    /// The leader said something that has no place here.
    #[error("the leader speaks out of turn")]
    OutOfTurn,
    /// A transaction is missing (ZOOKEEPER-4925).
    #[error("{found} does not follow {after}")]
    Hole {
        /// What is there.
        after: Zxid,
        /// What came.
        found: Zxid,
    },
    /// What is to be forgotten cannot be told from the rest.
    #[error("the log cannot be cut")]
    CannotTruncate,
    /// The state was broken on its way. What is in memory is nothing: load it from the disk again (ZOOKEEPER-3642).
    #[error("the leader's state did not arrive")]
    BrokenImage,
    /// Something is committed that was not proposed.
    #[error("{0} is committed and was not proposed next")]
    UnmatchedCommit(Zxid),
    /// Nothing was heard of the leader for too long.
    #[error("the leader is silent")]
    Silent,
}

impl Departure {
    /// True when the leader's whole state would help: come back to the same leader and ask for it.
    #[must_use]
    pub const fn wants_image(self) -> bool {
        matches!(
            self,
            Self::Hole { .. } | Self::CannotTruncate | Self::BrokenImage
        )
    }
}
