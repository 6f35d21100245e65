//! The driver of a member of an ensemble: what the member wants done to other servers, to its epochs and to its history.
//!
//! What lives here: performing those effects, and which message reaches the member when. What does not: decisions; sockets and their
//! threads ([`crate::quorum_port`], [`crate::election_port`]).
//!
//! Invariants:
//! - What is committed is applied before the next input that looks at the tree.
//! - An answer is handed in when the matter is durable, and before any other input.
//! - While the history is worked on ([`super::history`]) the member hears nothing but ballots; the rest waits, in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rookeeper_node::effect::{CloseReason, Effect};
use rookeeper_node::ensemble::Member;
use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_node::input::Input;
use rookeeper_proto::ballot::Address;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::learner::effect::Departure;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::sync_plan::LogRange;
use rookeeper_storage::epochs::Epochs;
use rookeeper_tree::tree::{Tree, TreeOptions};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use super::history::{self, HistoryDone, HistoryError, HistoryTask, Outcome};
use super::{Digests, Driver, Ended, Part, Turn};
use crate::election_port::ElectionPort;
use crate::inbox::Message;
use crate::mailbox::Ending;
use crate::quorum_port::leader::{ImageFault, LeaderLink};
use crate::quorum_port::learners::LearnerPort;
use crate::quorum_port::{QuorumPortLimits, Tie};

/// A member, and its ways to the others.
#[derive(Debug)]
pub struct Ensemble {
    /// What decides.
    pub member: Member,
    /// What the member wanted when it began.
    pub first: Vec<MemberEffect>,
    /// What is promised and taken over, as the disk has it.
    pub epochs: Epochs,
    /// Who votes for whom.
    pub election: ElectionPort,
    /// Where learners connect while this server leads.
    pub learners: LearnerPort,
    /// The leader, while this server follows.
    pub leader: Option<LeaderLink>,
    /// Where the others lead.
    pub quorum_addresses: BTreeMap<ServerId, Vec<Address>>,
    /// Of connections to a leader.
    pub limits: QuorumPortLimits,
    /// Of a tree that is loaded.
    pub tree_options: TreeOptions,
    /// What every tree shows of the ensemble.
    pub shown: ShownConfig,
    /// Held by whoever deletes files, or replaces the history.
    pub deleting: Arc<Mutex<()>>,
    /// Where connections are made.
    pub runtime: Handle,
    /// The number of the last connection to a leader, or of the last time of leading.
    pub tie: Tie,
    /// What is being done to the history.
    pub work: Work,
    /// What waits until that is done.
    pub held: VecDeque<Message>,
}

/// The configuration as clients see it.
#[derive(Debug)]
pub struct ShownConfig {
    /// With its version.
    pub text: String,
    /// Of the configuration.
    pub version: i64,
    /// When this server started, ms since 1970.
    pub since: i64,
}

impl ShownConfig {
    /// Puts it into a tree.
    pub fn show(&self, tree: &mut Tree) {
        tree.show_config(self.text.as_bytes(), self.version, self.since);
    }
}

/// What is being done to the history as a whole.
#[derive(Debug, Default)]
pub enum Work {
    /// Nothing.
    #[default]
    Idle,
    /// A snapshot must end before this may begin.
    Wanted(WorkKind),
    /// A thread does it.
    Running,
}

/// What can be done to it.
#[derive(Debug, Clone, Copy)]
pub enum WorkKind {
    /// End it.
    Truncate(Zxid),
    /// Receive another one.
    Receive(Zxid),
    /// Load it again.
    Reload,
    /// Replace it by what was received.
    Replace,
}

impl Driver {
    fn ensemble(&mut self) -> Option<&mut Ensemble> {
        match &mut self.part {
            Part::Ensemble(ensemble) => Some(ensemble),
            Part::Standalone(_) => None,
        }
    }

    /// Performs what the member wanted when it was made.
    pub(super) fn begin(&mut self, turn: &mut Turn) -> Ended {
        if let Some(ensemble) = self.ensemble() {
            turn.member_effects.append(&mut ensemble.first);
        }
        self.perform(turn)
    }

