//! One of several that leads.

use std::ops::ControlFlow;

use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::leader_latch::{LeaderLatch, Leadership};
use rookeeper_client::recipes::leader_selector::LeaderSelector;
use rookeeper_client::{Client, Error, OpCode, Zxid};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::scene::{Recipe, Scene};
use super::world::soon;

/// The line.
const PATH: &str = "/x";

pub struct Latches;

/// A leader, and one who waits.
async fn candidates(scene: &Scene) -> (LeaderLatch, Zxid, LeaderLatch) {
    let leader = LeaderLatch::join(&scene.client, PATH, "a");
    let token = soon(leader.lead()).await.unwrap();
    let other = LeaderLatch::join(&scene.other, PATH, "b");
    scene.count(PATH, 2).await;
    (leader, token, other)
}

impl Recipe for Latches {
    const NAME: &str = "leader_latch";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let client = scene.client.clone();
        let leading = async move {
            let latch = LeaderLatch::join(&client, PATH, "a");
            latch.lead().await.unwrap();
            latch
        };
        let seen = async { drop(scene.count(PATH, 1).await) };
        let latch = scene.unanswered(OpCode::Create2, leading, seen).await;
        assert!(latch.is_leader());
        assert_eq!(latch.participants().await.unwrap().len(), 1);
        let seen = async { drop(scene.count(PATH, 0).await) };
        let left = scene.unanswered(OpCode::Delete, latch.leave(), seen).await;
        left.unwrap();
    }

    async fn expires(scene: Scene) {
        let (leader, token, other) = candidates(&scene).await;
        let next = async {
            let next = soon(other.lead()).await.unwrap();
            assert!(!leader.is_leader(), "two leaders");
            next
        };
        let (next, ()) = tokio::join!(next, scene.fault());
        assert!(next > token);
        let ended = Leadership::Ended(Error::SessionExpired);
        let mut leadership = leader.watch();
        soon(leadership.wait_for(|now| *now == ended))
            .await
            .unwrap();
        assert_eq!(leader.leave().await, Err(Error::SessionExpired));
    }

    async fn lives_on(scene: Scene) {
        let (leader, token, other) = candidates(&scene).await;
        tokio::join!(leader.lost(), scene.fault());
        assert_eq!(soon(leader.lead()).await, Ok(token));
        assert!(!other.is_leader());
        leader.leave().await.unwrap();
        assert!(soon(other.lead()).await.unwrap() > token);
    }
}

pub struct Selectors;

/// Leads whenever it can, and tells its guard each time, until the second time.
fn selector(
    client: &Client,
    rounds: usize,
) -> (JoinHandle<Result<(), Error>>, mpsc::UnboundedReceiver<Zxid>) {
    let selector = LeaderSelector::new(client, PATH, "a");
    let (tell, told) = mpsc::unbounded_channel();
    let mut round = 0;
    let work = move |leading: Guard| {
        round += 1;
        let (round, tell) = (round, tell.clone());
        async move {
            tell.send(leading.token()).unwrap();
            if round == rounds {
                return ControlFlow::Break(());
            }
            leading.lost().await;
            assert!(!leading.is_held());
            ControlFlow::Continue(())
        }
    };
    let leading = tokio::spawn(async move { selector.lead_repeatedly(work).await });
    (leading, told)
}

impl Recipe for Selectors {
    const NAME: &str = "leader_selector";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let client = scene.client.clone();
        let leading = async move {
            let selector = LeaderSelector::new(&client, PATH, "a");
            selector
                .lead(|_leading| async { selector.participants().await })
                .await
        };
        let seen = async { drop(scene.count(PATH, 1).await) };
        let leading = scene.unanswered(OpCode::Create2, leading, seen).await;
        assert_eq!(leading.unwrap().unwrap().len(), 1);
        scene.count(PATH, 0).await;
    }

    async fn expires(scene: Scene) {
        let (leading, mut told) = selector(&scene.client, 2);
        let token = soon(told.recv()).await.unwrap();
        let (next, mut told) = selector(&scene.other, 1);
        scene.count(PATH, 2).await;
        scene.fault().await;
        assert!(soon(told.recv()).await.unwrap() > token);
        soon(next).await.unwrap().unwrap();
        assert_eq!(soon(leading).await.unwrap(), Err(Error::SessionExpired));
    }

    async fn lives_on(scene: Scene) {
        let (leading, mut told) = selector(&scene.client, 2);
        let token = soon(told.recv()).await.unwrap();
        scene.fault().await;
        assert!(soon(told.recv()).await.unwrap() > token);
        soon(leading).await.unwrap().unwrap();
        scene.count(PATH, 0).await;
    }
}
