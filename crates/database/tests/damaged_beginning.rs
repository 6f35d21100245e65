//! A member whose snapshots are damaged gives its history up and asks the others; a server that has no others refuses, and nothing is
//! deleted in either case.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rookeeper_database::database::{Database, DatabaseOptions, Opened};
use rookeeper_database::history::LogUse;
use rookeeper_database::image_file::SnapshotFormat;
use rookeeper_database::recovery::{RecoveryError, RecoveryOptions};
use rookeeper_proto::ids::Zxid;
use rookeeper_storage::dirs::{Compression, DataDirs};
use rookeeper_storage::disk::Disk;
use rookeeper_storage::log_writer::LogOptions;
use rookeeper_storage::os_disk::OsDisk;
use rookeeper_storage::recover::Policy;
use rookeeper_tree::tree::TreeOptions;

const NEWEST: &str = "snapshot.100000060";
/// Of a snapshot: where its version stands.
const VERSION: usize = 4;

/// A directory with one snapshot of a Java server, and what `damage` makes of it.
fn directory(damage: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/disk/final");
    let mut bytes = fs::read(from.join(NEWEST)).unwrap();
    damage(&mut bytes);
    fs::create_dir(files(&root)).unwrap();
    fs::write(files(&root).join(NEWEST), bytes).unwrap();
    root
}

fn files(root: &tempfile::TempDir) -> PathBuf {
    root.path().join("version-2")
}

fn names(root: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(files(root))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name != "rookeeper.lock");
    names.sort();
    names
}

type Opening = fn(Arc<dyn Disk>, DataDirs, DatabaseOptions) -> Result<Opened, RecoveryError>;

fn open(root: &tempfile::TempDir, how: Opening) -> Result<Opened, RecoveryError> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let dirs = DataDirs::open(&*disk, root.path(), None, false).unwrap();
    let options = DatabaseOptions {
        recovery: RecoveryOptions {
            policy: Policy::default(),
            tree: TreeOptions {
                extended_types: true,
                hash_seed: 1,
                max_images: None,
            },
            format: SnapshotFormat {
                compression: Compression::None,
                digest: true,
                last_zxid: true,
            },
            remembered: 500,
        },
        log: LogOptions {
            prealloc_bytes: 1024,
            size_limit: None,
            force_sync: true,
        },
        log_use: LogUse::Always,
    };
    how(disk, dirs, options)
}

fn damages() -> [fn(&mut Vec<u8>); 3] {
    [
        // In the middle, so that only reading all of it shows it.
        |bytes| {
            let at = bytes.len() / 2;
            bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|byte| *byte ^= 4);
        },
        // At the end, where a first look sees it.
        |bytes| {
            bytes.pop();
        },
        Vec::clear,
    ]
}

#[test]
fn a_member_with_damaged_snapshots_only_asks_the_others_and_votes_for_nobody() {
    for damage in damages() {
        let root = directory(damage);
        let opened = open(&root, Database::open_member).unwrap();
        assert!(opened.incomplete);
        assert_eq!(opened.recovered.tree.last_zxid(), Zxid::ZERO);
        assert!(names(&root).contains(&format!("damaged-{NEWEST}")));
        // And so it stays until it has the state of a leader.
        drop(opened);
        assert!(open(&root, Database::open_member).unwrap().incomplete);
    }
}

#[test]
fn a_server_alone_with_damaged_snapshots_only_refuses_and_touches_nothing() {
    for damage in damages() {
        let root = directory(damage);
        let refused = open(&root, Database::open).unwrap_err().to_string();
        assert!(refused.contains(NEWEST), "{refused}");
        assert_eq!(names(&root), [NEWEST]);
    }
}

/// After a step back to an older release the files are good: somebody can help.
#[test]
fn a_snapshot_of_an_unknown_version_is_not_given_up() {
    let root = directory(|bytes| {
        let mut version = bytes.iter_mut().skip(VERSION).take(4);
        version
            .by_ref()
            .nth(3)
            .into_iter()
            .for_each(|byte| *byte = 9);
    });
    let refused = open(&root, Database::open_member).unwrap_err().to_string();
    assert!(refused.contains("version 9"), "{refused}");
    assert_eq!(names(&root), [NEWEST]);
}
