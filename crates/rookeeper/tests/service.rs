//! The process as an operator has it: signals, exit codes, logs, limits of the system.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real processes and sockets: a failure is its result"
)]

#[path = "../../server/tests/raw/mod.rs"]
mod raw;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use raw::*;
use rustix::process::{Pid, Signal, kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");
const COMMON: [&str; 3] = [
    "-Dzookeeper.clientPortAddress=127.0.0.1",
    "-Dzookeeper.4lw.commands.whitelist=*",
    "-Dzookeeper.preAllocSize=64",
];

/// A server process on a port that it chose itself.
struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(dir: &Path, tick_ms: u32, words: &[&str]) -> Self {
        Self::start_under("exec \"$@\"", dir, tick_ms, words)
    }

    /// `shell` is a script that ends with the start of `"$@"`.
    fn start_under(shell: &str, dir: &Path, tick_ms: u32, words: &[&str]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", shell, "sh", BINARY, "server", "0"])
            .arg(dir)
            .arg(tick_ms.to_string())
            .args(COMMON)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, sink) = (child.stderr.take().unwrap(), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let port = await_some("the server binds its port", || {
            port_in(&log.lock().unwrap())
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            child,
            address,
            log,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        await_some("the process ends", || self.child.try_wait().unwrap()).code()
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn port_in(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("binding to port 127.0.0.1:")?;
    let (digits, _) = rest.split_once(|c: char| !c.is_ascii_digit())?;
    digits.parse().ok()
}

/// A call that ends by itself.
fn call(words: &[&str]) -> Output {
    Command::new(BINARY).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn term_stops_with_everything_acknowledged_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), 2000, &[]);
    let mut client = Client::connect(process.address);
    let all: Vec<u8> = (1..=5000)
        .flat_map(|n| request(n, op::CREATE, &create(&format!("/n{n}"), b"", 0)))
        .collect();
    let mut sender = client.stream.try_clone().unwrap();
    // The server may stop before it has read everything.
    let sending = thread::spawn(move || drop(sender.write_all(&all)));
    let mut acknowledged = 0;
    let mut stopped = None;
    while let Ok(reply) = client.reply() {
        assert_eq!((reply.err, reply.xid), (0, acknowledged + 1));
        acknowledged += 1;
        if acknowledged == 100 {
            process.signal(Signal::TERM);
            stopped = Some(Instant::now());
        }
    }
    assert_eq!(process.wait(), Some(0));
    // A second, and what a loaded machine takes.
    assert!(stopped.unwrap().elapsed() < Duration::from_secs(10));
    sending.join().unwrap();
    assert!(process.log().contains("exiting with code 0"));
    let process = Process::start(dir.path(), 2000, &[]);
    let mut client = Client::connect(process.address);
    let names = client.must(op::GET_CHILDREN, &path_watch("/")).names();
    let found = names.len() as i32 - 1;
    assert!(found >= acknowledged, "{acknowledged} > {found}");
}

#[test]
fn hup_ends_nothing_at_any_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), 2000, &[]);
    let mut client = Client::connect(process.address);
    for _ in 0..5 {
        process.signal(Signal::HUP);
        client.ping().unwrap();
    }
    await_true("the log says so", || process.log().contains("SIGHUP"));
    process.signal(Signal::INT);
    assert_eq!(process.wait(), Some(0));
}

#[test]
fn the_exit_code_says_what_was_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    std::fs::write(path("zoo.cfg"), "tickTime=many\n").unwrap();
    let output = call(&["server", &path("zoo.cfg")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Invalid config, exiting abnormally"));

    std::fs::write(path("file"), "").unwrap();
    let output = call(&["server", "0", &path("file")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("Unable to access datadir, exiting abnormally"));

    let members = "server.1=a:2888:3888\nserver.2=b:2888:3888\ninitLimit=5\nsyncLimit=2\n";
    let config = format!("dataDir={}\n{members}", path(""));
    std::fs::write(path("zoo.cfg"), config).unwrap();
    for (my_id, code, said) in [
        ("nobody", 2, "serverid nobody is not a number"),
        ("9", 1, "My id 9 not in the peer list"),
    ] {
        std::fs::write(path("myid"), my_id).unwrap();
        let output = call(&["server", &path("zoo.cfg")]);
        assert_eq!(output.status.code(), Some(code));
        assert!(text(&output.stderr).contains(said));
    }
    std::fs::remove_file(path("myid")).unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = call(&["server", &port, &path("data"), "2000", COMMON[0]]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on 127.0.0.1:{port}")));

    let process = Process::start(dir.path(), 2000, &[]);
    let output = call(&["server", "0", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("in use by another process"));
    Client::connect(process.address).ping().unwrap();
}

#[test]
fn a_log_that_cannot_be_written_ends_the_process_with_10_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["-Dzookeeper.preAllocSize=0"];
    // Files may not grow beyond some kB: an error that waiting does not heal.
    let shell = "trap '' XFSZ; ulimit -f 40; exec \"$@\"";
    let mut process = Process::start_under(shell, dir.path(), 2000, &words);
    let mut client = Client::connect(process.address);
    let mut acknowledged = 0;
    while let Ok(reply) = client.call(
        op::CREATE,
        &create(&format!("/n{acknowledged}"), &[7; 900], 0),
    ) {
        assert_eq!(reply.err, 0);
        acknowledged += 1;
    }
    assert!(acknowledged > 5);
    assert_eq!(process.wait(), Some(10));
    assert!(process.log().contains("nothing more can be acknowledged"));
    let process = Process::start(dir.path(), 2000, &[]);
    let mut client = Client::connect(process.address);
    let names = client.must(op::GET_CHILDREN, &path_watch("/")).names();
    assert!(names.len() > acknowledged, "{acknowledged} acknowledged");
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["-Dzookeeper.log.format=json"];
    let mut process = Process::start(dir.path(), 2000, &words);
    let mut stream = dial(process.address);
    stream.write_all(&[0xff; 4]).unwrap();
    drain(&mut stream).unwrap();
    process.signal(Signal::TERM);
    assert_eq!(process.wait(), Some(0));
    await_true("the last line", || {
        process.log().contains("exiting with code 0")
    });
    let log = process.log();
    let mut warned = false;
    for line in log.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            value["timestamp"].is_string() && value["message"].is_string(),
            "{line}"
        );
        warned |= value["level"] == "WARN" && line.contains("Len error -1");
    }
    assert!(warned, "{log}");
}

#[test]
fn a_process_that_stood_still_expires_nobody_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), 500, &[]);
    let hello = Hello {
        timeout: 1000,
        ..Hello::default()
    };
    let mut client = Client::open(process.address, &hello).unwrap();
    client.must(op::CREATE, &create("/mine", b"", 1));
    process.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(3));
    process.signal(Signal::CONT);
    client.ping().unwrap();
    client.must(op::EXISTS, &path_watch("/mine"));
    await_true("the log says so", || {
        process.log().contains("stood still for")
    });
}

