//! The quorum port: packets as a learner or a leader sends them, one behind the other.
//!
//! Holds: nothing panics; taking stops or goes forward; whether a packet arrives whole or in two parts makes no difference; what
//! it means is written and read again as the same.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rookeeper_proto::packet::Packet;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;

/// The default of `jute.maxbuffer`.
const LIMIT: usize = 0xf_ffff;

fuzz_target!(|data: &[u8]| {
    let whole = all_of(&mut BytesMut::from(data));
    let (head, tail) = data.split_at(data.len() / 2);
    let mut buffer = BytesMut::from(head);
    let mut parted = all_of(&mut buffer);
    buffer.extend_from_slice(tail);
    parted.extend(all_of(&mut buffer));
    assert_eq!(whole, parted);
    whole.into_iter().for_each(meanings);
});

fn all_of(buffer: &mut BytesMut) -> Vec<Packet> {
    let mut found = Vec::new();
    loop {
        let before = buffer.len();
        let Ok(Some(packet)) = Packet::take(buffer, LIMIT) else {
            return found;
        };
        assert!(buffer.len() < before, "a packet has no bytes");
        found.push(packet);
    }
}

fn meanings(packet: Packet) {
    if let Ok(said) = FromLearner::from_packet(packet.clone()) {
        let again = FromLearner::from_packet(said.clone().into_packet());
        assert_eq!(again.as_ref(), Ok(&said));
    }
    if let Ok(said) = FromLeader::from_packet(packet) {
        let again = FromLeader::from_packet(said.clone().into_packet());
        assert_eq!(again.as_ref(), Ok(&said));
    }
}
