//! `stat`: what is known of a node besides its data.

use rookeeper_proto::code::ErrorCode;

use super::{Command, Invocation, OUTPUT, WATCH, reads};
use crate::failure::Failure;
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
    let watches = reads::wants_watch(shell, &call, "stat path [watch]", "stat [-w] path");
    let client = shell.connected(path).await?;
    let Some(stat) = reads::exists(shell, &client, path, watches).await? else {
        return Err(Failure::refused(ErrorCode::NoNode, path));
    };
    shell.show(
        format,
        || shell.stat_text(&stat),
        || stat_block::document(&stat),
    );
    Ok(())
}
