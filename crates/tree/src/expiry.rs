//! When sessions end: buckets of sessions that expire together (client protocol 3.3).
//!
//! Time is a number of milliseconds on a monotonic clock, handed in. A session lives at least its timeout and at most one tick
//! more. If the server itself stood still, nobody is expired for it: [`Expiry::postpone`] moves everything on.

use std::collections::{BTreeMap, BTreeSet};

use rookeeper_proto::ids::SessionId;

/// Sessions by the time at which they end.
#[derive(Debug)]
pub struct Expiry {
    tick_ms: i64,
    /// How long the server stood still so far, ms. All times inside are without it.
    stood_still_ms: i64,
    buckets: BTreeMap<i64, BTreeSet<SessionId>>,
    due: BTreeMap<SessionId, i64>,
}

impl Expiry {
    /// Buckets of `tick_ms` milliseconds.
    #[must_use]
    pub const fn new(tick_ms: i64) -> Self {
        Self {
            tick_ms,
            stood_still_ms: 0,
            buckets: BTreeMap::new(),
            due: BTreeMap::new(),
        }
    }

    /// The session was heard of at `now`: it lives on for `timeout_ms`. Never moves an end forward in time.
    pub fn touch(&mut self, session: SessionId, now: i64, timeout_ms: i64) {
        let end = self.bucket(now - self.stood_still_ms + timeout_ms);
        match self.due.get(&session) {
            Some(old) if *old >= end => return,
            Some(old) => {
                let old = *old;
                self.leave(old, session);
            }
            None => {}
        }
        self.due.insert(session, end);
        self.buckets.entry(end).or_default().insert(session);
    }

    /// The session has a new timeout, perhaps a shorter one.
    pub fn restart(&mut self, session: SessionId, now: i64, timeout_ms: i64) {
        self.remove(session);
        self.touch(session, now, timeout_ms);
    }

    /// The session is gone, or is being closed.
    pub fn remove(&mut self, session: SessionId) {
        if let Some(end) = self.due.remove(&session) {
            self.leave(end, session);
        }
    }

    /// Takes out the sessions whose time is over, by end and id.
    pub fn expire(&mut self, now: i64) -> Vec<SessionId> {
        let now = now - self.stood_still_ms;
        let mut expired = Vec::new();
        while let Some(bucket) = self
            .buckets
            .first_entry()
            .filter(|bucket| *bucket.key() <= now)
        {
            expired.extend(bucket.remove());
        }
        for session in &expired {
            self.due.remove(session);
        }
        expired
    }

    /// Everybody lives `ms` longer, because the server stood still that long.
    pub const fn postpone(&mut self, ms: i64) {
        self.stood_still_ms += ms;
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// True when there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Buckets with the time at which their sessions end, ascending.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = (i64, &BTreeSet<SessionId>)> {
        let stood_still_ms = self.stood_still_ms;
        self.buckets
            .iter()
            .map(move |(end, sessions)| (*end + stood_still_ms, sessions))
    }

    const fn bucket(&self, time: i64) -> i64 {
        (time.div_euclid(self.tick_ms) + 1) * self.tick_ms
    }

    fn leave(&mut self, end: i64, session: SessionId) {
        if let Some(bucket) = self.buckets.get_mut(&end) {
            bucket.remove(&session);
            if bucket.is_empty() {
                self.buckets.remove(&end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: SessionId = SessionId(1);

    #[test]
    fn a_session_lives_its_timeout_and_at_most_a_tick_more() {
        let mut expiry = Expiry::new(2000);
        expiry.touch(S, 10_001, 4000);
        assert_eq!(expiry.expire(15_999), []);
        assert_eq!(expiry.expire(16_000), [S]);
        assert!(expiry.is_empty());
    }

    #[test]
    fn a_touch_prolongs_and_never_shortens_but_a_restart_may() {
        let mut expiry = Expiry::new(1000);
        expiry.touch(S, 0, 10_000);
        expiry.touch(S, 0, 2000);
        assert_eq!(expiry.expire(10_999), []);
        expiry.restart(S, 0, 2000);
        assert_eq!(expiry.expire(3000), [S]);
    }

    #[test]
    fn a_stall_of_the_server_costs_nobody_the_session() {
        let mut expiry = Expiry::new(1000);
        expiry.touch(S, 0, 4000);
        expiry.postpone(60_000);
        assert_eq!(expiry.expire(64_000), []);
        assert_eq!(expiry.expire(65_000), [S]);
    }

    #[test]
    fn many_small_stalls_cost_nobody_anything_either() {
        let mut expiry = Expiry::new(2000);
        expiry.touch(S, 0, 4000);
        // Less than a tick each time, and never a whole one.
        for _ in 0..7 {
            expiry.postpone(700);
        }
        assert_eq!(expiry.expire(4000 + 7 * 700 - 1), []);
        assert_eq!(
            expiry.buckets().map(|(end, _)| end).collect::<Vec<_>>(),
            [6000 + 7 * 700]
        );
        assert_eq!(expiry.expire(6000 + 7 * 700), [S]);
    }

    #[test]
    fn after_a_stall_a_session_still_lives_its_timeout_and_at_most_a_tick_more() {
        for (stall, now) in [(0, 9_999), (1, 10_000), (999, 10_001), (12_345, 23_456)] {
            let mut expiry = Expiry::new(1000);
            expiry.postpone(stall);
            expiry.touch(S, now, 4000);
            assert_eq!(expiry.expire(now + 3999), [], "{stall} {now}");
            assert_eq!(expiry.expire(now + 5000), [S], "{stall} {now}");
        }
    }
}
