//! Three to five electing servers over a network that delays, loses and breaks, with crashes.
//!
//! Messages of one connection keep their order. A server that has decided acts as leaders and learners do: a learner leaves a leader
//! that is not one, a leader that no quorum follows gives up, and a leader with less history than a learner is left by it.
//!
//! Checked: no two leaders by the votes of the same servers in the same round; an established history is never lost; when the
//! faults stop, all agree within [`PROGRESS_MS`]. `ELECTION_SEED=N` repeats one run.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a test: its seed is an argument, and a failure is its result"
)]

mod dice;

use std::collections::{BTreeMap, VecDeque};

use dice::Dice;
use rookeeper_proto::ballot::{Notification, PeerState};
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_quorum::election::effect::{Decision, ElectionEffect};
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::election::{Election, ElectionConfig};
use rookeeper_quorum::membership::{Membership, Role};
use rookeeper_quorum::vote::History;

const SEEDS: u64 = 400;
const STEP_MS: i64 = 5;
/// How long faults happen.
const FAULTS_MS: i64 = 6000;
/// When all must agree after the last fault. A server that was alone for the whole time of faults asks again after as long a wait.
const PROGRESS_MS: i64 = 2 * FAULTS_MS;
/// How often a leader and a learner look whether the other is there.
const LOOK_MS: i64 = 300;

struct Server {
    election: Option<Election>,
    /// Survives crashes.
    durable: History,
    incarnation: u64,
    decision: Option<Decision>,
    look_at: i64,
}

/// One way between two servers.
#[derive(Default)]
struct Way {
    flying: VecDeque<(i64, Notification)>,
    /// The newest message: what a new connection begins with.
    newest: Option<Notification>,
    /// Which incarnation of the sender was heard last.
    heard: u64,
}

struct World {
    dice: Dice,
    now: i64,
    faults: bool,
    max_delay: u64,
    servers: BTreeMap<i64, Server>,
    ways: BTreeMap<(i64, i64), Way>,
    connected: BTreeMap<(i64, i64), bool>,
    cut: BTreeMap<(i64, i64), bool>,
    /// Who was elected by whom in which round.
    elected: BTreeMap<(i64, Vec<(i64, u64)>), i64>,
    established: Option<History>,
    epoch: i64,
}

fn pair(a: i64, b: i64) -> (i64, i64) {
    (a.min(b), a.max(b))
}

impl World {
    fn new(seed: u64, count: i64, max_delay: u64) -> Self {
        let mut dice = Dice(seed);
        let mut server = || Server {
            election: None,
            durable: History {
                epoch: 1,
                last: Zxid::new(1, dice.below(3) as u32),
            },
            incarnation: 0,
            decision: None,
            look_at: 0,
        };
        let servers = (1..=count).map(|id| (id, server())).collect();
        Self {
            dice,
            now: 0,
            faults: false,
            max_delay,
            servers,
            ways: BTreeMap::new(),
            connected: BTreeMap::new(),
            cut: BTreeMap::new(),
            elected: BTreeMap::new(),
            established: None,
            epoch: 1,
        }
    }

    fn ids(&self) -> Vec<i64> {
        self.servers.keys().copied().collect()
    }

    fn others(&self, id: i64) -> Vec<i64> {
        self.ids()
            .into_iter()
            .filter(|other| *other != id)
            .collect()
    }

    fn is_up(&self, id: i64) -> bool {
        self.servers[&id].election.is_some()
    }

    fn is_connected(&self, a: i64, b: i64) -> bool {
        self.connected.get(&pair(a, b)) == Some(&true)
    }

    fn start(&mut self, id: i64) {
        let text: Vec<_> = self
            .ids()
            .iter()
            .map(|id| format!("server.{id}=h{id}:1:2"))
            .collect();
        let config = ElectionConfig {
            me: ServerId(id),
            role: Role::Participant,
            membership: Membership::parse(&text.join("\n")).expect("the text is right"),
            reconfig_enabled: true,
            pace: Pace::default(),
        };
        let now = self.now;
        let server = self.servers.get_mut(&id).expect("it is a member");
        let mut effects = Vec::new();
        server.incarnation += 1;
        server.election = Some(Election::start(config, server.durable, now, &mut effects));
        self.perform(id, effects);
    }

    fn crash(&mut self, id: i64) {
        self.disconnect_all(id);
        let server = self.servers.get_mut(&id).expect("it is a member");
        server.election = None;
        server.decision = None;
        for other in self.others(id) {
            self.ways.entry((id, other)).or_default().newest = None;
        }
    }

    fn disconnect_all(&mut self, id: i64) {
        for other in self.others(id) {
            self.disconnect(id, other);
        }
    }

