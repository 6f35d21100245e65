//! The words themselves: which four bytes they are, who may ask them, what their answers need.

use crate::config::{ALL_WORDS, WordList};

/// Bytes that follow `stmk`: the mask, big endian.
const MASK_BYTES: usize = size_of::<i64>();

/// Declares the words with their four bytes and names.
macro_rules! words {
    ($($(#[$doc:meta])* $word:ident => $bytes:literal, $name:literal;)*) => {
        /// A four-letter word (operations, 2.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Word {
            $($(#[$doc])* $word,)*
        }

        impl Word {
            /// Every word.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$word),*];

            /// The word that a connection begins with, if these bytes are one. Any other four bytes are the
            /// length of a frame (client protocol, 1.3).
            pub const fn from_bytes(bytes: [u8; 4]) -> Option<Self> {
                match &bytes {
                    $($bytes => Some(Self::$word),)*
                    _ => None,
                }
            }

            /// The bytes on the wire.
            pub const fn bytes(self) -> [u8; 4] {
                match self {
                    $(Self::$word => *$bytes,)*
                }
            }

            /// The name in the list of allowed words and in refusals.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)*
                }
            }
        }
    };
}

words! {
    /// Configuration.
    Conf => b"conf", "conf";
    /// Connections.
    Cons => b"cons", "cons";
    /// Reset the numbers of the connections.
    Crst => b"crst", "crst";
    /// Sizes of the data directories.
    Dirs => b"dirs", "dirs";
    /// Sessions, ephemerals and connections by expiry.
    Dump => b"dump", "dump";
    /// Environment.
    Envi => b"envi", "envi";
    /// Trace mask.
    Gtmk => b"gtmk", "gtmk";
    /// Digests of the tree.
    Hash => b"hash", "hash";
    /// Read-only or not.
    Isro => b"isro", "isro";
    /// All numbers.
    Mntr => b"mntr", "mntr";
    /// Alive.
    Ruok => b"ruok", "ruok";
    /// Reset the numbers of the server.
    Srst => b"srst", "srst";
    /// Summary of the server.
    Srvr => b"srvr", "srvr";
    /// Summary of the server with its connections.
    Stat => b"stat", "stat";
    /// Set the trace mask.
    Stmk => b"stmk", "stmk";
    /// Watches by session.
    Wchc => b"wchc", "wchc";
    /// Watches by path.
    Wchp => b"wchp", "wchp";
    /// Number of watches.
    Wchs => b"wchs", "wchs";
    /// What a telnet client sends when it is told to leave. It has a name but no answer.
    TelnetClose => b"\xff\xf4\xff\xfd", "telnet close";
}

impl Word {
    /// Bytes that must follow the word before it can be answered.
    pub const fn extra_bytes(self) -> usize {
        match self {
            Self::Stmk => MASK_BYTES,
            _ => 0,
        }
    }

    /// Whether the operator allows this word (operations, 2.1). Read-only mode brings `isro` with it. The telnet
    /// bytes are on no list, but who allows all words allows them too: they are then answered by nothing.
    pub fn is_allowed(self, allowed: &WordList, read_only_enabled: bool) -> bool {
        match self {
            Self::TelnetClose => ALL_WORDS.iter().all(|word| allowed.allows(word)),
            Self::Isro if read_only_enabled => true,
            _ => allowed.allows(self.name()),
        }
    }

    /// The answer to a word that is not allowed.
    pub fn refusal_text(self) -> String {
        format!(
            "{} is not executed because it is not in the whitelist.\n",
            self.name()
        )
    }

    /// Whether a server that does not serve clients answers as always.
    pub(super) const fn answers_without_serving(self) -> bool {
        matches!(
            self,
            Self::Ruok | Self::Envi | Self::Gtmk | Self::Stmk | Self::Isro | Self::TelnetClose
        )
    }

    /// What the report must hold to answer this word.
    pub const fn needs(self) -> Needs {
        let none = Needs::NONE;
        match self {
            Self::Conf => Needs {
                configuration: true,
                directory_sizes: true,
                ..none
            },
            Self::Cons => Needs {
                connections: true,
                ..none
            },
            Self::Dirs => Needs {
                directory_sizes: true,
                ..none
            },
            Self::Dump => Needs {
                sessions: true,
                ..none
            },
            Self::Envi => Needs {
                environment: true,
                ..none
            },
            Self::Hash => Needs {
                digests: true,
                ..none
            },
            Self::Mntr => Needs {
                server: true,
                monitor: true,
                ..none
            },
            Self::Srvr => Needs {
                server: true,
                ..none
            },
            Self::Stat => Needs {
                server: true,
                connections: true,
                ..none
            },
            Self::Wchc => Needs {
                watches_by_session: true,
                ..none
            },
            Self::Wchp => Needs {
                watches_by_path: true,
                ..none
            },
            Self::Wchs => Needs {
                watch_summary: true,
                ..none
            },
            Self::Crst
            | Self::Gtmk
            | Self::Isro
            | Self::Ruok
            | Self::Srst
            | Self::Stmk
            | Self::TelnetClose => none,
        }
    }
}

/// Parts of a [`super::Report`] that an answer shows. What is not named here every answer may use: the
/// server's role, its version, the trace mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// [`super::Report::server`].
    pub server: bool,
    /// [`super::Report::configuration`].
    pub configuration: bool,
    /// [`super::Report::directory_sizes`]: reads directories.
    pub directory_sizes: bool,
    /// [`super::Report::environment`].
    pub environment: bool,
    /// [`super::Report::connections`]: asks every connection.
    pub connections: bool,
    /// [`super::Report::sessions`]: every session, ephemeral and connection.
    pub sessions: bool,
    /// [`super::Report::watch_summary`]: goes through the watches.
    pub watch_summary: bool,
    /// [`super::Report::watches_by_session`]: copies every watch.
    pub watches_by_session: bool,
    /// [`super::Report::watches_by_path`]: copies every watch.
    pub watches_by_path: bool,
    /// [`super::Report::digests`].
    pub digests: bool,
    /// [`super::Report::monitor`], with a snapshot of all metrics.
    pub monitor: bool,
}

impl Needs {
    /// Nothing but what is always there.
    pub const NONE: Self = Self {
        server: false,
        configuration: false,
        directory_sizes: false,
        environment: false,
        connections: false,
        sessions: false,
        watch_summary: false,
        watches_by_session: false,
        watches_by_path: false,
        digests: false,
        monitor: false,
    };
}
