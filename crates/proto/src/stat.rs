//! What is known of a znode besides its data: as a client sees it, and as the disk keeps it.

use crate::ids::Zxid;
use crate::jute::{DecodeError, Reader, Writer};

/// The stat in a reply, 68 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stat {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last changed its data.
    pub mzxid: Zxid,
    /// Creation, ms since 1970.
    pub ctime: i64,
    /// Last change of data, ms since 1970.
    pub mtime: i64,
    /// Changes of data.
    pub version: i32,
    /// Changes of the child list: creates and deletes.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Session of an ephemeral, else 0 (containers and TTL nodes show 0 too).
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Transaction that last changed the child list.
    pub pzxid: Zxid,
}

impl Stat {
    /// Encoded length, bytes.
    pub const LEN: usize = 68;

    /// Writes the 68 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(Self::LEN);
        out.put_i64(self.czxid.0);
        out.put_i64(self.mzxid.0);
        out.put_i64(self.ctime);
        out.put_i64(self.mtime);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i32(self.data_length);
        out.put_i32(self.num_children);
        out.put_i64(self.pzxid.0);
    }

    /// Reads the 68 bytes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(reader.i64()?),
            mzxid: Zxid(reader.i64()?),
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            data_length: reader.i32()?,
            num_children: reader.i32()?,
            pzxid: Zxid(reader.i64()?),
        })
    }
}

/// The stat as the snapshot keeps it, 60 bytes.
///
/// `cversion` counts created children only; a client sees `2 * cversion - numChildren` (client protocol 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatPersisted {
    /// Transaction that created the znode.
    pub czxid: Zxid,
    /// Transaction that last changed its data.
    pub mzxid: Zxid,
    /// Creation, ms since 1970.
    pub ctime: i64,
    /// Last change of data, ms since 1970.
    pub mtime: i64,
    /// Changes of data.
    pub version: i32,
    /// Children ever created.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// Raw owner: 0, a session, or the encoding of a container or TTL node (see [`crate::code::Owner`]).
    pub ephemeral_owner: i64,
    /// Transaction that last changed the child list.
    pub pzxid: Zxid,
}

impl StatPersisted {
    /// Encoded length, bytes.
    pub const LEN: usize = 60;

    /// Writes the 60 bytes in the order of the snapshot.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(Self::LEN);
        out.put_i64(self.czxid.0);
        out.put_i64(self.mzxid.0);
        out.put_i64(self.ctime);
        out.put_i64(self.mtime);
        out.put_i32(self.version);
        out.put_i32(self.cversion);
        out.put_i32(self.aversion);
        out.put_i64(self.ephemeral_owner);
        out.put_i64(self.pzxid.0);
    }

    /// Reads the 60 bytes in the order of the snapshot.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            czxid: Zxid(reader.i64()?),
            mzxid: Zxid(reader.i64()?),
            ctime: reader.i64()?,
            mtime: reader.i64()?,
            version: reader.i32()?,
            cversion: reader.i32()?,
            aversion: reader.i32()?,
            ephemeral_owner: reader.i64()?,
            pzxid: Zxid(reader.i64()?),
        })
    }

    /// The 60 bytes in the order that the tree digest uses, which is another one (disk formats 4.4).
    #[must_use]
    pub fn digest_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (longs, rest) = bytes.split_at_mut(40);
        let values = [
            self.czxid.0,
            self.mzxid.0,
            self.pzxid.0,
            self.ctime,
            self.mtime,
        ];
        for (slot, value) in longs.chunks_exact_mut(8).zip(values) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
        let (ints, owner) = rest.split_at_mut(12);
        for (slot, value) in
            ints.chunks_exact_mut(4)
                .zip([self.version, self.cversion, self.aversion])
        {
            slot.copy_from_slice(&value.to_be_bytes());
        }
        owner.copy_from_slice(&self.ephemeral_owner.to_be_bytes());
        bytes
    }

    /// What a client sees of this znode with `num_children` children, `data_length` bytes of data and the visible `owner`.
    #[must_use]
    pub const fn visible(&self, num_children: i32, data_length: i32, owner: i64) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: owner,
            data_length,
            num_children,
            pzxid: self.pzxid,
        }
    }
}
