//! The way into the driver: everything that arrives while it works waits here, and is taken at once.
//!
//! Bounded by what may be outstanding: connections stop reading their sockets past the limits, so the queue holds at most the
//! requests they have read, and so many votes of each peer ([`Inbox::turn`]).

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::Input;
use tokio::sync::oneshot;

use crate::driver::DriverReport;

/// What the driver is told.
#[derive(Debug)]
pub enum Message {
    /// For the member.
    Input(Input),
    /// For a member of an ensemble: what other servers say, and how the ways to them are.
    Member(MemberInput),
    /// An operator asks.
    Report(oneshot::Sender<DriverReport>),
    /// A snapshot was written, or not.
    SnapshotEnded,
    /// Finish what is in flight and end.
    Stop,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Vec<Message>>,
    filled: Condvar,
    stopping: AtomicBool,
    /// How often everything was taken.
    turn: AtomicU64,
}

impl Inbox {
    /// Adds one message.
    pub fn send(&self, message: Message) {
        if matches!(message, Message::Stop) {
            self.stopping.store(true, Ordering::Relaxed);
        }
        self.queue.lock().push(message);
        self.filled.notify_one();
    }

    /// Adds several inputs at once and leaves the list empty.
    pub fn send_all(&self, inputs: &mut Vec<Input>) {
        self.queue
            .lock()
            .extend(inputs.drain(..).map(Message::Input));
        self.filled.notify_one();
    }

    /// True once [`Message::Stop`] was sent, taken or not: for whoever waits for something else meanwhile.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// How often everything was taken: who sends what others made counts by it how much of it waits here.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Waits for messages, at most `patience`, and moves all of them to `into`, which is empty.
    pub fn take(&self, patience: Duration, into: &mut Vec<Message>) {
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            self.filled.wait_for(&mut queue, patience);
        }
        mem::swap(&mut *queue, into);
        self.turn.fetch_add(1, Ordering::Relaxed);
    }
}
