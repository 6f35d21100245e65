//! One setData that many watchers on connections of their own see, again and again.
//!
//! Against `bench echo --fanout` it shows the floor: what writing one event to each of many sockets costs, and reading them here, with
//! no server in between.

use std::io;
use std::time::{Duration, Instant};

use rookeeper_proto::code::OpCode;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::meter::{Meter, Usage, fine_cpu_s, round};
use super::setup::room;
use super::wire::{self, Connection};

/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is watched, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fanout<'a> {
    pub(super) server: &'a str,
    pub(super) pid: Option<u32>,
    /// Connections that watch.
    pub(super) watchers: usize,
    /// How often the value changes.
    pub(super) rounds: usize,
    /// The server is an echo.
    pub(super) echo: bool,
}

impl Fanout<'_> {
    /// Measures.
    pub(super) async fn run(&self) -> io::Result<Value> {
        let mut setter = self.connection().await?;
        let path = match self.echo {
            true => String::new(),
            false => room(&mut setter, "fanout").await?,
        };
        let (told, mut heard) = unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..self.watchers {
            let watcher = self.connection().await?;
            tasks.spawn(watch_again_and_again(watcher, path.clone(), told.clone()));
        }
        let mut meter = Meter::new();
        let mut firing_s = None;
        self.everybody(&mut heard).await?;
        let before = Usage::of(self.pid);
        let cpu_before = fine_cpu_s(self.pid);
        let begun = Instant::now();
        for _ in 0..self.rounds {
            let mut out = Vec::new();
            wire::set(&mut out, 1, &path, b"changed");
            let cpu = fine_cpu_s(self.pid);
            let at = Instant::now();
            setter.call(&out).await?;
            self.everybody(&mut heard).await?;
            meter.note(at.elapsed(), 0, begun.elapsed());
            let spent = cpu.zip(fine_cpu_s(self.pid)).map(|(a, b)| b - a);
            firing_s = spent.map(|spent| firing_s.unwrap_or_default() + spent);
            // Everybody watches again before the next round.
            self.everybody(&mut heard).await?;
        }
        let name = format!("fanout {}", self.watchers);
        let report = meter.report(&name, begun.elapsed(), before.zip(Usage::of(self.pid)));
        let all_s = cpu_before.zip(fine_cpu_s(self.pid)).map(|(a, b)| b - a);
        let events = (self.watchers * self.rounds).max(1) as f64;
        let per_event = |seconds: Option<f64>| seconds.map(|s| round(s * 1e6 / events));
        let more = json!({
            "server_cpu_us_per_event": per_event(firing_s),
            "server_cpu_us_per_event_and_rearm": per_event(all_s),
        });
        Ok(merged(report, more))
    }

    async fn connection(&self) -> io::Result<Connection> {
        match self.echo {
            true => Connection::connect(self.server).await,
            false => Connection::open(self.server).await,
        }
    }

    /// Waits until each watcher has said something once.
    async fn everybody(&self, heard: &mut UnboundedReceiver<()>) -> io::Result<()> {
        for _ in 0..self.watchers {
            timeout(PATIENCE, heard.recv())
                .await
                .map_err(|_| io::ErrorKind::TimedOut)?;
        }
        Ok(())
    }
}

/// Tells when the watch is set, and when the event has come, in turn, until nobody listens.
async fn watch_again_and_again(
    mut watcher: Connection,
    path: String,
    told: UnboundedSender<()>,
) -> io::Result<()> {
    let mut out = Vec::new();
    wire::read(&mut out, 1, OpCode::GetData, &path, true);
    loop {
        watcher.call(&out).await?;
        if told.send(()).is_err() {
            return Ok(());
        }
        while watcher.reply().is_none_or(|reply| reply.xid != -1) {
            watcher.fill().await?;
        }
        if told.send(()).is_err() {
            return Ok(());
        }
    }
}

/// Adds the fields of `more` to `report`.
fn merged(mut report: Value, more: Value) -> Value {
    if let (Some(report), Value::Object(more)) = (report.as_object_mut(), more) {
        report.extend(more);
    }
    report
}
