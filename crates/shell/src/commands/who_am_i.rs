//! `whoami`: the identities of the session.

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::{At, Failure};
use crate::shell::Shell;

pub(super) const COMMAND: Command = Command {
    name: "whoami",
    arguments: "",
    options: &[OUTPUT],
    details: "",
    about: "Show who the server thinks this session is.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let client = shell.connected("").await?;
    let ids = client.who_am_i().await.at("")?;
    let text = || {
        let lines = ids.iter().map(|id| format!("{}: {}\n", id.scheme, id.id));
        format!("Auth scheme: User\n{}", lines.collect::<String>())
    };
    let document = || {
        let records = ids.iter().map(|id| {
            Document::record([
                ("scheme", Document::Text(id.scheme.clone())),
                ("user", Document::Text(id.id.clone())),
            ])
        });
        Document::List(records.collect())
    };
    shell.show(format, text, document);
    Ok(())
}
