//! A zxid is an epoch and a count within it: no transaction is where an epoch begins, and none behind the last of its epoch, where
//! the counter would run over into an epoch that is another leader's.

use super::{Check, Ledger, Seen};
use crate::agenda::Time;
use crate::plan::Plan;

#[derive(Debug)]
pub(crate) struct Counter {
    last: u32,
}

impl Counter {
    pub(crate) const fn new(plan: &Plan) -> Self {
        Self {
            last: plan.last_counter,
        }
    }
}

impl Check for Counter {
    fn see(&mut self, _: Time, _: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Logged { who, entry, .. } = seen else {
            return Ok(());
        };
        let counter = entry.zxid.counter();
        if counter > 0 && counter <= self.last {
            return Ok(());
        }
        Err(format!(
            "server {} logs {}, and epochs go from 1 to {}",
            who.server, entry.zxid, self.last
        ))
    }
}
