//! `rookeeper lock`: runs a command while a lock is held, so that of many machines one does something at a time.
//!
//! The lock is the mutex of the client's recipes, so it excludes Curator's `InterProcessMutex` too. The command finds its fencing token
//! in `ROOKEEPER_LOCK_TOKEN`. When the lock may be lost, it is told to stop before anybody else can have the lock.

use std::fmt::Display;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use clap::Args;
use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{Client, Error};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// How long a command that must stop may take before it is killed. Far below the third of a session's timeout that is left then.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long the release at the end may take; the end of the session releases anyway.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// What a shell adds to the number of the signal that ended a command.
const KILLED: i32 = 128;

/// Which lock, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// The ensemble, and a root if wanted: `host:port,host:port/root`
    #[arg(long, default_value = "localhost:2181")]
    server: String,
    /// Timeout of the session, in ms: how long the lock outlives a machine that dies
    #[arg(long, default_value_t = 30_000)]
    timeout: u64,
    /// Give up after so many seconds, instead of waiting for ever
    #[arg(long)]
    wait: Option<u64>,
    /// The znode of the lock
    path: String,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Takes the lock, runs the command, and ends with its exit code; 1 if there was no lock or it was lost, 128 and the number of the
/// signal that ended the command.
pub(crate) fn run(lock: &Lock) -> ExitCode {
    let done = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| trouble("cannot start", error))
        .and_then(|runtime| runtime.block_on(hold(lock)));
    match done {
        Ok(code) => code,
        Err(text) => {
            eprintln!("rookeeper lock: {text}");
            ExitCode::FAILURE
        }
    }
}

fn trouble(what: &str, error: impl Display) -> String {
    format!("{what}: {error}")
}

async fn hold(lock: &Lock) -> Result<ExitCode, String> {
    let client = Client::builder()
        .session_timeout(Duration::from_millis(lock.timeout))
        .connect(&lock.server)
        .await
        .map_err(|error| trouble(&lock.server, error))?;
    let guard = take(&client, lock).await?;
    let status = work(&guard, &lock.command).await;
    let is_held = guard.is_held();
    // Whatever goes wrong here, the session's end releases the lock.
    let _ = timeout(RELEASE_PATIENCE, async {
        let _ = guard.release().await;
        client.close().await
    })
    .await;
    let status = status?;
    if !is_held {
        return Err("the connection was lost, and the lock perhaps with it".to_owned());
    }
    Ok(exit_code(status))
}

async fn take(client: &Client, lock: &Lock) -> Result<Guard, String> {
    let mutex = Mutex::new(client, &lock.path);
    let taken: Result<Option<Guard>, Error> = match lock.wait {
        Some(seconds) => mutex.lock_within(Duration::from_secs(seconds)).await,
        None => mutex.lock().await.map(Some),
    };
    taken
        .map_err(|error| trouble(&lock.path, error))?
        .ok_or_else(|| format!("{}: somebody else has it", lock.path))
}

/// Runs the command to its end, which comes early if the lock is lost or this process is told to end.
async fn work(guard: &Guard, command: &[String]) -> Result<ExitStatus, String> {
    let [program, arguments @ ..] = command else {
        return Err("no command".to_owned());
    };
    let mut terminations =
        signal(SignalKind::terminate()).map_err(|error| trouble("signals", error))?;
    // A terminal sends it to the command too, whose business it is what to do.
    let _interruptions =
        signal(SignalKind::interrupt()).map_err(|error| trouble("signals", error))?;
    let child = Command::new(program)
        .args(arguments)
        .env("ROOKEEPER_LOCK_TOKEN", guard.token().0.to_string())
        .env("ROOKEEPER_LOCK_PATH", guard.path())
        .spawn()
        .map_err(|error| trouble(program, error))?;
    let process = Pid::from_child(&child);
    let mut ended = wait_for(child);
    tokio::select! {
        status = &mut ended => return status_of(status),
        () = guard.lost() => {}
        _ = terminations.recv() => {}
    }
    // It may have ended meanwhile.
    let _ = kill_process(process, Signal::TERM);
    tokio::select! {
        status = &mut ended => return status_of(status),
        () = sleep(STOP_PATIENCE) => {}
    }
    let _ = kill_process(process, Signal::KILL);
    status_of(ended.await)
}

type Waited = Result<io::Result<ExitStatus>, oneshot::error::RecvError>;

fn wait_for(mut child: Child) -> oneshot::Receiver<io::Result<ExitStatus>> {
    let (sender, ended) = oneshot::channel();
    thread::spawn(move || sender.send(child.wait()));
    ended
}

fn status_of(waited: Waited) -> Result<ExitStatus, String> {
    match waited {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error)) => Err(trouble("waiting for the command", error)),
        Err(error) => Err(trouble("waiting for the command", error)),
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| KILLED + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