#[test]
fn nobody_reads_the_log_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(BINARY)
        .args(["server", "0"])
        .arg(dir.path())
        .arg("2000")
        .args(COMMON)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut log = String::new();
    let port = loop {
        assert!(lines.read_line(&mut log).unwrap() > 0, "{log}");
        if let Some(port) = port_in(&log) {
            break port;
        }
    };
    drop(lines);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..10 {
        let mut stream = dial(address);
        stream.write_all(&[0xff; 4]).unwrap();
        drain(&mut stream).unwrap();
    }
    // Also the driver has something to say: that it stood still.
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    thread::sleep(Duration::from_secs(3));
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let mut client = Client::connect(address);
    client.must(op::CREATE, &create("/there", b"", 0));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = await_some("the process ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn connections_cannot_take_the_descriptors_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["-Dzookeeper.snapCount=20"];
    let mut process = Process::start_under("ulimit -n 128; exec \"$@\"", dir.path(), 2000, &words);
    let mut client = Client::connect(process.address);
    let greedy: Vec<_> = (0..150).map(|_| dial(process.address)).collect();
    await_true("too many are refused", || {
        process.log().contains("(ulimit -n)")
    });
    // New log files and snapshots are needed again and again.
    for n in 0..200 {
        client.must(op::CREATE, &create(&format!("/n{n}"), b"", 0));
    }
    drop(greedy);
    await_true("others are let in again", || {
        Client::open(process.address, &Hello::default()).is_ok()
    });
    process.signal(Signal::TERM);
    assert_eq!(process.wait(), Some(0));
    assert!(
        !process.log().contains("could not be written"),
        "{}",
        process.log()
    );
}

#[test]
fn damaged_files_are_set_aside_with_a_word_and_a_torn_tail_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("version-2");
    let words = ["-Dzookeeper.snapCount=40"];
    let mut process = Process::start(dir.path(), 2000, &words);
    let mut client = Client::connect(process.address);
    for n in 0..150 {
        client.must(op::CREATE, &create(&format!("/n{n}"), b"x", 0));
    }
    process.signal(Signal::KILL);
    process.wait();
    let (snapshot, log) = (newest(&files, "snapshot."), newest(&files, "log."));
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&snapshot, bytes).unwrap();
    tear(&log);

    let process = Process::start(dir.path(), 2000, &words);
    let name = snapshot.file_name().unwrap().to_str().unwrap();
    let kept = format!("damaged-{name}");
    let log = process.log();
    assert!(
        log.contains("cannot be loaded") && log.contains(&kept),
        "{log}"
    );
    assert!(files.join(&kept).exists());
    let mut client = Client::connect(process.address);
    for n in 0..150 {
        client.must(op::EXISTS, &path_watch(&format!("/n{n}")));
    }
    client.must(op::CREATE, &create("/after", b"", 0));
}

/// The newest file whose name begins so and ends with a zxid.
fn newest(dir: &Path, prefix: &str) -> PathBuf {
    let zxid = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        i64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()
    };
    let all = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    all.filter(|path| zxid(path).is_some())
        .max_by_key(zxid)
        .unwrap()
}

/// Puts half a record where the next one would go.
fn tear(log: &Path) {
    let mut bytes = std::fs::read(log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let torn = [0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 99, 1, 2, 3];
    bytes.resize(bytes.len().max(end + torn.len()), 0);
    bytes[end..end + torn.len()].copy_from_slice(&torn);
    std::fs::write(log, bytes).unwrap();
}
