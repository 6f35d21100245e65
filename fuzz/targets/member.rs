//! A whole standalone server without sockets and disk: three connections send any frames, in any order, between ticks, syncs and
//! full disks.
//!
//! Holds: nothing panics; every frame to a client is whole; every reply answers a write; what is appended can be decoded and has the
//! next zxid; the tree has the digest that each transaction promised; a tree that replays the log has the same digest, and so has
//! one that loads the image.
#![no_main]

use std::cell::RefCell;
use std::ops::DerefMut;

use bytes::Bytes;
use fuzz_frames::Frames;
use libfuzzer_sys::fuzz_target;
use rookeeper_node::conversation::Conversation;
use rookeeper_node::delivery::{self, Deliveries, Delivery};
use rookeeper_node::effect::{Committed, Effect};
use rookeeper_node::input::{ConnId, Input, Now};
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reads::{View, WatchGate};
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_node::standalone::Standalone;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_proto::txn::Record;
use rookeeper_tree::auth::AuthConfig;
use rookeeper_tree::image;
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::{Tree, TreeOptions};
use rookeeper_tree::watches::{WatchTable, WatcherId};

/// Connections at a time.
const CONNECTIONS: usize = 3;
/// The first byte of a piece from which on it is no frame.
const FIRST_DEED: u8 = 0xf0;
/// ms a tick moves time, per unit of the deed's argument.
const TICK_STEP_MS: i64 = 100;
/// Bytes of replies served at once.
const BUDGET: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for piece in Frames(data) {
        let Some((kind, rest)) = piece.split_first() else {
            continue;
        };
        world.step(*kind, rest);
    }
    world.sync();
    world.check();
});

struct Gate(RefCell<WatchTable>);

impl WatchGate for Gate {
    fn open(&self) -> impl DerefMut<Target = WatchTable> {
        self.0.borrow_mut()
    }
}

struct World {
    now: Now,
    tree: Tree,
    watches: Gate,
    auth: AuthConfig,
    member: Standalone,
    conversations: Vec<Conversation>,
    next_conn: u32,
    effects: Vec<Effect>,
    records: Vec<Bytes>,
    appended: Zxid,
    disk_full: bool,
}

fn options() -> TreeOptions {
    TreeOptions {
        extended_types: true,
        hash_seed: 1,
        max_images: None,
    }
}

fn config() -> ProposerConfig {
    ProposerConfig {
        server: rookeeper_proto::ids::ServerId::STANDALONE,
        tick_ms: 2000,
        tick_interval_ms: 1000,
        timeouts: TimeoutBounds {
            min_ms: 4000,
            max_ms: 40_000,
        },
        rules: Rules {
            extended_types: true,
            enforce_quota: true,
            ..Rules::default()
        },
        reaper: ReaperConfig {
            check_interval_ms: 1000,
            ..ReaperConfig::default()
        },
        hash_seed: 1,
    }
}

impl World {
    fn new() -> Self {
        let now = Now {
            mono: 1000,
            wall: 1_700_000_000_000,
        };
        let tree = Tree::new(options());
        let mut world = Self {
            now,
            member: Standalone::new(config(), &tree, now),
            appended: tree.last_zxid(),
            tree,
            watches: Gate(RefCell::new(WatchTable::new(1))),
            auth: AuthConfig::default(),
            conversations: Vec::new(),
            next_conn: 1,
            effects: Vec::new(),
            records: Vec::new(),
            disk_full: false,
        };
        for _ in 0..CONNECTIONS {
            let fresh = world.fresh();
            world.conversations.push(fresh);
        }
        world
    }

    fn fresh(&mut self) -> Conversation {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        Conversation::new(conn, "127.0.0.1".to_owned())
    }

    fn step(&mut self, kind: u8, rest: &[u8]) {
        match kind {
            FIRST_DEED => self.tick(i64::from(rest.first().copied().unwrap_or(10))),
            0xf1 => self.sync(),
            0xf2 => self.hang_up(usize::from(rest.first().copied().unwrap_or(0)) % CONNECTIONS),
            0xf3 => {
                self.disk_full = !self.disk_full;
                self.tell(Input::DiskFull(self.disk_full));
            }
            // An odd kind leaves the writes in flight.
            _ => {
                self.frame(usize::from(kind >> 1) % CONNECTIONS, rest);
                if kind % 2 == 0 {
                    self.sync();
                }
            }
        }
    }

    fn tell(&mut self, input: Input) {
        self.member
            .handle(&self.tree, self.now, input, &mut self.effects);
        self.perform();
    }

    fn tick(&mut self, units: i64) {
        self.now.mono += units * TICK_STEP_MS;
        self.now.wall += units * TICK_STEP_MS;
        self.tell(Input::Tick);
    }

    fn sync(&mut self) {
        self.tell(Input::Synced(self.appended));
        (0..CONNECTIONS).for_each(|at| self.turn(at));
        // Reads may have let further writes pass.
        self.tell(Input::Synced(self.appended));
    }

