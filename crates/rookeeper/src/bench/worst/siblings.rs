//! create and delete below a znode with very many children, compared with one that has ten.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::ratio;
use crate::bench::meter::{Watch, round};
use crate::bench::setup::{SETUP_DEPTH, room, run_name};
use crate::bench::traffic::{Traffic, ask_all};
use crate::bench::wire::{self, Connection};

/// Children of the parent that is compared with.
const FEW: usize = 10;
/// What is compared.
const RATE: &str = "operations_per_second";
const CPU: &str = "server_cpu_us_per_operation";
/// Connections, and requests of each outstanding.
const CONNECTIONS: usize = 50;
const DEPTH: usize = 16;
/// What a znode holds.
const DATA: &[u8] = &[b'x'; 100];

pub(super) async fn run(
    server: &str,
    pid: Option<u32>,
    children: usize,
    seconds: u64,
) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let few = room(&mut connection, "few").await?;
    let many = room(&mut connection, "many").await?;
    fill(&mut connection, &few, FEW).await?;
    let watch = Watch::start();
    fill(&mut connection, &many, children).await?;
    let filled_ms = watch.millis();
    let traffic = Traffic {
        server,
        pid,
        connections: CONNECTIONS,
        depth: DEPTH,
        lasting: Duration::from_secs(seconds),
        echo: false,
    };
    let ten = "ten siblings";
    let few_before = come_and_go(&traffic, ten, &few).await?;
    let many = come_and_go(&traffic, &format!("{children} siblings"), &many).await?;
    // Before and after: the machine may change meanwhile.
    let few_after = come_and_go(&traffic, ten, &few).await?;
    let mean = |field: &str| {
        let figure = |report: &Value| report.get(field).and_then(Value::as_f64);
        Some(round(f64::midpoint(
            figure(&few_before)?,
            figure(&few_after)?,
        )))
    };
    let few = json!({ RATE: mean(RATE), CPU: mean(CPU) });
    Ok(json!({
        "work": format!("create and delete with {children} siblings"),
        "made_in_ms": filled_ms,
        "ratio": ratio(&many, &few, RATE),
        "cpu_ratio": ratio(&many, &few, CPU),
        "few": few,
        "few_before": few_before,
        "few_after": few_after,
        "many": many,
    }))
}

async fn fill(connection: &mut Connection, parent: &str, children: usize) -> io::Result<()> {
    let requests = (0..children).map(|n| {
        move |xid, out: &mut Vec<u8>| {
            wire::create(out, xid, &format!("{parent}/name-{n:015}"), DATA, 0);
        }
    });
    ask_all(connection, SETUP_DEPTH, requests).await?;
    Ok(())
}

/// Each connection creates a znode, then deletes it.
pub(super) async fn come_and_go(
    traffic: &Traffic<'_>,
    name: &str,
    parent: &str,
) -> io::Result<Value> {
    let run = run_name();
    let generator = |number| {
        let (own, mut count) = (format!("{parent}/{run}-{number}-"), 0_u64);
        move |xid, out: &mut Vec<u8>| {
            count += 1;
            let path = format!("{own}{}", count.div_ceil(2));
            match count % 2 {
                1 => wire::create(out, xid, &path, DATA, 0),
                _ => wire::delete(out, xid, &path),
            }
        }
    };
    traffic.run(name, generator).await
}
