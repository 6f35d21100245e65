//! The driver of a member of an ensemble: what the member wants done to other servers, to its epochs and to its history.
//!
//! What lives here: performing those effects, and which message reaches the member when. What does not: decisions; sockets and their
//! threads ([`crate::quorum_port`], [`crate::election_port`]).
//!
//! Invariants:
//! - What is committed is applied before the next input that looks at the tree.
//! - An answer is handed in when the matter is durable, and before any other input.
//! - While the history is worked on ([`super::history`]) the member hears nothing but ballots; the rest waits, in order.

mod clients;
pub mod diary;
mod peers;
mod perform;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_node::ensemble::{Duty, Member};
use rookeeper_node::input::Input;
use rookeeper_node::kept::Kept;
use rookeeper_proto::ballot::Address;
use rookeeper_proto::ids::ServerId;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::membership::Membership;
use rookeeper_storage::epochs::Epochs;
use rookeeper_tree::tree::{Tree, TreeOptions};
use tokio::runtime::Handle;
use tracing::warn;

use self::diary::Diary;
use super::history::Work;
use super::{Driver, DriverError, Ended, Part, Turn};
use crate::election_port::ElectionPort;
use crate::inbox::{Inbox, Message};
use crate::quorum_port::leader::LeaderLink;
use crate::quorum_port::learners::LearnerPort;
use crate::quorum_port::{QuorumPortLimits, Tie};
use crate::words::{Leadership, Role};

/// Pause before a leader is tried again that led to nothing, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of a server that serves again and again and never for long: another one with its id takes its place all the time.
const LONGEST_PAUSE_OF_EVICTED: Duration = Duration::from_secs(10);
/// The same as a part of the time in which a leader must have its followers (`initLimit`): it must not fail for this.
const SHARE_OF_EVICTED: u32 = 4;
/// Who has served for so long was not evicted, whatever ended it.
const SERVED_FOR_LONG: Duration = Duration::from_secs(30);

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
    /// Voters in the membership.
    pub quorum_size: u64,
    /// It leads, or is about to.
    pub leads: bool,
    /// While it leads it serves clients too (`leaderServes`).
    pub leader_serves: bool,
    /// How often it has left a leader, one after the other, without having served in between.
    pub refusals: u32,
    /// How often it has left the same leader without having served for long.
    pub evictions: u32,
    /// Since when it serves.
    pub serving_since: Option<Instant>,
    /// Whom it follows, or followed last.
    pub following: ServerId,
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
    /// Clients between two leaders.
    pub kept: Kept,
    /// For operators.
    pub diary: Diary,
}

/// The configuration as clients see it.
#[derive(Debug)]
pub struct ShownConfig {
    /// With its version.
    text: String,
    /// Of the configuration.
    version: i64,
    /// When this server started, ms since 1970.
    since: i64,
}

impl ShownConfig {
    /// As a server shows it that started at `since`.
    #[must_use]
    pub fn of(membership: &Membership, since: i64) -> Self {
        Self {
            text: membership.to_string(),
            version: membership.version(),
            since,
        }
    }

    /// Puts it into a tree.
    pub fn show(&self, tree: &mut Tree) {
        tree.show_config(self.text.as_bytes(), self.version, self.since);
    }
}

impl Driver {
    pub(super) fn ensemble(&mut self) -> Option<&mut Ensemble> {
        match &mut self.part {
            Part::Ensemble(ensemble) => Some(ensemble),
            Part::Standalone(_) => None,
        }
    }

