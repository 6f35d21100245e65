//! What kind of world a seed makes: how many members, how fast, how much breaks.
//!
//! What does not live here: what happens in it.

use rookeeper_node::ensemble::holding_back::ObserverWaits;
use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::epoch::LAST_COUNTER;
use rookeeper_quorum::leader::sync_limits::SyncLimits;

use crate::agenda::{MS, Time};
use crate::dice::Dice;

/// A tick of the members, ms: shorter than usual, so that a minute of virtual time sees more.
pub(crate) const TICK_MS: i64 = 200;
/// Between two looks of a member at its clock, ms.
pub(crate) const TICK_INTERVAL_MS: i64 = 50;
/// Ticks for joining.
pub(crate) const INIT_LIMIT: i64 = 10;
/// Ticks for an answer.
pub(crate) const SYNC_LIMIT: i64 = 5;
/// One learner at a time: an observer has to come again whenever another member is being synchronized.
pub(crate) const SYNC_LIMITS: SyncLimits = SyncLimits {
    states: 1,
    differences: 1,
};
/// The longest pauses of an observer.
pub(crate) const OBSERVER_WAITS: ObserverWaits = ObserverWaits {
    look: TICK_MS,
    connect: TICK_MS / 4,
};
/// The longest session timeout, in ticks.
pub(crate) const LONGEST_SESSION: i64 = 20;
/// How long things break.
const TROUBLE: (Time, Time) = (6_000 * MS, 30_000 * MS);

/// Where short epochs end: a leader gives up several times in a history, and yet there is time for some work.
const SHORT_EPOCH: (i64, i64) = (6, 120);

/// What breaks most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Everything, evenly.
    Mixed,
    /// Leaders lose their followers, and find others when they come back: histories part.
    Duel,
}

/// Settings of a world.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) voters: i64,
    pub(crate) observers: i64,
    pub(crate) clients: usize,
    /// Transactions that a leader remembers.
    pub(crate) window: usize,
    /// Records between two snapshots.
    pub(crate) snapshot_every: u64,
    /// A log is rolled beyond this, bytes.
    pub(crate) log_limit: u64,
    /// How long a message is under way.
    pub(crate) latency: (Time, Time),
    /// How long a sync takes.
    pub(crate) sync: (Time, Time),
    /// Between two steps of a client.
    pub(crate) step: (Time, Time),
    /// Requests of one client in flight.
    pub(crate) depth: u64,
    pub(crate) mood: Mood,
    /// Between two faults.
    pub(crate) fault: (Time, Time),
    /// When everything is mended.
    pub(crate) heal: Time,
    pub(crate) pace: Pace,
    /// A leader sends whole states only.
    pub(crate) force_snapshot: bool,
    /// Logs are read for learners.
    pub(crate) logs_are_used: bool,
    /// The counter of an epoch's last transaction.
    pub(crate) last_counter: u32,
    /// Answers of the disk are the next inputs; else elections go before them.
    pub(crate) answers_first: bool,
}

impl Plan {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let last_counter = last_counter(dice);
        let five = dice.permille(250);
        let quick = dice.permille(700);
        Self {
            voters: if five { 5 } else { 3 },
            observers: i64::from(dice.permille(250)),
            clients: 2 + dice.below(3) as usize,
            window: 1 + dice.below(40) as usize,
            snapshot_every: 20 + dice.below(120),
            log_limit: 2048 + dice.below(16_384),
            latency: if quick { (100, 2 * MS) } else { (100, 25 * MS) },
            sync: if dice.permille(700) {
                (200, 4 * MS)
            } else {
                (MS, 40 * MS)
            },
            step: (2 * MS, 60 * MS),
            depth: 1 + dice.below(5),
            mood: if dice.permille(400) {
                Mood::Duel
            } else {
                Mood::Mixed
            },
            fault: (60 * MS, (400 + dice.between(0, 1200)) * MS),
            heal: dice.between(TROUBLE.0, TROUBLE.1),
            pace: Pace {
                max_interval: if dice.permille(500) { 60_000 } else { 1_600 },
                ..Pace::default()
            },
            force_snapshot: dice.permille(40),
            logs_are_used: dice.permille(700),
            answers_first: dice.permille(500),
            last_counter,
        }
    }

    /// All servers.
    pub(crate) fn servers(&self) -> Vec<ServerId> {
        (1..=self.voters + self.observers).map(ServerId).collect()
    }

    pub(crate) const fn is_voter(&self, server: ServerId) -> bool {
        server.0 <= self.voters
    }

    /// The configuration as members read it.
    pub(crate) fn membership(&self) -> String {
        let line = |server: &ServerId| {
            let role = if self.is_voter(*server) {
                "participant"
            } else {
                "observer"
            };
            let id = server.0;
            format!("server.{id}=127.0.0.1:{}:{}:{role}", 2000 + id, 3000 + id)
        };
        let lines: Vec<String> = self.servers().iter().map(line).collect();
        format!("{}\nversion=0", lines.join("\n"))
    }
}

/// In some worlds epochs are short. No epoch can begin near the end of its counter, since members and files expect its first
/// transaction to be number 1; so here the end comes near.
fn last_counter(dice: &Dice) -> u32 {
    // Dice of its own: neither does it depend on what else is chosen, nor does that change with it.
    let mut dice = Dice::new(!dice.clone().any());
    if dice.permille(150) {
        let end = dice.between(SHORT_EPOCH.0, SHORT_EPOCH.1);
        u32::try_from(end).unwrap_or(LAST_COUNTER)
    } else {
        LAST_COUNTER
    }
}
