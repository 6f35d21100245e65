//! Stories about one learner: each file below `scripts/learner` is one. The disk and time obey the script; `EPOCH.COUNTER` is a zxid.
//!
//! Run with `UPDATE_GOLDENFILES=1` to record the answers anew, and review the difference.
//!
//! - `learner [role=observer] [epoch=E] [last=Z] [accepted=E] [ask=image]`: connects at time 0.
//! - `hear leaderinfo|diff|trunc|snap|proposal|commit|inform|newleader|uptodate|ping|sync|activate [Z...]`: packets, in one read.
//! - `written accepted|current E`, `truncated [fail]`, `loaded [fail]`, `saved Z`, `synced Z`: what the disk answers.
//! - `pass MS`: time, with a tick at its end. `stop MS`: the process stands still. `status`.
#![allow(clippy::expect_used, reason = "a test: a failure is its result")]

mod words;

use std::fmt::Write;
use std::path::Path;

use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_proto::packet::PROTOCOL_VERSION;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::FromLearner;
use rookeeper_quorum::committed::Entry;
use rookeeper_quorum::learner::effect::{LearnerEffect, LearnerInput};
use rookeeper_quorum::learner::{Learner, LearnerConfig};
use rookeeper_quorum::membership::Role;
use rookeeper_quorum::vote::History;
use words::{Outcome, show};

#[derive(Default)]
struct Story {
    now: i64,
    learner: Option<Learner>,
}

/// What a learner says.
fn from_learner(said: &FromLearner) -> String {
    match said {
        FromLearner::FollowerInfo { accepted, .. } => format!("FOLLOWERINFO {}", show(*accepted)),
        FromLearner::ObserverInfo { accepted, .. } => format!("OBSERVERINFO {}", show(*accepted)),
        FromLearner::AckEpoch { last, current } => {
            format!("ACKEPOCH {} of epoch {current:?}", show(*last))
        }
        FromLearner::Ack(zxid) => format!("ACK {}", show(*zxid)),
        other => format!("{other:?}"),
    }
}

fn line(effect: &LearnerEffect) -> String {
    match effect {
        LearnerEffect::Send(said) => format!("-> {}", from_learner(said)),
        LearnerEffect::WriteAcceptedEpoch(epoch) => format!("write acceptedEpoch {epoch}"),
        LearnerEffect::WriteCurrentEpoch(epoch) => format!("write currentEpoch {epoch}"),
        LearnerEffect::Truncate(zxid) => format!("truncate to {}", show(*zxid)),
        LearnerEffect::LoadImage(zxid) => format!("load image {}", show(*zxid)),
        LearnerEffect::SaveImage(zxid) => format!("save image {}", show(*zxid)),
        LearnerEffect::Append(entry) => format!("append {}", show(entry.zxid)),
        LearnerEffect::Commit { entry, activate } => {
            let activate =
                activate.map_or(String::new(), |leader| format!(", {leader} shall lead"));
            format!("commit {}{activate}", show(entry.zxid))
        }
        LearnerEffect::SeeConfig(_) => "see the configuration".to_owned(),
        LearnerEffect::Serve { epoch, config } => {
            format!(
                "serve epoch {epoch}{}",
                if config.is_some() {
                    " with configuration"
                } else {
                    ""
                }
            )
        }
        LearnerEffect::Ping(zxid) => format!("answer ping {}", show(*zxid)),
        LearnerEffect::SyncDone => "sync done".to_owned(),
        LearnerEffect::Revalidated { .. } => "revalidated".to_owned(),
        LearnerEffect::Leave(why) => format!("LEAVE: {why} (wants image: {})", why.wants_image()),
    }
}

fn packets(args: &mut ArgumentConsumer<'_>) -> Outcome<Vec<FromLeader>> {
    let kind = args.next_pos().unwrap_or_default().to_owned();
    let mut zxids = Vec::new();
    while let Some(text) = args.next_pos() {
        zxids.push(words::zxid(text)?);
    }
    if zxids.is_empty() {
        zxids.push(Zxid::ZERO);
    }
    let packet = |zxid: Zxid| {
        let Entry { txn, .. } = words::entry(zxid);
        let epoch = Zxid::new(zxid.epoch() as u32, 0);
        Ok(match kind.as_str() {
            "leaderinfo" => FromLeader::LeaderInfo {
                epoch,
                protocol: PROTOCOL_VERSION,
            },
            "diff" => FromLeader::Diff(zxid),
            "trunc" => FromLeader::Trunc(zxid),
            "snap" => FromLeader::Snap(zxid),
            "proposal" => FromLeader::Proposal { zxid, txn },
            "commit" => FromLeader::Commit(zxid),
            "inform" => FromLeader::Inform { zxid, txn },
            "activate" => FromLeader::CommitAndActivate {
                zxid,
                leader: ServerId(3),
            },
            "newleader" => FromLeader::NewLeader {
                epoch,
                config: Some("version=0".into()),
            },
            "uptodate" => FromLeader::UpToDate,
            "ping" => FromLeader::Ping(zxid),
            "sync" => FromLeader::Sync,
            other => return Err(format!("no packet {other}").into()),
        })
    };
    zxids.into_iter().map(packet).collect()
}

