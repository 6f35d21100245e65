//! Conversations of Java servers with each other: every message is decoded, and encoded to the same bytes.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use rookeeper_proto::ballot::{self, Handshake, Layout, Notification};
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::packet::Packet;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::{FromLearner, LearnerInfo};

/// The default of `jute.maxbuffer`, with its extra.
const LIMIT: usize = 0xf_ffff * 2;
/// Messages of other rooms: SASL, the image, the end of a connection.
const ELSEWHERE: [&str; 4] = ["AUTH", "NEXT", "SNAPSHOT_STREAM", "CLOSE"];

struct Message {
    file: String,
    port: String,
    conn: String,
    from: String,
    to: String,
    name: String,
    bytes: Bytes,
}

fn messages() -> Vec<Message> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/quorum");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "hex"));
    paths.sort();
    paths.iter().flat_map(|path| messages_of(path)).collect()
}

fn messages_of(path: &Path) -> Vec<Message> {
    let file = path.file_name().unwrap().to_str().unwrap();
    let mut found: Vec<(Vec<String>, Vec<u8>)> = Vec::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        if let Some(head) = line.strip_prefix("== ") {
            found.push((head.split(' ').map(str::to_owned).collect(), Vec::new()));
        } else if !line.starts_with('#') {
            let digits = line.as_bytes().chunks(2);
            let bytes =
                digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
            if let Some((_, into)) = found.last_mut() {
                into.extend(bytes);
            }
        }
    }
    let message = |(head, bytes): (Vec<String>, Vec<u8>)| Message {
        file: file.to_owned(),
        port: head[0].clone(),
        conn: head[1].clone(),
        from: head[2].clone(),
        to: head[4].clone(),
        name: head[5].clone(),
        bytes: bytes.into(),
    };
    found.into_iter().map(message).collect()
}

impl Message {
    fn packet(&self) -> Packet {
        Packet::decode(&self.bytes, LIMIT).unwrap_or_else(|e| panic!("{}: {e}", self.whence()))
    }

    fn whence(&self) -> String {
        format!("{} {} -> {} {}", self.file, self.from, self.to, self.name)
    }

    /// By the names of packets that only one side sends, else by who is known to lead.
    fn is_from_leader(&self, leads: &BTreeMap<(String, String), bool>) -> bool {
        let pair = (self.file.clone(), format!("{} {}", self.conn, self.from));
        // In the recordings of packets that both say, server 2 leads.
        leads.get(&pair).copied().unwrap_or(self.from == "2")
    }
}

/// Whether the sender of each direction of each recording is the leader, by what only leaders or learners say.
fn who_leads(all: &[Message]) -> BTreeMap<(String, String), bool> {
    const LEADER_SAYS: [&str; 8] = [
        "LEADERINFO",
        "DIFF",
        "SNAP",
        "TRUNC",
        "NEWLEADER",
        "PROPOSAL",
        "COMMIT",
        "INFORM",
    ];
    const LEARNER_SAYS: [&str; 5] = ["FOLLOWERINFO", "OBSERVERINFO", "ACKEPOCH", "ACK", "REQUEST"];
    let mut found = BTreeMap::new();
    for m in all.iter().filter(|m| m.port == "quorum") {
        let says = |names: &[&str]| names.contains(&m.name.as_str());
        let leads = match (says(&LEADER_SAYS), says(&LEARNER_SAYS)) {
            (true, _) => true,
            (_, true) => false,
            _ => continue,
        };
        found.insert((m.file.clone(), format!("{} {}", m.conn, m.from)), leads);
        found.insert((m.file.clone(), format!("{} {}", m.conn, m.to)), !leads);
    }
    found
}

