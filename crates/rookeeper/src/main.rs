//! The `rookeeper` binary: one program, a subcommand per job.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program reads its environment, opens sockets and speaks to its terminal"
)]

mod bench;
mod cli;
mod ensemble;
mod lock;
mod logging;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// Znodes and requests are small and made on one thread and freed on another: measured against the system's allocator, writes cost a
/// fifth less.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Rookeeper: a coordination service that speaks ZooKeeper's protocols and formats.
#[derive(Debug, Parser)]
#[command(name = "rookeeper", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    job: Option<Job>,
}

#[derive(Debug, Subcommand)]
enum Job {
    /// Run a server: with a zoo.cfg, with `PORT DATADIR [TICKTIME] [MAXCNXNS]`, or with nothing at all (port 2181, data under
    /// ./rookeeper-data). `-Dname=value` words set properties.
    Server {
        /// Stop when standard input ends: whoever started this server is gone then
        #[arg(long, hide = true)]
        until_stdin_ends: bool,
        /// `CONFIGFILE`, or `PORT DATADIR [TICKTIME] [MAXCNXNS]`, and `-Dname=value` words anywhere
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The shell: ZooKeeper's commands and some more, on a terminal, from a file, or one at a time. `rookeeper cli -h` tells more.
    #[command(disable_help_flag = true)]
    Cli {
        /// Options and a command, as zkCli.sh takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run all members of an ensemble on this machine, to try things out: a process each, data kept, Ctrl-C stops them.
    Ensemble(ensemble::Ensemble),
    /// Run a command while a lock is held: `rookeeper lock /locks/backup -- ./backup.sh`. Ends with the command's exit code; 69 if there was no lock, 70 if it was lost.
    Lock(lock::Lock),
    /// Measure a server of the ZooKeeper protocol.
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    if let Some(words) = cli::called_as_shell() {
        return cli::run(&words);
    }
    match Arguments::parse_from(lock::spelled(std::env::args_os())).job {
        None => server::run(&[]),
        Some(Job::Server {
            until_stdin_ends,
            words,
        }) => {
            if until_stdin_ends {
                server::end_with_stdin();
            }
            server::run(&words)
        }
        Some(Job::Cli { words }) => cli::run(&words),
        Some(Job::Ensemble(options)) => ensemble::run(&options),
        Some(Job::Lock(lock)) => lock::run(&lock),
        Some(Job::Bench(bench)) => bench::run(&bench),
    }
}
