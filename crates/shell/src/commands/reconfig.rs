//! `reconfig`: other members for the ensemble.

use std::fs;

use rookeeper_proto::ids::Zxid;
use thiserror::Error;

use super::{Command, Invocation, STAT};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;

const VERSION: Flag = Flag::valued("v", "version", "only if the configuration has this version");
const FILE: Flag = Flag::valued(
    "file",
    "path",
    "the new members, from a dynamic configuration file",
);
const MEMBERS: Flag = Flag::valued("members", "list", "the new members");
const ADD: Flag = Flag::valued("add", "list", "members that join or change");
const REMOVE: Flag = Flag::valued("remove", "ids", "members that leave");

pub(super) const COMMAND: Command = Command {
    name: "reconfig",
    arguments: "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
    options: &[STAT, VERSION, FILE, MEMBERS, ADD, REMOVE],
    details: "",
    about: "Change the members of the ensemble.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// What is wrong with the options.
#[derive(Debug, Error)]
enum ReconfigError {
    #[error("-v must be followed by a long (configuration version)")]
    Version,
    #[error(
        "Can't use -file or -members together with -add or -remove (mixing incremental and non-incremental modes is not allowed)"
    )]
    Mixed,
    #[error("Can't use -file and -members together (conflicting non-incremental modes)")]
    TwoLists,
    /// Path and reason, put together as ZooKeeper's shell does.
    #[error("Error processing {path}{path} ({reason})")]
    File { path: String, reason: String },
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Default)]
struct Change {
    joining: Option<String>,
    leaving: Option<String>,
    members: Option<String>,
    version: Option<Zxid>,
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let change = change(&call)?;
    let client = shell.connected("").await?;
    let data = client
        .reconfig(
            change.joining.as_deref(),
            change.leaving.as_deref(),
            change.members.as_deref(),
            change.version,
        )
        .await
        .at("")?;
    let text = String::from_utf8_lossy(&data.bytes);
    shell.out(&format!("Committed new configuration:\n{text}\n"));
    if call.has(STAT.name) {
        shell.out(&shell.stat_text(&data.stat));
    }
    Ok(())
}

fn change(call: &Invocation) -> Result<Change, Failure> {
    let version = match call.value(VERSION.name) {
        None => None,
        // In hex, as the configuration shows it.
        Some(text) => match i64::from_str_radix(text, 16) {
            Ok(version) => Some(Zxid(version)),
            Err(_) => return Err(Failure::own(ReconfigError::Version)),
        },
    };
    let whole = call.has(FILE.name) || call.has(MEMBERS.name);
    let steps = call.has(ADD.name) || call.has(REMOVE.name);
    if whole && steps {
        return Err(Failure::own(ReconfigError::Mixed));
    }
    if call.has(FILE.name) && call.has(MEMBERS.name) {
        return Err(Failure::own(ReconfigError::TwoLists));
    }
    if !whole && !steps {
        return Err(Failure::Usage(call.command));
    }
    let list = |name| {
        let given = call.has(name);
        given.then(|| call.parsed.values(name).join(",").to_lowercase())
    };
    let members = match call.value(FILE.name) {
        Some(path) => Some(members_of(path).map_err(Failure::own)?.to_lowercase()),
        None => list(MEMBERS.name),
    };
    Ok(Change {
        joining: list(ADD.name),
        leaving: list(REMOVE.name),
        members,
        version,
    })
}

/// The `server.N` lines of a file, parted by commas.
fn members_of(path: &str) -> Result<String, ReconfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        // "(os error 2)" says nothing more.
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        ReconfigError::File {
            path: path.to_owned(),
            reason: reason.to_owned(),
        }
    })?;
    let lines = text.lines().map(str::trim);
    let members: Vec<_> = lines.filter(|line| line.starts_with("server.")).collect();
    Ok(members.join(","))
}
