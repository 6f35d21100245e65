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

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables};

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
