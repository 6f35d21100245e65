//! The replicated state, and what may be asked of it.
//!
//! What lives here: the tree of znodes, the judge of writes ([`prep`]), their application ([`apply`]), reads, ACLs, identities,
//! quotas, digests, the session table, watches, and the state as a byte stream ([`image`]).
//!
//! What does not: who leads, what is committed, when a session expires in real time, sockets, files, clocks. Time is an
//! argument everywhere.
//!
//! Invariants:
//! - Two trees that applied the same transactions are equal, and so are their digests.
//! - Nothing here calls anybody: applying returns a change, a change asked of the watches returns events.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod acl;
mod acl_table;
pub mod apply;
pub mod auth;
mod create_kind;
pub mod expiry;
pub mod image;
mod index;
pub mod mutation;
pub mod pending;
pub mod prep;
pub mod quota;
pub mod reaper;
pub mod tree;
mod warm;
pub mod watches;
mod znode;
