//! Records become nodes, many in one transaction.
//!
//! Every transaction after the first one also checks that the root is still the one that was written or found, so that two people
//! who work at the same place notice. Whatever happens, what was done is told.

use std::time::Duration;

use rookeeper_client::{Client, CreateOptions, Error, Multi};
use rookeeper_proto::stat::Stat;

use crate::failure::{At, Failure};
use crate::progress::Progress;
use crate::shell::Shell;
use crate::subtree::{Kind, Record};

/// Nodes in one transaction.
const BATCH_NODES: usize = 500;
/// Bytes in one transaction; a node beyond that is one of its own.
const BATCH_BYTES: usize = 512 * 1024;

/// What becomes of nodes that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The transaction is refused.
    Refuse,
    /// They stay as they are.
    Keep,
    /// They get data and ACL of the record.
    Overwrite,
}

/// How records become nodes.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Where the root goes.
    pub root: &'a str,
    /// What becomes of nodes that are there.
    pub existing: Existing,
    /// Where the records were read: they must be unchanged there.
    pub source: Option<&'a str>,
    /// Whether ephemerals become ephemerals of this session; else they are left out.
    pub with_ephemerals: bool,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    created: usize,
    overwritten: usize,
    kept: usize,
    ephemerals: usize,
}

/// Writes the records, parents first. Tells what was done, also when not everything was.
pub async fn write(
    shell: &Shell,
    client: &Client,
    plan: Plan<'_>,
    records: &[Record],
) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let wanted = |record: &&Record| plan.with_ephemerals || record.kind != Kind::Ephemeral;
    let chosen: Vec<&Record> = records.iter().filter(wanted).collect();
    tally.ephemerals = records.len() - chosen.len();
    tell_counters(shell, plan.root, &chosen);
    let outcome = write_batches(shell, client, plan, &chosen, &mut tally).await;
    let mut told = format!("{} nodes created", tally.created);
    for (count, what) in [
        (tally.overwritten, "overwritten"),
        (tally.kept, "there already and kept"),
        (tally.ephemerals, "ephemerals left out"),
    ] {
        if count > 0 {
            told.push_str(&format!(", {count} {what}"));
        }
    }
    if let Err(failure) = &outcome {
        let left = chosen.len() - tally.created - tally.overwritten - tally.kept;
        told.push_str(&format!(", {left} not done{}", certainty(failure)));
    }
    shell.note(&told);
    outcome
}

/// Tells if sequential names may come again: a new parent counts from the number of its children, and no client can tell it otherwise.
pub fn tell_counters(shell: &Shell, root: &str, records: &[&Record]) {
    let counted: Vec<_> = records
        .iter()
        .filter_map(|record| Some((record.path_in(root), record.children_made?)))
        .collect();
    let Some((path, made)) = counted.first() else {
        return;
    };
    let more = match counted.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more such nodes"),
    };
    shell.err(&format!(
        "warning: {path} begins to count its children anew, and {made} were made before: numbers of sequential nodes may come again{more}"
    ));
}

/// What can be said about the transaction that failed.
fn certainty(failure: &Failure) -> &'static str {
    match failure {
        Failure::Client {
            error: Error::ConnectionLost | Error::Timeout,
            ..
        } => " (no answer to the last transaction: it may have happened)",
        _ => "",
    }
}

async fn write_batches(
    shell: &Shell,
    client: &Client,
    plan: Plan<'_>,
    records: &[&Record],
    tally: &mut Tally,
) -> Result<(), Failure> {
    let mut progress = Progress::of(shell.console(), "nodes written", records.len());
    let mut root_version = None;
    for batch in batches(records, plan.root) {
        shell.check()?;
        write_batch(client, plan, batch, root_version, tally).await?;
        if root_version.is_none() && !plan.existing.is_patient() {
            let stat = client.exists(plan.root).await.at(plan.root)?;
            root_version = stat.map(|stat| stat.version);
        }
        progress.add(batch.len());
    }
    Ok(())
}

impl Existing {
    /// Whether somebody else may work at the same place: then the root is not watched over.
    const fn is_patient(self) -> bool {
        matches!(self, Self::Keep)
    }
}

