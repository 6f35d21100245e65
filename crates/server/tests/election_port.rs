//! The election port between members of ours: votes arrive, in order, over one connection, whatever breaks.
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

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use election::*;
use rookeeper_proto::ballot::Address;
use rookeeper_server::election_port::ElectionPort;
use tokio::runtime::Runtime;

fn two(runtime: &Runtime) -> (Member, Member) {
    let (one, two) = (Member::start(runtime, 1), Member::start(runtime, 2));
    one.knows(&[(2, two.address())]);
    two.knows(&[(1, one.address())]);
    (one, two)
}

#[test]
fn the_higher_id_speaks_first() {
    let runtime = Runtime::new().unwrap();
    let (mut one, mut two) = two(&runtime);
    two.send(1, 5);
    assert_eq!([one.next(), one.next()], [Heard::Up(2), Heard::Vote(2, 5)]);
    assert_eq!(two.next(), Heard::Up(1));
    one.send(2, 6);
    assert_eq!(two.next(), Heard::Vote(1, 6));
    assert_eq!((one.rest(QUIET), two.rest(QUIET)), (vec![], vec![]));
}

#[test]
fn the_lower_id_speaks_first_and_is_connected_back() {
    let runtime = Runtime::new().unwrap();
    let (mut one, mut two) = two(&runtime);
    let begun = Instant::now();
    one.send(2, 5);
    assert_eq!([two.next(), two.next()], [Heard::Up(1), Heard::Vote(1, 5)]);
    assert!(begun.elapsed() < Duration::from_millis(500));
    assert_eq!(one.next(), Heard::Up(2));
    two.send(1, 6);
    assert_eq!(one.next(), Heard::Vote(2, 6));
    assert_eq!((one.rest(QUIET), two.rest(QUIET)), (vec![], vec![]));
}

#[test]
fn both_speak_at_once_and_nobody_counts_as_gone() {
    let runtime = Runtime::new().unwrap();
    for round in 0..100 {
        let (mut one, mut two) = two(&runtime);
        one.send(2, round);
        two.send(1, round);
        let mut at_one = one.until(&Heard::Vote(2, round));
        let mut at_two = two.until(&Heard::Vote(1, round));
        at_one.extend(one.rest(Duration::from_millis(30)));
        at_two.extend(two.rest(Duration::from_millis(30)));
        assert!(!at_one.contains(&Heard::Gone(2)), "{round}: {at_one:?}");
        assert!(!at_two.contains(&Heard::Gone(1)), "{round}: {at_two:?}");
    }
}

#[test]
fn a_server_that_restarts_is_gone_and_then_hears_what_waits() {
    let runtime = Runtime::new().unwrap();
    let (mut one, two) = two(&runtime);
    let (at_one, at_two) = (one.address(), two.address());
    two.send(1, 5);
    one.until(&Heard::Vote(2, 5));
    two.port.stop();
    assert_eq!(one.next(), Heard::Gone(2));
    one.send(2, 6);
    // Refused.
    assert_eq!(one.next(), Heard::Gone(2));
    let mut two = Member::with(&runtime, config(2, &at_two.to_string()));
    two.knows(&[(1, at_one)]);
    assert_eq!([two.next(), two.next()], [Heard::Up(1), Heard::Vote(1, 6)]);
    let last = one.until(&Heard::Up(2));
    assert!(
        last.iter()
            .rev()
            .skip(1)
            .all(|heard| *heard == Heard::Gone(2)),
        "{last:?}"
    );
}

#[test]
fn a_refused_peer_is_tried_again_soon() {
    let runtime = Runtime::new().unwrap();
    let mut two = Member::start(&runtime, 2);
    let at_one = nowhere();
    two.knows(&[(1, at_one)]);
    two.send(1, 5);
    assert_eq!(two.next(), Heard::Gone(1));
    let begun = Instant::now();
    let mut one = Member::with(&runtime, config(1, &at_one.to_string()));
    one.knows(&[(2, two.address())]);
    assert_eq!([one.next(), one.next()], [Heard::Up(2), Heard::Vote(2, 5)]);
    assert!(begun.elapsed() < Duration::from_millis(500));
}

