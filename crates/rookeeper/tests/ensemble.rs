//! `rookeeper ensemble` as somebody at a terminal has it: how it ends, and what is left then.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test with real processes and sockets: a failure is its result"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");
const MEMBERS: u16 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A launcher, its words, and where its members are.
struct Launcher {
    child: Child,
    out: BufReader<ChildStdout>,
    port: u16,
}

/// The first of nine ports in a row that nobody has now.
fn free_ports() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    let begins = |first: &u16| (*first..first + 3 * MEMBERS).all(|port| is_free(&port));
    let offset = u16::try_from(std::process::id() % 600).unwrap() * 20;
    (20_000 + offset..60_000).step_by(20).find(begins).unwrap()
}

impl Launcher {
    fn start(data: &Path, port: u16) -> Self {
        let mut child = Command::new(BINARY)
            .args(["ensemble", "--data"])
            .arg(data)
            .args(["--port", &port.to_string()])
            .args(["--quorum-port", &(port + MEMBERS).to_string()])
            .args(["--election-port", &(port + 2 * MEMBERS).to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, port }
    }

    /// Reads until every member leads or follows; gives their processes.
    fn members(&mut self) -> Vec<Pid> {
        let mut members = Vec::new();
        while members.len() < usize::from(MEMBERS) {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it ended");
            assert!(!line.contains("ended"), "{line}");
            let Some((_, said)) = line.split_once(" pid ") else {
                continue;
            };
            let (pid, what) = said.trim().split_once(": ").unwrap();
            if ["leader", "follower"].contains(&what) {
                members.push(Pid::from_raw(pid.parse().unwrap()).unwrap());
            }
        }
        members
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ends, and what it said about that.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        let errors = self.child.stderr.take().unwrap();
        BufReader::new(errors).read_to_string(&mut text).unwrap();
        (status.code(), text)
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn serves(port: u16) -> bool {
    let ask = |mut socket: TcpStream| {
        let mut text = String::new();
        socket.write_all(b"srvr")?;
        socket.read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text.contains("Mode: "))
    };
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|socket| ask(socket).unwrap_or(false))
}

/// One test, because ports in a row that are free now are hard to share.
#[test]
fn an_ensemble_ends_with_its_launcher_and_a_launcher_tells_of_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_ports();

    // Told to stop: that is success.
    let mut launcher = Launcher::start(dir.path(), port);
    let members = launcher.members();
    launcher.signal(Signal::INT);
    let (code, text) = launcher.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(members.iter().all(|pid| test_kill_process(*pid).is_err()));

    // Nobody is left: that is none.
    let mut launcher = Launcher::start(dir.path(), port);
    for pid in launcher.members() {
        kill_process(pid, Signal::KILL).unwrap();
    }
    let (code, text) = launcher.end();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("all members have ended"), "{text}");

    // Others answer at the ports: they are no members of this one.
    let mut first = Launcher::start(dir.path(), port);
    first.members();
    let other = tempfile::tempdir().unwrap();
    let (code, text) = Launcher::start(other.path(), port).end();
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains(&format!("port {port} cannot be used")),
        "{text}"
    );
    assert!(!text.contains("follower"), "{text}");
    assert!(serves(first.port));

    // The directories are in use.
    let elsewhere = free_ports();
    let (code, text) = Launcher::start(dir.path(), elsewhere).end();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ended: exit status: 3"), "{text}");

    // Killed: its members notice, and stop.
    first.signal(Signal::KILL);
    let ports = port..port + 3 * MEMBERS;
    eventually("members outlive their launcher", || {
        let is_free = |port| TcpListener::bind(("0.0.0.0", port)).is_ok();
        ports.clone().all(is_free)
    });
    first.end();
}
