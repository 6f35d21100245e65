//! Reads one snapshot as a stream of plain bytes, and checks its seals (disk formats 4).
//!
//! What does not live here: the body, which the loader takes through [`Source`]; which file to try ([`crate::snapshots`]).
//!
//! Invariants:
//! - Nothing is allocated by a length before that many bytes have arrived.
//! - What the loader took is worth nothing before [`SnapshotReader::finish`] has answered `Ok`: the checksum comes last.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::source::{Source, SourceError};
use simd_adler32::Adler32;
use thiserror::Error;

use crate::dirs::{Compression, SnapshotFile};
use crate::disk::{At, Disk, DiskError, DiskFile, OpenMode};
use crate::snapshot_format::{
    DIGEST_VERSION, END_MARK, HEADER_LEN, MAGIC, VERSION, XERIAL_BLOCK, XERIAL_MAGIC,
    XERIAL_VERSION,
};
use crate::snapshot_writer::Trailer;

/// Plain bytes read at once.
const CHUNK: usize = 256 * 1024;
/// A snappy block that claims more plain or packed bytes than this is damage; Java writes 32 KiB, and its library at most this.
const XERIAL_BLOCK_LIMIT: usize = 1024 * XERIAL_BLOCK;
/// The longest text accepted as the digest of an older algorithm, bytes.
const OLD_DIGEST_LIMIT: usize = 256;

/// Why a snapshot cannot be used. An older one may do instead.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Not what it should be.
    #[error("{} is damaged at plain offset {offset}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In the uncompressed stream.
        offset: u64,
        /// What is wrong.
        damage: SnapshotDamage,
    },
}

/// What is wrong with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SnapshotDamage {
    /// The file does not start as a snapshot does.
    #[error("not a snapshot")]
    NotASnapshot,
    /// A snapshot, of a version nobody knows.
    #[error("snapshot format version {0}")]
    Version(i32),
    /// The stream ends early.
    #[error("the file ends early")]
    Ends,
    /// A seal's checksum is another.
    #[error("checksum {stored:#x} stored, {computed:#x} computed")]
    Checksum {
        /// In the file.
        stored: i64,
        /// Of the bytes.
        computed: u32,
    },
    /// A seal does not end as seals do.
    #[error("the seal is not closed")]
    OpenSeal,
    /// What follows the body is no known trailer.
    #[error("unknown trailer")]
    Trailer,
}

/// A snapshot being read.
pub struct SnapshotReader {
    path: PathBuf,
    stream: Stream,
    /// Plain bytes; those before `pos` are consumed, those before `summed` are in `adler`.
    buffer: Vec<u8>,
    pos: usize,
    summed: usize,
    adler: Adler32,
    /// Plain bytes consumed before the buffer's first.
    before: u64,
}

impl fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader")
            .field("path", &self.path)
            .field("offset", &(self.before + self.pos as u64))
            .finish_non_exhaustive()
    }
}

impl Source for SnapshotReader {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        self.take_bytes(n)
            .map_err(|e| SourceError(Box::<dyn Error + Send + Sync>::from(e)))
    }
}

impl SnapshotReader {
    /// Opens a snapshot and reads its header. The next byte is the session count.
    pub fn open(disk: &dyn Disk, file: &SnapshotFile) -> Result<Self, SnapshotError> {
        let path = &file.path;
        let raw = Raw::open(disk, path)?;
        let mut reader = Self {
            path: path.clone(),
            stream: Stream::new(raw, file.compression),
            buffer: Vec::new(),
            pos: 0,
            summed: 0,
            adler: Adler32::new(),
            before: 0,
        };
        let mut fields = Reader::new(reader.take_bytes(HEADER_LEN)?);
        match (fields.i32(), fields.i32()) {
            (Ok(MAGIC), Ok(VERSION)) => Ok(reader),
            (Ok(MAGIC), Ok(other)) => Err(reader.damaged(SnapshotDamage::Version(other))),
            _ => Err(reader.damaged(SnapshotDamage::NotASnapshot)),
        }
    }

