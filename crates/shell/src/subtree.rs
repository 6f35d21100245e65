//! A node and everything below it as records: what `cp`, `mv`, `export` and `import` pass on.
//!
//! A record has data, ACL and kind. Servers tell clients which nodes are ephemeral, and nothing about containers and times to live:
//! those are read as persistent.

use std::collections::VecDeque;

use rookeeper_client::{Client, Data, Error};
use rookeeper_proto::acl::Acl;
use rookeeper_proto::stat::Stat;
use thiserror::Error;

use crate::failure::{At, Failure};
use crate::path_text;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::walk::Walk;

/// Nodes that are read ahead.
const AHEAD: usize = 64;
/// Where a server keeps quotas and its configuration.
const OF_SERVER: &str = "/zookeeper";

/// What keeps a node alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it stays.
    Persistent,
    /// The session that made it.
    Ephemeral,
    /// Its children.
    Container,
    /// Its last change, for so many ms.
    Ttl(u64),
}

/// A node, as it is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Below the root of the subtree: empty for the root itself, else beginning with a slash.
    pub path: String,
    /// Null or bytes.
    pub data: Option<Vec<u8>>,
    /// Who may do what.
    pub acl: Vec<Acl>,
    /// What keeps it alive.
    pub kind: Kind,
    /// The version of its data when they were read; 0 for a record from a file.
    pub version: i32,
    /// How many children were ever made below it, if that is more than there are now.
    pub children_made: Option<i64>,
}

impl Record {
    /// The path of this node in a subtree whose root is `root`.
    #[must_use]
    pub fn path_in(&self, root: &str) -> String {
        match self.path.strip_prefix('/') {
            None => root.to_owned(),
            Some(below) => path_text::child(root, below),
        }
    }

    /// About how many bytes of a request this node takes.
    #[must_use]
    pub fn weight(&self, root: &str) -> usize {
        /// Type, lengths, flags.
        const FRAME: usize = 64;
        let ids = self
            .acl
            .iter()
            .map(|entry| entry.who.scheme.len() + entry.who.id.len() + 12);
        let data = self.data.as_ref().map_or(0, Vec::len);
        FRAME + root.len() + self.path.len() + data + ids.sum::<usize>()
    }
}

/// Servers hide the hashes of passwords from sessions that may not change the ACL.
#[derive(Debug, Error)]
#[error("{0}: its ACL is hidden from this session; addauth first")]
struct HiddenAcl(String);

/// How much of a subtree was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Extent {
    /// Everything.
    Whole,
    /// Not what may not be read, which has been told.
    Part,
}

impl Extent {
    /// An error if anything is missing.
    pub const fn whole(self) -> Result<(), Failure> {
        match self {
            Self::Whole => Ok(()),
            Self::Part => Err(Failure::Told),
        }
    }
}

type Reading = Result<(Data, (Vec<Acl>, Stat)), Error>;
type Pending = std::pin::Pin<Box<dyn Future<Output = Reading> + Send>>;

/// Reads the subtree at `root`, parents first, and hands each record to `take`. With `only_root` nothing below it.
///
/// Nodes that may not be read are told and passed over. What the server keeps below its root is left out, unless the subtree begins
/// there: it cannot be written back. An error means that reading ended before the end.
pub async fn read(
    shell: &Shell,
    client: &Client,
    root: &str,
    only_root: bool,
    mut take: impl FnMut(Record) -> Result<(), Failure>,
) -> Result<Extent, Failure> {
    let mut progress = Progress::new(shell.console(), "nodes read");
    let mut walk = Walk::new(client, root, false);
    let mut pending: VecDeque<(String, Pending)> = VecDeque::new();
    let mut extent = Extent::Whole;
    let mut is_walking = true;
    while is_walking || !pending.is_empty() {
        if is_walking && pending.len() < AHEAD {
            match walk.next(shell).await? {
                None => is_walking = false,
                Some(node) if node.depth == 1 && is_of_server(client, &node.path) => {
                    walk.skip_below(&node);
                    shell.note(&format!(
                        "{} belongs to the server and is left out",
                        node.path
                    ));
                }
                Some(node) => {
                    is_walking = !only_root;
                    let asked = ask(client, &node.path);
                    pending.push_back((node.path, asked));
                }
            }
            continue;
        }
        let Some((path, asked)) = pending.pop_front() else {
            break;
        };
        match record(root, &path, asked.await) {
            Ok(Some(record)) => take(record)?,
            Ok(None) => {}
            Err(failure @ (Failure::Own(_) | Failure::Client { .. }))
                if failure.code().is_some() || matches!(failure, Failure::Own(_)) =>
            {
                shell.err(&failure.to_string());
                extent = Extent::Part;
            }
            Err(failure) => return Err(failure),
        }
        progress.add(1);
    }
    if walk.was_refused() {
        extent = Extent::Part;
    }
    Ok(extent)
}

/// Whether this is the root of what a server keeps for itself.
fn is_of_server(client: &Client, path: &str) -> bool {
    path_text::moved(path, "/", client.root()).is_some_and(|full| full == OF_SERVER)
}

/// Both requests are sent here.
fn ask(client: &Client, path: &str) -> Pending {
    let (data, acl) = (client.data(path), client.acl(path));
    Box::pin(async move { Ok((data.await?, acl.await?)) })
}

/// The record of a node; none if it is gone.
fn record(root: &str, path: &str, reading: Reading) -> Result<Option<Record>, Failure> {
    let (data, (acl, _)) = match reading {
        Err(error) if error.is_no_node() && path != root => return Ok(None),
        reading => reading.at(path)?,
    };
    let is_hidden = |entry: &Acl| entry.who.scheme == "digest" && entry.who.id.ends_with(":x");
    if acl.iter().any(is_hidden) {
        return Err(Failure::own(HiddenAcl(path.to_owned())));
    }
    let below = path_text::moved(path, root, "/").unwrap_or_default();
    let kind = match data.stat.ephemeral_owner {
        0 => Kind::Persistent,
        _ => Kind::Ephemeral,
    };
    Ok(Some(Record {
        path: if below == "/" { String::new() } else { below },
        data: (!data.is_null).then(|| data.bytes.to_vec()),
        acl,
        kind,
        version: data.stat.version,
        children_made: children_made(&data.stat),
    }))
}

/// The cversion that servers show counts children that came and children that went.
fn children_made(stat: &Stat) -> Option<i64> {
    let (changes, there) = (i64::from(stat.cversion), i64::from(stat.num_children));
    let made = (changes + there) / 2;
    (made > there).then_some(made)
}
