//! The edge of this room: the three forms of a call, and the only place that reads files.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    error::{Refusal, SettingsError, Warning},
    interpret::{self, is_carelessly_relative, relative_path_text},
    jvm_flags::JvmFlags,
    membership,
    my_id::{self, MyId},
    settings::Settings,
    source::Source,
    written::{Line, Written, lines_of},
};

/// Bytes of the largest file that is taken for a configuration.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Data directory of a start without any argument.
pub(super) const ZERO_DATA_DIR: &str = "./rookeeper-data";
/// Client port of a start without any argument.
pub(super) const ZERO_CLIENT_PORT: &str = "2181";
/// Milliseconds of a tick of a start without any argument.
pub(super) const ZERO_TICK_TIME: &str = "2000";

/// Place of properties that came with the call.
const COMMAND_LINE: &str = "command line";

/// Values of the environment variables that hold words for a Java machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct JvmVariables<'a> {
    /// `SERVER_JVMFLAGS`; loses against the other one.
    pub server_jvmflags: Option<&'a str>,
    /// `JVMFLAGS`; loses against the words of the call.
    pub jvmflags: Option<&'a str>,
}

/// Settings, and what an operator should know about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What the configuration means.
    pub settings: Settings,
    /// One line each, for the log.
    pub warnings: Vec<Warning>,
}

/// Understands the words that follow `server` in a call, reads the files they name, and says what all of it
/// means (operations, 1.1): `CONFIGFILE`, or `PORT DATADIR [TICKTIME] [MAXCNXNS]`, or nothing, with `-D` words
/// anywhere.
///
/// # Errors
/// Whatever makes a start impossible; the error knows the exit code.
pub fn load(words: &[String], variables: JvmVariables<'_>) -> Result<Loaded, SettingsError> {
    let (positional, flags) = part_words(words, variables);
    let positional: Vec<_> = positional.iter().map(String::as_str).collect();
    match positional[..] {
        [] => finish_with_my_id(zero_config(flags)),
        [file] => from_file(file, flags),
        [port, data_dir] => finish_with_my_id(arguments(&[port, data_dir], flags)),
        [port, data_dir, tick] => finish_with_my_id(arguments(&[port, data_dir, tick], flags)),
        [port, data_dir, tick, connections] => {
            finish_with_my_id(arguments(&[port, data_dir, tick, connections], flags))
        }
        _ => Err(SettingsError::whole(Refusal::Usage)),
    }
}

impl Settings {
    /// What a start without any argument means: `./rookeeper-data`, port 2181, ticks of 2000 ms, unless `-D`
    /// words such as `-Dzookeeper.clientPort=2182` say otherwise. ZooKeeper ends with status 2 instead.
    ///
    /// # Errors
    /// When a `-D` word makes the start impossible.
    pub fn zero_config(words: &[&str]) -> Result<Loaded, SettingsError> {
        finish(zero_config(flags_of(words)))
    }

    /// What the text of a configuration file means, together with `-D` words. No file is read.
    ///
    /// # Errors
    /// Whatever makes a start impossible; also a text that names a membership file or several members.
    pub fn from_text(text: &str, words: &[&str]) -> Result<Loaded, SettingsError> {
        finish(file_text(
            DEFAULT_FILE_NAME,
            text.as_bytes(),
            flags_of(words),
        )?)
    }

    /// The same for a server whose `myid` file begins with the line `my_id`.
    ///
    /// # Errors
    /// Whatever makes a start impossible; also a text that names a membership file.
    pub fn of_member(text: &str, words: &[&str], my_id: &str) -> Result<Loaded, SettingsError> {
        let mut written = file_text(DEFAULT_FILE_NAME, text.as_bytes(), flags_of(words))?;
        written.my_id = MyId::Line {
            path: PathBuf::from(my_id::FILE_NAME),
            text: my_id.to_owned(),
        };
        finish(written)
    }
}

/// How a configuration is called that came as text.
const DEFAULT_FILE_NAME: &str = "zoo.cfg";

fn flags_of(words: &[&str]) -> JvmFlags {
    let mut flags = JvmFlags::default();
    for word in words {
        flags.take(word, COMMAND_LINE);
    }
    flags
}

