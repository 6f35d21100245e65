//! When a session has to say something, and when a silent server is given up (client protocol 3.9).

use std::collections::VecDeque;
use std::time::Duration;

use super::Moment;

/// A ping goes out at least this often, so that a broken connection shows while the session has time left.
const PING_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The times of one connection.
#[derive(Debug)]
pub(crate) struct Heart {
    timeout: Duration,
    last_sent: Moment,
    last_heard: Moment,
    /// When the newest of those words left that the server has heard for certain: the session lives at least its timeout from then.
    proved: Moment,
    /// When the pings left that are not answered.
    pings: VecDeque<Moment>,
}

impl Heart {
    /// For a session that wants `timeout`.
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            last_sent: Moment(Duration::ZERO),
            last_heard: Moment(Duration::ZERO),
            proved: Moment(Duration::ZERO),
            pings: VecDeque::new(),
        }
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A connection is there.
    pub(crate) fn begin(&mut self, now: Moment) {
        self.last_sent = now;
        self.last_heard = now;
        self.proved = now;
        self.pings.clear();
    }

    /// What the server gives.
    pub(crate) const fn negotiated(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) const fn sent(&mut self, now: Moment) {
        self.last_sent = now;
    }

    /// A ping leaves.
    pub(crate) fn pinged(&mut self, now: Moment) {
        self.pings.push_back(now);
    }

    /// One is answered.
    pub(crate) fn ponged(&mut self) {
        if let Some(sent) = self.pings.pop_front() {
            self.answered(sent);
        }
    }

    /// What left then has an answer.
    pub(crate) fn answered(&mut self, sent: Moment) {
        self.proved = self.proved.max(sent);
    }

    pub(crate) const fn heard(&mut self, now: Moment) {
        self.last_heard = now;
    }

    /// A server that says nothing for two thirds of the timeout is given up: the last third is for finding another. So is one that
    /// speaks and does not listen, before it can end the session for that.
    pub(crate) fn silent_at(&self) -> Moment {
        let silent = self.last_heard.after(self.timeout * 2 / 3);
        silent.min(self.proved.after(self.timeout * 5 / 6))
    }

    pub(crate) fn is_silent(&self, now: Moment) -> bool {
        now >= self.silent_at()
    }

    /// A third of the timeout after the last word.
    pub(crate) fn ping_at(&self) -> Moment {
        self.last_sent.after((self.timeout / 3).min(PING_PAUSE_MAX))
    }

    pub(crate) fn is_ping_due(&self, now: Moment) -> bool {
        now >= self.ping_at()
    }
}
