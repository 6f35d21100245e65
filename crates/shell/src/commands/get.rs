//! `get`: the data of a node.

use rookeeper_client::Data;

use super::{Command, Invocation, OUTPUT, STAT, WATCH, reads};
use crate::document::Document;
use crate::failure::Failure;
use crate::options::Flag;
use crate::shell::Shell;
use crate::{data_text, hex_dump, stat_block};

const BASE64: Flag = Flag::switch("b", "show the data as base64");
const HEX: Flag = Flag::switch("x", "show the data as a hex dump");

pub(super) const COMMAND: Command = Command {
    name: "get",
    arguments: "[-s] [-w] [-b] [-x] path",
    options: &[STAT, WATCH, BASE64, HEX, OUTPUT],
    details: "\n -b   Output data in base64 format\n -s   Print znode stats additionally\n -w   Watch for changes on the znode\n -x   Output data in hexdump format\n",
    about: "Show the data of a node.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let format = call.format(shell)?;
    let path = call.path()?;
    let watches = reads::wants_watch(shell, &call, "get path [watch]", "get [-s] [-w] path");
    let client = shell.connected(path).await?;
    let data = reads::data(shell, &client, path, watches).await?;
    match format {
        Some(format) => shell.out(&document(path, &data).render(format)),
        None => print(shell, &call, &data),
    }
    Ok(())
}

fn print(shell: &Shell, call: &Invocation, data: &Data) {
    if data.is_null {
        shell.out("null\n");
    } else if call.has(BASE64.name) {
        shell.out(&format!("{}\n", data_text::to_base64(&data.bytes)));
    } else if call.has(HEX.name) {
        shell.out(&hex_dump::dump(&data.bytes));
    } else {
        shell.arrivals().settle();
        shell.console().data(&data.bytes);
        shell.out("\n");
    }
    if call.has(STAT.name) {
        shell.out(&shell.stat_text(&data.stat));
    }
}

fn document(path: &str, data: &Data) -> Document {
    let bytes = (!data.is_null).then_some(&*data.bytes);
    Document::record([
        ("path", path.into()),
        data_text::document(bytes),
        ("stat", stat_block::document(&data.stat)),
    ])
}
