//! What is read is not much older than what others were told: a member that has lost contact shows its state for `syncLimit` at most.
//! Whose clock stood still cannot know how long that was.

use std::collections::BTreeSet;

use rookeeper_proto::ids::{ServerId, Zxid};

use super::{Check, Ledger, Seen};
use crate::agenda::{MS, Time};
use crate::plan::{SYNC_LIMIT, TICK_MS};

/// What messages and turns may take, besides.
const UNDER_WAY: Time = 500 * MS;
/// How old at most.
const BOUND: Time = (SYNC_LIMIT * TICK_MS) as Time * MS + UNDER_WAY;

#[derive(Debug, Default)]
pub(crate) struct TimelyReads {
    /// When the highest zxid so far was acknowledged.
    acknowledged: Vec<(Time, Zxid)>,
    /// Their clocks stood still since they began to serve.
    timeless: BTreeSet<ServerId>,
}

impl TimelyReads {
    fn known_at(&self, time: Time) -> Zxid {
        let count = self.acknowledged.partition_point(|(at, _)| *at <= time);
        let last = count
            .checked_sub(1)
            .and_then(|at| self.acknowledged.get(at));
        last.map_or(Zxid::ZERO, |(_, zxid)| *zxid)
    }
}

impl Check for TimelyReads {
    fn see(&mut self, now: Time, _: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::ClockStopped(server) => {
                self.timeless.insert(*server);
            }
            Seen::Serves { who, .. } => {
                self.timeless.remove(&who.server);
            }
            Seen::Answered {
                of,
                server,
                ask,
                asked,
                zxid,
                answer,
            } if answer.is_good() => {
                let known = self.known_at(asked.saturating_sub(BOUND));
                if !ask.is_write() && *zxid < known && !self.timeless.contains(server) {
                    return Err(format!(
                        "client {} is answered by {server} as of {zxid}, and {known} was acknowledged long before it asked",
                        of.client
                    ));
                }
                if ask.is_write() && *zxid > self.known_at(now) {
                    self.acknowledged.push((now, *zxid));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
