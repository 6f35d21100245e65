//! `set`: other data.

use super::{Command, Invocation, OUTPUT, STAT, VERSION, deprecated, number};
use crate::failure::{At, Failure};
use crate::options::Flag;
use crate::shell::Shell;
use crate::{data_text, stat_block};

const BASE64: Flag = Flag::switch("b", "the data are base64");

pub(super) const COMMAND: Command = Command {
    name: "set",
    arguments: "path data [-s] [-v version] [-b]",
    options: &[STAT, VERSION, BASE64, OUTPUT],
    details: "\n -b         Supply data in base64 format\n -s         Print znode stats additionally\n -v <arg>   Set with an expected version\n",
    about: "Replace the data of a node.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let data = call.needed(1)?;
    let path = call.path()?;
    let mut version: Option<i32> = call.number(VERSION.name)?;
    if let Some(old) = call.word(2) {
        shell.note(&deprecated(
            "set path data [version]",
            "set [-s] [-v version] path data",
        ));
        version = Some(number(old)?);
    }
    let data = match call.has(BASE64.name) {
        true => data_text::from_base64(data).ok_or(Failure::NotBase64)?,
        false => data.as_bytes().to_vec(),
    };
    let client = shell.connected(path).await?;
    let stat = client
        .set(path, data, version.unwrap_or(-1))
        .await
        .at(path)?;
    if call.has(STAT.name) {
        shell.show(
            format,
            || shell.stat_text(&stat),
            || stat_block::document(&stat),
        );
    }
    Ok(())
}