#[test]
fn handshakes_and_notifications_round_trip() {
    let mut count = 0;
    for m in messages().iter().filter(|m| m.port == "election") {
        let mut again = Vec::new();
        match m.name.as_str() {
            "HANDSHAKE" => {
                let (handshake, len) = Handshake::decode(&m.bytes).unwrap().unwrap();
                assert_eq!(len, m.bytes.len());
                assert_eq!(m.from.parse().unwrap_or(2), handshake.server().0);
                handshake.encode(&mut again);
            }
            "NOTIFICATION_36" => {
                assert!(Notification::decode(&m.bytes.slice(4..)).is_err());
                continue;
            }
            name if name.starts_with("NOTIFICATION") => {
                let prefix = Reader::new(&m.bytes).i32().unwrap();
                assert_eq!(ballot::frame_len(prefix), Ok(m.bytes.len() - 4));
                let read = Notification::decode(&m.bytes.slice(4..));
                read.unwrap_or_else(|e| panic!("{}: {e}", m.whence()))
                    .encode_frame(&mut again);
            }
            name => {
                assert!(ELSEWHERE.contains(&name), "{}", m.whence());
                continue;
            }
        }
        assert_eq!(again, m.bytes, "{}", m.whence());
        count += 1;
    }
    assert!(count > 50, "only {count} messages were found");
}

#[test]
fn packets_and_their_meanings_round_trip() {
    let all = messages();
    let mut count = 0;
    let leads = who_leads(&all);
    for m in all.iter().filter(|m| m.port == "quorum") {
        if ELSEWHERE.contains(&m.name.as_str()) {
            continue;
        }
        let packet = m.packet();
        let mut again = Vec::new();
        packet.encode(&mut again);
        assert_eq!(again, m.bytes, "{}", m.whence());
        let known = if m.is_from_leader(&leads) {
            let said = FromLeader::from_packet(packet.clone()).unwrap();
            (!matches!(said, FromLeader::Unknown(_))).then(|| said.into_packet())
        } else {
            let said = FromLearner::from_packet(packet.clone()).unwrap();
            (!matches!(said, FromLearner::Unknown(_))).then(|| said.into_packet())
        };
        assert_eq!(known, Some(packet), "{}", m.whence());
        count += 1;
    }
    assert!(count > 100, "only {count} packets were found");
}

#[test]
fn old_notifications_have_the_epoch_of_their_zxid_or_say_it() {
    let all = messages();
    let read = |name: &str| {
        let m = all.iter().find(|m| m.name == name).unwrap();
        Notification::decode(&m.bytes.slice(4..)).unwrap()
    };
    let (short, long) = (read("NOTIFICATION_28"), read("NOTIFICATION_40"));
    assert_eq!((short.peer_epoch, short.layout), (1, Layout::Epochless));
    assert_eq!((long.peer_epoch, long.layout), (2, Layout::Unversioned));
    assert_eq!(read("NOTIFICATION_44_V1").layout, Layout::V1);
    let config = Bytes::new();
    assert_eq!(read("NOTIFICATION_V2_EMPTY").layout, Layout::V2 { config });
}

#[test]
fn a_learner_and_its_leader_as_recorded() {
    let all: Vec<_> = messages()
        .into_iter()
        .filter(|m| m.file.starts_with("12-"))
        .collect();
    let info = LearnerInfo {
        server: Some(ServerId(1)),
        protocol: 0x10000,
        config_version: 0,
    };
    let learner = |at: usize| FromLearner::from_packet(all[at].packet()).unwrap();
    let leader = |at: usize| FromLeader::from_packet(all[at].packet()).unwrap();
    let accepted = Zxid::new(1, 0);
    assert_eq!(learner(0), FromLearner::FollowerInfo { accepted, info });
    let (epoch, protocol) = (Zxid::new(1, 0), 0x10000);
    assert_eq!(leader(1), FromLeader::LeaderInfo { epoch, protocol });
    let (last, current) = (Zxid::new(1, 10), None);
    assert_eq!(learner(2), FromLearner::AckEpoch { last, current });
    assert_eq!(leader(3), FromLeader::Diff(Zxid::new(1, 13)));
}
