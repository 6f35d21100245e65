//! What a client says: the connect request, then frames of header and body.
//!
//! Reads borrow from the frame, because they are answered at once; writes own their parts, because they travel through the
//! pipeline. Null fields are kept as `None` where the protocol gives them a meaning of their own.

use std::borrow::Cow;

use bytes::Bytes;
use thiserror::Error;

use crate::acl::AclRequest;
use crate::code::OpCode;
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader, Writer};
use crate::multi;

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// 0; servers ignore it.
    pub protocol_version: i32,
    /// Largest zxid the client has seen.
    pub last_zxid_seen: Zxid,
    /// Wanted session timeout, ms.
    pub timeout_ms: i32,
    /// The session to go on with, or 0 for a new one.
    pub session: SessionId,
    /// Its password; null or empty for a new one.
    pub password: Vec<u8>,
    /// `None` when the byte is absent (3.4 C clients): then the answer has none either.
    pub read_only: Option<bool>,
}

impl ConnectRequest {
    /// Reads the frame. Any failure to read the last byte means that it is absent.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            protocol_version: reader.i32()?,
            last_zxid_seen: Zxid(reader.i64()?),
            timeout_ms: reader.i32()?,
            session: SessionId(reader.i64()?),
            password: reader.buffer()?.unwrap_or_default().to_vec(),
            read_only: reader.bool().ok(),
        })
    }

    /// Writes the frame without its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i64(self.last_zxid_seen.0);
        out.put_i32(self.timeout_ms);
        out.put_i64(self.session.0);
        out.put_buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// The eight bytes before each body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader {
    /// Echoed in the reply.
    pub xid: Xid,
    /// An [`OpCode`], or anything else.
    pub op: i32,
}

impl RequestHeader {
    /// Encoded length, bytes.
    pub const LEN: usize = 8;

    /// Reads the header; the body is what remains.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: Xid(reader.i32()?),
            op: reader.i32()?,
        })
    }
}

