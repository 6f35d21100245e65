//! How soon a peer is tried again: at once at first, because a server that restarts is back in a moment, then more slowly.

use std::time::Duration;

use tokio::time::Instant;

/// Pause after the first attempt that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause; they double up to it.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Attempts for one notification. More than a minute of them: a server that looks for a leader says something at least once a
/// minute, so it never stops trying, and one that has a leader does.
const MAX_TRIES: u32 = 120;

/// When the next attempt may begin.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    /// When the last attempt began.
    begun: Option<Instant>,
    not_before: Instant,
    tries: u32,
}

impl Pace {
    /// The first attempt may begin at once.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            pause: FIRST_PAUSE,
            begun: None,
            not_before: now,
            tries: 0,
        }
    }

    /// When the next attempt may begin.
    pub(super) const fn not_before(&self) -> Instant {
        self.not_before
    }

    /// An attempt begins.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.begun = Some(now);
    }

    /// When the last attempt began.
    pub(super) const fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// True when so much was tried in vain that only something new is a reason to go on.
    pub(super) const fn is_tired(&self) -> bool {
        self.tries >= MAX_TRIES
    }

    /// There is something new to say.
    pub(super) const fn encourage(&mut self) {
        self.tries = 0;
    }

    /// An attempt came to nothing.
    pub(super) fn failed(&mut self, now: Instant) {
        self.wait(now, self.pause);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    /// An attempt ended as it should, and what follows from it takes a while.
    pub(super) fn wait(&mut self, now: Instant, pause: Duration) {
        self.tries += 1;
        self.not_before = now + pause;
    }

    /// The peer was heard: it can be reached, and pauses begin anew. The shortest one is kept between two attempts all the same.
    pub(super) fn alive(&mut self, now: Instant) {
        let earliest = self.begun.map_or(now, |begun| begun + FIRST_PAUSE);
        self.pause = FIRST_PAUSE;
        self.not_before = earliest.max(now);
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_until_the_peer_is_heard() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pace.failed(now);
            pauses.push((pace.not_before() - now).as_millis());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
        pace.begin(now);
        pace.alive(now);
        assert_eq!(pace.not_before(), now + FIRST_PAUSE);
        pace.alive(now + MAX_PAUSE);
        assert_eq!(pace.not_before(), now + MAX_PAUSE);
    }

    #[test]
    fn tries_end_until_there_is_something_new_to_say() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        (0..MAX_TRIES).for_each(|_| pace.failed(now));
        assert!(pace.is_tired());
        pace.encourage();
        assert!(!pace.is_tired());
    }
}
