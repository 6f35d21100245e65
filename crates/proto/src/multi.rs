//! The lists of operations inside multi and multiRead, and their results.
//!
//! Only the `done` mark ends a list; the error field of a request's header is ignored. Writes and reads do not mix.

use std::borrow::Cow;

use bytes::Bytes;

use crate::code::{ErrorCode, OpCode};
use crate::jute::{DecodeError, Reader, Writer};
use crate::request::{self, Check, Create, Delete, SetData};
use crate::stat::Stat;

/// The nine bytes before each operation and each result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiHeader {
    /// An [`OpCode`], or -1.
    pub kind: i32,
    /// True in the last header, which has no body.
    pub done: bool,
    /// Error of a result; ignored in requests.
    pub err: i32,
}

impl MultiHeader {
    /// The end of a list.
    pub const END: Self = Self {
        kind: -1,
        done: true,
        err: -1,
    };

    /// Reads the nine bytes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            kind: reader.i32()?,
            done: reader.bool()?,
            err: reader.i32()?,
        })
    }

    /// Writes the nine bytes.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.put_i32(self.kind);
        out.put_bool(self.done);
        out.put_i32(self.err);
    }
}

/// An operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Any of the creates; its flags, not its opcode, decide the kind.
    Create(Create),
    /// Delete.
    Delete(Delete),
    /// Replace the data.
    SetData(SetData),
    /// Compare the version.
    Check(Check),
}

impl WriteOp {
    /// The path it names, as it came.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Create(c) => c.path.as_deref(),
            Self::Delete(d) => d.path.as_deref(),
            Self::SetData(s) => s.path.as_deref(),
            Self::Check(c) => c.path.as_deref(),
        }
    }
}

/// An operation of a multiRead. Its watch flag is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOp<'a> {
    /// Data and stat.
    GetData(Cow<'a, str>),
    /// Names of the children.
    GetChildren(Cow<'a, str>),
    /// A write: it aborts the whole request when its turn comes.
    Illegal,
}

const MIXED: DecodeError = DecodeError::BadMulti("reads and writes do not mix in one multi");

/// Reads the list of a multi; `frame` is the body that `reader` reads, shared by the data of the operations.
pub fn decode_writes(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Vec<WriteOp>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(ops);
        }
        let unknown = DecodeError::Unknown {
            what: "operation of a multi",
            value: header.kind,
        };
        let op = OpCode::from_i32(header.kind).ok_or(unknown)?;
        ops.push(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                WriteOp::Create(request::create(op, reader, frame)?)
            }
            OpCode::Delete => WriteOp::Delete(request::delete(reader)?),
            OpCode::SetData => WriteOp::SetData(request::set_data(reader, frame)?),
            OpCode::Check => WriteOp::Check(request::check(reader)?),
            OpCode::GetData | OpCode::GetChildren => return Err(MIXED),
            _ => return Err(unknown),
        });
    }
}

/// Reads the list of a multiRead.
pub fn decode_reads<'a>(reader: &mut Reader<'a>) -> Result<Vec<ReadOp<'a>>, DecodeError> {
    let mut ops = Vec::new();
    loop {
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(ops);
        }
        let op = decode_read(header.kind, reader)?;
        let illegal = |op: &ReadOp<'_>| *op == ReadOp::Illegal;
        if ops
            .last()
            .is_some_and(|before| illegal(before) != illegal(&op))
        {
            return Err(MIXED);
        }
        ops.push(op);
    }
}

fn decode_read<'a>(kind: i32, reader: &mut Reader<'a>) -> Result<ReadOp<'a>, DecodeError> {
    let unknown = DecodeError::Unknown {
        what: "operation of a multiRead",
        value: kind,
    };
    let op = OpCode::from_i32(kind).ok_or(unknown)?;
    match op {
        OpCode::GetData => Ok(ReadOp::GetData(read_path(reader)?)),
        OpCode::GetChildren => Ok(ReadOp::GetChildren(read_path(reader)?)),
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            skip_create(op, reader).map(|()| ReadOp::Illegal)
        }
        OpCode::Delete => request::delete(reader).map(|_| ReadOp::Illegal),
        OpCode::SetData => {
            reader.buffer()?;
            reader.buffer()?;
            reader.i32()?;
            Ok(ReadOp::Illegal)
        }
        OpCode::Check => request::check(reader).map(|_| ReadOp::Illegal),
        _ => Err(unknown),
    }
}

