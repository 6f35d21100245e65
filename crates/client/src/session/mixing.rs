//! Watches of several kinds on one path, and servers where the one that came last replaces the others (ZOOKEEPER-4466, before 3.9).
//!
//! There, a persistent watch is deaf as soon as a one-shot watch or one of another reach comes to its path. So it is asked for again
//! behind whatever came, and who waits for it is told that changes may be missed. A recursive watch and one of the znode alone cannot
//! both be there: the recursive one is, and what it hears of children stands for the change of the list.
//!
//! Which kind a server is of is told by an event with its zxid (3.9 and later), or by a question about a type of watch that older
//! ones do not know; it is asked when a path has several kinds for the first time on a connection.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rookeeper_proto::code::{AddWatchMode, ErrorCode, EventType, OpCode, WatcherType};
use rookeeper_proto::compose;
use rookeeper_proto::ids::Zxid;
use tracing::debug;

use super::{Effect, Moment, Phase, Session, WatchKind};
use crate::error::Error;
use crate::watch::Event;

/// What the server makes of several kinds on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Manner {
    #[default]
    Unknown,
    /// Each is there.
    Apart,
    /// The last one is.
    LastCounts,
}

/// What is known of the server of this connection, and what is done about it.
#[derive(Debug, Default)]
pub(super) struct Mixing {
    manner: Manner,
    /// Paths that wait until it is known.
    doubtful: BTreeSet<Arc<str>>,
    /// Where a persistent watch is on its way again, in the order of the requests.
    mending: VecDeque<Arc<str>>,
}

impl Mixing {
    /// This event shows that the server keeps kinds apart.
    pub(super) fn learn(&mut self, zxid: Zxid) {
        if zxid > Zxid::ZERO {
            self.manner = Manner::Apart;
            self.doubtful.clear();
        }
    }
}

impl<C> Session<C> {
    /// A watch of `kind` came to `path`, at the server too.
    pub(super) fn mix(&mut self, now: Moment, path: &Arc<str>, kind: WatchKind) {
        if self.watches.is_mixed(path, kind) {
            self.doubt(now, path);
        }
    }

    /// Ends all watches on `path` of the kinds that `kind` names, on this side.
    pub(super) fn forget_watches(&mut self, now: Moment, path: &str, kind: WatcherType) {
        for id in self.watches.remove_all(path, kind) {
            self.effects.push(Effect::Ended(id, Error::WatchRemoved));
        }
        // Servers before 3.9 remove a persistent one with them.
        if !self.watches.persistent_at(path).is_empty() {
            self.doubt(now, &Arc::from(path));
        }
    }

    /// The server may have less on `path` than it should.
    pub(super) fn doubt(&mut self, now: Moment, path: &Arc<str>) {
        if self.phase != Phase::Online {
            return;
        }
        match self.mixing.manner {
            Manner::Apart => {}
            Manner::LastCounts => self.mend(now, path),
            Manner::Unknown => {
                let is_asked = !self.mixing.doubtful.is_empty();
                self.mixing.doubtful.insert(Arc::clone(path));
                if !is_asked {
                    let (op, kind) = (OpCode::CheckWatches, WatcherType::Persistent);
                    self.fly(now, op, compose::watch_query(op, path, kind));
                }
            }
        }
    }

    /// The answer to the question that older servers do not understand.
    pub(super) fn manner_answered(&mut self, now: Moment, err: i32) {
        let understood = [ErrorCode::Ok.code(), ErrorCode::NoWatcher.code()].contains(&err);
        let doubtful = std::mem::take(&mut self.mixing.doubtful);
        if self.mixing.manner != Manner::Unknown {
            return;
        }
        if understood {
            self.mixing.manner = Manner::Apart;
            return;
        }
        debug!("the server has one watch for each path: persistent ones are set again");
        self.mixing.manner = Manner::LastCounts;
        for path in doubtful {
            self.mend(now, &path);
        }
    }

    /// Asks again for the widest watch that is needed on `path`.
    fn mend(&mut self, now: Moment, path: &Arc<str>) {
        let Some(mode) = self.watches.widest(path) else {
            return;
        };
        self.mixing.mending.push_back(Arc::clone(path));
        self.fly(now, OpCode::AddWatch, compose::add_watch(path, mode));
    }

    /// It is there again: what happened meanwhile may be missed.
    pub(super) fn mended(&mut self, err: i32) {
        let Some(path) = self.mixing.mending.pop_front() else {
            return;
        };
        for id in self.watches.persistent_at(&path) {
            if err == ErrorCode::Ok.code() {
                self.effects.push(Effect::Interrupted(id));
                self.effects.push(Effect::Restored(id));
            } else {
                self.watches.remove(id);
                self.effects.push(Effect::Ended(id, Error::WatchRemoved));
            }
        }
    }

