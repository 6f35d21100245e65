//! What servers say on the election port: the handshake that opens a connection, and notifications
//! (quorum protocol 1.2, 1.3 and 2.2).
//!
//! What lives here: the layouts of all releases, and the limits of a frame. What does not: which vote wins (`quorum::vote`), who
//! may connect to whom, what the configuration text says (`quorum::membership`).
//!
//! Invariants:
//! - Any bytes give a value, an error, or "more is needed"; nothing is allocated by an announced length.
//! - What is written carries the configuration (version 2), unless the value says that it is of an older release.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::ids::{ServerId, Zxid};
use crate::jute::{DecodeError, Reader, Writer};

/// Bytes of the text with the addresses in a handshake; more closes the connection.
pub const MAX_ADDRESS_LEN: usize = 2048;
/// Bytes of a notification; more closes the connection.
pub const MAX_NOTIFICATION_LEN: usize = 512 * 1024;
/// The id in a handshake of an observer that has none: the acceptor gives it one.
pub const OBSERVER_WITHOUT_ID: ServerId = ServerId(i64::MAX);

/// First number of a handshake with one address.
const HANDSHAKE_V1: i64 = -65536;
/// First number of a handshake with several.
const HANDSHAKE_V2: i64 = -65535;
/// Between the addresses of a handshake.
const ADDRESS_SEPARATOR: &str = "|";

/// Why bytes on the election port are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BallotError {
    /// A field is missing or wrong.
    #[error(transparent)]
    Field(#[from] DecodeError),
    /// The first number of a handshake is negative and no version that is known.
    #[error("handshake version {0}")]
    Version(i64),
    /// The length of a text or a frame is not between 1 and its limit.
    #[error("length {len} is not between 1 and {limit}")]
    Length {
        /// What was announced.
        len: i32,
        /// The most that is accepted.
        limit: usize,
    },
    /// The text is not `host:port`.
    #[error("{0:?} is no address")]
    Address(String),
}

/// Where a server can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A name or an address, IPv6 without its brackets.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, an IPv6 host in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok()?;
        is_host(host).then(|| Self {
            host: host.to_owned(),
            port,
        })
    }

    /// True for an address that means "every interface", where nobody can be reached.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// True for what can be written into a configuration and read again: nothing that a text of several lines takes for its own.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let has_meaning = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    !text.is_empty() && !text.contains(has_meaning)
}

/// What the server that opens an election connection says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// Before 3.5: the id alone.
    Bare(ServerId),
    /// The id, and the sender's election address.
    V1(ServerId, Address),
    /// The id, and all election addresses of the sender; sent only when several addresses are enabled.
    V2(ServerId, Vec<Address>),
}

impl Handshake {
    /// Who speaks.
    #[must_use]
    pub const fn server(&self) -> ServerId {
        match self {
            Self::Bare(server) | Self::V1(server, _) | Self::V2(server, _) => *server,
        }
    }

