//! ZooKeeper's files: transaction logs, snapshots and epoch files, as plain synchronous IO behind one small trait.
//!
//! What lives here: names and directories ([`dirs`]), writing and reading logs ([`log_writer`], [`log_reader`], [`replay`]),
//! snapshots ([`snapshot_writer`], [`snapshot_reader`], [`snapshots`]), the small files ([`epoch_files`]), the rules of what
//! to start from ([`recover`]) and what to delete ([`purge`]), and the door to the disk ([`disk`]). What only a member of an
//! ensemble needs: its epochs ([`epochs`]), giving others what they miss ([`log_range`]), giving up what a leader does not have
//! ([`truncate`]), taking over its state ([`install`]), and going on with a damaged history ([`incomplete`]).
//!
//! What does not: the tree (a snapshot body is bytes here), the body of a transaction (only its header's zxid is read), time,
//! threads, and any rule about requests or sessions.
//!
//! Invariants:
//! - What [`log_writer::LogWriter::sync`] has answered `Ok` for is read again by [`replay::Replay`] after any power cut.
//! - What is read is a prefix of what was appended; damage in the middle of it is an error, never an end.
//! - After the first failed write or fsync a log accepts nothing more. A full disk is not such a failure.
//! - A file that replaces another is written aside, synced, renamed, and its directory synced.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge crate: touching files is what it is for"
)]

#[cfg(feature = "testing")]
pub mod cut_disk;
pub mod dirs;
pub mod disk;
pub mod epoch_files;
pub mod epochs;
pub mod incomplete;
pub mod install;
mod log_format;
pub mod log_range;
pub mod log_reader;
pub mod log_writer;
pub mod os_disk;
pub mod purge;
pub mod recover;
pub mod replay;
pub mod snapshot_check;
mod snapshot_format;
pub mod snapshot_reader;
pub mod snapshot_writer;
pub mod snapshots;
pub mod truncate;
