//! `stat`: what is known of a node besides its data.

use rookeeper_proto::code::{ErrorCode, WatcherType};

use super::{Command, Invocation, OUTPUT, WATCH, deprecated};
use crate::failure::{At, Failure};
use crate::shell::Shell;
use crate::stat_block;

pub(super) const COMMAND: Command = Command {
    name: "stat",
    arguments: "[-w] path",
    options: &[WATCH, OUTPUT],
    details: "",
    about: "Show versions, times and sizes of a node.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let path = call.path()?;
    let is_old = call.word(1).is_some();
    if is_old {
        shell.note(&deprecated("stat path [watch]", "stat [-w] path"));
    }
    let client = shell.connected(path).await?;
    let found = if is_old || call.has(WATCH.name) {
        let (found, watch) = client.exists_watched(path).await.at(path)?;
        shell.arrivals().add_once(WatcherType::Data, path, watch);
        found
    } else {
        client.exists(path).await.at(path)?
    };
    let Some(stat) = found else {
        return Err(Failure::refused(ErrorCode::NoNode, path));
    };
    shell.show(
        format,
        || shell.stat_text(&stat),
        || stat_block::document(&stat),
    );
    Ok(())
}
