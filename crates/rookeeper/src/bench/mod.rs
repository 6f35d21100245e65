//! `rookeeper bench`: drives any server of the ZooKeeper protocol and says how fast it is and what it costs.
//!
//! One thread, so that on a small machine the server keeps a core of its own. Requests are pipelined: each connection keeps
//! `--depth` of them outstanding.

mod append;
mod client;
mod echo;
mod failover;
mod fanout;
mod load;
mod meter;
mod setup;
mod special;
mod traffic;
mod wire;
mod work;
mod worst;

use std::io;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use append::AppendOptions;
use fanout::Fanout;
use load::LoadOptions;
use worst::Worst;

/// Options of all benches.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The server.
    #[arg(long, default_value = "127.0.0.1:2181", global = true)]
    server: String,
    /// Its process: shows CPU time and memory.
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Steady load of one kind.
    Load(LoadOptions),
    /// One setData seen by many watchers, again and again.
    Fanout {
        /// Connections that watch.
        #[arg(long, default_value_t = 1000)]
        watchers: usize,
        /// How often.
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// The server is `echo --fanout`.
        #[arg(long)]
        echo: bool,
    },
    /// Sessions that only ping.
    Idle {
        /// How many.
        #[arg(long, default_value_t = 5000)]
        sessions: usize,
        /// For how long.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Many connections at once.
    Storm {
        /// How many.
        #[arg(long, default_value_t = 2000)]
        connections: usize,
    },
    /// Fills the tree: memory per znode.
    Fill {
        /// How many znodes.
        #[arg(long, default_value_t = 1_000_000)]
        znodes: usize,
        /// Bytes of data.
        #[arg(long, default_value_t = 100)]
        size: usize,
    },
    /// Data watches of one client on distinct paths: memory per watch.
    Watches {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        watches: usize,
    },
    /// An echo of the same frames: the ceiling. Runs as a server on `--server`.
    Echo {
        /// Bytes of a reply behind its header.
        #[arg(long, default_value_t = 172)]
        reply: usize,
        /// A setData makes it write an event to every connection.
        #[arg(long)]
        fanout: bool,
    },
    /// Records appended and synced without a server: the ceiling of writes.
    Append(AppendOptions),
    /// Ends the leader of an ensemble while a client of another member (--server) writes.
    Failover {
        /// The leader's process.
        #[arg(long)]
        leader: u32,
        /// It is told to stop, instead of being killed.
        #[arg(long)]
        graceful: bool,
    },
    /// Our own client: what it costs on this side.
    Client {
        #[command(subcommand)]
        case: client::Case,
    },
    /// What hurts a server most.
    Worst {
        #[command(subcommand)]
        case: Worst,
    },
}

/// Runs a bench.
pub(crate) fn run(bench: &Bench) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    raise_descriptor_limit();
    match runtime.block_on(measure(bench)) {
        Ok(report) => {
            show(&report, bench.json);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &io::Error) -> ExitCode {
    eprintln!("bench: {error}");
    ExitCode::FAILURE
}

fn show(report: &Value, json: bool) {
    if json {
        println!("{report}");
        return;
    }
    show_fields(report, "");
}

fn show_fields(report: &Value, indent: &str) {
    for (name, value) in report.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Object(_) => {
                println!("{indent}{name}");
                show_fields(value, &format!("{indent}  "));
            }
            _ => println!("{:<32} {value}", format!("{indent}{name}")),
        }
    }
}

/// Thousands of connections need a descriptor each. Where it cannot be raised, opening them says so.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, most).unwrap_or_default();
}

async fn measure(bench: &Bench) -> io::Result<Value> {
    let (server, pid) = (bench.server.as_str(), bench.pid);
    match &bench.what {
        What::Load(options) => load::load(server, pid, options).await,
        What::Fanout {
            watchers,
            rounds,
            echo,
        } => {
            let fanout = Fanout {
                server,
                pid,
                watchers: *watchers,
                rounds: *rounds,
                echo: *echo,
            };
            fanout.run().await
        }
        What::Idle { sessions, seconds } => special::idle(server, pid, *sessions, *seconds).await,
        What::Storm { connections } => special::storm(server, *connections).await,
        What::Fill { znodes, size } => special::fill(server, pid, *znodes, *size).await,
        What::Watches { watches } => special::watches(server, pid, *watches).await,
        What::Echo { reply, fanout } => {
            echo::serve(server, *reply, *fanout).await?;
            Ok(Value::Null)
        }
        What::Append(options) => append::append(options),
        What::Failover { leader, graceful } => failover::run(server, *leader, *graceful).await,
        What::Client { case } => client::run(server, case).await,
        What::Worst { case } => worst::run(server, pid, case).await,
    }
}
