//! `removewatches`: watches of this session go.

use rookeeper_proto::code::{ErrorCode, WatcherType};
use thiserror::Error;

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

#[derive(Debug, Error)]
#[error(
    "this server does not know watches of that kind: removewatches {0} -a removes all of the path"
)]
struct Unknown(String);

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let path = call.path()?;
    let given = KINDS.iter().find(|(name, _)| call.has(name));
    let kind = given.map_or(WatcherType::Any, |(_, kind)| *kind);
    let client = shell.connected(path).await?;
    let removed = client.remove_watches(path, kind).await.at(path);
    removed.map_err(|failure| match failure.code() {
        // What a server says to a number that it has never heard of.
        Some(ErrorCode::MarshallingError) => Failure::own(Unknown(path.to_owned())),
        _ => failure,
    })?;
    shell.arrivals().removed(path, kind);
    Ok(())
}
