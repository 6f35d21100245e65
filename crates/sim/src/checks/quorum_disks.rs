//! What is committed is on the disks of a quorum, from that moment on: counted by what disks confirmed, whatever was said.

use std::collections::BTreeMap;

use rookeeper_proto::ids::{ServerId, Zxid};

use super::{Check, Ledger, Seen};
use crate::agenda::Time;
use crate::plan::Plan;

#[derive(Debug)]
pub(crate) struct QuorumDisks {
    /// What each voter's disk has; of a disk that was lost, what it had, until there is more on the new one.
    durable: BTreeMap<ServerId, Zxid>,
    lost: BTreeMap<ServerId, Zxid>,
    needed: usize,
    voters: i64,
}

impl QuorumDisks {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            durable: BTreeMap::new(),
            lost: BTreeMap::new(),
            needed: usize::try_from(plan.voters / 2 + 1).unwrap_or(usize::MAX),
            voters: plan.voters,
        }
    }

    fn has(&self, ledger: &Ledger, server: ServerId, zxid: Zxid) -> bool {
        let ends = [self.durable.get(&server), self.lost.get(&server)];
        ends.into_iter()
            .flatten()
            .any(|end| ledger.contains(*end, zxid))
    }
}

impl Check for QuorumDisks {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Started { who, last, .. } => {
                self.durable.insert(who.server, ledger.transaction(*last));
            }
            Seen::Durable { server, last } => {
                self.durable.insert(*server, ledger.transaction(*last));
            }
            Seen::Wiped(server) => {
                if let Some(had) = self.durable.remove(server) {
                    self.lost.insert(*server, had);
                }
            }
            _ => {}
        }
        let Some(zxid) = ledger.fresh().last().copied() else {
            return Ok(());
        };
        let voters = (1..=self.voters).map(ServerId);
        let have: Vec<i64> = voters
            .filter(|server| self.has(ledger, *server, zxid))
            .map(|server| server.0)
            .collect();
        if have.len() >= self.needed {
            return Ok(());
        }
        Err(format!(
            "{zxid} is committed, and only on the disks of {have:?}"
        ))
    }
}
