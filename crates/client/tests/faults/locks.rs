//! One at a time, or a few: what two of them must never have at the same time.

use std::sync::Arc;

use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::multi_lock::MultiLock;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::recipes::protected::Protected;
use rookeeper_client::recipes::read_write_lock::ReadWriteLock;
use rookeeper_client::recipes::semaphore::Semaphore;
use rookeeper_client::{Client, CreateOptions, Error, OpCode};
use tokio::task::JoinHandle;

use super::scene::{Recipe, Scene, after};
use super::world::soon;

/// The znode of the lock.
const PATH: &str = "/x";

async fn got<T>(waiting: JoinHandle<T>) -> T {
    soon(waiting).await.unwrap()
}

fn locking(client: &Client) -> impl Future<Output = Result<Guard, Error>> + use<> {
    let mutex = Mutex::new(client, PATH);
    async move { mutex.lock().await }
}

pub struct Mutexes;

impl Recipe for Mutexes {
    const NAME: &str = "mutex";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let seen = async { drop(scene.count(PATH, 1).await) };
        let locking = locking(&scene.client);
        let guard = scene.unanswered(OpCode::Create2, locking, seen).await;
        let guard = guard.unwrap();
        assert_eq!(
            scene.count(PATH, 1).await,
            [guard.path().replace("/x/", "")]
        );
        let seen = async { drop(scene.count(PATH, 0).await) };
        let released = scene.unanswered(OpCode::Delete, guard.release(), seen);
        released.await.unwrap();
    }

    async fn expires(scene: Scene) {
        let guard = Arc::new(locking(&scene.client).await.unwrap());
        let next = after(&guard, locking(&scene.other));
        scene.count(PATH, 2).await;
        let dies = tokio::spawn(locking(&scene.client));
        scene.count(PATH, 3).await;
        let last = tokio::spawn(locking(&scene.other));
        scene.count(PATH, 4).await;
        scene.fault().await;
        assert_eq!(got(dies).await.unwrap_err(), Error::SessionExpired);
        let guard = Arc::into_inner(guard).unwrap();
        assert_eq!(guard.release().await, Err(Error::SessionExpired));
        got(next).await.release().await.unwrap();
        drop(got(last).await.unwrap());
        let refused = locking(&scene.client).await;
        assert_eq!(refused.unwrap_err(), Error::SessionExpired);
    }

    async fn lives_on(scene: Scene) {
        let guard = locking(&scene.client).await.unwrap();
        let next = tokio::spawn(locking(&scene.other));
        scene.count(PATH, 2).await;
        tokio::join!(guard.lost(), scene.fault());
        assert!(guard.is_held() && !next.is_finished());
        let token = guard.token();
        guard.release().await.unwrap();
        assert!(got(next).await.unwrap().token() > token);
    }
}

pub struct ReadWriteLocks;

fn reading(client: &Client) -> impl Future<Output = Result<Guard, Error>> + use<> {
    let lock = ReadWriteLock::new(client, PATH);
    async move { lock.read().await }
}

impl Recipe for ReadWriteLocks {
    const NAME: &str = "read_write_lock";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let lock = ReadWriteLock::new(&scene.client, PATH);
        let writing = {
            let lock = lock.clone();
            async move { lock.write().await }
        };
        let seen = async { drop(scene.count(PATH, 1).await) };
        let writer = scene.unanswered(OpCode::Create2, writing, seen).await;
        let writer = writer.unwrap();
        let names = scene.count(PATH, 1).await;
        assert_eq!(names, [writer.path().replace("/x/", "")]);
        // The same number, and another word.
        let path = writer.path().to_owned();
        let seen = scene.there(&path, false);
        let turned = scene.unanswered(OpCode::Multi, writer.downgrade(), seen);
        let reader = turned.await.unwrap();
        let stat = scene.other.exists(reader.path()).await.unwrap();
        assert!(stat.is_some());
        assert_eq!(scene.count(PATH, 1).await.len(), 1);
        let reading = reading(&scene.other).await.unwrap();
        reader.release().await.unwrap();
        reading.release().await.unwrap();
    }

    async fn expires(scene: Scene) {
        let writer = ReadWriteLock::new(&scene.client, PATH).write().await;
        let writer = writer.unwrap();
        let next = tokio::spawn(reading(&scene.other));
        scene.count(PATH, 2).await;
        let dies = tokio::spawn(reading(&scene.client));
        scene.count(PATH, 3).await;
        scene.fault().await;
        assert!(!writer.is_held());
        assert!(got(next).await.unwrap().token() > writer.token());
        assert_eq!(got(dies).await.unwrap_err(), Error::SessionExpired);
        let reader = writer.downgrade().await;
        assert_eq!(reader.unwrap_err(), Error::SessionExpired);
    }

    async fn lives_on(scene: Scene) {
        let writer = ReadWriteLock::new(&scene.client, PATH).write().await;
        let writer = writer.unwrap();
        let reader = tokio::spawn(reading(&scene.other));
        scene.count(PATH, 2).await;
        tokio::join!(writer.lost(), scene.fault());
        assert!(writer.is_held() && !reader.is_finished());
        let own = writer.downgrade().await.unwrap();
        let reader = got(reader).await.unwrap();
        assert!(own.is_held() && reader.is_held());
    }
}

pub struct Semaphores;

const LEASES: &str = "/x/leases";
const LOCKS: &str = "/x/locks";

