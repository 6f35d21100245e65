//! When a snapshot is due, and writing it beside everything else.
//!
//! The tree goes on: the image takes a read guard per chunk, and what changes meanwhile is kept aside for it by the tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rookeeper_database::database::Database;
use rookeeper_database::image_file::Snapshot;
use rookeeper_node::lots::Lots;
use rookeeper_storage::disk::DiskError;
use rookeeper_storage::log_writer::LogError;
use tracing::{error, info, warn};

use crate::background::give_way;
use crate::driver::Gauges;
use crate::inbox::{Inbox, Message};
use crate::replica::Replica;

/// A snapshot begins at the earliest this many times as long after the end of the one before as that one took: at most a quarter of
/// the time, and of a core, goes into snapshots, however fast the writes come. Loading the log that is longer for it takes no
/// longer than writing the snapshot took.
const REST: u32 = 3;
/// How soon a snapshot that could not be begun is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the server waits for a snapshot to be given up: while its thread lives the directory is locked.
const STOP_PATIENCE: Duration = Duration::from_millis(300);

/// When snapshots are due.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotPace {
    /// A snapshot after a random number of transactions in (count/2, count].
    pub count: u32,
    /// The same by bytes of log; `None` is off.
    pub log_bytes: Option<u64>,
}

/// Counts towards the next snapshot.
#[derive(Debug)]
pub struct Snapshots {
    pace: SnapshotPace,
    lots: Lots,
    appended: u64,
    bytes: u64,
    due_count: u64,
    due_bytes: Option<u64>,
    /// One is due that could not be begun.
    owed: bool,
    /// When the one that is being written was begun.
    begun: Option<Instant>,
    /// The time to rest is over then.
    rested: Instant,
    /// The server ends: no more chunks.
    stop: Arc<AtomicBool>,
    /// Disconnected when the thread that writes has ended.
    thread: Option<mpsc::Receiver<()>>,
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Either way the server ends: an unfinished snapshot is swept at the next start.
            let _ = thread.recv_timeout(STOP_PATIENCE);
        }
    }
}

impl Snapshots {
    /// Counts from zero. `seed` spreads the snapshots of different servers.
    #[must_use]
    pub fn new(pace: SnapshotPace, seed: u64) -> Self {
        let mut snapshots = Self {
            pace,
            lots: Lots::new(seed),
            appended: 0,
            bytes: 0,
            due_count: 0,
            due_bytes: None,
            owed: false,
            begun: None,
            rested: Instant::now(),
            stop: Arc::default(),
            thread: None,
        };
        snapshots.draw();
        snapshots
    }

    fn draw(&mut self) {
        let half = u64::from(self.pace.count / 2).max(1);
        self.due_count = half + self.lots.below(half);
        self.due_bytes = self
            .pace
            .log_bytes
            .map(|limit| limit / 2 + self.lots.below((limit / 2).max(1)));
        self.appended = 0;
        self.bytes = 0;
    }

    /// A record of `len` bytes went to the log.
    pub const fn note_appended(&mut self, len: usize) {
        self.appended += 1;
        self.bytes += len as u64;
    }

    /// True when it is time to roll the log and write a snapshot.
    #[must_use]
    pub fn due(&self) -> bool {
        let enough = self.owed
            || self.appended > self.due_count
            || self.due_bytes.is_some_and(|due| self.bytes > due);
        enough && self.begun.is_none() && Instant::now() >= self.rested
    }