    fn disconnect(&mut self, a: i64, b: i64) {
        if self.connected.insert(pair(a, b), false) != Some(true) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.ways.entry((from, to)).or_default().flying.clear();
            self.tell(to, |election, now, effects| {
                election.peer_gone(ServerId(from), now, effects)
            });
        }
    }

    /// Connections come up when somebody has something to say.
    fn connect(&mut self) {
        let ids = self.ids();
        let pairs: Vec<_> = ids
            .iter()
            .flat_map(|a| ids.iter().map(move |b| (*a, *b)))
            .collect();
        for (a, b) in pairs {
            let possible =
                self.is_up(a) && self.is_up(b) && self.cut.get(&pair(a, b)) != Some(&true);
            if a >= b || !possible || self.is_connected(a, b) {
                continue;
            }
            self.connected.insert(pair(a, b), true);
            for (from, to) in [(a, b), (b, a)] {
                self.tell(to, |election, _, _| election.peer_connected(ServerId(from)));
                if let Some(newest) = self.ways.entry((from, to)).or_default().newest.clone() {
                    self.fly(from, to, newest);
                }
            }
        }
    }

    fn fly(&mut self, from: i64, to: i64, notification: Notification) {
        let delay = 1 + self.dice.below(self.max_delay) as i64;
        let way = self.ways.entry((from, to)).or_default();
        let after = way.flying.back().map_or(0, |(at, _)| *at);
        way.flying
            .push_back((after.max(self.now + delay), notification));
    }

    fn tell(&mut self, id: i64, act: impl FnOnce(&mut Election, i64, &mut Vec<ElectionEffect>)) {
        let now = self.now;
        let server = self.servers.get_mut(&id).expect("it is a member");
        let Some(election) = &mut server.election else {
            return;
        };
        let mut effects = Vec::new();
        act(election, now, &mut effects);
        self.perform(id, effects);
    }

    fn perform(&mut self, id: i64, effects: Vec<ElectionEffect>) {
        for effect in effects {
            match effect {
                ElectionEffect::Send { to, notification } => {
                    self.ways.entry((id, to.0)).or_default().newest = Some(notification.clone());
                    let lost = self.faults && self.dice.once_in(10);
                    if self.is_connected(id, to.0) && !lost {
                        self.fly(id, to.0, notification);
                    }
                }
                ElectionEffect::Decided(decision) => self.decided(id, decision),
                ElectionEffect::StillLooking(_) => {}
                other => panic!("{other:?} without another configuration"),
            }
        }
    }

    fn decided(&mut self, id: i64, decision: Decision) {
        let count = self.servers.len();
        assert!(
            decision.supporters.len() > count / 2,
            "no quorum: {decision:?}"
        );
        if decision.state == PeerState::Leading {
            let heard = |by: &ServerId| match by.0 == id {
                true => (id, self.servers[&id].incarnation),
                false => (by.0, self.ways[&(by.0, id)].heard),
            };
            let by = decision.supporters.iter().map(heard).collect();
            let before = self.elected.insert((decision.election_epoch, by), id);
            assert!(
                before.is_none_or(|other| other == id),
                "{before:?} and {id} by {decision:?}"
            );
        }
        let server = self.servers.get_mut(&id).expect("it is a member");
        server.decision = Some(decision);
        server.look_at = self.now + LOOK_MS;
    }

    fn deliver(&mut self) {
        let ways: Vec<_> = self.ways.keys().copied().collect();
        for (from, to) in ways {
            loop {
                let now = self.now;
                let incarnation = self.servers[&from].incarnation;
                let Some(way) = self.ways.get_mut(&(from, to)) else {
                    break;
                };
                if way.flying.front().is_none_or(|(at, _)| *at > now) {
                    break;
                }
                let Some((_, notification)) = way.flying.pop_front() else {
                    break;
                };
                way.heard = incarnation;
                self.tell(to, |election, now, effects| {
                    election.ballot(ServerId(from), &notification, now, effects);
                });
            }
        }
    }

    fn followers(&self, leader: i64) -> Vec<i64> {
        let follows = |id: &i64| {
            let decision = self.servers[id].decision.as_ref();
            let mine = decision.is_some_and(|d| d.vote.leader.0 == leader);
            mine && (*id == leader || self.is_connected(*id, leader))
        };
        self.ids().into_iter().filter(follows).collect()
    }

    /// What leaders and learners do, told briefly.
    fn look(&mut self) {
        for id in self.ids() {
            let server = &self.servers[&id];
            let Some(decision) = server.decision.clone() else {
                continue;
            };
            if self.now < server.look_at {
                continue;
            }
            let leader = decision.vote.leader.0;
            let content = match decision.state {
                PeerState::Leading => self.lead(id),
                _ => {
                    self.followers(leader).contains(&id)
                        && self.leads(leader)
                        && self.accepts(id, leader)
                }
            };
            let now = self.now;
            let server = self.servers.get_mut(&id).expect("it is a member");
            server.look_at = now + LOOK_MS;
            if !content {
                server.decision = None;
                let durable = server.durable;
                self.tell(id, |election, now, effects| {
                    election.start_round(durable, now, effects)
                });
            }
        }
    }

    fn leads(&self, id: i64) -> bool {
        self.servers[&id]
            .decision
            .as_ref()
            .is_some_and(|d| d.state == PeerState::Leading)
    }

    /// Discovery: a learner stays only with a leader that has as much as itself.
    fn accepts(&self, learner: i64, leader: i64) -> bool {
        self.servers[&learner].durable <= self.servers[&leader].durable
    }

    fn lead(&mut self, id: i64) -> bool {
        let mut with = self.followers(id);
        with.retain(|learner| self.accepts(*learner, id));
        if with.len() <= self.servers.len() / 2 {
            return false;
        }
        let own = self.servers[&id].durable;
        let taken_over = with
            .iter()
            .all(|learner| self.servers[learner].durable == own);
        if taken_over && self.established == Some(own) {
            return true;
        }
        assert!(
            self.established.is_none_or(|e| own >= e),
            "{id} lost what was established"
        );
        self.epoch += 1;
        let epoch = self.epoch;
        let history = History {
            epoch,
            last: Zxid::new(epoch as u32, 1),
        };
        self.established = Some(history);
        for learner in with {
            self.servers.get_mut(&learner).expect("a member").durable = history;
            self.tell(learner, |election, _, _| election.established(epoch));
        }
        true
    }

    fn some_fault(&mut self) {
        let count = self.servers.len() as u64;
        let (a, b) = (
            1 + self.dice.below(count) as i64,
            1 + self.dice.below(count) as i64,
        );
        match self.dice.below(5) {
            0 if self.is_up(a) => self.crash(a),
            1 if !self.is_up(a) => self.start(a),
            2 if a != b => self.disconnect(a, b),
            3 if a != b => {
                self.disconnect(a, b);
                self.cut.insert(pair(a, b), true);
            }
            4 => {
                self.cut.remove(&pair(a, b));
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        self.now += STEP_MS;
        if self.faults && self.dice.once_in(20) {
            self.some_fault();
        }
        self.connect();
        self.deliver();
        for id in self.ids() {
            self.tell(id, |election, now, effects| {
                if election.deadline().is_some_and(|at| at <= now) {
                    election.tick(now, effects);
                }
            });
        }
        self.look();
    }

    fn agree(&self) -> bool {
        let up: Vec<_> = self
            .ids()
            .into_iter()
            .filter(|id| self.is_up(*id))
            .collect();
        let leaders: Vec<_> = up.iter().filter(|id| self.leads(**id)).collect();
        let [leader] = leaders[..] else { return false };
        up.iter().all(|id| self.followers(*leader).contains(id))
    }
}

fn run(seed: u64) {
    let count = 3 + (seed % 3) as i64;
    let mut world = World::new(seed, count, 60);
    world.ids().into_iter().for_each(|id| world.start(id));
    world.faults = true;
    while world.now < FAULTS_MS {
        world.step();
    }
    world.faults = false;
    world.cut.clear();
    let down = world
        .ids()
        .into_iter()
        .filter(|id| !world.is_up(*id))
        .collect::<Vec<_>>();
    // A minority may stay away.
    let away = if world.dice.once_in(2) {
        (count as usize - 1) / 2
    } else {
        0
    };
    down.into_iter().skip(away).for_each(|id| world.start(id));
    let end = world.now + PROGRESS_MS;
    while !world.agree() && world.now < end {
        world.step();
    }
    assert!(
        world.agree(),
        "no agreement {PROGRESS_MS} ms after the last fault"
    );
    let agreed_at = world.now;
    while world.now < agreed_at + 4 * LOOK_MS {
        world.step();
        assert!(world.agree(), "the agreement does not last");
    }
}

#[test]
fn elections_survive_loss_breaks_and_crashes() {
    let only = std::env::var("ELECTION_SEED")
        .ok()
        .map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let ran = std::panic::catch_unwind(|| run(seed));
        assert!(ran.is_ok(), "ELECTION_SEED={seed}");
    }
}

/// All can be reached and have one opinion: the pause of 200 ms is not needed.
#[test]
fn without_faults_a_round_takes_a_few_messages() {
    const MOST_MS: i64 = 60;
    for seed in 0..50 {
        let mut world = World::new(seed, 3 + (seed % 3) as i64, 5);
        world.ids().into_iter().for_each(|id| world.start(id));
        while !world.agree() && world.now < MOST_MS {
            world.step();
        }
        assert!(
            world.agree(),
            "seed {seed}: nothing decided after {MOST_MS} ms"
        );
    }
}
