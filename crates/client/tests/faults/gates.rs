//! All together.

use rookeeper_client::recipes::barrier::Barrier;
use rookeeper_client::recipes::double_barrier::{DoubleBarrier, Inside};
use rookeeper_client::{Client, Error, OpCode};
use tokio::task::JoinHandle;

use super::scene::{Recipe, Scene};
use super::world::soon;

const PATH: &str = "/x";

pub struct Barriers;

fn waiting(client: &Client) -> JoinHandle<Result<(), Error>> {
    let barrier = Barrier::new(client, PATH);
    tokio::spawn(async move { barrier.wait().await })
}

impl Recipe for Barriers {
    const NAME: &str = "barrier";

    async fn unanswered(scene: Scene) {
        let barrier = Barrier::new(&scene.client, PATH);
        let (set, remove) = (barrier.clone(), barrier.clone());
        let seen = scene.there(PATH, true);
        let set = scene.unanswered(OpCode::Create2, async move { set.set().await }, seen);
        set.await.unwrap();
        let stops = async move { barrier.wait().await };
        let stopped = waiting(&scene.other);
        let passes = scene.unanswered_read(OpCode::Exists, stops);
        let removal = async {
            Barrier::new(&scene.other, PATH).remove().await.unwrap();
        };
        let (passed, ()) = tokio::join!(passes, removal);
        passed.unwrap();
        soon(stopped).await.unwrap().unwrap();
        Barrier::new(&scene.other, PATH).set().await.unwrap();
        let seen = scene.there(PATH, false);
        let removed = async move { remove.remove().await };
        let removed = scene.unanswered(OpCode::Delete, removed, seen).await;
        removed.unwrap();
    }

    async fn expires(scene: Scene) {
        Barrier::new(&scene.client, PATH).set().await.unwrap();
        let (dies, waits) = (waiting(&scene.client), waiting(&scene.other));
        scene.fault().await;
        assert_eq!(soon(dies).await.unwrap(), Err(Error::SessionExpired));
        // It does not go with the session of who has set it.
        assert!(!waits.is_finished());
        Barrier::new(&scene.other, PATH).remove().await.unwrap();
        soon(waits).await.unwrap().unwrap();
    }

    async fn lives_on(scene: Scene) {
        Barrier::new(&scene.client, PATH).set().await.unwrap();
        let waiting = [waiting(&scene.client), waiting(&scene.other)];
        scene.fault().await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        Barrier::new(&scene.other, PATH).remove().await.unwrap();
        for waiting in waiting {
            soon(waiting).await.unwrap().unwrap();
        }
    }
}

pub struct DoubleBarriers;

fn entering(client: &Client) -> impl Future<Output = Result<Inside, Error>> + use<> {
    let barrier = DoubleBarrier::new(client, PATH, 2);
    async move { barrier.enter().await }
}

/// Both leave together.
async fn leave(first: Inside, second: Inside) {
    let both = async { tokio::join!(first.leave(), second.leave()) };
    let (first, second) = soon(both).await;
    first.unwrap();
    second.unwrap();
}

impl Recipe for DoubleBarriers {
    const NAME: &str = "double_barrier";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let entering_first = entering(&scene.client);
        let seen = async { drop(scene.count(PATH, 1).await) };
        let both = async {
            tokio::join!(
                scene.unanswered(OpCode::Create2, entering_first, async {
                    seen.await;
                }),
                async {
                    scene.count(PATH, 1).await;
                    soon(entering(&scene.other)).await.unwrap()
                },
            )
        };
        let (first, second) = soon(both).await;
        // Two members, and the znode that says that they are enough.
        assert_eq!(scene.count(PATH, 3).await.len(), 3);
        let leaving = tokio::spawn(second.leave());
        soon(first.unwrap().leave()).await.unwrap();
        soon(leaving).await.unwrap().unwrap();
        scene.count(PATH, 0).await;
    }

    async fn expires(scene: Scene) {
        let dies = tokio::spawn(entering(&scene.client));
        scene.count(PATH, 1).await;
        scene.fault().await;
        assert_eq!(
            soon(dies).await.unwrap().unwrap_err(),
            Error::SessionExpired
        );
        // Who has died is not counted.
        scene.count(PATH, 0).await;
        let first = tokio::spawn(entering(&scene.other));
        scene.count(PATH, 1).await;
        assert!(!first.is_finished());
        let second = soon(entering(&scene.other)).await.unwrap();
        leave(soon(first).await.unwrap().unwrap(), second).await;
    }

    async fn lives_on(scene: Scene) {
        let first = tokio::spawn(entering(&scene.client));
        scene.count(PATH, 1).await;
        scene.fault().await;
        assert!(!first.is_finished());
        let second = soon(entering(&scene.other)).await.unwrap();
        leave(soon(first).await.unwrap().unwrap(), second).await;
        scene.count(PATH, 0).await;
    }
}
