//! The few frames a load generator needs, and a connection that speaks them.

use std::io;

use bytes::{Buf, BytesMut};
use rookeeper_proto::acl::{self, Acl};
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::multi::MultiHeader;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Session timeout that is asked for, ms.
const SESSION_TIMEOUT_MS: i32 = 30_000;
/// Read buffer, bytes.
const BUFFER: usize = 256 * 1024;
/// Reply header, bytes.
const REPLY_HEADER: usize = 16;

/// Appends a request frame.
pub(super) fn request(out: &mut Vec<u8>, xid: i32, op: OpCode, body: impl FnOnce(&mut Vec<u8>)) {
    response::frame(out, |out| {
        out.put_i32(xid);
        out.put_i32(op.code());
        body(out);
    });
}

/// create of an open persistent znode.
pub(super) fn create(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8], flags: i32) {
    request(out, xid, OpCode::Create, |out| {
        create_body(out, path, data, flags)
    });
}

fn create_body(out: &mut Vec<u8>, path: &str, data: &[u8], flags: i32) {
    out.put_string(path);
    out.put_buffer(Some(data));
    acl::encode_list(&Acl::open(), out);
    out.put_i32(flags);
}

/// delete, whatever the version.
pub(super) fn delete(out: &mut Vec<u8>, xid: i32, path: &str) {
    request(out, xid, OpCode::Delete, |out| {
        out.put_string(path);
        out.put_i32(-1);
    });
}

/// setData, whatever the version.
pub(super) fn set(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8]) {
    request(out, xid, OpCode::SetData, |out| set_body(out, path, data));
}

fn set_body(out: &mut Vec<u8>, path: &str, data: &[u8]) {
    out.put_string(path);
    out.put_buffer(Some(data));
    out.put_i32(-1);
}

/// A multi of setData.
pub(super) fn multi_set<'a>(
    out: &mut Vec<u8>,
    xid: i32,
    paths: impl Iterator<Item = &'a String>,
    data: &[u8],
) {
    request(out, xid, OpCode::Multi, |out| {
        for path in paths {
            MultiHeader {
                kind: OpCode::SetData.code(),
                done: false,
                err: -1,
            }
            .encode(out);
            set_body(out, path, data);
        }
        MultiHeader::END.encode(out);
    });
}

/// A read with a path and a watch flag: exists, getData, getChildren.
pub(super) fn read(out: &mut Vec<u8>, xid: i32, op: OpCode, path: &str, watch: bool) {
    request(out, xid, op, |out| {
        out.put_string(path);
        out.put_bool(watch);
    });
}

/// ping.
pub(super) fn ping(out: &mut Vec<u8>) {
    request(out, -2, OpCode::Ping, |_| {});
}

/// What a reply said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// The number of the request; -1 for an event.
    pub(super) xid: i32,
    /// The error, 0 for none.
    pub(super) err: i32,
}

/// A connection, with or without a session.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Connection {
    /// Connects without a session: an echo server has none.
    pub(super) async fn connect(server: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
        })
    }

    /// Connects and opens a session.
    pub(super) async fn open(server: &str) -> io::Result<Self> {
        let mut connection = Self::connect(server).await?;
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: SESSION_TIMEOUT_MS,
            session: SessionId::NONE,
            password: vec![0; 16],
            read_only: Some(false),
        };
        let mut out = Vec::new();
        response::frame(&mut out, |out| request.encode(out));
        connection.send(&out).await?;
        connection.fill().await?;
        while connection.skip_frame().is_none() {
            connection.fill().await?;
        }
        Ok(connection)
    }

    /// Sends bytes.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads more input.
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        self.input
            .reserve(BUFFER.min(self.input.capacity().max(4096)));
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn whole_frame(&self) -> Option<usize> {
        let len = u32::from_be_bytes(*self.input.first_chunk()?) as usize;
        (self.input.len() >= 4 + len).then_some(len)
    }

    fn skip_frame(&mut self) -> Option<()> {
        let len = self.whole_frame()?;
        self.input.advance(4 + len);
        Some(())
    }

    /// The next reply among what was read.
    pub(super) fn reply(&mut self) -> Option<Reply> {
        let len = self.whole_frame()?;
        let header = self.input.get(4..4 + len.min(REPLY_HEADER))?;
        let word = |at: usize| {
            header
                .get(at..at + 4)?
                .try_into()
                .ok()
                .map(i32::from_be_bytes)
        };
        let reply = Reply {
            xid: word(0).unwrap_or_default(),
            err: word(12).unwrap_or_default(),
        };
        self.input.advance(4 + len);
        Some(reply)
    }

    /// Sends one request and waits for its reply; events are passed over.
    pub(super) async fn call(&mut self, frame: &[u8]) -> io::Result<Reply> {
        self.send(frame).await?;
        loop {
            while let Some(reply) = self.reply() {
                if reply.xid != -1 {
                    return Ok(reply);
                }
            }
            self.fill().await?;
        }
    }
}
