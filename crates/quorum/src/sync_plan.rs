//! How a learner gets the leader's history: what it lacks (DIFF), after forgetting what it has too much (TRUNC), or everything (SNAP)
//! (quorum protocol 3.5).
//!
//! What lives here: the choice, as a function of where the learner is and what the leader has. What does not: sending, reading
//! logs, and what happens meanwhile.
//!
//! Invariants:
//! - After the plan the learner's history is the leader's, without a hole: whenever that is not certain, the choice is SNAP.
//! - A TRUNC never crosses an epoch inside the history, and never names what the leader does not have as a record.

use rookeeper_proto::ids::Zxid;

use crate::committed::CommittedWindow;

/// What the leader's log on the disk says about a learner's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogAround {
    /// The last record at or before the position.
    pub at_or_before: Zxid,
    /// The first record behind it.
    pub behind: Option<Zxid>,
    /// The last record that follows from there without a hole; it may be beyond what is asked for.
    pub unbroken_to: Zxid,
    /// True when reading it costs less than a snapshot.
    pub is_cheap: bool,
}

/// The first packet, which decides what the learner does with what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Keep everything. The number is for people.
    Diff(Zxid),
    /// Forget what is behind this.
    Trunc(Zxid),
    /// Forget everything.
    Snap,
}

/// Records of the log on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// Begins behind this.
    pub after: Zxid,
    /// Ends with this.
    pub through: Zxid,
}

/// What to send, in this order: the opening, records of the log, and what the window has behind `covered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncPlan {
    /// The first packet.
    pub opening: Opening,
    /// Then this from the disk.
    pub log: Option<LogRange>,
    /// Everything up to here is with the learner then.
    pub covered: Zxid,
}

/// What is known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is certain.
    Plan(SyncPlan),
    /// The window begins too late, or has no record to end with: ask the log, then [`with_log`].
    AskLog,
}

/// Chooses for a learner whose log ends at `peer`. `force_snapshot` is for operators who trust nothing else.
#[must_use]
pub fn choose(peer: Zxid, window: &CommittedWindow, force_snapshot: bool) -> Choice {
    let last = window.last();
    let plan = |opening, covered| {
        let log = None;
        Choice::Plan(SyncPlan {
            opening,
            log,
            covered,
        })
    };
    if force_snapshot {
        return plan(Opening::Snap, last);
    }
    // The last transaction of the state may be followed by the beginning of an epoch, which is none. Who says zero has nothing, or
    // wants everything.
    let has_all = peer == window.newest() && peer != Zxid::ZERO;
    if peer == last || has_all {
        return plan(Opening::Diff(peer), peer);
    }
    if peer > window.newest() && !begins_epoch(peer) {
        // The end of a received state is no record, here or at the peer, and a Java peer that is told to end there keeps the next one.
        return match window.is_empty() {
            true => Choice::AskLog,
            false => plan(Opening::Trunc(window.newest()), window.newest()),
        };
    }
    if peer < window.oldest() {
        return Choice::AskLog;
    }
    // The beginning of an epoch that this leader has never heard of: nobody knows what is before it.
    if window.is_empty() || peer > window.newest() {
        return plan(Opening::Snap, last);
    }
    let behind = window.after(peer).next().map(|entry| entry.zxid);
    let opening = open(peer, window.at_or_before(peer), behind, window.newest());
    plan(opening, covered(opening, peer, last))
}

/// Chooses for a learner whose log ends before the window, or behind an empty one, by what the log on the disk says; `None` when there
/// is none.
#[must_use]
pub fn with_log(peer: Zxid, window: &CommittedWindow, log: Option<LogAround>) -> SyncPlan {
    let snap = SyncPlan {
        opening: Opening::Snap,
        log: None,
        covered: window.last(),
    };
    let Some(log) = log.filter(|log| log.is_cheap && log.at_or_before <= peer) else {
        return snap;
    };
    let newest = window.newest();
    if peer > newest && log.at_or_before == newest {
        return SyncPlan {
            opening: Opening::Trunc(newest),
            log: None,
            covered: newest,
        };
    }
    let oldest = window.oldest();
    // An empty window is the state itself: then the log must have all of it.
    let meets =
        log.unbroken_to >= oldest || (!window.is_empty() && oldest.follows(log.unbroken_to));
    let opening = open(peer, Some(log.at_or_before), log.behind, window.newest());
    // Without a record behind the position there is nothing that could be unbroken.
    if !meets || log.behind.is_none() || opening == Opening::Snap {
        return snap;
    }
    let through = log.unbroken_to.min(oldest);
    let after = covered(opening, peer, window.last());
    SyncPlan {
        opening,
        log: Some(LogRange { after, through }),
        covered: through,
    }
}

