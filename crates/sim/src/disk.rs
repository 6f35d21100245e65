//! The disk of a member: the server's own database over a disk in memory whose power can be cut.
//!
//! What lives here: which settings it has here, and what becomes of an empty directory. What does not: files (`database`), when
//! something is wanted of them, and what breaks.

use std::path::Path;
use std::sync::Arc;

use rookeeper_database::database::{CutError, Database, DatabaseOptions, Opened as Files};
use rookeeper_database::history::LogUse;
use rookeeper_database::image_file::SnapshotFormat;
use rookeeper_database::recovery::{Recovered, RecoveryError, RecoveryOptions};
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_proto::txn::Record;
use rookeeper_quorum::committed::{CommittedWindow, Entry};
use rookeeper_quorum::sync_plan::{LogAround, LogRange};
use rookeeper_storage::cut_disk::CutDisk;
use rookeeper_storage::dirs::{Compression, DataDirs};
use rookeeper_storage::disk::Disk;
use rookeeper_storage::epochs::Epochs;
use rookeeper_storage::incomplete;
use rookeeper_storage::log_writer::{LogError, LogOptions};
use rookeeper_storage::purge;
use rookeeper_storage::recover::Policy;
use rookeeper_storage::replay::Replay;
use rookeeper_storage::truncate::TruncateError;
use rookeeper_tree::image;
use rookeeper_tree::tree::{Tree, TreeOptions};

use crate::boundary::{Boundary, mutated};
use crate::plan::Plan;

/// How trees of this world hash.
const OPTIONS: TreeOptions = TreeOptions {
    extended_types: false,
    hash_seed: 3,
    max_images: None,
};
/// Space that logs allocate ahead, bytes: little, because the disk in memory copies a file at each sync.
const PREALLOCATED: u64 = 1024;
/// Snapshots that purging leaves.
const SNAPSHOTS_KEPT: usize = 3;
/// Where the files are.
const DIRECTORY: &str = "/data";

/// Something did not work. Whether that is a fault of the disk or of the code, the caller knows.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) String);

impl<E: std::error::Error> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The files of one member.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    epochs: Epochs,
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
}

/// What the files of a member say.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) tree: Tree,
    pub(crate) window: CommittedWindow,
    /// Transactions that were durable here may be missing.
    pub(crate) incomplete: bool,
}

/// What became of a wish that the disk may refuse for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    None,
}

struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        let (head, tail) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| SourceError("the stream ends".into()))?;
        self.0 = tail;
        Ok(head)
    }
}

/// The body of an image of a tree.
pub(crate) fn body_of(tree: &mut Tree) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    let mut image = tree.open_image().ok()?;
    while image.next_chunk(tree, 1 << 16, &mut body) {}
    tree.close_images();
    Some(body)
}

/// The tree of an image.
pub(crate) fn tree_of(body: &[u8], zxid: Zxid) -> Option<Tree> {
    image::load(&mut Slice(body), zxid, 0, OPTIONS).ok()
}

/// A tree with nothing in it.
pub(crate) fn empty_tree() -> Tree {
    Tree::new(OPTIONS)
}

/// Where the files are.
pub(crate) fn directories(disk: &dyn Disk) -> Result<DataDirs, Trouble> {
    Ok(DataDirs::open(disk, Path::new(DIRECTORY), None, true)?)
}

fn options(plan: &Plan, new: bool) -> DatabaseOptions {
    DatabaseOptions {
        recovery: RecoveryOptions {
            policy: Policy {
                trust_empty: false,
                autocreate: new,
            },
            tree: OPTIONS,
            format: SnapshotFormat {
                compression: Compression::None,
                digest: true,
                last_zxid: true,
            },
            remembered: plan.window,
        },
        log: LogOptions {
            prealloc_bytes: PREALLOCATED,
            size_limit: Some(plan.log_limit),
            force_sync: true,
        },
        log_use: if plan.logs_are_used {
            LogUse::Always
        } else {
            LogUse::Never
        },
    }
}

