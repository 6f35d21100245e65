//! What a member wants done to other servers, and to its clients as a whole.
//!
//! What lives here: performing effects in order, and handing in what answers them. What does not: the history as a whole
//! ([`crate::driver::history`]).

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rookeeper_node::effect::Effect;
use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_proto::ballot::PeerState;
use rookeeper_proto::ids::Zxid;
use rookeeper_quorum::leader::effect::LearnerFault;
use rookeeper_quorum::learner::effect::Departure;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::sync_plan::LogRange;
use tracing::{error, info, warn};

use crate::driver::{Driver, DriverError, Ended, Part, Turn};
use crate::inbox::Message;
use crate::metrics::Summary;
use crate::quorum_port::leader::LeaderLink;

impl Driver {
    /// Performs the member's effects in order, and hands in what answers them, until there is nothing more.
    pub(in crate::driver) fn perform_as_member(&mut self, turn: &mut Turn) -> Ended {
        if self.ensemble().is_none() {
            return Ok(());
        }
        loop {
            let mut effects = turn.batch.take();
            for effect in effects.drain(..) {
                if let Some(answer) = self.perform_for_member(effect, turn)? {
                    turn.answers.push_back(answer);
                }
            }
            // Where no own client waits, those of other servers do.
            if turn.to_apply.iter().all(|it| it.reply_to.is_none()) {
                self.send();
            }
            self.apply(turn);
            turn.batch.performed(effects);
            let Some(answer) = turn.answers.pop_front() else {
                break;
            };
            let (replica, now) = (Arc::clone(&self.replica), self.clock.now());
            if let Some(ensemble) = self.ensemble() {
                let (tree, member) = (replica.tree.read(), &mut ensemble.member);
                // What that brings is performed next in any case.
                let _ = turn.batch.hand_in(member, &tree, now, answer);
            }
        }
        Ok(())
    }

    /// Everything that was said in this batch goes out.
    pub(in crate::driver) fn send(&mut self) {
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        ensemble.learners.flush();
        if let Some(outbox) = ensemble.leader.as_mut().and_then(LeaderLink::outbox) {
            outbox.flush();
        }
    }

    fn perform_for_member(
        &mut self,
        effect: MemberEffect,
        turn: &mut Turn,
    ) -> Result<Option<MemberInput>, DriverError> {
        let effect = match effect {
            MemberEffect::Local(effect) => {
                self.note_proposal(&effect);
                self.perform_one(effect, turn)?;
                return Ok(None);
            }
            MemberEffect::ToLeader(said) => {
                if let Some(ensemble) = self.ensemble() {
                    ensemble.say_to_leader(said);
                }
                return Ok(None);
            }
            MemberEffect::ToLearner { to, said } => {
                if let Some(outbox) = self.ensemble().and_then(|it| it.learners.outbox(to)) {
                    outbox.say(&said.into_packet());
                }
                return Ok(None);
            }
            MemberEffect::WriteAcceptedEpoch(_)
            | MemberEffect::WriteCurrentEpoch(_)
            | MemberEffect::BeginEpoch(_)
            | MemberEffect::Truncate(_)
            | MemberEffect::LoadImage(_)
            | MemberEffect::SaveImage(_)
            | MemberEffect::Reload => return self.perform_on_history(effect, turn),
            other => other,
        };
        match effect {
            MemberEffect::SendLog { to, range } => self.send_log(to, range),
            MemberEffect::SendImage { to, .. } => {
                self.apply(turn);
                return Ok(self.send_image(to));
            }
            MemberEffect::LookUpLog { learner, peer } => self.look_up_log(learner, peer),
            MemberEffect::Serve => {
                self.apply(turn);
                self.serve_again(turn);
                self.note_serving(turn.now.mono);
            }
            MemberEffect::ServeNoLonger => self.serve_no_longer(),
            other => self.perform_to_others(other, turn.now.mono),
        }
        Ok(None)
    }

    /// A leader shows the sizes of what it proposes.
    fn note_proposal(&self, effect: &Effect) {
        if let (Part::Ensemble(ensemble), Effect::Append { record, .. }) = (&self.part, effect)
            && ensemble.leads
        {
            self.metrics.proposals().record(record.len() as u64);
        }
    }

    fn note_serving(&mut self, now: i64) {
        let metrics = Arc::clone(&self.metrics);
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        ensemble.serving_since = Some(Instant::now());
        if let Some(took) = ensemble.diary.serve(now) {
            let summary = match ensemble.member.state() {
                PeerState::Observing => Summary::ObserverSyncTime,
                _ => Summary::FollowerSyncTime,
            };
            metrics.record(summary, took.unsigned_abs());
        }
    }

