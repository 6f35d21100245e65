//! The state as a byte stream: the same body in a snapshot file and in a leader's SNAP (disk formats 4.1, between the file header
//! and the first seal).
//!
//! Writing neither stops nor copies the tree. [`Tree::open_image`] fixes a zxid; from then on a znode is saved aside before its
//! first change or its end, and [`Image::next_chunk`] walks the slab a piece at a time, taking the saved znode where there is one. So the
//! image is exactly the tree at its zxid, whatever is written meanwhile.
//!
//! Several may be open: a snapshot is written while learners get the state.
//!
//! Reading builds a tree from such a stream, znode by znode, without holding the stream.
//!
//! Invariants:
//! - A znode belongs to an open image iff it was live when the image was opened: its slab place is below `bound`, and it is saved
//!   or was not born since. Its zxids say nothing: after a fuzzy snapshot a tree holds znodes that are newer than its zxid.
//! - Parents are written before their children.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use rookeeper_proto::acl::{self, Acl};
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_proto::jute::{DecodeError, Reader, Writer, decode_text};
use rookeeper_proto::path;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_proto::stat::StatPersisted;
use thiserror::Error;

use crate::acl_table::AclId;
use crate::tree::{Tree, TreeOptions};
use crate::znode::{NodeId, Znode};

/// Images open at once where nobody wants more: a snapshot, and what ten learners get.
pub const USUAL_IMAGES: usize = 11;
/// The reference of the ACL that is open to everybody and not stored.
const OPEN_REFERENCE: i64 = -1;

/// A znode as it was when the image was opened.
#[derive(Debug)]
struct Saved {
    znode: Znode,
    owner: i64,
}

/// The tree's side of an open image.
#[derive(Debug)]
pub(crate) struct OpenImage {
    bound: u32,
    /// Looked up by id only.
    saved: HashMap<NodeId, Saved, FixedState>,
    /// Places below `bound` that got a new znode since. Looked up by id only.
    born: HashSet<NodeId, FixedState>,
    /// Places below this one are written: a change there needs no saving any more.
    written: Arc<AtomicU32>,
}

/// The writer's side of an open image: call [`Self::next_chunk`] until it says that it is done; drop it, then call
/// [`Tree::close_images`].
#[derive(Debug)]
pub struct Image {
    zxid: Zxid,
    digest: i64,
    head: Vec<u8>,
    bound: u32,
    cursor: u32,
    emitted: Vec<u64>,
    written: Arc<AtomicU32>,
    /// Path of the last parent met: siblings often follow each other.
    parent: Option<(NodeId, String)>,
    ended: bool,
}

/// Why no image could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many images are being written already")]
pub struct ImageBusy;

impl Tree {
    /// Begins an image of the tree as it is now; at most [`TreeOptions::max_images`] at a time.
    pub fn open_image(&mut self) -> Result<Image, ImageBusy> {
        self.close_images();
        if self.images.len() >= self.options.max_images.unwrap_or(USUAL_IMAGES) {
            return Err(ImageBusy);
        }
        let written = Arc::new(AtomicU32::new(0));
        let bound = self.slab.bound();
        self.images.push(OpenImage {
            bound,
            saved: HashMap::with_hasher(FixedState::default()),
            born: HashSet::with_hasher(FixedState::default()),
            written: Arc::clone(&written),
        });
        Ok(Image {
            zxid: self.last_zxid,
            digest: self.digest(),
            head: self.image_head(),
            bound,
            cursor: 0,
            emitted: vec![0; (bound as usize).div_ceil(64)],
            written,
            parent: None,
            ended: false,
        })
    }

    /// Frees what was saved for images that are no more.
    pub fn close_images(&mut self) {
        self.images.retain(OpenImage::is_wanted);
    }

