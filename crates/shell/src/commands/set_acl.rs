//! `setAcl`: who may do what from now on.

use rookeeper_client::Client;
use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::ErrorCode;

use super::{Command, Invocation, STAT, VERSION, deprecated, number};
use crate::acl_text;
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;
use crate::walk::Walk;

const RECURSIVE: Flag = Flag::switch("R", "the node and everything below it");

pub(super) const COMMAND: Command = Command {
    name: "setAcl",
    arguments: "[-s] [-v version] [-R] path acl",
    options: &[STAT, VERSION, RECURSIVE],
    details: "",
    about: "Set who may do what: scheme:id:perms,... with perms out of cdrwa.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let text = call.needed(1)?;
    let path = call.path()?;
    let mut version: Option<i32> = call.number(VERSION.name)?;
    if let Some(old) = call.word(2) {
        shell.note(&deprecated(
            "setAcl path acl [version]",
            "setAcl [-s] [-v version] path acl",
        ));
        version = Some(number(old)?);
    }
    let (acl, faults) = acl_text::parse(text);
    faults
        .iter()
        .for_each(|fault| shell.err(&fault.to_string()));
    if acl.is_empty() {
        return Err(Failure::refused(ErrorCode::InvalidAcl, "null"));
    }
    let version = version.unwrap_or(-1);
    let client = shell.connected(path).await?;
    match call.has(RECURSIVE.name) {
        true => set_below(shell, &call, &client, path, &acl, version).await,
        false => set_one(shell, &call, &client, path, &acl, version).await,
    }
}

async fn set_one(
    shell: &Shell,
    call: &Invocation,
    client: &Client,
    path: &str,
    acl: &[Acl],
    version: i32,
) -> Result<(), Failure> {
    let stat = client.set_acl(path, acl, version).await.at(path)?;
    if call.has(STAT.name) {
        shell.out(&shell.stat_text(&stat));
    }
    Ok(())
}

/// Node by node; what is refused is told, and the others go on.
async fn set_below(
    shell: &Shell,
    call: &Invocation,
    client: &Client,
    path: &str,
    acl: &[Acl],
    version: i32,
) -> Result<(), Failure> {
    let mut walk = Walk::new(client, path, false);
    let mut paths = Vec::new();
    // All paths first: the new ACL may be one that forbids to look further.
    while let Some(node) = walk.next(shell).await? {
        paths.push(node.path);
    }
    let mut outcome = walk.finish(shell);
    for path in paths {
        shell.check()?;
        match set_one(shell, call, client, &path, acl, version).await {
            Err(failure) if failure.code().is_some() => {
                shell.err(&failure.to_string());
                outcome = Err(Failure::Told);
            }
            other => other?,
        }
    }
    outcome
}
