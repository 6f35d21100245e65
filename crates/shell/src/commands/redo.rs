//! `redo`: a line runs again.

use super::{Command, Invocation, number};
use crate::failure::Failure;
use crate::shell::Shell;
use crate::words;

pub(super) const COMMAND: Command = Command {
    name: "redo",
    arguments: "cmdno",
    options: &[],
    details: "",
    about: "Run a line of the history again.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    // A negative number looks like an option, and is no more than a number that no line has.
    let Some(word) = call.word(0) else {
        return Ok(());
    };
    let line = shell.history.redo(number(word)?)?;
    shell.execute(&words::split(&line)).await
}
