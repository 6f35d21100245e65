//! Reads a snapshot to its end and checks its seals without knowing the body, as a truncation must: it has no tree at hand.
//!
//! What does not live here: the body, and how it is loaded ([`crate::snapshot_reader`]).
//!
//! The seals are found from the end. Which trailers there are is told by where a seal's checksum is right: a body could hold
//! the bytes of an end mark, but not by chance the checksum of all that lies before it.

use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader;
use simd_adler32::Adler32;

use crate::dirs::SnapshotFile;
use crate::disk::{At, Disk};
use crate::snapshot_format::{DIGEST_VERSION, END_MARK, HEADER_LEN, MAGIC, VERSION};
use crate::snapshot_reader::{Raw, SnapshotDamage, SnapshotError, Stream};
use crate::snapshot_writer::Trailer;

/// Checksum and end mark.
const SEAL: usize = 8 + END_MARK.len();
/// Last zxid and its seal.
const LAST_ZXID: usize = 8 + SEAL;
/// zxid, version, digest, and their seal.
const DIGEST: usize = 8 + 4 + 8 + SEAL;
/// No known trailers with the body's seal are longer.
const TAIL: usize = SEAL + DIGEST + LAST_ZXID;

/// The trailer of a snapshot whose seals are right.
pub fn check(disk: &dyn Disk, file: &SnapshotFile) -> Result<Trailer, SnapshotError> {
    let raw = Raw::open(disk, &file.path)?;
    let mut stream = Stream::new(raw, file.compression);
    let mut end = End::default();
    let mut header = None;
    loop {
        let got = stream.read_into(&mut end.bytes).at("read", &file.path)?;
        if header.is_none() && end.bytes.len() >= HEADER_LEN {
            header = Some(check_header(&end.bytes));
        }
        if got == 0 {
            break;
        }
        end.sum_up();
    }
    let damaged = |damage| SnapshotError::Damaged {
        path: file.path.clone(),
        offset: end.before + end.bytes.len().saturating_sub(SEAL) as u64,
        damage,
    };
    header
        .unwrap_or(Err(SnapshotDamage::Ends))
        .and_then(|()| end.trailer())
        .map_err(damaged)
}

/// The highest zxid that the content of a snapshot may show, by its trailer; `None` when that says nothing (older writers, or
/// switched off), so that the content may be of any zxid from the name's on. The empty tree is what it is.
#[must_use]
pub fn reaches(file: &SnapshotFile, trailer: Trailer) -> Option<Zxid> {
    let told = trailer.last_zxid.max(trailer.digest.map(|(zxid, _)| zxid));
    match told {
        Some(told) => Some(told.max(file.zxid)),
        None if file.zxid == Zxid::ZERO => Some(Zxid::ZERO),
        None => None,
    }
}

fn check_header(bytes: &[u8]) -> Result<(), SnapshotDamage> {
    let mut fields = Reader::new(bytes);
    match (fields.i32(), fields.i32()) {
        (Ok(MAGIC), Ok(VERSION)) => Ok(()),
        (Ok(MAGIC), Ok(other)) => Err(SnapshotDamage::Version(other)),
        _ => Err(SnapshotDamage::NotASnapshot),
    }
}

/// The last bytes of the plain stream, and the checksum of all before them.
struct End {
    bytes: Vec<u8>,
    before: u64,
    adler: Adler32,
}

impl Default for End {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            before: 0,
            adler: Adler32::new(),
        }
    }
}

impl End {
    fn sum_up(&mut self) {
        let done = self.bytes.len().saturating_sub(TAIL);
        self.adler.write(self.bytes.get(..done).unwrap_or_default());
        self.bytes.drain(..done);
        self.before += done as u64;
    }

