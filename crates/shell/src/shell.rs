//! The shell: one session at a time, and lines that run on it.
//!
//! What lives here: the session, the history, which command a line names, and what becomes of its failure. What does not: what a
//! command does (`commands`), and where lines come from (`run`).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use rookeeper_client::{Client, Error as ClientError, State, TlsOptions};
use rookeeper_proto::stat::Stat;
use tokio::select;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::arrivals::Arrivals;
use crate::commands::{self, Invocation};
use crate::console::Console;
use crate::document::{Document, Format};
use crate::failure::{At, Failure, SUCCESS};
use crate::history::History;
use crate::interrupt::Interrupt;
use crate::options::Parsed;
use crate::prompt::Prompt;
use crate::{path_text, reach, session_log, stat_block, words};

/// How long a prompt waits for a session that is about to be there.
const SETTLING: Duration = Duration::from_millis(500);
/// How long a server may take to answer a request, however long the session may be silent.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a command waits before it is asked why nobody answers.
const SILENCE: Duration = Duration::from_millis(300);
/// How long an interrupted command may take to say what it has done.
const INTERRUPT_GRACE: Duration = Duration::from_millis(500);
/// What is to be said when servers accept connections and give no session.
const NO_SESSION: &str = "no session in time";
/// The same when connections are plain: to a port that expects encrypted ones it looks like that.
const NO_PLAIN_SESSION: &str = "no session in time; a port for TLS needs -secure";
/// How long the end of a session may take; past it the server ends it after the session's timeout.
const CLOSING: Duration = Duration::from_secs(3);
/// The same for one who was told to end.
const HURRIED: Duration = Duration::from_secs(1);

/// Where sessions are opened, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port,...` with an optional chroot behind it.
    pub hosts: String,
    /// The session's timeout that is asked for.
    pub timeout: Duration,
    /// Whether a server without a quorum will do.
    pub read_only: bool,
    /// How connections are encrypted, if they are.
    pub tls: Option<TlsOptions>,
}

impl Target {
    fn open(&self) -> Result<Session, ClientError> {
        let (servers, chroot) = match self.hosts.split_once('/') {
            Some((servers, chroot)) => (servers, format!("/{chroot}")),
            None => (self.hosts.as_str(), "/".to_owned()),
        };
        let mut builder = Client::builder()
            .session_timeout(self.timeout)
            .request_timeout(ANSWER)
            .read_only(self.read_only);
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        let whole = builder.open(servers)?;
        let view = whole.chroot(&chroot)?;
        Ok(Session { whole, view })
    }

    const fn no_session(&self) -> &'static str {
        match self.tls {
            Some(_) => NO_SESSION,
            None => NO_PLAIN_SESSION,
        }
    }
}

/// A session, seen from the server's root and from where the shell is.
#[derive(Debug)]
struct Session {
    whole: Client,
    view: Client,
}

/// A shell with a session, or without one after `close`.
#[derive(Debug)]
pub struct Shell {
    console: Arc<Console>,
    arrivals: Arc<Arrivals>,
    interrupt: Arc<Interrupt>,
    printing: JoinHandle<()>,
    target: Target,
    session: Option<Session>,
    format: Option<Format>,
    zone: TimeZone,
    logs: bool,
    /// Whether the standard input is for the command to read: no lines come from there.
    has_input: bool,
    has_ended: bool,
    /// The lines that were run.
    pub history: History,
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.printing.abort();
    }
}

impl Shell {
    /// Begins to open a session. Does not wait for it; must be called within a runtime. A quiet shell says nothing of its session.
    pub fn open(
        target: Target,
        console: Arc<Console>,
        is_quiet: bool,
    ) -> Result<Self, ClientError> {
        let session = target.open()?;
        let arrivals = Arc::new(Arrivals::new(Arc::clone(&console), is_quiet));
        arrivals.add_session(&session.whole);
        let printer = Arc::clone(&arrivals);
        Ok(Self {
            console,
            arrivals,
            interrupt: Arc::new(Interrupt::default()),
            printing: tokio::spawn(async move { printer.print().await }),
            target,
            session: Some(session),
            format: None,
            zone: TimeZone::system(),
            logs: false,
            has_input: false,
            has_ended: false,
            history: History::default(),
        })
    }

    /// From now on the sessions are told of as a log; this one and where it is opened first.
    pub fn start_log(&mut self) {
        self.logs = true;
        session_log::tell_environment(&self.console);
        self.log_session();
    }

    /// From now on a command may read the standard input.
    pub const fn lend_input(&mut self) {
        self.has_input = true;
    }

    /// Whether a command may read the standard input.
    pub(crate) const fn has_input(&self) -> bool {
        self.has_input
    }

