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

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rookeeper_node::delivery::{self, Deliveries};
use rookeeper_node::effect::{Committed, Effect, Notice};
use rookeeper_node::input::Input;
use rookeeper_node::limits::RECORD_OVERHEAD;
use rookeeper_node::standalone::Standalone;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::request::Write;
use rookeeper_storage::log_writer::{LogError, LogWriter};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::connections::Connections;
use crate::inbox::{Inbox, Message};
use crate::mailbox::Mailbox;
use crate::metrics::{LastingCounter, Metrics, Summary};
use crate::replica::Replica;
use crate::snapshots::Snapshots;
use crate::words::RoleReport;

/// Room in the log that is made sure of before a batch is judged, bytes, besides what the batch itself announces: sessions that
/// end with all their ephemerals announce nothing.
const LOG_HEADROOM: usize = 4 * 1024 * 1024;
/// Transactions applied under one write guard: readers wait that long at most.
const APPLY_CHUNK: usize = 256;
/// Pause before a full disk is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(100);
/// Transactions per entry of the digest history.
const HASH_INTERVAL: u64 = 128;
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
    pub member: Standalone,
    /// What it decides about.
    pub replica: Arc<Replica>,
    /// Where records go.
    pub log: LogWriter,
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
}

/// How the loop ended.
pub type Ended = Result<(), LogError>;

struct Turn {
    messages: Vec<Message>,
    effects: Vec<Effect>,
    to_apply: Vec<Committed>,
    deliveries: Deliveries,
    touched: Vec<Arc<Mailbox>>,
    hashes: VecDeque<(Zxid, i64)>,
    applied: u64,
    appended: Option<Zxid>,
    /// Room in the log that a batch wanted and did not get, bytes.
    room_wanted: usize,
    stopping: bool,
}

impl Driver {
    /// Runs until told to stop, or until the log fails.
    pub fn run(mut self) -> Ended {
        match self.serve() {
            Ok(()) => self.log.roll().map(|_| ()),
            Err(LogError::Full(why)) => {
                warn!(error = %why, "stopping while the disk is full: what waited for the log was never acknowledged");
                Ok(())
            }
            failed => failed,
        }
    }

    fn serve(&mut self) -> Ended {
        let mut turn = Turn {
            messages: Vec::new(),
            effects: Vec::new(),
            to_apply: Vec::new(),
            deliveries: Deliveries::default(),
            touched: Vec::new(),
            hashes: VecDeque::new(),
            applied: 0,
            appended: None,
            room_wanted: 0,
            stopping: false,
        };
        let mut next_tick = Instant::now() + self.tick_interval;
        while !turn.stopping {
            let patience = next_tick.saturating_duration_since(Instant::now());
            self.inbox.take(patience, &mut turn.messages);
            self.make_room(&mut turn)?;
            self.take_messages(&mut turn);
            if Instant::now() >= next_tick {
                self.tick(&mut turn);
                next_tick = Instant::now() + self.tick_interval;
            }
            self.perform(&mut turn)?;
            self.sync(&mut turn)?;
        }
        Ok(())
    }

    /// Asks the log for room before anything is judged, and tells the member when there is none.
    fn make_room(&mut self, turn: &mut Turn) -> Ended {
        let announced: usize = turn.messages.iter().map(announced_bytes).sum();
        // Once the disk is full, writes resume when what was refused would fit: else small ones would end that state, and large ones
        // begin it again, all the time.
        let wanted = announced.max(turn.room_wanted);
        turn.room_wanted = wanted.min(LOG_HEADROOM);
        let full = match self.log.reserve(LOG_HEADROOM + wanted) {
            Ok(()) => {
                turn.room_wanted = 0;
                false
            }
            Err(LogError::Full(why)) => {
                if !self.gauges.disk_full.load(Ordering::Relaxed) {
                    error!(error = %why, "the disk is full: writes are refused, reads are served, writes resume by themselves");
                }
                true
            }
            Err(error) => return Err(error),
        };
        if self.gauges.disk_full.swap(full, Ordering::Relaxed) != full {
            if !full {
                info!("the disk has room again: writes resume");
            }
            let (now, tree) = (self.clock.now(), self.replica.tree.read());
            self.member
                .handle(&tree, now, Input::DiskFull(full), &mut turn.effects);
        }
        Ok(())
    }

    fn take_messages(&mut self, turn: &mut Turn) {
        let now = self.clock.now();
        let tree = self.replica.tree.read();
        tree.warm(turn.messages.iter().flat_map(paths_in));
        for message in turn.messages.drain(..) {
            match message {
                Message::Input(input) => self.member.handle(&tree, now, input, &mut turn.effects),
                Message::SnapshotEnded => self.snapshots.ended(),
                Message::Stop => turn.stopping = true,
                Message::Report(answer) => {
                    let buckets = self.member.sessions().buckets();
                    let hashes = turn.hashes.iter().copied().collect();
                    // The asker may have gone.
                    let _ = answer.send(DriverReport { buckets, hashes });
                }
            }
        }
    }

