//! Every workload of `rookeeper bench` runs against our own server, small, and finds what it asks for.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test with real processes and sockets: a failure is its result"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");
/// An echo server says nothing when it is ready.
const ECHO_ATTEMPTS: usize = 200;

/// A server process that ends with the test.
struct Process {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Process {
    fn server() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(BINARY)
            .args(["server", "0"])
            .arg(data.path())
            .args(["2000", "0"])
            .arg("-Dzookeeper.clientPortAddress=127.0.0.1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("binding to port 127.0.0.1:")?;
            rest.split(|c: char| !c.is_ascii_digit())
                .next()
                .map(str::to_owned)
        });
        // Somebody has to read on.
        thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: format!("127.0.0.1:{}", port.unwrap()),
            _data: data,
        }
    }

    fn echo(words: &[&str]) -> Self {
        // Free a moment ago: an echo cannot choose.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let child = Command::new(BINARY)
            .args(["bench", "--server", &address, "echo"])
            .args(words)
            .spawn()
            .unwrap();
        let listens = |_| {
            thread::sleep(Duration::from_millis(20));
            std::net::TcpStream::connect(&address).is_ok()
        };
        assert!((0..ECHO_ATTEMPTS).any(listens), "the echo does not listen");
        Self {
            child,
            address,
            _data: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs `bench` with these words and the server's process, and takes the report.
    fn bench(&self, words: &str) -> Value {
        let output = Command::new(BINARY)
            .args(["bench", "--json", "--server", &self.address, "--pid"])
            .arg(self.child.id().to_string())
            .args(words.split(' '))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The field is a number above zero.
#[track_caller]
fn positive(report: &Value, field: &str) {
    assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
}

/// Something was asked, and no reply was an error.
#[track_caller]
fn went_well(report: &Value) {
    positive(report, "operations");
    assert_eq!(report["errors"], 0, "{report}");
}

#[test]
fn loads_find_the_filled_tree() {
    let server = Process::server();
    let filled = server.bench("fill --znodes 3000");
    positive(&filled, "server_resident_bytes");
    for work in ["get", "set", "multi"] {
        went_well(&server.bench(&format!("load {work} -c 4 -d 4 --filled 3000 --seconds 1")));
    }
    went_well(&server.bench("load create-delete -c 4 -d 4 --seconds 1"));
}

#[test]
fn fanout_reaches_all_watchers_of_a_server_and_of_the_ceiling() {
    let report = Process::server().bench("fanout --watchers 50 --rounds 20");
    assert_eq!(report["operations"], 20);
    positive(&report, "server_cpu_us_per_event");
    let echo = Process::echo(&["--fanout"]);
    let report = echo.bench("fanout --echo --watchers 50 --rounds 20");
    assert_eq!(report["operations"], 20);
    went_well(&echo.bench("load get -c 2 -d 4 --seconds 1 --echo"));
}

#[test]
fn appended_records_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY)
        .args(["bench", "--json", "append", "--group", "100", "--seconds"])
        .args(["1", "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rates = ["records_per_second", "syncs_per_second"].map(|rate| report[rate].as_f64());
    let [records, syncs] = rates.map(Option::unwrap);
    assert!(syncs > 0.0 && records > 50.0 * syncs, "{report}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn worst_siblings() {
    let report = Process::server().bench("worst siblings --children 5000 --seconds 1");
    went_well(&report["few_before"]);
    went_well(&report["few_after"]);
    went_well(&report["many"]);
    positive(&report, "ratio");
}

#[test]
fn worst_ephemerals() {
    let report = Process::server().bench("worst ephemerals --count 2000");
    let [answered, gone] =
        ["close_answered_ms", "all_gone_ms"].map(|field| report[field].as_f64().unwrap());
    assert!(answered > 0.0 && gone >= answered, "{report}");
    went_well(&report["gets_before"]);
    assert_eq!(report["gets_meanwhile"]["errors"], 0);
}

#[test]
fn worst_watches() {
    let report = Process::server().bench("worst watches --watches 500 --rounds 2");
    positive(&report["multi"], "last_event_p50_ms");
    positive(&report["pipeline"], "last_event_p50_ms");
}

#[test]
fn worst_slow_reader() {
    let report = Process::server().bench("worst slow-reader --seconds 1");
    for asked in ["lists", "values"] {
        went_well(&report[asked]["alone"]);
        went_well(&report[asked]["beside"]);
        assert!(report[asked]["server_grown_bytes"].is_u64(), "{report}");
    }
}

#[test]
fn worst_values() {
    let report = Process::server().bench("worst values --size 300000 --seconds 1");
    went_well(&report["set"]);
    went_well(&report["get"]);
    positive(&report, "set_megabytes_per_second");
}

#[test]
fn worst_deep() {
    let report = Process::server().bench("worst deep --depth 30 --seconds 1");
    for place in ["shallow", "deep"] {
        for work in ["get", "set", "create"] {
            went_well(&report[place][work]);
        }
    }
    positive(&report, "get_ratio");
}

#[test]
fn worst_reconnect() {
    let report = Process::server().bench("worst reconnect --sessions 300");
    assert_eq!(report["back"], 300, "{report}");
    assert_eq!(report["expired"], 0, "{report}");
    positive(&report, "all_back_ms");
}
