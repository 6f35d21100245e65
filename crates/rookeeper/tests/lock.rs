//! `rookeeper lock` as a script has it: exit codes, the token, and who runs when.
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

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use raw::*;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");
/// The exit codes of what is no matter of the command.
const NO_LOCK: i32 = 69;
const LOST: i32 = 70;

fn lock(address: SocketAddr, options: &[&str], script: &str) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args([
            "lock",
            "--timeout",
            "2000",
            "--server",
            &address.to_string(),
        ])
        .args(options)
        .args(["/locks/x", "--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn finish(child: Child) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn a_command_has_the_lock_a_token_and_its_own_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    let script = "echo $ROOKEEPER_LOCK_TOKEN; exit 7";
    let first = finish(lock(address, &[], script).spawn().unwrap());
    let second = finish(lock(address, &[], script).spawn().unwrap());
    assert_eq!((first.0, second.0), (Some(7), Some(7)));
    let token = |text: &str| text.trim().parse::<i64>().unwrap();
    assert!(token(&first.1) < token(&second.1));
}

#[test]
fn one_runs_at_a_time_and_who_waits_too_long_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    let mark = dir.path().join("held");
    let script = format!("touch {0}; sleep 1; rm {0}", mark.display());
    let holder = lock(address, &[], &script).spawn().unwrap();
    await_true("the lock is held", || mark.exists());
    let impatient = finish(lock(address, &["--wait", "0"], "true").spawn().unwrap());
    assert_eq!(impatient.0, Some(NO_LOCK));
    assert_eq!(
        impatient.2,
        "rookeeper lock: /locks/x: somebody else has it\n"
    );
    let next = format!("test ! -e {}", mark.display());
    let patient = finish(lock(address, &["--wait", "20"], &next).spawn().unwrap());
    assert_eq!(patient.0, Some(0));
    assert_eq!(finish(holder).0, Some(0));
}

#[test]
fn a_command_is_stopped_when_its_lock_may_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 200, &[]);
    let mark = dir.path().join("held");
    let script = format!("touch {}; exec sleep 60", mark.display());
    let holder = lock(address, &[], &script).spawn().unwrap();
    await_true("the lock is held", || mark.exists());
    let begun = Instant::now();
    drop(server);
    let (code, _, said) = finish(holder);
    assert_eq!(code, Some(LOST));
    assert!(said.contains("the connection was lost"), "{said}");
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn bad_calls_are_told_in_a_line() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let unreachable = finish(lock(nowhere, &[], "true").spawn().unwrap());
    assert_eq!(unreachable.0, Some(NO_LOCK));
    assert!(
        unreachable.2.contains("no server could be reached"),
        "{}",
        unreachable.2
    );
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    let missing = Command::new(BINARY)
        .args([
            "lock",
            "--server",
            &address.to_string(),
            "/x",
            "--",
            "/no/such/program",
        ])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(NO_LOCK));
    for (root, path, told) in [
        ("", "x", "x: the path does not start with /"),
        ("", "/x/", "/x/: "),
        (
            "/nope",
            "/x",
            "/x: there is no /nope, which --server names as root",
        ),
    ] {
        let refused = Command::new(BINARY)
            .args([
                "lock",
                "-server",
                &format!("{address}{root}"),
                path,
                "--",
                "true",
            ])
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(NO_LOCK));
        let said = String::from_utf8(refused.stderr).unwrap();
        let line = format!("rookeeper lock: {told}");
        assert!(
            said.starts_with(&line) && said.lines().count() == 1,
            "{said}"
        );
    }
    let without = Command::new(BINARY).args(["lock", "/x"]).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
}

/// A script whose work is done by a child that asks for no end, and shows as long as it works.
fn stubborn_work(beat: &Path) -> String {
    let beat = beat.display();
    format!("(trap '' TERM INT; while true; do echo x >> {beat}; sleep 0.05; done) & wait; exit 0")
}

#[track_caller]
fn stands_still(beat: &Path) {
    let before = fs::metadata(beat).unwrap().len();
    thread::sleep(Duration::from_millis(400));
    assert_eq!(fs::metadata(beat).unwrap().len(), before, "somebody works");
}

fn tell(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

#[test]
fn the_children_of_a_command_are_stopped_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (server, address) = server(dir.path(), 200, &[]);
    let beat = dir.path().join("beat");
    let holder = lock(address, &[], &stubborn_work(&beat)).spawn().unwrap();
    await_true("somebody works", || beat.exists());
    drop(server);
    // Nobody else can have the lock before the session's timeout.
    thread::sleep(Duration::from_millis(2000));
    stands_still(&beat);
    let (code, _, said) = finish(holder);
    assert_eq!(code, Some(LOST), "{said}");
}

