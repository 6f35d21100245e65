//! What a client reads: the answer to its connect request, reply headers, bodies of replies, watch events.
//!
//! The counterpart of [`crate::response`], which writes them. A body is only there when the header has no error.

use bytes::Bytes;

use crate::acl::{Acl, Id};
use crate::code::{ErrorCode, EventType, OpCode};
use crate::ids::{SessionId, Xid, Zxid};
use crate::jute::{DecodeError, Reader};
use crate::multi::{MultiHeader, OpResult};
use crate::stat::Stat;

/// The sixteen bytes before each body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// That of the request, or one of the special ones.
    pub xid: Xid,
    /// Of the write, or the last one that the server had applied; 0 or -1 where there is none.
    pub zxid: Zxid,
    /// An [`ErrorCode`], or one that this version does not know.
    pub err: i32,
}

impl ReplyHeader {
    /// Encoded length, bytes.
    pub const LEN: usize = 16;

    /// Reads the header; the body is what remains.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            xid: Xid(reader.i32()?),
            zxid: Zxid(reader.i64()?),
            err: reader.i32()?,
        })
    }
}

/// The error of a code on the wire; codes that this version does not know count as a fault of the server.
#[must_use]
pub const fn error_code(code: i32) -> ErrorCode {
    match ErrorCode::from_i32(code) {
        Some(code) => code,
        None => ErrorCode::SystemError,
    }
}

/// The answer to a connect request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectReply {
    /// The session is on.
    Accepted {
        /// Its id.
        session: SessionId,
        /// What proves later that it is ours.
        password: Vec<u8>,
        /// Negotiated timeout, ms; above 0.
        timeout_ms: i32,
        /// The server has no quorum and serves reads only.
        read_only: bool,
    },
    /// The session ended, never was, or the password is wrong.
    Refused,
}

impl ConnectReply {
    /// Reads the frame. The last byte is absent when the request had none.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        let _version = reader.i32()?;
        let timeout_ms = reader.i32()?;
        let session = SessionId(reader.i64()?);
        let password = reader.buffer()?.unwrap_or_default().to_vec();
        if timeout_ms <= 0 {
            return Ok(Self::Refused);
        }
        Ok(Self::Accepted {
            session,
            password,
            timeout_ms,
            read_only: reader.bool().unwrap_or(false),
        })
    }
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherEvent {
    /// What happened.
    pub kind: EventType,
    /// Where.
    pub path: String,
}

impl WatcherEvent {
    /// Reads the body of an event. Its state is always "connected" and is passed over.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = reader.i32()?;
        let what = "event type";
        let kind = EventType::from_i32(value).ok_or(DecodeError::Unknown { what, value })?;
        let _state = reader.i32()?;
        let path = reader.required_string("path")?.into_owned();
        Ok(Self { kind, path })
    }
}

/// A buffer of a body, sharing its memory; `None` is null.
pub fn data(reader: &mut Reader<'_>, body: &Bytes) -> Result<Option<Bytes>, DecodeError> {
    Ok(reader.buffer()?.map(|part| body.slice_ref(part)))
}

/// A list of texts; null is the empty list.
pub fn texts(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let texts = reader.vector(|r| Ok(r.string()?.unwrap_or_default().into_owned()))?;
    Ok(texts.unwrap_or_default())
}

/// An ACL.
pub fn acl(reader: &mut Reader<'_>) -> Result<Vec<Acl>, DecodeError> {
    Ok(reader.vector(Acl::decode)?.unwrap_or_default())
}

/// Who the connection is: the identities that whoAmI tells.
pub fn identities(reader: &mut Reader<'_>) -> Result<Vec<Id>, DecodeError> {
    let ids = reader.vector(|r| {
        let scheme = r.string()?.unwrap_or_default().into_owned();
        Ok(Id::new(scheme, r.string()?.unwrap_or_default()))
    })?;
    Ok(ids.unwrap_or_default())
}

/// The results of a multi, in the order of its operations.
pub fn write_results(reader: &mut Reader<'_>) -> Result<Vec<OpResult>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(write_result(header.kind, reader)?);
    }
}

