//! Why a start was refused, and what was only worth a warning.
//!
//! Invariants: every message is one line, names the key and where it was written, and never shows a secret.

use std::fmt;

use thiserror::Error;

use super::source::Source;

/// A configuration with which the server does not start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct SettingsError(Box<Blame>);

/// Boxed, so that results stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blame {
    place: Option<Source>,
    key: Option<String>,
    /// As it may be shown: never a secret.
    value: Option<String>,
    refusal: Refusal,
}

/// Exit status of a start with an unexpected fault (operations, 6.2).
const EXIT_UNEXPECTED: u8 = 1;
/// Exit status of a start with a bad call or a bad configuration (operations, 6.2).
const EXIT_INVALID: u8 = 2;

impl SettingsError {
    /// A refusal that no single line caused, about a key that is missing.
    pub(super) fn about(key: &str, refusal: Refusal) -> Self {
        let key = Some(key.to_owned());
        Self(Box::new(Blame {
            place: None,
            key,
            value: None,
            refusal,
        }))
    }

    /// A refusal without a key: the call itself or a whole file.
    pub(super) fn whole(refusal: Refusal) -> Self {
        Self(Box::new(Blame {
            place: None,
            key: None,
            value: None,
            refusal,
        }))
    }

    /// A refusal of one written setting; `value` as it may be shown.
    pub(super) fn at(source: &Source, key: &str, value: &str, refusal: Refusal) -> Self {
        let (key, value) = (Some(key.to_owned()), Some(value.to_owned()));
        Self(Box::new(Blame {
            place: Some(source.clone()),
            key,
            value,
            refusal,
        }))
    }

    /// The status the process ends with: 2 for a bad call or configuration, 1 for an unknown connection
    /// factory and for a server that is none of its members (operations, 1.3 and 6.2). Status 3 belongs to the checks of the data directories, made elsewhere.
    pub fn exit_code(&self) -> u8 {
        match self.0.refusal {
            Refusal::UnknownConnectionFactory | Refusal::NotInPeerList { .. } => EXIT_UNEXPECTED,
            _ => EXIT_INVALID,
        }
    }

    /// The key that is to blame, if one is.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Where that key was written, if it was.
    pub fn place(&self) -> Option<&Source> {
        self.0.place.as_ref()
    }

    /// The reason.
    pub fn refusal(&self) -> &Refusal {
        &self.0.refusal
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blame {
            place,
            key,
            value,
            refusal,
        } = &*self.0;
        if let Some(place) = place {
            write!(f, "{place}: ")?;
        }
        match (key, value) {
            (Some(key), Some(value)) => write!(f, "{}={}: ", one_line(key), one_line(value))?,
            (Some(key), None) => write!(f, "{}: ", one_line(key))?,
            _ => {}
        }
        f.write_str(&one_line(&refusal.to_string()))
    }
}

