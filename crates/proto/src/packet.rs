//! What a leader and its learners say to each other: packets without an outer length, each way with a meaning of its own
//! (quorum protocol 3.1).
//!
//! What lives here: [`Packet`], the layout that all share, and below what it can mean, by who speaks: [`from_learner`] and
//! [`from_leader`]. What does not: when something is said (`quorum`), the stream behind a SNAP, the body of a transaction.
//!
//! Invariants:
//! - Any bytes give a packet, an error, or "more is needed"; nothing is allocated by an announced length.
//! - Null and empty differ, and are written as Java writes them.
//! - A packet of an unknown type is kept as it came: the one who reads decides to ignore it.

use bytes::{Bytes, BytesMut};

use crate::acl::Id;
use crate::ids::Zxid;
use crate::jute::{DecodeError, Reader, Writer};

pub mod from_leader;
pub mod from_learner;

/// The protocol version that leaders and learners since 3.4 speak.
pub const PROTOCOL_VERSION: i32 = 0x10000;
/// Identities in one packet; a client has a handful.
pub const MAX_IDENTITIES: usize = 1024;
/// The zxid of packets that have none.
const NO_ZXID: Zxid = Zxid(-1);

mod kind {
    pub(super) const REQUEST: i32 = 1;
    pub(super) const PROPOSAL: i32 = 2;
    pub(super) const ACK: i32 = 3;
    pub(super) const COMMIT: i32 = 4;
    pub(super) const PING: i32 = 5;
    pub(super) const REVALIDATE: i32 = 6;
    pub(super) const SYNC: i32 = 7;
    pub(super) const INFORM: i32 = 8;
    pub(super) const COMMIT_AND_ACTIVATE: i32 = 9;
    pub(super) const NEW_LEADER: i32 = 10;
    pub(super) const FOLLOWER_INFO: i32 = 11;
    pub(super) const UP_TO_DATE: i32 = 12;
    pub(super) const DIFF: i32 = 13;
    pub(super) const TRUNC: i32 = 14;
    pub(super) const SNAP: i32 = 15;
    pub(super) const OBSERVER_INFO: i32 = 16;
    pub(super) const LEADER_INFO: i32 = 17;
    pub(super) const ACK_EPOCH: i32 = 18;
    pub(super) const INFORM_AND_ACTIVATE: i32 = 19;
}

/// The layout of every packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The type.
    pub kind: i32,
    /// A zxid, where the type has one.
    pub zxid: Zxid,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Identities of a client; requests only.
    pub identities: Option<Vec<Id>>,
}

impl Packet {
    const fn bare(kind: i32, zxid: Zxid) -> Self {
        Self::with(kind, zxid, None)
    }

    const fn with(kind: i32, zxid: Zxid, data: Option<Bytes>) -> Self {
        Self {
            kind,
            zxid,
            data,
            identities: None,
        }
    }

    /// Writes the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.kind);
        out.put_i64(self.zxid.0);
        out.put_buffer(self.data.as_deref());
        let Some(identities) = &self.identities else {
            return out.put_i32(-1);
        };
        out.put_count(identities.len());
        for identity in identities {
            out.put_string(&identity.scheme);
            out.put_string(&identity.id);
        }
    }

    /// Takes the packet at the start of what a socket brought; `None` when more is needed. `limit` is the most bytes of a buffer
    /// or string.
    pub fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::with_limit(buffer, limit);
        let len = match skip(&mut reader) {
            Ok(()) => buffer.len() - reader.rest().len(),
            Err(DecodeError::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Self::decode(&buffer.split_to(len).freeze(), limit).map(Some)
    }

    /// Reads a packet that fills `bytes`, or is followed by others.
    pub fn decode(bytes: &Bytes, limit: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::with_limit(bytes, limit);
        let (kind, zxid) = (reader.i32()?, Zxid(reader.i64()?));
        let data = reader.buffer()?.map(|data| bytes.slice_ref(data));
        let identities = match counted(&mut reader)? {
            None => None,
            Some(count) => Some(
                (0..count)
                    .map(|_| identity(&mut reader))
                    .collect::<Result<_, _>>()?,
            ),
        };
        Ok(Self {
            kind,
            zxid,
            data,
            identities,
        })
    }
}

/// Moves over a packet without keeping anything of it. Refuses what [`Packet::decode`] refuses: nothing is taken by an error.
fn skip(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.i32()?;
    reader.i64()?;
    reader.buffer()?;
    for _ in 0..counted(reader)?.unwrap_or(0) {
        reader.buffer()?.ok_or(DecodeError::Null("scheme"))?;
        reader.buffer()?.ok_or(DecodeError::Null("id"))?;
    }
    Ok(())
}

fn counted(reader: &mut Reader<'_>) -> Result<Option<usize>, DecodeError> {
    let limit = MAX_IDENTITIES;
    match reader.count()? {
        Some(len) if len > limit => Err(DecodeError::TooLong { len, limit }),
        count => Ok(count),
    }
}

fn identity(reader: &mut Reader<'_>) -> Result<Id, DecodeError> {
    let scheme = reader.required_string("scheme")?;
    Ok(Id::new(scheme, reader.required_string("id")?))
}