fn part_words(words: &[String], variables: JvmVariables<'_>) -> (Vec<String>, JvmFlags) {
    let mut flags = JvmFlags::default();
    flags.take_variable(
        variables.server_jvmflags.unwrap_or_default(),
        "SERVER_JVMFLAGS",
    );
    flags.take_variable(variables.jvmflags.unwrap_or_default(), "JVMFLAGS");
    let mut positional = Vec::new();
    for word in words {
        match word.starts_with('-') && word.len() > 1 {
            true => flags.take(word, COMMAND_LINE),
            false => positional.push(word.clone()),
        }
    }
    (positional, flags)
}

fn finish(written: Written) -> Result<Loaded, SettingsError> {
    let (settings, warnings) = interpret::interpret(written)?;
    Ok(Loaded { settings, warnings })
}

fn finish_with_my_id(mut written: Written) -> Result<Loaded, SettingsError> {
    written.my_id = read_my_id(&written);
    finish(written)
}

/// Looks into the data directory for the number of this server. Only a member of an ensemble minds what is found.
fn read_my_id(written: &Written) -> MyId {
    let (chosen, _) = written.choose();
    let Some(data_dir) = chosen.get("dataDir") else {
        return MyId::NotRead;
    };
    let path = Path::new(&data_dir.value).join(my_id::FILE_NAME);
    let mut bytes = Vec::new();
    let read =
        File::open(&path).and_then(|file| file.take(my_id::MAX_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => {
            let text = String::from_utf8_lossy(&bytes);
            let text = text.lines().next().unwrap_or_default().to_owned();
            MyId::Line { path, text }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => MyId::Missing(path),
        Err(error) => MyId::Unreadable {
            path,
            reason: error.to_string(),
        },
    }
}

fn zero_config(flags: JvmFlags) -> Written {
    let built_in = [
        ("dataDir", ZERO_DATA_DIR),
        ("clientPort", ZERO_CLIENT_PORT),
        ("tickTime", ZERO_TICK_TIME),
    ];
    Written {
        built_in: built_in.map(built_in_line).into(),
        flags,
        ..Written::default()
    }
}

/// The form without a file has no limit of connections unless the fourth argument sets one.
fn arguments(values: &[&str], flags: JvmFlags) -> Written {
    let names = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
    let line = |(position, (name, value)): (usize, (&str, &&str))| Line {
        name: name.to_owned(),
        value: value.trim().to_owned(),
        source: Source::Argument {
            position: position + 1,
        },
    };
    Written {
        built_in: vec![built_in_line(("maxClientCnxns", "0"))],
        arguments: names
            .into_iter()
            .zip(values)
            .enumerate()
            .map(line)
            .collect(),
        flags,
        ..Written::default()
    }
}

fn built_in_line((name, value): (&str, &str)) -> Line {
    Line {
        name: name.to_owned(),
        value: value.to_owned(),
        source: Source::BuiltIn,
    }
}

fn file_text(path: &str, bytes: &[u8], flags: JvmFlags) -> Result<Written, SettingsError> {
    Ok(Written {
        config_file: Some(PathBuf::from(path)),
        file: lines_of(path, bytes)?,
        flags,
        ..Written::default()
    })
}

fn from_file(path: &str, flags: JvmFlags) -> Result<Loaded, SettingsError> {
    let mut written = file_text(path, &read(path)?, flags)?;
    membership::refuse_members_in_both_files(&written)?;
    if let Some(line) = written.dynamic_config_file() {
        let dynamic = line.value.clone();
        written.dynamic = Some(lines_of(&dynamic, &read(&dynamic)?)?);
    }
    let mut loaded = finish_with_my_id(written)?;
    if is_carelessly_relative(path) {
        loaded
            .warnings
            .insert(0, Warning::new(COMMAND_LINE, relative_path_text(path)));
    }
    Ok(loaded)
}

fn read(path: &str) -> Result<Vec<u8>, SettingsError> {
    let unreadable = |error: std::io::Error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "file is missing".to_owned(),
            _ => error.to_string(),
        };
        SettingsError::whole(Refusal::Unreadable {
            path: path.to_owned(),
            reason,
        })
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        let refusal = Refusal::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        };
        return Err(SettingsError::whole(refusal));
    }
    Ok(bytes)
}
