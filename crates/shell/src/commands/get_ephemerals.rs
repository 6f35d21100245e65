//! `getEphemerals`: the ephemerals of this session.

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::{At, Failure};
use crate::path_text;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "getEphemerals",
    arguments: "path",
    options: &[OUTPUT],
    details: "",
    about: "Show the ephemerals of this session whose paths begin with path.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let prefix = call.word(0).unwrap_or("/");
    path_text::check(prefix)?;
    let client = shell.connected(prefix).await?;
    let mut paths = client.ephemerals(prefix).await.at(prefix)?;
    paths.sort_unstable();
    let text = || format!("[{}]\n", paths.join(", "));
    shell.show(format, text, || Document::texts(paths.clone()));
    Ok(())
}
