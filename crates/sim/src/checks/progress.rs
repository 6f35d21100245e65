//! Once nothing fails any more, a quorum serves, everybody catches up, and all trees are equal.

use std::collections::BTreeSet;

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct Progress {
    ends: BTreeSet<(i64, i64, usize)>,
}

impl Check for Progress {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Late(what) => Err((*what).to_owned()),
            Seen::Settled { tree, .. } => {
                let last = ledger.transaction(tree.last_zxid());
                self.ends.insert((last.0, tree.digest(), tree.node_count()));
                let history = ledger.tree();
                let sessions = tree.sessions().eq(history.sessions());
                if self.ends.len() > 1 || tree.digest() != history.digest() || !sessions {
                    return Err(format!("trees differ in the end: {:?}", self.ends));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