#[test]
fn who_ends_the_lock_ends_the_command_first() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    for (signal, name, code) in [(Signal::TERM, "TERM", 3), (Signal::INT, "INT", 4)] {
        let (mark, tidied) = (dir.path().join(name), dir.path().join("tidied"));
        let script = format!(
            "trap 'sleep 0.5; touch {1}; exit {code}' {name}; touch {0}; while true; do sleep 0.05; done",
            mark.display(),
            tidied.display()
        );
        let holder = lock(address, &[], &script).spawn().unwrap();
        await_true("the lock is held", || mark.exists());
        let next = format!("test -e {0} && rm {0}", tidied.display());
        let next = lock(address, &[], &next).spawn().unwrap();
        thread::sleep(Duration::from_millis(200));
        tell(&holder, signal);
        assert_eq!(finish(holder).0, Some(code), "{name}");
        assert_eq!(finish(next).0, Some(0), "{name}: two at a time");
    }
}

#[test]
fn what_a_command_leaves_working_keeps_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    let mark = dir.path().join("held");
    let script = format!("touch {0}; (sleep 0.7; rm {0}) & exit 5", mark.display());
    let holder = lock(address, &[], &script).spawn().unwrap();
    await_true("the lock is held", || mark.exists());
    let next = format!("test ! -e {}", mark.display());
    let next = finish(lock(address, &[], &next).spawn().unwrap());
    assert_eq!(next.0, Some(0));
    assert_eq!(finish(holder).0, Some(5));
}

#[test]
fn who_waits_in_line_and_is_told_to_end_leaves_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    let mark = dir.path().join("held");
    let script = format!("touch {}; sleep 1", mark.display());
    let holder = lock(address, &[], &script).spawn().unwrap();
    await_true("the lock is held", || mark.exists());
    let waiting = lock(address, &[], "exit 9").spawn().unwrap();
    thread::sleep(Duration::from_millis(500));
    tell(&waiting, Signal::TERM);
    assert_eq!(finish(waiting).0, Some(143));
    let begun = Instant::now();
    let next = finish(lock(address, &[], "true").spawn().unwrap());
    assert_eq!((next.0, finish(holder).0), (Some(0), Some(0)));
    // The session of who left would keep others waiting for two seconds.
    assert!(begun.elapsed() < Duration::from_millis(1800));
}

/// A command under a lock on a terminal of its own. Returns the keys and the screen in one.
fn on_a_terminal(address: SocketAddr, script: &str) -> (Child, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let child = Command::new("setsid")
        .args(["--ctty", "--wait", BINARY, "lock", "--server"])
        .arg(address.to_string())
        .args(["/locks/t", "--", "sh", "-c", script])
        .stdin(Stdio::from(theirs.try_clone().unwrap()))
        .stdout(Stdio::from(theirs.try_clone().unwrap()))
        .stderr(Stdio::from(theirs))
        .spawn()
        .unwrap();
    (child, File::from(ours))
}

/// Reads the screen up to `text`.
fn sees(screen: &mut File, text: &str) -> String {
    let mut seen = String::new();
    let mut bytes = [0; 1024];
    while !seen.contains(text) {
        let count = screen.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    seen
}

#[test]
fn a_command_may_ask_at_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    let script = "echo who; read name; echo hello $name; read again; exit 6";
    let (mut child, mut terminal) = on_a_terminal(address, script);
    sees(&mut terminal, "who");
    terminal.write_all(b"rook\n").unwrap();
    sees(&mut terminal, "hello rook");
    // It cannot be suspended: the lock would be lost, and it would not know.
    terminal.write_all(b"\x1a").unwrap();
    sees(&mut terminal, "not suspended");
    terminal.write_all(b"\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn ctrl_c_reaches_a_command_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_server, address) = server(dir.path(), 200, &[]);
    for asks in ["read first;", ""] {
        let script = format!(
            "count=0; trap 'count=$((count+1))' INT; echo on; {asks} \
             for n in 1 2 3 4 5 6 7 8; do sleep 0.1; done; echo came $count."
        );
        let (mut child, mut terminal) = on_a_terminal(address, &script);
        sees(&mut terminal, "on");
        if !asks.is_empty() {
            terminal.write_all(b"x\n").unwrap();
        }
        thread::sleep(Duration::from_millis(200));
        terminal.write_all(b"\x03").unwrap();
        let seen = sees(&mut terminal, ".");
        assert!(seen.contains("came 1."), "{asks:?} {seen}");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
