//! Configurations that Java servers have sent to each other: each is parsed, and written as it was.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::fs;
use std::path::Path;

use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::membership::Membership;

/// The texts in the comments of the recordings, which decode the bytes below them.
fn texts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/quorum");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let recording = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in recording.lines().filter(|line| line.starts_with('#')) {
            let Some((_, rest)) = line.split_once("config='") else {
                continue;
            };
            let (text, _) = rest.split_once('\'').unwrap();
            found.push(text.replace("\\n", "\n"));
        }
    }
    found
}

#[test]
fn configurations_are_written_as_they_were() {
    let texts = texts();
    assert!(texts.len() > 30, "only {} were found", texts.len());
    for text in texts {
        let config = Membership::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(config.to_string(), text);
        assert!(config.is_voter(ServerId(2)) || config.is_voter(ServerId(3)));
    }
}
