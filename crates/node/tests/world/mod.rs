//! Several members in one process: their disks, the ways between them, and virtual time. Effects are performed as a driver performs
//! them; every way keeps its order.
#![allow(dead_code, reason = "each test uses its own part")]
#![allow(
    clippy::expect_used,
    reason = "a test may fail this way, also outside of test functions"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rookeeper_node::delivery::{self, Deliveries, Delivery};
use rookeeper_node::effect::Effect;
use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_node::ensemble::holding_back::ObserverWaits;
use rookeeper_node::ensemble::{Member, MemberConfig, Standing};
use rookeeper_node::input::{ConnId, Input, Now, ReadBehind, SyncRequest, WriteRequest};
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_proto::ballot::PeerState;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{ServerId, SessionId, Xid, Zxid};
use rookeeper_proto::jute::{Reader, Writer};
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_proto::password;
use rookeeper_proto::request::{self, ConnectRequest, Request, RequestHeader, Write};
use rookeeper_proto::response::ConnectResponse;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_proto::txn::Record;
use rookeeper_quorum::committed::{CommittedWindow, DEFAULT_COUNT, Entry};
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::epoch::LAST_COUNTER;
use rookeeper_quorum::leader::effect::LearnerFault;
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::membership::{Membership, Role};
use rookeeper_quorum::progress::LearnerId;
use rookeeper_tree::auth::{AuthConfig, Identities};
use rookeeper_tree::image;
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::{Tree, TreeOptions};
use rookeeper_tree::watches::WatchTable;

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: false,
    hash_seed: 3,
    max_images: None,
};
/// ms between two ticks of the world.
const STEP: i64 = 10;
/// A tick, ms.
const TICK: i64 = 200;
/// How long a learner tries to reach its leader, ms.
const CONNECT_PATIENCE: i64 = 600;

/// What survives a crash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    accepted: i64,
    current: i64,
    image: Option<(Zxid, Vec<u8>)>,
    log: Vec<Entry>,
}

pub(crate) struct Server {
    pub(crate) member: Member,
    pub(crate) tree: Tree,
    watches: WatchTable,
    inbox: VecDeque<MemberInput>,
    leads: bool,
    pub(crate) serves: bool,
    /// Learners connected to it, and whose they are.
    learners: BTreeMap<LearnerId, ServerId>,
    leader: Option<(ServerId, LearnerId)>,
    /// Where it wants to connect, and until when.
    joining: Option<(ServerId, i64)>,
    images: VecDeque<Vec<u8>>,
    /// Replies to its clients: connection, xid, error.
    pub(crate) replies: Vec<(u32, i32, i32)>,
    pub(crate) connected: BTreeMap<u32, ConnectResponse>,
    pub(crate) closed: BTreeSet<u32>,
    pub(crate) mismatches: usize,
    /// What it wants done from an append on that found the disk full. It hears nothing more until that is done, as a driver does.
    stopped_at: VecDeque<MemberEffect>,
}

pub(crate) struct World {
    pub(crate) running: BTreeMap<ServerId, Server>,
    pub(crate) disks: BTreeMap<ServerId, Disk>,
    /// Nothing passes between these, in either direction.
    pub(crate) cut: BTreeSet<(ServerId, ServerId)>,
    pub(crate) mono: i64,
    /// Logs that were cut.
    pub(crate) truncations: usize,
    /// The next state that a learner loads is the last thing it gets from that leader.
    pub(crate) break_behind_image: bool,
    /// What a leader hears as soon as it has sent a state.
    pub(crate) behind_image: VecDeque<MemberInput>,
    /// These know that they may miss something.
    pub(crate) incomplete: BTreeSet<ServerId>,
    /// What these log is not durable yet.
    pub(crate) stuck_disks: BTreeSet<ServerId>,
    /// Nothing fits on the disks of these.
    full_disks: BTreeSet<ServerId>,
    /// What clients allow to everybody at what they create: READ and whatever else.
    pub(crate) perms: i32,
    /// Where epochs end.
    pub(crate) last_counter: u32,
    /// Learners that a leader synchronizes at a time.
    pub(crate) sync_limits: SyncLimits,
    /// How long observers hold back.
    pub(crate) observer_waits: ObserverWaits,
    /// By how much the clocks went back, ms.
    pub(crate) clock_back: i64,
    /// Clients that connect to a member the moment it serves.
    pub(crate) waiting: BTreeMap<ServerId, u32>,
    /// What learners said, and who.
    pub(crate) said: Vec<(ServerId, FromLearner)>,
    /// Why leaders closed connections of learners.
    pub(crate) faults: Vec<LearnerFault>,
    next_learner: u64,
    membership: Membership,
    window: usize,
}

struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        let (head, tail) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| SourceError("the stream ends".into()))?;
        self.0 = tail;
        Ok(head)
    }
}

fn image_of(tree: &mut Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut image = tree.open_image().expect("no other image");
    while image.next_chunk(tree, 1 << 16, &mut bytes) {}
    drop(image);
    tree.close_images();
    bytes
}

/// Brings a transaction into a tree, for nobody in particular.
fn replay(tree: &mut Tree, entry: &Entry) {
    let record = Record::decode(&entry.txn).expect("a record that can be read back");
    tree.apply(&record.header, &record.txn, &mut Vec::new());
}

impl Disk {
    fn tree(&self) -> Tree {
        let mut tree = match &self.image {
            Some((zxid, bytes)) => {
                image::load(&mut Slice(bytes), *zxid, 0, OPTIONS).expect("our own image")
            }
            None => Tree::new(OPTIONS),
        };
        for entry in self
            .log
            .iter()
            .filter(|entry| entry.zxid > tree.last_zxid())
            .cloned()
            .collect::<Vec<_>>()
        {
            replay(&mut tree, &entry);
        }
        tree
    }

    fn window(&self, count: usize) -> CommittedWindow {
        let base = self.image.as_ref().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let mut window = CommittedWindow::new(base, count);
        for entry in &self.log {
            if window.push(entry.clone()).is_err() {
                window.reset(entry.zxid);
            }
        }
        window
    }
}

impl World {
    /// `voters` members with ids from 1 on, none of them running. A leader remembers `window` transactions.
    pub(crate) fn new(voters: i64, observers: i64, window: usize) -> Self {
        let role = |id| {
            if id <= voters {
                "participant"
            } else {
                "observer"
            }
        };
        let lines: Vec<String> = (1..=voters + observers)
            .map(|id| {
                format!(
                    "server.{id}=127.0.0.1:{}:{}:{}",
                    2000 + id,
                    3000 + id,
                    role(id)
                )
            })
            .collect();
        let text = format!("{}\nversion=0", lines.join("\n"));
        Self {
            running: BTreeMap::new(),
            disks: (1..=voters + observers)
                .map(|id| (ServerId(id), Disk::default()))
                .collect(),
            cut: BTreeSet::new(),
            mono: 0,
            truncations: 0,
            break_behind_image: false,
            behind_image: VecDeque::new(),
            incomplete: BTreeSet::new(),
            stuck_disks: BTreeSet::new(),
            full_disks: BTreeSet::new(),
            perms: 31,
            last_counter: LAST_COUNTER,
            sync_limits: SyncLimits::default(),
            observer_waits: ObserverWaits::default(),
            clock_back: 0,
            waiting: BTreeMap::new(),
            said: Vec::new(),
            faults: Vec::new(),
            next_learner: 0,
            membership: Membership::parse(&text).expect("a membership"),
            window,
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.mono,
            wall: 1_000_000 + self.mono - self.clock_back,
        }
    }