async fn write_batch(
    client: &Client,
    plan: Plan<'_>,
    batch: &[&Record],
    root_version: Option<i32>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let found = match plan.existing {
        Existing::Refuse => vec![None; batch.len()],
        Existing::Keep | Existing::Overwrite => look(client, plan.root, batch).await?,
    };
    let mut multi = Multi::new();
    if let Some(version) = root_version {
        multi = multi.check(plan.root, version);
    }
    let (mut done, mut count) = (*tally, 0);
    for (record, found) in batch.iter().zip(&found) {
        let path = record.path_in(plan.root);
        if let Some(source) = plan.source {
            multi = multi.check(record.path_in(source), record.version);
        }
        let data = record.data.as_deref().unwrap_or_default();
        multi = match (found, plan.existing) {
            (Some(_), Existing::Keep) => {
                done.kept += 1;
                continue;
            }
            (Some(stat), _) => {
                done.overwritten += 1;
                match record.data {
                    Some(_) => multi.set(&path, data, stat.version),
                    None => multi.set_null(&path, stat.version),
                }
            }
            (None, _) => {
                done.created += 1;
                multi.create(&path, data, &options(record))
            }
        };
        count += 1;
    }
    if count > 0 {
        let first = batch
            .first()
            .map_or_else(String::new, |record| record.path_in(plan.root));
        client.multi(multi).await.at(&first)?;
    }
    *tally = done;
    // A transaction cannot set an ACL.
    for (record, _) in batch
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_some())
    {
        if plan.existing == Existing::Overwrite {
            let path = record.path_in(plan.root);
            client.set_acl(&path, &record.acl, -1).await.at(&path)?;
        }
    }
    Ok(())
}

/// What is there already.
async fn look(
    client: &Client,
    root: &str,
    batch: &[&Record],
) -> Result<Vec<Option<Stat>>, Failure> {
    let asked: Vec<_> = batch
        .iter()
        .map(|record| record.path_in(root))
        .map(|path| (client.exists(&path), path))
        .collect();
    let mut found = Vec::with_capacity(asked.len());
    for (asked, path) in asked {
        found.push(asked.await.at(&path)?);
    }
    Ok(found)
}

/// How a node like the record is created.
#[must_use]
pub fn options(record: &Record) -> CreateOptions {
    let options = match record.kind {
        Kind::Persistent => CreateOptions::persistent(),
        Kind::Ephemeral => CreateOptions::ephemeral(),
        Kind::Container => CreateOptions::container(),
        Kind::Ttl(ms) => CreateOptions::ttl(Duration::from_millis(ms)),
    };
    let options = options.acl(record.acl.clone());
    match record.data {
        None => options.null_data(),
        Some(_) => options,
    }
}

/// The records in pieces that fit into a transaction.
fn batches<'a>(records: &'a [&'a Record], root: &str) -> Vec<&'a [&'a Record]> {
    let mut pieces = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut weight = 0;
        let fits = rest.iter().take(BATCH_NODES).take_while(|record| {
            weight += record.weight(root);
            weight <= BATCH_BYTES
        });
        let (piece, behind) = rest.split_at(fits.count().max(1));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str, bytes: usize) -> Record {
        Record {
            path: path.to_owned(),
            data: Some(vec![0; bytes]),
            acl: Vec::new(),
            kind: Kind::Persistent,
            version: 0,
            children_made: None,
        }
    }

    #[test]
    fn a_transaction_has_a_bound_of_nodes_and_of_bytes() {
        let small = record("/a", 10);
        let large = record("/b", BATCH_BYTES + 1);
        let half = record("/c", BATCH_BYTES / 2);
        let lengths = |records: &[&Record]| {
            batches(records, "/r")
                .iter()
                .map(|batch| batch.len())
                .collect::<Vec<_>>()
        };
        assert_eq!(lengths(&vec![&small; BATCH_NODES + 1]), [BATCH_NODES, 1]);
        assert_eq!(lengths(&[&small, &large, &small]), [1, 1, 1]);
        assert_eq!(lengths(&[&half, &half, &half]), [1, 1, 1]);
        assert_eq!(lengths(&[]), [0; 0]);
    }
}
