//! Followers and observers: how one takes over a leader's history, and then follows it (quorum protocol 3.9, 3.11).
//!
//! What lives here: the learner's side of discovery and broadcast; [`synchronization`] lies between them. What does not: sockets,
//! files, clients, the tree.
//!
//! Invariants:
//! - On NEWLEADER, in this order and each step durable before the next: the history, `currentEpoch`, the acknowledgement
//!   (ZOOKEEPER-3911, 4643, 4646, 4785).
//! - No proposal is acknowledged before NEWLEADER (ZOOKEEPER-4685), and none before it is on the disk.
//! - What is not committed at NEWLEADER stays pending until UPTODATE, and is not forgotten (ZOOKEEPER-4394).
//! - Nothing is committed that was not logged, or that is not next; a hole is never accepted (ZOOKEEPER-4925).
//! - Clients are served after UPTODATE, and then everything committed in the synchronization is applied (ZOOKEEPER-3023).

pub mod effect;
pub mod synchronization;

use std::collections::VecDeque;

use bytes::Bytes;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::PROTOCOL_VERSION;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::{FromLearner, LearnerInfo};

use crate::committed::Entry;
use crate::epoch::{self, Answer};
use crate::membership::Role;
use crate::vote::History;
use effect::{Departure, LearnerEffect, LearnerInput};

/// Settings of the role.
#[derive(Debug, Clone, Copy)]
pub struct LearnerConfig {
    /// This server.
    pub me: ServerId,
    /// With or without a vote.
    pub role: Role,
    /// The version of the committed configuration.
    pub config_version: i64,
    /// A tick, ms.
    pub tick_ms: i64,
    /// Ticks for joining.
    pub init_limit: i64,
    /// Ticks without a word of the leader.
    pub sync_limit: i64,
    /// Asks for the leader's whole state, after a [`Departure`] that wants it (quorum protocol 3.9.1). Only a leader whose
    /// epoch was promised already is asked: a new one must hear what the disk has, or it could be elected to less.
    pub ask_for_image: bool,
}

/// What a learner is about. Only forward.
#[derive(Debug)]
enum Phase {
    /// Has said who it is.
    Introduced,
    /// Makes the promise of an epoch durable.
    Promising(i64),
    /// Has said where its log ends.
    Promised(i64),
    /// Cuts its log, or loads a state.
    Moving(i64, Basis),
    /// Gets what it lacks.
    Receiving(i64, Basis),
    /// Makes the history durable.
    Settling(i64, Option<Bytes>, Basis),
    /// Makes the epoch of the history durable.
    TakingOver(i64, Option<Bytes>),
    /// Has acknowledged, and waits for the quorum.
    Waiting(i64, Option<Bytes>),
    /// Follows.
    Following(i64),
    /// Has left.
    Left,
}

/// Where what is committed in the synchronization goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basis {
    /// Into the log, which goes on from what is there.
    Log,
    /// Into memory alone: a snapshot of it is written when all is there.
    Image,
}

/// The role.
#[derive(Debug)]
pub struct Learner {
    config: LearnerConfig,
    history: History,
    accepted: i64,
    phase: Phase,
    /// The last transaction that is known: in the state, or pending.
    last: Zxid,
    /// The last one that is committed.
    committed: Zxid,
    /// Proposed, and not committed.
    pending: VecDeque<Entry>,
    /// Commits between NEWLEADER and UPTODATE.
    recorded: VecDeque<(Zxid, Option<ServerId>)>,
    appended: Zxid,
    synced: Zxid,
    /// Appended, and to be acknowledged one by one.
    to_ack: VecDeque<Zxid>,
    /// Has said that its log is empty, to get the whole state: nothing else will do then.
    asked_for_image: bool,
    /// What came while something was under way.
    held: VecDeque<FromLeader>,
    heard_at: i64,
}

impl Learner {
    /// A learner that has just connected to its leader. `history` and `accepted` are what its disk has; everything in its log is
    /// applied.
    #[must_use]
    pub fn new(
        config: LearnerConfig,
        history: History,
        accepted: i64,
        now: i64,
        effects: &mut Vec<LearnerEffect>,
    ) -> Self {
        let info = LearnerInfo {
            server: Some(config.me),
            protocol: PROTOCOL_VERSION,
            config_version: config.config_version,
        };
        let promised = epoch::beginning(accepted);
        effects.push(LearnerEffect::Send(match config.role {
            Role::Participant => FromLearner::FollowerInfo {
                accepted: promised,
                info,
            },
            Role::Observer => FromLearner::ObserverInfo {
                accepted: promised,
                info,
            },
        }));
        Self {
            config,
            history,
            accepted,
            phase: Phase::Introduced,
            last: history.last,
            committed: history.last,
            pending: VecDeque::new(),
            recorded: VecDeque::new(),
            appended: history.last,
            synced: history.last,
            to_ack: VecDeque::new(),
            asked_for_image: false,
            held: VecDeque::new(),
            heard_at: now,
        }
    }