    /// After the loader has taken the body up to and including its end mark: checks all seals and reads the trailers.
    pub fn finish(mut self) -> Result<Trailer, SnapshotError> {
        self.check_seal()?;
        let mut trailer = Trailer::default();
        match self.rest()? {
            0 => Ok(trailer),
            LAST_ZXID_LEN => self.read_last_zxid(trailer),
            _ => {
                trailer.digest = self.read_digest()?;
                match self.rest()? {
                    0 => Ok(trailer),
                    _ => self.read_last_zxid(trailer),
                }
            }
        }
    }

    fn read_last_zxid(mut self, mut trailer: Trailer) -> Result<Trailer, SnapshotError> {
        trailer.last_zxid = Some(Zxid(self.take_i64()?));
        self.check_seal()?;
        // Trailers of versions to come may follow; everything known has been checked.
        Ok(trailer)
    }

    fn read_digest(&mut self) -> Result<Option<(Zxid, i64)>, SnapshotError> {
        let zxid = Zxid(self.take_i64()?);
        let version = self.take_i32()?;
        let digest = if version < DIGEST_VERSION {
            self.skip_old_digest()?;
            None
        } else {
            Some((zxid, self.take_i64()?))
        };
        self.check_seal()?;
        Ok(digest.filter(|_| zxid != Zxid::ZERO && version == DIGEST_VERSION))
    }

    /// Older algorithms stored a hexadecimal text, which cannot be compared with ours.
    fn skip_old_digest(&mut self) -> Result<(), SnapshotError> {
        let len = usize::try_from(self.take_i32()?).unwrap_or(0);
        if len > OLD_DIGEST_LIMIT {
            return Err(self.damaged(SnapshotDamage::Trailer));
        }
        self.take_bytes(len)?;
        Ok(())
    }

    /// How many bytes follow, counted up to one more than a lone trailer can have.
    fn rest(&mut self) -> Result<usize, SnapshotError> {
        self.gather(LAST_ZXID_LEN + 1)?;
        Ok((self.buffer.len() - self.pos).min(LAST_ZXID_LEN + 1))
    }

    fn check_seal(&mut self) -> Result<(), SnapshotError> {
        self.sum_up();
        let computed = self.adler.finish();
        let stored = self.take_i64()?;
        if stored != i64::from(computed) {
            return Err(self.damaged(SnapshotDamage::Checksum { stored, computed }));
        }
        if self.take_bytes(END_MARK.len())? != END_MARK {
            return Err(self.damaged(SnapshotDamage::OpenSeal));
        }
        Ok(())
    }

    fn take_i64(&mut self) -> Result<i64, SnapshotError> {
        let bytes = self.take_bytes(8)?;
        Ok(Reader::new(bytes).i64().unwrap_or_default())
    }

    fn take_i32(&mut self) -> Result<i32, SnapshotError> {
        let bytes = self.take_bytes(4)?;
        Ok(Reader::new(bytes).i32().unwrap_or_default())
    }

    fn take_bytes(&mut self, n: usize) -> Result<&[u8], SnapshotError> {
        if self.buffer.len() - self.pos < n {
            self.gather(n)?;
        }
        let start = self.pos;
        if self.buffer.len() - start < n {
            return Err(self.damaged(SnapshotDamage::Ends));
        }
        self.pos += n;
        Ok(self.buffer.get(start..start + n).unwrap_or_default())
    }

    /// Reads until `n` unconsumed bytes are there, or the stream ends.
    fn gather(&mut self, n: usize) -> Result<(), SnapshotError> {
        if self.buffer.len() - self.pos >= n {
            return Ok(());
        }
        self.sum_up();
        self.before += self.pos as u64;
        self.buffer.drain(..self.pos);
        (self.pos, self.summed) = (0, 0);
        while self.buffer.len() < n {
            let got = self
                .stream
                .read_into(&mut self.buffer)
                .at("read", &self.path)?;
            if got == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Adds what was consumed to the checksum, in one go.
    fn sum_up(&mut self) {
        if let Some(consumed) = self.buffer.get(self.summed..self.pos) {
            self.adler.write(consumed);
        }
        self.summed = self.pos;
    }

    fn damaged(&self, damage: SnapshotDamage) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.clone(),
            offset: self.before + self.pos as u64,
            damage,
        }
    }
}

