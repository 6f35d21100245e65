//! Tokio and the outside world: the edge of a Rookeeper server.
//!
//! This crate does things and decides nothing about ZooKeeper's rules: those live in the pure crates. A server is one driver thread
//! ([`driver`]), which alone writes the tree and the log, and a task per client connection ([`client_conn`]), which reads the
//! tree. They meet in the [`inbox`] (towards the driver) and in mailboxes ([`mailbox`], towards the connections).

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge crate reads clocks and files, starts threads and opens sockets; the pure crates do not"
)]

mod background;
pub mod boot;
pub mod client_conn;
pub mod client_port;
pub mod clock;
pub mod config;
pub mod connection_end;
pub mod connections;
pub mod driver;
pub mod election_port;
pub mod inbox;
pub mod io_threads;
pub mod large_requests;
pub mod mailbox;
pub mod metrics;
pub mod output;
pub mod purge;
pub mod quorum_port;
pub mod replica;
pub mod service;
pub mod snapshots;
pub mod talk;
pub mod words;
pub mod words_port;
