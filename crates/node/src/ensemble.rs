//! A member of an ensemble: it looks for a leader, and then leads or follows until that ends.
//!
//! What lives here: the change of roles, and what a member keeps across it: the epochs its disk has promised and taken over, the
//! window of committed transactions, what is logged and not applied. What does not: how a leader is found and what is committed
//! (`quorum`), and what a request means (`tree`).
//!
//! Invariants:
//! - Who looks for a leader has applied everything it has logged, and its disk has all of that: a vote says what is true of the disk
//!   (ZOOKEEPER-2845).
//! - One role at a time; nothing of a role before reaches the next (ZOOKEEPER-4712).
//! - The window never has a hole (ZOOKEEPER-4925).
//! - [`Effect::Apply`] is performed before the next input that looks at the tree, as [`batch`] says: what is judged is judged against it.

pub mod batch;
pub mod effect;
mod following;
pub mod holding_back;
mod leading;
mod news;
mod transition;

use std::collections::VecDeque;

use rookeeper_proto::ballot::PeerState;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_quorum::committed::{CommittedWindow, Entry};
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::election::{Election, ElectionConfig};
use rookeeper_quorum::leader::census::Census;
use rookeeper_quorum::leader::effect::LeaderInput;
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::learner::effect::LearnerInput;
use rookeeper_quorum::membership::{Membership, Role as Vocation};
use rookeeper_quorum::vote::History;
use rookeeper_tree::tree::Tree;

use crate::effect::{CloseReason, Effect};
use crate::input::{Input, Now};
use crate::lots::Lots;
use crate::mutation::{Mutation, mutated};
use crate::proposer::ProposerConfig;
use crate::session_ids::SessionIds;
use crate::sessions::Sessions;
use effect::{MemberEffect, MemberInput};
use following::Following;
use holding_back::{ObserverWaits, Step};
use leading::Leading;

/// Settings of a member.
#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// With or without a vote, if the membership does not say.
    pub vocation: Vocation,
    /// Who belongs to the ensemble.
    pub membership: Membership,
    /// How long an election waits for what.
    pub pace: Pace,
    /// Ticks for joining.
    pub init_limit: i64,
    /// Ticks for an answer.
    pub sync_limit: i64,
    /// A leader sends whole states only.
    pub force_snapshot: bool,
    /// Learners that a leader synchronizes at a time.
    pub sync_limits: SyncLimits,
    /// How long an observer holds back.
    pub observer_waits: ObserverWaits,
    /// The counter of an epoch's last transaction ([`LAST_COUNTER`](rookeeper_quorum::epoch::LAST_COUNTER)).
    pub last_counter: u32,
    /// How writes are ordered, and who this server is.
    pub proposer: ProposerConfig,
}

/// What a member's disk has.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The epoch that is promised (`acceptedEpoch`).
    pub accepted: i64,
    /// The epoch of the history (`currentEpoch`).
    pub current: i64,
    /// The newest transactions of the log, all applied; it ends where the log ends.
    pub window: CommittedWindow,
    /// Transactions that were durable here may be missing: this member is not elected, and its vote elects nobody, until it has
    /// the whole state of a leader.
    pub incomplete: bool,
}

impl Standing {
    /// What a vote says of it.
    fn history(&self) -> History {
        let last = match self.incomplete {
            true => History::MISSING,
            false => self.window.last(),
        };
        let epoch = self.current;
        History { epoch, last }
    }
}

/// What a member does for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Nothing: it looks for a leader, or is not in step with it.
    Looking,
    /// Orders what they want.
    Leading(Census),
    /// Serves them, and votes.
    Following,
    /// Serves them.
    Observing,
}

#[derive(Debug)]
enum Role {
    /// Waits until its log is durable: then it votes.
    Settling,
    /// Waits until memory has again what the disk has: then it votes.
    Reloading,
    /// Puts off the next step until then, monotonic ms.
    HoldingBack(i64, Step),
    /// Asks who leads.
    Looking,
    /// Connects to the leader.
    Joining,
    Leading(Box<Leading>),
    Following(Box<Following>),
}

/// A member.
#[derive(Debug)]
pub struct Member {
    config: MemberConfig,
    election: Election,
    role: Role,
    standing: Standing,
    /// Logged and not applied, in order.
    unapplied: VecDeque<Entry>,
    logged: Zxid,
    synced: Zxid,
    next_half_tick: i64,
    /// An epoch that another voter has promised: the next one must be later.
    promised_elsewhere: i64,
    /// The last leader's history did not fit: ask for its whole state.
    ask_for_image: bool,
    /// The ids of sessions that its roles have given.
    given: Option<SessionIds>,
    /// For waits.
    lots: Lots,
    /// While memory has a leader's state that is not on the disk: the window of what is on the disk.
    on_disk: Option<CommittedWindow>,
    /// Empty: memory for what roles tell, input by input.
    news: (Vec<leading::News>, Vec<following::News>),
}

