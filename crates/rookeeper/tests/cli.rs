//! The shell as a process: single commands and their status, scripts, and the name `zkCli.sh`.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real processes and sockets: a failure is its result"
)]

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables};
use rustix::process::{Pid, Signal, kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");
const UP: &str = "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null zxid: -1\n";
const CLOSED: &str = "\nWATCHER::\n\nWatchedEvent state:Closed type:None path:null zxid: -1\n";

struct World {
    dir: tempfile::TempDir,
    hosts: String,
    _server: Server,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let words = [
            "0",
            dir.path().to_str().unwrap(),
            "2000",
            "-Dzookeeper.clientPortAddress=127.0.0.1",
            "-Dzookeeper.preAllocSize=64",
        ];
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let loaded = config::load(&words, JvmVariables::default()).unwrap();
        let server = Server::start(loaded.settings).unwrap();
        Self {
            hosts: server.client_address().unwrap().to_string(),
            dir,
            _server: server,
        }
    }

    fn cli(&self, words: &[&str]) -> Output {
        let all = [&["cli", "-server", &self.hosts][..], words].concat();
        output(Path::new(BINARY), &all, "")
    }

    fn script(&self, options: &[&str], lines: &str) -> Output {
        let all = [&["cli", "-server", &self.hosts][..], options].concat();
        output(Path::new(BINARY), &all, lines)
    }

    fn first_line(&self) -> String {
        format!("Connecting to {}\n", self.hosts)
    }
}

fn output(program: &Path, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(words)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn check(output: &Output, status: i32, out: &str, err: &str) {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert_eq!(texts, [out, err]);
    assert_eq!(output.status.code(), Some(status));
}

#[test]
fn a_single_command_prints_what_is_recorded() {
    let world = World::new();
    let begin = world.first_line() + UP;
    let recorded = include_str!("../../../testdata/shell/one-shot.txt");
    for (words, status, out, err) in [
        (&["ls", "/"][..], 0, "[zookeeper]\n", ""),
        (&["create", "/one", "v"], 0, "", "Created /one\n"),
        (
            &["create", "/one", "v"],
            1,
            "",
            "Node already exists: /one\n",
        ),
        (&["get", "/one"], 0, "v\n", ""),
        (&["get", "/nope"], 1, "", "Node does not exist: /nope\n"),
        (&["sync", "/"], 0, "Sync is OK\n", ""),
        (&["-timeout", "5000", "delete", "/one"], 0, "", ""),
    ] {
        let command = format!("$ zkCli.sh -server localhost:2181 {}\n", words.join(" "));
        let told = format!("{UP}{out}--stderr\n{err}--exit {status}\n");
        let end = |text: &str| text.split("\n$ ").next().unwrap().to_owned() + "\n";
        let is_recorded = recorded
            .split(&command)
            .skip(1)
            .any(|rest| end(rest).contains(&told));
        // The recording began with another tree.
        assert!(is_recorded || words == ["ls", "/"], "{command}{told}");
        check(&world.cli(words), status, &format!("{begin}{out}"), err);
    }
}

#[test]
fn wrong_words_have_their_status() {
    let world = World::new();
    let unknown = world.cli(&["foo"]);
    assert_eq!(unknown.status.code(), Some(127));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        told.starts_with("ZooKeeper -server host:port -client-configuration"),
        "{told}"
    );
    assert!(
        told.ends_with("\nCommand not found: Command not found foo\n"),
        "{told}"
    );
    let usage = world.cli(&["-q", "stat"]);
    check(&usage, 1, "", "stat [-w] path\n");
    check(&world.cli(&["-q", "quit"]), 0, "", "");
    check(
        &world.cli(&["-timeout", "soon"]),
        1,
        "",
        "-timeout: soon is not a number\n",
    );
}

#[test]
fn a_script_gets_results_only_and_the_last_status() {
    let world = World::new();
    let begin = world.first_line() + "Welcome to ZooKeeper!\nJLine support is enabled\n" + UP;
    let run = world.script(&[], "create /a \"b c\"\n\nget /a\nget /none\n");
    check(
        &run,
        1,
        &format!("{begin}b c\n"),
        "Created /a\nNode does not exist: /none\n",
    );
    let run = world.script(&["-echo"], "get /a\nget /none\nquit\n");
    let prompt = |n| format!("[zk: {}(CONNECTED) {n}] ", world.hosts);
    let told = format!(
        "{begin}{}get /a\nb c\n{}get /none\n{}quit\n{CLOSED}",
        prompt(0),
        prompt(1),
        prompt(2)
    );
    check(&run, 1, &told, "Node does not exist: /none\n");
    check(&world.script(&["-q"], "get /a"), 0, "b c\n", "");
}

#[test]
fn a_document_comes_without_anything_else() {
    let world = World::new();
    check(
        &world.cli(&["ls", "/", "-o", "json"]),
        0,
        "[\n  \"zookeeper\"\n]\n",
        "",
    );
    check(
        &world.cli(&["--output", "yaml", "ls", "/"]),
        0,
        "- \"zookeeper\"\n",
        "",
    );
}

