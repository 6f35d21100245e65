//! Which four-letter words may be answered (operations, 1.7 and 2.1).
//!
//! What a word answers is not known here. Invariant: `srvr` is always allowed.

use std::{collections::BTreeSet, fmt};

/// Every four-letter word there is.
pub const ALL_WORDS: [&str; 18] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// The word that is allowed whatever the list says.
const ALWAYS: &str = "srvr";
/// The word that read-only mode adds.
const READ_ONLY: &str = "isro";

/// Words that are answered unless the operator says otherwise: they only read, cheaply, and probes need them.
pub(super) const DEFAULT: &str = "ruok,srvr,stat,mntr,conf,isro,envi,cons";

/// The words an operator allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordList(BTreeSet<String>);

impl WordList {
    /// Reads the text of `4lw.commands.whitelist`. Items that are no word are handed back for a warning.
    pub(super) fn parse(text: &str, read_only_mode: bool) -> (Self, Vec<String>) {
        let mut words: BTreeSet<String> = [ALWAYS.to_owned()].into();
        let mut strangers = Vec::new();
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            match item {
                "*" => words.extend(ALL_WORDS.map(str::to_owned)),
                word if ALL_WORDS.contains(&word) => drop(words.insert(word.to_owned())),
                stranger => strangers.push(stranger.to_owned()),
            }
        }
        if read_only_mode {
            words.insert(READ_ONLY.to_owned());
        }
        (Self(words), strangers)
    }

    /// Whether this word may be answered.
    pub fn allows(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// The allowed words in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for WordList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, read_only_mode: bool, expected: &str) {
        assert_eq!(
            WordList::parse(text, read_only_mode).0.to_string(),
            expected
        );
    }

    #[test]
    fn lists() {
        check("", false, "srvr");
        check("", true, "isro,srvr");
        check(" ruok , mntr ,, ", false, "mntr,ruok,srvr");
        check("ruok,*", false, &ALL_WORDS.join(","));
        check(DEFAULT, false, "conf,cons,envi,isro,mntr,ruok,srvr,stat");
    }

    #[test]
    fn what_is_no_word_comes_back() {
        let (words, strangers) = WordList::parse("ruok,RUOK,telnet close", false);
        assert_eq!(words.to_string(), "ruok,srvr");
        assert_eq!(strangers, ["RUOK", "telnet close"]);
        assert!(words.allows("ruok") && !words.allows("RUOK"));
    }
}
