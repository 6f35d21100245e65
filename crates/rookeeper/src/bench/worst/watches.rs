//! All data watches of one session fire at once: by one multi, and by a pipeline of setData.

use std::io;
use std::time::{Duration, Instant};

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::bench::meter::{Meter, fine_cpu_s, round};
use crate::bench::setup::{SETUP_DEPTH, create_all, room};
use crate::bench::traffic::ask_all;
use crate::bench::wire::{self, Connection};

/// Sets of one multi: as many as fit into the largest request.
const MULTI_OPS: usize = 10_000;
/// Sets outstanding in the pipeline.
const DEPTH: usize = 1000;
/// Longest wait for the last event.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the values change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Multi,
    Pipeline,
}

/// What one way of firing showed.
#[derive(Debug)]
struct Fired {
    last_event: Meter,
    cpu_s: Option<f64>,
}

pub(super) async fn run(
    server: &str,
    pid: Option<u32>,
    watches: usize,
    rounds: usize,
) -> io::Result<Value> {
    let mut setter = Connection::open(server).await?;
    let mut watcher = Connection::open(server).await?;
    let parent = room(&mut setter, "watches").await?;
    let paths: Vec<String> = (0..watches)
        .map(|n| format!("{parent}/name-{n:015}"))
        .collect();
    create_all(&mut setter, paths.iter(), b"").await?;
    let mut report = json!({ "work": format!("{watches} watches of one session") });
    for (name, by) in [("multi", By::Multi), ("pipeline", By::Pipeline)] {
        let fired = fire(pid, (&mut setter, &mut watcher), &paths, by, rounds).await?;
        let events = (watches * rounds).max(1) as f64;
        report[name] = json!({
            "last_event_p50_ms": round(fired.last_event.micros(0.5) / 1000.0),
            "last_event_max_ms": round(fired.last_event.micros(1.0) / 1000.0),
            "server_cpu_us_per_set_and_event": fired.cpu_s.map(|s| round(s * 1e6 / events)),
        });
    }
    Ok(report)
}

async fn fire(
    pid: Option<u32>,
    (setter, watcher): (&mut Connection, &mut Connection),
    paths: &[String],
    by: By,
    rounds: usize,
) -> io::Result<Fired> {
    let (mut last_event, mut cpu_s) = (Meter::new(), fine_cpu_s(pid).map(|_| 0.0));
    let begun = Instant::now();
    for _ in 0..rounds {
        let watch = paths.iter().map(|path| {
            move |xid, out: &mut Vec<u8>| wire::read(out, xid, OpCode::GetData, path, true)
        });
        ask_all(watcher, SETUP_DEPTH, watch).await?;
        let (cpu, at) = (fine_cpu_s(pid), Instant::now());
        let heard = async {
            timeout(PATIENCE, hear(watcher, paths.len())).await??;
            io::Result::Ok(at.elapsed())
        };
        let (set, heard) = tokio::join!(set_all(setter, paths, by), heard);
        set?;
        last_event.note(heard?, 0, begun.elapsed());
        let spent = cpu.zip(fine_cpu_s(pid)).map(|(a, b)| b - a);
        cpu_s = cpu_s.zip(spent).map(|(sum, spent)| sum + spent);
    }
    Ok(Fired { last_event, cpu_s })
}

async fn hear(watcher: &mut Connection, mut events: usize) -> io::Result<()> {
    while events > 0 {
        match watcher.reply() {
            Some(reply) => events -= usize::from(reply.xid == -1),
            None => watcher.fill().await?,
        }
    }
    Ok(())
}

async fn set_all(setter: &mut Connection, paths: &[String], by: By) -> io::Result<()> {
    let meter = match by {
        By::Multi => {
            let multis = paths.chunks(MULTI_OPS).map(|paths| {
                move |xid, out: &mut Vec<u8>| wire::multi_set(out, xid, paths.iter(), b"x")
            });
            ask_all(setter, 1, multis).await?
        }
        By::Pipeline => {
            let sets = paths
                .iter()
                .map(|path| move |xid, out: &mut Vec<u8>| wire::set(out, xid, path, b"x"));
            ask_all(setter, DEPTH, sets).await?
        }
    };
    match meter.errors {
        0 => Ok(()),
        errors => Err(io::Error::other(format!("{errors} sets failed"))),
    }
}
