//! Our own client, measured: what a get costs on this side, and how soon watches are back after a break.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Subcommand;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{AddWatchMode, Client, CreateOptions, Error, Signal, State};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::meter::{Meter, fine_cpu_s, round};

/// The znode below which everything is.
const ROOT: &str = "/client-bench";
/// The lock that many want.
const MUTEX: &str = "/client-bench-mutex";
/// Bytes of a value.
const BYTES: usize = 100;
/// Before the clock starts.
const WARM: Duration = Duration::from_secs(1);
/// A connection that has lasted this long counts as a good one.
const SETTLED: Duration = Duration::from_millis(1500);
/// Requests in flight while something is set up or taken away.
const SETUP_DEPTH: usize = 500;
/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Case {
    /// Gets of one small znode over one connection.
    Get {
        /// How many are asked and not answered.
        #[arg(long, default_value_t = 100)]
        outstanding: usize,
        /// For how long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// A connection with many one-shot watches breaks.
    Rewatch {
        /// How many, each on a znode of its own.
        #[arg(long, default_value_t = 10_000)]
        watches: usize,
        /// How often it breaks.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// One lock that many want: each releases it at once and queues again.
    Mutex {
        /// How many want it.
        #[arg(long, default_value_t = 100)]
        contenders: usize,
        /// Connections that they share.
        #[arg(long, default_value_t = 10)]
        clients: usize,
        /// For how long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Wait until a release is done before queueing again. Without it the guard is dropped, as programs do.
        #[arg(long)]
        awaited: bool,
    },
}

/// Measures.
pub(super) async fn run(server: &str, case: &Case) -> io::Result<Value> {
    let measured = match case {
        Case::Get {
            outstanding,
            seconds,
        } => get(server, *outstanding, Duration::from_secs(*seconds)).await,
        Case::Rewatch { watches, rounds } => rewatch(server, *watches, *rounds).await,
        Case::Mutex {
            contenders,
            clients,
            seconds,
            awaited,
        } => {
            let length = Duration::from_secs(*seconds);
            mutex(server, *contenders, *clients, length, *awaited).await
        }
    };
    measured.map_err(io::Error::other)
}

async fn make(client: &Client, path: &str) -> Result<(), Error> {
    let made = client.create(path, [7; BYTES], &CreateOptions::persistent());
    match made.await {
        Err(error) if !error.is_node_exists() => Err(error),
        _ => Ok(()),
    }
}

async fn get(server: &str, outstanding: usize, length: Duration) -> Result<Value, Error> {
    let client = Client::connect(server).await?;
    make(&client, ROOT).await?;
    gets(&client, outstanding, WARM).await?;
    let (before, begun) = (own_cpu_s(), Instant::now());
    let meter = gets(&client, outstanding, length).await?;
    let (took, used) = (begun.elapsed().as_secs_f64(), own_cpu_s() - before);
    client.delete(ROOT, -1).await?;
    client.close().await?;
    let operations = meter.count().max(1) as f64;
    Ok(json!({
        "work": "client get",
        "bytes": BYTES,
        "outstanding": outstanding,
        "seconds": round(took),
        "operations": meter.count(),
        "operations_per_second": (operations / took).round(),
        "client_cpu_us_per_operation": round(used * 1e6 / operations),
        "p50_us": round(meter.micros(0.5)),
        "p99_us": round(meter.micros(0.99)),
    }))
}

/// Keeps so many outstanding. Answers come in order, so the oldest is always the next.
async fn gets(client: &Client, outstanding: usize, length: Duration) -> Result<Meter, Error> {
    let (mut meter, mut window) = (Meter::new(), VecDeque::new());
    let begun = Instant::now();
    while begun.elapsed() < length {
        while window.len() < outstanding.max(1) {
            window.push_back((Instant::now(), client.data(ROOT)));
        }
        if let Some((asked, call)) = window.pop_front() {
            call.await?;
            meter.note(asked.elapsed(), 0, begun.elapsed());
        }
    }
    for (_, call) in window {
        call.await?;
    }
    Ok(meter)
}

async fn rewatch(server: &str, watches: usize, rounds: usize) -> Result<Value, Error> {
    let relay = Relay::to(server).await.map_err(|_| Error::NotSent)?;
    let client = Client::connect(&relay.address).await?;
    make(&client, ROOT).await?;
    let paths: Vec<String> = (0..watches)
        .map(|n| format!("{ROOT}/watched-{n}"))
        .collect();
    let mut kept = Vec::with_capacity(watches);
    for some in paths.chunks(SETUP_DEPTH) {
        let options = CreateOptions::ephemeral();
        let made: Vec<_> = some
            .iter()
            .map(|path| client.create(path, "", &options))
            .collect();
        let asked: Vec<_> = some.iter().map(|path| client.data_watched(path)).collect();
        for call in made {
            call.await?;
        }
        for call in asked {
            kept.push(call.await?.1);
        }
    }
    // Its signal comes when the last of all watches is registered.
    let mut signals = client.watch(ROOT, AddWatchMode::Persistent).await?;
    let (mut slowest, mut sum, before) = (Duration::ZERO, Duration::ZERO, own_cpu_s());
    for _ in 0..rounds.max(1) {
        // A connection that breaks soon after it came is one to be careful with: the next attempt would wait.
        sleep(SETTLED).await;
        let begun = Instant::now();
        relay.cut();
        while timeout(PATIENCE, signals.next())
            .await
            .map_err(|_| Error::Timeout)?
            != Some(Signal::Restored)
        {
            if client.state() == State::Expired {
                return Err(Error::SessionExpired);
            }
        }
        slowest = slowest.max(begun.elapsed());
        sum += begun.elapsed();
    }
    let rounds = rounds.max(1) as f64;
    let used = own_cpu_s() - before;
    client.close().await?;
    Ok(json!({
        "work": format!("client with {watches} watches comes back"),
        "watches": kept.len(),
        "average_ms": round(sum.as_secs_f64() * 1000.0 / rounds),
        "slowest_ms": round(slowest.as_secs_f64() * 1000.0),
        "client_cpu_ms": round(used * 1000.0 / rounds),
    }))
}

async fn mutex(
    server: &str,
    contenders: usize,
    clients: usize,
    length: Duration,
    awaited: bool,
) -> Result<Value, Error> {
    let (turns, mut tasks) = (Arc::new(Turns::default()), JoinSet::new());
    let mut connections = Vec::new();
    for _ in 0..clients.max(1) {
        connections.push(Client::connect(server).await?);
    }
    for client in connections.iter().cycle().take(contenders) {
        let mutex = Mutex::new(client, MUTEX);
        tasks.spawn(contend(mutex, Arc::clone(&turns), awaited));
    }
    sleep(WARM).await;
    let (before, made, begun) = (own_cpu_s(), turns.made(), Instant::now());
    sleep(length).await;
    let made = turns.made() - made;
    let (took, used) = (begun.elapsed().as_secs_f64(), own_cpu_s() - before);
    let holders = turns.most.load(Ordering::Relaxed);
    tasks.shutdown().await;
    for client in connections {
        client.close().await?;
    }
    Ok(json!({
        "work": "client mutex",
        "contenders": contenders,
        "clients": clients,
        "awaited": awaited,
        "seconds": round(took),
        "handovers": made,
        "handovers_per_second": round(made as f64 / took),
        "client_cpu_us_per_handover": round(used * 1e6 / made.max(1) as f64),
        "holders_at_once": holders,
    }))
}

/// Who had the lock, and how many at once.
#[derive(Debug, Default)]
struct Turns {
    made: AtomicU64,
    holders: AtomicU64,
    most: AtomicU64,
}

impl Turns {
    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

async fn contend(mutex: Mutex, turns: Arc<Turns>, awaited: bool) -> Result<(), Error> {
    loop {
        let guard = mutex.lock().await?;
        let holders = turns.holders.fetch_add(1, Ordering::Relaxed) + 1;
        turns.most.fetch_max(holders, Ordering::Relaxed);
        turns.made.fetch_add(1, Ordering::Relaxed);
        turns.holders.fetch_sub(1, Ordering::Relaxed);
        if awaited {
            guard.release().await?;
        } else {
            drop(guard);
        }
    }
}

fn own_cpu_s() -> f64 {
    fine_cpu_s(Some(std::process::id())).unwrap_or_default()
}

/// A line to the server that can be cut.
struct Relay {
    address: String,
    cuts: tokio::sync::watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn to(server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (cuts, seen) = tokio::sync::watch::channel(());
        let server = server.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), seen.clone()));
            }
        });
        Ok(Self {
            address,
            cuts,
            task,
        })
    }

    /// Every connection ends; new ones are possible at once.
    fn cut(&self) {
        self.cuts.send_replace(());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, server: String, mut cuts: tokio::sync::watch::Receiver<()>) {
    cuts.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => {}
    }
}
