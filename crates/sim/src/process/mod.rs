//! One process: a member and all that a driver has around it, in one of its lives.
//!
//! What lives here: inputs in order, one sync for many records, clocks. [`perform`] does what the member wants, [`guests`] has the
//! connections of its clients, [`peers`] those to other servers. What does not: what breaks, and when.
//!
//! Invariants, those of every driver:
//! - Effects are performed in order, and a transaction is applied before the next input that looks at the tree.
//! - `Synced` is told after the disk has confirmed every record up to there.
//! - After the first failure of the disk nothing is said any more.

mod guests;
mod peers;
mod perform;
mod telling;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rookeeper_node::ensemble::batch::Batch;
use rookeeper_node::ensemble::effect::{MemberEffect, MemberInput};
use rookeeper_node::ensemble::{Member, MemberConfig, Standing};
use rookeeper_node::input::{ConnId, Input, Now};
use rookeeper_node::kept::Kept;
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_proto::ballot::Notification;
use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::membership::{Membership, Role};
use rookeeper_quorum::progress::LearnerId;
use rookeeper_storage::cut_disk::CutDisk;
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::Tree;
use rookeeper_tree::watches::WatchTable;

use crate::agenda::{Event, MS, Time, Who};
use crate::boundary::{Boundary, mutated};
use crate::checks::Seen;
use crate::disk::{Opened, Room, Store, Trouble};
use crate::network::{Cargo, End, Image, LinkId};
use crate::plan::{
    INIT_LIMIT, LONGEST_SESSION, OBSERVER_WAITS, SYNC_LIMIT, SYNC_LIMITS, TICK_INTERVAL_MS, TICK_MS,
};
use crate::scene::Scene;
use guests::Guest;

/// Inputs that one turn takes at most.
const TURN: u64 = 12;
/// Room in the log that is made sure of before anything is judged, bytes.
const HEADROOM: usize = 4096;
/// How long a full disk is waited for.
const FULL_DISK_PAUSE: Time = 50 * MS;
/// How long a learner tries to reach its leader.
const CONNECT_PATIENCE: Time = 1_200 * MS;
/// Between two tries.
const CONNECT_PAUSE: Time = 40 * MS;
/// The wall clock when the world begins, ms.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// A process cannot go on.
#[derive(Debug)]
pub(crate) struct Death(pub(crate) String);

impl From<Trouble> for Death {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.0)
    }
}

/// What is wrong with the clocks of a machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clocks {
    /// The monotonic clock stood still for so long.
    pub(crate) behind: Time,
    /// The wall clock is wrong by so many ms.
    pub(crate) wall: i64,
}

#[derive(Debug, Clone, Copy)]
struct Joining {
    leader: ServerId,
    until: Time,
    attempt: u64,
}

#[derive(Debug)]
pub(crate) struct Process {
    who: Who,
    member: Member,
    /// What it wants, and is performed at the end of the turn.
    batch: Batch,
    tree: Tree,
    watches: WatchTable,
    store: Store,
    pub(crate) clocks: Clocks,
    inbox: VecDeque<MemberInput>,
    turn_due: bool,
    /// Learners are let in.
    leads: bool,
    serves: bool,
    /// Election connections that are up.
    peers: BTreeMap<ServerId, LinkId>,
    /// What was last said to whom.
    ballots: BTreeMap<ServerId, Notification>,
    learners: BTreeMap<LearnerId, LinkId>,
    leader: Option<LinkId>,
    joining: Option<Joining>,
    attempts: u64,
    images: VecDeque<Image>,
    /// The member waits for a state that has not arrived.
    wants_image: Option<Zxid>,
    /// Records that are not in the log's buffer yet.
    unwritten: VecDeque<Entry>,
    /// Up to here records are wanted on the disk, and are not known to be there.
    wanted: Option<Zxid>,
    sync_due: bool,
    /// The last transaction of the log, durable or not.
    log_end: Zxid,
    disk_full: bool,
    /// Records since the last snapshot.
    unsaved: u64,
    guests: BTreeMap<ConnId, Guest>,
    kept: Kept,
    next_conn: u32,
    heard: BTreeMap<SessionId, i64>,
}

