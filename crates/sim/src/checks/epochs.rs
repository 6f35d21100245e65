//! The epochs on a disk never go back, the one of the history is never above the one that was promised, and nobody speaks of an
//! epoch that is not on its disk.

use std::collections::BTreeMap;

use rookeeper_proto::ids::ServerId;

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct Epochs {
    known: BTreeMap<ServerId, (i64, i64)>,
}

impl Check for Epochs {
    fn see(&mut self, _: Time, _: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        let (server, now) = match seen {
            Seen::Wiped(server) => {
                self.known.remove(server);
                return Ok(());
            }
            Seen::Promised { server, epoch } | Seen::Entered { server, epoch } => {
                let (accepted, current) = self.known.get(server).copied().unwrap_or_default();
                let on_disk = match seen {
                    Seen::Promised { .. } => accepted,
                    _ => current,
                };
                if on_disk == *epoch {
                    return Ok(());
                }
                return Err(format!(
                    "server {server} speaks of epoch {epoch}, and its disk has {on_disk}"
                ));
            }
            Seen::Epochs {
                server,
                accepted,
                current,
            } => (*server, (*accepted, *current)),
            _ => return Ok(()),
        };
        let before = self.known.insert(server, now).unwrap_or_default();
        let (accepted, current) = now;
        if accepted < before.0 || current < before.1 || current > accepted {
            return Err(format!(
                "server {server} has promised {accepted} and is at {current}; it had {before:?}"
            ));
        }
        Ok(())
    }
}
