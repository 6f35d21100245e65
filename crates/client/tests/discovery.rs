//! Service discovery: what is registered, what is found, and what is chosen.
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

mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use rookeeper_client::recipes::discovery::{
    Discovery, DiscoveryError, Payload, Registration, ServiceInstance, ServiceKind,
};
use rookeeper_client::recipes::provider::{Provider, Strategy};
use rookeeper_client::{Client, CreateOptions, Error, State};
use world::ensemble::Ensemble;
use world::{World, children, reach, soon};

fn discovery(client: &Client) -> Discovery {
    Discovery::new(client, "/services").unwrap()
}

fn web(id: &str, port: u16) -> ServiceInstance {
    ServiceInstance {
        id: id.to_owned(),
        registered_at_ms: 1_700_000_000_000,
        ..ServiceInstance::new("web", "h.example", port)
    }
}

async fn register(client: &Client, instance: ServiceInstance) -> Registration {
    soon(discovery(client).register(instance)).await.unwrap()
}

/// Waits until the provider has these instances.
async fn until(provider: &Provider, ids: &[&str]) {
    let mut changes = provider.changes();
    let seen = || -> Vec<String> {
        let instances = provider.instances();
        instances
            .iter()
            .map(|instance| instance.id.clone())
            .collect()
    };
    soon(async {
        while seen() != ids {
            changes.next().await.unwrap();
        }
    })
    .await;
}

/// A provider with three instances.
async fn three(world: &World, strategy: Strategy) -> (Provider, Vec<Registration>, Client) {
    let client = world.client().await;
    let mut registered = Vec::new();
    for (id, port) in [("a", 1), ("b", 2), ("c", 3)] {
        registered.push(register(&client, web(id, port)).await);
    }
    let provider = discovery(&client).provider("web", strategy).unwrap();
    soon(provider.initialized()).await.unwrap();
    (provider, registered, client)
}

fn picks(provider: &Provider, count: usize) -> Vec<String> {
    let pick = |_| {
        provider
            .pick()
            .map_or_else(String::new, |instance| instance.id.clone())
    };
    (0..count).map(pick).collect()
}

#[tokio::test]
async fn an_instance_is_registered_as_curator_does_it() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let mut instance = web("one", 80);
    instance.payload = Some(Payload::Text("payload".into()));
    let registration = register(&client, instance.clone()).await;
    let data = other.data("/services/web/one").await.unwrap();
    let wanted = r#"{"name":"web","id":"one","address":"h.example","port":80,"sslPort":null,"payload":"payload","registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null}"#;
    assert_eq!(data.bytes, wanted);
    assert_eq!(data.stat.ephemeral_owner, client.session().0);
    for parent in ["/services", "/services/web"] {
        assert_eq!(other.data(parent).await.unwrap().bytes, "");
    }
    let there = discovery(&other);
    assert_eq!(there.names().await.unwrap(), ["web"]);
    assert_eq!(there.instances("web").await.unwrap(), [instance.clone()]);
    let found = there.instance("web", "one").await.unwrap();
    assert_eq!(found.as_ref(), Some(registration.instance()));
    registration.unregister().await.unwrap();
    assert_eq!(there.instance("web", "one").await.unwrap(), None);
    assert_eq!(there.instances("web").await.unwrap(), []);
    assert_eq!(there.instances("nothing").await.unwrap(), []);
    assert_eq!(discovery(&other).names().await.unwrap(), ["web"]);
}

#[tokio::test]
async fn every_kind_stays_as_long_as_it_says() {
    let world = World::new();
    let (client, other) = (world.client().await, world.client().await);
    let kinds = [
        ("dynamic", ServiceKind::Dynamic),
        ("numbered", ServiceKind::DynamicSequential),
        ("permanent", ServiceKind::Permanent),
        ("static", ServiceKind::Static),
    ];
    let mut registered = Vec::new();
    for (id, kind) in kinds {
        let mut instance = web(id, 80);
        instance.kind = kind;
        registered.push(register(&client, instance).await);
    }
    let ids = |instances: Vec<ServiceInstance>| -> Vec<String> {
        let mut ids: Vec<String> = instances.into_iter().map(|instance| instance.id).collect();
        ids.sort();
        ids
    };
    let all = discovery(&other).instances("web").await.unwrap();
    assert_eq!(ids(all), kinds.map(|(id, _)| id));
    client.close().await.unwrap();
    let left = discovery(&other).instances("web").await.unwrap();
    assert_eq!(ids(left), ["permanent", "static"]);
    assert_eq!(
        soon(registered.remove(0).unregister()).await,
        Err(Error::Closed)
    );
}

