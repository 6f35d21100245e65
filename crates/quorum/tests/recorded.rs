//! Synchronizations as recorded between Java servers, with one side played by ours: the same packets come out, byte for byte and in
//! the same order.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test of files: it looks at them directly, and a failure is its result"
)]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::Packet;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::{FromLearner, LearnerInfo};
use rookeeper_quorum::committed::{CommittedWindow, Entry};
use rookeeper_quorum::epoch::LAST_COUNTER;
use rookeeper_quorum::leader::effect::{LeaderEffect, LeaderInput};
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::leader::{Leader, LeaderConfig};
use rookeeper_quorum::learner::effect::{LearnerEffect, LearnerInput};
use rookeeper_quorum::learner::{Learner, LearnerConfig};
use rookeeper_quorum::membership::{Membership, Role};
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::vote::History;

const LIMIT: usize = 0xf_ffff * 2;
const TICK_MS: i64 = 2000;
/// The connection of the recorded learner, and of another that helps to make a quorum.
const RECORDED: LearnerId = LearnerId(1);
const HELPER: LearnerId = LearnerId(2);

/// One connection of a recording: who spoke (true: the leader), and what.
fn conversation(file: &str, conn: &str, learner: i64) -> Vec<(bool, Packet)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/quorum");
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let mut found = Vec::new();
    for record in text.split("== ").skip(1) {
        let (head, body) = record.split_once('\n').unwrap();
        let words: Vec<_> = head.split(' ').collect();
        if words[0] != "quorum"
            || words[1] != conn
            || ["SNAPSHOT_STREAM", "CLOSE"].contains(&words[5])
        {
            continue;
        }
        let digits: String = body.lines().filter(|line| !line.starts_with('#')).collect();
        let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes: Bytes = (0..digits.len())
            .step_by(2)
            .map(digit)
            .collect::<Vec<_>>()
            .into();
        let by_leader = words[2].parse::<i64>().unwrap() != learner;
        found.push((by_leader, Packet::decode(&bytes, LIMIT).unwrap()));
    }
    // What comes after the second acknowledgement is another matter.
    let acks = |(by_leader, packet): &(bool, Packet)| !by_leader && packet.kind == 3;
    let last = found
        .iter()
        .enumerate()
        .filter(|(_, said)| acks(said))
        .nth(1)
        .expect("two acks")
        .0;
    found.truncate(last + 1);
    found
}

