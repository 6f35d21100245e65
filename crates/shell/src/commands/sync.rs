//! `sync`: what is read from now on is as new as what the leader has.

use rookeeper_client::Error;

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::Failure;
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "sync",
    arguments: "path",
    options: &[OUTPUT],
    details: "",
    about: "Wait until this server has what the leader has.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// What ZooKeeper's client library calls a lost connection.
const CONNECTION_LOSS: i32 = -4;
/// And an answer that does not come.
const OPERATION_TIMEOUT: i32 = -7;

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let path = call.path()?;
    let client = shell.connected(path).await?;
    match client.sync(path).await {
        Ok(()) => {
            let done =
                || Document::record([("path", path.into()), ("synced", Document::Flag(true))]);
            shell.show(format, || "Sync is OK\n".to_owned(), done);
            Ok(())
        }
        Err(Error::Closed) => Err(Failure::NotConnected),
        Err(error) => {
            shell.err(&format!("Sync has failed. rc={}", code(&error)));
            Err(Failure::Told)
        }
    }
}

fn code(error: &Error) -> i32 {
    match (error.code(), error) {
        (Some(code), _) => code.code(),
        (None, Error::Timeout) => OPERATION_TIMEOUT,
        (None, _) => CONNECTION_LOSS,
    }
}
