//! The election port: a handshake, then notifications, as a peer sends them.
//!
//! Holds: nothing panics; a configuration that is taken from a peer is written in a way that reads the same; a handshake is never longer than what came; what was read is written and read again as the same.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rookeeper_proto::ballot::{self, Handshake, Layout, Notification};
use rookeeper_proto::jute::Reader;
use rookeeper_quorum::membership::Membership;

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
    if let Layout::V2 { config } = &read.layout {
        configuration(&String::from_utf8_lossy(config));
    }
    let mut again = Vec::new();
    read.encode(&mut again);
    assert_eq!(Notification::decode(&again.into()), Ok(read));
}

fn configuration(text: &str) {
    let Ok(taken) = Membership::parse(text) else {
        return;
    };
    // Secure client addresses are not written: releases before them do not know them.
    let again = Membership::parse(&taken.to_string()).expect("it is written right");
    assert!(taken.is_equivalent(&again) && taken.to_string() == again.to_string());
}
