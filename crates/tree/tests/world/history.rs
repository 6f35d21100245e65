//! A history: what was logged, and the world after each record; and image streams made of it by hand, exact or fuzzy.

use std::collections::BTreeSet;

use rookeeper_proto::acl::{self, Acl};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_proto::txn::{Record, TxnHeader};
use rookeeper_tree::image::{self, ImageError};
use rookeeper_tree::pending::Pending;
use rookeeper_tree::prep::{self, Author, Prepared, Rules};
use rookeeper_tree::tree::{Tree, TreeOptions};

use super::requests::{self, Step};
use super::{At, Laws, World};

pub(crate) const LAWS: Laws = Laws {
    extended_types: true,
    enforce_quota: false,
};
pub(crate) const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    hash_seed: 77,
    max_images: None,
};

#[derive(Debug)]
pub(crate) struct History {
    /// The record of zxid n is at n - 1.
    pub(crate) records: Vec<Record>,
    /// The world after zxid n is at n.
    pub(crate) worlds: Vec<World>,
    pub(crate) tree: Tree,
    rules: Rules,
}

impl History {
    pub(crate) fn new() -> Self {
        let rules = Rules {
            auth: requests::auth_config(),
            extended_types: true,
            ..Rules::default()
        };
        Self {
            records: Vec::new(),
            worlds: vec![World::empty()],
            tree: Tree::new(OPTIONS),
            rules,
        }
    }

    pub(crate) fn of(steps: &[Step]) -> Self {
        let mut history = Self::new();
        steps.iter().for_each(|step| history.step(step));
        history
    }

    /// Judges and applies at once.
    pub(crate) fn step(&mut self, step: &Step) {
        let mut pending = Pending::new(0);
        let zxid = self.tree.last_zxid().next();
        let time = zxid.0 * 10;
        let mut world = self.worlds[self.worlds.len() - 1].clone();
        let (session, prepared) = match step {
            Step::Commit(_) => return,
            Step::Begin { session } => {
                world.sessions.insert(SessionId(*session), 4000);
                (
                    *session,
                    prep::prepare_session(&self.tree, &mut pending, &self.rules, zxid, 4000),
                )
            }
            Step::Write {
                session,
                who,
                write,
            } => {
                let at = At {
                    zxid,
                    time,
                    session: SessionId(*session),
                    who: *who,
                };
                let committed = world.clone();
                // Refusals leave the world as it is.
                let _ = world.write(LAWS, &committed, at, write, &mut Vec::new());
                let author = Author {
                    session: SessionId(*session),
                    identities: &who.identities(),
                };
                let place = (zxid, time);
                (
                    *session,
                    prep::prepare(&self.tree, &mut pending, &self.rules, author, place, write),
                )
            }
        };
        let Prepared { txn, digest, .. } = prepared;
        let kind = txn.kind().code();
        let header = TxnHeader {
            session: SessionId(session),
            cxid: 0,
            zxid,
            time,
            kind,
        };
        self.tree.apply(&header, &txn, &mut Vec::new());
        self.records.push(Record {
            header,
            txn,
            digest,
        });
        self.worlds.push(world);
    }

    pub(crate) fn last(&self) -> &World {
        &self.worlds[self.worlds.len() - 1]
    }

    pub(crate) fn replay(&self, tree: &mut Tree, after: usize) {
        for record in &self.records[after..] {
            tree.apply(&record.header, &record.txn, &mut Vec::new());
        }
    }

    /// An image as Java writes it while transactions are applied: each znode as it is when its turn comes, children by the list
    /// that their parent had at its turn. It is begun after record `from`; `pace` says how many records pass before each turn.
    pub(crate) fn fuzzy_image(&self, from: usize, mut pace: impl FnMut() -> usize) -> Vec<u8> {
        let last = self.worlds.len() - 1;
        let mut now = from;
        let mut pass = move || {
            now = (now + pace()).min(last);
            now
        };
        let mut out = Vec::new();
        let sessions = &self.worlds[from].sessions;
        out.put_count(sessions.len());
        for (session, timeout) in sessions {
            out.put_i64(session.0);
            out.put_i32(*timeout);
        }
        let all: Vec<Vec<Acl>> = self
            .worlds
            .iter()
            .flat_map(acls_of)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let known = acls_of(&self.worlds[pass()]);
        out.put_count(known.len());
        for acl in &known {
            out.put_i64(reference(&all, acl));
            acl::encode_list(acl, &mut out);
        }
        let mut left = vec!["/".to_owned()];
        while let Some(path) = left.pop() {
            let world = &self.worlds[pass()];
            let Some(node) = world.nodes.get(&path) else {
                continue;
            };
            out.put_string(if path == "/" { "" } else { &path });
            out.put_buffer(node.data.as_deref());
            out.put_i64(reference(&all, &node.acl));
            node.stat.encode(&mut out);
            let parent = if path == "/" { "" } else { path.as_str() };
            left.extend(
                world
                    .children(&path)
                    .into_iter()
                    .map(|name| format!("{parent}/{name}")),
            );
        }
        out.put_string("/");
        out
    }
}

fn acls_of(world: &World) -> BTreeSet<Vec<Acl>> {
    world
        .nodes
        .values()
        .map(|node| node.acl.clone())
        .filter(|acl| *acl != Acl::open())
        .collect()
}

fn reference(all: &[Vec<Acl>], acl: &[Acl]) -> i64 {
    all.iter()
        .position(|known| known == acl)
        .map_or(-1, |at| at as i64 + 1)
}

/// A stream in memory; it ends where the bytes end.
pub(crate) struct Slice<'a> {
    pub(crate) left: &'a [u8],
}

impl Source for Slice<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        let (head, tail) = self
            .left
            .split_at_checked(n)
            .ok_or_else(|| SourceError("short".into()))?;
        self.left = tail;
        Ok(head)
    }
}

pub(crate) fn load(bytes: &[u8], zxid: usize) -> Result<Tree, ImageError> {
    image::load(&mut Slice { left: bytes }, Zxid(zxid as i64), 10, OPTIONS)
}

/// The image of a tree, in one go.
pub(crate) fn image_of(tree: &mut Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut image = tree.open_image().unwrap();
    while image.next_chunk(tree, 64, &mut bytes) {}
    drop(image);
    tree.close_images();
    bytes
}
