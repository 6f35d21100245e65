//! Which complaints about strangers were logged lately: one that tries again all the time is worth one line, not thousands.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The same complaint about the same address is logged this often.
const PAUSE: Duration = Duration::from_secs(60);
/// Complaints that are remembered; beyond them nothing new is logged until old ones are forgotten.
const MAX_REMEMBERED: usize = 64;

/// What was said of whom, and when.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Mutex<BTreeMap<(IpAddr, &'static str), Instant>>,
}

impl Complaints {
    /// True when this should be logged; then it is remembered.
    pub(super) fn is_news(&self, of: IpAddr, what: &'static str, now: Instant) -> bool {
        let mut last = self.last.lock();
        last.retain(|_, at| now.saturating_duration_since(*at) < PAUSE);
        if last.len() >= MAX_REMEMBERED || last.contains_key(&(of, what)) {
            return false;
        }
        last.insert((of, what), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_complaint_is_logged_once_a_minute_and_only_so_many_of_them() {
        let complaints = Complaints::default();
        let (one, now) = (IpAddr::V4(Ipv4Addr::LOCALHOST), Instant::now());
        assert!(complaints.is_news(one, "a", now));
        assert!(!complaints.is_news(one, "a", now));
        assert!(complaints.is_news(one, "b", now));
        assert!(complaints.is_news(one, "a", now + PAUSE));
        let others = (0..100u8).map(|n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)));
        let logged = others.filter(|other| complaints.is_news(*other, "a", now + PAUSE));
        assert_eq!(logged.count(), MAX_REMEMBERED - 1);
    }
}
