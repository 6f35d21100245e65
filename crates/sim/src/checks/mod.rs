//! What must hold, one file for each property, and what they are shown.
//!
//! Checks see what an omniscient observer would see. They know the history from the transactions themselves ([`ledger`]), and
//! nothing from the code that they judge, except for what a transaction does to a tree.

mod counter;
mod digest;
mod durable;
mod ephemeral;
mod epochs;
mod expiry;
mod fifo;
mod fresh_reads;
pub(crate) mod ledger;
mod one_leader;
mod one_log;
mod order;
mod progress;
mod quorum_disks;
mod real_time;
mod timely_reads;
mod watches;

use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::txn::TxnHeader;
use rookeeper_quorum::committed::Entry;
use rookeeper_tree::tree::Tree;

use crate::agenda::{Time, Who};
use crate::plan::Plan;
use crate::workload::answer::Answer;
use crate::workload::ask::Ask;
use ledger::Ledger;

/// A client, and which of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) client: usize,
    pub(crate) session: SessionId,
    pub(crate) xid: i32,
}

/// One thing that an observer sees.
#[derive(Debug)]
pub(crate) enum Seen<'a> {
    /// A member begins with what is on its disk.
    Started {
        who: Who,
        tree: &'a Tree,
        last: Zxid,
    },
    /// What the epoch files say now.
    Epochs {
        server: ServerId,
        accepted: i64,
        current: i64,
    },
    /// A member is told that an epoch is written, and goes on to tell others.
    Promised { server: ServerId, epoch: i64 },
    /// The same for the epoch of its history.
    Entered { server: ServerId, epoch: i64 },
    /// A member lost its disk, or what is on it cannot be trusted any more.
    Wiped(ServerId),
    /// A member wants a record in its log, behind `after`.
    Logged {
        who: Who,
        after: Zxid,
        entry: &'a Entry,
    },
    /// Everything up to there is on the disk.
    Durable { server: ServerId, last: Zxid },
    /// The history of a member ends elsewhere now.
    Replaced { who: Who, tree: &'a Tree },
    /// A transaction was applied; `committed` says that clients may see it.
    Applied {
        who: Who,
        header: &'a TxnHeader,
        tree: &'a Tree,
        committed: bool,
        as_promised: bool,
    },
    /// Clients are served.
    Serves {
        who: Who,
        leads: bool,
        epoch: i64,
        /// Of a leader: as it is before the epoch begins.
        tree: &'a Tree,
    },
    /// A leader begins its epoch.
    Begins { who: Who, beginning: Zxid },
    /// A client is told that it has this session.
    Accepted {
        server: ServerId,
        session: SessionId,
        tree: &'a Tree,
    },
    /// A client has a session at this server.
    Attached { session: SessionId, timeout_ms: i32 },
    /// A client has lost its connection.
    Detached { client: usize },
    /// A client asks.
    Asked { of: Of, ask: &'a Ask },
    /// A client is answered.
    Answered {
        of: Of,
        /// By whom.
        server: ServerId,
        ask: &'a Ask,
        /// When it asked.
        asked: Time,
        zxid: Zxid,
        answer: &'a Answer,
    },
    /// An answer came out of its turn.
    Strange { client: usize, xid: i32 },
    /// A client hears of a change.
    Event {
        client: usize,
        zxid: Zxid,
        kind: i32,
        path: &'a str,
    },
    /// The monotonic clock of a member stood still for a while.
    ClockStopped(ServerId),
    /// Nothing fails any more, and nothing moves.
    Settled { server: ServerId, tree: &'a Tree },
    /// There was enough time.
    Late(&'a str),
}

/// A property.
pub(crate) trait Check: std::fmt::Debug {
    /// Looks at what was seen; says what is wrong.
    fn see(&mut self, now: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String>;
}

/// All properties, and the history that they are judged by.
#[derive(Debug)]
pub(crate) struct Checks {
    ledger: Ledger,
    all: Vec<(&'static str, Box<dyn Check>)>,
}

impl Checks {
    pub(crate) fn new(plan: &Plan) -> Self {
        let all: Vec<(&'static str, Box<dyn Check>)> = vec![
            ("one log", Box::<one_log::OneLog>::default()),
            ("order", Box::<order::Order>::default()),
            ("digest", Box::<digest::Digest>::default()),
            ("one leader", Box::<one_leader::OneLeader>::default()),
            (
                "quorum disks",
                Box::new(quorum_disks::QuorumDisks::new(plan)),
            ),
            ("epochs", Box::<epochs::Epochs>::default()),
            ("counter", Box::new(counter::Counter::new(plan))),
            ("ephemeral", Box::<ephemeral::Ephemeral>::default()),
            ("expiry", Box::<expiry::Expiry>::default()),
            ("fifo", Box::<fifo::Fifo>::default()),
            ("fresh reads", Box::<fresh_reads::FreshReads>::default()),
            ("real time", Box::<real_time::RealTime>::default()),
            ("timely reads", Box::<timely_reads::TimelyReads>::default()),
            ("watches", Box::<watches::Watches>::default()),
            ("durable", Box::<durable::Durable>::default()),
            ("progress", Box::<progress::Progress>::default()),
        ];
        Self {
            ledger: Ledger::default(),
            all,
        }
    }

    pub(crate) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn see(&mut self, now: Time, seen: &Seen<'_>) -> Result<(), String> {
        self.ledger
            .see(seen)
            .map_err(|wrong| format!("history: {wrong}"))?;
        for (name, check) in &mut self.all {
            check
                .see(now, &self.ledger, seen)
                .map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        Ok(())
    }
}
