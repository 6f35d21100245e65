//! Answers come in the order of the requests, each once.

use super::{Check, Ledger, Seen};
use crate::agenda::Time;

#[derive(Debug, Default)]
pub(crate) struct Fifo;

impl Check for Fifo {
    fn see(&mut self, _: Time, _: &Ledger, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Strange { client, xid } => Err(format!(
                "client {client} gets an answer to {xid}, which is not its oldest request"
            )),
            _ => Ok(()),
        }
    }
}
