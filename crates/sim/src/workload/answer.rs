//! What a server says to a client, as far as clients and checks care.

use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::{DecodeError, Reader};
use rookeeper_proto::stat::Stat;

use super::ask::Ask;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done; there is nothing to know.
    Done,
    /// The path that was made.
    Path(String),
    Stat(Stat),
    Data(Option<Vec<u8>>, Stat),
    Names(usize),
    NoNode,
    /// Anything else that went wrong.
    Refused(i32),
}

impl Answer {
    pub(crate) const fn is_good(&self) -> bool {
        !matches!(self, Self::NoNode | Self::Refused(_))
    }

    /// The version that a client knows now.
    pub(crate) const fn version(&self) -> Option<i32> {
        match self {
            Self::Stat(stat) | Self::Data(_, stat) => Some(stat.version),
            _ => None,
        }
    }

    /// The body behind the header of a reply to `ask`.
    pub(crate) fn decode(
        ask: &Ask,
        code: i32,
        fields: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        if code == ErrorCode::NoNode.code() {
            return Ok(Self::NoNode);
        }
        if code != 0 {
            return Ok(Self::Refused(code));
        }
        Ok(match ask {
            Ask::Keep { .. } | Ask::Ephemeral { .. } | Ask::Number => {
                Self::Path(fields.required_string("path")?.into_owned())
            }
            Ask::Create { .. } => {
                fields.required_string("path")?;
                Self::Stat(Stat::decode(fields)?)
            }
            Ask::Set { .. } | Ask::Exists { .. } => Self::Stat(Stat::decode(fields)?),
            Ask::Get { .. } => {
                let data = fields.buffer()?.map(<[u8]>::to_vec);
                Self::Data(data, Stat::decode(fields)?)
            }
            Ask::Children { .. } => Self::Names(fields.count()?.unwrap_or(0)),
            Ask::Delete { .. } | Ask::Both { .. } | Ask::Sync | Ask::Ping | Ask::Close => {
                Self::Done
            }
        })
    }
}

/// A frame from a server.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    /// The session is on, or (id 0) there is none.
    Connected {
        session: SessionId,
        timeout_ms: i32,
    },
    Event {
        zxid: Zxid,
        kind: i32,
        path: String,
    },
    Reply {
        xid: i32,
        zxid: Zxid,
        code: i32,
        body: Reader<'a>,
    },
}

/// The xid of events.
const EVENT: i32 = -1;

impl<'a> Said<'a> {
    /// Understands a frame without its length; `first` is the answer to a connect request.
    pub(crate) fn decode(frame: &'a [u8], first: bool) -> Result<Self, DecodeError> {
        let mut fields = Reader::new(frame);
        if first {
            fields.i32()?;
            return Ok(Self::Connected {
                timeout_ms: fields.i32()?,
                session: SessionId(fields.i64()?),
            });
        }
        let (xid, zxid, code) = (fields.i32()?, Zxid(fields.i64()?), fields.i32()?);
        if xid != EVENT {
            return Ok(Self::Reply {
                xid,
                zxid,
                code,
                body: fields,
            });
        }
        let kind = fields.i32()?;
        fields.i32()?;
        let path = fields.required_string("path")?.into_owned();
        Ok(Self::Event { zxid, kind, path })
    }
}
