//! The ways between servers, and between servers and clients: ordered, slow, and breakable.
//!
//! A link has two lanes, one in each direction. What is in a lane arrives in order or, when the link breaks, not at all: nothing is
//! lost in the middle, as with TCP. Where nothing passes, lanes stand still.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use rookeeper_proto::ballot::Notification;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;

use crate::agenda::{Agenda, Event, MS, Time, Who};
use crate::boundary::{Boundary, mutated};
use crate::dice::Dice;

pub(crate) type LinkId = u64;

/// Who is at an end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Server(Who),
    Client(usize),
}

impl End {
    pub(crate) const fn server(self) -> Option<ServerId> {
        match self {
            Self::Server(who) => Some(who.server),
            Self::Client(_) => None,
        }
    }
}

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Election,
    /// From a learner to its leader.
    Quorum,
    /// From a client to a server.
    Session,
}

/// A state on its way to a learner.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) zxid: Zxid,
    pub(crate) body: Vec<u8>,
}

/// What travels.
#[derive(Debug, Clone)]
pub(crate) enum Cargo {
    /// The connection is up.
    Hello,
    Ballot(Notification),
    ToLeader(FromLearner),
    ToLearner(FromLeader),
    Image(Image),
    /// Between client and server: a whole frame towards the server, any number of them back.
    Bytes(Bytes),
    /// Nothing follows.
    Closed,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<(Time, Cargo)>,
    last: Time,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) purpose: Purpose,
    /// Lane 0 goes from the first to the second.
    pub(crate) ends: [End; 2],
    lanes: [Lane; 2],
    /// These ends listen no more.
    gone: [bool; 2],
}

/// What is there to take.
pub(crate) enum Arrival {
    Nothing,
    /// Come again then.
    Later(Time),
    Cargo {
        purpose: Purpose,
        from: End,
        to: End,
        cargo: Cargo,
    },
}

/// How soon a lane that stands still is looked at again.
const RETRY: Time = 20 * MS;

#[derive(Debug)]
pub(crate) struct Network {
    links: BTreeMap<LinkId, Link>,
    next: LinkId,
    /// From whom to whom nothing passes.
    blocked: BTreeSet<(ServerId, ServerId)>,
    latency: (Time, Time),
}

impl Network {
    pub(crate) const fn new(latency: (Time, Time)) -> Self {
        Self {
            links: BTreeMap::new(),
            next: 1,
            blocked: BTreeSet::new(),
            latency,
        }
    }

    // Ways.

    pub(crate) fn block(&mut self, from: ServerId, to: ServerId) {
        self.blocked.insert((from, to));
    }

    pub(crate) fn clear(&mut self, from: ServerId, to: ServerId) {
        self.blocked.remove(&(from, to));
    }

    pub(crate) fn clear_all(&mut self) {
        self.blocked.clear();
    }

    /// True when both directions are open.
    pub(crate) fn connects(&self, a: ServerId, b: ServerId) -> bool {
        !self.blocked.contains(&(a, b)) && !self.blocked.contains(&(b, a))
    }

    fn passes(&self, from: End, to: End) -> bool {
        match (from.server(), to.server()) {
            (Some(from), Some(to)) => !self.blocked.contains(&(from, to)),
            _ => true,
        }
    }

    // Links.

    pub(crate) fn open(
        &mut self,
        purpose: Purpose,
        ends: [End; 2],
        now: Time,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) -> LinkId {
        let link = self.next;
        self.next += 1;
        self.links.insert(
            link,
            Link {
                purpose,
                ends,
                lanes: Default::default(),
                gone: [false; 2],
            },
        );
        for lane in 0..2 {
            self.push(link, lane, Cargo::Hello, now, dice, agenda);
        }
        link
    }

    /// Sends from `end`; into nothing when the link is closed.
    pub(crate) fn send(
        &mut self,
        link: LinkId,
        end: End,
        cargo: Cargo,
        now: Time,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        if let Some(lane) = self.lane_of(link, end) {
            self.push(link, lane, cargo, now, dice, agenda);
        }
    }

    fn lane_of(&self, link: LinkId, end: End) -> Option<usize> {
        let ends = self.links.get(&link)?.ends;
        ends.iter().position(|it| *it == end)
    }

    fn push(
        &mut self,
        link: LinkId,
        lane: usize,
        cargo: Cargo,
        now: Time,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        let purpose = it.purpose;
        if it.gone.iter().any(|gone| *gone) && !matches!(cargo, Cargo::Closed) {
            return;
        }
        let Some(way) = it.lanes.get_mut(lane) else {
            return;
        };
        let ready = way
            .last
            .max(now + dice.between(self.latency.0, self.latency.1));
        way.last = ready;
        way.queue.push_back((ready, cargo));
        let swaps = mutated(Boundary::LinkSwaps) && purpose == Purpose::Session;
        if swaps && way.queue.len() > 1 && dice.permille(100) {
            let newest = way.queue.len() - 1;
            way.queue.swap(newest, newest - 1);
        }
        agenda.put(ready, Event::Arrive { link, lane });
    }

