//! create and delete below a znode with very many children, compared with one that has ten.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::ratio;
use crate::bench::meter::Watch;
use crate::bench::setup::{SETUP_DEPTH, room, run_name};
use crate::bench::traffic::{Traffic, ask_all};
use crate::bench::wire::{self, Connection};

/// Children of the parent that is compared with.
const FEW: usize = 10;
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
    let few = come_and_go(&traffic, "ten siblings", &few).await?;
    let many = come_and_go(&traffic, &format!("{children} siblings"), &many).await?;
    Ok(json!({
        "work": format!("create and delete with {children} siblings"),
        "made_in_ms": filled_ms,
        "ratio": ratio(&many, &few, "operations_per_second"),
        "few": few,
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
