//! Whatever several clients send, and whenever the disk answers: each request is answered once and in its turn, and nobody sees
//! time run backwards. The digest that each transaction promised is checked by the stage.

mod stage;

use std::collections::{BTreeMap, BTreeSet};

use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_proto::code::OpCode;
use rookeeper_proto::ids::{ServerId, SessionId};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::multi::MultiHeader;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_tree::prep::Rules;

use stage::{DiskMode, Stage};

const NAMES: [&str; 3] = ["a", "b", "c"];
const PATHS: [&str; 6] = ["/x", "/x/y", "/z", "/e", "/x/n", "/none/x"];
const RUNS: u64 = 400;
const STEPS: usize = 120;

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

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }
}

fn config() -> ProposerConfig {
    ProposerConfig {
        server: ServerId::STANDALONE,
        tick_ms: 1000,
        tick_interval_ms: 500,
        timeouts: TimeoutBounds {
            min_ms: 2000,
            max_ms: 20_000,
        },
        rules: Rules {
            extended_types: true,
            ..Rules::default()
        },
        reaper: ReaperConfig {
            check_interval_ms: 1000,
            max_never_used_ms: 2000,
            ..ReaperConfig::default()
        },
        hash_seed: 1,
    }
}

fn connect(stage: &mut Stage, name: &str) {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: stage.tree.last_zxid(),
        timeout_ms: 4000,
        session: SessionId::NONE,
        password: Vec::new(),
        read_only: Some(false),
    };
    let mut frame = Vec::new();
    request.encode(&mut frame);
    stage.open(name);
    if let Some(client) = stage.clients.get_mut(name) {
        client.asked.insert(i32::MIN, 0);
    }
    stage.frame(name, frame);
}

fn put_create(dice: &mut Dice, path: &str, body: &mut Vec<u8>) {
    body.put_string(path);
    body.put_buffer(Some(b"data"));
    body.put_count(1);
    body.put_i32(31);
    body.put_string("world");
    body.put_string("anyone");
    body.put_i32(dice.one_of(&[0, 0, 1, 2, 3, 4, 9]));
}

/// A request of some kind, with its body.
fn request(dice: &mut Dice) -> (OpCode, Vec<u8>) {
    use OpCode as O;
    let op = dice.one_of(&[
        O::Create,
        O::Create,
        O::Create,
        O::Create2,
        O::CreateContainer,
        O::Delete,
        O::Delete,
        O::SetData,
        O::SetData,
        O::GetData,
        O::GetData,
        O::Exists,
        O::GetChildren,
        O::Multi,
        O::Ping,
        O::Sync,
        O::WhoAmI,
        O::SetWatches,
        O::AddWatch,
        O::Auth,
    ]);
    let path = dice.one_of(&PATHS);
    let mut body = Vec::new();
    match op {
        O::Create | O::Create2 | O::CreateContainer => put_create(dice, path, &mut body),
        O::Delete => {
            body.put_string(path);
            body.put_i32(-1);
        }
        O::SetData => {
            body.put_string(path);
            body.put_buffer(None);
            body.put_i32(dice.one_of(&[-1, -1, 0, 1]));
        }
        O::GetData | O::Exists | O::GetChildren => {
            body.put_string(path);
            body.put_bool(dice.roll(2) == 0);
        }
        O::Multi => {
            for op in [O::Create, O::Create] {
                MultiHeader {
                    kind: op.code(),
                    done: false,
                    err: 0,
                }
                .encode(&mut body);
                let path = dice.one_of(&PATHS);
                put_create(dice, path, &mut body);
            }
            MultiHeader::END.encode(&mut body);
        }
        O::Sync => body.put_string(path),
        O::SetWatches => {
            body.put_i64(dice.roll(40) as i64);
            for _ in 0..3 {
                body.put_count(1);
                body.put_string(dice.one_of(&PATHS));
            }
        }
        O::AddWatch => {
            body.put_string(path);
            body.put_i32(dice.roll(2) as i32);
        }
        O::Auth => {
            body.put_i32(0);
            body.put_string("digest");
            body.put_buffer(Some(b"bob:pw"));
        }
        _ => {}
    }
    if dice.roll(25) == 0 && op != O::Auth {
        body.truncate(body.len() / 2);
    }
    (op, body)
}

