//! What a leader hears and what it wants done.
//!
//! What lives here: closed enums. What does not: decisions.
//!
//! Effects are performed in order, and everything to one learner leaves in that order. Where an effect says that it is answered, the
//! answer is an input that comes when the matter is durable, and not before.

use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::{ForwardedRequest, FromLearner};
use thiserror::Error;

use super::sync_limits::SyncKind;
use crate::committed::Entry;
use crate::epoch::{BadEpoch, BehindLearner, Unbelievable};
use crate::membership::Membership;
use crate::progress::LearnerId;
use crate::sync_plan::{LogAround, LogRange};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderInput {
    /// Somebody connected to the quorum port.
    Connected(LearnerId),
    /// A learner said something.
    Said {
        /// Who.
        from: LearnerId,
        /// What.
        said: FromLearner,
    },
    /// A learner's connection is closed.
    Gone(LearnerId),
    /// Answers [`LeaderEffect::WriteAcceptedEpoch`].
    AcceptedEpochWritten(i64),
    /// Answers [`LeaderEffect::WriteCurrentEpoch`].
    CurrentEpochWritten(i64),
    /// Answers [`LeaderEffect::Append`]: everything up to here is on the own disk.
    Synced(Zxid),
    /// Answers [`LeaderEffect::LookUpLog`]; `None` when the log does not reach back so far, or must not be used.
    LogFound {
        /// For whom.
        learner: LearnerId,
        /// What it says.
        log: Option<LogAround>,
    },
    /// Half a tick has passed.
    Tick,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderEffect {
    /// Make the promise durable. Answered.
    WriteAcceptedEpoch(i64),
    /// The history is that of this epoch now: make that durable. Answered.
    WriteCurrentEpoch(i64),
    /// Say this.
    Send {
        /// To whom.
        to: LearnerId,
        /// What.
        said: FromLeader,
    },
    /// Find a position in the own log. Answered.
    LookUpLog {
        /// For whom.
        learner: LearnerId,
        /// Where its log ends.
        peer: Zxid,
    },
    /// Send records of the own log, each as a proposal and its commit.
    SendLog {
        /// To whom.
        to: LearnerId,
        /// Which.
        range: LogRange,
    },
    /// Send the whole state behind the SNAP that was just sent. It contains exactly what was committed so far, or more.
    SendImage {
        /// To whom.
        to: LearnerId,
        /// Up to where it must reach.
        zxid: Zxid,
    },
    /// Close a learner's connection, after what was sent.
    Close {
        /// Whose.
        learner: LearnerId,
        /// For the log.
        why: LearnerFault,
    },
    /// Put a transaction into the own log. Answered.
    Append(Entry),
    /// The epoch is established: serve, and propose.
    Established {
        /// Which.
        epoch: i64,
        /// The configuration that is in force with it.
        membership: Membership,
    },
    /// A transaction is committed: apply it.
    Commit(Entry),
    /// A learner's client wants this. A sync is answered by [`super::Leader::sync`], in its turn.
    Request {
        /// From whom.
        from: LearnerId,
        /// What.
        request: ForwardedRequest,
    },
    /// These sessions of a learner were alive.
    Touched(Vec<(SessionId, i32)>),
    /// Is the session alive? Then it belongs to the learner. Say [`FromLeader::Revalidated`].
    Revalidate {
        /// Who asks.
        from: LearnerId,
        /// Which.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// Lead no longer: close all connections, make the own log durable, and look for a leader. Nothing follows.
    StepDown(StepDown),
}

/// Why a leader closes the connection of a learner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LearnerFault {
    /// It said something before it was its turn.
    #[error("it speaks out of turn")]
    OutOfTurn,
    /// It says that it is this server.
    #[error("it has the id of this server")]
    Impostor,
    /// It is of a release that does not know epochs.
    #[error("it speaks protocol {0}")]
    TooOld(i32),
    /// Its epoch is none.
    #[error(transparent)]
    Epoch(#[from] BadEpoch),
    /// Its promise cannot be true.
    #[error(transparent)]
    Unbelievable(#[from] Unbelievable),
    /// It has a later configuration: this leader is not up to date.
    #[error("it has configuration {theirs:x}, later than {ours:x}")]
    NewerConfig {
        /// Its version.
        theirs: i64,
        /// The leader's.
        ours: i64,
    },
    /// It has more than the leader.
    #[error(transparent)]
    Ahead(#[from] BehindLearner),
    /// The same server came again.
    #[error("server {0} has connected again")]
    Replaced(ServerId),
    /// It has to wait for its turn.
    #[error(
        "it has to come again: as many learners as may be are sent {sync} already ({under_way})"
    )]
    TooManySyncs {
        /// How many are.
        under_way: usize,
        /// With what.
        sync: SyncKind,
    },
    /// Nothing was heard of it for too long.
    #[error("it is silent")]
    Silent,
    /// It did not acknowledge a proposal in time.
    #[error("it has not acknowledged for {0} ms")]
    Slow(i64),
}

/// Why a leader gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StepDown {
    /// No quorum came within the time for it.
    #[error("no quorum has {0} in time")]
    NoQuorum(Milestone),
    /// The quorum is lost.
    #[error("no quorum is connected any more")]
    QuorumLost,
    /// A voter has promised a later epoch, and so cannot follow.
    #[error("server {server} has promised epoch {accepted} and cannot follow in an earlier one")]
    Outpromised {
        /// Which.
        server: ServerId,
        /// Its promise.
        accepted: i64,
    },
    /// There is no zxid left in the epoch (ZOOKEEPER-1277).
    #[error("the epoch has no zxid left")]
    CounterExhausted,
    /// No epoch is left.
    #[error(transparent)]
    Epoch(#[from] BadEpoch),
}

/// What a new leader waits for, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// That a quorum connects.
    Connected,
    /// That a quorum promises the epoch.
    Promised,
    /// That a quorum takes over the history.
    TakenOver,
}

impl std::fmt::Display for Milestone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Promised => "promised the epoch",
            Self::TakenOver => "taken over the history",
        })
    }
}
