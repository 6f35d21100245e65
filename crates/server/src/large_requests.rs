//! The guard on large requests: together they may take only so much memory while they are in flight
//! (`largeRequestThreshold`, `largeRequestMaxBytes`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use thiserror::Error;

/// The guard.
#[derive(Debug)]
pub struct LargeRequests {
    threshold: Option<usize>,
    max_bytes: u64,
    in_flight: Arc<AtomicU64>,
}

/// There is no room for one more large request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the large requests in flight leave no room")]
pub struct NoRoom;

/// A frame that is counted until its last slice is gone.
struct Counted {
    frame: Bytes,
    in_flight: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.in_flight
            .fetch_sub(self.frame.len() as u64, Ordering::Relaxed);
    }
}

impl LargeRequests {
    /// Frames longer than `threshold` bytes (`None`: none) may sum up to `max_bytes`.
    #[must_use]
    pub fn new(threshold: Option<u32>, max_bytes: u64) -> Self {
        Self {
            threshold: threshold.map(|bytes| bytes as usize),
            max_bytes,
            in_flight: Arc::default(),
        }
    }

    /// Counts a frame if it is large. Its memory is given back when the last slice of it goes.
    pub fn admit(&self, frame: Bytes) -> Result<Bytes, NoRoom> {
        if self
            .threshold
            .is_none_or(|threshold| frame.len() <= threshold)
        {
            return Ok(frame);
        }
        let len = frame.len() as u64;
        let before = self.in_flight.fetch_add(len, Ordering::Relaxed);
        let counted = Counted {
            frame,
            in_flight: Arc::clone(&self.in_flight),
        };
        if before + len > self.max_bytes {
            Err(NoRoom)
        } else {
            Ok(Bytes::from_owner(counted))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_frames_share_a_bounded_room_and_small_ones_do_not_count() {
        let guard = LargeRequests::new(Some(10), 50);
        let frame = |len| Bytes::from(vec![7; len]);
        let first = guard.admit(frame(30)).unwrap();
        assert_eq!(guard.admit(frame(21)), Err(NoRoom));
        assert!(guard.admit(frame(10)).is_ok());
        let slice = first.slice(5..6);
        drop(first);
        assert_eq!(guard.admit(frame(21)), Err(NoRoom));
        drop(slice);
        assert!(guard.admit(frame(50)).is_ok());
    }
}
