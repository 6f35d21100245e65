//! Connections that keep a server busy: each has `depth` requests outstanding until there is no more to ask.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use super::meter::{Meter, Usage};
use super::wire::Connection;

/// How a server is kept busy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic<'a> {
    /// Its address.
    pub(super) server: &'a str,
    /// Its process.
    pub(super) pid: Option<u32>,
    /// Connections.
    pub(super) connections: usize,
    /// Requests of each that are outstanding at once.
    pub(super) depth: usize,
    /// For how long.
    pub(super) lasting: Duration,
    /// The server is an echo: no session.
    pub(super) echo: bool,
}

impl Traffic<'_> {
    /// Asks what `generator(number of the connection)` appends, given an xid, and reports it under `name`.
    pub(super) async fn run<N>(
        &self,
        name: &str,
        generator: impl Fn(usize) -> N,
    ) -> io::Result<Value>
    where
        N: FnMut(i32, &mut Vec<u8>) + Send + 'static,
    {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(match self.echo {
                true => Connection::connect(self.server).await?,
                false => Connection::open(self.server).await?,
            });
        }
        let before = Usage::of(self.pid);
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for (number, mut connection) in connections.into_iter().enumerate() {
            let (mut next, depth, lasting) = (generator(number), self.depth, self.lasting);
            running.spawn(async move {
                let next = |xid, now: Instant, out: &mut Vec<u8>| {
                    let goes_on = now - begun < lasting;
                    if goes_on {
                        next(xid, out);
                    }
                    goes_on
                };
                keep_busy(&mut connection, depth, begun, next).await
            });
        }
        let mut all = Meter::new();
        while let Some(done) = running.join_next().await {
            all.merge(&done.map_err(io::Error::other)??);
        }
        Ok(all.report(name, begun.elapsed(), before.zip(Usage::of(self.pid))))
    }
}

/// Keeps `depth` requests outstanding until `next` says that there are no more, and all are answered. `next` gets an xid and the
/// time, and appends a request.
pub(super) async fn keep_busy(
    connection: &mut Connection,
    depth: usize,
    begun: Instant,
    mut next: impl FnMut(i32, Instant, &mut Vec<u8>) -> bool,
) -> io::Result<Meter> {
    let mut meter = Meter::new();
    let mut sent = VecDeque::with_capacity(depth);
    let mut out = Vec::new();
    let (mut xid, mut goes_on) = (0_i32, true);
    loop {
        let now = Instant::now();
        out.clear();
        while goes_on && sent.len() < depth {
            xid = xid.wrapping_add(1) & i32::MAX;
            goes_on = next(xid, now, &mut out);
            if goes_on {
                sent.push_back(now);
            }
        }
        if sent.is_empty() {
            return Ok(meter);
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

/// Asks for everything that `requests` has, `depth` at a time.
pub(super) async fn ask_all(
    connection: &mut Connection,
    depth: usize,
    requests: impl Iterator<Item = impl FnOnce(i32, &mut Vec<u8>)>,
) -> io::Result<Meter> {
    let mut requests = requests;
    let next = |xid, _, out: &mut Vec<u8>| match requests.next() {
        Some(request) => {
            request(xid, out);
            true
        }
        None => false,
    };
    keep_busy(connection, depth, Instant::now(), next).await
}
