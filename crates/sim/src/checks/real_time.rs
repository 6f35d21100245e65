//! Writes are linearizable: what was acknowledged before another write was asked for has the lower zxid. And what was acknowledged
//! before a sync was asked for is seen by who waited for it.

use std::collections::BTreeMap;

use rookeeper_proto::ids::{SessionId, Zxid};

use super::{Check, Ledger, Seen};
use crate::agenda::Time;
use crate::workload::ask::Ask;

#[derive(Debug, Default)]
pub(crate) struct RealTime {
    /// The highest zxid that was acknowledged.
    highest: Zxid,
    /// What it was when these requests were asked, by session and number.
    at_asking: BTreeMap<(SessionId, i32), Zxid>,
}

impl Check for RealTime {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Asked { of, ask } if ask.is_write() || **ask == Ask::Sync => {
                self.at_asking.insert((of.session, of.xid), self.highest);
            }
            Seen::Answered {
                of,
                server,
                ask,
                zxid,
                answer,
                ..
            } => {
                let Some(before) = self.at_asking.remove(&(of.session, of.xid)) else {
                    return Ok(());
                };
                // A leader that nobody follows any more may not know it: what it says to a sync is as old as itself.
                let knows = ask.is_write() || ledger.is_current(*server);
                if !answer.is_good() || !knows {
                    return Ok(());
                }
                let late = if ask.is_write() {
                    *zxid <= before
                } else {
                    *zxid < before
                };
                if late {
                    return Err(format!(
                        "client {} asked when {before} was acknowledged, and is answered with {zxid}",
                        of.client
                    ));
                }
                if ask.is_write() {
                    self.highest = self.highest.max(*zxid);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