    /// Rolls the log, opens an image of the tree and writes it in the background. Only when no other is being written. What cannot be
    /// begun is due again, a little later.
    pub fn begin(
        &mut self,
        database: &mut Database,
        replica: &Arc<Replica>,
        inbox: &Arc<Inbox>,
        gauges: &Arc<Gauges>,
    ) -> Result<(), LogError> {
        let opened = replica.tree.write().open_image();
        let image = match opened {
            Ok(image) => image,
            Err(busy) => {
                if !self.owed {
                    warn!(
                        "no snapshot can be begun: {busy}; it is tried again, and the log holds everything"
                    );
                }
                self.put_off();
                return Ok(());
            }
        };
        self.draw();
        // The sync that this takes need not wait for readers, nor they for it.
        database.log.roll()?;
        let snapshot = match database.begin_snapshot(image) {
            Ok(snapshot) => snapshot,
            Err(why) => {
                error!(error = %why, "no snapshot could be begun; it is tried again, and the log holds everything");
                self.put_off();
                return Ok(());
            }
        };
        let job = Job {
            replica: Arc::clone(replica),
            stop: Arc::clone(&self.stop),
        };
        let done = Done {
            replica: Arc::clone(replica),
            inbox: Arc::clone(inbox),
        };
        let (alive, thread) = mpsc::channel();
        let gauges = Arc::clone(gauges);
        let started = thread::Builder::new()
            .name("rookeeper-snapshot".to_owned())
            .spawn(move || {
                let _alive: mpsc::Sender<()> = alive;
                let _done = done;
                give_way();
                if job.write(snapshot) {
                    gauges.snapshots.fetch_add(1, Ordering::Relaxed);
                }
            });
        match started {
            Ok(_) => {
                self.owed = false;
                self.begun = Some(Instant::now());
                self.thread = Some(thread);
            }
            Err(error) => {
                error!(%error, "no thread for a snapshot; it is tried again, and the log holds everything");
                self.put_off();
            }
        }
        Ok(())
    }

    fn put_off(&mut self) {
        self.owed = true;
        self.rested = Instant::now() + RETRY;
    }

    /// True while one is being written.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.begun.is_some()
    }

    /// Asks the one that is being written to end, unfinished. [`Message::SnapshotEnded`] follows.
    pub fn give_up(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The background is free again.
    pub fn ended(&mut self) {
        self.stop.store(false, Ordering::Relaxed);
        if let Some(begun) = self.begun.take() {
            self.rested = Instant::now() + begun.elapsed() * REST;
        }
    }
}

/// Ends the image and tells the driver, whatever became of the writing, or of the thread that should have done it.
struct Done {
    replica: Arc<Replica>,
    inbox: Arc<Inbox>,
}

impl Drop for Done {
    fn drop(&mut self) {
        self.replica.tree.write().close_images();
        self.inbox.send(Message::SnapshotEnded);
    }
}

struct Job {
    replica: Arc<Replica>,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn write(&self, snapshot: Snapshot) -> bool {
        let (zxid, started) = (snapshot.zxid(), Instant::now());
        info!("Snapshotting: {zxid}");
        match self.try_write(snapshot) {
            Ok(None) => {
                info!("Snapshot {zxid} given up");
                false
            }
            Ok(Some(bytes)) => {
                info!(
                    "Snapshot {zxid} written: {bytes} bytes in {}ms",
                    started.elapsed().as_millis()
                );
                true
            }
            Err(error) => {
                error!(%error, "the snapshot {zxid} could not be written; the log still holds everything");
                false
            }
        }
    }

    /// Bytes of the body; `None` when nobody wants it any more.
    fn try_write(&self, mut snapshot: Snapshot) -> Result<Option<u64>, DiskError> {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let more = snapshot.take(&self.replica.tree.read());
            snapshot.write()?;
            if !more {
                break;
            }
        }
        let bytes = snapshot.bytes();
        snapshot.finish()?;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_after_more_than_half_and_at_most_all_of_the_count() {
        let pace = SnapshotPace {
            count: 100,
            log_bytes: Some(1 << 30),
        };
        for seed in 0..200 {
            let mut snapshots = Snapshots::new(pace, seed);
            let mut appended = 0;
            while !snapshots.due() {
                snapshots.note_appended(10);
                appended += 1;
            }
            assert!((51..=100).contains(&appended), "{appended}");
        }
    }
}
