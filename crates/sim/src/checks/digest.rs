//! Equal state at equal zxid: every tree has the digest that the transaction promised, and that of the history.

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct Digest;

impl Check for Digest {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        let (who, tree) = match seen {
            Seen::Applied {
                who,
                header,
                as_promised: false,
                ..
            } => {
                let zxid = header.zxid;
                return Err(format!(
                    "server {} has another tree after {zxid} than promised",
                    who.server
                ));
            }
            Seen::Applied { who, tree, .. }
            | Seen::Started { who, tree, .. }
            | Seen::Replaced { who, tree }
            | Seen::Serves { who, tree, .. } => (who, tree),
            _ => return Ok(()),
        };
        let zxid = tree.last_zxid();
        match ledger.digest(zxid) {
            Some(digest) if digest != tree.digest() => Err(format!(
                "server {} has another tree at {zxid} than the history",
                who.server
            )),
            _ => Ok(()),
        }
    }
}
