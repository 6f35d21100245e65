//! The log over a snapshot that is not quite at its zxid (disk formats 5.3 and 5.4): the end is the live tree, always.
#![allow(
    clippy::unwrap_used,
    reason = "a test may fail this way, also outside of test functions"
)]

mod world;

use proptest::prelude::*;
use rookeeper_proto::ids::{SessionId, Zxid};
use rookeeper_tree::tree::Tree;

use world::history::{History, LAWS, load};
use world::requests::{self, Step};
use world::{World, assert_same};

/// Usage of quotas is every server's own business, and is counted anew at the start: take it from the tree.
fn with_usage_of(world: &World, tree: &Tree) -> World {
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

#[track_caller]
fn assert_end(tree: &Tree, history: &History) {
    assert_eq!(tree.last_zxid(), history.tree.last_zxid());
    assert_eq!(tree.digest(), history.last().digest());
    assert_same(tree, &with_usage_of(history.last(), tree), LAWS);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_exact_image_and_the_log_behind_it_give_the_live_tree(steps in requests::steps(60), at in any::<prop::sample::Index>()) {
        let history = History::of(&steps);
        assert_same(&history.tree, history.last(), LAWS);
        let at = at.index(history.worlds.len());
        let mut tree = load(&history.fuzzy_image(at, || 0), at).unwrap();
        for (n, record) in history.records.iter().enumerate().skip(at) {
            tree.apply(&record.header, &record.txn, &mut Vec::new());
            if let Some(digest) = record.digest {
                assert_eq!(tree.digest(), digest.tree_digest, "at {n}");
            }
        }
        assert_end(&tree, &history);
    }

    #[test]
    fn a_fuzzy_image_and_the_log_behind_it_give_the_live_tree(
        steps in requests::steps(80),
        at in any::<prop::sample::Index>(),
        paces in prop::collection::vec(0..6usize, 1..12),
    ) {
        let history = History::of(&steps);
        let at = at.index(history.worlds.len());
        let mut paces = paces.into_iter().cycle();
        let mut tree = load(&history.fuzzy_image(at, || paces.next().unwrap_or_default()), at).unwrap();
        history.replay(&mut tree, at);
        assert_end(&tree, &history);
    }

    #[test]
    fn records_that_are_in_the_image_already_do_no_harm(
        steps in requests::steps(60),
        (first, second) in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let history = History::of(&steps);
        let (a, b) = (first.index(history.worlds.len()), second.index(history.worlds.len()));
        let (from, to) = (a.min(b), a.max(b));
        // All of the image is as late as `to`, but the name of its file says `from`.
        let mut tree = load(&history.fuzzy_image(to, || 0), from).unwrap();
        tree_sessions_as_of(&mut tree, &history, from);
        history.replay(&mut tree, from);
        assert_end(&tree, &history);
        // Once more the whole way.
        history.replay(&mut tree, from);
        assert_end(&tree, &history);
    }

    #[test]
    fn orphans_go_at_the_last_zxid(steps in requests::steps(60)) {
        let mut history = History::of(&steps);
        let mut world = history.last().clone();
        let last = history.tree.last_zxid();
        let alive: Vec<SessionId> = world.sessions.keys().copied().collect();
        let orphans: Vec<String> = (1..8)
            .map(SessionId)
            .filter(|session| !alive.contains(session))
            .flat_map(|session| world.ephemerals(session, LAWS))
            .collect();
        for path in &orphans {
            world.nodes.remove(path);
            let parent = path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
            let stat = &mut world.nodes.get_mut(parent).unwrap().stat;
            stat.pzxid = stat.pzxid.max(last);
        }
        let mut gone = history.tree.remove_orphans();
        assert!(gone.is_sorted());
        gone.sort();
        let mut expected = orphans;
        expected.sort();
        assert_eq!(gone, expected);
        assert_eq!(history.tree.last_zxid(), last);
        assert_same(&history.tree, &with_usage_of(&world, &history.tree), LAWS);
        assert_usage_is_exact(&history.tree);
    }

    #[test]
    fn usage_is_exact_when_a_server_begins_after_a_fuzzy_replay(
        steps in requests::steps(80),
        at in any::<prop::sample::Index>(),
        paces in prop::collection::vec(0..6usize, 1..12),
    ) {
        let history = History::of(&steps);
        let at = at.index(history.worlds.len());
        let mut paces = paces.into_iter().cycle();
        let mut tree = load(&history.fuzzy_image(at, || paces.next().unwrap_or_default()), at).unwrap();
        history.replay(&mut tree, at);
        tree.remove_orphans();
        assert_usage_is_exact(&tree);
    }
}

/// The table of sessions is written first, so it is never later than the file name says.
fn tree_sessions_as_of(tree: &mut Tree, history: &History, from: usize) {
    let sessions = history.worlds[from].sessions.clone();
    let mut bytes = history.fuzzy_image(from, || 0);
    bytes.truncate(4 + sessions.len() * 12);
    let image = world::history::image_of(tree);
    let count = tree.sessions().len();
    bytes.extend_from_slice(&image[4 + count * 12..]);
    *tree = load(&bytes, from).unwrap();
}

/// Each usage znode with a limit beside it tells what a count finds.
#[track_caller]
fn assert_usage_is_exact(tree: &Tree) {
    for view in tree.iter() {
        let path = view.path();
        let Some(top) = path
            .strip_prefix("/zookeeper/quota")
            .and_then(|p| p.strip_suffix("/zookeeper_stats"))
        else {
            continue;
        };
        if top.is_empty()
            || tree
                .get(&format!("/zookeeper/quota{top}/zookeeper_limits"))
                .is_none()
        {
            continue;
        }
        let below = format!("{top}/");
        let counted = tree
            .iter()
            .filter(|v| v.path() == top || v.path().starts_with(&below));
        let (count, bytes) = counted.fold((0, 0), |(n, b), v| {
            (n + 1, b + v.data().map_or(0, <[u8]>::len))
        });
        assert_eq!(
            view.data(),
            Some(format!("count={count},bytes={bytes}").as_bytes()),
            "{path}"
        );
    }
}

#[test]
fn the_log_of_an_empty_tree_is_the_whole_tree() {
    let history = History::of(&[Step::Begin { session: 1 }]);
    let mut tree = load(&history.fuzzy_image(0, || 0), 0).unwrap();
    history.replay(&mut tree, 0);
    assert_eq!(tree.last_zxid(), Zxid(1));
    assert_end(&tree, &history);
}
