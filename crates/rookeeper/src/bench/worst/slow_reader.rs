//! One client asks for much, in a pipeline, and reads a trickle. What do the others feel, and what does the server keep for it?

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;
use tokio::time::interval;

use super::ratio;
use crate::bench::meter::Usage;
use crate::bench::setup::{create_all, room};
use crate::bench::traffic::Traffic;
use crate::bench::wire::{self, Connection};

/// Connections of the others, with one request outstanding each.
const OTHERS: usize = 50;
/// Requests the slow one sends.
const REQUESTS: usize = 1000;
/// A large value: as much as a request can set.
const LARGE_VALUE: usize = 1_048_000;
/// Names of a large list.
const NAMES: usize = 1000;
/// What the slow one reads, and how often.
const SIP: usize = 16 * 1024;
const SIP_INTERVAL: Duration = Duration::from_millis(100);
/// What the kernel may keep for it.
const RECEIVE_BUFFER: u32 = 64 * 1024;
/// How often the server's memory is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

pub(super) async fn run(server: &str, pid: Option<u32>, seconds: u64) -> io::Result<Value> {
    let mut connection = Connection::open(server).await?;
    let list = room(&mut connection, "list").await?;
    let names: Vec<String> = (0..NAMES).map(|n| format!("{list}/name-{n:015}")).collect();
    create_all(&mut connection, names.iter(), b"").await?;
    let values = room(&mut connection, "large").await?;
    let large = format!("{values}/slowly-read");
    let data = vec![b'x'; LARGE_VALUE];
    create_all(&mut connection, [large.clone()].iter(), &data).await?;
    let others = Traffic {
        server,
        pid,
        connections: OTHERS,
        depth: 1,
        lasting: Duration::from_secs(seconds),
        echo: false,
    };
    let mut report = json!({ "work": "gets beside one slow reader" });
    for (name, op, path) in [
        ("lists", OpCode::GetChildren, &list),
        ("values", OpCode::GetData, &large),
    ] {
        let mut out = Vec::new();
        wire::read(&mut out, 1, op, path, false);
        // Each time anew: the machine may not be the same.
        let alone = gets(&others, &list).await?;
        let before = Usage::of(pid);
        let slow = Connection::open_narrow(server, RECEIVE_BUFFER).await?;
        let (peak, sampling) = sample_memory(pid);
        let slow = tokio::spawn(dawdle(slow, out.repeat(REQUESTS))).abort_handle();
        let beside = gets(&others, &list).await?;
        slow.abort();
        sampling.abort();
        let grown = before.map(|usage| peak.load(Ordering::Relaxed).saturating_sub(usage.resident));
        report[name] = json!({
            "rate_ratio": ratio(&beside, &alone, "operations_per_second"),
            "p99_ratio": ratio(&beside, &alone, "p99_us"),
            "server_grown_bytes": grown,
            "alone": alone,
            "beside": beside,
        });
    }
    Ok(report)
}

async fn gets(others: &Traffic<'_>, path: &str) -> io::Result<Value> {
    let get = |_| {
        let path = path.to_owned();
        move |xid, out: &mut Vec<u8>| wire::read(out, xid, OpCode::GetData, &path, false)
    };
    others.run("get", get).await
}

/// Sends all of `requests` as far as the server takes them, and reads in sips.
async fn dawdle(slow: Connection, requests: Vec<u8>) -> io::Result<()> {
    let (mut input, mut output) = slow.into_stream().into_split();
    let sip = async {
        let (mut ticks, mut buffer) = (interval(SIP_INTERVAL), vec![0; SIP]);
        loop {
            ticks.tick().await;
            if input.read(&mut buffer).await? == 0 {
                return io::Result::Ok(());
            }
        }
    };
    tokio::try_join!(output.write_all(&requests), sip)?;
    Ok(())
}

/// The most memory that the server has from now on.
fn sample_memory(pid: Option<u32>) -> (Arc<AtomicU64>, AbortHandle) {
    let peak = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&peak);
    let sampling = tokio::spawn(async move {
        let mut ticks = interval(SAMPLE_INTERVAL);
        while let Some(usage) = Usage::of(pid) {
            seen.fetch_max(usage.resident, Ordering::Relaxed);
            ticks.tick().await;
        }
    });
    (peak, sampling.abort_handle())
}