/// Reasons to refuse a start. Texts that scripts know from ZooKeeper keep their wording.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The call has too many arguments.
    #[error(
        "too many arguments. Usage: rookeeper server [-Dname=value ...] [CONFIGFILE | PORT DATADIR [TICKTIME] [MAXCNXNS]]"
    )]
    Usage,
    /// A file named by the operator cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A file named by the operator is far too large to be a configuration.
    #[error("{path} is larger than {limit} bytes and no configuration file")]
    TooLarge {
        /// The file.
        path: String,
        /// Largest accepted size.
        limit: u64,
    },
    /// A file breaks the syntax of properties.
    #[error("{path}, {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// Line and fault.
        reason: String,
    },
    /// A number was expected.
    #[error(
        "For input string: \"{text}\": a whole number is expected{}",
        comment_hint(text)
    )]
    NotANumber {
        /// What stands there.
        text: String,
    },
    /// A number lies outside of what makes sense.
    #[error("out of range, {least} to {most} is possible")]
    OutOfRange {
        /// Smallest accepted number.
        least: i64,
        /// Largest accepted number.
        most: i64,
    },
    /// `true` or `false` was expected.
    #[error(
        "Invalid option {text} for {key}. Choose 'true' or 'false.'{}",
        comment_hint(text)
    )]
    NotABoolean {
        /// The key.
        key: String,
        /// What stands there.
        text: String,
    },
    /// An interval was expected.
    #[error(
        "an interval is a number, in hours or followed by ms, s, m, h or d{}",
        comment_hint(text)
    )]
    NotAnInterval {
        /// What stands there.
        text: String,
    },
    /// A key that must be there is not.
    #[error("{0} is not set")]
    NotSet(&'static str),
    /// A key needs another one.
    #[error("{key} is set but {needs} is not set")]
    Needs {
        /// The key that was written.
        key: &'static str,
        /// The key that is missing.
        needs: &'static str,
    },
    /// The clamp of session timeouts is empty.
    #[error("minSessionTimeout must not be larger than maxSessionTimeout ({min} ms, {max} ms)")]
    MinAboveMax {
        /// Effective lower bound, milliseconds.
        min: u128,
        /// Effective upper bound, milliseconds.
        max: u128,
    },
    /// An election algorithm that no longer exists.
    #[error("Invalid electionAlg value. Only 3 is supported.")]
    ElectionAlg,
    /// A role that does not exist.
    #[error("Unrecognised peertype: {0}")]
    PeerType(String),
    /// A metrics provider that does not exist.
    #[error("metrics provider class was not found")]
    MetricsProvider,
    /// A SASL demand without its precondition.
    #[error("{needs} is disabled, so cannot enable {key}")]
    SaslDemand {
        /// The demand.
        key: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// The number in `server.N` is none.
    #[error("For input string: \"{0}\": the part after 'server.' is the member's number")]
    MemberId(String),
    /// A membership line that cannot be understood.
    #[error(
        "{0} does not have the form server_config or server_config;client_config: write HOST:QUORUMPORT:ELECTIONPORT[:ROLE], several parted by '|', then nothing or ;[ADDRESS:]PORT"
    )]
    MemberForm(String),
    /// A port that is none.
    #[error("Address unresolved: {0}: the port must be a number from 1 to 65535")]
    MemberPort(String),
    /// Several addresses for one member.
    #[error(
        "Multiple address feature is disabled, but multiple addresses were specified for sid {0}"
    )]
    MultipleAddresses(i64),
    /// Only observers.
    #[error("Observers w/o participants is an invalid configuration")]
    ObserversOnly,
    /// Membership in the wrong file.
    #[error("parameter: {0} must be in a separate dynamic config file")]
    MembershipInStaticFile(String),
    /// A key that does not belong into a membership file.
    #[error("Unrecognised parameter: {0}")]
    DynamicKey(String),
    /// A membership file is named where none is read.
    #[error("a membership file can be named only in a configuration file that is read itself")]
    MembershipFileNotRead,
    /// A version inside a membership file.
    #[error("dynamic file shouldn't have version inside")]
    DynamicVersion,
    /// One participant with observers.
    #[error("Observers w/o quorum is an invalid configuration")]
    ObserversWithoutQuorum,
    /// An ensemble of nobody.
    #[error("standaloneEnabled = false then number of participants should be >0")]
    NoParticipant,
    /// Two lines of one member.
    #[error("member {0} has two lines")]
    MemberTwice(i64),
    /// A member without a number.
    #[error(
        "myid file is missing: {path} must hold the number of this server, which is one of {members}"
    )]
    MyIdMissing {
        /// Where it belongs.
        path: String,
        /// The numbers there are.
        members: String,
    },
    /// A member whose number is none.
    #[error(
        "serverid {text} is not a number: it is the first line of {path}, which must hold the number of this server, one of {members}"
    )]
    MyIdNotANumber {
        /// What stands there.
        text: String,
        /// The file.
        path: String,
        /// The numbers there are.
        members: String,
    },
    /// A number that is none of the members'.
    #[error("My id {id} not in the peer list: {path} says so, and the members are {members}")]
    NotInPeerList {
        /// What the file says.
        id: i64,
        /// The file.
        path: String,
        /// The numbers there are.
        members: String,
    },
    /// An ensemble in a text that came without its `myid`.
    #[error("a member of an ensemble needs its number, and this configuration came without any")]
    MyIdNotRead,
    /// A number too large for the owners of nodes with a time to live.
    #[error("server {id} cannot have nodes with a time to live: its number must be {most} at most")]
    LargeIdWithExtendedTypes {
        /// Its number.
        id: i64,
        /// The largest possible one.
        most: i64,
    },
    /// What a member lacks in this version.
    #[error(
        "a member of an ensemble cannot do this in this version yet ({0}) and does not start with it; remove the setting if you can do without"
    )]
    NotBuiltInEnsemble(String),
    /// The own line and the static file put the clients to different places.
    #[error(
        "client address for this server (id = {id}) in static config file is {own} is different from client address found in dynamic file: {member}"
    )]
    MemberClientConflict {
        /// The number of this server.
        id: i64,
        /// Address given by `clientPort` and `clientPortAddress`.
        own: String,
        /// Address in its line.
        member: String,
    },
    /// The client port is given twice, differently.
    #[error(
        "client address {member} of the membership line differs from {own} given by clientPort"
    )]
    ClientPortConflict {
        /// Address in the membership line.
        member: String,
        /// Address given by `clientPort` and `clientPortAddress`.
        own: String,
    },
    /// A protection that this version lacks.
    #[error(
        "this version does not have this protection yet ({0}) and does not start without what you ask for; remove the setting if you can do without"
    )]
    ProtectionNotBuilt(String),
    /// An authentication provider that does not exist.
    #[error("unknown authentication provider class; known are {0}")]
    UnknownAuthProvider(String),
    /// A connection factory that does not exist.
    #[error("unknown connection factory class")]
    UnknownConnectionFactory,
    /// A digest algorithm that does not exist.
    #[error("unknown digest algorithm; known are SHA1, SHA-256, SHA-512, SHA3-256")]
    UnknownDigestAlgorithm,
    /// Authentication is demanded without saying by what.
    #[error("enforce.auth.enabled is true, but enforce.auth.schemes names no scheme")]
    NoEnforcedScheme,
    /// Authentication is demanded by a scheme that cannot be provided.
    #[error(
        "no session can authenticate by scheme '{0}': this version enforces digest and ip, when switched on"
    )]
    EnforcedScheme(String),
    /// A log format that does not exist.
    #[error("unknown log format; known are text, json")]
    LogFormat,
}

/// People write comments behind values, as in shell scripts; properties have none.
fn comment_hint(text: &str) -> &'static str {
    if text.contains(['#', '!']) {
        "; comments need a line of their own"
    } else {
        ""
    }
}

/// Something an operator should know and the server can live with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key it is about; `command line` when it is about no key.
    pub key: String,
    text: String,
}

impl Warning {
    pub(super) fn new(key: &str, text: String) -> Self {
        Self {
            key: key.to_owned(),
            text,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.text))
    }
}

/// Escapes control characters: a value must not forge a second log line.
fn one_line(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}
