//! `removewatches`: watches of this session go.

use rookeeper_proto::code::WatcherType;

use super::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;

const CHILDREN: Flag = Flag::switch("c", "watches on children");
const DATA: Flag = Flag::switch("d", "watches on data");
const PERSISTENT: Flag = Flag::switch("p", "persistent watches");
const RECURSIVE: Flag = Flag::switch("r", "persistent recursive watches");
const ANY: Flag = Flag::switch("a", "all watches, which is the default");
const LOCAL: Flag = Flag::switch("l", "accepted; a watch is always removed at the server too");

pub(super) const COMMAND: Command = Command {
    name: "removewatches",
    arguments: "path [-c|-d|-a] [-l]",
    options: &[CHILDREN, DATA, PERSISTENT, RECURSIVE, ANY, LOCAL],
    details: "",
    about: "Remove the watches of this session on a path.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// An option and what it removes.
const KINDS: [(&str, WatcherType); 4] = [
    (CHILDREN.name, WatcherType::Children),
    (DATA.name, WatcherType::Data),
    (PERSISTENT.name, WatcherType::Persistent),
    (RECURSIVE.name, WatcherType::PersistentRecursive),
];

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let path = call.path()?;
    let given = KINDS.iter().find(|(name, _)| call.has(name));
    let kind = given.map_or(WatcherType::Any, |(_, kind)| *kind);
    let client = shell.connected(path).await?;
    client.remove_watches(path, kind).await.at(path)?;
    shell.arrivals().removed(path, kind);
    Ok(())
}
