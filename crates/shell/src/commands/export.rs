//! `export` and `import`: a subtree as a JSON file and back.
//!
//! A node is one line of the file: path below the root, kind (`persistent`, `ephemeral`, `container`, `ttl` with `ttl` in ms), data
//! (`data` as text, or `dataBase64`), ACL, and `childrenMade` where more children were made below it than are there now.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::ErrorCode;
use serde_json::Value;
use thiserror::Error;

use super::{Command, Invocation};
use crate::document::Document;
use crate::failure::Failure;
use crate::options::Flag;
use crate::out_file::{self, OutFile};
use crate::shell::Shell;
use crate::subtree::{self, Kind, Record};
use crate::transfer::{self, Existing, Plan};
use crate::{acl_text, data_text, path_text};

/// What the file says it is.
const FORMAT: &str = "rookeeper-subtree-1";

/// The name of the standard input.
const INPUT: &str = "-";

const KEEP: Flag = Flag::switch("k", "keep nodes that are there already");
const FORCE: Flag = Flag::switch(
    "f",
    "overwrite data and ACL of nodes that are there already",
);
const EPHEMERAL: Flag = Flag::switch("e", "ephemerals too, as ephemerals of this session");
const DRY: Flag = Flag::switch("n", "only read the file and say what is in it");

pub(super) const COMMAND: Command = Command {
    name: "export",
    arguments: "path [file]",
    options: &[],
    details: "",
    about: "Write a node and everything below it as JSON, to a file or as the result.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

pub(super) const IMPORT: Command = Command {
    name: "import",
    arguments: "[-k|-f] [-e] [-n] file [path]",
    options: &[KEEP, FORCE, EPHEMERAL, DRY],
    details: "",
    about: "Create the nodes of an exported file, where they were or below another path.",
    is_listed: true,
    run: |shell, call| Box::pin(run_import(shell, call)),
};

#[derive(Debug, Error)]
enum FileError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Json {
        path: PathBuf,
        error: serde_json::Error,
    },
    #[error(
        "- is the standard input, which lines come from here: name a file, or run import alone"
    )]
    NoInput,
    #[error("{}: not an exported subtree ({what})", path.display())]
    Form { path: PathBuf, what: &'static str },
    #[error("{}: node {number} has no valid {what}", path.display())]
    Node {
        path: PathBuf,
        number: usize,
        what: &'static str,
    },
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(2)?;
    let root = call.path()?;
    let client = shell.connected(root).await?;
    let mut text = Text {
        root: root.to_owned(),
        nodes: 0,
    };
    let file = call.word(1).map(Path::new);
    let Some(file) = file.filter(|file| !out_file::is_output(file)) else {
        let printed = |record| {
            shell.out(&text.of(&record));
            Ok(())
        };
        let extent = subtree::read(shell, &client, root, false, printed).await?;
        shell.out(text.end());
        return extent.whole();
    };
    let failed = |error| {
        Failure::own(FileError::Io {
            path: file.to_owned(),
            error,
        })
    };
    let mut out = OutFile::create(file).map_err(failed)?;
    let written = |record| out.write(&text.of(&record)).map_err(failed);
    let extent = subtree::read(shell, &client, root, false, written).await?;
    out.write(text.end()).map_err(failed)?;
    if text.nodes > 0 {
        out.finish().map_err(failed)?;
        shell.note(&format!("{} nodes exported", text.nodes));
    }
    extent.whole()
}

/// The text of a file, as far as it was made.
struct Text {
    root: String,
    nodes: usize,
}

impl Text {
    /// What the next node adds.
    fn of(&mut self, record: &Record) -> String {
        self.nodes += 1;
        let line = document(record).json_line();
        match self.nodes {
            1 => format!(
                "{{\"format\":{},\"root\":{},\"nodes\":[\n{line}",
                Value::from(FORMAT),
                Value::from(self.root.as_str())
            ),
            _ => format!(",\n{line}"),
        }
    }

    /// What the end adds. Where there is no node there is no text.
    const fn end(&self) -> &'static str {
        match self.nodes {
            0 => "",
            _ => "\n]}\n",
        }
    }
}

async fn run_import(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(2)?;
    let file = Path::new(call.needed(0)?);
    call.parsed.one_of(&[KEEP.name, FORCE.name])?;
    let (root, records) = load(file, shell.has_input()).map_err(Failure::own)?;
    let root = call.word(1).map_or(root, str::to_owned);
    path_text::check(&root)?;
    if call.has(DRY.name) {
        let nodes = records.len();
        shell.note(&format!("{nodes} nodes for {root}"));
        return Ok(());
    }
    let existing = match (call.has(KEEP.name), call.has(FORCE.name)) {
        (true, _) => Existing::Keep,
        (_, true) => Existing::Overwrite,
        (false, false) => Existing::Refuse,
    };
    let client = shell.connected(&root).await?;
    let plan = Plan {
        root: &root,
        existing,
        source: None,
        with_ephemerals: call.has(EPHEMERAL.name),
    };
    let outcome = transfer::write(shell, &client, plan, &records).await;
    let is_there = |failure: &Failure| failure.code() == Some(ErrorCode::NodeExists);
    if existing == Existing::Refuse && outcome.as_ref().is_err_and(is_there) {
        shell.note("import -k keeps nodes that are there already, import -f overwrites them");
    }
    outcome
}

