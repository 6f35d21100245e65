//! `history`: the lines that were run.

use super::{Command, Invocation};
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "history",
    arguments: "",
    options: &[],
    details: "",
    about: "Show the last lines and their numbers.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, _: Invocation) -> Result<(), Failure> {
    let lines = shell.history.shown();
    shell.out(&lines);
    Ok(())
}
