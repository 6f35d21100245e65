//! A server on a stage: the member, its tree, its watches and conversations, with virtual time and a disk that answers on command.
//! Effects are performed as the driver of the real server performs them.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::expect_used,
    reason = "a test may fail this way, also outside of test functions"
)]

pub(crate) mod ask;
pub(crate) mod show;

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::DerefMut;
use std::sync::Arc;

use bytes::Bytes;
use rookeeper_node::conversation::{Conversation, Fault};
use rookeeper_node::delivery::{self, Deliveries, Delivery};
use rookeeper_node::effect::{Effect, Notice};
use rookeeper_node::input::{ConnId, Input, Now, ReadBehind, WriteRequest};
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reads::{View, WatchGate};
use rookeeper_node::standalone::Standalone;
use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{SessionId, Xid, Zxid};
use rookeeper_proto::request::{Create, Write};
use rookeeper_proto::response::{self, ConnectResponse};
use rookeeper_proto::txn::Record;
use rookeeper_tree::auth::Identities;
use rookeeper_tree::tree::{Tree, TreeOptions};
use rookeeper_tree::watches::{WatchTable, WatcherId};

/// The clock that clients see, at the start, ms.
const WALL: i64 = 1_000_000;
/// Room for replies of one turn.
const BOUNDS: (usize, usize) = (usize::MAX, 1 << 20);

/// The table of watches behind the gate that reads use.
#[derive(Debug)]
struct Gate(RefCell<WatchTable>);

impl WatchGate for Gate {
    fn open(&self) -> impl DerefMut<Target = WatchTable> {
        let table: RefMut<'_, WatchTable> = self.0.borrow_mut();
        table
    }
}

/// What the driver has for a connection.
#[derive(Debug, Default)]
struct Mail {
    bytes: Vec<u8>,
    answered: usize,
    opened: Option<SessionId>,
    ending: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Client {
    conversation: Conversation,
    mail: Mail,
    identities: Arc<Identities>,
    heard: i64,
    closed: bool,
    /// Its session, also when it is closed.
    was: SessionId,
    /// Operations by xid, to read the replies.
    pub(crate) asked: BTreeMap<i32, i32>,
    pub(crate) next_xid: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskMode {
    /// Everything appended is durable at once.
    Prompt,
    /// Only when told.
    Held,
}

#[derive(Debug)]
pub(crate) struct Stage {
    config: ProposerConfig,
    pub(crate) member: Standalone,
    pub(crate) tree: Tree,
    gate: Gate,
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) disk: DiskMode,
    /// Frames are taken, but no connection has its turn: what comes until then comes at once.
    pub(crate) corked: bool,
    appended: Option<Zxid>,
    pub(crate) show_log: bool,
    pub(crate) mono: i64,
    /// Sessions in order of appearance.
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) output: String,
}

