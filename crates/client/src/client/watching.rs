//! Leaving watches and removing them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rookeeper_proto::code::{AddWatchMode, OpCode, WatcherType};
use rookeeper_proto::compose;
use tokio::sync::oneshot;

use super::{Client, read_nothing};
use crate::call::{Call, Question, read_body};
use crate::connection::Interest;
use crate::error::Error;
use crate::session::{Reply, WatchId, WatchKind};
use crate::watch::{Guard, PersistentWatch, Signals, Sink, Watch};

/// Watching.
impl Client {
    /// Watches a znode, or a znode and everything below it, until the watch is dropped. The znode need not exist.
    ///
    /// Servers before 3.9 keep one watch for each path of a session, the one that came last, whatever its kind (ZOOKEEPER-4466). The
    /// client puts that right: when another kind of watch comes to the path of this one, it is set again behind the other, and tells
    /// [`Signal::Interrupted`](crate::Signal::Interrupted) and [`Signal::Restored`](crate::Signal::Restored), since changes between
    /// the two may be missed. So do not answer `Restored` with a one-shot watch on the same path: there, it leads to the next one.
    /// Both reaches on one path work there too.
    pub fn watch(&self, path: &str, mode: AddWatchMode) -> Call<PersistentWatch, PersistentWatch> {
        let full = match self.root.full(path) {
            Ok(full) => full,
            Err(error) => return Call::failed(error),
        };
        let signals = Arc::new(Signals::default());
        let watch = PersistentWatch {
            guard: self.guard(),
            signals: Arc::clone(&signals),
        };
        let frame = compose::add_watch(&full, mode);
        let place = (watch.guard.id, mode.into(), full.into());
        let sink = Some(Interest::Leaves(place, Sink::Stream(signals)));
        let question = self.question(path, watch);
        self.ask(
            OpCode::AddWatch,
            frame,
            sink,
            question,
            |reply, question| {
                read_body(reply, question, |_, _| Ok(())).map(|((), question)| question.extra)
            },
        )
    }

    /// Removes every watch of this client on `path` that is of this type; they end with [`Error::WatchRemoved`].
    /// Those that are asked for after this call stay.
    pub fn remove_watches(&self, path: &str, kind: WatcherType) -> Call<()> {
        let full = match self.root.full(path) {
            Ok(full) => full,
            Err(error) => return Call::failed(error),
        };
        let op = OpCode::RemoveWatches;
        let frame = compose::watch_query(op, &full, kind);
        let removes = Some(Interest::Removes((full, kind)));
        self.ask(op, frame, removes, self.question(path, ()), read_nothing)
    }

    fn guard(&self) -> Guard {
        Guard {
            id: WatchId(self.shared.next_watch.fetch_add(1, Ordering::Relaxed)),
            commands: self.shared.commands.downgrade(),
            root: self.root.clone(),
            armed: true,
        }
    }

    pub(super) fn watched<T>(
        &self,
        path: &str,
        op: OpCode,
        kind: WatchKind,
        read: fn(Reply, Question<Watch>) -> Result<T, Error>,
    ) -> Call<T, Watch> {
        let full = match self.root.full(path) {
            Ok(full) => full,
            Err(error) => return Call::failed(error),
        };
        let (sender, event) = oneshot::channel();
        let watch = Watch {
            guard: self.guard(),
            event,
        };
        let frame = compose::path_watch(op, &full, true);
        let place = (watch.guard.id, kind, full.into());
        let sink = Some(Interest::Leaves(place, Sink::Once(sender)));
        self.ask(op, frame, sink, self.question(path, watch), read)
    }
}
