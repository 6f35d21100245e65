//! Whole ensembles of three to five voters, some with an observer: elections, leaders and learners over a network that delays and breaks, with disks that
//! lose what was not synced, and crashes.
//!
//! Checked at every step: one leader per epoch; every server's state is a prefix of one history; what a leader committed is in the
//! history of every later leader; `currentEpoch <= acceptedEpoch`; nothing is committed that was not logged. When the faults stop, all
//! have the same state within [`PROGRESS_MS`]. `ENSEMBLE_SEED=N` repeats one run.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a test: its seed is an argument, and a failure is its result"
)]

mod dice;
mod member;

use std::collections::{BTreeMap, VecDeque};

use dice::Dice;
use member::{Conn, Member, Role, ToLearner, Write};
use rookeeper_proto::ballot::{Notification, PeerState};
use rookeeper_proto::ids::ServerId;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::election::effect::ElectionEffect;
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::election::{Election, ElectionConfig};
use rookeeper_quorum::epoch::LAST_COUNTER;
use rookeeper_quorum::leader::effect::{LeaderEffect, LeaderInput};
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::leader::{Leader, LeaderConfig};
use rookeeper_quorum::learner::effect::{LearnerEffect, LearnerInput};
use rookeeper_quorum::learner::{Learner, LearnerConfig};
use rookeeper_quorum::membership::{self, Membership};
use rookeeper_quorum::progress::LearnerId;

const SEEDS: u64 = 400;
const STEP_MS: i64 = 5;
const FAULTS_MS: i64 = 6000;
/// When all must have the same state after the last fault.
const PROGRESS_MS: i64 = 3 * FAULTS_MS;
const TICK_MS: i64 = 200;
const INIT_LIMIT: i64 = 10;
const SYNC_LIMIT: i64 = 5;
/// A learner's tries to connect, and the pause between them.
const TRIES: u32 = 5;
const PAUSE_MS: i64 = 100;
const NETWORK_MS: u64 = 20;
const DISK_MS: u64 = 80;
/// Transactions under way beyond which nothing is proposed.
const MOST_OUTSTANDING: usize = 20;

struct World {
    dice: Dice,
    /// The first so many vote; the others observe.
    voters: i64,
    now: i64,
    members: BTreeMap<i64, Member>,
    votes: BTreeMap<(i64, i64), VecDeque<(i64, Notification)>>,
    newest: BTreeMap<(i64, i64), Notification>,
    connected: BTreeMap<(i64, i64), bool>,
    cut: BTreeMap<(i64, i64), bool>,
    conns: BTreeMap<LearnerId, Conn>,
    next_conn: u64,
    /// The one history.
    committed: Vec<Entry>,
    /// Who led which epoch.
    epochs: BTreeMap<i64, i64>,
    images: u64,
    truncations: u64,
    proposed: u64,
}

fn pair(a: i64, b: i64) -> (i64, i64) {
    (a.min(b), a.max(b))
}

impl World {
    fn new(seed: u64, voters: i64, observers: i64) -> Self {
        Self {
            dice: Dice(seed),
            voters,
            now: 0,
            members: (1..=voters + observers)
                .map(|id| (id, Member::new()))
                .collect(),
            votes: BTreeMap::new(),
            newest: BTreeMap::new(),
            connected: BTreeMap::new(),
            cut: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 1,
            committed: Vec::new(),
            epochs: BTreeMap::new(),
            images: 0,
            truncations: 0,
            proposed: 0,
        }
    }

    fn ids(&self) -> Vec<i64> {
        self.members.keys().copied().collect()
    }

    fn member(&mut self, id: i64) -> &mut Member {
        self.members.get_mut(&id).expect("it is a member")
    }

    fn is_up(&self, id: i64) -> bool {
        self.members[&id].election.is_some()
    }

    fn reaches(&self, a: i64, b: i64) -> bool {
        self.is_up(a) && self.is_up(b) && self.cut.get(&pair(a, b)) != Some(&true)
    }

    fn role(&self, id: i64) -> membership::Role {
        match id > self.voters {
            true => membership::Role::Observer,
            false => membership::Role::Participant,
        }
    }

    fn membership(&self) -> Membership {
        let lines: Vec<_> = self
            .ids()
            .iter()
            .map(|id| format!("server.{id}=h{id}:1:2:{}", self.role(*id)))
            .collect();
        Membership::parse(&lines.join("\n")).expect("the text is right")
    }