    /// The next cargo of a lane, if its time has come and the way is open.
    pub(crate) fn take(&mut self, link: LinkId, lane: usize, now: Time) -> Arrival {
        let Some(it) = self.links.get(&link) else {
            return Arrival::Nothing;
        };
        let (from, to) = (it.ends[lane % 2], it.ends[(lane + 1) % 2]);
        let (purpose, open) = (it.purpose, self.passes(from, to));
        let Some(it) = self.links.get_mut(&link) else {
            return Arrival::Nothing;
        };
        let way = &mut it.lanes[lane % 2];
        match way.queue.front() {
            None => Arrival::Nothing,
            Some(_) if !open => Arrival::Later(now + RETRY),
            Some((ready, _)) if *ready > now => Arrival::Later(*ready),
            Some(_) => {
                let Some((_, cargo)) = way.queue.pop_front() else {
                    return Arrival::Nothing;
                };
                if matches!(cargo, Cargo::Closed) {
                    self.links.remove(&link);
                }
                Arrival::Cargo {
                    purpose,
                    from,
                    to,
                    cargo,
                }
            }
        }
    }

    /// To whom the next cargo of a lane goes.
    pub(crate) fn receiver(&self, link: LinkId, lane: usize) -> Option<End> {
        Some(self.links.get(&link)?.ends[(lane + 1) % 2])
    }

    /// `end` closes the link, after what it has sent; with `torn`, some of that is lost. The other end hears of it `after` that.
    pub(crate) fn close(
        &mut self,
        link: LinkId,
        end: End,
        (now, after, torn): (Time, Time, bool),
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        let Some(lane) = self.lane_of(link, end) else {
            return;
        };
        let Some(it) = self.links.get_mut(&link) else {
            return;
        };
        if it.gone[lane] {
            return;
        }
        if it.gone[1 - lane] {
            self.links.remove(&link);
            return;
        }
        it.gone[lane] = true;
        it.lanes[1 - lane].queue.clear();
        if torn {
            let kept = dice.below(it.lanes[lane].queue.len() as u64 + 1);
            it.lanes[lane]
                .queue
                .truncate(usize::try_from(kept).unwrap_or(0));
        }
        self.push(link, lane, Cargo::Closed, now + after, dice, agenda);
    }

    /// The network breaks a link: each end hears of it, at its own time, and a part of what was under way arrives before.
    pub(crate) fn sever(&mut self, link: LinkId, now: Time, dice: &mut Dice, agenda: &mut Agenda) {
        let Some(it) = self.links.remove(&link) else {
            return;
        };
        let Link {
            purpose,
            ends,
            lanes,
            ..
        } = it;
        // Two halves, each of which has one end left: what one end hears does not depend on the other any more.
        for (lane, mut way) in lanes.into_iter().enumerate() {
            let kept = dice.below(way.queue.len() as u64 + 1);
            way.queue.truncate(usize::try_from(kept).unwrap_or(0));
            let mut rest = [Lane::default(), Lane::default()];
            let mut gone = [false; 2];
            rest[lane] = way;
            gone[lane] = true;
            let half = self.half_of(link, lane);
            for (ready, _) in &rest[lane].queue {
                agenda.put((*ready).max(now), Event::Arrive { link: half, lane });
            }
            self.links.insert(
                half,
                Link {
                    purpose,
                    ends,
                    lanes: rest,
                    gone,
                },
            );
            let after = dice.between(0, 300 * MS);
            self.push(half, lane, Cargo::Closed, now + after, dice, agenda);
        }
    }

    /// Both halves of a broken link are known to their ends by its number.
    const fn half_of(&self, link: LinkId, lane: usize) -> LinkId {
        (link & !HALVES) | if lane == 0 { FIRST_HALF } else { SECOND_HALF }
    }

    /// The links of a purpose that are whole.
    pub(crate) fn whole(&self, purpose: Purpose) -> Vec<LinkId> {
        let whole = |link: &Link| link.purpose == purpose && !link.gone.iter().any(|gone| *gone);
        let links = self.links.iter().filter(|(_, link)| whole(link));
        links.map(|(id, _)| *id).collect()
    }

    /// True when there is a whole link between these ends.
    pub(crate) fn is_linked(&self, purpose: Purpose, ends: [End; 2]) -> bool {
        let whole = |link: &Link| !link.gone.iter().any(|gone| *gone);
        self.links
            .values()
            .any(|link| link.purpose == purpose && link.ends == ends && whole(link))
    }

    /// All links that end at `end`.
    pub(crate) fn links_of(&self, end: End) -> Vec<LinkId> {
        let here = |link: &Link| link.ends.contains(&end);
        let links = self.links.iter().filter(|(_, link)| here(link));
        links.map(|(id, _)| *id).collect()
    }
}

/// Marks of the halves of a broken link.
const FIRST_HALF: LinkId = 1 << 62;
const SECOND_HALF: LinkId = 1 << 61;
const HALVES: LinkId = FIRST_HALF | SECOND_HALF;

/// The number by which the ends know a link.
pub(crate) const fn known_as(link: LinkId) -> LinkId {
    link & !HALVES
}
