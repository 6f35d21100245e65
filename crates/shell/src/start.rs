//! What stands on the command line of the shell, and in its environment.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use thiserror::Error;

use crate::document::Format;
use crate::session_log;
use crate::shell::Target;
use crate::tls::{TlsFault, TlsProperties};

/// Where a shell connects to that is told nothing.
const HOSTS: &str = "localhost:2181";
/// The timeout of a session that is told nothing.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The property that asks for SASL.
const LOGIN: &str = "java.security.auth.login.config";

/// Options without a value.
const SWITCHES: [&str; 9] = [
    "-r",
    "-waitforconnection",
    "-echo",
    "-keepalive",
    "-q",
    "-quiet",
    "-h",
    "-help",
    "-secure",
];
/// Options with one.
const VALUED: [&str; 5] = [
    "-server",
    "-timeout",
    "-client-configuration",
    "-o",
    "-output",
];

/// What `-h` prints.
pub const USAGE: &str = "\
rookeeper cli [OPTIONS] [COMMAND ARGS...]

Without a command: a shell. With one: that command, its result, and its status (0 done, 1 failed, 127 unknown).

  -server HOSTS[/CHROOT]        host:port,... and where in the tree to be; localhost:2181 if not said
  -timeout MS                   timeout of the session; 30000 if not said. An answer may take 30 s whatever it is
  -r                            a read-only server will do
  -waitforconnection            run nothing before there is a session
  -secure                       encrypted connections, as -client-configuration says
  -client-configuration FILE    properties of ZooKeeper's client
  -o, --output json|yaml|table  show results like this, and nothing else
  -q, --quiet                   say nothing of connections
  -echo                         print prompts and lines although no terminal is there
  -keepalive                    leave the session of a single command to its timeout, and its ephemerals with it

Options may have two dashes. `rookeeper cli help` lists the commands.
";

/// How a shell begins.
#[derive(Debug, Clone)]
pub struct Start {
    /// Where.
    pub target: Target,
    /// Whether nothing runs before there is a session.
    pub waits: bool,
    /// Whether prompts and lines are printed without a terminal.
    pub echoes: bool,
    /// Whether the session of a single command outlives it.
    pub keeps_alive: bool,
    /// Whether nothing is said of connections.
    pub is_quiet: bool,
    /// Whether the log of the session is wanted.
    pub logs: bool,
    /// Whether the usage is all that is wanted.
    pub wants_help: bool,
    /// How results are shown.
    pub format: Option<Format>,
    /// The words of a single command; empty for a shell.
    pub command: Vec<String>,
    /// What is to be told before anything else.
    pub complaints: Vec<String>,
}

/// Why a shell does not begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// A number was expected.
    #[error("-timeout: {0} is not a number")]
    Timeout(String),
    /// A word with two dashes, which ZooKeeper's shell does not have.
    #[error("{0} is no option; rookeeper cli -h lists them")]
    Unknown(String),
    /// No such format.
    #[error("{0} is not an output format: {formats} are", formats = Format::NAMES)]
    Format(String),
    /// The file of properties.
    #[error("-client-configuration: {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why it cannot be read.
        error: io::Error,
    },
    /// A plain connection where an encrypted one is asked for would be wrong.
    #[error(transparent)]
    Tls(#[from] TlsFault),
}

impl Start {
    /// Understands the command line. `flags` are words that Java would get (`-Dname=value`).
    pub fn parse(words: &[String], flags: &str) -> Result<Self, StartError> {
        let mut start = Self::nothing_said();
        let mut tls = TlsProperties::default();
        start.obey_flags(flags, &mut tls);
        let mut rest = words.iter();
        while let Some(word) = rest.as_slice().first() {
            if !word.starts_with('-') {
                start.command = rest.as_slice().to_vec();
                break;
            }
            rest.next();
            let (option, attached) = one_dash(word)?;
            match option {
                "-r" => start.target.read_only = true,
                "-waitforconnection" => start.waits = true,
                "-echo" => start.echoes = true,
                "-keepalive" => start.keeps_alive = true,
                "-q" | "-quiet" => start.is_quiet = true,
                "-h" | "-help" => start.wants_help = true,
                "-secure" => tls.want(),
                _ if VALUED.contains(&option) => {
                    let value = attached.or_else(|| rest.next().map(String::as_str));
                    match value {
                        Some(value) => start.valued(option, value, &mut tls)?,
                        None => start
                            .complaints
                            .push(format!("Error: no argument found for option {word}")),
                    }
                }
                // As ZooKeeper's shell does.
                _ => {}
            }
        }
        start.target.tls = tls.options()?;
        start.prefer_documents();
        Ok(start)
    }

    fn nothing_said() -> Self {
        Self {
            target: Target {
                hosts: HOSTS.to_owned(),
                timeout: TIMEOUT,
                read_only: false,
                tls: None,
            },
            waits: false,
            echoes: false,
            keeps_alive: false,
            is_quiet: false,
            logs: false,
            wants_help: false,
            format: None,
            command: Vec::new(),
            complaints: Vec::new(),
        }
    }

    fn valued(
        &mut self,
        option: &str,
        value: &str,
        tls: &mut TlsProperties,
    ) -> Result<(), StartError> {
        match option {
            "-server" => value.clone_into(&mut self.target.hosts),
            "-timeout" => {
                let ms = value.parse();
                let ms = ms.map_err(|_| StartError::Timeout(value.to_owned()))?;
                self.target.timeout = Duration::from_millis(ms);
            }
            "-client-configuration" => self.obey_file(PathBuf::from(value), tls)?,
            _ => {
                let format = Format::named(value);
                self.format = Some(format.ok_or_else(|| StartError::Format(value.to_owned()))?);
            }
        }
        Ok(())
    }

