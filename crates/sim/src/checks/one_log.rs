//! One zxid, one transaction, one place: whoever logs a zxid logs the same bytes behind the same transaction. So two logs that
//! share a transaction share everything before it.

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct OneLog;

impl Check for OneLog {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Logged { who, after, entry } = seen else {
            return Ok(());
        };
        let (server, zxid, after) = (who.server, entry.zxid, ledger.transaction(*after));
        // The ledger keeps what it saw first.
        match ledger.logged(zxid) {
            Some((_, txn)) if *txn != entry.txn => {
                Err(format!("server {server} logs other bytes as {zxid}"))
            }
            Some((before, _)) if before != after => Err(format!(
                "server {server} logs {zxid} behind {after}, and others behind {before}"
            )),
            _ => Ok(()),
        }
    }
}
