//! `setquota`: a limit for a path.

use rookeeper_client::{Client, CreateOptions};
use rookeeper_proto::path::is_at_or_below;
use thiserror::Error;

use super::{
    BYTES, BYTES_HARD, COUNT, COUNT_HARD, LIMITS, Limits, ROOT, STATS, folder, node, text,
};
use crate::commands::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::shell::Shell;
use crate::walk::Walk;

pub(in crate::commands) const COMMAND: Command = Command {
    name: "setquota",
    arguments: "-n|-b|-N|-B val path",
    options: &[COUNT, BYTES, COUNT_HARD, BYTES_HARD],
    details: "",
    about: "Limit the number of nodes or the bytes of data at and below a path.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// Why a limit is refused.
#[derive(Debug, Error)]
enum QuotaError {
    #[error(
        "Missing required option: [-n num soft quota, -b bytes soft quota, -N num hard quota, -B bytes hard quota]"
    )]
    NoOption,
    #[error("NumberFormatException happens when parsing the option value")]
    Number,
    #[error("the num quota must be greater than zero")]
    Count,
    #[error("the bytes quota must be greater than or equal to zero")]
    Bytes,
    #[error("cannot set a quota under the path: {ROOT}")]
    QuotaTree,
    #[error("{0} does not exist.")]
    Absent(String),
    #[error("{0} has a parent {1} which has a quota")]
    Parent(String, String),
    #[error("{0} has a child {1} which has a quota")]
    Child(String, String),
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let option = call
        .parsed
        .one_of(&[COUNT.name, BYTES.name, COUNT_HARD.name, BYTES_HARD.name])?
        .ok_or_else(|| Failure::own(QuotaError::NoOption))?;
    let path = call.path()?;
    let value = value(option, call.value(option).unwrap_or_default()).map_err(Failure::own)?;
    let (client, full) = shell.connected_whole(path).await?;
    if is_at_or_below(&full, ROOT) {
        return Err(Failure::own(QuotaError::QuotaTree));
    }
    if client.exists(&full).await.at(path)?.is_none() {
        return Err(Failure::own(QuotaError::Absent(path.to_owned())));
    }
    check_surroundings(shell, &client, &full).await?;
    let limits = write(&client, &full, option, value).await?;
    warn(shell, &client, &full, limits).await
}

fn value(option: &str, text: &str) -> Result<i64, QuotaError> {
    let value: i64 = text.parse().map_err(|_| QuotaError::Number)?;
    let counts = option == COUNT.name || option == COUNT_HARD.name;
    match (counts, value) {
        (true, ..=0) => Err(QuotaError::Count),
        (false, ..=-1) => Err(QuotaError::Bytes),
        _ => Ok(value),
    }
}

/// The path must have no limits above or below it.
async fn check_surroundings(shell: &Shell, client: &Client, path: &str) -> Result<(), Failure> {
    let slashes = path.match_indices('/').skip(1);
    for (at, _) in slashes {
        let above = path.split_at(at).0;
        let limits = node(above, LIMITS);
        if client.exists(&limits).await.at(path)?.is_some() {
            let fault = QuotaError::Parent(path.to_owned(), above.to_owned());
            return Err(Failure::own(fault));
        }
    }
    let folder = folder(path);
    let mut walk = Walk::new(client, &folder, false);
    loop {
        let node = match walk.next(shell).await {
            Ok(Some(node)) => node,
            Err(failure) if !failure.is_no_node() => return Err(failure),
            Ok(None) | Err(_) => return Ok(()),
        };
        if node.depth > 0 && node.children.iter().any(|name| name == LIMITS) {
            let below = node.path.strip_prefix(ROOT).unwrap_or(&node.path);
            let fault = QuotaError::Child(path.to_owned(), below.to_owned());
            return Err(Failure::own(fault));
        }
    }
}

/// Writes the limits, with the folders above them. Returns all limits of the path.
async fn write(client: &Client, path: &str, option: &str, value: i64) -> Result<Limits, Failure> {
    let limits_node = node(path, LIMITS);
    if let Some(old) = text(client, &limits_node).await? {
        let limits = Limits::parse(&old).with(option, value);
        let written = client.set(&limits_node, limits.text(), -1).await;
        return written.at(path).map(|_| limits);
    }
    let folder = folder(path);
    let folders = folder
        .match_indices('/')
        .skip(1)
        .map(|(at, _)| folder.split_at(at).0);
    for folder in folders.chain([folder.as_str()]) {
        create(client, folder, None, path).await?;
    }
    let limits = Limits::NONE.with(option, value);
    create(client, &limits_node, Some(&limits.text()), path).await?;
    create(client, &node(path, STATS), Some("count=0,bytes=0"), path).await?;
    Ok(limits)
}

/// Creates a node, unless it is there.
async fn create(
    client: &Client,
    node: &str,
    data: Option<&str>,
    path: &str,
) -> Result<(), Failure> {
    if client.exists(node).await.at(path)?.is_some() {
        return Ok(());
    }
    let options = match data {
        None => CreateOptions::persistent().null_data(),
        Some(_) => CreateOptions::persistent(),
    };
    match client
        .create(node, data.unwrap_or_default(), &options)
        .await
    {
        Err(error) if error.is_node_exists() => Ok(()),
        created => created.map(drop).at(path),
    }
}

/// Tells which limits are exceeded already.
async fn warn(shell: &Shell, client: &Client, path: &str, limits: Limits) -> Result<(), Failure> {
    let Some(used) = text(client, &node(path, STATS)).await? else {
        return Ok(());
    };
    let used = Limits::parse(&used);
    let is_over = |limits: [i64; 2], used: i64| {
        let mut limits = limits.into_iter();
        limits.any(|limit| limit >= 0 && limit < used)
    };
    if is_over([limits.count, limits.count_hard], used.count) {
        let used = used.count;
        shell.err(&format!(
            "[Warning]: the count quota you create is less than the existing count:{used}"
        ));
    }
    if is_over([limits.bytes, limits.bytes_hard], used.bytes) {
        let used = used.bytes;
        shell.err(&format!(
            "[Warning]: the bytes quota you create is less than the existing bytes:{used}"
        ));
    }
    Ok(())
}
