//! The ceiling of writes: the bytes of a group of records appended with one write, and one fdatasync, again and again, into a file that
//! is preallocated like a transaction log. No server.

use std::fs::{File, remove_file};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::meter::{Meter, round};
use super::setup::run_name;

/// Size of the file, as the log's preallocation by default. Beyond it, appending begins again at its start.
const FILE_BYTES: usize = 64 << 20;

/// What is appended.
#[derive(Debug, Args)]
pub(super) struct AppendOptions {
    /// Where the file is made: the disk that is measured.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Bytes of a record.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Records of one sync.
    #[arg(long, default_value_t = 1)]
    group: usize,
    /// How long.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// Appends, and reports.
pub(super) fn append(options: &AppendOptions) -> io::Result<Value> {
    let path = options.dir.join(format!("rookeeper-append-{}", run_name()));
    let measured = measure(&path, options);
    remove_file(&path)?;
    measured
}

fn measure(path: &Path, options: &AppendOptions) -> io::Result<Value> {
    let group = vec![b'x'; (options.bytes * options.group).clamp(1, FILE_BYTES)];
    let file = File::create(path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let lasting = Duration::from_secs(options.seconds);
    let mut meter = Meter::new();
    let (begun, mut offset) = (Instant::now(), 0);
    while begun.elapsed() < lasting {
        if offset + group.len() > FILE_BYTES {
            offset = 0;
        }
        let at = Instant::now();
        file.write_all_at(&group, offset as u64)?;
        file.sync_data()?;
        meter.note(at.elapsed(), 0, begun.elapsed());
        offset += group.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let syncs = meter.count() as f64 / seconds;
    Ok(json!({
        "work": format!("append {} x {} B", options.group, options.bytes),
        "records_per_second": (syncs * options.group as f64).round(),
        "syncs_per_second": syncs.round(),
        "megabytes_per_second": round(syncs * group.len() as f64 / 1e6),
        "p50_us": round(meter.micros(0.5)),
        "p99_us": round(meter.micros(0.99)),
    }))
}
