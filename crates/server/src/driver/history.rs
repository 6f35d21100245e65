//! The history of a member as a whole: cut where a leader says, replaced by a leader's state, or loaded again.
//!
//! What lives here: when that may begin, what the driver does meanwhile, and how it ends. What it does to files, on a thread of its
//! own: [`super::history_task`].
//!
//! Invariants:
//! - While the history is worked on the driver has no database, or no tree, and the member hears nothing but ballots, not even the time:
//!   so what it says of its history stays true, and it does not give up a leader whose state it is receiving.
//! - Work that was begun ends, and is told: a state that stops arriving is noticed where it is read.

use std::sync::Arc;

use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_proto::ids::Zxid;
use rookeeper_tree::tree::Tree;
use tracing::{error, info};

use super::history_task::{self, HistoryDone, HistoryError, HistoryTask, Outcome};
use super::{Digests, Driver, Ended, Part, Turn};
use crate::quorum_port::Tie;
use crate::quorum_port::leader::{ImageFault, Received};

/// What is being done to the history as a whole.
#[derive(Debug, Default)]
pub enum Work {
    /// Nothing.
    #[default]
    Idle,
    /// A snapshot must end before this may begin.
    Wanted(WorkKind),
    /// A thread does it.
    Running(WorkKind),
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
    pub(super) fn perform_on_history(
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
            MemberEffect::Reload => WorkKind::Reload,
            _ => WorkKind::Replace,
        };
        if !matches!(work, WorkKind::Replace) {
            self.part_from_clients_of_the_past();
        }
        self.apply(turn);
        self.want(work)?;
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

    fn want(&mut self, work: WorkKind) -> Ended {
        if let Some(ensemble) = self.ensemble() {
            ensemble.work = Work::Wanted(work);
        }
        if self.snapshots.is_busy() {
            self.snapshots.give_up();
        }
        self.work_when_possible()
    }

    /// Begins what is wanted, if no snapshot is being written any more.
    pub(super) fn work_when_possible(&mut self) -> Ended {
        if self.snapshots.is_busy() {
            return Ok(());
        }
        let Some(ensemble) = self.ensemble() else {
            return Ok(());
        };
        let Work::Wanted(work) = ensemble.work else {
            return Ok(());
        };
        ensemble.work = Work::Running(work);
        match work {
            WorkKind::Truncate(zxid) => self.start_task(HistoryTask::Truncate(zxid)),
            WorkKind::Reload => self.start_task(HistoryTask::Reload),
            WorkKind::Replace => self.start_task(HistoryTask::Replace),
            WorkKind::Receive(zxid) => {
                info!("receiving the state {zxid} of the leader");
                let options = ensemble.tree_options;
                if let Some(link) = &mut ensemble.leader {
                    link.receive_image(zxid, options);
                }
                // Both at once would take twice the memory.
                history_task::swap(&self.replica, Tree::new(options));
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
        Ok(history_task::start(
            task, database, replica, inbox, deleting,
        )?)
    }

    /// The leader's state arrived, or did not.
    pub(super) fn received(
        &mut self,
        tie: Tie,
        loaded: Result<Received, ImageFault>,
        turn: &mut Turn,
    ) -> Ended {
        let Some(ensemble) = self.ensemble() else {
            return Ok(());
        };
        if !matches!(ensemble.work, Work::Running(WorkKind::Receive(_))) {
            return Ok(());
        }
        // Nobody else ends this work: whatever became of the connection meanwhile, there must be a history again.
        let tied = ensemble.leader.as_ref().is_some_and(|l| l.is_tied(tie));
        let loaded = loaded.and_then(|received| tied.then_some(received).ok_or(ImageFault::Late));
        match loaded {
            Ok(Received { tree, inlet }) => {
                if let Some(link) = self.ensemble().and_then(|it| it.leader.as_mut()) {
                    link.go_on(inlet);
                }
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
                self.want(WorkKind::Reload)
            }
        }
    }

    /// The history is what it shall be.
    pub(super) fn worked(&mut self, done: HistoryDone, turn: &mut Turn) -> Ended {
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
        history_task::swap(&self.replica, tree);
    }

    fn rest(&mut self, answer: MemberInput, turn: &mut Turn) -> Ended {
        if let Some(ensemble) = self.ensemble() {
            ensemble.work = Work::Idle;
        }
        self.hear(answer, turn)
    }
}