    fn frame(&mut self, at: usize, frame: &[u8]) {
        let mut out = Vec::new();
        let frame = Bytes::copy_from_slice(frame);
        let taken = self.conversations[at].receive(&self.auth, self.now.mono, frame, &mut out);
        whole_frames(&out);
        match taken {
            Ok(None) => {}
            Ok(Some(input)) => self.tell(input),
            Err(_) => return self.hang_up(at),
        }
        self.turn(at);
    }

    /// What a connection does after it received something.
    fn turn(&mut self, at: usize) {
        let mut inputs = Vec::new();
        self.conversations[at].submit_writes(&mut inputs);
        inputs.into_iter().for_each(|input| self.tell(input));
        let mut out = Vec::new();
        let view = View {
            tree: &self.tree,
            watches: &self.watches,
            auth: &self.auth,
        };
        let served =
            self.conversations[at].serve_reads(&view, (usize::MAX, BUDGET), &mut out, |_| {});
        whole_frames(&out);
        if served.is_err() {
            self.hang_up(at);
        }
    }

    fn hang_up(&mut self, at: usize) {
        let conn = self.conversations[at].conn();
        self.conversations[at] = self.fresh();
        self.watches.open().remove_watcher(WatcherId(conn.0));
        self.tell(Input::Disconnected(conn));
    }

    fn place_of(&self, conn: ConnId) -> Option<usize> {
        self.conversations.iter().position(|c| c.conn() == conn)
    }

    fn perform(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        for effect in effects {
            match effect {
                Effect::Append { zxid, record } => self.append(zxid, record),
                Effect::Apply(committed) => self.apply(&committed),
                Effect::Connected { conn, response, .. } => self.connected(conn, &response),
                Effect::Refuse { to, .. } => self.answered(to.conn, 1 + to.behind.len()),
                Effect::Close { conn, .. } => {
                    if let Some(at) = self.place_of(conn) {
                        self.hang_up(at);
                    }
                }
                Effect::Answer { conn, reads, .. } => self.answered(conn, reads.len()),
                Effect::Notice(_) => {}
            }
        }
    }

    fn append(&mut self, zxid: Zxid, record: Bytes) {
        assert!(
            !self.disk_full,
            "something was judged while the disk is full"
        );
        assert_eq!(zxid, self.appended.next(), "a hole in the order");
        let decoded = Record::decode(&record).expect("what we append can be read");
        assert_eq!(decoded.header.zxid, zxid);
        self.appended = zxid;
        self.records.push(record);
    }

    fn apply(&mut self, committed: &Committed) {
        let mut deliveries = Deliveries::default();
        let mut watches = self.watches.0.borrow_mut();
        let same = delivery::commit(
            committed,
            &mut self.tree,
            &mut watches,
            &self.auth,
            &mut deliveries,
        );
        drop(watches);
        assert!(same, "the digest is not the promised one: {committed:?}");
        whole_frames(&deliveries.bytes);
        for delivery in &deliveries.list {
            if let Delivery::Reply { conn, count, .. } = delivery {
                self.answered(*conn, *count);
            }
        }
    }

    fn answered(&mut self, conn: ConnId, count: usize) {
        let Some(at) = self.place_of(conn) else {
            return;
        };
        assert!(
            self.conversations[at].in_flight() >= count,
            "an answer to nothing"
        );
        self.conversations[at].completed(count, |_| {});
    }

    fn connected(&mut self, conn: ConnId, response: &rookeeper_proto::response::ConnectResponse) {
        use rookeeper_proto::response::ConnectResponse;
        let Some(at) = self.place_of(conn) else {
            return;
        };
        match response {
            ConnectResponse::Accepted { session, .. } => self.conversations[at].open(*session),
            ConnectResponse::Refused => self.hang_up(at),
        }
    }

    /// The tree again, from the log and from the image.
    fn check(mut self) {
        assert_eq!(self.member.in_flight(), 0, "everything was synced");
        let mut replayed = Tree::new(options());
        for record in &self.records {
            let record = Record::decode(record).expect("what we append can be read");
            replayed.apply(&record.header, &record.txn, &mut Vec::new());
        }
        assert_eq!(replayed.digest(), self.tree.digest(), "replay");
        let mut bytes = Vec::new();
        let mut writer = self.tree.open_image().expect("few images are open");
        while writer.next_chunk(&self.tree, BUDGET, &mut bytes) {}
        drop(writer);
        self.tree.close_images();
        let mut source = Slice(&bytes);
        let loaded = image::load(&mut source, self.tree.last_zxid(), 0, options());
        let loaded = loaded.expect("our own image loads");
        assert_eq!(loaded.digest(), self.tree.digest(), "image");
        assert!(loaded.sessions().eq(self.tree.sessions()), "sessions");
    }
}

/// Every length is followed by so many bytes, to the end.
fn whole_frames(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>().expect("a whole length");
        let len = usize::try_from(i32::from_be_bytes(*len)).expect("a length above zero");
        bytes = rest.get(len..).expect("a whole frame");
    }
}

struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        let (taken, left) = self.0.split_at_checked(n).ok_or_else(ended)?;
        self.0 = left;
        Ok(taken)
    }
}

fn ended() -> SourceError {
    SourceError("the image ended".into())
}
