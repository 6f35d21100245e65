//! `ls` and `ls2`: the children of a node, or everything below it.

use rookeeper_client::Children;
use rookeeper_proto::code::WatcherType;

use super::{Command, Invocation, OUTPUT, STAT, WATCH, deprecated, reads};
use crate::document::{Document, Format};
use crate::failure::Failure;
use crate::options::Flag;
use crate::shell::Shell;
use crate::walk::Walk;
use crate::{path_text, stat_block};

const RECURSIVE: Flag = Flag::switch("R", "show everything below the node, a path a line");
const HELP: Flag = Flag::switch("?", "explain the options");

pub(super) const COMMAND: Command = Command {
    name: "ls",
    arguments: "[-s] [-w] [-R] path",
    options: &[STAT, WATCH, RECURSIVE, HELP, OUTPUT],
    details: "",
    about: "Show the children of a node.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// What 3.4 had.
pub(super) const OLD: Command = Command {
    name: "ls2",
    arguments: "path [watch]",
    options: &[],
    details: "",
    about: "The old form of ls -s.",
    is_listed: false,
    run: |shell, call| Box::pin(run_old(shell, call)),
};

const HELP_TEXT: &str =
    "usage: ls [options] path\n -?   help\n -R   recurse\n -s   stat\n -w   watch\n";

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    if call.has(HELP.name) {
        shell.out(HELP_TEXT);
    }
    let format = call.format(shell)?;
    let path = call.path()?;
    let watches = reads::wants_watch(shell, &call, "ls path [watch]", "ls [-w] path");
    match call.has(RECURSIVE.name) {
        true => all_below(shell, path, watches, format).await,
        false => children(shell, path, watches, call.has(STAT.name), format).await,
    }
}

async fn run_old(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let path = call.path()?;
    shell.note(&deprecated("ls2", "ls [-s] path"));
    children(shell, path, call.word(1).is_some(), true, shell.format()).await
}

async fn children(
    shell: &Shell,
    path: &str,
    watches: bool,
    with_stat: bool,
    format: Option<Format>,
) -> Result<(), Failure> {
    let client = shell.connected(path).await?;
    let Children {
        mut names, stat, ..
    } = reads::children(shell, &client, path, watches).await?;
    names.sort_unstable();
    let text = || {
        let list = format!("[{}]\n", names.join(", "));
        match with_stat {
            true => list + &shell.stat_text(&stat),
            false => list,
        }
    };
    let document = || {
        let names = Document::texts(names.iter().cloned());
        match with_stat {
            true => Document::record([("children", names), ("stat", stat_block::document(&stat))]),
            false => names,
        }
    };
    shell.show(format, text, document);
    Ok(())
}

/// The node, all its children, then what is below each of them. Watching, the root gets a data watch too, as in ZooKeeper's shell.
async fn all_below(
    shell: &Shell,
    path: &str,
    watches: bool,
    format: Option<Format>,
) -> Result<(), Failure> {
    let client = shell.connected(path).await?;
    if watches {
        reads::data(shell, &client, path, true).await?;
    }
    let mut walk = Walk::new(&client, path, watches);
    let mut found = Vec::new();
    while let Some(node) = walk.next(shell).await? {
        if let Some(watch) = node.watch {
            shell
                .arrivals()
                .add_once(WatcherType::Children, &node.path, watch);
        }
        let children = node
            .children
            .iter()
            .map(|name| path_text::child(&node.path, name));
        let own = (node.depth == 0).then(|| path.to_owned());
        let paths = own.into_iter().chain(children);
        match format {
            None => shell.out(&paths.map(|path| path + "\n").collect::<String>()),
            Some(_) => found.extend(paths.map(Document::Text)),
        }
    }
    if let Some(format) = format {
        shell.out(&Document::List(found).render(format));
    }
    walk.finish(shell)
}
