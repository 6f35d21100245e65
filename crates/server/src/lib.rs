//! Tokio and the outside world: the edge of a Rookeeper server.
//!
//! This crate does things and decides nothing about ZooKeeper's rules: those live in the pure crates.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an edge crate reads clocks and files, starts threads and opens sockets; the pure crates do not"
)]

pub mod config;
