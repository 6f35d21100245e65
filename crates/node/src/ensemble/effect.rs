//! What a member of an ensemble hears and what it wants done, besides what concerns its clients.
//!
//! What lives here: closed enums. Effects are performed in order. Where an effect says that it is answered, the answer is an input
//! that comes when the matter is durable, and not before.

use rookeeper_proto::ballot::Notification;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::leader::effect::{LearnerFault, StepDown};
use rookeeper_quorum::learner::effect::Departure;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::sync_plan::{LogAround, LogRange};

use crate::effect::Effect;
use crate::input::Input;

/// One thing that happened.
#[derive(Debug)]
pub enum MemberInput {
    /// What a standalone server would hear too: clients, time, the disk.
    Local(Input),
    /// Another server said whom it votes for.
    Ballot {
        /// Which.
        from: ServerId,
        /// What.
        notification: Notification,
    },
    /// The election connection to a server is up.
    PeerConnected(ServerId),
    /// The election connection to a server broke, or was refused.
    PeerGone(ServerId),
    /// Answers [`MemberEffect::ConnectLeader`]: the connection is up.
    LeaderConnected,
    /// The leader said something.
    FromLeader(FromLeader),
    /// The leader's connection broke, or it could not be reached.
    LeaderGone,
    /// A learner connected.
    LearnerConnected(LearnerId),
    /// A learner said something.
    FromLearner {
        /// Who.
        from: LearnerId,
        /// What.
        said: FromLearner,
    },
    /// A learner's connection broke.
    LearnerGone(LearnerId),
    /// Answers [`MemberEffect::LookUpLog`].
    LogFound {
        /// For whom.
        learner: LearnerId,
        /// What the log says; `None` when it does not reach back so far.
        log: Option<LogAround>,
    },
    /// Answers [`MemberEffect::WriteAcceptedEpoch`].
    AcceptedEpochWritten(i64),
    /// Answers [`MemberEffect::WriteCurrentEpoch`].
    CurrentEpochWritten(i64),
    /// Answers [`MemberEffect::Truncate`]: whether it was done.
    Truncated(bool),
    /// Answers [`MemberEffect::LoadImage`]: whether the state arrived whole. If not, memory has again what the disk has; so it has
    /// after [`MemberEffect::Reload`], which is answered with false.
    ImageLoaded(bool),
    /// Answers [`MemberEffect::SaveImage`].
    ImageSaved(Zxid),
}

impl MemberInput {
    /// True when the member may look at the tree because of this: what is committed has to be applied before.
    #[must_use]
    pub const fn looks_at_tree(&self) -> bool {
        !matches!(
            self,
            Self::FromLeader(
                FromLeader::Proposal { .. } | FromLeader::Commit(_) | FromLeader::Inform { .. }
            ) | Self::FromLearner {
                said: FromLearner::Ack(_),
                ..
            } | Self::Local(Input::Synced(_))
        )
    }

    /// True when this may be handed in while the own history is worked on: it concerns elections of others.
    #[must_use]
    pub const fn concerns_elections(&self) -> bool {
        matches!(
            self,
            Self::Ballot { .. } | Self::PeerConnected(_) | Self::PeerGone(_)
        )
    }

    /// True for an acknowledgement when the next input says all that it says: whoever has a transaction on its disk has those before
    /// it. That of a new leader's history stands for itself; it has no counter.
    #[must_use]
    pub fn is_covered_by(&self, next: &Self) -> bool {
        match (self.acked(), next.acked()) {
            (Some((from, zxid)), Some((again, later))) => from == again && zxid <= later,
            _ => false,
        }
    }

    fn acked(&self) -> Option<(LearnerId, Zxid)> {
        match self {
            Self::FromLearner {
                from,
                said: FromLearner::Ack(zxid),
            } if zxid.counter() != 0 => Some((*from, *zxid)),
            _ => None,
        }
    }
}

