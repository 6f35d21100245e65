//! One whole ensemble member without sockets, disk or clock.
//!
//! Two state machines live here. [`standalone::Standalone`] is the member: inputs in (requests, `Synced`, ticks), effects out
//! (append, apply, answer, close); later releases add the roles of an ensemble beside it. [`conversation::Conversation`] is one
//! client connection: frames in, reply bytes and requests for the member out.
//!
//! What does not live here: what a request means (`rookeeper-tree`), how bytes reach the disk or a socket (the driver). The
//! simulator drives the very same code.
//!
//! Invariants:
//! - A reply to a write leaves only after the `Synced` input that covers it.
//! - Effects need no conditions: the driver performs them in order.
//! - Requests of one connection take effect in the order in which they were sent.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod conversation;
pub mod delivery;
pub mod effect;
pub mod ensemble;
pub mod forwarder;
pub mod input;
pub mod kept;
pub mod limits;
pub mod lots;
pub mod mutation;
pub mod proposer;
mod queued;
pub mod reads;
pub mod reaper;
pub mod session_ids;
pub mod sessions;
pub mod standalone;
