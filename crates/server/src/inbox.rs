//! The way into the driver: everything that arrives while it works waits here, and is taken at once.
//!
//! Bounded by what may be outstanding: connections stop reading their sockets past the limits, so the queue holds at most the
//! requests they have read.
//!
//! The driver of a member of an ensemble waits for its sockets to other servers too. It sleeps in the kernel's `poll` then, and
//! whoever sends a message rings a bell that is among what is polled.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::Input;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::oneshot;

use crate::driver::DriverReport;
use crate::driver::history_task::HistoryDone;
use crate::quorum_port::Tie;
use crate::quorum_port::leader::{ImageFault, Reached, Received};
use crate::quorum_port::learners::Joined;

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
    Image(Tie, Result<Received, ImageFault>),
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
    /// The driver sleeps where only the bell wakes it.
    polling: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// Where the driver listens to sockets too.
    bell: OnceLock<OwnedFd>,
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
        let mut queue = self.queue.lock();
        queue.messages.push(message);
        self.wake(queue);
    }

    /// Adds several inputs at once and leaves the list empty.
    pub fn send_all(&self, inputs: &mut Vec<Input>) {
        let inputs = inputs.drain(..).map(Message::Input);
        let mut queue = self.queue.lock();
        queue.messages.extend(inputs);
        self.wake(queue);
    }

    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let polling = mem::take(&mut queue.polling);
        drop(queue);
        if !polling {
            self.filled.notify_one();
        } else if let Some(bell) = self.bell.get() {
            // Cannot fail: nobody rings so often that the count is full.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
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
    }

    /// From now on [`Self::take_or_hear`] may be used.
    pub fn hang_bell(&self) -> io::Result<()> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = eventfd(0, flags)?;
        // There may be one already.
        let _ = self.bell.set(bell);
        Ok(())
    }

    /// As [`Self::take`], but something to read from one of the sockets ends the waiting too. Tells of each whether it has that.
    pub fn take_or_hear<'a>(
        &'a self,
        patience: Duration,
        sockets: impl Iterator<Item = BorrowedFd<'a>>,
        into: &mut Vec<Message>,
    ) -> Vec<bool> {
        let bell = self.bell.get().map(AsFd::as_fd);
        let polled = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds: Vec<_> = sockets.chain(bell).map(polled).collect();
        let mut queue = self.queue.lock();
        queue.polling = queue.messages.is_empty();
        let patience = if queue.polling {
            patience
        } else {
            Duration::ZERO
        };
        drop(queue);
        // None is for ever. Whatever ends it: who calls looks at everything, and comes again.
        let _ = poll(&mut fds, Timespec::try_from(patience).ok().as_ref());
        let mut spoke: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if let Some(bell) = bell
            && spoke.pop() == Some(true)
        {
            let _ = rustix::io::read(bell, &mut [0; 8]);
        }
        let mut queue = self.queue.lock();
        queue.polling = false;
        mem::swap(&mut queue.messages, into);
        self.turn.fetch_add(1, Ordering::Relaxed);
        spoke
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::iter::once;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn belled() -> Arc<Inbox> {
        let inbox = Inbox::default();
        inbox.hang_bell().unwrap();
        Arc::new(inbox)
    }

    #[test]
    fn a_message_ends_the_waiting_for_sockets_and_its_bell_rings_once() {
        let (inbox, mut messages) = (belled(), Vec::new());
        let (silent, _other) = UnixStream::pair().unwrap();
        let sending = Arc::clone(&inbox);
        let sender = thread::spawn(move || sending.send(Message::SnapshotEnded));
        while messages.is_empty() {
            let spoke = inbox.take_or_hear(Duration::MAX, once(silent.as_fd()), &mut messages);
            assert_eq!(spoke, [false]);
        }
        sender.join().unwrap();
        messages.clear();
        // Whatever is left of the bell ends one more waiting at most.
        let short = Duration::from_millis(1);
        inbox.take_or_hear(short, once(silent.as_fd()), &mut messages);
        let bell = inbox.bell.get().unwrap();
        assert!(rustix::io::read(bell, &mut [0; 8]).is_err());
        assert!(messages.is_empty());
    }

    #[test]
    fn what_a_socket_has_ends_the_waiting_for_messages() {
        let (inbox, mut messages) = (belled(), Vec::new());
        let (mut one, two) = UnixStream::pair().unwrap();
        let sender = thread::spawn(move || one.write_all(b"x").map(|()| one));
        let spoke = inbox.take_or_hear(Duration::MAX, once(two.as_fd()), &mut messages);
        assert_eq!((spoke, messages.len()), (vec![true], 0));
        sender.join().unwrap().unwrap();
    }
}