/// A decoded request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// Keep the session.
    Ping,
    /// Add an identity.
    Auth(Auth<'a>),
    /// A SASL token; null is a fault.
    Sasl(Option<&'a [u8]>),
    /// Answered from the tree of this server.
    Read(Read<'a>),
    /// Ordered through the log.
    Write(Write),
}

/// The body of an auth request. Its first field, a type, is ignored by servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Which provider.
    pub scheme: Option<Cow<'a, str>>,
    /// What it shall judge.
    pub data: Option<&'a [u8]>,
}

/// A request that changes nothing in the tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Read<'a> {
    /// Stat, or a watch on a znode that is not there yet.
    Exists(PathWatch<'a>),
    /// Data and stat.
    GetData(PathWatch<'a>),
    /// ACL and stat.
    GetAcl(Cow<'a, str>),
    /// Names.
    GetChildren(PathWatch<'a>),
    /// Names and stat.
    GetChildren2(PathWatch<'a>),
    /// Count of descendants.
    GetAllChildrenNumber(Cow<'a, str>),
    /// Paths of the session's ephemerals that start with the prefix; null means all.
    GetEphemerals(Option<Cow<'a, str>>),
    /// The path is only echoed, null and odd bytes included.
    Sync(Option<&'a [u8]>),
    /// Several reads.
    MultiRead(Vec<multi::ReadOp<'a>>),
    /// Watches of the connection before.
    SetWatches(SetWatches<'a>),
    /// A persistent watch; the mode is not judged yet.
    AddWatch {
        /// Any text.
        path: Cow<'a, str>,
        /// See [`crate::code::AddWatchMode`].
        mode: i32,
    },
    /// Is there such a watch?
    CheckWatches(WatchQuery<'a>),
    /// Remove such watches.
    RemoveWatches(WatchQuery<'a>),
    /// Identities of the connection.
    WhoAmI,
}

/// A path and whether to watch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathWatch<'a> {
    /// As given.
    pub path: Cow<'a, str>,
    /// Leave a one-shot watch.
    pub watch: bool,
}

/// A path and a [`crate::code::WatcherType`], not judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchQuery<'a> {
    /// As given.
    pub path: Cow<'a, str>,
    /// The type.
    pub kind: i32,
}

/// The watches a client wants back. A null list is a fault that strikes after the lists before it took effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetWatches<'a> {
    /// Changes up to this zxid are known to the client.
    pub relative_zxid: Zxid,
    /// The lists in the order of [`WatchList`]; two of them missing for the older request.
    pub lists: Vec<Option<Vec<Cow<'a, str>>>>,
}

/// What a list of [`SetWatches`] holds, in wire order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchList {
    /// Data watches.
    Data,
    /// Exists watches.
    Exist,
    /// Child watches.
    Child,
    /// Persistent watches.
    Persistent,
    /// Persistent recursive watches.
    PersistentRecursive,
}

impl WatchList {
    /// All, in wire order.
    pub const ORDER: [Self; 5] = [
        Self::Data,
        Self::Exist,
        Self::Child,
        Self::Persistent,
        Self::PersistentRecursive,
    ];
}

/// A request that becomes a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// One of the four creates.
    Create(Create),
    /// Delete.
    Delete(Delete),
    /// Replace the data.
    SetData(SetData),
    /// Replace the ACL.
    SetAcl(SetAcl),
    /// All or nothing.
    Multi(Vec<multi::WriteOp>),
    /// A multi that cannot be decoded: it fails, but unlike other undecodable writes it consumes a zxid.
    BrokenMulti,
    /// Change the membership.
    Reconfig(Reconfig),
    /// End the session.
    CloseSession,
    /// Remove an empty container or an expired TTL node. Made by the server itself, never decoded from a client.
    DeleteContainer(String),
}

/// create, create2, createContainer, createTTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Which of the four.
    pub op: OpCode,
    /// Null is a fault that consumes a zxid.
    pub path: Option<String>,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Not fixed up yet.
    pub acl: Option<Vec<AclRequest>>,
    /// See [`crate::code::CreateMode`]; not judged yet.
    pub flags: i32,
    /// ms; 0 unless the operation is createTTL.
    pub ttl: i64,
}

/// delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Null is a fault that consumes a zxid.
    pub path: Option<String>,
    /// Expected version, or -1.
    pub version: i32,
}

/// setData.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetData {
    /// Null counts as an invalid path.
    pub path: Option<String>,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Expected version, or -1.
    pub version: i32,
}

/// setACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAcl {
    /// Null counts as an invalid path.
    pub path: Option<String>,
    /// Not fixed up yet.
    pub acl: Option<Vec<AclRequest>>,
    /// Expected ACL version, or -1.
    pub version: i32,
}

/// check, only inside a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Null is a fault.
    pub path: Option<String>,
    /// Expected version, or -1.
    pub version: i32,
}

/// reconfig; null texts as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconfig {
    /// Servers to add.
    pub joining: Option<String>,
    /// Ids to remove.
    pub leaving: Option<String>,
    /// The whole new membership.
    pub members: Option<String>,
    /// Expected configuration version, or -1.
    pub config: i64,
}

/// Why a frame is not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Answered with -6 and a close.
    #[error("unknown operation {0}")]
    Unknown(i32),
    /// What follows depends on the operation (client protocol 3.6).
    #[error("malformed {op:?}: {source}")]
    Body {
        /// The operation.
        op: OpCode,
        /// What is wrong with its body.
        source: DecodeError,
    },
}

