//! Configuration: what was written, then what it means.
//!
//! Two stages. The first ([`load`]) collects the lines of `zoo.cfg` and of the membership file, the `-D` words of
//! the call and of the environment, and keeps for each key the one text that counts, with its place. The second
//! turns that into [`Settings`], warnings or one refusal. Between them stands one table of keys ([`keys`]), from
//! which `docs/config.md` is generated.
//!
//! This room reads configuration files and the file `myid`, and nothing else: of a data directory it looks at nothing
//! more, it opens no port, reads no environment variable and writes no log. Checks that need the disk belong to whoever
//! starts the server.
//!
//! Invariants:
//! - No written key is dropped in silence: it changes [`Settings`], or causes a [`Warning`], or refuses the start.
//! - A setting that protects something and is not built refuses the start.
//! - Messages name the key and its place, are one line, and show no secret.

pub mod keys;
pub mod reference;

mod access;
mod classes;
mod effective;
mod ensemble;
mod error;
mod interpret;
mod jvm_flags;
mod load;
mod membership;
mod my_id;
mod properties;
mod reader;
mod settings;
mod source;
mod words;
mod written;

/// What an ensemble is made of, for those who read [`EnsembleSettings`].
pub use rookeeper_quorum::membership::{Member, Membership, Role};

pub use error::{Refusal, SettingsError, Warning};
pub use load::{JvmVariables, Loaded, MAX_FILE_BYTES, load};
pub use settings::{
    AccessSettings, AuthScheme, ClientSettings, ContainerSettings, DigestAlgorithm,
    EnsembleSettings, LimitSettings, ListenAddress, LogFormat, LogLevel, LogSettings,
    PurgeSettings, Secret, Settings, SnapshotCompression, StorageSettings,
};
pub use source::Source;
pub use words::{ALL_WORDS, WordList};

#[cfg(test)]
mod tests;
