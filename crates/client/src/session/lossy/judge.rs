//! What callers were told, and whether it agrees with what happened at the server.

use std::collections::BTreeMap;

use rookeeper_proto::code::{ErrorCode, WatcherType};

use super::model::{Change, Link, Model, Processed, is_within, touches_data, touches_list};
use crate::error::Error;
use crate::session::{Reply, WatchKind};
use crate::watch::Event;

/// What somebody asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) watch: Option<(u64, WatchKind, String)>,
    pub(super) removes: Option<(String, WatcherType)>,
    /// Not in the order of requests.
    pub(super) proves: bool,
    pub(super) answers: Vec<Result<i32, Error>>,
}

/// What became of a watch.
#[derive(Debug)]
struct Watching {
    call: u32,
    kind: WatchKind,
    path: String,
    dropped: bool,
    ended: Option<Error>,
    events: Vec<Event>,
    interrupted: bool,
}

/// The ledger.
#[derive(Debug, Default)]
pub(super) struct Judge {
    calls: BTreeMap<u32, Asked>,
    watches: BTreeMap<u64, Watching>,
}

impl Judge {
    pub(super) fn asked(&mut self, call: u32, asked: Asked) {
        if let Some((id, kind, path)) = asked.watch.clone() {
            let watching = Watching {
                call,
                kind,
                path,
                dropped: false,
                ended: None,
                events: Vec::new(),
                interrupted: false,
            };
            self.watches.insert(id, watching);
        }
        self.calls.insert(call, asked);
    }

    pub(super) fn answered(&mut self, call: u32, answer: Result<Reply, Error>) {
        let asked = self.calls.get_mut(&call).unwrap();
        asked.answers.push(answer.map(|reply| reply.err));
        assert_eq!(asked.answers.len(), 1, "call {call} is answered again");
    }

    pub(super) fn dropped(&mut self, id: u64) {
        self.watches.get_mut(&id).unwrap().dropped = true;
    }

    pub(super) fn event(&mut self, id: u64, event: Event) {
        let watch = self.watches.get_mut(&id).unwrap();
        let over = watch.kind.is_once() && !watch.events.is_empty() || watch.ended.is_some();
        assert!(!over, "watch {id} hears {event:?} after its end");
        watch.events.push(event);
    }

    pub(super) fn interrupted(&mut self, id: u64) {
        self.watches.get_mut(&id).unwrap().interrupted = true;
    }

    /// The server has the watch again by now, unless it has been removed since.
    pub(super) fn restored(&mut self, id: u64, model: &Model, link: Option<u64>) {
        let watch = &self.watches[&id];
        let removed = model.processed.iter().any(|done| {
            let removes = self
                .calls
                .get(&done.call)
                .and_then(|asked| asked.removes.as_ref());
            removes.is_some_and(|(path, _)| *path == watch.path)
        });
        let link = link.and_then(|link| model.links.get(&link));
        let there = link.is_none_or(|link| registered(watch, link).is_some());
        assert!(
            there || removed,
            "watch {id} is told too early that it is restored"
        );
        let watch = self.watches.get_mut(&id).unwrap();
        assert!(watch.interrupted, "watch {id} is restored and was not away");
        watch.interrupted = false;
    }

    pub(super) fn ended(&mut self, id: u64, error: Error) {
        let watch = self.watches.get_mut(&id).unwrap();
        assert_eq!(watch.ended, None, "watch {id} ends again");
        watch.ended = Some(error);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.calls.values().all(|asked| !asked.answers.is_empty())
    }

    pub(super) fn has_unknown_outcomes(&self) -> bool {
        let mut answers = self.calls.values().flat_map(|asked| &asked.answers);
        answers.any(|answer| answer.is_err())
    }

    /// Answers agree with what happened, and what happened did so in order.
    pub(super) fn check_calls(&self, model: &Model) {
        let order: Vec<u32> = model.processed.iter().map(|done| done.call).collect();
        assert!(
            order.is_sorted_by(|a, b| a < b),
            "not in order, or twice: {order:?}"
        );
        for (call, asked) in &self.calls {
            let done = self.processed(model, *call);
            let [answer] = &asked.answers[..] else {
                panic!("call {call} has the answers {:?}", asked.answers)
            };
            match (answer, done) {
                (Ok(err), Some(done)) if done.err.code() == *err => {}
                (Ok(0), None) if asked.proves => {}
                (Err(Error::ConnectionLost | Error::Timeout), _) => {}
                (Err(Error::NotSent | Error::SessionExpired | Error::AuthFailed), None) => {}
                (Err(Error::AuthFailed), _) if asked.proves => {}
                _ => panic!("call {call} is told {answer:?}, and this happened: {done:?}"),
            }
        }
    }