    /// How long until the member wants to be asked for the time.
    pub(super) fn until_deadline(&self) -> Duration {
        let Part::Ensemble(ensemble) = &self.part else {
            return Duration::MAX;
        };
        if !matches!(ensemble.work, Work::Idle) {
            return Duration::MAX;
        }
        ensemble.member.deadline().map_or(Duration::MAX, |at| {
            let left = at.saturating_sub(self.clock.mono());
            Duration::from_millis(u64::try_from(left).unwrap_or(0))
        })
    }

    /// Tells the member the time when it is due, between the usual ticks.
    pub(super) fn tick_member(&mut self, turn: &mut Turn) {
        let mono = self.clock.mono();
        let due = self.ensemble().is_some_and(|ensemble| {
            let deadline = ensemble.member.deadline();
            matches!(ensemble.work, Work::Idle) && deadline.is_some_and(|at| at <= mono)
        });
        if due {
            let replica = Arc::clone(&self.replica);
            self.decide(&replica.tree.read(), Input::Tick, turn);
        }
    }

    pub(super) fn take_as_member(&mut self, messages: Vec<Message>, turn: &mut Turn) -> Ended {
        let mut messages = VecDeque::from(messages);
        while let Some(message) = messages.pop_front() {
            let was_busy = self.is_busy();
            if was_busy && waits(&message) {
                self.hold(message);
                continue;
            }
            self.take_one(message, turn)?;
            if was_busy && !self.is_busy() {
                // What waited came before what is left.
                let Some(ensemble) = self.ensemble() else {
                    continue;
                };
                let mut held = std::mem::take(&mut ensemble.held);
                held.append(&mut messages);
                messages = held;
            }
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        match &self.part {
            Part::Ensemble(ensemble) => !matches!(ensemble.work, Work::Idle),
            Part::Standalone(_) => false,
        }
    }

    fn hold(&mut self, message: Message) {
        if let Some(ensemble) = self.ensemble() {
            ensemble.held.push_back(message);
        }
    }

    fn take_one(&mut self, message: Message, turn: &mut Turn) -> Ended {
        match message {
            Message::Input(input) => self.hear(MemberInput::Local(input), turn),
            Message::Member(input) => self.hear(input, turn),
            Message::Tied(tie, inputs) => self.hear_tied(tie, inputs, turn),
            Message::Joined(tie, joined) => {
                let Some(ensemble) = self.ensemble() else {
                    return Ok(());
                };
                if !ensemble.learners.is_tied(tie) {
                    return Ok(());
                }
                let learner = ensemble.learners.join(joined);
                self.hear(MemberInput::LearnerConnected(learner), turn)
            }
            Message::Reached(tie, reached) => {
                let Some(ensemble) = self.ensemble() else {
                    return Ok(());
                };
                let Some(link) = ensemble.leader.as_mut().filter(|link| link.is_tied(tie)) else {
                    return Ok(());
                };
                link.reach(reached);
                self.hear(MemberInput::LeaderConnected, turn)
            }
            Message::Image(tie, loaded) => self.received(tie, loaded, turn),
            Message::History(done) => self.worked(*done, turn),
            Message::SnapshotEnded => {
                self.note(Message::SnapshotEnded, turn);
                self.work_when_possible(turn)
            }
            other => {
                self.note(other, turn);
                Ok(())
            }
        }
    }

    fn hear_tied(&mut self, tie: Tie, inputs: Vec<MemberInput>, turn: &mut Turn) -> Ended {
        let mut inputs = inputs.into_iter();
        while let Some(input) = inputs.next() {
            if self.is_busy() {
                let rest = std::iter::once(input).chain(inputs).collect();
                self.hold(Message::Tied(tie, rest));
                return Ok(());
            }
            if !self.is_tied(tie, &input) {
                continue;
            }
            let gone = match input {
                MemberInput::LearnerGone(learner) => Some(learner),
                _ => None,
            };
            let left = matches!(input, MemberInput::LeaderGone);
            self.hear(input, turn)?;
            if let Some(ensemble) = self.ensemble() {
                if let Some(learner) = gone {
                    ensemble.learners.dismiss(learner);
                }
                if left && ensemble.leader.as_ref().is_some_and(|l| l.is_tied(tie)) {
                    ensemble.leader = None;
                }
            }
        }
        Ok(())
    }

    /// True when the input belongs to a connection that is still there.
    fn is_tied(&mut self, tie: Tie, input: &MemberInput) -> bool {
        let Some(ensemble) = self.ensemble() else {
            return false;
        };
        match input {
            MemberInput::FromLearner { from, .. } => {
                ensemble.learners.is_tied(tie) && ensemble.learners.outbox(*from).is_some()
            }
            MemberInput::LearnerGone(_) => ensemble.learners.is_tied(tie),
            _ => ensemble
                .leader
                .as_ref()
                .is_some_and(|link| link.is_tied(tie)),
        }
    }

    /// Hands one input to the member; what is committed is applied first, where the member may look at it.
    fn hear(&mut self, input: MemberInput, turn: &mut Turn) -> Ended {
        if looks_at_tree(&input) && turn.member_effects.iter().any(changes_tree) {
            self.perform(turn)?;
        }
        let (replica, now) = (Arc::clone(&self.replica), self.clock.now());
        let Some(ensemble) = self.ensemble() else {
            return Ok(());
        };
        let tree = replica.tree.read();
        ensemble
            .member
            .handle(&tree, now, input, &mut turn.member_effects);
        drop(tree);
        // Some effects make the driver busy, and then nothing else may be handed in.
        if turn.member_effects.iter().any(occupies) {
            self.perform(turn)?;
        }
        Ok(())
    }

    /// Performs the member's effects in order, and hands in what answers them, until there is nothing more.
    pub(super) fn perform_as_member(&mut self, turn: &mut Turn) -> Ended {
        if self.ensemble().is_none() {
            return Ok(());
        }
        loop {
            let mut effects = std::mem::take(&mut turn.member_effects);
            let mut answers = Vec::new();
            for effect in effects.drain(..) {
                if let Some(answer) = self.perform_for_member(effect, turn)? {
                    answers.push(answer);
                }
            }
            self.apply(turn);
            turn.member_effects = effects;
            let (replica, now) = (Arc::clone(&self.replica), self.clock.now());
            let Some(ensemble) = self.ensemble() else {
                return Ok(());
            };
            for answer in answers {
                let tree = replica.tree.read();
                ensemble
                    .member
                    .handle(&tree, now, answer, &mut turn.member_effects);
            }
            if turn.member_effects.is_empty() {
                break;
            }
        }
        self.send();
        Ok(())
    }

    /// Everything that was said in this batch goes out.
    fn send(&mut self) {
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        ensemble.learners.flush();
        let wants_more = ensemble.member.wants_more();
        if let Some(link) = &mut ensemble.leader {
            link.listen(wants_more);
            if let Some(outbox) = link.outbox() {
                outbox.flush();
            }
        }
    }

    fn perform_for_member(
        &mut self,
        effect: MemberEffect,
        turn: &mut Turn,
    ) -> Result<Option<MemberInput>, super::DriverError> {
        let effect = match effect {
            MemberEffect::Local(effect) => {
                self.perform_one(effect, turn)?;
                return Ok(None);
            }
            MemberEffect::WriteAcceptedEpoch(_)
            | MemberEffect::WriteCurrentEpoch(_)
            | MemberEffect::BeginEpoch(_)
            | MemberEffect::Truncate(_)
            | MemberEffect::LoadImage(_)
            | MemberEffect::SaveImage(_) => return self.perform_on_history(effect, turn),
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
                self.gauges.serving.store(true, Ordering::Relaxed);
                info!("serving clients");
            }
            MemberEffect::ServeNoLonger => self.serve_no_longer(),
            other => self.perform_to_others(other),
        }
        Ok(None)
    }

