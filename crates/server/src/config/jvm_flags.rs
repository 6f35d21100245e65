//! Words meant for a Java machine: `-Dname=value` is used, everything else is collected for one warning.
//!
//! Rookeeper has no Java machine, but unit files and images hand over settings this way (operations, 1.1).
//! The environment is not read here: its values come in as arguments.

use super::source::Source;

/// One `-Dname=value` word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    /// Name as written, prefix `zookeeper.` included.
    pub(super) name: String,
    /// Value; empty when the word had no `=`.
    pub(super) value: String,
    /// Where the word stood.
    pub(super) source: Source,
}

/// What Java words said. Later properties win over earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JvmFlags {
    /// All `-D` words in order.
    pub(super) properties: Vec<Property>,
    /// All other words in order.
    pub(super) foreign: Vec<String>,
}

impl JvmFlags {
    /// Takes one word found at `place` (the name of a variable, or "command line").
    pub(super) fn take(&mut self, word: &str, place: &'static str) {
        let Some(definition) = word.strip_prefix("-D").filter(|rest| !rest.is_empty()) else {
            self.foreign.push(word.to_owned());
            return;
        };
        let (name, value) = definition.split_once('=').unwrap_or((definition, ""));
        let source = Source::Property { place };
        self.properties.push(Property {
            name: name.into(),
            value: value.trim().into(),
            source,
        });
    }

    /// Takes all words of an environment variable, parted by blanks, with shell quotes honoured.
    pub(super) fn take_variable(&mut self, text: &str, place: &'static str) {
        for word in words(text) {
            self.take(&word, place);
        }
    }
}

/// Splits at blanks outside of `'...'` and `"..."`; a quote that never closes reaches to the end.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_blanks_outside_of_quotes() {
        assert_eq!(words("  -Da=1\t-Db=2\n"), ["-Da=1", "-Db=2"]);
        assert_eq!(
            words(r#"-Da="x y" '-Db=p q' -Dc='"'"#),
            ["-Da=x y", "-Db=p q", "-Dc=\""]
        );
        assert_eq!(words(r#"-Da="x y"#), ["-Da=x y"]);
        assert_eq!(words(r#""" a"#), ["", "a"]);
        assert!(words(" ").is_empty());
    }

    #[test]
    fn definitions_are_kept_and_the_rest_is_foreign() {
        let mut flags = JvmFlags::default();
        flags.take_variable(
            "-Xmx1g -Dzookeeper.snapCount=5 -XX:+UseG1GC -Dx",
            "JVMFLAGS",
        );
        flags.take("-Dk=a=b", "command line");
        let found: Vec<_> = flags
            .properties
            .iter()
            .map(|p| (p.name.as_str(), p.value.as_str()))
            .collect();
        assert_eq!(
            found,
            [("zookeeper.snapCount", "5"), ("x", ""), ("k", "a=b")]
        );
        assert_eq!(flags.foreign, ["-Xmx1g", "-XX:+UseG1GC"]);
        assert_eq!(
            flags.properties[0].source,
            Source::Property { place: "JVMFLAGS" }
        );
    }
}
