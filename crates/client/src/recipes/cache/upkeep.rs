//! The task that keeps a cache: it listens, reads what it hears of, and hands what it finds to the contents.
//!
//! Invariants:
//! - A read that is taken was sent after those that were taken before, and shows a state that is not older.
//! - An answer that may be older than an event is not shown, but asked for again; an event that is taken after an answer that shows
//!   more changes nothing. Which is which is told by zxids; without one, it is read again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::attention::{Attention, Heard};
use super::contents::Contents;
use super::reading::{Found, Readings};
use super::scope::{Scope, child};
use super::survey::{Aspect, Survey, Task, Turn};
use super::{CacheError, CacheOptions};
use crate::{Children, Client, Data, Error, Zxid};

/// How long to wait when a server or this client is too busy for another read.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Somebody waits until everything that was heard has been read.
pub(super) type Waiter = oneshot::Sender<()>;

/// The task's state.
pub(super) struct Upkeep {
    pub(super) client: Client,
    pub(super) scope: Scope,
    pub(super) options: CacheOptions,
    pub(super) contents: Arc<Contents>,
    pub(super) waiters: mpsc::UnboundedReceiver<Waiter>,
    pub(super) work: Work,
}

/// What is being done.
#[derive(Default)]
pub(super) struct Work {
    survey: Survey,
    readings: Readings,
    /// When this turn is done, the cache is fresh.
    fresh_after: Option<Turn>,
    /// There is no connection: reading waits for the next.
    interrupted: bool,
    pause: Option<Instant>,
    waiting: Vec<(Turn, Waiter)>,
}

/// What happens next to the task.
enum Next {
    Heard(Heard),
    Read(Task, Result<Found, Error>),
    Asked(Option<Waiter>),
    Rested,
}

impl Upkeep {
    /// Until the session ends, a limit is passed or nobody holds the cache any more.
    pub(super) async fn run(mut self) {
        let Err(error) = self.keep().await;
        debug!(root = %self.scope.root, %error, "cache ended");
        self.contents.end(error);
    }

    async fn keep(&mut self) -> Result<Infallible, CacheError> {
        loop {
            let one_shot = self.options.one_shot_watches;
            let attention = Attention::begin(&self.client, &self.scope, one_shot);
            let mut attention = attention.await.map_err(CacheError::Client)?;
            self.read_everything();
            self.follow(&mut attention).await?;
            // Somebody removed the watch, or the next server does not know it.
            self.contents.turn_stale();
        }
    }

    /// Until the watch ends, and the session does not.
    async fn follow(&mut self, attention: &mut Attention) -> Result<(), CacheError> {
        loop {
            self.send_reads(attention);
            match self.next(attention).await {
                Next::Heard(Heard::Ended) if self.client.state().is_final() => {
                    // The end has a reason, and every request tells it.
                    let end = self.client.sync(&self.scope.root).await;
                    return Err(end.err().unwrap_or(Error::Closed).into());
                }
                Next::Heard(Heard::Ended) => return Ok(()),
                Next::Heard(heard) => self.heard(heard),
                Next::Read(task, found) => self.read(attention, &task, found)?,
                Next::Asked(Some(waiter)) => {
                    let turn = self.work.survey.end_turn();
                    self.work.waiting.push((turn, waiter));
                }
                Next::Asked(None) => return Err(CacheError::Dropped),
                Next::Rested => self.work.pause = None,
            }
            self.settle();
        }
    }

