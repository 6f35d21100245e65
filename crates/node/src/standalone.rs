//! The standalone role: a member that orders, logs and commits alone.
//!
//! A write waits for the disk. When the disk has it, it is committed: applied, its events delivered, its reply sent, in this order.
//!
//! Invariant: what is durable here is committed, and nothing else is.

use rookeeper_tree::tree::Tree;

use crate::effect::Effect;
use crate::input::{Input, Now};
use crate::proposer::{Proposer, ProposerConfig};
use crate::sessions::Sessions;

/// The member.
#[derive(Debug)]
pub struct Standalone {
    proposer: Proposer,
}

impl Standalone {
    /// Begins to serve `tree` at `now`: every session in it has its full timeout again.
    #[must_use]
    pub fn new(config: ProposerConfig, tree: &Tree, now: Now) -> Self {
        Self {
            proposer: Proposer::new(config, tree, now),
        }
    }

    /// Takes one input; what shall be done is added to `effects`. `tree` holds everything committed so far.
    pub fn handle(&mut self, tree: &Tree, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let proposer = &mut self.proposer;
        match input {
            Input::Connect { conn, request } => {
                proposer.connect(tree, now, conn, &request, effects);
            }
            Input::Write(request) => proposer.write(tree, now, request, effects),
            Input::Sync(request) => {
                proposer.answer_in_turn(std::iter::once(Effect::from(request)), effects);
            }
            Input::Disconnected(conn) => proposer.disconnected(conn),
            Input::Heard(heard) => proposer.heard(heard),
            Input::Tick => proposer.tick(tree, now, effects),
            Input::Synced(zxid) => proposer.committed(now, zxid, effects),
            Input::DiskFull(full) => proposer.disk_full(full),
        }
    }

    /// Transactions judged and not yet committed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.proposer.in_flight()
    }

    /// The sessions, for reports.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        self.proposer.sessions()
    }
}
