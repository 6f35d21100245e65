//! Many contenders for one mutex, on lines that break at random: never two holders.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets and files: a failure is its result"
)]

mod world;

use std::sync::{Arc, Mutex as Shared};
use std::time::{Duration, Instant};

use rookeeper_client::recipes::guard::Guard;
use rookeeper_client::recipes::mutex::Mutex;
use rookeeper_client::{Client, Error, Zxid};
use tokio::sync::Mutex as Turnstile;
use tokio::task::yield_now;
use tokio::time::sleep;
use world::{BRIEF, Wire, World, builder, soon};

const PATH: &str = "/locks/stress";
const CONTENDERS: usize = 30;
const MACHINES: usize = 3;
/// How often each contender wants the lock.
const TURNS: usize = 6;
/// Some turns are so long that the session may end meanwhile.
const LONG: Duration = BRIEF.saturating_mul(3);
/// One of so many.
const LONG_ONE_OF: u8 = 40;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// A holder is told when a third of its session's time is left. Who stood still so long cannot have been.
const STANDSTILL: Duration = Duration::from_millis(300);
/// How often the pulse is felt.
const PULSE: Duration = Duration::from_millis(20);

/// A line, and the client that uses it: another one after each end of a session.
struct Machine {
    wire: Wire,
    client: Turnstile<Client>,
}

impl Machine {
    async fn new(world: &World) -> Self {
        let wire = Wire::to(world.address()).await;
        let client = Turnstile::new(Self::connect(&wire).await);
        Self { wire, client }
    }

    async fn connect(wire: &Wire) -> Client {
        let hosts = wire.address.to_string();
        let brief = builder().session_timeout(BRIEF);
        soon(brief.connect(&hosts)).await.unwrap()
    }

    async fn client(&self) -> Client {
        let mut client = self.client.lock().await;
        if client.state().is_final() {
            *client = Self::connect(&self.wire).await;
        }
        client.clone()
    }

    /// Breaks the line in some way, for some time.
    async fn trouble(&self, rng: &mut fastrand::Rng) {
        let time = Duration::from_millis(rng.u64(0..200));
        match rng.u8(0..8) {
            0..3 => self.wire.break_once(),
            3 | 4 => self.during(time, Wire::swallow_replies).await,
            5 => self.during(time, Wire::cut).await,
            6 => self.during(time, Wire::hold).await,
            // Longer than the session lasts.
            _ => self.during(BRIEF * 2, Wire::hold).await,
        }
    }

    async fn during(&self, time: Duration, trouble: fn(&Wire)) {
        trouble(&self.wire);
        sleep(time).await;
        self.wire.break_once();
    }
}

/// Sees everything.
#[derive(Default)]
struct Witness {
    /// What the lock protects: it refuses tokens that are too small.
    last_token: Zxid,
    counter: usize,
    /// Writes that were accepted.
    accepted: usize,
    refused: usize,
    inside: Vec<Arc<Guard>>,
    ended_sessions: usize,
    /// When this process last stood still.
    stood_still: Option<Instant>,
}

impl Witness {
    /// Nobody else may believe that it holds the lock; after a standstill somebody may, and the token is what protects.
    fn enter(&mut self, guard: &Arc<Guard>) {
        let other = self.inside.iter().find(|other| other.is_held());
        let excused = self.stood_still.is_some_and(|at| at.elapsed() < BRIEF * 2);
        if let Some(other) = other.filter(|_| guard.is_held() && !excused) {
            panic!("two holders: {} and {}", other.path(), guard.path());
        }
        assert!(guard.token() > self.last_token, "a token came back");
        self.last_token = guard.token();
        self.inside.push(Arc::clone(guard));
    }

    fn leave(&mut self, guard: &Arc<Guard>) {
        self.inside.retain(|other| !Arc::ptr_eq(other, guard));
    }

    /// A write with a token.
    fn write(&mut self, token: Zxid, value: usize) {
        if token < self.last_token {
            self.refused += 1;
            return;
        }
        self.counter = value;
        self.accepted += 1;
    }

    /// Everything is over.
    fn judge(&self) {
        eprintln!(
            "{} writes, {} refused, {} sessions ended under a contender",
            self.accepted, self.refused, self.ended_sessions
        );
        assert_eq!(self.counter, self.accepted, "a write was lost");
        assert!(self.accepted > CONTENDERS * TURNS / 2);
    }
}

/// One turn: a read and a write of the counter with time in between.
async fn turn(mutex: &Mutex, witness: &Shared<Witness>, pause: Duration) -> Result<(), Error> {
    let guard = Arc::new(mutex.lock().await?);
    witness.lock().unwrap().enter(&guard);
    let seen = witness.lock().unwrap().counter;
    tokio::select! {
        () = guard.lost() => {}
        () = sleep(pause) => {}
    }
    yield_now().await;
    if guard.is_held() {
        witness.lock().unwrap().write(guard.token(), seen + 1);
    }
    witness.lock().unwrap().leave(&guard);
    let guard = Arc::into_inner(guard).unwrap();
    guard.release().await
}

async fn contender(machine: Arc<Machine>, witness: Arc<Shared<Witness>>, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut done = 0;
    while done < TURNS {
        let mutex = Mutex::new(&machine.client().await, PATH);
        let long = rng.u8(0..LONG_ONE_OF) == 0;
        let pause = if long {
            LONG
        } else {
            Duration::from_millis(rng.u64(0..4))
        };
        match turn(&mutex, &witness, pause).await {
            Ok(()) => done += 1,
            Err(Error::SessionExpired) => witness.lock().unwrap().ended_sessions += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Notices when this process gets no time to run.
async fn pulse(witness: Arc<Shared<Witness>>) {
    loop {
        let begun = Instant::now();
        sleep(PULSE).await;
        if begun.elapsed() > STANDSTILL {
            witness.lock().unwrap().stood_still = Some(Instant::now());
        }
    }
}

async fn troubles(machine: Arc<Machine>, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        sleep(Duration::from_millis(rng.u64(20..300))).await;
        machine.trouble(&mut rng).await;
    }
}

#[tokio::test]
async fn there_are_never_two_holders_whatever_breaks() {
    let seed =
        std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("SEED={seed}");
    let world = World::new();
    let witness = Arc::<Shared<Witness>>::default();
    let mut background = vec![tokio::spawn(pulse(Arc::clone(&witness)))];
    let mut machines = Vec::new();
    for at in 0..MACHINES {
        let machine = Arc::new(Machine::new(&world).await);
        let seed = seed.wrapping_add(at as u64);
        background.push(tokio::spawn(troubles(Arc::clone(&machine), seed)));
        machines.push(machine);
    }
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|at| {
            let machine = Arc::clone(&machines[at % MACHINES]);
            let seed = seed.wrapping_add(1000 + at as u64);
            tokio::spawn(contender(machine, Arc::clone(&witness), seed))
        })
        .collect();
    let all = async {
        for contender in contenders {
            contender.await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("not in time");
    background.iter().for_each(tokio::task::JoinHandle::abort);
    witness.lock().unwrap().judge();
    // Nothing is left behind: what was dropped on the way was deleted, or went with its session.
    machines.iter().for_each(|machine| machine.wire.mend());
    world::children(&world.client().await, PATH, 0).await;
}