    /// Sessions and ACLs: few enough to be written at once.
    fn image_head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        head.put_count(self.sessions.len());
        for (session, timeout_ms) in &self.sessions {
            head.put_i64(session.0);
            head.put_i32(*timeout_ms);
        }
        head.put_count(self.acls.iter().len());
        for (id, acl) in self.acls.iter() {
            head.put_i64(id.wire());
            acl::encode_list(acl, &mut head);
        }
        head
    }

    /// Notes that the open images do not cover the znode that was just put into this place.
    pub(crate) fn note_born(&mut self, id: NodeId) {
        for image in self.images.iter_mut().filter(|image| id.0 < image.bound) {
            image.born.insert(id);
        }
    }

    /// Saves the znode for the open images, before it changes.
    pub(crate) fn save_changing(&mut self, id: NodeId) {
        self.save(id, |image| id.0 >= image.written.load(Ordering::Relaxed));
    }

    /// Saves the znode for the open images, before it goes: its name and parent are needed even when it is written already, for
    /// the paths of descendants that are not.
    pub(crate) fn save_leaving(&mut self, id: NodeId) {
        self.save(id, |_| true);
    }

    fn save(&mut self, id: NodeId, concerns: impl Fn(&OpenImage) -> bool) {
        for index in 0..self.images.len() {
            let lacks = |image: &OpenImage| concerns(image) && image.lacks(id);
            if self.images.get(index).is_some_and(lacks)
                && let Some(saved) = self.saved(id)
                && let Some(image) = self.images.get_mut(index)
            {
                image.saved.insert(id, saved);
            }
        }
    }

    fn saved(&self, id: NodeId) -> Option<Saved> {
        let znode = self.slab.get(id);
        znode.live.then(|| Saved {
            znode: znode.without_children(),
            owner: self.owner(id),
        })
    }

    /// The znode at `id` as this image sees it; nothing when it is no image of this tree.
    fn image_view(&self, image: &Image, id: NodeId) -> Option<(&Znode, i64)> {
        let is_it = |open: &&OpenImage| Arc::ptr_eq(&open.written, &image.written);
        let open = self.images.iter().find(is_it)?;
        if let Some(saved) = open.saved.get(&id) {
            return Some((&saved.znode, saved.owner));
        }
        let znode = self.slab.get(id);
        (znode.live && !open.born.contains(&id)).then(|| (znode, self.owner(id)))
    }
}

impl OpenImage {
    /// The writer's side still exists.
    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.written) > 1
    }

    /// The znode belongs to the image, and was not saved.
    fn lacks(&self, id: NodeId) -> bool {
        id.0 < self.bound && !self.born.contains(&id) && !self.saved.contains_key(&id)
    }
}

impl Image {
    /// The last transaction in the image.
    #[must_use]
    pub const fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The digest of the tree in the image.
    #[must_use]
    pub const fn digest(&self) -> i64 {
        self.digest
    }

    /// Appends about `budget` bytes of the stream to `out`; false when that was the end. `tree` is the tree that opened it.
    pub fn next_chunk(&mut self, tree: &Tree, budget: usize, out: &mut Vec<u8>) -> bool {
        if self.ended {
            return false;
        }
        let goal = out.len() + budget;
        out.append(&mut self.head);
        while self.cursor < self.bound {
            if out.len() >= goal {
                return true;
            }
            self.emit(tree, NodeId(self.cursor), out);
            self.cursor += 1;
            self.written.store(self.cursor, Ordering::Relaxed);
        }
        out.put_string(path::ROOT);
        self.ended = true;
        false
    }

    /// Writes a znode, after those of its ancestors that are not written yet.
    fn emit(&mut self, tree: &Tree, id: NodeId, out: &mut Vec<u8>) {
        let mut line = Vec::new();
        let mut at = id;
        while !self.is_emitted(at) {
            let Some((znode, _)) = tree.image_view(self, at) else {
                break;
            };
            line.push(at);
            if at == NodeId::ROOT {
                break;
            }
            at = NodeId(znode.parent);
        }
        for id in line.into_iter().rev() {
            self.write_node(tree, id, out);
            self.mark_emitted(id);
        }
    }

