//! `version`: of this shell.

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::Failure;
use crate::shell::Shell;

/// The version of ZooKeeper whose shell this one is like, and our own with dashes, since tools read the text up to a comma.
pub(crate) const VERSION: &str = concat!(
    "3.9.3-rookeeper-",
    env!("CARGO_PKG_VERSION_MAJOR"),
    "-",
    env!("CARGO_PKG_VERSION_MINOR"),
    "-",
    env!("CARGO_PKG_VERSION_PATCH")
);

pub(super) const COMMAND: Command = Command {
    name: "version",
    arguments: "",
    options: &[OUTPUT],
    details: "",
    about: "Show the version of the shell.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    if call.word(0).is_some() {
        return Err(Failure::Usage(call.command));
    }
    let format = call.format(shell)?;
    let date = env!("ROOKEEPER_BUILD_DATE");
    let text = || format!("ZooKeeper CLI version: {VERSION}, built on {date}\n");
    let document = || Document::record([("version", VERSION.into()), ("built", date.into())]);
    shell.show(format, text, document);
    Ok(())
}
