//! All sessions lose their connection and come back at once, each with its id and password.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bench::meter::{Meter, Usage, round};
use crate::bench::wire::{Connection, Session};

/// Sessions opened at once at the start: within the backlog of any server.
const OPENED_AT_ONCE: usize = 40;
/// How long a client tries to come back.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a client waits after an attempt that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// How a client came back.
#[derive(Debug)]
enum Outcome {
    /// With its session.
    Back(Connection),
    /// The session was over.
    Expired,
}

pub(super) async fn run(server: &str, pid: Option<u32>, sessions: usize) -> io::Result<Value> {
    let mut connections = Vec::new();
    while connections.len() < sessions {
        let mut opening = JoinSet::new();
        for _ in 0..OPENED_AT_ONCE.min(sessions - connections.len()) {
            let server = server.to_owned();
            opening.spawn(async move { Connection::open(&server).await });
        }
        while let Some(opened) = opening.join_next().await {
            connections.push(opened.map_err(io::Error::other)??);
        }
    }
    let before = Usage::of(pid);
    let cut: io::Result<Vec<Session>> = connections.into_iter().map(Connection::cut).collect();
    let begun = Instant::now();
    let mut coming = JoinSet::new();
    for session in cut? {
        let server = server.to_owned();
        coming.spawn(async move {
            let mut failures = 0_u64;
            let outcome = timeout(PATIENCE, come_back(&server, session, &mut failures)).await;
            (outcome, begun.elapsed(), failures)
        });
    }
    let (mut meter, mut back) = (Meter::new(), Vec::new());
    let (mut expired, mut lost, mut failures) = (0_u64, 0_u64, 0);
    while let Some(came) = coming.join_next().await {
        let (outcome, after, failed) = came.map_err(io::Error::other)?;
        failures += failed;
        match outcome {
            Ok(Outcome::Back(connection)) => {
                meter.note(after, 0, after);
                back.push(connection);
            }
            Ok(Outcome::Expired) => expired += 1,
            Err(_) => lost += 1,
        }
    }
    let cpu = before.zip(Usage::of(pid)).map(|(a, b)| b.cpu_s - a.cpu_s);
    Ok(json!({
        "work": format!("{sessions} sessions come back"),
        "back": back.len(),
        "expired": expired,
        "not_back_in_time": lost,
        "attempts_failed": failures,
        "half_back_ms": round(meter.micros(0.5) / 1000.0),
        "all_back_ms": round(meter.micros(1.0) / 1000.0),
        "server_cpu_us_per_session": cpu.map(|s| round(s * 1e6 / sessions.max(1) as f64)),
        "server_resident_bytes": Usage::of(pid).map(|usage| usage.resident),
        "server_peak_resident_bytes": Usage::of(pid).map(|usage| usage.peak_resident),
    }))
}

/// Tries until the server answers; counts the attempts that failed.
async fn come_back(server: &str, session: Session, failures: &mut u64) -> Outcome {
    loop {
        match Connection::resume(server, session.clone()).await {
            Ok(Some(connection)) => return Outcome::Back(connection),
            Ok(None) => return Outcome::Expired,
            Err(_) => *failures += 1,
        }
        sleep(PAUSE).await;
    }
}
