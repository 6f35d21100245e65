//! Writes one snapshot: aside, sealed, synced, then renamed (disk formats 4).
//!
//! What does not live here: the body, which arrives as bytes, from the session count to the end mark.
//!
//! Invariant: a file has a snapshot's name only when it is complete and durable.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::write::GzEncoder;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Writer as _;
use simd_adler32::Adler32;

use crate::dirs::{Compression, DataDirs, TMP, snapshot_name};
use crate::disk::{At, Disk, DiskError, DiskFile};
use crate::snapshot_format::{
    DIGEST_VERSION, XERIAL_BLOCK, XERIAL_MAGIC, XERIAL_VERSION, header, seal,
};

/// Plain bytes gathered before they are summed, compressed and written.
const CHUNK: usize = 256 * 1024;
/// A snapshot is synced every so many bytes: the next sync of a log on this disk waits behind at most this much, not behind the whole file.
const SYNC_STEP: u64 = 256 * 1024;

/// What follows the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trailer {
    /// The tree's digest and the zxid it belongs to. Reading gives `None` for zxid 0, which says nothing, and for digests of
    /// older algorithms.
    pub digest: Option<(Zxid, i64)>,
    /// The last processed zxid when writing ended (3.9 and later).
    pub last_zxid: Option<Zxid>,
}

impl Trailer {
    /// Stands for a digest that nobody knows, as that of a received state. Java needs it: with digests switched on it looks for
    /// one, and takes the last zxid for it where there is none.
    pub const NO_DIGEST: (Zxid, i64) = (Zxid::ZERO, 0);
}

/// A snapshot in the making. Dropping it unfinished removes what was written.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    tmp: PathBuf,
    path: PathBuf,
    /// `None` only after the stream was closed.
    stream: Option<Stream>,
    /// Plain bytes that are neither summed nor in the stream.
    buffer: Vec<u8>,
    adler: Adler32,
    finished: bool,
}

impl SnapshotWriter {
    /// Begins `snapshot.<zxid>` with its header. Replay will start behind `zxid`.
    pub fn create(
        disk: Arc<dyn Disk>,
        dirs: &DataDirs,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<Self, DiskError> {
        Self::create_as(disk, dirs, snapshot_name(zxid, compression), compression)
    }

    /// The same under a name that nobody loads.
    pub(crate) fn create_as(
        disk: Arc<dyn Disk>,
        dirs: &DataDirs,
        name: String,
        compression: Compression,
    ) -> Result<Self, DiskError> {
        let dir = dirs.snapshots().to_path_buf();
        let tmp = dir.join(format!("{name}{TMP}"));
        let file = disk.create(&tmp).at("create", &tmp)?;
        let mut writer = Self {
            disk,
            path: dir.join(name),
            dir,
            tmp,
            stream: None,
            buffer: header(),
            adler: Adler32::new(),
            finished: false,
        };
        writer.stream = Some(Stream::new(file, compression).at("begin", &writer.tmp)?);
        Ok(writer)
    }

    /// Appends a piece of the body, of any size.
    pub fn write(&mut self, body: &[u8]) -> Result<(), DiskError> {
        self.buffer.extend_from_slice(body);
        if self.buffer.len() >= CHUNK {
            self.pass_on()?;
        }
        Ok(())
    }

    /// Seals the body, adds the trailers, and gives the file its name; durable on return. Returns where it is.
    pub fn finish(mut self, trailer: Trailer) -> Result<PathBuf, DiskError> {
        self.seal()?;
        if let Some((zxid, digest)) = trailer.digest {
            self.buffer.put_i64(zxid.0);
            self.buffer.put_i32(DIGEST_VERSION);
            self.buffer.put_i64(digest);
            self.seal()?;
        }
        if let Some(zxid) = trailer.last_zxid {
            self.buffer.put_i64(zxid.0);
            self.seal()?;
        }
        self.pass_on()?;
        if let Some(stream) = self.stream.take() {
            let mut sink = stream.close().at("write", &self.tmp)?;
            sink.file.sync_data().at("sync", &self.tmp)?;
        }
        self.disk
            .rename(&self.tmp, &self.path)
            .at("rename the finished snapshot to", &self.path)?;
        self.finished = true;
        self.disk.sync_dir(&self.dir).at("sync", &self.dir)?;
        Ok(self.path.clone())
    }

    /// The name that the finished file gets.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives up and removes what was written.
    pub fn abort(mut self) -> Result<(), DiskError> {
        self.finished = true;
        self.stream = None;
        self.disk.remove(&self.tmp).at("remove", &self.tmp)
    }

    /// A seal covers all before it, earlier seals included.
    fn seal(&mut self) -> Result<(), DiskError> {
        self.pass_on()?;
        self.buffer.extend_from_slice(&seal(self.adler.finish()));
        Ok(())
    }

    fn pass_on(&mut self) -> Result<(), DiskError> {
        self.adler.write(&self.buffer);
        if let Some(stream) = &mut self.stream {
            stream.write_all(&self.buffer).at("write", &self.tmp)?;
        }
        self.buffer.clear();
        self.buffer.shrink_to(2 * CHUNK);
        Ok(())
    }
}

impl fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // The reason for giving up is already on its way to the caller; the next start sweeps what is left.
            let _ = self.disk.remove(&self.tmp);
        }
    }
}

