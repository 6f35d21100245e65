//! Where a setting was written: the part of a message that lets an operator find the line.

use std::{fmt, path::PathBuf, sync::Arc};

/// The place of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line of a configuration file.
    File {
        /// The file, as it was named.
        path: Arc<PathBuf>,
        /// Line, counted from 1.
        line: usize,
    },
    /// A `-Dname=value` word.
    Property {
        /// The variable that held the word, or `command line`.
        place: &'static str,
    },
    /// A positional argument of the form `PORT DATADIR [TICKTIME] [MAXCNXNS]`.
    Argument {
        /// Position, counted from 1.
        position: usize,
    },
    /// Rookeeper's own default for a start without any argument.
    BuiltIn,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Property { place } => write!(f, "-D word ({place})"),
            Self::Argument { position } => write!(f, "argument {position}"),
            Self::BuiltIn => f.write_str("built-in default"),
        }
    }
}
