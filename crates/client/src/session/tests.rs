//! How a session behaves, told step by step.

use rookeeper_proto::code::{ErrorCode, EventType};
use rookeeper_proto::jute::Writer;
use rookeeper_proto::request::{self, Read};
use rookeeper_proto::response::ConnectResponse;

use super::story::{OTHER_SERVER, SERVER, SESSION, Story, at, settings};
use super::*;

#[test]
fn requests_leave_in_order_and_no_more_than_may_fly() {
    let mut story = Story::connected();
    for call in 1..=5 {
        story.ask(call, OpCode::Sync);
    }
    let sync = OpCode::Sync;
    assert_eq!(story.sent(), [(1, sync), (2, sync), (3, sync)]);
    story.reply(1, 5, ErrorCode::Ok);
    assert_eq!(story.sent(), [(4, sync)]);
    assert_eq!(story.effects(), ["Connected", "1: 0"]);
    assert_eq!(story.session.last_zxid(), Zxid(5));
}

#[test]
fn what_was_sent_is_unknown_and_what_was_not_goes_on() {
    let mut story = Story::connected();
    for call in 1..=4 {
        story.ask(call, OpCode::Delete);
    }
    story.sent();
    story.reply(1, 1, ErrorCode::Ok);
    story.session.lost();
    story.effects();
    story.session.opened(story.now, SERVER, at(10).0);
    story.sent_bytes();
    story.accept(false);
    assert_eq!(story.sent(), [(4, OpCode::Delete)]);
    story.reply(4, 2, ErrorCode::NoNode);
    assert_eq!(story.effects(), ["Connected", "4: -101"]);
}

#[test]
fn a_lost_connection_answers_what_was_on_the_wire() {
    let mut story = Story::connected();
    story.ask(1, OpCode::Delete);
    story.sent();
    story.ask(2, OpCode::Delete);
    story.effects();
    story.session.lost();
    assert_eq!(story.effects(), ["1: ConnectionLost", "Suspended"]);
}

#[test]
fn deadlines_tell_what_was_sent_from_what_was_not() {
    let mut story = Story::connected();
    for call in 1..=4 {
        story.ask(call, OpCode::Sync);
    }
    story.sent();
    story.effects();
    story.reply(-2, 1, ErrorCode::Ok);
    assert_eq!(story.session.wake_at(), Some(at(10)));
    story.tick(10);
    assert_eq!(story.sent(), [(-2, OpCode::Ping)]);
    story.now = at(15);
    story.reply(-2, 1, ErrorCode::Ok);
    story.tick(20);
    assert_eq!(
        story.effects(),
        ["1: Timeout", "2: Timeout", "3: Timeout", "4: NotSent"]
    );
    // Late answers are nobody's, and keep the order for others.
    story.ask(5, OpCode::Sync);
    story.reply(1, 2, ErrorCode::Ok);
    story.sent();
    for xid in 2..=4 {
        story.reply(xid, 2, ErrorCode::Ok);
    }
    assert_eq!(story.effects(), ["5: 0"]);
}

#[test]
fn a_silent_server_is_given_up_after_two_thirds_of_the_timeout() {
    let mut story = Story::connected();
    story.effects();
    story.tick(19);
    assert!(story.effects().is_empty());
    assert_eq!(story.session.wake_at(), Some(at(20)));
    story.tick(20);
    assert_eq!(
        story.effects(),
        ["hang up: nothing was heard from the server for too long"]
    );
}

#[test]
fn answers_out_of_order_end_the_connection() {
    let mut story = Story::connected();
    story.ask(1, OpCode::Sync);
    story.ask(2, OpCode::Sync);
    story.sent();
    story.effects();
    story.reply(2, 1, ErrorCode::Ok);
    assert_eq!(
        story.effects(),
        ["hang up: the server answered what was not asked"]
    );
}

#[test]
fn an_operation_that_the_server_does_not_know_is_asked_once() {
    let mut story = Story::connected();
    story.ask(1, OpCode::Sync);
    story.ask(2, OpCode::WhoAmI);
    story.sent();
    story.effects();
    // It may come before the answers to what was asked earlier.
    story.reply(2, -1, ErrorCode::Unimplemented);
    assert_eq!(story.effects(), ["2: Unsupported(WhoAmI)"]);
    story.ask(3, OpCode::WhoAmI);
    assert_eq!(story.effects(), ["3: Unsupported(WhoAmI)"]);
}

