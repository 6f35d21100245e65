//! From files to a tree: the newest good snapshot, then the log behind it (disk formats 5).
//!
//! What does not live here: epochs, and what a member does about a history that cannot be read ([`crate::database`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::DecodeError;
use rookeeper_proto::txn::{DIGEST_VERSION, Record};
use rookeeper_quorum::committed::{CommittedWindow, Entry};
use rookeeper_storage::dirs::{Compression, DataDirs, SnapshotFile};
use rookeeper_storage::disk::{Disk, DiskError};
use rookeeper_storage::recover::{self, Policy, RecoverError, Start};
use rookeeper_storage::replay::{Replay, ReplayEnd, ReplayError};
use rookeeper_storage::snapshot_reader::{SnapshotDamage, SnapshotError, SnapshotReader};
use rookeeper_storage::snapshot_writer::Trailer;
use rookeeper_storage::snapshots;
use rookeeper_tree::image::{self, ImageError};
use rookeeper_tree::tree::{Tree, TreeOptions};
use thiserror::Error;
use tracing::{error, info, warn};

use crate::image_file::{Snapshot, SnapshotFormat};

/// What a znode takes in a snapshot at least, about: to guess how many there are.
const BYTES_PER_ZNODE: u64 = 160;

/// Why there is no database.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// What lies there is no start.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log behind the snapshot cannot be used.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A record of the log is no transaction.
    #[error("the transaction {zxid} in the log cannot be read: {source}")]
    Record {
        /// Its place.
        zxid: Zxid,
        /// What is wrong.
        source: DecodeError,
    },
    /// No snapshot could be loaded.
    #[error("none of the {tried} snapshots in {dir} can be loaded; the newest: {newest}")]
    NoSnapshot {
        /// How many were tried.
        tried: usize,
        /// Where.
        dir: PathBuf,
        /// Why the newest could not.
        newest: Box<LoadError>,
    },
    /// Damage is in a file that is no log.
    #[error("{} is damaged and cannot be set aside: it is no log of this member", .0.display())]
    NotSetAside(PathBuf),
    /// An empty directory may not become a database.
    #[error(
        "no database, and zookeeper.db.autocreate is false: create the file `initialize` in the log directory to allow a new one"
    )]
    NotAllowed,
}

/// Why one snapshot cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// What is in it.
    #[error("{path}: {source}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ImageError,
    },
}

impl RecoveryError {
    /// The bytes that a history begins with are not those that were written. Not so where they cannot be had, or are of a release that is
    /// not known here: there somebody can help.
    #[must_use]
    pub const fn is_damaged_base(&self) -> bool {
        match self {
            Self::Recover(RecoverError::InvalidSnapshots { .. }) => true,
            Self::NoSnapshot { newest, .. } => newest.is_damage(),
            _ => false,
        }
    }
}

impl LoadError {
    const fn is_damage(&self) -> bool {
        !matches!(
            self,
            Self::Snapshot(
                SnapshotError::Disk(_)
                    | SnapshotError::Damaged {
                        damage: SnapshotDamage::Version(_),
                        ..
                    }
            )
        )
    }
}

/// How a database is loaded.
#[derive(Debug, Clone, Copy)]
pub struct RecoveryOptions {
    /// What may be a start.
    pub policy: Policy,
    /// Of the tree.
    pub tree: TreeOptions,
    /// What the first snapshot of a new database looks like.
    pub format: SnapshotFormat,
    /// How many of the newest transactions are remembered.
    pub remembered: usize,
}

/// A loaded database.
#[derive(Debug)]
pub struct Recovered {
    /// The state.
    pub tree: Tree,
    /// The newest transactions; it ends where the state ends.
    pub window: CommittedWindow,
    /// Transactions read from the log behind the snapshot.
    pub replayed: u64,
    /// Transactions whose digest the tree did not have.
    pub digest_mismatches: usize,
}

/// Loads the database, and makes what it read durable: a log may go on behind it.
pub fn recover(
    disk: &Arc<dyn Disk>,
    dirs: &DataDirs,
    options: RecoveryOptions,
) -> Result<Recovered, RecoveryError> {
    let started = Instant::now();
    let loaded = load_base(disk, dirs, options)?;
    let base = loaded.tree.last_zxid();
    let damaged = loaded.damaged;
    let (mut tree, trailer) = (loaded.tree, loaded.trailer);
    let mut window = CommittedWindow::new(base, options.remembered);
    let (end, digest_mismatches) = replay(&**disk, dirs, &mut tree, &mut window, trailer)?;
    end.settle(&**disk)?;
    set_aside(&**disk, &damaged)?;
    info!(
        "database loaded in {}ms: snapshot {base}, {} transactions from the log, last zxid {}, {} znodes, {} sessions",
        started.elapsed().as_millis(),
        end.records,
        tree.last_zxid(),
        tree.node_count(),
        tree.sessions().len()
    );
    Ok(Recovered {
        tree,
        window,
        replayed: end.records,
        digest_mismatches,
    })
}