    fn tick(&mut self, turn: &mut Turn) {
        let heard = self
            .connections
            .open()
            .values()
            .filter_map(|c| c.mailbox.newly_heard())
            .collect();
        let (now, tree) = (self.clock.now(), self.replica.tree.read());
        self.member
            .handle(&tree, now, Input::Heard(heard), &mut turn.effects);
        self.member
            .handle(&tree, now, Input::Tick, &mut turn.effects);
    }

    /// Performs the effects in order. Transactions to apply are gathered, and applied before anything that follows them.
    fn perform(&mut self, turn: &mut Turn) -> Ended {
        let mut effects = std::mem::take(&mut turn.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Apply(committed) => turn.to_apply.push(committed),
                Effect::Append { zxid, record } => {
                    wait_for_room(&self.inbox, || self.log.append(zxid, &record))?;
                    turn.appended = Some(zxid);
                    self.snapshots.note_appended(record.len());
                }
                Effect::Connected {
                    conn,
                    response,
                    read_only,
                } => {
                    self.apply(turn);
                    self.answer_connect(conn, response, read_only, &mut turn.touched);
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
        }
        turn.effects = effects;
        self.apply(turn);
        turn.touched.drain(..).for_each(|mailbox| mailbox.wake());
        Ok(())
    }

    /// Makes what was appended durable, tells the member, and performs what follows.
    fn sync(&mut self, turn: &mut Turn) -> Ended {
        let Some(zxid) = turn.appended.take() else {
            return Ok(());
        };
        let started = Instant::now();
        wait_for_room(&self.inbox, || self.log.sync())?;
        self.note_sync(started.elapsed());
        let now = self.clock.now();
        {
            let tree = self.replica.tree.read();
            self.member
                .handle(&tree, now, Input::Synced(zxid), &mut turn.effects);
        }
        self.perform(turn)?;
        if self.snapshots.due() && self.member.in_flight() == 0 {
            self.log.roll()?;
            self.snapshots
                .begin(&self.replica, &self.inbox, &self.gauges);
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
            let size = self.log.current_file().map_or(0, |(_, size)| size);
            warn!(
                "fsync-ing the write ahead log took {}ms which will adversely effect operation latency. File size is {size} bytes.",
                took.as_millis()
            );
        }
    }

    fn apply(&self, turn: &mut Turn) {
        let to_apply = std::mem::take(&mut turn.to_apply);
        for chunk in to_apply.chunks(APPLY_CHUNK) {
            self.apply_chunk(chunk, turn);
        }
        turn.to_apply = to_apply;
        turn.to_apply.clear();
    }

    fn apply_chunk(&self, chunk: &[Committed], turn: &mut Turn) {
        let mut tree = self.replica.tree.write();
        let mut watches = self.replica.watches.0.lock();
        for committed in chunk {
            let (auth, out) = (&self.replica.auth, &mut turn.deliveries);
            if !delivery::commit(committed, &mut tree, &mut watches, auth, out) {
                self.gauges
                    .digest_mismatches
                    .fetch_add(1, Ordering::Relaxed);
                error!(zxid = %committed.header.zxid, "the digest of the tree is not the one its transaction promised");
            }
            turn.applied += 1;
            if turn.applied.is_multiple_of(HASH_INTERVAL) {
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

/// Tries again while the disk is full: what was judged must reach the log. Room was made sure of before, so this waits only when
/// there is no preallocation, or when a transaction is larger than anybody announced. Who is told to stop waits no longer.
fn wait_for_room<T>(
    inbox: &Inbox,
    mut attempt: impl FnMut() -> Result<T, LogError>,
) -> Result<T, LogError> {
    loop {
        match attempt() {
            Err(LogError::Full(why)) if !inbox.is_stopping() => {
                warn!(error = %why, "the log waits for room on the disk");
                std::thread::sleep(FULL_DISK_PAUSE);
            }
            done => return done,
        }
    }
}

fn paths_in(message: &Message) -> impl Iterator<Item = &str> {
    let write = match message {
        Message::Input(Input::Write(request)) => Some(&request.write),
        _ => None,
    };
    write.into_iter().flat_map(Write::paths)
}

fn announced_bytes(message: &Message) -> usize {
    match message {
        Message::Input(Input::Write(request)) => request.write.size_hint() * 2 + RECORD_OVERHEAD,
        Message::Input(_) => RECORD_OVERHEAD,
        Message::Report(_) | Message::SnapshotEnded | Message::Stop => 0,
    }
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
