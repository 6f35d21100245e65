//! Every word but `mntr`, byte for byte.

use super::sample::{VERSION, asking, leader, standalone};
use crate::{
    config::{ALL_WORDS, Settings, WordList},
    metrics::{PacketView, Tally},
    words::{
        Answer, Command, Configuration, Needs, Report, Role, ServerPart, TraceMask, Word, answer,
        needs, version_text,
    },
};

macro_rules! golden {
    ($file:literal) => {
        include_str!(concat!("../../../../../testdata/words/", $file))
    };
}

fn said(word: Word, report: &Report) -> String {
    String::from_utf8(answer(word, report, b"").bytes).expect("words are text")
}

#[track_caller]
fn check(word: Word, report: &Report, expected: &str) {
    assert_eq!(said(word, report), expected, "{}", word.name());
}

#[test]
fn a_standalone_server_says_what_the_recorded_one_said() {
    let report = standalone();
    for (word, expected) in [
        (Word::Conf, golden!("standalone/conf.txt")),
        (Word::Cons, golden!("standalone/cons.txt")),
        (Word::Crst, golden!("standalone/crst.txt")),
        (Word::Dirs, golden!("standalone/dirs.txt")),
        (Word::Dump, golden!("standalone/dump.txt")),
        (Word::Gtmk, golden!("standalone/gtmk.txt")),
        (Word::Hash, golden!("standalone/hash.txt")),
        (Word::Isro, golden!("standalone/isro.txt")),
        (Word::Ruok, golden!("standalone/ruok.txt")),
        (Word::Srst, golden!("standalone/srst.txt")),
        (Word::Srvr, golden!("standalone/srvr.txt")),
        (Word::Wchc, golden!("standalone/wchc.txt")),
        (Word::Wchp, golden!("standalone/wchp.txt")),
        (Word::Wchs, golden!("standalone/wchs.txt")),
    ] {
        check(word, &report, expected);
    }
}

/// `stat` was recorded one exchange later than `srvr`.
#[test]
fn stat_shows_the_connections() {
    let mut report = standalone();
    report.server.packets.received = 397;
    report.server.packets.sent = 415;
    report.connections[0] = asking(42630);
    check(Word::Stat, &report, golden!("standalone/stat.txt"));
}

#[test]
fn a_leader_shows_its_ensemble_and_its_proposals() {
    check(Word::Conf, &leader(), golden!("leader/conf.txt"));
    check(Word::Srvr, &leader(), golden!("leader/srvr.txt"));
    check(Word::Cons, &leader(), golden!("leader/cons.txt"));
    check(Word::Dump, &leader(), golden!("leader/dump.txt"));
    let mut later = leader();
    later.server.packets.received = 15;
    later.server.packets.sent = 15;
    later.connections[0] = asking(35792);
    check(Word::Stat, &later, golden!("leader/stat.txt"));
    let mut fresh = leader();
    fresh.server.proposals = None;
    let said = said(Word::Srvr, &fresh);
    assert!(
        said.ends_with("\nProposal sizes last/min/max: -1/-1/-1\n"),
        "{said}"
    );
}

#[test]
fn the_environment_keeps_all_keys() {
    let expected: String = golden!("standalone/envi.txt")
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("java.version", _)) => {
                concat!("java.version=rookeeper-", env!("CARGO_PKG_VERSION"), "\n").to_owned()
            }
            Some((key, _)) if key.starts_with("java.") => format!("{key}=<NA>\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    check(Word::Envi, &standalone(), &expected);
}

#[test]
fn several_digests() {
    let mut report = standalone();
    report.digests = vec![
        (0x80, 68_801_678_241),
        (0x100, 75_992_957_862),
        (0x180, 79_424_455_028),
        (0x200, 78_760_481_065),
    ];
    check(Word::Hash, &report, golden!("hash-populated.txt"));
    report.digests.clear();
    check(Word::Hash, &report, "");
}

/// A recording of several exchanges: word and answer.
fn exchanges(recording: &str) -> Vec<(&str, &str)> {
    recording
        .split_terminator("<<<\n")
        .map(|exchange| {
            let (asked, said) = exchange.split_once('\n').expect("a word and an answer");
            (asked.trim_start_matches(">>> "), said)
        })
        .collect()
}