/// Decodes the body of operation `op`. Bytes after the last field are ignored.
pub fn decode(op: i32, body: &Bytes) -> Result<Request<'_>, RequestError> {
    use OpCode as O;
    let op = OpCode::from_i32(op).ok_or(RequestError::Unknown(op))?;
    let mut reader = Reader::new(body);
    let r = &mut reader;
    let request = match op {
        O::Ping => Ok(Request::Ping),
        O::Auth => auth(r).map(Request::Auth),
        O::Sasl => r.buffer().map(Request::Sasl),
        O::Exists => path_watch(r).map(Read::Exists).map(Request::Read),
        O::GetData => path_watch(r).map(Read::GetData).map(Request::Read),
        O::GetChildren => path_watch(r).map(Read::GetChildren).map(Request::Read),
        O::GetChildren2 => path_watch(r).map(Read::GetChildren2).map(Request::Read),
        O::GetAcl => r
            .required_string("path")
            .map(Read::GetAcl)
            .map(Request::Read),
        O::GetAllChildrenNumber => r
            .required_string("path")
            .map(Read::GetAllChildrenNumber)
            .map(Request::Read),
        O::GetEphemerals => r.string().map(Read::GetEphemerals).map(Request::Read),
        O::Sync => r.buffer().map(Read::Sync).map(Request::Read),
        O::MultiRead => multi::decode_reads(r)
            .map(Read::MultiRead)
            .map(Request::Read),
        O::SetWatches => set_watches(r, 3).map(Read::SetWatches).map(Request::Read),
        O::SetWatches2 => set_watches(r, 5).map(Read::SetWatches).map(Request::Read),
        O::AddWatch => add_watch(r).map(Request::Read),
        O::CheckWatches => watch_query(r).map(Read::CheckWatches).map(Request::Read),
        O::RemoveWatches => watch_query(r).map(Read::RemoveWatches).map(Request::Read),
        O::WhoAmI => Ok(Request::Read(Read::WhoAmI)),
        O::Create | O::Create2 | O::CreateContainer | O::CreateTtl => {
            create(op, r, body).map(Write::Create).map(Request::Write)
        }
        O::Delete => delete(r).map(Write::Delete).map(Request::Write),
        O::SetData => set_data(r, body).map(Write::SetData).map(Request::Write),
        O::SetAcl => set_acl(r).map(Write::SetAcl).map(Request::Write),
        O::Multi => Ok(Request::Write(
            multi::decode_writes(r, body).map_or(Write::BrokenMulti, Write::Multi),
        )),
        O::Reconfig => reconfig(r).map(Write::Reconfig).map(Request::Write),
        O::CloseSession => Ok(Request::Write(Write::CloseSession)),
        O::Notification | O::Check | O::DeleteContainer | O::CreateSession | O::Error => {
            return Err(RequestError::Unknown(op.code()));
        }
    };
    request.map_err(|source| RequestError::Body { op, source })
}

fn auth<'a>(r: &mut Reader<'a>) -> Result<Auth<'a>, DecodeError> {
    let _type = r.i32()?;
    Ok(Auth {
        scheme: r.string()?,
        data: r.buffer()?,
    })
}

fn path_watch<'a>(r: &mut Reader<'a>) -> Result<PathWatch<'a>, DecodeError> {
    Ok(PathWatch {
        path: r.required_string("path")?,
        watch: r.bool()?,
    })
}

fn add_watch<'a>(r: &mut Reader<'a>) -> Result<Read<'a>, DecodeError> {
    Ok(Read::AddWatch {
        path: r.required_string("path")?,
        mode: r.i32()?,
    })
}

fn watch_query<'a>(r: &mut Reader<'a>) -> Result<WatchQuery<'a>, DecodeError> {
    Ok(WatchQuery {
        path: r.required_string("path")?,
        kind: r.i32()?,
    })
}

fn set_watches<'a>(r: &mut Reader<'a>, lists: usize) -> Result<SetWatches<'a>, DecodeError> {
    let relative_zxid = Zxid(r.i64()?);
    let lists = (0..lists)
        .map(|_| r.vector(|r| r.required_string("path")))
        .collect::<Result<_, _>>()?;
    Ok(SetWatches {
        relative_zxid,
        lists,
    })
}

/// Reads a buffer as a slice that shares the frame's memory.
fn shared_buffer(r: &mut Reader<'_>, frame: &Bytes) -> Result<Option<Bytes>, DecodeError> {
    Ok(r.buffer()?.map(|part| frame.slice_ref(part)))
}

