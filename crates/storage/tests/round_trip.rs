//! What is written is read again, whatever it is; and whatever bytes a file holds, reading them ends in an answer.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::Writer as _;
use rookeeper_proto::source::Source;
use rookeeper_proto::txn::TxnHeader;
use rookeeper_storage::dirs::{Compression, DataDirs, SnapshotFile};
use rookeeper_storage::log_reader::{Damage, LogReader, LogRecord, ReadError};
use rookeeper_storage::log_writer::{LogError, LogOptions, LogWriter, SyncReport};
use rookeeper_storage::os_disk::OsDisk;
use rookeeper_storage::snapshot_reader::{SnapshotError, SnapshotReader};
use rookeeper_storage::snapshot_writer::{SnapshotWriter, Trailer};

fn txn(zxid: Zxid, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    TxnHeader {
        session: SessionId(1),
        cxid: 2,
        zxid,
        time: 3,
        kind: 1,
    }
    .encode(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn writer(dir: &Path, prealloc_bytes: u64, size_limit: Option<u64>) -> LogWriter {
    let options = LogOptions {
        prealloc_bytes,
        size_limit,
        force_sync: true,
    };
    LogWriter::new(Arc::new(OsDisk), dir, options)
}

fn read_all(path: &Path) -> (Vec<LogRecord>, LogReader) {
    let mut reader = LogReader::open(&OsDisk, path).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        records.push(record);
    }
    (records, reader)
}

#[test]
fn a_new_file_is_padded_as_java_pads_it_and_trimmed_when_closed() {
    let root = tempfile::tempdir().unwrap();
    let mut log = writer(root.path(), 65536, None);
    log.reserve(100).unwrap();
    let txn = txn(Zxid(5), b"body");
    log.append(Zxid(5), &txn).unwrap();
    let report = SyncReport {
        bytes: 49,
        records: 1,
        through: Some(Zxid(5)),
    };
    assert_eq!(log.sync().unwrap(), report);
    let path = root.path().join("log.5");
    assert_eq!(log.current_file(), Some((path.as_path(), 16 + 49)));
    assert_eq!(fs::metadata(&path).unwrap().len(), 65536 + 16);
    log.reserve(65536).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 2 * 65536 + 16);
    let nothing_new = SyncReport {
        through: Some(Zxid(5)),
        ..SyncReport::default()
    };
    assert_eq!(log.roll().unwrap(), nothing_new);
    assert_eq!(fs::metadata(&path).unwrap().len(), 16 + 49);
    assert_eq!(log.current_file(), None);
}

#[test]
fn a_file_beyond_its_limit_is_rolled_after_the_sync() {
    let root = tempfile::tempdir().unwrap();
    let mut log = writer(root.path(), 4096, Some(200));
    for zxid in 1..=6 {
        log.append(Zxid(zxid), &txn(Zxid(zxid), &[0; 80])).unwrap();
        log.sync().unwrap();
    }
    for (name, count) in [("log.1", 2), ("log.3", 2), ("log.5", 2)] {
        assert_eq!(read_all(&root.path().join(name)).0.len(), count, "{name}");
    }
}

#[test]
fn what_could_not_be_read_back_is_refused_without_harm() {
    let root = tempfile::tempdir().unwrap();
    let mut log = writer(root.path(), 0, None);
    log.append(Zxid(5), &txn(Zxid(5), b"")).unwrap();
    for (zxid, bytes) in [
        (Zxid(6), txn(Zxid(7), b"")),
        (Zxid(6), vec![0; TxnHeader::LEN - 1]),
    ] {
        let refused = log.append(zxid, &bytes);
        assert!(matches!(refused, Err(LogError::NotATransaction { .. })));
    }
    for low in [Zxid(5), Zxid(4)] {
        let refused = log.append(low, &txn(low, b""));
        assert!(matches!(refused, Err(LogError::OutOfOrder { .. })));
    }
    log.append(Zxid(6), &txn(Zxid(6), b"")).unwrap();
    assert_eq!(log.sync().unwrap().records, 2);
    assert_eq!(read_all(&root.path().join("log.5")).0.len(), 2);
}

