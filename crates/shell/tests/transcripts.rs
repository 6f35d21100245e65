//! Conversations that were recorded from ZooKeeper's shell 3.9.3 are held with ours, to the letter.
//!
//! Dates, sessions and versions are made comparable, and what Java's classes are called is taken out. When an event is printed relative
//! to the next prompt is a matter of threads in Java: the events of a conversation are compared in their order, and apart from results.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets: a failure is its result"
)]

mod session;

use std::fs;
use std::path::Path;

use session::{Session, World};

/// A conversation, taken apart.
#[derive(Debug, Default)]
struct Conversation {
    /// Number of the line, line, what came of it.
    turns: Vec<(usize, String, String)>,
    events: Vec<String>,
    status: u8,
}

fn recorded(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/shell");
    fs::read_to_string(folder.join(file)).unwrap()
}

/// Takes the events out of a text.
fn without_events(text: &str, events: &mut Vec<String>) -> String {
    const BEGIN: &str = "\nWATCHER::\n\nWatchedEvent ";
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        kept.push_str(before);
        let (event, behind) = behind.split_once('\n').unwrap();
        events.push(event.to_owned());
        rest = behind;
    }
    kept + rest
}

impl Conversation {
    /// Reads a recording: prompts are `[zk: HOSTS(STATE) N] `.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let text = without_events(text, &mut found.events);
        for line in text.lines() {
            let prompt = line
                .strip_prefix("[zk: ")
                .and_then(|rest| rest.split_once("] "));
            if let Some((head, command)) = prompt {
                let (_, number) = head.rsplit_once(' ').unwrap();
                let turn = (number.parse().unwrap(), command.to_owned(), String::new());
                found.turns.push(turn);
            } else if let Some(status) = line.strip_prefix("[exit status ") {
                found.status = status.trim_end_matches(']').parse().unwrap();
            } else if let Some((_, _, output)) = found.turns.last_mut() {
                output.push_str(line);
                output.push('\n');
            }
        }
        found
    }
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What differs from run to run, or by a stated deviation, is replaced.
fn comparable(output: &str) -> String {
    output
        .lines()
        .map(|line| comparable_line(line) + "\n")
        .collect()
}

fn comparable_line(line: &str) -> String {
    if let Some((name, value)) = line.split_once(" = ") {
        let is_date = WEEKDAYS.iter().any(|day| value.starts_with(day));
        let is_session = name == "ephemeralOwner" && value != "0x0";
        if (is_date && !value.ends_with(" 1970")) || is_session {
            return format!("{name} = <volatile>");
        }
    }
    if let Some((before, _)) = line.split_once(": 3.9.3-") {
        return format!("{before}: <version>");
    }
    // Ephemerals come in no particular order.
    if let Some(list) = line
        .strip_prefix("[/")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let mut items: Vec<_> = list.split(", /").collect();
        items.sort_unstable();
        return format!("[/{}]", items.join(", /"));
    }
    match line.split_once("Exception: ") {
        Some((class, text)) if class.starts_with("org.apache.commons.cli.") => text.to_owned(),
        _ => line.to_owned(),
    }
}