    fn trailer(&self) -> Result<Trailer, SnapshotDamage> {
        self.seal(SEAL)?;
        let mut trailer = Trailer::default();
        let mut behind_digest = SEAL;
        if self.seal(SEAL + LAST_ZXID).is_ok() {
            trailer.last_zxid = self.fields(LAST_ZXID).i64().ok().map(Zxid);
            behind_digest += LAST_ZXID;
        }
        if self.seal(behind_digest + DIGEST).is_ok() {
            let mut fields = self.fields(behind_digest - SEAL + DIGEST);
            let (zxid, version, digest) = (fields.i64(), fields.i32(), fields.i64());
            if let (Ok(zxid), Ok(DIGEST_VERSION), Ok(digest)) = (zxid, version, digest)
                && zxid != 0
            {
                trailer.digest = Some((Zxid(zxid), digest));
            }
        }
        Ok(trailer)
    }

    /// A reader of the last `n` bytes.
    fn fields(&self, n: usize) -> Reader<'_> {
        let (_, tail) = self.split(n).unwrap_or_default();
        Reader::new(tail)
    }

    fn split(&self, n: usize) -> Option<(&[u8], &[u8])> {
        self.bytes
            .split_at_checked(self.bytes.len().checked_sub(n)?)
    }

    /// Checks the seal that begins `n` bytes before the end.
    fn seal(&self, n: usize) -> Result<(), SnapshotDamage> {
        let (before, seal) = self.split(n).ok_or(SnapshotDamage::Ends)?;
        let stored = Reader::new(seal).i64().unwrap_or_default();
        let mut adler = self.adler.clone();
        adler.write(before);
        let computed = adler.finish();
        if stored != i64::from(computed) {
            return Err(SnapshotDamage::Checksum { stored, computed });
        }
        if seal.get(8..SEAL) != Some(&END_MARK[..]) {
            return Err(SnapshotDamage::OpenSeal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::dirs::{Compression, DataDirs};
    use crate::os_disk::OsDisk;
    use crate::snapshot_writer::SnapshotWriter;

    fn written(
        dirs: &DataDirs,
        body: &[u8],
        compression: Compression,
        trailer: Trailer,
    ) -> SnapshotFile {
        let mut writer =
            SnapshotWriter::create(Arc::new(OsDisk), dirs, Zxid(5), compression).unwrap();
        writer.write(body).unwrap();
        writer.write(&END_MARK).unwrap();
        writer.finish(trailer).unwrap();
        dirs.list_snapshots(&OsDisk).unwrap().remove(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the body, the trailer is what was written, and a plain file that was damaged or cut is noticed.
        #[test]
        fn the_trailer_is_found_behind_any_body(
            body in proptest::collection::vec(any::<u8>(), 0..600),
            kind in 0_usize..3,
            digest in proptest::option::of((1_i64.., any::<i64>())),
            last in proptest::option::of(any::<i64>()),
            place in any::<prop::sample::Index>(),
        ) {
            let root = tempfile::tempdir().unwrap();
            let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
            let compression = [Compression::None, Compression::Gzip, Compression::Snappy][kind];
            let trailer = Trailer {
                digest: digest.map(|(z, d)| (Zxid(z), d)),
                last_zxid: last.map(Zxid),
            };
            let file = written(&dirs, &body, compression, trailer);
            prop_assert_eq!(check(&OsDisk, &file).unwrap(), trailer);
            if compression == Compression::None {
                let mut bytes = std::fs::read(&file.path).unwrap();
                let at = place.index(bytes.len());
                bytes[at] ^= 0x10;
                std::fs::write(&file.path, &bytes).unwrap();
                prop_assert!(check(&OsDisk, &file).is_err());
                // Cut off behind a seal it is a whole snapshot with less of a trailer.
                std::fs::write(&file.path, &bytes[..at]).unwrap();
                let trailers = [LAST_ZXID, DIGEST, DIGEST + LAST_ZXID];
                let seal = trailers.contains(&(bytes.len() - at));
                prop_assert!(seal || check(&OsDisk, &file).is_err());
            }
        }
    }
}
