//! What a learner says to its leader.
//!
//! What lives here: one variant per type of packet, with what that type carries. What does not: who may say what when.

use bytes::Bytes;

use super::{NO_ZXID, Packet, kind, needed};
use crate::acl::Id;
use crate::ids::{ServerId, SessionId, Zxid};
use crate::jute::{DecodeError, Reader, Writer};

/// What a learner speaks that does not say it.
const PROTOCOL_BEFORE_VERSIONS: i32 = 1;

/// What a learner says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Its id, if it has one.
    pub server: Option<ServerId>,
    /// What it speaks.
    pub protocol: i32,
    /// The version of the configuration it has committed.
    pub config_version: i64,
}

impl LearnerInfo {
    fn encode(&self) -> Option<Bytes> {
        let mut out = Vec::with_capacity(20);
        out.put_i64(self.server?.0);
        out.put_i32(self.protocol);
        out.put_i64(self.config_version);
        Some(out.into())
    }

    /// Each release said more; what is missing has the value that its absence means.
    fn decode(data: Option<&Bytes>) -> Self {
        let mut reader = Reader::new(data.map_or(&[], |data| data));
        let server = reader.i64().ok().map(ServerId);
        let protocol = server.and_then(|_| reader.i32().ok());
        let config_version = protocol.and_then(|_| reader.i64().ok());
        Self {
            server,
            protocol: protocol.unwrap_or(PROTOCOL_BEFORE_VERSIONS),
            config_version: config_version.unwrap_or(0),
        }
    }
}

/// A request of a learner's client, on its way to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// Whose.
    pub session: SessionId,
    /// The client's number of the request.
    pub cxid: i32,
    /// The operation, as a number: the leader judges.
    pub op: i32,
    /// As the client sent it.
    pub body: Bytes,
    /// Who the client is; `None` is null.
    pub identities: Option<Vec<Id>>,
}

/// What a learner says to its leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromLearner {
    /// First of all, from a server that will acknowledge proposals.
    FollowerInfo {
        /// The epoch that it has promised, as `make(epoch, 0)`.
        accepted: Zxid,
        /// Who it is.
        info: LearnerInfo,
    },
    /// First of all, from a server that has no vote.
    ObserverInfo {
        /// The epoch that it has promised, as `make(epoch, 0)`.
        accepted: Zxid,
        /// Who it is.
        info: LearnerInfo,
    },
    /// The new epoch is promised.
    AckEpoch {
        /// The end of its log.
        last: Zxid,
        /// The epoch of its history; `None` when it had promised this epoch before.
        current: Option<i32>,
    },
    /// This, and all before it, is on its disk.
    Ack(Zxid),
    /// A client's request.
    Request(ForwardedRequest),
    /// The answer to a ping.
    Ping {
        /// That of the ping.
        zxid: Zxid,
        /// Sessions that were alive since the last answer, and their timeouts in ms.
        touched: Vec<(SessionId, i32)>,
    },
    /// A client has come with an old session: is it alive?
    Revalidate {
        /// Which.
        session: SessionId,
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// Of a type that only a newer release knows.
    Unknown(Packet),
}

impl FromLearner {
    /// The packet that says it.
    #[must_use]
    pub fn into_packet(self) -> Packet {
        match self {
            Self::FollowerInfo { accepted, info } => {
                Packet::with(kind::FOLLOWER_INFO, accepted, info.encode())
            }
            Self::ObserverInfo { accepted, info } => {
                Packet::with(kind::OBSERVER_INFO, accepted, info.encode())
            }
            Self::AckEpoch { last, current } => {
                let current = current.unwrap_or(-1).to_be_bytes();
                Packet::with(
                    kind::ACK_EPOCH,
                    last,
                    Some(Bytes::copy_from_slice(&current)),
                )
            }
            Self::Ack(zxid) => Packet::bare(kind::ACK, zxid),
            Self::Request(request) => request.into_packet(),
            Self::Ping { zxid, touched } => {
                let mut data = Vec::with_capacity(touched.len() * 12);
                for (session, timeout_ms) in touched {
                    data.put_i64(session.0);
                    data.put_i32(timeout_ms);
                }
                Packet::with(kind::PING, zxid, Some(data.into()))
            }
            Self::Revalidate {
                session,
                timeout_ms,
            } => {
                let mut data = Vec::with_capacity(12);
                data.put_i64(session.0);
                data.put_i32(timeout_ms);
                Packet::with(kind::REVALIDATE, NO_ZXID, Some(data.into()))
            }
            Self::Unknown(packet) => packet,
        }
    }

    /// What the packet says when a learner sent it.
    pub fn from_packet(packet: Packet) -> Result<Self, DecodeError> {
        let zxid = packet.zxid;
        let data = packet.data.as_ref();
        Ok(match packet.kind {
            kind::FOLLOWER_INFO => Self::FollowerInfo {
                accepted: zxid,
                info: LearnerInfo::decode(data),
            },
            kind::OBSERVER_INFO => Self::ObserverInfo {
                accepted: zxid,
                info: LearnerInfo::decode(data),
            },
            kind::ACK_EPOCH => {
                let current = needed(data)?.i32()?;
                Self::AckEpoch {
                    last: zxid,
                    current: (current != -1).then_some(current),
                }
            }
            kind::ACK => Self::Ack(zxid),
            kind::REQUEST => Self::Request(ForwardedRequest::from_packet(packet)?),
            kind::PING => Self::Ping {
                zxid,
                touched: touched(data)?,
            },
            kind::REVALIDATE => {
                let mut reader = needed(data)?;
                Self::Revalidate {
                    session: SessionId(reader.i64()?),
                    timeout_ms: reader.i32()?,
                }
            }
            _ => Self::Unknown(packet),
        })
    }
}

impl ForwardedRequest {
    fn into_packet(self) -> Packet {
        let mut data = Vec::with_capacity(16 + self.body.len());
        data.put_i64(self.session.0);
        data.put_i32(self.cxid);
        data.put_i32(self.op);
        data.extend_from_slice(&self.body);
        Packet {
            identities: self.identities,
            ..Packet::with(kind::REQUEST, NO_ZXID, Some(data.into()))
        }
    }

    fn from_packet(packet: Packet) -> Result<Self, DecodeError> {
        let data = packet.data.unwrap_or_default();
        let mut reader = Reader::new(&data);
        Ok(Self {
            session: SessionId(reader.i64()?),
            cxid: reader.i32()?,
            op: reader.i32()?,
            body: data.slice_ref(reader.rest()),
            identities: packet.identities,
        })
    }
}

fn touched(data: Option<&Bytes>) -> Result<Vec<(SessionId, i32)>, DecodeError> {
    let mut reader = Reader::new(data.map_or(&[], |data| data));
    let mut sessions = Vec::new();
    while !reader.is_empty() {
        sessions.push((SessionId(reader.i64()?), reader.i32()?));
    }
    Ok(sessions)
}