fn document(record: &Record) -> Document {
    let mut parts = vec![("path", Document::Text(record.path.clone()))];
    let kind = match record.kind {
        Kind::Persistent => "persistent",
        Kind::Ephemeral => "ephemeral",
        Kind::Container => "container",
        Kind::Ttl(_) => "ttl",
    };
    parts.push(("kind", kind.into()));
    if let Kind::Ttl(ms) = record.kind {
        parts.push((
            "ttl",
            Document::Number(i64::try_from(ms).unwrap_or(i64::MAX)),
        ));
    }
    parts.push(data_text::document(record.data.as_deref()));
    parts.push((
        "acl",
        Document::texts(record.acl.iter().map(acl_text::entry_text)),
    ));
    if let Some(made) = record.children_made {
        parts.push(("childrenMade", Document::Number(made)));
    }
    Document::Record(parts)
}

/// The root that was exported, and the nodes.
fn load(path: &Path, has_input: bool) -> Result<(String, Vec<Record>), FileError> {
    let own = || path.to_owned();
    let text = match (path == Path::new(INPUT), has_input) {
        (false, _) => fs::read(path),
        (true, true) => all_input(),
        (true, false) => return Err(FileError::NoInput),
    };
    let text = text.map_err(|error| FileError::Io { path: own(), error })?;
    let value: Value =
        serde_json::from_slice(&text).map_err(|error| FileError::Json { path: own(), error })?;
    let form = |what| FileError::Form { path: own(), what };
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(form("no known format"));
    }
    let root = value.get("root").and_then(Value::as_str);
    let root = root.ok_or_else(|| form("no root"))?.to_owned();
    let nodes = value.get("nodes").and_then(Value::as_array);
    let nodes = nodes.ok_or_else(|| form("no nodes"))?;
    let numbered = nodes.iter().enumerate().map(|(number, node)| {
        record(node).map_err(|what| FileError::Node {
            path: own(),
            number,
            what,
        })
    });
    Ok((root, numbered.collect::<Result<_, _>>()?))
}

fn all_input() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    Ok(text)
}

/// A node of the file, or what is wrong with it.
fn record(node: &Value) -> Result<Record, &'static str> {
    let text = |name: &str| node.get(name).and_then(Value::as_str);
    let path = text("path").ok_or("path")?.to_owned();
    if !path.is_empty() {
        path_text::check(&path).map_err(|_| "path")?;
    }
    let kind = match text("kind") {
        None | Some("persistent") => Kind::Persistent,
        Some("ephemeral") => Kind::Ephemeral,
        Some("container") => Kind::Container,
        Some("ttl") => Kind::Ttl(node.get("ttl").and_then(Value::as_u64).ok_or("ttl")?),
        Some(_) => return Err("kind"),
    };
    let data = match (node.get("dataBase64"), node.get("data")) {
        (Some(base64), _) => {
            let bytes = base64.as_str().and_then(data_text::from_base64);
            Some(bytes.ok_or("dataBase64")?)
        }
        (None, None | Some(Value::Null)) => None,
        (None, Some(data)) => Some(data.as_str().ok_or("data")?.as_bytes().to_vec()),
    };
    Ok(Record {
        path,
        data,
        acl: acl(node.get("acl")).ok_or("acl")?,
        kind,
        version: 0,
        children_made: node.get("childrenMade").and_then(Value::as_i64),
    })
}

/// The list of a node; a node without one is open to all.
fn acl(value: Option<&Value>) -> Option<Vec<Acl>> {
    let Some(value) = value else {
        return Some(Acl::open());
    };
    let entries = value.as_array()?.iter();
    let entries = entries.map(|entry| acl_text::parse_entry(entry.as_str()?));
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_comes_back_from_its_line() {
        let records = [
            (None, Kind::Persistent, "world:anyone:cdrwa"),
            (
                Some(b"text \"x\"\n".to_vec()),
                Kind::Ephemeral,
                "digest:u:h=:r",
            ),
            (Some(vec![0xff, 0]), Kind::Container, "x509:CN=a,O=b:cd"),
            (Some(Vec::new()), Kind::Ttl(5000), "ip:::1:a"),
        ];
        for (data, kind, acl) in records {
            let record = Record {
                path: "/a/b".to_owned(),
                data,
                acl: vec![acl_text::parse_entry(acl).unwrap()],
                kind,
                version: 0,
                children_made: matches!(kind, Kind::Container).then_some(12),
            };
            let line = document(&record).json_line();
            let value = serde_json::from_str(&line).unwrap();
            assert_eq!(super::record(&value), Ok(record), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_node_is_named() {
        for (line, what) in [
            ("{}", "path"),
            (r#"{"path":"a"}"#, "path"),
            (r#"{"path":"/a","kind":"odd"}"#, "kind"),
            (r#"{"path":"/a","kind":"ttl"}"#, "ttl"),
            (r#"{"path":"/a","dataBase64":"%"}"#, "dataBase64"),
            (r#"{"path":"/a","acl":["x"]}"#, "acl"),
        ] {
            let value = serde_json::from_str(line).unwrap();
            assert_eq!(record(&value), Err(what), "{line}");
        }
    }
}