/// One thing to do.
#[derive(Debug)]
pub enum MemberEffect {
    /// What a standalone server would want too. [`Effect::Apply`] must be performed before the next input that
    /// [looks at the tree](MemberInput::looks_at_tree).
    Local(Effect),
    /// Tell a server whom this one votes for.
    Ballot {
        /// Whom.
        to: ServerId,
        /// What.
        notification: Notification,
    },
    /// Close all election connections and listen anew.
    RestartElection,
    /// Open the quorum port, and let learners in.
    Lead,
    /// Close the quorum port and the connections of all learners.
    LeadNoLonger(StepDown),
    /// Connect to the quorum port of this server. Answered, or followed by [`MemberInput::LeaderGone`].
    ConnectLeader(ServerId),
    /// Close the connection to the leader.
    FollowNoLonger(Option<Departure>),
    /// Say this to the leader.
    ToLeader(FromLearner),
    /// Say this to a learner.
    ToLearner {
        /// Which.
        to: LearnerId,
        /// What.
        said: FromLeader,
    },
    /// Close a learner's connection, after what was sent.
    CloseLearner {
        /// Whose.
        learner: LearnerId,
        /// For the log.
        why: LearnerFault,
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
    /// Send the whole state behind the SNAP that was just sent.
    SendImage {
        /// To whom.
        to: LearnerId,
        /// Up to where it must reach.
        zxid: Zxid,
    },
    /// Make the promise durable. Answered.
    WriteAcceptedEpoch(i64),
    /// Make the epoch of the history durable. Answered.
    WriteCurrentEpoch(i64),
    /// Forget what is behind this, on the disk and in the tree. Answered.
    Truncate(Zxid),
    /// Replace the tree by the stream that follows the leader's packet. Answered.
    LoadImage(Zxid),
    /// Write the tree as a snapshot, behind which the log goes on. Answered.
    SaveImage(Zxid),
    /// Replace the tree by what the disk has: a state that was loaded has lost its leader before it was saved. Answered by
    /// [`MemberInput::ImageLoaded`].
    Reload,
    /// The tree stands at the beginning of this epoch.
    BeginEpoch(Zxid),
    /// Clients are served from now on.
    Serve,
    /// Clients are served no longer: close their connections.
    ServeNoLonger,
}

impl MemberEffect {
    /// True for what must be performed before the member looks at the tree.
    #[must_use]
    pub const fn changes_tree(&self) -> bool {
        matches!(self, Self::Local(Effect::Apply(_)) | Self::BeginEpoch(_))
    }

    /// True for what must be performed before anything else is handed in.
    #[must_use]
    pub const fn comes_first(&self) -> bool {
        matches!(
            self,
            Self::Truncate(_)
                | Self::LoadImage(_)
                | Self::SaveImage(_)
                | Self::Reload
                | Self::WriteAcceptedEpoch(_)
                | Self::WriteCurrentEpoch(_)
                | Self::SendImage { .. }
                | Self::FollowNoLonger(_)
                | Self::LeadNoLonger(_)
                | Self::BeginEpoch(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(from: u64, zxid: Zxid) -> MemberInput {
        MemberInput::FromLearner {
            from: LearnerId(from),
            said: FromLearner::Ack(zxid),
        }
    }

    #[test]
    fn only_a_later_acknowledgement_of_the_same_learner_covers_one() {
        let (one, two) = (Zxid::new(3, 1), Zxid::new(3, 2));
        assert!(ack(7, one).is_covered_by(&ack(7, two)));
        assert!(!ack(7, two).is_covered_by(&ack(7, one)));
        assert!(!ack(7, one).is_covered_by(&ack(8, two)));
        let history = ack(7, Zxid::new(3, 0));
        assert!(!history.is_covered_by(&ack(7, one)));
        let gone = MemberInput::LearnerGone(LearnerId(7));
        assert!(!ack(7, one).is_covered_by(&gone));
    }
}