    /// Where the speaker says it can be reached; wildcards are left out, so this may be empty.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        let all = match self {
            Self::Bare(_) => &[],
            Self::V1(_, address) => std::slice::from_ref(address),
            Self::V2(_, addresses) => addresses.as_slice(),
        };
        all.iter().filter(|address| !address.is_wildcard())
    }

    /// Writes the handshake.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (version, server, text) = match self {
            Self::Bare(server) => return out.put_i64(server.0),
            Self::V1(server, address) => (HANDSHAKE_V1, server, address.to_string()),
            Self::V2(server, addresses) => {
                let texts: Vec<_> = addresses.iter().map(Address::to_string).collect();
                (HANDSHAKE_V2, server, texts.join(ADDRESS_SEPARATOR))
            }
        };
        out.put_i64(version);
        out.put_i64(server.0);
        out.put_string(&text);
    }

    /// Reads the handshake at the start of `bytes`, and says how long it is; `None` when more bytes are needed.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, BallotError> {
        let mut reader = Reader::new(bytes);
        match Self::read(&mut reader) {
            Ok(handshake) => Ok(Some((handshake, bytes.len() - reader.rest().len()))),
            Err(BallotError::Field(DecodeError::Truncated { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, BallotError> {
        let version = reader.i64()?;
        if version >= 0 {
            return Ok(Self::Bare(ServerId(version)));
        }
        if version != HANDSHAKE_V1 && version != HANDSHAKE_V2 {
            return Err(BallotError::Version(version));
        }
        let server = ServerId(reader.i64()?);
        let len = bounded(reader.i32()?, MAX_ADDRESS_LEN)?;
        let text = String::from_utf8_lossy(reader.take(len)?);
        let addresses = text.split(ADDRESS_SEPARATOR).map(address);
        let mut addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        match (version, addresses.pop()) {
            (HANDSHAKE_V1, Some(only)) if addresses.is_empty() => Ok(Self::V1(server, only)),
            (_, last) => {
                addresses.extend(last);
                Ok(Self::V2(server, addresses))
            }
        }
    }
}

fn address(text: &str) -> Result<Address, BallotError> {
    Address::parse(text).ok_or_else(|| BallotError::Address(text.to_owned()))
}

fn bounded(len: i32, limit: usize) -> Result<usize, BallotError> {
    let found = usize::try_from(len).ok();
    let inside = found.filter(|found| (1..=limit).contains(found));
    inside.ok_or(BallotError::Length { len, limit })
}

/// The length of the notification that follows a length prefix. An error closes the connection.
pub fn frame_len(prefix: i32) -> Result<usize, BallotError> {
    bounded(prefix, MAX_NOTIFICATION_LEN)
}

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerState {
    /// Looks for a leader.
    Looking,
    /// Follows one.
    Following,
    /// Is one.
    Leading,
    /// Follows without a vote.
    Observing,
}

impl PeerState {
    const ALL: [Self; 4] = [
        Self::Looking,
        Self::Following,
        Self::Leading,
        Self::Observing,
    ];

    /// The number in a notification.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The state of a number.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        let index = usize::try_from(code).ok()?;
        Self::ALL.get(index).copied()
    }
}

/// The layout of a notification: how much the release that wrote it had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// 28 bytes: no peer epoch; it is taken from the zxid.
    Epochless,
    /// 40 bytes: a peer epoch, and no version that anybody reads.
    Unversioned,
    /// Version 1: no configuration.
    V1,
    /// Version 2, and whatever comes after it: with the text of the sender's committed configuration.
    V2 {
        /// UTF-8, as sent; empty means that nothing is said about it.
        config: Bytes,
    },
}

impl Layout {
    /// True when the sender's peer epoch may be compared with that of other releases.
    #[must_use]
    pub const fn is_versioned(&self) -> bool {
        matches!(self, Self::V1 | Self::V2 { .. })
    }
}

/// Bytes of a notification without peer epoch.
const EPOCHLESS_LEN: usize = 28;
/// Bytes of a notification without a version that is read.
const UNVERSIONED_LEN: usize = 40;
/// What stands where 40-byte notifications have a number that nobody reads.
const UNREAD_VERSION: i32 = 1;

/// A server's vote, and what it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What the sender is doing.
    pub state: PeerState,
    /// Whom it votes for, or follows.
    pub leader: ServerId,
    /// The last zxid of the server voted for.
    pub zxid: Zxid,
    /// The round.
    pub election_epoch: i64,
    /// The epoch of the history of the server voted for.
    pub peer_epoch: i64,
    /// By which release it was written.
    pub layout: Layout,
}

impl Notification {
    /// Writes the notification with its length before it.
    pub fn encode_frame(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_i32(0);
        self.encode(out);
        let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        if let Some(prefix) = out.get_mut(start..start + 4) {
            prefix.copy_from_slice(&len.to_be_bytes());
        }
    }

    /// Writes the notification without a length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.state.code());
        out.put_i64(self.leader.0);
        out.put_i64(self.zxid.0);
        out.put_i64(self.election_epoch);
        if matches!(self.layout, Layout::Epochless) {
            return;
        }
        out.put_i64(self.peer_epoch);
        match &self.layout {
            Layout::Epochless => {}
            Layout::Unversioned => out.put_i32(UNREAD_VERSION),
            Layout::V1 => {
                out.put_i32(1);
                out.put_i32(0);
            }
            Layout::V2 { config } => {
                out.put_i32(2);
                out.put_buffer(Some(config));
            }
        }
    }

    /// Reads a notification without its length. An error means: drop it and keep the connection.
    pub fn decode(bytes: &Bytes) -> Result<Self, BallotError> {
        let mut reader = Reader::new(bytes);
        let state = reader.i32()?;
        let leader = ServerId(reader.i64()?);
        let zxid = Zxid(reader.i64()?);
        let election_epoch = reader.i64()?;
        let (peer_epoch, layout) = match bytes.len() {
            EPOCHLESS_LEN => (zxid.epoch(), Layout::Epochless),
            UNVERSIONED_LEN => (reader.i64()?, Layout::Unversioned),
            _ => (reader.i64()?, layout(&mut reader, bytes)?),
        };
        let unknown = DecodeError::Unknown {
            what: "state",
            value: state,
        };
        Ok(Self {
            state: PeerState::from_code(state).ok_or(unknown)?,
            leader,
            zxid,
            election_epoch,
            peer_epoch,
            layout,
        })
    }
}

