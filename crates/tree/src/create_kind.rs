//! What kind of znode a create makes: the checks of operation, flags and TTL (client protocol 2.4, 4.2, 4.9).
//!
//! Nothing here looks at the tree; that is [`crate::prep`], which calls this first.

use rookeeper_proto::code::{CreateMode, ErrorCode, MAX_TTL_MS, OpCode, Owner};
use rookeeper_proto::ids::SessionId;
use rookeeper_proto::request::Create;
use rookeeper_proto::txn::CreateKind;

use crate::prep::{Judged, ReplyShape};

/// A create whose flags have been judged.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) mode: CreateMode,
    pub(crate) owner: Owner,
    pub(crate) txn: CreateKind,
    pub(crate) shape: ReplyShape,
}

/// Who creates, and whether TTLs exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maker {
    pub(crate) extended_types: bool,
    pub(crate) session: SessionId,
}

impl Maker {
    /// The flag checks of a create outside a multi, where the operation decides the kind.
    pub(crate) fn alone(self, create: &Create) -> Judged<Kind> {
        let mode = CreateMode::from_i32(create.flags).ok_or(ErrorCode::BadArguments)?;
        if mode.is_ttl() && !self.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        if mode.is_ttl() != (create.op == OpCode::CreateTtl) {
            return Err(ErrorCode::BadArguments);
        }
        let container = create.op == OpCode::CreateContainer;
        self.kind(create, mode, container, create.op == OpCode::Create2)
    }

    /// The same inside a multi, where the flags decide (client protocol 2.4). A flag that does not go with its operation makes the
    /// whole multi undecodable.
    pub(crate) fn in_multi(self, create: &Create) -> Judged<Kind> {
        let ttl_op = create.op == OpCode::CreateTtl;
        let mode = CreateMode::from_i32(create.flags).ok_or(if ttl_op {
            ErrorCode::BadArguments
        } else {
            ErrorCode::MarshallingError
        })?;
        if mode.is_ttl() && !ttl_op {
            return Err(ErrorCode::MarshallingError);
        }
        if mode.is_ttl() && !self.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        let container = create.op == OpCode::CreateContainer || mode == CreateMode::Container;
        // 3.8 cannot read type 15 inside a multi, so it is logged as type 1; the reply still has the stat.
        let mut kind = self.kind(create, mode, container, false)?;
        if create.op == OpCode::Create2 {
            kind.shape = ReplyShape::PathAndStat;
        }
        Ok(kind)
    }

    fn kind(self, create: &Create, mode: CreateMode, container: bool, stat: bool) -> Judged<Kind> {
        let ephemeral = mode.is_ephemeral();
        let (owner, txn) = if container {
            (Owner::Container, CreateKind::Container)
        } else if mode.is_ttl() {
            if !(1..=MAX_TTL_MS).contains(&create.ttl) {
                return Err(ErrorCode::BadArguments);
            }
            (Owner::Ttl(create.ttl), CreateKind::Ttl { ttl: create.ttl })
        } else {
            let owner = if ephemeral {
                Owner::Session(self.session)
            } else {
                Owner::None
            };
            let plain = CreateKind::Plain { ephemeral };
            (
                owner,
                if stat {
                    CreateKind::WithStat { ephemeral }
                } else {
                    plain
                },
            )
        };
        let shape = match txn {
            CreateKind::Plain { .. } => ReplyShape::Path,
            _ => ReplyShape::PathAndStat,
        };
        Ok(Kind {
            mode,
            owner,
            txn,
            shape,
        })
    }
}
