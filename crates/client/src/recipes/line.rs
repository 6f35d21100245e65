//! Waiting in line: who is ahead of a place, and the wait until nobody is.
//!
//! The children of one znode are a line, in the order of the text behind the last word that stands before the numbers (`lock-`), or of
//! the whole name where there is no such word: Curator's order. Whoever waits watches the nearest one ahead and nobody else, so each
//! release wakes one waiter.
//!
//! What lives here: [`Rule`], [`Line`], and [`Waiting`], a place in one. What does not: what it means to be the first.
//!
//! **Who saves a look.** When the only one ahead goes, the waiter is the first; it need not read the line again if nobody can have come
//! between (the rule says so), if its own znode is still there, and if it has not missed anything. The first is a matter of the recipe.
//! For the second it watches its own znode too: both watches are at one server, which tells of deletions in their order. The third
//! holds if the event has a zxid: one that a reconnect brings has none, and servers before 3.9 never tell it; then the line is read.
//! Whoever had several ahead reads the line once when the nearest one goes, since that may have given up and left others ahead. So
//! among many waiters a hand-over costs a deletion, an event and a read; those that are not next watch one znode only, and learn that
//! somebody has removed their own when their turn comes.
//! (A znode that somebody makes by hand, with a number that has passed, is seen by those who look later.)
//!
//! **A limit of the layout.** The numbers are those of the server, of 31 bits: after 2,147,483,648 places under one parent they turn
//! negative, and the order is lost. A parent that is a container starts anew whenever its line was empty for some time.

use std::future::pending;

use bytes::Bytes;

use super::place::Place;
use super::protected::join;
use crate::{Children, Client, Error, Event, EventType, Retry, Watch};

/// How a line is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// What stands before the numbers.
    pub(crate) words: &'static [&'static str],
    /// Whether one who is ahead is waited for, by name.
    pub(crate) blocks: fn(&str) -> bool,
    /// Nobody ever gets a place ahead of one that is taken.
    pub(crate) closed: bool,
}

/// Those that are waited for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ahead<'a> {
    /// The last of them.
    pub(crate) nearest: &'a str,
    pub(crate) count: usize,
}

impl Rule {
    /// By what a name is ordered.
    pub(crate) fn key<'a>(&self, name: &'a str) -> &'a str {
        // As the server writes them, and much faster to see than to search.
        let front = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = name.strip_prefix(front).unwrap_or(name);
        if self.words.iter().any(|word| front.ends_with(word)) {
            return number;
        }
        let behind = |word: &&str| name.rsplit_once(*word).map(|(_, number)| number);
        self.words.iter().find_map(behind).unwrap_or(name)
    }

    /// The names in their order.
    pub(crate) fn sorted(&self, mut names: Vec<String>) -> Vec<String> {
        names.sort_by(|a, b| (self.key(a), a).cmp(&(self.key(b), b)));
        names
    }

    /// Who is ahead of `own`, and waited for.
    pub(crate) fn ahead<'a>(&self, names: &'a [String], own: &str) -> Option<Ahead<'a>> {
        let place = (self.key(own), own);
        let (mut last, mut count) = (None, 0);
        for name in names.iter().map(String::as_str) {
            let other = (self.key(name), name);
            if other < place && (self.blocks)(name) {
                last = last.max(Some(other));
                count += 1;
            }
        }
        last.map(|(_, nearest)| Ahead { nearest, count })
    }
}

/// The children of one znode, and how places among them are taken.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    client: Client,
    parent: String,
    /// What stands before the number of a place that is taken here.
    word: &'static str,
    rule: Rule,
}

impl Line {
    pub(crate) fn new(client: &Client, parent: &str, word: &'static str, rule: Rule) -> Self {
        Self {
            client: client.clone(),
            parent: parent.to_owned(),
            word,
            rule,
        }
    }

    /// Takes a place at the end.
    pub(crate) async fn join(&self, data: Bytes) -> Result<Waiting, Error> {
        let (place, seen) = Place::take(&self.client, &self.parent, self.word, data).await?;
        let rule = self.rule;
        Ok(Waiting { place, rule, seen })
    }

    /// Takes a place at the end and waits for its turn. Whose znode is removed by somebody goes to the end again.
    pub(crate) async fn wait(&self, data: &Bytes) -> Result<Place, Error> {
        loop {
            let mut waiting = self.join(data.clone()).await?;
            match waiting.turn().await {
                Err(error) if error.is_no_node() => {}
                turn => return turn.map(|()| waiting.into_place()),
            }
        }
    }

    /// Takes a place and keeps it if its turn is now.
    pub(crate) async fn try_now(&self, data: &Bytes) -> Result<Option<Place>, Error> {
        let mut waiting = self.join(data.clone()).await?;
        match waiting.is_first().await {
            Ok(true) => return Ok(Some(waiting.into_place())),
            Err(error) if !error.is_no_node() => return Err(error),
            _ => {}
        }
        waiting.into_place().give_up().await?;
        Ok(None)
    }

