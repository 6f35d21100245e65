//! The only place that reads a clock for the member.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rookeeper_node::input::Now;

/// Both clocks, with a common origin for the monotonic one.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Counts monotonic time from now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Monotonic ms since [`Self::start`].
    #[must_use]
    pub fn mono(&self) -> i64 {
        millis(self.origin.elapsed())
    }

    /// Both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            wall: wall(),
        }
    }
}

/// ms since 1970.
#[must_use]
pub fn wall() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

/// A duration in whole ms.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
