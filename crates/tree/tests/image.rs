//! Images: exactly the tree at their zxid whatever is applied while they are written, and no stream can do harm.
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail this way, also outside of test functions"
)]

mod world;

use std::cell::Cell;

use proptest::prelude::*;
use rookeeper_proto::ids::Zxid;
use rookeeper_proto::jute::Writer;
use rookeeper_proto::source::{Source, SourceError};
use rookeeper_proto::stat::StatPersisted;
use rookeeper_tree::image::{self, Image, USUAL_IMAGES};
use rookeeper_tree::tree::{Tree, TreeOptions, View};

use world::history::{History, LAWS, OPTIONS, image_of, load};
use world::requests::{self, Step};
use world::{World, assert_same};

/// Usage is counted anew by a load, and right away.
fn recounted(world: &World, tree: &Tree) -> World {
    let mut world = world.clone();
    for (path, node) in &mut world.nodes {
        if path.ends_with("/zookeeper_stats") {
            node.data = tree
                .get(path)
                .and_then(|view| view.data().map(<[u8]>::to_vec));
        }
    }
    world
}

/// A second image, opened while the first is written, and behind it: neither may disturb the other.
#[derive(Default)]
struct Other {
    image: Option<(usize, Image)>,
    bytes: Vec<u8>,
}

impl Other {
    fn go_on(&mut self, history: &mut History, budget: usize) {
        let at = history.worlds.len() - 1;
        let (_, image) = self
            .image
            .get_or_insert_with(|| (at, history.tree.open_image().unwrap()));
        image.next_chunk(&history.tree, budget, &mut self.bytes);
    }

    fn finish(self, history: &mut History) {
        let Some((at, mut image)) = self.image else {
            return;
        };
        let mut bytes = self.bytes;
        while image.next_chunk(&history.tree, 100, &mut bytes) {}
        drop(image);
        history.tree.close_images();
        let loaded = load(&bytes, at).unwrap();
        assert_same(&loaded, &recounted(&history.worlds[at], &loaded), LAWS);
    }
}

#[test]
fn images_are_bounded_and_a_dropped_one_makes_room() {
    for max_images in [None, Some(2), Some(20)] {
        let mut tree = Tree::new(TreeOptions {
            max_images,
            ..OPTIONS
        });
        let mut open: Vec<Image> = (0..max_images.unwrap_or(USUAL_IMAGES))
            .map(|_| tree.open_image().unwrap())
            .collect();
        assert!(tree.open_image().is_err(), "{max_images:?}");
        open.pop();
        assert!(tree.open_image().is_ok(), "{max_images:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn an_image_is_the_tree_at_its_zxid(
        before in requests::steps(60),
        during in requests::steps(80),
        budgets in prop::collection::vec((1..400usize, 0..4usize), 1..8),
        rounds in 1..4usize,
    ) {
        let mut history = History::of(&before);
        let mut during = during.iter();
        let mut budgets = budgets.into_iter().cycle();
        // Several one after the other, so that places in the slab are used again.
        for _ in 0..rounds {
            let (at, digest) = (history.worlds.len() - 1, history.tree.digest());
            let mut image = history.tree.open_image().unwrap();
            let mut other = Other::default();
            let mut bytes = Vec::new();
            loop {
                let (budget, steps) = budgets.next().unwrap();
                let from = bytes.len();
                let more = image.next_chunk(&history.tree, budget, &mut bytes);
                prop_assert!(bytes.len() - from < budget + 4096);
                if !more {
                    break;
                }
                during.by_ref().take(steps).for_each(|step| history.step(step));
                other.go_on(&mut history, budget);
            }
            prop_assert!(!image.next_chunk(&history.tree, 10, &mut bytes));
            prop_assert_eq!((image.zxid(), image.digest()), (Zxid(at as i64), digest));
            drop(image);
            history.tree.close_images();
            other.finish(&mut history);
            let mut loaded = load(&bytes, at).unwrap();
            assert_same(&loaded, &recounted(&history.worlds[at], &loaded), LAWS);
            // And again.
            let second = load(&image_of(&mut loaded), at).unwrap();
            assert_same(&second, &recounted(&history.worlds[at], &loaded), LAWS);
        }
        assert_same(&history.tree, history.last(), LAWS);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
        // With a plausible beginning.
        let mut start = vec![0; 8];
        start.extend(bytes);
        read(&start);
    }

    #[test]
    fn damaged_images_do_no_harm(
        steps in requests::steps(40),
        damage in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..6),
    ) {
        let mut history = History::of(&steps);
        let mut bytes = image_of(&mut history.tree);
        for (at, damage) in damage {
            let at = at.index(bytes.len());
            match damage {
                Damage::Byte(byte) => bytes[at] = byte,
                Damage::Number(number) => {
                    let end = (at + 4).min(bytes.len());
                    bytes.splice(at..end, number.to_be_bytes());
                }
                Damage::Cut => bytes.truncate(at.max(1)),
                Damage::Twice => bytes.extend_from_within(at..),
                Damage::Gap(len) => drop(bytes.drain(at..(at + len).min(bytes.len()))),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Some(mut tree) = read(&bytes) {
            // Whatever was believed can be walked, written, and changed further.
            let described = describe(&tree);
            let again = read(&image_of(&mut tree));
            prop_assert_eq!(again.map(|tree| describe(&tree)), Some(described));
            history.replay(&mut tree, 0);
            tree.remove_orphans();
            image_of(&mut tree);
        }
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Byte(u8),
    Number(i32),
    Cut,
    Twice,
    Gap(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => any::<u8>().prop_map(Damage::Byte),
        3 => prop::sample::select(&[-1, -2, 0, 1, i32::MAX, i32::MIN, 0x7fff_fff0][..]).prop_map(Damage::Number),
        1 => Just(Damage::Cut),
        1 => Just(Damage::Twice),
        2 => (1..80usize).prop_map(Damage::Gap),
    ]
}

fn describe(tree: &Tree) -> Vec<(String, StatPersisted, Option<Vec<u8>>)> {
    let line = |v: View<'_>| {
        let path = v.path();
        let data = if path.ends_with("/zookeeper_stats") {
            None
        } else {
            v.data().map(<[u8]>::to_vec)
        };
        (path, v.persisted(), data)
    };
    let mut nodes: Vec<_> = tree.iter().map(line).collect();
    nodes.sort_by(|a, b| a.0.cmp(&b.0));
    nodes
}

fn read(bytes: &[u8]) -> Option<Tree> {
    load(bytes, 5).ok()
}

/// A stream that goes on for ever with small counts, but whose first claims are huge.
struct Endless<'a> {
    head: Vec<u8>,
    taken: &'a Cell<usize>,
    waste: Vec<u8>,
}

impl Source for Endless<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], SourceError> {
        self.taken.set(self.taken.get() + 1);
        if n > self.head.len() {
            return Err(SourceError("the end".into()));
        }
        self.waste = self.head.drain(..n).collect();
        Ok(&self.waste)
    }
}