fn layout(reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Layout, BallotError> {
    Ok(match reader.i32()? {
        ..=0 => Layout::Unversioned,
        1 => Layout::V1,
        _ => {
            let config = reader.buffer()?.ok_or(DecodeError::Null("configuration"))?;
            let config = bytes.slice_ref(config);
            Layout::V2 { config }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses() -> impl Strategy<Value = Address> {
        ("[a-z0-9.-]{1,20}|[0-9a-f:]{3,10}", any::<u16>())
            .prop_map(|(host, port)| Address { host, port })
    }

    fn handshakes() -> impl Strategy<Value = Handshake> {
        prop_oneof![
            (0..i64::MAX).prop_map(|id| Handshake::Bare(ServerId(id))),
            (any::<i64>(), addresses()).prop_map(|(id, at)| Handshake::V1(ServerId(id), at)),
            (any::<i64>(), prop::collection::vec(addresses(), 1..4))
                .prop_map(|(id, at)| Handshake::V2(ServerId(id), at)),
        ]
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        prop_oneof![
            Just(Layout::Epochless),
            Just(Layout::Unversioned),
            Just(Layout::V1),
            prop::collection::vec(any::<u8>(), 0..64).prop_map(|text| Layout::V2 {
                config: text.into()
            }),
        ]
    }

    fn notifications() -> impl Strategy<Value = Notification> {
        let numbers = (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>());
        (0..4i32, numbers, layouts()).prop_map(|(state, numbers, layout)| {
            let (leader, zxid, election_epoch, peer_epoch) = numbers;
            let zxid = Zxid(zxid);
            Notification {
                state: PeerState::from_code(state).unwrap(),
                leader: ServerId(leader),
                zxid,
                election_epoch,
                peer_epoch: match layout {
                    Layout::Epochless => zxid.epoch(),
                    _ => peer_epoch,
                },
                layout,
            }
        })
    }

    #[test]
    fn a_wildcard_tells_nobody_where_to_go() {
        let wild = Address::parse("0.0.0.0:3888").unwrap();
        let real = Address::parse("[fe80::1]:3888").unwrap();
        let handshake = Handshake::V2(ServerId(1), vec![wild, real.clone()]);
        assert_eq!(handshake.addresses().collect::<Vec<_>>(), [&real]);
        assert_eq!(Handshake::Bare(ServerId(1)).addresses().count(), 0);
    }

    #[test]
    fn handshakes_of_the_wrong_version_or_length_are_refused() {
        let mut out = Vec::new();
        out.put_i64(-1);
        assert_eq!(Handshake::decode(&out), Err(BallotError::Version(-1)));
        for len in [-1, 0, 2049] {
            let mut out = Vec::new();
            out.put_i64(HANDSHAKE_V1);
            out.put_i64(1);
            out.put_i32(len);
            let limit = MAX_ADDRESS_LEN;
            let refused = Err(BallotError::Length { len, limit });
            assert_eq!(Handshake::decode(&out), refused);
        }
    }

    #[test]
    fn texts_that_are_no_address_are_refused() {
        for text in [
            "",
            "host",
            ":1",
            "host:",
            "host:65536",
            "a:b:1",
            "[::1:1",
            "a b:1",
            "a\\nb:1",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn frames_have_a_length_between_one_and_the_limit() {
        assert_eq!(frame_len(28), Ok(28));
        assert_eq!(frame_len(524_288), Ok(524_288));
        assert!(frame_len(0).is_err() && frame_len(-1).is_err() && frame_len(524_289).is_err());
    }

    /// ZOOKEEPER-3769: a message cut short, or with a length that points beyond it, is an error and nothing more.
    #[test]
    fn zookeeper_3769_malformed_notifications_are_errors() {
        let whole = Notification {
            state: PeerState::Looking,
            leader: ServerId(1),
            zxid: Zxid(2),
            election_epoch: 3,
            peer_epoch: 4,
            layout: Layout::V2 {
                config: Bytes::from_static(b"version=0"),
            },
        };
        let mut bytes = Vec::new();
        whole.encode(&mut bytes);
        for len in (0..bytes.len()).filter(|len| ![EPOCHLESS_LEN, UNVERSIONED_LEN].contains(len)) {
            let cut = Bytes::copy_from_slice(&bytes[..len]);
            assert!(Notification::decode(&cut).is_err(), "{len} bytes");
        }
        for announced in [-1, -7, 10, i32::MAX] {
            bytes[40..44].copy_from_slice(&i32::to_be_bytes(announced));
            assert!(Notification::decode(&bytes.clone().into()).is_err());
        }
        bytes[..4].copy_from_slice(&4i32.to_be_bytes());
        assert!(Notification::decode(&bytes.into()).is_err());
    }

    proptest! {
        #[test]
        fn handshakes_round_trip_and_wait_for_their_end(handshake in handshakes(), behind in 0..3usize) {
            let mut bytes = Vec::new();
            handshake.encode(&mut bytes);
            let len = bytes.len();
            for cut in 0..len {
                prop_assert_eq!(Handshake::decode(&bytes[..cut]), Ok(None));
            }
            bytes.extend(vec![0; behind]);
            // One address in the form for several comes back in the same form.
            prop_assert_eq!(Handshake::decode(&bytes), Ok(Some((handshake, len))));
        }

        #[test]
        fn notifications_round_trip(notification in notifications()) {
            let mut bytes = Vec::new();
            notification.encode_frame(&mut bytes);
            let frame = Bytes::from(bytes);
            prop_assert_eq!(frame_len(Reader::new(&frame).i32().unwrap()), Ok(frame.len() - 4));
            prop_assert_eq!(Notification::decode(&frame.slice(4..)), Ok(notification));
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Handshake::decode(&bytes);
            let _ = Notification::decode(&bytes.into());
        }
    }
}