    fn write_node(&mut self, tree: &Tree, id: NodeId, out: &mut Vec<u8>) {
        let Some((znode, owner)) = tree.image_view(self, id) else {
            return;
        };
        if id == NodeId::ROOT {
            out.put_string("");
        } else {
            let parent = self.parent_path(tree, NodeId(znode.parent));
            out.put_count(parent.len() + 1 + znode.name().len());
            out.extend_from_slice(parent.as_bytes());
            out.push(b'/');
            out.extend_from_slice(znode.name());
        }
        out.put_buffer(znode.data());
        out.put_i64(znode.acl.wire());
        znode.persisted(owner).encode(out);
    }

    /// The path of a parent, empty for the root.
    fn parent_path(&mut self, tree: &Tree, parent: NodeId) -> &str {
        let known = self.parent.take().filter(|(id, _)| *id == parent);
        let entry = known.unwrap_or_else(|| (parent, self.path_in_image(tree, parent)));
        &self.parent.insert(entry).1
    }

    fn path_in_image(&self, tree: &Tree, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT {
            let Some((znode, _)) = tree.image_view(self, at) else {
                break;
            };
            names.push(znode.name());
            at = NodeId(znode.parent);
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        String::from_utf8(path).unwrap_or_default()
    }

    fn is_emitted(&self, id: NodeId) -> bool {
        let word = self
            .emitted
            .get(id.index() / 64)
            .copied()
            .unwrap_or_default();
        word >> (id.index() % 64) & 1 == 1
    }

    fn mark_emitted(&mut self, id: NodeId) {
        if let Some(word) = self.emitted.get_mut(id.index() / 64) {
            *word |= 1 << (id.index() % 64);
        }
    }
}

/// Why a stream is not an image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The stream ended or could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A record is malformed.
    #[error("malformed record: {0}")]
    Record(#[from] DecodeError),
    /// The first znode is not the root.
    #[error("the first znode is {0:?} instead of the root")]
    NoRoot(String),
    /// Text in the place of a path that is none.
    #[error("{0:?} is no path of a znode")]
    NoPath(String),
    /// A znode comes before its parent.
    #[error("the znode {0:?} comes before its parent")]
    NoParent(String),
    /// A znode comes twice.
    #[error("the znode {0:?} comes twice")]
    Twice(String),
}

/// Builds the tree at `zxid` from a stream. `expected` is a guess at the number of znodes, which costs memory if too high and time
/// if too low.
pub fn load(
    source: &mut dyn Source,
    zxid: Zxid,
    expected: usize,
    options: TreeOptions,
) -> Result<Tree, ImageError> {
    let mut loader = Loader {
        tree: Tree::bare(options),
        acls: HashMap::default(),
        parent: None,
        path: String::new(),
        data: Vec::new(),
    };
    loader.tree.expect(expected);
    loader.sessions(source)?;
    loader.acl_map(source)?;
    while loader.node(source)? {}
    let mut tree = loader.tree;
    if tree.node_count() == 0 {
        return Err(ImageError::NoRoot(path::ROOT.to_owned()));
    }
    tree.last_zxid = zxid;
    tree.find_quotas();
    Ok(tree)
}

struct Loader {
    tree: Tree,
    /// ACLs by their reference in the stream.
    acls: HashMap<i64, Vec<Acl>, FixedState>,
    parent: Option<(String, NodeId)>,
    path: String,
    data: Vec<u8>,
}

impl Loader {
    fn sessions(&mut self, source: &mut dyn Source) -> Result<(), ImageError> {
        for _ in 0..i32_of(source)? {
            let session = SessionId(i64_of(source)?);
            self.tree.sessions.insert(session, i32_of(source)?);
        }
        Ok(())
    }

    fn acl_map(&mut self, source: &mut dyn Source) -> Result<(), ImageError> {
        for _ in 0..i32_of(source)? {
            let reference = i64_of(source)?;
            let mut acl = Vec::new();
            for _ in 0..i32_of(source)? {
                let perms = i32_of(source)?;
                let scheme = string_of(source)?;
                acl.push(Acl::new(perms, scheme, string_of(source)?));
            }
            self.acls.insert(reference, acl);
        }
        Ok(())
    }

