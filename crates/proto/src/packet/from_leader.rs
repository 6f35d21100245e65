//! What a leader says to a learner.
//!
//! What lives here: one variant per type of packet, with what that type carries. What does not: who may say what when.

use bytes::Bytes;

use super::{NO_ZXID, Packet, kind, needed};
use crate::ids::{ServerId, SessionId, Zxid};
use crate::jute::{DecodeError, Reader, Writer};

/// What a leader says to a learner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromLeader {
    /// The new epoch.
    LeaderInfo {
        /// `make(epoch, 0)`.
        epoch: Zxid,
        /// What the leader speaks.
        protocol: i32,
    },
    /// What the learner lacks follows as transactions. The number is for people.
    Diff(Zxid),
    /// Forget everything behind this.
    Trunc(Zxid),
    /// The whole state follows, as it was at this zxid or a little later.
    Snap(Zxid),
    /// The learner's history is that of the leader now.
    NewLeader {
        /// `make(epoch, 0)`.
        epoch: Zxid,
        /// The configuration last seen, as text.
        config: Option<Bytes>,
    },
    /// A quorum has taken over the history: serve.
    UpToDate,
    /// A transaction to be put on the disk.
    Proposal {
        /// Its place.
        zxid: Zxid,
        /// As the log has it.
        txn: Bytes,
    },
    /// A proposal is decided.
    Commit(Zxid),
    /// The same, for one that changes the configuration.
    CommitAndActivate {
        /// Its place.
        zxid: Zxid,
        /// Who shall lead from now on.
        leader: ServerId,
    },
    /// To observers: a transaction that is decided.
    Inform {
        /// Its place.
        zxid: Zxid,
        /// As the log has it.
        txn: Bytes,
    },
    /// The same, for one that changes the configuration.
    InformAndActivate {
        /// Its place.
        zxid: Zxid,
        /// Who shall lead from now on.
        leader: ServerId,
        /// As the log has it.
        txn: Bytes,
    },
    /// Are you there? With the last zxid proposed.
    Ping(Zxid),
    /// Everything before the oldest sync that waits has been sent.
    Sync,
    /// The answer about a session.
    Revalidated {
        /// Which.
        session: SessionId,
        /// True when it lives and belongs to the learner now.
        valid: bool,
    },
    /// Of a type that only a newer release knows.
    Unknown(Packet),
}

impl FromLeader {
    /// The packet that says it.
    #[must_use]
    pub fn into_packet(self) -> Packet {
        match self {
            Self::LeaderInfo { epoch, protocol } => {
                let data = Bytes::copy_from_slice(&protocol.to_be_bytes());
                Packet::with(kind::LEADER_INFO, epoch, Some(data))
            }
            Self::Diff(zxid) => Packet::bare(kind::DIFF, zxid),
            Self::Trunc(zxid) => Packet::bare(kind::TRUNC, zxid),
            Self::Snap(zxid) => Packet::bare(kind::SNAP, zxid),
            Self::NewLeader { epoch, config } => Packet::with(kind::NEW_LEADER, epoch, config),
            Self::UpToDate => Packet::bare(kind::UP_TO_DATE, NO_ZXID),
            Self::Proposal { zxid, txn } => Packet::with(kind::PROPOSAL, zxid, Some(txn)),
            Self::Commit(zxid) => Packet::bare(kind::COMMIT, zxid),
            Self::CommitAndActivate { zxid, leader } => {
                let data = Bytes::copy_from_slice(&leader.0.to_be_bytes());
                Packet::with(kind::COMMIT_AND_ACTIVATE, zxid, Some(data))
            }
            Self::Inform { zxid, txn } => Packet::with(kind::INFORM, zxid, Some(txn)),
            Self::InformAndActivate { zxid, leader, txn } => {
                let mut data = Vec::with_capacity(8 + txn.len());
                data.put_i64(leader.0);
                data.extend_from_slice(&txn);
                Packet::with(kind::INFORM_AND_ACTIVATE, zxid, Some(data.into()))
            }
            Self::Ping(zxid) => Packet::bare(kind::PING, zxid),
            Self::Sync => Packet::bare(kind::SYNC, Zxid::ZERO),
            Self::Revalidated { session, valid } => {
                let mut data = Vec::with_capacity(9);
                data.put_i64(session.0);
                data.put_bool(valid);
                Packet::with(kind::REVALIDATE, NO_ZXID, Some(data.into()))
            }
            Self::Unknown(packet) => packet,
        }
    }

    /// What the packet says when a leader sent it.
    pub fn from_packet(packet: Packet) -> Result<Self, DecodeError> {
        let zxid = packet.zxid;
        let data = packet.data.as_ref();
        Ok(match packet.kind {
            kind::LEADER_INFO => Self::LeaderInfo {
                epoch: zxid,
                protocol: needed(data)?.i32()?,
            },
            kind::DIFF => Self::Diff(zxid),
            kind::TRUNC => Self::Trunc(zxid),
            kind::SNAP => Self::Snap(zxid),
            kind::NEW_LEADER => Self::NewLeader {
                epoch: zxid,
                config: packet.data,
            },
            kind::UP_TO_DATE => Self::UpToDate,
            kind::PROPOSAL => Self::Proposal {
                zxid,
                txn: packet.data.ok_or(DecodeError::Null("transaction"))?,
            },
            kind::COMMIT => Self::Commit(zxid),
            kind::COMMIT_AND_ACTIVATE => Self::CommitAndActivate {
                zxid,
                leader: ServerId(needed(data)?.i64()?),
            },
            kind::INFORM => Self::Inform {
                zxid,
                txn: packet.data.ok_or(DecodeError::Null("transaction"))?,
            },
            kind::INFORM_AND_ACTIVATE => inform_and_activate(zxid, packet.data)?,
            kind::PING => Self::Ping(zxid),
            kind::SYNC => Self::Sync,
            kind::REVALIDATE => {
                let mut reader = needed(data)?;
                Self::Revalidated {
                    session: SessionId(reader.i64()?),
                    valid: reader.bool()?,
                }
            }
            _ => Self::Unknown(packet),
        })
    }
}

fn inform_and_activate(zxid: Zxid, data: Option<Bytes>) -> Result<FromLeader, DecodeError> {
    let data = data.ok_or(DecodeError::Null("transaction"))?;
    let mut reader = Reader::new(&data);
    Ok(FromLeader::InformAndActivate {
        zxid,
        leader: ServerId(reader.i64()?),
        txn: data.slice_ref(reader.rest()),
    })
}
