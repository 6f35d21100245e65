//! Waiting, for messages and for what other servers say.
//!
//! What lives here: who may speak now. What does not: sockets ([`crate::quorum_port`]), what is said.
//!
//! Invariant: nobody is heard while the history is worked on, nor the leader while something that it said is under way: what they
//! say stays in their sockets.

use std::os::fd::AsFd;
use std::time::Duration;

use rookeeper_quorum::progress::LearnerId;

use crate::driver::ensemble::Ensemble;
use crate::driver::history::Work;
use crate::driver::{Driver, Part, Turn};
use crate::inbox::Message;
use crate::quorum_port::inlet::Inlet;
use crate::quorum_port::leader::LeaderLink;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Leader,
    Learner(LearnerId),
}

impl Driver {
    /// Waits for something to do, at most `patience`. What has come is in the messages of the turn.
    pub(in crate::driver) fn wait(&mut self, patience: Duration, turn: &mut Turn) {
        let Part::Ensemble(ensemble) = &mut self.part else {
            return self.inbox.take(patience, &mut turn.messages);
        };
        let ears: Vec<_> = ensemble.ears().collect();
        let waiting = ears.iter().any(|(_, inlet)| inlet.is_waiting());
        let patience = if waiting { Duration::ZERO } else { patience };
        let sockets = ears.iter().map(|(_, inlet)| inlet.socket().as_fd());
        let spoke = self
            .inbox
            .take_or_hear(patience, sockets, &mut turn.messages);
        let speakers: Vec<_> = ears
            .into_iter()
            .zip(spoke)
            .filter(|((_, inlet), spoke)| *spoke || inlet.is_waiting())
            .map(|((peer, _), _)| peer)
            .collect();
        turn.messages
            .extend(speakers.into_iter().filter_map(|peer| ensemble.hear(peer)));
    }
}

impl Ensemble {
    /// Those who may speak.
    fn ears(&self) -> impl Iterator<Item = (Peer, &Inlet)> {
        let idle = matches!(self.work, Work::Idle);
        let wanted = idle && self.member.wants_more();
        let leader = self.leader.as_ref().and_then(LeaderLink::inlet);
        let leader = leader.filter(|_| wanted).map(|it| (Peer::Leader, it));
        let learners = self.learners.inlets().filter(move |_| idle);
        leader
            .into_iter()
            .chain(learners.map(|(id, it)| (Peer::Learner(id), it)))
    }

    fn hear(&mut self, peer: Peer) -> Option<Message> {
        let (tie, inputs) = match peer {
            Peer::Leader => {
                let link = self.leader.as_mut()?;
                (link.tie(), link.hear())
            }
            Peer::Learner(learner) => (self.learners.tie(), self.learners.hear(learner)),
        };
        (!inputs.is_empty()).then_some(Message::Tied(tie, inputs))
    }
}
