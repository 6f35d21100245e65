//! Transactions: what the log holds and what peers propose to each other (disk formats 2 and 3).
//!
//! A transaction is a header, a body by type, and optionally the digest of the tree after it. `version` and `parent_cversion`
//! are the values *after* the transaction, so that replay over a fuzzy snapshot is exact.

use std::sync::Arc;

use bytes::Bytes;

use crate::acl::{self, Acl};
use crate::code::{ErrorCode, OpCode};
use crate::ids::{SessionId, Zxid};
use crate::jute::{DecodeError, Reader, Writer};

/// The 32 bytes before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked.
    pub session: SessionId,
    /// Its number of the request.
    pub cxid: i32,
    /// The place in the order.
    pub zxid: Zxid,
    /// The leader's clock, ms since 1970.
    pub time: i64,
    /// An [`OpCode`].
    pub kind: i32,
}

impl TxnHeader {
    /// Encoded length, bytes.
    pub const LEN: usize = 32;

    /// Writes the 32 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.session.0);
        out.put_i32(self.cxid);
        out.put_i64(self.zxid.0);
        out.put_i64(self.time);
        out.put_i32(self.kind);
    }

    /// Reads the 32 bytes.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            session: SessionId(reader.i64()?),
            cxid: reader.i32()?,
            zxid: Zxid(reader.i64()?),
            time: reader.i64()?,
            kind: reader.i32()?,
        })
    }
}

/// The digest of the tree after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnDigest {
    /// How it was computed; ours is [`DIGEST_VERSION`].
    pub version: i32,
    /// The sum of the node digests.
    pub tree_digest: i64,
}

/// The digest algorithm this server knows.
pub const DIGEST_VERSION: i32 = 2;

/// The body of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn {
    /// A session begins.
    CreateSession {
        /// Its timeout, ms.
        timeout_ms: i32,
    },
    /// A session ends.
    CloseSession {
        /// Its ephemerals; `None` in logs of older servers: all that are known.
        paths: Option<Vec<String>>,
    },
    /// A znode appears.
    Create(CreateTxn),
    /// A znode goes.
    Delete(DeleteTxn),
    /// Data changes.
    SetData(SetDataTxn),
    /// An ACL changes.
    SetAcl(SetAclTxn),
    /// A version was compared; only inside a multi.
    Check(CheckTxn),
    /// A request failed; only its zxid counts. Inside a multi it marks the whole as failed.
    Error(i32),
    /// Several at once.
    Multi(Vec<Self>),
}

/// What kind of znode a create makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateKind {
    /// Type 1: an ephemeral or not.
    Plain {
        /// Owned by the session of the header.
        ephemeral: bool,
    },
    /// Type 15, with the same body.
    WithStat {
        /// Owned by the session of the header.
        ephemeral: bool,
    },
    /// Type 19.
    Container,
    /// Type 21.
    Ttl {
        /// ms.
        ttl: i64,
    },
}

/// The body of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTxn {
    /// Type and owner.
    pub kind: CreateKind,
    /// With the sequence number, if any.
    pub path: String,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// Fixed up.
    pub acl: Arc<[Acl]>,
    /// The parent's count of created children after this one; -1 in old logs: one more than now.
    pub parent_cversion: i32,
}

/// The body of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTxn {
    /// The znode.
    pub path: String,
    /// Type 20 instead of 2: removed by the server itself.
    pub by_server: bool,
}

/// The body of a setData.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDataTxn {
    /// The znode.
    pub path: String,
    /// Null and empty differ.
    pub data: Option<Bytes>,
    /// The new version.
    pub version: i32,
    /// Type 16 instead of 5: the configuration node.
    pub reconfig: bool,
}

/// The body of a setACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAclTxn {
    /// The znode.
    pub path: String,
    /// Fixed up.
    pub acl: Arc<[Acl]>,
    /// The new ACL version.
    pub version: i32,
}

/// The body of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckTxn {
    /// The znode.
    pub path: String,
    /// The version that was compared.
    pub version: i32,
}

