//! A session never reads below what it has seen, and what it reads is the state at the zxid that the answer names: nothing that is
//! not committed, and nothing that is half done.

use std::collections::BTreeMap;

use rookeeper_proto::ids::{SessionId, Zxid};

use super::{Check, Ledger, Of, Seen};
use crate::agenda::Time;
use crate::workload::answer::Answer;
use crate::workload::ask::Ask;

#[derive(Debug, Default)]
pub(crate) struct FreshReads {
    seen: BTreeMap<(usize, SessionId), Zxid>,
}

impl Check for FreshReads {
    fn see(&mut self, _: Time, ledger: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Answered {
            of,
            ask,
            zxid,
            answer,
            ..
        } = seen
        else {
            return Ok(());
        };
        let before = self
            .seen
            .entry((of.client, of.session))
            .or_insert(Zxid::ZERO);
        if zxid < before {
            return Err(format!(
                "client {} has seen {before} in session {}, and is answered as of {zxid}",
                of.client, of.session
            ));
        }
        *before = *zxid;
        if ledger.transaction(*zxid) > ledger.last() {
            return Err(format!(
                "client {} is shown {zxid}, and only {} is committed",
                of.client,
                ledger.last()
            ));
        }
        as_in_history(*of, ask, *zxid, answer, ledger)
    }
}

fn as_in_history(
    of: Of,
    ask: &Ask,
    zxid: Zxid,
    answer: &Answer,
    ledger: &Ledger,
) -> Result<(), String> {
    let (path, found, with_data) = match (ask, answer) {
        (Ask::Get { path, .. }, Answer::Data(data, stat)) => {
            (path, Some((data.clone(), *stat)), true)
        }
        (Ask::Exists { path, .. }, Answer::Stat(stat)) => (path, Some((None, *stat)), false),
        (Ask::Get { path, .. } | Ask::Exists { path, .. }, Answer::NoNode) => (path, None, false),
        _ => return Ok(()),
    };
    let expected = ledger.at(path, zxid);
    let same = match (&found, expected) {
        (None, None) => true,
        (Some((data, stat)), Some(znode)) => {
            // The parent's own counters change with its children, which are not followed here.
            let (a, b) = (stat, &znode.stat);
            (a.czxid, a.mzxid, a.version, a.ephemeral_owner)
                == (b.czxid, b.mzxid, b.version, b.ephemeral_owner)
                && (!with_data || *data == znode.data)
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(format!(
        "client {} reads {found:?} at {path} as of {zxid}, and it was {expected:?}",
        of.client
    ))
}
