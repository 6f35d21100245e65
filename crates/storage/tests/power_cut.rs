//! What must hold whatever happens to power, disk and space: nothing whose sync answered is lost, what is read is a prefix of
//! what was appended, and the directory always opens again.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::source::Source;
use rookeeper_proto::txn::TxnHeader;
use rookeeper_storage::cut_disk::{CutDisk, Fault, Tear};
use rookeeper_storage::dirs::{Compression, DataDirs};
use rookeeper_storage::disk::Disk;
use rookeeper_storage::epoch_files::EpochFile;
use rookeeper_storage::log_writer::{LogError, LogOptions, LogWriter};
use rookeeper_storage::purge;
use rookeeper_storage::recover::{self, Policy, Start};
use rookeeper_storage::replay::Replay;
use rookeeper_storage::snapshot_reader::SnapshotReader;
use rookeeper_storage::snapshot_writer::{SnapshotWriter, Trailer};

const END_MARK: [u8; 5] = [0, 0, 0, 1, b'/'];

/// One thing a server does with its files.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Reserve for and append this many records.
    Append(u32),
    Sync,
    Roll,
    Snapshot(Compression),
    Purge,
    Epoch,
    /// The next record begins a new epoch.
    NewEpoch,
}

/// How a script ended early.
#[derive(Debug)]
enum Stop {
    Full,
    Other(String),
}

impl Stop {
    fn new(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<LogError> for Stop {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full(_) => Self::Full,
            other => Self::new(other),
        }
    }
}

/// A server that only has files, and what it must find again.
struct Member {
    disk: CutDisk,
    options: LogOptions,
    /// Every record of the history, as it was appended last.
    history: BTreeMap<Zxid, Vec<u8>>,
    /// The last record whose sync answered.
    acked: Zxid,
    /// The newest snapshot whose writing answered.
    snapshot: Option<Zxid>,
    /// The epoch whose write answered, and the one that was tried.
    epoch: (i64, i64),
    life: u8,
    next: Zxid,
    open: Option<(DataDirs, LogWriter)>,
}

fn root() -> PathBuf {
    PathBuf::from("/member")
}