fn needed(data: Option<&Bytes>) -> Result<Reader<'_>, DecodeError> {
    data.map(|data| Reader::new(data))
        .ok_or(DecodeError::Null("data"))
}

#[cfg(test)]
mod tests {
    use super::from_leader::FromLeader;
    use super::from_learner::{FromLearner, LearnerInfo};
    use super::*;
    use crate::ids::ServerId;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    fn packets() -> impl Strategy<Value = Packet> {
        let data = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
        let text = "[a-z]{0,5}";
        let identities = prop::option::of(prop::collection::vec((text, text), 0..3));
        (-1..22i32, any::<i64>(), data, identities).prop_map(|(kind, zxid, data, identities)| {
            Packet {
                kind,
                zxid: Zxid(zxid),
                data: data.map(Bytes::from),
                identities: identities
                    .map(|all| all.into_iter().map(|(s, i)| Id::new(s, i)).collect()),
            }
        })
    }

    fn encoded(packet: &Packet) -> Vec<u8> {
        let mut out = Vec::new();
        packet.encode(&mut out);
        out
    }

    #[test]
    fn the_smallest_packet_has_twenty_bytes() {
        assert_eq!(encoded(&FromLeader::UpToDate.into_packet()).len(), 20);
    }

    #[test]
    fn learners_of_old_releases_say_less() {
        let says = |data: Option<&'static [u8]>| {
            let packet = Packet::with(kind::FOLLOWER_INFO, Zxid(0), data.map(Bytes::from_static));
            match FromLearner::from_packet(packet) {
                Ok(FromLearner::FollowerInfo { info, .. }) => info,
                other => panic!("{other:?}"),
            }
        };
        let info = |server: Option<i64>, protocol| LearnerInfo {
            server: server.map(ServerId),
            protocol,
            config_version: 0,
        };
        assert_eq!(says(None), info(None, 1));
        assert_eq!(says(Some(&[0, 0, 0, 0, 0, 0, 0, 3])), info(Some(3), 1));
        let with_version = [0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 0];
        assert_eq!(
            says(Some(Box::leak(Box::new(with_version)))),
            info(Some(3), 0x10000)
        );
    }

    #[test]
    fn what_must_be_there_is_asked_for() {
        for kind in [
            kind::PROPOSAL,
            kind::INFORM,
            kind::COMMIT_AND_ACTIVATE,
            kind::LEADER_INFO,
        ] {
            assert!(FromLeader::from_packet(Packet::bare(kind, Zxid(1))).is_err());
        }
        let half = Packet::with(kind::PING, Zxid(1), Some(Bytes::from_static(&[0; 13])));
        assert!(FromLearner::from_packet(half).is_err());
    }

    #[test]
    fn an_announced_length_beyond_the_limit_is_not_waited_for() {
        let packet = Packet::with(kind::PROPOSAL, Zxid(1), Some(Bytes::from_static(&[7; 9])));
        let mut buffer = BytesMut::from(&encoded(&packet)[..20]);
        assert!(matches!(
            Packet::take(&mut buffer, 8),
            Err(DecodeError::TooLong { .. })
        ));
        assert_eq!(Packet::take(&mut buffer, 9), Ok(None));
    }

    /// Found by fuzzing: the bytes of a refused packet were taken, and what followed was read as if nothing had happened.
    #[test]
    fn a_refused_packet_stays_where_it_is() {
        let packet = Packet {
            identities: Some(vec![Id::new("", "")]),
            ..Packet::bare(kind::REQUEST, Zxid(1))
        };
        let mut bytes = encoded(&packet);
        let scheme = bytes.len() - 8;
        bytes[scheme..].copy_from_slice(&[0xff; 8]);
        let mut buffer = BytesMut::from(&bytes[..]);
        assert_eq!(
            Packet::take(&mut buffer, LIMIT),
            Err(DecodeError::Null("scheme"))
        );
        assert_eq!(buffer, bytes);
    }

    proptest! {
        #[test]
        fn packets_round_trip_through_a_stream(all in prop::collection::vec(packets(), 1..4)) {
            let bytes: Vec<u8> = all.iter().flat_map(encoded).collect();
            let mut buffer = BytesMut::new();
            let mut taken = Vec::new();
            for byte in bytes {
                buffer.extend_from_slice(&[byte]);
                taken.extend(Packet::take(&mut buffer, LIMIT).unwrap());
            }
            prop_assert_eq!(taken, all);
        }

        #[test]
        fn meanings_survive_the_wire(packet in packets()) {
            if let Ok(said) = FromLearner::from_packet(packet.clone()) {
                prop_assert_eq!(FromLearner::from_packet(said.clone().into_packet()), Ok(said));
            }
            if let Ok(said) = FromLeader::from_packet(packet) {
                prop_assert_eq!(FromLeader::from_packet(said.clone().into_packet()), Ok(said));
            }
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(packet)) = Packet::take(&mut buffer, LIMIT) {
                let _ = FromLearner::from_packet(packet.clone());
                let _ = FromLeader::from_packet(packet);
            }
        }
    }
}
