//! A session with very many ephemerals closes: one transaction deletes them all. Another client reads meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};

use crate::bench::meter::{Meter, Usage, Watch, fine_cpu_s, round};
use crate::bench::setup::{create_with_flags, room};
use crate::bench::traffic::{Traffic, keep_busy};
use crate::bench::wire::{self, Connection};

/// Flag of create.
const EPHEMERAL: i32 = 1;
/// How long the reader is measured before.
const BEFORE: Duration = Duration::from_secs(2);
/// Longest wait for the ephemerals to go.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(server: &str, pid: Option<u32>, count: usize) -> io::Result<Value> {
    let mut other = Connection::open(server).await?;
    let parent = room(&mut other, "ephemerals").await?;
    let mut owner = Connection::open(server).await?;
    let paths: Vec<String> = (0..count)
        .map(|n| format!("{parent}/name-{n:015}"))
        .collect();
    let watch = Watch::start();
    create_with_flags(&mut owner, paths.iter(), b"", EPHEMERAL).await?;
    let created_ms = watch.millis();
    let before = gets_before(server, pid, &parent).await?;

    let closed = Arc::new(AtomicBool::new(false));
    let reader = Connection::open(server).await?;
    let reading = tokio::spawn(get_until(reader, parent.clone(), Arc::clone(&closed)));
    let (usage, cpu) = (Usage::of(pid), fine_cpu_s(pid));
    let watch = Watch::start();
    let mut out = Vec::new();
    wire::close_session(&mut out, 1);
    owner.call(&out).await?;
    let closed_ms = watch.millis();
    while other.child_count(&parent).await?.unwrap_or_default() > 0 {
        if watch.0.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let gone_ms = watch.millis();
    let cpu = cpu.zip(fine_cpu_s(pid)).map(|(a, b)| b - a);
    closed.store(true, Ordering::Relaxed);
    let meanwhile = reading.await.map_err(io::Error::other)??;
    let took = watch.0.elapsed();
    let usage = usage.zip(Usage::of(pid));
    Ok(json!({
        "work": format!("close with {count} ephemerals"),
        "created_in_ms": created_ms,
        "close_answered_ms": closed_ms,
        "all_gone_ms": gone_ms,
        "server_cpu_us_per_ephemeral": cpu.map(|s| round(s * 1e6 / count.max(1) as f64)),
        "gets_before": before,
        "gets_meanwhile": meanwhile.report("get c1d1", took, usage),
    }))
}

async fn gets_before(server: &str, pid: Option<u32>, path: &str) -> io::Result<Value> {
    let alone = Traffic {
        server,
        pid,
        connections: 1,
        depth: 1,
        lasting: BEFORE,
        echo: false,
    };
    let get = |_| {
        let path = path.to_owned();
        move |xid, out: &mut Vec<u8>| wire::read(out, xid, OpCode::GetData, &path, false)
    };
    alone.run("get c1d1", get).await
}

/// Gets, one after the other, until told to stop.
async fn get_until(
    mut reader: Connection,
    path: String,
    stop: Arc<AtomicBool>,
) -> io::Result<Meter> {
    let next = |xid, _, out: &mut Vec<u8>| {
        let goes_on = !stop.load(Ordering::Relaxed);
        if goes_on {
            wire::read(out, xid, OpCode::GetData, &path, false);
        }
        goes_on
    };
    keep_busy(&mut reader, 1, Instant::now(), next).await
}
