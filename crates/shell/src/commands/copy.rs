//! `cp` and `mv`: a node, or a subtree, somewhere else.

use rookeeper_client::Multi;
use rookeeper_proto::path::is_at_or_below;
use thiserror::Error;

use super::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;
use crate::subtree::{self, Kind, Record};
use crate::transfer::{self, Existing, Plan};

/// Bytes of a transaction that moves something; a request may have about a MiB.
const MOVE_BYTES: usize = 900 * 1024;
/// Nodes that one transaction moves.
const MOVE_NODES: usize = 5000;

const RECURSIVE: Flag = Flag::switch("r", "with everything below it");
const EPHEMERAL: Flag = Flag::switch("e", "ephemerals too, as ephemerals of this session");

pub(super) const COMMAND: Command = Command {
    name: "cp",
    arguments: "[-r] [-e] from to",
    options: &[RECURSIVE, EPHEMERAL],
    details: "",
    about: "Copy a node with its ACL to a path where nothing is.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

pub(super) const MOVE: Command = Command {
    name: "mv",
    arguments: "from to",
    options: &[],
    details: "",
    about: "Move a node and everything below it, in one transaction.",
    is_listed: true,
    run: |shell, call| Box::pin(run_move(shell, call)),
};

#[derive(Debug, Error)]
enum CopyError {
    #[error("{to} is inside of {from}")]
    Inside { from: String, to: String },
    #[error("{0} is ephemeral and stays with its session")]
    Ephemeral(String),
    #[error(
        "{nodes} nodes with {bytes} bytes do not fit into one transaction: use cp -r and deleteall"
    )]
    TooLarge { nodes: usize, bytes: usize },
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(2)?;
    let (from, to) = (call.path()?, call.path_at(1)?);
    let only_root = !call.has(RECURSIVE.name);
    if !only_root {
        not_inside(from, to)?;
    }
    let client = shell.connected(from).await?;
    let mut records = Vec::new();
    subtree::read(shell, &client, from, only_root, |record| {
        records.push(record);
        Ok(())
    })
    .await?
    .whole()?;
    let plan = Plan {
        root: to,
        existing: Existing::Refuse,
        source: Some(from),
        with_ephemerals: call.has(EPHEMERAL.name),
    };
    transfer::write(shell, &client, plan, &records).await
}

async fn run_move(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(2)?;
    let (from, to) = (call.path()?, call.path_at(1)?);
    not_inside(from, to)?;
    let client = shell.connected(from).await?;
    let mut records = Vec::new();
    subtree::read(shell, &client, from, false, |record| {
        records.push(record);
        Ok(())
    })
    .await?
    .whole()?;
    let multi = movement(&records, from, to).map_err(Failure::own)?;
    transfer::tell_counters(shell, to, &records.iter().collect::<Vec<_>>());
    client.multi(multi).await.at(to)?;
    let nodes = records.len();
    shell.note(&format!("{nodes} nodes moved"));
    Ok(())
}

/// A subtree would have no end if it went into itself.
fn not_inside(from: &str, to: &str) -> Result<(), Failure> {
    match is_at_or_below(to, from) {
        true => Err(Failure::own(CopyError::Inside {
            from: from.to_owned(),
            to: to.to_owned(),
        })),
        false => Ok(()),
    }
}

/// One transaction that creates everything there and deletes everything here, if it is still as it was read.
fn movement(records: &[Record], from: &str, to: &str) -> Result<Multi, CopyError> {
    if let Some(record) = records.iter().find(|record| record.kind == Kind::Ephemeral) {
        return Err(CopyError::Ephemeral(record.path_in(from)));
    }
    let bytes = records
        .iter()
        .map(|record| record.weight(from) + record.weight(to))
        .sum();
    if records.len() > MOVE_NODES || bytes > MOVE_BYTES {
        return Err(CopyError::TooLarge {
            nodes: records.len(),
            bytes,
        });
    }
    let created = records.iter().fold(Multi::new(), |multi, record| {
        let data = record.data.as_deref().unwrap_or_default();
        multi.create(record.path_in(to), data, &transfer::options(record))
    });
    let moved = records.iter().rev().fold(created, |multi, record| {
        multi.delete(record.path_in(from), record.version)
    });
    Ok(moved)
}