    fn later(&mut self, most: u64) -> i64 {
        self.now + 1 + self.dice.below(most) as i64
    }

    // Faults.

    fn start(&mut self, id: i64) {
        let config = ElectionConfig {
            me: ServerId(id),
            role: self.role(id),
            membership: self.membership(),
            reconfig_enabled: false,
            pace: Pace::default(),
        };
        let now = self.now;
        let member = self.member(id);
        member.settle();
        let mut effects = Vec::new();
        member.election = Some(Election::start(config, member.durable(), now, &mut effects));
        self.perform_election(id, effects);
    }

    fn crash(&mut self, id: i64) {
        let lucky = self.dice.below(3) as usize;
        let member = self.member(id);
        member.election = None;
        member.writes.clear();
        member.epochs.clear();
        member.disk.lose(lucky);
        member.role = Role::Looking;
        for other in self.ids() {
            self.break_off(id, other);
            self.newest.remove(&(id, other));
        }
    }

    fn break_off(&mut self, a: i64, b: i64) {
        let broken: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| pair(c.learner, c.leader) == pair(a, b))
            .map(|(id, _)| *id)
            .collect();
        broken.into_iter().for_each(|conn| self.hang_up(conn));
        if a == b || self.connected.insert(pair(a, b), false) != Some(true) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.votes.remove(&(from, to));
            self.elect(to, |election, now, effects| {
                election.peer_gone(ServerId(from), now, effects)
            });
        }
    }

    fn hang_up(&mut self, id: LearnerId) {
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        self.lead(conn.leader, LeaderInput::Gone(id));
        if matches!(&self.members[&conn.learner].role, Role::Following(_, own) if *own == id) {
            self.look_again(conn.learner);
        }
    }

    fn some_fault(&mut self) {
        let count = self.members.len() as u64;
        let (a, b) = (
            1 + self.dice.below(count) as i64,
            1 + self.dice.below(count) as i64,
        );
        match self.dice.below(8) {
            0 if self.is_up(a) => self.crash(a),
            1 | 2 if !self.is_up(a) => self.start(a),
            3 if a != b => self.break_off(a, b),
            4 if a != b => {
                self.break_off(a, b);
                self.cut.insert(pair(a, b), true);
            }
            // The power goes for all.
            5 => self.ids().into_iter().for_each(|id| self.crash(id)),
            6 => {
                for other in self.ids() {
                    self.break_off(a, other);
                    self.cut.insert(pair(a, other), a != other);
                }
            }
            _ => {
                for other in self.ids() {
                    self.cut.remove(&pair(a, other));
                }
            }
        }
    }

    // Elections.

    fn elect(&mut self, id: i64, act: impl FnOnce(&mut Election, i64, &mut Vec<ElectionEffect>)) {
        let now = self.now;
        let mut effects = Vec::new();
        if let Some(election) = &mut self.member(id).election {
            act(election, now, &mut effects);
        }
        self.perform_election(id, effects);
    }

    fn perform_election(&mut self, id: i64, effects: Vec<ElectionEffect>) {
        for effect in effects {
            match effect {
                ElectionEffect::Send { to, notification } => {
                    self.newest.insert((id, to.0), notification.clone());
                    if self.connected.get(&pair(id, to.0)) == Some(&true) {
                        self.cast(id, to.0, notification);
                    }
                }
                ElectionEffect::Decided(decision) if decision.state == PeerState::Leading => {
                    self.begin_to_lead(id)
                }
                ElectionEffect::Decided(decision) => {
                    self.member(id).role = Role::Dialing {
                        leader: decision.vote.leader.0,
                        at: self.now,
                        tries: TRIES,
                        ask_for_image: false,
                    };
                }
                ElectionEffect::StillLooking(_) => {}
                other => panic!("{other:?} without another configuration"),
            }
        }
    }

    fn cast(&mut self, from: i64, to: i64, notification: Notification) {
        let at = self.later(NETWORK_MS);
        let way = self.votes.entry((from, to)).or_default();
        let at = way.back().map_or(at, |(before, _)| at.max(*before));
        way.push_back((at, notification));
    }

    fn connect(&mut self) {
        let ids = self.ids();
        for (a, b) in ids
            .iter()
            .flat_map(|a| ids.iter().map(move |b| (*a, *b)))
            .collect::<Vec<_>>()
        {
            if a >= b || !self.reaches(a, b) || self.connected.get(&pair(a, b)) == Some(&true) {
                continue;
            }
            self.connected.insert(pair(a, b), true);
            for (from, to) in [(a, b), (b, a)] {
                self.elect(to, |election, _, _| election.peer_connected(ServerId(from)));
                if let Some(newest) = self.newest.get(&(from, to)).cloned() {
                    self.cast(from, to, newest);
                }
            }
        }
    }

    fn deliver_votes(&mut self) {
        for (from, to) in self.votes.keys().copied().collect::<Vec<_>>() {
            let now = self.now;
            while let Some((_, notification)) = self
                .votes
                .get_mut(&(from, to))
                .and_then(|way| way.pop_front_if(|(at, _)| *at <= now))
            {
                self.elect(to, |election, now, effects| {
                    election.ballot(ServerId(from), &notification, now, effects);
                });
            }
        }
    }

    fn look_again(&mut self, id: i64) {
        let conns: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| c.leader == id || c.learner == id)
            .map(|(conn, _)| *conn)
            .collect();
        let member = self.member(id);
        member.settle();
        let durable = member.durable();
        conns.into_iter().for_each(|conn| self.hang_up(conn));
        self.elect(id, |election, now, effects| {
            election.start_round(durable, now, effects)
        });
    }

    // Leaders.

    fn begin_to_lead(&mut self, id: i64) {
        let config = LeaderConfig {
            me: ServerId(id),
            membership: self.membership(),
            reconfig_enabled: false,
            tick_ms: TICK_MS,
            init_limit: INIT_LIMIT,
            sync_limit: SYNC_LIMIT,
            force_snapshot: self.dice.once_in(20),
            sync_limits: SyncLimits::default(),
            last_counter: LAST_COUNTER,
        };
        let now = self.now;
        let mut effects = Vec::new();
        let member = self.member(id);
        let (epoch, accepted) = (member.disk.current, member.disk.accepted);
        let leader = Leader::new(
            config,
            epoch,
            accepted,
            member.disk.window(),
            now,
            &mut effects,
        );
        member.role = Role::Leading(leader);
        member.tick_at = now + TICK_MS / 2;
        self.perform_leader(id, effects);
    }

    fn lead(&mut self, id: i64, input: LeaderInput) {
        let now = self.now;
        let mut effects = Vec::new();
        if let Role::Leading(leader) = &mut self.member(id).role {
            leader.handle(now, input, &mut effects);
        }
        self.perform_leader(id, effects);
    }

    fn perform_leader(&mut self, id: i64, effects: Vec<LeaderEffect>) {
        for effect in effects {
            match effect {
                LeaderEffect::WriteAcceptedEpoch(epoch) => self.write(id, Write::Accepted(epoch)),
                LeaderEffect::WriteCurrentEpoch(epoch) => self.write(id, Write::Current(epoch)),
                LeaderEffect::Send { to, said } => self.send_to_learner(to, ToLearner::Said(said)),
                LeaderEffect::LookUpLog { learner, peer } => {
                    let log = self.members[&id].disk.around(peer);
                    self.lead(id, LeaderInput::LogFound { learner, log });
                }
                LeaderEffect::SendLog { to, range } => {
                    let log = self.members[&id].disk.log.clone();
                    let inside =
                        |entry: &Entry| entry.zxid > range.after && entry.zxid <= range.through;
                    for Entry { zxid, txn } in log.into_iter().filter(inside) {
                        self.send_to_learner(
                            to,
                            ToLearner::Said(FromLeader::Proposal { zxid, txn }),
                        );
                        self.send_to_learner(to, ToLearner::Said(FromLeader::Commit(zxid)));
                    }
                }
                LeaderEffect::SendImage { to, .. } => {
                    self.images += 1;
                    let image = self.members[&id].applied.clone();
                    self.send_to_learner(to, ToLearner::Image(image));
                }
                LeaderEffect::Close { learner, .. } => self.hang_up(learner),
                LeaderEffect::Append(entry) => self.append(id, entry),
                LeaderEffect::Established { epoch, .. } => self.established(id, epoch),
                LeaderEffect::Commit(entry) => {
                    self.committed.push(entry.clone());
                    self.apply(id, entry);
                }
                LeaderEffect::Touched(_) => {}
                LeaderEffect::Request { .. } | LeaderEffect::Revalidate { .. } => {
                    panic!("nobody asks")
                }
                LeaderEffect::StepDown(_) => return self.look_again(id),
            }
        }
    }

    /// One leader per epoch, and its history is the one history now.
    fn established(&mut self, id: i64, epoch: i64) {
        let before = self.epochs.insert(epoch, id);
        assert_eq!(before, None, "two leaders of epoch {epoch}");
        let member = self.member(id);
        member.serving = true;
        let state = member.applied.clone();
        assert!(
            state.starts_with(&self.committed),
            "{id} leads epoch {epoch} without what was committed"
        );
        self.committed = state;
        self.elect(id, |election, _, _| election.established(epoch));
    }

    fn propose(&mut self) {
        for id in self.ids() {
            let now = self.now;
            let mut effects = Vec::new();
            if let Role::Leading(leader) = &mut self.member(id).role
                && leader.outstanding() < MOST_OUTSTANDING
                && let Some(zxid) = leader.next_zxid(&mut effects)
            {
                let txn = format!("{zxid} of {id}").into_bytes().into();
                assert!(leader.propose(Entry { zxid, txn }, now, &mut effects));
                self.proposed += 1;
            }
            self.perform_leader(id, effects);
        }
    }

    fn send_to_learner(&mut self, to: LearnerId, said: ToLearner) {
        let at = self.later(NETWORK_MS);
        if let Some(conn) = self.conns.get_mut(&to) {
            let at = conn
                .to_learner
                .back()
                .map_or(at, |(before, _)| at.max(*before));
            conn.to_learner.push_back((at, said));
        }
    }

    // Learners.

    fn dial(&mut self) {
        for id in self.ids() {
            let now = self.now;
            let Role::Dialing {
                leader,
                at,
                tries,
                ask_for_image,
            } = &mut self.member(id).role
            else {
                continue;
            };
            if *at > now {
                continue;
            }
            let (leader, ask_for_image) = (*leader, *ask_for_image);
            if *tries == 0 {
                self.look_again(id);
                continue;
            }
            (*tries, *at) = (*tries - 1, now + PAUSE_MS);
            if self.reaches(id, leader) && matches!(self.members[&leader].role, Role::Leading(_)) {
                self.follow(id, leader, ask_for_image);
            }
        }
    }

    fn follow(&mut self, id: i64, leader: i64, ask_for_image: bool) {
        let conn = LearnerId(self.next_conn);
        self.next_conn += 1;
        let (to_leader, to_learner) = (VecDeque::new(), VecDeque::new());
        self.conns.insert(
            conn,
            Conn {
                learner: id,
                leader,
                to_leader,
                to_learner,
            },
        );
        self.lead(leader, LeaderInput::Connected(conn));
        let config = LearnerConfig {
            me: ServerId(id),
            role: self.role(id),
            config_version: 0,
            tick_ms: TICK_MS,
            init_limit: INIT_LIMIT,
            sync_limit: SYNC_LIMIT,
            ask_for_image,
        };
        let now = self.now;
        let mut effects = Vec::new();
        let member = self.member(id);
        let learner = Learner::new(
            config,
            member.durable(),
            member.disk.accepted,
            now,
            &mut effects,
        );
        member.role = Role::Following(learner, conn);
        member.tick_at = now + TICK_MS;
        self.perform_learner(id, effects);
    }

    fn learn(&mut self, id: i64, input: LearnerInput) {
        let now = self.now;
        let mut effects = Vec::new();
        if let Role::Following(learner, _) = &mut self.member(id).role {
            learner.handle(now, input, &mut effects);
        }
        self.perform_learner(id, effects);
    }

    fn perform_learner(&mut self, id: i64, effects: Vec<LearnerEffect>) {
        for effect in effects {
            match effect {
                LearnerEffect::Send(said) => self.send_to_leader(id, said),
                LearnerEffect::Ping(zxid) => {
                    let touched = Vec::new();
                    self.send_to_leader(id, FromLearner::Ping { zxid, touched });
                }
                LearnerEffect::WriteAcceptedEpoch(epoch) => self.write(id, Write::Accepted(epoch)),
                LearnerEffect::WriteCurrentEpoch(epoch) => self.write(id, Write::Current(epoch)),
                LearnerEffect::Truncate(zxid) => {
                    self.truncations += 1;
                    self.write(id, Write::Truncate(zxid));
                }
                LearnerEffect::SaveImage(zxid) => self.write(id, Write::SaveImage(zxid)),
                LearnerEffect::Append(entry) => self.append(id, entry),
                LearnerEffect::Commit { entry, .. } => self.apply(id, entry),
                LearnerEffect::Serve { epoch, .. } => {
                    self.member(id).serving = true;
                    self.check_state(id);
                    self.elect(id, |election, _, _| election.established(epoch));
                }
                LearnerEffect::LoadImage(_)
                | LearnerEffect::SeeConfig(_)
                | LearnerEffect::SyncDone => {}
                LearnerEffect::Revalidated { .. } => panic!("nobody asked"),
                LearnerEffect::Leave(why) => return self.leave(id, why.wants_image()),
            }
        }
    }

    fn leave(&mut self, id: i64, ask_for_image: bool) {
        let Role::Following(_, conn) = &self.members[&id].role else {
            return;
        };
        let (conn, at) = (*conn, self.now + PAUSE_MS);
        let leader = self.conns.get(&conn).map(|conn| conn.leader);
        match leader.filter(|_| ask_for_image) {
            Some(leader) => {
                let member = self.member(id);
                member.settle();
                member.role = Role::Dialing {
                    leader,
                    at,
                    tries: TRIES,
                    ask_for_image,
                };
                self.hang_up(conn);
            }
            None => self.look_again(id),
        }
    }

    fn send_to_leader(&mut self, id: i64, said: FromLearner) {
        let at = self.later(NETWORK_MS);
        let Role::Following(_, conn) = &self.members[&id].role else {
            return;
        };
        if let Some(conn) = self.conns.get_mut(conn) {
            let at = conn
                .to_leader
                .back()
                .map_or(at, |(before, _)| at.max(*before));
            conn.to_leader.push_back((at, said));
        }
    }

    fn deliver_packets(&mut self) {
        let now = self.now;
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            while let Some(conn) = self.conns.get_mut(&id)
                && let Some((_, said)) = conn.to_leader.pop_front_if(|(at, _)| *at <= now)
            {
                let leader = conn.leader;
                self.lead(leader, LeaderInput::Said { from: id, said });
            }
            while let Some(conn) = self.conns.get_mut(&id) {
                let learner = conn.learner;
                let next = conn.to_learner.front().filter(|(at, _)| *at <= now);
                let is_image = matches!(next, Some((_, ToLearner::Image(_))));
                let wants = match &self.members[&learner].role {
                    Role::Following(learner, _) => learner.wants_more() || is_image,
                    _ => false,
                };
                if next.is_none() || !wants {
                    break;
                }
                let Some((_, said)) = conn.to_learner.pop_front() else {
                    break;
                };
                match said {
                    ToLearner::Said(said) => self.learn(learner, LearnerInput::Said(said)),
                    ToLearner::Image(image) => {
                        self.member(learner).applied = image;
                        self.learn(learner, LearnerInput::ImageLoaded(true));
                    }
                }
            }
        }
    }

    // Disks and states.

    fn write(&mut self, id: i64, write: Write) {
        let at = self.later(DISK_MS);
        let member = self.member(id);
        let writes = match write {
            Write::Accepted(_) | Write::Current(_) => &mut member.epochs,
            Write::Sync(_) | Write::Truncate(_) | Write::SaveImage(_) => &mut member.writes,
        };
        let at = writes.back().map_or(at, |(before, _)| at.max(*before));
        writes.push_back((at, write));
    }

    fn append(&mut self, id: i64, entry: Entry) {
        let zxid = entry.zxid;
        let disk = &mut self.member(id).disk;
        assert!(
            zxid.follows(disk.last()),
            "{id} logs {zxid} behind {}",
            disk.last()
        );
        disk.log.push(entry);
        self.write(id, Write::Sync(zxid));
    }

    fn finish_writes(&mut self) {
        for id in self.ids() {
            let now = self.now;
            while let Some(write) = self.member(id).finished(now) {
                let done = self.member(id).perform(&write);
                let leads = matches!(self.members[&id].role, Role::Leading(_));
                match (write, leads) {
                    (Write::Sync(zxid), true) => self.lead(id, LeaderInput::Synced(zxid)),
                    (Write::Sync(zxid), false) => self.learn(id, LearnerInput::Synced(zxid)),
                    (Write::Accepted(epoch), true) => {
                        self.lead(id, LeaderInput::AcceptedEpochWritten(epoch))
                    }
                    (Write::Accepted(epoch), false) => {
                        self.learn(id, LearnerInput::AcceptedEpochWritten(epoch))
                    }
                    (Write::Current(epoch), true) => {
                        self.lead(id, LeaderInput::CurrentEpochWritten(epoch))
                    }
                    (Write::Current(epoch), false) => {
                        self.learn(id, LearnerInput::CurrentEpochWritten(epoch))
                    }
                    (Write::Truncate(_), _) => self.learn(id, LearnerInput::Truncated(done)),
                    (Write::SaveImage(zxid), _) => self.learn(id, LearnerInput::ImageSaved(zxid)),
                }
            }
        }
    }

    fn apply(&mut self, id: i64, entry: Entry) {
        let member = self.member(id);
        member.applied.push(entry);
        let serving = member.serving;
        if serving {
            self.check_state(id);
        }
    }

    /// What clients can see is a part of the one history.
    fn check_state(&self, id: i64) {
        let state = &self.members[&id].applied;
        assert!(
            self.committed.starts_with(state),
            "{id} shows what is not committed"
        );
    }

    // Time.

    fn step(&mut self) {
        self.now += STEP_MS;
        self.connect();
        self.deliver_votes();
        self.dial();
        self.deliver_packets();
        self.finish_writes();
        for id in self.ids() {
            self.elect(id, |election, now, effects| {
                if election.deadline().is_some_and(|at| at <= now) {
                    election.tick(now, effects);
                }
            });
            let now = self.now;
            let member = self.member(id);
            if member.tick_at > now {
                continue;
            }
            member.tick_at = now + TICK_MS / 2;
            self.lead(id, LeaderInput::Tick);
            self.learn(id, LearnerInput::Tick);
        }
    }

    /// One leads and owes nothing; all serve, and all have the same.
    fn agree(&self) -> bool {
        let mut up = self
            .members
            .values()
            .filter(|member| member.election.is_some());
        let leading = |member: &&Member| match &member.role {
            Role::Leading(leader) => leader.outstanding() == 0,
            _ => false,
        };
        self.members.values().filter(leading).count() == 1
            && up.all(|member| member.serving && member.applied == self.committed)
    }
}

