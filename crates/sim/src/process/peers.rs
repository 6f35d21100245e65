//! The connections of a process to other servers: what comes by them, and reaching a leader.

use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::progress::LearnerId;

use super::telling::{packet, vote, word};
use super::{CONNECT_PAUSE, Death, Process};
use crate::agenda::Event;
use crate::network::{Cargo, End, LinkId, Purpose};
use crate::scene::Scene;

impl Process {
    /// Something arrived over a link.
    pub(crate) fn arrive(
        &mut self,
        link: LinkId,
        purpose: Purpose,
        other: End,
        cargo: Cargo,
        scene: &mut Scene,
    ) -> Result<(), Death> {
        match (purpose, other) {
            (Purpose::Election, End::Server(peer)) => {
                self.hear_peer(link, peer.server, cargo, scene);
            }
            (Purpose::Quorum, _) => {
                if self.learners.contains_key(&LearnerId(link)) {
                    self.hear_learner(LearnerId(link), cargo, scene);
                } else if self.leader == Some(link) {
                    self.hear_leader(cargo, scene)?;
                }
            }
            (Purpose::Session, _) => self.hear_guest(link, cargo, scene),
            (Purpose::Election, End::Client(_)) => {}
        }
        Ok(())
    }

    fn hear_peer(&mut self, link: LinkId, peer: ServerId, cargo: Cargo, scene: &mut Scene) {
        match cargo {
            // Of two connections the newer one counts, whichever is heard of first.
            Cargo::Hello if self.peers.get(&peer).is_some_and(|newer| *newer > link) => {}
            Cargo::Hello => {
                self.peers.insert(peer, link);
                self.put(MemberInput::PeerConnected(peer), scene);
                if let Some(ballot) = self.ballots.get(&peer).cloned() {
                    scene.send(link, self.end(), Cargo::Ballot(ballot));
                }
            }
            Cargo::Ballot(notification) if self.peers.get(&peer) == Some(&link) => {
                let (from, server) = (peer, self.who.server);
                scene.tell(|| format!("server {server} hears {from}: {}", vote(&notification)));
                self.put(MemberInput::Ballot { from, notification }, scene);
            }
            Cargo::Closed if self.peers.get(&peer) == Some(&link) => {
                self.peers.remove(&peer);
                self.put(MemberInput::PeerGone(peer), scene);
            }
            _ => {}
        }
    }

    /// A server refuses connections: nobody is there.
    pub(crate) fn refused_by(&mut self, peer: ServerId, scene: &mut Scene) {
        self.put(MemberInput::PeerGone(peer), scene);
    }

    /// True when there is an election connection to a server.
    pub(crate) fn has_peer(&self, peer: ServerId) -> bool {
        self.peers.contains_key(&peer)
    }

    fn hear_learner(&mut self, from: LearnerId, cargo: Cargo, scene: &mut Scene) {
        match cargo {
            Cargo::Hello => self.put(MemberInput::LearnerConnected(from), scene),
            Cargo::ToLeader(said) => {
                let server = self.who.server;
                scene.tell(|| format!("server {server} hears learner {}: {}", from.0, word(&said)));
                self.put(MemberInput::FromLearner { from, said }, scene);
            }
            Cargo::Closed => {
                self.learners.remove(&from);
                self.put(MemberInput::LearnerGone(from), scene);
            }
            _ => {}
        }
    }

    fn hear_leader(&mut self, cargo: Cargo, scene: &mut Scene) -> Result<(), Death> {
        match cargo {
            Cargo::Hello => self.put(MemberInput::LeaderConnected, scene),
            Cargo::ToLearner(said) => {
                let server = self.who.server;
                scene.tell(|| format!("server {server} hears its leader: {}", packet(&said)));
                self.put(MemberInput::FromLeader(said), scene);
            }
            Cargo::Image(image) => {
                self.images.push_back(image);
                if let Some(zxid) = self.wants_image.take() {
                    self.load_image(zxid, scene)?;
                }
            }
            Cargo::Closed => {
                self.forget_leader();
                self.put(MemberInput::LeaderGone, scene);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn forget_leader(&mut self) {
        self.leader = None;
        self.images.clear();
        self.wants_image = None;
    }

    // Towards the leader.

    /// Whom this process wants to reach now, if that attempt is still the one.
    pub(crate) fn wants_leader(&self, attempt: u64) -> Option<ServerId> {
        let joining = self.joining.filter(|it| it.attempt == attempt)?;
        Some(joining.leader)
    }

    /// The leader was reached.
    pub(crate) fn reached(&mut self, link: LinkId) {
        self.joining = None;
        self.leader = Some(link);
    }

    /// A learner reached this leader.
    pub(crate) fn let_in(&mut self, link: LinkId) {
        self.learners.insert(LearnerId(link), link);
    }

    /// The leader was not reached: tries again, or gives up.
    pub(crate) fn not_reached(&mut self, scene: &mut Scene) {
        let Some(joining) = self.joining else { return };
        if scene.now > joining.until {
            self.joining = None;
            self.put(MemberInput::LeaderGone, scene);
        } else {
            let who = self.who;
            let attempt = joining.attempt;
            scene.after(CONNECT_PAUSE, Event::Reach { who, attempt });
        }
    }
}
