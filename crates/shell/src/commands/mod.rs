//! The commands: a table that usage, help, completion and dispatch share, and a file for each of them.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use crate::document::Format;
use crate::failure::Failure;
use crate::options::{Flag, Parsed};
use crate::path_text;
use crate::shell::Shell;

mod add_auth;
mod add_watch;
mod close;
mod config;
mod connect;
mod copy;
mod create;
mod delete;
mod delete_all;
mod du;
mod edit;
mod export;
mod find;
mod get;
mod get_acl;
mod get_all_children_number;
mod get_ephemerals;
mod help;
mod history;
mod ls;
mod print_watches;
mod quit;
mod quota;
mod reads;
mod reconfig;
mod redo;
mod remove_watches;
mod set;
mod set_acl;
mod stat;
mod sync;
mod top;
mod tree;
pub(crate) mod version;
mod watch;
mod who_am_i;

/// What a command does while it runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// A command.
#[derive(Debug)]
pub struct Command {
    /// What is typed.
    pub name: &'static str,
    /// What may stand behind it, as the list of commands shows it.
    pub arguments: &'static str,
    /// Its options.
    pub options: &'static [Flag],
    /// Lines that its usage has beside the first one.
    pub details: &'static str,
    /// One sentence for `help`.
    pub about: &'static str,
    /// Whether the list of commands names it: old names work and are not shown.
    pub is_listed: bool,
    /// Runs it.
    pub run: for<'a> fn(&'a mut Shell, Invocation) -> Running<'a>,
}

impl Command {
    /// What the command looks like, without a newline at the end.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("{} {}{}", self.name, self.arguments, self.details)
    }

    /// Usage, sentence and options.
    #[must_use]
    pub fn help(&self) -> String {
        let mut text = format!("{} {}\n  {}\n", self.name, self.arguments, self.about);
        let names: Vec<String> = self.options.iter().map(flag_text).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0);
        for (name, flag) in names.iter().zip(self.options) {
            text.push_str(&format!("  {name:<width$}   {}\n", flag.about));
        }
        text
    }
}

fn flag_text(flag: &Flag) -> String {
    match flag.value {
        Some(value) => format!("-{} <{value}>", flag.name),
        None => format!("-{}", flag.name),
    }
}

/// A command and its words.
#[derive(Debug)]
pub struct Invocation {
    /// Which.
    pub command: &'static Command,
    /// Its options and other words.
    pub parsed: Parsed,
}

impl Invocation {
    /// True when the option was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.parsed.has(name)
    }

    /// The value of an option.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.parsed.value(name)
    }

    /// The word at a place, options not counted.
    #[must_use]
    pub fn word(&self, at: usize) -> Option<&str> {
        self.parsed.words().get(at).map(String::as_str)
    }

    /// The word at a place, without which the command means nothing.
    pub fn needed(&self, at: usize) -> Result<&str, Failure> {
        self.word(at).ok_or(Failure::Usage(self.command))
    }

    /// An error if there are more words than the command takes. ZooKeeper's own commands pass over what is too much, as there.
    pub fn at_most(&self, words: usize) -> Result<(), Failure> {
        match self.word(words) {
            None => Ok(()),
            Some(word) => Err(Failure::Surplus {
                command: self.command,
                word: word.to_owned(),
            }),
        }
    }

    /// The path that the command is about, judged.
    pub fn path(&self) -> Result<&str, Failure> {
        self.path_at(0)
    }

    /// The path at a place, judged.
    pub fn path_at(&self, at: usize) -> Result<&str, Failure> {
        let path = self.needed(at)?;
        path_text::check(path)?;
        Ok(path)
    }

    /// The value of an option as a number.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.value(name).map(number).transpose()
    }

    /// How results are shown: as the command says, else as the shell does; `None` is ZooKeeper's text.
    pub fn format(&self, shell: &Shell) -> Result<Option<Format>, Failure> {
        let Some(name) = self.value(OUTPUT.name) else {
            return Ok(shell.format());
        };
        match Format::named(name) {
            Some(format) => Ok(Some(format)),
            None => Err(Failure::NoFormat(name.to_owned())),
        }
    }
}

