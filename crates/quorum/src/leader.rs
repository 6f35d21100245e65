//! The leader: gets an epoch, brings its learners to its history, proposes, and commits what a quorum has on its disks
//! (quorum protocol 3.3, 3.8, 3.10 and 3.11).
//!
//! What lives here: the order of all that. The parts: this file joins learners (discovery, synchronization, registration);
//! [`broadcast`] proposes, counts and commits; [`supervision`] watches over time. What does not: sockets, files, clients, sessions.
//!
//! Invariants:
//! - One leader per epoch: an epoch is offered after a quorum, the leader included, has promised nothing higher, and after the
//!   own promise is durable.
//! - From its registration on, a learner gets each proposal and each commit exactly once, in order; together with what it was sent
//!   before there is no hole. NEWLEADER comes behind all that was there at registration (ZOOKEEPER-3104).
//! - The acknowledgement of a proposal counts only from a learner that has taken over the epoch. Before that, its disk says an
//!   older epoch, and it could be out-voted by somebody who has the epoch and not the transaction.
//! - Nothing is committed before the epoch is established, and then in zxid order.

mod admission;
pub mod broadcast;
pub mod census;
pub mod effect;
pub mod supervision;
pub mod sync_limits;

use std::collections::{BTreeMap, VecDeque};

use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::PROTOCOL_VERSION;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;

use crate::committed::{CommittedWindow, Entry};
use crate::epoch::{self, EpochAcks, EpochProposal};
use crate::membership::Membership;
use crate::mutation::{Mutation, mutated};
use crate::progress::{LearnerId, LearnerKind, Progress, Stage};
use crate::sync_plan::{self, Choice, Opening, SyncPlan};
use crate::verifier::Verifiers;
use crate::vote::History;
use effect::{LeaderEffect, LeaderInput, LearnerFault, Milestone, StepDown};
use supervision::Clock;
use sync_limits::{SyncKind, SyncLimits};

/// Settings of the role.
#[derive(Debug, Clone)]
pub struct LeaderConfig {
    /// This server.
    pub me: ServerId,
    /// The committed configuration.
    pub membership: Membership,
    /// Whether the first established configuration gets a version (ZOOKEEPER-1783).
    pub reconfig_enabled: bool,
    /// A tick, ms.
    pub tick_ms: i64,
    /// Ticks for joining.
    pub init_limit: i64,
    /// Ticks for an answer.
    pub sync_limit: i64,
    /// Sends whole states only.
    pub force_snapshot: bool,
    /// Learners that are synchronized at a time.
    pub sync_limits: SyncLimits,
    /// The counter of an epoch's last transaction: [`epoch::LAST_COUNTER`], or less where epochs shall end soon.
    pub last_counter: u32,
}

/// What a leader is about. Only forward.
#[derive(Debug)]
enum Phase {
    /// Hears what was promised.
    Collecting(EpochProposal),
    /// Makes its own promise durable.
    Promising(i64),
    /// Has offered the epoch.
    Offering(i64, EpochAcks),
    /// Makes the epoch of its history durable; learners are synchronized already.
    TakingOver(i64),
    /// Waits until a quorum has the history.
    Synchronizing(i64),
    /// Leads.
    Broadcasting(i64),
    /// Has given up.
    Down,
}

/// The role.
#[derive(Debug)]
pub struct Leader {
    config: LeaderConfig,
    verifiers: Verifiers,
    own: History,
    phase: Phase,
    clock: Clock,
    learners: BTreeMap<LearnerId, Progress>,
    window: CommittedWindow,
    outstanding: VecDeque<Entry>,
    last_proposed: Zxid,
    own_durable: Zxid,
    /// Syncs that wait, and what was proposed last before each.
    syncs: VecDeque<(Zxid, LearnerId)>,
}