    fn perform_to_others(&mut self, effect: MemberEffect) {
        let inbox = Arc::clone(&self.inbox);
        let Some(ensemble) = self.ensemble() else {
            return;
        };
        match effect {
            MemberEffect::Ballot { to, notification } => ensemble.election.send(to, notification),
            MemberEffect::RestartElection => ensemble.election.restart(),
            MemberEffect::Lead => {
                info!("LEADING");
                ensemble.tie = ensemble.tie.next();
                ensemble.learners.open(ensemble.tie);
            }
            MemberEffect::LeadNoLonger(why) => {
                warn!("leading no longer: {why}");
                ensemble.learners.close();
            }
            MemberEffect::ConnectLeader(leader) => {
                info!("FOLLOWING server {leader}");
                ensemble.tie = ensemble.tie.next();
                let addresses = ensemble.quorum_addresses.get(&leader).cloned();
                ensemble.leader = Some(LeaderLink::dial(
                    leader,
                    addresses.unwrap_or_default(),
                    ensemble.tie,
                    ensemble.limits,
                    inbox,
                    &ensemble.runtime,
                ));
            }
            MemberEffect::FollowNoLonger(why) => {
                log_departure(why);
                ensemble.leader = None;
            }
            MemberEffect::ToLeader(said) => ensemble.say_to_leader(said),
            MemberEffect::ToLearner { to, said } => {
                if let Some(outbox) = ensemble.learners.outbox(to) {
                    outbox.say(&said.into_packet());
                }
            }
            MemberEffect::CloseLearner { learner, why } => {
                if let Some(address) = ensemble.learners.address(learner) {
                    warn!("closing the connection of the learner {address}: {why}");
                }
                ensemble.learners.dismiss(learner);
            }
            // Performed elsewhere.
            _ => {}
        }
    }

