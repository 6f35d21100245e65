//! Transaction records as log and peers carry them, and a tree that applies whatever can be decoded.
//!
//! Holds: nothing panics; what was decoded is written and read again as the same; a record that can be decoded can be applied,
//! and two trees that applied the same records have the same digest.
#![no_main]

use bytes::Bytes;
use fuzz_frames::Frames;
use libfuzzer_sys::fuzz_target;
use rookeeper_proto::txn::Record;
use rookeeper_tree::tree::{Tree, TreeOptions};

fuzz_target!(|data: &[u8]| {
    let options = TreeOptions {
        extended_types: true,
        hash_seed: 1,
        max_images: None,
    };
    let (mut one, mut other) = (Tree::new(options), Tree::new(options));
    for frame in Frames(data) {
        let Ok(record) = Record::decode(&Bytes::copy_from_slice(frame)) else {
            continue;
        };
        let mut again = Vec::new();
        record.encode(&mut again);
        assert_eq!(Record::decode(&Bytes::from(again)).as_ref(), Ok(&record));
        one.apply(&record.header, &record.txn, &mut Vec::new());
        other.apply(&record.header, &record.txn, &mut Vec::new());
    }
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.node_count(), other.node_count());
});
