//! `connect`: another session.

use super::{Command, Invocation};
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "connect",
    arguments: "host:port",
    options: &[],
    details: "",
    about: "End the session and open another one, with other servers or the same.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    shell.reconnect(call.word(0)).await
}