impl Txn {
    /// The type in the header.
    #[must_use]
    pub const fn kind(&self) -> OpCode {
        match self {
            Self::CreateSession { .. } => OpCode::CreateSession,
            Self::CloseSession { .. } => OpCode::CloseSession,
            Self::Create(create) => match create.kind {
                CreateKind::Plain { .. } => OpCode::Create,
                CreateKind::WithStat { .. } => OpCode::Create2,
                CreateKind::Container => OpCode::CreateContainer,
                CreateKind::Ttl { .. } => OpCode::CreateTtl,
            },
            Self::Delete(delete) if delete.by_server => OpCode::DeleteContainer,
            Self::Delete(_) => OpCode::Delete,
            Self::SetData(set) if set.reconfig => OpCode::Reconfig,
            Self::SetData(_) => OpCode::SetData,
            Self::SetAcl(_) => OpCode::SetAcl,
            Self::Check(_) => OpCode::Check,
            Self::Error(_) => OpCode::Error,
            Self::Multi(_) => OpCode::Multi,
        }
    }

    /// The error of the first failed part, if any part failed: then nothing of the multi is applied.
    #[must_use]
    pub fn failure(&self) -> Option<i32> {
        match self {
            Self::Error(code) => Some(*code),
            Self::Multi(parts) => parts.iter().find_map(|part| match part {
                Self::Error(code) if *code != ErrorCode::Ok.code() => Some(*code),
                Self::Error(_) => Some(ErrorCode::RuntimeInconsistency.code()),
                _ => None,
            }),
            _ => None,
        }
    }

    /// Writes the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::CreateSession { timeout_ms } => out.put_i32(*timeout_ms),
            Self::CloseSession { paths: None } => {}
            Self::CloseSession { paths: Some(paths) } => {
                out.put_count(paths.len());
                paths.iter().for_each(|path| out.put_string(path));
            }
            Self::Create(create) => encode_create(create, out),
            Self::Delete(delete) => out.put_string(&delete.path),
            Self::SetData(set) => {
                out.put_string(&set.path);
                out.put_buffer(set.data.as_deref());
                out.put_i32(set.version);
            }
            Self::SetAcl(set) => {
                out.put_string(&set.path);
                acl::encode_list(&set.acl, out);
                out.put_i32(set.version);
            }
            Self::Check(check) => {
                out.put_string(&check.path);
                out.put_i32(check.version);
            }
            Self::Error(code) => out.put_i32(*code),
            Self::Multi(parts) => encode_parts(parts, out),
        }
    }
}

fn encode_create(create: &CreateTxn, out: &mut Vec<u8>) {
    out.put_string(&create.path);
    out.put_buffer(create.data.as_deref());
    acl::encode_list(&create.acl, out);
    if let CreateKind::Plain { ephemeral } | CreateKind::WithStat { ephemeral } = create.kind {
        out.put_bool(ephemeral);
    }
    out.put_i32(create.parent_cversion);
    if let CreateKind::Ttl { ttl } = create.kind {
        out.put_i64(ttl);
    }
}

fn encode_parts(parts: &[Txn], out: &mut Vec<u8>) {
    out.put_count(parts.len());
    for part in parts {
        out.put_i32(part.kind().code());
        let start = out.len();
        out.put_i32(0);
        part.encode(out);
        let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
        if let Some(field) = out.get_mut(start..start + 4) {
            field.copy_from_slice(&len.to_be_bytes());
        }
    }
}

/// A transaction as the log and proposals carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who, when, which place in the order.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
    /// The tree afterwards, if the writer said it.
    pub digest: Option<TxnDigest>,
}

impl Record {
    /// Writes header, body and digest.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.txn.encode(out);
        if let Some(digest) = self.digest {
            out.put_i32(digest.version);
            out.put_i64(digest.tree_digest);
        }
    }

    /// Reads a whole record. Lengths inside are bounded by the record alone: whatever was accepted can be read back.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = TxnHeader::decode(&mut reader)?;
        let txn = decode_body(header.kind, &mut reader, bytes)?;
        let digest = match txn {
            Txn::Error(_) => None,
            _ if reader.is_empty() => None,
            _ => Some(TxnDigest {
                version: reader.i32()?,
                tree_digest: reader.i64()?,
            }),
        };
        Ok(Self {
            header,
            txn,
            digest,
        })
    }
}

/// Bytes of a digest trailer.
const DIGEST_LEN: usize = 12;

