//! A client of a few lines over a plain socket, and servers inside the test. Nothing is retried or hidden: a test sees every frame
//! and every end of a connection.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables, Settings};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub mod op {
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const MULTI: i32 = 14;
    pub const AUTH: i32 = 100;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const ADD_WATCH: i32 = 106;
    pub const CLOSE: i32 = -11;
}

/// Encoder.
#[derive(Default, Clone)]
pub struct Out(pub Vec<u8>);

impl Out {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn int(mut self, n: i32) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    pub fn long(mut self, n: i64) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }
    pub fn bool(mut self, b: bool) -> Self {
        self.0.push(u8::from(b));
        self
    }
    pub fn buffer(self, bytes: &[u8]) -> Self {
        let mut out = self.int(bytes.len() as i32);
        out.0.extend(bytes);
        out
    }
    pub fn string(self, text: &str) -> Self {
        self.buffer(text.as_bytes())
    }
    pub fn open_acl(self) -> Self {
        self.int(1).int(31).string("world").string("anyone")
    }
}

pub fn create(path: &str, data: &[u8], flags: i32) -> Out {
    Out::new().string(path).buffer(data).open_acl().int(flags)
}

pub fn set_data(path: &str, data: &[u8]) -> Out {
    Out::new().string(path).buffer(data).int(-1)
}

pub fn delete(path: &str) -> Out {
    Out::new().string(path).int(-1)
}

pub fn path_watch(path: &str) -> Out {
    Out::new().string(path).bool(false)
}

pub fn multi(ops: &[(i32, Out)]) -> Out {
    let mut out = Out::new();
    for (op, body) in ops {
        out = out.int(*op).bool(false).int(-1);
        out.0.extend(&body.0);
    }
    out.int(-1).bool(true).int(-1)
}

/// What a client asks for at the begin.
#[derive(Clone)]
pub struct Hello {
    pub timeout: i32,
    pub session: i64,
    pub password: Vec<u8>,
    pub last_zxid: i64,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            timeout: 30_000,
            session: 0,
            password: vec![0; 16],
            last_zxid: 0,
        }
    }
}

impl Hello {
    pub fn frame(&self) -> Vec<u8> {
        let body = Out::new()
            .int(0)
            .long(self.last_zxid)
            .int(self.timeout)
            .long(self.session)
            .buffer(&self.password)
            .bool(false);
        framed(&body.0)
    }
}

pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as i32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

/// A frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

impl Reply {
    /// The data of a getData reply.
    pub fn data(&self) -> &[u8] {
        let len = i32::from_be_bytes(self.body[..4].try_into().unwrap());
        &self.body[4..4 + usize::try_from(len).unwrap()]
    }
    /// The names of a getChildren reply.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let (mut rest, int) = (&self.body[4..], |b: &[u8]| {
            i32::from_be_bytes(b[..4].try_into().unwrap()) as usize
        });
        for _ in 0..int(&self.body) {
            let len = int(rest);
            names.push(String::from_utf8(rest[4..4 + len].to_vec()).unwrap());
            rest = &rest[4 + len..];
        }
        names
    }
}

/// One connection with a session.
pub struct Client {
    pub stream: TcpStream,
    pub session: i64,
    pub password: Vec<u8>,
    pub timeout: i32,
    xid: i32,
}

pub fn dial(address: SocketAddr) -> TcpStream {
    try_dial(address).unwrap()
}