impl Process {
    /// Opens the files and begins. `new` says that this member may begin with nothing.
    pub(crate) fn start(
        who: Who,
        disk: &CutDisk,
        new: bool,
        clocks: Clocks,
        scene: &mut Scene,
    ) -> Result<Self, Death> {
        let Opened {
            store,
            tree,
            window,
            incomplete,
        } = Store::open(disk, new, &scene.plan)?;
        if incomplete {
            scene.count("starts without a history");
        }
        let last = window.last();
        let standing = Standing {
            accepted: store.accepted(),
            current: store.current(),
            window,
            incomplete,
        };
        let config = config(who.server, scene)?;
        let mut effects = Vec::new();
        let now = now(clocks, scene.now);
        let member = Member::start(config, standing, now, &mut effects);
        announce(who, &store, &tree, last, scene);
        let mut process = Self {
            who,
            member,
            batch: Batch::default(),
            tree,
            watches: WatchTable::new(0),
            store,
            clocks,
            inbox: VecDeque::new(),
            turn_due: false,
            leads: false,
            serves: false,
            peers: BTreeMap::new(),
            ballots: BTreeMap::new(),
            learners: BTreeMap::new(),
            leader: None,
            joining: None,
            attempts: 0,
            images: VecDeque::new(),
            wants_image: None,
            unwritten: VecDeque::new(),
            wanted: None,
            sync_due: false,
            log_end: scene.checks.ledger().transaction(last),
            disk_full: false,
            unsaved: 0,
            guests: BTreeMap::new(),
            kept: Kept::default(),
            next_conn: 1,
            heard: BTreeMap::new(),
        };
        process.show_epochs(scene);
        process.perform_all(effects, scene)?;
        scene.after(TICK_INTERVAL_MS * MS, Event::Tick(who));
        Ok(process)
    }

    pub(crate) const fn who(&self) -> Who {
        self.who
    }

    pub(crate) const fn end(&self) -> End {
        End::Server(self.who)
    }

    pub(crate) const fn serves(&self) -> bool {
        self.serves
    }

    pub(crate) const fn leads(&self) -> bool {
        self.leads
    }

    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.member.in_flight()
    }

    /// True when everything that was wanted of the disk is done.
    pub(crate) fn is_quiet(&self) -> bool {
        self.wanted.is_none() && self.inbox.is_empty() && self.member.in_flight() == 0
    }

    fn show_epochs(&self, scene: &mut Scene) {
        scene.see(&Seen::Epochs {
            server: self.who.server,
            accepted: self.store.accepted(),
            current: self.store.current(),
        });
    }

    // Inputs.

    fn put(&mut self, input: MemberInput, scene: &mut Scene) {
        self.inbox.push_back(input);
        self.call(scene);
    }

    /// An answer of the disk, which nobody has to bring.
    fn answer(&mut self, input: MemberInput, scene: &mut Scene) {
        // While the disk works on the history nothing else is told, except for elections.
        let elects = |input: &&MemberInput| {
            matches!(
                input,
                MemberInput::Ballot { .. }
                    | MemberInput::PeerConnected(_)
                    | MemberInput::PeerGone(_)
            )
        };
        let place = match scene.plan.answers_first {
            true => 0,
            false => self.inbox.iter().take_while(elects).count(),
        };
        self.inbox.insert(place, input);
        self.call(scene);
    }

    fn call(&mut self, scene: &mut Scene) {
        if !self.turn_due {
            self.turn_due = true;
            let soon = scene.dice.between(5, 200);
            scene.after(soon, Event::Turn(self.who));
        }
    }

    /// Takes some of what has arrived.
    pub(crate) fn turn(&mut self, scene: &mut Scene) -> Result<(), Death> {
        self.turn_due = false;
        self.make_room(scene)?;
        for _ in 0..=scene.dice.below(TURN) {
            let Some(input) = self.inbox.pop_front() else {
                break;
            };
            self.handle(input, scene)?;
        }
        self.perform_batch(scene)?;
        if !self.inbox.is_empty() {
            self.call(scene);
        }
        self.snapshot_if_due(scene)?;
        self.serve_guests(scene);
        Ok(())
    }

    fn handle(&mut self, input: MemberInput, scene: &mut Scene) -> Result<(), Death> {
        if self.batch.goes_before(&input) {
            self.perform_batch(scene)?;
        }
        let Some(input) = self.keep_back(input) else {
            return Ok(());
        };
        let now = now(self.clocks, scene.now);
        let member = &mut self.member;
        match self.batch.hand_in(member, &self.tree, now, input) {
            true => self.perform_batch(scene),
            false => Ok(()),
        }
    }

    fn perform_batch(&mut self, scene: &mut Scene) -> Result<(), Death> {
        let effects = self.batch.take();
        self.perform_all(effects, scene)?;
        self.batch.performed(Vec::new());
        Ok(())
    }

    fn perform_all(
        &mut self,
        mut effects: Vec<MemberEffect>,
        scene: &mut Scene,
    ) -> Result<(), Death> {
        perform::disorder(&mut effects, scene);
        for effect in effects {
            self.perform(effect, scene)?;
        }
        Ok(())
    }

    /// The interval is over.
    pub(crate) fn tick(&mut self, scene: &mut Scene) {
        scene.after(TICK_INTERVAL_MS * MS, Event::Tick(self.who));
        let overdue = self.kept.overdue(now(self.clocks, scene.now).mono);
        self.dismiss_guests(overdue, scene);
        let heard = std::mem::take(&mut self.heard).into_iter().collect();
        self.put(MemberInput::Local(Input::Heard(heard)), scene);
        self.put(MemberInput::Local(Input::Tick), scene);
    }

    // The log.

    /// Asks the log for room before anything is judged, and tells the member when there is none.
    fn make_room(&mut self, scene: &mut Scene) -> Result<(), Death> {
        let full = self.store.reserve(HEADROOM)? == Room::None;
        if full == self.disk_full {
            return Ok(());
        }
        self.disk_full = full;
        self.handle(MemberInput::Local(Input::DiskFull(full)), scene)
    }

    fn want_sync(&mut self, scene: &mut Scene) {
        if !self.sync_due {
            self.sync_due = true;
            let (low, high) = scene.plan.sync;
            let takes = scene.dice.between(low, high);
            scene.after(takes, Event::Synced(self.who));
        }
    }

    /// Brings what was appended to the disk.
    pub(crate) fn sync(&mut self, scene: &mut Scene) -> Result<(), Death> {
        self.sync_due = false;
        let Some(last) = self.wanted else {
            return Ok(());
        };
        if self.write_out(scene)? == Room::None {
            self.sync_due = true;
            scene.after(FULL_DISK_PAUSE, Event::Synced(self.who));
            return Ok(());
        }
        self.wanted = None;
        if !mutated(Boundary::AckBeforeSync) {
            self.put(MemberInput::Local(Input::Synced(last)), scene);
        }
        Ok(())
    }

    fn write_out(&mut self, scene: &mut Scene) -> Result<Room, Death> {
        while let Some(entry) = self.unwritten.front() {
            if self.store.append(entry.zxid, &entry.txn)? == Room::None {
                return Ok(Room::None);
            }
            self.unwritten.pop_front();
        }
        if self.store.sync()? == Room::None {
            return Ok(Room::None);
        }
        scene.see(&Seen::Durable {
            server: self.who.server,
            last: self.log_end,
        });
        Ok(Room::Enough)
    }

    fn snapshot_if_due(&mut self, scene: &mut Scene) -> Result<(), Death> {
        let due = self.unsaved >= scene.plan.snapshot_every && self.serves;
        if !due || self.disk_full || self.wanted.is_some() {
            return Ok(());
        }
        self.unsaved = 0;
        scene.count("snapshots written");
        self.store.snapshot(&mut self.tree)?;
        Ok(())
    }
}

