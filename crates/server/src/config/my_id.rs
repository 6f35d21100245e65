//! The `myid` file: the number of this server.
//!
//! Here lives what was found there and what it means. Reading the file is the matter of the first stage; a server on its own
//! has no use for it, whatever it holds. Invariant: a message names the file, what it says, and what it could say.

use std::path::{Path, PathBuf};

use rookeeper_proto::ids::ServerId;

use super::error::{Refusal, SettingsError};

/// Name of the file, in the data directory.
pub(super) const FILE_NAME: &str = "myid";
/// Bytes of the file that are looked at: far more than any number has.
pub(super) const MAX_BYTES: u64 = 256;
/// Characters of a line that is no number, in a message.
const SHOWN_CHARS: usize = 40;

/// What the first stage found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum MyId {
    /// Nobody looked: the configuration came as text.
    #[default]
    NotRead,
    /// There is no such file.
    Missing(PathBuf),
    /// There is one that cannot be read.
    Unreadable { path: PathBuf, reason: String },
    /// Its first line.
    Line { path: PathBuf, text: String },
}

impl MyId {
    /// The number that the file claims, if there is a file.
    pub(super) fn claimed(&self, members: &[ServerId]) -> Result<Option<ServerId>, SettingsError> {
        match self {
            Self::NotRead | Self::Missing(_) => Ok(None),
            Self::Unreadable { path, reason } => Err(SettingsError::whole(Refusal::Unreadable {
                path: shown(path),
                reason: reason.clone(),
            })),
            Self::Line { path, text } => {
                text.trim().parse().map(ServerId).map(Some).map_err(|_| {
                    SettingsError::whole(Refusal::MyIdNotANumber {
                        text: text.chars().take(SHOWN_CHARS).collect(),
                        path: shown(path),
                        members: listed(members),
                    })
                })
            }
        }
    }

    /// The refusal of a member without a number.
    pub(super) fn missing(&self, members: &[ServerId]) -> SettingsError {
        SettingsError::whole(match self {
            Self::Missing(path) | Self::Unreadable { path, .. } | Self::Line { path, .. } => {
                Refusal::MyIdMissing {
                    path: shown(path),
                    members: listed(members),
                }
            }
            Self::NotRead => Refusal::MyIdNotRead,
        })
    }

    /// The refusal of a number that is none of the members'.
    pub(super) fn stranger(&self, claimed: ServerId, members: &[ServerId]) -> SettingsError {
        let path = match self {
            Self::Missing(path) | Self::Unreadable { path, .. } | Self::Line { path, .. } => path,
            Self::NotRead => Path::new(FILE_NAME),
        };
        SettingsError::whole(Refusal::NotInPeerList {
            id: claimed.0,
            path: shown(path),
            members: listed(members),
        })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn listed(members: &[ServerId]) -> String {
    let ids: Vec<_> = members.iter().map(ServerId::to_string).collect();
    ids.join(", ")
}