/// What the log goes on from.
fn load_base(
    disk: &Arc<dyn Disk>,
    dirs: &DataDirs,
    options: RecoveryOptions,
) -> Result<Loaded, RecoveryError> {
    let found = recover::survey(&**disk, dirs)?;
    match recover::decide(dirs, found, options.policy)? {
        Start::Fresh => {
            let tree = write_first(disk, dirs, Tree::new(options.tree), options.format)?;
            recover::consume_marker(&**disk, dirs)?;
            Ok(Loaded::just(tree))
        }
        Start::NotAllowed => Err(RecoveryError::NotAllowed),
        Start::LogsAlone => {
            warn!("no snapshot: replaying the logs over an empty database");
            Ok(Loaded::just(Tree::new(options.tree)))
        }
        Start::Snapshots(candidates) => load_newest(&**disk, dirs, &candidates, options.tree),
    }
}

struct Loaded {
    tree: Tree,
    trailer: Trailer,
    /// Newer snapshots that could not be loaded.
    damaged: Vec<PathBuf>,
}

impl Loaded {
    fn just(tree: Tree) -> Self {
        Self {
            tree,
            trailer: Trailer::default(),
            damaged: Vec::new(),
        }
    }
}

/// A new database begins with `snapshot.0`, so that logs without a snapshot always mean that one was lost.
fn write_first(
    disk: &Arc<dyn Disk>,
    dirs: &DataDirs,
    mut tree: Tree,
    format: SnapshotFormat,
) -> Result<Tree, DiskError> {
    let Ok(image) = tree.open_image() else {
        return Ok(tree);
    };
    let format = SnapshotFormat {
        compression: Compression::None,
        ..format
    };
    let mut snapshot = Snapshot::begin(Arc::clone(disk), dirs, format, image)?;
    snapshot.write_all(&tree)?;
    snapshot.finish()?;
    tree.close_images();
    Ok(tree)
}

fn load_newest(
    disk: &dyn Disk,
    dirs: &DataDirs,
    candidates: &[SnapshotFile],
    options: TreeOptions,
) -> Result<Loaded, RecoveryError> {
    let mut damaged = Vec::new();
    let mut newest = None;
    for file in candidates {
        match load(disk, file, options) {
            Ok((tree, trailer)) => {
                return Ok(Loaded {
                    tree,
                    trailer,
                    damaged,
                });
            }
            Err(error) => {
                error!(%error, "a snapshot cannot be loaded; trying an older one");
                damaged.push(file.path.clone());
                newest.get_or_insert_with(|| Box::new(error));
            }
        }
    }
    let dir = dirs.snapshots().to_path_buf();
    match newest {
        Some(newest) => Err(RecoveryError::NoSnapshot {
            tried: candidates.len(),
            dir,
            newest,
        }),
        None => Err(RecoveryError::NotAllowed),
    }
}

fn load(
    disk: &dyn Disk,
    file: &SnapshotFile,
    options: TreeOptions,
) -> Result<(Tree, Trailer), LoadError> {
    let mut reader = SnapshotReader::open(disk, file)?;
    let expected = usize::try_from(file.len / BYTES_PER_ZNODE).unwrap_or(0);
    let tree = image::load(&mut reader, file.zxid, expected, options).map_err(|source| {
        LoadError::Image {
            path: file.path.clone(),
            source,
        }
    })?;
    let trailer = reader.finish()?;
    if let Some((zxid, digest)) = trailer.digest
        && zxid == file.zxid
        && digest != tree.digest()
    {
        error!(
            "the digest of {} is {digest}, that of the tree in it {}: it was written by a server with another view of the data",
            file.path.display(),
            tree.digest()
        );
    }
    Ok((tree, trailer))
}

/// Applies the log behind the snapshot. A fuzzy snapshot has the tree of its digest's zxid only when that is reached: until then
/// digests are not compared.
fn replay(
    disk: &dyn Disk,
    dirs: &DataDirs,
    tree: &mut Tree,
    window: &mut CommittedWindow,
    trailer: Trailer,
) -> Result<(ReplayEnd, usize), RecoveryError> {
    let fuzzy_until = trailer
        .digest
        .map_or_else(|| tree.last_zxid(), |(zxid, _)| zxid);
    let mut replay = Replay::from(disk, dirs, tree.last_zxid())?;
    let mut mismatches = 0;
    while let Some(entry) = replay.next()? {
        let record = Record::decode(&entry.bytes).map_err(|source| RecoveryError::Record {
            zxid: entry.zxid,
            source,
        })?;
        tree.apply(&record.header, &record.txn, &mut Vec::new());
        remember(window, entry.zxid, entry.bytes);
        let promised = record
            .digest
            .filter(|d| d.version == DIGEST_VERSION && entry.zxid >= fuzzy_until);
        if promised.is_some_and(|promised| promised.tree_digest != tree.digest()) {
            mismatches += 1;
            if let Some(gap) = replay.doubt() {
                return Err(gap.into());
            }
            if mismatches == 1 {
                error!(
                    "after {} the digest of the tree is not the one in the log",
                    entry.zxid
                );
            }
        }
    }
    Ok((replay.finish()?, mismatches))
}

/// The replay has told of holes already, except where a snapshot begins an epoch without a transaction.
fn remember(window: &mut CommittedWindow, zxid: Zxid, txn: Bytes) {
    if window.push(Entry { zxid, txn }).is_err() {
        window.reset(zxid);
    }
}

/// The history was complete without them: damaged snapshots are kept under a name that nobody loads.
fn set_aside(disk: &dyn Disk, damaged: &[PathBuf]) -> Result<(), DiskError> {
    for path in damaged {
        let kept = snapshots::set_aside(disk, path)?;
        warn!(
            "the damaged snapshot {} is kept as {}",
            path.display(),
            kept.display()
        );
    }
    Ok(())
}
