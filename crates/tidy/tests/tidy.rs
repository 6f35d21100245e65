//! The house rules (STYLE.md) that neither rustc nor clippy can check. Each test names every offender with the rule it breaks.
//!
//! Ratchets: what was too long when the rule came is listed with its length; it may shrink, it may not grow, and it leaves the list
//! when it is short enough.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "this test reads the repository, and panics when it cannot"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code (the trailing test module not counted) beyond which a file must be in [`LONG_FILES`].
const FILE_LINES: usize = 500;
/// Lines beyond which a file must be parted, tests included.
const FILE_LINES_HARD: usize = 800;
/// Lines beyond which a function must be in [`LONG_FUNCTIONS`].
const FUNCTION_LINES: usize = 70;
/// The same for tests, where a dispatcher of stories has an arm for each command.
const FUNCTION_LINES_IN_TESTS: usize = 100;

/// Files beyond [`FILE_LINES`], with the length they may not exceed.
const LONG_FILES: &[(&str, usize)] = &[
    ("crates/server/src/client_conn.rs", 580),
    ("crates/tree/src/prep.rs", 680),
    ("crates/tree/src/tree.rs", 650),
];

/// Functions beyond [`FUNCTION_LINES`], with the length they may not exceed.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[("crates/tree/src/prep.rs", "create", 78)];

/// Names that say nothing, and so collect everything.
const EMPTY_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "misc", "manager",
];

/// Crates that decide: functions of their inputs.
const PURE: &[&str] = &["proto", "tree", "quorum", "node"];

/// What a crate that decides may not depend on, by the first part of the name.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "rustix",
    "libc",
    "parking_lot",
    "crossbeam",
    "rayon",
    "rand",
    "getrandom",
    "tracing",
    "log",
    "jiff",
    "chrono",
    "time",
    "tempfile",
    "async",
];

/// What a crate that decides may not name, besides what clippy.toml forbids.
const IMPURE_PATHS: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "std::thread",
    "std::process",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Who may know whom: a crate of ours, and those it may depend on outside of its tests.
const LAYERS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("tree", &["proto"]),
    ("quorum", &["proto"]),
    ("storage", &["proto"]),
    ("node", &["proto", "tree", "quorum"]),
    ("database", &["proto", "tree", "quorum", "storage"]),
    (
        "server",
        &["proto", "tree", "quorum", "storage", "database", "node"],
    ),
    ("client", &["proto"]),
    ("shell", &["proto", "client"]),
    (
        "rookeeper",
        &["proto", "storage", "server", "client", "shell"],
    ),
    (
        "sim",
        &["proto", "tree", "quorum", "storage", "node", "database"],
    ),
    ("tidy", &[]),
];

/// Folders of golden files that a test reads as a whole, and that test.
const READ_AS_A_WHOLE: &[(&str, &str)] = &[
    ("testdata/client/", "interop/golden_client.py"),
    ("testdata/disk/dataset/", "crates/storage/tests/golden.rs"),
    ("testdata/disk/final/", "crates/storage/tests/golden.rs"),
    ("testdata/quorum/", "crates/proto/tests/quorum.rs"),
    ("testdata/shell/", "crates/shell/tests/transcripts.rs"),
];

/// Golden files kept for what is not built yet: the output of the inspection tools.
const FOR_LATER: &[&str] = &["testdata/disk/tools/"];

/// Parts of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &["/root/", "/work/", "/home/", "../shared", "/tmp/"];
/// A path that is nobody's, for examples.
const EXAMPLE_PATH: &str = "/home/you/";

