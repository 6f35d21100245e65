//! `rookeeper bench`: drives any server of the ZooKeeper protocol and says how fast it is and what it costs.
//!
//! One thread, so that on a small machine the server keeps a core of its own. Requests are pipelined: each connection keeps
//! `--depth` of them outstanding.

mod echo;
mod meter;
mod special;
mod wire;
mod work;

use std::collections::VecDeque;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::Value;
use tokio::task::JoinSet;

use meter::{Meter, Usage};
use wire::Connection;
use work::{Generator, ROOT, Work};

/// Creates in flight while the keys are made.
const SETUP_DEPTH: usize = 200;

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
    },
}

#[derive(Debug, Args)]
struct LoadOptions {
    /// What is asked.
    work: Work,
    /// Connections.
    #[arg(short, long, default_value_t = 50)]
    connections: usize,
    /// Requests of a connection outstanding at once.
    #[arg(short, long, default_value_t = 1)]
    depth: usize,
    /// Bytes of data.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Znodes the requests go to.
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// Reads per hundred of `mixed`.
    #[arg(long, default_value_t = 90)]
    reads: u32,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Load before the measurement.
    #[arg(long, default_value_t = 0)]
    warm_up: u64,
    /// The server is an echo: no session, no znodes.
    #[arg(long)]
    echo: bool,
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
    for (name, value) in report.as_object().into_iter().flatten() {
        if !value.is_null() {
            println!("{name:<28} {value}");
        }
    }
}

async fn measure(bench: &Bench) -> io::Result<Value> {
    let (server, pid) = (bench.server.as_str(), bench.pid);
    match &bench.what {
        What::Load(options) => load(server, pid, options).await,
        What::Fanout { watchers, rounds } => special::fanout(server, pid, *watchers, *rounds).await,
        What::Idle { sessions, seconds } => special::idle(server, pid, *sessions, *seconds).await,
        What::Storm { connections } => special::storm(server, *connections).await,
        What::Fill { znodes, size } => special::fill(server, pid, *znodes, *size).await,
        What::Watches { watches } => special::watches(server, pid, *watches).await,
        What::Echo { reply } => echo::serve(server, *reply).await.map(|()| Value::Null),
    }
}

async fn load(server: &str, pid: Option<u32>, options: &LoadOptions) -> io::Result<Value> {
    let keys: Vec<String> = (0..options.keys.max(1))
        .map(|n| format!("{ROOT}/keys/key-{n:016}"))
        .collect();
    let data = vec![b'x'; options.size];
    if !options.echo {
        prepare(server, &keys, &data).await?;
    }
    if options.warm_up > 0 {
        drive(
            server,
            options,
            &keys,
            &data,
            Duration::from_secs(options.warm_up),
        )
        .await?;
    }
    let before = Usage::of(pid);
    let begun = Instant::now();
    let meter = drive(
        server,
        options,
        &keys,
        &data,
        Duration::from_secs(options.seconds),
    )
    .await?;
    let took = begun.elapsed();
    let name = format!(
        "{:?} C{}D{}",
        options.work, options.connections, options.depth
    )
    .to_lowercase();
    Ok(meter.report(&name, took, before.zip(Usage::of(pid))))
}

async fn drive(
    server: &str,
    options: &LoadOptions,
    keys: &[String],
    data: &[u8],
    lasting: Duration,
) -> io::Result<Meter> {
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(match options.echo {
            true => Connection::connect(server).await?,
            false => Connection::open(server).await?,
        });
    }
    let run = run_name();
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for (number, connection) in connections.into_iter().enumerate() {
        let generator = Generator::new(
            options.work,
            options.reads,
            keys.to_vec(),
            data.to_vec(),
            (&run, number),
        );
        running.spawn(keep_busy(
            connection,
            generator,
            options.depth,
            begun,
            lasting,
        ));
    }
    let mut all = Meter::new();
    while let Some(done) = running.join_next().await {
        all.merge(&done.map_err(io::Error::other)??);
    }
    Ok(all)
}

/// A name that no other run has: creates must not meet their own past.
fn run_name() -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:x}", since.as_micros())
}

async fn keep_busy(
    mut connection: Connection,
    mut generator: Generator,
    depth: usize,
    begun: Instant,
    lasting: Duration,
) -> io::Result<Meter> {
    let mut meter = Meter::new();
    let mut sent = VecDeque::with_capacity(depth);
    let mut out = Vec::new();
    let mut xid = 0_i32;
    loop {
        let now = Instant::now();
        let over = now - begun >= lasting;
        if over && sent.is_empty() {
            return Ok(meter);
        }
        out.clear();
        while !over && sent.len() < depth {
            xid = xid.wrapping_add(1) & i32::MAX;
            generator.next(xid, &mut out);
            sent.push_back(now);
        }
        if !out.is_empty() {
            connection.send(&out).await?;
        }
        connection.fill().await?;
        let now = Instant::now();
        while let Some(reply) = connection.reply() {
            if reply.xid != -1
                && let Some(at) = sent.pop_front()
            {
                meter.note(now - at, reply.err, now - begun);
            }
        }
    }
}

/// Makes the znodes the requests go to.
async fn prepare(server: &str, keys: &[String], data: &[u8]) -> io::Result<()> {
    let mut connection = Connection::open(server).await?;
    let rooms = [
        ROOT.to_owned(),
        format!("{ROOT}/keys"),
        format!("{ROOT}/new"),
    ];
    special::create_all(&mut connection, rooms.iter(), b"", 1).await?;
    special::create_all(&mut connection, keys.iter(), data, SETUP_DEPTH).await
}
