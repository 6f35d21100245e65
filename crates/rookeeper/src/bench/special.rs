//! Benches that are not a steady load: idle sessions, storms, memory.

use std::io;
use std::time::Duration;

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::meter::{Usage, Watch};
use super::setup::{SETUP_DEPTH, create_all, room};
use super::traffic::ask_all;
use super::wire::{self, Connection};
use super::work::{FILLED_PARENTS, FILLED_ROOM, filled_path};

/// Time between the last request and a look at the memory that stays.
const REST: Duration = Duration::from_secs(3);
/// Time between pings of an idle session: a third of its timeout, as clients do.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Sessions that only ping.
pub(super) async fn idle(
    server: &str,
    pid: Option<u32>,
    sessions: usize,
    seconds: u64,
) -> io::Result<Value> {
    let empty = Usage::of(pid);
    let mut tasks = JoinSet::new();
    for number in 0..sessions {
        let mut connection = Connection::open(server).await?;
        tasks.spawn(async move {
            let mut ticks = interval(PING_INTERVAL);
            tokio::time::sleep(PING_INTERVAL * u32::try_from(number % 100).unwrap_or(0) / 100)
                .await;
            let mut out = Vec::new();
            wire::ping(&mut out);
            loop {
                ticks.tick().await;
                if let Err(error) = connection.call(&out).await {
                    return error;
                }
            }
        });
    }
    let before = Usage::of(pid);
    let lost = timeout(Duration::from_secs(seconds), tasks.join_next()).await;
    if let Ok(Some(error)) = lost {
        return Err(error.map_err(io::Error::other)?);
    }
    let after = Usage::of(pid);
    let per = |a: Usage, b: Usage| (b.resident as f64 - a.resident as f64) / sessions.max(1) as f64;
    Ok(json!({
        "work": format!("idle {sessions}"),
        "server_cores": before.zip(after).map(|(a, b)| ((b.cpu_s - a.cpu_s) / seconds as f64 * 1e4).round() / 1e4),
        "server_resident_bytes": after.map(|u| u.resident),
        "server_bytes_per_session": empty.zip(after).map(|(a, b)| per(a, b).round()),
    }))
}

/// Many connections at once.
pub(super) async fn storm(server: &str, connections: usize) -> io::Result<Value> {
    let watch = Watch::start();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let server = server.to_owned();
        tasks.spawn(async move { Connection::open(&server).await });
    }
    let (mut open, mut failed) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        match done.map_err(io::Error::other)? {
            Ok(connection) => open.push(connection),
            Err(_) => failed += 1,
        }
    }
    Ok(
        json!({ "work": format!("storm {connections}"), "all_open_ms": watch.millis(), "failed": failed }),
    )
}

/// Fills the tree with 20-character names below 1,000 parents.
pub(super) async fn fill(
    server: &str,
    pid: Option<u32>,
    znodes: usize,
    size: usize,
) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let top = room(&mut connection, FILLED_ROOM).await?;
    let parents: Vec<String> = (0..FILLED_PARENTS.min(znodes))
        .map(|n| format!("{top}/p{n:03}"))
        .collect();
    create_all(&mut connection, parents.iter(), b"").await?;
    let empty = Usage::of(pid);
    let watch = Watch::start();
    let data = vec![b'x'; size];
    let requests = (0..znodes).map(|n| {
        let data = &data;
        move |xid, out: &mut Vec<u8>| {
            let mut path = String::new();
            filled_path(n, znodes, &mut path);
            wire::create(out, xid, &path, data, 0);
        }
    });
    ask_all(&mut connection, SETUP_DEPTH, requests).await?;
    let took_ms = watch.millis();
    // Memory that was only needed on the way goes back after a moment.
    tokio::time::sleep(REST).await;
    let after = Usage::of(pid);
    let per = |a: Usage, b: Usage| (b.resident as f64 - a.resident as f64) / znodes.max(1) as f64;
    Ok(json!({
        "work": format!("fill {znodes}"),
        "took_ms": took_ms,
        "server_resident_bytes": after.map(|u| u.resident),
        "server_bytes_per_znode": empty.zip(after).map(|(a, b)| per(a, b).round()),
    }))
}

/// Exists watches of one client on distinct paths of 30 characters.
pub(super) async fn watches(server: &str, pid: Option<u32>, watches: usize) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let empty = Usage::of(pid);
    let watch = Watch::start();
    let requests = (0..watches).map(|n| {
        let path = format!("/watched-path-{n:016}");
        move |xid, out: &mut Vec<u8>| wire::read(out, xid, OpCode::Exists, &path, true)
    });
    ask_all(&mut connection, SETUP_DEPTH, requests).await?;
    let after = Usage::of(pid);
    let per = |a: Usage, b: Usage| (b.resident as f64 - a.resident as f64) / watches.max(1) as f64;
    Ok(json!({
        "work": format!("watches {watches}"),
        "took_ms": watch.millis(),
        "server_resident_bytes": after.map(|u| u.resident),
        "server_bytes_per_watch": empty.zip(after).map(|(a, b)| per(a, b).round()),
    }))
}
