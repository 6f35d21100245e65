//! What callers ask of the session, at random.

use rookeeper_proto::code::{AddWatchMode, OpCode, WatcherType};
use rookeeper_proto::compose;
use tracing::Span;

use super::judge::Asked;
use super::model::{WRONG, tagged};
use super::{PATHS, World};
use crate::session::{Request, WatchId, WatchKind};

impl World {
    /// One caller does something.
    pub(super) fn act(&mut self) {
        let path = PATHS[self.rng.usize(..PATHS.len())];
        match self.rng.u8(..100) {
            0..40 => self.write(path),
            40..50 => self.ask(
                OpCode::Sync,
                compose::path(OpCode::Sync, path),
                Asked::default(),
            ),
            50..75 => self.watch_once(path),
            75..85 => self.watch_always(path),
            85..95 if !self.watches.is_empty() => {
                let id = self
                    .watches
                    .swap_remove(self.rng.usize(..self.watches.len()));
                self.say(|| format!("drop watch {id}"));
                self.judge.dropped(id);
                self.session.unwatch(self.moment(), WatchId(id));
            }
            95..99 => self.remove_watches(path),
            _ => self.prove(),
        }
    }

    fn remove_watches(&mut self, path: &str) {
        let kinds = [WatcherType::Any, WatcherType::Data, WatcherType::Children];
        let kind = kinds[self.rng.usize(..kinds.len())];
        let op = OpCode::RemoveWatches;
        let asked = Asked {
            removes: Some((path.to_owned(), kind)),
            ..Asked::default()
        };
        self.ask(op, compose::watch_query(op, path, kind), asked);
    }

    fn prove(&mut self) {
        self.calls += 1;
        let asked = Asked {
            proves: true,
            ..Asked::default()
        };
        self.judge.asked(self.calls, asked);
        let (now, call) = (self.moment(), self.calls);
        let wrong = self.rng.u8(..20) == 0;
        self.refusable |= wrong;
        let proof = if wrong { WRONG } else { b"u:p" };
        let (scheme, proof) = ("digest".into(), proof.to_vec());
        self.session.authenticate(now, call, scheme, proof);
    }

    fn write(&mut self, path: &str) {
        let op = [
            OpCode::Create2,
            OpCode::SetData,
            OpCode::SetData,
            OpCode::Delete,
        ][self.rng.usize(..4)];
        let frame = compose::frame(op, |out| match op {
            OpCode::SetData => compose::set_data(path, None, -1, out),
            OpCode::Delete => compose::path_version(path, -1, out),
            _ => {
                crate::multi::new_znode(path, b"", &crate::CreateOptions::persistent()).encode(out)
            }
        });
        self.ask(op, frame, Asked::default());
    }

    fn watch_once(&mut self, path: &str) {
        let (op, kind) = match self.rng.u8(..3) {
            0 => (OpCode::GetData, WatchKind::Data),
            1 => (OpCode::Exists, WatchKind::Exist),
            _ => (OpCode::GetChildren2, WatchKind::Child),
        };
        self.watch(op, compose::path_watch(op, path, true), kind, path);
    }

    fn watch_always(&mut self, path: &str) {
        let mode = match self.rng.bool() {
            true => AddWatchMode::Persistent,
            false => AddWatchMode::PersistentRecursive,
        };
        self.watch(
            OpCode::AddWatch,
            compose::add_watch(path, mode),
            mode.into(),
            path,
        );
    }

    fn watch(&mut self, op: OpCode, frame: Vec<u8>, kind: WatchKind, path: &str) {
        self.next_watch += 1;
        self.watches.push(self.next_watch);
        let asked = Asked {
            watch: Some((self.next_watch, kind, path.to_owned())),
            ..Asked::default()
        };
        self.ask(op, frame, asked);
    }

    fn ask(&mut self, op: OpCode, frame: Vec<u8>, asked: Asked) {
        self.calls += 1;
        let call = self.calls;
        self.say(|| format!("call {call}: {op:?} {asked:?}"));
        let (watch, removes) = (asked.watch.clone(), asked.removes.clone());
        self.judge.asked(call, asked);
        let request = Request {
            call,
            op,
            frame: tagged(frame, call),
            watch: watch.map(|(id, kind, path)| (WatchId(id), kind, path.into())),
            removes,
            span: Span::none(),
        };
        self.session.submit(self.moment(), request);
    }
}
