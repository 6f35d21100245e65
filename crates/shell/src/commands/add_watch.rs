//! `addWatch`: a watch that stays.

use rookeeper_proto::code::AddWatchMode;

use super::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;

const MODE: Flag = Flag::valued("m", "mode", "PERSISTENT or PERSISTENT_RECURSIVE");

pub(super) const COMMAND: Command = Command {
    name: "addWatch",
    arguments: "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is PERSISTENT_RECURSIVE",
    options: &[MODE],
    details: "",
    about: "Watch a node, or everything below it, until the watch is removed.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let mode = match call.value(MODE.name) {
        None | Some("PERSISTENT_RECURSIVE") => AddWatchMode::PersistentRecursive,
        Some("PERSISTENT") => AddWatchMode::Persistent,
        Some(_) => return Err(Failure::Usage(call.command)),
    };
    let path = call.path()?;
    let client = shell.connected(path).await?;
    let watch = client.watch(path, mode).await.at(path)?;
    shell.arrivals().add_standing(mode, path, watch);
    Ok(())
}
