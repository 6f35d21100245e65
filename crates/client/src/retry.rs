//! How often and how soon something is tried again.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Outcome};

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    jitter: bool,
}

impl Backoff {
    /// The same pause each time.
    #[must_use]
    pub const fn fixed(pause: Duration) -> Self {
        Self {
            first: pause,
            max: pause,
            jitter: false,
        }
    }

    /// `first`, then twice as long each time, up to `max`.
    #[must_use]
    pub const fn exponential(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            jitter: false,
        }
    }

    /// Each pause is a random part of it, at least a half, so that many clients do not come at the same time.
    #[must_use]
    pub const fn jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// The pause after `round` earlier ones.
    #[must_use]
    pub fn pause(&self, round: u32) -> Duration {
        let factor = 2_u32.saturating_pow(round.min(31));
        let pause = self.first.saturating_mul(factor).min(self.max);
        if self.jitter {
            pause.mul_f64(0.5 + fastrand::f64() / 2.0)
        } else {
            pause
        }
    }
}

impl Default for Backoff {
    /// 50 ms to 2 s, with jitter.
    fn default() -> Self {
        Self::exponential(Duration::from_millis(50), Duration::from_secs(2)).jitter()
    }
}

/// Tries something again while the trouble may pass.
///
/// A request of which nothing happened is always worth another attempt. One whose outcome is unknown is only tried again if the caller
/// says that doing it twice does no harm ([`Retry::idempotent`]): reads, or a set with an expected version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    backoff: Backoff,
    attempts: Option<u32>,
    within: Option<Duration>,
    idempotent: bool,
}

impl Retry {
    /// Until it works or the session ends.
    #[must_use]
    pub fn forever() -> Self {
        Self {
            backoff: Backoff::default(),
            attempts: None,
            within: None,
            idempotent: false,
        }
    }

    /// At most so many attempts, the first one included.
    #[must_use]
    pub fn times(attempts: u32) -> Self {
        Self {
            attempts: Some(attempts),
            ..Self::forever()
        }
    }

    /// No new attempt after this time.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self {
            within: Some(time),
            ..Self::forever()
        }
    }

    /// With other pauses.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Doing it twice does no harm.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Runs `attempt` until it succeeds, or fails for good; the last error is the answer.
    pub async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let begun = Instant::now();
        let mut round = 0;
        loop {
            match attempt().await {
                Err(error) if self.permits(&error, round + 1, begun) => {
                    sleep(self.backoff.pause(round)).await;
                    round += 1;
                }
                done => return done,
            }
        }
    }

    fn permits(&self, error: &Error, made: u32, begun: Instant) -> bool {
        error.is_retriable()
            && (self.idempotent || error.outcome() == Outcome::NothingHappened)
            && self.attempts.is_none_or(|attempts| made < attempts)
            && self.within.is_none_or(|time| begun.elapsed() < time)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const NONE: Backoff = Backoff::fixed(Duration::ZERO);

    async fn attempts(retry: Retry, error: Error) -> u32 {
        let made = Cell::new(0);
        let retry = retry.backoff(NONE);
        let run = retry.run(|| {
            made.set(made.get() + 1);
            let error = error.clone();
            async { Err::<(), _>(error) }
        });
        assert_eq!(run.await, Err(error.clone()));
        made.get()
    }

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again() {
        assert_eq!(attempts(Retry::times(3), Error::NotSent).await, 3);
        assert_eq!(attempts(Retry::times(3), Error::ConnectionLost).await, 1);
        let retry = Retry::times(3).idempotent();
        assert_eq!(attempts(retry, Error::ConnectionLost).await, 3);
        assert_eq!(attempts(retry, Error::SessionExpired).await, 1);
        assert_eq!(
            attempts(Retry::within(Duration::ZERO), Error::NotSent).await,
            1
        );
    }

    #[test]
    fn pauses_double_up_to_a_bound() {
        let backoff = Backoff::exponential(Duration::from_millis(10), Duration::from_millis(35));
        let pauses: Vec<u128> = [0, 1, 2, 40].map(|n| backoff.pause(n).as_millis()).to_vec();
        assert_eq!(pauses, [10, 20, 35, 35]);
        let jittered = backoff.jitter().pause(1);
        assert!((10..=20).contains(&jittered.as_millis()));
    }
}
