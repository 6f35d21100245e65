//! A server of the ensemble test: its disk, which loses what was not synced, and the role it is in.

use std::collections::VecDeque;

use rookeeper_proto::ids::Zxid;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::committed::{CommittedWindow, Entry};
use rookeeper_quorum::election::Election;
use rookeeper_quorum::leader::Leader;
use rookeeper_quorum::learner::Learner;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::sync_plan::LogAround;
use rookeeper_quorum::vote::History;

/// Transactions that a leader keeps in its window: few, so that logs and images are used too.
const WINDOW: usize = 6;

/// Something on its way to the disk. What concerns the log is done in order; an epoch, which is another file, may overtake it.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// The log up to here.
    Sync(Zxid),
    Accepted(i64),
    Current(i64),
    Truncate(Zxid),
    SaveImage(Zxid),
}

/// What a disk holds. The state is the list of the transactions that made it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) snapshot: Vec<Entry>,
    pub(crate) log: Vec<Entry>,
    durable: usize,
    pub(crate) accepted: i64,
    pub(crate) current: i64,
}

impl Disk {
    pub(crate) fn history(&self) -> Vec<Entry> {
        self.snapshot.iter().chain(&self.log).cloned().collect()
    }

    pub(crate) fn last(&self) -> Zxid {
        let last = self.log.last().or_else(|| self.snapshot.last());
        last.map_or(Zxid::ZERO, |entry| entry.zxid)
    }

    /// The power goes: of what was not synced, the first `lucky` records are there by chance.
    pub(crate) fn lose(&mut self, lucky: usize) {
        self.log.truncate(self.durable + lucky);
        self.durable = self.log.len();
    }

    pub(crate) fn sync(&mut self, zxid: Zxid) {
        let upto = self
            .log
            .iter()
            .take_while(|entry| entry.zxid <= zxid)
            .count();
        self.durable = self.durable.max(upto);
    }

    /// False when the place to cut is not known exactly.
    pub(crate) fn truncate(&mut self, zxid: Zxid) -> bool {
        let in_log = self.log.iter().position(|entry| entry.zxid == zxid);
        let in_snapshot = self.snapshot.last().map_or(Zxid::ZERO, |entry| entry.zxid) == zxid;
        let keep = match (in_log, in_snapshot) {
            (Some(at), _) => at + 1,
            (None, true) => 0,
            (None, false) => return false,
        };
        self.log.truncate(keep);
        self.durable = keep;
        true
    }

    pub(crate) fn save_image(&mut self, state: &[Entry]) {
        self.snapshot = state.to_vec();
        self.log.clear();
        self.durable = 0;
    }

    pub(crate) fn window(&self) -> CommittedWindow {
        let base = self.snapshot.last().map_or(Zxid::ZERO, |entry| entry.zxid);
        let mut window = CommittedWindow::new(base, WINDOW);
        for entry in &self.log {
            window.push(entry.clone()).expect("a log has no hole");
        }
        window
    }

    pub(crate) fn around(&self, peer: Zxid) -> Option<LogAround> {
        let at_or_before = self.log.iter().rev().find(|entry| entry.zxid <= peer)?.zxid;
        let behind = self
            .log
            .iter()
            .find(|entry| entry.zxid > peer)
            .map(|entry| entry.zxid);
        Some(LogAround {
            at_or_before,
            behind,
            unbroken_to: self.last(),
            is_cheap: true,
        })
    }
}

/// What travels from a leader to a learner.
#[derive(Debug, Clone)]
pub(crate) enum ToLearner {
    Said(FromLeader),
    Image(Vec<Entry>),
}

/// A connection to a leader's quorum port, both ways in order.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) learner: i64,
    pub(crate) leader: i64,
    pub(crate) to_leader: VecDeque<(i64, FromLearner)>,
    pub(crate) to_learner: VecDeque<(i64, ToLearner)>,
}

/// What a server is doing.
pub(crate) enum Role {
    Looking,
    Leading(Leader),
    /// Tries to connect.
    Dialing {
        leader: i64,
        at: i64,
        tries: u32,
        ask_for_image: bool,
    },
    Following(Learner, LearnerId),
}

pub(crate) struct Member {
    /// `None` while it is down.
    pub(crate) election: Option<Election>,
    pub(crate) role: Role,
    pub(crate) disk: Disk,
    pub(crate) writes: VecDeque<(i64, Write)>,
    pub(crate) epochs: VecDeque<(i64, Write)>,
    /// The state in memory.
    pub(crate) applied: Vec<Entry>,
    pub(crate) serving: bool,
    pub(crate) tick_at: i64,
}

impl Member {
    pub(crate) const fn new() -> Self {
        Self {
            election: None,
            role: Role::Looking,
            disk: Disk {
                snapshot: Vec::new(),
                log: Vec::new(),
                durable: 0,
                accepted: 0,
                current: 0,
            },
            writes: VecDeque::new(),
            epochs: VecDeque::new(),
            applied: Vec::new(),
            serving: false,
            tick_at: 0,
        }
    }

    pub(crate) fn durable(&self) -> History {
        History {
            epoch: self.disk.current,
            last: self.disk.last(),
        }
    }

    /// A role ends: the log is made durable, and memory is what the disk says.
    pub(crate) fn settle(&mut self) {
        while let Some(write) = self.finished(i64::MAX) {
            self.perform(&write);
        }
        self.disk.sync(Zxid(i64::MAX));
        self.applied = self.disk.history();
        self.role = Role::Looking;
        self.serving = false;
    }

    /// The next write that is finished by now.
    pub(crate) fn finished(&mut self, now: i64) -> Option<Write> {
        let finished =
            |writes: &mut VecDeque<(i64, Write)>| writes.pop_front_if(|(at, _)| *at <= now);
        let (_, write) = finished(&mut self.epochs).or_else(|| finished(&mut self.writes))?;
        Some(write)
    }

    /// Does a write; false when it could not be done.
    pub(crate) fn perform(&mut self, write: &Write) -> bool {
        match write {
            Write::Sync(zxid) => self.disk.sync(*zxid),
            Write::Accepted(epoch) => self.disk.accepted = *epoch,
            Write::Current(epoch) => self.disk.current = *epoch,
            Write::Truncate(zxid) => {
                let done = self.disk.truncate(*zxid);
                self.applied = self.disk.history();
                return done;
            }
            Write::SaveImage(_) => self.disk.save_image(&self.applied),
        }
        assert!(
            self.disk.current <= self.disk.accepted,
            "an epoch was taken over and not promised"
        );
        true
    }
}