impl Stage {
    pub(crate) fn new(config: ProposerConfig) -> Self {
        let options = TreeOptions {
            extended_types: config.rules.extended_types,
            hash_seed: 5,
            max_images: None,
        };
        let tree = Tree::new(options);
        let now = Now {
            mono: 0,
            wall: WALL,
        };
        Self {
            member: Standalone::new(config.clone(), &tree, now),
            config,
            tree,
            gate: Gate(RefCell::new(WatchTable::new(0))),
            clients: BTreeMap::new(),
            disk: DiskMode::Prompt,
            corked: false,
            appended: None,
            show_log: false,
            mono: 0,
            sessions: Vec::new(),
            output: String::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.mono,
            wall: WALL + self.mono,
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
    }

    // The clients' side.

    /// A new connection under this name.
    pub(crate) fn open(&mut self, name: &str) {
        let number = self.clients.len() as u32 + 1;
        let mut conversation = Conversation::new(ConnId(number), "127.0.0.1".into());
        conversation.order_syncs();
        let identities = Arc::clone(conversation.identities());
        let client = Client {
            conversation,
            mail: Mail::default(),
            identities,
            heard: self.mono,
            closed: false,
            was: SessionId::NONE,
            asked: BTreeMap::new(),
            next_xid: 1,
        };
        self.clients.insert(name.into(), client);
    }

    /// A frame of a client reaches the server.
    pub(crate) fn frame(&mut self, name: &str, frame: Vec<u8>) {
        let auth = self.config.rules.auth.clone();
        let mono = self.mono;
        let Some(client) = self.clients.get_mut(name).filter(|client| !client.closed) else {
            self.say(&format!("{name} is closed"));
            return;
        };
        client.heard = mono;
        let mut out = Vec::new();
        let taken = client
            .conversation
            .receive(&auth, mono, Bytes::from(frame), &mut out);
        client.identities = Arc::clone(client.conversation.identities());
        self.show_frames(name, &out);
        match taken {
            Ok(None) => {}
            Ok(Some(input)) => self.input(input),
            Err(fault) => self.fault(name, &fault),
        }
        self.settle();
    }

    /// A create that the connection handed in before it was closed, and that reaches the member only now.
    pub(crate) fn late_create(&mut self, name: &str, path: &str) {
        let Some(client) = self.clients.get(name) else {
            return;
        };
        let create = Create {
            op: OpCode::Create,
            path: Some(path.into()),
            data: None,
            acl: Some(Acl::open().into_iter().map(Into::into).collect()),
            flags: 0,
            ttl: 0,
        };
        let request = WriteRequest {
            conn: client.conversation.conn(),
            session: client.was,
            xid: Xid(99),
            write: Write::Create(create),
            identities: Arc::clone(&client.identities),
            op: OpCode::Create.code(),
            body: Bytes::new(),
            behind: Vec::new(),
        };
        self.input(Input::Write(request));
        self.settle();
    }

    /// The client's socket is gone.
    pub(crate) fn hang_up(&mut self, name: &str) {
        self.leave(name);
        self.settle();
    }

    fn fault(&mut self, name: &str, fault: &Fault) {
        self.say(&format!("{name} closed: {fault}"));
        self.leave(name);
    }

    fn leave(&mut self, name: &str) {
        let Some(client) = self.clients.get_mut(name).filter(|client| !client.closed) else {
            return;
        };
        client.closed = true;
        client.conversation.deafen();
        let conn = client.conversation.conn();
        self.gate.0.borrow_mut().remove_watcher(WatcherId(conn.0));
        self.input(Input::Disconnected(conn));
    }

    /// Everybody does what there is to do, until nobody has anything.
    pub(crate) fn settle(&mut self) {
        while !self.corked {
            if self.disk == DiskMode::Prompt {
                self.sync();
            }
            let names: Vec<String> = self.clients.keys().cloned().collect();
            let busy = names
                .iter()
                .fold(false, |busy, name| self.turn(name) | busy);
            if !busy && (self.disk == DiskMode::Held || self.appended.is_none()) {
                return;
            }
        }
    }

    /// A connection's turn; true when it did something.
    fn turn(&mut self, name: &str) -> bool {
        let Some(client) = self.clients.get_mut(name).filter(|client| !client.closed) else {
            return false;
        };
        let mail = std::mem::take(&mut client.mail);
        client.conversation.completed(mail.answered, |_| {});
        if let Some(session) = mail.opened {
            client.conversation.open(session);
            client.was = session;
        }
        let mut submit = Vec::new();
        if mail.ending.is_none() {
            client.conversation.submit_writes(&mut submit);
        }
        let mut busy = !mail.bytes.is_empty() || mail.ending.is_some() || !submit.is_empty();
        self.show_frames(name, &mail.bytes);
        if let Some(why) = mail.ending {
            self.say(&format!("{name} closed: {why}"));
            self.leave(name);
            return true;
        }
        submit.into_iter().for_each(|input| self.input(input));
        busy |= self.serve_reads(name);
        busy
    }

    fn serve_reads(&mut self, name: &str) -> bool {
        let Some(client) = self.clients.get_mut(name) else {
            return false;
        };
        // Mail first: an event precedes what shows its change.
        if !client.mail.bytes.is_empty() || !client.conversation.wants_to_read() {
            return false;
        }
        let view = View {
            tree: &self.tree,
            watches: &self.gate,
            auth: &self.config.rules.auth,
        };
        let mut out = Vec::new();
        let served = client
            .conversation
            .serve_reads(&view, BOUNDS, &mut out, |_| {});
        self.show_frames(name, &out);
        if let Err(fault) = served {
            self.fault(name, &fault);
        }
        true
    }

    // The driver's side.

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.member
            .handle(&self.tree, self.now(), input, &mut effects);
        effects.into_iter().for_each(|effect| self.perform(effect));
    }

    pub(crate) fn disk_full(&mut self, full: bool) {
        self.input(Input::DiskFull(full));
        self.settle();
    }

    /// The disk has everything.
    pub(crate) fn sync(&mut self) {
        if let Some(zxid) = self.appended.take() {
            self.input(Input::Synced(zxid));
        }
    }

    pub(crate) fn tick(&mut self) {
        let heard = self.clients.values().filter(|client| !client.closed);
        let heard = heard
            .filter_map(|client| Some((client.conversation.session()?, client.heard)))
            .collect();
        self.input(Input::Heard(heard));
        self.input(Input::Tick);
        self.settle();
    }

    /// Time passes as it should, with all its ticks.
    pub(crate) fn pass(&mut self, ms: i64) {
        let (end, interval) = (self.mono + ms, self.config.tick_interval_ms);
        loop {
            let next = (self.mono / interval + 1) * interval;
            if next > end {
                break;
            }
            self.mono = next;
            self.tick();
        }
        self.mono = end;
    }