impl Member {
    fn new(prealloc_bytes: u64) -> Self {
        Self {
            disk: CutDisk::new(),
            options: LogOptions {
                prealloc_bytes,
                size_limit: Some(9_000),
                force_sync: true,
            },
            history: BTreeMap::new(),
            acked: Zxid::ZERO,
            snapshot: None,
            epoch: (0, 0),
            life: 0,
            next: Zxid::new(1, 1),
            open: None,
        }
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// Starts as a server does, and compares what is found with what must be.
    fn start(&mut self) -> Result<(), Stop> {
        self.open = None;
        self.life += 1;
        let disk = self.disk.clone();
        let dirs = DataDirs::open(&disk, &root(), None, true).map_err(Stop::new)?;
        let found = recover::survey(&disk, &dirs).map_err(Stop::new)?;
        let base = match recover::decide(&dirs, found, Policy::default()).map_err(Stop::new)? {
            Start::Fresh => {
                self.write_snapshot(&dirs, Zxid::ZERO, Compression::None)?;
                Zxid::ZERO
            }
            Start::LogsAlone => Zxid::ZERO,
            Start::NotAllowed => panic!("a database may be created"),
            Start::Snapshots(candidates) => {
                let newest = candidates.first().unwrap();
                self.read_snapshot(SnapshotReader::open(&disk, newest).unwrap(), newest.zxid);
                newest.zxid
            }
        };
        assert!(Some(base) >= self.snapshot, "a finished snapshot is gone");
        let mut replay = Replay::from(&disk, &dirs, base).map_err(Stop::new)?;
        while let Some(record) = replay.next().map_err(Stop::new)? {
            let appended = self.history.get(&record.zxid);
            assert_eq!(appended.map(Vec::as_slice), Some(&record.bytes[..]));
        }
        let end = replay.finish().map_err(Stop::new)?;
        assert!(
            end.last >= self.acked,
            "{} was acknowledged, but the history ends at {}",
            self.acked,
            end.last
        );
        let between = |zxid: &&Zxid| **zxid > base && **zxid <= end.last;
        let whole = self.history.keys().filter(between).count();
        assert_eq!(end.records, whole as u64, "not a prefix");
        end.settle(&disk).map_err(Stop::new)?;
        let epoch = EpochFile::Current.read(&disk, &dirs).map_err(Stop::new)?;
        let epoch = epoch.unwrap_or(0);
        assert!(epoch == self.epoch.0 || epoch == self.epoch.1);
        self.epoch = (epoch, epoch);
        // What is settled is served from here on: it must never be lost again.
        self.acked = end.last;
        self.history.retain(|zxid, _| *zxid <= end.last);
        self.next = if end.last == Zxid::ZERO {
            Zxid::new(1, 1)
        } else {
            end.last.next()
        };
        let writer = LogWriter::new(self.arc(), dirs.logs(), self.options);
        self.open = Some((dirs, writer));
        Ok(())
    }

    /// The body is the zxid of the state.
    fn write_snapshot(
        &mut self,
        dirs: &DataDirs,
        zxid: Zxid,
        compression: Compression,
    ) -> Result<(), Stop> {
        let mut writer =
            SnapshotWriter::create(self.arc(), dirs, zxid, compression).map_err(Stop::new)?;
        writer.write(&zxid.0.to_be_bytes()).map_err(Stop::new)?;
        writer.write(&END_MARK).map_err(Stop::new)?;
        let trailer = Trailer {
            digest: Some((zxid, 5)),
            last_zxid: Some(zxid),
        };
        writer.finish(trailer).map_err(Stop::new)?;
        self.snapshot = self.snapshot.max(Some(zxid));
        Ok(())
    }

    fn read_snapshot(&self, mut reader: SnapshotReader, zxid: Zxid) {
        let body = reader.take(8 + END_MARK.len()).unwrap().to_vec();
        assert_eq!(body[..8], zxid.0.to_be_bytes());
        let trailer = reader.finish().unwrap();
        assert_eq!(trailer.last_zxid, Some(zxid));
    }

    fn run(&mut self, step: Step) -> Result<(), Stop> {
        let arc = self.arc();
        let Some((dirs, log)) = &mut self.open else {
            panic!("not started");
        };
        match step {
            Step::Append(n) => {
                for _ in 0..n {
                    let txn = txn(self.next, self.life);
                    log.reserve(LogWriter::record_len(txn.len()))?;
                    log.append(self.next, &txn)?;
                    self.history.insert(self.next, txn);
                    self.next = self.next.next();
                }
            }
            Step::Sync => self.acked = log.sync()?.through.unwrap_or(self.acked),
            Step::Roll => self.acked = log.roll()?.through.unwrap_or(self.acked),
            Step::Snapshot(compression) => {
                let (dirs, zxid) = (dirs.clone(), self.acked);
                self.write_snapshot(&dirs, zxid, compression)?;
            }
            Step::Purge => {
                purge::purge(&*arc, dirs, 3).map_err(Stop::new)?;
            }
            Step::Epoch => {
                self.epoch.1 = self.epoch.0 + 1;
                EpochFile::Current
                    .write(&*arc, dirs, self.epoch.1)
                    .map_err(Stop::new)?;
                self.epoch.0 = self.epoch.1;
            }
            Step::NewEpoch => {
                let epoch = u32::try_from(self.next.epoch()).unwrap() + 1;
                self.next = Zxid::new(epoch, 1);
            }
        }
        Ok(())
    }

    /// Starts and runs steps until one fails.
    fn live(&mut self, script: &[Step]) -> Result<(), Stop> {
        self.start()?;
        script.iter().try_for_each(|step| self.run(*step))
    }

    fn die(&mut self) {
        self.disk.kill();
        self.open = None;
    }

    fn lose_power(&mut self, tear: Tear) {
        self.disk.restart(tear);
        self.open = None;
        self.check_headers();
    }

    /// Java refuses a log that does not start as one; so no log may get its name before its header is durable.
    fn check_headers(&self) {
        let dir = root().join("version-2");
        for entry in self.disk.list(&dir).unwrap() {
            if entry.name.starts_with("log.") {
                let content = self.disk.content(&dir.join(&entry.name)).unwrap();
                assert_eq!(content.get(..8), Some(&b"ZKLG\0\0\0\x02"[..]));
            }
        }
    }
}

/// The transaction of a zxid: small, above a sector, above a page, full of zeros, by turns; another one in each life.
fn txn(zxid: Zxid, life: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    TxnHeader {
        session: SessionId(7),
        cxid: i32::from(life),
        zxid,
        time: 1_700_000_000_000,
        kind: 5,
    }
    .encode(&mut bytes);
    let (len, fill) = match zxid.counter() % 7 {
        0 => (700, life),
        3 => (5_000, b'x'),
        5 => (1_500, 0),
        n => (40 + 17 * n as usize, b'B'),
    };
    bytes.resize(bytes.len() + len, fill);
    bytes
}

const SCRIPT: &[Step] = &[
    Step::Snapshot(Compression::None),
    Step::Append(1),
    Step::Sync,
    Step::Append(5),
    Step::Sync,
    Step::Epoch,
    Step::Roll,
    Step::Snapshot(Compression::Gzip),
    Step::Append(4),
    Step::Sync,
    Step::NewEpoch,
    Step::Append(3),
    Step::Roll,
    Step::Snapshot(Compression::Snappy),
    Step::Append(2),
    Step::Sync,
    Step::Purge,
    Step::Append(2),
    Step::Roll,
    Step::Snapshot(Compression::None),
    Step::Append(1),
    Step::Append(3),
    Step::Sync,
    Step::Snapshot(Compression::None),
    Step::Purge,
    Step::Append(2),
    Step::Sync,
    Step::Append(1),
];

const AFTER: &[Step] = &[
    Step::Append(2),
    Step::Sync,
    Step::Roll,
    Step::Append(1),
    Step::Sync,
];

fn operations(prealloc: u64) -> u64 {
    let mut member = Member::new(prealloc);
    member.live(SCRIPT).unwrap();
    let operations = member.disk.operations();
    assert!(operations > 60, "{operations}");
    operations
}

fn tears() -> Vec<Tear> {
    let torn = (1..=8).flat_map(|seed| [Tear::Prefix(seed), Tear::Sectors(seed)]);
    [Tear::Nothing, Tear::Everything]
        .into_iter()
        .chain(torn)
        .collect()
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_acknowledged() {
    for prealloc in [0, 8192] {
        for cut in 1..=operations(prealloc) {
            for tear in tears() {
                let mut member = Member::new(prealloc);
                member.disk.cut_at(cut);
                member.live(SCRIPT).unwrap_err();
                assert!(member.disk.is_off());
                member.lose_power(tear);
                // It goes on working, and what comes after is as safe.
                member
                    .live(AFTER)
                    .unwrap_or_else(|e| panic!("cut {cut} {tear:?}: {e:?}"));
                member.lose_power(Tear::Nothing);
                member
                    .start()
                    .unwrap_or_else(|e| panic!("cut {cut} {tear:?}: {e:?}"));
            }
        }
    }
}

/// The process dies, its successor reads what was never synced and builds on it, then the power goes: nothing that the
/// successor served may be lost.
#[test]
fn what_a_successor_has_read_survives_a_power_cut() {
    let operations = operations(8192);
    for death in 1..=operations {
        let mut member = Member::new(8192);
        member.disk.fail_from(death, Fault::Broken);
        member.live(SCRIPT).unwrap_err();
        member.die();
        member
            .live(&AFTER[..2])
            .unwrap_or_else(|e| panic!("death {death}: {e:?}"));
        member.lose_power(Tear::Nothing);
        member
            .start()
            .unwrap_or_else(|e| panic!("death {death}: {e:?}"));
    }
}

/// A second cut, at any operation of the recovery from the first.
#[test]
fn a_power_cut_during_recovery_loses_nothing_either() {
    for first in (1..=operations(8192)).step_by(3) {
        for tear in [Tear::Everything, Tear::Prefix(first), Tear::Sectors(first)] {
            for second in 1.. {
                let mut member = Member::new(8192);
                member.disk.cut_at(first);
                member.live(SCRIPT).unwrap_err();
                member.lose_power(tear);
                member.disk.cut_at(second);
                let recovered = member.start().is_ok();
                member.lose_power(Tear::Sectors(second));
                member
                    .live(AFTER)
                    .unwrap_or_else(|e| panic!("cuts {first} {second} {tear:?}: {e:?}"));
                if recovered {
                    break;
                }
            }
        }
    }
}

/// The disk is full from any operation on. Reserving says so and harms nothing; when there is space again the same writer
/// goes on. All that was acknowledged before and after is there at the end.
#[test]
fn a_full_disk_stops_writing_and_nothing_else() {
    for prealloc in [0, 8192] {
        let mut full_seen = 0;
        for from in 2..=operations(prealloc) {
            let mut member = Member::new(prealloc);
            member.start().unwrap();
            member.disk.fail_from(from, Fault::Full);
            for step in SCRIPT {
                match member.run(*step) {
                    Ok(()) => {}
                    Err(stop) => {
                        if let (Step::Append(_) | Step::Sync | Step::Roll, Stop::Other(e)) =
                            (step, &stop)
                        {
                            panic!("full from {from}: {step:?} failed for good: {e}");
                        }
                        full_seen += u32::from(matches!(stop, Stop::Full));
                        member.disk.heal();
                        // Records taken before the refusal stay taken; the step is simply done again.
                        member
                            .run(*step)
                            .unwrap_or_else(|e| panic!("from {from}: {step:?}: {e:?}"));
                    }
                }
            }
            member.disk.heal();
            member.run(Step::Sync).unwrap();
            let last = *member.history.last_key_value().unwrap().0;
            assert_eq!(member.acked, last);
            member.lose_power(Tear::Nothing);
            member
                .start()
                .unwrap_or_else(|e| panic!("full from {from}: {e:?}"));
        }
        assert!(full_seen > 20, "only {full_seen} times full");
    }
}

/// With space reserved, a disk that fills up cannot make the sync fail.
#[test]
fn what_was_reserved_is_written_to_a_full_disk() {
    let mut member = Member::new(64 * 1024);
    member.options.size_limit = None;
    member.start().unwrap();
    member.run(Step::Append(5)).unwrap();
    member.disk.fail_from(1, Fault::Full);
    member.run(Step::Append(5)).unwrap();
    member.run(Step::Sync).unwrap();
    let (_, log) = member.open.as_mut().unwrap();
    let refused = log.reserve(128 * 1024);
    assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    member.run(Step::Append(1)).unwrap();
    member.run(Step::Sync).unwrap();
    member.disk.heal();
    let (_, log) = member.open.as_mut().unwrap();
    log.reserve(128 * 1024).unwrap();
}

/// A write that ran out of space half way leaves no trace, and the same records go in when there is space.
#[test]
fn a_refused_sync_leaves_the_file_as_it_was() {
    let mut member = Member::new(0);
    member.options.size_limit = None;
    member.start().unwrap();
    member.run(Step::Append(3)).unwrap();
    member.run(Step::Sync).unwrap();
    let path = root().join("version-2/log.100000001");
    let before = member.disk.content(&path).unwrap();
    member.run(Step::Append(4)).unwrap();
    member.disk.fail_from(1, Fault::Full);
    for _ in 0..3 {
        assert!(matches!(member.run(Step::Sync), Err(Stop::Full)));
        assert_eq!(member.disk.content(&path).unwrap(), before);
    }
    member.disk.heal();
    member.run(Step::Sync).unwrap();
    assert_eq!(member.acked, Zxid::new(1, 7));
    assert!(member.disk.content(&path).unwrap().starts_with(&before));
    member.lose_power(Tear::Nothing);
    member.start().unwrap();
}

/// After one failed operation a log says so for ever, even when the disk works again.
#[test]
fn a_failed_write_poisons_the_log() {
    let mut poisoned = 0;
    for from in 2..=operations(8192) {
        let mut member = Member::new(8192);
        member.start().unwrap();
        member.disk.fail_from(from, Fault::Broken);
        let failed = SCRIPT.iter().find(|step| member.run(**step).is_err());
        member.disk.heal();
        if matches!(failed, Some(Step::Append(_) | Step::Sync | Step::Roll)) {
            poisoned += 1;
            let (_, log) = member.open.as_mut().unwrap();
            let next = txn(member.next, 9);
            for refused in [
                log.reserve(1),
                log.append(member.next, &next),
                log.sync().map(drop),
                log.roll().map(drop),
            ] {
                assert!(
                    matches!(refused, Err(LogError::Poisoned { .. })),
                    "{refused:?}"
                );
            }
        }
        member.die();
        member
            .live(AFTER)
            .unwrap_or_else(|e| panic!("broken from {from}: {e:?}"));
    }
    assert!(poisoned > 20, "only {poisoned} times poisoned");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_u32..9).prop_map(Step::Append),
        6 => Just(Step::Sync),
        2 => Just(Step::Roll),
        1 => Just(Step::Snapshot(Compression::None)),
        1 => Just(Step::Snapshot(Compression::Gzip)),
        1 => Just(Step::Snapshot(Compression::Snappy)),
        1 => Just(Step::Purge),
        1 => Just(Step::Epoch),
        1 => Just(Step::NewEpoch),
    ];
    proptest::collection::vec(step, 1..20)
}

fn tear() -> impl Strategy<Value = Tear> {
    prop_oneof![
        Just(Tear::Nothing),
        Just(Tear::Everything),
        any::<u64>().prop_map(Tear::Prefix),
        any::<u64>().prop_map(Tear::Sectors),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Many lives in a row, each ended by a power cut or a death of the process.
    #[test]
    fn any_number_of_lives_and_cuts_loses_nothing_acknowledged(
        lives in proptest::collection::vec((steps(), 1_u64..80, tear(), any::<bool>()), 1..6),
        prealloc in prop_oneof![Just(0_u64), Just(8192), Just(65536)],
    ) {
        let mut member = Member::new(prealloc);
        for (script, at, tear, power) in lives {
            if power {
                member.disk.cut_at(at);
            } else {
                member.disk.fail_from(at, Fault::Broken);
            }
            let _ = member.live(&script);
            if power {
                member.lose_power(tear);
            } else {
                member.die();
            }
        }
        if let Err(e) = member.live(AFTER) {
            prop_assert!(false, "{e:?}");
        }
        prop_assert!(member.disk.content(Path::new("/member/version-2/no-such-file")).is_none());
    }
}