    fn log_session(&self) {
        if let Some(session) = self.session.as_ref().filter(|_| self.logs) {
            session_log::follow(&self.console, &self.target, &session.whole);
        }
    }

    /// From now on every command that can shows its results like this.
    pub const fn set_format(&mut self, format: Option<Format>) {
        self.format = format;
    }

    /// Dates are shown in this time zone instead of the system's.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.zone = zone;
    }

    /// What asks the next prompt: the servers, the state, the number of the line.
    #[must_use]
    pub fn prompt(&self) -> Prompt {
        Prompt::new(
            self.target.hosts.clone(),
            self.session().cloned(),
            self.history.next(),
        )
    }

    /// True after `quit`.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What ends a running command.
    #[must_use]
    pub fn interrupt(&self) -> Arc<Interrupt> {
        Arc::clone(&self.interrupt)
    }

    /// The session, if there is one: for completion.
    #[must_use]
    pub fn session(&self) -> Option<&Client> {
        self.session.as_ref().map(|session| &session.view)
    }

    /// Runs a line: notes it, executes it, tells what went wrong. Returns its status; `None` for a line without words.
    pub async fn run_line(&mut self, line: &str) -> Option<u8> {
        let words = words::split(line);
        if words.is_empty() {
            return None;
        }
        self.history.push(line);
        Some(self.run(&words).await)
    }

    /// Runs the words of one command, and tells what went wrong. Returns the status.
    pub async fn run(&mut self, words: &[String]) -> u8 {
        let interrupt = self.interrupt();
        interrupt.clear();
        let unanswered = || match commands::changes(words) {
            true => Failure::Unanswered,
            false => Failure::Interrupted,
        };
        let result = {
            let mut running = pin!(self.execute(words));
            select! {
                biased;
                result = &mut running => result,
                () = interrupt.wait() => timeout(INTERRUPT_GRACE, running)
                    .await
                    .unwrap_or_else(|_| Err(unanswered())),
            }
        };
        self.arrivals.settle();
        let status = result.map_or_else(|failure| self.tell(&failure), |()| SUCCESS);
        match self.console.take_trouble() {
            Some(error) => self.tell(&Failure::Output(error)),
            None => status,
        }
    }

    /// Executes the words of one command.
    pub(crate) async fn execute(&mut self, words: &[String]) -> Result<(), Failure> {
        let Some((name, rest)) = words.split_first() else {
            return Ok(());
        };
        let command = commands::find(name).ok_or_else(|| Failure::Unknown(name.clone()))?;
        let parsed = Parsed::parse(command.options, rest)?;
        if let Some(told) = self.format.and_then(|_| commands::only_text(command)) {
            self.note(&told);
        }
        (command.run)(self, Invocation { command, parsed }).await
    }

    /// The session, once it is there: an attempt under way is waited for.
    pub(crate) async fn connected(&self, path: &str) -> Result<Client, Failure> {
        let client = self.session().cloned().ok_or(Failure::NotConnected)?;
        if let Some(outcome) = settled(&client) {
            return outcome.map(|()| client);
        }
        if let Ok(outcome) = timeout(SILENCE, wait(&client)).await {
            return outcome.map(|()| client);
        }
        let asked = async {
            match reach::complaints(&self.target).await {
                Some(why) => why,
                None => {
                    tokio::time::sleep(self.target.timeout).await;
                    self.target.no_session().to_owned()
                }
            }
        };
        select! {
            outcome = wait(&client) => outcome.map(|()| client.clone()),
            why = asked => Err(Failure::Unreachable { path: path.to_owned(), why }),
        }
    }

    /// The same session seen from the server's root, and the full path there of a path of ours.
    pub(crate) async fn connected_whole(&self, path: &str) -> Result<(Client, String), Failure> {
        let view = self.connected(path).await?;
        let whole = self.session.as_ref().map(|session| session.whole.clone());
        let full = path_text::moved(path, "/", view.root()).unwrap_or_default();
        Ok((whole.ok_or(Failure::NotConnected)?, full))
    }

    /// Waits a moment for a session that is about to be there, so that the prompt can say so.
    pub async fn settle(&self) {
        if let Some(client) = self.session()
            && settled(client).is_none()
        {
            // Not there yet: the prompt says that as well.
            let _ = timeout(SETTLING, wait(client)).await;
        }
        self.arrivals.settle();
    }

    /// Waits for the session up to its timeout, also while no server is there: one may be on its way.
    pub async fn wait_for_session(&self) -> Result<(), Failure> {
        let client = self.session().ok_or(Failure::NotConnected)?;
        if let Ok(outcome) = timeout(self.target.timeout, wait(client)).await {
            return outcome;
        }
        let why = reach::complaints(&self.target).await;
        Err(Failure::Unreachable {
            path: String::new(),
            why: why.unwrap_or_else(|| self.target.no_session().to_owned()),
        })
    }

    /// Ends the session, and opens another one: at `hosts`, or where the last one was.
    pub(crate) async fn reconnect(&mut self, hosts: Option<&str>) -> Result<(), Failure> {
        let mut target = self.target.clone();
        if let Some(hosts) = hosts {
            hosts.clone_into(&mut target.hosts);
        }
        let session = target.open().at("")?;
        self.close().await;
        self.arrivals.add_session(&session.whole);
        self.session = Some(session);
        self.target = target;
        self.log_session();
        self.settle().await;
        Ok(())
    }

    /// Ends the session and tells so. Without a session nothing happens.
    pub async fn close(&mut self) {
        let Some(Session { whole: client, .. }) = self.session.take() else {
            return;
        };
        let was_alive = !matches!(
            client.state(),
            State::Expired | State::AuthFailed | State::Closed
        );
        self.arrivals.settle();
        self.arrivals.clear();
        // A server that does not answer ends the session after its timeout.
        let patience = match self.interrupt.ended() {
            Some(_) => HURRIED,
            None => CLOSING,
        };
        let _ = timeout(patience, client.close()).await;
        if was_alive {
            self.arrivals.tell_state(State::Closed);
        }
    }

    /// Ends the session without telling.
    pub async fn leave(&mut self) {
        self.arrivals.settle();
        self.arrivals.set_prints(false);
        self.close().await;
    }

    /// The next line is the last one.
    pub(crate) const fn end(&mut self) {
        self.has_ended = true;
    }

    /// Prints a result, after the events that came before it.
    pub(crate) fn out(&self, text: &str) {
        self.arrivals.settle();
        self.console.out(text);
    }

    /// Prints a result as text, or as a document if one is asked for.
    pub(crate) fn show(
        &self,
        format: Option<Format>,
        text: impl FnOnce() -> String,
        document: impl FnOnce() -> Document,
    ) {
        match format {
            None => self.out(&text()),
            Some(format) => self.out(&document().render(format)),
        }
    }

    /// The lines of a stat.
    pub(crate) fn stat_text(&self, stat: &Stat) -> String {
        stat_block::block(stat, &self.zone)
    }

    /// The time zone of dates.
    pub(crate) const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// How results are shown if the command does not say.
    pub(crate) const fn format(&self) -> Option<Format> {
        self.format
    }

    /// The servers that the session was opened with, each with a port.
    pub(crate) async fn servers(&self) -> Vec<String> {
        let servers = reach::servers(&self.target.hosts).await;
        servers.into_iter().flatten().collect()
    }

    /// The streams.
    pub(crate) fn console(&self) -> &Arc<Console> {
        &self.console
    }

    /// What arrives meanwhile.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// An error once the user wants the command to end, or nobody reads its results.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.console.is_gone() {
            true => Err(Failure::Told),
            false => self.interrupt.check(),
        }
    }

    /// Prints news, after the events that came before them.
    pub(crate) fn note(&self, text: &str) {
        self.arrivals.settle();
        self.console.note(text);
    }

    /// Prints a complaint, after the events that came before it.
    pub(crate) fn err(&self, text: &str) {
        self.arrivals.settle();
        self.console.err(text);
    }

    fn tell(&self, failure: &Failure) -> u8 {
        match failure {
            Failure::Told => {}
            // As in ZooKeeper's shell: a result, not a complaint.
            Failure::NotConnected => self.console.out(&format!("{failure}\n")),
            Failure::Unknown(_) => {
                self.console.note(&commands::list());
                self.console.err(&failure.to_string());
            }
            Failure::Usage(command) => self.console.note(&command.usage()),
            failure => self.console.err(&failure.to_string()),
        }
        failure.status()
    }
}

/// Whether there is a session, if that is known.
fn settled(client: &Client) -> Option<Result<(), Failure>> {
    match client.state() {
        State::Connecting | State::Suspended => None,
        State::Connected | State::ReadOnly => Some(Ok(())),
        State::Expired | State::AuthFailed | State::Closed => Some(Err(Failure::NotConnected)),
    }
}

/// Waits until it is known whether there is a session.
async fn wait(client: &Client) -> Result<(), Failure> {
    let mut states = client.states();
    loop {
        if let Some(outcome) = settled(client) {
            return outcome;
        }
        if states.next().await.is_none() {
            return Err(Failure::NotConnected);
        }
    }
}
