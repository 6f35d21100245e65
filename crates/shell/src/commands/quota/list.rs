//! `listquota`: the limits of a path, and what it uses.

use super::{LIMITS, STATS, node, text};
use crate::commands::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::Failure;
use crate::shell::Shell;

pub(in crate::commands) const COMMAND: Command = Command {
    name: "listquota",
    arguments: "path",
    options: &[OUTPUT],
    details: "",
    about: "Show the limits of a path and what it uses.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let path = call.path()?;
    let (client, full) = shell.connected_whole(path).await?;
    let (limits, stats) = (node(&full, LIMITS), node(&full, STATS));
    let found = (text(&client, &limits).await?, text(&client, &stats).await?);
    if format.is_none() {
        shell.note(&format!("absolute path is {limits}"));
    }
    let (Some(limits), Some(used)) = found else {
        // As in ZooKeeper's shell this is told and no failure.
        shell.err(&format!("quota for {path} does not exist."));
        return Ok(());
    };
    let lines = || format!("Output quota for {path} {limits}\nOutput stat for {path} {used}\n");
    let document = || {
        Document::record([
            ("path", path.into()),
            ("limits", document(&limits)),
            ("used", document(&used)),
        ])
    };
    shell.show(format, lines, document);
    Ok(())
}

fn document(text: &str) -> Document {
    let limits = super::Limits::parse(text);
    let number = |limit: i64| match limit {
        -1 => Document::Null,
        limit => Document::Number(limit),
    };
    Document::record([
        ("count", number(limits.count)),
        ("bytes", number(limits.bytes)),
        ("countHard", number(limits.count_hard)),
        ("bytesHard", number(limits.bytes_hard)),
    ])
}
