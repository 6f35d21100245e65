//! A real Java server's directory becomes exactly the tree that its clients saw: every field of every znode, by the log as well
//! as by each encoding of the snapshot, and again after we wrote it ourselves.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rookeeper_database::image_file::{Snapshot, SnapshotFormat};
use rookeeper_database::recovery::{self, Recovered, RecoveryOptions};
use rookeeper_proto::acl::Acl;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::stat::{Stat, StatPersisted};
use rookeeper_storage::dirs::{Compression, DataDirs};
use rookeeper_storage::disk::Disk;
use rookeeper_storage::os_disk::OsDisk;
use rookeeper_storage::recover::Policy;
use rookeeper_tree::tree::{Tree, TreeOptions};
use serde_json::Value;

const LAST: Zxid = Zxid(0x1_0000_0060);
const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    hash_seed: 11,
    max_images: None,
};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/disk")
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

fn format(compression: Compression) -> SnapshotFormat {
    SnapshotFormat {
        compression,
        digest: true,
        last_zxid: true,
    }
}

/// A fresh directory with these files below `version-2`.
fn directory(files: &[PathBuf]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let to = root.path().join("version-2");
    fs::create_dir(&to).unwrap();
    for file in files {
        fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
    }
    root
}

fn load(root: &Path) -> Recovered {
    let disk = disk();
    let dirs = DataDirs::open(&*disk, root, None, false).unwrap();
    let policy = Policy {
        trust_empty: false,
        autocreate: false,
    };
    let options = RecoveryOptions {
        policy,
        tree: OPTIONS,
        format: format(Compression::None),
        remembered: 500,
    };
    recovery::recover(&disk, &dirs, options).unwrap()
}

// What the Java server had.

fn hex(value: &Value) -> i64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16)
        .unwrap()
        .cast_signed()
}

fn long(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

fn int(value: &Value) -> i32 {
    i32::try_from(long(value)).unwrap()
}

fn data(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    Some(digits.chunks(2).map(byte).collect())
}

fn acl(value: &Value) -> Vec<Acl> {
    let entry = |v: &Value| {
        Acl::new(
            int(&v["perms"]),
            v["scheme"].as_str().unwrap(),
            v["id"].as_str().unwrap(),
        )
    };
    value.as_array().unwrap().iter().map(entry).collect()
}

fn persisted(value: &Value) -> StatPersisted {
    StatPersisted {
        czxid: Zxid(hex(&value["czxid"])),
        mzxid: Zxid(hex(&value["mzxid"])),
        ctime: long(&value["ctime"]),
        mtime: long(&value["mtime"]),
        version: int(&value["version"]),
        cversion: int(&value["cversion"]),
        aversion: int(&value["aversion"]),
        ephemeral_owner: hex(&value["ephemeralOwner"]),
        pzxid: Zxid(hex(&value["pzxid"])),
    }
}

fn seen(value: &Value) -> Stat {
    let stored = persisted(value);
    Stat {
        czxid: stored.czxid,
        mzxid: stored.mzxid,
        ctime: stored.ctime,
        mtime: stored.mtime,
        version: stored.version,
        cversion: stored.cversion,
        aversion: stored.aversion,
        ephemeral_owner: stored.ephemeral_owner,
        data_length: int(&value["dataLength"]),
        num_children: int(&value["numChildren"]),
        pzxid: stored.pzxid,
    }
}

/// The digest of one znode (disk formats 4.4), computed here and not by the tree.
fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let path = if path == "/" { "" } else { path };
    let bytes = [
        path.as_bytes(),
        data.unwrap_or_default(),
        &stat.digest_bytes(),
    ]
    .concat();
    u64::from(crc32(&bytes))
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[track_caller]
fn assert_expected(tree: &Tree) {
    let file = fs::read(golden().join("expected-tree.json")).unwrap();
    let expected: Value = serde_json::from_slice(&file).unwrap();
    let nodes = expected["nodes"].as_array().unwrap();
    assert_eq!(tree.last_zxid(), LAST);
    assert_eq!(hex(&expected["last_zxid"]), LAST.0);
    assert_eq!((tree.node_count(), nodes.len()), (50, 50));
    assert_eq!(tree.digest(), long(&expected["tree_digest"]));
    for node in nodes {
        assert_node(tree, node);
    }
    let sessions: BTreeMap<SessionId, i32> = tree.sessions().collect();
    let expected = expected["sessions"].as_array().unwrap().iter();
    let expected = expected
        .map(|s| (SessionId(hex(&s["id"])), int(&s["timeout_ms"])))
        .collect();
    assert_eq!(sessions, expected);
}

#[track_caller]
fn assert_node(tree: &Tree, node: &Value) {
    let path = node["path"].as_str().unwrap();
    let view = tree.get(path).unwrap();
    assert_eq!(
        view.data().map(<[u8]>::to_vec),
        data(&node["data_hex"]),
        "{path}"
    );
    assert_eq!(**view.acl(), *acl(&node["acl"]), "{path}");
    assert_eq!(view.persisted(), persisted(&node["persisted"]), "{path}");
    assert_eq!(view.stat(), seen(&node["client_stat"]), "{path}");
    let digest = node_digest(path, view.data(), &view.persisted());
    assert_eq!(Some(digest), node["digest"].as_u64(), "{path}");
}

#[test]
fn snapshot_and_logs_of_a_java_server_give_its_tree() {
    let from = golden().join("dataset/version-2");
    let files: Vec<PathBuf> = fs::read_dir(from)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let root = directory(&files);
    let recovered = load(root.path());
    assert_eq!(recovered.digest_mismatches, 0);
    assert!(recovered.replayed > 0);
    assert_expected(&recovered.tree);
}

#[test]
fn the_logs_over_each_older_snapshot_give_the_same() {
    let from = golden().join("dataset/version-2");
    for left_out in [
        &["snapshot.100000040"][..],
        &["snapshot.100000040", "snapshot.10000001e"],
    ] {
        let files = fs::read_dir(&from)
            .unwrap()
            .map(|file| file.unwrap().path());
        let kept = files.filter(|file| !left_out.iter().any(|name| file.ends_with(name)));
        let root = directory(&kept.collect::<Vec<_>>());
        let recovered = load(root.path());
        assert_eq!(recovered.digest_mismatches, 0, "without {left_out:?}");
        assert_expected(&recovered.tree);
    }
}

#[test]
fn every_encoding_of_a_java_snapshot_gives_the_same() {
    for name in [
        "snapshot.100000060",
        "snapshot.100000060.gz",
        "snapshot.100000060.snappy",
    ] {
        let root = directory(&[golden().join("final").join(name)]);
        assert_expected(&load(root.path()).tree);
    }
}

#[test]
fn what_we_write_of_it_gives_the_same() {
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        let root = directory(&[golden().join("final/snapshot.100000060")]);
        let mut tree = load(root.path()).tree;
        let ours = directory(&[]);
        let disk = disk();
        let dirs = DataDirs::open(&*disk, ours.path(), None, false).unwrap();
        let image = tree.open_image().unwrap();
        let format = format(compression);
        let mut snapshot = Snapshot::begin(disk, &dirs, format, image).unwrap();
        snapshot.write_all(&tree).unwrap();
        snapshot.finish().unwrap();
        tree.close_images();
        // The directory is locked while somebody holds it.
        drop(dirs);
        assert_expected(&load(ours.path()).tree);
    }
}
