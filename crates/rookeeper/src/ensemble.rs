//! `rookeeper ensemble`: all members of an ensemble on this machine, for trying things out. A process each, so that one can be killed.
//!
//! What lives here: their directories and configurations, starting and stopping them, and telling what becomes of them. What does
//! not: anything that a server does.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

/// How often it is looked at what the members do.
const LOOK: Duration = Duration::from_millis(200);
/// How long a member may take to say what it does.
const ANSWER: Duration = Duration::from_millis(500);
/// How long ports may be in use by members that are about to end.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
/// How long members may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// More members than anybody tries on one machine.
const MOST: u16 = 25;

/// Where and how many.
#[derive(Debug, Args)]
pub(crate) struct Ensemble {
    /// How many members
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST)))]
    members: u16,
    /// Where their data is kept; what is there goes on
    #[arg(long, default_value = "rookeeper-ensemble")]
    data: PathBuf,
    /// Port for clients of the first member; the others follow it
    #[arg(long, default_value_t = 2181)]
    port: u16,
    /// Port for learners of the first member
    #[arg(long, default_value_t = 2888)]
    quorum_port: u16,
    /// Port for elections of the first member
    #[arg(long, default_value_t = 3888)]
    election_port: u16,
}

/// What a member does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Starting,
    /// As it says itself.
    Mode(String),
    Ended(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("looks for a leader"),
            Self::Mode(mode) => f.write_str(mode),
            Self::Ended(how) => write!(f, "ended: {how}"),
        }
    }
}

struct Member {
    id: u16,
    port: u16,
    dir: PathBuf,
    process: Child,
    state: State,
}

/// Runs them until Ctrl-C. If all have ended before, that is a failure.
pub(crate) fn run(options: &Ensemble) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ensemble: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Ensemble) -> io::Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    watch_signals(Arc::clone(&stopping))?;
    options.await_ports()?;
    let mut members = Vec::new();
    for id in 1..=options.members {
        let member = options
            .prepare(id)
            .and_then(|()| options.start(id))
            .map_err(|error| io::Error::other(format!("member {id}: {error}")))?;
        members.push(member);
    }
    say(&options.introduction());
    while !stopping.load(Ordering::Relaxed) && members.iter().any(Member::is_running) {
        members.iter_mut().for_each(Member::look);
        thread::sleep(LOOK);
    }
    if !stopping.load(Ordering::Relaxed) {
        return Err(io::Error::other("all members have ended"));
    }
    say("stopping\n");
    members.iter_mut().for_each(Member::stop);
    let begun = Instant::now();
    for member in &mut members {
        member.wait(begun);
    }
    Ok(())
}

/// Says it to whoever is there.
fn say(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn watch_signals(stopping: Arc<AtomicBool>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("rookeeper-signal".to_owned())
        .spawn(move || {
            use tokio::signal::unix::{SignalKind, signal};
            runtime.block_on(async {
                let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
                if let [Ok(mut int), Ok(mut term)] = kinds.map(signal) {
                    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                }
                stopping.store(true, Ordering::Relaxed);
            });
        })
        .map(drop)
}

impl Ensemble {
    fn dir(&self, id: u16) -> PathBuf {
        self.data.join(id.to_string())
    }

    const fn client_port(&self, id: u16) -> u16 {
        self.port.saturating_add(id - 1)
    }

    const fn quorum_port(&self, id: u16) -> u16 {
        self.quorum_port.saturating_add(id - 1)
    }

    const fn election_port(&self, id: u16) -> u16 {
        self.election_port.saturating_add(id - 1)
    }

    /// Waits until nobody has any of the ports: whoever answered there would be taken for a member.
    fn await_ports(&self) -> io::Result<()> {
        let (begun, mut seen) = (Instant::now(), BTreeSet::new());
        for id in 1..=self.members {
            for port in [
                self.client_port(id),
                self.quorum_port(id),
                self.election_port(id),
            ] {
                if !seen.insert(port) {
                    let text = format!("port {port} would be used twice: choose others");
                    return Err(io::Error::other(text));
                }
                while let Err(error) = TcpListener::bind(("0.0.0.0", port)) {
                    if begun.elapsed() > PORT_PATIENCE {
                        let text = format!("port {port} cannot be used: {error}");
                        return Err(io::Error::other(text));
                    }
                    thread::sleep(LOOK);
                }
            }
        }
        Ok(())
    }

    /// The directory of a member with its number and its configuration, which is written anew.
    fn prepare(&self, id: u16) -> io::Result<()> {
        let dir = self.dir(id);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("myid"), format!("{id}\n"))?;
        fs::write(dir.join("zoo.cfg"), self.configuration(id, &dir))
    }

    fn configuration(&self, id: u16, dir: &Path) -> String {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
        let mut text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\n",
            dir.display(),
            self.client_port(id)
        );
        for other in 1..=self.members {
            let (quorum, election) = (self.quorum_port(other), self.election_port(other));
            text += &format!("server.{other}=127.0.0.1:{quorum}:{election}\n");
        }
        text
    }

    fn start(&self, id: u16) -> io::Result<Member> {
        let dir = self.dir(id);
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join("server.log"))?;
        let process = Command::new(std::env::current_exe()?)
            .args(["server", "--until-stdin-ends"])
            .arg(dir.join("zoo.cfg"))
            // Nothing is ever said there: it ends with this process, however that ends.
            .stdin(Stdio::piped())
            // Ctrl-C at a terminal is for this process, which tells the members.
            .process_group(0)
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()?;
        Ok(Member {
            id,
            port: self.client_port(id),
            dir,
            process,
            state: State::Starting,
        })
    }

    fn introduction(&self) -> String {
        let hosts: Vec<String> = (1..=self.members)
            .map(|id| format!("127.0.0.1:{}", self.client_port(id)))
            .collect();
        format!(
            "Rookeeper {}, an ensemble of {} on this machine\n  clients   {}\n  data      {}\n  stop      Ctrl-C; the data is kept\n",
            env!("CARGO_PKG_VERSION"),
            self.members,
            hosts.join(","),
            self.data.display(),
        )
    }
}

impl Member {
    const fn is_running(&self) -> bool {
        !matches!(self.state, State::Ended(_))
    }

    /// Says when it does something else than before.
    fn look(&mut self) {
        if !self.is_running() {
            return;
        }
        let state = match self.process.try_wait() {
            Ok(Some(status)) => State::Ended(format!(
                "{status}; see {}",
                self.dir.join("server.log").display()
            )),
            // Before it has its port nobody else has, or it would not have been started.
            _ => mode(self.port).map_or(State::Starting, State::Mode),
        };
        if state != self.state {
            say(&format!(
                "  member {:<2} 127.0.0.1:{} pid {}: {state}\n",
                self.id,
                self.port,
                self.process.id()
            ));
            self.state = state;
        }
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        if let (true, Some(pid)) = (self.is_running(), pid) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until it has ended, then ends it.
    fn wait(&mut self, begun: Instant) {
        while begun.elapsed() < STOP_PATIENCE {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            thread::sleep(LOOK / 10);
        }
        say(&format!(
            "  member {} does not stop and is killed\n",
            self.id
        ));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the word `srvr` says that a server does; `None` when it serves nobody.
fn mode(port: u16) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut socket = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    socket.set_read_timeout(Some(ANSWER)).ok()?;
    socket.write_all(b"srvr").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let mode = answer
        .lines()
        .find_map(|line| line.strip_prefix("Mode: "))?;
    Some(mode.to_owned())
}
