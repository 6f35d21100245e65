//! The leader: what `quorum` decides about transactions, and what the proposer decides about requests, put together.
//!
//! Invariants:
//! - Nothing is judged before the epoch is established.
//! - What is proposed is what was judged, in the same order; what is committed is applied in that order.

use std::collections::VecDeque;

use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::ForwardedRequest;
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::epoch;
use rookeeper_quorum::leader::Leader;
use rookeeper_quorum::leader::census::Census;
use rookeeper_quorum::leader::effect::{LeaderEffect, LeaderInput, StepDown};
use rookeeper_quorum::progress::LearnerId;
use rookeeper_tree::tree::Tree;

use super::effect::MemberEffect;
use crate::effect::Effect;
use crate::input::{Input, Now, SyncRequest};
use crate::proposer::{Proposer, ProposerConfig};
use crate::session_ids::SessionIds;
use crate::sessions::Sessions;

/// What the role tells the member about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The epoch of the history is durable.
    Established(i64),
    /// A transaction went to the log.
    Logged(Entry),
    /// A transaction is applied.
    Committed(Entry),
    /// Over.
    Over(StepDown),
}

#[derive(Debug)]
pub(super) struct Leading {
    leader: Leader,
    config: ProposerConfig,
    /// What this process gave before.
    given: Option<SessionIds>,
    /// Once the epoch is established.
    proposer: Option<Proposer>,
    /// Syncs of own clients that wait until a quorum is known to follow.
    syncs: VecDeque<(Zxid, SyncRequest)>,
    /// Empty: memory for what the leader wants, input by input.
    todo: Vec<LeaderEffect>,
    /// Empty: memory for what the proposer wants.
    wanted: Vec<Effect>,
}

impl Leading {
    pub(super) const fn new(
        leader: Leader,
        config: ProposerConfig,
        given: Option<SessionIds>,
    ) -> Self {
        Self {
            leader,
            config,
            given,
            proposer: None,
            syncs: VecDeque::new(),
            todo: Vec::new(),
            wanted: Vec::new(),
        }
    }

    pub(super) fn sessions(&self) -> Option<&Sessions> {
        self.proposer.as_ref().map(Proposer::sessions)
    }

    pub(super) fn session_ids(&self) -> Option<SessionIds> {
        let proposer = self.proposer.as_ref();
        proposer.map_or(self.given, |it| Some(it.ids))
    }

    pub(super) const fn is_serving(&self) -> bool {
        self.proposer.is_some()
    }

    pub(super) fn census(&self) -> Census {
        self.leader.census()
    }

    pub(super) fn fresh_until(&self, now: i64) -> i64 {
        self.leader.fresh_until(now)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.leader.outstanding()
    }

    /// What the leader wants first of all: nothing of it needs a tree yet.
    pub(super) fn begin(
        &mut self,
        todo: Vec<LeaderEffect>,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        for effect in todo {
            match effect {
                LeaderEffect::WriteAcceptedEpoch(epoch) => {
                    effects.push(MemberEffect::WriteAcceptedEpoch(epoch));
                }
                LeaderEffect::StepDown(why) => news.push(News::Over(why)),
                // A quorum of one still has to write its promise first.
                _ => {}
            }
        }
    }

    /// What concerns learners and the own disk.
    pub(super) fn peer(
        &mut self,
        tree: &Tree,
        now: Now,
        input: LeaderInput,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        let mut todo = std::mem::take(&mut self.todo);
        self.leader.handle(now.mono, input, &mut todo);
        self.perform(tree, now, &mut todo, effects, news);
        self.todo = todo;
        self.answer_syncs(now, effects);
    }

