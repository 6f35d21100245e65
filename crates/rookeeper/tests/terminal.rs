//! The shell on a terminal: what is shown while somebody types.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real processes and sockets: a failure is its result"
)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const BINARY: &str = env!("CARGO_BIN_EXE_rookeeper");
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell, and the keys and the screen of its terminal.
struct Terminal {
    shell: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    unread: Vec<u8>,
    hosts: String,
    _dir: tempfile::TempDir,
    server: Option<Server>,
}

impl Terminal {
    fn new() -> Self {
        Self::of_kind("xterm")
    }

    fn of_kind(kind: &str) -> Self {
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
        let hosts = server.client_address().unwrap().to_string();
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let shell = Command::new(BINARY)
            .args(["cli", "-server", &hosts])
            .env("TERM", kind)
            .env_remove("NO_COLOR")
            .stdin(Stdio::from(theirs.try_clone().unwrap()))
            .stdout(Stdio::from(theirs.try_clone().unwrap()))
            .stderr(Stdio::from(theirs))
            .spawn()
            .unwrap();
        let keys = File::from(ours);
        Self {
            shell,
            screen: screen(keys.try_clone().unwrap()),
            keys,
            unread: Vec::new(),
            hosts,
            _dir: dir,
            server: Some(server),
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads the screen up to `text`, and returns what was shown. What comes behind it is read next.
    #[track_caller]
    fn sees(&mut self, text: &str) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let shown = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some((before, behind)) = shown.split_once(text) {
                self.unread = behind.into();
                return format!("{before}{text}");
            }
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(50)) {
                self.unread.extend(bytes);
            }
        }
        panic!(
            "{text:?} is not in {:?}",
            String::from_utf8_lossy(&self.unread)
        );
    }

    #[track_caller]
    fn sees_prompt(&mut self, number: usize) -> String {
        let prompt = self.prompt(number);
        self.sees(&prompt)
    }

    fn prompt(&self, number: usize) -> String {
        format!("[zk: {}(CONNECTED) {number}] ", self.hosts)
    }

    fn status(mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.shell.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the shell goes on");
    }

    /// Somebody else's command.
    fn elsewhere(&self, words: &[&str]) {
        let all = [&["cli", "-server", &self.hosts, "-q"], words].concat();
        assert!(
            Command::new(BINARY)
                .args(all)
                .output()
                .unwrap()
                .status
                .success()
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn screen(mut file: File) -> Receiver<Vec<u8>> {
    let (send, screen) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // The terminal is gone when the shell is.
        while let Ok(count @ 1..) = file.read(&mut bytes) {
            if send.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    screen
}

#[test]
fn the_first_prompt_says_that_there_is_a_session() {
    let mut terminal = Terminal::new();
    let shown = terminal.sees_prompt(0);
    for line in [
        &*format!("Connecting to {}\r\n", terminal.hosts),
        "Welcome to ZooKeeper!\r\nJLine support is enabled\r\n",
        "WatchedEvent state:SyncConnected type:None path:null zxid: -1\r\n",
    ] {
        assert!(shown.contains(line), "{shown:?}");
    }
    terminal.press("\r");
    terminal.sees_prompt(0);
    terminal.press("get /none\r");
    terminal.sees("Node does not exist: /none");
    terminal.sees_prompt(1);
    terminal.press("quit\r");
    terminal.sees("WatchedEvent state:Closed type:None path:null zxid: -1");
    assert_eq!(terminal.status(), Some(1));
}

#[test]
fn tab_completes_commands_and_paths() {
    let mut terminal = Terminal::new();
    terminal.elsewhere(&["create", "/m1"]);
    terminal.elsewhere(&["create", "/m2"]);
    terminal.sees_prompt(0);
    terminal.press("cre\t");
    terminal.sees("create ");
    terminal.press("\u{15}ge\t");
    let shown = terminal.sees("getEphemerals");
    assert!(shown.contains("getAcl") && shown.contains("getAllChildrenNumber"));
    terminal.press("\u{15}ls /zoo\t");
    terminal.sees("ls /zookeeper ");
    terminal.press("\u{15}ls /m\t");
    let shown = terminal.sees("m2");
    assert!(shown.contains("m1"), "{shown:?}");
}

#[test]
fn an_event_leaves_the_line_that_is_being_typed() {
    let mut terminal = Terminal::new();
    terminal.elsewhere(&["create", "/w", "x"]);
    terminal.sees_prompt(0);
    terminal.press("get -w /w\r");
    terminal.sees_prompt(1);
    terminal.press("create /w/half");
    terminal.sees("/half");
    terminal.elsewhere(&["set", "/w", "y"]);
    terminal.sees("type:NodeDataChanged path:/w");
    let again = format!("{}create /w/half", terminal.prompt(1));
    terminal.sees(&again);
    terminal.press("way\r");
    terminal.sees("Created /w/halfway");
}

#[test]
fn ctrl_c_clears_the_line_and_a_second_one_ends_the_shell() {
    let mut terminal = Terminal::new();
    terminal.sees_prompt(0);
    terminal.press("delete /precious");
    terminal.sees("precious");
    terminal.press("\u{3}");
    terminal.sees_prompt(0);
    terminal.press("\u{3}");
    assert_eq!(terminal.status(), Some(130));
}

#[test]
fn ctrl_d_on_an_empty_line_ends_the_shell() {
    let mut terminal = Terminal::new();
    terminal.sees_prompt(0);
    terminal.press("\u{4}");
    assert_eq!(terminal.status(), Some(0));
}

#[test]
fn a_terminal_that_cannot_edit_gets_prompts() {
    let mut terminal = Terminal::of_kind("dumb");
    terminal.sees_prompt(0);
    terminal.press("ls /\n");
    terminal.sees("[zookeeper]\r\n");
    terminal.sees_prompt(1);
    terminal.press("quit\n");
    assert_eq!(terminal.status(), Some(0));
}

#[test]
fn data_cannot_speak_to_the_terminal() {
    let mut terminal = Terminal::new();
    // ESC [ 2 J in base64.
    terminal.elsewhere(&["create", "/evil", ""]);
    terminal.elsewhere(&["set", "/evil", "G1sySg==", "-b"]);
    terminal.sees_prompt(0);
    terminal.press("get /evil\r");
    terminal.sees("\\x1b[2J");
}

#[test]
fn the_prompt_tells_what_has_become_of_the_session() {
    let mut terminal = Terminal::new();
    terminal.sees_prompt(0);
    terminal.press("half");
    terminal.sees("half");
    drop(terminal.server.take());
    terminal.sees("state:Disconnected");
    let prompt = format!("[zk: {}(CONNECTING) 0]half", terminal.hosts);
    terminal.sees(&prompt);
}

#[test]
fn a_name_with_a_blank_is_completed_to_a_line_that_works() {
    let mut terminal = Terminal::new();
    terminal.elsewhere(&["create", "/two words", "found"]);
    terminal.sees_prompt(0);
    terminal.press("get /tw\t\r");
    terminal.sees("get \"/two words\" ");
    terminal.sees("found");
}
