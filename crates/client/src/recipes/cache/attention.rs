//! How a cache hears of changes: by one persistent watch where the server has them, by a one-shot watch for every reading where it
//! has not. What is heard only tells where to read.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::bells::Bells;
use super::scope::Scope;
use super::survey::{Aspect, Task};
use crate::{
    AddWatchMode, Client, Error, Event, EventType, PersistentWatch, Retry, Signal, State, States,
    Watch, Zxid,
};

/// What a cache hears.
#[derive(Debug)]
pub(super) enum Heard {
    /// A znode was created or written, by this transaction if that is known.
    Written(Arc<str>, Option<Zxid>),
    /// A znode was deleted, by this transaction if that is known.
    Deleted(Arc<str>, Option<Zxid>),
    /// What this task reads has changed, and its watch is used up.
    Fired(Task),
    /// The connection is lost: changes may be missed.
    Interrupted,
    /// From now on nothing is missed: what was read before must be read again.
    Restored,
    /// Nothing is heard any more.
    Ended,
}

/// The two ways to hear.
#[derive(Debug)]
pub(super) enum Attention {
    Persistent(PersistentWatch),
    OneShot { bells: Bells, states: States },
}

impl Attention {
    /// Begins to listen. A server that refuses a persistent watch is listened to by one-shot watches.
    pub(super) async fn begin(
        client: &Client,
        scope: &Scope,
        one_shot: bool,
    ) -> Result<Self, Error> {
        if one_shot {
            return Ok(Self::one_shot(client));
        }
        let mode = if scope.is_single() {
            AddWatchMode::Persistent
        } else {
            AddWatchMode::PersistentRecursive
        };
        let retry = Retry::forever().idempotent();
        match retry.run(|| client.watch(&scope.root, mode)).await {
            Ok(watch) => Ok(Self::Persistent(watch)),
            Err(Error::Unsupported(_) | Error::Refused { .. }) => Ok(Self::one_shot(client)),
            Err(error) => Err(error),
        }
    }

    fn one_shot(client: &Client) -> Self {
        Self::OneShot {
            bells: Bells::default(),
            states: client.states(),
        }
    }

    /// Every reading has to leave a watch.
    pub(super) const fn wants_watches(&self) -> bool {
        matches!(self, Self::OneShot { .. })
    }

    /// Keeps the watch that a reading left.
    pub(super) fn keep(&mut self, task: &Task, watch: Option<Watch>) {
        if let (Self::OneShot { bells, .. }, Some(watch)) = (self, watch) {
            bells.hang(task.clone(), watch);
        }
    }

    /// What the task reads is watched.
    pub(super) fn covers(&self, task: &Task) -> bool {
        match self {
            Self::Persistent(_) => true,
            Self::OneShot { bells, .. } => bells.has(task),
        }
    }

    /// A znode is not there any more: its watches have nothing to tell.
    pub(super) fn forget(&mut self, path: &Arc<str>) {
        if let Self::OneShot { bells, .. } = self {
            bells.take_down(&Task::new(path, Aspect::Data));
            bells.take_down(&Task::new(path, Aspect::List));
        }
    }

    /// What is heard next. Safe to cancel.
    pub(super) async fn next(&mut self) -> Heard {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Heard> {
        match self {
            Self::Persistent(watch) => loop {
                let signal = ready!(std::pin::Pin::new(&mut *watch).poll_next(context));
                if let Some(heard) = signal.map_or(Some(Heard::Ended), of_signal) {
                    return Poll::Ready(heard);
                }
            },
            Self::OneShot { bells, states } => loop {
                match std::pin::Pin::new(&mut *states).poll_next(context) {
                    Poll::Ready(None) => return Poll::Ready(Heard::Ended),
                    Poll::Ready(Some(State::Connecting)) => {}
                    Poll::Ready(Some(State::Connected | State::ReadOnly)) => {
                        return Poll::Ready(Heard::Restored);
                    }
                    Poll::Ready(Some(_)) => return Poll::Ready(Heard::Interrupted),
                    Poll::Pending => return bells.poll(context).map(Heard::Fired),
                }
            },
        }
    }
}

fn of_signal(signal: Signal) -> Option<Heard> {
    match signal {
        Signal::Event(event) => of_event(event),
        Signal::Interrupted => Some(Heard::Interrupted),
        Signal::Restored => Some(Heard::Restored),
    }
}

fn of_event(event: Event) -> Option<Heard> {
    // Servers before 3.9, and events that make up for a lost connection, do not tell the transaction.
    let zxid = Some(event.zxid).filter(|zxid| zxid.0 > 0);
    let path = event.path.into();
    match event.kind {
        EventType::NodeDeleted => Some(Heard::Deleted(path, zxid)),
        EventType::NodeCreated | EventType::NodeDataChanged => Some(Heard::Written(path, zxid)),
        _ => None,
    }
}