#[test]
fn what_one_server_does_not_know_another_is_asked_for() {
    let mut story = Story::connected();
    story.ask(1, OpCode::WhoAmI);
    story.sent();
    story.reply(1, -1, ErrorCode::Unimplemented);
    story.session.lost();
    assert_eq!(
        story.effects(),
        ["Connected", "1: Unsupported(WhoAmI)", "Suspended"]
    );
    // Nobody knows yet where the next connection leads to.
    story.ask(2, OpCode::WhoAmI);
    assert!(story.effects().is_empty());
    story.connect_to(OTHER_SERVER);
    assert_eq!(story.sent(), [(2, OpCode::WhoAmI)]);
    story.reply(2, 1, ErrorCode::Ok);
    assert_eq!(story.effects(), ["Connected", "2: 0"]);
}

#[test]
fn a_server_that_closed_because_of_what_it_does_not_know_is_not_asked_again() {
    let mut story = Story::connected();
    story.ask(1, OpCode::WhoAmI);
    story.sent();
    story.reply(1, -1, ErrorCode::Unimplemented);
    story.session.lost();
    story.ask(2, OpCode::WhoAmI);
    story.ask(3, OpCode::Sync);
    story.effects();
    story.connect();
    assert_eq!(story.sent(), [(2, OpCode::Sync)]);
    assert_eq!(story.effects(), ["2: Unsupported(WhoAmI)", "Connected"]);
    // It went away for another reason: it may come back as a newer one.
    story.session.lost();
    story.effects();
    story.connect();
    story.ask(4, OpCode::WhoAmI);
    assert_eq!(story.sent(), [(3, OpCode::WhoAmI)]);
}

#[test]
fn a_watch_that_nobody_wants_costs_an_old_server_no_second_connection() {
    let mut story = Story::connected();
    story.ask_watched(1, OpCode::GetData, 1, WatchKind::Data);
    story.ask_watched(2, OpCode::GetChildren2, 2, WatchKind::Child);
    story.sent();
    story.reply(1, 1, ErrorCode::Ok);
    story.reply(2, 1, ErrorCode::Ok);
    story.session.unwatch(story.now, WatchId(1));
    story.session.unwatch(story.now, WatchId(2));
    assert_eq!(story.sent(), [(3, OpCode::RemoveWatches)]);
    story.reply(3, -1, ErrorCode::Unimplemented);
    story.session.lost();
    story.connect_to(OTHER_SERVER);
    story.ask_watched(3, OpCode::GetData, 3, WatchKind::Data);
    story.sent();
    story.reply(4, 1, ErrorCode::Ok);
    story.session.unwatch(story.now, WatchId(3));
    assert!(story.sent().is_empty());
}

#[test]
fn identities_and_watches_precede_requests_after_a_reconnect() {
    let mut story = Story::connected();
    story
        .session
        .authenticate(story.now, 1, "digest".into(), b"u:p".to_vec());
    story.ask_watched(2, OpCode::GetData, 1, WatchKind::Data);
    story.ask_watched(3, OpCode::AddWatch, 2, WatchKind::Recursive);
    story.sent();
    story.reply(-4, 0, ErrorCode::Ok);
    story.reply(1, 7, ErrorCode::Ok);
    story.reply(2, 7, ErrorCode::Ok);
    assert_eq!(story.effects(), ["Connected", "1: 0", "2: 0", "3: 0"]);
    // Two kinds on one path: the server is asked what it makes of them.
    assert_eq!(story.sent(), [(3, OpCode::CheckWatches)]);
    story.session.lost();
    assert_eq!(story.effects(), ["watch 2 interrupted", "Suspended"]);
    story.ask(4, OpCode::Sync);
    story.connect();
    let sent = story.sent_frames();
    let order: Vec<(i32, OpCode)> = sent.iter().map(|(xid, op, _)| (*xid, *op)).collect();
    assert_eq!(
        order,
        [
            (-4, OpCode::Auth),
            (-8, OpCode::SetWatches2),
            (4, OpCode::Sync)
        ]
    );
    let body = &sent[1].2;
    let Ok(request::Request::Read(Read::SetWatches(set))) =
        request::decode(OpCode::SetWatches2.code(), body)
    else {
        panic!("not a setWatches2")
    };
    assert_eq!(set.relative_zxid, Zxid(7));
    story.event(EventType::NodeDataChanged, "/a");
    story.reply(-4, 0, ErrorCode::Ok);
    story.reply(-8, 8, ErrorCode::Ok);
    assert_eq!(
        story.effects(),
        [
            "Connected",
            "watch 1: NodeDataChanged /a",
            "watch 2: NodeDataChanged /a",
            "watch 2 restored"
        ]
    );
}