fn run(seed: u64) -> World {
    let voters = 3 + (seed % 3) as i64;
    let mut world = World::new(seed, voters, (seed % 2) as i64);
    world.ids().into_iter().for_each(|id| world.start(id));
    while world.now < FAULTS_MS {
        if world.dice.once_in(25) {
            world.some_fault();
        }
        if world.dice.once_in(3) {
            world.propose();
        }
        world.step();
    }
    world.cut.clear();
    let down: Vec<_> = world
        .ids()
        .into_iter()
        .filter(|id| !world.is_up(*id))
        .collect();
    let away = if world.dice.once_in(2) {
        (voters as usize - 1) / 2
    } else {
        0
    };
    down.into_iter().skip(away).for_each(|id| world.start(id));
    for round in 0..2 {
        let end = world.now + PROGRESS_MS;
        while !world.agree() && world.now < end {
            world.step();
        }
        assert!(
            world.agree(),
            "no agreement {PROGRESS_MS} ms after the last fault, round {round}"
        );
        // And it works: what is proposed now reaches all.
        let (had, before) = (world.committed.len(), world.proposed);
        world.propose();
        assert_eq!(world.proposed, before + 1);
        while world.committed.len() == had && world.now < end {
            world.step();
        }
        assert_eq!(world.committed.len(), had + 1);
    }
    world
}

#[test]
fn nothing_committed_is_lost_and_all_agree() {
    let only = std::env::var("ENSEMBLE_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let all = seeds.end - seeds.start;
    let (mut images, mut truncations, mut epochs, mut committed) = (0, 0, 0, 0);
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        let world = ran.unwrap_or_else(|_| panic!("ENSEMBLE_SEED={seed}"));
        images += world.images;
        truncations += world.truncations;
        epochs += world.epochs.len() as u64;
        committed += world.committed.len() as u64;
    }
    // A run without these would prove little.
    if all > 1 {
        let seen = [images, truncations, epochs, committed];
        assert!(
            images > all / 4 && truncations > all / 20 && epochs > 2 * all && committed > 20 * all,
            "{seen:?}"
        );
    }
}
