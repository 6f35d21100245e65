//! What becomes of identities: their place in the order, on this connection and the next; told step by step.

use rookeeper_proto::code::ErrorCode;
use rookeeper_proto::jute::Reader;

use super::story::{Story, at, settings};
use super::*;

#[test]
fn an_identity_comes_behind_what_was_asked_before_and_ahead_of_what_is_asked_after() {
    let mut story = Story::connected();
    let (sync, auth) = (OpCode::Sync, OpCode::Auth);
    let prove = |story: &mut Story, call| {
        let proof = b"u:p".to_vec();
        story
            .session
            .authenticate(story.now, call, "digest".into(), proof);
    };
    for call in 1..=4 {
        story.ask(call, sync);
    }
    prove(&mut story, 5);
    story.ask(6, sync);
    assert_eq!(story.sent(), [(1, sync), (2, sync), (3, sync)]);
    story.reply(1, 1, ErrorCode::Ok);
    assert_eq!(story.sent(), [(4, sync), (-4, auth)]);
    prove(&mut story, 7);
    story.reply(-4, 0, ErrorCode::Ok);
    story.effects();
    // On the next connection all of them are told at once, and none of them twice.
    story.session.lost();
    story.effects();
    story.connect();
    assert_eq!(story.sent(), [(-4, auth), (-4, auth), (5, sync)]);
    story.reply(-4, 0, ErrorCode::Ok);
    story.reply(-4, 0, ErrorCode::Ok);
    assert_eq!(story.effects(), ["Connected", "7: 0"]);
}

#[test]
fn an_identity_waits_no_longer_than_a_request_may() {
    let mut story = Story::connected();
    for call in 1..=4 {
        story.ask(call, OpCode::Sync);
    }
    story.sent();
    let proof = b"u:p".to_vec();
    story
        .session
        .authenticate(story.now, 5, "digest".into(), proof);
    story.now = at(15);
    story.reply(-2, 1, ErrorCode::Ok);
    assert!(story.sent().is_empty());
    story.tick(20);
    assert_eq!(story.sent()[0], (-4, OpCode::Auth));
    story.reply(-4, 0, ErrorCode::Ok);
    assert_eq!(story.effects().last().unwrap(), "5: 0");
}

#[test]
fn identities_are_told_again_in_their_order_and_each_answer_finds_who_asked() {
    let mut story = Story::new(SessionSettings {
        identities: vec![("digest".into(), b"first".to_vec())],
        ..settings()
    });
    let told = |story: &mut Story| -> Vec<String> {
        let auths = story.sent_frames().into_iter();
        auths
            .filter(|(_, op, _)| *op == OpCode::Auth)
            .map(|(_, _, body)| {
                let mut reader = Reader::new(&body);
                reader.i32().unwrap();
                reader.string().unwrap();
                String::from_utf8(reader.buffer().unwrap().unwrap().to_vec()).unwrap()
            })
            .collect()
    };
    let add = |story: &mut Story, call, proof: &str| {
        let proof = proof.as_bytes().to_vec();
        story
            .session
            .authenticate(story.now, call, "digest".into(), proof);
    };
    add(&mut story, 1, "second");
    story.connect();
    assert_eq!(told(&mut story), ["first", "second"]);
    story.reply(-4, 0, ErrorCode::Ok);
    assert_eq!(story.effects(), ["Connected"]);
    add(&mut story, 2, "third");
    assert_eq!(told(&mut story), ["third"]);
    story.session.lost();
    add(&mut story, 3, "fourth");
    story.connect();
    assert_eq!(told(&mut story), ["first", "second", "third", "fourth"]);
    story.effects();
    for expected in [None, Some("1: 0"), Some("2: 0"), Some("3: 0")] {
        story.reply(-4, 0, ErrorCode::Ok);
        let effects = story.effects();
        assert_eq!(effects.first().map(String::as_str), expected);
    }
}

#[test]
fn a_refused_identity_ends_the_session() {
    let mut story = Story::new(SessionSettings {
        identities: vec![("digest".into(), b"u:p".to_vec())],
        ..settings()
    });
    story.connect();
    story.ask(1, OpCode::Sync);
    assert_eq!(story.sent(), [(-4, OpCode::Auth), (1, OpCode::Sync)]);
    story.reply(-4, 0, ErrorCode::AuthFailed);
    assert_eq!(
        story.effects(),
        [
            "Connected",
            // It was sent, so nobody knows.
            "1: ConnectionLost",
            "AuthFailed",
            "hang up: the session is over"
        ]
    );
}