#[test]
fn a_log_with_records_is_never_overwritten_but_a_torn_one_is() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log.5");
    let mut log = writer(root.path(), 0, None);
    log.append(Zxid(5), &txn(Zxid(5), b"kept")).unwrap();
    log.sync().unwrap();
    let before = fs::read(&path).unwrap();

    let mut second = writer(root.path(), 0, None);
    let refused = second.append(Zxid(5), &txn(Zxid(5), b"other"));
    assert!(matches!(refused, Err(LogError::WouldOverwrite { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::write(&path, &before[..before.len() - 3]).unwrap();
    let mut third = writer(root.path(), 0, None);
    third.append(Zxid(5), &txn(Zxid(5), b"other")).unwrap();
    third.sync().unwrap();
    assert_eq!(read_all(&path).0[0].bytes, txn(Zxid(5), b"other"));
}

#[test]
fn records_larger_than_any_buffer_are_read_back() {
    let root = tempfile::tempdir().unwrap();
    let mut log = writer(root.path(), 4096, None);
    let bodies = [10, 6_000_000, 300_000, 0, 5_000_000];
    for (i, len) in bodies.into_iter().enumerate() {
        let zxid = Zxid(i as i64 + 1);
        log.append(zxid, &txn(zxid, &vec![7; len])).unwrap();
    }
    log.sync().unwrap();
    let (records, _) = read_all(&root.path().join("log.1"));
    let lens: Vec<usize> = records
        .iter()
        .map(|r| r.bytes.len() - TxnHeader::LEN)
        .collect();
    assert_eq!(lens, bodies);
}

/// A length that was damaged to reach into the padding must not hide the records behind it.
#[test]
fn a_damaged_length_does_not_hide_what_follows() {
    let root = tempfile::tempdir().unwrap();
    let mut log = writer(root.path(), 65536, None);
    log.reserve(1).unwrap();
    for zxid in 1..=5 {
        log.append(Zxid(zxid), &txn(Zxid(zxid), b"body")).unwrap();
    }
    log.sync().unwrap();
    let path = root.path().join("log.1");
    let original = fs::read(&path).unwrap();
    let second = 16 + 49;
    for (byte, value) in [
        (8, 0x7f),
        (9, 1),
        (10, 0x40),
        (11, 0),
        (11, 0x23),
        (8, 0x80),
    ] {
        let mut bytes = original.clone();
        bytes[second + byte] = value;
        fs::write(&path, bytes).unwrap();
        let mut reader = LogReader::open(&OsDisk, &path).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().zxid, Zxid(1));
        let Err(ReadError::Corrupt { offset, .. }) = reader.next() else {
            panic!("length byte {byte} set to {value:#x} went unnoticed");
        };
        assert_eq!(offset, second as u64);
    }
}

/// Sectors of one large unsynced write that never reached the disk are zeros, wherever they lie.
#[test]
fn a_lost_sector_is_torn_and_not_damage() {
    let root = tempfile::tempdir().unwrap();
    let mut log = writer(root.path(), 65536, None);
    log.reserve(1).unwrap();
    log.append(Zxid(1), &txn(Zxid(1), b"durable")).unwrap();
    for zxid in 2..=4 {
        log.append(Zxid(zxid), &txn(Zxid(zxid), &[b'x'; 3000]))
            .unwrap();
    }
    log.sync().unwrap();
    let path = root.path().join("log.1");
    let original = fs::read(&path).unwrap();
    for sector in 1..18 {
        let mut bytes = original.clone();
        bytes[sector * 512..(sector + 1) * 512].fill(0);
        fs::write(&path, bytes).unwrap();
        let (records, reader) = read_all(&path);
        let whole = (sector * 512 - 68) / 3045 + 1;
        assert_eq!(records.len(), whole, "sector {sector}");
        assert!(reader.end().unwrap().torn.is_some());
    }
}

#[test]
fn a_file_that_is_no_log_is_named_so() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("log.1");
    for (content, expect) in [
        (&b"ZKSN\0\0\0\x02\0\0\0\0\0\0\0\0"[..], Damage::NotALog),
        (&b"ZKLG\0\0\0\x03\0\0\0\0\0\0\0\0"[..], Damage::Version(3)),
    ] {
        fs::write(&path, content).unwrap();
        let Err(ReadError::Corrupt { damage, offset, .. }) = LogReader::open(&OsDisk, &path) else {
            panic!("{expect:?} expected");
        };
        assert_eq!((damage, offset), (expect, 0));
    }
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Gzip),
        Just(Compression::Snappy)
    ]
}

