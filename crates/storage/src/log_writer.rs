//! Appends transactions to the log: buffers, writes once per sync, reserves space ahead, rolls (disk formats 2 and 7).
//!
//! What does not live here: when to sync, to roll or to snapshot (the caller), what a transaction says beyond its zxid.
//!
//! Invariants:
//! - `position` bytes of the current file are whole records after the header; only the buffer lies behind them.
//! - A file gets its final name only when its header is durable, and its first record is in the buffer.
//! - After a failed write or fsync every call answers [`LogError::Poisoned`]: nobody knows what the disk holds.
//! - Running out of space is not such a failure: the file is put back to `position` and the buffer is kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::txn::TxnHeader;
use thiserror::Error;

use crate::dirs::{SPARE_LOG, log_name};
use crate::disk::{At, Disk, DiskError, DiskFile};
use crate::log_format::{self, END_OF_RECORD, FRAMING_LEN, HEADER_LEN};
use crate::log_reader::{LogReader, ReadError};

/// A buffer that holds this much is written out before the next record joins it, bytes.
const BUFFER_LIMIT: usize = 4 * 1024 * 1024;
/// What the buffer may keep of its memory after a sync, bytes.
const BUFFER_KEPT: usize = 1024 * 1024;
/// The file grows when less than this would be left behind the records, bytes.
const MARGIN: u64 = 4096;

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Space allocated ahead, bytes (`zookeeper.preAllocSize` times 1024). 0: none, and a full disk is noticed at the sync.
    pub prealloc_bytes: u64,
    /// A file larger than this after a sync is rolled, bytes (`zookeeper.txnLogSizeLimitInKb` times 1024).
    pub size_limit: Option<u64>,
    /// False: `sync` writes but does not fsync (`zookeeper.forceSync=no`); a power cut then loses what was acknowledged.
    pub force_sync: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            prealloc_bytes: 64 * 1024 * 1024,
            size_limit: None,
            force_sync: true,
        }
    }
}

/// What a sync made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncReport {
    /// Bytes written to the log since the sync before, framing included.
    pub bytes: u64,
    /// Records among them.
    pub records: u64,
    /// The last zxid that is durable; `None` when this writer never had a record.
    pub through: Option<Zxid>,
}