impl Store {
    /// Opens the files. Only a `new` member may begin with nothing. Another one that finds nothing has lost it all: it may have
    /// had what others count on, so it is marked before it begins anew.
    pub(crate) fn open(disk: &CutDisk, new: bool, plan: &Plan) -> Result<Opened, Trouble> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let dirs = directories(&*disk)?;
        let open = |new| {
            let (disk, dirs) = (Arc::clone(&disk), dirs.clone());
            Database::open_member(disk, dirs, options(plan, new))
        };
        if mutated(Boundary::LogNotReplayed) {
            forget_log(&*disk, &dirs)?;
        }
        let files = match open(new) {
            Err(RecoveryError::NotAllowed) => {
                incomplete::mark(&*disk, &dirs, Zxid::ZERO)?;
                open(true)?
            }
            opened => opened?,
        };
        let Files {
            database,
            recovered,
            incomplete,
        } = files;
        let (tree, window) = sound(recovered)?;
        let epochs = database.recover_epochs()?;
        let store = Self {
            database,
            epochs,
            disk,
            dirs,
        };
        Ok(Opened {
            store,
            tree,
            window,
            incomplete,
        })
    }

    pub(crate) const fn accepted(&self) -> i64 {
        self.epochs.accepted()
    }

    pub(crate) const fn current(&self) -> i64 {
        self.epochs.current()
    }

    pub(crate) fn accept(&mut self, epoch: i64) -> Result<(), Trouble> {
        Ok(self.database.accept_epoch(&mut self.epochs, epoch)?)
    }

    pub(crate) fn enter(&mut self, epoch: i64) -> Result<(), Trouble> {
        Ok(self.database.enter_epoch(&mut self.epochs, epoch)?)
    }

    /// Whether the log has room.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<Room, Trouble> {
        room(self.database.log.reserve(bytes))
    }

    /// Puts a record into the buffer.
    pub(crate) fn append(&mut self, zxid: Zxid, record: &[u8]) -> Result<Room, Trouble> {
        room(self.database.log.append(zxid, record))
    }

    /// Makes the buffer durable.
    pub(crate) fn sync(&mut self) -> Result<Room, Trouble> {
        room(self.database.log.sync().map(drop))
    }

    /// Ends the history at `to` and loads what is left; `None` when it cannot be done.
    pub(crate) fn truncate(&mut self, to: Zxid) -> Result<Option<Tree>, Trouble> {
        match self.database.truncate(to) {
            Ok(left) => Ok(Some(sound(left)?.0)),
            Err(CutError::Refused(TruncateError::Refused(_))) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The tree as the files have it.
    pub(crate) fn reload(&mut self) -> Result<Tree, Trouble> {
        Ok(sound(self.database.reload()?)?.0)
    }

    /// The tree as the files have it, without what is behind `to`: for a mistake.
    pub(crate) fn reload_through(&mut self, to: Zxid) -> Result<Tree, Trouble> {
        let all = self.reload()?;
        if all.last_zxid() <= to {
            return Ok(all);
        }
        let mut tree = empty_tree();
        let mut replay = Replay::from(&*self.disk, &self.dirs, Zxid::ZERO)?;
        while let Some(entry) = replay.next()?
            && entry.zxid <= to
        {
            let record = Record::decode(&entry.bytes)?;
            tree.apply(&record.header, &record.txn, &mut Vec::new());
        }
        Ok(tree)
    }

    /// Replaces the history by the state of a tree.
    pub(crate) fn replace(&mut self, tree: &mut Tree) -> Result<(), Trouble> {
        let image = tree.open_image()?;
        let mut replacement = self.database.begin_replacement(image)?;
        replacement.write_all(tree)?;
        replacement.finish(&mut self.database.log)?;
        tree.close_images();
        Ok(())
    }

    /// Writes a snapshot, and deletes old ones.
    pub(crate) fn snapshot(&mut self, tree: &mut Tree) -> Result<(), Trouble> {
        self.database.log.roll()?;
        let mut snapshot = self.database.begin_snapshot(tree.open_image()?)?;
        snapshot.write_all(tree)?;
        snapshot.finish()?;
        tree.close_images();
        purge::purge(&*self.disk, &self.dirs, SNAPSHOTS_KEPT)?;
        Ok(())
    }

    /// What the log says about the place where a peer is.
    pub(crate) fn around(&self, peer: Zxid) -> Option<LogAround> {
        self.database.history().around(peer).ok().flatten()
    }

    /// Records of the log, in order.
    pub(crate) fn records(&self, range: LogRange) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        let given = self.database.history().give(range, |zxid, txn| {
            entries.push(Entry { zxid, txn });
            true
        });
        given.ok().map(|()| entries)
    }
}

/// A database whose trees have the digests that transactions promised.
fn sound(recovered: Recovered) -> Result<(Tree, CommittedWindow), Trouble> {
    if recovered.digest_mismatches > 0 {
        let count = recovered.digest_mismatches;
        return Err(Trouble(format!("{count} digests differ in the replay")));
    }
    Ok((recovered.tree, recovered.window))
}

fn room(done: Result<(), LogError>) -> Result<Room, Trouble> {
    match done {
        Ok(()) => Ok(Room::Enough),
        Err(LogError::Full(_)) => Ok(Room::None),
        Err(error) => Err(error.into()),
    }
}

/// A mistake: what is behind the newest snapshot is not read.
fn forget_log(disk: &dyn Disk, dirs: &DataDirs) -> Result<(), Trouble> {
    for log in dirs.list_logs(disk)? {
        disk.remove(&log.path)?;
    }
    Ok(())
}
