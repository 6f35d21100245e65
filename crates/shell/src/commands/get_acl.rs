//! `getAcl`: who may do what with a node.

use super::{Command, Invocation, OUTPUT, STAT};
use crate::document::Document;
use crate::failure::{At, Failure};
use crate::shell::Shell;
use crate::{acl_text, stat_block};

pub(super) const COMMAND: Command = Command {
    name: "getAcl",
    arguments: "[-s] path",
    options: &[STAT, OUTPUT],
    details: "",
    about: "Show who may do what with a node.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let path = call.path()?;
    let client = shell.connected(path).await?;
    let (acl, stat) = client.acl(path).await.at(path)?;
    let text = || {
        let list = acl_text::block(&acl);
        match call.has(STAT.name) {
            true => list + &shell.stat_text(&stat),
            false => list,
        }
    };
    let document = || {
        let entries = acl.iter().map(|entry| {
            Document::record([
                ("scheme", Document::Text(entry.who.scheme.clone())),
                ("id", Document::Text(entry.who.id.clone())),
                ("perms", Document::Text(acl_text::letters(entry.perms))),
            ])
        });
        let entries = Document::List(entries.collect());
        match call.has(STAT.name) {
            true => Document::record([("acl", entries), ("stat", stat_block::document(&stat))]),
            false => entries,
        }
    };
    shell.show(format, text, document);
    Ok(())
}
