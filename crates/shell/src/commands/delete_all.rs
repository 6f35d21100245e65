//! `deleteall` and `rmr`: a node and everything below it.

use std::collections::VecDeque;

use rookeeper_client::{Error, Multi};

use super::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::walk::Walk;

/// Nodes that one transaction deletes.
const BATCH: usize = 1000;
/// Bytes in one transaction; a node beyond that is one of its own.
const BATCH_BYTES: usize = 512 * 1024;
/// Type, lengths and version of a deletion.
const FRAME: usize = 32;
/// Transactions on their way at once.
const AHEAD: usize = 4;

const BATCH_SIZE: Flag = Flag::valued("b", "batch size", "so many nodes in one transaction");

pub(super) const COMMAND: Command = Command {
    name: "deleteall",
    arguments: "path [-b batch size]",
    options: &[BATCH_SIZE],
    details: "",
    about: "Delete a node and everything below it.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// What 3.4 had.
pub(super) const OLD: Command = Command {
    name: "rmr",
    arguments: "path",
    options: &[],
    details: "",
    about: "The old form of deleteall.",
    is_listed: false,
    run: |shell, call| Box::pin(run_old(shell, call)),
};

#[derive(Debug, thiserror::Error)]
#[error("-b argument must be an int value")]
struct BatchError;

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let path = call.path()?;
    let batch = match call.value(BATCH_SIZE.name) {
        None => BATCH,
        Some(text) => {
            let number: i32 = text.parse().map_err(|_| Failure::own(BatchError))?;
            usize::try_from(number).unwrap_or(0)
        }
    };
    let batch = if batch == 0 { BATCH } else { batch };
    delete(shell, path, batch).await
}

async fn run_old(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let path = call.path()?;
    shell.note("The command 'rmr' has been deprecated. Please use 'deleteall' instead.");
    delete(shell, path, BATCH).await
}

async fn delete(shell: &Shell, path: &str, batch: usize) -> Result<(), Failure> {
    let client = shell.connected(path).await?;
    let mut progress = Progress::new(shell.console(), "nodes found");
    let mut walk = Walk::new(&client, path, false);
    let mut paths = Vec::new();
    while let Some(node) = walk.next(shell).await? {
        progress.add(1);
        paths.push(node.path);
    }
    // Children come behind their parents, so from the end nobody is deleted before its children.
    paths.reverse();
    let mut progress = Progress::of(shell.console(), "nodes deleted", paths.len());
    let mut pending = VecDeque::new();
    let mut all = true;
    for paths in batches(&paths, batch) {
        // What is on its way goes on without us.
        shell
            .check()
            .map_err(|failure| match (failure, pending.is_empty()) {
                (Failure::Interrupted, false) => Failure::Unanswered,
                (failure, _) => failure,
            })?;
        pending.push_back((paths.len(), client.multi(deletion(paths))));
        if pending.len() == AHEAD
            && let Some((count, call)) = pending.pop_front()
        {
            all &= is_done(call.await).at(path)?;
            progress.add(count);
        }
    }
    for (_, call) in pending {
        all &= is_done(call.await).at(path)?;
    }
    drop(progress);
    if !all {
        // As in ZooKeeper's shell this is told and no failure.
        shell.err("Failed to delete some node(s) in the subtree!");
    }
    Ok(())
}

/// The paths in pieces that fit into a transaction.
fn batches(paths: &[String], most: usize) -> Vec<&[String]> {
    let mut pieces = Vec::new();
    let mut rest = paths;
    while !rest.is_empty() {
        let mut weight = 0;
        let fits = rest.iter().take(most).take_while(|path| {
            weight += FRAME + path.len();
            weight <= BATCH_BYTES
        });
        let (piece, behind) = rest.split_at(fits.count().max(1));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Whether a batch is gone; an error if nobody knows.
fn is_done<T>(outcome: Result<T, Error>) -> Result<bool, Error> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

fn deletion(paths: &[String]) -> Multi {
    paths
        .iter()
        .fold(Multi::new(), |multi, path| multi.delete(path, -1))
}