impl Leader {
    /// A leader that was just elected. `epoch` is that of its history and `accepted` what it has promised, as its disk has them;
    /// `window` ends where its log ends, and everything in its log is applied.
    #[must_use]
    pub fn new(
        config: LeaderConfig,
        epoch: i64,
        accepted: i64,
        window: CommittedWindow,
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) -> Self {
        let last = window.last();
        let (phase, bad) = match EpochProposal::new(config.me, accepted) {
            Ok(proposal) => (Phase::Collecting(proposal), None),
            Err(bad) => (Phase::Down, Some(bad)),
        };
        let mut leader = Self {
            verifiers: Verifiers::one(config.membership.verifier()),
            own: History { epoch, last },
            phase,
            clock: Clock::new(now + config.tick_ms * config.init_limit),
            learners: BTreeMap::new(),
            window,
            outstanding: VecDeque::new(),
            last_proposed: last,
            own_durable: last,
            syncs: VecDeque::new(),
            config,
        };
        match bad {
            Some(bad) => leader.step_down(StepDown::Epoch(bad), effects),
            None => leader.try_epoch(now, effects),
        }
        leader
    }

    /// Takes one input; what shall be done is added to `effects`.
    pub fn handle(&mut self, now: i64, input: LeaderInput, effects: &mut Vec<LeaderEffect>) {
        if let Phase::Down = self.phase {
            return;
        }
        match input {
            LeaderInput::Connected(learner) => {
                let deadline = self.clock.tick + self.config.init_limit + self.config.sync_limit;
                self.learners.insert(learner, Progress::new(deadline));
            }
            LeaderInput::Said { from, said } => self.said(from, said, now, effects),
            LeaderInput::Gone(learner) => self.forget(learner),
            LeaderInput::AcceptedEpochWritten(epoch) => self.promised_myself(epoch, now, effects),
            LeaderInput::CurrentEpochWritten(epoch) => self.took_over(epoch, now, effects),
            LeaderInput::Synced(zxid) => self.synced(zxid, effects),
            LeaderInput::LogFound { learner, log } => {
                if let Some(Stage::LookedUp(peer)) = self.stage(learner) {
                    let plan = sync_plan::with_log(peer, &self.window, log);
                    self.register(learner, plan, now, effects);
                }
            }
            LeaderInput::Tick => self.tick(now, effects),
        }
        self.answer_syncs(now, effects);
    }

    /// The epoch, once it is established.
    #[must_use]
    pub const fn established(&self) -> Option<i64> {
        match self.phase {
            Phase::Broadcasting(epoch) => Some(epoch),
            _ => None,
        }
    }

    fn stage(&self, learner: LearnerId) -> Option<Stage> {
        self.learners.get(&learner).map(|progress| progress.stage)
    }

    fn enter(&mut self, learner: LearnerId, stage: Stage) {
        if let Some(progress) = self.learners.get_mut(&learner) {
            progress.stage = stage;
        }
    }

    fn forget(&mut self, learner: LearnerId) {
        self.learners.remove(&learner);
        self.syncs.retain(|(_, waiting)| *waiting != learner);
    }

    fn close(&mut self, learner: LearnerId, why: LearnerFault, effects: &mut Vec<LeaderEffect>) {
        self.forget(learner);
        effects.push(LeaderEffect::Close { learner, why });
    }

    fn step_down(&mut self, why: StepDown, effects: &mut Vec<LeaderEffect>) {
        self.phase = Phase::Down;
        self.learners.clear();
        self.syncs.clear();
        effects.push(LeaderEffect::StepDown(why));
    }

    fn said(
        &mut self,
        from: LearnerId,
        said: FromLearner,
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) {
        let Some(progress) = self.learners.get_mut(&from) else {
            return;
        };
        if progress.stage == Stage::Active {
            progress.deadline = self.clock.tick + self.config.sync_limit;
        }
        match (progress.stage, said) {
            (Stage::Unknown, FromLearner::FollowerInfo { accepted, info }) => {
                self.introduced(from, LearnerKind::Follower, (accepted, info), now, effects);
            }
            (Stage::Unknown, FromLearner::ObserverInfo { accepted, info }) => {
                self.introduced(from, LearnerKind::Observer, (accepted, info), now, effects);
            }
            (Stage::Offered, FromLearner::AckEpoch { last, current }) => {
                let current = current.map(i64::from);
                self.promised(from, current, last, now, effects);
            }
            (Stage::Syncing(_) | Stage::Active, FromLearner::Ack(zxid)) => {
                self.acknowledged(from, zxid, now, effects);
            }
            (Stage::Active, FromLearner::Request(request)) => {
                effects.push(LeaderEffect::Request { from, request });
            }
            (Stage::Active, FromLearner::Ping { touched, .. }) => {
                progress.answered();
                if !touched.is_empty() {
                    effects.push(LeaderEffect::Touched(touched));
                }
            }
            (
                Stage::Active,
                FromLearner::Revalidate {
                    session,
                    timeout_ms,
                },
            ) => {
                effects.push(LeaderEffect::Revalidate {
                    from,
                    session,
                    timeout_ms,
                });
            }
            (Stage::Syncing(_) | Stage::Active, FromLearner::Unknown(_)) => {}
            _ => self.close(from, LearnerFault::OutOfTurn, effects),
        }
    }

