//! Simulated clients: what they ask for, what they make of the answers, and how they live.
//!
//! Invariant: what a client was not told it does not know: a request whose connection broke may have happened or not.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod client;
