//! What an ensemble asks of the files of a member: to give up transactions, to take over a state, to hand out records, to go on
//! with a damaged history, to remember epochs. With the power cut at every operation, and every kind of tear.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::txn::TxnHeader;
use rookeeper_storage::cut_disk::{CutDisk, Fault, Tear};
use rookeeper_storage::dirs::{Compression, DataDirs, SnapshotFile};
use rookeeper_storage::disk::{Disk, OpenMode};
use rookeeper_storage::epoch_files::EpochFile;
use rookeeper_storage::epochs::Epochs;
use rookeeper_storage::incomplete;
use rookeeper_storage::install::{Content, Install, InstallError};
use rookeeper_storage::log_range::{LogRange, RangeError};
use rookeeper_storage::log_writer::{LogError, LogOptions, LogWriter};
use rookeeper_storage::purge;
use rookeeper_storage::recover::{self, Found};
use rookeeper_storage::replay::{Replay, ReplayError};
use rookeeper_storage::snapshot_check;
use rookeeper_storage::snapshot_writer::{SnapshotWriter, Trailer};
use rookeeper_storage::truncate::{Refusal, TruncateError, truncate};

const END_MARK: [u8; 5] = [0, 0, 0, 1, b'/'];
/// `version-2` of the data directory, and of the log directory where that is another.
const DIRS: [&str; 2] = ["/member/version-2", "/member-log/version-2"];

type History = BTreeMap<Zxid, Vec<u8>>;