fn trailer() -> impl Strategy<Value = Trailer> {
    let digest = proptest::option::of((1_i64.., any::<i64>()));
    (digest, proptest::option::of(0_i64..)).prop_map(|(digest, last)| Trailer {
        digest: digest.map(|(z, d)| (Zxid(z), d)),
        last_zxid: last.map(Zxid),
    })
}

fn write_snapshot(
    dirs: &DataDirs,
    zxid: Zxid,
    pieces: &[Vec<u8>],
    compression: Compression,
    trailer: Trailer,
) -> SnapshotFile {
    let mut writer = SnapshotWriter::create(Arc::new(OsDisk), dirs, zxid, compression).unwrap();
    for piece in pieces {
        writer.write(piece).unwrap();
    }
    let path = writer.finish(trailer).unwrap();
    let len = fs::metadata(&path).unwrap().len();
    SnapshotFile {
        path,
        zxid,
        compression,
        len,
    }
}

/// Reads as a loader would, in takes of the given sizes.
fn read_snapshot(
    file: &SnapshotFile,
    mut left: usize,
    steps: &[usize],
) -> Result<(Vec<u8>, Trailer), SnapshotError> {
    let mut reader = SnapshotReader::open(&OsDisk, file)?;
    let mut body = Vec::new();
    let mut steps = steps.iter().cycle();
    while left > 0 {
        let n = left.min(*steps.next().unwrap());
        match reader.take(n) {
            Ok(bytes) => body.extend_from_slice(bytes),
            Err(e) => return Err(*e.0.downcast().unwrap()),
        }
        left -= n;
    }
    Ok((body, reader.finish()?))
}

#[test]
fn digests_of_older_algorithms_are_read_over() {
    let root = tempfile::tempdir().unwrap();
    let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
    let body = b"body\0\0\0\x01/".to_vec();
    for last_zxid in [None, Some(Zxid(9))] {
        let plain = write_snapshot(
            &dirs,
            Zxid(1),
            std::slice::from_ref(&body),
            Compression::None,
            Trailer::default(),
        );
        let mut bytes = fs::read(&plain.path).unwrap();
        bytes.put_i64(8);
        bytes.put_i32(1);
        bytes.put_string("51c6d660");
        seal(&mut bytes);
        if let Some(Zxid(zxid)) = last_zxid {
            bytes.put_i64(zxid);
            seal(&mut bytes);
        }
        fs::write(&plain.path, &bytes).unwrap();
        let (_, trailer) = read_snapshot(&plain, body.len(), &[3]).unwrap();
        let digest = None;
        assert_eq!(trailer, Trailer { digest, last_zxid });
    }
}

fn seal(bytes: &mut Vec<u8>) {
    let adler = simd_adler32::adler32(&bytes.as_slice());
    bytes.put_i64(i64::from(adler));
    bytes.put_string("/");
}

#[test]
fn an_abandoned_snapshot_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
    let create =
        || SnapshotWriter::create(Arc::new(OsDisk), &dirs, Zxid(1), Compression::Gzip).unwrap();
    let tmp = dirs.snapshots().join("snapshot.1.gz.tmp");
    let writer = create();
    assert!(tmp.exists());
    drop(writer);
    assert!(!tmp.exists());
    create().abort().unwrap();
    assert!(!tmp.exists());
}

