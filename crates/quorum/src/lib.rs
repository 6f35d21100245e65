//! Who leads, and what is committed: ZooKeeper's election and its atomic broadcast, as functions of their inputs.
//!
//! What lives here:
//! - the ensemble: its configuration ([`membership`], in the syntax of [`properties`]), what a quorum of it is ([`verifier`]), how
//!   votes compare ([`vote`]);
//! - how a leader is found ([`election`]), gets an epoch ([`epoch`]), and brings learners to its history ([`sync_plan`],
//!   [`committed`]);
//! - the roles: [`leader`], with its view of each learner ([`progress`]), and [`learner`].
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
//! - A promise leaves after the disk has it: a vote says what is durable, and so do an acknowledgement and an epoch. The effect
//!   that says it comes only after the input that says that it is durable.
//! - `currentEpoch <= acceptedEpoch` on every disk: the promise of an epoch is written before its history is taken over.
//!
//! The rules are those of `docs/quorum.md`, which comments cite as *quorum protocol 3.9*.
//!
//! What the driver of a role owes: effects in order; the whole log applied before a role begins; and when a role ends, the log made
//! durable, and memory loaded anew if it holds what the log does not, before the next vote (ZOOKEEPER-2845, 4712).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod committed;
pub mod election;
pub mod epoch;
pub mod leader;
pub mod learner;
pub mod membership;
pub mod mutation;
pub mod progress;
pub mod properties;
pub mod sync_plan;
pub mod verifier;
pub mod vote;
