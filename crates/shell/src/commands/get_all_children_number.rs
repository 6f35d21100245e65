//! `getAllChildrenNumber`: how many nodes there are below one.

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::{At, Failure};
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "getAllChildrenNumber",
    arguments: "path",
    options: &[OUTPUT],
    details: "",
    about: "Count all nodes below a path.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let path = call.path()?;
    let client = shell.connected(path).await?;
    let count = client.descendants(path).await.at(path)?;
    shell.show(
        format,
        || format!("{count}\n"),
        || Document::Number(count.into()),
    );
    Ok(())
}
