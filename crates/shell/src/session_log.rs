//! What ZooKeeper's client logs of sessions at level INFO: which are sought, and which are found. Told only to who asks with
//! `-Dzookeeper.console.threshold=INFO`, as complaints are, so that results stay what they are.
//!
//! What does not live here: the events of a session (`arrivals`).

use std::env;
use std::ffi::OsString;
use std::sync::Arc;

use jiff::Zoned;
use rookeeper_client::{Client, State};

use crate::commands::version::VERSION;
use crate::console::Console;
use crate::shell::Target;

/// The property that asks for a log.
pub const THRESHOLD: &str = "zookeeper.console.threshold";
/// Values of it that include what is told here.
const INCLUDING: [&str; 4] = ["INFO", "DEBUG", "TRACE", "ALL"];
/// Where the system tells its name for the host, and its own version.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
const SYSTEM_VERSION: &str = "/proc/sys/kernel/osrelease";

/// Whether a value of [`THRESHOLD`] asks for this log.
#[must_use]
pub fn is_wanted(threshold: &str) -> bool {
    INCLUDING
        .iter()
        .any(|level| threshold.eq_ignore_ascii_case(level))
}

/// The lines that tell where the client runs.
pub fn tell_environment(console: &Console) {
    let variable = |name| env::var_os(name).unwrap_or_else(OsString::new);
    let told = |path| std::fs::read_to_string(path).unwrap_or_default();
    let folder = env::current_dir().unwrap_or_default();
    for (name, value) in [
        ("zookeeper.version", VERSION.to_owned()),
        ("host.name", told(HOST_NAME)),
        ("os.name", env::consts::OS.to_owned()),
        ("os.arch", env::consts::ARCH.to_owned()),
        ("os.version", told(SYSTEM_VERSION)),
        ("user.name", variable("USER").display().to_string()),
        ("user.home", variable("HOME").display().to_string()),
        ("user.dir", folder.display().to_string()),
    ] {
        let value = value.trim_end();
        line(console, &format!("Client environment:{name}={value}"));
    }
}

/// Tells that a session is sought, and in the background each time that it is found, until it ends. Must be called within a runtime.
pub fn follow(console: &Arc<Console>, target: &Target, client: &Client) {
    let told = format!(
        "Initiating client connection, connectString={} sessionTimeout={}",
        target.hosts,
        target.timeout.as_millis()
    );
    line(console, &told);
    let (console, client) = (Arc::clone(console), client.clone());
    let mut states = client.states();
    tokio::spawn(async move {
        // A session that was there before is told once: its change, if it came between, is passed over.
        let mut told = found(&client, client.state());
        told.iter().for_each(|text| line(&console, text));
        while let Some(state) = states.next().await {
            let now = found(&client, state);
            if now.is_some() && now != told {
                now.iter().for_each(|text| line(&console, text));
            }
            told = now;
        }
    });
}

/// The line about a session that is up.
fn found(client: &Client, state: State) -> Option<String> {
    let server = client.server()?;
    matches!(state, State::Connected | State::ReadOnly).then(|| {
        format!(
            "Session establishment complete on server {server}, session id = 0x{:x}, negotiated timeout = {}",
            client.session().0,
            client.negotiated_timeout().as_millis()
        )
    })
}

fn line(console: &Console, text: &str) {
    let now = Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f");
    console.log(&format!("{now} [myid:] - INFO  [shell] - {text}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_low_threshold_asks_for_it() {
        for level in ["INFO", "info", "DEBUG", "ALL"] {
            assert!(is_wanted(level), "{level}");
        }
        for level in ["", "WARN", "ERROR", "OFF", "INFORMATION"] {
            assert!(!is_wanted(level), "{level}");
        }
    }
}
