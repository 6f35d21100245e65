//! The few frames a load generator needs, and a connection that speaks them.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use rookeeper_proto::acl::{self, Acl};
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::{Reader, Writer};
use rookeeper_proto::multi::MultiHeader;
use rookeeper_proto::password::PASSWORD_LEN;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// Session timeout that is asked for, ms.
const SESSION_TIMEOUT_MS: i32 = 30_000;
/// Read buffer, bytes.
const BUFFER: usize = 256 * 1024;
/// Reply header, bytes.
const REPLY_HEADER: usize = 16;
/// Where a stat has the number of children.
const NUM_CHILDREN: usize = 56;

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
pub(super) fn multi_set(
    out: &mut Vec<u8>,
    xid: i32,
    paths: impl Iterator<Item = impl AsRef<str>>,
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
            set_body(out, path.as_ref(), data);
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

/// closeSession.
pub(super) fn close_session(out: &mut Vec<u8>, xid: i32) {
    request(out, xid, OpCode::CloseSession, |_| {});
}

/// What a reply said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// The number of the request; -1 for an event.
    pub(super) xid: i32,
    /// The epoch in which the server was when it answered: of the leader it followed.
    pub(super) epoch: i32,
    /// The error, 0 for none.
    pub(super) err: i32,
}

/// A session, as a client remembers it.
#[derive(Debug, Clone)]
pub(super) struct Session {
    id: SessionId,
    password: Vec<u8>,
}

impl Session {
    /// None yet: a new one is asked for.
    fn new() -> Self {
        Self {
            id: SessionId::NONE,
            password: vec![0; PASSWORD_LEN],
        }
    }

    /// What the answer to a connect request says; `None` when the session was refused.
    fn granted(answer: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(answer);
        let (_protocol, timeout_ms) = (reader.i32().ok()?, reader.i32().ok()?);
        let id = SessionId(reader.i64().ok()?);
        let password = reader.buffer().ok()??.to_vec();
        (timeout_ms > 0).then_some(Self { id, password })
    }
}

/// A connection, with or without a session.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    input: BytesMut,
    session: Session,
}

impl Connection {
    /// Connects without a session: an echo server has none.
    pub(super) async fn connect(server: &str) -> io::Result<Self> {
        Self::over(TcpStream::connect(server).await?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            session: Session::new(),
        })
    }

    /// Connects and opens a session.
    pub(super) async fn open(server: &str) -> io::Result<Self> {
        let mut connection = Self::connect(server).await?;
        match connection.greet().await? {
            true => Ok(connection),
            false => Err(io::Error::other("the server refuses a new session")),
        }
    }

    /// Connects and opens a session; the kernel keeps no more than about `receive_buffer` bytes of what was not read.
    pub(super) async fn open_narrow(server: &str, receive_buffer: u32) -> io::Result<Self> {
        let address = lookup_host(server).await?.next();
        let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_recv_buffer_size(receive_buffer)?;
        let mut connection = Self::over(socket.connect(address).await?)?;
        connection.greet().await?;
        Ok(connection)
    }

    /// Connects and goes on with a session; `None` when the server says that it is over.
    pub(super) async fn resume(server: &str, session: Session) -> io::Result<Option<Self>> {
        let mut connection = Self::connect(server).await?;
        connection.session = session;
        let accepted = connection.greet().await?;
        Ok(accepted.then_some(connection))
    }

    /// Says who we are; false if the server does not want us.
    async fn greet(&mut self) -> io::Result<bool> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: SESSION_TIMEOUT_MS,
            session: self.session.id,
            password: self.session.password.clone(),
            read_only: Some(false),
        };
        let mut out = Vec::new();
        response::frame(&mut out, |out| request.encode(out));
        self.send(&out).await?;
        let answer = self.whole().await?;
        let granted = Session::granted(&answer);
        let accepted = granted.is_some();
        self.session = granted.unwrap_or_else(Session::new);
        Ok(accepted)
    }

    /// Ends the connection as a cut cable would, from the server's side: no goodbye, and at once. The session goes on.
    pub(super) fn cut(self) -> io::Result<Session> {
        self.stream.set_zero_linger()?;
        Ok(self.session)
    }

    /// What a client must remember to come back.
    pub(super) fn session(&self) -> Session {
        self.session.clone()
    }

    /// Its socket, with what was read and not looked at lost.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
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

    /// The next frame, without its length.
    async fn whole(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Some(len) = self.whole_frame() {
                self.input.advance(4);
                return Ok(self.input.split_to(len));
            }
            self.fill().await?;
        }
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
            epoch: word(4).unwrap_or_default(),
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

    /// Children of a znode, by its stat; `None` when there is no such znode.
    pub(super) async fn child_count(&mut self, path: &str) -> io::Result<Option<i32>> {
        let mut out = Vec::new();
        read(&mut out, 1, OpCode::Exists, path, false);
        self.send(&out).await?;
        let answer = self.whole().await?;
        let count = answer.get(REPLY_HEADER + NUM_CHILDREN..);
        let count = count.and_then(|rest| rest.first_chunk::<4>());
        Ok(count.map(|count| i32::from_be_bytes(*count)))
    }
}