fn owned_string(r: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    Ok(r.string()?.map(Into::into))
}

/// Reads the body of one of the creates.
pub(crate) fn create(op: OpCode, r: &mut Reader<'_>, frame: &Bytes) -> Result<Create, DecodeError> {
    let path = owned_string(r)?;
    let data = shared_buffer(r, frame)?;
    let acl = r.vector(AclRequest::decode)?;
    let flags = r.i32()?;
    let ttl = if op == OpCode::CreateTtl { r.i64()? } else { 0 };
    Ok(Create {
        op,
        path,
        data,
        acl,
        flags,
        ttl,
    })
}

/// Reads the body of delete.
pub(crate) fn delete(r: &mut Reader<'_>) -> Result<Delete, DecodeError> {
    Ok(Delete {
        path: owned_string(r)?,
        version: r.i32()?,
    })
}

/// Reads the body of setData.
pub(crate) fn set_data(r: &mut Reader<'_>, frame: &Bytes) -> Result<SetData, DecodeError> {
    Ok(SetData {
        path: owned_string(r)?,
        data: shared_buffer(r, frame)?,
        version: r.i32()?,
    })
}

fn set_acl(r: &mut Reader<'_>) -> Result<SetAcl, DecodeError> {
    Ok(SetAcl {
        path: owned_string(r)?,
        acl: r.vector(AclRequest::decode)?,
        version: r.i32()?,
    })
}

/// Reads the body of check.
pub(crate) fn check(r: &mut Reader<'_>) -> Result<Check, DecodeError> {
    Ok(Check {
        path: owned_string(r)?,
        version: r.i32()?,
    })
}

fn reconfig(r: &mut Reader<'_>) -> Result<Reconfig, DecodeError> {
    Ok(Reconfig {
        joining: owned_string(r)?,
        leaving: owned_string(r)?,
        members: owned_string(r)?,
        config: r.i64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_read_only_byte_may_be_absent() {
        let mut frame = Vec::new();
        let mut request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(9),
            timeout_ms: 30_000,
            session: SessionId(0),
            password: vec![0; 16],
            read_only: None,
        };
        request.encode(&mut frame);
        assert_eq!(
            (frame.len(), ConnectRequest::decode(&frame)),
            (44, Ok(request.clone()))
        );
        frame.push(1);
        request.read_only = Some(true);
        assert_eq!(ConnectRequest::decode(&frame), Ok(request));
        assert!(ConnectRequest::decode(&frame[..20]).is_err());
    }

    #[test]
    fn internal_operations_are_unknown_to_clients() {
        for op in [0, 13, 20, -10, -1, 10, 999] {
            assert_eq!(decode(op, &Bytes::new()), Err(RequestError::Unknown(op)));
        }
    }

    #[test]
    fn surplus_bytes_are_ignored_and_null_paths_refused_for_reads() {
        let body = Bytes::from_static(b"\0\0\0\x01/surplus");
        assert_eq!(decode(9, &body), Ok(Request::Read(Read::Sync(Some(b"/")))));
        let null = Bytes::from_static(b"\xff\xff\xff\xff\0");
        assert!(matches!(
            decode(3, &null),
            Err(RequestError::Body {
                op: OpCode::Exists,
                source: DecodeError::Null("path")
            })
        ));
    }

    #[test]
    fn data_shares_the_memory_of_its_frame() {
        let body = Bytes::from_static(b"\0\0\0\x02/a\0\0\0\x02hi\xff\xff\xff\xff");
        let Ok(Request::Write(Write::SetData(set))) = decode(5, &body) else {
            panic!("not a setData")
        };
        assert_eq!(set.path.as_deref(), Some("/a"));
        assert_eq!(
            set.data.as_ref().map(|d| d.as_ptr()),
            Some(body[10..].as_ptr())
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(op in -12..110i32, bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
            let body = Bytes::from(bytes);
            let _ = decode(op, &body);
            let _ = ConnectRequest::decode(&body);
        }
    }
}
