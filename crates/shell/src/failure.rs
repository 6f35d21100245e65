//! Why a command failed: one text for the stream of complaints, and the status of the shell.

use std::error::Error as StdError;
use std::io;

use rookeeper_client::Error as ClientError;
use rookeeper_proto::code::ErrorCode;
use thiserror::Error;

use crate::commands::Command;
use crate::error_text;
use crate::history::RedoError;
use crate::options::OptionError;
use crate::path_text::PathFault;

/// Exit status after success.
pub const SUCCESS: u8 = 0;
/// Exit status after a command that failed.
pub const FAILED: u8 = 1;
/// Exit status after a word that is no command.
pub const UNKNOWN: u8 = 127;
/// Exit status after Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// Exit status of a shell that was told to end (SIGTERM).
pub const TERMINATED: u8 = 143;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// Words are missing: what the command looks like.
    #[error("{}", .0.usage())]
    Usage(&'static Command),
    /// No such command. The list of commands goes before this line.
    #[error("Command not found: Command not found {0}")]
    Unknown(String),
    /// The options.
    #[error(transparent)]
    Options(#[from] OptionError),
    /// The path.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// `redo`.
    #[error(transparent)]
    Redo(#[from] RedoError),
    /// The server or the way to it.
    #[error("{}", client_text(error, path))]
    Client {
        /// What happened.
        error: ClientError,
        /// The path as it was typed; empty where there is none.
        path: String,
    },
    /// There is no session.
    #[error("Not connected")]
    NotConnected,
    /// No server could be reached in one attempt.
    #[error("{} ({why})", error_text::general(error_text::CONNECTION_LOSS, path))]
    Unreachable {
        /// The path as it was typed.
        path: String,
        /// What each server answered.
        why: String,
    },
    /// A number was expected.
    #[error("{0} is not a number")]
    NotANumber(String),
    /// Base64 was expected.
    #[error("not base64")]
    NotBase64,
    /// An output format that does not exist.
    #[error("{0} is not an output format: {formats} are", formats = crate::document::Format::NAMES)]
    NoFormat(String),
    /// The user pressed Ctrl-C.
    #[error("Interrupted")]
    Interrupted,
    /// The user pressed Ctrl-C, and there was no answer to a change by then.
    #[error("Interrupted: no answer yet, so the change may have happened or may still happen")]
    Unanswered,
    /// Words that the command has no use for.
    #[error("{}: nothing is known of '{word}': {}", command.name, command.usage())]
    Surplus {
        /// The command.
        command: &'static Command,
        /// The first of them.
        word: String,
    },
    /// Results could not be written.
    #[error("writing the result: {0}")]
    Output(io::Error),
    /// A matter of one command.
    #[error(transparent)]
    Own(Box<dyn StdError + Send + Sync>),
    /// Everything has been said already.
    #[error("")]
    Told,
}

impl Failure {
    /// An error that belongs to one command.
    pub fn own(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::Own(Box::new(error))
    }

    /// What a server says with this code.
    #[must_use]
    pub fn refused(code: ErrorCode, path: &str) -> Self {
        let error = ClientError::Refused {
            code,
            path: path.to_owned(),
        };
        Self::Client {
            error,
            path: path.to_owned(),
        }
    }

    /// The status that the shell ends with if this was its last command.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Unknown(_) => UNKNOWN,
            Self::Interrupted | Self::Unanswered => INTERRUPTED,
            _ => FAILED,
        }
    }

    /// True when the server said that there is no such node.
    #[must_use]
    pub fn is_no_node(&self) -> bool {
        matches!(self, Self::Client { error, .. } if error.is_no_node())
    }

    /// What the server refused with.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Client { error, .. } => error.code(),
            _ => None,
        }
    }
}

/// Says which path an error belongs to.
pub trait At<T> {
    /// The error as a failure that concerns `path`.
    fn at(self, path: &str) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, ClientError> {
    fn at(self, path: &str) -> Result<T, Failure> {
        self.map_err(|error| match error {
            ClientError::Closed => Failure::NotConnected,
            error => Failure::Client {
                error,
                path: path.to_owned(),
            },
        })
    }
}

/// The text of an error of the client.
#[must_use]
pub fn client_text(error: &ClientError, path: &str) -> String {
    match error {
        ClientError::Refused { code, .. } => error_text::refusal(*code, path),
        ClientError::PartRefused { code, path, .. } => error_text::refusal(*code, path),
        ClientError::ConnectionLost | ClientError::NotSent => {
            error_text::general(error_text::CONNECTION_LOSS, path)
        }
        ClientError::Timeout => error_text::general(error_text::OPERATION_TIMEOUT, path),
        ClientError::SessionExpired => error_text::refusal(ErrorCode::SessionExpired, path),
        ClientError::AuthFailed => error_text::refusal(ErrorCode::AuthFailed, path),
        other => other.to_string(),
    }
}
