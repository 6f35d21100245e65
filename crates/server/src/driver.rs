//! The loop around the member: take what has arrived, let the member decide, perform the effects in order, one fsync per batch.
//!
//! One thread. It is the only writer of the tree and of the log. While it waits for the disk, requests gather in the inbox and
//! share the next fsync.
//!
//! Invariants:
//! - `Synced` is told only after the log answered for every record appended before.
//! - Events and replies of a transaction are in the mailboxes before the write guard of the tree is let go.
//! - After the first failure of the log nothing is acknowledged any more.

mod answers;
pub mod ensemble;
pub mod history;
pub mod history_task;
mod room;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rookeeper_database::database::Database;
use rookeeper_node::delivery::{self, Deliveries};
use rookeeper_node::effect::{Committed, Effect, Notice};
use rookeeper_node::ensemble::batch::Batch;
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_node::input::{Input, Now};
use rookeeper_node::sessions::Sessions;
use rookeeper_node::standalone::Standalone;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::request::Write;
use rookeeper_storage::epoch_files::EpochError;
use rookeeper_storage::log_writer::LogError;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::connections::Connections;
use crate::election_port::ElectionPortError;
use crate::inbox::{Inbox, Message};
use crate::mailbox::Mailbox;
use crate::metrics::{LastingCounter, Metrics, Summary};
use crate::replica::Replica;
use crate::snapshots::Snapshots;
use crate::words::RoleReport;
use ensemble::Ensemble;
use history_task::HistoryError;
use room::wait_for_room;

/// Transactions applied under one write guard: readers wait that long at most.
const APPLY_CHUNK: usize = 256;
/// The digest history has an entry for each zxid that this divides, so that members can be compared.
const HASH_INTERVAL: i64 = 128;
/// Entries of the digest history.
const HASH_HISTORY: usize = 1024;

/// What operators may know of the driver.
#[derive(Debug, Clone, Default)]
pub struct DriverReport {
    /// Expiry buckets: monotonic ms, and the sessions that end then.
    pub buckets: Vec<(i64, Vec<SessionId>)>,
    /// zxid and digest of every 128th transaction, oldest first.
    pub hashes: Vec<(Zxid, i64)>,
}

/// Figures that anybody may read at any time.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Requests received by connections and not answered.
    pub outstanding: AtomicUsize,
    /// The log has no room: writes are refused.
    pub disk_full: AtomicBool,
    /// Transactions whose digest the tree did not have.
    pub digest_mismatches: AtomicUsize,
    /// Snapshots written.
    pub snapshots: AtomicUsize,
    /// The part this server plays. Whoever drives a member of an ensemble publishes it here, before anything of it can be seen.
    /// The lock is taken alone.
    pub role: Mutex<RoleReport>,
}

/// Everything the loop needs.
#[derive(Debug)]
pub struct Driver {
    /// What decides.
    pub part: Part,
    /// What it decides about.
    pub replica: Arc<Replica>,
    /// Where records go; away while something is done to the history as a whole.
    pub database: Option<Database>,
    /// When to write snapshots, and how.
    pub snapshots: Snapshots,
    /// Where inputs come from.
    pub inbox: Arc<Inbox>,
    /// Where replies go.
    pub connections: Arc<Connections>,
    /// Time.
    pub clock: Clock,
    /// Figures for others.
    pub gauges: Arc<Gauges>,
    /// Figures for `mntr`.
    pub metrics: Arc<Metrics>,
    /// Time between two ticks of the member.
    pub tick_interval: Duration,
    /// A sync longer than this is logged.
    pub slow_sync: Duration,
    /// Whether digests mean anything.
    pub digests: Digests,
}

/// A state that a Java leader sends shows parts of transactions that are still to come, so its digest is that of no transaction,
/// until they have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digests {
    /// Every transaction tells the digest of the tree.
    #[default]
    Exact,
    /// They differ until they agree once.
    Fuzzy,
}

impl Digests {
    /// True when a digest that is not the `same` is a fault.
    const fn is_wrong(&mut self, same: bool) -> bool {
        if same {
            *self = Self::Exact;
        }
        !same && matches!(self, Self::Exact)
    }
}

/// What this server is.
#[derive(Debug)]
pub enum Part {
    /// Alone.
    Standalone(Box<Standalone>),
    /// One of several.
    Ensemble(Box<Ensemble>),
}

/// Why the loop cannot go on: what the disk holds is not known, or cannot be used.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A promise could not be made durable.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The history could not be cut, replaced or loaded.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What wakes the loop while it listens to other servers.
    #[error("cannot wait for other servers: {0}")]
    Bell(#[source] io::Error),
    /// Nobody can ask this member whom it votes for.
    #[error(transparent)]
    Election(Arc<ElectionPortError>),
}

/// How the loop ended.
pub type Ended = Result<(), DriverError>;