    /// Reads one znode; false at the end mark.
    fn node(&mut self, source: &mut dyn Source) -> Result<bool, ImageError> {
        let (mut path, mut data) = (mem::take(&mut self.path), mem::take(&mut self.data));
        let more = self.read_node(source, &mut path, &mut data);
        // Millions of znodes share these two buffers.
        (self.path, self.data) = (path, data);
        more
    }

    fn read_node(
        &mut self,
        source: &mut dyn Source,
        path: &mut String,
        data: &mut Vec<u8>,
    ) -> Result<bool, ImageError> {
        path.clear();
        if let Some(len) = length_of(source)? {
            path.push_str(&decode_text(source.take(len)?));
        }
        if path == path::ROOT {
            return Ok(false);
        }
        data.clear();
        let len = length_of(source)?;
        if let Some(len) = len {
            data.extend_from_slice(source.take(len)?);
        }
        let reference = i64_of(source)?;
        let stat = StatPersisted::decode(&mut Reader::new(source.take(StatPersisted::LEN)?))?;
        self.insert(path, len.map(|_| data.as_slice()), reference, &stat)?;
        Ok(true)
    }

    fn insert(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        reference: i64,
        stat: &StatPersisted,
    ) -> Result<(), ImageError> {
        let tree = &mut self.tree;
        let acl = match self.acls.get(&reference) {
            _ if reference == OPEN_REFERENCE => AclId::OPEN,
            Some(acl) => tree.acls.acquire(acl),
            // A fuzzy Java snapshot may lack it: the log brings the ACL. Until then, and if it never does, nobody may pass.
            None => tree.acls.acquire(&[Acl::new(0, "world", "anyone")]),
        };
        if tree.node_count() == 0 {
            if !path.is_empty() {
                return Err(ImageError::NoRoot(path.to_owned()));
            }
            let root = tree.insert_below(NodeId::ROOT, "", "", data, acl, stat);
            return root
                .map(|_| ())
                .map_err(|_| ImageError::Twice(path.to_owned()));
        }
        // Below the root the parent's path is empty: "/" would be found all the same.
        let (parent_path, name) = path
            .rsplit_once('/')
            .filter(|(parent, name)| !name.is_empty() && *parent != path::ROOT)
            .ok_or_else(|| ImageError::NoPath(path.to_owned()))?;
        let parent = match &self.parent {
            Some((known, id)) if known == parent_path => *id,
            _ => tree
                .find(parent_path)
                .ok_or_else(|| ImageError::NoParent(path.to_owned()))?,
        };
        tree.insert_below(parent, name, path, data, acl, stat)
            .map_err(|_| ImageError::Twice(path.to_owned()))?;
        if self.parent.as_ref().is_none_or(|(_, id)| *id != parent) {
            let (known, id) = self.parent.get_or_insert_default();
            known.clear();
            known.push_str(parent_path);
            *id = parent;
        }
        Ok(())
    }
}

fn length(len: i32) -> Result<usize, DecodeError> {
    usize::try_from(len).map_err(|_| DecodeError::NegativeLength(len))
}

/// A length field; `None` is null.
fn length_of(source: &mut dyn Source) -> Result<Option<usize>, ImageError> {
    match i32_of(source)? {
        -1 => Ok(None),
        len => Ok(Some(length(len)?)),
    }
}

fn i32_of(source: &mut dyn Source) -> Result<i32, ImageError> {
    Ok(Reader::new(source.take(4)?).i32()?)
}

fn i64_of(source: &mut dyn Source) -> Result<i64, ImageError> {
    Ok(Reader::new(source.take(8)?).i64()?)
}

fn string_of(source: &mut dyn Source) -> Result<String, ImageError> {
    match length_of(source)? {
        None => Ok(String::new()),
        Some(len) => Ok(decode_text(source.take(len)?).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use rookeeper_proto::txn::{CreateKind, CreateTxn, DeleteTxn, SetDataTxn, Txn, TxnHeader};

    use super::*;

    struct Slice<'a>(&'a [u8]);

    impl Source for Slice<'_> {
        fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
            let (head, tail) = self
                .0
                .split_at_checked(n)
                .ok_or_else(|| SourceError("short".into()))?;
            self.0 = tail;
            Ok(head)
        }
    }

