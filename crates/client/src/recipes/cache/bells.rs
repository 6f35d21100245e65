//! Many one-shot watches, waited for at once. What has fired is found without looking at the others.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use super::survey::Task;
use crate::Watch;

/// One-shot watches, one for each task that left one.
#[derive(Debug, Default)]
pub(super) struct Bells {
    hung: BTreeMap<u64, (Task, Watch)>,
    places: BTreeMap<Task, u64>,
    next: u64,
    ringing: Arc<Ringing>,
}

/// Those that rang, and who waits for any.
#[derive(Debug, Default)]
struct Ringing(Mutex<(VecDeque<u64>, Option<Waker>)>);

/// Wakes whoever waits for any, and remembers which it was.
#[derive(Debug)]
struct Bell {
    id: u64,
    ringing: Arc<Ringing>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut ringing = self.ringing.0.lock();
        ringing.0.push_back(self.id);
        if let Some(waiting) = ringing.1.take() {
            waiting.wake();
        }
    }
}

impl Bells {
    /// Adds the watch of a task; an earlier one of the same task goes.
    pub(super) fn hang(&mut self, task: Task, watch: Watch) {
        let id = self.next;
        self.next += 1;
        // The old one goes last, so that the server's watch, which both share, stays.
        let before = self.places.insert(task.clone(), id);
        self.hung.insert(id, (task, watch));
        if let Some(before) = before {
            self.hung.remove(&before);
        }
        self.ringing.0.lock().0.push_back(id);
    }

    /// The watch of the task is there.
    pub(super) fn has(&self, task: &Task) -> bool {
        self.places.contains_key(task)
    }

    /// Drops the watch of a task.
    pub(super) fn take_down(&mut self, task: &Task) {
        if let Some(id) = self.places.remove(task) {
            self.hung.remove(&id);
        }
    }

    /// The task of the next watch that fired, or was removed.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Task> {
        while let Some(id) = self.rang(context) {
            let Some((_, watch)) = self.hung.get_mut(&id) else {
                continue;
            };
            let bell = Bell {
                id,
                ringing: Arc::clone(&self.ringing),
            };
            let waker = Waker::from(Arc::new(bell));
            let fired = Pin::new(watch).poll(&mut Context::from_waker(&waker));
            if fired.is_ready()
                && let Some((task, _)) = self.hung.remove(&id)
            {
                self.places.remove(&task);
                return Poll::Ready(task);
            }
        }
        Poll::Pending
    }

    fn rang(&self, context: &Context<'_>) -> Option<u64> {
        let mut ringing = self.ringing.0.lock();
        let rang = ringing.0.pop_front();
        if rang.is_none() {
            ringing.1 = Some(context.waker().clone());
        }
        rang
    }
}