/// The file as a stream.
struct Sink {
    file: Box<dyn DiskFile>,
    at: u64,
    /// What was synced already, up to here.
    synced: u64,
    /// Compressed pieces are small; they are gathered here.
    gathered: Vec<u8>,
}

impl Sink {
    /// Writes, and hands the disk its work in small pieces.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        if self.at - self.synced >= SYNC_STEP {
            self.file.sync_data()?;
            self.synced = self.at;
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= CHUNK {
            self.flush()?;
            self.put(bytes)?;
            return Ok(bytes.len());
        }
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            self.put(&gathered)?;
            self.gathered = gathered;
            self.gathered.clear();
        }
        Ok(())
    }
}

/// What stands between the plain bytes and the file.
enum Stream {
    Plain(Sink),
    Gzip(GzEncoder<Sink>),
    Snappy(Box<Xerial>),
}

impl Stream {
    fn new(file: Box<dyn DiskFile>, compression: Compression) -> io::Result<Self> {
        let sink = Sink {
            file,
            at: 0,
            synced: 0,
            gathered: Vec::new(),
        };
        Ok(match compression {
            Compression::None => Self::Plain(sink),
            Compression::Gzip => Self::Gzip(GzEncoder::new(sink, flate2::Compression::default())),
            Compression::Snappy => Self::Snappy(Box::new(Xerial::new(sink)?)),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Snappy(xerial) => xerial.write_all(bytes),
        }
    }

    /// Ends the stream; all bytes are in the file then, though not synced.
    fn close(self) -> io::Result<Sink> {
        let mut sink = match self {
            Self::Plain(sink) => sink,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Snappy(mut xerial) => {
                xerial.put_block()?;
                xerial.sink
            }
        };
        sink.flush()?;
        Ok(sink)
    }
}

/// Snappy blocks as the xerial library frames them.
struct Xerial {
    sink: Sink,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Xerial {
    fn new(mut sink: Sink) -> io::Result<Self> {
        let mut head = XERIAL_MAGIC.to_vec();
        head.put_i32(XERIAL_VERSION);
        head.put_i32(XERIAL_VERSION);
        sink.write_all(&head)?;
        Ok(Self {
            sink,
            block: Vec::with_capacity(XERIAL_BLOCK),
            encoder: snap::raw::Encoder::new(),
        })
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = XERIAL_BLOCK - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == XERIAL_BLOCK {
                self.put_block()?;
            }
        }
        Ok(())
    }

    fn put_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let packed = self
            .encoder
            .compress_vec(&self.block)
            .map_err(io::Error::other)?;
        let len = i32::try_from(packed.len()).map_err(io::Error::other)?;
        self.sink.write_all(&len.to_be_bytes())?;
        self.sink.write_all(&packed)?;
        self.block.clear();
        Ok(())
    }
}