    fn apply(tree: &mut Tree, txn: Txn) {
        let zxid = tree.last_zxid().next();
        let header = TxnHeader {
            session: SessionId(1),
            cxid: 0,
            zxid,
            time: 5,
            kind: txn.kind().code(),
        };
        tree.apply(&header, &txn, &mut Vec::new());
    }

    fn create(tree: &mut Tree, path: &str) {
        apply(
            tree,
            Txn::Create(CreateTxn {
                kind: CreateKind::Plain {
                    ephemeral: path.contains('e'),
                },
                path: path.into(),
                data: Some(path.to_owned().into()),
                acl: [Acl::new(3, "world", "anyone")].into(),
                parent_cversion: -1,
            }),
        );
    }

    fn delete(tree: &mut Tree, path: &str) {
        apply(
            tree,
            Txn::Delete(DeleteTxn {
                path: path.into(),
                by_server: false,
            }),
        );
    }

    fn set(tree: &mut Tree, path: &str) {
        let set = SetDataTxn {
            path: path.into(),
            data: None,
            version: 9,
            reconfig: false,
        };
        apply(tree, Txn::SetData(set));
    }

    type Line = (String, StatPersisted, Option<Vec<u8>>, Vec<Acl>);

    fn describe(tree: &Tree) -> Vec<Line> {
        let mut nodes: Vec<_> = tree
            .iter()
            .map(|v| {
                (
                    v.path(),
                    v.persisted(),
                    v.data().map(<[u8]>::to_vec),
                    v.acl().to_vec(),
                )
            })
            .collect();
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        nodes
    }

    #[test]
    fn an_image_is_the_tree_at_its_zxid_whatever_happens_while_it_is_written() {
        let mut tree = Tree::new(TreeOptions::default());
        for n in 0..40 {
            create(&mut tree, &format!("/n{n}"));
            create(&mut tree, &format!("/n{n}/e"));
        }
        delete(&mut tree, "/n3/e");
        tree.sessions.insert(SessionId(1), 4000);
        let expected = describe(&tree);
        let digest = tree.digest();
        let mut image = tree.open_image().unwrap();

        let mut bytes = Vec::new();
        let mut round = 0;
        while image.next_chunk(&tree, 200, &mut bytes) {
            // Behind and ahead of the cursor: changes, deletes, and new znodes in reused places.
            set(&mut tree, &format!("/n{}", round % 40));
            set(&mut tree, &format!("/n{}", 39 - round % 40));
            delete(&mut tree, &format!("/n{}/e", 39 - round % 40));
            delete(&mut tree, &format!("/n{}", 39 - round % 40));
            create(&mut tree, &format!("/later{round}"));
            create(&mut tree, &format!("/n{}", 39 - round % 40));
            round += 1;
        }
        assert!(round > 10);

        let loaded = load(&mut Slice(&bytes), image.zxid(), 0, TreeOptions::default()).unwrap();
        assert_eq!(describe(&loaded), expected);
        assert_eq!((loaded.digest(), image.digest()), (digest, digest));
        assert_eq!(
            loaded.sessions().collect::<Vec<_>>(),
            [(SessionId(1), 4000)]
        );
        assert_eq!(loaded.ephemeral_count(), 39);
    }

    #[test]
    fn streams_that_are_no_image_are_refused() {
        let empty = b"\0\0\0\0\0\0\0\0\0\0\0\x01/";
        let load = |bytes: &[u8]| load(&mut Slice(bytes), Zxid(1), 0, TreeOptions::default());
        assert!(matches!(load(empty), Err(ImageError::NoRoot(_))));
        assert!(matches!(load(&empty[..9]), Err(ImageError::Source(_))));
        let mut tree = Tree::new(TreeOptions::default());
        let mut bytes = Vec::new();
        tree.open_image()
            .unwrap()
            .next_chunk(&tree, usize::MAX >> 1, &mut bytes);
        let zookeeper = bytes.windows(10).position(|w| w == b"/zookeeper").unwrap();
        bytes[zookeeper + 1] = b'Z';
        assert!(matches!(load(&bytes), Err(ImageError::NoParent(_))));
    }
}
