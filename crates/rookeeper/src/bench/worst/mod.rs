//! What hurts a server most, a file for each case. Every one works with any server of the protocol.

mod deep;
mod ephemerals;
mod reconnect;
mod siblings;
mod slow_reader;
mod values;
mod watches;

use std::io;

use clap::Subcommand;
use serde_json::Value;

/// The cases.
#[derive(Debug, Subcommand)]
pub(super) enum Worst {
    /// create and delete below a znode with a million children, and below one with ten.
    Siblings {
        /// Children of the crowded one.
        #[arg(long, default_value_t = 1_000_000)]
        children: usize,
        /// How long each of three loads is measured.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// A session with many ephemerals closes, while another reads.
    Ephemerals {
        /// How many.
        #[arg(long, default_value_t = 100_000)]
        count: usize,
    },
    /// All data watches of one session fire at once.
    Watches {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        watches: usize,
        /// How often.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// One client asks for much and hardly reads, while others read.
    SlowReader {
        /// How long the others are measured, each of four times.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// Values as large as a request may be.
    Values {
        /// Bytes of data.
        #[arg(long, default_value_t = 1_048_000)]
        size: usize,
        /// How long each of set and get is measured.
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// get, set, create and delete far down, and near the root.
    Deep {
        /// Components of a path.
        #[arg(long, default_value_t = 200)]
        depth: usize,
        /// How long each of the six is measured.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
    },
    /// All sessions lose their connection and come back at once.
    Reconnect {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        sessions: usize,
    },
}

/// Runs a case.
pub(super) async fn run(server: &str, pid: Option<u32>, case: &Worst) -> io::Result<Value> {
    match *case {
        Worst::Siblings { children, seconds } => {
            siblings::run(server, pid, children, seconds).await
        }
        Worst::Ephemerals { count } => ephemerals::run(server, pid, count).await,
        Worst::Watches { watches, rounds } => watches::run(server, pid, watches, rounds).await,
        Worst::SlowReader { seconds } => slow_reader::run(server, pid, seconds).await,
        Worst::Values { size, seconds } => values::run(server, pid, size, seconds).await,
        Worst::Deep { depth, seconds } => deep::run(server, pid, depth, seconds).await,
        Worst::Reconnect { sessions } => reconnect::run(server, pid, sessions).await,
    }
}

/// How much of `of` the field is, of two reports.
fn ratio(part: &Value, of: &Value, field: &str) -> Option<f64> {
    let (part, of) = (part.get(field)?.as_f64()?, of.get(field)?.as_f64()?);
    (of > 0.0).then(|| super::meter::round(part / of))
}
