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

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use raw::*;

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");

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
    assert_eq!(impatient.0, Some(1));
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
    assert_eq!(code, Some(1));
    assert!(said.contains("the connection was lost"), "{said}");
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn bad_calls_are_told_in_a_line() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let unreachable = finish(lock(nowhere, &[], "true").spawn().unwrap());
    assert_eq!(unreachable.0, Some(1));
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
    assert_eq!(missing.status.code(), Some(1));
    let without = Command::new(BINARY).args(["lock", "/x"]).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
}
