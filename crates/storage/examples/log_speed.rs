//! How fast a log is written and read: `cargo run --release -p rookeeper-storage --example log_speed -- <directory>`.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and prints"
)]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::txn::TxnHeader;
use rookeeper_storage::log_reader::LogReader;
use rookeeper_storage::log_writer::{LogOptions, LogWriter};
use rookeeper_storage::os_disk::OsDisk;

const RECORDS: i64 = 1_000_000;
const RECORD_BYTES: usize = 150;
const BATCH: i64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args_os().nth(1).ok_or("give a directory")?;
    let dir = PathBuf::from(dir);
    let mut log = LogWriter::new(Arc::new(OsDisk), &dir, LogOptions::default());
    let mut txn = Vec::new();
    let begin = Instant::now();
    for zxid in 1..=RECORDS {
        txn.clear();
        TxnHeader {
            session: SessionId(1),
            cxid: 0,
            zxid: Zxid(zxid),
            time: 0,
            kind: 5,
        }
        .encode(&mut txn);
        txn.resize(RECORD_BYTES, 7);
        log.reserve(LogWriter::record_len(txn.len()))?;
        log.append(Zxid(zxid), &txn)?;
        if zxid % BATCH == 0 {
            log.sync()?;
        }
    }
    log.roll()?;
    report("written, a sync per 1000", begin);

    let begin = Instant::now();
    let mut reader = LogReader::open(&OsDisk, &dir.join("log.1"))?;
    let mut count = 0;
    while reader.next()?.is_some() {
        count += 1;
    }
    assert_eq!(count, RECORDS);
    report("read", begin);
    Ok(())
}

fn report(what: &str, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    let rate = RECORDS as f64 / seconds;
    println!("{RECORDS} records of {RECORD_BYTES} bytes {what}: {seconds:.3} s, {rate:.0}/s");
}
