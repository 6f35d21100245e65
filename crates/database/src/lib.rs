//! What a member has on its disk, as a tree and back: the place where `storage` and `tree` meet.
//!
//! Storage knows files and not trees, the tree knows images and not files. What lives here: from files to a tree and to the newest
//! transactions ([`recovery`]), from a tree to a file ([`image_file`]), and what a member of an ensemble does to its history as a
//! whole ([`database`]) or gives to others ([`history`]). What does not: threads, clocks, sockets, and any decision about when.
//!
//! Server and simulator use the same code: only the disk below it differs.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge crate: how long a load took is told to operators"
)]

pub mod database;
pub mod history;
pub mod image_file;
pub mod recovery;
