//! Options of a command: they may stand anywhere among its words, short ones may be joined, and `--` ends them.
//!
//! Names are what ZooKeeper's shell has: one dash, whatever the length (`-v 3`, `-file F`). Two dashes and `=` are understood too.

use thiserror::Error;

/// An option that a command knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Without the dash.
    pub name: &'static str,
    /// How its value is called, if it takes one.
    pub value: Option<&'static str>,
    /// What it does, for `help`.
    pub about: &'static str,
}

impl Flag {
    /// An option without value.
    #[must_use]
    pub const fn switch(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            value: None,
            about,
        }
    }

    /// An option with a value.
    #[must_use]
    pub const fn valued(name: &'static str, value: &'static str, about: &'static str) -> Self {
        Self {
            name,
            value: Some(value),
            about,
        }
    }
}

/// Why the words of a command cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    /// No such option; the word as it was typed.
    #[error("Unrecognized option: {0}")]
    Unrecognized(String),
    /// The option needs a value, and no word is left or the next one is an option.
    #[error("Missing argument for option: {0}")]
    MissingArgument(&'static str),
    /// Two options that exclude each other.
    #[error(
        "The option '{second}' was specified but an option from this group has already been selected: '{first}'"
    )]
    AlreadySelected {
        /// The one that counts.
        first: &'static str,
        /// The one too many.
        second: &'static str,
    },
}

/// The words of a command behind its name, told apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    found: Vec<(&'static str, Option<String>)>,
    words: Vec<String>,
}

impl Parsed {
    /// Tells options and other words apart.
    pub fn parse(flags: &[Flag], words: &[String]) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                parsed.words.extend(rest.by_ref().cloned());
            } else if word == "-" || !word.starts_with('-') || is_number_only(flags, word) {
                parsed.words.push(word.clone());
            } else {
                parsed.option(flags, word, &mut rest)?;
            }
        }
        Ok(parsed)
    }

    /// True when the option was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.found.iter().any(|(found, _)| *found == name)
    }

    /// The last value given for an option.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last().copied()
    }

    /// Every value given for an option.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.found.iter().filter(|(found, _)| *found == name);
        named.filter_map(|(_, value)| value.as_deref()).collect()
    }

    /// The words that are no options.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The one option of a group that was given, if any; two are an error.
    pub fn one_of(&self, group: &[&str]) -> Result<Option<&'static str>, OptionError> {
        let mut chosen = None;
        for (name, _) in self.found.iter().filter(|(name, _)| group.contains(name)) {
            match chosen {
                Some(first) if first != *name => {
                    return Err(OptionError::AlreadySelected {
                        first,
                        second: name,
                    });
                }
                _ => chosen = Some(*name),
            }
        }
        Ok(chosen)
    }

    fn option<'a>(
        &mut self,
        flags: &[Flag],
        word: &str,
        rest: &mut (impl Iterator<Item = &'a String> + Clone),
    ) -> Result<(), OptionError> {
        let body = word.trim_start_matches('-');
        let (name, attached) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        if let Some(flag) = flags.iter().find(|flag| flag.name == name) {
            return match (flag.value, attached) {
                (None, Some(_)) => Err(OptionError::Unrecognized(word.to_owned())),
                (None, None) => {
                    self.found.push((flag.name, None));
                    Ok(())
                }
                (Some(_), value) => self.valued(flag, value.unwrap_or_default(), rest),
            };
        }
        self.joined(flags, word, body, rest)
    }

    /// Short options in one word, of which the last may have its value behind it: `-sw`, `-v3`.
    fn joined<'a>(
        &mut self,
        flags: &[Flag],
        word: &str,
        body: &str,
        rest: &mut (impl Iterator<Item = &'a String> + Clone),
    ) -> Result<(), OptionError> {
        let before = self.found.len();
        let mut letters = body.chars();
        while let Some(letter) = letters.next() {
            let named = |flag: &&Flag| flag.name.chars().eq([letter]);
            match flags.iter().find(named) {
                Some(flag) if flag.value.is_some() => {
                    return self.valued(flag, letters.as_str(), rest);
                }
                Some(flag) => self.found.push((flag.name, None)),
                None => {
                    self.found.truncate(before);
                    return Err(OptionError::Unrecognized(word.to_owned()));
                }
            }
        }
        Ok(())
    }

    fn valued<'a>(
        &mut self,
        flag: &Flag,
        attached: &str,
        rest: &mut (impl Iterator<Item = &'a String> + Clone),
    ) -> Result<(), OptionError> {
        let value = match attached {
            "" => match rest.clone().next() {
                Some(next) if may_be_value(next) => rest.next().cloned(),
                _ => None,
            },
            attached => Some(attached.to_owned()),
        };
        let value = value.ok_or(OptionError::MissingArgument(flag.name))?;
        self.found.push((flag.name, Some(value)));
        Ok(())
    }
}