    /// What concerns the own clients, and time.
    pub(super) fn local(
        &mut self,
        tree: &Tree,
        now: Now,
        input: Input,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        let mut todo = std::mem::take(&mut self.todo);
        // Without a zxid to give the leader steps down, and nothing more is judged.
        let Some(next) = self.leader.next_zxid(&mut todo) else {
            self.perform(tree, now, &mut todo, effects, news);
            return;
        };
        let Some(proposer) = &mut self.proposer else {
            return;
        };
        let mut wanted = std::mem::take(&mut self.wanted);
        match input {
            Input::Connect { conn, request } => {
                proposer.connect(tree, now, conn, &request, &mut wanted);
            }
            Input::Write(request) => {
                if proposer.refuses() {
                    // Nothing more may be committed that would answer those behind all that is under way. The others keep their place.
                    let first = self.syncs.partition_point(|(at, _)| *at < next);
                    let syncs = self.syncs.drain(first..);
                    proposer.answer_in_turn(syncs.map(|(_, sync)| Effect::from(sync)), &mut wanted);
                }
                proposer.write(tree, now, request, &mut wanted);
            }
            Input::Disconnected(conn) => proposer.disconnected(conn),
            Input::Heard(heard) => proposer.heard(heard),
            Input::Tick => proposer.tick(tree, now, &mut wanted),
            Input::DiskFull(full) => proposer.disk_full(full),
            Input::Sync(request) => self.syncs.push_back((next, request)),
            Input::Synced(_) => {}
        }
        self.propose(now, &mut wanted, &mut todo, effects);
        self.perform(tree, now, &mut todo, effects, news);
        (self.wanted, self.todo) = (wanted, todo);
        self.answer_syncs(now, effects);
    }

    /// Who has everything that is committed answers a sync, but only who still leads has that for certain.
    fn answer_syncs(&mut self, now: Now, effects: &mut Vec<MemberEffect>) {
        if !self.syncs.is_empty() && now.mono <= self.fresh_until(now.mono) {
            self.answer_syncs_before(self.leader.last_committed().next(), effects);
        }
    }

    /// Answers between those to the writes before and behind: clients drop a connection whose replies come out of order. The commit
    /// of a later write says that this is still the leader.
    fn answer_syncs_before(&mut self, zxid: Zxid, effects: &mut Vec<MemberEffect>) {
        while let Some((_, request)) = self.syncs.pop_front_if(|(next, _)| *next <= zxid) {
            effects.push(MemberEffect::Local(Effect::from(request)));
        }
    }

    /// Hands what the proposer wants logged to the quorum, and the rest on.
    fn propose(
        &mut self,
        now: Now,
        wanted: &mut Vec<Effect>,
        todo: &mut Vec<LeaderEffect>,
        effects: &mut Vec<MemberEffect>,
    ) {
        for effect in wanted.drain(..) {
            match effect {
                Effect::Append { zxid, record } => {
                    let entry = Entry { zxid, txn: record };
                    self.leader.propose(entry, now.mono, todo);
                }
                other => effects.push(MemberEffect::Local(other)),
            }
        }
    }