impl Member {
    /// A member that begins to look for a leader. `tree` has everything that is in the log.
    #[must_use]
    pub fn start(
        config: MemberConfig,
        standing: Standing,
        now: Now,
        effects: &mut Vec<MemberEffect>,
    ) -> Self {
        let election = ElectionConfig {
            me: config.proposer.server,
            role: config.vocation,
            membership: config.membership.clone(),
            reconfig_enabled: false,
            pace: config.pace,
        };
        let last = standing.window.last();
        let history = standing.history();
        let mut asked = Vec::new();
        let mut member = Self {
            election: Election::start(election, history, now.mono, &mut asked),
            role: Role::Looking,
            unapplied: VecDeque::new(),
            logged: last,
            synced: last,
            next_half_tick: now.mono,
            promised_elsewhere: 0,
            ask_for_image: standing.incomplete,
            given: None,
            lots: Lots::new(config.proposer.hash_seed ^ config.proposer.server.0 as u64),
            on_disk: None,
            news: Default::default(),
            standing,
            config,
        };
        member.elected(now, asked, effects);
        member
    }

    /// What this member is doing.
    #[must_use]
    pub const fn state(&self) -> PeerState {
        self.election.state()
    }

    /// True while clients are served.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        match &self.role {
            Role::Leading(leading) => leading.is_serving(),
            Role::Following(following) => following.is_serving(),
            _ => false,
        }
    }

    /// What it does for clients.
    #[must_use]
    pub fn duty(&self) -> Duty {
        match &self.role {
            Role::Leading(leading) if leading.is_serving() => Duty::Leading(leading.census()),
            Role::Following(following) if following.is_serving() => match self.vocation() {
                Vocation::Participant => Duty::Following,
                Vocation::Observer => Duty::Observing,
            },
            _ => Duty::Looking,
        }
    }

    /// Until when its state may be shown without asking anybody, monotonic ms: others were heard of lately enough to know that
    /// nobody else leads.
    #[must_use]
    pub fn fresh_until(&self, now: i64) -> i64 {
        match &self.role {
            Role::Leading(leading) => leading.fresh_until(now),
            Role::Following(following) => following.fresh_until(),
            _ => i64::MIN,
        }
    }

    /// With or without a vote.
    pub(crate) fn vocation(&self) -> Vocation {
        let member = self.config.membership.member(self.id());
        member.map_or(self.config.vocation, |member| member.role)
    }

    /// The sessions, at who leads.
    #[must_use]
    pub fn sessions(&self) -> Option<&Sessions> {
        match &self.role {
            Role::Leading(leading) => leading.sessions(),
            _ => None,
        }
    }

    /// False while something that the leader said is under way: then nothing more should be read from it.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        match &self.role {
            Role::Following(following) => following.wants_more(),
            _ => true,
        }
    }

    /// Requests on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.role {
            Role::Leading(leading) => leading.in_flight(),
            Role::Following(following) => following.in_flight(),
            _ => 0,
        }
    }

    /// When a tick is due at the latest, monotonic ms; `None` leaves it to the usual interval.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        match self.role {
            Role::HoldingBack(until, _) => Some(until),
            _ => self.election.deadline(),
        }
    }

    /// Takes one input; what shall be done is added to `effects`. `tree` holds everything applied so far.
    pub fn handle(
        &mut self,
        tree: &Tree,
        now: Now,
        input: MemberInput,
        effects: &mut Vec<MemberEffect>,
    ) {
        match input {
            MemberInput::Local(input) => self.local(tree, now, input, effects),
            MemberInput::Ballot { from, notification } => {
                let mut asked = Vec::new();
                self.election
                    .ballot(from, &notification, now.mono, &mut asked);
                self.elected(now, asked, effects);
            }
            MemberInput::PeerConnected(peer) => self.election.peer_connected(peer),
            MemberInput::PeerGone(peer) => {
                let mut asked = Vec::new();
                self.election.peer_gone(peer, now.mono, &mut asked);
                self.elected(now, asked, effects);
            }
            MemberInput::LeaderConnected => self.introduce(tree, now, effects),
            MemberInput::LeaderGone => {
                if let Role::Joining | Role::Following(_) = self.role {
                    self.look_again(now, effects);
                }
            }
            MemberInput::FromLeader(said) => {
                self.learner(tree, now, LearnerInput::Said(said), effects);
            }
            MemberInput::LearnerConnected(learner) => {
                self.leader(tree, now, LeaderInput::Connected(learner), effects);
            }
            MemberInput::FromLearner { from, said } => {
                self.leader(tree, now, LeaderInput::Said { from, said }, effects);
            }
            MemberInput::LearnerGone(learner) => {
                self.leader(tree, now, LeaderInput::Gone(learner), effects);
            }
            MemberInput::LogFound { learner, log } => {
                self.leader(tree, now, LeaderInput::LogFound { learner, log }, effects);
            }
            answer => self.answered(tree, now, answer, effects),
        }
    }

    /// The disk has done what was asked of it.
    fn answered(
        &mut self,
        tree: &Tree,
        now: Now,
        answer: MemberInput,
        effects: &mut Vec<MemberEffect>,
    ) {
        match answer {
            MemberInput::AcceptedEpochWritten(epoch) => {
                self.standing.accepted = epoch;
                self.leader(tree, now, LeaderInput::AcceptedEpochWritten(epoch), effects);
                self.learner(
                    tree,
                    now,
                    LearnerInput::AcceptedEpochWritten(epoch),
                    effects,
                );
            }
            MemberInput::CurrentEpochWritten(epoch) => {
                self.standing.current = epoch;
                self.leader(tree, now, LeaderInput::CurrentEpochWritten(epoch), effects);
                self.learner(tree, now, LearnerInput::CurrentEpochWritten(epoch), effects);
            }
            MemberInput::Truncated(done) => {
                let kept = mutated(Mutation::WindowKeptAcrossTruncation)
                    .then(|| self.standing.window.clone());
                if done {
                    self.stand_at(tree.last_zxid());
                }
                if let Some(kept) = kept {
                    self.standing.window = kept;
                }
                self.learner(tree, now, LearnerInput::Truncated(done), effects);
            }
            MemberInput::ImageLoaded(false) if matches!(self.role, Role::Reloading) => {
                self.vote_when_durable(now, effects);
            }
            MemberInput::ImageLoaded(done) => {
                if done {
                    self.on_disk
                        .get_or_insert_with(|| self.standing.window.clone());
                    self.stand_at(tree.last_zxid());
                }
                self.learner(tree, now, LearnerInput::ImageLoaded(done), effects);
            }
            MemberInput::ImageSaved(zxid) => {
                self.on_disk = None;
                self.standing.incomplete = false;
                self.learner(tree, now, LearnerInput::ImageSaved(zxid), effects);
            }
            // Everything else is no answer.
            _ => {}
        }
    }

    // What roles say.

    fn leader(
        &mut self,
        tree: &Tree,
        now: Now,
        input: LeaderInput,
        effects: &mut Vec<MemberEffect>,
    ) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let mut news = std::mem::take(&mut self.news.0);
        leading.peer(tree, now, input, effects, &mut news);
        self.note_leading(now, news, effects);
    }

    fn learner(
        &mut self,
        tree: &Tree,
        now: Now,
        input: LearnerInput,
        effects: &mut Vec<MemberEffect>,
    ) {
        let Role::Following(following) = &mut self.role else {
            return;
        };
        let mut news = std::mem::take(&mut self.news.1);
        following.peer(tree, now, input, effects, &mut news);
        self.note_following(now, news, effects);
    }

    // Clients, time, the own disk.

    fn local(&mut self, tree: &Tree, now: Now, input: Input, effects: &mut Vec<MemberEffect>) {
        match input {
            Input::Synced(zxid) => self.durable(tree, now, zxid, effects),
            Input::Tick => self.tick(tree, now, effects),
            Input::Connect { conn, .. } if !self.is_serving() => {
                let why = CloseReason::NotServing;
                effects.push(MemberEffect::Local(Effect::Close { conn, why }));
            }
            input => match &mut self.role {
                Role::Leading(leading) => {
                    let mut news = std::mem::take(&mut self.news.0);
                    leading.local(tree, now, input, effects, &mut news);
                    self.note_leading(now, news, effects);
                }
                Role::Following(following) => following.local(tree, input, effects),
                _ => {}
            },
        }
    }

    fn durable(&mut self, tree: &Tree, now: Now, zxid: Zxid, effects: &mut Vec<MemberEffect>) {
        self.synced = self.synced.max(zxid);
        if let Role::Settling = self.role {
            self.vote_when_durable(now, effects);
            return;
        }
        self.leader(tree, now, LeaderInput::Synced(zxid), effects);
        self.learner(tree, now, LearnerInput::Synced(zxid), effects);
    }

    fn tick(&mut self, tree: &Tree, now: Now, effects: &mut Vec<MemberEffect>) {
        let mut asked = Vec::new();
        self.election.tick(now.mono, &mut asked);
        self.elected(now, asked, effects);
        self.hold_back_no_longer(now, effects);
        let half = (self.config.proposer.tick_ms / 2).max(1);
        // After a pause the missed ticks are not made up for: what they would have asked is asked once.
        if now.mono >= self.next_half_tick {
            self.next_half_tick = (self.next_half_tick + half).max(now.mono);
            self.leader(tree, now, LeaderInput::Tick, effects);
        }
        self.learner(tree, now, LearnerInput::Tick, effects);
        if let Role::Leading(leading) = &mut self.role {
            let mut news = std::mem::take(&mut self.news.0);
            leading.local(tree, now, Input::Tick, effects, &mut news);
            self.note_leading(now, news, effects);
        }
    }

    /// This server.
    #[must_use]
    pub const fn id(&self) -> ServerId {
        self.config.proposer.server
    }
}