    async fn next(&mut self, attention: &mut Attention) -> Next {
        let pause = self.work.pause;
        let rest = async {
            match pause {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            heard = attention.next() => Next::Heard(heard),
            (task, found) = self.work.readings.next() => Next::Read(task, found),
            waiter = self.waiters.recv() => Next::Asked(waiter),
            () = rest => Next::Rested,
        }
    }

    /// Asks for all that is held and all that is below, so that what was missed is found.
    fn read_everything(&mut self) {
        let root = Arc::clone(&self.scope.root);
        let snapshot = self.contents.snapshot();
        let held = snapshot.iter().map(|znode| &znode.path);
        for path in std::iter::once(&root).chain(held.filter(|path| **path != root)) {
            self.want_all(path, self.work.survey.now());
        }
        self.work.fresh_after = Some(self.work.survey.end_turn());
        self.work.interrupted = false;
    }

    fn want_all(&mut self, path: &Arc<str>, turn: Turn) {
        for aspect in self.aspects(path) {
            self.work.survey.want(Task::new(path, aspect), turn, None);
        }
    }

    /// What is read of a znode.
    fn aspects(&self, path: &str) -> impl Iterator<Item = Aspect> + use<> {
        let data = self.scope.holds(path).then_some(Aspect::Data);
        let list = self.scope.lists(path).then_some(Aspect::List);
        data.into_iter().chain(list)
    }

    fn send_reads(&mut self, attention: &Attention) {
        let work = &mut self.work;
        if work.interrupted || work.pause.is_some() {
            return;
        }
        while work.readings.len() < self.options.reads_in_flight {
            let Some(task) = work.survey.depart() else {
                return;
            };
            let watched = attention.wants_watches();
            work.readings.send(&self.client, task, watched);
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Written(path, zxid) => self.written(&path, zxid),
            Heard::Deleted(path, zxid) => self.deleted(&path, zxid),
            Heard::Fired(task) => {
                let now = self.work.survey.now();
                self.work.survey.want(task, now, None);
            }
            Heard::Interrupted => {
                self.work.interrupted = true;
                self.contents.turn_stale();
            }
            Heard::Restored => self.read_everything(),
            Heard::Ended => {}
        }
    }

    fn written(&mut self, path: &Arc<str>, zxid: Option<Zxid>) {
        if !self.scope.holds(path) {
            return;
        }
        let shown = self.contents.changed_at(path);
        if zxid.is_none() || zxid > shown {
            let task = Task::new(path, Aspect::Data);
            let now = self.work.survey.now();
            self.work.survey.want(task, now, zxid);
        }
    }

    fn deleted(&mut self, path: &Arc<str>, zxid: Option<Zxid>) {
        let data = Task::new(path, Aspect::Data);
        let now = self.work.survey.now();
        let held = self.contents.changed_at(path);
        // What is on its way may have been read before the deletion.
        if self.work.survey.is_pending(&data) || (held.is_some() && zxid.is_none()) {
            self.work.survey.want(data, now, zxid);
        }
        if zxid.is_some_and(|zxid| held.is_some_and(|held| held < zxid)) {
            self.contents.remove(path);
        }
    }

    /// A read was answered.
    fn read(
        &mut self,
        attention: &mut Attention,
        task: &Task,
        found: Result<Found, Error>,
    ) -> Result<(), CacheError> {
        let found = match found {
            Ok(found) => Ok(found),
            Err(error) if is_hidden(&error) => Err(error),
            Err(error) if error.is_retriable() || error.code().is_some() => {
                self.again(task, &error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let shown = match &found {
            Ok(Found::Data(data, _)) => Some(data.stat.mzxid),
            _ => None,
        };
        let Some(turn) = self.work.survey.land(task, shown) else {
            return Ok(());
        };
        match found {
            Ok(Found::Data(data, watch)) => {
                attention.keep(task, watch);
                self.found_data(attention, task, data, turn)?;
            }
            Ok(Found::List(children, watch)) => {
                attention.keep(task, watch);
                self.found_list(task, &children, turn)?;
            }
            Ok(Found::Presence(Some(_), _)) => self.want_all(&task.path, turn),
            Ok(Found::Presence(None, watch)) => attention.keep(task, Some(watch)),
            Err(why) => self.found_nothing(attention, task, turn, &why),
        }
        self.work.survey.settle(task);
        Ok(())
    }

    fn again(&mut self, task: &Task, error: &Error) {
        let is_busy = !matches!(
            error,
            Error::ConnectionLost | Error::NotSent | Error::Timeout
        );
        if is_busy {
            self.work.pause = Some(Instant::now() + BUSY_PAUSE);
        }
        self.work.survey.put_back(task.clone());
    }

    fn found_data(
        &mut self,
        attention: &Attention,
        task: &Task,
        mut data: Data,
        turn: Turn,
    ) -> Result<(), CacheError> {
        // A copy: the original keeps the whole buffer that it was read into.
        data.bytes = bytes::Bytes::copy_from_slice(&data.bytes);
        let is_new = self.contents.show(&task.path, data);
        let list = Task::new(&task.path, Aspect::List);
        // A list that was read while the znode was away left no watch.
        if is_new
            && self.scope.lists(&task.path)
            && !attention.covers(&list)
            && !self.work.survey.is_pending(&list)
        {
            self.work.survey.want(list, turn, None);
        }
        let (znodes, bytes) = self.contents.size();
        self.check(znodes, bytes)
    }

    /// What is new in a list is read. What is missing is found by reading it: every znode that is held has its own watch, or is read
    /// after an interruption.
    fn found_list(
        &mut self,
        task: &Task,
        children: &Children,
        turn: Turn,
    ) -> Result<(), CacheError> {
        let parent = &task.path;
        let (held, bytes) = self.contents.size();
        let coming = self.work.survey.len().saturating_sub(2 * held) / 2;
        let snapshot = self.contents.snapshot();
        let names = children.names.iter().map(|name| child(parent, name));
        let new: Vec<Arc<str>> = names.filter(|path| snapshot.get(path).is_none()).collect();
        self.check(snapshot.len() + coming + new.len(), bytes)?;
        for path in &new {
            for aspect in self.aspects(path) {
                // What is on its way was sent after this list, and so is newer.
                self.work.survey.expect(Task::new(path, aspect), turn);
            }
        }
        Ok(())
    }

    /// A znode is not there, or not for us.
    fn found_nothing(&mut self, attention: &mut Attention, task: &Task, turn: Turn, why: &Error) {
        self.remove(attention, &task.path);
        let is_root = task.path == self.scope.root;
        if is_root && why.is_no_node() && attention.wants_watches() {
            let presence = Task::new(&task.path, Aspect::Presence);
            self.work.survey.want(presence, turn, None);
        }
    }

    fn remove(&self, attention: &mut Attention, path: &str) {
        for path in self.contents.remove(path) {
            attention.forget(&path);
        }
    }

    fn check(&self, znodes: usize, bytes: usize) -> Result<(), CacheError> {
        let root = || self.scope.root.to_string();
        let limit = self.options.max_znodes;
        if znodes > limit {
            return Err(CacheError::TooManyZnodes {
                root: root(),
                limit,
            });
        }
        let limit = self.options.max_bytes;
        if bytes > limit {
            return Err(CacheError::TooManyBytes {
                root: root(),
                limit,
            });
        }
        Ok(())
    }

    /// Tells everybody whose turn is done.
    fn settle(&mut self) {
        let work = &mut self.work;
        if let Some(turn) = work.fresh_after
            && work.survey.is_done(turn)
            && !work.interrupted
        {
            work.fresh_after = None;
            self.contents.turn_fresh();
        }
        let waiting = std::mem::take(&mut work.waiting);
        for (turn, waiter) in waiting {
            if work.survey.is_done(turn) {
                // Whoever asked need not wait.
                let _ = waiter.send(());
            } else {
                work.waiting.push((turn, waiter));
            }
        }
    }
}

/// A znode that is not there, or that may not be read.
fn is_hidden(error: &Error) -> bool {
    error.is_no_node() || error.code() == Some(crate::ErrorCode::NoAuth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stat;

    /// Of a client that never reaches a server: answers and events are told by hand.
    fn upkeep() -> Upkeep {
        Upkeep {
            client: Client::builder().open("127.0.0.1:1").unwrap(),
            scope: Scope::new("/a", 0, 1),
            options: CacheOptions::new(),
            contents: Arc::new(Contents::new()),
            waiters: mpsc::unbounded_channel().1,
            work: Work::default(),
        }
    }

    fn data(mzxid: i64) -> Data {
        let stat = Stat {
            mzxid: Zxid(mzxid),
            ..Stat::default()
        };
        Data {
            bytes: bytes::Bytes::new(),
            is_null: false,
            stat,
        }
    }

    fn found(mzxid: i64) -> Result<Found, Error> {
        Ok(Found::Data(data(mzxid), None))
    }

    fn task(path: &str, aspect: Aspect) -> Task {
        Task::new(&path.into(), aspect)
    }

    /// What is to be read, as if it were sent now.
    fn departing(upkeep: &mut Upkeep) -> Vec<Task> {
        std::iter::from_fn(|| upkeep.work.survey.depart()).collect()
    }

    #[tokio::test]
    async fn a_late_event_of_a_deletion_does_not_remove_what_came_after_it() {
        let mut upkeep = upkeep();
        let path: Arc<str> = "/a/x".into();
        let mut attention = Attention::begin(&upkeep.client, &upkeep.scope, true)
            .await
            .unwrap();
        upkeep.heard(Heard::Written(Arc::clone(&path), Some(Zxid(3))));
        let [read] = departing(&mut upkeep).try_into().unwrap();
        // The answer shows the znode that was created after the deletion, whose event is taken later.
        upkeep.read(&mut attention, &read, found(7)).unwrap();
        departing(&mut upkeep);
        upkeep.heard(Heard::Deleted(Arc::clone(&path), Some(Zxid(6))));
        upkeep.heard(Heard::Written(Arc::clone(&path), Some(Zxid(7))));
        assert_eq!(upkeep.contents.changed_at(&path), Some(Zxid(7)));
        assert_eq!(departing(&mut upkeep), []);
        upkeep.heard(Heard::Deleted(Arc::clone(&path), Some(Zxid(8))));
        assert_eq!(upkeep.contents.changed_at(&path), None);
    }

    #[tokio::test]
    async fn what_was_read_before_a_deletion_is_not_shown_after_it() {
        let mut upkeep = upkeep();
        let path: Arc<str> = "/a/x".into();
        let mut attention = Attention::begin(&upkeep.client, &upkeep.scope, true)
            .await
            .unwrap();
        upkeep.heard(Heard::Written(Arc::clone(&path), Some(Zxid(3))));
        let [read] = departing(&mut upkeep).try_into().unwrap();
        upkeep.heard(Heard::Deleted(Arc::clone(&path), Some(Zxid(4))));
        upkeep.read(&mut attention, &read, found(3)).unwrap();
        assert_eq!(upkeep.contents.changed_at(&path), None);
        assert_eq!(departing(&mut upkeep), [read]);
    }

    #[tokio::test]
    async fn without_a_transaction_an_event_only_tells_where_to_read() {
        let mut upkeep = upkeep();
        let path: Arc<str> = "/a".into();
        upkeep.contents.show(&path, data(5));
        upkeep.heard(Heard::Deleted(Arc::clone(&path), None));
        assert_eq!(upkeep.contents.changed_at(&path), Some(Zxid(5)));
        assert_eq!(departing(&mut upkeep), [task("/a", Aspect::Data)]);
    }

    #[tokio::test]
    async fn a_list_that_was_read_while_its_znode_was_away_is_read_again() {
        let mut upkeep = upkeep();
        let mut attention = Attention::begin(&upkeep.client, &upkeep.scope, true)
            .await
            .unwrap();
        upkeep.read_everything();
        let [data, list] = departing(&mut upkeep).try_into().unwrap();
        let absent = Error::Refused {
            code: crate::ErrorCode::NoNode,
            path: "/a".into(),
        };
        upkeep.read(&mut attention, &list, Err(absent)).unwrap();
        upkeep.read(&mut attention, &data, found(5)).unwrap();
        let missing = departing(&mut upkeep);
        assert!(missing.contains(&list), "{missing:?}");
    }
}