fn bytes(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn membership(talk: &[(bool, Packet)]) -> Membership {
    let says = |(by_leader, packet): &(bool, Packet)| match FromLeader::from_packet(packet.clone())
    {
        Ok(FromLeader::NewLeader { config, .. }) if *by_leader => config,
        _ => None,
    };
    let text = talk
        .iter()
        .find_map(says)
        .expect("NEWLEADER has a configuration");
    Membership::parse(std::str::from_utf8(&text).unwrap()).unwrap()
}

/// The leader's situation before the recorded learner comes.
struct Before {
    me: i64,
    /// Of its history, and its promise.
    epoch: i64,
    last: Zxid,
    /// Transactions after which the learner comes, of the epoch that is established then; `None`: it helps to establish it.
    established_with: Option<u32>,
}

/// Gives inputs until nothing is left to do; disks are prompt. Keeps what goes to the recorded learner.
fn drive(leader: &mut Leader, effects: Vec<LeaderEffect>, out: &mut Vec<Packet>) {
    for effect in effects {
        let answer = match effect {
            LeaderEffect::Send { to: RECORDED, said } => {
                out.push(said.into_packet());
                continue;
            }
            LeaderEffect::WriteAcceptedEpoch(epoch) => LeaderInput::AcceptedEpochWritten(epoch),
            LeaderEffect::WriteCurrentEpoch(epoch) => LeaderInput::CurrentEpochWritten(epoch),
            LeaderEffect::Append(entry) => LeaderInput::Synced(entry.zxid),
            LeaderEffect::LookUpLog { learner, .. } => LeaderInput::LogFound { learner, log: None },
            _ => continue,
        };
        give(leader, answer, out);
    }
}

fn give(leader: &mut Leader, input: LeaderInput, out: &mut Vec<Packet>) {
    let mut effects = Vec::new();
    leader.handle(0, input, &mut effects);
    drive(leader, effects, out);
}

fn say(leader: &mut Leader, from: LearnerId, said: FromLearner, out: &mut Vec<Packet>) {
    give(leader, LeaderInput::Said { from, said }, out);
}

/// A member that is neither the leader nor the recorded learner establishes the epoch with it.
fn establish(
    leader: &mut Leader,
    before: &Before,
    helper: i64,
    count: u32,
    talk: &[(bool, Packet)],
) {
    let mut out = Vec::new();
    let info = LearnerInfo {
        server: Some(ServerId(helper)),
        protocol: 0x10000,
        config_version: 0,
    };
    let epoch = before.epoch + 1;
    let accepted = Zxid::new(before.epoch as u32, 0);
    give(leader, LeaderInput::Connected(HELPER), &mut out);
    say(
        leader,
        HELPER,
        FromLearner::FollowerInfo { accepted, info },
        &mut out,
    );
    let (last, current) = (before.last, Some(before.epoch as i32));
    say(
        leader,
        HELPER,
        FromLearner::AckEpoch { last, current },
        &mut out,
    );
    say(
        leader,
        HELPER,
        FromLearner::Ack(Zxid::new(epoch as u32, 0)),
        &mut out,
    );
    assert_eq!(leader.established(), Some(epoch));
    for counter in 1..=count {
        let zxid = Zxid::new(epoch as u32, counter);
        let is_it = |packet: &&Packet| packet.kind == 2 && packet.zxid == zxid;
        let recorded = talk.iter().map(|(_, packet)| packet).find(is_it);
        let txn = recorded
            .and_then(|packet| packet.data.clone())
            .unwrap_or_default();
        let mut effects = Vec::new();
        assert!(leader.propose(Entry { zxid, txn }, 0, &mut effects));
        drive(leader, effects, &mut out);
        say(leader, HELPER, FromLearner::Ack(zxid), &mut out);
        assert_eq!(leader.last_committed(), zxid);
    }
}

/// Our leader speaks with the recorded learner.
#[track_caller]
fn play_leader(file: &str, conn: &str, learner: i64, before: &Before, window_from: Zxid) {
    let talk = conversation(file, conn, learner);
    let agreed = membership(&talk);
    // With reconfiguration on, the first established configuration gets its version from the leader.
    let reconfig_enabled = agreed.version() == Zxid::new(before.epoch as u32 + 1, 0).0;
    let membership = if reconfig_enabled {
        agreed.with_version(0)
    } else {
        agreed
    };
    let helper = membership
        .voters()
        .find(|id| id.0 != before.me && id.0 != learner)
        .unwrap();
    let config = LeaderConfig {
        me: ServerId(before.me),
        membership,
        reconfig_enabled,
        tick_ms: TICK_MS,
        init_limit: 10,
        sync_limit: 5,
        force_snapshot: false,
        sync_limits: SyncLimits::default(),
        last_counter: LAST_COUNTER,
    };
    let mut window = CommittedWindow::new(window_from, 500);
    while window.last() < before.last {
        let (zxid, txn) = (window.last().next(), Bytes::new());
        window.push(Entry { zxid, txn }).unwrap();
    }
    let (mut effects, mut out) = (Vec::new(), Vec::new());
    let mut leader = Leader::new(config, before.epoch, before.epoch, window, 0, &mut effects);
    drive(&mut leader, effects, &mut out);
    if let Some(count) = before.established_with {
        establish(&mut leader, before, helper.0, count, &talk);
    }
    give(&mut leader, LeaderInput::Connected(RECORDED), &mut out);
    let mut expected = talk
        .iter()
        .filter(|(by_leader, _)| *by_leader)
        .map(|(_, packet)| packet);
    for (_, packet) in talk.iter().filter(|(by_leader, _)| !by_leader) {
        let said = FromLearner::from_packet(packet.clone()).unwrap();
        say(&mut leader, RECORDED, said, &mut out);
        for ours in out.drain(..) {
            assert_eq!(
                bytes(&ours),
                bytes(expected.next().expect("Java said more")),
                "{file}"
            );
        }
    }
    assert_eq!(expected.next(), None, "{file}: Java said more");
}

/// Our learner speaks with the recorded leader.
#[track_caller]
fn play_learner(file: &str, conn: &str, learner: i64) {
    let talk = conversation(file, conn, learner);
    let said = |kind| {
        talk.iter()
            .find(|(by_leader, packet)| !by_leader && packet.kind == kind)
    };
    let (role, introduction) = match (said(11), said(16)) {
        (Some((_, packet)), _) => (Role::Participant, packet),
        (None, packet) => (Role::Observer, &packet.expect("it says who it is").1),
    };
    let accepted = introduction.zxid.epoch();
    let Some((_, ack_epoch)) = said(18) else {
        panic!("no ACKEPOCH")
    };
    let Ok(FromLearner::AckEpoch { last, current }) = FromLearner::from_packet(ack_epoch.clone())
    else {
        panic!("no ACKEPOCH");
    };
    let config = LearnerConfig {
        me: ServerId(learner),
        role,
        config_version: 0,
        tick_ms: TICK_MS,
        init_limit: 10,
        sync_limit: 5,
        ask_for_image: false,
    };
    let epoch = current.map_or(accepted, i64::from);
    let (mut effects, mut out) = (Vec::new(), Vec::new());
    let mut ours = Learner::new(config, History { epoch, last }, accepted, 0, &mut effects);
    answer(&mut ours, effects, &mut out);
    for (_, packet) in talk.iter().filter(|(by_leader, _)| *by_leader) {
        let said = FromLeader::from_packet(packet.clone()).unwrap();
        hear(&mut ours, LearnerInput::Said(said), &mut out);
    }
    let expected = talk
        .iter()
        .filter(|(by_leader, _)| !by_leader)
        .map(|(_, packet)| bytes(packet));
    let spoken: Vec<_> = out
        .into_iter()
        .map(|said| bytes(&said.into_packet()))
        .collect();
    assert_eq!(spoken, expected.collect::<Vec<_>>(), "{file}");
    assert!(ours.serving().is_some(), "{file}");
}

fn hear(learner: &mut Learner, input: LearnerInput, out: &mut Vec<FromLearner>) {
    let mut effects = Vec::new();
    learner.handle(0, input, &mut effects);
    answer(learner, effects, out);
}

fn answer(learner: &mut Learner, effects: Vec<LearnerEffect>, out: &mut Vec<FromLearner>) {
    for effect in effects {
        let input = match effect {
            LearnerEffect::Send(said) => {
                out.push(said);
                continue;
            }
            LearnerEffect::WriteAcceptedEpoch(epoch) => LearnerInput::AcceptedEpochWritten(epoch),
            LearnerEffect::WriteCurrentEpoch(epoch) => LearnerInput::CurrentEpochWritten(epoch),
            LearnerEffect::Append(entry) => LearnerInput::Synced(entry.zxid),
            LearnerEffect::Truncate(_) => LearnerInput::Truncated(true),
            LearnerEffect::LoadImage(_) => LearnerInput::ImageLoaded(true),
            LearnerEffect::SaveImage(zxid) => LearnerInput::ImageSaved(zxid),
            LearnerEffect::Leave(why) => panic!("it leaves: {why}"),
            _ => continue,
        };
        hear(learner, input, out);
    }
}

const fn before(me: i64, epoch: i64, last: Zxid, established_with: Option<u32>) -> Before {
    Before {
        me,
        epoch,
        last,
        established_with,
    }
}

#[test]
fn our_leader_says_what_java_says() {
    let (z, zero) = (Zxid::new, Zxid::ZERO);
    let two = |with| before(2, 0, zero, with);
    play_leader("10-sync-empty-start.hex", "c1", 1, &two(None), zero);
    play_leader("11-sync-observer-snap.hex", "c1", 4, &two(Some(0)), zero);
    play_leader("12-sync-diff.hex", "c1", 1, &two(Some(13)), zero);
    play_leader("13-sync-snap.hex", "c1", 1, &two(Some(13)), zero);
    let new_epoch = before(3, 1, z(1, 15), None);
    play_leader("14-sync-new-epoch.hex", "c1", 1, &new_epoch, z(1, 0));
    let trunc = before(3, 1, z(1, 15), Some(0));
    play_leader("15-sync-trunc.hex", "c1", 2, &trunc, z(1, 0));
    let third = before(2, 2, z(1, 15), None);
    play_leader("16-sync-epoch-3.hex", "c3", 1, &third, z(1, 0));
    let first_config = before(3, 0, zero, None);
    play_leader("30-reconfig-first-config.hex", "c1", 2, &first_config, zero);
}

#[test]
fn our_learner_says_what_java_says() {
    play_learner("10-sync-empty-start.hex", "c1", 1);
    play_learner("11-sync-observer-snap.hex", "c1", 4);
    play_learner("12-sync-diff.hex", "c1", 1);
    play_learner("13-sync-snap.hex", "c1", 1);
    play_learner("14-sync-new-epoch.hex", "c1", 1);
    play_learner("15-sync-trunc.hex", "c1", 2);
    play_learner("16-sync-epoch-3.hex", "c3", 1);
    play_learner("30-reconfig-first-config.hex", "c1", 2);
    play_learner("30-reconfig-first-config.hex", "c2", 1);
}
