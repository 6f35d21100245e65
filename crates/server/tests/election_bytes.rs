//! The election port against another side that speaks byte by byte: what a Java server says, and what nobody should.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test with real sockets: a failure is its result"
)]

mod election;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use election::*;
use rookeeper_proto::ballot::{Address, Layout, MAX_NOTIFICATION_LEN, Notification};
use rookeeper_proto::ids::ServerId;
use tokio::runtime::Runtime;

const OBSERVER: i64 = i64::MAX;

/// Server 2, and where a peer 3 that is not there would be.
fn two(runtime: &Runtime) -> (Member, SocketAddr) {
    let (two, at) = (Member::start(runtime, 2), nowhere());
    two.knows(&[(3, at)]);
    (two, at)
}

/// The first handshake of a recording, from server 2.
fn recorded(file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/quorum");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let (_, behind) = text.split_once("2 -> 1 HANDSHAKE").unwrap();
    let lines = behind.lines().skip(1).take_while(|line| !line.is_empty());
    let digits: String = lines.filter(|line| !line.starts_with('#')).collect();
    let two = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(two).collect()
}

#[test]
fn handshakes_are_as_recorded_of_java() {
    let runtime = Runtime::new().unwrap();
    let cases: [(&str, &[&str], bool); 2] = [
        ("01-election-first-contact.hex", &["127.0.0.1:25222"], false),
        (
            "05-election-v2-multiaddress.hex",
            &["127.0.0.1:25442", "127.0.0.1:25422"],
            true,
        ),
    ];
    for (file, own, multi_address) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = config(2, own[0]);
        settings.own = own.iter().map(|at| Address::parse(at).unwrap()).collect();
        settings.multi_address = multi_address;
        let member = Member::with(&runtime, settings);
        member.knows(&[(1, listener.local_addr().unwrap())]);
        member.send(1, 5);
        let (mut one, _, bytes) = Foreign::accept(&listener);
        assert_eq!(bytes, recorded(file), "{file}");
        assert_eq!(one.hear(), 5);
    }
}

#[test]
fn a_higher_id_is_told_who_calls_and_connects_back() {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut two = Member::start(&runtime, 2);
    two.knows(&[(3, listener.local_addr().unwrap())]);
    two.send(3, 5);
    let (mut call, handshake, _) = Foreign::accept(&listener);
    assert_eq!(handshake.server(), ServerId(2));
    assert_eq!(call.ends(), 0);
    let told = handshake.addresses().next().unwrap().to_string();
    let mut back = Foreign::connect(told.parse().unwrap(), 3, listener.local_addr().unwrap());
    assert_eq!(back.hear(), 5);
    assert_eq!(two.rest(QUIET), [Heard::Up(3)]);
}

#[test]
fn a_higher_id_that_does_not_connect_back_is_called_again() {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut two = Member::start(&runtime, 2);
    two.knows(&[(3, listener.local_addr().unwrap())]);
    two.send(3, 5);
    let begun = Instant::now();
    Foreign::accept(&listener);
    Foreign::accept(&listener);
    let took = begun.elapsed();
    assert!((500..3000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(two.rest(QUIET), []);
}

#[test]
fn a_lower_id_is_connected_to_where_it_says_that_it_is() {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut two = Member::start(&runtime, 2);
    // The configuration knows nothing of that address.
    two.knows(&[(1, nowhere())]);
    let mut call = Foreign::connect(two.address(), 1, listener.local_addr().unwrap());
    assert_eq!(call.ends(), 0);
    let (mut one, handshake, _) = Foreign::accept(&listener);
    assert_eq!(handshake.server(), ServerId(2));
    one.vote(7);
    assert_eq!([two.next(), two.next()], [Heard::Up(1), Heard::Vote(1, 7)]);
}

#[test]
fn zookeeper_2164_a_lower_id_at_a_wildcard_is_looked_for_in_the_configuration() {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let two = Member::start(&runtime, 2);
    two.knows(&[(1, listener.local_addr().unwrap())]);
    Foreign::connect(two.address(), 1, "0.0.0.0:1".parse().unwrap());
    let (_, handshake, _) = Foreign::accept(&listener);
    assert_eq!(handshake.server(), ServerId(2));
}

#[test]
fn the_connection_with_a_lower_id_stays_until_the_one_it_asks_for_is_up() {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut two = Member::start(&runtime, 2);
    let at = listener.local_addr().unwrap();
    two.knows(&[(1, at)]);
    two.send(1, 5);
    let (mut old, _, _) = Foreign::accept(&listener);
    assert_eq!(old.hear(), 5);
    Foreign::connect(two.address(), 1, at);
    let (mut new, _, _) = Foreign::accept(&listener);
    assert_eq!((old.ends(), new.hear()), (0, 5));
    assert_eq!(two.rest(QUIET), [Heard::Up(1), Heard::Up(1)]);
}

#[test]
fn the_last_notification_is_said_again_on_a_new_connection() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    two.send(3, 5);
    let mut three = Foreign::connect(two.address(), 3, at);
    assert_eq!(three.hear(), 5);
    drop(three);
    two.until(&Heard::Up(3));
    two.until(&Heard::Gone(3));
    let mut three = Foreign::connect(two.address(), 3, at);
    assert_eq!(three.hear(), 5);
    assert!(three.is_quiet());
}

#[test]
fn a_newer_connection_takes_the_place_of_an_older_one() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    let mut old = Foreign::connect(two.address(), 3, at);
    old.vote(1);
    two.until(&Heard::Vote(3, 1));
    let mut new = Foreign::connect(two.address(), 3, at);
    assert_eq!(old.ends(), 0);
    new.vote(2);
    assert_eq!([two.next(), two.next()], [Heard::Up(3), Heard::Vote(3, 2)]);
    drop(old);
    assert_eq!(two.rest(QUIET), []);
    drop(new);
    assert_eq!(two.next(), Heard::Gone(3));
}

