//! What arrives while the shell does something else: watches that fire, and changes of the session.
//!
//! Each registered watch is a source. A background task prints what they tell; before a result is printed everything that is there
//! is printed first ([`Arrivals::settle`]), so that the event of the shell's own write comes before the result of that write.
//!
//! The shell is one watcher, as in ZooKeeper: a watch that is set twice is one, and an event that two sources tell is printed once.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rookeeper_client::{Client, Error, Event, PersistentWatch, Signal, State, States, Watch};
use rookeeper_proto::code::{AddWatchMode, WatcherType};
use rookeeper_proto::ids::Zxid;
use tokio::sync::Notify;

use crate::console::Console;
use crate::event_text;

/// How many events are remembered so that none is printed twice.
const REMEMBERED: usize = 256;

/// Everything that may arrive.
#[derive(Debug)]
pub struct Arrivals {
    console: Arc<Console>,
    /// Nothing is said of the session.
    is_quiet: bool,
    inner: Mutex<Inner>,
    /// Held from taking what has arrived until it is printed: who settles meanwhile waits for that.
    turn: Mutex<()>,
    /// Sources were added, or polled by somebody else: the background task must look again.
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    sources: FuturesUnordered<Source>,
    /// The newest registration of each watch.
    watches: BTreeMap<Key, u64>,
    registrations: u64,
    printed: Counts,
    prints: bool,
}

/// Kind, by its number on the wire, and path.
type Key = (i32, String);
type Source = Pin<Box<dyn Future<Output = Arrival> + Send>>;

/// A source that has something to tell, and goes on if it can.
enum Arrival {
    State(States, Option<State>),
    Once(Key, u64, Result<Event, Error>),
    Standing(Box<Standing>, Option<Signal>),
}

/// A watch that fires again and again.
struct Standing {
    key: Key,
    registration: u64,
    watch: PersistentWatch,
    told: Counts,
}

/// How often each of the last events was told.
#[derive(Debug, Default)]
struct Counts(VecDeque<((i32, String, Zxid), u32)>);

impl Counts {
    fn of(&self, event: &Event) -> u32 {
        let same = |((kind, path, zxid), _): &&((i32, String, Zxid), u32)| {
            *kind == event.kind.code() && *path == event.path && *zxid == event.zxid
        };
        self.0.iter().find(same).map_or(0, |(_, count)| *count)
    }

    /// Servers before 3.9 send no zxid, so such events can be told apart only by when they come.
    fn forget_unnumbered(&mut self) {
        self.0.retain(|((_, _, zxid), _)| zxid.0 >= 0);
    }

    /// Counts the event once more. Returns how often it was told by now.
    fn add(&mut self, event: &Event) -> u32 {
        let count = self.of(event) + 1;
        let key = (event.kind.code(), event.path.clone(), event.zxid);
        self.0.retain(|(known, _)| *known != key);
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((key, count));
        count
    }
}

impl Arrivals {
    /// Nothing yet. Events are printed to `console`; those of the session itself only if it is not quiet.
    #[must_use]
    pub fn new(console: Arc<Console>, is_quiet: bool) -> Self {
        let inner = Inner {
            sources: FuturesUnordered::new(),
            watches: BTreeMap::new(),
            registrations: 0,
            printed: Counts::default(),
            prints: true,
        };
        Self {
            console,
            is_quiet,
            inner: Mutex::new(inner),
            turn: Mutex::new(()),
            changed: Notify::new(),
        }
    }

    /// Prints what arrives until the future is dropped.
    pub async fn print(&self) {
        loop {
            let mut changed = pin!(self.changed.notified());
            poll_fn(|context| {
                if changed.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                self.drain(context);
                Poll::Pending
            })
            .await;
        }
    }

    /// Prints what has arrived by now.
    pub fn settle(&self) {
        self.drain(&mut Context::from_waker(Waker::noop()));
        self.changed.notify_one();
    }

    /// Tells how a session stands, and from now on its changes.
    pub fn add_session(&self, client: &Client) {
        let mut states = client.states();
        let now = client.state();
        // A change between the two is in both, and told once.
        let change = states.next().now_or_never().flatten();
        self.tell_state(change.unwrap_or(now));
        self.lock().sources.push(next_state(states));
        self.changed.notify_one();
    }

    /// Tells a one-shot watch: `kind` is `Data` or `Children`.
    pub fn add_once(&self, kind: WatcherType, path: &str, watch: Watch) {
        // What the watch before this one has to tell counts still.
        self.settle();
        let mut inner = self.lock();
        let (key, registration) = inner.register(kind.code(), path);
        inner.sources.push(Box::pin(async move {
            Arrival::Once(key, registration, watch.await)
        }));
        drop(inner);
        self.changed.notify_one();
    }

    /// Tells a watch that stays.
    pub fn add_standing(&self, mode: AddWatchMode, path: &str, watch: PersistentWatch) {
        self.settle();
        let kind = match mode {
            AddWatchMode::Persistent => WatcherType::Persistent,
            AddWatchMode::PersistentRecursive => WatcherType::PersistentRecursive,
        };
        let mut inner = self.lock();
        // ZooKeeper's watcher has one mode at a path: the newer one.
        inner.forget(WatcherType::Persistent, path);
        inner.forget(WatcherType::PersistentRecursive, path);
        let (key, registration) = inner.register(kind.code(), path);
        inner.sources.push(next_signal(Box::new(Standing {
            key,
            registration,
            watch,
            told: Counts::default(),
        })));
        drop(inner);
        self.changed.notify_one();
    }