#[test]
fn data_come_back_byte_for_byte() {
    let world = World::new();
    world.cli(&["create", "/bin", ""]);
    // 0xff 0x00 0x1b in base64.
    check(&world.cli(&["-q", "set", "/bin", "/wAb", "-b"]), 0, "", "");
    assert_eq!(world.cli(&["-q", "get", "/bin"]).stdout, b"\xff\x00\x1b\n");
    check(&world.cli(&["-q", "get", "-b", "/bin"]), 0, "/wAb\n", "");
}

#[test]
fn an_ephemeral_of_a_single_command_goes_with_it_unless_kept() {
    let world = World::new();
    world.cli(&["create", "-e", "/gone"]);
    world.cli(&["-keepalive", "create", "-e", "/kept"]);
    check(&world.cli(&["-q", "ls", "/"]), 0, "[kept, zookeeper]\n", "");
}

#[test]
fn the_shell_answers_to_its_old_name() {
    let world = World::new();
    for name in ["zkCli.sh", "zkCli"] {
        let called = world.dir.path().join(name);
        symlink(BINARY, &called).unwrap();
        let run = output(&called, &["-server", &world.hosts, "-q", "ls", "/"], "");
        check(&run, 0, "[zookeeper]\n", "");
    }
}

#[test]
fn no_server_is_an_error_at_once() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = free.local_addr().unwrap().to_string();
    drop(free);
    let run = output(
        Path::new(BINARY),
        &["cli", "-server", &nowhere, "-q", "ls", "/"],
        "",
    );
    let told = format!("KeeperErrorCode = ConnectionLoss for / ({nowhere}: connection refused)\n");
    check(&run, 1, "", &told);
    let words = [
        "cli",
        "-server",
        &nowhere,
        "-q",
        "-timeout",
        "500",
        "-waitforconnection",
        "ls",
        "/",
    ];
    let run = output(Path::new(BINARY), &words, "");
    let told = format!("KeeperErrorCode = ConnectionLoss ({nowhere}: connection refused)\n");
    check(&run, 1, "", &told);
}

#[test]
fn results_that_cannot_be_written_are_a_failure() {
    let world = World::new();
    world.cli(&["create", "/big", &"x".repeat(100_000)]);
    for words in [&["-q", "ls", "/"][..], &["-q", "get", "/big"], &["-h"]] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let run = Command::new(BINARY)
            .args(["cli", "-server", &world.hosts])
            .args(words)
            .stdout(full)
            .output()
            .unwrap();
        check(
            &run,
            1,
            "",
            "writing the result: No space left on device (os error 28)\n",
        );
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure_to_speak_of() {
    let world = World::new();
    world.script(&["-q"], &format!("create /big {}", "x".repeat(900_000)));
    let mut child = Command::new(BINARY)
        .args(["cli", "-server", &world.hosts, "-q", "get", "/big"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
}

#[test]
fn who_is_told_to_end_takes_the_session_along() {
    let world = World::new();
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut child = Command::new(BINARY)
            .args(["cli", "-server", &world.hosts, "-q"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = b"create -e /gone\nget -w /gone\nwatch /gone\n";
        child.stdin.as_mut().unwrap().write_all(lines).unwrap();
        while world.cli(&["-q", "ls", "/gone"]).status.code() != Some(0) {}
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status));
        check(&world.cli(&["-q", "ls", "/"]), 0, "[zookeeper]\n", "");
    }
    let child = Command::new(BINARY)
        .args(["cli", "-server", &world.hosts, "watch", "/"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut told = [0; "watching /".len()];
    child
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut told)
        .unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_refused_identity_is_told_to_who_wants_quiet() {
    let world = World::new();
    let told = "addauth foo: the server refused it, and the session is of no use any more: connect opens another one\n";
    check(&world.cli(&["-q", "addauth", "foo", "u:p"]), 1, "", told);
}

#[test]
fn options_have_two_dashes_too() {
    let world = World::new();
    let run = |words: &[&str]| output(Path::new(BINARY), words, "");
    let listed = run(&["cli", "--server", &world.hosts, "--quiet", "ls", "/"]);
    check(&listed, 0, "[zookeeper]\n", "");
    let refused = run(&["cli", "--sever", &world.hosts, "ls", "/"]);
    let told = "--sever is no option; rookeeper cli -h lists them\n";
    check(&refused, 1, "", told);
}

#[test]
fn a_session_may_be_short_and_its_answers_long() {
    let world = World::new();
    let names: String = (0..3000).map(|n| format!("create /n{n} x\n")).collect();
    world.script(&["-q"], &names);
    let listed = world.cli(&["-q", "-timeout", "5", "ls", "-R", "/"]);
    assert_eq!(
        listed.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
}

#[test]
fn an_export_goes_where_it_is_sent() {
    let world = World::new();
    world.cli(&["create", "/a", "x"]);
    let text = world.cli(&["export", "/a"]).stdout;
    let through = world.cli(&["export", "/a", "/dev/stdout"]);
    assert_eq!(through.stdout, text);
    let text = String::from_utf8(text).unwrap();
    let imported = [
        &["cli", "-server", &*world.hosts, "-q"][..],
        &["import", "-", "/b"],
    ]
    .concat();
    let imported = output(Path::new(BINARY), &imported, &text);
    check(&imported, 0, "", "1 nodes created\n");
}