#[test]
fn a_handshake_and_votes_may_come_in_one_piece_or_byte_by_byte() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    let mut bytes = greeting(3, at);
    (1..=3).for_each(|mark| vote(mark).encode_frame(&mut bytes));
    let all = [1, 2, 3].map(|mark| Heard::Vote(3, mark));
    let mut whole = Foreign::silent(two.address());
    whole.say(&bytes);
    assert_eq!(two.until(&all[2]), [&[Heard::Up(3)], &all[..]].concat());
    let mut slow = Foreign::silent(two.address());
    slow.0.set_nodelay(true).unwrap();
    for byte in bytes {
        slow.say(&[byte]);
    }
    assert_eq!(two.until(&all[2]), [&[Heard::Up(3)], &all[..]].concat());
}

#[test]
fn the_oldest_handshake_of_java_is_understood() {
    let runtime = Runtime::new().unwrap();
    let (mut two, _) = two(&runtime);
    let mut three = Foreign::silent(two.address());
    three.say(&3i64.to_be_bytes());
    three.vote(4);
    assert_eq!([two.next(), two.next()], [Heard::Up(3), Heard::Vote(3, 4)]);
}

#[test]
fn an_observer_without_an_id_is_answered() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    for id in [-1, -2] {
        let mut observer = Foreign::connect(two.address(), OBSERVER, at);
        observer.vote(7);
        assert_eq!(two.next(), Heard::Vote(id, 7));
        two.send(id, 8);
        assert_eq!(observer.hear(), 8);
    }
    // It is gone, and nobody cares.
    two.send(-1, 9);
    assert_eq!(two.rest(QUIET), []);
}

#[test]
fn a_crowd_of_observers_without_an_id_is_bounded() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    let mut all: Vec<_> = (0..65)
        .map(|mark| {
            let mut observer = Foreign::connect(two.address(), OBSERVER, at);
            if mark < 64 {
                observer.vote(mark);
                two.until(&Heard::Vote(-1 - mark, mark));
            }
            observer
        })
        .collect();
    assert_eq!(all[64].ends(), 0);
    all.remove(0);
    until("one may come for one that went", || {
        let mut observer = Foreign::connect(two.address(), OBSERVER, at);
        observer.is_quiet().then_some(observer)
    });
}

#[test]
fn strangers_and_doubles_are_refused() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    for id in [2, 1, 4, -7, i64::MIN] {
        let mut other = Foreign::connect(two.address(), id, at);
        assert_eq!(other.ends(), 0, "server {id}");
    }
    assert_eq!(two.rest(QUIET), []);
    two.send(3, 1);
    let mut three = Foreign::connect(two.address(), 3, at);
    assert_eq!(three.hear(), 1);
}

#[test]
fn what_is_no_handshake_is_closed_at_once() {
    let runtime = Runtime::new().unwrap();
    let (mut two, _) = two(&runtime);
    let head = |len: i32| [&(-65536i64).to_be_bytes()[..], &[0; 8], &len.to_be_bytes()].concat();
    let cases = [
        b"\xff\xff\xff\xff\xff\xff\xff\xfe".to_vec(),
        vec![0xff; 64],
        head(0),
        head(-1),
        head(2049),
        head(i32::MAX),
        [head(4), b"host".to_vec()].concat(),
    ];
    for bytes in cases {
        let mut other = Foreign::silent(two.address());
        other.say(&bytes);
        let begun = Instant::now();
        assert_eq!(other.ends(), 0);
        assert!(begun.elapsed() < Duration::from_secs(1), "{bytes:x?}");
    }
    assert_eq!(two.rest(QUIET), []);
}

