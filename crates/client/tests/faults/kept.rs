//! Znodes that are kept, and what is built on them: groups and services.

use std::time::Duration;

use rookeeper_client::recipes::discovery::{Discovery, Registration, ServiceInstance};
use rookeeper_client::recipes::group::{Group, GroupMember};
use rookeeper_client::recipes::persistent_node::PersistentNode;
use rookeeper_client::recipes::persistent_ttl_node::PersistentTtlNode;
use rookeeper_client::recipes::provider::{Provider, Strategy};
use rookeeper_client::{Client, CreateOptions, Error, OpCode};

use super::scene::{Recipe, Scene};
use super::world::soon;

const PATH: &str = "/x";

pub struct PersistentNodes;

fn kept(client: &Client) -> PersistentNode {
    PersistentNode::open(client, PATH, "data", CreateOptions::ephemeral()).unwrap()
}

impl Recipe for PersistentNodes {
    const NAME: &str = "persistent_node";

    async fn unanswered(scene: Scene) {
        scene.make(&["/p"]).await;
        let opening = {
            let client = scene.client.clone();
            async move {
                let ephemeral = CreateOptions::ephemeral();
                let node = PersistentNode::protected(&client, "/p/x", "data", ephemeral);
                let node = node.unwrap();
                node.created().await.unwrap();
                node
            }
        };
        let seen = async { drop(scene.count("/p", 1).await) };
        let node = scene.unanswered(OpCode::Create2, opening, seen).await;
        let names = scene.count("/p", 1).await;
        assert_eq!(node.path(), Some(format!("/p/{}", names[0])));
        let seen = async { drop(scene.count("/p", 0).await) };
        let closed = scene.unanswered(OpCode::Delete, node.close(), seen).await;
        closed.unwrap();
    }

    async fn expires(scene: Scene) {
        let node = kept(&scene.client);
        soon(node.created()).await.unwrap();
        let next = kept(&scene.other);
        scene.fault().await;
        soon(next.created()).await.unwrap();
        let owner = scene.other.exists(PATH).await.unwrap().unwrap();
        assert_eq!(owner.ephemeral_owner, scene.other.session().0);
        assert_eq!(node.set("late").await, Err(Error::SessionExpired));
        assert!(!node.is_there());
    }

    async fn lives_on(scene: Scene) {
        let node = kept(&scene.client);
        soon(node.created()).await.unwrap();
        let before = scene.other.exists(PATH).await.unwrap().unwrap();
        scene.fault().await;
        let after = scene.other.exists(PATH).await.unwrap().unwrap();
        assert_eq!(after.czxid, before.czxid);
        scene.other.delete(PATH, -1).await.unwrap();
        scene.there(PATH, true).await;
        assert!(node.path().is_some());
    }
}

pub struct PersistentTtlNodes;

const CHILD: &str = "/x/touch";

impl Recipe for PersistentTtlNodes {
    const NAME: &str = "persistent_ttl_node";

    async fn unanswered(scene: Scene) {
        let opening = {
            let client = scene.client.clone();
            async move {
                let hour = Duration::from_secs(3600);
                let node = PersistentTtlNode::open(&client, PATH, "data", hour).unwrap();
                node.created().await.unwrap();
                node
            }
        };
        let seen = scene.there(CHILD, true);
        let node = scene.unanswered(OpCode::CreateTtl, opening, seen).await;
        let data = scene.other.data(PATH).await.unwrap();
        assert_eq!(data.bytes, "data");
        let seen = scene.there(CHILD, false);
        let closed = scene.unanswered(OpCode::Delete, node.close(), seen).await;
        closed.unwrap();
        scene.there(PATH, false).await;
    }

    async fn expires(scene: Scene) {
        let ttl = Duration::from_millis(500);
        let node = PersistentTtlNode::open(&scene.client, PATH, "data", ttl).unwrap();
        soon(node.created()).await.unwrap();
        scene.fault().await;
        // It outlives its session by its TTL, and nothing touches it any more.
        scene.there(CHILD, false).await;
        scene.there(PATH, false).await;
        assert_eq!(node.set("late").await, Err(Error::SessionExpired));
    }

    async fn lives_on(scene: Scene) {
        let hour = Duration::from_secs(3600);
        let node = PersistentTtlNode::open(&scene.client, PATH, "data", hour).unwrap();
        soon(node.created()).await.unwrap();
        scene.fault().await;
        scene.there(CHILD, true).await;
        node.set("new").await.unwrap();
        assert_eq!(scene.other.data(PATH).await.unwrap().bytes, "new");
        scene.other.delete(CHILD, -1).await.unwrap();
        scene.other.delete(PATH, -1).await.unwrap();
        scene.there(CHILD, true).await;
        assert_eq!(scene.other.data(PATH).await.unwrap().bytes, "new");
    }
}

pub struct Groups;

async fn join(client: &Client, id: &str) -> GroupMember {
    let member = GroupMember::join(client, PATH, id, "data").unwrap();
    soon(member.joined()).await.unwrap();
    member
}

/// Waits until these are seen.
async fn seen(group: &Group, ids: &[&str]) {
    let mut changes = group.changes();
    soon(async {
        while group.members().into_keys().collect::<Vec<_>>() != ids {
            changes.next().await.unwrap();
        }
    })
    .await;
}

