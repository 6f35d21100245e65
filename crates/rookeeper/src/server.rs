//! `rookeeper server`: settings, a running server, signals, and the exit code that says how it ended.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;

use rookeeper_server::boot::{Outcome, Server, Stopper};
use rookeeper_server::config::{self, EnsembleSettings, JvmVariables, Loaded, Member, Settings};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::logging;

/// Exit code when the log cannot be written (operations 6.2).
const LOG_FAILED: u8 = 10;
/// Exit code when the port for elections cannot be opened (operations 6.2).
const ELECTION_FAILED: u8 = 14;
/// Exit code of an unexpected error.
const UNEXPECTED: u8 = 1;

/// Has this process told to stop when its standard input ends, as it does when the process at its other end does, however that ends.
pub(crate) fn end_with_stdin() {
    let reading = thread::Builder::new()
        .name("rookeeper-stdin".to_owned())
        .spawn(|| {
            // What is said there, or why it ends, means nothing.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = kill_process(getpid(), Signal::TERM);
        });
    if let Err(error) = reading {
        complain(&format!("cannot watch standard input: {error}"));
    }
}

/// Runs a server until it is told to stop.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let (first, second) = (
        std::env::var("SERVER_JVMFLAGS").ok(),
        std::env::var("JVMFLAGS").ok(),
    );
    let variables = JvmVariables {
        server_jvmflags: first.as_deref(),
        jvmflags: second.as_deref(),
    };
    let Loaded { settings, warnings } = match config::load(words, variables) {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&format!("Invalid config, exiting abnormally\n{error}"));
            return ExitCode::from(error.exit_code());
        }
    };
    let me = settings.ensemble.as_ref().map(|ensemble| ensemble.me);
    logging::start(&settings.log, me);
    raise_descriptor_limit();
    // Before the database is loaded, which may take its time: a lost terminal must not end that either.
    let running = Arc::new(OnceLock::new());
    if let Err(error) = watch_signals(Arc::clone(&running)) {
        error!("cannot watch for signals: {error}");
        return ExitCode::from(UNEXPECTED);
    }
    if let Some(file) = &settings.config_file {
        info!("Reading configuration from: {}", file.display());
    }
    match &settings.ensemble {
        None => {
            info!("Either no config or no quorum defined in config, running in standalone mode")
        }
        Some(ensemble) => info!("Starting quorum peer, myid={}", ensemble.me),
    }
    warnings.iter().for_each(|warning| warn!("{warning}"));
    if words.is_empty() && settings.config_file.is_none() {
        info!("every setting has its default; docs/config.md lists them");
    } else {
        settings
            .effective()
            .iter()
            .for_each(|(name, value)| info!("{name} = {value}"));
    }
    let introduction = introduction(&settings);
    match Server::start(settings) {
        Ok(server) => {
            // Once only, here.
            let _ = running.set(server.stopper());
            // A reader that is gone misses it.
            let _ = std::io::stdout().write_all(introduction.as_bytes());
            serve(server)
        }
        Err(error) => {
            error!("{error}");
            complain(&error.to_string());
            info!("exiting with code {}", error.exit_code());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Says on standard error what the log may not show. Nobody may be listening.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Connections cost a descriptor each; the limit that shells set by default is meant for programs that `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, most)
    {
        warn!(
            "the limit of open files stays at {:?}: {error}",
            limit.current
        );
    }
}

fn serve(server: Server) -> ExitCode {
    let outcome = server.wait();
    drop(server);
    match outcome {
        Outcome::Stopped => {
            info!("exiting with code 0");
            ExitCode::SUCCESS
        }
        Outcome::ElectionFailed => {
            error!("exiting with code {ELECTION_FAILED}");
            ExitCode::from(ELECTION_FAILED)
        }
        Outcome::LogFailed => {
            error!("exiting with code {LOG_FAILED}");
            ExitCode::from(LOG_FAILED)
        }
    }
}

/// TERM and INT stop, a second one ends at once; HUP ends nothing. Before the server runs there is nothing to finish: a start may
/// be broken off anywhere.
fn watch_signals(running: Arc<OnceLock<Stopper>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut term, mut int, mut hup) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::hangup())?,
        )
    };
    thread::Builder::new()
        .name("rookeeper-signal".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut stopping = false;
                loop {
                    tokio::select! {
                        _ = hup.recv() => {
                            info!("SIGHUP received: nothing to do");
                            continue;
                        }
                        _ = term.recv() => {}
                        _ = int.recv() => {}
                    }
                    if stopping {
                        std::process::exit(i32::from(UNEXPECTED));
                    }
                    stopping = true;
                    info!("stopping");
                    match running.get() {
                        Some(server) => server.stop(),
                        None => std::process::exit(0),
                    }
                }
            });
        })?;
    Ok(())
}

/// What a person at the terminal wants to know.
fn introduction(settings: &Settings) -> String {
    let part = settings.ensemble.as_ref().map_or_else(
        || "standalone".to_owned(),
        |ensemble| format!("member {} of an ensemble", ensemble.me),
    );
    let mut lines = vec![format!(
        "Rookeeper {} (ZooKeeper 3.9.3 compatible), {part}",
        env!("CARGO_PKG_VERSION")
    )];
    lines.extend(settings.ensemble.iter().flat_map(members));
    match &settings.client.listen {
        Some(listen) => {
            let host = listen.host.as_deref().unwrap_or("localhost");
            let port = listen.port;
            lines.push(format!("  clients   {host}:{port}"));
            lines.push(format!("  data      {}", shown(&settings.data_dir)));
            lines.push(format!(
                "  try it    echo srvr | nc {host} {port}    or    zkCli.sh -server {host}:{port}"
            ));
        }
        None => lines.push(format!(
            "  data      {} (no client port is configured)",
            shown(&settings.data_dir)
        )),
    }
    lines.push("  stop      Ctrl-C; everything acknowledged is on the disk\n".to_owned());
    lines.join("\n")
}

/// A line for each member: its number, its hosts with the ports for learners and for elections, and what it is for.
fn members(ensemble: &EnsembleSettings) -> Vec<String> {
    let line = |(id, member): (_, &Member)| {
        let endpoints: Vec<_> = member
            .endpoints
            .iter()
            .map(|endpoint| format!("{}:{}", endpoint.quorum(), endpoint.election_port))
            .collect();
        let own = if id == ensemble.me {
            ", this server"
        } else {
            ""
        };
        let (places, role) = (endpoints.join(" "), member.role);
        format!("  member    {id} at {places}, {role}{own}")
    };
    ensemble.membership.members().map(line).collect()
}

fn shown(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_path_buf())
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::{Settings, introduction};

    #[test]
    fn a_member_is_introduced_among_the_others() {
        let text = "dataDir=/d\nclientPort=2181\ninitLimit=5\nsyncLimit=2\nserver.1=zk1:2888:3888\n\
                    server.2=[::1]:2888:3888\nserver.9=zk9:2888:3888:observer\n";
        let settings = Settings::of_member(text, &[], "2").unwrap().settings;
        let text = introduction(&settings);
        let lines: Vec<_> = text.lines().take(4).collect();
        assert!(lines[0].ends_with("member 2 of an ensemble"), "{text}");
        let members = [
            "  member    1 at zk1:2888:3888, participant",
            "  member    2 at [::1]:2888:3888, participant, this server",
            "  member    9 at zk9:2888:3888, observer",
        ];
        assert_eq!(lines[1..], members);
        let alone = Settings::zero_config(&[]).unwrap().settings;
        let text = introduction(&alone);
        assert!(text.lines().next().unwrap().ends_with("standalone"));
        assert!(!text.contains("member"), "{text}");
    }
}