fn zxid(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

/// A transaction; `author` tells equal zxids of different histories apart.
fn txn(zxid: Zxid, author: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    TxnHeader {
        session: SessionId(7),
        cxid: author,
        zxid,
        time: 1_700_000_000_000,
        kind: 5,
    }
    .encode(&mut bytes);
    bytes.resize(bytes.len() + 40 + 300 * (zxid.counter() % 3) as usize, b'x');
    bytes
}

fn tears() -> Vec<Tear> {
    let torn = (1..=4).flat_map(|seed| [Tear::Prefix(seed), Tear::Sectors(seed)]);
    [Tear::Nothing, Tear::Everything]
        .into_iter()
        .chain(torn)
        .collect()
}

/// A member that only has files.
struct Member {
    disk: CutDisk,
    history: History,
    /// Logs have a directory of their own.
    apart: bool,
}

/// A member at work.
struct Open {
    dirs: DataDirs,
    log: LogWriter,
}

/// What a start finds.
#[derive(Debug, PartialEq, Eq)]
struct Loaded {
    base: Zxid,
    /// What the snapshot shows, by its trailer.
    shows: Zxid,
    last: Zxid,
    records: History,
}

impl Member {
    fn new(apart: bool) -> Self {
        Self {
            disk: CutDisk::new(),
            history: History::new(),
            apart,
        }
    }

    fn with_history() -> Self {
        Self::with_history_in(false)
    }

    /// Two epochs in four files, and snapshots of every kind: of a zxid between two files and within one, and a fuzzy one.
    fn with_history_in(apart: bool) -> Self {
        let mut member = Self::new(apart);
        let mut open = member.open();
        member.snapshot(&open, Zxid::ZERO, Zxid::ZERO, Compression::None);
        member.append(&mut open, 1, 1..=4);
        open.log.roll().unwrap();
        member.snapshot(&open, zxid(1, 4), zxid(1, 4), Compression::Gzip);
        member.append(&mut open, 1, 5..=7);
        member.snapshot(&open, zxid(1, 6), zxid(1, 7), Compression::None);
        member.append(&mut open, 1, 8..=9);
        open.log.roll().unwrap();
        member.append(&mut open, 3, 1..=3);
        member.snapshot(&open, zxid(3, 2), zxid(3, 2), Compression::Snappy);
        member.append(&mut open, 3, 4..=5);
        open.log.roll().unwrap();
        member.append(&mut open, 3, 6..=7);
        drop(open);
        // A new process: padded files, operations counted from here.
        member.disk.restart(Tear::Nothing);
        member
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn try_open(&self) -> Result<Open, String> {
        let log_dir = self.apart.then_some(Path::new("/member-log"));
        let dirs = DataDirs::open(&self.disk, Path::new("/member"), log_dir, true)
            .map_err(|e| e.to_string())?;
        let options = LogOptions {
            prealloc_bytes: 8192,
            ..LogOptions::default()
        };
        let log = LogWriter::new(self.arc(), dirs.logs(), options);
        Ok(Open { dirs, log })
    }

    fn open(&self) -> Open {
        self.try_open().unwrap()
    }

    fn append(&mut self, open: &mut Open, epoch: u32, counters: std::ops::RangeInclusive<u32>) {
        for counter in counters {
            let zxid = zxid(epoch, counter);
            let txn = txn(zxid, 1);
            open.log.reserve(LogWriter::record_len(txn.len())).unwrap();
            open.log.append(zxid, &txn).unwrap();
            self.history.insert(zxid, txn);
        }
        open.log.sync().unwrap();
    }

    fn snapshot(&self, open: &Open, zxid: Zxid, shows: Zxid, compression: Compression) {
        let mut writer = SnapshotWriter::create(self.arc(), &open.dirs, zxid, compression).unwrap();
        writer.write(b"a tree").unwrap();
        writer.write(&END_MARK).unwrap();
        writer.finish(trailer(shows)).unwrap();
    }

    /// Starts: the newest whole snapshot, and the log behind it.
    fn try_load(&self, open: &Open) -> Result<Loaded, ReplayError> {
        let (base, shows) = self.base(open).unwrap();
        let mut replay = Replay::from(&self.disk, &open.dirs, base)?;
        let mut records = History::new();
        while let Some(record) = replay.next()? {
            records.insert(record.zxid, record.bytes.to_vec());
        }
        let end = replay.finish()?;
        end.settle(&self.disk)?;
        Ok(Loaded {
            base,
            shows,
            last: end.last,
            records,
        })
    }

    fn base(&self, open: &Open) -> Option<(Zxid, Zxid)> {
        let Found::Snapshots(candidates) = recover::survey(&self.disk, &open.dirs).unwrap() else {
            return None;
        };
        let whole = |s: &SnapshotFile| {
            let trailer = snapshot_check::check(&self.disk, s).ok()?;
            Some((s.zxid, snapshot_check::reaches(s, trailer)?))
        };
        candidates.iter().find_map(whole)
    }

    /// What a start finds is a prefix of the history, without a hole, and shows nothing behind its end.
    #[track_caller]
    fn load_prefix(&self, why: &str) -> Loaded {
        let open = self.try_open().unwrap_or_else(|e| panic!("{why}: {e}"));
        let loaded = self
            .try_load(&open)
            .unwrap_or_else(|e| panic!("{why}: {e}"));
        assert!(loaded.shows <= loaded.last, "{why}: {loaded:?}");
        let expect: History = self
            .history
            .iter()
            .filter(|(z, _)| **z > loaded.base && **z <= loaded.last)
            .map(|(z, txn)| (*z, txn.clone()))
            .collect();
        assert!(loaded.records == expect, "{why}: not a prefix: {loaded:?}");
        let known = loaded.last == loaded.base || self.history.contains_key(&loaded.last);
        assert!(known, "{why}: {loaded:?}");
        loaded
    }

    /// The history ends at `end`; a new one goes on there, and survives a power cut.
    #[track_caller]
    fn goes_on_behind(&self, mut open: Open, end: Zxid, why: &str) {
        for next in [end.next(), end.next().next()] {
            open.log.append(next, &txn(next, 2)).unwrap();
        }
        let through = open.log.sync().unwrap().through;
        assert_eq!(through, Some(end.next().next()), "{why}");
        drop(open);
        self.disk.restart(Tear::Nothing);
        let loaded = self.try_load(&self.open()).unwrap();
        assert_eq!(loaded.last, end.next().next(), "{why}");
        for next in [end.next(), end.next().next()] {
            assert_eq!(loaded.records.get(&next), Some(&txn(next, 2)), "{why}");
        }
        let old = loaded.records.range(..=end);
        assert!(
            old.into_iter()
                .all(|(z, txn)| self.history.get(z) == Some(txn))
        );
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for dir in DIRS.iter().map(Path::new) {
            for entry in self.disk.list(dir).unwrap() {
                let content = self.disk.content(&dir.join(&entry.name)).unwrap();
                files.insert(entry.name, content);
            }
        }
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(DIRS[usize::from(self.apart && name.contains("log."))]).join(name)
    }

    fn write_into(&self, name: &str, offset: u64, bytes: &[u8]) {
        let mut file = self.disk.open(&self.path(name), OpenMode::Write).unwrap();
        file.write_at(offset, bytes).unwrap();
        file.sync_data().unwrap();
    }
}

fn trailer(last: Zxid) -> Trailer {
    Trailer {
        digest: (last != Zxid::ZERO).then_some((last, 5)),
        last_zxid: Some(last),
    }
}

/// Runs `life` on a fresh member with the power cut at every operation in turn, until it is through uncut. `after` looks at
/// what is there when the power is back; it is told whether `life` was through.
fn at_every_cut(
    make: impl Fn(bool) -> Member,
    life: impl Fn(&Member) -> Result<(), String>,
    after: impl Fn(&Member, bool, &str),
) -> u64 {
    at_every_cut_in(false, &make, &life, &after) + at_every_cut_in(true, &make, &life, &after)
}

fn at_every_cut_in(
    apart: bool,
    make: impl Fn(bool) -> Member,
    life: impl Fn(&Member) -> Result<(), String>,
    after: impl Fn(&Member, bool, &str),
) -> u64 {
    let mut cuts = 0;
    for cut in 1.. {
        let mut through = false;
        for tear in tears() {
            let member = make(apart);
            assert_eq!(member.disk.operations(), 0, "the cuts would come too early");
            member.disk.cut_at(cut);
            through = life(&member).is_ok();
            assert_eq!(through, !member.disk.is_off());
            member.disk.restart(tear);
            after(
                &member,
                through,
                &format!("apart {apart}, cut {cut} {tear:?}"),
            );
        }
        if through {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 0);
    cuts
}

// Truncation

fn try_truncate(member: &Member, to: Zxid) -> Result<(), String> {
    let mut open = member.try_open()?;
    truncate(&member.disk, &open.dirs, &mut open.log, to).map_err(|e| e.to_string())?;
    Ok(())
}

#[test]
fn a_power_cut_in_a_truncation_leaves_a_prefix_and_it_can_be_done_again() {
    let all: Vec<Zxid> = Member::with_history().history.into_keys().collect();
    let mut cuts = 0;
    for to in std::iter::once(Zxid::ZERO).chain(all) {
        cuts += at_every_cut(
            Member::with_history_in,
            |member| try_truncate(member, to),
            |member, through, cut| {
                let why = format!("to {to}: {cut}");
                let loaded = member.load_prefix(&why);
                assert!(loaded.last >= to, "{why}: {loaded:?}");
                assert!(!through || loaded.last == to, "{why}: {loaded:?}");
                let mut open = member.open();
                let done = truncate(&member.disk, &open.dirs, &mut open.log, to)
                    .unwrap_or_else(|e| panic!("{why}: {e}"));
                drop(open);
                let loaded = member.load_prefix(&why);
                assert_eq!((loaded.base, loaded.last), (done.base, to), "{why}");
                let open = member.open();
                for snapshot in open.dirs.list_snapshots(&member.disk).unwrap() {
                    let trailer = snapshot_check::check(&member.disk, &snapshot).unwrap();
                    let shows = snapshot_check::reaches(&snapshot, trailer).unwrap();
                    assert!(shows <= to, "{why}");
                }
                member.goes_on_behind(open, to, &why);
            },
        );
    }
    assert!(cuts > 60, "only {cuts} cuts");
}

/// What is appended after a truncation is there after the next start.
#[test]
fn zookeeper_1489_the_writer_goes_on_behind_the_truncation() {
    let member = Member::with_history();
    let mut open = member.open();
    // It has a file open, with a record that no sync has covered.
    open.log.append(zxid(3, 8), &txn(zxid(3, 8), 1)).unwrap();
    truncate(&member.disk, &open.dirs, &mut open.log, zxid(3, 6)).unwrap();
    assert_eq!(open.log.last(), Some(zxid(3, 6)));
    assert_eq!(open.log.synced(), Some(zxid(3, 6)));
    assert_eq!(open.log.current_file(), None);
    let low = open.log.append(zxid(3, 6), &txn(zxid(3, 6), 2));
    assert!(matches!(low, Err(LogError::OutOfOrder { .. })));
    member.goes_on_behind(open, zxid(3, 6), "the same writer");
}

#[test]
fn a_record_that_no_sync_has_covered_does_not_come_back() {
    let mut member = Member::with_history();
    let mut open = member.open();
    member.append(&mut open, 3, 8..=8);
    open.log.append(zxid(3, 9), &txn(zxid(3, 9), 1)).unwrap();
    truncate(&member.disk, &open.dirs, &mut open.log, zxid(3, 8)).unwrap();
    drop(open);
    assert_eq!(member.load_prefix("behind the cut").last, zxid(3, 8));
}

#[test]
fn a_writer_that_goes_back_never_overwrites() {
    let member = Member::with_history();
    let mut open = member.open();
    open.log.restart_after(zxid(3, 5)).unwrap();
    let before = member.files();
    let refused = open.log.append(zxid(3, 6), &txn(zxid(3, 6), 2));
    assert!(matches!(refused, Err(LogError::WouldOverwrite { .. })));
    assert_eq!(member.files(), before);
}

#[track_caller]
fn refused(member: &Member, to: Zxid) -> Refusal {
    let mut open = member.open();
    let before = member.files();
    let refused = truncate(&member.disk, &open.dirs, &mut open.log, to);
    assert_eq!(member.files(), before, "a file was touched");
    // Nothing has happened: the writer goes on where it was.
    open.log.append(zxid(9, 1), &txn(zxid(9, 1), 1)).unwrap();
    open.log.sync().unwrap();
    match refused {
        Err(TruncateError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_truncation_to_what_is_not_in_the_history_is_refused() {
    for (to, before) in [
        (zxid(1, 10), zxid(1, 9)),
        (zxid(2, 1), zxid(1, 9)),
        (zxid(3, 0), zxid(1, 9)),
        (zxid(3, 8), zxid(3, 7)),
    ] {
        let refusal = refused(&Member::with_history(), to);
        let Refusal::NotInHistory { before: last, .. } = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(last, before);
    }
    let refusal = refused(&Member::with_history(), Zxid(-1));
    assert!(matches!(refusal, Refusal::NoSnapshot { .. }));
}

#[test]
fn zookeeper_1549_a_snapshot_that_shows_more_is_no_start() {
    let member = Member::with_history();
    for name in ["snapshot.0", "snapshot.100000004.gz"] {
        member.disk.remove(&member.path(name)).unwrap();
    }
    // What is left at or below: the fuzzy one that shows (1, 7).
    let refusal = refused(&member, zxid(1, 6));
    assert!(matches!(refusal, Refusal::NoSnapshot { .. }));
    assert!(try_truncate(&member, zxid(1, 8)).is_ok());
}

#[test]
fn a_snapshot_that_does_not_tell_what_it_shows_is_no_start() {
    let member = Member::with_history();
    let open = member.open();
    let mut silent =
        SnapshotWriter::create(member.arc(), &open.dirs, zxid(1, 7), Compression::None).unwrap();
    silent.write(&END_MARK).unwrap();
    silent.finish(Trailer::default()).unwrap();
    drop(open);
    try_truncate(&member, zxid(1, 8)).unwrap();
    assert!(!member.names().contains(&"snapshot.100000007".to_owned()));
    let loaded = member.load_prefix("the older one");
    assert_eq!((loaded.base, loaded.last), (zxid(1, 6), zxid(1, 8)));
}

#[test]
fn a_damaged_snapshot_is_no_start_and_is_set_aside() {
    let member = Member::with_history();
    member.write_into("snapshot.100000006", 20, b"?");
    try_truncate(&member, zxid(1, 8)).unwrap();
    let loaded = member.load_prefix("an older snapshot");
    assert_eq!((loaded.base, loaded.last), (zxid(1, 4), zxid(1, 8)));
    assert!(
        member
            .names()
            .contains(&"damaged-snapshot.100000006".to_owned())
    );
    member.write_into("snapshot.0", 20, b"?");
    let refusal = refused(&member, zxid(1, 2));
    assert!(matches!(refusal, Refusal::NoSnapshot { .. }));
}

#[test]
fn a_history_that_only_a_newer_snapshot_bridges_is_not_truncated_below_it() {
    let member = Member::with_history();
    member.disk.remove(&member.path("log.300000001")).unwrap();
    let open = member.open();
    member.snapshot(&open, zxid(3, 5), zxid(3, 5), Compression::None);
    drop(open);
    let refusal = refused(&member, zxid(1, 8));
    let Refusal::History { source, .. } = refusal else {
        panic!("{refusal:?}");
    };
    assert!(matches!(source, ReplayError::Gap { .. }), "{source}");
    let member = Member::with_history();
    member.write_into("log.100000001", 30, b"?");
    let refusal = refused(&member, zxid(1, 3));
    assert!(matches!(refusal, Refusal::History { .. }), "{refusal:?}");
}

/// Java leaves logs that a received state has replaced; the log behind it hides them. They must not come to light.
#[test]
fn records_that_a_received_state_had_hidden_stay_hidden() {
    let state = zxid(1, 8);
    let make = |apart| {
        let mut member = Member::with_history_in(apart);
        let open = member.open();
        member.snapshot(&open, state, state, Compression::None);
        drop(open);
        for name in [
            "log.300000001",
            "log.300000006",
            "snapshot.300000002.snappy",
        ] {
            member.disk.remove(&member.path(name)).unwrap();
        }
        member.history.retain(|z, _| *z <= state);
        let mut other = member.open();
        for next in (9..=11).map(|counter| zxid(1, counter)) {
            other.log.append(next, &txn(next, 2)).unwrap();
            member.history.insert(next, txn(next, 2));
        }
        other.log.sync().unwrap();
        drop(other);
        member.disk.restart(Tear::Nothing);
        member
    };
    at_every_cut(
        make,
        |member| try_truncate(member, state),
        |member, _, cut| {
            member.load_prefix(cut);
            try_truncate(member, state).unwrap();
            let loaded = member.load_prefix(cut);
            assert_eq!((loaded.base, loaded.last), (state, state), "{cut}");
            member.goes_on_behind(member.open(), state, cut);
        },
    );
}

#[test]
fn a_truncation_that_fails_half_way_poisons_the_log() {
    let mut half = 0;
    for from in 1..20 {
        let member = Member::with_history();
        let mut open = member.open();
        member.disk.fail_from(from, Fault::Broken);
        let done = truncate(&member.disk, &open.dirs, &mut open.log, zxid(1, 3));
        member.disk.heal();
        if done.is_ok() {
            break;
        }
        assert!(matches!(done, Err(TruncateError::HalfWay(_))), "{done:?}");
        half += 1;
        let refused = open.log.append(zxid(9, 1), &txn(zxid(9, 1), 1));
        assert!(matches!(refused, Err(LogError::Poisoned { .. })));
        drop(open);
        member.disk.kill();
        assert!(member.load_prefix("half way").last >= zxid(1, 3));
    }
    assert!(half > 5, "only {half}");
}

// Installation

fn try_install(member: &Member, zxid: Zxid, content: Content) -> Result<(), String> {
    let mut open = member.try_open()?;
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let mut install =
        Install::begin(member.arc(), &open.dirs, zxid, Compression::None).map_err(|e| text(&e))?;
    install.write(b"the leader's tree").map_err(|e| text(&e))?;
    install.write(&END_MARK).map_err(|e| text(&e))?;
    install
        .finish(&mut open.log, trailer(zxid), content)
        .map_err(|e| text(&e))
}

fn is_log_or_snapshot(name: &str) -> bool {
    name.starts_with("log.") || name.starts_with("snapshot.")
}

/// The old history as it was, or the new state alone.
#[track_caller]
fn old_or_new(member: &Member, state: Zxid, why: &str) -> bool {
    let loaded = member.load_prefix(why);
    let named: Vec<String> = member
        .names()
        .into_iter()
        .filter(|n| is_log_or_snapshot(n))
        .collect();
    if named == [format!("snapshot.{:x}", state.0)] {
        assert_eq!((loaded.base, loaded.last), (state, state), "{why}");
        return true;
    }
    assert_eq!(loaded.base, zxid(3, 2), "{why}");
    assert_eq!(loaded.last, zxid(3, 7), "{why}");
    assert_eq!(named.len(), 8, "{why}: {named:?}");
    false
}

const STATES: [Zxid; 6] = [
    Zxid::new(1, 2),
    Zxid::new(1, 6),
    Zxid::new(3, 2),
    Zxid::new(3, 7),
    Zxid::new(3, 9),
    Zxid::new(5, 0),
];

#[test]
fn a_power_cut_in_an_installation_leaves_the_old_history_or_the_new_state() {
    let mut cuts = 0;
    for state in STATES {
        cuts += at_every_cut(
            Member::with_history_in,
            |member| try_install(member, state, Content::Exact),
            |member, through, cut| {
                let why = format!("state {state}: {cut}");
                let new = old_or_new(member, state, &why);
                assert!(new || !through, "{why}: not durable");
                try_install(member, state, Content::Exact).unwrap();
                assert!(old_or_new(member, state, &why));
                member.goes_on_behind(member.open(), state, &why);
            },
        );
    }
    assert!(cuts > 60, "only {cuts} cuts");
}

/// A second cut, at any operation of the start that makes the first one good.
#[test]
fn a_power_cut_in_completing_an_installation_harms_nothing() {
    let mut completed = 0;
    for first in 1..40 {
        for second in 1..40 {
            let member = Member::with_history_in(second % 2 == 0);
            member.disk.cut_at(first);
            if try_install(&member, zxid(3, 4), Content::Exact).is_ok() {
                break;
            }
            member.disk.restart(Tear::Prefix(first + second));
            let was_waiting = member
                .names()
                .iter()
                .any(|n| n == "install-snapshot.300000004");
            member.disk.cut_at(second);
            let opened = member.try_open().is_ok();
            member.disk.restart(Tear::Sectors(first * second));
            let why = format!("cuts {first} {second}");
            let new = old_or_new(&member, zxid(3, 4), &why);
            assert!(new || !was_waiting, "{why}: the state is forgotten");
            completed += u32::from(was_waiting);
            if opened {
                break;
            }
        }
    }
    assert!(completed > 40, "only {completed}");
}

#[test]
fn a_state_given_up_leaves_everything_as_it_was() {
    let member = Member::with_history();
    let open = member.open();
    let before = member.files();
    let begin = || {
        let mut install =
            Install::begin(member.arc(), &open.dirs, zxid(3, 9), Compression::Gzip).unwrap();
        install.write(b"half of it").unwrap();
        install
    };
    begin().abort().unwrap();
    assert_eq!(member.files(), before);
    drop(begin());
    assert_eq!(member.files(), before);
    // The process dies before it is dropped.
    std::mem::forget(begin());
    drop(open);
    member.disk.kill();
    drop(member.open());
    assert_eq!(member.files(), before);
}

/// When there is no room for the state, the old history is not lost and the log is not poisoned.
#[test]
fn zookeeper_3082_a_full_disk_refuses_a_state_and_harms_nothing() {
    let member = Member::with_history();
    let mut open = member.open();
    let before = member.files();
    let mut install =
        Install::begin(member.arc(), &open.dirs, zxid(3, 9), Compression::None).unwrap();
    install.write(&END_MARK).unwrap();
    member.disk.fail_from(1, Fault::Full);
    let refused = install.finish(&mut open.log, trailer(zxid(3, 9)), Content::Exact);
    assert!(matches!(refused, Err(InstallError::Disk(_))), "{refused:?}");
    member.disk.heal();
    assert_eq!(member.files(), before);
    open.log.append(zxid(3, 8), &txn(zxid(3, 8), 1)).unwrap();
    open.log.sync().unwrap();
}

#[test]
fn records_that_cannot_be_synced_refuse_a_state() {
    let member = Member::with_history();
    let mut open = member.open();
    let mut large = txn(zxid(3, 8), 1);
    large.resize(20_000, b'x');
    open.log.append(zxid(3, 8), &large).unwrap();
    let mut install =
        Install::begin(member.arc(), &open.dirs, zxid(3, 4), Compression::None).unwrap();
    install.write(&END_MARK).unwrap();
    member.disk.fail_from(1, Fault::Full);
    let refused = install.finish(&mut open.log, trailer(zxid(3, 4)), Content::Exact);
    assert!(matches!(refused, Err(InstallError::Log(_))), "{refused:?}");
    member.disk.heal();
    open.log.sync().unwrap();
    assert!(
        !member
            .names()
            .iter()
            .any(|n| n.contains("install") || n.contains("replaced"))
    );
}

#[test]
fn the_writer_goes_on_behind_the_state() {
    let member = Member::with_history();
    let mut open = member.open();
    open.log.append(zxid(3, 8), &txn(zxid(3, 8), 1)).unwrap();
    let mut install =
        Install::begin(member.arc(), &open.dirs, zxid(1, 3), Compression::None).unwrap();
    install.write(&END_MARK).unwrap();
    install
        .finish(&mut open.log, trailer(zxid(1, 3)), Content::Exact)
        .unwrap();
    assert_eq!(
        (open.log.last(), open.log.synced()),
        (Some(zxid(1, 3)), Some(zxid(1, 3)))
    );
    member.goes_on_behind(open, zxid(1, 3), "the same writer");
}

/// Nothing may work on files whose history is half replaced, until the next start has finished it.
#[test]
fn an_installation_that_fails_half_way_poisons_the_log_and_the_next_start_finishes_it() {
    let mut half = 0;
    for from in 1..40 {
        let member = Member::with_history();
        let mut open = member.open();
        let mut install =
            Install::begin(member.arc(), &open.dirs, zxid(3, 4), Compression::None).unwrap();
        install.write(&END_MARK).unwrap();
        member
            .disk
            .fail_from(member.disk.operations() + from, Fault::Broken);
        let done = install.finish(&mut open.log, trailer(zxid(3, 4)), Content::Exact);
        member.disk.heal();
        match done {
            Ok(()) => break,
            Err(InstallError::Disk(_)) => {
                drop(open);
                member.disk.kill();
                assert!(!old_or_new(&member, zxid(3, 4), "refused"));
                continue;
            }
            Err(InstallError::HalfWay(_)) => half += 1,
            Err(other) => panic!("{other:?}"),
        }
        let refused = open.log.append(zxid(9, 1), &txn(zxid(9, 1), 1));
        assert!(matches!(refused, Err(LogError::Poisoned { .. })));
        let again = Install::begin(member.arc(), &open.dirs, zxid(3, 9), Compression::None);
        let waits = member
            .names()
            .iter()
            .any(|n| n.starts_with("install-snapshot.") && !n.ends_with(".tmp"));
        assert_eq!(
            matches!(again, Err(InstallError::Waiting(_))),
            waits,
            "{again:?}"
        );
        drop(again);
        drop(open);
        member.disk.kill();
        assert!(old_or_new(&member, zxid(3, 4), "half way"));
    }
    assert!(half > 8, "only {half}");
}

#[test]
fn what_a_state_has_replaced_is_kept_for_purging_and_what_is_above_it_is_gone() {
    let member = Member::with_history();
    try_install(&member, zxid(3, 5), Content::Exact).unwrap();
    let expect = [
        "replaced-log.100000001",
        "replaced-log.100000005",
        "replaced-log.300000001",
        "replaced-snapshot.0",
        "replaced-snapshot.100000004.gz",
        "replaced-snapshot.100000006",
        "replaced-snapshot.300000002.snappy",
        "snapshot.300000005",
    ];
    assert_eq!(member.names(), expect);
    let open = member.open();
    let gone = purge::purge(&member.disk, &open.dirs, 3).unwrap();
    assert_eq!(gone.len(), expect.len() - 1);
    assert_eq!(member.names(), ["snapshot.300000005"]);
}

/// Of a received state and the records behind it, only the records may be asked for.
#[test]
fn discarded_transactions_below_a_received_state_are_never_handed_out() {
    let member = Member::with_history();
    try_install(&member, zxid(5, 0), Content::Exact).unwrap();
    let mut open = member.open();
    open.log.append(zxid(5, 1), &txn(zxid(5, 1), 2)).unwrap();
    open.log.sync().unwrap();
    for peer in [zxid(1, 2), zxid(3, 7), zxid(5, 0)] {
        let found = LogRange::find(&member.disk, &open.dirs, peer, zxid(5, 1)).unwrap();
        assert!(found.is_none(), "{peer}");
    }
    // Java leaves the old logs where they are.
    let java = Member::with_history();
    let mut open = java.open();
    java.snapshot(&open, zxid(5, 0), zxid(5, 0), Compression::None);
    open.log.append(zxid(5, 1), &txn(zxid(5, 1), 2)).unwrap();
    open.log.sync().unwrap();
    let found = LogRange::find(&java.disk, &open.dirs, zxid(3, 6), zxid(5, 1)).unwrap();
    assert!(found.is_none());
    let found = LogRange::find(&java.disk, &open.dirs, zxid(5, 1), zxid(5, 1)).unwrap();
    assert!(found.is_some());
}

#[test]
fn an_exact_state_ends_incompleteness_and_a_fuzzy_one_does_not() {
    for (content, complete) in [(Content::Exact, true), (Content::Fuzzy, false)] {
        let member = Member::with_history();
        let open = member.open();
        incomplete::mark(&member.disk, &open.dirs, zxid(3, 7)).unwrap();
        drop(open);
        try_install(&member, zxid(5, 0), content).unwrap();
        let open = member.open();
        let marker = incomplete::read(&member.disk, &open.dirs).unwrap();
        assert_eq!(marker.is_none(), complete, "{content:?}");
    }
}

// Records for others

/// All records from the last one up to `peer` through `through`, or the error at the end.
fn read_range(
    member: &Member,
    peer: Zxid,
    through: Zxid,
) -> Option<Result<Vec<(Zxid, Bytes)>, RangeError>> {
    let open = member.open();
    let range = LogRange::find(&member.disk, &open.dirs, peer, through).unwrap()?;
    let mut records = range.records(&member.disk);
    let mut read = Vec::new();
    loop {
        match records.next() {
            Ok(Some(record)) => {
                assert!(record.0 <= through, "{} is behind the bound", record.0);
                read.push(record);
            }
            Ok(None) => return Some(Ok(read)),
            Err(error) => return Some(Err(error)),
        }
    }
}

#[test]
fn zookeeper_2418_every_record_between_peer_and_bound_is_given() {
    let member = Member::with_history();
    let all: Vec<Zxid> = member.history.keys().copied().collect();
    let mut peers = all.clone();
    // What the leader never had: behind the last of an epoch, in an epoch between.
    peers.extend([zxid(1, 12), zxid(2, 5), zxid(3, 0), zxid(3, 40), zxid(8, 1)]);
    for peer in peers {
        for through in &all {
            let read = read_range(&member, peer, *through);
            let first = all.iter().filter(|z| **z <= peer && *z <= through).max();
            let expect: Vec<(Zxid, Bytes)> = member
                .history
                .iter()
                .filter(|(z, _)| Some(*z) >= first && *z <= through)
                .map(|(z, txn)| (*z, Bytes::from(txn.clone())))
                .collect();
            match read {
                Some(Ok(read)) => assert!(read == expect, "{peer} {through}"),
                // Here the log that holds the peer's last is another than the one that `through` is in the first of.
                other => panic!("{peer} {through}: {other:?}"),
            }
        }
    }
    assert!(read_range(&member, Zxid(5), zxid(3, 7)).is_none());
}

#[test]
fn a_range_says_how_much_there_is_to_read() {
    let member = Member::with_history();
    let open = member.open();
    let find = |peer| {
        LogRange::find(&member.disk, &open.dirs, peer, zxid(3, 7))
            .unwrap()
            .unwrap()
    };
    let len = |name: &str| member.files().get(name).unwrap().len() as u64;
    let range = find(zxid(1, 9));
    assert_eq!(range.file(), Some(member.path("log.100000005").as_path()));
    let files = ["log.100000005", "log.300000001", "log.300000006"];
    assert_eq!(range.bytes(), files.map(len).iter().sum::<u64>());
    assert_eq!(
        range.newest_snapshot(),
        Some(len("snapshot.300000002.snappy"))
    );
    assert_eq!(find(zxid(3, 7)).bytes(), len("log.300000006"));
    // A broken one does not count.
    let member = Member::with_history();
    let open = member.open();
    member.write_into("snapshot.300000002.snappy", 0, b"?");
    let find = LogRange::find(&member.disk, &open.dirs, zxid(3, 7), zxid(3, 7)).unwrap();
    assert_eq!(
        find.unwrap().newest_snapshot(),
        Some(len("snapshot.100000006"))
    );
}

/// While the writer is in the middle of a write, what lies behind the bound is anything.
#[test]
fn nothing_behind_the_bound_is_looked_at() {
    let mut member = Member::with_history();
    let mut open = member.open();
    member.append(&mut open, 3, 8..=9);
    let (path, end) = open.log.current_file().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    member.write_into(&name, end, &[0xff; 600]);
    drop(open);
    let read = read_range(&member, zxid(3, 7), zxid(3, 9))
        .unwrap()
        .unwrap();
    let read: Vec<Zxid> = read.into_iter().map(|(z, _)| z).collect();
    assert_eq!(read, [zxid(3, 7), zxid(3, 8), zxid(3, 9)]);
    let beyond = read_range(&member, zxid(3, 7), zxid(3, 10)).unwrap();
    assert!(matches!(beyond, Err(RangeError::Read(_))), "{beyond:?}");
}

#[test]
fn damage_holes_and_early_ends_are_errors() {
    let range = |member: &Member| read_range(member, zxid(1, 2), zxid(3, 7)).unwrap();
    let member = Member::with_history();
    member.write_into("log.300000001", 30, b"?");
    let read = range(&member);
    assert!(matches!(read, Err(RangeError::Read(_))), "{read:?}");

    let member = Member::with_history();
    member.disk.remove(&member.path("log.300000001")).unwrap();
    let read = range(&member);
    let Err(RangeError::Gap { found, last, .. }) = read else {
        panic!("{read:?}");
    };
    assert_eq!((found, last), (zxid(3, 6), zxid(1, 9)));

    let member = Member::with_history();
    member.disk.remove(&member.path("log.300000006")).unwrap();
    let read = range(&member);
    assert!(matches!(read, Err(RangeError::Ends { .. })), "{read:?}");

    let member = Member::with_history();
    let read = read_range(&member, zxid(1, 2), zxid(2, 7)).unwrap();
    assert!(matches!(read, Err(RangeError::Ends { .. })), "{read:?}");

    let mut member = Member::with_history();
    let mut open = member.open();
    member.append(&mut open, 3, 8..=8);
    member.append(&mut open, 5, 1..=1);
    drop(open);
    let read = read_range(&member, zxid(3, 7), zxid(4, 7)).unwrap();
    assert!(matches!(read, Err(RangeError::Ends { .. })), "{read:?}");

    // A name that promises more than the file has.
    let member = Member::with_history();
    let (from, to) = (member.path("log.300000006"), member.path("log.300000002"));
    member.disk.rename(&from, &to).unwrap();
    let read = read_range(&member, zxid(3, 2), zxid(3, 7)).unwrap();
    assert!(
        matches!(read, Err(RangeError::BeginsLater { .. })),
        "{read:?}"
    );
}

#[test]
fn zookeeper_4541_a_record_that_was_logged_twice_is_given_once() {
    let mut member = Member::with_history();
    let twice = member.disk.content(&member.path("log.300000006")).unwrap();
    let mut open = member.open();
    open.log.append(zxid(3, 7), &txn(zxid(3, 7), 1)).unwrap();
    open.log.sync().unwrap();
    drop(open);
    member.write_into("log.300000007", 0, &twice);
    let mut open = member.open();
    member.append(&mut open, 3, 8..=8);
    drop(open);
    let read = read_range(&member, zxid(3, 5), zxid(3, 8))
        .unwrap()
        .unwrap();
    let read: Vec<Zxid> = read.into_iter().map(|(z, _)| z).collect();
    assert_eq!(read, [5, 6, 7, 8].map(|counter| zxid(3, counter)));
}

// A damaged history

/// A member with one wrong byte in the record `at` of the log `name`, and where that begins.
fn damaged(name: &str, record: usize, apart: bool) -> Member {
    let member = Member::with_history_in(apart);
    let content = member.disk.content(&member.path(name)).unwrap();
    let mut offset = 16;
    for _ in 0..record {
        let len = u32::from_be_bytes(content[offset + 8..offset + 12].try_into().unwrap());
        offset += 13 + len as usize;
    }
    member.write_into(name, offset as u64 + 40, b"?");
    member.disk.restart(Tear::Nothing);
    member
}

/// What an ensemble's member does that finds its history damaged.
fn recover_or_set_aside(member: &Member) -> Result<Option<Zxid>, String> {
    let open = member.try_open()?;
    let Err(error) = member.try_load(&open) else {
        return Ok(None);
    };
    let Some((log, offset)) = error.broken_at() else {
        return Err(error.to_string());
    };
    let aside = incomplete::set_aside_from(&member.disk, &open.dirs, log, offset)
        .map_err(|e| e.to_string())?;
    Ok(Some(aside.last_known))
}

#[test]
fn a_power_cut_in_setting_damage_aside_loses_no_byte_and_no_mark() {
    let mut cuts = 0;
    // The last good zxid, and the base when the damage lies before the newest snapshot.
    for (name, record, last) in [
        ("log.300000001", 0, zxid(3, 2)),
        ("log.300000001", 3, zxid(3, 3)),
        ("log.300000006", 0, zxid(3, 5)),
        ("log.300000006", 1, zxid(3, 6)),
    ] {
        cuts += at_every_cut(
            |apart| damaged(name, record, apart),
            |member| recover_or_set_aside(member).map(drop),
            |member, _, cut| {
                let why = format!("{name} {record}: {cut}");
                let before = damaged(name, record, member.apart).files();
                let mut lives = 0;
                while recover_or_set_aside(member).unwrap().is_some() {
                    lives += 1;
                    assert!(lives < 3, "{why}: it does not end");
                }
                let loaded = member.load_prefix(&why);
                assert_eq!(loaded.last, last, "{why}");
                let open = member.open();
                let marker = incomplete::read(&member.disk, &open.dirs).unwrap().unwrap();
                // The last record of all is good, unless it is the damaged one.
                let known = if (name, record) == ("log.300000006", 1) {
                    6
                } else {
                    7
                };
                assert_eq!(marker.last_known, Some(zxid(3, known)), "{why}");
                let after = member.files();
                for (name, content) in before.iter().filter(|(n, _)| n.starts_with("log.")) {
                    let kept = after
                        .iter()
                        .any(|(now, bytes)| now.contains(name) && bytes == content);
                    assert!(kept, "{why}: {name} is not kept: {:?}", after.keys());
                }
                member.goes_on_behind(open, last, &why);
            },
        );
    }
    assert!(cuts > 30, "only {cuts} cuts");
}

/// The mark is there before anything is missing.
#[test]
fn a_member_with_less_than_it_had_is_always_marked() {
    at_every_cut(
        |apart| damaged("log.300000001", 3, apart),
        |member| recover_or_set_aside(member).map(drop),
        |member, _, cut| {
            let open = member.open();
            let marked = incomplete::read(&member.disk, &open.dirs)
                .unwrap()
                .is_some();
            let all =
                ["log.300000001", "log.300000006"].map(|n| member.disk.content(&member.path(n)));
            let before = damaged("log.300000001", 3, member.apart);
            let untouched =
                ["log.300000001", "log.300000006"].map(|n| before.disk.content(&before.path(n)));
            assert!(marked || all == untouched, "{cut}");
        },
    );
}

#[test]
fn a_missing_log_ends_the_history_where_it_is_missing() {
    let member = Member::with_history();
    for name in ["log.300000001", "snapshot.300000002.snappy"] {
        member.disk.remove(&member.path(name)).unwrap();
    }
    assert_eq!(recover_or_set_aside(&member).unwrap(), Some(zxid(3, 7)));
    assert_eq!(recover_or_set_aside(&member).unwrap(), None);
    assert_eq!(member.load_prefix("before the hole").last, zxid(1, 9));
    assert!(member.names().contains(&"damaged-log.300000006".to_owned()));
}

#[test]
fn the_last_known_zxid_is_that_of_the_log_before_when_the_damaged_one_shows_none() {
    let mut member = Member::with_history();
    let mut open = member.open();
    member.append(&mut open, 3, 8..=8);
    drop(open);
    member.write_into("log.300000008", 50, b"?");
    assert_eq!(recover_or_set_aside(&member).unwrap(), Some(zxid(3, 7)));
    assert_eq!(recover_or_set_aside(&member).unwrap(), None);
    assert_eq!(member.load_prefix("nothing else is lost").last, zxid(3, 7));
}

#[test]
fn a_log_whose_header_is_damaged_is_set_aside_whole() {
    let member = Member::with_history();
    member.write_into("log.300000006", 0, b"?");
    assert_eq!(recover_or_set_aside(&member).unwrap(), Some(zxid(3, 7)));
    assert_eq!(recover_or_set_aside(&member).unwrap(), None);
    assert_eq!(member.load_prefix("before the header").last, zxid(3, 5));
    assert!(!member.names().contains(&"log.300000006".to_owned()));
}

// Epochs

#[test]
fn a_power_cut_leaves_epochs_that_hold_what_was_answered() {
    use std::cell::Cell;
    let answered = Cell::new((0, 0));
    let cuts = at_every_cut(
        |apart| {
            answered.set((0, 0));
            Member::new(apart)
        },
        |member| {
            let open = member.try_open()?;
            let text = |e: rookeeper_storage::epoch_files::EpochError| e.to_string();
            let (disk, dirs) = (&member.disk, &open.dirs);
            let mut epochs = Epochs::recover(disk, dirs, zxid(1, 5)).map_err(text)?;
            answered.set((1, 1));
            for epoch in [2, 9, 10] {
                epochs.accept(disk, dirs, epoch).map_err(text)?;
                answered.set((epoch, epochs.current()));
                epochs.enter(disk, dirs, epoch).map_err(text)?;
                answered.set((epoch, epoch));
            }
            Ok(())
        },
        |member, _, cut| {
            let (accepted, current) = answered.get();
            let open = member.open();
            let epochs = Epochs::recover(&member.disk, &open.dirs, zxid(1, 5)).unwrap();
            assert!(epochs.accepted() >= accepted, "{cut}: {epochs:?}");
            assert!(epochs.current() >= current, "{cut}: {epochs:?}");
            assert!(epochs.current() <= epochs.accepted(), "{cut}: {epochs:?}");
            let read = |file: EpochFile| file.read(&member.disk, &open.dirs).unwrap();
            assert_eq!(read(EpochFile::Accepted), Some(epochs.accepted()));
            assert_eq!(read(EpochFile::Current), Some(epochs.current()));
        },
    );
    assert!(cuts > 30, "only {cuts} cuts");
}

/// The history of a new leader is durable, its epoch not yet written: the power goes. (ZooKeeper does not start then.)
#[test]
fn a_power_cut_between_the_history_of_an_epoch_and_its_number_is_mended() {
    let mut member = Member::new(false);
    let mut open = member.open();
    member.snapshot(&open, Zxid::ZERO, Zxid::ZERO, Compression::None);
    let mut epochs = Epochs::recover(&member.disk, &open.dirs, Zxid::ZERO).unwrap();
    epochs.accept(&member.disk, &open.dirs, 1).unwrap();
    member.append(&mut open, 1, 1..=3);
    drop(open);
    member.disk.restart(Tear::Nothing);
    let open = member.open();
    let last = member.try_load(&open).unwrap().last;
    let epochs = Epochs::recover(&member.disk, &open.dirs, last).unwrap();
    assert_eq!((epochs.accepted(), epochs.current()), (1, 1));
}