    /// Clients learn that they have to go elsewhere, or to wait.
    fn serve_no_longer(&self) {
        self.gauges.serving.store(false, Ordering::Relaxed);
        info!("serving nobody until there is a leader");
        for connection in self.connections.open().values() {
            connection
                .mailbox
                .end(Ending::Member(CloseReason::NotServing));
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

    // The own history.

    fn perform_on_history(
        &mut self,
        effect: MemberEffect,
        turn: &mut Turn,
    ) -> Result<Option<MemberInput>, super::DriverError> {
        let work = match effect {
            MemberEffect::WriteAcceptedEpoch(epoch) => {
                self.write_epoch(epoch, true)?;
                return Ok(Some(MemberInput::AcceptedEpochWritten(epoch)));
            }
            MemberEffect::WriteCurrentEpoch(epoch) => {
                self.write_epoch(epoch, false)?;
                return Ok(Some(MemberInput::CurrentEpochWritten(epoch)));
            }
            MemberEffect::BeginEpoch(zxid) => {
                self.apply(turn);
                self.replica.tree.write().begin_epoch(zxid);
                return Ok(None);
            }
            MemberEffect::Truncate(zxid) => WorkKind::Truncate(zxid),
            MemberEffect::LoadImage(zxid) => WorkKind::Receive(zxid),
            _ => WorkKind::Replace,
        };
        self.apply(turn);
        self.want(work, turn)?;
        Ok(None)
    }

    fn write_epoch(&mut self, epoch: i64, accepted: bool) -> Ended {
        let (Part::Ensemble(ensemble), Some(database)) = (&mut self.part, &self.database) else {
            return Err(HistoryError::Away(Zxid::ZERO).into());
        };
        if accepted {
            database.accept_epoch(&mut ensemble.epochs, epoch)?;
        } else {
            database.enter_epoch(&mut ensemble.epochs, epoch)?;
        }
        Ok(())
    }

    fn want(&mut self, work: WorkKind, turn: &mut Turn) -> Ended {
        if let Some(ensemble) = self.ensemble() {
            ensemble.work = Work::Wanted(work);
        }
        if self.snapshots.is_busy() {
            self.snapshots.give_up();
        }
        self.work_when_possible(turn)
    }

    /// Begins what is wanted, if no snapshot is being written any more.
    fn work_when_possible(&mut self, turn: &mut Turn) -> Ended {
        if self.snapshots.is_busy() {
            return Ok(());
        }
        let Some(ensemble) = self.ensemble() else {
            return Ok(());
        };
        let Work::Wanted(work) = ensemble.work else {
            return Ok(());
        };
        ensemble.work = Work::Running;
        match work {
            WorkKind::Truncate(zxid) => self.start_task(HistoryTask::Truncate(zxid)),
            WorkKind::Reload => self.start_task(HistoryTask::Reload),
            WorkKind::Replace => self.start_task(HistoryTask::Replace),
            WorkKind::Receive(zxid) => {
                info!("receiving the state {zxid} of the leader");
                let options = ensemble.tree_options;
                if let Some(link) = &ensemble.leader {
                    link.receive_image(zxid, options);
                }
                // Both at once would take twice the memory.
                history::swap(&self.replica, Tree::new(options));
                turn.applied = 0;
                Ok(())
            }
        }
    }

    fn start_task(&mut self, task: HistoryTask) -> Ended {
        let (replica, inbox) = (Arc::clone(&self.replica), Arc::clone(&self.inbox));
        let (Part::Ensemble(ensemble), Some(database)) = (&self.part, self.database.take()) else {
            return Err(HistoryError::Panicked.into());
        };
        let deleting = Arc::clone(&ensemble.deleting);
        Ok(history::start(task, database, replica, inbox, deleting)?)
    }

    /// The leader's state arrived, or did not.
    fn received(
        &mut self,
        tie: Tie,
        loaded: Result<Box<Tree>, ImageFault>,
        turn: &mut Turn,
    ) -> Ended {
        let expected = self.ensemble().is_some_and(|ensemble| {
            let tied = ensemble.leader.as_ref().is_some_and(|l| l.is_tied(tie));
            tied && matches!(ensemble.work, Work::Running)
        });
        if !expected {
            return Ok(());
        }
        match loaded {
            Ok(tree) => {
                info!(
                    "the state {} of the leader arrived: {} znodes",
                    tree.last_zxid(),
                    tree.node_count()
                );
                self.swap(*tree);
                self.digests = Digests::Fuzzy;
                self.rest(MemberInput::ImageLoaded(true), turn)
            }
            Err(fault) => {
                error!(error = %fault, "the state of the leader did not arrive; loading the own history again");
                self.want(WorkKind::Reload, turn)
            }
        }
    }

    /// The history is what it shall be.
    fn worked(&mut self, done: HistoryDone, turn: &mut Turn) -> Ended {
        let (database, outcome) = done.outcome?;
        self.database = Some(database);
        let answer = match outcome {
            Outcome::Kept(answer) => answer,
            Outcome::Loaded(recovered, answer) => {
                self.swap(recovered.tree);
                self.digests = Digests::Exact;
                answer
            }
        };
        self.rest(answer, turn)
    }

    fn swap(&mut self, mut tree: Tree) {
        if let Some(ensemble) = self.ensemble() {
            ensemble.shown.show(&mut tree);
        }
        history::swap(&self.replica, tree);
    }

    fn rest(&mut self, answer: MemberInput, turn: &mut Turn) -> Ended {
        if let Some(ensemble) = self.ensemble() {
            ensemble.work = Work::Idle;
        }
        self.hear(answer, turn)
    }
}

impl Ensemble {
    fn say_to_leader(&mut self, said: FromLearner) {
        if let Some(outbox) = self.leader.as_mut().and_then(LeaderLink::outbox) {
            outbox.say(&said.into_packet());
        }
    }
}

/// True for what has to wait while the history is worked on.
const fn waits(message: &Message) -> bool {
    match message {
        Message::Input(_) | Message::Tied(..) | Message::Joined(..) | Message::Reached(..) => true,
        Message::Member(input) => !matches!(
            input,
            MemberInput::Ballot { .. } | MemberInput::PeerConnected(_) | MemberInput::PeerGone(_)
        ),
        Message::Image(..)
        | Message::History(_)
        | Message::Report(_)
        | Message::SnapshotEnded
        | Message::Stop => false,
    }
}

/// True when the member may look at the tree because of this.
const fn looks_at_tree(input: &MemberInput) -> bool {
    !matches!(
        input,
        MemberInput::FromLeader(
            FromLeader::Proposal { .. } | FromLeader::Commit(_) | FromLeader::Inform { .. }
        ) | MemberInput::FromLearner {
            said: FromLearner::Ack(_),
            ..
        } | MemberInput::Local(Input::Synced(_))
    )
}

/// True for what must be performed before the member looks at the tree.
const fn changes_tree(effect: &MemberEffect) -> bool {
    matches!(
        effect,
        MemberEffect::Local(Effect::Apply(_)) | MemberEffect::BeginEpoch(_)
    )
}

/// True for what must be performed before anything else is handed in.
const fn occupies(effect: &MemberEffect) -> bool {
    matches!(
        effect,
        MemberEffect::Truncate(_)
            | MemberEffect::LoadImage(_)
            | MemberEffect::SaveImage(_)
            | MemberEffect::WriteAcceptedEpoch(_)
            | MemberEffect::WriteCurrentEpoch(_)
            | MemberEffect::SendImage { .. }
            | MemberEffect::FollowNoLonger(_)
            | MemberEffect::LeadNoLonger(_)
            | MemberEffect::BeginEpoch(_)
    )
}

fn log_departure(why: Option<Departure>) {
    match why {
        Some(why) => warn!("following no longer: {why}"),
        None => error!("following no longer: a transaction of the leader cannot be understood"),
    }
}