    /// False while something is under way: then nothing more should be read from the leader. What was read already may be given.
    #[must_use]
    pub const fn wants_more(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Promising(_)
                | Phase::Moving(..)
                | Phase::Settling(..)
                | Phase::TakingOver(..)
                | Phase::Left
        )
    }

    /// Until when what is here is not too old to be shown, ms: the leader was heard of lately enough.
    #[must_use]
    pub const fn fresh_until(&self) -> i64 {
        let limit = self.config.tick_ms * self.config.sync_limit;
        self.heard_at.saturating_add(limit)
    }

    /// The epoch, once clients are served.
    #[must_use]
    pub const fn serving(&self) -> Option<i64> {
        match self.phase {
            Phase::Following(epoch) => Some(epoch),
            _ => None,
        }
    }

    /// Takes one input; what shall be done is added to `effects`.
    pub fn handle(&mut self, now: i64, input: LearnerInput, effects: &mut Vec<LearnerEffect>) {
        match input {
            LearnerInput::Said(said) => self.hear(now, said, effects),
            LearnerInput::AcceptedEpochWritten(epoch) => self.promised(epoch, effects),
            // Nobody listened to the leader meanwhile, and a state that arrived was heard all the time.
            LearnerInput::Truncated(done) => {
                self.heard_at = now;
                self.moved(done, Departure::CannotTruncate, effects);
            }
            LearnerInput::ImageLoaded(done) => {
                self.heard_at = now;
                self.moved(done, Departure::BrokenImage, effects);
            }
            LearnerInput::ImageSaved(zxid) => {
                self.heard_at = now;
                self.image_saved(zxid, effects);
            }
            LearnerInput::Synced(zxid) => self.synced(zxid, effects),
            LearnerInput::CurrentEpochWritten(epoch) => self.took_over(epoch, effects),
            LearnerInput::Tick => self.tick(now, effects),
        }
        while self.wants_more() {
            let Some(said) = self.held.pop_front() else {
                break;
            };
            self.said(said, effects);
        }
    }

    fn hear(&mut self, now: i64, said: FromLeader, effects: &mut Vec<LearnerEffect>) {
        // What comes after too long a silence was sent while this process stood still, and its leader has given it up since.
        if let Phase::Following(_) = self.phase {
            self.tick(now, effects);
        }
        if !matches!(self.phase, Phase::Left) {
            self.heard_at = now;
            self.held.push_back(said);
        }
    }

    fn leave(&mut self, why: Departure, effects: &mut Vec<LearnerEffect>) {
        if let Phase::Left = self.phase {
            return;
        }
        self.phase = Phase::Left;
        self.held.clear();
        effects.push(LearnerEffect::Leave(why));
    }

    fn tick(&mut self, now: i64, effects: &mut Vec<LearnerEffect>) {
        let ticks = match self.phase {
            Phase::Waiting(..) | Phase::Following(_) => self.config.sync_limit,
            Phase::Left => return,
            _ => self.config.init_limit,
        };
        if now - self.heard_at > ticks * self.config.tick_ms {
            self.leave(Departure::Silent, effects);
        }
    }

    fn said(&mut self, said: FromLeader, effects: &mut Vec<LearnerEffect>) {
        match &self.phase {
            Phase::Introduced => match said {
                FromLeader::LeaderInfo { epoch, .. } => self.offered(epoch.epoch(), effects),
                _ => self.leave(Departure::OutOfTurn, effects),
            },
            Phase::Promised(epoch) => {
                let epoch = *epoch;
                self.opened(epoch, &said, effects);
            }
            Phase::Receiving(epoch, basis) => {
                let (epoch, basis) = (*epoch, *basis);
                self.received(epoch, basis, said, effects);
            }
            Phase::Waiting(..) => self.waited(said, effects),
            Phase::Following(_) => self.followed(said, effects),
            Phase::Promising(_)
            | Phase::Moving(..)
            | Phase::Settling(..)
            | Phase::TakingOver(..)
            | Phase::Left => {}
        }
    }

    // Discovery.

    fn offered(&mut self, offered: i64, effects: &mut Vec<LearnerEffect>) {
        match epoch::answer(self.accepted, offered) {
            Ok(Answer::Promise(epoch)) => {
                self.phase = Phase::Promising(epoch);
                effects.push(LearnerEffect::WriteAcceptedEpoch(epoch));
            }
            Ok(Answer::Promised) => {
                self.phase = Phase::Promised(offered);
                self.asked_for_image = self.config.ask_for_image;
                let last = match self.config.ask_for_image {
                    true => Zxid::ZERO,
                    false => self.history.last,
                };
                let current = None;
                effects.push(LearnerEffect::Send(FromLearner::AckEpoch { last, current }));
            }
            Ok(Answer::Refuse) => {
                let accepted = self.accepted;
                self.leave(Departure::OldEpoch { offered, accepted }, effects);
            }
            Err(bad) => self.leave(Departure::Epoch(bad), effects),
        }
    }

    fn promised(&mut self, written: i64, effects: &mut Vec<LearnerEffect>) {
        if !matches!(self.phase, Phase::Promising(epoch) if epoch == written) {
            return;
        }
        self.accepted = written;
        self.phase = Phase::Promised(written);
        effects.push(LearnerEffect::Send(FromLearner::AckEpoch {
            last: self.history.last,
            current: i32::try_from(self.history.epoch).ok(),
        }));
    }

    // Broadcast.

    fn followed(&mut self, said: FromLeader, effects: &mut Vec<LearnerEffect>) {
        match said {
            FromLeader::Ping(zxid) => effects.push(LearnerEffect::Ping(zxid)),
            FromLeader::Sync => effects.push(LearnerEffect::SyncDone),
            FromLeader::Revalidated { session, valid } => {
                effects.push(LearnerEffect::Revalidated { session, valid });
            }
            // An observer is told what is committed, and nothing before.
            FromLeader::Proposal { .. }
            | FromLeader::Commit(_)
            | FromLeader::CommitAndActivate { .. }
                if self.config.role == Role::Observer => {}
            other => {
                let known = self.last;
                let committed = self.take_in(other, effects);
                if let Some(entry) = self.pending.back()
                    && self.last > known
                {
                    Self::append(
                        &self.config,
                        &mut self.appended,
                        &mut self.to_ack,
                        entry,
                        effects,
                    );
                }
                if let Some((zxid, activate)) = committed
                    && let Some(entry) = self.next_committed(zxid, effects)
                {
                    effects.push(LearnerEffect::Commit { entry, activate });
                }
            }
        }
    }
}
