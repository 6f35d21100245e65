//! A line between clients and one server, which a test cuts, mutes, or lets be late.
//!
//! What clients say is passed on frame by frame, so that one request can be told from another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use rookeeper_client::OpCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::soon;

/// The xid of a request that is delivered late: no client uses it.
const LATE: i32 = 0x7fff_0000;

/// What a line does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Both,
    /// What the client says arrives; what the server says does not.
    RequestsOnly,
    /// What the server says arrives; what the client says does not.
    RepliesOnly,
    /// Nothing arrives, and nobody learns of it.
    Nothing,
    /// Connections are refused.
    Cut,
}

/// What a line does when it next sees a request of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trap {
    /// Passes it on, and swallows what the server says from then on.
    Mute(OpCode),
    /// Keeps it, and swallows everything from then on.
    Keep(OpCode),
}

/// A request that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Nothing,
    Here(Vec<u8>),
    /// To be sent on the connection that stands.
    Going(Vec<u8>),
    Sent,
    /// With the code that the server has answered.
    Answered(i32),
}

/// What all connections of a line share.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    flow: AtomicU8,
    trap: Mutex<Option<Trap>>,
    kept: watch::Sender<Kept>,
    requests: watch::Sender<Vec<OpCode>>,
}

/// A line between clients and one server.
pub struct Wire {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// Counts cuts: every connection of before ends.
    cuts: watch::Sender<u64>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, seen) = watch::channel(0);
        let shared = Arc::new(Shared {
            server,
            flow: AtomicU8::new(Flow::Both as u8),
            trap: Mutex::new(None),
            kept: watch::Sender::new(Kept::Nothing),
            requests: watch::Sender::new(Vec::new()),
        });
        let line = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !line.is(Flow::Cut) {
                    tokio::spawn(carry(client, Arc::clone(&line), seen.clone()));
                }
            }
        });
        Self {
            address,
            shared,
            cuts,
        }
    }

    /// What clients have asked since this was called last, without greetings and pings.
    pub fn requests(&self) -> Vec<OpCode> {
        self.shared.requests.send_replace(Vec::new())
    }

    /// Waits until they have asked so often.
    pub async fn asked(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        soon(requests.wait_for(|requests| requests.len() >= count))
            .await
            .unwrap();
    }

    /// Requests arrive, answers do not: what a caller asks now happens, and the caller does not learn of it.
    pub fn swallow_replies(&self) {
        self.shared.set(Flow::RequestsOnly);
    }

    /// The same, from the next request of this kind on.
    pub fn swallow_replies_from(&self, op: OpCode) {
        *self.shared.trap.lock() = Some(Trap::Mute(op));
    }

    /// Answers and events arrive, requests do not.
    pub fn swallow_requests(&self) {
        self.shared.set(Flow::RepliesOnly);
    }

    /// Nothing arrives any more, and nobody is told.
    pub fn hold(&self) {
        self.shared.set(Flow::Nothing);
    }

    /// Keeps the next request of this kind, and swallows everything from then on.
    pub fn keep(&self, op: OpCode) {
        *self.shared.trap.lock() = Some(Trap::Keep(op));
    }

    /// Waits until a request was kept.
    pub async fn kept(&self) {
        let mut kept = self.shared.kept.subscribe();
        let here = |kept: &Kept| matches!(kept, Kept::Here(_));
        soon(kept.wait_for(here)).await.unwrap();
    }

    /// Delivers what was kept, as a request of the session that has asked for it; the code of the answer comes back. Some servers
    /// execute what a connection has left behind although its session has gone on to another one.
    pub async fn deliver(&self) -> i32 {
        self.shared.kept.send_modify(|kept| {
            let Kept::Here(frame) = std::mem::replace(kept, Kept::Nothing) else {
                panic!("nothing was kept");
            };
            *kept = Kept::Going(frame);
        });
        let mut kept = self.shared.kept.subscribe();
        let answered = |kept: &Kept| matches!(kept, Kept::Answered(_));
        match &*soon(kept.wait_for(answered)).await.unwrap() {
            Kept::Answered(code) => *code,
            other => panic!("{other:?}"),
        }
    }

    /// Ends all connections; new ones are refused until [`Wire::mend`].
    pub fn cut(&self) {
        self.shared.set(Flow::Cut);
        self.drop_connections();
    }

    /// Ends all connections; new ones are possible at once, and carry everything.
    pub fn break_once(&self) {
        self.shared.set(Flow::Both);
        self.drop_connections();
    }

    fn drop_connections(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections are possible again, and carry everything.
    pub fn mend(&self) {
        self.shared.set(Flow::Both);
    }
}

