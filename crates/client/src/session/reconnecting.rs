//! What a session does between two connections, and what it takes over from one to the next; told step by step.

use rookeeper_proto::code::{ErrorCode, EventType};
use rookeeper_proto::jute::Reader;
use rookeeper_proto::request::ConnectRequest;
use rookeeper_proto::response::ConnectResponse;

use super::story::{SERVER, SESSION, Story, at, settings};
use super::*;

/// What the next connection begins with.
fn hello(story: &mut Story) -> ConnectRequest {
    story.session.opened(story.now, SERVER, at(10).0);
    let bytes = story.sent_bytes();
    let frame = Reader::new(&bytes).buffer().unwrap().unwrap();
    ConnectRequest::decode(frame).unwrap()
}

fn accept_for(story: &mut Story, timeout_ms: i32) {
    let accepted = ConnectResponse::Accepted {
        session: SESSION,
        timeout_ms,
    };
    let mut out = Vec::new();
    accepted.encode(Some(false), &mut out);
    story.frame(&out);
}

fn refuse(story: &mut Story) {
    let mut out = Vec::new();
    ConnectResponse::Refused.encode(Some(false), &mut out);
    story.frame(&out);
}

#[test]
fn the_next_server_learns_what_was_seen() {
    let mut story = Story::new(settings());
    let first = hello(&mut story);
    assert_eq!(
        (first.session, first.last_zxid_seen),
        (SessionId::NONE, Zxid::ZERO)
    );
    story.accept(false);
    story.ask_watched(1, OpCode::GetData, 1, WatchKind::Data);
    story.sent();
    story.reply(1, 7, ErrorCode::NoNode);
    // Neither an older answer nor the -1 of a server that tells no zxid takes it back.
    story.reply(-2, 5, ErrorCode::Ok);
    story.reply(-2, -1, ErrorCode::Ok);
    story.session.lost();
    let second = hello(&mut story);
    assert_eq!((second.session, second.last_zxid_seen), (SESSION, Zxid(7)));
    story.accept(false);
    story.event(EventType::NodeCreated, "/elsewhere");
    story.session.lost();
    assert_eq!(hello(&mut story).last_zxid_seen, Zxid(9));
}

#[test]
fn each_connection_has_the_timeout_that_its_server_gives() {
    let mut story = Story::new(settings());
    hello(&mut story);
    accept_for(&mut story, 6000);
    assert_eq!(story.session.timeout(), Duration::from_secs(6));
    assert_eq!(story.session.wake_at(), Some(at(2)));
    story.tick(2);
    assert_eq!(story.sent(), [(-2, OpCode::Ping)]);
    story.tick(4);
    let silent = "hang up: nothing was heard from the server for too long";
    assert_eq!(story.effects(), ["Connected", silent]);
    story.session.lost();
    story.effects();
    // Asked for is what was wished at first.
    assert_eq!(hello(&mut story).timeout_ms, 30_000);
    accept_for(&mut story, 60_000);
    assert_eq!(story.session.wake_at(), Some(at(14)));
    story.tick(43);
    assert_eq!(story.effects(), ["Connected"]);
    story.tick(44);
    assert_eq!(story.effects(), [silent]);
}

#[test]
fn a_server_that_always_answers_too_late_is_given_up_each_time() {
    let mut story = Story::new(settings());
    for round in 0..3 {
        story.now = at(round * 10);
        hello(&mut story);
        accept_for(&mut story, 3000);
        story.tick(round * 10 + 1);
        assert_eq!(story.sent(), [(-2, OpCode::Ping)]);
        story.tick(round * 10 + 2);
        let silent = "hang up: nothing was heard from the server for too long";
        assert_eq!(story.effects().last().unwrap(), silent);
        // Its answer comes now, and is nobody's.
        story.reply(-2, 1, ErrorCode::Ok);
        story.session.lost();
        assert_eq!(story.effects(), ["Suspended"]);
        assert_eq!(story.session.wake_at(), None);
    }
}

#[test]
fn what_waits_for_a_connection_keeps_its_deadline() {
    let mut story = Story::connected();
    story.session.lost();
    story.effects();
    story.ask(1, OpCode::Sync);
    story.now = at(12);
    story.ask(2, OpCode::Sync);
    assert_eq!(story.session.wake_at(), Some(at(20)));
    story.tick(19);
    assert!(story.effects().is_empty());
    story.tick(20);
    assert_eq!(story.effects(), ["1: NotSent"]);
    // The other one still leaves, and the wait before counts.
    story.now = at(30);
    story.connect();
    assert_eq!(story.sent(), [(1, OpCode::Sync)]);
    assert_eq!(story.session.wake_at(), Some(at(32)));
    story.tick(32);
    assert_eq!(story.effects(), ["Connected", "2: Timeout"]);
}

