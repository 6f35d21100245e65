//! `create`: a new node.

use std::time::Duration;

use rookeeper_client::{CreateOptions, Error};
use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::{ErrorCode, MAX_TTL_MS};
use thiserror::Error;

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::error_text;
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;
use crate::{acl_text, path_text, stat_block};

const SEQUENTIAL: Flag = Flag::switch("s", "sequential: the server puts a number behind the name");
const EPHEMERAL: Flag = Flag::switch("e", "ephemeral: gone with this session");
const CONTAINER: Flag = Flag::switch("c", "container: gone after its last child");
const TTL: Flag = Flag::valued(
    "t",
    "ttl",
    "gone when unchanged and childless for so many ms",
);

pub(super) const COMMAND: Command = Command {
    name: "create",
    arguments: "[-s] [-e] [-c] [-t ttl] path [data] [acl]",
    options: &[SEQUENTIAL, EPHEMERAL, CONTAINER, TTL, OUTPUT],
    details: "",
    about: "Create a node; without data they are null.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// Options that do not go together.
#[derive(Debug, Error)]
enum KindError {
    #[error("-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.")]
    ContainerWith,
    #[error("TTLs cannot be used with Ephemeral znodes")]
    TtlEphemeral,
    #[error("TTLs cannot be used with Container znodes")]
    TtlContainer,
    #[error("-t argument must be a long value")]
    TtlNumber,
    #[error("ttl must be positive and cannot be larger than: {MAX_TTL_MS}")]
    TtlRange,
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let options = kind(&call)?;
    let path = call.needed(0)?;
    match call.has(SEQUENTIAL.name) {
        // The number makes a name of what ends with a slash.
        true => path_text::check(&format!("{path}1"))?,
        false => path_text::check(path)?,
    }
    let options = match (call.word(1), call.word(2)) {
        (None, _) => options.null_data(),
        (Some(_), None) => options,
        (Some(_), Some(text)) => options.acl(acl(shell, text)?),
    };
    let client = shell.connected(path).await?;
    let data = call.word(1).unwrap_or_default();
    let created = match client.create(path, data, &options).await {
        Err(Error::Refused {
            code: ErrorCode::InvalidAcl,
            ..
        }) => {
            let name = error_text::name(ErrorCode::InvalidAcl);
            shell.err(&error_text::general(name, path));
            return Err(Failure::refused(ErrorCode::InvalidAcl, path));
        }
        outcome => outcome.at(path)?,
    };
    match format {
        // The root of a chroot has no name within it.
        None => shell.note(&format!("Created {}", created.path.trim_end_matches('/'))),
        Some(format) => {
            let document = Document::record([
                ("path", Document::Text(created.path)),
                ("stat", stat_block::document(&created.stat)),
            ]);
            shell.out(&document.render(format));
        }
    }
    Ok(())
}

fn kind(call: &Invocation) -> Result<CreateOptions, Failure> {
    let (sequential, ephemeral) = (call.has(SEQUENTIAL.name), call.has(EPHEMERAL.name));
    let container = call.has(CONTAINER.name);
    if container && (sequential || ephemeral) {
        return Err(Failure::own(KindError::ContainerWith));
    }
    if let Some(ttl) = call.value(TTL.name) {
        let ttl = ttl_of(ttl, ephemeral, container).map_err(Failure::own)?;
        return Ok(match sequential {
            true => CreateOptions::ttl_sequential(ttl),
            false => CreateOptions::ttl(ttl),
        });
    }
    Ok(match (container, ephemeral, sequential) {
        (true, ..) => CreateOptions::container(),
        (_, true, true) => CreateOptions::ephemeral_sequential(),
        (_, true, false) => CreateOptions::ephemeral(),
        (_, false, true) => CreateOptions::persistent_sequential(),
        (_, false, false) => CreateOptions::persistent(),
    })
}

fn ttl_of(text: &str, ephemeral: bool, container: bool) -> Result<Duration, KindError> {
    let ttl: i64 = text.parse().map_err(|_| KindError::TtlNumber)?;
    if ephemeral {
        return Err(KindError::TtlEphemeral);
    }
    if container {
        return Err(KindError::TtlContainer);
    }
    match u64::try_from(ttl) {
        Ok(ms @ 1..) if ttl <= MAX_TTL_MS => Ok(Duration::from_millis(ms)),
        _ => Err(KindError::TtlRange),
    }
}

/// The list that was typed; what is wrong in it is told and passed over, unless nothing is left.
fn acl(shell: &Shell, text: &str) -> Result<Vec<Acl>, Failure> {
    let (acl, faults) = acl_text::parse(text);
    faults
        .iter()
        .for_each(|fault| shell.err(&fault.to_string()));
    if acl.is_empty() {
        let name = error_text::name(ErrorCode::InvalidAcl);
        shell.err(&error_text::general(name, ""));
        return Err(Failure::refused(ErrorCode::InvalidAcl, "null"));
    }
    Ok(acl)
}
