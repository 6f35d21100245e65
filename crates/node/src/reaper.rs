//! How often and how fast containers and TTL nodes are removed. Which are due says the tree; whether one still may go is judged
//! again in the pipeline.

use rookeeper_tree::reaper::Reaping;
use rookeeper_tree::tree::Tree;

use crate::input::Now;
use crate::limits::MAX_REAPED_PER_ROUND;

const MINUTE_MS: i64 = 60_000;

/// Settings of the reaper.
#[derive(Debug, Clone, Copy)]
pub struct ReaperConfig {
    /// Time between two rounds, ms (`znode.container.checkIntervalMs`).
    pub check_interval_ms: i64,
    /// Removals per minute at most (`znode.container.maxPerMinute`).
    pub max_per_minute: u32,
    /// Containers that never had a child go after this long, ms; 0 means never (`znode.container.maxNeverUsedIntervalMs`).
    pub max_never_used_ms: i64,
}

impl Default for ReaperConfig {
    fn default() -> Self {
        Self {
            check_interval_ms: 60_000,
            max_per_minute: 10_000,
            max_never_used_ms: 0,
        }
    }
}

/// When the next round is, and how much it may do.
#[derive(Debug)]
pub struct Reaper {
    config: ReaperConfig,
    next: Option<i64>,
    minute_ends: i64,
    left_this_minute: u32,
}

impl Reaper {
    /// The first round comes one interval after the first [`Self::due`].
    #[must_use]
    pub const fn new(config: ReaperConfig) -> Self {
        Self {
            config,
            next: None,
            minute_ends: i64::MIN,
            left_this_minute: 0,
        }
    }

    /// The paths to remove now, ascending; empty most of the time.
    pub fn due(&mut self, tree: &Tree, now: Now) -> Vec<String> {
        let next = *self
            .next
            .get_or_insert(now.mono + self.config.check_interval_ms);
        if now.mono < next {
            return Vec::new();
        }
        if now.mono >= self.minute_ends {
            self.minute_ends = now.mono + MINUTE_MS;
            self.left_this_minute = self.config.max_per_minute;
        }
        let limit = MAX_REAPED_PER_ROUND.min(self.left_this_minute as usize);
        let reaping = Reaping {
            now: now.wall,
            max_never_used_ms: self.config.max_never_used_ms,
        };
        let paths = tree.reapable(reaping, limit);
        self.left_this_minute -= u32::try_from(paths.len()).unwrap_or(self.left_this_minute);
        // A full round goes on at the next tick.
        let full = paths.len() == MAX_REAPED_PER_ROUND;
        self.next = Some(if full {
            now.mono
        } else {
            now.mono + self.config.check_interval_ms
        });
        paths
    }
}