struct Turn {
    messages: Vec<Message>,
    effects: Vec<Effect>,
    batch: Batch,
    /// What answers effects that were performed.
    answers: VecDeque<MemberInput>,
    /// When this turn began.
    now: Now,
    to_apply: Vec<Committed>,
    deliveries: Deliveries,
    touched: Vec<Arc<Mailbox>>,
    hashes: VecDeque<(Zxid, i64)>,
    appended: Option<Zxid>,
    /// Room in the log that a batch wanted and did not get, bytes.
    room_wanted: usize,
    stopping: bool,
}

impl Driver {
    /// Runs until told to stop, or until the log fails.
    pub fn run(mut self) -> Ended {
        match self.serve() {
            Ok(()) => self.roll(),
            Err(DriverError::Log(LogError::Full(why))) => {
                warn!(error = %why, "stopping while the disk is full: what waited for the log was never acknowledged");
                Ok(())
            }
            failed => failed,
        }
    }

    fn roll(&mut self) -> Ended {
        if let Some(database) = &mut self.database {
            database.log.roll()?;
        }
        Ok(())
    }

    fn serve(&mut self) -> Ended {
        let mut turn = Turn {
            messages: Vec::new(),
            effects: Vec::new(),
            batch: Batch::default(),
            answers: VecDeque::new(),
            now: self.clock.now(),
            to_apply: Vec::new(),
            deliveries: Deliveries::default(),
            touched: Vec::new(),
            hashes: VecDeque::new(),
            appended: None,
            room_wanted: 0,
            stopping: false,
        };
        self.begin(&mut turn)?;
        let mut next_tick = Instant::now() + self.tick_interval;
        while !turn.stopping {
            let patience = next_tick.saturating_duration_since(Instant::now());
            let patience = patience.min(self.until_deadline());
            self.wait(patience, &mut turn);
            turn.now = self.clock.now();
            self.make_room(&mut turn)?;
            self.take_messages(&mut turn)?;
            if Instant::now() >= next_tick {
                self.tick(&mut turn)?;
                next_tick = Instant::now() + self.tick_interval;
            }
            self.tick_member(&mut turn)?;
            self.perform(&mut turn)?;
            self.sync(&mut turn)?;
            self.publish();
        }
        Ok(())
    }

    /// Hands one input to whoever decides, who sees everything applied that is committed.
    fn decide(&mut self, input: Input, turn: &mut Turn) -> Ended {
        match &mut self.part {
            Part::Standalone(member) => {
                let tree = self.replica.tree.read();
                member.handle(&tree, turn.now, input, &mut turn.effects);
                Ok(())
            }
            Part::Ensemble(_) => self.hear(MemberInput::Local(input), turn),
        }
    }

