//! A committed transaction reaches the tree, and what follows from it reaches clients: events first, then the reply.
//!
//! Frames are encoded once, however many watchers there are; the driver copies them to the connections named here.

use std::cell::{RefCell, RefMut};
use std::ops::{DerefMut, Range};
use std::sync::Arc;

use rookeeper_proto::acl::{Acl, perms};
use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::multi::{self, MultiHeader, OpResult};
use rookeeper_proto::response;
use rookeeper_proto::stat::Stat;
use rookeeper_proto::txn::Txn;
use rookeeper_tree::acl;
use rookeeper_tree::apply::{ChangeKind, Outcome};
use rookeeper_tree::auth::{AuthConfig, Identities};
use rookeeper_tree::prep::ReplyShape;
use rookeeper_tree::tree::Tree;
use rookeeper_tree::watches::{AclOf, Change, WatchTable, WatcherId};

use crate::effect::Committed;
use crate::input::{ConnId, ReadBehind};
use crate::reads::{self, View, WatchGate};

/// One frame and who gets it.
#[derive(Debug)]
pub enum Delivery {
    /// A watch event.
    Event {
        /// Where in [`Deliveries::bytes`].
        frame: Range<usize>,
        /// Everybody who watched.
        watchers: Vec<WatcherId>,
        /// Who may know; `None` is everybody.
        readers: Option<Arc<[Acl]>>,
    },
    /// The reply to a write, and to the reads behind it.
    Reply {
        /// Where in [`Deliveries::bytes`].
        frames: Range<usize>,
        /// How many they are.
        count: usize,
        /// Whom.
        conn: ConnId,
        /// The place of the write.
        zxid: Zxid,
    },
}

/// Frames in the order in which they must be queued.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// All frames.
    pub bytes: Vec<u8>,
    /// Who gets which.
    pub list: Vec<Delivery>,
}

impl Deliveries {
    /// Forgets everything; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }
}

/// True when a connection with these identities may hear of an event that `readers` guards (client protocol 5.2).
#[must_use]
pub fn may_hear(auth: &AuthConfig, readers: Option<&[Acl]>, identities: &Identities) -> bool {
    readers.is_none_or(|acl| acl::permits(auth, acl, perms::READ, identities))
}

/// Applies one committed transaction and adds its frames to `out`. Returns false when the tree's digest is not what the
/// transaction promised.
pub fn commit(
    committed: &Committed,
    tree: &mut Tree,
    watches: &mut WatchTable,
    auth: &AuthConfig,
    out: &mut Deliveries,
) -> bool {
    let header = &committed.header;
    let txn = &committed.prepared.txn;
    let mut changes = Vec::new();
    let outcome = tree.apply(header, txn, &mut changes);
    for change in &changes {
        let watched = match change.kind {
            ChangeKind::Created => Change::Created(&change.path),
            ChangeKind::Deleted => Change::Deleted(&change.path),
            ChangeKind::DataChanged => Change::DataChanged(&change.path),
        };
        for firing in watches.fire(watched) {
            let readers = match firing.acl_of {
                AclOf::Node => change.acl.clone(),
                AclOf::Parent => change.parent_acl.clone(),
            };
            let start = out.bytes.len();
            response::event(&mut out.bytes, header.zxid, firing.kind, firing.path);
            let frame = start..out.bytes.len();
            out.list.push(Delivery::Event {
                frame,
                watchers: firing.watchers,
                readers,
            });
        }
    }
    if let Some(to) = &committed.reply_to {
        let start = out.bytes.len();
        let code = match &outcome {
            Outcome::Failed(code) => ErrorCode::from_i32(*code).unwrap_or(ErrorCode::SystemError),
            _ => ErrorCode::Ok,
        };
        response::reply(&mut out.bytes, to.xid, header.zxid, code, |out| {
            encode_body(&committed.prepared.shape, txn, &outcome, out);
        });
        if !to.behind.is_empty() {
            let watches = Held(RefCell::new(watches));
            let view = View {
                tree,
                watches: &watches,
                auth,
            };
            serve_reads(&view, (header.session, to.conn), &to.behind, &mut out.bytes);
        }
        out.list.push(Delivery::Reply {
            frames: start..out.bytes.len(),
            count: 1 + to.behind.len(),
            conn: to.conn,
            zxid: header.zxid,
        });
    }
    committed
        .digest()
        .is_none_or(|digest| digest.tree_digest == tree.digest())
}

/// Serves reads of one client whose turn came with something that the member ordered: appends their replies to `out`.
pub fn serve_reads<W: WatchGate>(
    view: &View<'_, W>,
    (session, conn): (SessionId, ConnId),
    reads: &[ReadBehind],
    out: &mut Vec<u8>,
) {
    for read in reads {
        let reader = reads::Reader {
            watcher: WatcherId(conn.0),
            session,
            identities: &read.identities,
        };
        reads::answer(view, reader, read.header, &read.body, out);
    }
}

/// The table of watches in the hands of who commits.
struct Held<'a>(RefCell<&'a mut WatchTable>);

impl WatchGate for Held<'_> {
    fn open(&self) -> impl DerefMut<Target = WatchTable> {
        RefMut::map(self.0.borrow_mut(), |table| &mut **table)
    }
}

fn encode_body(shape: &ReplyShape, txn: &Txn, outcome: &Outcome, out: &mut Vec<u8>) {
    match (shape, txn, outcome) {
        (ReplyShape::Path, Txn::Create(create), Outcome::Stat(_)) => out.put_string(&create.path),
        (ReplyShape::PathAndStat, Txn::Create(create), Outcome::Stat(stat)) => {
            out.put_string(&create.path);
            stat.encode(out);
        }
        (ReplyShape::Stat, _, Outcome::Stat(stat)) => stat.encode(out),
        (ReplyShape::Multi(shapes), Txn::Multi(parts), Outcome::Multi(outcomes)) => {
            encode_results(shapes, parts, outcomes, out);
        }
        _ => {}
    }
}

fn encode_results(shapes: &[ReplyShape], parts: &[Txn], outcomes: &[Outcome], out: &mut Vec<u8>) {
    let failed = parts.iter().any(|part| matches!(part, Txn::Error(_)));
    for (at, (part, outcome)) in parts.iter().zip(outcomes).enumerate() {
        match outcome {
            Outcome::Failed(code) if failed || *code != 0 => {
                multi::encode_failure(
                    ErrorCode::from_i32(*code).unwrap_or(ErrorCode::SystemError),
                    out,
                );
            }
            outcome => result(shapes.get(at), part, outcome).encode(out),
        }
    }
    MultiHeader::END.encode(out);
}

fn result(shape: Option<&ReplyShape>, part: &Txn, outcome: &Outcome) -> OpResult {
    let stat = match outcome {
        Outcome::Stat(stat) => *stat,
        _ => Stat::default(),
    };
    match (part, shape) {
        (Txn::Create(create), Some(ReplyShape::Path)) => OpResult::Created(create.path.clone()),
        (Txn::Create(create), _) => OpResult::Created2(create.path.clone(), stat),
        (Txn::SetData(_), _) => OpResult::Set(stat),
        (Txn::Delete(_), _) => OpResult::Deleted,
        _ => OpResult::Checked,
    }
}
