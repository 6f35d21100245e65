//! Reads the records of one log file, and tells how it ends (disk formats 2).
//!
//! What does not live here: how files follow each other ([`crate::replay`]).
//!
//! A power cut leaves sectors of the last, unacknowledged writes unwritten: they read as zeros. Damage to what was durable
//! looks different: wrong bytes, or whole records behind the bad one. So a bad record is
//! - the *end* when checksum and length are zero,
//! - *torn* when its length or its end byte is missing, and no whole record follows, or when a sector between it and the next
//!   whole record (for a wrong checksum: a sector of itself) is all zeros,
//! - *corrupt* otherwise.
//!
//! Invariants: a length from the file is compared with what the file holds before anything is allocated for it; nothing is
//! limited by `jute.maxbuffer`, because what was logged must be readable.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::txn::TxnHeader;
use thiserror::Error;

use crate::disk::{At, Disk, DiskError, DiskFile, OpenMode};
use crate::log_format::{self, END_OF_RECORD, FRAMING_LEN, HEADER_LEN, MAGIC, PREFIX_LEN, VERSION};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;
/// How far behind a bad record whole ones are looked for, bytes. More than any single write holds.
const SEARCH_LIMIT: u64 = 16 * 1024 * 1024;
/// How many bytes may be checksummed in that search, so that crafted data cannot make it long.
const SEARCH_EFFORT: usize = 64 * 1024 * 1024;
/// What a disk writes as one, bytes.
const SECTOR: u64 = 512;
/// The high half of a checksum is always zero, so its loss is no damage.
const ALWAYS_ZERO: u64 = 4;

/// One transaction as it was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// From its header.
    pub zxid: Zxid,
    /// Where the record (its checksum) starts in the file.
    pub offset: u64,
    /// Header, body and digest.
    pub bytes: Bytes,
}

impl LogRecord {
    /// Where the record ends in the file.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + (self.bytes.len() + FRAMING_LEN) as u64
    }
}

/// Why a log cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What was durable once is wrong now.
    #[error(
        "{} is damaged at offset {offset}: {damage}; restore the file, or move data and log aside to fetch them from the leader",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Start of the bad record.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The file does not start as a log does.
    NotALog,
    /// A log, of a version nobody knows.
    Version(i32),
    /// A length below zero.
    NegativeLength(i32),
    /// Too short for a transaction header.
    TooShort(usize),
    /// The file ends within the record.
    FileEnds,
    /// The end byte is another.
    NoEndByte,
    /// The bytes are not those that were written.
    Checksum {
        /// In the file.
        stored: u64,
        /// Of the bytes.
        computed: u32,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotALog => write!(f, "not a transaction log"),
            Self::Version(v) => write!(f, "log format version {v}"),
            Self::NegativeLength(n) => write!(f, "record length {n}"),
            Self::TooShort(n) => write!(f, "record length {n} is below a transaction header"),
            Self::FileEnds => write!(f, "the file ends within the record"),
            Self::NoEndByte => write!(f, "the record does not end with its end byte"),
            Self::Checksum { stored, computed } => {
                write!(f, "checksum {stored:#x} stored, {computed:#x} computed")
            }
        }
    }
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// Behind the last whole record (0: not even a header).
    pub offset: u64,
    /// `None`: the file ends here, or zeros follow. Otherwise what a power cut left.
    pub torn: Option<Damage>,
}

/// Reads one log, front to back.
#[derive(Debug)]
pub struct LogReader {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    len: u64,
    /// A piece of the file; records are slices of it.
    chunk: Bytes,
    /// Where `chunk` starts in the file.
    chunk_at: u64,
    /// Read so far in `chunk`.
    pos: usize,
    last: Option<Zxid>,
    end: Option<LogEnd>,
}

