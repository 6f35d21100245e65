//! `edit`: the data of a node in an editor, written back if nobody else changed them meanwhile.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command as Process};
use std::sync::mpsc;

use thiserror::Error;

use super::{Command, Invocation};
use crate::failure::{At, Failure};
use crate::shell::Shell;

/// Where nothing else is said.
const EDITOR: &str = "vi";
/// Data may be secrets.
const OWN: u32 = 0o600;

pub(super) const COMMAND: Command = Command {
    name: "edit",
    arguments: "path",
    options: &[],
    details: "",
    about: "Change the data of a node in $VISUAL or $EDITOR.",
    is_listed: true,
    run: |shell, call| Box::pin(run(shell, call)),
};

#[derive(Debug, Error)]
enum EditError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{editor}: {error}")]
    Start { editor: String, error: io::Error },
    #[error("{editor} failed; nothing is changed")]
    Editor { editor: String },
    #[error("{path} was changed or deleted meanwhile; what you wrote is in {}", kept.display())]
    Changed { path: String, kept: PathBuf },
}

async fn run(shell: &mut Shell, call: Invocation) -> Result<(), Failure> {
    call.at_most(1)?;
    let path = call.path()?;
    let client = shell.connected(path).await?;
    let data = client.data(path).await.at(path)?;
    let file = write(&data.bytes).map_err(Failure::own)?;
    let edited = edit_quietly(shell, &file);
    let edited = edited.and_then(|()| {
        fs::read(&file).map_err(|error| EditError::File {
            path: file.clone(),
            error,
        })
    });
    let edited = match edited {
        Ok(edited) => edited,
        Err(error) => {
            forget(&file);
            return Err(Failure::own(error));
        }
    };
    let edited = without_added_newline(&data.bytes, edited);
    if edited == *data.bytes {
        forget(&file);
        shell.note("not changed");
        return Ok(());
    }
    match client.set(path, edited, data.stat.version).await {
        Err(error) if error.is_bad_version() || error.is_no_node() => {
            Err(Failure::own(EditError::Changed {
                path: path.to_owned(),
                kept: file,
            }))
        }
        Err(error) => {
            shell.err(&format!("what you wrote is in {}", file.display()));
            Err(error).at(path)
        }
        Ok(stat) => {
            forget(&file);
            let version = stat.version;
            shell.note(&format!("written, version {version}"));
            Ok(())
        }
    }
}

/// Without the newline that editors put at the end of a file: data that had none get none.
fn without_added_newline(before: &[u8], mut edited: Vec<u8>) -> Vec<u8> {
    let had_none = !before.ends_with(b"\n");
    if had_none && edited.ends_with(b"\n") && !edited.ends_with(b"\n\n") {
        edited.pop();
    }
    edited
}

/// A file of our own with the data in it.
fn write(bytes: &[u8]) -> Result<PathBuf, EditError> {
    let mut number = 0;
    loop {
        let name = format!("rookeeper-edit-{}-{number}", process::id());
        let path = env::temp_dir().join(name);
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWN)
            .open(&path);
        let written = match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
                continue;
            }
            Err(error) => Err(error),
            Ok(mut file) => file.write_all(bytes),
        };
        return match written {
            Ok(()) => Ok(path),
            Err(error) => {
                // A part of the data may be in it.
                forget(&path);
                Err(EditError::File { path, error })
            }
        };
    }
}

/// Runs the editor. Events wait until it has ended: the screen is not ours.
fn edit_quietly(shell: &Shell, file: &Path) -> Result<(), EditError> {
    let (events, held) = mpsc::channel();
    shell.console().flush();
    shell.console().set_typing(Some(events));
    let outcome = edit(file);
    shell.console().set_typing(None);
    // Ctrl-C was the editor's, and is not for us.
    shell.interrupt().clear();
    held.try_iter()
        .for_each(|event: String| shell.console().event(&event));
    outcome
}

fn edit(file: &Path) -> Result<(), EditError> {
    let named = |name| {
        env::var(name)
            .ok()
            .filter(|editor: &String| !editor.trim().is_empty())
    };
    let editor = named("VISUAL").or_else(|| named("EDITOR"));
    let editor = editor.unwrap_or_else(|| EDITOR.to_owned());
    // The variable may hold options: a POSIX shell cuts it, and gets the file as a word of its own.
    // Ctrl-C does not end it before the editor, which decides for itself.
    let script = format!("trap : INT; {editor} \"$1\"");
    let status = Process::new("sh")
        .args(["-c", &script, "sh"])
        .arg(file)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(EditError::Editor { editor }),
        Err(error) => Err(EditError::Start { editor, error }),
    }
}

fn forget(file: &Path) {
    // It is in the folder for temporary files anyway.
    let _ = fs::remove_file(file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_that_was_not_there_is_not_added() {
        for (before, edited, written) in [
            ("v1", "v2\n", "v2"),
            ("v1", "v2", "v2"),
            ("v1", "v1\n", "v1"),
            ("", "new\n", "new"),
            ("v1\n", "v2\n", "v2\n"),
            ("v1", "a\n\n", "a\n\n"),
        ] {
            let found = without_added_newline(before.as_bytes(), edited.as_bytes().to_vec());
            assert_eq!(found, written.as_bytes(), "{before:?} {edited:?}");
        }
    }
}