    fn obey_file(&mut self, path: PathBuf, tls: &mut TlsProperties) -> Result<(), StartError> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return Err(StartError::File { path, error }),
        };
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with(['#', '!']));
        for (name, value) in lines.filter_map(|line| line.split_once(['=', ':'])) {
            self.property(name.trim(), value.trim(), tls);
        }
        Ok(())
    }

    fn obey_flags(&mut self, flags: &str, tls: &mut TlsProperties) {
        let words = flags
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("-D"));
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            self.property(name, value, tls);
        }
    }

    fn property(&mut self, name: &str, value: &str, tls: &mut TlsProperties) {
        tls.note(name, value);
        if name == session_log::THRESHOLD {
            self.logs = session_log::is_wanted(value);
        }
        if name == LOGIN {
            let told = format!("{LOGIN}: this shell has no SASL; the session goes without");
            self.complaints.push(told);
        }
    }

    /// Who asks for a document wants nothing before it.
    fn prefer_documents(&mut self) {
        let own = self.command.iter().skip_while(|word| *word != "-o").nth(1);
        let has_own = own.is_some_and(|name| Format::named(name).is_some());
        let is_export = self.command.first().is_some_and(|name| name == "export");
        let is_document = has_own || is_export || self.format.is_some();
        self.is_quiet |= !self.command.is_empty() && is_document;
    }
}

/// An option as it is known, with one dash, and the value behind its `=`. Who types two dashes wants something of ours, and is told if
/// there is no such thing; with one dash ZooKeeper's shell passes over what it does not know.
fn one_dash(word: &str) -> Result<(&str, Option<&str>), StartError> {
    let Some(name) = word
        .strip_prefix('-')
        .filter(|name| name.len() > 1 && name.starts_with('-'))
    else {
        return Ok((word, None));
    };
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    match VALUED.contains(&name) || value.is_none() && SWITCHES.contains(&name) {
        true => Ok((name, value)),
        false => Err(StartError::Unknown(word.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Start, StartError> {
        Start::parse(&crate::words::split(line), "")
    }

    #[test]
    fn options_come_first_and_a_word_begins_a_command() {
        let start = parse("-server h:1/app -timeout 5000 -r -unknown -waitforconnection get -s /a")
            .unwrap();
        assert_eq!(start.target.hosts, "h:1/app");
        assert_eq!(start.target.timeout, Duration::from_secs(5));
        assert!(start.target.read_only && start.waits && !start.is_quiet);
        assert_eq!(start.command, ["get", "-s", "/a"]);
    }

    #[test]
    fn options_have_one_dash_or_two() {
        let start = parse("--server h:1 --timeout=5000 --waitforconnection --output json --r ls /");
        let start = start.unwrap();
        assert_eq!(start.target.hosts, "h:1");
        assert_eq!(start.target.timeout, Duration::from_secs(5));
        assert!(start.waits && start.target.read_only && start.format == Some(Format::Json));
        assert_eq!(start.command, ["ls", "/"]);
        for line in ["--sever h:1 ls /", "--quiet=yes ls /"] {
            let told = parse(line).unwrap_err().to_string();
            assert!(told.contains("is no option"), "{told}");
        }
    }

    #[test]
    fn an_option_without_its_value_is_told() {
        let start = parse("-server").unwrap();
        assert_eq!(start.target.hosts, HOSTS);
        assert_eq!(
            start.complaints,
            ["Error: no argument found for option -server"]
        );
        assert!(matches!(parse("-timeout x"), Err(StartError::Timeout(_))));
    }

    #[test]
    fn who_asks_for_a_document_gets_nothing_else() {
        assert!(parse("-o json ls /").unwrap().is_quiet);
        assert!(parse("ls / -o yaml").unwrap().is_quiet);
        assert!(parse("export /a").unwrap().is_quiet);
        assert!(!parse("ls /").unwrap().is_quiet);
        assert!(!parse("-o json").unwrap().is_quiet);
        assert!(matches!(parse("-o xml"), Err(StartError::Format(_))));
    }

    #[test]
    fn protection_that_cannot_be_had_is_not_left_out_in_silence() {
        let flags = "-Xmx1g -Dzookeeper.client.secure=true";
        let no_trust = |start| matches!(start, Err(StartError::Tls(TlsFault::NoTrust)));
        assert!(no_trust(Start::parse(&[], flags)));
        assert!(no_trust(parse("-secure")));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let flags = format!("-Dzookeeper.ssl.trustStore.location={path}");
        assert!(Start::parse(&[], &flags).unwrap().target.tls.is_none());
        let words = ["-secure".to_owned()];
        let refused = Start::parse(&words, &flags).unwrap_err();
        assert!(matches!(refused, StartError::Tls(TlsFault::NotPem(_))));
        let properties = format!(
            "# ours\nzookeeper.client.secure = true\nzookeeper.ssl.trustStore.location={path}\n"
        );
        fs::write(&file, properties).unwrap();
        let words = ["-client-configuration".to_owned(), path.to_string()];
        let refused = Start::parse(&words, "").unwrap_err();
        assert!(matches!(refused, StartError::Tls(TlsFault::NotPem(_))));
        let start = Start::parse(&[], "-Djava.security.auth.login.config=/etc/jaas").unwrap();
        assert_eq!(start.complaints.len(), 1);
    }
}
