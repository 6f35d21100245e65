//! One leader for each epoch, and what an epoch logs is that leader's.

use std::collections::BTreeMap;

use super::{Check, Ledger, Seen};
use crate::agenda::{Time, Who};

#[derive(Debug, Default)]
pub(crate) struct OneLeader {
    leaders: BTreeMap<i64, Who>,
}

impl Check for OneLeader {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Begins { who, beginning } => {
                let epoch = beginning.epoch();
                match self.leaders.insert(epoch, *who) {
                    None => Ok(()),
                    Some(other) => Err(format!(
                        "servers {} and {} both lead epoch {epoch}",
                        other.server, who.server
                    )),
                }
            }
            Seen::Serves {
                who,
                leads: false,
                tree,
                ..
            } => {
                let last = ledger.transaction(tree.last_zxid());
                if last <= ledger.last() {
                    return Ok(());
                }
                Err(format!(
                    "server {} serves {last}, and only {} is committed",
                    who.server,
                    ledger.last()
                ))
            }
            _ => Ok(()),
        }
    }
}