#[tokio::test]
async fn an_instance_is_updated_and_stays_the_same() {
    let world = World::new();
    let client = world.client().await;
    let mut registration = register(&client, web("one", 80)).await;
    registration.update(web("one", 81)).await.unwrap();
    let found = discovery(&client).instance("web", "one").await.unwrap();
    assert_eq!(found, Some(web("one", 81)));
    let another = registration.update(web("two", 81)).await;
    assert_eq!(another, Err(DiscoveryError::Another));
    client.delete("/services/web/one", -1).await.unwrap();
    assert_eq!(children(&client, "/services/web", 1).await, ["one"]);
    let found = discovery(&client).instance("web", "one").await.unwrap();
    assert_eq!(found, Some(web("one", 81)));
}

#[tokio::test]
async fn what_an_earlier_session_left_is_replaced() {
    let world = World::new();
    let (dead, wire) = world.client_by_wire().await;
    let _left = register(&dead, web("one", 80)).await;
    wire.cut();
    let client = world.client().await;
    let begun = tokio::time::Instant::now();
    let _now = register(&client, web("one", 81)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "it waited for the old session"
    );
    let stat = client.exists("/services/web/one").await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, client.session().0);
}

#[tokio::test]
async fn a_registration_whose_answer_is_lost_is_one_registration() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    other
        .create("/services", "", &CreateOptions::persistent())
        .await
        .unwrap();
    other
        .create("/services/web", "", &CreateOptions::persistent())
        .await
        .unwrap();
    client.sync("/").await.unwrap();
    let service = discovery(&client);
    let mut numbered = web("s", 80);
    numbered.kind = ServiceKind::DynamicSequential;
    wire.swallow_replies();
    let registering = tokio::spawn(async move { service.register(numbered).await });
    let names = children(&other, "/services/web", 1).await;
    wire.break_once();
    let registration = soon(registering).await.unwrap().unwrap();
    assert_eq!(children(&other, "/services/web", 1).await, names);
    soon(registration.unregister()).await.unwrap();
    assert!(children(&other, "/services/web", 0).await.is_empty());
}

#[tokio::test]
async fn what_is_no_instance_is_passed_over() {
    let world = World::new();
    let client = world.client().await;
    let _one = register(&client, web("one", 80)).await;
    let plain = CreateOptions::persistent();
    client
        .create("/services/web/odd", "odd", &plain)
        .await
        .unwrap();
    let found = discovery(&client).instances("web").await.unwrap();
    assert_eq!(found.len(), 1);
    let odd = discovery(&client).instance("web", "odd").await.unwrap_err();
    assert!(
        matches!(odd, DiscoveryError::NotAnInstance { path, .. } if path == "/services/web/odd")
    );
    let provider = discovery(&client)
        .provider("web", Strategy::Random)
        .unwrap();
    until(&provider, &["one"]).await;
    for name in ["", "a/b"] {
        assert!(discovery(&client).instances(name).await.is_err());
    }
}

#[tokio::test]
async fn round_robin_takes_one_after_another() {
    let world = World::new();
    let (provider, _registered, _client) = three(&world, Strategy::RoundRobin).await;
    assert_eq!(picks(&provider, 5), ["a", "b", "c", "a", "b"]);
}

#[tokio::test]
async fn random_takes_each_about_as_often() {
    let world = World::new();
    let (provider, _registered, _client) = three(&world, Strategy::Random).await;
    let mut counts = BTreeMap::new();
    for id in picks(&provider, 600) {
        *counts.entry(id).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3);
    assert!(
        counts.values().all(|count| (100..300).contains(count)),
        "{counts:?}"
    );
}