#[test]
fn an_exists_watch_is_left_where_there_is_nothing() {
    let mut story = Story::connected();
    story.ask_watched(1, OpCode::Exists, 1, WatchKind::Exist);
    story.ask_watched(2, OpCode::GetData, 2, WatchKind::Data);
    story.sent();
    story.reply(1, 1, ErrorCode::NoNode);
    story.reply(2, 1, ErrorCode::NoNode);
    story.effects();
    story.event(EventType::NodeCreated, "/a");
    assert_eq!(story.effects(), ["watch 1: NodeCreated /a"]);
}

#[test]
fn a_watch_that_nobody_waits_for_is_removed_at_the_server() {
    let mut story = Story::connected();
    story.ask_watched(1, OpCode::GetData, 1, WatchKind::Data);
    story.sent();
    // The caller goes away before the answer comes.
    story.session.unwatch(story.now, WatchId(1));
    assert!(story.sent().is_empty());
    story.reply(1, 1, ErrorCode::Ok);
    assert_eq!(story.sent(), [(2, OpCode::RemoveWatches)]);
    story.reply(2, 1, ErrorCode::Ok);
    // Its request is answered all the same: it counted among those that wait.
    assert_eq!(story.effects(), ["Connected", "1: 0"]);
}

#[test]
fn a_refused_session_is_expired_for_good() {
    let mut story = Story::connected();
    story.ask_watched(1, OpCode::GetData, 1, WatchKind::Data);
    story.sent();
    story.reply(1, 1, ErrorCode::Ok);
    story.session.lost();
    story.ask(2, OpCode::Sync);
    story.effects();
    story.session.opened(story.now, SERVER, at(10).0);
    let mut out = Vec::new();
    ConnectResponse::Refused.encode(Some(false), &mut out);
    story.frame(&out);
    assert_eq!(
        story.effects(),
        [
            "2: SessionExpired",
            "watch 1 ended: SessionExpired",
            "Expired",
            "hang up: the session is over"
        ]
    );
    story.ask(3, OpCode::Sync);
    assert_eq!(story.effects(), ["3: SessionExpired"]);
    assert!(story.session.is_over());
}

#[test]
fn closing_comes_after_what_was_asked_before() {
    let mut story = Story::connected();
    story.ask(1, OpCode::Sync);
    story.session.close(story.now, 2);
    story.ask(3, OpCode::Sync);
    assert_eq!(story.sent(), [(1, OpCode::Sync), (2, OpCode::CloseSession)]);
    story.reply(1, 1, ErrorCode::Ok);
    story.reply(2, 2, ErrorCode::Ok);
    assert_eq!(
        story.effects(),
        [
            "Connected",
            "3: Closed",
            "1: 0",
            "Closed",
            "hang up: the session is over",
            "2: 0"
        ]
    );
}

#[test]
fn closing_without_a_server_ends_at_its_deadline() {
    let mut story = Story::connected();
    story.session.lost();
    story.session.close(story.now, 1);
    story.effects();
    story.tick(20);
    assert_eq!(
        story.effects(),
        ["1: NotSent", "Closed", "hang up: the session is over"]
    );
    let mut fresh = Story::new(settings());
    fresh.session.close(fresh.now, 1);
    assert_eq!(fresh.effects(), ["Closed", "1: 0"]);
}

