//! A watch fires once, for what it was left for and what is committed, and before its client can see the change by any other answer.

use std::collections::BTreeMap;

use rookeeper_proto::code::EventType;
use rookeeper_proto::ids::Zxid;

use super::{Check, Ledger, Seen};
use crate::agenda::Time;
use crate::workload::answer::Answer;
use crate::workload::ask::Ask;

/// What a watch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Waits {
    /// For the znode: its data, its birth, its end.
    Znode,
    /// For its list of children, or its end.
    Children,
}

type Left = BTreeMap<(Waits, String), Zxid>;

#[derive(Debug, Default)]
pub(crate) struct Watches {
    left: BTreeMap<usize, Left>,
}

impl Check for Watches {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Detached { client } => {
                self.left.remove(client);
                Ok(())
            }
            Seen::Answered {
                of,
                ask,
                zxid,
                answer,
                ..
            } => {
                self.leave(of.client, ask, *zxid, answer);
                self.none_missed(of.client, *zxid, ledger)
            }
            Seen::Event {
                client,
                zxid,
                kind,
                path,
            } => {
                if ledger.transaction(*zxid) > ledger.last() {
                    return Err(format!(
                        "client {client} hears of {zxid} at {path}, and only {} is committed",
                        ledger.last()
                    ));
                }
                self.fire(*client, *kind, path)
            }
            _ => Ok(()),
        }
    }
}

impl Watches {
    fn leave(&mut self, client: usize, ask: &Ask, zxid: Zxid, answer: &Answer) {
        let (waits, path) = match (ask, answer) {
            (Ask::Get { path, watch: true }, Answer::Data(..)) => (Waits::Znode, path),
            (Ask::Exists { path, watch: true }, Answer::Stat(_) | Answer::NoNode) => {
                (Waits::Znode, path)
            }
            (Ask::Children { path, watch: true }, Answer::Names(_)) => (Waits::Children, path),
            _ => return,
        };
        let left = self.left.entry(client).or_default();
        // The first of several counts: one event is for all of them.
        left.entry((waits, path.clone())).or_insert(zxid);
    }

    fn none_missed(&self, client: usize, zxid: Zxid, ledger: &Ledger) -> Result<(), String> {
        for ((waits, path), since) in self.left.get(&client).into_iter().flatten() {
            let change = match waits {
                Waits::Znode => ledger.first_change(path, *since, zxid),
                Waits::Children => ledger.first_list_change(path, *since, zxid),
            };
            if let Some(change) = change {
                return Err(format!(
                    "client {client} is answered as of {zxid}, and was not told of {change} at {path}"
                ));
            }
        }
        Ok(())
    }

    fn fire(&mut self, client: usize, kind: i32, path: &str) -> Result<(), String> {
        let Some(kind) = EventType::from_i32(kind) else {
            return Err(format!("client {client} hears of an event {kind}"));
        };
        let waits: &[Waits] = match kind {
            EventType::NodeChildrenChanged => &[Waits::Children],
            EventType::NodeDeleted => &[Waits::Znode, Waits::Children],
            EventType::NodeCreated | EventType::NodeDataChanged => &[Waits::Znode],
        };
        let left = self.left.entry(client).or_default();
        let mut was_left = false;
        for waits in waits {
            was_left |= left.remove(&(*waits, path.to_owned())).is_some();
        }
        if was_left {
            return Ok(());
        }
        Err(format!(
            "client {client} hears of {kind:?} at {path}, and has no watch there"
        ))
    }
}
