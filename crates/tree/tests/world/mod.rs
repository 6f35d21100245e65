//! A second, naive tree: a map from path to znode, everything recomputed from it, written from the specification and not from
//! the crate. It judges and applies in one step, so it *is* the tree after everything in flight.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail this way, also outside of test functions"
)]

pub(crate) mod history;
pub(crate) mod requests;
mod turn;

use std::collections::{BTreeMap, BTreeSet};

use rookeeper_proto::acl::Acl;
use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::request::Write;
use rookeeper_proto::stat::{Stat, StatPersisted};
use rookeeper_tree::apply::{Change, ChangeKind, Outcome};
use rookeeper_tree::tree::{Tree, View};

pub(crate) use requests::Who;

/// A znode; `next` is the number that the next sequential child gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) stat: StatPersisted,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: Vec<Acl>,
    pub(crate) next: i32,
}

/// What a watcher might hear: kind, path, ACL of the znode and of its parent (empty: open to everybody).
pub(crate) type Event = (ChangeKind, String, Vec<Acl>, Vec<Acl>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Laws {
    pub(crate) extended_types: bool,
    pub(crate) enforce_quota: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) zxid: Zxid,
    pub(crate) time: i64,
    pub(crate) session: SessionId,
    pub(crate) who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) sessions: BTreeMap<SessionId, i32>,
    pub(crate) quotas: BTreeSet<String>,
}

type Judged<T> = Result<T, ErrorCode>;
const OPEN: i32 = 31;

fn open_acl() -> Vec<Acl> {
    vec![Acl::new(OPEN, "world", "anyone")]
}

impl World {
    pub(crate) fn empty() -> Self {
        let node = |acl: Vec<Acl>, aversion| Node {
            stat: StatPersisted {
                aversion,
                ..StatPersisted::default()
            },
            data: Some(Vec::new()),
            acl,
            next: 0,
        };
        let reader = vec![Acl::new(1, "world", "anyone")];
        let nodes = [
            ("/".to_owned(), node(open_acl(), 0)),
            ("/zookeeper".to_owned(), node(open_acl(), 0)),
            ("/zookeeper/quota".to_owned(), node(open_acl(), 0)),
            ("/zookeeper/config".to_owned(), node(reader, -1)),
        ];
        Self {
            nodes: nodes.into(),
            sessions: BTreeMap::new(),
            quotas: BTreeSet::new(),
        }
    }

    // What can be seen.

    pub(crate) fn children(&self, path: &str) -> BTreeSet<String> {
        let parent = if path == "/" { "" } else { path };
        let below = self
            .nodes
            .keys()
            .filter_map(|p| p.strip_prefix(parent)?.strip_prefix('/'));
        below
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .map(Into::into)
            .collect()
    }

    pub(crate) fn descendants(&self, path: &str) -> usize {
        let prefix = if path == "/" {
            "/".to_owned()
        } else {
            format!("{path}/")
        };
        self.nodes
            .keys()
            .filter(|p| p.len() > prefix.len() && p.starts_with(&prefix))
            .count()
    }

    pub(crate) fn ephemerals(&self, session: SessionId, laws: Laws) -> BTreeSet<String> {
        let own =
            |node: &Node| node.stat.ephemeral_owner == session.0 && !self.is_special(node, laws);
        self.nodes
            .iter()
            .filter(|(_, node)| own(node))
            .map(|(p, _)| p.clone())
            .collect()
    }

    fn is_special(&self, node: &Node, laws: Laws) -> bool {
        let owner = node.stat.ephemeral_owner;
        owner == i64::MIN || (laws.extended_types && (owner as u64) >> 40 == 0xff_0000)
    }

    pub(crate) fn stat(&self, path: &str, laws: Laws) -> Stat {
        let node = &self.nodes[path];
        let children = self.children(path).len() as i32;
        let owner = if self.is_special(node, laws) {
            0
        } else {
            node.stat.ephemeral_owner
        };
        let p = node.stat;
        Stat {
            czxid: p.czxid,
            mzxid: p.mzxid,
            ctime: p.ctime,
            mtime: p.mtime,
            version: p.version,
            cversion: p.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: p.aversion,
            ephemeral_owner: owner,
            data_length: node.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: children,
            pzxid: p.pzxid,
        }
    }