/// Files that mention such a path because ZooKeeper's own files do.
const MAY_NAME_TMP: &[&str] = &[
    "conf/zoo_sample.cfg",
    "crates/server/src/config/",
    "testdata/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A text file of the repository.
struct Text {
    /// From the root, with slashes.
    path: String,
    text: String,
}

impl Text {
    /// The crate's folder, if it belongs to one.
    fn crate_name(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// The path below the crate's `src`.
    fn in_src(&self) -> Option<&str> {
        let (_, below) = self.path.strip_prefix("crates/")?.split_once("/src/")?;
        below.ends_with(".rs").then_some(below)
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The text without a test module at its end.
    fn code(&self) -> &str {
        let tests = self.text.find("\n#[cfg(test)]\nmod tests {");
        self.text.split_at(tests.unwrap_or(self.text.len())).0
    }
}

/// Every text file, without what git ignores.
fn texts() -> Vec<Text> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    assert!(found.len() > 100, "the repository was not found");
    found
}

fn collect(dir: &Path, prefix: &str, found: &mut Vec<Text>) {
    const SKIPPED: &[&str] = &[
        "target",
        ".git",
        "rookeeper-data",
        "__pycache__",
        "proptest-regressions",
    ];
    let entries = fs::read_dir(dir).expect("a folder of the repository can be listed");
    let mut entries: Vec<_> = entries
        .map(|entry| entry.expect("an entry can be read").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .expect("names are UTF-8");
        if SKIPPED.contains(&name) {
            continue;
        }
        let below = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{below}/"), found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(Text { path: below, text });
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn no_offenders(rule: &str, offenders: &[String]) {
    assert!(
        offenders.is_empty(),
        "{rule}:\n  {}",
        offenders.join("\n  ")
    );
}

fn crates() -> BTreeSet<String> {
    let all = texts();
    all.iter()
        .filter(|t| t.path.ends_with("/Cargo.toml"))
        .filter_map(Text::crate_name)
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_room_has_a_name_that_says_nothing() {
    let says_nothing = |text: &Text| {
        let parts = text
            .path
            .split('/')
            .map(|part| part.split('.').next().unwrap_or(part));
        parts.into_iter().any(|part| EMPTY_NAMES.contains(&part))
    };
    let offenders: Vec<_> = texts()
        .into_iter()
        .filter(says_nothing)
        .map(|t| t.path)
        .collect();
    no_offenders("name the room after what it knows", &offenders);
}

#[test]
fn files_are_short() {
    let mut offenders = Vec::new();
    for text in texts().iter().filter(|t| t.in_src().is_some()) {
        let (lines, code) = (text.text.lines().count(), text.code().lines().count());
        let bound = LONG_FILES
            .iter()
            .find(|(path, _)| *path == text.path)
            .map(|(_, bound)| *bound);
        if lines > FILE_LINES_HARD {
            offenders.push(format!(
                "{}: {lines} lines, {FILE_LINES_HARD} is the end",
                text.path
            ));
        }
        match bound {
            Some(bound) if code > bound => {
                offenders.push(format!(
                    "{}: {code} lines of code, it had {bound}",
                    text.path
                ));
            }
            Some(_) if code <= FILE_LINES => {
                offenders.push(format!("{}: short now, take it from LONG_FILES", text.path));
            }
            None if code > FILE_LINES => {
                offenders.push(format!(
                    "{}: {code} lines of code, {FILE_LINES} without a reason",
                    text.path
                ));
            }
            _ => {}
        }
    }
    no_offenders("part the file along a seam that has a name", &offenders);
}

/// Name and lines of every function, by indentation: rustfmt ends a body in the column where its `fn` line begins.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(&str, usize, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        if words.trim_end() == "}" && open.last().is_some_and(|(_, at, _)| *at == indent) {
            found.extend(
                open.pop()
                    .map(|(name, _, start)| (name, number + 1 - start)),
            );
        }
        if let Some(name) = function_name(words)
            && !words.ends_with([';', '}'])
        {
            open.push((name, indent, number));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in [
        "pub ",
        "pub(crate) ",
        "pub(super) ",
        "const ",
        "async ",
        "unsafe ",
    ] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[test]
fn functions_are_short() {
    let mut offenders = Vec::new();
    let mut counted = 0;
    for text in texts().iter().filter(|t| t.is_rust()) {
        for (name, lines) in functions(&text.text) {
            counted += 1;
            let known = LONG_FUNCTIONS
                .iter()
                .find(|(path, known, _)| *path == text.path && *known == name);
            let usual = if text.path.contains("/tests/") {
                FUNCTION_LINES_IN_TESTS
            } else {
                FUNCTION_LINES
            };
            let bound = known.map_or(usual, |(_, _, bound)| *bound);
            if lines > bound {
                offenders.push(format!(
                    "{}: {name} has {lines} lines of {bound}",
                    text.path
                ));
            }
            if known.is_some() && lines <= FUNCTION_LINES {
                offenders.push(format!(
                    "{}: {name} is short now, take it from LONG_FUNCTIONS",
                    text.path
                ));
            }
        }
    }
    assert!(
        counted > 1000,
        "only {counted} functions were found: the scan is broken"
    );
    no_offenders("part the function by stages that have names", &offenders);
}

#[test]
fn ratchets_name_what_is_there() {
    let all = texts();
    let is_there = |path: &str| all.iter().any(|text| text.path == path);
    let files = LONG_FILES.iter().map(|(path, _)| *path);
    let listed = files.chain(LONG_FUNCTIONS.iter().map(|(path, _, _)| *path));
    let gone: Vec<_> = listed
        .filter(|path| !is_there(path))
        .map(str::to_owned)
        .collect();
    no_offenders("take it from the ratchet", &gone);
}

/// The part of ARCHITECTURE.md about one crate: from its `###` heading to the next heading.
fn section_of<'a>(architecture: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = architecture.split_once(&format!("\n### `{name}`"))?;
    rest.split("\n##").next()
}

#[test]
fn the_map_names_every_room() {
    let architecture = read("ARCHITECTURE.md");
    let mut offenders = Vec::new();
    for name in crates() {
        if section_of(&architecture, &name).is_none() {
            offenders.push(format!("the crate {name} has no heading ### `{name}`"));
        }
    }
    for text in &texts() {
        let (Some(name), Some(below)) = (text.crate_name(), text.in_src()) else {
            continue;
        };
        let is_test = below.split('/').any(|part| part == "tests");
        let room = below.trim_end_matches(".rs").trim_end_matches("/mod");
        let room = room.rsplit('/').next().unwrap_or(room);
        if is_test || matches!(room, "lib" | "main") {
            continue;
        }
        let section = section_of(&architecture, name).unwrap_or_default();
        if !section.contains(&format!("`{room}`")) {
            offenders.push(format!(
                "{}: write `{room}` into the section of {name}",
                text.path
            ));
        }
    }
    no_offenders("ARCHITECTURE.md is the map of the house", &offenders);
}

/// The dependencies of a manifest outside of tests.
fn dependencies(manifest: &str) -> Vec<&str> {
    let Some((_, rest)) = manifest.split_once("\n[dependencies]\n") else {
        return Vec::new();
    };
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn crates_know_only_those_below() {
    let mut offenders = Vec::new();
    for name in crates() {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        let Some((_, may)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
            offenders.push(format!("{name} is not in LAYERS"));
            continue;
        };
        for ours in dependencies(&manifest)
            .iter()
            .filter_map(|d| d.strip_prefix("rookeeper-"))
        {
            if !may.contains(&ours) {
                offenders.push(format!("{name} depends on {ours}"));
            }
        }
    }
    no_offenders("who may know whom is in ARCHITECTURE.md", &offenders);
}

#[test]
fn crates_that_decide_cannot_do() {
    let mut offenders = Vec::new();
    for name in PURE {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        for dependency in dependencies(&manifest) {
            if IMPURE_DEPENDENCIES.contains(&dependency.split('-').next().unwrap_or(dependency)) {
                offenders.push(format!("{name} depends on {dependency}"));
            }
        }
        let lib = read(&format!("crates/{name}/src/lib.rs"));
        if !lib.contains("#![deny(clippy::disallowed_methods, clippy::disallowed_types)]") {
            offenders.push(format!(
                "{name} does not deny the lints of clippy.toml at its root"
            ));
        }
    }
    for text in &texts() {
        let pure =
            text.crate_name().is_some_and(|name| PURE.contains(&name)) && text.in_src().is_some();
        let named = IMPURE_PATHS
            .iter()
            .filter(|path| pure && text.code().contains(*path));
        offenders.extend(named.map(|path| format!("{}: {path}", text.path)));
    }
    no_offenders(
        "time is an argument, entropy a seed, disk and network are inputs and effects",
        &offenders,
    );
}

/// Crates that have deliberate mistakes of their own.
const MUTABLE: &[&str] = &["tree", "quorum", "node"];

#[test]
fn only_the_simulator_makes_mistakes() {
    let mut offenders = Vec::new();
    for name in crates() {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        if dependencies(&manifest).contains(&"rookeeper-sim") {
            offenders.push(format!("{name} depends on the simulator"));
        }
        let lines = manifest.lines().filter(|line| !line.starts_with('#'));
        for line in lines.filter(|line| line.contains("mutations")) {
            let defines = MUTABLE.contains(&name.as_str()) && line == "mutations = []";
            let simulates = name == "sim" && line.starts_with("mutations = [");
            if !defines && !simulates {
                offenders.push(format!("{name}: {line}"));
            }
        }
    }
    no_offenders("nothing that is shipped makes mistakes", &offenders);
}

#[test]
fn the_repository_stands_alone() {
    let mut offenders = Vec::new();
    for text in &texts() {
        if text.path == "crates/tidy/tests/tidy.rs" {
            continue;
        }
        for (number, line) in text.text.lines().enumerate() {
            let line = line.replace(EXAMPLE_PATH, "");
            let named = MACHINE_PATHS.iter().find(|path| line.contains(**path));
            let Some(path) = named else { continue };
            let excused =
                *path == "/tmp/" && MAY_NAME_TMP.iter().any(|may| text.path.starts_with(may));
            if !excused {
                offenders.push(format!("{}:{}: {path}", text.path, number + 1));
            }
        }
    }
    no_offenders("no path of one machine", &offenders);
}

#[test]
fn golden_files_are_used() {
    let all = texts();
    let is_proof = |text: &&Text| {
        let ends = [".rs", ".py", ".c"]
            .iter()
            .any(|end| text.path.ends_with(end));
        ends && !text.path.starts_with("testdata/") && !text.path.starts_with("crates/tidy/")
    };
    let proofs: String = all
        .iter()
        .filter(is_proof)
        .map(|text| text.text.as_str())
        .collect();
    let mut offenders = Vec::new();
    for path in files_below("testdata") {
        let name = path.rsplit('/').next().unwrap_or(&path);
        let whole = READ_AS_A_WHOLE
            .iter()
            .any(|(folder, reader)| path.starts_with(folder) && root().join(reader).is_file());
        let later = FOR_LATER.iter().any(|folder| path.starts_with(folder));
        if name != "README.md" && !whole && !later && !proofs.contains(name) {
            offenders.push(path);
        }
    }
    no_offenders(
        "a golden file that no test names proves nothing",
        &offenders,
    );
}

/// Every file below a folder, texts or not.
fn files_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("the folder is there") {
        let entry = entry.expect("an entry can be read");
        let below = format!(
            "{folder}/{}",
            entry.file_name().to_str().expect("names are UTF-8")
        );
        if entry.path().is_dir() {
            found.extend(files_below(&below));
        } else {
            found.push(below);
        }
    }
    found
}

#[test]
fn no_test_is_switched_off() {
    let marks = [
        concat!("#[ign", "ore"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
    ];
    let mut offenders = Vec::new();
    for text in texts().iter().filter(|t| t.is_rust()) {
        let found = marks.iter().filter(|mark| text.text.contains(**mark));
        offenders.extend(found.map(|mark| format!("{}: {mark}", text.path)));
    }
    no_offenders("what is not done is not there", &offenders);
}

/// Section numbers behind `mark` in a text: "4.1 and 4.3" and "6.2, 6.4" are two.
fn cited<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (_, mut rest) in text
        .match_indices(mark)
        .map(|(at, _)| text.split_at(at + mark.len()))
    {
        loop {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let (number, behind) = rest.split_at(end);
            if number.is_empty() {
                break;
            }
            found.push(number.trim_end_matches('.'));
            let next = behind
                .strip_prefix(", ")
                .or_else(|| behind.strip_prefix(" and "));
            let Some(next) = next else { break };
            rest = next;
        }
    }
    found
}

#[test]
fn cited_sections_exist() {
    let pages = [
        ("client protocol ", "docs/protocol.md"),
        ("disk formats ", "docs/formats.md"),
        ("quorum protocol ", "docs/quorum.md"),
    ];
    let all = texts();
    let mut offenders = Vec::new();
    for (mark, page) in pages {
        let headings = read(page);
        let mut count = 0;
        for text in all
            .iter()
            .filter(|t| t.is_rust() && t.crate_name() != Some("tidy"))
        {
            for number in cited(&text.text, mark) {
                count += 1;
                let heading = |line: &str| {
                    let title = line.trim_start_matches('#').trim_start();
                    line.starts_with('#')
                        && title
                            .split([' '])
                            .next()
                            .is_some_and(|n| n.trim_end_matches('.') == number)
                };
                if !headings.lines().any(heading) {
                    offenders.push(format!("{}: {mark}{number} is not in {page}", text.path));
                }
            }
        }
        assert!(
            count > 10,
            "only {count} citations of {page}: the scan is broken"
        );
    }
    no_offenders(
        "a comment cites a section that a reader can open",
        &offenders,
    );
}
