//! `quit` and `exit`: the end of the session and of the shell.

use super::{Command, Invocation};
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "quit",
    arguments: "",
    options: &[],
    details: "",
    about: "End the session and the shell.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

pub(super) const EXIT: Command = Command {
    name: "exit",
    arguments: "",
    options: &[],
    details: "",
    about: "The same as quit.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, _: Invocation) -> Result<(), Failure> {
    shell.close().await;
    shell.end();
    Ok(())
}