    /// Reads whose turn has come, behind `frames`, which answer `answered` requests.
    fn answer(
        &mut self,
        (session, conn): (SessionId, ConnId),
        reads: &[ReadBehind],
        mut frames: Vec<u8>,
        answered: usize,
    ) {
        let view = View {
            tree: &self.tree,
            watches: &self.gate,
            auth: &self.config.rules.auth,
        };
        delivery::serve_reads(&view, (session, conn), reads, &mut frames);
        if let Some(client) = self.client(conn) {
            client.mail.bytes.extend(frames);
            client.mail.answered += answered + reads.len();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Append { zxid, record } => {
                assert!(
                    self.appended.is_none_or(|last| last.next() == zxid),
                    "a gap before {zxid}"
                );
                self.appended = Some(zxid);
                if self.show_log {
                    let record = Record::decode(&record).expect("a record that can be read back");
                    let line = self.log_line(&record);
                    self.say(&line);
                }
            }
            Effect::Apply(committed) => {
                let mut deliveries = Deliveries::default();
                let promised = delivery::commit(
                    &committed,
                    &mut self.tree,
                    &mut self.gate.0.borrow_mut(),
                    &self.config.rules.auth,
                    &mut deliveries,
                );
                assert!(
                    promised,
                    "the tree has another digest than {:?} promised",
                    committed.prepared.txn
                );
                self.deliver(&deliveries);
            }
            Effect::Connected {
                conn,
                response,
                read_only,
            } => {
                if let ConnectResponse::Accepted { session, .. } = response {
                    self.note_session(session);
                }
                let Some(client) = self.client(conn) else {
                    return;
                };
                response.encode(read_only, &mut client.mail.bytes);
                match response {
                    ConnectResponse::Accepted { session, .. } => client.mail.opened = Some(session),
                    ConnectResponse::Refused => client.mail.ending = Some("refused".into()),
                }
            }
            Effect::Refuse {
                to,
                session,
                zxid,
                code,
            } => {
                let mut frames = Vec::new();
                response::reply_header(&mut frames, to.xid, zxid, code);
                self.answer((session, to.conn), &to.behind, frames, 1);
            }
            Effect::Answer {
                conn,
                session,
                reads,
            } => self.answer((session, conn), &reads, Vec::new(), 0),
            Effect::Close { conn, why } => {
                let why = self.close_reason(why);
                let Some(client) = self.client(conn) else {
                    return;
                };
                client.mail.ending.get_or_insert(why);
            }
            Effect::Notice(Notice::Expiring {
                session,
                timeout_ms,
            }) => {
                let line = format!(
                    "notice: {} expires, timeout {timeout_ms}",
                    self.session_name(session)
                );
                self.say(&line);
            }
            Effect::Notice(Notice::Stalled { ms }) => {
                self.say(&format!("notice: stood still for {ms} ms"))
            }
            Effect::Notice(Notice::OverSoftQuota { path }) => {
                self.say(&format!("notice: {path} is beyond its soft quota"))
            }
        }
    }

    fn deliver(&mut self, deliveries: &Deliveries) {
        let auth = self.config.rules.auth.clone();
        for delivery in &deliveries.list {
            match delivery {
                Delivery::Reply {
                    frames,
                    count,
                    conn,
                    ..
                } => {
                    let Some(client) = self.client(*conn) else {
                        continue;
                    };
                    client
                        .mail
                        .bytes
                        .extend_from_slice(&deliveries.bytes[frames.clone()]);
                    client.mail.answered += count;
                }
                Delivery::Event {
                    frame,
                    watchers,
                    readers,
                } => {
                    for watcher in watchers {
                        let Some(client) = self.client(ConnId(watcher.0)) else {
                            continue;
                        };
                        if delivery::may_hear(&auth, readers.as_deref(), &client.identities) {
                            client
                                .mail
                                .bytes
                                .extend_from_slice(&deliveries.bytes[frame.clone()]);
                        }
                    }
                }
            }
        }
    }

    fn client(&mut self, conn: ConnId) -> Option<&mut Client> {
        let mut open = self.clients.values_mut().filter(|client| !client.closed);
        open.find(|client| client.conversation.conn() == conn)
    }

    fn note_session(&mut self, session: SessionId) {
        if !self.sessions.contains(&session) {
            self.sessions.push(session);
        }
    }

    pub(crate) fn show_sessions(&mut self) {
        let mut line = String::new();
        for (end, who) in self.member.sessions().buckets() {
            for session in who {
                let _ = writeln!(line, "{} ends at {end}", self.session_name(session));
            }
        }
        self.output.push_str(&line);
    }
}
