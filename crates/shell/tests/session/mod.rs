//! A server inside the test, and a shell on it whose words are kept.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::tz::TimeZone;
use rookeeper_server::boot::Server;
use rookeeper_server::config::{self, JvmVariables};
use rookeeper_shell::console::Console;
use rookeeper_shell::shell::{Shell, Target};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What comes in time.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

/// A server with an empty tree.
pub struct World {
    _dir: tempfile::TempDir,
    _server: Server,
    pub hosts: String,
}

impl World {
    /// `words` are `-D` words for the server.
    pub fn with(words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut all = vec!["0", dir.path().to_str().unwrap(), "2000"];
        all.extend([
            "-Dzookeeper.clientPortAddress=127.0.0.1",
            "-Dzookeeper.preAllocSize=64",
        ]);
        all.extend(words);
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        let settings = config::load(&all, JvmVariables::default())
            .unwrap()
            .settings;
        let server = Server::start(settings).unwrap();
        Self {
            hosts: server.client_address().unwrap().to_string(),
            _dir: dir,
            _server: server,
        }
    }

    pub fn new() -> Self {
        Self::with(&[])
    }
}

/// Words that were printed.
#[derive(Debug, Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    pub fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.0.lock().unwrap())).into_owned()
    }
}

/// Where nothing can be written.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A shell with a session.
pub struct Session {
    pub shell: Shell,
    pub console: Arc<Console>,
    pub out: Paper,
    pub err: Paper,
}

impl Session {
    /// Results and complaints on one paper, in the order in which they were printed.
    pub async fn on_one_paper(hosts: &str) -> Self {
        let paper = Paper::default();
        Self::open(hosts, paper.clone(), paper).await
    }

    /// Results and complaints apart.
    pub async fn on_two_papers(hosts: &str) -> Self {
        Self::open(hosts, Paper::default(), Paper::default()).await
    }

    /// Nobody reads its results, as behind a pipe whose reader has ended.
    pub async fn without_reader(hosts: &str) -> Self {
        let console = Console::to(Box::new(Nowhere), Box::new(Paper::default()));
        Self::at(hosts, console, Paper::default(), Paper::default()).await
    }

    async fn open(hosts: &str, out: Paper, err: Paper) -> Self {
        let console = Console::to(Box::new(out.clone()), Box::new(err.clone()));
        Self::at(hosts, console, out, err).await
    }

    async fn at(hosts: &str, console: Console, out: Paper, err: Paper) -> Self {
        let console = Arc::new(console);
        let target = Target {
            hosts: hosts.to_owned(),
            timeout: Duration::from_secs(20),
            read_only: false,
            tls: None,
        };
        let mut shell = Shell::open(target, Arc::clone(&console), false).unwrap();
        shell.set_zone(TimeZone::UTC);
        soon(shell.wait_for_session()).await.unwrap();
        soon(shell.settle()).await;
        Self {
            shell,
            console,
            out,
            err,
        }
    }

    /// Runs a line. Returns its status.
    pub async fn run(&mut self, line: &str) -> u8 {
        let status = soon(self.shell.run_line(line)).await;
        self.console.flush();
        status.unwrap_or(0)
    }

    /// Runs a line. Returns what it printed, complaints included, without events and the usual first words.
    pub async fn say(&mut self, line: &str) -> String {
        self.out.take();
        self.err.take();
        self.run(line).await;
        let (out, err) = (self.out.take(), self.err.take());
        out + &err
    }
}
