//! The election port: a handshake, then notifications, as a peer sends them.
//!
//! Holds: nothing panics; a handshake is never longer than what came; what was read is written and read again as the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rookeeper_proto::ballot::{self, Handshake, Notification};
use rookeeper_proto::jute::Reader;

fuzz_target!(|data: &[u8]| {
    let behind = handshake(data);
    let mut reader = Reader::new(behind);
    while let Some(len) = reader.i32().ok().and_then(|n| ballot::frame_len(n).ok()) {
        let Ok(frame) = reader.take(len) else { break };
        notification(&Bytes::copy_from_slice(frame));
    }
    notification(&Bytes::copy_from_slice(data));
});

fn handshake(data: &[u8]) -> &[u8] {
    let Ok(Some((read, len))) = Handshake::decode(data) else {
        return data;
    };
    assert!(len <= data.len(), "a handshake reaches beyond what came");
    assert!(read.addresses().all(|address| !address.is_wildcard()));
    let mut again = Vec::new();
    read.encode(&mut again);
    // Text that was no UTF-8 has become longer, perhaps too long to be read.
    if again.len() <= len {
        let whole = again.len();
        assert_eq!(Handshake::decode(&again), Ok(Some((read, whole))));
    }
    &data[len..]
}

fn notification(frame: &Bytes) {
    let Ok(read) = Notification::decode(frame) else {
        return;
    };
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(Notification::decode(&again.into()), Ok(read));
}