fn write_result(value: i32, reader: &mut Reader<'_>) -> Result<OpResult, DecodeError> {
    let unknown = DecodeError::Unknown {
        what: "result of a multi",
        value,
    };
    match OpCode::from_i32(value).ok_or(unknown)? {
        OpCode::Create => Ok(OpResult::Created(path(reader)?)),
        OpCode::Create2 => Ok(OpResult::Created2(path(reader)?, Stat::decode(reader)?)),
        OpCode::Delete => Ok(OpResult::Deleted),
        OpCode::Check => Ok(OpResult::Checked),
        OpCode::SetData => Ok(OpResult::Set(Stat::decode(reader)?)),
        OpCode::Error => Ok(OpResult::Failed(error_code(reader.i32()?))),
        _ => Err(unknown),
    }
}

/// A path in a reply.
pub fn path(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    Ok(reader.required_string("path")?.into_owned())
}

/// Result of one read of a multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// getData; `None` is null data.
    Data(Option<Bytes>, Stat),
    /// getChildren.
    Children(Vec<String>),
    /// This read failed; the others stand.
    Failed(ErrorCode),
}

/// The results of a multiRead, in the order of its operations; `body` is what `reader` reads.
pub fn read_results(
    reader: &mut Reader<'_>,
    body: &Bytes,
) -> Result<Vec<ReadOutcome>, DecodeError> {
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(match OpCode::from_i32(header.kind) {
            Some(OpCode::GetData) => ReadOutcome::Data(data(reader, body)?, Stat::decode(reader)?),
            Some(OpCode::GetChildren) => ReadOutcome::Children(texts(reader)?),
            Some(OpCode::Error) => ReadOutcome::Failed(error_code(reader.i32()?)),
            _ => {
                return Err(DecodeError::Unknown {
                    what: "result of a multiRead",
                    value: header.kind,
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::password;
    use crate::response::{self, ConnectResponse};

    #[test]
    fn a_client_reads_what_a_server_writes() {
        let session = SessionId(0x100_0000_0000_0007);
        let accepted = ConnectResponse::Accepted {
            session,
            timeout_ms: 30_000,
        };
        let mut out = Vec::new();
        accepted.encode(Some(true), &mut out);
        assert_eq!(
            ConnectReply::decode(&out[4..]),
            Ok(ConnectReply::Accepted {
                session,
                password: password::password(session).to_vec(),
                timeout_ms: 30_000,
                read_only: true,
            })
        );
        out.clear();
        ConnectResponse::Refused.encode(None, &mut out);
        assert_eq!(ConnectReply::decode(&out[4..]), Ok(ConnectReply::Refused));
        out.clear();
        response::event(&mut out, Zxid(9), EventType::NodeDeleted, "/a");
        let mut reader = Reader::new(&out[4..]);
        let header = ReplyHeader::decode(&mut reader).unwrap();
        assert_eq!(
            (header.xid, header.zxid, header.err),
            (Xid::EVENT, Zxid(9), 0)
        );
        let event = WatcherEvent::decode(&mut reader).unwrap();
        assert_eq!(
            (event.kind, event.path.as_str()),
            (EventType::NodeDeleted, "/a")
        );
    }

    #[test]
    fn results_of_a_multi_are_read_as_they_were_written() {
        let stat = Stat {
            version: 4,
            ..Stat::default()
        };
        let results = vec![
            OpResult::Created("/a".into()),
            OpResult::Created2("/b".into(), stat),
            OpResult::Deleted,
            OpResult::Checked,
            OpResult::Set(stat),
            OpResult::Failed(ErrorCode::BadVersion),
        ];
        let mut out = Vec::new();
        results.iter().for_each(|result| result.encode(&mut out));
        MultiHeader::END.encode(&mut out);
        assert_eq!(write_results(&mut Reader::new(&out)), Ok(results));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..96)) {
            let body = Bytes::from(bytes);
            let _ = ConnectReply::decode(&body);
            let _ = ReplyHeader::decode(&mut Reader::new(&body));
            let _ = WatcherEvent::decode(&mut Reader::new(&body));
            let _ = write_results(&mut Reader::new(&body));
            let _ = read_results(&mut Reader::new(&body), &body);
            let _ = (acl(&mut Reader::new(&body)), identities(&mut Reader::new(&body)), texts(&mut Reader::new(&body)));
        }
    }
}