    fn take_messages(&mut self, turn: &mut Turn) -> Ended {
        let replica = Arc::clone(&self.replica);
        let mut messages = std::mem::take(&mut turn.messages);
        replica.tree.read().warm(messages.iter().flat_map(paths_in));
        let Part::Standalone(member) = &mut self.part else {
            return self.take_as_member(messages, turn);
        };
        let tree = replica.tree.read();
        let mut others = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Input(input) => member.handle(&tree, turn.now, input, &mut turn.effects),
                other => others.push(other),
            }
        }
        drop(tree);
        others.into_iter().for_each(|other| self.note(other, turn));
        turn.messages = messages;
        Ok(())
    }

    /// What is no business of whoever decides.
    fn note(&mut self, message: Message, turn: &mut Turn) {
        match message {
            Message::SnapshotEnded => self.snapshots.ended(),
            Message::Stop => turn.stopping = true,
            Message::Report(answer) => {
                let sessions = match &self.part {
                    Part::Standalone(member) => Some(member.sessions()),
                    Part::Ensemble(ensemble) => ensemble.member.sessions(),
                };
                let buckets = sessions.map_or_else(Vec::new, Sessions::buckets);
                let hashes = turn.hashes.iter().copied().collect();
                // The asker may have gone.
                let _ = answer.send(DriverReport { buckets, hashes });
            }
            // Only members of ensembles are sent those.
            _ => {}
        }
    }

    fn tick(&mut self, turn: &mut Turn) -> Ended {
        if self.is_busy() {
            return Ok(());
        }
        let heard = self
            .connections
            .open()
            .values()
            .filter_map(|c| c.mailbox.newly_heard())
            .collect();
        self.decide(Input::Heard(heard), turn)?;
        if self.is_busy() {
            return Ok(());
        }
        self.decide(Input::Tick, turn)
    }

    /// Performs the effects in order, and what they bring about. Transactions to apply are gathered, and applied before anything
    /// that follows them.
    fn perform(&mut self, turn: &mut Turn) -> Ended {
        let mut effects = std::mem::take(&mut turn.effects);
        for effect in effects.drain(..) {
            self.perform_one(effect, turn)?;
        }
        turn.effects = effects;
        if let Part::Ensemble(_) = self.part {
            self.perform_as_member(turn)?;
        }
        self.apply(turn);
        // Before other servers are written to, which takes longer than an answer does.
        match turn.touched.as_slice() {
            [only] => only.hand_over(),
            several => several.iter().for_each(|mailbox| mailbox.wake()),
        }
        turn.touched.clear();
        self.send();
        Ok(())
    }

    fn perform_one(&mut self, effect: Effect, turn: &mut Turn) -> Ended {
        match effect {
            Effect::Apply(committed) => turn.to_apply.push(committed),
            Effect::Append { zxid, record } => {
                let Some(database) = &mut self.database else {
                    return Err(HistoryError::Away(zxid).into());
                };
                wait_for_room(&self.inbox, || database.log.append(zxid, &record))?;
                turn.appended = Some(zxid);
                self.snapshots.note_appended(record.len());
            }
            Effect::Connected {
                conn,
                response,
                read_only,
            } => {
                self.apply(turn);
                if !self.went_on(conn, &response) {
                    self.answer_connect(conn, response, read_only, &mut turn.touched);
                }
            }
            Effect::Refuse {
                to,
                session,
                zxid,
                code,
            } => {
                self.apply(turn);
                self.refuse(&to, session, (zxid, code), &mut turn.touched);
            }
            Effect::Answer {
                conn,
                session,
                reads,
            } => {
                self.apply(turn);
                self.answer(conn, session, &reads, &mut turn.touched);
            }
            Effect::Close { conn, why } => {
                self.apply(turn);
                self.close(conn, why);
            }
            Effect::Notice(notice) => log_notice(notice),
        }
        Ok(())
    }

    /// Makes what was appended durable, tells the member, and performs what follows.
    fn sync(&mut self, turn: &mut Turn) -> Ended {
        let (Some(zxid), Some(database)) = (turn.appended.take(), &mut self.database) else {
            return Ok(());
        };
        let started = Instant::now();
        wait_for_room(&self.inbox, || database.log.sync())?;
        self.note_sync(started.elapsed());
        turn.now = self.clock.now();
        self.decide(Input::Synced(zxid), turn)?;
        self.perform(turn)?;
        if self.snapshots.due()
            && let Some(database) = &mut self.database
        {
            self.snapshots
                .begin(database, &self.replica, &self.inbox, &self.gauges)?;
        }
        Ok(())
    }

    fn note_sync(&self, took: Duration) {
        self.metrics.record(
            Summary::Fsynctime,
            u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        );
        if took > self.slow_sync {
            self.metrics
                .count_lasting(LastingCounter::FsyncThresholdExceeded);
            let file = self.database.as_ref().and_then(|d| d.log.current_file());
            let size = file.map_or(0, |(_, size)| size);
            warn!(
                "fsync-ing the write ahead log took {}ms which will adversely effect operation latency. File size is {size} bytes.",
                took.as_millis()
            );
        }
    }

    fn apply(&mut self, turn: &mut Turn) {
        let to_apply = std::mem::take(&mut turn.to_apply);
        for chunk in to_apply.chunks(APPLY_CHUNK) {
            self.apply_chunk(chunk, turn);
        }
        turn.to_apply = to_apply;
        turn.to_apply.clear();
    }

    fn apply_chunk(&mut self, chunk: &[Committed], turn: &mut Turn) {
        let mut tree = self.replica.tree.write();
        let mut watches = self.replica.watches.0.lock();
        for committed in chunk {
            let (auth, out) = (&self.replica.auth, &mut turn.deliveries);
            let same = delivery::commit(committed, &mut tree, &mut watches, auth, out);
            if self.digests.is_wrong(same) {
                self.gauges
                    .digest_mismatches
                    .fetch_add(1, Ordering::Relaxed);
                error!(zxid = %committed.header.zxid, "the digest of the tree is not the one its transaction promised");
            }
            if committed.header.zxid.0 % HASH_INTERVAL == 0 {
                if turn.hashes.len() == HASH_HISTORY {
                    turn.hashes.pop_front();
                }
                turn.hashes
                    .push_back((committed.header.zxid, tree.digest()));
            }
        }
        drop(watches);
        self.deliver(&turn.deliveries, &mut turn.touched);
        turn.deliveries.clear();
        drop(tree);
    }
}

fn paths_in(message: &Message) -> impl Iterator<Item = &str> {
    let write = match message {
        Message::Input(Input::Write(request)) => Some(&request.write),
        _ => None,
    };
    write.into_iter().flat_map(Write::paths)
}

fn log_notice(notice: Notice) {
    match notice {
        Notice::Expiring {
            session,
            timeout_ms,
        } => {
            info!("Expiring session {session}, timeout of {timeout_ms}ms exceeded");
        }
        Notice::OverSoftQuota { path } => {
            warn!("Quota exceeded: {path} is beyond its soft limit");
        }
        Notice::Stalled { ms } => {
            warn!("this process stood still for {ms}ms; session timeouts are extended by as much");
        }
    }
}
