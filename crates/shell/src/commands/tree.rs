//! `tree`: a subtree drawn.

use std::collections::VecDeque;

use rookeeper_client::{Client, Data, Error};

use super::{Command, Invocation};
use crate::data_text;
use crate::failure::Failure;
use crate::options::Flag;
use crate::path_text;
use crate::shell::Shell;
use crate::walk::{Visited, Walk};

/// Characters of a value that are shown.
const VALUE_SHOWN: usize = 60;
/// Values that are asked for ahead.
const AHEAD: usize = 64;

const DEPTH: Flag = Flag::valued("d", "depth", "not deeper than so many steps");
const SIZES: Flag = Flag::switch("s", "show the bytes of data");
const VALUES: Flag = Flag::switch("v", "show the beginning of the data");

pub(super) const COMMAND: Command = Command {
    name: "tree",
    arguments: "[-d depth] [-s] [-v] [path]",
    options: &[DEPTH, SIZES, VALUES],
    details: "",
    about: "Draw a node and everything below it.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

type Asked = std::pin::Pin<Box<dyn Future<Output = Result<Data, Error>> + Send>>;

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(1)?;
    let root = call.word(0).unwrap_or("/");
    path_text::check(root)?;
    let depth: usize = call.number(DEPTH.name)?.unwrap_or(usize::MAX);
    let client = shell.connected(root).await?;
    let mut walk = Walk::new(&client, root, false);
    let mut lines: VecDeque<(String, Option<Asked>)> = VecDeque::new();
    let (mut nodes, mut branches) = (0_usize, Vec::new());
    while let Some(node) = walk.next(shell).await? {
        if node.depth >= depth {
            walk.skip_below(&node);
        }
        nodes += 1;
        lines.push_back(line(&client, &call, &node, &mut branches));
        if lines.len() >= AHEAD
            && let Some((line, value)) = lines.pop_front()
        {
            print(shell, line, value).await?;
        }
    }
    for (line, value) in lines {
        print(shell, line, value).await?;
    }
    shell.out(&format!("\n{nodes} nodes\n"));
    walk.finish(shell)
}

/// The line of a node, and the value that is asked for if it shall be shown.
fn line(
    client: &Client,
    call: &Invocation,
    node: &Visited,
    branches: &mut Vec<bool>,
) -> (String, Option<Asked>) {
    let mut line = String::new();
    if node.depth == 0 {
        line.push_str(&node.path);
    } else {
        branches.truncate(node.depth - 1);
        for is_last in branches.iter() {
            line.push_str(if *is_last { "    " } else { "│   " });
        }
        line.push_str(if node.is_last {
            "└── "
        } else {
            "├── "
        });
        line.push_str(path_text::name(&node.path));
        branches.push(node.is_last);
    }
    if node.stat.ephemeral_owner != 0 {
        line.push_str(" (ephemeral)");
    }
    if call.has(SIZES.name) {
        line.push_str(&format!(" [{}]", node.stat.data_length));
    }
    let has_value = call.has(VALUES.name) && node.stat.data_length > 0;
    let asked = has_value.then(|| client.data(&node.path));
    (line, asked.map(|asked| Box::pin(asked) as Asked))
}

async fn print(shell: &Shell, mut line: String, value: Option<Asked>) -> Result<(), Failure> {
    shell.check()?;
    if let Some(asked) = value {
        // A value that is gone or may not be read is not shown; the structure is what was asked for.
        if let Ok(data) = asked.await {
            line.push_str(&format!(
                " = {}",
                data_text::in_one_line(&data.bytes, VALUE_SHOWN)
            ));
        }
    }
    line.push('\n');
    shell.out(&line);
    Ok(())
}
