//! Bytes to records and back, and no meaning: what a client, a peer and the disk say to a ZooKeeper server.
//!
//! What lives here: the primitive encodings ([`jute`]), identifiers ([`ids`]), the records of the client protocol
//! ([`request`], [`response`], [`multi`], and from the client's side [`compose`], [`reply`]), what servers say to each other ([`ballot`], [`packet`]), transactions as the log and the peers know them ([`txn`]), and the constants of
//! all of them ([`code`]).
//!
//! What does not: any rule about when a request succeeds (that is `tree::prep`), sockets, files, clocks.
//!
//! Invariants:
//! - A decoder never panics, never allocates by an announced length, and never reads beyond its frame.
//! - An encoder writes what the Java server would write, byte for byte.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod acl;
pub mod ballot;
pub mod code;
pub mod compose;
pub mod ids;
pub mod jute;
pub mod multi;
pub mod mutation_switch;
pub mod packet;
pub mod password;
pub mod path;
pub mod reply;
pub mod request;
pub mod response;
pub mod source;
pub mod stat;
pub mod txn;
mod write;
