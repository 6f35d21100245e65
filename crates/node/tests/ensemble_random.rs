//! Whatever members die, come back, or are parted: what was acknowledged is there in the end, everybody has the same, and the ensemble
//! serves again. Each run is one seed.

mod world;

use std::collections::BTreeSet;

use rookeeper_proto::ids::{ServerId, SessionId};
use world::World;

const RUNS: u64 = 150;
const STEPS: usize = 60;
/// Longer than everything takes once nothing fails any more, ms.
const LONG: i64 = 8000;

/// A small generator: a failure is told with its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as usize
    }

    fn member(&mut self) -> i64 {
        self.roll(3) as i64 + 1
    }
}

/// A client of one member, as long as that serves.
struct Client {
    member: i64,
    conn: u32,
    session: SessionId,
    next_xid: i32,
}

#[derive(Default)]
struct Story {
    clients: Vec<Client>,
    /// Paths by member, connection and number.
    asked: Vec<(i64, u32, i32, String)>,
    acknowledged: BTreeSet<String>,
    conns: u32,
    elections: usize,
    truncations: usize,
}

impl Story {
    /// Replies that came since the last time.
    fn listen(&mut self, world: &mut World) {
        let ids: Vec<i64> = world.running.keys().map(|id| id.0).collect();
        for id in ids {
            for (conn, xid, code) in std::mem::take(&mut world.server(ServerId(id)).replies) {
                let asked = self
                    .asked
                    .iter()
                    .position(|(at, by, number, _)| (*at, *by, *number) == (id, conn, xid));
                let Some(place) = asked else {
                    panic!("a reply to nothing: {id}, {conn}, {xid}")
                };
                let (.., path) = self.asked.remove(place);
                assert_eq!(code, 0, "{path}: every path is asked for once");
                self.acknowledged.insert(path);
            }
        }
        self.clients.retain(|client| {
            world
                .running
                .get(&ServerId(client.member))
                .is_some_and(|server| server.serves && !server.closed.contains(&client.conn))
        });
    }

    fn write(&mut self, world: &mut World, dice: &mut Dice) {
        let serving = world.serving();
        if serving.is_empty() {
            return;
        }
        let member = serving[dice.roll(serving.len())];
        if !self.clients.iter().any(|client| client.member == member) {
            self.conns += 1;
            world.connect(member, self.conns, SessionId::NONE);
            let answer = world.server(ServerId(member)).connected.get(&self.conns);
            if let Some(rookeeper_proto::response::ConnectResponse::Accepted { session, .. }) =
                answer
            {
                self.clients.push(Client {
                    member,
                    conn: self.conns,
                    session: *session,
                    next_xid: 1,
                });
            }
        }
        for _ in 0..=dice.roll(4) {
            let number = self.asked.len() + self.acknowledged.len();
            let Some(client) = self
                .clients
                .iter_mut()
                .find(|client| client.member == member)
            else {
                return;
            };
            let path = format!("/n{number}-{}-{}", client.conn, client.next_xid);
            self.asked
                .push((member, client.conn, client.next_xid, path.clone()));
            world.create(
                member,
                (client.conn, client.session),
                client.next_xid,
                &path,
                0,
            );
            client.next_xid += 1;
        }
    }
}

fn run(seed: u64, total: &mut Story) {
    let mut dice = Dice(seed);
    // A short memory makes leaders send whole states too.
    let mut world = World::new(3, 0, 1 + dice.roll(20));
    let mut story = Story::default();
    (1..=3).for_each(|id| world.start(id));
    let mut last = None;
    for _ in 0..STEPS {
        match dice.roll(12) {
            0 => world.kill(dice.member()),
            1 | 2 => {
                let id = dice.member();
                if !world.running.contains_key(&ServerId(id)) {
                    world.start(id);
                }
            }
            3 => {
                let (a, b) = (dice.member(), dice.member());
                if a != b {
                    world.part(a, b);
                }
            }
            4 => world.heal(),
            5..=7 => world.run(10 * (1 + dice.roll(40) as i64)),
            8 => world.run(1000),
            _ => story.write(&mut world, &mut dice),
        }
        story.listen(&mut world);
        let leader = world.leader();
        story.elections += usize::from(leader.is_some() && leader != last);
        last = leader.or(last);
    }
    world.heal();
    for id in 1..=3 {
        if !world.running.contains_key(&ServerId(id)) {
            world.start(id);
        }
    }
    world.run(LONG);
    story.listen(&mut world);
    assert_eq!(world.serving(), [1, 2, 3], "nothing fails any more");
    world.assert_equal();
    for path in &story.acknowledged {
        for (id, server) in &world.running {
            assert!(server.tree.get(path).is_some(), "{path} is lost at {id}");
        }
    }
    total.elections += story.elections;
    total.truncations += world.truncations;
    total.acknowledged.extend(story.acknowledged);
}

#[test]
fn nothing_acknowledged_is_lost_and_everybody_agrees() {
    let mut total = Story::default();
    for seed in 0..RUNS {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut story = Story::default();
            run(seed, &mut story);
            story
        }));
        let Ok(story) = told else {
            panic!("seed {seed}")
        };
        total.elections += story.elections;
        total.truncations += story.truncations;
        total.acknowledged.extend(story.acknowledged);
    }
    // Enough must have happened, or the above says nothing.
    assert!(total.elections > RUNS as usize, "{}", total.elections);
    assert!(total.truncations > 0 && total.acknowledged.len() > 500);
}
