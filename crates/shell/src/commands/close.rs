//! `close`: the end of the session, not of the shell.

use super::{Command, Invocation};
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "close",
    arguments: "",
    options: &[],
    details: "",
    about: "End the session; the shell goes on without one.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, _: Invocation) -> Result<(), Failure> {
    shell.close().await;
    Ok(())
}