fn read_path<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, DecodeError> {
    let path = reader.required_string("path")?;
    reader.bool()?;
    Ok(path)
}

fn skip_create(op: OpCode, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.buffer()?;
    reader.buffer()?;
    reader.vector(crate::acl::AclRequest::decode)?;
    reader.i32()?;
    if op == OpCode::CreateTtl {
        reader.i64()?;
    }
    Ok(())
}

/// Result of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// create: the path.
    Created(String),
    /// create2, createContainer, createTTL: path and stat.
    Created2(String, Stat),
    /// delete.
    Deleted,
    /// check.
    Checked,
    /// setData.
    Set(Stat),
    /// The operation failed, or another one did.
    Failed(ErrorCode),
}

impl OpResult {
    /// Writes header and body of the result.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let header = |kind: OpCode| MultiHeader {
            kind: kind.code(),
            done: false,
            err: 0,
        };
        match self {
            Self::Created(path) => {
                header(OpCode::Create).encode(out);
                out.put_string(path);
            }
            Self::Created2(path, stat) => {
                header(OpCode::Create2).encode(out);
                out.put_string(path);
                stat.encode(out);
            }
            Self::Deleted => header(OpCode::Delete).encode(out),
            Self::Checked => header(OpCode::Check).encode(out),
            Self::Set(stat) => {
                header(OpCode::SetData).encode(out);
                stat.encode(out);
            }
            Self::Failed(code) => encode_failure(*code, out),
        }
    }
}

/// Writes the result of an operation that failed.
pub fn encode_failure(code: ErrorCode, out: &mut Vec<u8>) {
    MultiHeader {
        kind: OpCode::Error.code(),
        done: false,
        err: code.code(),
    }
    .encode(out);
    out.put_i32(code.code());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(headers: &[&[u8]]) -> Bytes {
        headers.concat().into()
    }

    const END: &[u8] = b"\xff\xff\xff\xff\x01\xff\xff\xff\xff";
    const DELETE_X: &[u8] = b"\0\0\0\x02\0\xff\xff\xff\xff\0\0\0\x02/x\xff\xff\xff\xff";
    const GET_ROOT: &[u8] = b"\0\0\0\x04\0\xff\xff\xff\xff\0\0\0\x01/\0";

    fn writes(body: &Bytes) -> Result<Vec<WriteOp>, DecodeError> {
        decode_writes(&mut Reader::new(body), body)
    }

    #[test]
    fn only_the_done_mark_ends_a_list() {
        assert_eq!(writes(&list(&[END])), Ok(vec![]));
        assert!(matches!(
            writes(&list(&[DELETE_X])),
            Err(DecodeError::Truncated { .. })
        ));
        assert_eq!(writes(&list(&[DELETE_X, END])).map(|ops| ops.len()), Ok(1));
    }

    #[test]
    fn reads_and_writes_do_not_mix() {
        let mixed = list(&[GET_ROOT, DELETE_X, END]);
        assert_eq!(decode_reads(&mut Reader::new(&mixed)), Err(MIXED));
        assert_eq!(writes(&list(&[GET_ROOT, END])), Err(MIXED));
        let only_writes = list(&[DELETE_X, END]);
        assert_eq!(
            decode_reads(&mut Reader::new(&only_writes)),
            Ok(vec![ReadOp::Illegal])
        );
    }

    #[test]
    fn a_failure_carries_its_code_twice() {
        let mut out = Vec::new();
        OpResult::Failed(ErrorCode::BadVersion).encode(&mut out);
        assert_eq!(out, b"\xff\xff\xff\xff\0\xff\xff\xff\x99\xff\xff\xff\x99");
    }
}
