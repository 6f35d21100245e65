//! What is measured: latencies, and what the server's process used.

use std::fs;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Clock ticks per second of `/proc/PID/stat`: fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;
/// Longest latency that is told apart, ns.
const MAX_LATENCY_NS: u64 = 60_000_000_000;
/// Whole seconds below which the slowest says nothing about the others.
const MIN_WINDOWS: usize = 3;

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// User and system time, s.
    pub(super) cpu_s: f64,
    /// Resident memory, bytes.
    pub(super) resident: u64,
    /// The most that was resident since the process began, bytes.
    pub(super) peak_resident: u64,
}

impl Usage {
    /// Reads it; `None` when there is no such process.
    pub(super) fn of(pid: Option<u32>) -> Option<Self> {
        let pid = pid?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold blanks; it ends with the last parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let memory = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self {
            cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            resident: memory("VmRSS:")?,
            peak_resident: memory("VmHWM:")?,
        })
    }
}

/// CPU time of the threads that a process has now, s, in the scheduler's nanoseconds: for what takes less than some ticks. Threads
/// that have ended are not in it.
pub(super) fn fine_cpu_s(pid: Option<u32>) -> Option<f64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid?)).ok()?;
    let mut sum_ns = 0;
    for task in tasks {
        // A thread may end meanwhile.
        let schedstat = fs::read_to_string(task.ok()?.path().join("schedstat")).unwrap_or_default();
        let ran = schedstat.split_whitespace().next().unwrap_or_default();
        sum_ns += ran.parse::<u64>().unwrap_or_default();
    }
    Some(sum_ns as f64 / 1e9)
}

/// What one connection, or all of them, measured.
#[derive(Debug)]
pub(super) struct Meter {
    latencies: Histogram<u64>,
    /// Replies with an error.
    pub(super) errors: u64,
    /// Replies per second of the run.
    pub(super) per_second: Vec<u64>,
}

impl Meter {
    /// Nothing measured.
    pub(super) fn new() -> Self {
        // The bounds are constants that the library accepts; the fallback has none.
        let latencies = Histogram::new_with_bounds(1, MAX_LATENCY_NS, 3).unwrap_or_else(|_| {
            Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are valid"))
        });
        Self {
            latencies,
            errors: 0,
            per_second: Vec::new(),
        }
    }

    /// One reply, `at` after the begin of the run.
    pub(super) fn note(&mut self, latency: Duration, err: i32, at: Duration) {
        self.latencies
            .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.errors += u64::from(err != 0);
        let second = usize::try_from(at.as_secs()).unwrap_or_default();
        if self.per_second.len() <= second {
            self.per_second.resize(second + 1, 0);
        }
        if let Some(count) = self.per_second.get_mut(second) {
            *count += 1;
        }
    }

    /// Takes over what another measured.
    pub(super) fn merge(&mut self, other: &Self) {
        self.latencies += &other.latencies;
        self.errors += other.errors;
        if self.per_second.len() < other.per_second.len() {
            self.per_second.resize(other.per_second.len(), 0);
        }
        for (sum, count) in self.per_second.iter_mut().zip(&other.per_second) {
            *sum += count;
        }
    }

    /// Replies.
    pub(super) fn count(&self) -> u64 {
        self.latencies.len()
    }

    /// The latency below which this share of the replies came, us.
    pub(super) fn micros(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// The result as one object.
    pub(super) fn report(
        &self,
        name: &str,
        took: Duration,
        server: Option<(Usage, Usage)>,
    ) -> Value {
        let count = self.count();
        let seconds = took.as_secs_f64();
        // The first and the last second are not whole.
        let whole = self
            .per_second
            .get(1..self.per_second.len().saturating_sub(1))
            .unwrap_or_default();
        let average = whole.iter().sum::<u64>() as f64 / whole.len().max(1) as f64;
        let slowest = whole.iter().min().filter(|_| whole.len() >= MIN_WINDOWS);
        let slowest_share = slowest.map(|least| *least as f64 / average);
        let cpu = server.map(|(before, after)| after.cpu_s - before.cpu_s);
        json!({
            "work": name,
            "operations": count,
            "seconds": round(seconds),
            "operations_per_second": (count as f64 / seconds).round(),
            "slowest_second": whole.iter().min(),
            "slowest_second_share": slowest_share.map(round),
            "errors": self.errors,
            "p50_us": round(self.micros(0.5)),
            "p90_us": round(self.micros(0.9)),
            "p99_us": round(self.micros(0.99)),
            "p999_us": round(self.micros(0.999)),
            "max_us": round(self.latencies.max() as f64 / 1000.0),
            "server_cpu_us_per_operation": cpu.map(|s| round(s * 1e6 / count.max(1) as f64)),
            "server_cores": cpu.map(|s| round(s / seconds)),
            "server_resident_bytes": server.map(|(_, after)| after.resident),
            "server_peak_resident_bytes": server.map(|(_, after)| after.peak_resident),
        })
    }
}

/// Two decimals.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A running measurement of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch(pub(super) Instant);

impl Watch {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// ms since the start, with fractions.
    pub(super) fn millis(self) -> f64 {
        round(self.0.elapsed().as_secs_f64() * 1000.0)
    }
}
