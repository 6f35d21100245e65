//! What was acknowledged is never lost: it is part of the history, and in the end at every member. What was not answered may be
//! there or not.

use std::collections::BTreeMap;

use rookeeper_proto::ids::Zxid;

use super::{Check, Ledger, Seen};
use crate::agenda::Time;
use crate::workload::answer::Answer;
use crate::workload::ask::Ask;

#[derive(Debug, Default)]
pub(crate) struct Durable {
    /// Znodes that nobody deletes.
    kept: BTreeMap<String, Zxid>,
}

impl Check for Durable {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Answered {
                of,
                ask,
                zxid,
                answer,
                ..
            } if ask.is_write() && answer.is_good() => {
                if ledger.digest(*zxid).is_none() || zxid.counter() == 0 {
                    return Err(format!(
                        "client {} has the acknowledgement of {zxid}, which is not committed",
                        of.client
                    ));
                }
                self.keep(ask, *zxid, answer);
                Ok(())
            }
            Seen::Settled { server, tree } => {
                for (path, zxid) in &self.kept {
                    let there = tree.get(path).is_some_and(|it| it.stat().czxid == *zxid);
                    if !there {
                        return Err(format!(
                            "{path} was acknowledged with {zxid}, and server {server} does not have it"
                        ));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Durable {
    fn keep(&mut self, ask: &Ask, zxid: Zxid, answer: &Answer) {
        match (ask, answer) {
            (Ask::Keep { path }, _) => self.kept.insert(path.clone(), zxid),
            (Ask::Number, Answer::Path(path)) => self.kept.insert(path.clone(), zxid),
            _ => None,
        };
    }
}