fn announce(who: Who, store: &Store, tree: &Tree, last: Zxid, scene: &mut Scene) {
    let (accepted, current) = (store.accepted(), store.current());
    scene.tell(|| {
        let server = who.server;
        format!("server {server} starts with {last}, epochs {accepted} and {current}")
    });
    scene.see(&Seen::Started { who, tree, last });
}

fn now(clocks: Clocks, now: Time) -> Now {
    Now {
        mono: (now - clocks.behind) / MS,
        wall: EPOCH_MS + now / MS + clocks.wall,
    }
}

fn config(server: ServerId, scene: &Scene) -> Result<MemberConfig, Death> {
    let membership = Membership::parse(&scene.plan.membership());
    let membership = membership.map_err(|error| Death(error.to_string()))?;
    let vocation = if scene.plan.is_voter(server) {
        Role::Participant
    } else {
        Role::Observer
    };
    let ticks = |n: i64| i32::try_from(n * TICK_MS).unwrap_or(i32::MAX);
    Ok(MemberConfig {
        vocation,
        membership,
        pace: scene.plan.pace,
        init_limit: INIT_LIMIT,
        sync_limit: SYNC_LIMIT,
        force_snapshot: scene.plan.force_snapshot,
        sync_limits: SYNC_LIMITS,
        observer_waits: OBSERVER_WAITS,
        last_counter: scene.plan.last_counter,
        proposer: ProposerConfig {
            server,
            tick_ms: TICK_MS,
            tick_interval_ms: TICK_INTERVAL_MS,
            timeouts: TimeoutBounds {
                min_ms: ticks(2),
                max_ms: ticks(LONGEST_SESSION),
            },
            rules: Rules::default(),
            reaper: ReaperConfig::default(),
            hash_seed: 3,
        },
    })
}

/// A frame or several, for a client.
fn frames(bytes: &[u8]) -> Cargo {
    Cargo::Bytes(Bytes::copy_from_slice(bytes))
}
