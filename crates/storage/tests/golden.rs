//! The data directory of a real Java server: every record, every seal, and what its README says about modified copies, as far
//! as storage alone decides it.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader;
use rookeeper_proto::source::Source;
use rookeeper_proto::txn::TxnHeader;
use rookeeper_storage::dirs::{Compression, DataDirs, SnapshotFile};
use rookeeper_storage::epoch_files::EpochFile;
use rookeeper_storage::log_range::LogRange;
use rookeeper_storage::log_reader::{Damage, LogReader, ReadError};
use rookeeper_storage::log_writer::{LogOptions, LogWriter};
use rookeeper_storage::os_disk::OsDisk;
use rookeeper_storage::recover::{self, Found, Policy, RecoverError, Start};
use rookeeper_storage::replay::{Replay, ReplayEnd, ReplayError};
use rookeeper_storage::snapshot_check;
use rookeeper_storage::snapshot_reader::{SnapshotDamage, SnapshotError, SnapshotReader};
use rookeeper_storage::snapshot_writer::{SnapshotWriter, Trailer};
use rookeeper_storage::snapshots;
use rookeeper_storage::truncate::truncate;
use serde_json::Value;

const LAST: Zxid = Zxid(0x1_0000_0060);
const HEADER_LEN: usize = 16;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/disk")
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(golden().join("expected-files.json")).unwrap()).unwrap()
}

fn zxid(value: &Value) -> Zxid {
    Zxid(hex(value))
}

fn hex(value: &Value) -> i64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16)
        .unwrap()
        .cast_signed()
}

