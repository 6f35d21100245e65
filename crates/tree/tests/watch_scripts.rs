//! Stories about watches: each file below `scripts/watches` is one, commands with what they answered.
//!
//! Run with `UPDATE_GOLDENFILES=1` to record the answers anew, and review the difference.
//!
//! - `watch kind=KIND PATH ID...`: each watcher registers; kinds `data child persistent recursive`.
//! - `created PATH`, `deleted PATH`, `changed PATH`: the events, one line per firing.
//! - `check type=TYPE PATH ID...`, `remove type=TYPE PATH ID...`: types `children data any persistent recursive`.
//! - `close ID...`: connections end. `show`: the words wchs, wchc and wchp, and the count of watches in both tables.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use rookeeper_proto::code::WatcherType;
use rookeeper_tree::watches::{Change, Table, WatchKind, WatchTable, WatcherId};

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Story(WatchTable);

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        let output = match command.name.as_str() {
            "watch" => self.watch(&mut args)?,
            "created" => self.fire(Change::Created(path(&mut args)?)),
            "deleted" => self.fire(Change::Deleted(path(&mut args)?)),
            "changed" => self.fire(Change::DataChanged(path(&mut args)?)),
            "check" => self.ask(&mut args, WatchTable::contains_of)?,
            "remove" => self.ask(&mut args, WatchTable::remove_of)?,
            "close" => self.close(&mut args)?,
            "show" => self.show()?,
            other => return Err(format!("no such command: {other}").into()),
        };
        args.reject_next()?;
        Ok(output)
    }
}

/// The two questions in one shape.
trait Ask {
    fn contains_of(&mut self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool;
    fn remove_of(&mut self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool;
}

impl Ask for WatchTable {
    fn contains_of(&mut self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool {
        self.contains(watcher, path, kind)
    }

    fn remove_of(&mut self, watcher: WatcherId, path: &str, kind: WatcherType) -> bool {
        self.remove(watcher, path, kind)
    }
}

impl Story {
    fn watch(&mut self, args: &mut ArgumentConsumer<'_>) -> Outcome<String> {
        let kind = match args.take_key("kind") {
            Some("data") => WatchKind::DataStandard,
            Some("child") => WatchKind::ChildStandard,
            Some("persistent") => WatchKind::Persistent,
            Some("recursive") => WatchKind::Recursive,
            other => return Err(format!("no such kind: {other:?}").into()),
        };
        let path = path(args)?;
        for watcher in watchers(args)? {
            self.0.add(watcher, path, kind)?;
        }
        Ok(String::new())
    }

    fn fire(&mut self, change: Change<'_>) -> String {
        let lines = self.0.fire(change).into_iter().map(|firing| {
            let ids: Vec<_> = firing.watchers.iter().map(|id| id.0).collect();
            let (kind, path, acl) = (firing.kind, firing.path, firing.acl_of);
            format!("{kind:?} {path} (acl of {acl:?}) to {ids:?}\n")
        });
        lines.collect()
    }

    fn ask(
        &mut self,
        args: &mut ArgumentConsumer<'_>,
        question: fn(&mut WatchTable, WatcherId, &str, WatcherType) -> bool,
    ) -> Outcome<String> {
        let kind = match args.take_key("type") {
            Some("children") => WatcherType::Children,
            Some("data") => WatcherType::Data,
            Some("any") => WatcherType::Any,
            Some("persistent") => WatcherType::Persistent,
            Some("recursive") => WatcherType::PersistentRecursive,
            other => return Err(format!("no such type: {other:?}").into()),
        };
        let path = path(args)?;
        let mut output = String::new();
        for watcher in watchers(args)? {
            let found = question(&mut self.0, watcher, path, kind);
            writeln!(
                output,
                "{}: {}",
                watcher.0,
                if found { "ok" } else { "no watcher" }
            )?;
        }
        Ok(output)
    }

    fn close(&mut self, args: &mut ArgumentConsumer<'_>) -> Outcome<String> {
        for watcher in watchers(args)? {
            self.0.remove_watcher(watcher);
        }
        Ok(String::new())
    }

    fn show(&self) -> Outcome<String> {
        let mut output = String::new();
        let all = self.0.summary();
        let (connections, paths) = (all.connections, all.paths);
        writeln!(
            output,
            "{connections} connections watching {paths} paths, total {}",
            all.watches
        )?;
        for (watcher, paths) in self.0.by_watcher(Table::Data) {
            writeln!(output, "{}: {}", watcher.0, paths.join(" "))?;
        }
        for table in [Table::Data, Table::Child] {
            for (path, watchers) in self.0.by_path(table) {
                let ids: Vec<_> = watchers.iter().map(|id| id.0).collect();
                writeln!(output, "{table:?} {path}: {ids:?}")?;
            }
        }
        writeln!(output, "both tables: {}", self.0.len())?;
        Ok(output)
    }
}

fn path<'a>(args: &mut ArgumentConsumer<'a>) -> Outcome<&'a str> {
    args.next_pos().ok_or_else(|| "a path is missing".into())
}

fn watchers(args: &mut ArgumentConsumer<'_>) -> Outcome<Vec<WatcherId>> {
    let mut ids = Vec::new();
    while let Some(id) = args.next_pos() {
        ids.push(WatcherId(id.parse()?));
    }
    Ok(ids)
}

#[track_caller]
fn tell(name: &str) {
    let file = Path::new("tests/scripts/watches").join(name);
    let told = goldenscript::run(&mut Story(WatchTable::new(0)), file);
    assert!(told.is_ok(), "{name}: {told:?}");
}

#[test]
fn standard_watches_fire_once() {
    tell("standard");
}

#[test]
fn persistent_watches_stay() {
    tell("persistent");
}

#[test]
fn recursive_watches_hear_what_is_below() {
    tell("recursive");
}

#[test]
fn a_deletion_is_heard_once_and_uses_up_both_watches() {
    tell("delete_consumes");
}

#[test]
fn checks_and_removals_follow_the_types() {
    tell("check_remove");
}

#[test]
fn closed_connections_leave_nothing() {
    tell("close");
}
