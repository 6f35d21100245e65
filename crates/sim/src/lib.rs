//! A simulator of whole ensembles: members over a virtual network, disks whose power can be cut, and virtual time, all from one
//! seed. It shows that what must hold holds, whatever breaks, and that it would notice if it did not.
//!
//! What lives here: the world ([`run`]), what breaks in it, its clients, and what is checked. Deliberate mistakes are in
//! [`mutation`]. What does not: anything that a server is made of. Members, trees and files are the code that is shipped.
//!
//! Invariants:
//! - A seed reproduces everything: no clock, no thread and no random order reaches a history.
//! - First there is trouble, then everything is mended, and then progress is demanded.
#![allow(
    clippy::disallowed_methods,
    reason = "an edge crate: seeds are run on all cores, against a clock"
)]

mod agenda;
pub mod boundary;
mod checks;
pub mod coverage;
mod decay;
mod dice;
mod disk;
mod faults;
pub mod mutation;
mod network;
mod plan;
mod process;
pub mod run;
mod scene;
mod trace;
mod workload;
mod world;