/// zxid and seal.
const LAST_ZXID_LEN: usize = 21;

/// The file as a stream of raw bytes.
pub(crate) struct Raw {
    file: Box<dyn DiskFile>,
    at: u64,
}

impl Raw {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::Read).at("open", path)?;
        Ok(Self { file, at: 0 })
    }
}

impl Read for Raw {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(self.at, buf)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// What stands between the file and the plain bytes.
pub(crate) enum Stream {
    Plain(Raw),
    Gzip(Box<GzDecoder<io::BufReader<Raw>>>),
    Snappy(Xerial),
}

impl Stream {
    pub(crate) fn new(raw: Raw, compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain(raw),
            Compression::Gzip => Self::Gzip(Box::new(GzDecoder::new(
                io::BufReader::with_capacity(CHUNK, raw),
            ))),
            Compression::Snappy => Self::Snappy(Xerial::new(raw)),
        }
    }

    /// Appends plain bytes, about a chunk; 0 is the end.
    pub(crate) fn read_into(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.take(CHUNK as u64).read_to_end(out),
            Self::Gzip(decoder) => decoder.as_mut().take(CHUNK as u64).read_to_end(out),
            Self::Snappy(xerial) => xerial.read_into(out),
        }
    }
}

/// Snappy blocks as the xerial library frames them.
pub(crate) struct Xerial {
    raw: io::BufReader<Raw>,
    begun: bool,
    packed: Vec<u8>,
}

impl Xerial {
    fn new(raw: Raw) -> Self {
        Self {
            raw: io::BufReader::with_capacity(CHUNK, raw),
            begun: false,
            packed: Vec::new(),
        }
    }

    fn read_into(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        if !self.begun {
            self.begin()?;
            self.begun = true;
        }
        let mut len = [0; 4];
        if read_up_to(&mut self.raw, &mut len)? == 0 {
            return Ok(0);
        }
        let len = usize::try_from(i32::from_be_bytes(len))
            .ok()
            .filter(|n| *n <= XERIAL_BLOCK_LIMIT)
            .ok_or_else(|| invalid("the length of a snappy block is out of bounds"))?;
        self.packed.clear();
        let got = (&mut self.raw)
            .take(len as u64)
            .read_to_end(&mut self.packed)?;
        if got < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unpack(out)
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut head = [0; XERIAL_MAGIC.len() + 8];
        self.raw.read_exact(&mut head)?;
        let (magic, versions) = head.split_at(XERIAL_MAGIC.len());
        let mut fields = Reader::new(versions);
        let (_, compatible) = (fields.i32(), fields.i32());
        if magic != XERIAL_MAGIC || compatible != Ok(XERIAL_VERSION) {
            return Err(invalid("not a xerial snappy stream"));
        }
        Ok(())
    }

    fn unpack(&self, out: &mut Vec<u8>) -> io::Result<usize> {
        let plain = snap::raw::decompress_len(&self.packed).map_err(io::Error::other)?;
        if plain > XERIAL_BLOCK_LIMIT {
            return Err(invalid("a snappy block claims too many bytes"));
        }
        let start = out.len();
        out.resize(start + plain, 0);
        let place = out.get_mut(start..).unwrap_or_default();
        let got = snap::raw::Decoder::new()
            .decompress(&self.packed, place)
            .map_err(io::Error::other)?;
        out.truncate(start + got);
        if got == 0 {
            return Err(invalid("an empty snappy block"));
        }
        Ok(got)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Fills `buf`, or reads nothing at the end of the stream; an end in between is an error.
fn read_up_to(from: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buf.get_mut(got..).filter(|r| !r.is_empty()) {
        match from.read(rest)? {
            0 if got == 0 => return Ok(0),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => got += n,
        }
    }
    Ok(got)
}
