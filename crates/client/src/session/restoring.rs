//! What becomes of watches when a connection breaks while they are registered again, and when they are removed; told step by step.

use rookeeper_proto::code::{ErrorCode, EventType};
use rookeeper_proto::request::{self, Read};

use super::story::Story;
use super::*;

/// Where the setWatches of a new connection begin.
fn relative_zxids(story: &mut Story) -> Vec<Zxid> {
    let frames = story.sent_frames();
    let sets = frames
        .iter()
        .map(|(_, op, body)| match request::decode(op.code(), body) {
            Ok(request::Request::Read(Read::SetWatches(set))) => set.relative_zxid,
            other => panic!("{other:?}"),
        });
    sets.collect()
}

#[test]
fn what_is_half_restored_is_restored_from_where_it_was() {
    let mut story = Story::connected();
    for (call, path) in [(1, "/first"), (2, "/second")] {
        story.ask_watched_at(
            call,
            path,
            OpCode::GetData,
            u64::from(call),
            WatchKind::Data,
        );
        story.sent();
        story.reply(call as i32, 7, ErrorCode::Ok);
    }
    story.session.lost();
    story.connect();
    assert_eq!(relative_zxids(&mut story), [Zxid(7), Zxid(7)]);
    story.reply(-8, 20, ErrorCode::Ok);
    story.session.lost();
    story.connect();
    assert_eq!(relative_zxids(&mut story), [Zxid(7), Zxid(7)]);
    story.reply(-8, 21, ErrorCode::Ok);
    story.reply(-8, 22, ErrorCode::Ok);
    story.session.lost();
    story.connect();
    assert_eq!(relative_zxids(&mut story), [Zxid(22), Zxid(22)]);
}

#[test]
fn an_event_is_seen_and_does_not_hide_others_of_its_transaction() {
    let mut story = Story::connected();
    for call in [1, 2] {
        story.ask_watched(call, OpCode::GetData, u64::from(call), WatchKind::Data);
    }
    story.ask_watched(3, OpCode::GetChildren2, 3, WatchKind::Child);
    story.sent();
    for xid in 1..=3 {
        story.reply(xid, 7, ErrorCode::Ok);
    }
    story.event(EventType::NodeDataChanged, "/a");
    assert_eq!(story.session.last_zxid(), Zxid(9));
    story.session.lost();
    story.connect();
    assert_eq!(relative_zxids(&mut story), [Zxid(7)]);
}

#[test]
fn a_removal_takes_the_watches_of_before_and_leaves_those_of_after() {
    let mut story = Story::connected();
    story.ask_watched(1, OpCode::GetData, 1, WatchKind::Data);
    story.ask_removal(2, WatcherType::Any);
    story.ask_watched(3, OpCode::GetData, 2, WatchKind::Data);
    story.sent();
    for xid in 1..=3 {
        story.reply(xid, 7, ErrorCode::Ok);
    }
    story.event(EventType::NodeDataChanged, "/a");
    assert_eq!(
        story.effects(),
        [
            "Connected",
            "1: 0",
            "watch 1 ended: WatchRemoved",
            "2: 0",
            "3: 0",
            "watch 2: NodeDataChanged /a"
        ]
    );
}
