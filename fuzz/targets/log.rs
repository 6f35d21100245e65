//! A log file of any content.
//!
//! Holds: nothing panics; offsets grow; every record given is one whose zxid can be read; the end lies behind the last record.
#![no_main]

use std::path::Path;

use fuzz_frames::disk_with;
use libfuzzer_sys::fuzz_target;
use rookeeper_storage::log_reader::LogReader;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("/log.1");
    let disk = disk_with(path, data);
    let Ok(mut reader) = LogReader::open(&disk, path) else {
        return;
    };
    let mut behind = 0;
    while let Ok(Some(record)) = reader.next() {
        assert!(record.offset >= behind, "records overlap");
        behind = record.offset + record.bytes.len() as u64;
        assert!(
            behind <= data.len() as u64,
            "a record reaches beyond its file"
        );
    }
    if let Some(end) = reader.end() {
        assert!(end.offset >= behind, "the end lies within a record");
        assert!(
            end.offset <= data.len() as u64,
            "the end lies behind the file"
        );
    }
});
