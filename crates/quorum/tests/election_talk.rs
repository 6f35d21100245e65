//! Two servers that look for a leader come to rest: what one says is answered, and the answers end. A pair that tells each other the
//! same for ever uses a processor and a network without end, and no story of one server shows it.
#![allow(clippy::expect_used, reason = "a test: a failure is its result")]

use std::collections::VecDeque;

use rookeeper_proto::ballot::Notification;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_quorum::election::effect::ElectionEffect;
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::election::{Election, ElectionConfig};
use rookeeper_quorum::membership::{Membership, Role};
use rookeeper_quorum::vote::History;

/// More than any pair needs: each tells its vote, hears a better one, tells that, and answers a lower round.
const MOST_MESSAGES: usize = 12;
const OBSERVER: i64 = 4;

#[derive(Debug, Clone, Copy)]
struct Who {
    id: i64,
    last: Zxid,
    rounds: usize,
}

struct Side {
    id: ServerId,
    election: Election,
    hears: VecDeque<Notification>,
}

fn begin(who: Who) -> (Side, Vec<ElectionEffect>) {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nserver.4=d:1:2:observer\nversion=0";
    let config = ElectionConfig {
        me: ServerId(who.id),
        role: Role::Participant,
        membership: Membership::parse(text).expect("a membership"),
        reconfig_enabled: false,
        pace: Pace::default(),
    };
    let durable = History {
        epoch: 0,
        last: who.last,
    };
    let mut said = Vec::new();
    let mut election = Election::start(config, durable, 0, &mut said);
    for _ in 1..who.rounds {
        said.clear();
        election.start_round(durable, 0, &mut said);
    }
    let hears = VecDeque::new();
    let id = ServerId(who.id);
    let side = Side {
        id,
        election,
        hears,
    };
    (side, said)
}

/// Hands over what is for the other of the two; the rest have no ears.
fn send(said: Vec<ElectionEffect>, other: &mut Side) {
    for effect in said {
        match effect {
            ElectionEffect::Send { to, notification } if to == other.id => {
                other.hears.push_back(notification);
            }
            _ => {}
        }
    }
}

fn hear(side: &mut Side, other: &mut Side) -> bool {
    let Some(notification) = side.hears.pop_front() else {
        return false;
    };
    let mut said = Vec::new();
    side.election.ballot(other.id, &notification, 0, &mut said);
    send(said, other);
    true
}

fn messages(one: Who, other: Who) -> usize {
    let ((mut one, first), (mut other, second)) = (begin(one), begin(other));
    send(first, &mut other);
    send(second, &mut one);
    let mut count = 0;
    while count <= MOST_MESSAGES && (hear(&mut one, &mut other) || hear(&mut other, &mut one)) {
        count += 1;
    }
    count
}

fn every(id: i64) -> impl Iterator<Item = Who> {
    let histories = [Zxid::ZERO, Zxid(5), History::MISSING];
    histories
        .into_iter()
        .flat_map(move |last| (1..=3).map(move |rounds| Who { id, last, rounds }))
}

#[test]
fn a_voter_and_an_observer_come_to_rest_whatever_they_have() {
    for observer in every(OBSERVER) {
        for voter in every(1) {
            let count = messages(voter, observer);
            assert!(count <= MOST_MESSAGES, "{voter:?} and {observer:?}");
        }
    }
}

#[test]
fn two_voters_come_to_rest_whatever_they_have() {
    for one in every(1) {
        for other in every(3) {
            let count = messages(one, other);
            assert!(count <= MOST_MESSAGES, "{one:?} and {other:?}");
        }
    }
}
