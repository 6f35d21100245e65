//! The one table of settings: every name that can be written, what kind of value it takes and who honours it.
//!
//! One file per section of the operator's reference. Reading values, judging them and saying what they mean is
//! not done here. Invariants: no name occurs twice; a name ending in `.*` covers every name with that beginning
//! which has no row of its own; `docs/config.md` is generated from this table and a test compares the two.

mod access;
mod admin;
mod core;
mod ensemble;
mod requests;
mod storage;
mod tls;

/// What kind of value a key takes, with its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A decimal number that has a default.
    Number(i64),
    /// A number without a literal default: the text tells what holds when it is absent.
    NumberOr(&'static str),
    /// `true` or `false`.
    Flag(bool),
    /// `yes` or `no`.
    YesNo(bool),
    /// Text, a class name or one of a few words.
    Word(&'static str),
    /// A list parted by commas.
    List(&'static str),
    /// A time with an optional unit `ms s m h d`; a bare number counts hours.
    Interval(&'static str),
    /// A file or directory.
    Path,
    /// Text that no log line may show.
    Secret,
    /// A line that names a member of an ensemble.
    Member,
}

impl Kind {
    /// The default as an operator would write it; empty when there is none.
    pub fn default_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::YesNo(yes) => if yes { "yes" } else { "no" }.to_owned(),
            Self::NumberOr(text) | Self::Word(text) | Self::List(text) | Self::Interval(text) => {
                text.to_owned()
            }
            Self::Path | Self::Secret | Self::Member => String::new(),
        }
    }

    /// Whether this value says nothing else than the default does.
    pub(super) fn is_default(self, value: &str) -> bool {
        match self {
            Self::Number(default) => value.parse() == Ok(default),
            Self::Flag(default) => value.eq_ignore_ascii_case("true") == default,
            Self::YesNo(true) => value != "no",
            Self::YesNo(false) => value != "yes",
            Self::NumberOr(_) | Self::Path | Self::Secret | Self::Member => value.is_empty(),
            Self::Word(default) | Self::List(default) | Self::Interval(default) => value == default,
        }
    }
}

/// Who honours a key in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Works.
    Honoured,
    /// Belongs to Rookeeper, but this version does not have it.
    NotBuilt {
        /// The setting guards something: a server that ignored it would be less safe than its operator
        /// believes, so it refuses to start.
        protects: bool,
    },
    /// Works in an ensemble; a server on its own has no use for it and says so.
    InEnsemble,
    /// Nothing a server on its own would miss, so it warns; a member that ignored it would not be the member that the
    /// others expect, so it refuses to start.
    NotBuiltInEnsemble,
    /// Tunes a Java machine or Java class; will never do anything here.
    NoEffect,
    /// Only the values that mean the default are accepted.
    Obsolete,
}

/// Where a key can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Only in the file (and as a property when there is no file).
    File,
    /// In the file by its name, as a property with the prefix `zookeeper.`.
    FileAndProperty,
    /// As a property with or without the prefix, and in the file.
    AnyForm,
    /// As a property without prefix; in the file too, which ZooKeeper's own servers ignore.
    Bare,
    /// As a property without prefix only.
    BareOnly,
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Name without the prefix `zookeeper.`; may end in `.*`.
    pub name: &'static str,
    /// Kind of value and default.
    pub kind: Kind,
    /// Who honours it.
    pub standing: Standing,
    /// Where it can be written.
    pub place: Place,
    /// A value that cannot be read ends the start; of other keys it means the default and a warning.
    pub strict: bool,
    /// One line for the operator's reference.
    pub doc: &'static str,
}

/// Rows that belong together in the operator's reference.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// Rows in the order of the reference.
    pub keys: &'static [Key],
}

/// The table.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "Server",
        keys: core::KEYS,
    },
    Section {
        title: "Storage and write path",
        keys: storage::KEYS,
    },
    Section {
        title: "Requests and limits",
        keys: requests::KEYS,
    },
    Section {
        title: "Ensemble",
        keys: ensemble::KEYS,
    },
    Section {
        title: "Operation: words, admin, metrics, audit, log",
        keys: admin::KEYS,
    },
    Section {
        title: "Authentication and access",
        keys: access::KEYS,
    },
    Section {
        title: "TLS",
        keys: tls::KEYS,
    },
    Section {
        title: "Java machine and clients",
        keys: tls::FOREIGN_KEYS,
    },
];

