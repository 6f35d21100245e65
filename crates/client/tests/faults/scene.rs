//! What a recipe is tried in: two clients, and a fault that happens to all recipes at once.

use std::pin::Pin;
use std::sync::Arc;

use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::{Client, CreateOptions, Error, OpCode};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::world::{Wire, soon};

/// What a recipe does in the face of each fault.
pub trait Recipe {
    const NAME: &str;

    /// The connection breaks after a request of the recipe was executed and before its answer comes. The scene has a wire.
    fn unanswered(scene: Scene) -> impl Future<Output = ()> + Send;

    /// The session of `client` ends, that of `other` does not.
    fn expires(scene: Scene) -> impl Future<Output = ()> + Send;

    /// `client` loses its server, and finds its session again: the server was started again, or the leader is another one.
    fn lives_on(scene: Scene) -> impl Future<Output = ()> + Send;
}

type Played = Pin<Box<dyn Future<Output = ()> + Send>>;
pub type Play = fn(Scene) -> Played;

/// A recipe by its name.
pub struct Entry {
    pub name: &'static str,
    pub unanswered: Play,
    pub expires: Play,
    pub lives_on: Play,
}

pub const fn entry<R: Recipe + 'static>() -> Entry {
    Entry {
        name: R::NAME,
        unanswered: |scene| Box::pin(R::unanswered(scene)),
        expires: |scene| Box::pin(R::expires(scene)),
        lives_on: |scene| Box::pin(R::lives_on(scene)),
    }
}

/// Two clients whose roots are of this recipe alone.
pub struct Scene {
    /// To whom it happens.
    pub client: Client,
    /// Who sees it.
    pub other: Client,
    wire: Option<Wire>,
    cue: Option<Cue>,
}

/// Where a recipe says that it is ready, and hears that the fault is over.
#[derive(Clone)]
pub struct Cue {
    ready: mpsc::UnboundedSender<()>,
    over: watch::Receiver<bool>,
}

/// The other side of all cues.
pub struct Director {
    cue: Cue,
    ready: mpsc::UnboundedReceiver<()>,
    over: watch::Sender<bool>,
    playing: JoinSet<(&'static str, bool)>,
}

impl Scene {
    /// Below the root of the clients, which are its own: `client` is behind the wire.
    pub async fn by_wire(name: &str, client: &Client, other: &Client, wire: Wire) -> Self {
        let mut scene = Self::new(name, client, other).await;
        scene.wire = Some(wire);
        scene
    }

    async fn new(name: &str, client: &Client, other: &Client) -> Self {
        let root = format!("/{name}");
        let created = other.create(&root, "", &CreateOptions::persistent()).await;
        created.unwrap();
        Self {
            client: client.chroot(&root).unwrap(),
            other: other.chroot(&root).unwrap(),
            wire: None,
            cue: None,
        }
    }

    /// Says that everything is prepared, and waits until the fault has happened and its consequences are known.
    pub async fn fault(&self) {
        let mut cue = self.cue.clone().unwrap();
        cue.ready.send(()).unwrap();
        soon(cue.over.wait_for(|over| *over)).await.unwrap();
    }

    /// Does something of which the first request of this kind is executed and not answered: `seen` waits until `other` sees that.
    pub async fn unanswered<T: Send + 'static>(
        &self,
        op: OpCode,
        what: impl Future<Output = T> + Send + 'static,
        seen: impl Future<Output = ()>,
    ) -> T {
        let wire = self.wire.as_ref().unwrap();
        wire.swallow_replies_from(op);
        let doing = tokio::spawn(what);
        seen.await;
        wire.break_once();
        soon(doing).await.unwrap()
    }

    /// The same for something that changes nothing.
    pub async fn unanswered_read<T: Send + 'static>(
        &self,
        op: OpCode,
        what: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let wire = self.wire.as_ref().unwrap();
        wire.requests();
        self.unanswered(op, what, async {
            let mut asked = 0;
            while !wire.requests().contains(&op) {
                asked += 1;
                assert!(asked < 100, "it never asked");
                wire.asked(1).await;
            }
        })
        .await
    }

    /// Makes containers, so that the first request of a recipe is the one that counts.
    pub async fn make(&self, paths: &[&str]) {
        for path in paths {
            let created = self.other.create(path, "", &CreateOptions::container());
            created.await.unwrap();
        }
    }

    /// Waits until `path`, which need not be there yet, has so many children.
    pub async fn count(&self, path: &str, count: usize) -> Vec<String> {
        count_at(&self.other, path, count).await
    }

    /// Waits until there is such a znode, or none.
    pub async fn there(&self, path: &str, wanted: bool) {
        soon(async {
            loop {
                let (stat, changed) = self.other.exists_watched(path).await.unwrap();
                if stat.is_some() == wanted {
                    return;
                }
                changed.await.unwrap();
            }
        })
        .await;
    }
}

async fn count_at(client: &Client, path: &str, count: usize) -> Vec<String> {
    soon(async {
        loop {
            let changed = match client.children_watched(path).await {
                Ok((children, _)) if children.names.len() == count => return children.names,
                Ok((_, changed)) => changed,
                Err(error) if error.is_no_node() => {
                    if count == 0 {
                        return Vec::new();
                    }
                    let (stat, created) = client.exists_watched(path).await.unwrap();
                    if stat.is_some() {
                        continue;
                    }
                    created
                }
                Err(error) => panic!("{error}"),
            };
            changed.await.unwrap();
        }
    })
    .await
}

impl Director {
    pub fn new() -> Self {
        let (tell, ready) = mpsc::unbounded_channel();
        let (over, seen) = watch::channel(false);
        Self {
            cue: Cue {
                ready: tell,
                over: seen,
            },
            ready,
            over,
            playing: JoinSet::new(),
        }
    }

    /// Begins to play for all, with the same clients.
    pub async fn begin(
        &mut self,
        recipes: &[Entry],
        play: fn(&Entry) -> Play,
        client: &Client,
        other: &Client,
    ) {
        for recipe in recipes {
            let mut scene = Scene::new(recipe.name, client, other).await;
            scene.cue = Some(self.cue.clone());
            self.play(recipe.name, play(recipe), scene);
        }
        for _ in recipes {
            tokio::select! {
                ready = soon(self.ready.recv()) => ready.unwrap(),
                Some(played) = self.playing.join_next() => {
                    panic!("{} has ended before the fault", played.unwrap().0);
                }
            }
        }
    }

    pub fn play(&mut self, name: &'static str, play: Play, scene: Scene) {
        self.playing.spawn(async move {
            let played = tokio::spawn(play(scene)).await;
            (name, played.is_ok())
        });
    }

    /// Says that the fault is over, and waits until all have played to the end.
    pub async fn end(mut self) {
        self.over.send_replace(true);
        let mut failed = Vec::new();
        while let Some(played) = soon(self.playing.join_next()).await {
            let (name, is_well) = played.unwrap();
            if !is_well {
                failed.push(name);
            }
        }
        assert!(failed.is_empty(), "failed: {failed:?}");
    }
}

/// Waits for what the second one gets; the first one must know by then that it has nothing any more.
pub fn after(
    first: &Arc<Guard>,
    second: impl Future<Output = Result<Guard, Error>> + Send + 'static,
) -> JoinHandle<Guard> {
    let first = Arc::clone(first);
    tokio::spawn(async move {
        let second = second.await.unwrap();
        assert!(!first.is_held(), "two holders");
        assert!(second.token() > first.token(), "a token came back");
        second
    })
}