fn decode_body(kind: i32, reader: &mut Reader<'_>, frame: &Bytes) -> Result<Txn, DecodeError> {
    let unknown = DecodeError::Unknown {
        what: "transaction type",
        value: kind,
    };
    let op = OpCode::from_i32(kind).ok_or(unknown)?;
    Ok(match op {
        OpCode::CreateSession => Txn::CreateSession {
            timeout_ms: reader.i32()?,
        },
        OpCode::CloseSession => Txn::CloseSession {
            paths: decode_close(reader)?,
        },
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            Txn::Create(decode_create(op, reader, frame)?)
        }
        OpCode::Delete | OpCode::DeleteContainer => Txn::Delete(DeleteTxn {
            path: text(reader)?,
            by_server: op == OpCode::DeleteContainer,
        }),
        OpCode::SetData | OpCode::Reconfig => Txn::SetData(SetDataTxn {
            path: text(reader)?,
            data: reader.buffer()?.map(|part| frame.slice_ref(part)),
            version: reader.i32()?,
            reconfig: op == OpCode::Reconfig,
        }),
        OpCode::SetAcl => Txn::SetAcl(SetAclTxn {
            path: text(reader)?,
            acl: acl_list(reader)?,
            version: reader.i32()?,
        }),
        OpCode::Check => Txn::Check(CheckTxn {
            path: text(reader)?,
            version: reader.i32()?,
        }),
        OpCode::Error => Txn::Error(reader.i32()?),
        OpCode::Multi => Txn::Multi(decode_parts(reader, frame)?),
        _ => return Err(unknown),
    })
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    Ok(reader.required_string("path")?.into_owned())
}

fn acl_list(reader: &mut Reader<'_>) -> Result<Arc<[Acl]>, DecodeError> {
    Ok(reader.vector(Acl::decode)?.unwrap_or_default().into())
}

/// The list of paths; a writer without the feature leaves the body empty, perhaps with a digest behind.
fn decode_close(reader: &mut Reader<'_>) -> Result<Option<Vec<String>>, DecodeError> {
    if reader.is_empty() {
        return Ok(None);
    }
    let mut ahead = reader.clone();
    match ahead.vector(text) {
        Ok(paths) => {
            *reader = ahead;
            Ok(Some(paths.unwrap_or_default()))
        }
        Err(_) if reader.rest().len() == DIGEST_LEN => Ok(None),
        Err(error) => Err(error),
    }
}

fn decode_create(
    op: OpCode,
    reader: &mut Reader<'_>,
    frame: &Bytes,
) -> Result<CreateTxn, DecodeError> {
    let path = text(reader)?;
    let data = reader.buffer()?.map(|part| frame.slice_ref(part));
    let acl = acl_list(reader)?;
    let ephemeral = match op {
        OpCode::Create | OpCode::Create2 => reader.bool()?,
        _ => false,
    };
    // Before 3.3 the count was not written.
    let parent_cversion = if op == OpCode::Create && reader.is_empty() {
        -1
    } else {
        reader.i32()?
    };
    let kind = match op {
        OpCode::CreateContainer => CreateKind::Container,
        OpCode::CreateTtl => CreateKind::Ttl { ttl: reader.i64()? },
        OpCode::Create2 => CreateKind::WithStat { ephemeral },
        _ => CreateKind::Plain { ephemeral },
    };
    Ok(CreateTxn {
        kind,
        path,
        data,
        acl,
        parent_cversion,
    })
}

