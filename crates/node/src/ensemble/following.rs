//! Followers and observers: what `quorum` decides about the leader's transactions, and where the own clients' requests are.
//!
//! Invariants:
//! - Clients are served only after the leader says that a quorum has its history.
//! - What is committed is applied in order, and answered behind that.

use rookeeper_proto::ids::{ServerId, SessionId};
use rookeeper_proto::jute::DecodeError;
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::learner::Learner;
use rookeeper_quorum::learner::effect::{Departure, LearnerEffect, LearnerInput};
use rookeeper_tree::tree::Tree;

use super::effect::MemberEffect;
use crate::effect::Effect;
use crate::forwarder::{Forwarder, ForwarderEffect};
use crate::input::{Input, Now};
use crate::session_ids::SessionIds;
use crate::sessions::TimeoutBounds;

/// What the role tells the member about itself.
#[derive(Debug)]
pub(super) enum News {
    /// The epoch is established, and clients are served.
    Serving(i64),
    /// A transaction went to the log.
    Logged(Entry),
    /// A transaction is applied.
    Committed(Entry),
    /// Over.
    Over(Option<Departure>),
}

#[derive(Debug)]
pub(super) struct Following {
    me: ServerId,
    timeouts: TimeoutBounds,
    /// What this process gave before.
    given: Option<SessionIds>,
    learner: Learner,
    /// Once clients are served.
    forwarder: Option<Forwarder>,
    /// Empty: memory for what the learner wants, input by input.
    todo: Vec<LearnerEffect>,
    /// Empty: memory for what the forwarder wants.
    wanted: Vec<ForwarderEffect>,
}

impl Following {
    pub(super) const fn new(
        me: ServerId,
        timeouts: TimeoutBounds,
        given: Option<SessionIds>,
        learner: Learner,
    ) -> Self {
        Self {
            me,
            timeouts,
            given,
            learner,
            forwarder: None,
            todo: Vec::new(),
            wanted: Vec::new(),
        }
    }

    pub(super) const fn is_serving(&self) -> bool {
        self.forwarder.is_some()
    }

    pub(super) const fn fresh_until(&self) -> i64 {
        self.learner.fresh_until()
    }

    pub(super) const fn wants_more(&self) -> bool {
        self.learner.wants_more()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.forwarder.as_ref().map_or(0, Forwarder::in_flight)
    }

    pub(super) fn session_ids(&self) -> Option<SessionIds> {
        let forwarder = self.forwarder.as_ref();
        forwarder.map_or(self.given, |it| Some(it.session_ids()))
    }

    /// What concerns the leader and the own disk.
    pub(super) fn peer(
        &mut self,
        tree: &Tree,
        now: Now,
        input: LearnerInput,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        let mut todo = std::mem::take(&mut self.todo);
        self.learner.handle(now.mono, input, &mut todo);
        self.perform(tree, now, &mut todo, effects, news);
        self.todo = todo;
    }

    pub(super) fn perform(
        &mut self,
        tree: &Tree,
        now: Now,
        todo: &mut Vec<LearnerEffect>,
        effects: &mut Vec<MemberEffect>,
        news: &mut Vec<News>,
    ) {
        for effect in todo.drain(..) {
            match effect {
                LearnerEffect::Send(said) => effects.push(MemberEffect::ToLeader(said)),
                LearnerEffect::WriteAcceptedEpoch(epoch) => {
                    effects.push(MemberEffect::WriteAcceptedEpoch(epoch));
                }
                LearnerEffect::WriteCurrentEpoch(epoch) => {
                    effects.push(MemberEffect::WriteCurrentEpoch(epoch));
                }
                LearnerEffect::Truncate(zxid) => effects.push(MemberEffect::Truncate(zxid)),
                LearnerEffect::LoadImage(zxid) => effects.push(MemberEffect::LoadImage(zxid)),
                LearnerEffect::SaveImage(zxid) => effects.push(MemberEffect::SaveImage(zxid)),
                LearnerEffect::Append(entry) => {
                    if let Some(forwarder) = &mut self.forwarder {
                        forwarder.logged(&entry);
                    }
                    news.push(News::Logged(entry.clone()));
                    let Entry { zxid, txn } = entry;
                    effects.push(MemberEffect::Local(Effect::Append { zxid, record: txn }));
                }
                LearnerEffect::Commit { entry, .. } => {
                    if self.committed(&entry, effects).is_err() {
                        // Its meaning is unknown, so nothing behind it can be applied either.
                        news.push(News::Over(None));
                        return;
                    }
                    news.push(News::Committed(entry));
                }
                // The membership of a running ensemble does not change yet.
                LearnerEffect::SeeConfig(_) => {}
                LearnerEffect::Serve { epoch, .. } => {
                    let ids = SessionIds::new(self.me, tree, now).behind(self.given);
                    self.forwarder = Some(Forwarder::new(ids, self.timeouts));
                    effects.push(MemberEffect::Serve);
                    news.push(News::Serving(epoch));
                }
                LearnerEffect::Ping(zxid) => {
                    if let Some(forwarder) = &mut self.forwarder {
                        effects.push(MemberEffect::ToLeader(forwarder.ping(zxid)));
                    }
                }
                LearnerEffect::SyncDone => self.here(effects, Forwarder::sync_done),
                LearnerEffect::Revalidated { session, valid } => {
                    self.here(effects, |forwarder, wanted| {
                        forwarder.revalidated(session, valid, wanted);
                    });
                }
                LearnerEffect::Leave(why) => news.push(News::Over(Some(why))),
            }
        }
    }

    /// Before clients are served a transaction is applied all the same, for nobody in particular.
    fn committed(
        &mut self,
        entry: &Entry,
        effects: &mut Vec<MemberEffect>,
    ) -> Result<(), DecodeError> {
        if self.forwarder.is_none() {
            effects.push(MemberEffect::Local(super::transition::applied(entry)?));
            return Ok(());
        }
        let mut outcome = Ok(());
        self.here(effects, |forwarder, wanted| {
            outcome = forwarder.committed(entry, wanted);
        });
        outcome
    }

    /// What concerns the own clients, and time.
    pub(super) fn local(&mut self, tree: &Tree, input: Input, effects: &mut Vec<MemberEffect>) {
        self.here(effects, |forwarder, wanted| match input {
            Input::Connect { conn, request } => forwarder.connect(tree, conn, &request, wanted),
            Input::Write(request) => forwarder.write(request, wanted),
            Input::Sync(request) => forwarder.sync(request, wanted),
            Input::Disconnected(conn) => forwarder.disconnected(conn),
            Input::Heard(heard) => {
                forwarder.heard(
                    heard
                        .into_iter()
                        .map(|(session, _): (SessionId, _)| session),
                );
            }
            Input::Tick | Input::Synced(_) | Input::DiskFull(_) => {}
        });
    }

    fn here(
        &mut self,
        effects: &mut Vec<MemberEffect>,
        act: impl FnOnce(&mut Forwarder, &mut Vec<ForwarderEffect>),
    ) {
        let Some(forwarder) = &mut self.forwarder else {
            return;
        };
        act(forwarder, &mut self.wanted);
        effects.extend(self.wanted.drain(..).map(|effect| match effect {
            ForwarderEffect::Say(said) => MemberEffect::ToLeader(said),
            ForwarderEffect::Here(effect) => MemberEffect::Local(effect),
        }));
    }
}