#[test]
fn of_many_notifications_that_wait_the_newest_arrives() {
    let runtime = Runtime::new().unwrap();
    let two = Member::start(&runtime, 2);
    let at_one = nowhere();
    two.knows(&[(1, at_one)]);
    (1..=100).for_each(|mark| two.send(1, mark));
    let mut one = Member::with(&runtime, config(1, &at_one.to_string()));
    one.knows(&[(2, two.address())]);
    assert_eq!(
        [one.next(), one.next()],
        [Heard::Up(2), Heard::Vote(2, 100)]
    );
    assert_eq!(one.rest(QUIET), []);
}

#[test]
fn restarting_closes_everything_in_silence_and_forgets_what_was_said() {
    let runtime = Runtime::new().unwrap();
    let (mut one, mut two) = two(&runtime);
    two.send(1, 5);
    one.until(&Heard::Vote(2, 5));
    one.send(2, 6);
    two.until(&Heard::Vote(1, 6));
    let before = two.port.addresses();
    two.port.restart();
    assert_eq!(one.next(), Heard::Gone(2));
    assert_eq!((one.rest(QUIET), two.rest(QUIET)), (vec![], vec![]));
    assert_eq!(two.port.addresses(), before);
    // The lower one dials: the port is open again. What was said before the restart is not said again.
    one.send(2, 7);
    assert_eq!([two.next(), two.next()], [Heard::Up(1), Heard::Vote(1, 7)]);
    assert_eq!(one.next(), Heard::Up(2));
    assert_eq!(one.rest(QUIET), []);
    // What is sent right behind the next one is not lost with it.
    two.port.restart();
    two.send(1, 8);
    assert_eq!(
        one.until(&Heard::Vote(2, 8)).last(),
        Some(&Heard::Vote(2, 8))
    );
}

#[test]
fn zookeeper_3756_a_name_without_address_delays_nobody() {
    let runtime = Runtime::new().unwrap();
    let (mut one, mut three) = (Member::start(&runtime, 1), Member::start(&runtime, 3));
    let nobody = "no-such-server.invalid:3888".to_owned();
    three.knows_places(&[
        (1, one.address().to_string()),
        (2, nobody.clone()),
        (1, nobody),
    ]);
    one.knows(&[(3, three.address())]);
    three.send(2, 5);
    let begun = Instant::now();
    three.send(1, 5);
    assert_eq!([one.next(), one.next()], [Heard::Up(3), Heard::Vote(3, 5)]);
    assert!(begun.elapsed() < Duration::from_millis(500));
    assert_eq!(three.next(), Heard::Up(1));
    assert_eq!(three.rest(QUIET), []);
}

#[test]
fn zookeeper_2164_a_peer_that_does_not_answer_delays_nobody_and_is_not_gone() {
    let runtime = Runtime::new().unwrap();
    let mut one = Member::start(&runtime, 1);
    let mut settings = config(3, "127.0.0.1:0");
    settings.connect_timeout = Duration::from_millis(200);
    settings.handshake_timeout = Duration::from_millis(200);
    let mut three = Member::with(&runtime, settings);
    let hole = BlackHole::new();
    three.knows(&[(1, one.address()), (2, hole.address)]);
    one.knows(&[(3, three.address())]);
    three.send(2, 5);
    three.send(1, 5);
    assert_eq!([one.next(), one.next()], [Heard::Up(3), Heard::Vote(3, 5)]);
    assert_eq!(three.next(), Heard::Up(1));
    assert_eq!(three.rest(QUIET * 2), []);
}

