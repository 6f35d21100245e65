//! What a member knows of one lease of its own: who works on it, and whether it is still there.
//!
//! What lives here: the stages of a lease, and its watch. What does not: requests (`member`), what its holder has in hand (`lease`).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;

use crate::{Watch, Zxid};

/// A lease of this member.
pub(super) struct Held {
    pub(super) token: Zxid,
    pub(super) stage: Stage,
    /// Hears when somebody deletes or writes it. Without one, it has to be looked at.
    pub(super) watch: Option<Watch>,
}

/// How far the work on a lease has come.
pub(super) enum Stage {
    /// Nobody works on it.
    Idle,
    /// Somebody does.
    Working(watch::Sender<bool>),
    /// Somebody does, and was told to stop because of the connection. Returned, it is idle.
    Paused(watch::Sender<bool>),
    /// Somebody does, and was told to stop for good.
    Recalled,
    /// Nobody does, and the znode is to be deleted.
    Returned,
    /// Somebody does, and was told to stop for good: the znode is not ours any more.
    Gone,
}

impl Held {
    pub(super) const fn idle(token: Zxid) -> Self {
        Self {
            token,
            stage: Stage::Idle,
            watch: None,
        }
    }

    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self.stage, Stage::Recalled | Stage::Returned | Stage::Gone)
    }

    pub(super) const fn wants_watch(&self) -> bool {
        self.watch.is_none() && !matches!(self.stage, Stage::Gone)
    }

    /// Its watch has told something, or was removed.
    fn rings(&mut self, context: &mut Context<'_>) -> bool {
        let watch = self.watch.as_mut();
        watch.is_some_and(|watch| Pin::new(watch).poll(context).is_ready())
    }

    pub(super) fn drop_rung(&mut self) {
        if self.rings(&mut Context::from_waker(Waker::noop())) {
            self.watch = None;
        }
    }

    /// The znode is not ours any more. True if nobody works on it.
    pub(super) fn is_taken_away(&mut self) -> bool {
        self.recall();
        let is_returned = matches!(self.stage, Stage::Returned);
        self.stage = Stage::Gone;
        is_returned
    }

    pub(super) fn pause(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Working(stop) => {
                stop.send_replace(true);
                Stage::Paused(stop)
            }
            other => other,
        };
    }

    pub(super) fn recall(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Returned) {
            Stage::Working(stop) | Stage::Paused(stop) => {
                stop.send_replace(true);
                Stage::Recalled
            }
            stage @ (Stage::Recalled | Stage::Gone) => stage,
            Stage::Idle | Stage::Returned => Stage::Returned,
        };
    }
}

/// Waits until the watch of a lease has something to tell.
pub(super) async fn any_rings(held: &mut BTreeMap<u32, Held>) {
    poll_fn(|context| {
        let mut rang = false;
        for held in held.values_mut() {
            if held.rings(context) {
                held.watch = None;
                rang = true;
            }
        }
        if rang { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
