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
    /// Children of a path.
    Child(Child<'a>),
    /// Nothing is known.
    Nothing,
}

/// A path whose end is being typed.
#[derive(Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// The quote before it, if there is one.
    pub quote: Option<char>,
    /// What is before its last slash; nothing for children of the root.
    pub parent: &'a str,
    /// What is behind it.
    pub name: &'a str,
}

/// What may stand in place of what was typed.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    /// As it is listed.
    pub shown: String,
    /// As it goes into the line.
    pub text: String,
}

impl<'a> Wanted<'a> {
    /// Looks at a line up to the cursor.
    #[must_use]
    pub fn of(line: &'a str) -> Self {
        let (before, quote, word) = words::last(line);
        let first = before.split_whitespace().next();
        match (first, word.rsplit_once('/')) {
            (_, Some((parent, name))) if word.starts_with('/') => Wanted::Child(Child {
                quote,
                parent,
                name,
            }),
            (None | Some("help"), _) => Wanted::Command(word),
            (Some(command), _) if word.starts_with('-') => Wanted::Option(command, word),
            _ => Wanted::Nothing,
        }
    }

    /// How many bytes before the cursor a candidate replaces: all of the word, with its quote.
    #[must_use]
    pub fn typed(&self) -> usize {
        match self {
            Self::Command(word) | Self::Option(_, word) => word.len(),
            Self::Child(child) => {
                let quote = child.quote.map_or(0, char::len_utf8);
                quote + child.parent.len() + "/".len() + child.name.len()
            }
            Self::Nothing => 0,
        }
    }

    /// The candidates, sorted; `children` gives the names below a path. An only one is complete, with a blank behind it.
    #[must_use]
    pub fn candidates(&self, children: impl FnOnce(&str) -> Vec<String>) -> Vec<Candidate> {
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
            Self::Child(child) => return child.candidates(children(child.parent())),
            Self::Nothing => Vec::new(),
        };
        found.sort_unstable();
        let end = if found.len() == 1 { " " } else { "" };
        let candidate = |shown: String| Candidate {
            text: format!("{shown}{end}"),
            shown,
        };
        found.into_iter().map(candidate).collect()
    }
}

impl Child<'_> {
    fn parent(&self) -> &str {
        match self.parent {
            "" => "/",
            parent => parent,
        }
    }

    fn candidates(&self, names: Vec<String>) -> Vec<Candidate> {
        let mut names: Vec<String> = names
            .into_iter()
            .filter(|name| name.starts_with(self.name))
            .collect();
        names.sort_unstable();
        let paths: Vec<String> = names
            .iter()
            .map(|name| format!("{}/{name}", self.parent))
            .collect();
        // What they have in common goes into the line.
        let needs_quote = common(&paths).contains(words::is_blank);
        let quote = self
            .quote
            .or_else(|| needs_quote.then(|| free_quote(&paths)));
        let is_only = names.len() == 1;
        let text = |path: String| match (quote, is_only) {
            (None, true) => format!("{path} "),
            (None, false) => path,
            (Some(quote), true) => format!("{quote}{path}{quote} "),
            (Some(quote), false) => format!("{quote}{path}"),
        };
        // There are no escapes: what has the quote itself cannot be said.
        names
            .into_iter()
            .zip(paths)
            .filter(|(_, path)| !quote.is_some_and(|quote| path.contains(quote)))
            .map(|(shown, path)| Candidate {
                shown,
                text: text(path),
            })
            .collect()
    }
}

/// What all of them begin with.
fn common(paths: &[String]) -> &str {
    let Some((first, others)) = paths.split_first() else {
        return "";
    };
    let ends = first.char_indices().map(|(at, _)| at).rev();
    let shorter = ends.filter_map(|at| first.get(..at));
    let mut candidates = std::iter::once(first.as_str()).chain(shorter);
    candidates
        .find(|begin| others.iter().all(|other| other.starts_with(begin)))
        .unwrap_or_default()
}

/// A quote that is not in the paths, if there is one.
fn free_quote(paths: &[String]) -> char {
    match paths.iter().any(|path| path.contains('"')) {
        true => '\'',
        false => '"',
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

    const fn child<'a>(quote: Option<char>, parent: &'a str, name: &'a str) -> Wanted<'a> {
        Wanted::Child(Child {
            quote,
            parent,
            name,
        })
    }

    #[test]
    fn the_last_word_says_what_is_wanted() {
        for (line, wanted) in [
            ("", Wanted::Command("")),
            ("cre", Wanted::Command("cre")),
            ("help ge", Wanted::Command("ge")),
            ("ls /zoo", child(None, "", "zoo")),
            ("ls /a/b/", child(None, "/a/b", "")),
            ("ls \"/m", child(Some('"'), "", "m")),
            ("ls '/two w", child(Some('\''), "", "two w")),
            ("ls \"/a b\" /c", child(None, "", "c")),
            ("get -", Wanted::Option("get", "-")),
            ("set /a va", Wanted::Nothing),
            ("/", child(None, "", "")),
        ] {
            assert_eq!(Wanted::of(line), wanted, "{line}");
        }
    }

    /// The line that TAB makes of this one if there is nothing to choose from, else what may go into it.
    fn tab(line: &str, children: &[&str]) -> Vec<String> {
        let wanted = Wanted::of(line);
        let kept = &line[..line.len() - wanted.typed()];
        let names = |_: &str| children.iter().map(|name| (*name).to_owned()).collect();
        let found = wanted.candidates(names);
        let text = |candidate: Candidate| format!("{kept}{}", candidate.text);
        found.into_iter().map(text).collect()
    }

    #[test]
    fn candidates_begin_with_what_was_typed() {
        let shown = |line: &str| {
            let found = Wanted::of(line).candidates(|_| Vec::new());
            let shown = found.into_iter().map(|candidate| candidate.shown);
            shown.collect::<Vec<_>>()
        };
        let all = ["get", "getAcl", "getAllChildrenNumber", "getEphemerals"];
        assert_eq!(shown("ge"), all);
        assert_eq!(shown("help ge"), all);
        assert_eq!(tab("crea", &[]), ["create "]);
        let children = ["m2", "m1", "zookeeper"];
        assert_eq!(tab("ls /m", &children), ["ls /m1", "ls /m2"]);
        assert_eq!(tab("ls /z", &children), ["ls /zookeeper "]);
        assert_eq!(tab("ls /a/z", &children), ["ls /a/zookeeper "]);
        assert_eq!(tab("reconfig -m", &[]), ["reconfig -members "]);
    }

    #[test]
    fn a_completed_line_means_what_was_completed() {
        for (line, children, completed) in [
            ("ls /t", &["two words"][..], "ls \"/two words\" "),
            ("ls \"/two w", &["two words"], "ls \"/two words\" "),
            ("ls '/t", &["two words"], "ls '/two words' "),
            ("ls /a/t", &["two \"words\""], "ls '/a/two \"words\"' "),
            ("ls \"/t", &["two"], "ls \"/two\" "),
        ] {
            assert_eq!(tab(line, children), [completed], "{line}");
            let name = format!("/{}", children[0]);
            assert!(words::split(completed)[1].ends_with(&name), "{line}");
        }
        assert_eq!(
            tab("ls /t", &["two b", "two a"]),
            ["ls \"/two a", "ls \"/two b"]
        );
        assert_eq!(tab("ls /t", &["two a", "ten"]), ["ls /ten", "ls /two a"]);
        // Nothing can be typed that means this.
        assert_eq!(tab("ls /x", &["x '\" y"]), [""; 0]);
    }
}
