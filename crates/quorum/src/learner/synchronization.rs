//! How a learner takes over the leader's history, from the first packet after discovery to UPTODATE
//! (quorum protocol 3.9).
//!
//! What lives here: which transaction may come next, and what is made durable in which order. What does not: cutting a log, loading
//! a state.
//!
//! Invariants: those of the role, above all the order on NEWLEADER: history, epoch, acknowledgement.

use std::collections::VecDeque;

use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;

use super::effect::{Departure, LearnerEffect};
use super::{Basis, Learner, LearnerConfig, Phase};
use crate::committed::Entry;
use crate::epoch;
use crate::membership::Role;
use crate::mutation::{Mutation, mutated};

impl Learner {
    pub(super) fn opened(
        &mut self,
        epoch: i64,
        said: &FromLeader,
        effects: &mut Vec<LearnerEffect>,
    ) {
        match said {
            FromLeader::Diff(_) if !self.asked_for_image => {
                self.phase = Phase::Receiving(epoch, Basis::Log)
            }
            FromLeader::Trunc(zxid) if !self.asked_for_image => {
                self.begin_behind(*zxid);
                self.phase = Phase::Moving(epoch, Basis::Log);
                effects.push(LearnerEffect::Truncate(*zxid));
            }
            FromLeader::Snap(zxid) => {
                self.begin_behind(*zxid);
                self.phase = Phase::Moving(epoch, Basis::Image);
                effects.push(LearnerEffect::LoadImage(*zxid));
            }
            _ => self.leave(Departure::OutOfTurn, effects),
        }
    }

    fn begin_behind(&mut self, zxid: Zxid) {
        self.last = zxid;
        self.committed = zxid;
        self.appended = zxid;
        self.synced = zxid;
    }

    pub(super) fn moved(
        &mut self,
        done: bool,
        otherwise: Departure,
        effects: &mut Vec<LearnerEffect>,
    ) {
        match self.phase {
            Phase::Moving(epoch, basis) if done => self.phase = Phase::Receiving(epoch, basis),
            Phase::Moving(..) => self.leave(otherwise, effects),
            _ => {}
        }
    }

    pub(super) fn received(
        &mut self,
        epoch: i64,
        basis: Basis,
        said: FromLeader,
        effects: &mut Vec<LearnerEffect>,
    ) {
        match said {
            FromLeader::NewLeader { epoch: of, config } => {
                if of != epoch::beginning(epoch) {
                    return self.leave(Departure::OutOfTurn, effects);
                }
                // A byte at most is what old releases send.
                let config = config.filter(|text| text.len() > 1);
                effects.extend(config.clone().map(LearnerEffect::SeeConfig));
                self.phase = Phase::Settling(epoch, config, basis);
                if basis == Basis::Image {
                    effects.push(LearnerEffect::SaveImage(self.committed));
                }
                self.settle(effects);
            }
            other => {
                if let Some((zxid, activate)) = self.take_in(other, effects) {
                    self.commit_synchronizing(zxid, basis, activate, effects);
                }
            }
        }
    }

    /// Keeps a proposal; gives what is committed.
    pub(super) fn take_in(
        &mut self,
        said: FromLeader,
        effects: &mut Vec<LearnerEffect>,
    ) -> Option<(Zxid, Option<ServerId>)> {
        match said {
            FromLeader::Proposal { zxid, txn } => {
                self.expect(Entry { zxid, txn }, effects);
                None
            }
            FromLeader::Commit(zxid) => Some((zxid, None)),
            FromLeader::CommitAndActivate { zxid, leader } => Some((zxid, Some(leader))),
            FromLeader::Inform { zxid, txn } => self
                .expect(Entry { zxid, txn }, effects)
                .then_some((zxid, None)),
            FromLeader::InformAndActivate { zxid, leader, txn } => {
                let is_next = self.expect(Entry { zxid, txn }, effects);
                is_next.then_some((zxid, Some(leader)))
            }
            _ => None,
        }
    }

    /// Adds a transaction to those that are pending, if it is the next; one that is known is dropped, and a hole ends it all.
    fn expect(&mut self, entry: Entry, effects: &mut Vec<LearnerEffect>) -> bool {
        let (after, found) = (self.last, entry.zxid);
        if found <= after {
            return false;
        }
        if !found.follows(after) || found.epoch() > self.accepted {
            self.leave(Departure::Hole { after, found }, effects);
            return false;
        }
        self.last = found;
        self.pending.push_back(entry);
        true
    }