/// Beginning shared by all TLS settings of the ports between servers; each mirrors one of the client port.
const QUORUM_TLS: &str = "ssl.quorum.";

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The row that covers a name: its own, that of its client-side twin for `ssl.quorum.X`, or the longest
/// matching one that ends in `.*`.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    if let Some(twin) = name.strip_prefix(QUORUM_TLS) {
        return find(&format!("ssl.{twin}"));
    }
    let covers = |key: &&Key| {
        key.name
            .strip_suffix('*')
            .is_some_and(|start| name.len() > start.len() && name.starts_with(start))
    };
    all()
        .find(|key| key.name == name)
        .or_else(|| all().filter(covers).max_by_key(|key| key.name.len()))
}

const HONOURED: Standing = Standing::Honoured;
const NOT_BUILT: Standing = Standing::NotBuilt { protects: false };
const GUARD_NOT_BUILT: Standing = Standing::NotBuilt { protects: true };
const IN_ENSEMBLE: Standing = Standing::InEnsemble;
const NOT_BUILT_IN_ENSEMBLE: Standing = Standing::NotBuiltInEnsemble;
const NO_EFFECT: Standing = Standing::NoEffect;

/// A key with a meaning of its own in the file: values are judged strictly.
const fn core_key(name: &'static str, kind: Kind, standing: Standing, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        standing,
        place: Place::File,
        strict: true,
        doc,
    }
}

/// A key that is a property with prefix: a value that cannot be read means the default.
const fn property(name: &'static str, kind: Kind, standing: Standing, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        standing,
        place: Place::FileAndProperty,
        strict: false,
        doc,
    }
}

/// A property without prefix.
const fn bare(name: &'static str, kind: Kind, standing: Standing, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        standing,
        place: Place::Bare,
        strict: false,
        doc,
    }
}

impl Key {
    const fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every name of the operator's reference of 3.9, as people write it.
    const NAMES: &str = include_str!("../../../../../testdata/config/keys.txt");

    #[test]
    fn every_name_of_the_reference_has_a_row() {
        let missing: Vec<_> = NAMES
            .split_whitespace()
            .filter(|name| find(name).is_none())
            .collect();
        assert!(missing.is_empty(), "no row covers {missing:?}");
    }

    #[test]
    fn rows_are_unique_and_documented_in_one_line() {
        let mut seen = BTreeSet::new();
        for key in all() {
            assert!(seen.insert(key.name), "{} occurs twice", key.name);
            assert!(
                !key.doc.is_empty() && !key.doc.contains(['\n', '|']),
                "doc of {}",
                key.name
            );
        }
    }

    #[test]
    fn patterns_yield_to_rows_of_their_own() {
        let name = |written: &str| find(written).map(|key| key.name);
        assert_eq!(name("server.12"), Some("server.*"));
        assert_eq!(name("server.principal"), Some("server.principal"));
        assert_eq!(name("java.vendor"), Some("java.*"));
        assert_eq!(
            name("java.security.auth.login.config"),
            Some("java.security.auth.login.config")
        );
        assert_eq!(name("ssl.quorum.crl"), Some("ssl.crl"));
        assert_eq!(
            name("metricsProvider.ssl.keyStore.path"),
            Some("metricsProvider.*")
        );
        assert_eq!(name("datadir"), None, "names are case-sensitive");
        assert_eq!(name("server."), None);
    }

    #[test]
    fn a_default_is_recognised_however_it_is_written() {
        assert!(Kind::Number(3).is_default("+3") && !Kind::Number(3).is_default("x"));
        assert!(Kind::Flag(false).is_default("FALSE") && !Kind::Flag(false).is_default("True"));
        assert!(Kind::YesNo(true).is_default("No") && !Kind::YesNo(true).is_default("no"));
    }
}
