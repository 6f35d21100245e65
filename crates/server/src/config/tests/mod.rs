//! Whole configurations through both stages.

mod ensemble;
mod meaning;
mod silence;
mod sources;

use super::{Loaded, Settings, Warning};

const MINIMAL: &str = "dataDir=/d\nclientPort=2181\n";

#[track_caller]
fn loaded(text: &str, words: &[&str]) -> Loaded {
    Settings::from_text(text, words).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn settings(extra: &str) -> Settings {
    loaded(&format!("{MINIMAL}{extra}\n"), &[]).settings
}

/// A member of three.
fn member_settings() -> Settings {
    let text = format!(
        "{MINIMAL}initLimit=5\nsyncLimit=2\nserver.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n"
    );
    let loaded = Settings::of_member(&text, &[], "1");
    loaded.unwrap_or_else(|error| panic!("{error}")).settings
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(Warning::to_string).collect()
}

/// Exactly one warning, which contains the text.
#[track_caller]
fn warns(extra: &str, words: &[&str], text: &str) -> Settings {
    let loaded = loaded(&format!("{MINIMAL}{extra}\n"), words);
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 1, "{extra} {words:?}: {warnings:?}");
    assert!(warnings[0].contains(text), "{extra}: {warnings:?}");
    loaded.settings
}