    fn commit_synchronizing(
        &mut self,
        zxid: Zxid,
        basis: Basis,
        activate: Option<ServerId>,
        effects: &mut Vec<LearnerEffect>,
    ) {
        let Some(entry) = self.next_committed(zxid, effects) else {
            return;
        };
        if basis == Basis::Log {
            self.appended = zxid;
            effects.push(LearnerEffect::Append(entry.clone()));
        }
        effects.push(LearnerEffect::Commit { entry, activate });
    }

    /// The pending transaction that a commit is about. A commit of what is committed already says nothing new.
    pub(super) fn next_committed(
        &mut self,
        zxid: Zxid,
        effects: &mut Vec<LearnerEffect>,
    ) -> Option<Entry> {
        if zxid <= self.committed {
            return None;
        }
        let entry = self.pending.pop_front_if(|entry| entry.zxid == zxid);
        match entry {
            Some(_) => self.committed = zxid,
            None => self.leave(Departure::UnmatchedCommit(zxid), effects),
        }
        entry
    }

    pub(super) fn synced(&mut self, zxid: Zxid, effects: &mut Vec<LearnerEffect>) {
        self.synced = self.synced.max(zxid);
        if let Phase::Following(_) = self.phase {
            if mutated(Mutation::LearnerDoesNotAcknowledge) {
                return;
            }
            while let Some(zxid) = self.to_ack.pop_front_if(|acked| *acked <= zxid) {
                effects.push(LearnerEffect::Send(FromLearner::Ack(zxid)));
            }
        }
        self.settle(effects);
    }

    /// The snapshot is on the disk, and so is all that was received: the log goes on behind it.
    pub(super) fn image_saved(&mut self, zxid: Zxid, effects: &mut Vec<LearnerEffect>) {
        if let Phase::Settling(_, _, basis) = &mut self.phase
            && zxid >= self.committed
        {
            *basis = Basis::Log;
            self.appended = zxid;
            self.synced(zxid, effects);
        }
    }

    /// The history is durable: the epoch of it is next.
    fn settle(&mut self, effects: &mut Vec<LearnerEffect>) {
        if let Phase::Settling(epoch, config, Basis::Log) = &mut self.phase
            && self.synced >= self.appended
        {
            let (epoch, config) = (*epoch, config.take());
            self.phase = Phase::TakingOver(epoch, config);
            effects.push(LearnerEffect::WriteCurrentEpoch(epoch));
        }
    }

    pub(super) fn took_over(&mut self, written: i64, effects: &mut Vec<LearnerEffect>) {
        if let Phase::TakingOver(epoch, config) = &mut self.phase
            && *epoch == written
        {
            self.phase = Phase::Waiting(written, config.take());
            let ack = FromLearner::Ack(epoch::beginning(written));
            effects.push(LearnerEffect::Send(ack));
        }
    }

    pub(super) fn waited(&mut self, said: FromLeader, effects: &mut Vec<LearnerEffect>) {
        if said == FromLeader::UpToDate {
            return self.serve(effects);
        }
        if let Some((zxid, activate)) = self.take_in(said, effects) {
            if zxid > self.last {
                return self.leave(Departure::UnmatchedCommit(zxid), effects);
            }
            self.recorded.push_back((zxid, activate));
        }
    }

    fn serve(&mut self, effects: &mut Vec<LearnerEffect>) {
        let Phase::Waiting(epoch, config) = &mut self.phase else {
            return;
        };
        let (epoch, config) = (*epoch, config.take());
        self.phase = Phase::Following(epoch);
        effects.push(LearnerEffect::Serve { epoch, config });
        let ack = FromLearner::Ack(epoch::beginning(epoch));
        effects.push(LearnerEffect::Send(ack));
        for entry in &self.pending {
            Self::append(
                &self.config,
                &mut self.appended,
                &mut self.to_ack,
                entry,
                effects,
            );
        }
        while let (Phase::Following(_), Some((zxid, activate))) =
            (&self.phase, self.recorded.pop_front())
        {
            if let Some(entry) = self.next_committed(zxid, effects) {
                effects.push(LearnerEffect::Commit { entry, activate });
            }
        }
    }

    pub(super) fn append(
        config: &LearnerConfig,
        appended: &mut Zxid,
        to_ack: &mut VecDeque<Zxid>,
        entry: &Entry,
        effects: &mut Vec<LearnerEffect>,
    ) {
        *appended = entry.zxid;
        if config.role == Role::Participant {
            to_ack.push_back(entry.zxid);
        }
        effects.push(LearnerEffect::Append(entry.clone()));
    }
}