fn acquiring(client: &Client) -> impl Future<Output = Result<Guard, Error>> + use<> {
    let semaphore = Semaphore::new(client, PATH, 1);
    async move { semaphore.acquire().await }
}

impl Recipe for Semaphores {
    const NAME: &str = "semaphore";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH, LOCKS, LEASES]).await;
        // The first create is that of the lock, the second that of the lease.
        let seen = async { drop(scene.count(LOCKS, 1).await) };
        let acquiring = acquiring(&scene.client);
        let lease = scene.unanswered(OpCode::Create2, acquiring, seen).await;
        let lease = lease.unwrap();
        assert_eq!(scene.count(LEASES, 1).await.len(), 1);
        scene.count(LOCKS, 0).await;
        let seen = async { drop(scene.count(LEASES, 0).await) };
        let released = scene.unanswered(OpCode::Delete, lease.release(), seen);
        released.await.unwrap();
    }

    async fn expires(scene: Scene) {
        let lease = Arc::new(acquiring(&scene.client).await.unwrap());
        scene.count(LOCKS, 0).await;
        let next = after(&lease, acquiring(&scene.other));
        scene.count(LOCKS, 1).await;
        let dies = tokio::spawn(acquiring(&scene.client));
        scene.count(LOCKS, 2).await;
        scene.fault().await;
        drop(got(next).await);
        assert_eq!(got(dies).await.unwrap_err(), Error::SessionExpired);
    }

    async fn lives_on(scene: Scene) {
        let lease = acquiring(&scene.client).await.unwrap();
        scene.count(LOCKS, 0).await;
        let next = tokio::spawn(acquiring(&scene.other));
        scene.count(LEASES, 2).await;
        tokio::join!(lease.lost(), scene.fault());
        assert!(lease.is_held() && !next.is_finished());
        lease.release().await.unwrap();
        assert!(got(next).await.unwrap().is_held());
    }
}

pub struct MultiLocks;

const BOTH: [&str; 2] = ["/x", "/y"];

impl Recipe for MultiLocks {
    const NAME: &str = "multi_lock";

    async fn unanswered(scene: Scene) {
        scene.make(&BOTH).await;
        let both = MultiLock::new(&scene.client, BOTH);
        let seen = async { drop(scene.count("/x", 1).await) };
        let guards = scene
            .unanswered(OpCode::Create2, async move { both.lock().await }, seen)
            .await
            .unwrap();
        for path in BOTH {
            assert_eq!(scene.count(path, 1).await.len(), 1);
        }
        // The last one is released first.
        let seen = async { drop(scene.count("/y", 0).await) };
        let released = scene.unanswered(OpCode::Delete, guards.release(), seen);
        released.await.unwrap();
        scene.count("/x", 0).await;
    }

    async fn expires(scene: Scene) {
        let held = MultiLock::new(&scene.client, BOTH).lock().await.unwrap();
        let held = Arc::new(held);
        let next = {
            let (both, held) = (MultiLock::new(&scene.other, BOTH), Arc::clone(&held));
            tokio::spawn(async move {
                let guards = both.lock().await.unwrap();
                assert!(!held.is_held(), "two holders");
                guards
            })
        };
        scene.count("/x", 2).await;
        scene.fault().await;
        let next = got(next).await;
        assert!(next.is_held());
        let larger = next.tokens().into_iter().zip(held.tokens());
        assert!(larger.into_iter().all(|(new, old)| new > old));
    }

    async fn lives_on(scene: Scene) {
        let held = MultiLock::new(&scene.client, BOTH).lock().await.unwrap();
        let next = {
            let both = MultiLock::new(&scene.other, BOTH);
            tokio::spawn(async move { both.lock().await })
        };
        scene.count("/x", 2).await;
        tokio::join!(held.lost(), scene.fault());
        assert!(held.is_held() && !next.is_finished());
        held.release().await.unwrap();
        assert!(got(next).await.unwrap().is_held());
    }
}

pub struct ProtectedCreates;

fn member(client: &Client) -> Protected {
    let options = CreateOptions::ephemeral_sequential();
    Protected::new(client, "/x/member-", "me", options)
}

impl Recipe for ProtectedCreates {
    const NAME: &str = "protected";

    async fn unanswered(scene: Scene) {
        scene.make(&[PATH]).await;
        let member = member(&scene.client);
        let creating = {
            let member = member.clone();
            async move { member.create().await }
        };
        let seen = async { drop(scene.count(PATH, 1).await) };
        let created = scene.unanswered(OpCode::Create2, creating, seen).await;
        let created = created.unwrap();
        assert_eq!(member.find().await.unwrap(), Some(created));
        scene.count(PATH, 1).await;
        let seen = async { drop(scene.count(PATH, 0).await) };
        let removing = async move { member.remove().await };
        let removed = scene.unanswered(OpCode::Delete, removing, seen).await;
        removed.unwrap();
    }

    async fn expires(scene: Scene) {
        let member = member(&scene.client);
        member.create().await.unwrap();
        scene.fault().await;
        scene.count(PATH, 0).await;
        assert_eq!(member.create().await, Err(Error::SessionExpired));
        assert_eq!(member.find().await, Err(Error::SessionExpired));
    }

    async fn lives_on(scene: Scene) {
        let member = member(&scene.client);
        let created = member.create().await.unwrap();
        scene.fault().await;
        assert_eq!(member.find().await.unwrap(), Some(created));
        member.remove().await.unwrap();
        scene.count(PATH, 0).await;
    }
}