    // Discovery.

    fn try_epoch(&mut self, now: i64, effects: &mut Vec<LeaderEffect>) {
        let Phase::Collecting(proposal) = &self.phase else {
            return;
        };
        if let Some(epoch) = proposal.complete(&self.verifiers) {
            self.phase = Phase::Promising(epoch);
            self.clock.phase_ends = now + self.config.tick_ms * self.config.init_limit;
            effects.push(LeaderEffect::WriteAcceptedEpoch(epoch));
        }
    }

    fn promised_myself(&mut self, written: i64, now: i64, effects: &mut Vec<LeaderEffect>) {
        let Phase::Promising(epoch) = self.phase else {
            return;
        };
        if epoch != written {
            return;
        }
        let mut acks = EpochAcks::new(self.own);
        // Cannot fail: nobody is ahead of itself.
        let _ = acks.ack(Some(self.config.me), Some(self.own.epoch), self.own.last);
        self.phase = Phase::Offering(epoch, acks);
        self.offer(effects);
        self.try_take_over(now, effects);
    }

    /// Offers the epoch to all that wait for it, if there is one and it is durable.
    fn offer(&mut self, effects: &mut Vec<LeaderEffect>) {
        let epoch = match &self.phase {
            Phase::Collecting(_) | Phase::Promising(_) | Phase::Down => return,
            Phase::Offering(epoch, _)
            | Phase::TakingOver(epoch)
            | Phase::Synchronizing(epoch)
            | Phase::Broadcasting(epoch) => *epoch,
        };
        for (to, progress) in &mut self.learners {
            if progress.stage == Stage::Waiting {
                progress.stage = Stage::Offered;
                let said = FromLeader::LeaderInfo {
                    epoch: epoch::beginning(epoch),
                    protocol: PROTOCOL_VERSION,
                };
                effects.push(LeaderEffect::Send { to: *to, said });
            }
        }
    }

    fn promised(
        &mut self,
        from: LearnerId,
        current: Option<i64>,
        last: Zxid,
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) {
        let server = self
            .learners
            .get(&from)
            .and_then(|progress| progress.server);
        if let Phase::Offering(_, acks) = &mut self.phase {
            if let Err(ahead) = acks.ack(server, current, last) {
                return self.close(from, LearnerFault::Ahead(ahead), effects);
            }
            self.replace_older(from, server, effects);
            self.enter(from, Stage::Promised(last));
            self.try_take_over(now, effects);
        } else {
            self.replace_older(from, server, effects);
            self.synchronize(from, last, now, effects);
        }
    }

    fn try_take_over(&mut self, now: i64, effects: &mut Vec<LeaderEffect>) {
        let Phase::Offering(epoch, acks) = &self.phase else {
            return;
        };
        if !acks.is_complete(self.config.me, &self.verifiers) {
            return;
        }
        let epoch = *epoch;
        self.phase = Phase::TakingOver(epoch);
        self.clock.phase_ends = now + self.config.tick_ms * self.config.init_limit;
        self.last_proposed = epoch::beginning(epoch);
        if self.config.reconfig_enabled && self.config.membership.version() == 0 {
            let version = epoch::beginning(epoch).0;
            let membership = self.config.membership.clone();
            self.config.membership = membership.with_version(version);
        }
        effects.push(LeaderEffect::WriteCurrentEpoch(epoch));
        let waiting: Vec<_> = self
            .learners
            .iter()
            .filter_map(|(learner, progress)| match progress.stage {
                Stage::Promised(last) => Some((*learner, last)),
                _ => None,
            })
            .collect();
        for (learner, last) in waiting {
            self.synchronize(learner, last, now, effects);
        }
    }