    /// Disk formats 4.4, from scratch.
    pub(crate) fn digest(&self) -> i64 {
        let one = |(path, node): (&String, &Node)| {
            if path.starts_with("/zookeeper/") {
                return 0;
            }
            let mut bytes = if path == "/" {
                Vec::new()
            } else {
                path.clone().into_bytes()
            };
            bytes.extend(node.data.iter().flatten());
            let s = node.stat;
            for long in [s.czxid.0, s.mzxid.0, s.pzxid.0, s.ctime, s.mtime] {
                bytes.extend(long.to_be_bytes());
            }
            for int in [s.version, s.cversion, s.aversion] {
                bytes.extend(int.to_be_bytes());
            }
            bytes.extend(s.ephemeral_owner.to_be_bytes());
            u64::from(crc32fast::hash(&bytes))
        };
        self.nodes.iter().map(one).fold(0u64, u64::wrapping_add) as i64
    }

    // Judging and applying in one.

    pub(crate) fn write(
        &mut self,
        laws: Laws,
        committed: &Self,
        at: At,
        write: &Write,
        events: &mut Vec<Event>,
    ) -> Judged<Outcome> {
        let mut turn = turn::Turn {
            world: self,
            committed,
            laws,
            at,
            events,
        };
        match write {
            Write::Create(create) => {
                let kind = turn.kind(create, false)?;
                turn.create(create, kind)
            }
            Write::Delete(delete) => turn.delete(delete),
            Write::SetData(set) => turn.set_data(set),
            Write::SetAcl(set) => turn.set_acl(set),
            Write::Multi(ops) => turn.multi(ops),
            Write::BrokenMulti => Err(ErrorCode::MarshallingError),
            Write::Reconfig(_) => Err(ErrorCode::ReconfigDisabled),
            Write::CloseSession => {
                turn.close_session();
                Ok(Outcome::Done)
            }
            Write::DeleteContainer(path) => turn.reap(path),
        }
    }
}

// Comparing.

/// Every field of every znode, and everything that is derived from them.
#[track_caller]
pub(crate) fn assert_same(tree: &Tree, world: &World, laws: Laws) {
    let paths: BTreeSet<String> = tree.iter().map(View::path).collect();
    assert_eq!(paths, world.nodes.keys().cloned().collect());
    assert_eq!(tree.node_count(), world.nodes.len());
    for (path, node) in &world.nodes {
        let view = tree.get(path).unwrap();
        assert_eq!(view.persisted(), node.stat, "{path}");
        assert_eq!(view.stat(), world.stat(path, laws), "{path}");
        assert_eq!(view.data(), node.data.as_deref(), "{path}");
        assert_eq!(**view.acl(), *node.acl, "{path}");
        let children: BTreeSet<String> = view
            .children()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        assert_eq!(children, world.children(path), "{path}");
        assert_eq!(
            tree.descendants(path),
            Some(world.descendants(path)),
            "{path}"
        );
    }
    let mut owners = 0;
    for session in 0..8 {
        let own: BTreeSet<String> = tree.ephemerals(SessionId(session)).collect();
        let expected = if session == 0 {
            BTreeSet::new()
        } else {
            world.ephemerals(SessionId(session), laws)
        };
        assert_eq!(own, expected);
        owners += own.len();
    }
    assert_eq!(tree.ephemeral_count(), owners);
    assert_eq!(tree.sessions().collect::<BTreeMap<_, _>>(), world.sessions);
    let size = |(path, node): (&String, &Node)| path.len() + node.data.as_ref().map_or(0, Vec::len);
    assert_eq!(
        tree.data_size(),
        world.nodes.iter().map(size).sum::<usize>() as u64
    );
    assert_eq!(tree.digest(), world.digest());
}

/// The events of a transaction in the form of the model.
pub(crate) fn events_of(changes: &[Change<'_>]) -> Vec<Event> {
    let acl =
        |acl: &Option<std::sync::Arc<[Acl]>>| acl.as_ref().map_or_else(Vec::new, |a| a.to_vec());
    let event = |c: &Change<'_>| (c.kind, c.path.to_string(), acl(&c.acl), acl(&c.parent_acl));
    changes.iter().map(event).collect()
}
