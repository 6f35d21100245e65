//! What TAB offers: commands, their options, and children of the path that is being typed.
//!
//! Children are asked for by the session's thread while the editor waits, for a moment at most: a long list or a slow server give
//! no candidates, and never a frozen line.

use std::time::Duration;

use rookeeper_client::Client;

use crate::commands;
use crate::words;

/// How long the editor waits for children.
pub const PATIENCE: Duration = Duration::from_millis(400);
/// Nodes with more children are not listed.
const MOST_CHILDREN: i32 = 20_000;

/// What the last word before the cursor asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Names of commands.
    Command(&'a str),
    /// Options of a command.
    Option(&'a str, &'a str),
    /// Children of the first path whose names begin with the second text.
    Child(&'a str, &'a str),
    /// Nothing is known.
    Nothing,
}

impl<'a> Wanted<'a> {
    /// Looks at a line up to the cursor.
    #[must_use]
    pub fn of(line: &'a str) -> Self {
        let start = line.rfind(words::is_blank).map_or(0, |at| at + 1);
        let (before, word) = line.split_at(start);
        let word = word.trim_start_matches(['"', '\'']);
        let first = before.split_whitespace().next();
        match (first, word.rsplit_once('/')) {
            (_, Some(("", name))) if word.starts_with('/') => Wanted::Child("/", name),
            (_, Some((parent, name))) if word.starts_with('/') => Wanted::Child(parent, name),
            (None, _) => Wanted::Command(word),
            (Some(command), _) if word.starts_with('-') => Wanted::Option(command, word),
            _ => Wanted::Nothing,
        }
    }

    /// How many bytes before the cursor a candidate replaces.
    #[must_use]
    pub const fn typed(&self) -> usize {
        match self {
            Self::Command(word) | Self::Option(_, word) | Self::Child(_, word) => word.len(),
            Self::Nothing => 0,
        }
    }

    /// The candidates, sorted; `children` gives the names below a path.
    #[must_use]
    pub fn candidates(&self, children: impl FnOnce(&str) -> Vec<String>) -> Vec<String> {
        let mut found: Vec<String> = match self {
            Self::Command(word) => commands::listed()
                .map(|command| command.name.to_owned())
                .filter(|name| name.starts_with(word))
                .collect(),
            Self::Option(command, word) => commands::find(command)
                .into_iter()
                .flat_map(|command| command.options)
                .map(|flag| format!("-{}", flag.name))
                .filter(|name| name.starts_with(word))
                .collect(),
            Self::Child(parent, name) => children(parent)
                .into_iter()
                .filter(|child| child.starts_with(name))
                .collect(),
            Self::Nothing => Vec::new(),
        };
        found.sort_unstable();
        found
    }
}

/// The names below a path, if they come in time and are not too many.
pub async fn children(client: Option<Client>, parent: String) -> Vec<String> {
    let asked = async {
        let client = client?;
        let stat = client.exists(&parent).await.ok()??;
        if stat.num_children > MOST_CHILDREN {
            return None;
        }
        Some(client.children(&parent).await.ok()?.names)
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    answer.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_says_what_is_wanted() {
        for (line, wanted) in [
            ("", Wanted::Command("")),
            ("cre", Wanted::Command("cre")),
            ("ls /zoo", Wanted::Child("/", "zoo")),
            ("ls /a/b/", Wanted::Child("/a/b", "")),
            ("ls \"/m", Wanted::Child("/", "m")),
            ("get -", Wanted::Option("get", "-")),
            ("set /a va", Wanted::Nothing),
            ("/", Wanted::Child("/", "")),
        ] {
            assert_eq!(Wanted::of(line), wanted, "{line}");
        }
    }

    #[test]
    fn candidates_begin_with_what_was_typed() {
        let none = |_: &str| Vec::new();
        assert_eq!(
            Wanted::of("ge").candidates(none),
            ["get", "getAcl", "getAllChildrenNumber", "getEphemerals"]
        );
        assert_eq!(Wanted::of("crea").candidates(none), ["create"]);
        let children = |parent: &str| {
            assert_eq!(parent, "/");
            vec!["m2".to_owned(), "m1".to_owned(), "zookeeper".to_owned()]
        };
        assert_eq!(Wanted::of("ls /m").candidates(children), ["m1", "m2"]);
        assert_eq!(Wanted::of("reconfig -m").candidates(none), ["-members"]);
    }
}
