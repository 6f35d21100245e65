//! Who leads, and what is committed: ZooKeeper's election and its atomic broadcast, as functions of their inputs.
//!
//! What lives here: the configuration of an ensemble ([`membership`], in [`properties`] syntax), what a quorum of it is
//! ([`verifier`]), how votes compare ([`vote`]) and how a leader is found by them ([`election`]); how it gets a new epoch ([`epoch`]), and how a learner gets its history
//! ([`sync_plan`]), mostly from the newest committed transactions ([`committed`]).
//!
//! What does not: sockets, files, clocks, sessions, and the meaning of a transaction, which is bytes with a zxid here.
//!
//! The protocol in one paragraph. Servers vote for the one whose history is the longest, until a quorum has one opinion. Whoever was
//! chosen collects the epochs that a quorum has promised, and asks for a promise of one epoch more. Each learner then gets
//! what its history lacks of the leader's, or forgets what it has too much. When a quorum has that history on its disks, the
//! epoch is established: the leader proposes transactions in one order, a quorum acknowledges each from its disk, and it is
//! committed.
//!
//! Invariants:
//! - Only voters of the configuration count, at every place where something is counted: [`verifier`] asks about its own
//!   voters and about nobody else (ZOOKEEPER-2959).
//! - A promise leaves after the disk has it. What says a promise is an effect that comes only after the input that says that it is
//!   durable.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod committed;
pub mod election;
pub mod epoch;
pub mod membership;
pub mod properties;
pub mod sync_plan;
pub mod verifier;
pub mod vote;
