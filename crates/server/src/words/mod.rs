//! Four-letter words: what a server says about itself on its client port (operations, section 2).
//!
//! Rendering only. Here is known which words there are, what each needs, and what its answer looks like. Sockets,
//! sizes of directories, clocks and the state of the server are not: the caller fills a [`Report`] with what
//! [`needs`] asks for, and performs the [`Command`] that an answer carries.
//!
//! Invariants:
//! - An answer depends on its arguments alone.
//! - A word that has an effect carries its command if and only if its answer says so.
//! - The bytes are those of version 3.9.3, except where the module that makes them says otherwise.

mod monitor;
mod operations;
mod page;
mod report;
mod role;
mod server;
mod settings;
mod state;
mod word;

pub use operations::{NO_OPERATION, last_operation};
pub use report::{
    Bucket, Configuration, ConnectionEntry, DirectorySizes, EnsembleConfiguration, Environment,
    Interest, MonitorPart, QuotaEntry, Report, ServerPart, SessionEntry, SessionsPart, TraceMask,
    WatchSummary,
};
pub use role::{Leadership, Role, RoleReport};
pub use word::{Needs, Word};

use page::Page;

/// Version whose behaviour this server has; tools look for these three numbers.
const LIKE_VERSION: &str = "3.9.3";
/// Digests that `hash` shows at most.
pub const MAX_DIGESTS: usize = 1024;
/// Transactions between two digests of `hash`.
pub const DIGEST_INTERVAL: u64 = 128;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// What a word is answered, and what is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Bytes to send before the connection is closed; may be empty.
    pub bytes: Vec<u8>,
    /// To be performed by the caller.
    pub command: Option<Command>,
}

/// The effect of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `srst`: [`crate::metrics::Metrics::reset`], and the sizes of proposals.
    ResetServerStats,
    /// `crst`: the numbers of every connection.
    ResetConnectionStats,
    /// `stmk`: keep this mask.
    SetTraceMask(i64),
}

/// Which parts of the report a word needs of a server that plays this part.
pub const fn needs(word: Word, role: Role) -> Needs {
    if role.serves() || word.answers_without_serving() {
        word.needs()
    } else {
        Needs::NONE
    }
}

/// The version as tools read it. `build_date` is `YYYY-MM-DD HH:MM UTC`.
pub fn version_text(build_date: &str) -> String {
    format!("{LIKE_VERSION}-{}, built on {build_date}", java_version())
}

/// What stands where a Java server tells its version of Java.
fn java_version() -> String {
    format!("rookeeper-{}", env!("CARGO_PKG_VERSION"))
}

/// Answers a word that is allowed. `extra` are the [`Word::extra_bytes`] after it; if they are missing the answer
/// is empty.
pub fn answer(word: Word, report: &Report, extra: &[u8]) -> Answer {
    if !report.role.serves() && !word.answers_without_serving() {
        return text(not_serving(word));
    }
    match word {
        Word::Ruok => text("imok"),
        Word::Isro => text(read_only(report)),
        Word::Gtmk => text(&report.trace_mask.0.to_string()),
        Word::Stmk => set_trace_mask(extra),
        Word::Crst => done("Connection stats reset.\n", Command::ResetConnectionStats),
        Word::Srst => done("Server stats reset.\n", Command::ResetServerStats),
        Word::TelnetClose => Answer::default(),
        Word::Conf => shown(report, settings::configuration),
        Word::Cons => shown(report, server::connections),
        Word::Dirs => shown(report, settings::directory_sizes),
        Word::Dump => shown(report, state::sessions),
        Word::Envi => shown(report, settings::environment),
        Word::Hash => shown(report, state::digests),
        Word::Mntr => shown(report, monitor::monitor),
        Word::Srvr => shown(report, server::summary),
        Word::Stat => shown(report, server::summary_with_clients),
        Word::Wchc => shown(report, state::watches_by_session),
        Word::Wchp => shown(report, state::watches_by_path),
        Word::Wchs => shown(report, state::watch_summary),
    }
}

fn text(text: &str) -> Answer {
    Answer {
        bytes: text.into(),
        command: None,
    }
}

fn done(text: &str, command: Command) -> Answer {
    Answer {
        bytes: text.into(),
        command: Some(command),
    }
}

fn shown(report: &Report, show: fn(&mut Page, &Report)) -> Answer {
    let mut page = Page::default();
    show(&mut page, report);
    Answer {
        bytes: page.into_bytes(),
        command: None,
    }
}

/// `hash` is the one word that does not end this line.
fn not_serving(word: Word) -> &'static str {
    match word {
        Word::Hash => NOT_SERVING.trim_end(),
        _ => NOT_SERVING,
    }
}

fn read_only(report: &Report) -> &'static str {
    match report.role {
        Role::Looking => "null",
        Role::ReadOnly => "ro",
        _ => "rw",
    }
}

fn set_trace_mask(extra: &[u8]) -> Answer {
    let Some(mask) = extra.first_chunk().copied().map(i64::from_be_bytes) else {
        return Answer::default();
    };
    done(&mask.to_string(), Command::SetTraceMask(mask))
}

#[cfg(test)]
mod tests;
