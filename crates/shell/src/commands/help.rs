//! `help`: the list of commands, or one of them.

use super::{Command, Invocation, find, list};
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "help",
    arguments: "[command]",
    options: &[],
    details: "",
    about: "Show all commands, or what one of them does.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let text = match call.word(0) {
        None => list() + "\n",
        Some(name) => find(name)
            .ok_or_else(|| Failure::Unknown(name.to_owned()))?
            .help(),
    };
    shell.out(&text);
    Ok(())
}