/// Why the log did not take or keep something.
#[derive(Debug, Error)]
pub enum LogError {
    /// No space. Nothing was lost or changed, and the same call may succeed later.
    #[error("the disk is full: {0}")]
    Full(#[source] DiskError),
    /// The first failure; the log is poisoned from here on.
    #[error("the log failed and accepts nothing more: {0}")]
    Failed(#[source] DiskError),
    /// An earlier failure: nobody knows what the disk holds, so nothing more is written. Restart to recover.
    #[error("the log accepts nothing more since an earlier failure: {first}")]
    Poisoned {
        /// The text of the first failure.
        first: Arc<str>,
    },
    /// The records of a history ascend.
    #[error("zxid {zxid} cannot follow {last} in the log")]
    OutOfOrder {
        /// Last appended.
        last: Zxid,
        /// Refused.
        zxid: Zxid,
    },
    /// What is no transaction, or not the one announced, could not be read back.
    #[error("{len} bytes are not the transaction {zxid}")]
    NotATransaction {
        /// As announced.
        zxid: Zxid,
        /// Length, bytes.
        len: usize,
    },
    /// A file of the new name holds records: overwriting it would lose them. Poisons: the caller has lost its place.
    #[error("{} already holds the record {zxid}, which must not be overwritten", path.display())]
    WouldOverwrite {
        /// The file.
        path: PathBuf,
        /// Its first record.
        zxid: Zxid,
    },
    /// The old file of the new name cannot be judged. Poisons.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

impl LogError {
    const fn poisons(&self) -> bool {
        matches!(
            self,
            Self::Failed(_) | Self::WouldOverwrite { .. } | Self::Unreadable(_)
        )
    }

    fn full_or_failed(error: DiskError) -> Self {
        if error.is_full() {
            Self::Full(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// A file that records go to.
#[derive(Debug)]
struct Open {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// End of the last written record.
    position: u64,
    /// Length of the file: what is allocated.
    size: u64,
}

/// Writes the transaction log of one server. One owner; not shared.
#[derive(Debug)]
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: LogOptions,
    /// Where records go; `None` after opening or rolling, until the next append.
    current: Option<Open>,
    /// A file with a durable header and allocated space, still without its name.
    spare: Option<Open>,
    /// Framed records that are not in the file yet.
    buffer: Vec<u8>,
    /// What the next successful sync will report.
    pending: SyncReport,
    /// Last zxid taken by `append`.
    last: Option<Zxid>,
    /// Last zxid covered by a sync.
    synced: Option<Zxid>,
    poison: Option<Arc<str>>,
}

impl LogWriter {
    /// A writer for the log directory `dir`. No file is touched before the first `reserve` or `append`; that always opens a
    /// new file, never an old one, whose tail might be torn.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, options: LogOptions) -> Self {
        Self {
            disk,
            dir: dir.to_path_buf(),
            options,
            current: None,
            spare: None,
            buffer: Vec::new(),
            pending: SyncReport::default(),
            last: None,
            synced: None,
            poison: None,
        }
    }

    /// Bytes that a transaction of `txn_len` bytes takes in the log: what to sum up for [`LogWriter::reserve`].
    #[must_use]
    pub const fn record_len(txn_len: usize) -> usize {
        txn_len + FRAMING_LEN
    }

    /// Makes sure that the next records, `bytes` of [`LogWriter::record_len`] in sum, fit into allocated blocks.
    /// [`LogError::Full`] leaves all as it was; call again later. Without preallocation only the file itself is made ready.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), LogError> {
        self.healthy()?;
        let done = self.try_reserve(bytes as u64);
        self.note(done)
    }

    /// Takes a record: `txn` is header, body and digest as they travel. It is durable only after [`LogWriter::sync`]. After
    /// any error the record was not taken. [`LogError::Full`] is possible only for what was not reserved.
    pub fn append(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), LogError> {
        self.healthy()?;
        let done = self.try_append(zxid, txn);
        self.note(done)
    }

    /// Writes what was appended, in one write, and makes it durable with one fdatasync; then rolls if the file is beyond its
    /// limit. After [`LogError::Full`] nothing is lost: the records wait for the next sync.
    pub fn sync(&mut self) -> Result<SyncReport, LogError> {
        self.healthy()?;
        let done = self.try_sync();
        self.note(done)
    }

    /// Syncs, gives unused space back and closes the file: the next append opens a new one. Also the clean way to stop.
    pub fn roll(&mut self) -> Result<SyncReport, LogError> {
        self.healthy()?;
        let done = self.try_sync().and_then(|report| {
            self.close_current()?;
            Ok(report)
        });
        self.note(done)
    }

    /// Goes on behind `zxid`, which may lie before what was appended last: for a history that was truncated or replaced. What
    /// is open is synced and closed first; the next append opens a new file, and never overwrites one that holds records.
    pub fn restart_after(&mut self, zxid: Zxid) -> Result<(), LogError> {
        self.roll()?;
        (self.last, self.synced) = (Some(zxid), Some(zxid));
        Ok(())
    }

    /// Accepts nothing more: the files were changed half way.
    pub(crate) fn poison(&mut self, why: &DiskError) {
        self.poison.get_or_insert_with(|| why.to_string().into());
    }

    /// The file records go to now, and the bytes in it, header and records, buffer included. `None` before the first append.
    #[must_use]
    pub fn current_file(&self) -> Option<(&Path, u64)> {
        let open = self.current.as_ref()?;
        Some((&open.path, open.position + self.buffer.len() as u64))
    }

    /// The last zxid that is durable: how far [`crate::log_range`] may read meanwhile.
    #[must_use]
    pub const fn synced(&self) -> Option<Zxid> {
        self.synced
    }

    /// The last zxid that was appended, durable or not.
    #[must_use]
    pub const fn last(&self) -> Option<Zxid> {
        self.last
    }

    fn healthy(&self) -> Result<(), LogError> {
        match &self.poison {
            None => Ok(()),
            Some(first) => Err(LogError::Poisoned {
                first: first.clone(),
            }),
        }
    }

    /// Remembers the first failure.
    fn note<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(error) = &result
            && error.poisons()
        {
            self.poison = Some(error.to_string().into());
        }
        result
    }

    fn try_reserve(&mut self, bytes: u64) -> Result<(), LogError> {
        let need = self.buffer.len() as u64 + bytes;
        let prealloc = self.options.prealloc_bytes;
        if let Some(open) = &mut self.current {
            return open.reserve(need, prealloc);
        }
        let mut spare = self.take_spare()?;
        let done = spare.reserve(need, prealloc);
        // Even without the space wished for, the file is sound and can wait.
        self.spare = Some(spare);
        done
    }

    fn try_append(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), LogError> {
        self.check(zxid, txn)?;
        let len = i32::try_from(txn.len()).map_err(|_| LogError::NotATransaction {
            zxid,
            len: txn.len(),
        })?;
        if self.buffer.len() >= BUFFER_LIMIT {
            self.write_out()?;
        }
        if self.current.is_none() {
            self.open_current(zxid)?;
        }
        let crc = u64::from(log_format::checksum(txn));
        self.buffer.reserve(Self::record_len(txn.len()));
        self.buffer.extend_from_slice(&crc.to_be_bytes());
        self.buffer.extend_from_slice(&len.to_be_bytes());
        self.buffer.extend_from_slice(txn);
        self.buffer.push(END_OF_RECORD);
        self.last = Some(zxid);
        self.pending.bytes += Self::record_len(txn.len()) as u64;
        self.pending.records += 1;
        Ok(())
    }

    fn check(&self, zxid: Zxid, txn: &[u8]) -> Result<(), LogError> {
        if let Some(last) = self.last.filter(|last| zxid <= *last) {
            return Err(LogError::OutOfOrder { last, zxid });
        }
        match TxnHeader::decode(&mut Reader::new(txn)) {
            Ok(header) if header.zxid == zxid => Ok(()),
            _ => Err(LogError::NotATransaction {
                zxid,
                len: txn.len(),
            }),
        }
    }

    fn try_sync(&mut self) -> Result<SyncReport, LogError> {
        self.write_out()?;
        if self.pending.records > 0 {
            self.flush_current()?;
            self.synced = self.last;
        }
        let mut report = std::mem::take(&mut self.pending);
        report.through = self.synced;
        if let (Some(limit), Some(open)) = (self.options.size_limit, &self.current)
            && open.position > limit
        {
            self.close_current()?;
        }
        Ok(report)
    }

    fn flush_current(&mut self) -> Result<(), LogError> {
        match &mut self.current {
            Some(open) if self.options.force_sync => open
                .file
                .sync_data()
                .at("sync", &open.path)
                .map_err(LogError::Failed),
            _ => Ok(()),
        }
    }

    /// Puts the buffer into the current file.
    fn write_out(&mut self) -> Result<(), LogError> {
        let Some(open) = &mut self.current else {
            return Ok(());
        };
        if self.buffer.is_empty() {
            return Ok(());
        }
        open.write(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        Ok(())
    }

    /// Cuts the padding off and lets go of the file. Everything in it is durable already.
    fn close_current(&mut self) -> Result<(), LogError> {
        let Some(mut open) = self.current.take() else {
            return Ok(());
        };
        if open.size > open.position {
            open.file
                .truncate(open.position)
                .at("truncate", &open.path)
                .map_err(LogError::Failed)?;
        }
        Ok(())
    }

    /// Gives the spare file the name of its first record.
    fn open_current(&mut self, zxid: Zxid) -> Result<(), LogError> {
        let path = self.dir.join(log_name(zxid));
        refuse_overwriting(&*self.disk, &path)?;
        let mut open = self.take_spare()?;
        if let Err(error) = self
            .disk
            .rename(&open.path, &path)
            .at("rename the new log to", &path)
        {
            self.spare = Some(open);
            return Err(LogError::full_or_failed(error));
        }
        open.path = path;
        self.disk
            .sync_dir(&self.dir)
            .at("sync", &self.dir)
            .map_err(LogError::Failed)?;
        self.current = Some(open);
        Ok(())
    }

    /// The spare file, made now if there is none.
    fn take_spare(&mut self) -> Result<Open, LogError> {
        if let Some(spare) = self.spare.take() {
            return Ok(spare);
        }
        let path = self.dir.join(SPARE_LOG);
        make_spare(&*self.disk, &path).map_err(|error| {
            // Nothing points to it yet; leaving it would only take space, and the next try empties it anyway.
            let _ = self.disk.remove(&path);
            LogError::full_or_failed(error)
        })
    }
}

/// The header must be durable before anything else: a log full of zeros is taken for damage.
fn make_spare(disk: &dyn Disk, path: &Path) -> Result<Open, DiskError> {
    let mut file = disk.create(path).at("create", path)?;
    file.write_at(0, &log_format::header())
        .at("write the header of", path)?;
    file.sync_data().at("sync", path)?;
    Ok(Open {
        file,
        path: path.to_path_buf(),
        position: HEADER_LEN as u64,
        size: HEADER_LEN as u64,
    })
}

/// A file of the new name may hold a torn record, which goes, but never a whole one.
fn refuse_overwriting(disk: &dyn Disk, path: &Path) -> Result<(), LogError> {
    let mut old = match LogReader::open(disk, path) {
        Err(ReadError::Disk(e)) if e.source.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    match old.next()? {
        None => Ok(()),
        Some(record) => Err(LogError::WouldOverwrite {
            path: path.to_path_buf(),
            zxid: record.zxid,
        }),
    }
}

impl Open {
    /// Allocates so that `need` bytes behind `position` exist, in Java's steps: one more `prealloc`, or up to the next
    /// multiple of it.
    fn reserve(&mut self, need: u64, prealloc: u64) -> Result<(), LogError> {
        let end = self.position + need;
        if prealloc == 0 || end + MARGIN < self.size {
            return Ok(());
        }
        let mut wanted = self.size + prealloc;
        if end > self.size {
            // Also for the very first step, where `end` is still below one step: 16 + prealloc, as Java's files have.
            wanted = wanted.max(end + prealloc - (end + prealloc) % prealloc);
        }
        let grown = self.file.allocate(self.size, wanted - self.size);
        match grown.at("allocate space for", &self.path) {
            Ok(()) => {
                self.size = wanted;
                Ok(())
            }
            Err(error) => {
                self.put_back(self.size)?;
                Err(LogError::full_or_failed(error))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let written = self.file.write_at(self.position, bytes);
        match written.at("write", &self.path) {
            Ok(()) => {
                self.position += bytes.len() as u64;
                self.size = self.size.max(self.position);
                Ok(())
            }
            Err(error) if error.is_full() => {
                self.put_back(self.position)?;
                self.size = self.position;
                Err(LogError::Full(error))
            }
            Err(error) => Err(LogError::Failed(error)),
        }
    }

    /// Undoes what a call that ran out of space may have left.
    fn put_back(&mut self, len: u64) -> Result<(), LogError> {
        self.file
            .truncate(len)
            .at("truncate", &self.path)
            .map_err(LogError::Failed)
    }
}