    pub(crate) fn start(&mut self, id: i64) {
        let me = ServerId(id);
        let disk = self.disks.entry(me).or_default().clone();
        let tree = disk.tree();
        let config = MemberConfig {
            vocation: Role::Participant,
            membership: self.membership.clone(),
            pace: Pace::default(),
            init_limit: 10,
            sync_limit: 5,
            force_snapshot: false,
            sync_limits: self.sync_limits,
            observer_waits: self.observer_waits,
            last_counter: self.last_counter,
            proposer: ProposerConfig {
                server: me,
                tick_ms: TICK,
                tick_interval_ms: STEP,
                timeouts: TimeoutBounds {
                    min_ms: 2 * TICK as i32,
                    max_ms: 20 * TICK as i32,
                },
                rules: Rules::default(),
                reaper: ReaperConfig::default(),
                hash_seed: 3,
            },
        };
        let standing = Standing {
            accepted: disk.accepted,
            current: disk.current,
            window: disk.window(self.window),
            incomplete: self.incomplete.contains(&me),
        };
        let mut effects = Vec::new();
        let member = Member::start(config, standing, self.now(), &mut effects);
        let server = Server {
            member,
            tree,
            watches: WatchTable::new(0),
            inbox: VecDeque::new(),
            leads: false,
            serves: false,
            learners: BTreeMap::new(),
            leader: None,
            joining: None,
            images: VecDeque::new(),
            replies: Vec::new(),
            connected: BTreeMap::new(),
            closed: BTreeSet::new(),
            mismatches: 0,
            stopped_at: VecDeque::new(),
        };
        self.running.insert(me, server);
        for other in self.others(me) {
            self.tell(other, MemberInput::PeerConnected(me));
            self.tell(me, MemberInput::PeerConnected(other));
        }
        self.perform_all(me, effects.into());
    }

    /// The process dies; its disk stays, with everything that was synced.
    pub(crate) fn kill(&mut self, id: i64) {
        let me = ServerId(id);
        let Some(server) = self.running.remove(&me) else {
            return;
        };
        for (learner, other) in server.learners {
            self.lose_leader(other, learner);
        }
        if let Some((leader, learner)) = server.leader {
            self.lose_learner(leader, learner);
        }
        for other in self.others(me) {
            self.tell(other, MemberInput::PeerGone(me));
        }
    }

    fn others(&self, me: ServerId) -> Vec<ServerId> {
        let ids = self.running.keys().copied();
        ids.filter(|id| *id != me && self.passes(*id, me)).collect()
    }