#[test]
fn a_length_beyond_the_file_is_refused_before_it_is_allocated() {
    let root = tempfile::tempdir().unwrap();
    let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        let file = write_snapshot(&dirs, Zxid(1), &[], compression, Trailer::default());
        let mut reader = SnapshotReader::open(&OsDisk, &file).unwrap();
        assert!(reader.take(usize::MAX / 2).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn logs_round_trip(
        batches in vec(vec(vec(any::<u8>(), 0..2000), 1..8), 1..8),
        prealloc in prop_oneof![Just(0_u64), Just(4096), Just(65536)],
        reserved in any::<bool>(),
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut log = writer(root.path(), prealloc, None);
        let mut written = Vec::new();
        for bodies in batches {
            if reserved {
                let need = bodies.iter().map(|b| LogWriter::record_len(b.len() + TxnHeader::LEN));
                log.reserve(need.sum()).unwrap();
            }
            let count = bodies.len() as u64;
            for body in bodies {
                let zxid = Zxid(written.len() as i64 + 1);
                let txn = txn(zxid, &body);
                log.append(zxid, &txn).unwrap();
                written.push(txn);
            }
            prop_assert_eq!(log.sync().unwrap().records, count);
        }
        let (records, reader) = read_all(&root.path().join("log.1"));
        prop_assert_eq!(reader.end().unwrap().torn, None);
        let read: Vec<_> = records.iter().map(|r| r.bytes.to_vec()).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn snapshots_round_trip(
        pieces in vec(prop_oneof![vec(any::<u8>(), 0..500), vec(Just(7), 0..200_000)], 0..12),
        steps in vec(1_usize..70_000, 1..6),
        compression in compression(),
        trailer in trailer(),
    ) {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let file = write_snapshot(&dirs, Zxid(0x10), &pieces, compression, trailer);
        let body = pieces.concat();
        let (read, found) = read_snapshot(&file, body.len(), &steps).unwrap();
        prop_assert!(read == body);
        prop_assert_eq!(found, trailer);
    }

    #[test]
    fn a_damaged_snapshot_is_never_accepted(
        body in vec(any::<u8>(), 1..3000),
        compression in compression(),
        trailer in trailer(),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let root = tempfile::tempdir().unwrap();
        let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
        let file = write_snapshot(&dirs, Zxid(1), std::slice::from_ref(&body), compression, trailer);
        let mut bytes = fs::read(&file.path).unwrap();
        let at = place.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(&file.path, bytes).unwrap();
        // Some bytes of the containers mean nothing: then what is read must be what was written.
        if let Ok((read, found)) = read_snapshot(&file, body.len(), &[100]) {
            prop_assert!(compression != Compression::None);
            prop_assert!(read == body && found == trailer);
        }
    }

    #[test]
    fn any_bytes_as_a_log_end_in_an_answer(
        header in any::<bool>(),
        bytes in vec(prop_oneof![Just(0_u8), Just(0x42), any::<u8>()], 0..600),
    ) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("log.1");
        let mut content = if header { b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec() } else { vec![] };
        content.extend(bytes);
        fs::write(&path, &content).unwrap();
        if let Ok(mut reader) = LogReader::open(&OsDisk, &path) {
            while let Ok(Some(record)) = reader.next() {
                prop_assert!(record.bytes.len() < content.len());
            }
        }
    }

    #[test]
    fn any_bytes_as_a_snapshot_end_in_an_answer(
        bytes in vec(any::<u8>(), 0..600),
        compression in compression(),
    ) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("snapshot.1");
        let mut content = match compression {
            Compression::None => b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            Compression::Gzip => vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0],
            Compression::Snappy => b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x20".to_vec(),
        };
        content.extend(bytes);
        fs::write(&path, &content).unwrap();
        let len = content.len() as u64;
        let file = SnapshotFile { path, zxid: Zxid(1), compression, len };
        prop_assert!(read_snapshot(&file, 10, &[10]).is_err());
    }
}