    fn processed<'a>(&self, model: &'a Model, call: u32) -> Option<&'a Processed> {
        model.processed.iter().find(|done| done.call == call)
    }

    /// Watches of a session that lives, when everything is quiet.
    pub(super) fn check_watches(&self, model: &Model, link: u64) {
        for (id, watch) in &self.watches {
            let Some(done) = self.placed(model, watch) else {
                assert!(watch.events.is_empty(), "watch {id} was never placed");
                continue;
            };
            if watch.ended.is_some() {
                self.check_removed(*id, watch, model);
            } else if watch.kind.is_once() {
                check_once(*id, watch, done, model);
            } else if !watch.dropped {
                check_persistent(*id, watch, done, model, link);
            }
        }
    }

    /// The request that placed a watch, if its caller was told so.
    fn placed<'a>(&self, model: &'a Model, watch: &Watching) -> Option<&'a Processed> {
        let [Ok(err)] = self.calls[&watch.call].answers[..] else {
            return None;
        };
        let none = watch.kind == WatchKind::Exist && err == ErrorCode::NoNode.code();
        (err == 0 || none).then(|| self.processed(model, watch.call).unwrap())
    }

    /// Who was removed was there before the removal was asked for.
    fn check_removed(&self, id: u64, watch: &Watching, model: &Model) {
        assert_eq!(watch.ended, Some(Error::WatchRemoved), "watch {id}");
        let removed = self.calls.iter().any(|(call, asked)| {
            *call > watch.call
                && self
                    .processed(model, *call)
                    .is_some_and(|done| done.err == ErrorCode::Ok)
                && asked
                    .removes
                    .as_ref()
                    .is_some_and(|(path, _)| *path == watch.path)
        });
        assert!(removed, "watch {id} is removed and nobody asked for it");
    }
}

/// Since when the server has a persistent watch.
fn registered(watch: &Watching, link: &Link) -> Option<i64> {
    let list = match watch.kind {
        WatchKind::Recursive => &link.recursive,
        _ => &link.persistent,
    };
    list.get(&watch.path).copied()
}

fn check_once(id: u64, watch: &Watching, done: &Processed, model: &Model) {
    let now = model.tree.get(&watch.path);
    let must = match (watch.kind, done.znode, now) {
        (WatchKind::Child, Some(then), Some(now)) => then.pzxid != now.pzxid,
        (_, Some(then), Some(now)) => then.mzxid != now.mzxid,
        (_, then, now) => then.is_some() != now.is_some(),
    };
    let hears = |change: &&Change| match watch.kind {
        WatchKind::Child => touches_list(change.kind),
        _ => touches_data(change.kind),
    };
    let changes = model.changes.iter();
    let mut changes = changes.filter(|change| change.path == watch.path && hears(change));
    let first = changes.find(|change| change.zxid > done.zxid);
    let heard = !watch.events.is_empty();
    assert!(
        heard || watch.dropped || !must,
        "watch {id} misses a change: {watch:?} placed at {done:?}, now {now:?}"
    );
    assert!(
        first.is_some() || !heard,
        "watch {id} hears what did not happen: {watch:?}"
    );
    // Of what happened while the connection was away, a number is not told; and who waits for a creation may miss a short life.
    let visible = watch.kind != WatchKind::Exist || done.znode.is_some();
    if let (true, Some(first), [event]) = (visible, first, &watch.events[..]) {
        let late = event.zxid.0 > first.zxid;
        assert!(!late, "watch {id} misses {first:?}: {watch:?}");
    }
}

fn check_persistent(id: u64, watch: &Watching, done: &Processed, model: &Model, link: u64) {
    assert!(!watch.interrupted, "watch {id} is not restored: {watch:?}");
    let Some(since) = registered(watch, &model.links[&link]) else {
        panic!("watch {id} is not registered: {watch:?}")
    };
    let recursive = watch.kind == WatchKind::Recursive;
    let since = done.zxid.max(since);
    let hears = |change: &&Change| match recursive {
        true => touches_data(change.kind) && is_within(&watch.path, &change.path),
        false => change.path == watch.path,
    };
    let wanted = model.changes.iter().filter(hears);
    let wanted: Vec<_> = wanted
        .filter(|change| change.zxid > since)
        .map(|change| (change.zxid, change.kind, &*change.path))
        .collect();
    let heard = watch.events.iter().filter(|event| event.zxid.0 > since);
    let heard: Vec<_> = heard
        .map(|event| (event.zxid.0, event.kind, &*event.path))
        .collect();
    assert_eq!(heard, wanted, "watch {id}, registered at {since}");
}