fn word(name: &str) -> Option<Word> {
    Word::from_bytes(name.as_bytes().get(..4)?.try_into().ok()?)
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    let report = Report {
        role: Role::Looking,
        ..Report::default()
    };
    let recorded = exchanges(golden!("not-serving.txt"));
    assert_eq!(recorded.len(), 16);
    for (name, expected) in recorded {
        let word = word(name).expect("a known word");
        check(word, &report, expected);
        assert_eq!(answer(word, &report, b"").command, None, "{name}");
    }
    assert!(said(Word::Envi, &report).starts_with("Environment:\nzookeeper.version="));
    let mask = answer(Word::Stmk, &report, &7_i64.to_be_bytes());
    assert_eq!(mask.command, Some(Command::SetTraceMask(7)));
}

#[test]
fn a_read_only_server_says_so() {
    let report = Report {
        role: Role::ReadOnly,
        version: VERSION.to_owned(),
        server: ServerPart {
            packets: PacketView {
                received: 9,
                sent: 8,
                ..PacketView::default()
            },
            connections: 1,
            node_count: 5,
            ..ServerPart::default()
        },
        ..Report::default()
    };
    let recorded = exchanges(golden!("read-only.txt"));
    for name in ["srvr", "isro"] {
        let (_, expected) = recorded.iter().find(|(word, _)| *word == name).expect(name);
        check(word(name).expect(name), &report, expected);
    }
}

fn settings(text: &str) -> Settings {
    let text = format!("dataDir=/var/lib/zookeeper\nclientPort=26001\n{text}\n");
    let loaded = Settings::from_text(&text, &[]).expect("valid settings");
    loaded.settings
}

fn allowed(list: &str) -> WordList {
    settings(&format!("4lw.commands.whitelist={list}"))
        .client
        .words
}

#[test]
fn what_is_not_allowed_is_refused_by_name() {
    let list = allowed("");
    let recorded = exchanges(golden!("whitelist-refusal.txt"));
    assert_eq!(recorded.len(), 5);
    for (asked, expected) in recorded {
        match word(asked) {
            Some(word) => {
                assert!(!word.is_allowed(&list, false), "{asked}");
                assert_eq!(word.refusal_text(), expected, "{asked}");
            }
            None => assert_eq!(expected, "", "{asked}"),
        }
    }
    assert_eq!(
        Word::TelnetClose.refusal_text(),
        "telnet close is not executed because it is not in the whitelist.\n"
    );
}

#[test]
fn lists_and_read_only_mode_allow_words() {
    let names = |list: &WordList, read_only| -> Vec<&str> {
        let all = Word::ALL.into_iter();
        all.filter(|word| word.is_allowed(list, read_only))
            .map(Word::name)
            .collect()
    };
    let none = allowed("");
    assert_eq!(names(&none, false), ["srvr"]);
    assert_eq!(names(&none, true), ["isro", "srvr"]);
    let all = allowed("*");
    let (telnet, known) = (Word::TelnetClose.name(), names(&all, false));
    assert_eq!(known.split_last(), Some((&telnet, &ALL_WORDS[..])));
}

#[test]
fn words_are_four_bytes() {
    for word in Word::ALL {
        assert_eq!(Word::from_bytes(word.bytes()), Some(word));
        if word != Word::TelnetClose {
            assert_eq!(word.bytes(), word.name().as_bytes());
        }
        assert_eq!(word.extra_bytes(), if word == Word::Stmk { 8 } else { 0 });
    }
    assert_eq!(
        Word::from_bytes([0xff, 0xf4, 0xff, 0xfd]),
        Some(Word::TelnetClose)
    );
    for bytes in [b"RUOK", b"xxxx", b"GET ", b"\0\0\0\x2d"] {
        assert_eq!(Word::from_bytes(*bytes), None);
    }
}

#[test]
fn effects_are_handed_back() {
    let report = standalone();
    let command = |word, extra: &[u8]| answer(word, &report, extra).command;
    assert_eq!(command(Word::Srst, b""), Some(Command::ResetServerStats));
    assert_eq!(
        command(Word::Crst, b""),
        Some(Command::ResetConnectionStats)
    );
    let mask = answer(Word::Stmk, &report, &(-2_i64).to_be_bytes());
    assert_eq!(
        (mask.bytes.as_slice(), mask.command),
        (&b"-2"[..], Some(Command::SetTraceMask(-2)))
    );
    assert_eq!(answer(Word::Stmk, &report, b"1234567"), Answer::default());
    assert_eq!(answer(Word::TelnetClose, &report, b""), Answer::default());
    let masked = Report {
        trace_mask: TraceMask(-2),
        ..standalone()
    };
    check(Word::Gtmk, &masked, "-2");
}

