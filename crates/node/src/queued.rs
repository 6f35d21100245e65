//! A request of one client whose turn has not come, and what its operation says about its way.
//!
//! Which operations a client may ask for, which the member orders, which may travel with a write. The turns themselves are
//! [`crate::conversation`]'s.

use std::sync::Arc;

use bytes::Bytes;
use rookeeper_proto::code::{ErrorCode, OpCode};
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Reader as Fields;
use rookeeper_proto::request::RequestHeader;
use rookeeper_tree::auth::Identities;

use crate::conversation::Fault;

/// A request whose turn has not come.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) header: RequestHeader,
    pub(crate) what: What,
    /// The member orders it.
    pub(crate) ordered: bool,
    /// Of the body as it came.
    pub(crate) bytes: usize,
    pub(crate) at: i64,
    /// `None`: those of the connection now.
    pub(crate) identities: Option<Arc<Identities>>,
}

#[derive(Debug)]
pub(crate) enum What {
    Body(Bytes),
    /// An answer that is ready, with the zxid of its header (`None`: the last one applied) and the fault that follows.
    Refusal {
        code: ErrorCode,
        zxid: Option<Zxid>,
        then: Option<Fault>,
    },
}

impl Queued {
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered
    }

    pub(crate) fn is_answered_here(&self) -> bool {
        !self.is_ordered()
    }

    /// The path of a read that looks at one znode.
    pub(crate) fn path_of_read(&self) -> Option<&str> {
        let What::Body(body) = &self.what else {
            return None;
        };
        match OpCode::from_i32(self.header.op)? {
            OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
                std::str::from_utf8(Fields::new(body).buffer().ok()??).ok()
            }
            _ => None,
        }
    }

    /// True for reads whose answer is no larger than a znode: lists of children or watches take their time here, not where writes
    /// of everybody are committed.
    pub(crate) fn may_travel(&self) -> bool {
        let small = matches!(
            OpCode::from_i32(self.header.op),
            Some(OpCode::Exists | OpCode::GetData | OpCode::Ping | OpCode::Sync)
        );
        small && !self.ordered && matches!(self.what, What::Body(_))
    }
}

/// The operations that every member orders; everything else is answered by the connection that asked.
pub(crate) fn is_ordered(op: i32) -> bool {
    matches!(
        OpCode::from_i32(op),
        Some(
            OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::Delete
                | OpCode::SetData
                | OpCode::SetAcl
                | OpCode::Multi
                | OpCode::Reconfig
                | OpCode::CloseSession
        )
    )
}

/// The operations a client may ask for.
pub(crate) const fn is_served(op: OpCode) -> bool {
    !matches!(
        op,
        OpCode::Notification
            | OpCode::Check
            | OpCode::DeleteContainer
            | OpCode::CreateSession
            | OpCode::Error
    )
}
