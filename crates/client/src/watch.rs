//! Watches as values: one is a future, the other a stream. Dropping either removes the watch.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::Mutex;
use rookeeper_proto::code::EventType;
use rookeeper_proto::ids::Zxid;
use tokio::sync::{mpsc, oneshot};

use crate::chroot::Root;
use crate::connection::Command;
use crate::error::Error;
use crate::session::WatchId;

/// Signals that a persistent watch keeps for a slow reader. Past it they are dropped, and the reader is told to read again.
const MAX_SIGNALS: usize = 10_000;

/// A change of a znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventType,
    /// Where, below the client's root.
    pub path: String,
    /// The transaction that did it; -1 from servers before 3.9, and for what happened during a reconnect.
    pub zxid: Zxid,
}

/// What a persistent watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Something changed.
    Event(Event),
    /// The connection was lost: changes may be missed from here on.
    Interrupted,
    /// The watch is registered again: read again what you want to know.
    Restored,
}

/// Removes its watch when it goes.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) id: WatchId,
    pub(crate) commands: mpsc::WeakUnboundedSender<Command>,
    pub(crate) root: Root,
    /// There is something to remove.
    pub(crate) armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(commands) = self.commands.upgrade().filter(|_| self.armed) {
            // Nobody there to forget it: the session is over.
            let _ = commands.send(Command::Unwatch(self.id));
        }
    }
}

impl Guard {
    fn local(&self, mut event: Event) -> Event {
        event.path = self.root.strip(event.path);
        event
    }
}

/// A one-shot watch: a future that ends with the first event, or with the error that ended the session.
///
/// It survives reconnects. Dropping it removes the watch.
#[derive(Debug)]
#[must_use = "a watch is removed when it is dropped"]
pub struct Watch {
    pub(crate) guard: Guard,
    pub(crate) event: oneshot::Receiver<Result<Event, Error>>,
}

impl Future for Watch {
    type Output = Result<Event, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.event).poll(context).map(|event| {
            self.guard.armed = false;
            let event = event.unwrap_or(Err(Error::Closed))?;
            Ok(self.guard.local(event))
        })
    }
}

/// A watch that stays until it is dropped: a stream of signals. It ends with the session.
#[derive(Debug)]
#[must_use = "a watch is removed when it is dropped"]
pub struct PersistentWatch {
    pub(crate) guard: Guard,
    pub(crate) signals: Arc<Signals>,
}

impl PersistentWatch {
    /// The next signal; `None` when the session or the watch has ended. Safe to cancel.
    pub async fn next(&mut self) -> Option<Signal> {
        poll_fn(|context| self.poll_signal(context)).await
    }

    /// The next signal if it is there already.
    pub fn try_next(&mut self) -> Option<Signal> {
        let signal = self.signals.queue.lock().waiting.pop_front();
        signal.map(|signal| self.local(signal))
    }

    fn poll_signal(&self, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.signals
            .poll(context)
            .map(|signal| signal.map(|signal| self.local(signal)))
    }

    fn local(&self, signal: Signal) -> Signal {
        match signal {
            Signal::Event(event) => Signal::Event(self.guard.local(event)),
            other => other,
        }
    }
}

impl Stream for PersistentWatch {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.poll_signal(context)
    }
}

/// A bounded queue between the connection and one reader.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    queue: Mutex<SignalQueue>,
}

#[derive(Debug, Default)]
struct SignalQueue {
    waiting: VecDeque<Signal>,
    ended: bool,
    reader: Option<Waker>,
}

impl Signals {
    /// Adds a signal. A reader that is too slow loses what waits, and is told so as if the connection had been lost.
    pub(crate) fn push(&self, signal: Signal) {
        let mut queue = self.queue.lock();
        if queue.waiting.len() >= MAX_SIGNALS {
            queue.waiting.clear();
            queue.waiting.push_back(Signal::Interrupted);
            queue.waiting.push_back(Signal::Restored);
        }
        queue.waiting.push_back(signal);
        wake(queue.reader.take());
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        wake(queue.reader.take());
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Signal>> {
        let mut queue = self.queue.lock();
        match queue.waiting.pop_front() {
            Some(signal) => Poll::Ready(Some(signal)),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The connection's end of a watch.
#[derive(Debug)]
pub(crate) enum Sink {
    Once(oneshot::Sender<Result<Event, Error>>),
    Stream(Arc<Signals>),
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_slow_reader_is_told_to_read_again() {
        let signals = Signals::default();
        let event = |zxid| {
            Signal::Event(Event {
                kind: EventType::NodeDataChanged,
                path: "/a".into(),
                zxid: Zxid(zxid),
            })
        };
        for zxid in 0..=MAX_SIGNALS as i64 {
            signals.push(event(zxid));
        }
        signals.end();
        let context = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        while let Poll::Ready(Some(signal)) = signals.poll(&context) {
            seen.push(signal);
        }
        let last = event(MAX_SIGNALS as i64);
        assert_eq!(seen, [Signal::Interrupted, Signal::Restored, last]);
        assert_eq!(signals.poll(&context), Poll::Ready(None));
    }
}