/// A number that was typed.
pub fn number<T: FromStr>(text: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|_| Failure::NotANumber(text.to_owned()))
}

/// Shows the stat too.
const STAT: Flag = Flag::switch("s", "show the stat too");
/// Sets a watch.
const WATCH: Flag = Flag::switch("w", "set a watch");
/// Another output than ZooKeeper's text.
const OUTPUT: Flag = Flag::valued("o", Format::NAMES, "show the result like this");
/// A version that is expected.
const VERSION: Flag = Flag::valued("v", "version", "only if this is the version");

/// Every command, sorted by name as the list shows them.
static COMMANDS: &[Command] = &[
    add_watch::COMMAND,
    add_auth::COMMAND,
    close::COMMAND,
    config::COMMAND,
    connect::COMMAND,
    copy::COMMAND,
    create::COMMAND,
    delete::COMMAND,
    delete_all::COMMAND,
    quota::delete::COMMAND,
    du::COMMAND,
    edit::COMMAND,
    quit::EXIT,
    export::COMMAND,
    find::COMMAND,
    get::COMMAND,
    get_acl::COMMAND,
    get_all_children_number::COMMAND,
    get_ephemerals::COMMAND,
    help::COMMAND,
    history::COMMAND,
    export::IMPORT,
    quota::list::COMMAND,
    ls::COMMAND,
    ls::OLD,
    copy::MOVE,
    print_watches::COMMAND,
    quit::COMMAND,
    reconfig::COMMAND,
    redo::COMMAND,
    remove_watches::COMMAND,
    delete_all::OLD,
    set::COMMAND,
    set_acl::COMMAND,
    quota::set::COMMAND,
    stat::COMMAND,
    sync::COMMAND,
    top::COMMAND,
    tree::COMMAND,
    version::COMMAND,
    watch::COMMAND,
    who_am_i::COMMAND,
];

/// The command of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The commands that a list shows.
pub fn listed() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|command| command.is_listed)
}

/// Commands that change something.
const CHANGES: &[&str] = &[
    "create",
    "cp",
    "delete",
    "deleteall",
    "delquota",
    "edit",
    "import",
    "mv",
    "reconfig",
    "rmr",
    "set",
    "setAcl",
    "setquota",
];

/// Commands whose results are text and nothing else.
const TEXT_ONLY: &[&str] = &[
    "help",
    "history",
    "printwatches",
    "reconfig",
    "setAcl",
    "tree",
];

/// What is to be told of this command where results are wanted as documents.
#[must_use]
pub fn only_text(command: &Command) -> Option<String> {
    TEXT_ONLY
        .contains(&command.name)
        .then(|| format!("{}: not as {}, but as text", command.name, Format::NAMES))
}

/// Whether the words of a command change something.
#[must_use]
pub fn changes(words: &[String]) -> bool {
    words
        .first()
        .is_some_and(|name| CHANGES.contains(&name.as_str()))
}

/// The list of commands, without a newline at the end.
#[must_use]
pub fn list() -> String {
    let head = "ZooKeeper -server host:port -client-configuration properties-file cmd args";
    let line = |command: &Command| format!("\n\t{} {}", command.name, command.arguments);
    let lines: String = listed().map(line).collect();
    format!("{head}{lines}")
}

/// The line that an old form gets.
fn deprecated(old: &str, new: &str) -> String {
    format!("'{old}' has been deprecated. Please use '{new}' instead.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_sorted_and_have_one_name_each() {
        let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn what_is_named_is_a_command() {
        for name in CHANGES.iter().chain(TEXT_ONLY) {
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_option_is_explained_once() {
        for command in COMMANDS {
            let mut names: Vec<_> = command.options.iter().map(|flag| flag.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), command.options.len(), "{}", command.name);
            assert!(!command.about.is_empty(), "{}", command.name);
            assert!(
                command.options.iter().all(|flag| !flag.about.is_empty()),
                "{}",
                command.name
            );
        }
    }
}