    /// What those in line have written into their znodes, in their order.
    pub(crate) async fn data(&self) -> Result<Vec<Bytes>, Error> {
        let retry = Retry::forever().idempotent();
        let mut all = Vec::new();
        for name in self.names().await? {
            let path = join(&self.parent, &name);
            match retry.run(|| self.client.data(&path)).await {
                Ok(data) => all.push(data.bytes),
                // It has left meanwhile.
                Err(error) if error.is_no_node() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// The names in their order; none where there is no such znode.
    async fn names(&self) -> Result<Vec<String>, Error> {
        let retry = Retry::forever().idempotent();
        match retry.run(|| self.client.children(&self.parent)).await {
            Ok(children) => Ok(self.rule.sorted(children.names)),
            Err(error) if error.is_no_node() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A place in a line.
#[derive(Debug)]
pub(crate) struct Waiting {
    place: Place,
    rule: Rule,
    /// The line as it was when the place was taken, until it was looked at.
    seen: Option<Children>,
}

impl Waiting {
    /// The place, wherever it is in the line.
    pub(crate) fn into_place(self) -> Place {
        self.place
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it is this one's turn now. `NoNode` says that somebody has removed its znode.
    pub(crate) async fn is_first(&mut self) -> Result<bool, Error> {
        let names = self.names().await?;
        Ok(self.rule.ahead(&names, self.place.name()).is_none())
    }

    /// Waits for its turn. `NoNode` says that somebody has removed its znode; other errors say that the session ended.
    pub(crate) async fn turn(&mut self) -> Result<(), Error> {
        loop {
            let names = self.names().await?;
            let Some(ahead) = self.rule.ahead(&names, self.place.name()) else {
                return Ok(());
            };
            let nearest = join(self.place.parent(), ahead.nearest);
            let is_next = ahead.count == 1 && self.rule.closed;
            let went = self.wait_for(&nearest, is_next).await?;
            if went == Went::Seen && is_next {
                return Ok(());
            }
        }
    }

    /// The line, with the own place in it.
    async fn names(&mut self) -> Result<Vec<String>, Error> {
        let children = match self.seen.take() {
            Some(children) => children,
            None => {
                let (client, parent) = (self.place.client(), self.place.parent());
                let retry = Retry::forever().idempotent();
                retry.run(|| client.children(parent)).await?
            }
        };
        if children.names.iter().any(|name| name == self.place.name()) {
            Ok(children.names)
        } else {
            Err(self.place.removed_error())
        }
    }

    /// Waits until something happens to the one at `path`. Whoever is next watches its own znode too.
    async fn wait_for(&mut self, path: &str, is_next: bool) -> Result<Went, Error> {
        let client = self.place.client().clone();
        let own_path = self.place.path().to_owned();
        // Asked first, so that it is watched before the other one.
        let own = is_next && self.place.watch.is_none();
        let own = own.then(|| client.data_watched(&own_path));
        let retry = Retry::forever().idempotent();
        let other = match retry.run(|| client.data_watched(path)).await {
            Ok((_, watch)) => watch,
            Err(error) if error.is_no_node() => return Ok(Went::Unseen),
            Err(error) => return Err(error),
        };
        if let Some(own) = own {
            self.place.watch = own.await.ok().map(|(_, watch)| watch);
        }
        tokio::select! {
            biased;
            event = some(&mut self.place.watch) => {
                self.place.watch = None;
                match event {
                    Ok(event) if event.kind == EventType::NodeDeleted => Err(self.place.removed_error()),
                    other => other.map(|_| Went::Unseen).or_else(again),
                }
            }
            event = other => match event {
                Ok(event) if self.place.watch.is_some() && is_seen(&event) => Ok(Went::Seen),
                other => other.map(|_| Went::Unseen).or_else(again),
            },
        }
    }
}

/// What a waiter knows of the one that it waited for.
#[derive(Debug, PartialEq, Eq)]
enum Went {
    /// It went, and everything before that was seen.
    Seen,
    /// Something happened.
    Unseen,
}

/// A deletion that came when it happened.
fn is_seen(event: &Event) -> bool {
    event.kind == EventType::NodeDeleted && event.zxid.0 > 0
}

/// A watch that was removed says nothing; other errors say that the session ended.
fn again(error: Error) -> Result<Went, Error> {
    match error {
        Error::WatchRemoved => Ok(Went::Unseen),
        error => Err(error),
    }
}

async fn some(watch: &mut Option<Watch>) -> Result<Event, Error> {
    match watch {
        Some(watch) => watch.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Rule = Rule {
        words: &["lock-"],
        blocks: |_| true,
        closed: true,
    };
    const READER: Rule = Rule {
        words: &["__READ__", "__WRIT__"],
        blocks: |name| name.contains("__WRIT__"),
        closed: false,
    };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_text_behind_the_last_word_is_the_order() {
        let line = names(&[
            "_c_z-lock-0000000003",
            "lock-0000000001",
            "junk",
            "_c_lock-lock-0000000002",
        ]);
        let sorted = [
            "lock-0000000001",
            "_c_lock-lock-0000000002",
            "_c_z-lock-0000000003",
            "junk",
        ];
        assert_eq!(ALL.sorted(line), sorted);
    }

    #[test]
    fn the_nearest_one_ahead_is_watched() {
        let line = names(&["lock-3", "lock-1", "lock-2", "junk"]);
        assert_eq!(ALL.ahead(&line, "lock-1"), None);
        let ahead = Ahead {
            nearest: "lock-2",
            count: 2,
        };
        assert_eq!(ALL.ahead(&line, "lock-3"), Some(ahead));
    }

    #[test]
    fn a_reader_waits_for_writers_only() {
        let line = names(&[
            "a-__READ__1",
            "b-__WRIT__2",
            "c-__READ__3",
            "d-__WRIT__4",
            "e-__READ__5",
        ]);
        assert_eq!(READER.ahead(&line, "a-__READ__1"), None);
        let ahead = Ahead {
            nearest: "d-__WRIT__4",
            count: 2,
        };
        assert_eq!(READER.ahead(&line, "e-__READ__5"), Some(ahead));
    }
}
