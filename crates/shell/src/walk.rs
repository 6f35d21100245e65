//! Everything below a node, one after the other: a node before its children, children sorted by name.
//!
//! The next siblings are asked for while the first one is being looked at, so that a walk waits for the network once for many nodes.
//! What is deleted meanwhile is passed over. What may not be read is told and passed over, and the walk ends with an error.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use rookeeper_client::{Children, Client, Error, Watch};
use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::stat::Stat;

use crate::failure::{At, Failure};
use crate::path_text;
use crate::shell::Shell;

/// Siblings asked for ahead.
const AHEAD: usize = 64;

/// A node that the walk has come to.
#[derive(Debug)]
pub struct Visited {
    /// Where.
    pub path: String,
    /// Steps below the root of the walk.
    pub depth: usize,
    /// True when no sibling follows.
    pub is_last: bool,
    /// Names of its children, sorted.
    pub children: Vec<String>,
    /// Its stat.
    pub stat: Stat,
    /// A watch on its children, if the walk sets them.
    pub watch: Option<Watch>,
}

type Asked = Pin<Box<dyn Future<Output = Result<(Children, Option<Watch>), Error>> + Send>>;

/// Siblings that are still to be visited.
struct Level {
    parent: Option<String>,
    names: std::vec::IntoIter<String>,
    asked: VecDeque<(String, Asked)>,
}

/// A walk under way.
pub struct Walk {
    client: Client,
    watches: bool,
    levels: Vec<Level>,
    was_refused: bool,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").finish_non_exhaustive()
    }
}

impl Walk {
    /// A walk from `root`; if it `watches`, a watch is set on the children of every node.
    #[must_use]
    pub fn new(client: &Client, root: &str, watches: bool) -> Self {
        let mut walk = Self {
            client: client.clone(),
            watches,
            levels: Vec::new(),
            was_refused: false,
        };
        let asked = VecDeque::from([(root.to_owned(), walk.ask(root))]);
        walk.levels.push(Level {
            parent: None,
            names: Vec::new().into_iter(),
            asked,
        });
        walk
    }

    /// The next node; none when the walk is over. A root that cannot be read is an error.
    pub async fn next(&mut self, shell: &Shell) -> Result<Option<Visited>, Failure> {
        loop {
            shell.check()?;
            let Some((path, asked)) = self.step() else {
                return Ok(None);
            };
            let depth = self.levels.len() - 1;
            match asked.await {
                Ok((children, watch)) => return Ok(Some(self.visit(path, depth, children, watch))),
                Err(error) if depth > 0 && error.is_no_node() => {}
                Err(error) if depth > 0 && error.code() == Some(ErrorCode::NoAuth) => {
                    self.was_refused = true;
                    let told = Err::<(), _>(error).at(&path);
                    told.unwrap_or_else(|failure| shell.err(&failure.to_string()));
                }
                Err(error) => return Err(error).at(&path),
            }
        }
    }

    /// Passes over what is below the node visited last.
    pub fn skip_below(&mut self, node: &Visited) {
        if !node.children.is_empty() {
            self.levels.pop();
        }
    }

    /// Whether something was passed over that may not be read; that has been told.
    #[must_use]
    pub const fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// How the walk went: an error if something was passed over that the user should know of, which has been told.
    pub fn finish(self, shell: &Shell) -> Result<(), Failure> {
        shell.check()?;
        match self.was_refused {
            true => Err(Failure::Told),
            false => Ok(()),
        }
    }

    /// The next node that was asked for; asks for more of its siblings.
    fn step(&mut self) -> Option<(String, Asked)> {
        loop {
            let mut level = self.levels.pop()?;
            while level.asked.len() < AHEAD
                && let Some(name) = level.names.next()
            {
                let parent = level.parent.as_deref().unwrap_or("/");
                let path = path_text::child(parent, &name);
                let asked = self.ask(&path);
                level.asked.push_back((path, asked));
            }
            if let Some(next) = level.asked.pop_front() {
                self.levels.push(level);
                return Some(next);
            }
        }
    }

    fn visit(
        &mut self,
        path: String,
        depth: usize,
        children: Children,
        watch: Option<Watch>,
    ) -> Visited {
        let Children {
            mut names, stat, ..
        } = children;
        names.sort_unstable();
        let is_last = self
            .levels
            .last()
            .is_none_or(|level| level.asked.is_empty() && level.names.len() == 0);
        if !names.is_empty() {
            self.levels.push(Level {
                parent: Some(path.clone()),
                names: names.clone().into_iter(),
                asked: VecDeque::new(),
            });
        }
        Visited {
            path,
            depth,
            is_last,
            children: names,
            stat,
            watch,
        }
    }

    /// The request is sent here; the future only waits.
    fn ask(&self, path: &str) -> Asked {
        if self.watches {
            let call = self.client.children_watched(path);
            Box::pin(async move { call.await.map(|(children, watch)| (children, Some(watch))) })
        } else {
            let call = self.client.children(path);
            Box::pin(async move { call.await.map(|children| (children, None)) })
        }
    }
}