    /// Performs what the member wanted when it was made.
    pub(super) fn begin(&mut self, turn: &mut Turn) -> Ended {
        if let Part::Ensemble(ensemble) = &mut self.part {
            self.inbox.hang_bell().map_err(DriverError::Bell)?;
            turn.batch.append(&mut ensemble.first);
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

    /// Tells connections and operators what this member is now.
    pub(super) fn publish(&self) {
        let mono = self.clock.mono();
        let Part::Ensemble(ensemble) = &self.part else {
            return;
        };
        let fresh_until = ensemble.member.fresh_until(mono);
        self.replica
            .fresh_until
            .store(fresh_until, Ordering::Relaxed);
        let role = ensemble.role();
        let mut published = self.gauges.role.lock();
        if published.role.name() != role.name() {
            published.since_ms = mono;
        }
        published.role = role;
    }

    /// Tells the member the time when it is due, between the usual ticks.
    pub(super) fn tick_member(&mut self, turn: &mut Turn) -> Ended {
        if let Some(failure) = self.ensemble().and_then(|e| e.election.failure()) {
            return Err(DriverError::Election(failure));
        }
        self.give_clients_up();
        let mono = self.clock.mono();
        if let Some(overdue) = self.ensemble().and_then(|e| e.diary.overdue(mono)) {
            warn!("{overdue}");
        }
        let due = self.ensemble().is_some_and(|ensemble| {
            let deadline = ensemble.member.deadline();
            matches!(ensemble.work, Work::Idle) && deadline.is_some_and(|at| at <= mono)
        });
        if due {
            self.decide(Input::Tick, turn)?;
        }
        Ok(())
    }

    pub(super) fn take_as_member(&mut self, messages: Vec<Message>, turn: &mut Turn) -> Ended {
        let mut messages = VecDeque::from(messages);
        while let Some(message) = messages.pop_front() {
            let was_busy = self.is_busy();
            if was_busy && waits(&message) {
                if let Some(message) = self.keep_while_busy(message) {
                    self.hold(message);
                }
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

    /// True while the history is worked on: the member hears nothing but ballots.
    pub(super) fn is_busy(&self) -> bool {
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
        let now = turn.now.mono;
        match message {
            Message::Input(input) => match self.kept(input) {
                Some(input) => self.hear(MemberInput::Local(input), turn),
                None => Ok(()),
            },
            Message::Member(input) => {
                if let Some(ensemble) = self.ensemble() {
                    ensemble.diary.note(&input, now);
                }
                self.hear(input, turn)
            }
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
                ensemble.diary.reach(now);
                self.hear(MemberInput::LeaderConnected, turn)
            }
            Message::Image(tie, loaded) => self.received(tie, loaded, turn),
            Message::History(done) => self.worked(*done, turn),
            Message::SnapshotEnded => {
                self.note(Message::SnapshotEnded, turn);
                self.work_when_possible()
            }
            other => {
                self.note(other, turn);
                Ok(())
            }
        }
    }

    /// A client that connects need not wait until the history is what it shall be.
    fn keep_while_busy(&mut self, message: Message) -> Option<Message> {
        match message {
            Message::Input(input @ Input::Connect { .. }) => match self.kept(input)? {
                Input::Connect { conn, .. } => {
                    self.turn_away(conn);
                    None
                }
                other => Some(Message::Input(other)),
            },
            message => Some(message),
        }
    }

    /// Keeps a client that connects while there is no leader; gives back what is for the member.
    fn kept(&mut self, input: Input) -> Option<Input> {
        let ensemble = self.ensemble()?;
        match input {
            Input::Connect { conn, .. } if ensemble.leads && !ensemble.leader_serves => {
                self.turn_away(conn);
                None
            }
            Input::Connect { conn, request } if !ensemble.member.is_serving() => {
                let request = ensemble.kept.connect(conn, request)?;
                Some(Input::Connect { conn, request })
            }
            Input::Disconnected(conn) => {
                ensemble.kept.forget(conn);
                Some(input)
            }
            input => Some(input),
        }
    }

    fn hear_tied(&mut self, tie: Tie, inputs: Vec<MemberInput>, turn: &mut Turn) -> Ended {
        let mut inputs = inputs.into_iter().peekable();
        while let Some(input) = inputs.next() {
            if inputs.peek().is_some_and(|next| input.is_covered_by(next)) {
                continue;
            }
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
                    ensemble.lose_leader();
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
    pub(super) fn hear(&mut self, input: MemberInput, turn: &mut Turn) -> Ended {
        if turn.batch.goes_before(&input) {
            self.perform(turn)?;
        }
        let Part::Ensemble(ensemble) = &mut self.part else {
            return Ok(());
        };
        let tree = self.replica.tree.read();
        let member = &mut ensemble.member;
        let at_once = turn.batch.hand_in(member, &tree, turn.now, input);
        drop(tree);
        if at_once {
            self.perform(turn)?;
        }
        Ok(())
    }
}

impl Ensemble {
    /// How long to wait before the next leader is tried: one that refuses this server, or is refused by it, is most often the same
    /// again.
    fn pause(&self) -> Duration {
        let longest = self.limits.connect / SHARE_OF_EVICTED;
        let longest = longest.min(LONGEST_PAUSE_OF_EVICTED);
        let refused = pause_after(self.refusals, LONGEST_PAUSE);
        refused.max(pause_after(self.evictions, longest))
    }

    fn lose_leader(&mut self) {
        self.leader = None;
        self.refusals = self.refusals.saturating_add(1);
        if let Some(since) = self.serving_since.take() {
            self.evictions = match since.elapsed() >= SERVED_FOR_LONG {
                true => 0,
                false => self.evictions.saturating_add(1),
            };
        }
    }

    /// Begins to connect to a leader.
    fn follow(&mut self, leader: ServerId, inbox: Arc<Inbox>) {
        if leader != self.following {
            // Whoever lost that one was not evicted by it.
            self.evictions = 0;
        }
        self.following = leader;
        self.serving_since = None;
        self.tie = self.tie.next();
        let addresses = self.quorum_addresses.get(&leader).cloned();
        self.leader = Some(LeaderLink::dial(
            leader,
            addresses.unwrap_or_default(),
            self.tie,
            self.limits,
            self.pause(),
            inbox,
            &self.runtime,
        ));
    }

    /// For operators.
    fn role(&self) -> Role {
        let (quorum_size, count) = (self.quorum_size, |n: usize| n as u64);
        match self.member.duty() {
            Duty::Looking => Role::Looking,
            Duty::Following => Role::Following { quorum_size },
            Duty::Observing => Role::Observing {
                quorum_size,
                master: self.following,
            },
            Duty::Leading(census) => Role::Leading(Leadership {
                quorum_size,
                learners: count(census.learners),
                synced_followers: count(census.followers),
                synced_observers: count(census.observers),
                synced_non_voting_followers: count(census.non_voting),
                pending_syncs: count(census.syncs),
            }),
        }
    }

    fn say_to_leader(&mut self, said: FromLearner) {
        if let Some(outbox) = self.leader.as_mut().and_then(LeaderLink::outbox) {
            outbox.say(&said.into_packet());
        }
    }
}

/// None for the first time: most often a leader has ended, and the next one is another.
fn pause_after(times: u32, longest: Duration) -> Duration {
    match times {
        0 | 1 => Duration::ZERO,
        _ => FIRST_PAUSE.saturating_mul(1 << times.min(16)).min(longest),
    }
}

/// True for what has to wait while the history is worked on.
const fn waits(message: &Message) -> bool {
    match message {
        Message::Input(_) | Message::Tied(..) | Message::Joined(..) | Message::Reached(..) => true,
        Message::Member(input) => !input.concerns_elections(),
        Message::Image(..)
        | Message::History(_)
        | Message::Report(_)
        | Message::SnapshotEnded
        | Message::Stop => false,
    }
}
