//! A leader goes, and a client of another member writes: how long until the first write is acknowledged in the epoch of another leader.
//!
//! The client writes one request after the other. When its connection breaks it comes back to the same server with its session,
//! at once and again and again: so the figure is that of the servers, and not of a client's pauses.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::meter::round;
use super::wire::{self, Connection, Session};

/// What the client writes to.
const PATH: &str = "/bench-failover";
/// Bytes of each write.
const SIZE: usize = 100;
/// How long the client writes before the leader goes.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the client waits after an attempt that failed.
const PAUSE: Duration = Duration::from_millis(1);

/// The writing client.
struct Writer<'a> {
    server: &'a str,
    connection: Option<Connection>,
    session: Option<Session>,
    xid: i32,
    /// Of the last acknowledgement.
    epoch: i32,
    lost: u64,
}

/// Ends the process `leader`, gracefully or not, while a client of `server` writes.
pub(super) async fn run(server: &str, leader: u32, graceful: bool) -> io::Result<Value> {
    let mut writer = Writer {
        server,
        connection: Some(Connection::open(server).await?),
        session: None,
        xid: 0,
        epoch: 0,
        lost: 0,
    };
    writer.prepare().await?;
    let warm = Instant::now();
    while warm.elapsed() < WARM_UP {
        writer.write().await;
    }
    let signal = if graceful { Signal::TERM } else { Signal::KILL };
    let pid = i32::try_from(leader).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no such process"))?;
    writer.lost = 0;
    kill_process(pid, signal)?;
    let begun = Instant::now();
    let written = timeout(PATIENCE, async {
        // One that is told to stop may acknowledge a few more before it goes.
        let old = writer.epoch;
        while !writer.write().await || writer.epoch == old {}
        begun.elapsed()
    });
    let after = written.await.map_err(io::Error::other)?;
    Ok(json!({
        "work": if graceful { "leader stopped" } else { "leader killed" },
        "first_write_after_ms": round(after.as_secs_f64() * 1000.0),
        "connections_lost": writer.lost,
    }))
}

impl Writer<'_> {
    /// The znode is there.
    async fn prepare(&mut self) -> io::Result<()> {
        let mut frame = Vec::new();
        wire::create(&mut frame, 1, PATH, &[7; SIZE], 0);
        self.xid = 1;
        if let Some(connection) = &mut self.connection {
            // It may be there already.
            connection.call(&frame).await?;
            self.session = Some(connection.session());
        }
        Ok(())
    }

    /// One write; false when it was not acknowledged.
    async fn write(&mut self) -> bool {
        let done = self.try_write().await;
        if done.is_err() {
            self.connection = None;
            self.lost += 1;
            sleep(PAUSE).await;
        }
        done.unwrap_or(false)
    }

    async fn try_write(&mut self) -> io::Result<bool> {
        let session = self.session.clone();
        let connection = match (&mut self.connection, session) {
            (Some(connection), _) => connection,
            (None, Some(session)) => {
                let back = Connection::resume(self.server, session).await?;
                let back = back.ok_or_else(|| io::Error::other("the session is over"))?;
                self.connection.insert(back)
            }
            (None, None) => self.connection.insert(Connection::open(self.server).await?),
        };
        self.xid += 1;
        let mut frame = Vec::new();
        wire::set(&mut frame, self.xid, PATH, &[7; SIZE]);
        let reply = connection.call(&frame).await?;
        self.epoch = reply.epoch;
        Ok(reply.err == 0)
    }
}