    fn took_over(&mut self, written: i64, now: i64, effects: &mut Vec<LeaderEffect>) {
        if let Phase::TakingOver(epoch) = self.phase
            && epoch == written
        {
            self.phase = Phase::Synchronizing(epoch);
            self.try_establish(now, effects);
        }
    }

    // Synchronization.

    fn synchronize(
        &mut self,
        learner: LearnerId,
        peer: Zxid,
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) {
        match sync_plan::choose(peer, &self.window, self.config.force_snapshot) {
            Choice::Plan(plan) => self.register(learner, plan, now, effects),
            Choice::AskLog => {
                self.enter(learner, Stage::LookedUp(peer));
                effects.push(LeaderEffect::LookUpLog { learner, peer });
            }
        }
    }

    /// Sends what the learner lacks, in one piece with what is under way: nothing can come between.
    fn register(
        &mut self,
        to: LearnerId,
        plan: SyncPlan,
        now: i64,
        effects: &mut Vec<LeaderEffect>,
    ) {
        let sync = SyncKind::of(plan.opening);
        if let Err(why) = self.has_place(to, sync) {
            return self.close(to, why, effects);
        }
        let Some(progress) = self.learners.get_mut(&to) else {
            return;
        };
        progress.registered(now, sync);
        let mut send = |said| effects.push(LeaderEffect::Send { to, said });
        match plan.opening {
            Opening::Diff(zxid) => send(FromLeader::Diff(zxid)),
            Opening::Trunc(zxid) => send(FromLeader::Trunc(zxid)),
            Opening::Snap => {
                let zxid = plan.covered;
                send(FromLeader::Snap(zxid));
                effects.push(LeaderEffect::SendImage { to, zxid });
            }
        }
        if let Some(range) = plan.log {
            effects.push(LeaderEffect::SendLog { to, range });
        }
        let mut send = |said| effects.push(LeaderEffect::Send { to, said });
        for Entry { zxid, txn } in self.window.after(plan.covered).cloned() {
            send(FromLeader::Proposal { zxid, txn });
            send(FromLeader::Commit(zxid));
        }
        if progress.kind == LearnerKind::Follower {
            for Entry { zxid, txn } in self.outstanding.iter().cloned() {
                send(FromLeader::Proposal { zxid, txn });
                progress.proposed(zxid, now);
            }
        }
        let epoch = Zxid::new(self.last_proposed.epoch() as u32, 0);
        let config = Some(self.config.membership.to_string().into());
        send(FromLeader::NewLeader { epoch, config });
    }

    fn try_establish(&mut self, now: i64, effects: &mut Vec<LeaderEffect>) {
        let Phase::Synchronizing(epoch) = self.phase else {
            return;
        };
        let me = self.config.me;
        let active: Vec<_> = self
            .learners
            .values()
            .filter_map(Progress::durable)
            .collect();
        let has = |voter| voter == me || active.iter().any(|(server, _)| *server == voter);
        if !self.verifiers.is_quorum(has) && !mutated(Mutation::EstablishedWithoutQuorum) {
            return;
        }
        self.phase = Phase::Broadcasting(epoch);
        self.window.begin_epoch(epoch::beginning(epoch));
        let membership = self.config.membership.clone();
        effects.push(LeaderEffect::Established { epoch, membership });
        for (to, progress) in &mut self.learners {
            if progress.stage == Stage::Active {
                progress.activate(now);
                progress.begins_to_serve();
                let said = FromLeader::UpToDate;
                effects.push(LeaderEffect::Send { to: *to, said });
            }
        }
    }

    /// What the phase waits for.
    const fn milestone(&self) -> Option<Milestone> {
        match self.phase {
            Phase::Collecting(_) => Some(Milestone::Connected),
            Phase::Promising(_) | Phase::Offering(..) => Some(Milestone::Promised),
            Phase::TakingOver(_) | Phase::Synchronizing(_) => Some(Milestone::TakenOver),
            Phase::Broadcasting(_) | Phase::Down => None,
        }
    }
}
