//! `du`: how many bytes and nodes subtrees have.

use super::{Command, Invocation, OUTPUT};
use crate::document::Document;
use crate::failure::Failure;
use crate::options::Flag;
use crate::path_text;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::walk::Walk;

const DEPTH: Flag = Flag::valued(
    "d",
    "depth",
    "show subtrees so many steps down; 1 if not said",
);
const HUMAN: Flag = Flag::switch("h", "sizes in KiB, MiB, GiB");

pub(super) const COMMAND: Command = Command {
    name: "du",
    arguments: "[-d depth] [-h] [path]",
    options: &[DEPTH, HUMAN, OUTPUT],
    details: "",
    about: "Show the bytes of data and the number of nodes of subtrees.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

/// What a subtree has, as far as it was seen.
#[derive(Debug, PartialEq, Eq)]
struct Total {
    path: String,
    depth: usize,
    bytes: i64,
    nodes: i64,
}

/// Subtrees that are being added up: each one lies inside the one before it.
#[derive(Debug, Default)]
struct Totals {
    open: Vec<Total>,
    done: Vec<Total>,
}

impl Totals {
    /// A node in the order of a walk.
    fn add(&mut self, path: String, depth: usize, bytes: i64) {
        self.close(depth);
        self.open.push(Total {
            path,
            depth,
            bytes,
            nodes: 1,
        });
    }

    /// Subtrees at `depth` and deeper are complete: what they have is added to those around them.
    fn close(&mut self, depth: usize) {
        while let Some(total) = self.open.pop_if(|total| total.depth >= depth) {
            if let Some(around) = self.open.last_mut() {
                around.bytes += total.bytes;
                around.nodes += total.nodes;
            }
            self.done.push(total);
        }
    }
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(1)?;
    let format = call.format(shell)?;
    let root = call.word(0).unwrap_or("/");
    path_text::check(root)?;
    let depth: usize = call.number(DEPTH.name)?.unwrap_or(1);
    let client = shell.connected(root).await?;
    let mut progress = Progress::new(shell.console(), "nodes counted");
    let mut walk = Walk::new(&client, root, false);
    let mut totals = Totals::default();
    let mut rows = Vec::new();
    while let Some(node) = walk.next(shell).await? {
        progress.add(1);
        totals.add(node.path, node.depth, node.stat.data_length.into());
        rows.extend(totals.done.drain(..).filter(|total| total.depth <= depth));
    }
    totals.close(0);
    rows.extend(totals.done.into_iter().filter(|total| total.depth <= depth));
    drop(progress);
    let size = |bytes| match call.has(HUMAN.name) {
        true => human(bytes),
        false => bytes.to_string(),
    };
    let line = |row: &Total| format!("{:>12} {:>9} {}\n", size(row.bytes), row.nodes, row.path);
    let lines = || rows.iter().map(line).collect();
    shell.show(format, lines, || {
        Document::List(rows.iter().map(document).collect())
    });
    walk.finish(shell)
}

fn document(row: &Total) -> Document {
    Document::record([
        ("path", row.path.as_str().into()),
        ("bytes", Document::Number(row.bytes)),
        ("nodes", Document::Number(row.nodes)),
    ])
}

/// Bytes in the largest unit of which there is at least one.
fn human(bytes: i64) -> String {
    let units = [("GiB", 1_i64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_are_added_to_those_around_them() {
        let mut totals = Totals::default();
        for (path, depth, bytes) in [("/", 0, 1), ("/a", 1, 2), ("/a/x", 2, 4), ("/b", 1, 8)] {
            totals.add(path.to_owned(), depth, bytes);
        }
        totals.close(0);
        let rows: Vec<_> = totals
            .done
            .iter()
            .map(|row| (row.path.as_str(), row.bytes, row.nodes))
            .collect();
        assert_eq!(
            rows,
            [("/a/x", 4, 1), ("/a", 6, 2), ("/b", 8, 1), ("/", 15, 4)]
        );
    }

    #[test]
    fn sizes_are_readable() {
        let shown: Vec<_> = [0, 1023, 1024, 1536, 5 << 30]
            .into_iter()
            .map(human)
            .collect();
        assert_eq!(shown, ["0B", "1023B", "1.0KiB", "1.5KiB", "5.0GiB"]);
    }
}