fn decode_parts(reader: &mut Reader<'_>, frame: &Bytes) -> Result<Vec<Txn>, DecodeError> {
    let parts = reader.vector(|reader| {
        let kind = reader.i32()?;
        let body = reader
            .buffer()?
            .ok_or(DecodeError::Null("part of a multi"))?;
        if kind == OpCode::Multi.code() {
            return Err(DecodeError::BadMulti("a multi inside a multi"));
        }
        decode_body(kind, &mut Reader::new(body), frame)
    })?;
    Ok(parts.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(kind: OpCode) -> TxnHeader {
        TxnHeader {
            session: SessionId(3),
            cxid: 4,
            zxid: Zxid(5),
            time: 6,
            kind: kind.code(),
        }
    }

    #[track_caller]
    fn round_trip(txn: Txn, digest: Option<TxnDigest>) {
        let record = Record {
            header: header(txn.kind()),
            txn,
            digest,
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(Record::decode(&bytes.into()), Ok(record));
    }

    #[test]
    fn a_close_without_paths_may_carry_a_digest() {
        let digest = Some(TxnDigest {
            version: 2,
            tree_digest: 77,
        });
        round_trip(Txn::CloseSession { paths: None }, None);
        round_trip(Txn::CloseSession { paths: None }, digest);
        round_trip(
            Txn::CloseSession {
                paths: Some(vec!["/e".into()]),
            },
            digest,
        );
    }

    #[test]
    fn a_create_of_the_oldest_servers_has_no_parent_count() {
        let mut bytes = Vec::new();
        header(OpCode::Create).encode(&mut bytes);
        bytes.put_string("/a");
        bytes.put_buffer(None);
        bytes.put_count(0);
        bytes.put_bool(false);
        let record = Record::decode(&bytes.into()).unwrap();
        assert!(matches!(
            record.txn,
            Txn::Create(CreateTxn {
                parent_cversion: -1,
                ..
            })
        ));
    }

    #[test]
    fn a_multi_inside_a_multi_is_refused() {
        let mut bytes = Vec::new();
        Record {
            header: header(OpCode::Multi),
            txn: Txn::Multi(vec![Txn::Multi(vec![])]),
            digest: None,
        }
        .encode(&mut bytes);
        assert!(Record::decode(&bytes.into()).is_err());
    }

    fn simple_txn() -> impl Strategy<Value = Txn> {
        let data = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))
            .prop_map(|data| data.map(Bytes::from));
        let acl = proptest::collection::vec((any::<i32>(), "[a-z]{0,4}", ".{0,4}"), 0..3).prop_map(
            |list| {
                list.into_iter()
                    .map(|(p, s, i)| Acl::new(p, s, i))
                    .collect::<Arc<[_]>>()
            },
        );
        let kind = prop_oneof![
            any::<bool>().prop_map(|ephemeral| CreateKind::Plain { ephemeral }),
            any::<bool>().prop_map(|ephemeral| CreateKind::WithStat { ephemeral }),
            Just(CreateKind::Container),
            any::<i64>().prop_map(|ttl| CreateKind::Ttl { ttl }),
        ];
        prop_oneof![
            (kind, ".{0,8}", data.clone(), acl.clone(), any::<i32>()).prop_map(
                |(kind, path, data, acl, parent_cversion)| Txn::Create(CreateTxn {
                    kind,
                    path,
                    data,
                    acl,
                    parent_cversion
                })
            ),
            (".{0,8}", any::<bool>())
                .prop_map(|(path, by_server)| Txn::Delete(DeleteTxn { path, by_server })),
            (".{0,8}", data, any::<i32>(), any::<bool>()).prop_map(
                |(path, data, version, reconfig)| {
                    Txn::SetData(SetDataTxn {
                        path,
                        data,
                        version,
                        reconfig,
                    })
                }
            ),
            (".{0,8}", acl, any::<i32>()).prop_map(|(path, acl, version)| Txn::SetAcl(SetAclTxn {
                path,
                acl,
                version
            })),
            (".{0,8}", any::<i32>())
                .prop_map(|(path, version)| Txn::Check(CheckTxn { path, version })),
            any::<i32>().prop_map(Txn::Error),
        ]
    }

    proptest! {
        #[test]
        fn transactions_round_trip(
            txn in prop_oneof![simple_txn(), proptest::collection::vec(simple_txn(), 0..4).prop_map(Txn::Multi)],
            digest in proptest::option::of(any::<i64>()),
        ) {
            let digest = digest
                .filter(|_| !matches!(txn, Txn::Error(_)))
                .map(|tree_digest| TxnDigest { version: DIGEST_VERSION, tree_digest });
            round_trip(txn, digest);
        }

        #[test]
        fn any_bytes_decode_without_panic(kind in -12..25i32, tail in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = Vec::new();
            TxnHeader { kind, ..header(OpCode::Error) }.encode(&mut bytes);
            bytes.extend(tail);
            let _ = Record::decode(&bytes.into());
        }
    }
}