#[test]
fn half_a_handshake_is_closed_in_time_and_delays_nobody() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = Duration::from_secs(1);
    settings.handshake_timeout = Duration::from_secs(1);
    let mut two = Member::with(&runtime, settings);
    let at = nowhere();
    two.knows(&[(3, at)]);
    let bytes = greeting(3, at);
    let begun = Instant::now();
    let mut silent = Foreign::silent(two.address());
    let mut half = Foreign::silent(two.address());
    half.say(&bytes[..bytes.len() - 1]);
    let mut loris = Foreign::silent(two.address());
    let mut three = Foreign::connect(two.address(), 3, at);
    three.vote(1);
    assert_eq!([two.next(), two.next()], [Heard::Up(3), Heard::Vote(3, 1)]);
    assert!(begun.elapsed() < Duration::from_millis(800));
    for byte in &bytes[..8] {
        loris.say(&[*byte]);
        std::thread::sleep(Duration::from_millis(50));
    }
    for other in [&mut silent, &mut half, &mut loris] {
        assert_eq!(other.ends(), 0);
    }
    let took = begun.elapsed();
    assert!((900..5000).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_crowd_that_says_nothing_is_bounded_and_delays_nobody() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = PATIENCE * 2;
    settings.handshake_timeout = PATIENCE * 2;
    let mut two = Member::with(&runtime, settings);
    let at = nowhere();
    two.knows(&[(3, at)]);
    let mut crowd: Vec<_> = (0..200).map(|_| Foreign::silent(two.address())).collect();
    let mut three = Foreign::connect(two.address(), 3, at);
    three.vote(1);
    assert_eq!([two.next(), two.next()], [Heard::Up(3), Heard::Vote(3, 1)]);
    // The first make room, the last are still waited for.
    assert_eq!(crowd[0].ends(), 0);
    assert_eq!(crowd[100].ends(), 0);
    assert!(crowd[199].is_quiet());
}

#[test]
fn a_wrong_length_ends_one_connection_and_no_other() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = (Member::start(&runtime, 2), nowhere());
    two.knows(&[(3, at), (4, at)]);
    let mut witness = Foreign::connect(two.address(), 4, at);
    two.until(&Heard::Up(4));
    let too_long = i32::try_from(MAX_NOTIFICATION_LEN).unwrap() + 1;
    for len in [0, -1, i32::MIN, too_long, i32::MAX] {
        let mut three = Foreign::connect(two.address(), 3, at);
        three.vote(1);
        three.say(&len.to_be_bytes());
        assert_eq!(three.ends(), 0, "length {len}");
        let heard = [two.next(), two.next(), two.next()];
        assert_eq!(heard, [Heard::Up(3), Heard::Vote(3, 1), Heard::Gone(3)]);
        witness.vote(i64::from(len));
        assert_eq!(two.next(), Heard::Vote(4, i64::from(len)));
    }
}

/// Also ZOOKEEPER-4787: what one peer says in its own way makes nobody deaf.
#[test]
fn zookeeper_3769_what_is_no_notification_is_dropped_and_the_next_one_is_heard() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    let mut three = Foreign::connect(two.address(), 3, at);
    two.until(&Heard::Up(3));
    for len in [1, 27, 36, 39, 44, 100, MAX_NOTIFICATION_LEN] {
        let bytes = vec![0x7f; len];
        three.say(&i32::try_from(len).unwrap().to_be_bytes());
        three.say(&bytes);
        three.vote(i64::try_from(len).unwrap());
        assert_eq!(two.next(), Heard::Vote(3, i64::try_from(len).unwrap()));
    }
}

#[test]
fn half_a_message_is_not_heard() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    let mut three = Foreign::connect(two.address(), 3, at);
    let mut frame = Vec::new();
    vote(1).encode_frame(&mut frame);
    three.say(&frame[..frame.len() - 1]);
    assert_eq!(two.rest(QUIET), [Heard::Up(3)]);
    drop(three);
    assert_eq!(two.rest(QUIET), [Heard::Gone(3)]);
}