/// Where there are no options a negative number is a word: `redo -1`.
fn is_number_only(flags: &[Flag], word: &str) -> bool {
    flags.is_empty() && may_be_value(word)
}

/// A word that begins with a dash is an option, unless it is a number.
fn may_be_value(word: &str) -> bool {
    match word.strip_prefix('-') {
        None | Some("") => true,
        Some(number) => number.parse::<f64>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::switch("s", ""),
        Flag::switch("w", ""),
        Flag::valued("v", "version", ""),
        Flag::valued("file", "path", ""),
        Flag::valued("n", "num", ""),
        Flag::valued("b", "bytes", ""),
    ];

    fn parse(line: &str) -> Result<Parsed, OptionError> {
        Parsed::parse(FLAGS, &crate::words::split(line))
    }

    #[track_caller]
    fn check(line: &str, found: &[(&str, Option<&str>)], words: &[&str]) {
        let parsed = parse(line).unwrap();
        let given: Vec<_> = parsed
            .found
            .iter()
            .map(|(name, value)| (*name, value.as_deref()))
            .collect();
        assert_eq!(given, found, "{line}");
        assert_eq!(parsed.words(), words, "{line}");
    }

    #[test]
    fn options_stand_anywhere() {
        check("/m1 -s", &[("s", None)], &["/m1"]);
        check("-s /m1", &[("s", None)], &["/m1"]);
        check("/a -v 3 b", &[("v", Some("3"))], &["/a", "b"]);
    }

    #[test]
    fn short_options_are_joined() {
        check("-sw /a", &[("s", None), ("w", None)], &["/a"]);
        check("-sv3 /a", &[("s", None), ("v", Some("3"))], &["/a"]);
        check("-sv 3 /a", &[("s", None), ("v", Some("3"))], &["/a"]);
    }

    #[test]
    fn long_options_have_one_dash_or_two() {
        for line in ["-file x", "--file x", "-file=x", "--file=x"] {
            check(line, &[("file", Some("x"))], &[]);
        }
    }

    #[test]
    fn a_negative_number_is_a_value_only_behind_an_option_that_takes_one() {
        check("-v -1 /a", &[("v", Some("-1"))], &["/a"]);
        assert_eq!(
            parse("/a -5"),
            Err(OptionError::Unrecognized("-5".to_owned()))
        );
        check("/a -- -5", &[], &["/a", "-5"]);
        check("-", &[], &["-"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(error("-z /"), "Unrecognized option: -z");
        assert_eq!(error("-sz /"), "Unrecognized option: -sz");
        assert_eq!(error("-s=1 /"), "Unrecognized option: -s=1");
        assert_eq!(error("-n"), "Missing argument for option: n");
        assert_eq!(error("-n -s"), "Missing argument for option: n");
    }

    #[test]
    fn of_a_group_one_may_be_given() {
        let one = |line: &str| parse(line).unwrap().one_of(&["n", "b"]);
        assert_eq!(one("/q"), Ok(None));
        assert_eq!(one("-n 5 /q"), Ok(Some("n")));
        assert_eq!(
            one("-n 5 -b 5 /q").unwrap_err().to_string(),
            "The option 'b' was specified but an option from this group has already been selected: 'n'"
        );
    }
}
