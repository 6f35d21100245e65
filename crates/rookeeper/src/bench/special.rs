//! Benches that are not a steady load: fan-out of watches, idle sessions, storms, memory.

use std::io;
use std::time::{Duration, Instant};

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::meter::{Meter, Usage, Watch, round};
use super::wire::{self, Connection};
use super::work::ROOT;

/// Requests in flight while something is set up.
const SETUP_DEPTH: usize = 500;
/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between pings of an idle session: a third of its timeout, as clients do.
const PING_INTERVAL: Duration = Duration::from_secs(10);

fn too_late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Creates all `paths`, `depth` at a time; existing ones are fine.
pub(super) async fn create_all<'a>(
    connection: &mut Connection,
    paths: impl Iterator<Item = &'a String>,
    data: &[u8],
    depth: usize,
) -> io::Result<()> {
    let (mut out, mut waiting) = (Vec::new(), 0);
    for path in paths {
        wire::create(&mut out, 1, path, data, 0);
        waiting += 1;
        if waiting == depth {
            flush(connection, &mut out, &mut waiting).await?;
        }
    }
    flush(connection, &mut out, &mut waiting).await
}

async fn flush(
    connection: &mut Connection,
    out: &mut Vec<u8>,
    waiting: &mut usize,
) -> io::Result<()> {
    connection.send(out).await?;
    out.clear();
    while *waiting > 0 {
        match connection.reply() {
            Some(reply) if reply.xid != -1 => *waiting -= 1,
            Some(_) => {}
            None => connection.fill().await?,
        }
    }
    Ok(())
}

async fn room(connection: &mut Connection, name: &str) -> io::Result<String> {
    let path = format!("{ROOT}/{name}");
    create_all(connection, [ROOT.to_owned(), path.clone()].iter(), b"", 1).await?;
    Ok(path)
}

/// One setData, seen by many; the time until the last one has heard.
pub(super) async fn fanout(
    server: &str,
    pid: Option<u32>,
    watchers: usize,
    rounds: usize,
) -> io::Result<Value> {
    let mut setter = Connection::open(server).await?;
    let path = room(&mut setter, "fanout").await?;
    let (told, mut heard) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for _ in 0..watchers {
        let mut watcher = Connection::open(server).await?;
        let (path, told) = (path.clone(), told.clone());
        tasks.spawn(async move {
            let mut out = Vec::new();
            wire::read(&mut out, 1, OpCode::GetData, &path, true);
            loop {
                watcher.call(&out).await?;
                if told.send(()).is_err() {
                    return io::Result::Ok(());
                }
                while watcher.reply().is_none_or(|reply| reply.xid != -1) {
                    watcher.fill().await?;
                }
                if told.send(()).is_err() {
                    return Ok(());
                }
            }
        });
    }
    let mut meter = Meter::new();
    let mut everybody = async || {
        for _ in 0..watchers {
            timeout(PATIENCE, heard.recv())
                .await
                .map_err(|_| too_late())?;
        }
        io::Result::Ok(())
    };
    everybody().await?;
    let before = Usage::of(pid);
    let begun = Instant::now();
    for _ in 0..rounds {
        let mut out = Vec::new();
        wire::set(&mut out, 1, &path, b"changed");
        let at = Instant::now();
        setter.call(&out).await?;
        everybody().await?;
        meter.note(at.elapsed(), 0, begun.elapsed());
        // Everybody watches again before the next round.
        everybody().await?;
    }
    let report = meter.report(
        &format!("fanout {watchers}"),
        begun.elapsed(),
        before.zip(Usage::of(pid)),
    );
    let events = (watchers * rounds) as f64;
    let cpu = before
        .zip(Usage::of(pid))
        .map(|(a, b)| round((b.cpu_s - a.cpu_s) * 1e6 / events));
    Ok(merged(
        report,
        json!({ "server_cpu_us_per_event_and_rearm": cpu }),
    ))
}

/// Adds the fields of `more` to `report`.
fn merged(mut report: Value, more: Value) -> Value {
    if let (Some(report), Value::Object(more)) = (report.as_object_mut(), more) {
        report.extend(more);
    }
    report
}

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
        "server_cores": before.zip(after).map(|(a, b)| round((b.cpu_s - a.cpu_s) / seconds as f64)),
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
    let top = room(&mut connection, "fill").await?;
    let parents: Vec<String> = (0..1000.min(znodes))
        .map(|n| format!("{top}/p{n:03}"))
        .collect();
    create_all(&mut connection, parents.iter(), b"", SETUP_DEPTH).await?;
    let empty = Usage::of(pid);
    let watch = Watch::start();
    let data = vec![b'x'; size];
    let paths: Vec<String> = (0..znodes)
        .map(|n| format!("{}/name-{n:015}", parents[n % parents.len()]))
        .collect();
    create_all(&mut connection, paths.iter(), &data, SETUP_DEPTH).await?;
    let after = Usage::of(pid);
    let per = |a: Usage, b: Usage| (b.resident as f64 - a.resident as f64) / znodes.max(1) as f64;
    Ok(json!({
        "work": format!("fill {znodes}"),
        "took_ms": watch.millis(),
        "server_resident_bytes": after.map(|u| u.resident),
        "server_bytes_per_znode": empty.zip(after).map(|(a, b)| per(a, b).round()),
    }))
}

/// Exists watches of one client on distinct paths of 30 characters.
pub(super) async fn watches(server: &str, pid: Option<u32>, watches: usize) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let empty = Usage::of(pid);
    let watch = Watch::start();
    let (mut out, mut waiting) = (Vec::new(), 0);
    for n in 0..watches {
        wire::read(
            &mut out,
            1,
            OpCode::Exists,
            &format!("/watched-path-{n:016}"),
            true,
        );
        waiting += 1;
        if waiting == SETUP_DEPTH {
            flush(&mut connection, &mut out, &mut waiting).await?;
        }
    }
    flush(&mut connection, &mut out, &mut waiting).await?;
    let after = Usage::of(pid);
    let per = |a: Usage, b: Usage| (b.resident as f64 - a.resident as f64) / watches.max(1) as f64;
    Ok(json!({
        "work": format!("watches {watches}"),
        "took_ms": watch.millis(),
        "server_resident_bytes": after.map(|u| u.resident),
        "server_bytes_per_watch": empty.zip(after).map(|(a, b)| per(a, b).round()),
    }))
}