#[test]
fn a_flood_of_votes_waits_in_its_socket_and_nothing_is_lost() {
    let runtime = Runtime::new().unwrap();
    let (mut two, at) = two(&runtime);
    let address = two.address();
    let flood = std::thread::spawn(move || {
        let mut three = Foreign::connect(address, 3, at);
        (0..2000).for_each(|mark| three.vote(mark));
        three
    });
    std::thread::sleep(QUIET);
    let mut messages = Vec::new();
    two.inbox.take(PATIENCE, &mut messages);
    assert_eq!(
        messages.len(),
        9,
        "the news of the connection, and eight votes"
    );
    for mark in 8..2000 {
        assert_eq!(two.next(), Heard::Vote(3, mark));
    }
    flood.join().unwrap();
}

fn large_vote(mark: i64, len: usize) -> Notification {
    let config = vec![b'#'; len].into();
    let layout = Layout::V2 { config };
    Notification {
        layout,
        ..vote(mark)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_acknowledges_nothing_for_too_long_is_gone_and_called_again() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = Duration::from_millis(500);
    settings.handshake_timeout = Duration::from_millis(500);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut two, at) = (
        Member::with(&runtime, settings),
        listener.local_addr().unwrap(),
    );
    two.knows(&[(3, at)]);
    let mut deaf = Foreign::with_little_room(two.address());
    deaf.say(&greeting(3, at));
    assert_eq!(two.next(), Heard::Up(3));
    // More than the other side takes, and less than the own system does.
    two.port.send(ServerId(3), large_vote(5, 64 * 1024));
    assert_eq!(two.next(), Heard::Gone(3));
    let (_, handshake, _) = Foreign::accept(&listener);
    assert_eq!(handshake.server(), ServerId(2));
}

#[test]
fn what_could_not_be_written_is_tried_again_when_the_connection_breaks() {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = PATIENCE;
    settings.handshake_timeout = PATIENCE;
    let (mut two, at) = (
        Member::with(&runtime, settings),
        listener.local_addr().unwrap(),
    );
    two.knows(&[(3, at)]);
    let mut three = Foreign::with_little_room(two.address());
    three.say(&greeting(3, at));
    assert_eq!(two.next(), Heard::Up(3));
    for mark in 0..100 {
        two.port
            .send(ServerId(3), large_vote(mark, MAX_NOTIFICATION_LEN - 100));
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(three);
    let (_, handshake, _) = Foreign::accept(&listener);
    assert_eq!(handshake.server(), ServerId(2));
}

#[test]
fn a_peer_that_connects_is_not_called_any_more() {
    let runtime = Runtime::new().unwrap();
    let hole = BlackHole::new();
    let (mut two, at) = (Member::start(&runtime, 2), nowhere());
    two.knows(&[(3, hole.address)]);
    two.send(3, 5);
    let mut three = Foreign::connect(two.address(), 3, at);
    assert_eq!(three.hear(), 5);
    drop(three);
    // No attempt is going on that could bring a newer connection, so this is known at once.
    let begun = Instant::now();
    assert_eq!([two.next(), two.next()], [Heard::Up(3), Heard::Gone(3)]);
    assert!(begun.elapsed() < Duration::from_millis(150));
}

#[test]
fn a_peer_that_calls_is_not_kept_waiting_by_an_attempt_that_went_nowhere() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = PATIENCE * 2;
    settings.handshake_timeout = PATIENCE * 2;
    let mut two = Member::with(&runtime, settings);
    let (hole, listener) = (BlackHole::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    two.knows(&[(1, hole.address)]);
    two.send(1, 5);
    // The attempt is young, old, or has not begun yet.
    std::thread::sleep(QUIET / 4);
    Foreign::connect(two.address(), 1, listener.local_addr().unwrap());
    let (mut one, _, _) = Foreign::accept(&listener);
    assert_eq!(one.hear(), 5);
    assert_eq!(two.next(), Heard::Up(1));
}

#[test]
fn a_peer_that_does_not_read_delays_nobody() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = PATIENCE;
    settings.handshake_timeout = PATIENCE;
    let (mut two, at) = (Member::with(&runtime, settings), nowhere());
    two.knows(&[(3, at), (4, at)]);
    let mut deaf = Foreign::connect(two.address(), 3, at);
    let mut witness = Foreign::connect(two.address(), 4, at);
    let mut up = [two.next(), two.next()];
    up.sort_by_key(|heard| *heard == Heard::Up(4));
    assert_eq!(up, [Heard::Up(3), Heard::Up(4)]);
    for mark in 0..200 {
        two.port
            .send(ServerId(3), large_vote(mark, MAX_NOTIFICATION_LEN - 100));
        two.send(4, mark);
        std::thread::sleep(Duration::from_millis(1));
    }
    while witness.hear() != 199 {}
    deaf.vote(5);
    assert_eq!(two.next(), Heard::Vote(3, 5));
    // It reads at last: what is on its way, and then the newest.
    while deaf.hear() != 199 {}
}