fn inputs(command: &str, args: &mut ArgumentConsumer<'_>) -> Outcome<Vec<LearnerInput>> {
    Ok(vec![match command {
        "hear" => return Ok(packets(args)?.into_iter().map(LearnerInput::Said).collect()),
        "written" => {
            let which = args.next_pos().unwrap_or_default().to_owned();
            let epoch = args.next_pos().unwrap_or_default().parse()?;
            match which.as_str() {
                "accepted" => LearnerInput::AcceptedEpochWritten(epoch),
                _ => LearnerInput::CurrentEpochWritten(epoch),
            }
        }
        "truncated" => LearnerInput::Truncated(args.next_pos() != Some("fail")),
        "loaded" => LearnerInput::ImageLoaded(args.next_pos() != Some("fail")),
        "saved" => LearnerInput::ImageSaved(words::zxid(args.next_pos().unwrap_or_default())?),
        "synced" => LearnerInput::Synced(words::zxid(args.next_pos().unwrap_or_default())?),
        "pass" => LearnerInput::Tick,
        "stop" => return Ok(Vec::new()),
        other => return Err(format!("unknown command {other}").into()),
    }])
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        let mut effects = Vec::new();
        match command.name.as_str() {
            "learner" => {
                let config = LearnerConfig {
                    me: ServerId(1),
                    role: match args.take_key("role") {
                        Some("observer") => Role::Observer,
                        _ => Role::Participant,
                    },
                    config_version: 0,
                    tick_ms: 1000,
                    init_limit: 10,
                    sync_limit: 5,
                    ask_for_image: args.take_key("ask").is_some(),
                };
                let epoch = args.take_key("epoch").unwrap_or("1").parse()?;
                let last = words::zxid(args.take_key("last").unwrap_or("1.5"))?;
                let accepted = args.take_key("accepted").unwrap_or("1").parse()?;
                let history = History { epoch, last };
                self.now = 0;
                self.learner = Some(Learner::new(config, history, accepted, 0, &mut effects));
            }
            "status" => {
                let learner = self.learner.as_ref().expect("a learner comes first");
                let (more, serving) = (learner.wants_more(), learner.serving());
                return Ok(format!("wants more: {more}, serving: {serving:?}"));
            }
            name => {
                if name == "pass" || name == "stop" {
                    self.now += args.next_pos().unwrap_or_default().parse::<i64>()?;
                }
                let learner = self.learner.as_mut().expect("a learner comes first");
                for input in inputs(name, &mut args)? {
                    learner.handle(self.now, input, &mut effects);
                }
            }
        }
        args.reject_next()?;
        let mut out = String::new();
        effects
            .iter()
            .try_for_each(|effect| writeln!(out, "{}", line(effect)))?;
        Ok(out)
    }
}

#[track_caller]
fn tell(name: &str) {
    let path = Path::new("tests/scripts/learner").join(name);
    let told = goldenscript::run(&mut Story::default(), path);
    assert!(told.is_ok(), "{name}: {told:?}");
}

macro_rules! stories {
    ($($name:ident)*) => { $( #[test] fn $name() { tell(stringify!($name)); } )* };
}

stories! {
    diff_in_the_same_epoch
    new_epoch

    snap
    observer
    follower_in_broadcast
    silence
    out_of_turn
    zookeeper_1282_promises
    zookeeper_1551_observer_during_snap
    zookeeper_1697_a_state_that_takes_long
    zookeeper_2355_nothing_is_known_before_it_is_there
    zookeeper_2832_tail_that_nobody_else_has
    zookeeper_2845_trunc_of_what_was_never_committed
    zookeeper_2872_snapshot_before_the_acknowledgement
    zookeeper_3023_served_when_all_is_applied
    zookeeper_3642_broken_image
    zookeeper_3701_cannot_truncate
    zookeeper_3911_history_before_the_acknowledgement
    zookeeper_4394_commit_between_newleader_and_uptodate
    zookeeper_4503_nothing_is_served_before_the_end
    zookeeper_4643_history_before_the_epoch
    zookeeper_4685_newleader_is_acknowledged_first
    zookeeper_4785_proposals_during_the_synchronization
    zookeeper_4925_holes
}
