//! The way into the driver: everything that arrives while it works waits here, and is taken at once.
//!
//! Bounded by what may be outstanding: connections stop reading their sockets past the limits, so the queue holds at most the
//! requests they have read; a thread that reads for another server waits while too much of what it brought is not taken.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::Input;
use rookeeper_tree::tree::Tree;
use tokio::sync::oneshot;

use crate::driver::DriverReport;
use crate::driver::history_task::HistoryDone;
use crate::quorum_port::Tie;
use crate::quorum_port::leader::{ImageFault, Reached};
use crate::quorum_port::learners::Joined;

/// Bytes of packets from other servers that may wait; whoever brings more waits itself.
const MAX_TIED_BYTES: usize = 32 * 1024 * 1024;
/// How long such a thread waits before it looks whether the server still takes anything.
const TIED_PATIENCE: Duration = Duration::from_millis(100);

/// What the driver is told.
#[derive(Debug)]
pub enum Message {
    /// For the member.
    Input(Input),
    /// For a member of an ensemble: what concerns elections, and answers.
    Member(MemberInput),
    /// The same, over a connection that counts only as long as its tie.
    Tied(Tie, Vec<MemberInput>),
    /// A learner has connected.
    Joined(Tie, Joined),
    /// The leader is reached.
    Reached(Tie, Reached),
    /// The leader's state arrived, or not.
    Image(Tie, Result<Box<Tree>, ImageFault>),
    /// What was done to the history.
    History(Box<HistoryDone>),
    /// An operator asks.
    Report(oneshot::Sender<DriverReport>),
    /// A snapshot was written, or not.
    SnapshotEnded,
    /// Finish what is in flight and end.
    Stop,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Vec<Message>,
    tied_bytes: usize,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
    taken: Condvar,
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
        self.queue.lock().messages.push(message);
        self.filled.notify_one();
    }

    /// Adds several inputs at once and leaves the list empty.
    pub fn send_all(&self, inputs: &mut Vec<Input>) {
        let inputs = inputs.drain(..).map(Message::Input);
        self.queue.lock().messages.extend(inputs);
        self.filled.notify_one();
    }

    /// Adds what another server said, `bytes` of it; waits first while too much is waiting.
    pub fn send_tied(&self, tie: Tie, inputs: Vec<MemberInput>, bytes: usize) {
        let mut queue = self.queue.lock();
        while queue.tied_bytes > MAX_TIED_BYTES && !self.is_stopping() {
            self.taken.wait_for(&mut queue, TIED_PATIENCE);
        }
        queue.tied_bytes += bytes;
        queue.messages.push(Message::Tied(tie, inputs));
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
        if queue.messages.is_empty() {
            self.filled.wait_for(&mut queue, patience);
        }
        mem::swap(&mut queue.messages, into);
        self.turn.fetch_add(1, Ordering::Relaxed);
        if mem::take(&mut queue.tied_bytes) > MAX_TIED_BYTES {
            self.taken.notify_all();
        }
    }
}