    fn perform_to_others(&mut self, effect: MemberEffect, now: i64) {
        let (inbox, metrics) = (Arc::clone(&self.inbox), Arc::clone(&self.metrics));
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        match effect {
            MemberEffect::Ballot { to, notification } => {
                if notification.state == PeerState::Looking && ensemble.diary.look(now) {
                    let (me, zxid) = (ensemble.diary.me(), notification.zxid);
                    info!("LOOKING");
                    info!("New election. My id = {me}, proposed zxid={zxid}");
                }
                ensemble.election.send(to, notification);
            }
            MemberEffect::RestartElection => ensemble.election.restart(),
            MemberEffect::Lead => {
                let took = ensemble.diary.find(now);
                info!("LEADING - LEADER ELECTION TOOK - {took} MS");
                metrics.record(Summary::ElectionTime, took.unsigned_abs());
                metrics.proposals().reset();
                ensemble.leads = true;
                ensemble.tie = ensemble.tie.next();
                ensemble.learners.open(ensemble.tie);
            }
            MemberEffect::LeadNoLonger(why) => {
                warn!("leading no longer: {why}");
                ensemble.leads = false;
                ensemble.learners.close();
            }
            MemberEffect::ConnectLeader(leader) => {
                let took = ensemble.diary.find(now);
                if ensemble.member.state() == PeerState::Observing {
                    info!("OBSERVING server {leader}");
                } else {
                    info!("FOLLOWING server {leader} - LEADER ELECTION TOOK - {took} MS");
                    metrics.record(Summary::ElectionTime, took.unsigned_abs());
                }
                ensemble.follow(leader, inbox);
            }
            MemberEffect::FollowNoLonger(why) => {
                log_departure(why);
                ensemble.lose_leader();
            }
            MemberEffect::CloseLearner { learner, why } => {
                match (ensemble.learners.address(learner), why) {
                    // Most often it has lost its connection before this server did.
                    (Some(address), LearnerFault::Replaced(_)) => {
                        info!("closing the connection of the learner {address}: {why}");
                    }
                    (Some(address), why) => {
                        warn!("closing the connection of the learner {address}: {why}");
                    }
                    (None, _) => {}
                }
                ensemble.learners.dismiss(learner);
            }
            // Performed elsewhere.
            _ => {}
        }
    }

    // What learners lack.

    fn send_log(&mut self, to: LearnerId, range: LogRange) {
        let Some(history) = self.database.as_ref().map(|database| database.history()) else {
            return;
        };
        if let Some(outbox) = self.ensemble().and_then(|e| e.learners.outbox(to)) {
            info!("sending the log from {} to {}", range.after, range.through);
            outbox.send_log(history, range);
        }
    }

    /// The state as it is now. A learner that cannot get it comes again.
    fn send_image(&mut self, to: LearnerId) -> Option<MemberInput> {
        let replica = Arc::clone(&self.replica);
        let ensemble = self.ensemble()?;
        let outbox = ensemble.learners.outbox(to)?;
        match replica.tree.write().open_image() {
            Ok(image) => outbox.send_image(image, Arc::clone(&replica)),
            Err(busy) => {
                warn!("a learner has to come again: {busy}");
                outbox.cut();
                return Some(MemberInput::LearnerGone(to));
            }
        }
        None
    }

    /// Reading a log takes its time.
    fn look_up_log(&self, learner: LearnerId, peer: Zxid) {
        let history = self.database.as_ref().map(|database| database.history());
        let inbox = Arc::clone(&self.inbox);
        let look_up = move || {
            let found = history.map(|history| history.around(peer)).transpose();
            let log = found.unwrap_or_else(|error| {
                warn!(%error, "the log cannot be used for a learner that has {peer}");
                None
            });
            let log = log.flatten();
            inbox.send(Message::Member(MemberInput::LogFound { learner, log }));
        };
        let started = thread::Builder::new()
            .name("rookeeper-look-up".to_owned())
            .spawn(look_up);
        if let Err(error) = started {
            warn!(%error, "no thread to look up the log");
            let log = None;
            self.inbox
                .send(Message::Member(MemberInput::LogFound { learner, log }));
        }
    }
}

fn log_departure(why: Option<Departure>) {
    match why {
        Some(why) => warn!("following no longer: {why}"),
        None => error!("following no longer: a transaction of the leader cannot be understood"),
    }
}
