//! What is to be read, what is on its way, and how far a request to be up to date has come. Pure: no client, no clock.
//!
//! Invariants:
//! - A task is on its way at most once, so what lands for one path is never older than what landed before.
//! - What was asked for while a task is on its way is read again, unless what lands is new enough.
//! - A task that follows from another (a child from its parent's list) belongs to the turn of the other, so a turn is done when all
//!   that was known to be missing when it ended has been read, whatever came later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::Zxid;

/// What is read of a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aspect {
    /// Data and stat.
    Data,
    /// Names of the children.
    List,
    /// Whether it is there: of a root that was not.
    Presence,
}

/// Something to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Task {
    pub(super) path: Arc<str>,
    pub(super) aspect: Aspect,
}

impl Task {
    pub(super) fn new(path: &Arc<str>, aspect: Aspect) -> Self {
        Self {
            path: Arc::clone(path),
            aspect,
        }
    }
}

/// Counts requests to be up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Turn(u64);

#[derive(Debug)]
struct Stage {
    turn: Turn,
    flying: bool,
    /// To be read again unless what lands is at least so new.
    again: Option<Zxid>,
}

/// Newer than anything: what lands cannot be new enough.
const NEVER_ENOUGH: Zxid = Zxid(i64::MAX);

/// All tasks.
#[derive(Debug, Default)]
pub(super) struct Survey {
    stages: BTreeMap<Task, Stage>,
    waiting: VecDeque<Task>,
    /// Tasks of each turn.
    open: BTreeMap<Turn, usize>,
    now: Turn,
}

impl Survey {
    /// The turn of what is asked for now.
    pub(super) const fn now(&self) -> Turn {
        self.now
    }

    /// Ends the turn, and tells which it was.
    pub(super) const fn end_turn(&mut self) -> Turn {
        let ended = self.now;
        self.now = Turn(ended.0 + 1);
        ended
    }

    /// Nothing of this turn or of earlier ones is missing.
    pub(super) fn is_done(&self, turn: Turn) -> bool {
        self.open
            .first_key_value()
            .is_none_or(|(open, _)| *open > turn)
    }

    /// Tasks that have not landed.
    pub(super) fn len(&self) -> usize {
        self.stages.len()
    }

    /// The task has not landed yet.
    pub(super) fn is_pending(&self, task: &Task) -> bool {
        self.stages.contains_key(task)
    }

    /// The task is to be done, again if it is on its way. `changed` is the transaction that makes it necessary, where that is known.
    pub(super) fn want(&mut self, task: Task, turn: Turn, changed: Option<Zxid>) {
        if let Some(stage) = self.stages.get_mut(&task)
            && stage.flying
        {
            stage.again = stage.again.max(changed.or(Some(NEVER_ENOUGH)));
        }
        self.expect(task, turn);
    }

    /// The task is to be done in this turn; one that is on its way will do.
    pub(super) fn expect(&mut self, task: Task, turn: Turn) {
        let Some(stage) = self.stages.get_mut(&task) else {
            let stage = Stage {
                turn,
                flying: false,
                again: None,
            };
            self.waiting.push_back(task.clone());
            self.stages.insert(task, stage);
            *self.open.entry(turn).or_default() += 1;
            return;
        };
        if turn < stage.turn {
            let before = std::mem::replace(&mut stage.turn, turn);
            *self.open.entry(turn).or_default() += 1;
            self.close(before);
        }
    }

    /// The next task; it is on its way from now on.
    pub(super) fn depart(&mut self) -> Option<Task> {
        let task = self.waiting.pop_front()?;
        if let Some(stage) = self.stages.get_mut(&task) {
            stage.flying = true;
        }
        Some(task)
    }

    /// A task failed and is done again.
    pub(super) fn put_back(&mut self, task: Task) {
        if let Some(stage) = self.stages.get_mut(&task) {
            stage.flying = false;
            stage.again = None;
            self.waiting.push_back(task);
        }
    }

    /// What was read shows all changes up to `shown`. Tells its turn if it may be used; otherwise it is read again.
    ///
    /// The turn stays open until [`Survey::settle`], so that what follows from the task can be wanted in between.
    pub(super) fn land(&mut self, task: &Task, shown: Option<Zxid>) -> Option<Turn> {
        let stage = self.stages.get(task)?;
        let enough = stage
            .again
            .is_none_or(|changed| shown.is_some_and(|shown| shown >= changed));
        if enough {
            return Some(stage.turn);
        }
        self.put_back(task.clone());
        None
    }

    /// A task that landed is done.
    pub(super) fn settle(&mut self, task: &Task) {
        if let Some(stage) = self.stages.remove(task) {
            self.close(stage.turn);
        }
    }

    fn close(&mut self, turn: Turn) {
        if let Some(count) = self.open.get_mut(&turn) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&turn);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(path: &str) -> Task {
        Task::new(&path.into(), Aspect::Data)
    }

    #[test]
    fn a_task_is_on_its_way_once() {
        let mut survey = Survey::default();
        let now = survey.now();
        survey.want(data("/a"), now, None);
        survey.want(data("/a"), now, None);
        assert_eq!(survey.depart(), Some(data("/a")));
        survey.want(data("/a"), now, None);
        assert_eq!(survey.depart(), None);
        // What was asked for meanwhile may not be in what lands.
        assert_eq!(survey.land(&data("/a"), Some(Zxid(9))), None);
        assert_eq!(survey.depart(), Some(data("/a")));
        assert_eq!(survey.land(&data("/a"), Some(Zxid(9))), Some(now));
    }

    #[test]
    fn what_is_new_enough_is_not_read_again() {
        let mut survey = Survey::default();
        let now = survey.now();
        survey.want(data("/a"), now, None);
        survey.depart();
        survey.want(data("/a"), now, Some(Zxid(5)));
        survey.want(data("/a"), now, Some(Zxid(7)));
        assert_eq!(survey.land(&data("/a"), Some(Zxid(6))), None);
        survey.depart();
        survey.want(data("/a"), now, Some(Zxid(7)));
        assert_eq!(survey.land(&data("/a"), Some(Zxid(7))), Some(now));
    }

    #[test]
    fn a_turn_ends_with_what_follows_from_it_and_not_with_what_comes_later() {
        let mut survey = Survey::default();
        let list = Task::new(&"/".into(), Aspect::List);
        survey.want(list.clone(), survey.now(), None);
        let turn = survey.end_turn();
        survey.depart();
        survey.want(data("/later"), survey.now(), None);
        let of = survey.land(&list, None).unwrap();
        survey.expect(data("/later"), of);
        survey.expect(data("/child"), of);
        survey.settle(&list);
        for path in ["/later", "/child"] {
            assert!(!survey.is_done(turn));
            assert_eq!(survey.depart(), Some(data(path)));
            survey.settle(&data(path));
        }
        assert!(survey.is_done(turn));
        assert_eq!(survey.len(), 0);
    }

    #[test]
    fn a_failed_task_is_done_again_in_its_turn() {
        let mut survey = Survey::default();
        survey.want(data("/a"), survey.now(), None);
        let turn = survey.end_turn();
        survey.depart();
        survey.put_back(data("/a"));
        assert!(!survey.is_done(turn));
        assert_eq!(survey.depart(), Some(data("/a")));
        assert_eq!(survey.land(&data("/a"), None), Some(turn));
        survey.settle(&data("/a"));
        assert!(survey.is_done(turn));
    }
}