#[test]
fn a_dead_address_of_several_costs_a_moment() {
    let runtime = Runtime::new().unwrap();
    let (mut one, two) = (Member::start(&runtime, 1), Member::start(&runtime, 2));
    let hole = BlackHole::new();
    two.knows(&[(1, hole.address), (1, one.address())]);
    one.knows(&[(2, two.address())]);
    let begun = Instant::now();
    two.send(1, 5);
    assert_eq!([one.next(), one.next()], [Heard::Up(2), Heard::Vote(2, 5)]);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn of_two_addresses_that_answer_one_is_used() {
    let runtime = Runtime::new().unwrap();
    let places = ["127.0.0.1:0", "127.0.0.1:0"].map(|at| TcpListener::bind(at).unwrap());
    let two = Member::start(&runtime, 2);
    let at = places
        .each_ref()
        .map(|place| (1, place.local_addr().unwrap()));
    two.knows(&at);
    two.send(1, 5);
    std::thread::sleep(QUIET);
    let tried = places.iter().filter(|place| {
        place.set_nonblocking(true).unwrap();
        place.accept().is_ok()
    });
    assert_eq!(tried.count(), 1);
}

#[test]
fn a_peer_of_several_addresses_is_gone_when_all_refuse() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(2, "127.0.0.1:0");
    settings.connect_timeout = Duration::from_millis(500);
    settings.handshake_timeout = Duration::from_millis(500);
    let mut two = Member::with(&runtime, settings);
    let hole = BlackHole::new();
    two.knows(&[(1, nowhere()), (1, hole.address)]);
    two.send(1, 5);
    assert_eq!(two.rest(QUIET * 2), []);
    two.knows(&[(1, nowhere()), (1, nowhere())]);
    two.send(1, 6);
    assert_eq!(two.next(), Heard::Gone(1));
}

#[test]
fn peers_that_are_removed_are_let_go_and_refused() {
    let runtime = Runtime::new().unwrap();
    let (mut one, mut two) = two(&runtime);
    two.send(1, 5);
    one.until(&Heard::Vote(2, 5));
    one.knows(&[]);
    assert_eq!(two.until(&Heard::Gone(1)).last(), Some(&Heard::Gone(1)));
    two.send(1, 6);
    assert!(!one.rest(QUIET).contains(&Heard::Vote(2, 6)));
}

#[test]
fn a_port_that_is_taken_is_an_error_at_once_or_a_failure_later() {
    let runtime = Runtime::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = config(1, &taken.local_addr().unwrap().to_string());
    settings.bind_retries = 1;
    let inbox = std::sync::Arc::default();
    let handle = runtime.handle().clone();
    assert!(ElectionPort::start(settings.clone(), inbox, handle).is_err());
    settings.bind_retries = 2;
    let member = Member::with(&runtime, settings.clone());
    assert!(member.port.failure().is_none());
    let failure = until("it gives up", || member.port.failure());
    assert!(failure.to_string().contains("cannot listen"), "{failure}");
    // Listening for ever, it finds the port free at last.
    settings.bind_retries = 0;
    let member = Member::with(&runtime, settings);
    assert!(member.port.addresses().is_empty());
    drop(taken);
    assert_eq!(member.address().ip().to_string(), "127.0.0.1");
}

/// It would take part in an election, follow, serve clients, and then end: the port may never be free.
#[test]
fn who_cannot_be_reached_speaks_to_nobody() {
    let runtime = Runtime::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = config(2, &taken.local_addr().unwrap().to_string());
    settings.bind_retries = 0;
    let member = Member::with(&runtime, settings);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    member.knows(&[(1, other.local_addr().unwrap())]);
    member.send(1, 4);
    other.set_nonblocking(true).unwrap();
    std::thread::sleep(QUIET);
    assert!(other.accept().is_err());
    drop(taken);
    let (mut one, _, _) = Foreign::accept(&other);
    assert_eq!(one.hear(), 4);
}

#[test]
fn a_port_on_all_addresses_is_reached_by_each() {
    let runtime = Runtime::new().unwrap();
    let mut settings = config(1, "127.0.0.1:0");
    settings.own.push(Address::parse("127.0.0.2:0").unwrap());
    settings.listen_on_all = true;
    let member = Member::with(&runtime, settings);
    let port = member.address().port();
    for host in ["127.0.0.1", "127.0.0.3"] {
        TcpStream::connect((host, port)).unwrap();
    }
}

#[test]
fn dropping_it_closes_everything() {
    let runtime = Runtime::new().unwrap();
    let (mut one, two) = two(&runtime);
    let address = two.address();
    two.send(1, 5);
    one.until(&Heard::Vote(2, 5));
    let mut silent = Foreign::silent(address);
    drop(two);
    assert_eq!(one.next(), Heard::Gone(2));
    assert_eq!(silent.ends(), 0);
    until("the port is closed", || TcpStream::connect(address).err());
}
