//! `rookeeper lock`: runs a command while a lock is held, so that of many machines one does something at a time.
//!
//! The lock is the mutex of the client's recipes, so it excludes Curator's `InterProcessMutex` too. The command finds its fencing token
//! in `ROOKEEPER_LOCK_TOKEN`. When the lock may be lost, it is told to stop before anybody else can have the lock. The lock is released
//! when nobody is left of the command and of what it started (`group`), or everybody was killed. `told` has the signals that ask for
//! an end.

mod group;
mod told;

use std::ffi::OsString;
use std::fmt::Display;
use std::future::pending;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;
use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{Client, Error};
use rookeeper_proto::path;
use rustix::process::Signal;
use tokio::runtime;
use tokio::select;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use group::{Group, KILLED};
use told::{Told, stream};

/// A command that must stop because its lock may be lost has the session's timeout through this before it is killed: half of the third
/// that is left when a silent server is given up.
const LOST_SHARE: u32 = 6;
/// How long a command may take to end when somebody wants `rookeeper lock` to end, who still has the lock.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// How long killed processes may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(1);
/// How often processes are looked for whose end nobody tells.
const LOOK: Duration = Duration::from_millis(20);
/// How long the release at the end may take; the end of the session releases anyway.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// Exit code when there was no lock, or the command could not be started: nothing was done.
const NO_LOCK: u8 = 69;
/// Exit code when the lock was lost, or nobody knows what became of the command.
const LOST: u8 = 70;
/// Options that may have one dash as well, as the shell has them.
const OPTIONS: [&str; 3] = ["server", "timeout", "wait"];

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

/// Why there is no exit code of a command.
#[derive(Debug)]
struct Trouble {
    code: u8,
    text: String,
}

impl Trouble {
    /// Nothing was done.
    fn before(what: &str, error: impl Display) -> Self {
        let text = format!("{what}: {error}");
        Self {
            code: NO_LOCK,
            text,
        }
    }

    /// Something was done, and perhaps not all of it under the lock.
    fn after(text: String) -> Self {
        Self { code: LOST, text }
    }
}

/// The words of a command line, in which options of `lock` have two dashes.
pub(crate) fn spelled(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    if words.get(1).is_some_and(|job| job == "lock") {
        let own = words.iter_mut().take_while(|word| *word != "--");
        own.for_each(|word| {
            if is_known(&word.to_string_lossy()) {
                let mut spelled = OsString::from("-");
                spelled.push(&word);
                *word = spelled;
            }
        });
    }
    words
}

fn is_known(word: &str) -> bool {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    name.strip_prefix('-')
        .is_some_and(|name| OPTIONS.contains(&name))
}

/// Takes the lock, runs the command, and ends with its exit code, which is 128 and the number of the signal if one ended it; 69 if there
/// was no lock, 70 if it was lost.
pub(crate) fn run(lock: &Lock) -> ExitCode {
    let done = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::before("cannot start", error))
        .and_then(|runtime| runtime.block_on(hold(lock)));
    match done {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            eprintln!("rookeeper lock: {}", trouble.text);
            ExitCode::from(trouble.code)
        }
    }
}

async fn hold(lock: &Lock) -> Result<u8, Trouble> {
    path::validate(&lock.path).map_err(|error| Trouble::before(&lock.path, error))?;
    let mut told = Told::listen().map_err(|error| Trouble::before("signals", error))?;
    let builder = Client::builder().session_timeout(Duration::from_millis(lock.timeout));
    let client = select! {
        client = builder.connect(&lock.server) => client.map_err(|error| Trouble::before(&lock.server, error))?,
        end = told.next() => return Ok(code_of(end)),
    };
    let taken = select! {
        taken = take(&client, lock) => taken,
        end = told.next() => {
            leave(&client, None).await;
            return Ok(code_of(end));
        }
    };
    let guard = match taken {
        Ok(guard) => guard,
        Err(trouble) => {
            leave(&client, None).await;
            return Err(trouble);
        }
    };
    let code = work(&client, &guard, &mut told, &lock.command).await;
    leave(&client, Some(guard)).await;
    code
}

/// Releases and ends the session. Whatever goes wrong here, the session's end releases the lock.
async fn leave(client: &Client, guard: Option<Guard>) {
    let _ = timeout(RELEASE_PATIENCE, async {
        if let Some(guard) = guard {
            let _ = guard.release().await;
        }
        client.close().await
    })
    .await;
}