#[test]
fn a_watch_that_fires_while_others_are_restored_is_used_up() {
    let mut story = Story::connected();
    for (call, path) in [(1, "/first"), (2, "/second")] {
        let id = u64::from(call);
        story.ask_watched_at(call, path, OpCode::GetData, id, WatchKind::Data);
        story.sent();
        story.reply(call as i32, 7, ErrorCode::Ok);
    }
    story.session.lost();
    story.connect();
    assert_eq!(story.sent().len(), 2);
    story.effects();
    story.event(EventType::NodeDataChanged, "/first");
    assert_eq!(story.effects(), ["watch 1: NodeDataChanged /first"]);
    // Its next watch is asked for, and the connection breaks before everything is restored.
    story.ask_watched_at(3, "/first", OpCode::GetData, 3, WatchKind::Data);
    assert_eq!(story.sent(), [(3, OpCode::GetData)]);
    story.session.lost();
    assert_eq!(story.effects(), ["3: ConnectionLost", "Suspended"]);
    story.connect();
    assert_eq!(story.sent(), [(-8, OpCode::SetWatches)]);
    story.event(EventType::NodeDataChanged, "/first");
    story.event(EventType::NodeDataChanged, "/second");
    assert_eq!(
        story.effects(),
        ["Connected", "watch 2: NodeDataChanged /second"]
    );
}

#[test]
fn closing_between_connections_ends_the_session_at_the_next_server() {
    let mut story = Story::connected();
    story.session.lost();
    story.ask(1, OpCode::Delete);
    story.session.close(story.now, 2);
    story.ask(3, OpCode::Sync);
    assert_eq!(story.effects(), ["Connected", "Suspended", "3: Closed"]);
    story.connect();
    let left = [(1, OpCode::Delete), (2, OpCode::CloseSession)];
    assert_eq!(story.sent(), left);
    story.reply(1, 8, ErrorCode::Ok);
    story.reply(2, 9, ErrorCode::Ok);
    assert_eq!(
        story.effects(),
        [
            "Connected",
            "1: 0",
            "Closed",
            "hang up: the session is over",
            "2: 0"
        ]
    );
}

#[test]
fn closing_a_session_that_has_expired_meanwhile_is_done() {
    let mut story = Story::connected();
    story.session.lost();
    story.ask(1, OpCode::Delete);
    story.session.close(story.now, 2);
    story.effects();
    hello(&mut story);
    refuse(&mut story);
    assert_eq!(
        story.effects(),
        [
            "1: SessionExpired",
            "2: 0",
            "Expired",
            "hang up: the session is over"
        ]
    );
}

#[test]
fn who_closes_a_second_time_waits_for_the_same_end() {
    let mut story = Story::connected();
    story.session.close(story.now, 1);
    story.session.close(story.now, 2);
    assert_eq!(story.sent(), [(1, OpCode::CloseSession)]);
    assert_eq!(story.effects(), ["Connected"]);
    story.reply(1, 9, ErrorCode::Ok);
    assert_eq!(
        story.effects(),
        ["2: 0", "Closed", "hang up: the session is over", "1: 0"]
    );
    // And what becomes of it is told to all.
    let mut story = Story::connected();
    story.session.close(story.now, 1);
    story.session.close(story.now, 2);
    story.sent();
    story.session.lost();
    assert_eq!(
        story.effects(),
        [
            "Connected",
            "1: ConnectionLost",
            "2: ConnectionLost",
            "Closed"
        ]
    );
    let mut story = Story::connected();
    story.session.lost();
    story.effects();
    story.session.close(story.now, 1);
    story.session.close(story.now, 2);
    story.tick(20);
    assert_eq!(
        story.effects(),
        [
            "1: NotSent",
            "2: NotSent",
            "Closed",
            "hang up: the session is over"
        ]
    );
}

#[test]
fn a_server_that_knows_of_the_end_before_the_client_says_so() {
    let mut story = Story::connected();
    story.ask(1, OpCode::Delete);
    story.sent();
    story.reply(1, 8, ErrorCode::SessionExpired);
    assert_eq!(story.effects(), ["Connected", "1: SessionExpired"]);
}
