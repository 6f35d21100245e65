//! What a subscriber of `tracing` sees of a client: spans of the session, of its connections and of its requests.
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
use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use world::{World, soon};

/// A span as it was seen: its name, its fields, and that nobody has it any more.
#[derive(Debug, Clone, Default)]
struct Seen {
    name: String,
    fields: BTreeMap<String, String>,
    holders: usize,
}

/// Remembers all spans of the client, in the order in which they came.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Seen>>>);

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.fields.insert(field.name().to_owned(), text);
    }
}

impl Spans {
    fn on<T>(&self, id: &Id, what: impl FnOnce(&mut Seen) -> T) -> T {
        what(&mut self.0.lock()[id.into_u64() as usize - 1])
    }

    fn named(&self, name: &str) -> Vec<Seen> {
        let all = self.0.lock();
        all.iter()
            .filter(|seen| seen.name == name)
            .cloned()
            .collect()
    }
}

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("rookeeper_client")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut seen = Seen {
            name: span.metadata().name().to_owned(),
            holders: 1,
            ..Seen::default()
        };
        span.record(&mut seen);
        let mut all = self.0.lock();
        all.push(seen);
        Id::from_u64(all.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.on(span, |seen| values.record(seen));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.on(id, |seen| seen.holders += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        self.on(&id, |seen| {
            seen.holders -= 1;
            seen.holders == 0
        })
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_session_its_connections_and_its_requests_are_spans() {
    let spans = Spans::default();
    tracing::subscriber::set_global_default(spans.clone()).unwrap();
    let world = World::new();
    let client = world.client().await;
    let (session, server) = (client.session().to_string(), world.hosts());
    client.data("/").await.unwrap();
    client.exists("/none").await.unwrap();

    let requests = spans.named("request");
    let told = |seen: &Seen, field: &str| seen.fields[field].clone();
    assert_eq!(requests.len(), 2, "{requests:?}");
    for (seen, op, path, xid) in [
        (&requests[0], "GetData", "/", "1"),
        (&requests[1], "Exists", "/none", "2"),
    ] {
        assert_eq!(
            (told(seen, "op"), told(seen, "path")),
            (op.into(), path.into())
        );
        assert_eq!(
            (told(seen, "xid"), told(seen, "session")),
            (xid.into(), session.clone())
        );
        assert_eq!(seen.holders, 0, "it ends with the answer");
    }
    assert_eq!(told(&spans.named("session")[0], "session"), session);
    assert_eq!(told(&spans.named("connect")[0], "server"), server);
    assert_eq!(told(&spans.named("connection")[0], "server"), server);

    soon(client.close()).await.unwrap();
    let gone = async {
        while spans.named("session")[0].holders > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    assert_eq!(spans.named("connection")[0].holders, 0);
}