impl LogReader {
    /// Opens a log. A file without a whole header (shorter, or zeros) is no error: it ends at offset 0.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, ReadError> {
        let mut reader = Self::at_start(disk, path)?;
        reader.read_header()?;
        Ok(reader)
    }

    fn at_start(disk: &dyn Disk, path: &Path) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::Read).at("open", path)?;
        let len = file.len().at("measure", path)?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
            len,
            chunk: Bytes::new(),
            chunk_at: 0,
            pos: 0,
            last: None,
            end: None,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next record, `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "it can fail, and then stays failed"
    )]
    pub fn next(&mut self) -> Result<Option<LogRecord>, ReadError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let offset = self.offset();
        let left = self.len - offset;
        if left < PREFIX_LEN as u64 {
            return self.end_in_prefix(offset);
        }
        self.fill(PREFIX_LEN)?;
        let (stored, length) = prefix(self.unread()).unwrap_or_default();
        if (stored, length) == (0, 0) {
            self.end = Some(LogEnd { offset, torn: None });
            return Ok(None);
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(self.corrupt(offset, Damage::NegativeLength(length)));
        };
        if length < TxnHeader::LEN {
            return self.bad(offset, Damage::TooShort(length), length);
        }
        if (length + FRAMING_LEN) as u64 > left {
            return self.bad(offset, Damage::FileEnds, length);
        }
        self.fill(length + FRAMING_LEN)?;
        self.whole_record(offset, stored, length)
    }

    /// How the file ends; `None` while records may follow.
    #[must_use]
    pub const fn end(&self) -> Option<LogEnd> {
        self.end
    }

    fn offset(&self) -> u64 {
        self.chunk_at + self.pos as u64
    }

    fn unread(&self) -> &[u8] {
        self.chunk.get(self.pos..).unwrap_or_default()
    }

    fn read_header(&mut self) -> Result<(), ReadError> {
        let whole = self.len >= HEADER_LEN as u64;
        if whole {
            self.fill(HEADER_LEN)?;
        }
        let header = self.unread().get(..HEADER_LEN).unwrap_or_default();
        if !whole || header.iter().all(|b| *b == 0) {
            // What a crash right after the creation leaves.
            self.end = Some(LogEnd {
                offset: 0,
                torn: (self.len > 0).then_some(Damage::FileEnds),
            });
            return Ok(());
        }
        let mut fields = Reader::new(header);
        let (magic, version) = (fields.i32(), fields.i32());
        match (magic, version) {
            (Ok(MAGIC), Ok(VERSION)) => {
                self.pos += HEADER_LEN;
                Ok(())
            }
            (Ok(MAGIC), Ok(other)) => Err(self.corrupt(0, Damage::Version(other))),
            _ => Err(self.corrupt(0, Damage::NotALog)),
        }
    }

    /// Reads until `n` unread bytes are in the chunk. The caller has compared `n` with the length of the file.
    fn fill(&mut self, n: usize) -> Result<(), ReadError> {
        if self.unread().len() >= n {
            return Ok(());
        }
        let at = self.offset();
        let left = usize::try_from(self.len - at).unwrap_or(usize::MAX);
        let mut chunk = vec![0; n.max(CHUNK).min(left)];
        let kept = self.unread().len();
        let (head, tail) = chunk.split_at_mut(kept.min(left));
        head.copy_from_slice(self.unread());
        let got = self
            .file
            .read_at(at + kept as u64, tail)
            .at("read", &self.path)?;
        chunk.truncate(kept + got);
        if chunk.len() < n {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(Err(source).at("read", &self.path)?);
        }
        (self.chunk, self.chunk_at, self.pos) = (chunk.into(), at, 0);
        Ok(())
    }

    fn whole_record(
        &mut self,
        offset: u64,
        stored: u64,
        length: usize,
    ) -> Result<Option<LogRecord>, ReadError> {
        let start = self.pos + PREFIX_LEN;
        let bytes = self.chunk.slice(start..start + length);
        if self.chunk.get(start + length) != Some(&END_OF_RECORD) {
            return self.bad(offset, Damage::NoEndByte, length);
        }
        let computed = log_format::checksum(&bytes);
        if stored != u64::from(computed) {
            return self.bad(offset, Damage::Checksum { stored, computed }, length);
        }
        let Ok(header) = TxnHeader::decode(&mut Reader::new(&bytes)) else {
            return Err(self.corrupt(offset, Damage::TooShort(length)));
        };
        self.pos += length + FRAMING_LEN;
        self.last = Some(header.zxid);
        Ok(Some(LogRecord {
            zxid: header.zxid,
            offset,
            bytes,
        }))
    }

    /// Fewer bytes are left than a record starts with.
    fn end_in_prefix(&mut self, offset: u64) -> Result<Option<LogRecord>, ReadError> {
        let left = usize::try_from(self.len - offset).unwrap_or(0);
        self.fill(left)?;
        let zeros = self.unread().iter().all(|b| *b == 0);
        let torn = (!zeros).then_some(Damage::FileEnds);
        self.end = Some(LogEnd { offset, torn });
        Ok(None)
    }

    /// Judges a record that is not whole: torn (the end), or corrupt (an error). `length` is what it claims.
    fn bad<T>(
        &mut self,
        offset: u64,
        damage: Damage,
        length: usize,
    ) -> Result<Option<T>, ReadError> {
        let rest = self.window(offset)?;
        let survivor = find_record(&rest, self.last);
        let own = match damage {
            Damage::Checksum { .. } => length.saturating_add(FRAMING_LEN),
            _ => usize::MAX,
        };
        let judged = rest
            .get(..survivor.unwrap_or(rest.len()).min(own))
            .unwrap_or(&rest);
        let checksum = matches!(damage, Damage::Checksum { .. });
        let torn = has_zero_sector(judged, offset) || (survivor.is_none() && !checksum);
        if !torn {
            return Err(self.corrupt(offset, damage));
        }
        self.end = Some(LogEnd {
            offset,
            torn: Some(damage),
        });
        Ok(None)
    }

    /// What is looked through for whole records behind a bad one.
    fn window(&self, offset: u64) -> Result<Vec<u8>, DiskError> {
        let room = self.len.saturating_sub(offset).min(SEARCH_LIMIT);
        let mut rest = vec![0; usize::try_from(room).unwrap_or(0)];
        let got = self
            .file
            .read_at(offset, &mut rest)
            .at("read", &self.path)?;
        rest.truncate(got);
        Ok(rest)
    }

    /// After damage: goes to the next whole record. False when none is found.
    fn skip_damage(&mut self) -> Result<bool, DiskError> {
        let offset = self.offset();
        let Some(at) = find_record(&self.window(offset)?, self.last) else {
            return Ok(false);
        };
        (self.chunk, self.chunk_at, self.pos) = (Bytes::new(), offset + at as u64, 0);
        Ok(true)
    }

    fn corrupt(&self, offset: u64, damage: Damage) -> ReadError {
        ReadError::Corrupt {
            path: self.path.clone(),
            offset,
            damage,
        }
    }
}

/// The last zxid that a log still shows, damage or not.
pub(crate) fn last_whole_record(disk: &dyn Disk, path: &Path) -> Result<Option<Zxid>, DiskError> {
    let mut reader = LogReader::at_start(disk, path)?;
    let mut read = reader.read_header().map(|()| true);
    loop {
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(reader.last),
            Err(ReadError::Disk(error)) => return Err(error),
            Err(ReadError::Corrupt { .. }) => {
                if !reader.skip_damage()? {
                    return Ok(reader.last);
                }
            }
        }
        read = reader.next().map(|record| record.is_some());
    }
}

/// Checksum and length of a record.
fn prefix(bytes: &[u8]) -> Option<(u64, i32)> {
    let mut fields = Reader::new(bytes);
    let crc = fields.i64().ok()?;
    Some((crc.cast_unsigned(), fields.i32().ok()?))
}

/// Where, behind its first byte, `bytes` hold a whole record with a zxid above `last`.
fn find_record(bytes: &[u8], last: Option<Zxid>) -> Option<usize> {
    let mut effort = SEARCH_EFFORT;
    for at in 1..bytes.len().saturating_sub(FRAMING_LEN) {
        let Some(txn) = framed(bytes.get(at..)?) else {
            continue;
        };
        let (stored, _) = prefix(bytes.get(at..)?)?;
        let newer = TxnHeader::decode(&mut Reader::new(txn))
            .is_ok_and(|h| h.zxid > last.unwrap_or(Zxid::ZERO));
        if !newer {
            continue;
        }
        effort = effort.checked_sub(txn.len())?;
        if stored == u64::from(log_format::checksum(txn)) {
            return Some(at);
        }
    }
    None
}

/// The transaction, if `bytes` start with what has the shape of a record.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (crc, length) = prefix(bytes)?;
    u32::try_from(crc).ok()?;
    let length = usize::try_from(length)
        .ok()
        .filter(|n| *n >= TxnHeader::LEN)?;
    let end = PREFIX_LEN.checked_add(length)?;
    let txn = bytes.get(PREFIX_LEN..end)?;
    (bytes.get(end) == Some(&END_OF_RECORD)).then_some(txn)
}

/// True when the part of `bytes` in one sector of the file is all zeros. `offset` is where `bytes` start in the file.
fn has_zero_sector(bytes: &[u8], offset: u64) -> bool {
    let mut at = usize::try_from(ALWAYS_ZERO).unwrap_or(0);
    while at < bytes.len() {
        let into = (offset + at as u64) % SECTOR;
        let next = at + usize::try_from(SECTOR - into).unwrap_or(1);
        let part = bytes.get(at..next.min(bytes.len())).unwrap_or_default();
        if part.iter().all(|b| *b == 0) {
            return true;
        }
        at = next;
    }
    false
}
