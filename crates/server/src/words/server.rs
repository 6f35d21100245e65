//! `srvr`, `stat` and `cons`: the server in short, and its connections.

use super::{
    page::{Page, Peer},
    report::{ConnectionEntry, Report, SessionEntry},
    role::Role,
};
use crate::metrics::Sizes;

/// `srvr`.
pub(super) fn summary(page: &mut Page, report: &Report) {
    version(page, report);
    numbers(page, report);
}

/// `stat`.
pub(super) fn summary_with_clients(page: &mut Page, report: &Report) {
    version(page, report);
    page.line(format_args!("Clients:"));
    for connection in &report.connections {
        counts(page, connection);
        page.line(format_args!(")"));
    }
    page.line(format_args!(""));
    numbers(page, report);
}

/// `cons`.
pub(super) fn connections(page: &mut Page, report: &Report) {
    for connection in &report.connections {
        counts(page, connection);
        if let Some(session) = &connection.session {
            history(page, session);
        }
        page.line(format_args!(")"));
    }
    page.line(format_args!(""));
}

fn version(page: &mut Page, report: &Report) {
    page.line(format_args!("Zookeeper version: {}", report.version));
}

fn numbers(page: &mut Page, report: &Report) {
    let server = &report.server;
    let latency = server.packets.latency;
    if report.role == Role::ReadOnly {
        page.line(format_args!(
            "READ-ONLY mode; serving only read-only clients"
        ));
    }
    page.line(format_args!(
        "Latency min/avg/max: {}/{:?}/{}",
        latency.min(),
        latency.average(),
        latency.max()
    ));
    page.line(format_args!("Received: {}", server.packets.received));
    page.line(format_args!("Sent: {}", server.packets.sent));
    page.line(format_args!("Connections: {}", server.connections));
    page.line(format_args!("Outstanding: {}", server.packets.outstanding));
    page.line(format_args!("Zxid: 0x{:x}", server.zxid));
    page.line(format_args!("Mode: {}", report.role.name()));
    page.line(format_args!("Node count: {}", server.node_count));
    if matches!(report.role, Role::Leading(_)) {
        proposals(page, server.proposals);
    }
}

fn proposals(page: &mut Page, sizes: Option<Sizes>) {
    match sizes {
        Some(Sizes { last, min, max }) => page.line(format_args!(
            "Proposal sizes last/min/max: {last}/{min}/{max}"
        )),
        None => page.line(format_args!("Proposal sizes last/min/max: -1/-1/-1")),
    }
}

/// The part of a connection that `stat` and `cons` share, without the closing parenthesis.
fn counts(page: &mut Page, connection: &ConnectionEntry) {
    page.put(format_args!(
        " {}[{:x}](queued={},recved={},sent={}",
        Peer(connection.peer),
        connection.interest.bits(),
        connection.queued,
        connection.received,
        connection.sent
    ));
}

fn history(page: &mut Page, session: &SessionEntry) {
    page.put(format_args!(
        ",sid=0x{:x},lop={},est={},to={}",
        session.id, session.last_operation, session.established_ms, session.timeout_ms
    ));
    if let Some(cxid) = session.last_cxid {
        page.put(format_args!(",lcxid=0x{cxid:x}"));
    }
    page.put(format_args!(
        ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
        session.last_zxid,
        session.last_response_ms,
        session.last_latency_ms,
        session.latency.min(),
        session.latency.average_floor(),
        session.latency.max()
    ));
}