/// The opening for a position inside of the history: `before` is the last transaction at or before it, `behind` the next.
fn open(peer: Zxid, before: Option<Zxid>, behind: Option<Zxid>, newest: Zxid) -> Opening {
    match (before, behind) {
        (Some(before), _) if before == peer => Opening::Diff(newest),
        (_, Some(_)) if begins_epoch(peer) => Opening::Diff(newest),
        // The learner has one of the same epoch that the leader never had: forget it, and go on from the one before.
        (Some(before), Some(behind)) if behind.epoch() == peer.epoch() => Opening::Trunc(before),
        _ => Opening::Snap,
    }
}

const fn covered(opening: Opening, peer: Zxid, last: Zxid) -> Zxid {
    match opening {
        Opening::Diff(_) => peer,
        Opening::Trunc(zxid) => zxid,
        Opening::Snap => last,
    }
}

/// True for a learner that has taken over the history of an epoch, and nothing of the epoch itself: no transaction has counter 0.
const fn begins_epoch(zxid: Zxid) -> bool {
    zxid.counter() == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::Entry;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn z(epoch: u32, counter: u32) -> Zxid {
        Zxid::new(epoch, counter)
    }

    fn window(before: Zxid, zxids: &[Zxid]) -> CommittedWindow {
        let mut window = CommittedWindow::new(before, 500);
        for zxid in zxids {
            let (zxid, txn) = (*zxid, Bytes::new());
            window.push(Entry { zxid, txn }).unwrap();
        }
        window
    }

    fn planned(peer: Zxid, window: &CommittedWindow) -> (Opening, Zxid) {
        match choose(peer, window, false) {
            Choice::Plan(plan) => {
                assert_eq!(plan.log, None);
                (plan.opening, plan.covered)
            }
            Choice::AskLog => panic!("{peer} is in the window"),
        }
    }

    /// As a Java leader with the history 100000001 to 100000006 was seen to choose.
    #[test]
    fn choices_as_seen_from_java() {
        let history = [1, 2, 3, 4, 5, 6].map(|counter| z(1, counter));
        let window = window(z(1, 0), &history);
        assert_eq!(planned(z(1, 3), &window), (Opening::Diff(z(1, 6)), z(1, 3)));
        assert_eq!(planned(z(1, 6), &window), (Opening::Diff(z(1, 6)), z(1, 6)));
        assert_eq!(
            planned(z(1, 0x50), &window),
            (Opening::Trunc(z(1, 6)), z(1, 6))
        );
        for peer in [z(1, 0), Zxid::ZERO] {
            assert_eq!(choose(peer, &window, false), Choice::AskLog);
            assert_eq!(with_log(peer, &window, None).opening, Opening::Snap);
        }
    }

    /// A learner with one transaction that the leader never had, in the middle of the window (also ZOOKEEPER-1156).
    #[test]
    fn zookeeper_1154_a_dead_transaction_is_cut_off_exactly() {
        let window = window(z(1, 1), &[z(1, 2), z(1, 3), z(2, 1), z(2, 2)]);
        assert_eq!(planned(z(1, 3), &window), (Opening::Diff(z(2, 2)), z(1, 3)));
        // Behind 1.3 there is another epoch: a TRUNC would cross it.
        assert_eq!(planned(z(1, 4), &window).0, Opening::Snap);
        assert_eq!(
            planned(z(2, 9), &window),
            (Opening::Trunc(z(2, 2)), z(2, 2))
        );
    }

    #[test]
    fn the_beginning_of_an_epoch_is_no_transaction() {
        let one = window(z(1, 1), &[z(1, 2), z(2, 1), z(2, 2)]);
        assert_eq!(planned(z(2, 0), &one), (Opening::Diff(z(2, 2)), z(2, 0)));
        assert_eq!(planned(z(3, 0), &one).0, Opening::Snap);
        let mut led = window(z(1, 1), &[z(1, 2)]);
        led.begin_epoch(z(2, 0));
        assert_eq!(planned(z(2, 0), &led), (Opening::Diff(z(2, 0)), z(2, 0)));
        assert_eq!(planned(z(1, 2), &led), (Opening::Diff(z(1, 2)), z(1, 2)));
        let mut empty = window(z(1, 2), &[]);
        empty.begin_epoch(z(2, 0));
        assert_eq!(planned(z(1, 2), &empty), (Opening::Diff(z(1, 2)), z(1, 2)));
        let mut nothing = window(Zxid::ZERO, &[]);
        assert_eq!(
            planned(Zxid::ZERO, &nothing),
            (Opening::Diff(Zxid::ZERO), Zxid::ZERO)
        );
        nothing.begin_epoch(z(1, 0));
        assert_eq!(planned(Zxid::ZERO, &nothing).0, Opening::Snap);
    }

    /// A leader that received its state knows the end of that as no record, and so may the peer. A Java peer keeps the record behind a
    /// place where it has none: what was never committed would live on.
    #[test]
    fn a_trunc_ends_with_a_record() {
        for end in [z(2, 0), z(2, 5)] {
            let mut received = window(end, &[]);
            received.begin_epoch(z(3, 0));
            let peer = end.next();
            assert_eq!(choose(peer, &received, false), Choice::AskLog);
            let plan = |log| with_log(peer, &received, log);
            assert_eq!(plan(None).opening, Opening::Snap);
            let before = around(z(1, 9), None, z(1, 9));
            assert_eq!(plan(Some(before)).opening, Opening::Snap);
        }
        let snapped = window(z(2, 5), &[]);
        let plan = with_log(z(2, 6), &snapped, Some(around(z(2, 5), None, z(2, 5))));
        assert_eq!(plan.opening, Opening::Trunc(z(2, 5)));
        assert_eq!((plan.log, plan.covered), (None, z(2, 5)));
        // Proposed meanwhile by this leader, and not committed: that is no end.
        let meanwhile = Some(around(z(2, 6), None, z(2, 6)));
        assert_eq!(
            with_log(z(2, 6), &snapped, meanwhile).opening,
            Opening::Snap
        );
    }

    #[test]
    fn snapshots_can_be_forced() {
        let window = window(z(1, 0), &[z(1, 1)]);
        let Choice::Plan(plan) = choose(z(1, 1), &window, true) else {
            panic!("nothing to ask");
        };
        assert_eq!((plan.opening, plan.covered), (Opening::Snap, z(1, 1)));
    }

    fn around(at: Zxid, behind: Option<Zxid>, unbroken_to: Zxid) -> LogAround {
        LogAround {
            at_or_before: at,
            behind,
            unbroken_to,
            is_cheap: true,
        }
    }

    /// ZOOKEEPER-2418: where log and window do not meet, or the log has a hole, nothing is skipped.
    #[test]
    fn zookeeper_2418_the_seam_of_log_and_window() {
        let window = window(z(1, 5), &[z(1, 6), z(1, 7)]);
        let plan = |log| with_log(z(1, 2), &window, Some(log));
        let whole = plan(around(z(1, 2), Some(z(1, 3)), z(1, 7)));
        let range = |after, through| Some(LogRange { after, through });
        assert_eq!(whole.opening, Opening::Diff(z(1, 7)));
        assert_eq!(
            (whole.log, whole.covered),
            (range(z(1, 2), z(1, 6)), z(1, 6))
        );
        let touching = plan(around(z(1, 2), Some(z(1, 3)), z(1, 5)));
        assert_eq!(
            (touching.log, touching.covered),
            (range(z(1, 2), z(1, 5)), z(1, 5))
        );
        let hole = plan(around(z(1, 2), Some(z(1, 3)), z(1, 4)));
        assert_eq!(hole.opening, Opening::Snap);
        let cut = plan(around(z(1, 1), Some(z(1, 3)), z(1, 7)));
        assert_eq!(
            (cut.opening, cut.log),
            (Opening::Trunc(z(1, 1)), range(z(1, 1), z(1, 6)))
        );
        let dear = LogAround {
            is_cheap: false,
            ..around(z(1, 2), Some(z(1, 3)), z(1, 7))
        };
        assert_eq!(plan(dear).opening, Opening::Snap);
        assert_eq!(
            plan(around(z(1, 3), Some(z(1, 4)), z(1, 7))).opening,
            Opening::Snap
        );
        assert_eq!(plan(around(z(1, 2), None, z(1, 7))).opening, Opening::Snap);
    }

    #[test]
    fn an_empty_window_needs_the_whole_log() {
        let window = CommittedWindow::new(z(1, 5), 500);
        let plan = |to| with_log(z(1, 2), &window, Some(around(z(1, 2), Some(z(1, 3)), to)));
        assert_eq!(plan(z(1, 4)).opening, Opening::Snap);
        let whole = plan(z(1, 5));
        assert_eq!(
            (whole.opening, whole.covered),
            (Opening::Diff(z(1, 5)), z(1, 5))
        );
    }

    /// A history of some epochs, each unbroken.
    fn histories() -> impl Strategy<Value = Vec<Zxid>> {
        prop::collection::vec(0..5u32, 1..5).prop_map(|lengths| {
            let epochs = (1u32..).zip(lengths);
            epochs
                .flat_map(|(epoch, len)| (1..=len).map(move |counter| z(epoch, counter)))
                .collect()
        })
    }

    fn looked_up(history: &[Zxid], peer: Zxid) -> Option<LogAround> {
        let at_or_before = history.iter().rev().find(|zxid| **zxid <= peer)?;
        let behind = history.iter().find(|zxid| **zxid > peer).copied();
        Some(around(*at_or_before, behind, *history.last()?))
    }

    proptest! {
        /// A learner whose history left that of the leader at some point does what it is told, and has the leader's history.
        #[test]
        fn after_the_plan_both_have_one_history(
            history in histories(),
            kept in 0..20usize,
            shared in 0..20usize,
            own in 0..4u32,
            own_epoch in any::<bool>(),
        ) {
            let in_window = history.len() - kept.min(history.len());
            let before = in_window.checked_sub(1).map_or(Zxid::ZERO, |i| history[i]);
            let window = window(before, &history[in_window..]);
            let mut peer = history[..shared.min(history.len())].to_vec();
            // Proposals of a leader that lost: of the same epoch, or of one that the leader of now never heard of.
            let end = peer.last().copied().unwrap_or(Zxid::ZERO);
            let next = history.get(peer.len()).map_or(u32::MAX, |zxid| zxid.epoch() as u32);
            let (epoch, first) = match own_epoch {
                false => (end.epoch() as u32, end.counter() + 1),
                true => (end.epoch() as u32 + 1, 1),
            };
            // Two leaders never give the same zxid to different transactions.
            if epoch < next && epoch > 0 {
                peer.extend((first..first + own).map(|counter| z(epoch, counter)));
            }
            let at = peer.last().copied().unwrap_or(Zxid::ZERO);
            let plan = match choose(at, &window, false) {
                Choice::Plan(plan) => plan,
                Choice::AskLog => with_log(at, &window, looked_up(&history, at)),
            };
            match plan.opening {
                Opening::Diff(_) => {}
                Opening::Trunc(to) => {
                    prop_assert!(history.contains(&to), "{to} is no record");
                    // A learner that does not have it asks for a snapshot instead.
                    if !peer.contains(&to) {
                        return Ok(());
                    }
                    peer.retain(|zxid| *zxid <= to);
                }
                Opening::Snap => peer = history.clone(),
            }
            if let Some(log) = plan.log {
                peer.extend(history.iter().filter(|zxid| **zxid > log.after && **zxid <= log.through));
            }
            peer.extend(window.after(plan.covered).map(|entry| entry.zxid));
            prop_assert_eq!(peer, history, "{:?}", plan);
        }
    }
}