pub fn try_dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", address.port()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::open(address, &Hello::default()).unwrap()
    }

    /// An error when the server ends the connection; a refused session has timeout 0.
    pub fn open(address: SocketAddr, hello: &Hello) -> io::Result<Self> {
        let mut stream = try_dial(address)?;
        stream.write_all(&hello.frame())?;
        let answer = read_frame(&mut stream)?;
        let timeout = i32::from_be_bytes(answer[4..8].try_into().unwrap());
        let session = i64::from_be_bytes(answer[8..16].try_into().unwrap());
        Ok(Self {
            stream,
            session,
            password: answer[20..36].to_vec(),
            timeout,
            xid: 0,
        })
    }

    /// What reattaches this session.
    pub fn hello(&self) -> Hello {
        Hello {
            timeout: self.timeout,
            session: self.session,
            password: self.password.clone(),
            last_zxid: 0,
        }
    }

    pub fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    pub fn send(&mut self, op: i32, body: &Out) -> io::Result<i32> {
        self.xid += 1;
        self.stream.write_all(&request(self.xid, op, body))?;
        Ok(self.xid)
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        Ok(parse(&read_frame(&mut self.stream)?))
    }

    pub fn call(&mut self, op: i32, body: &Out) -> io::Result<Reply> {
        let xid = self.send(op, body)?;
        loop {
            let reply = self.reply()?;
            if reply.xid == xid {
                return Ok(reply);
            }
            assert_eq!(reply.xid, -1, "only events come between");
        }
    }

    pub fn must(&mut self, op: i32, body: &Out) -> Reply {
        let reply = self.call(op, body).unwrap();
        assert_eq!(reply.err, 0, "operation {op}");
        reply
    }

    /// The zxid the server has applied.
    pub fn ping(&mut self) -> io::Result<i64> {
        self.stream.write_all(&request(-2, op::PING, &Out::new()))?;
        loop {
            let reply = self.reply()?;
            if reply.xid == -2 {
                return Ok(reply.zxid);
            }
        }
    }

    /// Reads to the end of the stream; an error when it does not come.
    pub fn drain(&mut self) -> io::Result<Vec<u8>> {
        drain(&mut self.stream)
    }
}

pub fn request(xid: i32, op: i32, body: &Out) -> Vec<u8> {
    let mut bytes = Out::new().int(xid).int(op).0;
    bytes.extend(&body.0);
    framed(&bytes)
}

pub fn drain(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(rest),
        done => done.map(|_| rest),
    }
}

pub fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(head)).unwrap()];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

pub fn parse(frame: &[u8]) -> Reply {
    Reply {
        xid: i32::from_be_bytes(frame[..4].try_into().unwrap()),
        zxid: i64::from_be_bytes(frame[4..12].try_into().unwrap()),
        err: i32::from_be_bytes(frame[12..16].try_into().unwrap()),
        body: frame[16..].to_vec(),
    }
}

/// What a four-letter word answers.
pub fn word(address: SocketAddr, word: &str) -> String {
    let mut stream = dial(address);
    stream.write_all(word.as_bytes()).unwrap();
    let _ = stream.shutdown(Shutdown::Write);
    String::from_utf8(drain(&mut stream).unwrap()).unwrap()
}

/// Settings of a server on a free port of the loopback address. `words`: ticks first if wanted, then `-D` words.
pub fn settings(dir: &Path, tick_ms: u32, words: &[&str]) -> Settings {
    let tick = tick_ms.to_string();
    let mut all = vec!["0", dir.to_str().unwrap(), &tick];
    let address = [
        "-Dzookeeper.clientPortAddress=127.0.0.1",
        "-Dzookeeper.preAllocSize=64",
        "-Dzookeeper.4lw.commands.whitelist=*",
    ];
    all.extend(address);
    all.extend(words);
    let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
    config::load(&all, JvmVariables::default())
        .unwrap()
        .settings
}

pub fn server(dir: &Path, tick_ms: u32, words: &[&str]) -> (Server, SocketAddr) {
    capture_log();
    let server = Server::start(settings(dir, tick_ms, words)).unwrap();
    let address = server.client_address().unwrap();
    (server, address)
}

/// Polls until `done` gives something.
pub fn await_some<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn await_true(what: &str, mut done: impl FnMut() -> bool) {
    await_some(what, || done().then_some(()));
}

static LOG: OnceLock<Arc<Mutex<String>>> = OnceLock::new();

#[derive(Clone)]
struct LogSink(Arc<Mutex<String>>);

impl Write for LogSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap()
            .push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn capture_log() {
    LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(String::new()));
        let sink = LogSink(Arc::clone(&log));
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .with_writer(move || sink.clone())
            .init();
        log
    });
}

/// Waits for a line of the log that holds all of `parts`.
pub fn logged(parts: &[&str]) -> String {
    let log = LOG.get().unwrap();
    await_some(&format!("log line with {parts:?}"), || {
        let log = log.lock().unwrap();
        let found = log
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        found.map(str::to_owned)
    })
}
