//! First stage: what was written, by whom and where, with no judgement of the values.
//!
//! Invariant: `Written::choose` keeps for each key the one text that counts. The file wins over a property, an
//! argument over both, a built-in default loses against everything; of a repeated key the last one wins. Keys
//! without prefix are the exception: ZooKeeper knows them as properties only, so for them the property wins.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    error::{Refusal, SettingsError, Warning},
    jvm_flags::{JvmFlags, Property},
    keys::{self, Key, Kind, Place},
    my_id::MyId,
    properties,
    settings::HIDDEN,
    source::Source,
};

/// Prefix of properties that are keys of the file.
const PREFIX: &str = "zookeeper.";

/// One setting as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Name without the prefix `zookeeper.`.
    pub(super) name: String,
    /// Value without blanks around it.
    pub(super) value: String,
    /// Where it stood.
    pub(super) source: Source,
    /// The row that covers it.
    pub(super) key: &'static Key,
}

impl Entry {
    /// Whether this is a positional argument of the call.
    pub(super) fn is_argument(&self) -> bool {
        matches!(self.source, Source::Argument { .. })
    }

    fn is_property(&self) -> bool {
        matches!(self.source, Source::Property { .. })
    }

    /// A refusal of this entry that shows its value unless that is a secret.
    pub(super) fn refuse(&self, refusal: Refusal) -> SettingsError {
        let hidden = self.key.kind == Kind::Secret;
        SettingsError::at(
            &self.source,
            &self.name,
            if hidden { HIDDEN } else { &self.value },
            refusal,
        )
    }
}

/// A name, a value and a place, before the table of keys was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) source: Source,
}

/// Everything that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// The file, as it was named.
    pub(super) config_file: Option<PathBuf>,
    /// Lines of the file in order.
    pub(super) file: Vec<Line>,
    /// Lines of the membership file; `None`: no such file was read.
    pub(super) dynamic: Option<Vec<Line>>,
    /// Positional arguments.
    pub(super) arguments: Vec<Line>,
    /// Rookeeper's own choice for a start without arguments.
    pub(super) built_in: Vec<Line>,
    /// Words for a Java machine.
    pub(super) flags: JvmFlags,
    /// The file with the number of this server.
    pub(super) my_id: MyId,
}

/// The text that counts of each key, by name.
pub(super) type Chosen = BTreeMap<String, Entry>;

/// Lines of a properties text.
pub(super) fn lines_of(path: &str, bytes: &[u8]) -> Result<Vec<Line>, SettingsError> {
    let pairs = properties::parse(bytes).map_err(|malformed| {
        let reason = malformed.to_string();
        SettingsError::whole(Refusal::Malformed {
            path: path.to_owned(),
            reason,
        })
    })?;
    let path = Arc::new(PathBuf::from(path));
    let line = |pair: properties::Pair| Line {
        name: pair.key,
        value: pair.value,
        source: Source::File {
            path: Arc::clone(&path),
            line: pair.line,
        },
    };
    Ok(pairs.into_iter().map(line).collect())
}

impl Written {
    /// The membership file that the static file names, if it does.
    pub(super) fn dynamic_config_file(&self) -> Option<&Line> {
        let named = self
            .file
            .iter()
            .rev()
            .find(|line| line.name == "dynamicConfigFile");
        named.filter(|line| !line.value.is_empty())
    }

    /// Picks the text that counts of each key. Unknown and misplaced names become warnings.
    pub(super) fn choose(&self) -> (Chosen, Vec<Warning>) {
        let mut choice = Choice {
            chosen: Chosen::new(),
            warnings: Vec::new(),
        };
        for line in &self.built_in {
            choice.take_line(line);
        }
        for property in &self.flags.properties {
            choice.take_property(property, self.config_file.is_some());
        }
        for line in self.file.iter().chain(&self.arguments) {
            choice.take_line(line);
        }
        choice.warn_of_foreign(&self.flags.foreign);
        (choice.chosen, choice.warnings)
    }
}

struct Choice {
    chosen: Chosen,
    warnings: Vec<Warning>,
}

impl Choice {
    fn take_line(&mut self, line: &Line) {
        let key = keys::find(&line.name).filter(|key| key.place != Place::BareOnly);
        let Some(key) = key else {
            let bare_form = line
                .name
                .strip_prefix(PREFIX)
                .filter(|name| keys::find(name).is_some());
            let hint = bare_form
                .map(|name| format!(" (in a file it is written without prefix: {name})"))
                .unwrap_or_default();
            return self.unknown(&line.name, &hint, &line.source);
        };
        if key.place == Place::Bare {
            let text = format!(
                "{} in a file is understood by Rookeeper only: other servers of a mixed ensemble ignore it there and need -D{}=...",
                line.name, line.name
            );
            self.warn(&line.name, &text, &line.source);
            // Where both exist, a Java server lives by the property; so must this one.
            if self.chosen.get(&line.name).is_some_and(Entry::is_property) {
                return;
            }
        }
        self.put(key, &line.name, &line.value, &line.source);
    }

    fn take_property(&mut self, property: &Property, with_file: bool) {
        let unprefixed = property.name.strip_prefix(PREFIX);
        let name = unprefixed.unwrap_or(&property.name);
        let Some(key) = keys::find(name) else {
            return self.unknown(&property.name, "", &property.source);
        };
        let reached = match key.place {
            Place::File => unprefixed.is_some() && !with_file,
            Place::FileAndProperty => unprefixed.is_some(),
            Place::AnyForm => true,
            Place::Bare | Place::BareOnly => unprefixed.is_none(),
        };
        if reached {
            return self.put(key, name, &property.value, &property.source);
        }
        let hint = match key.place {
            Place::File if unprefixed.is_some() => {
                format!(" (with a configuration file, write {name} there)")
            }
            Place::Bare | Place::BareOnly => format!(" (the property has no prefix: -D{name}=...)"),
            _ => format!(" (the property needs its prefix: -D{PREFIX}{name}=...)"),
        };
        self.unknown(&property.name, &hint, &property.source);
    }

    fn put(&mut self, key: &'static Key, name: &str, value: &str, source: &Source) {
        let entry = Entry {
            name: name.to_owned(),
            value: value.to_owned(),
            source: source.clone(),
            key,
        };
        let Some(before) = self.chosen.insert(name.to_owned(), entry) else {
            return;
        };
        if before.source != Source::BuiltIn && before.value != value {
            let text = format!(
                "{name} is written twice; the value of {} is dropped",
                before.source
            );
            self.warn(name, &text, source);
        }
    }

    fn unknown(&mut self, name: &str, hint: &str, source: &Source) {
        self.warn(
            name,
            &format!("unknown setting {name}, ignored{hint}"),
            source,
        );
    }

    fn warn(&mut self, name: &str, text: &str, source: &Source) {
        self.warnings
            .push(Warning::new(name, format!("{source}: {text}")));
    }

    fn warn_of_foreign(&mut self, foreign: &[String]) {
        if !foreign.is_empty() {
            let text = format!(
                "words for a Java machine have no effect here: {}",
                foreign.join(" ")
            );
            self.warnings.push(Warning::new("command line", text));
        }
    }
}
