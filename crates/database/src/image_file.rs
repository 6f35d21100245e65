//! A tree on its way to a file, a piece at a time, while it goes on changing.
//!
//! What lives here: a snapshot beside the log ([`Snapshot`]), and the state of a leader that replaces the history
//! ([`Replacement`]). What does not: when, and on which thread.
//!
//! Dropping it unfinished leaves everything as it was; [`Tree::close_images`] then frees what the tree kept for it.

use std::sync::Arc;

use rookeeper_proto::ids::Zxid;
use rookeeper_storage::dirs::{Compression, DataDirs};
use rookeeper_storage::disk::{Disk, DiskError};
use rookeeper_storage::install::{Content, Install, InstallError};
use rookeeper_storage::log_writer::LogWriter;
use rookeeper_storage::snapshot_writer::{SnapshotWriter, Trailer};
use rookeeper_tree::image::Image;
use rookeeper_tree::tree::Tree;

/// Bytes of the image taken at once, about: readers of the tree wait that long at most.
const PIECE: usize = 64 * 1024;

/// What snapshots look like.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotFormat {
    /// How the file is compressed.
    pub compression: Compression,
    /// The file carries the tree's digest.
    pub digest: bool,
    /// The file carries the last zxid at its end.
    pub last_zxid: bool,
}

impl SnapshotFormat {
    /// What follows the body of a snapshot.
    #[must_use]
    pub fn trailer(self, image: &Image) -> Trailer {
        Trailer {
            digest: self.digest.then(|| (image.zxid(), image.digest())),
            last_zxid: self.last_zxid.then(|| image.zxid()),
        }
    }
}

/// Where the body of an image goes.
pub trait Body {
    /// Takes the next piece of it.
    fn write(&mut self, piece: &[u8]) -> Result<(), DiskError>;
}

impl Body for SnapshotWriter {
    fn write(&mut self, piece: &[u8]) -> Result<(), DiskError> {
        Self::write(self, piece)
    }
}

impl Body for Install {
    fn write(&mut self, piece: &[u8]) -> Result<(), DiskError> {
        Self::write(self, piece)
    }
}

/// An image and the file it goes to.
#[derive(Debug)]
pub struct ImageFile<B> {
    format: SnapshotFormat,
    image: Image,
    body: B,
    piece: Vec<u8>,
    bytes: u64,
}

/// A snapshot beside the log.
pub type Snapshot = ImageFile<SnapshotWriter>;
/// A snapshot that will replace the whole history.
pub type Replacement = ImageFile<Install>;

impl<B: Body> ImageFile<B> {
    fn of(format: SnapshotFormat, image: Image, body: B) -> Self {
        Self {
            format,
            image,
            body,
            piece: Vec::with_capacity(2 * PIECE),
            bytes: 0,
        }
    }

    /// The last transaction in it.
    #[must_use]
    pub const fn zxid(&self) -> Zxid {
        self.image.zxid()
    }

    /// Bytes of the body so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next piece of the tree, which is the one that opened the image; false when that was the last. It is written by
    /// [`Self::write`], for which the tree is not needed.
    pub fn take(&mut self, tree: &Tree) -> bool {
        self.piece.clear();
        let more = self.image.next_chunk(tree, PIECE, &mut self.piece);
        self.bytes += self.piece.len() as u64;
        more
    }

    /// Takes and writes everything that is left, for whoever need not share the tree.
    pub fn write_all(&mut self, tree: &Tree) -> Result<(), DiskError> {
        while self.take(tree) {
            self.write()?;
        }
        self.write()
    }

    /// Writes what was taken.
    pub fn write(&mut self) -> Result<(), DiskError> {
        self.body.write(&self.piece)
    }
}

impl Snapshot {
    /// Begins a snapshot of an image.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dirs: &DataDirs,
        format: SnapshotFormat,
        image: Image,
    ) -> Result<Self, DiskError> {
        let writer = SnapshotWriter::create(disk, dirs, image.zxid(), format.compression)?;
        Ok(Self::of(format, image, writer))
    }

    /// Ends the file, durably.
    pub fn finish(self) -> Result<(), DiskError> {
        let trailer = self.format.trailer(&self.image);
        self.body.finish(trailer).map(drop)
    }
}

impl Replacement {
    /// Begins to write the state that a leader sent, beside the history it will replace.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dirs: &DataDirs,
        format: SnapshotFormat,
        image: Image,
    ) -> Result<Self, InstallError> {
        let install = Install::begin(disk, dirs, image.zxid(), format.compression)?;
        Ok(Self::of(format, image, install))
    }

    /// Makes it the whole history, durably; `log` goes on behind it. No snapshot and no purging may run meanwhile.
    pub fn finish(self, log: &mut LogWriter) -> Result<(), InstallError> {
        let trailer = self.format.trailer(&self.image);
        self.body.finish(log, trailer, Content::Exact)
    }
}
