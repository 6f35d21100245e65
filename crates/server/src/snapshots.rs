//! When a snapshot is due, and writing it beside everything else.
//!
//! The tree goes on: the image takes a read guard per chunk, and what changes meanwhile is kept aside for it by the tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rookeeper_storage::dirs::{Compression, DataDirs};
use rookeeper_storage::disk::{Disk, DiskError};
use rookeeper_storage::snapshot_writer::{SnapshotWriter, Trailer};
use rookeeper_tree::image::Image;
use tracing::{error, info};

use crate::driver::Gauges;
use crate::inbox::{Inbox, Message};
use crate::replica::Replica;

/// Bytes of the image taken under one read guard.
const CHUNK: usize = 64 * 1024;
/// A snapshot begins at the earliest this many times as long after the end of the one before as that one took: at most a quarter of
/// the time, and of a core, goes into snapshots, however fast the writes come. Loading the log that is longer for it takes no
/// longer than writing the snapshot took.
const REST: u32 = 3;
/// What the thread that writes a snapshot adds to its niceness: on a busy machine clients come first.
const NICENESS: i32 = 5;
/// How long the end of the server waits for a snapshot to be given up: while its thread lives the directory is locked.
const STOP_PATIENCE: Duration = Duration::from_millis(300);

/// Settings of snapshots.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOptions {
    /// A snapshot after a random number of transactions in (count/2, count].
    pub count: u32,
    /// The same by bytes of log; `None` is off.
    pub log_bytes: Option<u64>,
    /// How the file is compressed.
    pub compression: Compression,
    /// The file carries the tree's digest.
    pub digest: bool,
    /// The file carries the last zxid at its end.
    pub last_zxid: bool,
}

/// Counts towards the next snapshot.
#[derive(Debug)]
pub struct Snapshots {
    options: SnapshotOptions,
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    random: u64,
    appended: u64,
    bytes: u64,
    due_count: u64,
    due_bytes: Option<u64>,
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
    pub fn new(options: SnapshotOptions, disk: Arc<dyn Disk>, dirs: DataDirs, seed: u64) -> Self {
        let mut snapshots = Self {
            options,
            disk,
            dirs,
            random: seed | 1,
            appended: 0,
            bytes: 0,
            due_count: 0,
            due_bytes: None,
            begun: None,
            rested: Instant::now(),
            stop: Arc::default(),
            thread: None,
        };
        snapshots.draw();
        snapshots
    }

    fn draw(&mut self) {
        let half = u64::from(self.options.count / 2).max(1);
        self.due_count = half + self.below(half);
        self.due_bytes = self
            .options
            .log_bytes
            .map(|limit| limit / 2 + self.below((limit / 2).max(1)));
        self.appended = 0;
        self.bytes = 0;
    }

    /// A number below `bound`, from a small generator: nothing depends on its quality.
    const fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// A record of `len` bytes went to the log.
    pub const fn note_appended(&mut self, len: usize) {
        self.appended += 1;
        self.bytes += len as u64;
    }

    /// True when it is time to roll the log and write a snapshot.
    #[must_use]
    pub fn due(&self) -> bool {
        let enough =
            self.appended > self.due_count || self.due_bytes.is_some_and(|due| self.bytes > due);
        enough && self.begun.is_none() && Instant::now() >= self.rested
    }

    /// Opens an image of the tree and writes it in the background. Only when [`Self::due`].
    pub fn begin(&mut self, replica: &Arc<Replica>, inbox: &Arc<Inbox>, gauges: &Arc<Gauges>) {
        self.draw();
        let Ok(image) = replica.tree.write().open_image() else {
            return;
        };
        let job = Job {
            options: self.options,
            disk: Arc::clone(&self.disk),
            dirs: self.dirs.clone(),
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
                // Where it is not allowed the snapshot is written all the same. Linux means the calling thread.
                let _ = rustix::process::nice(NICENESS);
                if job.write(image) {
                    gauges.snapshots.fetch_add(1, Ordering::Relaxed);
                }
                drop(job);
            });
        match started {
            Ok(_) => {
                self.begun = Some(Instant::now());
                self.thread = Some(thread);
            }
            Err(error) => {
                error!(%error, "no thread for a snapshot; the log still holds everything");
            }
        }
    }

    /// The background is free again.
    pub fn ended(&mut self) {
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
        self.replica.tree.write().close_image();
        self.inbox.send(Message::SnapshotEnded);
    }
}

struct Job {
    options: SnapshotOptions,
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    replica: Arc<Replica>,
    stop: Arc<AtomicBool>,
}

impl Job {
    fn write(&self, image: Image) -> bool {
        let (zxid, started) = (image.zxid(), Instant::now());
        match self.try_write(image) {
            Ok(None) => {
                info!("Snapshot {zxid} given up: the server stops");
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

    /// Bytes of the body; `None` when the server stopped meanwhile.
    fn try_write(&self, mut image: Image) -> Result<Option<usize>, DiskError> {
        let (zxid, compression) = (image.zxid(), self.options.compression);
        info!(
            "Snapshotting: {zxid} to {}",
            self.dirs.snapshots().display()
        );
        let mut writer =
            SnapshotWriter::create(Arc::clone(&self.disk), &self.dirs, zxid, compression)?;
        let mut chunk = Vec::with_capacity(CHUNK * 2);
        let mut bytes = 0;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            chunk.clear();
            let more = image.next_chunk(&self.replica.tree.read(), CHUNK, &mut chunk);
            bytes += chunk.len();
            writer.write(&chunk)?;
            if !more {
                break;
            }
        }
        writer.finish(trailer(self.options, &image))?;
        Ok(Some(bytes))
    }
}

/// What follows the body of a snapshot.
#[must_use]
pub fn trailer(options: SnapshotOptions, image: &Image) -> Trailer {
    Trailer {
        digest: options.digest.then(|| (image.zxid(), image.digest())),
        last_zxid: options.last_zxid.then(|| image.zxid()),
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_storage::os_disk::OsDisk;

    use super::*;

    #[test]
    fn a_snapshot_is_due_after_more_than_half_and_at_most_all_of_the_count() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let dirs = DataDirs::open(&*disk, dir.path(), None, true).unwrap();
        let options = SnapshotOptions {
            count: 100,
            log_bytes: Some(1 << 30),
            compression: Compression::None,
            digest: true,
            last_zxid: true,
        };
        for seed in 0..200 {
            let mut snapshots = Snapshots::new(options, Arc::clone(&disk), dirs.clone(), seed);
            let mut appended = 0;
            while !snapshots.due() {
                snapshots.note_appended(10);
                appended += 1;
            }
            assert!((51..=100).contains(&appended), "{appended}");
        }
    }
}