/// Our list of commands without those that ZooKeeper's shell does not have.
fn without_extras(output: &str, recorded: &str) -> String {
    let is_known =
        |line: &&str| !line.starts_with('\t') || recorded.lines().any(|known| known == *line);
    output
        .lines()
        .filter(is_known)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Types `name.in`, and expects what was recorded.
async fn hold(world: &World, name: &str, chroot: &str) {
    let expected = Conversation::parse(&recorded(&format!("{name}.txt")));
    hold_as(world, name, expected, chroot).await;
}

async fn hold_as(world: &World, name: &str, mut expected: Conversation, chroot: &str) {
    if expected
        .turns
        .iter()
        .rev()
        .nth(1)
        .is_some_and(|turn| turn.2 == "Not connected\n")
    {
        // A deviation: a command that did nothing has failed.
        expected.status = 1;
    }
    let mut session = Session::on_one_paper(&format!("{}{chroot}", world.hosts)).await;
    let mut held = Conversation::default();
    let mut printed = session.out.take();
    for line in recorded(&format!("{name}.in")).lines() {
        let line = line.replace("127.0.0.1:26401", &world.hosts);
        without_events(&printed, &mut held.events);
        let number = session.shell.history.next();
        let status = session.run(&line).await;
        if !session.shell.has_ended() {
            held.status = status;
        }
        printed = session.out.take();
        let output = without_events(&printed, &mut Vec::new());
        held.turns.push((number, line, output));
    }
    without_events(&printed, &mut held.events);
    assert_eq!(held.turns.len(), expected.turns.len(), "{name}: lines");
    for ((number, line, output), (at, _, recorded)) in held.turns.iter().zip(&expected.turns) {
        let output = without_extras(&comparable(output), recorded);
        assert_eq!(
            output,
            comparable(recorded),
            "{name}, line {number}: {line}"
        );
        assert_eq!(number, at, "{name}: {line}");
    }
    assert_eq!(held.events, expected.events, "{name}: events");
    assert_eq!(held.status, expected.status, "{name}: status");
}

macro_rules! conversations {
    ($($(#[$meta:meta])* $test:ident: $file:literal $words:expr;)*) => {$(
        $(#[$meta])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $test() {
            hold(&World::with(&$words), $file, "").await;
        }
    )*};
}

const NONE: [&str; 0] = [];

conversations! {
    access_control_is_as_recorded: "acl" NONE;
    the_usual_commands_are_as_recorded: "basic" NONE;
    connecting_and_closing_are_as_recorded: "connect" NONE;
    hard_quotas_are_as_recorded: "enforce" ["-Dzookeeper.enforceQuota=true"];
    wrong_words_are_as_recorded: "errors" NONE;
    a_new_server_looks_as_recorded: "firstlook" NONE;
    history_is_as_recorded: "hist" NONE;
    options_are_as_recorded: "options" NONE;
    quotas_are_as_recorded: "quota" NONE;
    quoting_is_as_recorded: "quoting" NONE;
    what_beginners_type_is_as_recorded: "seed" NONE;
    times_to_live_are_as_recorded: "ttl" ["-Dzookeeper.extendedTypesEnabled=true"];
    watches_are_as_recorded: "watch" NONE;
}

/// The lines where ours answers otherwise than 3.9.3, and why.
const OLD_FORMS_DIFFER: [(usize, &str); 12] = [
    (1, "ls2 is known again"),
    (2, "ls2 is known again"),
    (3, "rmr is known again"),
    (4, "/t is gone by rmr"),
    (5, "/t is gone by rmr"),
    (6, "/t is gone by rmr"),
    (7, "/t is gone by rmr, and the version is no longer ignored"),
    (8, "/t is gone by rmr, and the version is no longer ignored"),
    (9, "/t is gone by rmr"),
    (10, "/t is gone by rmr"),
    (14, "rmr has taken a zxid"),
    (15, "help is a command"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn old_forms_are_as_recorded_but_for_what_is_said() {
    let ours = || Conversation::parse(&recorded("legacy.ours.txt"));
    let theirs = Conversation::parse(&recorded("legacy.txt"));
    let differ: Vec<_> = ours()
        .turns
        .iter()
        .zip(&theirs.turns)
        .filter(|((_, _, one), (_, _, other))| comparable(one) != comparable(other))
        .map(|((number, _, _), _)| *number)
        .collect();
    let said: Vec<_> = OLD_FORMS_DIFFER.iter().map(|(number, _)| *number).collect();
    assert_eq!(differ, said);
    hold_as(&World::new(), "legacy", ours(), "").await;
}

/// Whether a line of 3.4 is one that its successors print elsewhere, differently, or not at all: lists of commands, stats (which
/// 3.4 shows without being asked, and whose zxids differ since `create /ooxx` does something), children in the server's order,
/// and three messages.
fn is_only_of_3_4(line: &str) -> bool {
    let is_stat = line
        .split_once(" = ")
        .is_some_and(|(name, _)| !name.contains(' '));
    let begins = [
        "\t",
        "ZooKeeper -server ",
        "[",
        "Connecting to ",
        "JLine support ",
        "WatchedEvent ",
        "Sync returned 0",
        "Comment: ",
        "Quitting...",
    ];
    line.is_empty() || is_stat || begins.iter().any(|text| line.starts_with(text))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_typed_into_3_4_works_and_prints_what_3_9_would() {
    let ours = recorded("seed-3.4.ours.txt");
    hold_as(&World::new(), "seed-3.4", Conversation::parse(&ours), "").await;
    // What 3.4 answered comes in its order.
    let theirs = recorded("seed-3.4.txt");
    let mut lines = ours.lines();
    let mut compared = 0;
    for line in theirs.lines().filter(|line| !is_only_of_3_4(line)) {
        let line = line
            .strip_prefix("Command failed: java.lang.IllegalArgumentException: ")
            .unwrap_or(line);
        assert!(lines.any(|own| own.starts_with(line)), "{line}");
        compared += 1;
    }
    assert!(compared > 35, "{compared} lines");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_chroot_is_as_recorded() {
    let world = World::new();
    let mut before = Session::on_one_paper(&world.hosts).await;
    before.run("create /m1").await;
    before.run("quit").await;
    hold(&world, "chroot", "/m1").await;
}
