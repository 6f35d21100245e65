//! A snapshot file of any content: plain, gzip or snappy, by the first byte.
//!
//! Holds: nothing panics; what loads is a tree whose image is written and loads again with the same digest.
#![no_main]

use std::path::PathBuf;

use fuzz_frames::disk_with;
use libfuzzer_sys::fuzz_target;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_storage::dirs::{Compression, SnapshotFile};
use rookeeper_storage::snapshot_reader::SnapshotReader;
use rookeeper_storage::snapshots;
use rookeeper_tree::image;
use rookeeper_tree::tree::{Tree, TreeOptions};

/// Below what znodes in the file say: a snapshot of a Java server holds parts of later transactions, and they must survive.
const ZXID: Zxid = Zxid(1);
/// Bytes asked from an image at once: small, so that the pieces are many.
const PIECE: usize = 512;

fuzz_target!(|data: &[u8]| {
    let Some((kind, content)) = data.split_first() else {
        return;
    };
    let path = PathBuf::from("/snapshot.1");
    let disk = disk_with(&path, content);
    let file = SnapshotFile {
        path,
        zxid: Zxid(1),
        compression: match kind % 3 {
            0 => Compression::None,
            1 => Compression::Gzip,
            _ => Compression::Snappy,
        },
        len: content.len() as u64,
    };
    let _ = snapshots::looks_valid(&disk, &file);
    let Ok(mut reader) = SnapshotReader::open(&disk, &file) else {
        return;
    };
    let Ok(tree) = image::load(&mut reader, ZXID, 0, options()) else {
        return;
    };
    let _ = reader.finish();
    write_and_load(tree);
});

fn options() -> TreeOptions {
    TreeOptions {
        extended_types: true,
        hash_seed: 1,
        max_images: None,
    }
}

fn write_and_load(mut tree: Tree) {
    let mut bytes = Vec::new();
    let mut writer = tree.open_image().expect("few images are open");
    while writer.next_chunk(&tree, PIECE, &mut bytes) {}
    drop(writer);
    tree.close_images();
    let again = image::load(&mut Slice(&bytes), ZXID, 0, options()).expect("our own image loads");
    assert_eq!(again.digest(), tree.digest());
    assert_eq!(again.node_count(), tree.node_count());
}

struct Slice<'a>(&'a [u8]);

impl Source for Slice<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        let (taken, left) = self.0.split_at_checked(n).ok_or_else(ended)?;
        self.0 = left;
        Ok(taken)
    }
}

fn ended() -> SourceError {
    SourceError("the image ended".into())
}
