//! `delete`: one node without children.

use super::{Command, Invocation, VERSION, deprecated, number};
use crate::failure::{At, Failure};
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "delete",
    arguments: "[-v version] path",
    options: &[VERSION],
    details: "",
    about: "Delete a node that has no children.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let path = call.path()?;
    let mut version: Option<i32> = call.number(VERSION.name)?;
    if let Some(old) = call.word(1) {
        shell.note(&deprecated(
            "delete path [version]",
            "delete [-v version] path",
        ));
        version = Some(number(old)?);
    }
    let client = shell.connected(path).await?;
    client.delete(path, version.unwrap_or(-1)).await.at(path)
}