fn int(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// A copy of the golden directory that a test may damage.
struct Copy {
    root: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("version-2")).unwrap();
        for file in fs::read_dir(golden().join("dataset/version-2")).unwrap() {
            let file = file.unwrap();
            let to = root.path().join("version-2").join(file.file_name());
            fs::copy(file.path(), to).unwrap();
        }
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("version-2").join(name)
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        edit(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn dirs(&self) -> DataDirs {
        DataDirs::open(&OsDisk, self.root.path(), None, true).unwrap()
    }

    fn replay(&self, base: i64) -> Result<ReplayEnd, ReplayError> {
        Replay::from(&OsDisk, &self.dirs(), Zxid(base))?.finish()
    }

    /// The newest snapshot that reads completely, by the way a server looks for it.
    fn first_readable(&self) -> Zxid {
        let found = recover::survey(&OsDisk, &self.dirs()).unwrap();
        let Found::Snapshots(candidates) = found else {
            panic!("{found:?}");
        };
        let expect = expected();
        candidates
            .iter()
            .find(|s| {
                let name = s.path.file_name().unwrap().to_str().unwrap();
                read_snapshot(s, &expect[format!("dataset/version-2/{name}")]).is_ok()
            })
            .unwrap()
            .zxid
    }
}

/// Reads the body of a golden snapshot (its length is known from the expected file) and finishes.
fn read_snapshot(file: &SnapshotFile, expect: &Value) -> Result<(Vec<u8>, Trailer), SnapshotError> {
    let mut reader = SnapshotReader::open(&OsDisk, file)?;
    let body = int(&expect["seals"][0]["offset"]) - HEADER_LEN;
    let mut bytes = Vec::new();
    let mut step = 1;
    while bytes.len() < body {
        let n = step.min(body - bytes.len());
        match reader.take(n) {
            Ok(taken) => bytes.extend_from_slice(taken),
            Err(e) => return Err(*e.0.downcast().unwrap()),
        }
        step = step % 97 + 1;
    }
    Ok((bytes, reader.finish()?))
}

fn snapshot_at(path: PathBuf, zxid: Zxid, compression: Compression) -> SnapshotFile {
    let len = fs::metadata(&path).unwrap().len();
    SnapshotFile {
        path,
        zxid,
        compression,
        len,
    }
}

fn golden_snapshots() -> Vec<(SnapshotFile, Value)> {
    let expect = expected();
    let files = expect.as_object().unwrap();
    files
        .iter()
        .filter_map(|(name, expect)| {
            let short = name.rsplit('/').next().unwrap();
            let mut parts = short.strip_prefix("snapshot.")?.split('.');
            let zxid = i64::from_str_radix(parts.next().unwrap(), 16).unwrap();
            let compression = match parts.next() {
                None => Compression::None,
                Some("gz") => Compression::Gzip,
                Some(_) => Compression::Snappy,
            };
            let file = snapshot_at(golden().join(name), Zxid(zxid), compression);
            Some((file, expect.clone()))
        })
        .collect()
}

#[test]
fn every_record_of_every_log_is_read_as_java_wrote_it() {
    let expect = expected();
    let mut logs = 0;
    for (name, expect) in expect.as_object().unwrap() {
        if !name.contains("/log.") {
            continue;
        }
        logs += 1;
        let raw = fs::read(golden().join(name)).unwrap();
        let mut reader = LogReader::open(&OsDisk, &golden().join(name)).unwrap();
        for record in expect["records"].as_array().unwrap() {
            let read = reader.next().unwrap().unwrap();
            assert_eq!(read.offset, record["offset"].as_u64().unwrap());
            assert_eq!(read.zxid, zxid(&record["zxid"]));
            assert_eq!(read.bytes.len(), int(&record["length"]));
            let at = int(&record["offset"]);
            let crc = u64::from_be_bytes(raw[at..at + 8].try_into().unwrap());
            assert_eq!(crc, record["crc"].as_u64().unwrap());
            let header = TxnHeader::decode(&mut Reader::new(&read.bytes)).unwrap();
            assert_eq!(header.session.0, hex(&record["clientId"]));
            assert_eq!(i64::from(header.cxid), record["cxid"].as_i64().unwrap());
            assert_eq!(header.time, record["time"].as_i64().unwrap());
            assert_eq!(i64::from(header.kind), record["type"].as_i64().unwrap());
            let body: String = read.bytes[TxnHeader::LEN..]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            // Long bodies are abbreviated in the expectation.
            let expect = record["body_hex"].as_str().unwrap();
            match expect.strip_suffix("...") {
                None => assert_eq!(body, expect),
                Some(beginning) => assert!(body.starts_with(beginning)),
            }
        }
        assert_eq!(reader.next().unwrap(), None);
        let end = reader.end().unwrap();
        assert_eq!(end.offset, expect["end_of_data"].as_u64().unwrap());
        assert_eq!(end.torn, None);
    }
    assert_eq!(logs, 3);
}

#[test]
fn writing_the_records_anew_gives_the_file_java_wrote() {
    let options = LogOptions {
        prealloc_bytes: 64 * 1024,
        ..LogOptions::default()
    };
    for name in ["log.100000001", "log.100000020", "log.100000042"] {
        let java = golden().join("dataset/version-2").join(name);
        let root = tempfile::tempdir().unwrap();
        let mut log = LogWriter::new(OsDisk.arc(), root.path(), options);
        let mut reader = LogReader::open(&OsDisk, &java).unwrap();
        while let Some(record) = reader.next().unwrap() {
            log.reserve(LogWriter::record_len(record.bytes.len()))
                .unwrap();
            log.append(record.zxid, &record.bytes).unwrap();
            log.sync().unwrap();
        }
        let ours = fs::read(root.path().join(name)).unwrap();
        assert!(ours == fs::read(&java).unwrap(), "{name} differs");
    }
}

#[test]
fn every_snapshot_is_read_with_its_seals_and_trailers() {
    let snapshots = golden_snapshots();
    assert_eq!(snapshots.len(), 6);
    for (file, expect) in snapshots {
        assert!(snapshots::looks_valid(&OsDisk, &file).unwrap());
        let (_, trailer) = read_snapshot(&file, &expect).unwrap();
        let digest = &expect["zxid_digest"];
        let digest = (zxid(&digest["zxid"]), digest["digest"].as_i64().unwrap());
        let stored = Some(digest).filter(|(zxid, _)| *zxid != Zxid::ZERO);
        assert_eq!(trailer.digest, stored, "{file:?}");
        assert_eq!(trailer.last_zxid, Some(zxid(&expect["last_zxid"])));
    }
}

#[test]
fn the_three_encodings_hold_the_same_bytes() {
    let bodies: Vec<Vec<u8>> = golden_snapshots()
        .iter()
        .filter(|(file, _)| file.zxid == LAST)
        .map(|(file, expect)| read_snapshot(file, expect).unwrap().0)
        .collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn writing_a_snapshot_anew_gives_the_bytes_java_wrote() {
    let root = tempfile::tempdir().unwrap();
    let dirs = DataDirs::open(&OsDisk, root.path(), None, true).unwrap();
    for (file, expect) in golden_snapshots() {
        let (body, mut trailer) = read_snapshot(&file, &expect).unwrap();
        // Reading drops the digest of the empty tree, which says nothing; Java writes it.
        trailer.digest = trailer.digest.or(Some((Zxid::ZERO, 0)));
        let mut writer =
            SnapshotWriter::create(OsDisk.arc(), &dirs, file.zxid, file.compression).unwrap();
        for piece in body.chunks(1000) {
            writer.write(piece).unwrap();
        }
        let path = writer.finish(trailer).unwrap();
        assert_eq!(path.file_name(), file.path.file_name());
        if file.compression == Compression::None {
            assert_eq!(fs::read(&path).unwrap(), fs::read(&file.path).unwrap());
        }
        let again = snapshot_at(path, file.zxid, file.compression);
        let (body_again, _) = read_snapshot(&again, &expect).unwrap();
        assert_eq!(body_again, body);
        fs::remove_file(again.path).unwrap();
    }
}

trait InArc {
    fn arc(self) -> Arc<dyn rookeeper_storage::disk::Disk>;
}

impl InArc for OsDisk {
    fn arc(self) -> Arc<dyn rookeeper_storage::disk::Disk> {
        Arc::new(self)
    }
}

#[test]
fn the_history_is_replayed_from_each_snapshot() {
    let copy = Copy::new();
    for (base, records) in [
        (0x1_0000_001e, 66),
        (0x1_0000_0040, 32),
        (0, 96),
        (LAST.0, 0),
    ] {
        let end = copy.replay(base).unwrap();
        assert_eq!((end.last, end.records), (LAST, records), "from {base:#x}");
    }
}

#[test]
fn epochs_are_read() {
    let copy = Copy::new();
    let dirs = copy.dirs();
    assert_eq!(EpochFile::Accepted.read(&OsDisk, &dirs).unwrap(), Some(1));
    assert_eq!(EpochFile::Current.read(&OsDisk, &dirs).unwrap(), Some(1));
}

fn end_of_data(name: &str) -> usize {
    int(&expected()[format!("dataset/version-2/{name}")]["end_of_data"])
}

fn last_record(name: &str) -> usize {
    let expect = &expected()[format!("dataset/version-2/{name}")];
    int(&expect["records"].as_array().unwrap().last().unwrap()["offset"])
}

#[test]
fn logs_cut_at_the_end_of_their_data_load() {
    let copy = Copy::new();
    for name in ["log.100000001", "log.100000020", "log.100000042"] {
        copy.edit(name, |bytes| bytes.truncate(end_of_data(name)));
    }
    assert_eq!(copy.replay(0).unwrap().last, LAST);
}

#[test]
fn a_last_record_cut_anywhere_is_torn() {
    let name = "log.100000042";
    for cut in last_record(name) + 1..end_of_data(name) {
        let copy = Copy::new();
        copy.edit(name, |bytes| bytes.truncate(cut));
        let end = copy.replay(0x1_0000_0040).unwrap();
        assert_eq!(end.last, Zxid(LAST.0 - 1), "cut at {cut}");
        end.settle(&OsDisk).unwrap();
        // A checksum begins with four zeros: so short a rest cannot be told from padding.
        let zeros = cut - last_record(name) <= 4;
        let left = if zeros { cut } else { last_record(name) };
        assert_eq!(fs::metadata(copy.path(name)).unwrap().len(), left as u64);
    }
}

#[test]
fn zeros_over_the_end_of_the_last_record_are_torn() {
    let name = "log.100000042";
    let copy = Copy::new();
    copy.edit(name, |bytes| {
        bytes[end_of_data(name) - 10..end_of_data(name)].fill(0);
    });
    let end = copy.replay(0x1_0000_0040).unwrap();
    assert_eq!(end.last, Zxid(LAST.0 - 1));
    let tail = end.files.last().unwrap().end;
    assert_eq!(tail.torn, Some(Damage::NoEndByte));
}

/// One flipped bit in any byte of any earlier record stops the start; nothing behind it is dropped in silence.
#[test]
fn a_changed_byte_in_an_earlier_record_is_damage() {
    let name = "log.100000042";
    let original = fs::read(golden().join("dataset/version-2").join(name)).unwrap();
    let copy = Copy::new();
    for at in 0..last_record(name) {
        let mut bytes = original.clone();
        bytes[at] ^= 0x10;
        fs::write(copy.path(name), bytes).unwrap();
        match copy.replay(0x1_0000_0040) {
            Err(ReplayError::Read(ReadError::Corrupt { path, offset, .. })) => {
                assert_eq!(path, copy.path(name));
                assert!(offset <= at as u64, "byte {at}: {offset}");
            }
            // The database id means nothing.
            Ok(end) if (8..HEADER_LEN).contains(&at) => assert_eq!(end.last, LAST),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

/// A vote is as high as the last whole record: neither what a torn one claims nor the name of a file counts.
#[test]
fn zookeeper_596_what_a_torn_record_claims_does_not_count() {
    let name = "log.100000042";
    let log = fs::read(golden().join("dataset/version-2").join(name)).unwrap();
    let mut record = log[last_record(name)..end_of_data(name)].to_vec();
    // Behind checksum, length, session and the client's number.
    record[24..32].copy_from_slice(&0x7_0000_0001_i64.to_be_bytes());
    for cut in 5..record.len() {
        let copy = Copy::new();
        copy.edit(name, |bytes| {
            bytes.truncate(end_of_data(name));
            bytes.extend(&record[..cut]);
        });
        assert_eq!(copy.replay(0).unwrap().last, LAST, "cut at {cut}");

        let copy = Copy::new();
        let alone = [&log[..HEADER_LEN], &record[..cut]].concat();
        fs::write(copy.path("log.700000001"), alone).unwrap();
        assert_eq!(copy.replay(0).unwrap().last, LAST, "cut at {cut}");
    }
    // All of it, but not what its checksum says: no start, so no vote.
    let copy = Copy::new();
    copy.edit(name, |bytes| {
        bytes.truncate(end_of_data(name));
        bytes.extend(&record);
    });
    assert!(matches!(
        copy.replay(0),
        Err(ReplayError::Read(ReadError::Corrupt { .. }))
    ));
}

#[test]
fn a_changed_byte_in_the_last_record_is_damage_too() {
    let name = "log.100000042";
    let copy = Copy::new();
    copy.edit(name, |bytes| bytes[end_of_data(name) - 20] ^= 1);
    assert!(matches!(
        copy.replay(0x1_0000_0040),
        Err(ReplayError::Read(ReadError::Corrupt { .. }))
    ));
}

#[test]
fn zookeeper_2332_an_empty_newest_log_is_removed() {
    for content in [
        &b""[..],
        &b"ZKLG\0\0"[..],
        &b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0"[..],
        &[0; 500],
    ] {
        let copy = Copy::new();
        fs::write(copy.path("log.100000061"), content).unwrap();
        let end = copy.replay(0x1_0000_0040).unwrap();
        assert_eq!(end.last, LAST);
        end.settle(&OsDisk).unwrap();
        assert!(!copy.path("log.100000061").exists());
        assert!(copy.path("log.100000042").exists());
        assert_eq!(copy.replay(0).unwrap().last, LAST);
    }
}

/// Deviation from Java, which refuses: these logs begin with the very first transaction, so they are the whole history
/// (also ZOOKEEPER-3644).
#[test]
fn zookeeper_3056_without_snapshots_complete_logs_are_accepted() {
    let copy = Copy::new();
    remove_snapshots(&copy);
    let found = recover::survey(&OsDisk, &copy.dirs()).unwrap();
    assert_eq!(
        found,
        Found::LogsWithoutSnapshot {
            first: Zxid(0x1_0000_0001),
            last_logged: LAST,
        }
    );
    let start = recover::decide(&copy.dirs(), found, Policy::default()).unwrap();
    assert_eq!(start, Start::LogsAlone);
    assert_eq!(copy.replay(0).unwrap().records, 96);
}

#[test]
fn without_snapshots_incomplete_logs_are_refused_even_if_trusted() {
    let copy = Copy::new();
    remove_snapshots(&copy);
    copy.remove("log.100000001");
    let dirs = copy.dirs();
    let found = recover::survey(&OsDisk, &dirs).unwrap();
    let refused = recover::decide(&dirs, found.clone(), Policy::default());
    let Err(RecoverError::LogsWithoutSnapshot { last_logged, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(last_logged, LAST);
    let trusting = Policy {
        trust_empty: true,
        ..Policy::default()
    };
    let start = recover::decide(&dirs, found, trusting).unwrap();
    assert_eq!(start, Start::LogsAlone);
    drop(dirs);
    assert!(matches!(copy.replay(0), Err(ReplayError::Gap { .. })));
}

fn remove_snapshots(copy: &Copy) {
    for name in ["snapshot.0", "snapshot.10000001e", "snapshot.100000040"] {
        copy.remove(name);
    }
}

#[test]
fn a_newest_snapshot_cut_short_falls_back_to_the_older() {
    let copy = Copy::new();
    copy.edit("snapshot.100000040", |bytes| bytes.truncate(8000));
    assert_eq!(copy.first_readable(), Zxid(0x1_0000_001e));
    assert_eq!(copy.replay(0x1_0000_001e).unwrap().last, LAST);
}

#[test]
fn a_newest_snapshot_with_changed_bytes_falls_back_to_the_older() {
    let copy = Copy::new();
    copy.edit("snapshot.100000040", |bytes| bytes[5000] ^= 1);
    let file = snapshot_at(
        copy.path("snapshot.100000040"),
        Zxid(0x1_0000_0040),
        Compression::None,
    );
    assert!(snapshots::looks_valid(&OsDisk, &file).unwrap());
    let expect = expected();
    let read = read_snapshot(&file, &expect["dataset/version-2/snapshot.100000040"]);
    assert!(matches!(
        read,
        Err(SnapshotError::Damaged {
            damage: SnapshotDamage::Checksum { .. },
            ..
        })
    ));
    assert_eq!(copy.first_readable(), Zxid(0x1_0000_001e));
}

/// Java loads this with wrong content.
#[test]
fn a_missing_middle_log_is_a_hole_and_stops_the_start() {
    let copy = Copy::new();
    copy.edit("snapshot.100000040", |bytes| bytes.truncate(8000));
    copy.remove("log.100000020");
    assert_eq!(copy.first_readable(), Zxid(0x1_0000_001e));
    let Err(ReplayError::Gap { found, last, .. }) = copy.replay(0x1_0000_001e) else {
        panic!("a hole was not seen");
    };
    assert_eq!((last, found), (Zxid(0x1_0000_001f), Zxid(0x1_0000_0042)));
}

#[test]
fn every_changed_or_missing_byte_of_a_snapshot_is_noticed() {
    let (file, expect) = golden_snapshots()
        .into_iter()
        .find(|(f, _)| f.zxid == Zxid::ZERO)
        .unwrap();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("snapshot.0");
    let original = fs::read(&file.path).unwrap();
    for at in 0..original.len() {
        let mut bytes = original.clone();
        bytes[at] ^= 0x04;
        fs::write(&path, &bytes).unwrap();
        let changed = snapshot_at(path.clone(), Zxid::ZERO, Compression::None);
        assert!(read_snapshot(&changed, &expect).is_err(), "byte {at}");
        bytes.truncate(at);
        fs::write(&path, &bytes).unwrap();
        let cut = snapshot_at(path.clone(), Zxid::ZERO, Compression::None);
        let whole = [
            int(&expect["seals"][0]["offset"]),
            int(&expect["seals"][1]["offset"]),
        ];
        let complete = whole.iter().any(|seal| seal + 13 == at);
        assert_eq!(
            read_snapshot(&cut, &expect).is_ok(),
            complete,
            "cut at {at}"
        );
    }
}

/// The seals are found from the end, where Java left them.
#[test]
fn every_snapshot_tells_what_it_shows_without_its_body() {
    let mut fuzzy = 0;
    for (file, expect) in golden_snapshots() {
        let trailer = snapshot_check::check(&OsDisk, &file).unwrap();
        let (_, read) = read_snapshot(&file, &expect).unwrap();
        assert_eq!(trailer, read);
        let shows = snapshot_check::reaches(&file, trailer).unwrap();
        assert_eq!(shows, zxid(&expect["last_zxid"]));
        fuzzy += u32::from(shows > file.zxid);
    }
    assert_eq!(fuzzy, 1);
}

/// Java's directory, truncated to every transaction in turn. The snapshot 0x100000040 shows 0x100000041 already, so it may only
/// stay for what lies behind that.
#[test]
fn the_history_is_truncated_to_any_transaction() {
    for to in 0x1_0000_0001..=LAST.0 {
        let copy = Copy::new();
        let dirs = copy.dirs();
        let mut log = LogWriter::new(Arc::new(OsDisk), dirs.logs(), LogOptions::default());
        let done = truncate(&OsDisk, &dirs, &mut log, Zxid(to)).unwrap();
        let base = match to {
            0x1_0000_0041.. => 0x1_0000_0040,
            0x1_0000_001e.. => 0x1_0000_001e,
            _ => 0,
        };
        assert_eq!(done.base, Zxid(base));
        drop(dirs);
        assert_eq!(copy.first_readable(), Zxid(base));
        let end = copy.replay(base).unwrap();
        let first = base.max(0x1_0000_0000);
        assert_eq!((end.last, end.records), (Zxid(to), (to - first) as u64));
    }
}

#[test]
fn every_range_of_the_history_is_given_as_java_wrote_it() {
    let copy = Copy::new();
    let dirs = copy.dirs();
    let mut all = Replay::from(&OsDisk, &dirs, Zxid::ZERO).unwrap();
    let mut logged = Vec::new();
    while let Some(record) = all.next().unwrap() {
        logged.push((record.zxid, record.bytes));
    }
    for peer in [
        0x1_0000_0001,
        0x1_0000_001f,
        0x1_0000_0020,
        0x1_0000_0050,
        LAST.0,
    ] {
        let range = LogRange::find(&OsDisk, &dirs, Zxid(peer), LAST).unwrap();
        let mut records = range.unwrap().records(&OsDisk);
        let mut read = Vec::new();
        while let Some(record) = records.next().unwrap() {
            read.push(record);
        }
        let from = usize::try_from(peer - 0x1_0000_0001).unwrap();
        assert!(read == logged[from..], "{peer:x}");
    }
}