    /// Where only the recursive watch is there, it tells no change of the list: children that come and go do.
    pub(super) fn imply(&mut self, zxid: Zxid, kind: EventType, path: &str) {
        let is_about_list = matches!(kind, EventType::NodeCreated | EventType::NodeDeleted);
        let is_told_apart = self.mixing.manner == Manner::Apart || zxid > Zxid::ZERO;
        if is_told_apart || !is_about_list || path == "/" {
            return;
        }
        let parent = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        };
        if self.watches.widest(parent) != Some(AddWatchMode::PersistentRecursive) {
            return;
        }
        let kind = EventType::NodeChildrenChanged;
        for id in self.watches.fire(kind, parent) {
            let event = Event {
                kind,
                path: parent.to_owned(),
                zxid,
            };
            self.effects.push(Effect::Event(id, event));
        }
    }

    /// Sends a request of its own at once, past those that wait.
    fn fly(&mut self, now: Moment, op: OpCode, frame: Vec<u8>) {
        self.heart.sent(now);
        self.flight.fly_silent(now, op, frame, &mut self.output);
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::response::NO_ZXID;

    use super::super::WatchId;
    use super::super::story::Story;
    use super::*;

    /// A recursive watch, numbered 1, and what comes to its path after it, numbered 2.
    fn crowded(op: OpCode, kind: WatchKind) -> Story {
        let mut story = Story::connected();
        story.ask_watched(1, OpCode::AddWatch, 1, WatchKind::Recursive);
        story.ask_watched(2, op, 2, kind);
        story.sent();
        story.reply(1, 7, ErrorCode::Ok);
        story.reply(2, 7, ErrorCode::Ok);
        story.effects();
        story
    }

    #[test]
    fn where_the_last_watch_counts_the_persistent_one_is_set_again() {
        let mut story = crowded(OpCode::GetData, WatchKind::Data);
        assert_eq!(story.sent(), [(3, OpCode::CheckWatches)]);
        story.reply(3, 7, ErrorCode::MarshallingError);
        assert_eq!(story.sent(), [(4, OpCode::AddWatch)]);
        story.reply(4, 7, ErrorCode::Ok);
        assert_eq!(story.effects(), ["watch 1 interrupted", "watch 1 restored"]);
        // It is known now.
        story.ask_watched(5, OpCode::GetData, 3, WatchKind::Data);
        story.sent();
        story.reply(5, 7, ErrorCode::Ok);
        assert_eq!(story.sent(), [(6, OpCode::AddWatch)]);
    }

    #[test]
    fn where_each_watch_is_there_nothing_is_set_again() {
        let mut story = crowded(OpCode::GetData, WatchKind::Data);
        assert_eq!(story.sent(), [(3, OpCode::CheckWatches)]);
        story.reply(3, 7, ErrorCode::Ok);
        story.ask_watched(4, OpCode::GetData, 3, WatchKind::Data);
        story.sent();
        story.reply(4, 7, ErrorCode::Ok);
        assert_eq!(story.sent(), []);
        assert_eq!(story.effects(), ["4: 0"]);
    }

    #[test]
    fn an_event_with_its_transaction_answers_the_question() {
        let mut story = Story::connected();
        story.ask_watched(1, OpCode::AddWatch, 1, WatchKind::Persistent);
        story.sent();
        story.reply(1, 7, ErrorCode::Ok);
        story.event(EventType::NodeDataChanged, "/a");
        story.ask_watched(2, OpCode::GetData, 2, WatchKind::Data);
        story.sent();
        story.reply(2, 9, ErrorCode::Ok);
        assert_eq!(story.sent(), []);
    }

    #[test]
    fn beside_a_recursive_watch_a_child_that_comes_is_a_change_of_the_list() {
        let mut story = crowded(OpCode::AddWatch, WatchKind::Persistent);
        story.ask_watched(3, OpCode::GetChildren2, 3, WatchKind::Child);
        story.sent();
        story.reply(3, 7, ErrorCode::MarshallingError);
        story.sent();
        story.reply(4, 7, ErrorCode::Ok);
        story.effects();
        story.event_of(NO_ZXID, EventType::NodeCreated, "/a/b");
        assert_eq!(
            story.effects(),
            [
                "watch 1: NodeCreated /a/b",
                "watch 2: NodeChildrenChanged /a",
                "watch 3: NodeChildrenChanged /a"
            ]
        );
        // What is further below is nothing to the list.
        story.event_of(NO_ZXID, EventType::NodeDeleted, "/a/b/c");
        assert_eq!(story.effects(), ["watch 1: NodeDeleted /a/b/c"]);
    }

    #[test]
    fn what_a_recursive_watch_stood_for_is_set_when_it_goes() {
        let mut story = crowded(OpCode::AddWatch, WatchKind::Persistent);
        story.sent();
        story.reply(3, 7, ErrorCode::MarshallingError);
        story.sent();
        story.reply(4, 7, ErrorCode::Ok);
        story.effects();
        story.session.unwatch(story.now, WatchId(1));
        let sent = story.sent();
        assert!(
            sent.iter().any(|(_, op)| *op == OpCode::AddWatch),
            "{sent:?}"
        );
    }
}
