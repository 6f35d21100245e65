//! Rookeeper's shell: `rookeeper cli`, also called as `zkCli.sh`. What ZooKeeper's shell accepts and prints, it accepts and prints;
//! beyond that it shows trees, copies, exports and searches them.
//!
//! What lives here: lines and their words ([`words`], [`options`], [`history`]), texts ([`acl_text`], [`path_text`], [`stat_block`],
//! [`hex_dump`], [`event_text`], [`error_text`], [`data_text`], [`document`], [`out_file`]), the session and what arrives on it ([`shell`],
//! [`arrivals`]), the commands ([`commands`]), where lines come from and where words go ([`run`], [`start`], [`prompt`], [`console`]).
//!
//! What does not: the protocol (`rookeeper-client`). The shell builds and is tested without the server.
//!
//! Invariants:
//! - Every command ends in at most one complaint and a status; the shell goes on.
//! - An event is printed before the result of the command that caused it.
//! - Nothing that a server sends can speak to the terminal.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program for a person: it has a terminal, files, a clock, and an environment"
)]

pub mod acl_text;
pub mod arrivals;
pub mod commands;
pub mod completion;
pub mod console;
pub mod data_text;
pub mod document;
pub mod editor;
pub mod error_text;
pub mod event_text;
pub mod failure;
pub mod hex_dump;
pub mod history;
pub mod interrupt;
pub mod options;
pub mod out_file;
pub mod path_text;
pub mod progress;
pub mod prompt;
mod reach;
pub mod run;
pub mod session_log;
pub mod shell;
pub mod start;
pub mod stat_block;
pub mod subtree;
pub mod tls;
pub mod transfer;
pub mod walk;
pub mod words;