#[tokio::test]
async fn sticky_takes_the_same_as_long_as_it_is_there() {
    let world = World::new();
    let (provider, mut registered, _client) = three(&world, Strategy::Sticky).await;
    let first = picks(&provider, 1).remove(0);
    assert!(picks(&provider, 20).iter().all(|id| *id == first));
    let at = registered
        .iter()
        .position(|one| one.instance().id == first)
        .unwrap();
    soon(registered.remove(at).unregister()).await.unwrap();
    soon(provider.sync()).await.unwrap();
    let second = picks(&provider, 1).remove(0);
    assert_ne!(second, first);
    assert!(picks(&provider, 20).iter().all(|id| *id == second));
}

#[tokio::test]
async fn an_instance_that_fails_is_left_out_for_a_while() {
    let world = World::new();
    let (provider, _registered, _client) = three(&world, Strategy::RoundRobin).await;
    let time = Duration::from_millis(400);
    let provider = provider.leave_out(2, time);
    let failing = provider.instances().remove(0);
    provider.note_error(&failing);
    assert_eq!(provider.instances().len(), 3, "one error is none");
    provider.note_error(&failing);
    assert_eq!(picks(&provider, 4), ["b", "c", "b", "c"]);
    // Time is what is tested.
    tokio::time::sleep(time).await;
    assert_eq!(provider.instances().len(), 3);
    provider.note_error(&failing);
    assert_eq!(provider.instances().len(), 3, "old errors are forgotten");
    for instance in provider.instances() {
        provider.note_error(&instance);
        provider.note_error(&instance);
    }
    assert_eq!(provider.pick(), None);
}

#[tokio::test]
async fn an_instance_that_is_not_enabled_is_not_chosen() {
    let world = World::new();
    let (provider, mut registered, _client) = three(&world, Strategy::RoundRobin).await;
    let mut off = web("b", 2);
    off.is_enabled = false;
    registered[1].update(off).await.unwrap();
    until(&provider, &["a", "c"]).await;
    registered[1].update(web("b", 2)).await.unwrap();
    until(&provider, &["a", "b", "c"]).await;
}

#[tokio::test]
async fn a_provider_offers_what_it_knew_while_the_line_is_cut() {
    let world = World::new();
    let (client, wire) = world.client_by_wire().await;
    let other = world.client().await;
    let one = register(&other, web("one", 80)).await;
    let provider = discovery(&client)
        .provider("web", Strategy::RoundRobin)
        .unwrap();
    until(&provider, &["one"]).await;
    wire.cut();
    reach(&client, State::Suspended).await;
    soon(one.unregister()).await.unwrap();
    let _two = register(&other, web("two", 80)).await;
    assert_eq!(picks(&provider, 2), ["one", "one"]);
    wire.mend();
    until(&provider, &["two"]).await;
}

#[tokio::test]
async fn an_instance_goes_with_its_session() {
    let world = World::new();
    let (client, wire) = world.brief_client_by_wire().await;
    let other = world.client().await;
    let provider = discovery(&other)
        .provider("web", Strategy::RoundRobin)
        .unwrap();
    let mut registration = register(&client, web("one", 80)).await;
    until(&provider, &["one"]).await;
    wire.cut();
    until(&provider, &[]).await;
    wire.mend();
    reach(&client, State::Expired).await;
    let late = soon(registration.update(web("one", 81))).await;
    assert_eq!(late, Err(DiscoveryError::Client(Error::SessionExpired)));
}

#[tokio::test]
async fn a_registration_outlives_a_restart_of_the_server() {
    let mut world = World::new();
    let client = world.client().await;
    let _one = register(&client, web("one", 80)).await;
    let provider = discovery(&client)
        .provider("web", Strategy::RoundRobin)
        .unwrap();
    until(&provider, &["one"]).await;
    world.stop();
    reach(&client, State::Suspended).await;
    world.start();
    let _two = register(&client, web("two", 80)).await;
    until(&provider, &["one", "two"]).await;
}

#[tokio::test]
async fn services_outlive_the_loss_of_the_leader() {
    let mut ensemble = Ensemble::new().await;
    let (client, other) = (ensemble.client().await, ensemble.client().await);
    let provider = discovery(&other)
        .provider("web", Strategy::RoundRobin)
        .unwrap();
    let _one = register(&client, web("one", 80)).await;
    until(&provider, &["one"]).await;
    ensemble.lose_leader().await;
    let _two = register(&client, web("two", 80)).await;
    until(&provider, &["one", "two"]).await;
    let found = soon(discovery(&other).instances("web")).await.unwrap();
    assert_eq!(found.len(), 2);
}