/// Parts that a word does not need change nothing in its answer.
#[test]
fn needs_name_everything_a_word_shows() {
    for word in Word::ALL {
        for full in [standalone(), leader()] {
            assert_eq!(
                said(word, &only(&full, needs(word, full.role))),
                said(word, &full),
                "{}",
                word.name()
            );
        }
    }
    let cheap = |word| needs(word, Role::Standalone) == Needs::NONE;
    assert!(cheap(Word::Ruok) && cheap(Word::Isro) && !cheap(Word::Srvr));
}

/// What a caller collects who gives exactly what is needed.
fn only(full: &Report, needs: Needs) -> Report {
    fn part<T: Default>(needed: bool, value: T) -> T {
        if needed { value } else { T::default() }
    }
    let full = full.clone();
    Report {
        role: full.role,
        version: full.version,
        trace_mask: full.trace_mask,
        server: part(needs.server, full.server),
        configuration: part(needs.configuration, full.configuration),
        directory_sizes: part(needs.directory_sizes, full.directory_sizes),
        environment: part(needs.environment, full.environment),
        connections: part(needs.connections, full.connections),
        sessions: part(needs.sessions, full.sessions),
        watch_summary: part(needs.watch_summary, full.watch_summary),
        watches_by_session: part(needs.watches_by_session, full.watches_by_session),
        watches_by_path: part(needs.watches_by_path, full.watches_by_path),
        digests: part(needs.digests, full.digests),
        monitor: part(needs.monitor, full.monitor),
    }
}

#[test]
fn a_connection_without_history_shows_what_there_is() {
    let mut report = standalone();
    if let Some(session) = &mut report.connections[1].session {
        session.last_operation = "SESS";
        session.last_cxid = None;
        session.last_zxid = -1;
        session.latency = Tally::new();
    }
    let said = said(Word::Cons, &report);
    let expected = ",lop=SESS,est=1795211528336,to=30000,lzxid=0xffffffffffffffff,lresp=1137893,\
                    llat=0,minlat=0,avglat=0,maxlat=0)\n\n";
    assert!(said.ends_with(expected), "{said}");
}

#[test]
fn lists_may_be_empty() {
    let report = Report::default();
    for word in [Word::Cons, Word::Wchc, Word::Wchp] {
        check(word, &report, "\n");
    }
    check(
        Word::Dump,
        &report,
        "SessionTracker dump:\nSession Sets (0)/(0):\nephemeral nodes dump:\nSessions with \
         Ephemerals (0):\nConnections dump:\nConnections Sets (0)/(0):\n",
    );
}

#[test]
fn settings_become_configuration() {
    let settings = settings("maxClientCnxns=60\ntickTime=2000");
    let report = Report {
        configuration: Configuration::of(&settings, Some(26001)),
        ..standalone()
    };
    check(Word::Conf, &report, golden!("standalone/conf.txt"));
}

/// Tools search for three numbers and take the server for that version (operations, 2.2).
#[test]
fn the_version_is_taken_for_3_9_3() {
    let text = version_text("2026-11-20 21:52 UTC");
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!("3.9.3-rookeeper-{own}, built on 2026-11-20 21:52 UTC")
    );
}

/// Datadog's check reads `stat` line by line in this order (operations, 3.7).
#[test]
fn stat_is_read_by_datadog() {
    let said = said(Word::Stat, &standalone());
    let mut lines = said.lines();
    let mut next = || lines.next().expect("a line");
    assert!(next().contains("3.9.3"));
    assert_eq!(next(), "Clients:");
    while !next().is_empty() {}
    let mut value = |name: &str| {
        let (key, value) = next().split_once(": ").expect("a name and a value");
        assert_eq!(key, name);
        value.to_owned()
    };
    let latency = value("Latency min/avg/max");
    let parts: Vec<f64> = latency
        .split('/')
        .filter_map(|part| part.parse().ok())
        .collect();
    assert_eq!(parts, [0.0, 1.4197, 65.0]);
    for name in ["Received", "Sent", "Connections", "Outstanding"] {
        value(name).parse::<u64>().expect(name);
    }
    assert!(value("Zxid").starts_with("0x"));
    assert_eq!(value("Mode"), "standalone");
    assert_eq!(value("Node count"), "41");
}