/// What one client sent, and what it has seen.
#[derive(Default)]
struct Story {
    sent: Vec<i32>,
    answered: usize,
    newest: i64,
    closed: bool,
}

/// Reads the lines of the stage: `a < Create 3 z7 ...`, `a < event z7 ...`, `a closed: ...`.
fn listen(stage: &mut Stage, stories: &mut BTreeMap<&str, Story>, kinds: &mut BTreeSet<String>) {
    for line in std::mem::take(&mut stage.output).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(story) = stories.get_mut(words[0]) else {
            continue;
        };
        if words[1] == "closed:" {
            story.closed = true;
            continue;
        }
        if words[1] != "<" || words[2] == "connected" {
            continue;
        }
        assert!(!story.closed, "{line} after the end");
        kinds.insert(format!("{} {}", words[2], line.ends_with(')')));
        let zxid = words
            .iter()
            .find_map(|word| word.strip_prefix('z')?.parse::<i64>().ok())
            .unwrap_or(0);
        assert!(
            zxid <= 0 || zxid >= story.newest,
            "{line} after z{}",
            story.newest
        );
        story.newest = story.newest.max(zxid);
        if words[2] != "event" && words[2] != "Auth" {
            assert_eq!(
                words[3].parse(),
                Ok(story.sent[story.answered]),
                "{line} out of its turn"
            );
            story.answered += 1;
        }
    }
}

fn run(seed: u64, kinds: &mut BTreeSet<String>) {
    let mut dice = Dice(seed);
    let mut stage = Stage::new(config());
    let mut stories = BTreeMap::new();
    for name in NAMES {
        connect(&mut stage, name);
        stories.insert(name, Story::default());
    }
    let mut full = false;
    for _ in 0..STEPS {
        match dice.roll(20) {
            0 => stage.disk = DiskMode::Held,
            1 => {
                stage.disk = DiskMode::Prompt;
                stage.settle();
            }
            2 | 3 => {
                stage.sync();
                stage.settle();
            }
            4 => stage.pass(700),
            6 | 7 => stage.corked = true,
            8 | 9 => {
                stage.corked = false;
                stage.settle();
            }
            5 if dice.roll(3) == 0 => {
                full = !full;
                stage.disk_full(full);
            }
            _ => {
                let name = dice.one_of(&NAMES);
                let (op, body) = request(&mut dice);
                if stories.get(name).is_some_and(|story| story.closed) {
                    continue;
                }
                let xid = if op == OpCode::Auth {
                    -4
                } else {
                    stage.clients[name].next_xid
                };
                let xid = if op == OpCode::Ping {
                    -2
                } else if op == OpCode::SetWatches {
                    -8
                } else {
                    xid
                };
                if op != OpCode::Auth
                    && let Some(story) = stories.get_mut(name)
                {
                    story.sent.push(xid);
                }
                assert!(stage.send(name, op.code(), None, &body).is_ok());
            }
        }
        listen(&mut stage, &mut stories, kinds);
    }
    stage.disk_full(false);
    stage.disk = DiskMode::Prompt;
    stage.corked = false;
    stage.settle();
    listen(&mut stage, &mut stories, kinds);
    for (name, story) in &stories {
        assert!(
            story.closed || story.answered == story.sent.len(),
            "{name} waits for ever"
        );
    }
    assert_eq!(stage.member.in_flight(), 0);
}

#[test]
fn each_request_is_answered_once_and_in_its_turn() {
    let mut kinds = BTreeSet::new();
    for seed in 0..RUNS {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut kinds)));
        assert!(told.is_ok(), "seed {seed}");
    }
    // Nearly everything must have happened, or the above says nothing.
    assert!(kinds.len() > 20, "{kinds:?}");
}