impl Recipe for Groups {
    const NAME: &str = "group";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let group = Group::watch(&scene.other, PATH).unwrap();
        let joining = {
            let client = scene.client.clone();
            async move { join(&client, "a").await }
        };
        let happened = async { drop(scene.count(PATH, 1).await) };
        let member = scene.unanswered(OpCode::Create2, joining, happened).await;
        seen(&group, &["a"]).await;
        seen(member.group(), &["a"]).await;
        let happened = async { drop(scene.count(PATH, 0).await) };
        let left = scene.unanswered(OpCode::Delete, member.leave(), happened);
        left.await.unwrap();
        seen(&group, &[]).await;
    }

    async fn expires(scene: Scene) {
        let gone = join(&scene.client, "a").await;
        let stays = join(&scene.other, "b").await;
        seen(stays.group(), &["a", "b"]).await;
        scene.fault().await;
        seen(stays.group(), &["b"]).await;
        assert!(!gone.group().is_fresh());
        assert_eq!(gone.leave().await, Err(Error::SessionExpired));
    }

    async fn lives_on(scene: Scene) {
        let one = join(&scene.client, "a").await;
        scene.fault().await;
        let two = join(&scene.other, "b").await;
        for group in [one.group(), two.group()] {
            seen(group, &["a", "b"]).await;
        }
        two.leave().await.unwrap();
        seen(one.group(), &["a"]).await;
    }
}

fn discovery(client: &Client) -> Discovery {
    Discovery::new(client, "/services").unwrap()
}

fn instance(id: &str) -> ServiceInstance {
    ServiceInstance {
        id: id.to_owned(),
        ..ServiceInstance::new("web", "h.example", 80)
    }
}

async fn register(client: &Client, id: &str) -> Registration {
    let registered = discovery(client).register(instance(id)).await;
    registered.unwrap()
}

async fn ids(client: &Client) -> Vec<String> {
    let instances = discovery(client).instances("web").await.unwrap();
    instances.into_iter().map(|instance| instance.id).collect()
}

pub struct Discoveries;

impl Recipe for Discoveries {
    const NAME: &str = "discovery";

    async fn unanswered(scene: Scene) {
        scene.make(&["/services", "/services/web"]).await;
        let registering = {
            let client = scene.client.clone();
            async move { register(&client, "a").await }
        };
        let seen = scene.there("/services/web/a", true);
        let registration = scene.unanswered(OpCode::Create2, registering, seen);
        let registration = registration.await;
        assert_eq!(ids(&scene.other).await, ["a"]);
        let seen = scene.there("/services/web/a", false);
        let going = registration.unregister();
        let gone = scene.unanswered(OpCode::Delete, going, seen).await;
        gone.unwrap();
    }

    async fn expires(scene: Scene) {
        let mut lost = register(&scene.client, "a").await;
        let _stays = register(&scene.other, "b").await;
        scene.fault().await;
        assert_eq!(ids(&scene.other).await, ["b"]);
        lost.update(instance("a")).await.unwrap_err();
        // Its next session takes its place.
        let again = register(&scene.other, "a").await;
        assert_eq!(ids(&scene.other).await, ["a", "b"]);
        again.unregister().await.unwrap();
    }

    async fn lives_on(scene: Scene) {
        let _one = register(&scene.client, "a").await;
        scene.fault().await;
        let two = register(&scene.other, "b").await;
        assert_eq!(ids(&scene.other).await, ["a", "b"]);
        two.unregister().await.unwrap();
        scene.other.delete("/services/web/a", -1).await.unwrap();
        scene.there("/services/web/a", true).await;
        assert_eq!(ids(&scene.other).await, ["a"]);
    }
}

pub struct Providers;

/// Waits until the provider offers these.
async fn offers(provider: &Provider, wanted: &[&str]) {
    let mut changes = provider.changes();
    let ids = || -> Vec<String> {
        let all = provider.instances();
        all.iter().map(|instance| instance.id.clone()).collect()
    };
    soon(async {
        while ids() != wanted {
            changes.next().await.unwrap();
        }
    })
    .await;
}

impl Recipe for Providers {
    const NAME: &str = "provider";

    async fn unanswered(scene: Scene) {
        let _one = register(&scene.other, "a").await;
        let opening = {
            let client = scene.client.clone();
            async move {
                let provider = discovery(&client).provider("web", Strategy::RoundRobin);
                let provider = provider.unwrap();
                provider.initialized().await.unwrap();
                provider
            }
        };
        let read = OpCode::GetChildren2;
        let provider = scene.unanswered_read(read, opening).await;
        offers(&provider, &["a"]).await;
        let registering = {
            let other = scene.other.clone();
            async move { register(&other, "b").await }
        };
        let _two = scene.unanswered_read(OpCode::GetData, registering).await;
        offers(&provider, &["a", "b"]).await;
        assert!(provider.pick().is_some());
    }

    async fn expires(scene: Scene) {
        let _gone = register(&scene.client, "a").await;
        let _stays = register(&scene.other, "b").await;
        let blind = discovery(&scene.client).provider("web", Strategy::Random);
        let sees = discovery(&scene.other).provider("web", Strategy::Random);
        let (blind, sees) = (blind.unwrap(), sees.unwrap());
        offers(&blind, &["a", "b"]).await;
        offers(&sees, &["a", "b"]).await;
        scene.fault().await;
        offers(&sees, &["b"]).await;
        // What it knew last, and it says that this is old.
        assert!(blind.pick().is_some() && !blind.is_fresh());
    }

    async fn lives_on(scene: Scene) {
        let _one = register(&scene.client, "a").await;
        let provider = discovery(&scene.client).provider("web", Strategy::Sticky);
        let provider = provider.unwrap();
        soon(provider.initialized()).await.unwrap();
        scene.fault().await;
        assert!(provider.pick().is_some());
        let two = register(&scene.other, "b").await;
        offers(&provider, &["a", "b"]).await;
        two.unregister().await.unwrap();
        offers(&provider, &["a"]).await;
    }
}