    fn passes(&self, a: ServerId, b: ServerId) -> bool {
        !self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Nothing passes any more between two members, and what was connected breaks.
    pub(crate) fn part(&mut self, a: i64, b: i64) {
        let (a, b) = (ServerId(a.min(b)), ServerId(a.max(b)));
        self.cut.insert((a, b));
        for (me, other) in [(a, b), (b, a)] {
            self.tell(me, MemberInput::PeerGone(other));
            let link = self.running.get(&me).and_then(|server| server.leader);
            if let Some((leader, learner)) = link.filter(|(leader, _)| *leader == other) {
                self.lose_learner(leader, learner);
                self.lose_leader(me, learner);
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        for (a, b) in std::mem::take(&mut self.cut) {
            self.tell(a, MemberInput::PeerConnected(b));
            self.tell(b, MemberInput::PeerConnected(a));
        }
    }

    /// The connection of a learner breaks, and what was under way to it is lost.
    fn tear(&mut self, id: ServerId) {
        let server = self.server(id);
        server
            .inbox
            .retain(|input| !matches!(input, MemberInput::FromLeader(_)));
        if let Some((leader, learner)) = server.leader {
            self.lose_leader(id, learner);
            self.lose_learner(leader, learner);
        }
    }

    fn lose_leader(&mut self, id: ServerId, learner: LearnerId) {
        if let Some(server) = self.running.get_mut(&id)
            && server.leader.is_some_and(|(_, link)| link == learner)
        {
            server.leader = None;
            server.images.clear();
            server.inbox.push_back(MemberInput::LeaderGone);
        }
    }

    fn lose_learner(&mut self, id: ServerId, learner: LearnerId) {
        if let Some(server) = self.running.get_mut(&id)
            && server.learners.remove(&learner).is_some()
        {
            server.inbox.push_back(MemberInput::LearnerGone(learner));
        }
    }

    fn tell(&mut self, id: ServerId, input: MemberInput) {
        if let Some(server) = self.running.get_mut(&id) {
            server.inbox.push_back(input);
        }
    }

    // Running.

    /// Everybody does what there is to do, then time passes, until `ms` are over.
    pub(crate) fn run(&mut self, ms: i64) {
        let end = self.mono + ms;
        while self.mono < end {
            self.settle();
            self.mono += STEP;
            let ids: Vec<ServerId> = self.running.keys().copied().collect();
            for id in ids {
                self.connect_leader(id);
                self.tell(id, MemberInput::Local(Input::Tick));
            }
        }
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        loop {
            let ids: Vec<ServerId> = self.running.keys().copied().collect();
            let busy = ids.iter().fold(false, |busy, id| self.turn(*id) | busy);
            if !busy {
                return;
            }
        }
    }

    /// Hands a member the next thing that waits for it.
    pub(crate) fn turn(&mut self, id: ServerId) -> bool {
        let now = self.now();
        let Some(server) = self.running.get_mut(&id) else {
            return false;
        };
        if !server.stopped_at.is_empty() {
            return false;
        }
        let Some(input) = server.inbox.pop_front() else {
            return false;
        };
        let mut effects = Vec::new();
        server.member.handle(&server.tree, now, input, &mut effects);
        self.perform_all(id, effects.into());
        true
    }

    fn perform_all(&mut self, id: ServerId, mut effects: VecDeque<MemberEffect>) {
        let full = self.full_disks.contains(&id);
        while let Some(effect) = effects.pop_front() {
            if full && matches!(effect, MemberEffect::Local(Effect::Append { .. })) {
                effects.push_front(effect);
                self.server(id).stopped_at = effects;
                return;
            }
            self.perform(id, effect);
        }
    }

    /// A disk is done with everything up to here.
    pub(crate) fn is_durable(&mut self, id: i64, zxid: Zxid) {
        self.tell(ServerId(id), MemberInput::Local(Input::Synced(zxid)));
        self.settle();
    }

    /// Nothing more fits on a disk, and its member is told so.
    pub(crate) fn fill(&mut self, id: i64) {
        self.full_disks.insert(ServerId(id));
        self.tell(ServerId(id), MemberInput::Local(Input::DiskFull(true)));
        self.settle();
    }

    /// There is room again: what waited is done, and then the member is told.
    pub(crate) fn make_room(&mut self, id: i64) {
        let id = ServerId(id);
        self.full_disks.remove(&id);
        let waiting = std::mem::take(&mut self.server(id).stopped_at);
        self.perform_all(id, waiting);
        self.tell(id, MemberInput::Local(Input::DiskFull(false)));
        self.settle();
    }

    /// True while it waits for room on its disk.
    pub(crate) fn waits_for_room(&self, id: i64) -> bool {
        let server = self.running.get(&ServerId(id));
        server.is_some_and(|server| !server.stopped_at.is_empty())
    }

    fn connect_leader(&mut self, id: ServerId) {
        let Some((leader, until)) = self.running.get(&id).and_then(|server| server.joining) else {
            return;
        };
        let reaches =
            self.passes(id, leader) && self.running.get(&leader).is_some_and(|server| server.leads);
        let learner = LearnerId(self.next_learner);
        let over = self.mono > until;
        if reaches {
            self.next_learner += 1;
            if let Some(server) = self.running.get_mut(&leader) {
                server.learners.insert(learner, id);
            }
            self.tell(leader, MemberInput::LearnerConnected(learner));
        }
        let Some(server) = self.running.get_mut(&id) else {
            return;
        };
        if reaches {
            server.leader = Some((leader, learner));
            server.inbox.push_back(MemberInput::LeaderConnected);
        } else if over {
            server.inbox.push_back(MemberInput::LeaderGone);
        }
        if reaches || over {
            server.joining = None;
        }
    }

    fn perform(&mut self, id: ServerId, effect: MemberEffect) {
        match effect {
            MemberEffect::Local(effect) => self.perform_local(id, effect),
            MemberEffect::Ballot { to, notification } => {
                if self.passes(id, to) && self.running.contains_key(&to) {
                    let from = id;
                    self.tell(to, MemberInput::Ballot { from, notification });
                } else {
                    self.tell(id, MemberInput::PeerGone(to));
                }
            }
            MemberEffect::RestartElection => {}
            MemberEffect::Lead => self.server(id).leads = true,
            MemberEffect::LeadNoLonger(_) => {
                let server = self.server(id);
                server.leads = false;
                for (learner, other) in std::mem::take(&mut server.learners) {
                    self.lose_leader(other, learner);
                }
            }
            MemberEffect::ConnectLeader(leader) => {
                self.server(id).joining = Some((leader, self.mono + CONNECT_PATIENCE));
            }
            MemberEffect::FollowNoLonger(_) => {
                if let Some((leader, learner)) = self.server(id).leader.take() {
                    self.server(id).images.clear();
                    self.lose_learner(leader, learner);
                }
            }
            MemberEffect::ToLeader(said) => {
                self.said.push((id, said.clone()));
                if let Some((leader, from)) = self.server(id).leader {
                    self.tell(leader, MemberInput::FromLearner { from, said });
                }
            }
            MemberEffect::ToLearner { to, said } => {
                if let Some(learner) = self.server(id).learners.get(&to).copied() {
                    self.tell(learner, MemberInput::FromLeader(said));
                }
            }
            MemberEffect::CloseLearner { learner, why } => {
                self.faults.push(why);
                if let Some(other) = self.server(id).learners.remove(&learner) {
                    self.lose_leader(other, learner);
                }
            }
            MemberEffect::LookUpLog { learner, .. } => {
                self.tell(id, MemberInput::LogFound { learner, log: None });
            }
            MemberEffect::SendLog { .. } => panic!("nobody said that the log reaches so far"),
            MemberEffect::SendImage { to, .. } => {
                let bytes = image_of(&mut self.server(id).tree);
                if let Some(learner) = self.server(id).learners.get(&to).copied() {
                    self.server(learner).images.push_back(bytes);
                }
                // Before whatever the learner says to it.
                for input in std::mem::take(&mut self.behind_image).into_iter().rev() {
                    self.server(id).inbox.push_front(input);
                }
            }
            other => self.perform_on_disk(id, other),
        }
    }

    fn perform_on_disk(&mut self, id: ServerId, effect: MemberEffect) {
        let window = self.window;
        let disk = self.disks.entry(id).or_default();
        let answer = match effect {
            MemberEffect::WriteAcceptedEpoch(epoch) => {
                assert!(epoch > disk.accepted, "a promise taken back");
                disk.accepted = epoch;
                MemberInput::AcceptedEpochWritten(epoch)
            }
            MemberEffect::WriteCurrentEpoch(epoch) => {
                assert!(
                    epoch <= disk.accepted,
                    "a history of an epoch nobody promised"
                );
                disk.current = epoch;
                MemberInput::CurrentEpochWritten(epoch)
            }
            MemberEffect::Truncate(zxid) => {
                let there = disk.log.iter().any(|entry| entry.zxid == zxid);
                if there {
                    self.truncations += 1;
                    disk.log.retain(|entry| entry.zxid <= zxid);
                    let tree = disk.tree();
                    self.server(id).tree = tree;
                }
                MemberInput::Truncated(there)
            }
            MemberEffect::LoadImage(zxid) => {
                let bytes = self.server(id).images.pop_front();
                let loaded =
                    bytes.and_then(|bytes| image::load(&mut Slice(&bytes), zxid, 0, OPTIONS).ok());
                let done = loaded.is_some();
                if let Some(tree) = loaded {
                    self.server(id).tree = tree;
                }
                if std::mem::take(&mut self.break_behind_image) {
                    self.tell(id, MemberInput::ImageLoaded(done));
                    self.tear(id);
                    return;
                }
                MemberInput::ImageLoaded(done)
            }
            MemberEffect::SaveImage(zxid) => {
                let bytes = image_of(&mut self.server(id).tree);
                let disk = self.disks.entry(id).or_default();
                disk.image = Some((zxid, bytes));
                disk.log.clear();
                MemberInput::ImageSaved(zxid)
            }
            MemberEffect::Reload => {
                let tree = disk.tree();
                self.server(id).tree = tree;
                MemberInput::ImageLoaded(false)
            }
            MemberEffect::BeginEpoch(zxid) => {
                self.server(id).tree.begin_epoch(zxid);
                return;
            }
            MemberEffect::Serve => {
                self.server(id).serves = true;
                if let Some(conn) = self.waiting.remove(&id) {
                    self.ask_connect(id, conn, SessionId::NONE);
                }
                return;
            }
            MemberEffect::ServeNoLonger => {
                self.server(id).serves = false;
                return;
            }
            other => panic!("{other:?} of a window of {window}"),
        };
        self.tell(id, answer);
    }

    fn perform_local(&mut self, id: ServerId, effect: Effect) {
        match effect {
            Effect::Append { zxid, record } => {
                let disk = self.disks.entry(id).or_default();
                assert!(
                    disk.log.last().is_none_or(|last| last.zxid < zxid),
                    "{zxid} goes back in the log"
                );
                disk.log.push(Entry { zxid, txn: record });
                if !self.stuck_disks.contains(&id) {
                    self.tell(id, MemberInput::Local(Input::Synced(zxid)));
                }
            }
            Effect::Apply(committed) => {
                let server = self.server(id);
                let (auth, mut out) = (AuthConfig::default(), Deliveries::default());
                let (tree, watches) = (&mut server.tree, &mut server.watches);
                let same = delivery::commit(&committed, tree, watches, &auth, &mut out);
                server.mismatches += usize::from(!same);
                for delivery in &out.list {
                    if let Delivery::Reply { frames, conn, .. } = delivery {
                        let mut fields = Reader::new(&out.bytes[frames.start + 4..]);
                        let xid = fields.i32().expect("an xid");
                        fields.i64().expect("a zxid");
                        let code = fields.i32().expect("a code");
                        server.replies.push((conn.0, xid, code));
                    }
                }
            }
            Effect::Connected { conn, response, .. } => {
                self.server(id).connected.insert(conn.0, response);
            }
            Effect::Close { conn, .. } => {
                self.server(id).closed.insert(conn.0);
            }
            Effect::Answer { conn, reads, .. } => {
                let server = self.server(id);
                let xids = reads.iter().map(|read| (conn.0, read.header.xid.0, 0));
                server.replies.extend(xids);
            }
            Effect::Refuse { to, code, .. } => {
                let refused = (to.conn.0, to.xid.0, code.code());
                self.server(id).replies.push(refused);
            }
            Effect::Notice(_) => {}
        }
    }

    pub(crate) fn server(&mut self, id: ServerId) -> &mut Server {
        self.running.get_mut(&id).expect("a running member")
    }

    // Clients.

    /// A client connects to a member, with a new session or an old one.
    pub(crate) fn connect(&mut self, id: i64, conn: u32, session: SessionId) {
        self.ask_connect(ServerId(id), conn, session);
        self.settle();
    }

    /// The same, and nothing happens yet.
    pub(crate) fn ask_connect(&mut self, id: ServerId, conn: u32, session: SessionId) {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 20 * TICK as i32,
            session,
            password: password::password(session).to_vec(),
            read_only: Some(false),
        };
        let conn = ConnId(conn);
        let input = Input::Connect { conn, request };
        self.tell(id, MemberInput::Local(input));
    }

    pub(crate) fn session(&mut self, id: i64, conn: u32) -> SessionId {
        self.connect(id, conn, SessionId::NONE);
        match self.server(ServerId(id)).connected.get(&conn) {
            Some(ConnectResponse::Accepted { session, .. }) => *session,
            other => panic!("no session at {id}: {other:?}"),
        }
    }

    /// A client creates a znode; the reply, if it comes, is in `replies`.
    pub(crate) fn create(
        &mut self,
        id: i64,
        who: (u32, SessionId),
        xid: i32,
        path: &str,
        flags: i32,
    ) {
        self.ask_create(id, who, xid, path, flags);
        self.settle();
    }

    /// The same, and nothing happens yet.
    pub(crate) fn ask_create(
        &mut self,
        id: i64,
        (conn, session): (u32, SessionId),
        xid: i32,
        path: &str,
        flags: i32,
    ) {
        let mut body = Vec::new();
        body.put_string(path);
        body.put_buffer(Some(b"data"));
        body.put_count(1);
        body.put_i32(self.perms);
        body.put_string("world");
        body.put_string("anyone");
        body.put_i32(flags);
        let body = Bytes::from(body);
        let op = OpCode::Create.code();
        let Ok(Request::Write(write)) = request::decode(op, &body) else {
            panic!("a create");
        };
        let request = WriteRequest {
            conn: ConnId(conn),
            session,
            xid: Xid(xid),
            write,
            op,
            body,
            identities: Arc::new(Identities::of_peer("127.0.0.1")),
            behind: Vec::new(),
        };
        self.tell(ServerId(id), MemberInput::Local(Input::Write(request)));
    }

    /// A client ends its session.
    pub(crate) fn close_session(&mut self, id: i64, (conn, session): (u32, SessionId), xid: i32) {
        self.tell(ServerId(id), close_request((conn, session), xid));
        self.settle();
    }

    /// A client syncs; the reply, if it comes, is in `replies`.
    pub(crate) fn sync(&mut self, id: i64, (conn, session): (u32, SessionId), xid: i32) {
        let mut body = Vec::new();
        body.put_string("/");
        let read = ReadBehind {
            header: RequestHeader {
                xid: Xid(xid),
                op: OpCode::Sync.code(),
            },
            body: body.into(),
            identities: Arc::new(Identities::of_peer("127.0.0.1")),
        };
        let request = SyncRequest {
            conn: ConnId(conn),
            session,
            reads: vec![read],
        };
        self.tell(ServerId(id), MemberInput::Local(Input::Sync(request)));
        self.settle();
    }

    // Questions.

    pub(crate) fn leader(&self) -> Option<i64> {
        let leads = |(id, server): (&ServerId, &Server)| {
            (server.member.state() == PeerState::Leading && server.serves).then_some(id.0)
        };
        self.running.iter().find_map(leads)
    }

    pub(crate) fn serving(&self) -> Vec<i64> {
        let serves = self.running.iter().filter(|(_, server)| server.serves);
        serves.map(|(id, _)| id.0).collect()
    }

    /// The highest counter of any transaction in any log.
    pub(crate) fn highest_counter(&self) -> u32 {
        let entries = self.disks.values().flat_map(|disk| &disk.log);
        entries.map(|entry| entry.zxid.counter()).max().unwrap_or(0)
    }

    /// Every running member has the same tree, and no transaction ever had another digest than it promised.
    #[track_caller]
    pub(crate) fn assert_equal(&self) {
        let mut digests = self
            .running
            .values()
            .map(|server| (server.tree.digest(), server.tree.node_count()));
        let first = digests.next();
        assert!(digests.all(|digest| Some(digest) == first), "trees differ");
        assert!(self.running.values().all(|server| server.mismatches == 0));
        for (id, server) in &self.running {
            let disk = self.disks.get(id).map(|disk| disk.tree().digest());
            assert_eq!(disk, Some(server.tree.digest()), "the disk of {id}");
        }
    }
}

/// What a client says at the end.
pub(crate) fn close_request((conn, session): (u32, SessionId), xid: i32) -> MemberInput {
    MemberInput::Local(Input::Write(WriteRequest {
        conn: ConnId(conn),
        session,
        xid: Xid(xid),
        write: Write::CloseSession,
        op: OpCode::CloseSession.code(),
        body: Bytes::new(),
        identities: Arc::new(Identities::of_peer("127.0.0.1")),
        behind: Vec::new(),
    }))
}

/// Transactions that a leader remembers unless a test says otherwise.
pub(crate) const REMEMBERED: usize = DEFAULT_COUNT;
