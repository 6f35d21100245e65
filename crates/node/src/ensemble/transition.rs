//! From one role to the next: what an election decides, and what the end of a role leaves behind.
//!
//! What lives here: how a role begins and how it ends. What does not: what happens within one.

use rookeeper_proto::ballot::PeerState;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::jute::DecodeError;
use rookeeper_proto::txn::Record;
use rookeeper_quorum::committed::{CommittedWindow, Entry};
use rookeeper_quorum::election::effect::{Decision, ElectionEffect};
use rookeeper_quorum::leader::effect::StepDown;
use rookeeper_quorum::leader::{Leader, LeaderConfig};
use rookeeper_quorum::learner::effect::Departure;
use rookeeper_quorum::learner::{Learner, LearnerConfig};
use rookeeper_tree::prep::{Prepared, ReplyShape};
use rookeeper_tree::tree::Tree;

use super::effect::MemberEffect;
use super::following::Following;
use super::holding_back::Step;
use super::leading::Leading;
use super::{Member, Role, Standing};
use crate::effect::{Committed, Effect};
use crate::input::Now;
use crate::session_ids::SessionIds;

impl Member {
    pub(super) fn elected(
        &mut self,
        now: Now,
        asked: Vec<ElectionEffect>,
        effects: &mut Vec<MemberEffect>,
    ) {
        for effect in asked {
            match effect {
                ElectionEffect::Send { to, notification } => {
                    effects.push(MemberEffect::Ballot { to, notification });
                }
                ElectionEffect::Decided(decision) => self.take_role(now, &decision, effects),
                ElectionEffect::Restart => effects.push(MemberEffect::RestartElection),
                // The membership of a running ensemble does not change yet; a leader waits for its quorum as long as it may.
                ElectionEffect::Adopt(_) | ElectionEffect::StillLooking(_) => {}
            }
        }
    }

    pub(super) fn take_role(
        &mut self,
        now: Now,
        decision: &Decision,
        effects: &mut Vec<MemberEffect>,
    ) {
        if decision.state != PeerState::Leading {
            return self.take(now, Step::Connect(decision.vote.leader), effects);
        }
        effects.push(MemberEffect::Lead);
        let config = LeaderConfig {
            me: self.config.proposer.server,
            membership: self.config.membership.clone(),
            reconfig_enabled: false,
            tick_ms: self.config.proposer.tick_ms,
            init_limit: self.config.init_limit,
            sync_limit: self.config.sync_limit,
            force_snapshot: self.config.force_snapshot,
            sync_limits: self.config.sync_limits,
            last_counter: self.config.last_counter,
        };
        let Standing {
            accepted,
            current,
            window,
            ..
        } = self.standing.clone();
        let accepted = accepted.max(self.promised_elsewhere);
        let mut todo = Vec::new();
        let leader = Leader::new(config, current, accepted, window, now.mono, &mut todo);
        let mut leading = Leading::new(leader, self.config.proposer.clone(), self.given);
        self.next_half_tick = now.mono;
        let mut news = Vec::new();
        leading.begin(todo, effects, &mut news);
        self.role = Role::Leading(Box::new(leading));
        self.note_leading(now, news, effects);
    }

    pub(super) fn connect(&mut self, leader: ServerId, effects: &mut Vec<MemberEffect>) {
        self.role = Role::Joining;
        effects.push(MemberEffect::ConnectLeader(leader));
    }

    /// The connection to the leader is up.
    pub(super) fn introduce(&mut self, tree: &Tree, now: Now, effects: &mut Vec<MemberEffect>) {
        let Role::Joining = self.role else { return };
        let me = self.config.proposer.server;
        let config = LearnerConfig {
            me,
            role: self.vocation(),
            config_version: self.config.membership.version(),
            tick_ms: self.config.proposer.tick_ms,
            init_limit: self.config.init_limit,
            sync_limit: self.config.sync_limit,
            ask_for_image: std::mem::take(&mut self.ask_for_image) || self.standing.incomplete,
        };
        // Who may miss something says so here too: a leader must not count it among those whose history it has seen.
        let history = self.standing.history();
        let accepted = self.standing.accepted;
        let mut todo = Vec::new();
        let learner = Learner::new(config, history, accepted, now.mono, &mut todo);
        let mut following = Following::new(me, self.config.proposer.timeouts, self.given, learner);
        let mut news = Vec::new();
        following.perform(tree, now, &mut todo, effects, &mut news);
        self.role = Role::Following(Box::new(following));
        self.note_following(now, news, effects);
    }