impl Shared {
    fn set(&self, flow: Flow) {
        self.flow.store(flow as u8, Ordering::SeqCst);
    }

    fn is(&self, flow: Flow) -> bool {
        self.flow.load(Ordering::SeqCst) == flow as u8
    }

    /// True if the frame goes on to the server.
    fn hear(&self, frame: &[u8], is_greeting: bool) -> bool {
        if !is_greeting {
            let op = i32::from_be_bytes(frame[8..12].try_into().unwrap());
            if let Some(op) = OpCode::from_i32(op).filter(|op| *op != OpCode::Ping) {
                self.requests.send_modify(|heard| heard.push(op));
                self.spring(op, frame);
            }
        }
        self.is(Flow::Both) || self.is(Flow::RequestsOnly)
    }

    fn spring(&self, op: OpCode, frame: &[u8]) {
        let mut trap = self.trap.lock();
        match *trap {
            Some(Trap::Mute(awaited)) if awaited == op => self.set(Flow::RequestsOnly),
            Some(Trap::Keep(awaited)) if awaited == op => {
                let mut frame = frame.to_vec();
                frame[4..8].copy_from_slice(&LATE.to_be_bytes());
                self.set(Flow::Nothing);
                self.kept.send_replace(Kept::Here(frame));
            }
            _ => return,
        }
        *trap = None;
    }

    /// True if the frame goes on to the client.
    fn answer(&self, frame: &[u8]) -> bool {
        if frame[4..8] == LATE.to_be_bytes() {
            let code = i32::from_be_bytes(frame[16..20].try_into().unwrap());
            self.kept.send_replace(Kept::Answered(code));
            return false;
        }
        self.is(Flow::Both) || self.is(Flow::RepliesOnly)
    }

    /// Waits for a request that is late.
    async fn late(&self) -> Vec<u8> {
        let mut kept = self.kept.subscribe();
        loop {
            let mut late = None;
            kept.wait_for(|kept| matches!(kept, Kept::Going(_)))
                .await
                .unwrap();
            self.kept.send_if_modified(|kept| match kept {
                Kept::Going(frame) => {
                    late = Some(std::mem::take(frame));
                    *kept = Kept::Sent;
                    true
                }
                _ => false,
            });
            if let Some(late) = late {
                return late;
            }
        }
    }
}

/// Cuts a stream into frames, each with its length before it.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// The next whole frame, if there is one.
    fn next(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        (rest.len() >= length).then(|| self.0.drain(..4 + length).collect())
    }
}

async fn carry(mut client: TcpStream, line: Arc<Shared>, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(line.server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        let (mut bytes, mut frames, mut greeted) = ([0; 16_384], Frames::default(), false);
        loop {
            let frame = tokio::select! {
                late = line.late() => Some(late),
                read = from_client.read(&mut bytes) => {
                    let Ok(read @ 1..) = read else { return };
                    frames.0.extend_from_slice(&bytes[..read]);
                    None
                }
            };
            let mut going = frame.unwrap_or_default();
            while let Some(frame) = frames.next() {
                if line.hear(&frame, !std::mem::replace(&mut greeted, true)) {
                    going.extend_from_slice(&frame);
                }
            }
            if to_server.write_all(&going).await.is_err() {
                return;
            }
        }
    };
    let replies = async {
        let (mut bytes, mut frames) = ([0; 16_384], Frames::default());
        while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
            frames.0.extend_from_slice(&bytes[..read]);
            let mut going = Vec::new();
            while let Some(frame) = frames.next() {
                if line.answer(&frame) {
                    going.extend_from_slice(&frame);
                }
            }
            if to_client.write_all(&going).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
        _ = cuts.changed() => {}
    }
}
