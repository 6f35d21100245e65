//! What a client asks for, and the frame of it.

use bytes::Bytes;
use rookeeper_proto::acl::perms;
use rookeeper_proto::code::{CreateMode, OpCode};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::multi::MultiHeader;

use crate::dice::Dice;

/// Below this, znodes with numbers are made.
pub(crate) const QUEUE: &str = "/q";
/// Znodes that everybody writes.
const REGISTERS: u64 = 6;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A znode that nobody deletes, and nobody else makes.
    Keep {
        path: String,
    },
    /// A znode that others may make and delete too.
    Create {
        path: String,
        data: Vec<u8>,
    },
    Ephemeral {
        path: String,
    },
    /// A znode with a number.
    Number,
    Set {
        path: String,
        data: Vec<u8>,
        version: i32,
    },
    Delete {
        path: String,
        version: i32,
    },
    /// A set and a create at once, if a version is as it was.
    Both {
        register: String,
        version: i32,
        other: String,
    },
    Get {
        path: String,
        watch: bool,
    },
    Exists {
        path: String,
        watch: bool,
    },
    Children {
        path: String,
        watch: bool,
    },
    Sync,
    Ping,
    /// The session shall end.
    Close,
}

impl Ask {
    /// Something at random. `unique` makes names that nobody else has; `version` is what the client last saw.
    pub(crate) fn any(dice: &mut Dice, unique: &str, version: i32) -> Self {
        let register = format!("/r{}", dice.below(REGISTERS));
        let data = unique.as_bytes().to_vec();
        let watch = dice.permille(500);
        let version = if dice.permille(500) { -1 } else { version };
        match dice.below(24) {
            0..=2 => Self::Keep {
                path: format!("/k{unique}"),
            },
            3..=5 => Self::Create {
                path: register,
                data,
            },
            6 => Self::Ephemeral {
                path: format!("/e{}", dice.below(REGISTERS)),
            },
            7 => Self::Ephemeral {
                path: format!("/e{unique}"),
            },
            8 => Self::Number,
            9..=12 => Self::Set {
                path: register,
                data,
                version,
            },
            13 => Self::Delete {
                path: register,
                version,
            },
            14 => Self::Both {
                register,
                version,
                other: format!("/m{unique}"),
            },
            15..=17 => Self::Get {
                path: register,
                watch,
            },
            18..=19 => Self::Exists {
                path: if watch {
                    format!("/e{}", dice.below(REGISTERS))
                } else {
                    register
                },
                watch,
            },
            20 => Self::Children {
                path: if dice.permille(500) { "/" } else { QUEUE }.to_owned(),
                watch,
            },
            21..=22 => Self::Sync,
            _ => Self::Ping,
        }
    }

    pub(crate) const fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Keep { .. }
                | Self::Create { .. }
                | Self::Ephemeral { .. }
                | Self::Number
                | Self::Set { .. }
                | Self::Delete { .. }
                | Self::Both { .. }
                | Self::Close
        )
    }

    const fn op(&self) -> OpCode {
        match self {
            Self::Keep { .. } | Self::Ephemeral { .. } | Self::Number => OpCode::Create,
            Self::Create { .. } => OpCode::Create2,
            Self::Set { .. } => OpCode::SetData,
            Self::Delete { .. } => OpCode::Delete,
            Self::Both { .. } => OpCode::Multi,
            Self::Get { .. } => OpCode::GetData,
            Self::Exists { .. } => OpCode::Exists,
            Self::Children { .. } => OpCode::GetChildren,
            Self::Sync => OpCode::Sync,
            Self::Ping => OpCode::Ping,
            Self::Close => OpCode::CloseSession,
        }
    }

    /// The frame, without its length.
    pub(crate) fn frame(&self, xid: i32) -> Bytes {
        let mut out = Vec::new();
        out.put_i32(xid);
        out.put_i32(self.op().code());
        self.body(&mut out);
        out.into()
    }

    fn body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Keep { path } => create(path, b"kept", CreateMode::Persistent, out),
            Self::Create { path, data } => create(path, data, CreateMode::Persistent, out),
            Self::Ephemeral { path } => create(path, b"mine", CreateMode::Ephemeral, out),
            Self::Number => {
                let path = format!("{QUEUE}/n");
                create(&path, b"", CreateMode::PersistentSequential, out);
            }
            Self::Set {
                path,
                data,
                version,
            } => set(path, data, *version, out),
            Self::Delete { path, version } => {
                out.put_string(path);
                out.put_i32(*version);
            }
            Self::Both {
                register,
                version,
                other,
            } => {
                part(OpCode::SetData, out);
                set(register, b"both", *version, out);
                part(OpCode::Create, out);
                create(other, b"both", CreateMode::Persistent, out);
                MultiHeader::END.encode(out);
            }
            Self::Get { path, watch }
            | Self::Exists { path, watch }
            | Self::Children { path, watch } => {
                out.put_string(path);
                out.put_bool(*watch);
            }
            Self::Sync => out.put_string("/"),
            Self::Ping | Self::Close => {}
        }
    }
}

fn part(op: OpCode, out: &mut Vec<u8>) {
    let header = MultiHeader {
        kind: op.code(),
        done: false,
        err: -1,
    };
    header.encode(out);
}

fn create(path: &str, data: &[u8], mode: CreateMode, out: &mut Vec<u8>) {
    out.put_string(path);
    out.put_buffer(Some(data));
    out.put_count(1);
    out.put_i32(perms::ALL);
    out.put_string("world");
    out.put_string("anyone");
    out.put_i32(mode.code());
}

fn set(path: &str, data: &[u8], version: i32, out: &mut Vec<u8>) {
    out.put_string(path);
    out.put_buffer(Some(data));
    out.put_i32(version);
}