#[test]
fn a_session_of_a_read_only_server_begins_anew_elsewhere() {
    let mut story = Story::new(SessionSettings {
        read_only: true,
        ..settings()
    });
    story.session.opened(story.now, SERVER, at(10).0);
    story.sent_bytes();
    story.accept(true);
    assert_eq!(story.effects(), ["ReadOnly"]);
    story.session.lost();
    story.session.opened(story.now, SERVER, at(10).0);
    let hello = story.sent_bytes();
    let request = ConnectRequest::decode(&hello[4..]).unwrap();
    assert_eq!(
        (request.session, request.read_only),
        (SessionId::NONE, Some(true))
    );
    story.accept(false);
    assert_eq!(story.effects(), ["Suspended", "Connected"]);
    story.session.lost();
    story.session.opened(story.now, SERVER, at(10).0);
    let hello = story.sent_bytes();
    assert_eq!(
        ConnectRequest::decode(&hello[4..]).unwrap().session,
        SESSION
    );
}

#[test]
fn nothing_leaves_before_sasl_has_come_to_its_end() {
    let mut story = Story::new(SessionSettings {
        sasl: true,
        ..settings()
    });
    story.ask(1, OpCode::Sync);
    story.connect();
    assert_eq!(story.effects(), ["challenge None", "Connected"]);
    assert!(story.sent().is_empty());
    story.session.say_token(story.now, b"first");
    assert_eq!(story.sent(), [(1, OpCode::Sasl)]);
    let mut out = Vec::new();
    response::reply(&mut out, Xid(1), Zxid(0), ErrorCode::Ok, |out| {
        out.put_buffer(Some(b"challenge"));
    });
    story.frame(&out);
    assert_eq!(story.effects(), ["challenge Some(b\"challenge\")"]);
    story.session.proved(story.now);
    assert_eq!(story.sent(), [(2, OpCode::Sync)]);
}

#[test]
fn a_server_without_persistent_watches_ends_them() {
    let mut story = Story::connected();
    story.ask_watched(1, OpCode::AddWatch, 1, WatchKind::Persistent);
    story.sent();
    story.reply(1, 1, ErrorCode::Ok);
    story.session.lost();
    story.connect();
    story.sent();
    story.effects();
    story.reply(-8, -1, ErrorCode::Unimplemented);
    assert_eq!(story.effects(), ["watch 1 ended: Unsupported(SetWatches2)"]);
    story.session.lost();
    story.connect();
    assert!(story.sent().is_empty());
}

#[test]
fn garbage_ends_the_connection() {
    let mut story = Story::connected();
    story.effects();
    story.frame(&[0, 0, 0, 3, 1, 2, 3]);
    assert!(matches!(
        story.session.take_effects()[..],
        [Effect::HangUp(Disconnection::Garbage(_))]
    ));
}

#[test]
fn a_server_that_speaks_and_does_not_listen_is_given_up_before_the_session_ends() {
    let mut story = Story::connected();
    story.effects();
    for seconds in [5, 10, 15, 20] {
        story.tick(seconds);
        story.event(EventType::NodeDataChanged, "/a");
    }
    story.now = at(24);
    story.event(EventType::NodeDataChanged, "/a");
    assert!(story.effects().is_empty());
    story.tick(25);
    let silent = "hang up: nothing was heard from the server for too long";
    assert_eq!(story.effects(), [silent]);
}

#[test]
fn nothing_is_believed_of_a_connection_that_is_given_up() {
    let mut story = Story::connected();
    story.ask(1, OpCode::Sync);
    story.sent();
    story.effects();
    story.reply(5, 1, ErrorCode::Ok);
    story.reply(1, 1, ErrorCode::Ok);
    assert_eq!(
        story.effects(),
        ["hang up: the server answered what was not asked"]
    );
    story.session.lost();
    assert_eq!(story.effects(), ["1: ConnectionLost", "Suspended"]);
}

#[test]
fn a_server_that_does_not_accept_the_session_has_its_patience_and_no_more() {
    let mut story = Story::new(settings());
    story
        .session
        .opened(story.now, SERVER, Duration::from_secs(7));
    story.sent_bytes();
    assert_eq!(story.session.wake_at(), Some(at(7)));
    story.tick(6);
    assert!(story.effects().is_empty());
    story.tick(7);
    let silent = "hang up: nothing was heard from the server for too long";
    assert_eq!(story.effects(), [silent]);
}

#[test]
fn closing_before_there_is_a_session_waits_for_none() {
    let mut story = Story::new(settings());
    story
        .session
        .opened(story.now, SERVER, Duration::from_secs(7));
    story.session.close(story.now, 1);
    story.session.lost();
    assert_eq!(story.effects(), ["1: 0", "Closed"]);
}
