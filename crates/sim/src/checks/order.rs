//! Integrity and total order: a member applies transactions in ascending order, without a hole, and none twice in one life, unless
//! its history was cut or replaced.

use std::collections::BTreeMap;

use rookeeper_proto::ids::{ServerId, Zxid};

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct Order {
    last: BTreeMap<ServerId, Zxid>,
}

impl Check for Order {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Started { who, tree, .. } | Seen::Replaced { who, tree } => {
                let last = ledger.transaction(tree.last_zxid());
                self.last.insert(who.server, last);
                Ok(())
            }
            Seen::Applied { who, header, .. } => {
                let last = self.last.insert(who.server, header.zxid);
                let last = last.unwrap_or(Zxid::ZERO);
                let after = ledger.logged(header.zxid).map(|(after, _)| after);
                if header.zxid <= last {
                    return Err(format!(
                        "server {} applies {} after {last}",
                        who.server, header.zxid
                    ));
                }
                if after.is_some_and(|after| after != last) {
                    return Err(format!(
                        "server {} applies {} after {last}, and leaves out what is between",
                        who.server, header.zxid
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