#[test]
fn a_claimed_count_is_no_reason_to_allocate_or_to_linger() {
    for counts in [[i32::MAX, 0, 0], [0, i32::MAX, 0], [0, 1, i32::MAX]] {
        let mut head = Vec::new();
        head.put_i32(counts[0]);
        head.put_i32(counts[1]);
        head.put_i64(1);
        head.put_i32(counts[2]);
        let taken = Cell::new(0);
        let mut source = Endless {
            head,
            taken: &taken,
            waste: Vec::new(),
        };
        assert!(image::load(&mut source, Zxid(1), 0, OPTIONS).is_err());
        assert!(taken.get() < 10, "{}", taken.get());
    }
}

#[test]
fn a_deep_path_survives() {
    let mut history = History::new();
    let mut path = String::new();
    for _ in 0..300 {
        path.push_str("/d");
        let open = rookeeper_proto::acl::Acl::open()
            .into_iter()
            .map(Into::into)
            .collect();
        history.step(&Step::Write {
            session: 1,
            who: world::Who::Nobody,
            write: rookeeper_proto::request::Write::Create(rookeeper_proto::request::Create {
                op: rookeeper_proto::code::OpCode::Create,
                path: Some(path.clone()),
                data: None,
                acl: Some(open),
                flags: 0,
                ttl: 0,
            }),
        });
    }
    let zxid = history.worlds.len() - 1;
    let loaded = load(&image_of(&mut history.tree), zxid).unwrap();
    assert_same(&loaded, history.last(), LAWS);
    assert_eq!(loaded.get(&path).unwrap().data(), None);
}

/// A node record for a hand-made stream.
fn node(out: &mut Vec<u8>, path: &str, acl: i64) {
    out.put_string(path);
    out.put_buffer(Some(b""));
    out.put_i64(acl);
    StatPersisted::default().encode(out);
}

fn stream(nodes: &[(&str, i64)]) -> Vec<u8> {
    let mut out = vec![0; 8];
    nodes
        .iter()
        .for_each(|(path, acl)| node(&mut out, path, *acl));
    out.put_string("/");
    out
}

#[test]
fn paths_that_no_server_makes_are_refused() {
    assert!(read(&stream(&[("", -1), ("/a", -1)])).is_some());
    for bad in ["//b", "/a/", "a", "", "/a//b", "a/b"] {
        let bytes = stream(&[("", -1), ("/a", -1), (bad, -1)]);
        assert!(load(&bytes, 1).is_err(), "{bad:?}");
    }
}

#[test]
fn a_znode_whose_acl_is_missing_is_open_to_nobody() {
    let tree = read(&stream(&[("", -1), ("/secret", 42)])).unwrap();
    let acl = tree.get("/secret").unwrap().acl().clone();
    let nobody = world::Who::Nobody.identities();
    let config = requests::auth_config();
    assert!(
        !rookeeper_tree::acl::permits(&config, &acl, 31, &nobody),
        "{acl:?}"
    );
}
