//! `dump`, `hash` and the watches: the server's state in lists.

use super::{
    page::{Date, Page, Peer},
    report::{Bucket, Report},
};

/// `dump`.
pub(super) fn sessions(page: &mut Page, report: &Report) {
    let part = &report.sessions;
    page.line(format_args!("SessionTracker dump:"));
    if report.role.is_learner() {
        global_sessions(page, &part.global);
    } else {
        buckets(page, "Session Sets", &part.buckets, |page, session| {
            page.line(format_args!("\t0x{session:x}"));
        });
    }
    page.line(format_args!("ephemeral nodes dump:"));
    page.line(format_args!(
        "Sessions with Ephemerals ({}):",
        part.ephemerals.len()
    ));
    for (session, paths) in &part.ephemerals {
        page.line(format_args!("0x{session:x}:"));
        for path in paths {
            page.line(format_args!("\t{path}"));
        }
    }
    page.line(format_args!("Connections dump:"));
    buckets(
        page,
        "Connections Sets",
        &part.connections,
        |page, &(peer, session)| {
            page.line(format_args!(
                "\tip: {} sessionId: 0x{:x}",
                Peer(peer),
                session.unwrap_or(0)
            ));
        },
    );
}

fn global_sessions(page: &mut Page, sessions: &[(i64, u64)]) {
    page.line(format_args!("Global Sessions({}):", sessions.len()));
    for (session, timeout) in sessions {
        page.line(format_args!("0x{session:x}\t{timeout}ms"));
    }
}

fn buckets<T>(page: &mut Page, title: &str, buckets: &[Bucket<T>], show: impl Fn(&mut Page, &T)) {
    let members: usize = buckets.iter().map(|bucket| bucket.members.len()).sum();
    page.line(format_args!("{title} ({})/({members}):", buckets.len()));
    for bucket in buckets {
        page.line(format_args!(
            "{} expire at {}:",
            bucket.members.len(),
            Date(bucket.ends_ms)
        ));
        for member in &bucket.members {
            show(page, member);
        }
    }
}

/// `hash`.
pub(super) fn digests(page: &mut Page, report: &Report) {
    for (zxid, digest) in &report.digests {
        page.line(format_args!("{zxid:x}: {digest}"));
    }
}

/// `wchs`.
pub(super) fn watch_summary(page: &mut Page, report: &Report) {
    let watches = report.watch_summary;
    page.line(format_args!(
        "{} connections watching {} paths",
        watches.connections, watches.paths
    ));
    page.line(format_args!("Total watches:{}", watches.watches));
}

/// `wchc`.
pub(super) fn watches_by_session(page: &mut Page, report: &Report) {
    for (session, paths) in &report.watches_by_session {
        page.line(format_args!("0x{session:x}"));
        for path in paths {
            page.line(format_args!("\t{path}"));
        }
    }
    page.line(format_args!(""));
}

/// `wchp`.
pub(super) fn watches_by_path(page: &mut Page, report: &Report) {
    for (path, sessions) in &report.watches_by_path {
        page.line(format_args!("{path}"));
        for session in sessions {
            page.line(format_args!("\t0x{session:x}"));
        }
    }
    page.line(format_args!(""));
}
