//! `export` and `import`: a subtree as a JSON file and back.
//!
//! A node is one line of the file: path below the root, kind (`persistent`, `ephemeral`, `container`, `ttl` with `ttl` in ms), data
//! (`data` as text, or `dataBase64`), ACL.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rookeeper_proto::acl::Acl;
use serde_json::Value;
use thiserror::Error;

use super::{Command, Invocation};
use crate::document::Document;
use crate::failure::Failure;
use crate::options::Flag;
use crate::shell::Shell;
use crate::subtree::{self, Kind, Record};
use crate::transfer::{self, Existing, Plan};
use crate::{acl_text, data_text, path_text};

/// What the file says it is.
const FORMAT: &str = "rookeeper-subtree-1";

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
    let root = call.path()?;
    let client = shell.connected(root).await?;
    let head = format!(
        "{{\"format\":{},\"root\":{},\"nodes\":[\n",
        Value::from(FORMAT),
        Value::from(root)
    );
    let mut nodes = 0;
    let mut line = |record: &Record| {
        nodes += 1;
        let comma = if nodes == 1 { "" } else { ",\n" };
        format!("{comma}{}", document(record).json_line())
    };
    let Some(file) = call.word(1).map(Path::new) else {
        shell.out(&head);
        let printed = |record| {
            shell.out(&line(&record));
            Ok(())
        };
        let extent = subtree::read(shell, &client, root, false, printed).await?;
        shell.out("\n]}\n");
        return extent.whole();
    };
    let failed = |error| {
        Failure::own(FileError::Io {
            path: file.to_owned(),
            error,
        })
    };
    // Written aside: a file with the right name is whole.
    let aside = file.with_added_extension("part");
    let mut out = BufWriter::new(File::create(&aside).map_err(failed)?);
    out.write_all(head.as_bytes()).map_err(failed)?;
    let written = subtree::read(shell, &client, root, false, |record| {
        out.write_all(line(&record).as_bytes()).map_err(failed)
    });
    let outcome = written.await.and_then(|extent| {
        let finished = out
            .write_all(b"\n]}\n")
            .and_then(|()| out.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|out| out.sync_all())
            .and_then(|()| fs::rename(&aside, file));
        finished.map_err(failed).map(|()| extent)
    });
    match outcome {
        Err(failure) => {
            // The failure matters more than what is left of it.
            let _ = fs::remove_file(&aside);
            Err(failure)
        }
        Ok(extent) => {
            shell.note(&format!("{nodes} nodes exported"));
            extent.whole()
        }
    }
}

async fn run_import(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    let file = Path::new(call.needed(0)?);
    call.parsed.one_of(&[KEEP.name, FORCE.name])?;
    let (root, records) = load(file).map_err(Failure::own)?;
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
    transfer::write(shell, &client, plan, &records).await
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
    Document::Record(parts)
}

/// The root that was exported, and the nodes.
fn load(path: &Path) -> Result<(String, Vec<Record>), FileError> {
    let own = || path.to_owned();
    let text = fs::read(path).map_err(|error| FileError::Io { path: own(), error })?;
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