    fn perform(
        &mut self,
        tree: &Tree,
        now: Now,
        todo: &mut Vec<LeaderEffect>,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        // Committed, and not told to the proposer: it looks through all that is under way each time.
        let mut untold = None;
        for effect in todo.drain(..) {
            if !matches!(effect, LeaderEffect::Commit(_) | LeaderEffect::Send { .. }) {
                self.committed(now, untold.take(), effects);
            }
            match effect {
                LeaderEffect::WriteAcceptedEpoch(epoch) => {
                    effects.push(MemberEffect::WriteAcceptedEpoch(epoch));
                }
                LeaderEffect::WriteCurrentEpoch(epoch) => {
                    effects.push(MemberEffect::WriteCurrentEpoch(epoch));
                }
                LeaderEffect::Send { to, said } => {
                    effects.push(MemberEffect::ToLearner { to, said });
                }
                LeaderEffect::LookUpLog { learner, peer } => {
                    effects.push(MemberEffect::LookUpLog { learner, peer });
                }
                LeaderEffect::SendLog { to, range } => {
                    effects.push(MemberEffect::SendLog { to, range });
                }
                LeaderEffect::SendImage { to, zxid } => {
                    effects.push(MemberEffect::SendImage { to, zxid });
                }
                LeaderEffect::Close { learner, why } => {
                    effects.push(MemberEffect::CloseLearner { learner, why });
                }
                LeaderEffect::Append(entry) => {
                    news.push(News::Logged(entry.clone()));
                    let Entry { zxid, txn } = entry;
                    effects.push(MemberEffect::Local(Effect::Append { zxid, record: txn }));
                }
                LeaderEffect::Established { epoch, .. } => {
                    self.established(tree, now, epoch, effects);
                    news.push(News::Established(epoch));
                }
                LeaderEffect::Commit(entry) => {
                    if !self.syncs.is_empty() {
                        self.committed(now, untold.take(), effects);
                        self.answer_syncs_before(entry.zxid, effects);
                    }
                    untold = Some(entry.zxid);
                    news.push(News::Committed(entry));
                }
                LeaderEffect::Request { from, request } => {
                    self.forwarded(tree, now, from, request, effects, news);
                }
                LeaderEffect::Touched(sessions) => self.touched(now, sessions),
                LeaderEffect::Revalidate {
                    from,
                    session,
                    timeout_ms,
                } => self.revalidate(now, from, (session, timeout_ms), effects),
                LeaderEffect::StepDown(why) => news.push(News::Over(why)),
            }
        }
        self.committed(now, untold, effects);
    }

    /// The sessions of the tree have their full time from now on; the first zxid is the one behind the beginning of the epoch.
    fn established(&mut self, tree: &Tree, now: Now, epoch: i64, effects: &mut Vec<MemberEffect>) {
        let beginning = epoch::beginning(epoch);
        let mut proposer = Proposer::new(self.config.clone(), tree, now);
        proposer.begin_epoch(beginning);
        proposer.ids = proposer.ids.behind(self.given);
        self.proposer = Some(proposer);
        effects.push(MemberEffect::BeginEpoch(beginning));
        effects.push(MemberEffect::Serve);
    }

    /// Everything up to `through` is committed, if there is anything.
    fn committed(&mut self, now: Now, through: Option<Zxid>, effects: &mut Vec<MemberEffect>) {
        let (Some(zxid), Some(proposer)) = (through, &mut self.proposer) else {
            return;
        };
        proposer.committed(now, zxid, &mut self.wanted);
        effects.extend(self.wanted.drain(..).map(MemberEffect::Local));
    }

    fn forwarded(
        &mut self,
        tree: &Tree,
        now: Now,
        from: LearnerId,
        request: ForwardedRequest,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        let mut todo = Vec::new();
        if request.op == OpCode::Sync.code() {
            self.leader.sync(from, now.mono, &mut todo);
        } else if self.leader.next_zxid(&mut todo).is_some()
            && let Some(proposer) = &mut self.proposer
        {
            let mut wanted = std::mem::take(&mut self.wanted);
            proposer.forwarded(tree, now, from, request, &mut wanted);
            self.propose(now, &mut wanted, &mut todo, effects);
            self.wanted = wanted;
        }
        self.perform(tree, now, &mut todo, effects, news);
    }

    fn touched(&mut self, now: Now, sessions: Vec<(SessionId, i32)>) {
        if let Some(proposer) = &mut self.proposer {
            let at = |(session, _)| (session, now.mono);
            proposer.heard(sessions.into_iter().map(at).collect());
        }
    }

    fn revalidate(
        &mut self,
        now: Now,
        from: LearnerId,
        (session, timeout_ms): (SessionId, i32),
        effects: &mut Vec<MemberEffect>,
    ) {
        let mut wanted = Vec::new();
        let valid = match &mut self.proposer {
            Some(proposer) => proposer.revalidate(now, from, (session, timeout_ms), &mut wanted),
            None => false,
        };
        effects.extend(wanted.into_iter().map(MemberEffect::Local));
        let said = FromLeader::Revalidated { session, valid };
        effects.push(MemberEffect::ToLearner { to: from, said });
    }
}