async fn take(client: &Client, lock: &Lock) -> Result<Guard, Trouble> {
    let mutex = Mutex::new(client, &lock.path);
    let taken: Result<Option<Guard>, Error> = match lock.wait {
        Some(seconds) => mutex.lock_within(Duration::from_secs(seconds)).await,
        None => mutex.lock().await.map(Some),
    };
    match (taken, lock.server.split_once('/')) {
        (Ok(Some(guard)), _) => Ok(guard),
        (Ok(None), _) => Err(Trouble::before(&lock.path, "somebody else has it")),
        (Err(error), Some((_, root))) if error.is_no_node() => {
            let text = format!("there is no /{root}, which --server names as root");
            Err(Trouble::before(&lock.path, text))
        }
        (Err(error), _) => Err(Trouble::before(&lock.path, error)),
    }
}

/// Runs the command to its end, which comes early if the lock is lost or this process is told to end. Its exit code.
async fn work(
    client: &Client,
    guard: &Guard,
    told: &mut Told,
    command: &[String],
) -> Result<u8, Trouble> {
    let [program, arguments @ ..] = command else {
        return Err(Trouble::before("no command", "nothing to do"));
    };
    let signals = |error| Trouble::before("signals", error);
    let mut changes = stream(Signal::CHILD).map_err(signals)?;
    // Whoever is suspended loses the lock, and does not know.
    let mut suspensions = stream(Signal::TSTP).map_err(signals)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("ROOKEEPER_LOCK_TOKEN", guard.token().0.to_string())
        .env("ROOKEEPER_LOCK_PATH", guard.path());
    let mut group = Group::start(&mut command).map_err(|error| Trouble::before(program, error))?;
    let (mut kill_at, mut is_lost) = (None, false);
    let code = loop {
        match group.look() {
            Ok(Some(code)) => break code,
            Ok(None) => {}
            Err(error) => {
                group.tell(Signal::KILL);
                return Err(Trouble::after(format!("waiting for {program}: {error}")));
            }
        }
        select! {
            _ = changes.recv() => {}
            () = sleep(LOOK), if group.is_restless() => {}
            _ = suspensions.recv() => group::tell_not_suspended(),
            end = told.next() => {
                kill_at = Some(sooner(kill_at, END_PATIENCE));
                group.tell(end);
            }
            () = guard.lost(), if !is_lost => {
                is_lost = true;
                kill_at = Some(sooner(kill_at, client.negotiated_timeout() / LOST_SHARE));
                group.tell(Signal::TERM);
            }
            () = due(kill_at) => break kill(&mut group).await,
        }
    };
    if is_lost || !guard.is_held() {
        let text = "the connection was lost, and the lock perhaps with it";
        return Err(Trouble::after(text.to_owned()));
    }
    Ok(code)
}

/// The moment after this patience, unless another one comes first.
fn sooner(known: Option<Instant>, patience: Duration) -> Instant {
    let at = Instant::now() + patience;
    known.map_or(at, |known| known.min(at))
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Ends everybody in the group, and waits for a moment until they are gone.
async fn kill(group: &mut Group) -> u8 {
    group.tell(Signal::KILL);
    let gone = async {
        while !matches!(group.look(), Ok(Some(_)) | Err(_)) {
            sleep(LOOK).await;
        }
    };
    // Who is not gone by then is held by the machine, and does nothing more.
    let _ = timeout(KILL_PATIENCE, gone).await;
    group.code().unwrap_or_else(|| code_of(Signal::KILL))
}

/// What a shell says of a process that this signal ended.
fn code_of(signal: Signal) -> u8 {
    u8::try_from(KILLED + signal.as_raw()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_one_dash_or_two() {
        let spell = |line: &str| {
            let words = spelled(line.split(' ').map(OsString::from));
            words.join(&OsString::from(" ")).into_string().unwrap()
        };
        assert_eq!(
            spell("rookeeper lock -server h:1 -timeout=5 --wait 3 /x -- do -server"),
            "rookeeper lock --server h:1 --timeout=5 --wait 3 /x -- do -server"
        );
        assert_eq!(spell("rookeeper cli -server h"), "rookeeper cli -server h");
    }
}
