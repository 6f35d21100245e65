//! Every recipe in the face of every fault.
//!
//! | fault | what breaks | test |
//! |---|---|---|
//! | unanswered | the connection, after a request was executed and before its answer comes | [`no_recipe_does_twice_what_was_not_answered`] |
//! | expires | the session of one of two clients, whose line is silent | [`no_recipe_outlives_its_session`] |
//! | lives on | the server, which is started again with its data | [`every_recipe_lives_on_after_a_restart`] |
//! | lives on | the leader of three servers, at which `client` was | [`every_recipe_lives_on_after_the_loss_of_the_leader`] |
//!
//! Each test has all recipes ([`RECIPES`]) in it at the same time, each below a root of its own, so that the fault and what is set up
//! for it are paid for once. What a recipe does in each of them is its implementation of [`scene::Recipe`]: `locks`, `leaders`,
//! `gates`, `numbers`, `work`, `copies`, `kept`. A recipe that is missing fails [`no_recipe_is_missing`].
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets and files: a failure is its result"
)]

mod copies;
mod gates;
mod kept;
mod leaders;
mod locks;
mod numbers;
mod scene;
mod work;
#[path = "../world/mod.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::Path;

use rookeeper_client::{Client, CreateOptions, State};
use scene::{Director, Entry, Scene, entry};
use world::ensemble::Ensemble;
use world::{World, reach, soon};

/// All of them.
const RECIPES: [Entry; 26] = [
    entry::<gates::Barriers>(),
    entry::<copies::Of<copies::Children>>(),
    entry::<numbers::Counters>(),
    entry::<work::Of<work::Delayed>>(),
    entry::<kept::Discoveries>(),
    entry::<gates::DoubleBarriers>(),
    entry::<kept::Groups>(),
    entry::<work::Of<work::Identified>>(),
    entry::<leaders::Latches>(),
    entry::<leaders::Selectors>(),
    entry::<locks::MultiLocks>(),
    entry::<locks::Mutexes>(),
    entry::<copies::Of<copies::Node>>(),
    entry::<work::Partitioners>(),
    entry::<kept::PersistentNodes>(),
    entry::<kept::PersistentTtlNodes>(),
    entry::<work::Of<work::Prioritized>>(),
    entry::<locks::ProtectedCreates>(),
    entry::<kept::Providers>(),
    entry::<work::Of<work::Plain>>(),
    entry::<locks::ReadWriteLocks>(),
    entry::<locks::Semaphores>(),
    entry::<numbers::SharedCounts>(),
    entry::<numbers::SharedValues>(),
    entry::<work::Of<work::Simple>>(),
    entry::<copies::Of<copies::Tree>>(),
];
/// `unique_ids` has two.
const IDS: [Entry; 2] = [entry::<numbers::Sequences>(), entry::<numbers::Blocks>()];

fn all() -> Vec<Entry> {
    RECIPES.into_iter().chain(IDS).collect()
}

/// Files of recipes that are no recipes by themselves: what guards, waits and all caches have in common.
const PARTS: [&str; 5] = ["cache", "guard", "line", "place", "wake"];

#[test]
fn no_recipe_is_missing() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/recipes");
    let files = std::fs::read_dir(dir).unwrap();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files = files.map(|file| name(&file.unwrap().path()));
    let recipes: BTreeSet<String> = files
        .filter(|name| !PARTS.contains(&name.as_str()))
        .collect();
    let mut tried: BTreeSet<String> = RECIPES.iter().map(|entry| entry.name.to_owned()).collect();
    tried.insert("unique_ids".to_owned());
    assert_eq!(recipes, tried);
}

#[tokio::test]
async fn no_recipe_does_twice_what_was_not_answered() {
    let world = World::new();
    let other = world.client().await;
    let mut director = Director::new();
    for recipe in all() {
        let (client, wire) = world.client_by_wire().await;
        let scene = Scene::by_wire(recipe.name, &client, &other, wire).await;
        director.play(recipe.name, recipe.unanswered, scene);
    }
    director.end().await;
}

#[tokio::test]
async fn no_recipe_outlives_its_session() {
    let world = World::with(&["-Dznode.container.checkIntervalMs=50"]);
    let other = world.client().await;
    let (client, wire) = world.brief_client_by_wire().await;
    let mut director = Director::new();
    director
        .begin(&all(), |recipe| recipe.expires, &client, &other)
        .await;
    let mark = CreateOptions::ephemeral();
    client.create("/mark", "", &mark).await.unwrap();
    let (_, gone) = other.exists_watched("/mark").await.unwrap();
    wire.hold();
    soon(gone).await.unwrap();
    wire.break_once();
    reach(&client, State::Expired).await;
    director.end().await;
}

/// Waits until the client has lost its server. It listens from now on.
fn loses(client: &Client) -> impl Future<Output = ()> + use<> {
    let mut states = client.states();
    async move { while states.next().await.unwrap() != State::Suspended {} }
}

#[tokio::test]
async fn every_recipe_lives_on_after_a_restart() {
    let mut world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let mut director = Director::new();
    director
        .begin(&all(), |recipe| recipe.lives_on, &client, &other)
        .await;
    let lost = [loses(&client), loses(&other)];
    world.stop();
    world.start();
    for lost in lost {
        soon(lost).await;
    }
    reach(&client, State::Connected).await;
    reach(&other, State::Connected).await;
    director.end().await;
}

#[tokio::test]
async fn every_recipe_lives_on_after_the_loss_of_the_leader() {
    let mut ensemble = Ensemble::new().await;
    let client = ensemble.client_of_leader().await;
    let other = ensemble.client().await;
    let mut director = Director::new();
    director
        .begin(&all(), |recipe| recipe.lives_on, &client, &other)
        .await;
    // The other one may be at a member that keeps it.
    let lost = loses(&client);
    ensemble.lose_leader().await;
    soon(lost).await;
    reach(&client, State::Connected).await;
    reach(&other, State::Connected).await;
    director.end().await;
}
