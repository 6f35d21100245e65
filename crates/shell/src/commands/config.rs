//! `config`: the members of the ensemble.

use rookeeper_proto::stat::Stat;

use super::{Command, Invocation, OUTPUT, STAT, WATCH, reads};
use crate::document::Document;
use crate::failure::Failure;
use crate::options::Flag;
use crate::shell::Shell;
use crate::stat_block;

/// Where the configuration is.
pub(super) const NODE: &str = "/zookeeper/config";

const CLIENT: Flag = Flag::switch("c", "only the version and the addresses for clients");

pub(super) const COMMAND: Command = Command {
    name: "config",
    arguments: "[-c] [-w] [-s]",
    options: &[CLIENT, WATCH, STAT, OUTPUT],
    details: "",
    about: "Show the members of the ensemble.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let (client, _) = shell.connected_whole("/").await?;
    let data = reads::data(shell, &client, NODE, call.has(WATCH.name)).await?;
    let text = String::from_utf8_lossy(&data.bytes);
    if let Some(format) = format {
        shell.out(&document(&text, &data.stat).render(format));
        return Ok(());
    }
    match call.has(CLIENT.name) {
        true => shell.out(&format!("{}\n", for_clients(&text))),
        false => shell.out(&format!("{text}\n")),
    }
    if call.has(STAT.name) {
        shell.out(&shell.stat_text(&data.stat));
    }
    Ok(())
}

/// Who is in, as far as the text says it; versions are zxids.
fn document(text: &str, stat: &Stat) -> Document {
    let version = text.lines().find_map(|line| line.strip_prefix("version="));
    Document::record([
        (
            "version",
            version.map_or(Document::Null, |hex| {
                Document::Text(format!("0x{}", hex.trim()))
            }),
        ),
        ("servers", Document::texts(servers(text).map(str::to_owned))),
        ("stat", stat_block::document(stat)),
    ])
}

/// The version and what stands behind the semicolons, as `VERSION HOST:PORT,HOST:PORT`.
fn for_clients(text: &str) -> String {
    let version = text.lines().find_map(|line| line.strip_prefix("version="));
    let addresses = servers(text).filter_map(|server| Some(server.rsplit_once(';')?.1));
    let addresses: Vec<_> = addresses.collect();
    format!(
        "{} {}",
        version.unwrap_or_default().trim(),
        addresses.join(",")
    )
}

/// What the configuration says of each server.
pub(super) fn servers(text: &str) -> impl Iterator<Item = &str> {
    let members = text.lines().filter(|line| line.starts_with("server."));
    members.filter_map(|line| Some(line.split_once('=')?.1.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_need_version_and_addresses() {
        let text = "server.1=127.0.0.1:26111:26121:participant;127.0.0.1:26101\n\
                    server.2=127.0.0.1:26112:26122:participant;127.0.0.1:26102\nversion=100000000";
        assert_eq!(
            for_clients(text),
            "100000000 127.0.0.1:26101,127.0.0.1:26102"
        );
        assert_eq!(for_clients(""), " ");
    }
}
