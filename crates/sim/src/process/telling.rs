//! What servers say to each other, for people who read a trace.

use rookeeper_proto::ballot::Notification;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;

/// A notification of the election, for people.
pub(super) fn vote(ballot: &Notification) -> String {
    let Notification {
        state,
        leader,
        zxid,
        election_epoch,
        peer_epoch,
        ..
    } = ballot;
    format!("{state:?} in round {election_epoch}, for {leader} with {zxid} of epoch {peer_epoch}")
}

/// What a leader says, for people.
pub(super) fn packet(said: &FromLeader) -> String {
    match said {
        FromLeader::Proposal { zxid, .. } => format!("proposal {zxid}"),
        FromLeader::Inform { zxid, .. } => format!("inform {zxid}"),
        FromLeader::NewLeader { epoch, .. } => format!("new leader {epoch}"),
        other => format!("{other:?}"),
    }
}

/// What a learner says, for people.
pub(super) fn word(said: &FromLearner) -> String {
    match said {
        FromLearner::Request(it) => format!("request {} of {}, {}", it.op, it.session, it.cxid),
        FromLearner::Ack(zxid) => format!("ack {zxid}"),
        other => format!("{other:?}"),
    }
}
