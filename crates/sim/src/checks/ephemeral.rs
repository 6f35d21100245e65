//! An ephemeral lives as long as its session, and no longer: where a session is over its ephemerals are gone, and none has an
//! owner that nobody knows.

use rookeeper_proto::code::OpCode;
use rookeeper_tree::tree::Tree;

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct Ephemeral;

impl Check for Ephemeral {
    fn see(&mut self, _: Time, _: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        let (server, tree) = match seen {
            Seen::Applied {
                who, header, tree, ..
            } => {
                let (session, zxid) = (header.session, header.zxid);
                let ends = header.kind == OpCode::CloseSession.code();
                if ends && tree.ephemerals(session).next().is_some() {
                    return Err(format!(
                        "server {}: session {session} ended in {zxid}, and its ephemerals stay",
                        who.server
                    ));
                }
                // A record at a time, and not all owners each time.
                if !ends && tree.ephemerals(session).next().is_some() {
                    return owned(who.server.0, tree, session);
                }
                return Ok(());
            }
            Seen::Settled { server, tree } => (server, tree),
            _ => return Ok(()),
        };
        for owner in tree.ephemeral_owners() {
            owned(server.0, tree, owner)?;
        }
        Ok(())
    }
}

fn owned(server: i64, tree: &Tree, owner: rookeeper_proto::ids::SessionId) -> Result<(), String> {
    if tree.session_timeout(owner).is_some() {
        return Ok(());
    }
    Err(format!(
        "server {server}: session {owner} has ephemerals and is not known"
    ))
}
