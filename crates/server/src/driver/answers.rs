//! What the driver puts into the mailboxes of connections: events and replies in the order of their transactions, and what clients
//! are told besides.

use std::sync::Arc;

use rookeeper_node::delivery::{self, Deliveries, Delivery};
use rookeeper_node::effect::CloseReason;
use rookeeper_node::input::{ConnId, ReadBehind, ReplyTo};
use rookeeper_node::reads::View;
use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::response::{self, ConnectResponse};

use super::Driver;
use crate::connections::Open;
use crate::mailbox::{Ending, Mailbox};

impl Driver {
    /// Copies frames to mailboxes. The caller holds the write guard.
    pub(super) fn deliver(&self, deliveries: &Deliveries, touched: &mut Vec<Arc<Mailbox>>) {
        let open = self.connections.open();
        let frame_of = |range: &std::ops::Range<usize>| {
            deliveries.bytes.get(range.clone()).unwrap_or_default()
        };
        for delivery in &deliveries.list {
            match delivery {
                Delivery::Reply {
                    frames,
                    count,
                    conn,
                    zxid,
                } => {
                    let Some(to) = open.get(conn) else { continue };
                    to.mailbox.answer(frame_of(frames), *count, *zxid);
                    touch(touched, &to.mailbox);
                }
                Delivery::Event {
                    frame,
                    watchers,
                    readers,
                } => {
                    for watcher in watchers {
                        let Some(to) = open.get(&ConnId(watcher.0)) else {
                            continue;
                        };
                        let hears = readers.is_none() || {
                            let who = to.mailbox.identities();
                            delivery::may_hear(&self.replica.auth, readers.as_deref(), &who)
                        };
                        if hears {
                            to.mailbox.put(frame_of(frame));
                            touch(touched, &to.mailbox);
                        }
                    }
                }
            }
        }
    }

    fn mailbox(&self, conn: ConnId) -> Option<Arc<Mailbox>> {
        mailbox_in(&self.connections.open(), conn)
    }

    pub(super) fn answer_connect(
        &self,
        conn: ConnId,
        response: ConnectResponse,
        read_only: Option<bool>,
        touched: &mut Vec<Arc<Mailbox>>,
    ) {
        let Some(mailbox) = self.mailbox(conn) else {
            return;
        };
        let mut frame = Vec::new();
        response.encode(read_only, &mut frame);
        let session = match response {
            ConnectResponse::Accepted {
                session,
                timeout_ms,
            } => Some((session, timeout_ms)),
            ConnectResponse::Refused => None,
        };
        mailbox.connected(&frame, session);
        touch(touched, &mailbox);
    }

    pub(super) fn refuse(
        &self,
        to: &ReplyTo,
        session: SessionId,
        (zxid, code): (Zxid, ErrorCode),
        touched: &mut Vec<Arc<Mailbox>>,
    ) {
        let Some(mailbox) = self.mailbox(to.conn) else {
            return;
        };
        let mut frames = Vec::new();
        response::reply_header(&mut frames, to.xid, zxid, code);
        let tree = self.replica.tree.read();
        let view = View {
            tree: &tree,
            watches: &self.replica.watches,
            auth: &self.replica.auth,
        };
        delivery::serve_reads(&view, (session, to.conn), &to.behind, &mut frames);
        mailbox.answer(&frames, 1 + to.behind.len(), zxid);
        touch(touched, &mailbox);
    }

    pub(super) fn answer(
        &self,
        conn: ConnId,
        session: SessionId,
        reads: &[ReadBehind],
        touched: &mut Vec<Arc<Mailbox>>,
    ) {
        let Some(mailbox) = self.mailbox(conn) else {
            return;
        };
        let tree = self.replica.tree.read();
        let view = View {
            tree: &tree,
            watches: &self.replica.watches,
            auth: &self.replica.auth,
        };
        let mut frames = Vec::new();
        delivery::serve_reads(&view, (session, conn), reads, &mut frames);
        mailbox.answer(&frames, reads.len(), tree.last_zxid());
        touch(touched, &mailbox);
    }

    pub(super) fn close(&self, conn: ConnId, why: CloseReason) {
        if let Some(mailbox) = self.mailbox(conn) {
            mailbox.end(Ending::Member(why));
        }
    }
}

fn mailbox_in(open: &Open, conn: ConnId) -> Option<Arc<Mailbox>> {
    open.get(&conn)
        .map(|connection| Arc::clone(&connection.mailbox))
}

/// Notes a mailbox to be woken after the batch; the same one often comes several times in a row.
fn touch(touched: &mut Vec<Arc<Mailbox>>, mailbox: &Arc<Mailbox>) {
    if !touched
        .last()
        .is_some_and(|last| Arc::ptr_eq(last, mailbox))
    {
        touched.push(Arc::clone(mailbox));
    }
}
