//! `delquota`: a limit goes, or the whole quota of a path.

use rookeeper_client::Client;
use rookeeper_proto::code::ErrorCode;
use thiserror::Error;

use super::{LIMITS, Limits, ROOT, STATS, folder, node, text};
use crate::commands::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;

const COUNT: Flag = Flag::switch("n", "only the soft limit of the number of nodes");
const BYTES: Flag = Flag::switch("b", "only the soft limit of the bytes of data");
const COUNT_HARD: Flag = Flag::switch("N", "only the hard limit of the number of nodes");
const BYTES_HARD: Flag = Flag::switch("B", "only the hard limit of the bytes of data");

pub(in crate::commands) const COMMAND: Command = Command {
    name: "delquota",
    arguments: "[-n|-b|-N|-B] path",
    options: &[COUNT, BYTES, COUNT_HARD, BYTES_HARD],
    details: "",
    about: "Remove a limit of a path, or all of them.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

#[derive(Debug, Error)]
#[error("Quota does not exist for {0}")]
struct NoQuota(String);

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let option = call
        .parsed
        .one_of(&[COUNT.name, BYTES.name, COUNT_HARD.name, BYTES_HARD.name])?;
    let path = call.path()?;
    let (client, full) = shell.connected_whole(path).await?;
    let limits_node = node(&full, LIMITS);
    let Some(limits) = text(&client, &limits_node).await? else {
        return Err(Failure::own(NoQuota(path.to_owned())));
    };
    match option {
        Some(option) => {
            let limits = Limits::parse(&limits).with(option, -1);
            let written = client.set(&limits_node, limits.text(), -1).await;
            written.map(drop).at(path)
        }
        None => remove(&client, &full).await,
    }
}

/// Removes both nodes, and the folders above them that hold nothing else.
async fn remove(client: &Client, path: &str) -> Result<(), Failure> {
    for name in [LIMITS, STATS] {
        match client.delete(&node(path, name), -1).await {
            Err(error) if error.is_no_node() => {}
            outcome => outcome.at(path)?,
        }
    }
    let mut folder = folder(path);
    while folder.len() > ROOT.len() {
        match client.delete(&folder, -1).await {
            Err(error) if error.code() == Some(ErrorCode::NotEmpty) => return Ok(()),
            Err(error) if error.is_no_node() => {}
            outcome => outcome.at(path)?,
        }
        let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        folder.truncate(parent.len());
    }
    Ok(())
}