    pub(super) fn step_down(&mut self, now: Now, why: StepDown, effects: &mut Vec<MemberEffect>) {
        if let StepDown::Outpromised { accepted, .. } = why {
            self.promised_elsewhere = accepted;
        }
        effects.push(MemberEffect::LeadNoLonger(why));
        self.look_again(now, effects);
    }

    pub(super) fn leave(
        &mut self,
        now: Now,
        why: Option<Departure>,
        effects: &mut Vec<MemberEffect>,
    ) {
        self.ask_for_image = why.is_some_and(Departure::wants_image);
        // Before the next election, which may be decided at once, and name the next connection.
        effects.push(MemberEffect::FollowNoLonger(why));
        self.look_again(now, effects);
    }

    /// The role is over. What is logged counts from now on, committed or not: the next leader will say.
    pub(super) fn look_again(&mut self, now: Now, effects: &mut Vec<MemberEffect>) {
        if self.is_serving() {
            effects.push(MemberEffect::ServeNoLonger);
        }
        self.given = self.session_ids();
        if let Some(on_disk) = self.on_disk.take() {
            self.go_back_to(on_disk, effects);
            return;
        }
        self.role = Role::Settling;
        while let Some(entry) = self.unapplied.pop_front() {
            // What cannot be read cannot be what the log took in, so nothing is lost by stopping before it.
            let Ok(apply) = applied(&entry) else { break };
            effects.push(MemberEffect::Local(apply));
            self.remember(entry);
        }
        self.unapplied.clear();
        self.vote_when_durable(now, effects);
    }

    fn session_ids(&self) -> Option<SessionIds> {
        match &self.role {
            Role::Leading(leading) => leading.session_ids(),
            Role::Following(following) => following.session_ids(),
            _ => self.given,
        }
    }

    /// Memory has a state that the disk does not have, and which may never get there. A vote says what is on the disk, and the log
    /// goes on behind that, so memory goes back to it first (ZOOKEEPER-3642).
    fn go_back_to(&mut self, on_disk: CommittedWindow, effects: &mut Vec<MemberEffect>) {
        self.unapplied.clear();
        (self.logged, self.synced) = (on_disk.last(), on_disk.last());
        self.standing.window = on_disk;
        self.role = Role::Reloading;
        effects.push(MemberEffect::Reload);
    }

    /// The tree and the log are others now, and end at `zxid`.
    pub(super) fn stand_at(&mut self, zxid: Zxid) {
        self.unapplied.clear();
        self.standing.window.reset(zxid);
        (self.logged, self.synced) = (zxid, zxid);
    }

    pub(super) fn vote_when_durable(&mut self, now: Now, effects: &mut Vec<MemberEffect>) {
        if self.synced >= self.logged {
            self.take(now, Step::Look, effects);
        }
    }

    pub(super) fn look(&mut self, now: Now, effects: &mut Vec<MemberEffect>) {
        self.role = Role::Looking;
        let mut asked = Vec::new();
        let history = self.standing.history();
        self.election.start_round(history, now.mono, &mut asked);
        self.elected(now, asked, effects);
    }

    /// A transaction is part of the state now.
    pub(super) fn remember(&mut self, entry: Entry) {
        let zxid = entry.zxid;
        if self.standing.window.push(entry).is_err() {
            // What came before is not known here, so others must not hear that there was nothing.
            self.standing.window.reset(zxid);
        }
    }
}

/// What makes a logged transaction part of the state, for nobody in particular.
pub(super) fn applied(entry: &Entry) -> Result<Effect, DecodeError> {
    let record = Record::decode(&entry.txn)?;
    Ok(Effect::Apply(Committed {
        header: record.header,
        prepared: Prepared {
            txn: record.txn,
            digest: record.digest,
            shape: ReplyShape::Header,
            over_soft_quota: None,
        },
        reply_to: None,
    }))
}