    /// Forgets the watches of a kind on a path, which the server has removed, and prints an event for each of them.
    pub fn removed(&self, path: &str, kind: WatcherType) {
        self.settle();
        let kinds = match kind {
            WatcherType::Any => &[
                WatcherType::Data,
                WatcherType::Children,
                WatcherType::Persistent,
                WatcherType::PersistentRecursive,
            ][..],
            WatcherType::Data => &[WatcherType::Data],
            WatcherType::Children => &[WatcherType::Children],
            WatcherType::Persistent => &[WatcherType::Persistent],
            WatcherType::PersistentRecursive => &[WatcherType::PersistentRecursive],
        };
        for kind in kinds {
            let (was_there, prints) = {
                let mut inner = self.lock();
                (inner.forget(*kind, path), inner.prints)
            };
            if was_there && prints {
                let name = event_text::removal_name(*kind);
                let text =
                    event_text::event("SyncConnected", name, Some(path), event_text::NO_ZXID);
                self.console.event(&text);
            }
        }
    }

    /// Forgets every source.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.watches.clear();
        let sources = std::mem::take(&mut inner.sources);
        drop(inner);
        // Outside of the lock: a watch that is dropped may speak to its client.
        drop(sources);
    }

    /// Whether events are printed.
    #[must_use]
    pub fn prints(&self) -> bool {
        self.lock().prints
    }

    /// Whether changes of the session are printed.
    #[must_use]
    pub fn tells_states(&self) -> bool {
        self.prints() && !self.is_quiet
    }

    /// From now on events are printed, or not.
    pub fn set_prints(&self, prints: bool) {
        self.settle();
        self.lock().prints = prints;
    }

    /// Prints a change of the session.
    pub fn tell_state(&self, state: State) {
        let Some(name) = state_name(state) else {
            return;
        };
        if self.tells_states() {
            self.console
                .event(&event_text::event(name, "None", None, event_text::NO_ZXID));
        }
    }

    fn drain(&self, context: &mut Context<'_>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = Vec::new();
        let mut texts = String::new();
        {
            let mut inner = self.lock();
            while let Poll::Ready(Some(arrival)) = inner.sources.poll_next_unpin(context) {
                let told = inner.arrived(arrival, &mut states);
                texts.push_str(&told);
            }
            inner.printed.forget_unnumbered();
        }
        if !texts.is_empty() {
            self.console.event(&texts);
        }
        states.into_iter().for_each(|state| self.tell_state(state));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn register(&mut self, kind: i32, path: &str) -> (Key, u64) {
        self.registrations += 1;
        let key = (kind, path.to_owned());
        self.watches.insert(key.clone(), self.registrations);
        (key, self.registrations)
    }

    fn forget(&mut self, kind: WatcherType, path: &str) -> bool {
        self.watches
            .remove(&(kind.code(), path.to_owned()))
            .is_some()
    }

    /// Takes in what a source told. Returns the text to print.
    fn arrived(&mut self, arrival: Arrival, states: &mut Vec<State>) -> String {
        match arrival {
            Arrival::State(rest, Some(state)) => {
                states.push(state);
                self.sources.push(next_state(rest));
                String::new()
            }
            Arrival::State(_, None) => String::new(),
            Arrival::Once(key, registration, told) => {
                if self.watches.get(&key) != Some(&registration) {
                    return String::new();
                }
                // A watch that was removed is forgotten, and told of, by who removed it.
                if !matches!(told, Err(Error::WatchRemoved)) {
                    self.watches.remove(&key);
                }
                told.map_or_else(|_| String::new(), |event| self.told(&event, 1))
            }
            Arrival::Standing(mut standing, signal) => {
                if self.watches.get(&standing.key) != Some(&standing.registration) {
                    return String::new();
                }
                let text = match &signal {
                    Some(Signal::Event(event)) => {
                        let count = standing.told.add(event);
                        self.told(event, count)
                    }
                    _ => String::new(),
                };
                if signal.is_some() {
                    self.sources.push(next_signal(standing));
                }
                text
            }
        }
    }

    /// The text of an event that one source has told `count` times, unless another source was quicker.
    fn told(&mut self, event: &Event, count: u32) -> String {
        if count <= self.printed.of(event) {
            return String::new();
        }
        self.printed.add(event);
        match self.prints {
            true => event_text::event(
                "SyncConnected",
                event_text::kind_name(event.kind),
                Some(&event.path),
                event.zxid,
            ),
            false => String::new(),
        }
    }
}

fn next_state(mut states: States) -> Source {
    Box::pin(async move {
        let state = states.next().await;
        Arrival::State(states, state)
    })
}

fn next_signal(mut standing: Box<Standing>) -> Source {
    Box::pin(async move {
        let signal = standing.watch.next().await;
        Arrival::Standing(standing, signal)
    })
}

const fn state_name(state: State) -> Option<&'static str> {
    match state {
        State::Connecting => None,
        State::Connected => Some("SyncConnected"),
        State::ReadOnly => Some("ConnectedReadOnly"),
        State::Suspended => Some("Disconnected"),
        State::Expired => Some("Expired"),
        State::AuthFailed => Some("AuthFailed"),
        State::Closed => Some("Closed"),
    }
}
