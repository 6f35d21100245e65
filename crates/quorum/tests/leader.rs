//! Stories about one leader: each file below `scripts/leader` is one. The disk and time obey the script; `EPOCH.COUNTER` is a zxid.
//!
//! Run with `UPDATE_GOLDENFILES=1` to record the answers anew, and review the difference.
//!
//! - `leader [voters=IDS] [epoch=E] [accepted=E] [from=Z last=Z] [version=HEX] [reconfig=on] [snapshots=forced]
//!   [states=N] [differences=N]`: server 3 is elected at time 0; the window begins behind `from`.
//! - `established EPOCH [...]`: the same, with follower 1 at the same history, up to the end of discovery.
//! - `connect N`, `follower N SERVER [accepted=E] [protocol=P] [config=HEX]`, `observer N SERVER ...`: connection N.
//! - `ackepoch N LAST [current=E]`, `ack N Z...`, `gone N`, `request N`, `pong N`, `sync N`.
//! - `written accepted|current E`, `synced Z`, `log N AT [BEHIND TO]|none`.
//! - `propose [COUNT]`, `tick [COUNT]` (half ticks of 500 ms), `pause MS`, `fresh`, `status`.
//! - `lead TICKS`: so much time passes in peace; connection 1 answers pings, and nothing of it is told.
#![allow(clippy::expect_used, reason = "a test: a failure is its result")]

mod words;

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use rookeeper_proto::ids::{ServerId, SessionId, Zxid};
use rookeeper_proto::packet::PROTOCOL_VERSION;
use rookeeper_proto::packet::from_leader::FromLeader;
use rookeeper_proto::packet::from_learner::{ForwardedRequest, FromLearner, LearnerInfo};
use rookeeper_quorum::committed::CommittedWindow;
use rookeeper_quorum::epoch::LAST_COUNTER;
use rookeeper_quorum::leader::effect::{LeaderEffect, LeaderInput};
use rookeeper_quorum::leader::sync_limits::SyncLimits;
use rookeeper_quorum::leader::{Leader, LeaderConfig};
use rookeeper_quorum::membership::Membership;
use rookeeper_quorum::progress::LearnerId;
use rookeeper_quorum::sync_plan::LogAround;
use words::{Outcome, show};

const HALF_TICK_MS: i64 = 500;

#[derive(Default)]
struct Story {
    now: i64,
    leader: Option<Leader>,
    effects: Vec<LeaderEffect>,
}

/// What a leader says.
fn from_leader(said: &FromLeader) -> String {
    match said {
        FromLeader::LeaderInfo { epoch, .. } => format!("LEADERINFO {}", show(*epoch)),
        FromLeader::Diff(zxid) => format!("DIFF {}", show(*zxid)),
        FromLeader::Trunc(zxid) => format!("TRUNC {}", show(*zxid)),
        FromLeader::Snap(zxid) => format!("SNAP {}", show(*zxid)),
        FromLeader::NewLeader { epoch, config } => {
            let text = String::from_utf8_lossy(config.as_deref().unwrap_or_default());
            let version = text.lines().last().unwrap_or_default();
            format!("NEWLEADER {} {version}", show(*epoch))
        }
        FromLeader::UpToDate => "UPTODATE".to_owned(),
        FromLeader::Proposal { zxid, .. } => format!("PROPOSAL {}", show(*zxid)),
        FromLeader::Commit(zxid) => format!("COMMIT {}", show(*zxid)),
        FromLeader::Inform { zxid, .. } => format!("INFORM {}", show(*zxid)),
        FromLeader::Ping(zxid) => format!("PING {}", show(*zxid)),
        FromLeader::Sync => "SYNC".to_owned(),
        other => format!("{other:?}"),
    }
}

fn line(effect: &LeaderEffect) -> (Option<u64>, String) {
    let text = match effect {
        LeaderEffect::Send { to, said } => return (Some(to.0), from_leader(said)),
        LeaderEffect::WriteAcceptedEpoch(epoch) => format!("write acceptedEpoch {epoch}"),
        LeaderEffect::WriteCurrentEpoch(epoch) => format!("write currentEpoch {epoch}"),
        LeaderEffect::LookUpLog { learner, peer } => {
            format!("look up {} for {}", show(*peer), learner.0)
        }
        LeaderEffect::SendLog { to, range } => {
            let (after, through) = (show(range.after), show(range.through));
            return (Some(to.0), format!("log after {after} through {through}"));
        }
        LeaderEffect::SendImage { to, zxid } => {
            return (Some(to.0), format!("image {}", show(*zxid)));
        }
        LeaderEffect::Close { learner, why } => format!("close {}: {why}", learner.0),
        LeaderEffect::Append(entry) => format!("append {}", show(entry.zxid)),
        LeaderEffect::Established { epoch, membership } => {
            format!(
                "established {epoch}, configuration {:x}",
                membership.version()
            )
        }
        LeaderEffect::Commit(entry) => format!("commit {}", show(entry.zxid)),
        LeaderEffect::Request { from, request } => {
            format!("request {} of {}", request.cxid, from.0)
        }
        LeaderEffect::Touched(sessions) => format!("touched {sessions:?}"),
        LeaderEffect::Revalidate { from, .. } => format!("revalidate for {}", from.0),
        LeaderEffect::StepDown(why) => format!("STEP DOWN: {why}"),
    };
    (None, text)
}

impl Story {
    fn leader(&mut self) -> &mut Leader {
        self.leader.as_mut().expect("a leader comes first")
    }

    fn give(&mut self, input: LeaderInput) {
        let (now, mut effects) = (self.now, std::mem::take(&mut self.effects));
        self.leader().handle(now, input, &mut effects);
        self.effects = effects;
    }

    fn say(&mut self, from: u64, said: FromLearner) {
        let from = LearnerId(from);
        self.give(LeaderInput::Said { from, said });
    }

    fn elect(&mut self, args: &mut ArgumentConsumer<'_>) -> Outcome<()> {
        let voters = args.take_key("voters").unwrap_or("1,2,3");
        let mut text = String::new();
        for id in voters.split(',') {
            writeln!(text, "server.{id}=h{id}:1:2")?;
        }
        write!(text, "version={}", args.take_key("version").unwrap_or("0"))?;
        let config = LeaderConfig {
            me: ServerId(3),
            membership: Membership::parse(&text)?,
            reconfig_enabled: args.take_key("reconfig").is_some(),
            tick_ms: 2 * HALF_TICK_MS,
            init_limit: 4,
            sync_limit: 2,
            force_snapshot: args.take_key("snapshots").is_some(),
            sync_limits: limits(args)?,
            last_counter: LAST_COUNTER,
        };
        let from = words::zxid(args.take_key("from").unwrap_or("1.2"))?;
        let last = words::zxid(args.take_key("last").unwrap_or("1.5"))?;
        let mut window = CommittedWindow::new(from, 500);
        let mut next = from;
        while next < last {
            next = next.next();
            window.push(words::entry(next))?;
        }
        let epoch = args.take_key("epoch").unwrap_or("1").parse()?;
        let accepted = args.take_key("accepted").unwrap_or("1").parse()?;
        self.now = 0;
        self.effects.clear();
        let mut effects = Vec::new();
        self.leader = Some(Leader::new(
            config,
            epoch,
            accepted,
            window,
            0,
            &mut effects,
        ));
        self.effects = effects;
        Ok(())
    }

    /// Up to the end of discovery, with one follower that has all.
    fn established(&mut self, args: &mut ArgumentConsumer<'_>) -> Outcome<()> {
        let epoch: i64 = args.next_pos().unwrap_or("2").parse()?;
        self.elect(args)?;
        let last = self.leader().last_committed();
        let info = info(1, PROTOCOL_VERSION, 0);
        self.give(LeaderInput::Connected(LearnerId(1)));
        let accepted = Zxid::new(epoch as u32 - 1, 0);
        self.say(1, FromLearner::FollowerInfo { accepted, info });
        self.give(LeaderInput::AcceptedEpochWritten(epoch));
        let current = Some(epoch as i32 - 1);
        self.say(1, FromLearner::AckEpoch { last, current });
        self.give(LeaderInput::CurrentEpochWritten(epoch));
        self.say(1, FromLearner::Ack(Zxid::new(epoch as u32, 0)));
        let is_established =
            |effect: &LeaderEffect| matches!(effect, LeaderEffect::Established { .. });
        assert!(
            self.effects.iter().any(is_established),
            "{:?}",
            self.effects
        );
        self.effects.clear();
        Ok(())
    }

    fn introduce(&mut self, observer: bool, args: &mut ArgumentConsumer<'_>) -> Outcome<()> {
        let connection = args.next_pos().unwrap_or_default().parse()?;
        let server = args.next_pos().unwrap_or_default().parse()?;
        let accepted = words::zxid(args.take_key("accepted").unwrap_or("1"))?;
        let protocol = args
            .take_key("protocol")
            .map_or(Ok(PROTOCOL_VERSION), str::parse)?;
        let version = i64::from_str_radix(args.take_key("config").unwrap_or("0"), 16)?;
        let info = info(server, protocol, version);
        self.give(LeaderInput::Connected(LearnerId(connection)));
        self.say(
            connection,
            match observer {
                true => FromLearner::ObserverInfo { accepted, info },
                false => FromLearner::FollowerInfo { accepted, info },
            },
        );
        Ok(())
    }

    fn told(&mut self) -> Outcome<String> {
        let mut lines: Vec<(Option<u64>, String)> = Vec::new();
        for effect in std::mem::take(&mut self.effects) {
            let (to, text) = line(&effect);
            match lines.last_mut() {
                Some((last, all)) if to.is_some() && *last == to => {
                    write!(all, ", {text}")?;
                }
                _ => lines.push((to, text)),
            }
        }
        let mut out = String::new();
        for (to, text) in lines {
            let arrow = to.map_or(String::new(), |to| format!("-> {to}: "));
            writeln!(out, "{arrow}{text}")?;
        }
        Ok(out)
    }

    fn propose(&mut self, count: u32) {
        for _ in 0..count {
            let (now, mut effects) = (self.now, std::mem::take(&mut self.effects));
            if let Some(zxid) = self.leader().next_zxid(&mut effects) {
                assert!(self.leader().propose(words::entry(zxid), now, &mut effects));
            }
            self.effects = effects;
        }
    }
}

/// How many learners may be synchronized at a time.
fn limits(args: &mut ArgumentConsumer<'_>) -> Outcome<SyncLimits> {
    let usual = SyncLimits::default();
    let mut limit = |key, usual| args.take_key(key).map_or(Ok(usual), str::parse);
    Ok(SyncLimits {
        states: limit("states", usual.states)?,
        differences: limit("differences", usual.differences)?,
    })
}

fn info(server: i64, protocol: i32, config_version: i64) -> LearnerInfo {
    LearnerInfo {
        server: Some(ServerId(server)),
        protocol,
        config_version,
    }
}

fn log(args: &mut ArgumentConsumer<'_>) -> Outcome<Option<LogAround>> {
    let at = args.next_pos().unwrap_or("none").to_owned();
    if at == "none" {
        return Ok(None);
    }
    let behind = args.next_pos().map(words::zxid).transpose()?;
    let at_or_before = words::zxid(&at)?;
    Ok(Some(LogAround {
        at_or_before,
        behind,
        unbroken_to: args.next_pos().map_or(Ok(at_or_before), words::zxid)?,
        is_cheap: true,
    }))
}

fn request() -> FromLearner {
    FromLearner::Request(ForwardedRequest {
        session: SessionId(7),
        cxid: 1,
        op: 1,
        body: Bytes::new(),
        identities: None,
    })
}

fn pong() -> FromLearner {
    let (zxid, touched) = (Zxid::ZERO, vec![(SessionId(7), 100)]);
    FromLearner::Ping { zxid, touched }
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        match command.name.as_str() {
            "leader" => self.elect(&mut args)?,
            "established" => self.established(&mut args)?,
            "follower" => self.introduce(false, &mut args)?,
            "observer" => self.introduce(true, &mut args)?,
            "status" => {
                let leader = self.leader();
                let (out, at) = (leader.outstanding(), show(leader.last_committed()));
                return Ok(format!("{}outstanding {out}, committed {at}", self.told()?));
            }
            "lead" => {
                let ticks: u32 = args.next_pos().unwrap_or_default().parse()?;
                for _ in 0..2 * ticks {
                    self.now += HALF_TICK_MS;
                    self.give(LeaderInput::Tick);
                    self.say(1, pong());
                }
                assert!(self.leader().established().is_some(), "{:?}", self.effects);
                self.effects.clear();
            }
            "fresh" => {
                let now = self.now;
                let until = self.leader().fresh_until(now);
                return Ok(format!("{}at {now}, fresh until {until}", self.told()?));
            }
            "pause" => self.now += args.next_pos().unwrap_or_default().parse::<i64>()?,
            "propose" => self.propose(args.next_pos().unwrap_or("1").parse()?),
            "synced" => self.give(LeaderInput::Synced(words::zxid(
                args.next_pos().unwrap_or_default(),
            )?)),
            "written" => {
                let accepted = args.next_pos() == Some("accepted");
                let epoch = args.next_pos().unwrap_or_default().parse()?;
                self.give(match accepted {
                    true => LeaderInput::AcceptedEpochWritten(epoch),
                    false => LeaderInput::CurrentEpochWritten(epoch),
                });
            }
            "tick" => {
                for _ in 0..args.next_pos().unwrap_or("1").parse::<u32>()? {
                    self.now += HALF_TICK_MS;
                    self.give(LeaderInput::Tick);
                }
            }
            name => {
                let from: u64 = args.next_pos().unwrap_or_default().parse()?;
                let learner = LearnerId(from);
                match name {
                    "connect" => self.give(LeaderInput::Connected(learner)),
                    "gone" => self.give(LeaderInput::Gone(learner)),
                    "log" => self.give(LeaderInput::LogFound {
                        learner,
                        log: log(&mut args)?,
                    }),
                    "request" => self.say(from, request()),
                    "pong" => self.say(from, pong()),
                    "sync" => {
                        let (now, mut effects) = (self.now, std::mem::take(&mut self.effects));
                        self.leader().sync(learner, now, &mut effects);
                        self.effects = effects;
                    }
                    "ackepoch" => {
                        let last = words::zxid(args.next_pos().unwrap_or_default())?;
                        let current = args.take_key("current").map(str::parse).transpose()?;
                        self.say(from, FromLearner::AckEpoch { last, current });
                    }
                    "ack" => {
                        while let Some(text) = args.next_pos() {
                            self.say(from, FromLearner::Ack(words::zxid(text)?));
                        }
                    }
                    other => return Err(format!("unknown command {other}").into()),
                }
            }
        }
        args.reject_next()?;
        self.told()
    }
}

#[track_caller]
fn tell(name: &str) {
    let path = Path::new("tests/scripts/leader").join(name);
    let told = goldenscript::run(&mut Story::default(), path);
    assert!(told.is_ok(), "{name}: {told:?}");
}

macro_rules! stories {
    ($($name:ident)*) => { $( #[test] fn $name() { tell(stringify!($name)); } )* };
}

stories! {
    empty_start
    alone
    an_epoch_that_nobody_has_promised
    a_late_follower
    a_newcomer_with_the_id_of_a_follower
    a_trunc_ends_with_a_record
    fresh_since_something_was_heard
    synchronization_by_log_and_snapshot
    broadcast
    observers_are_informed
    observers_take_turns
    followers_do_not_wait_for_their_turn
    syncs
    syncs_wait_for_a_quorum
    supervision
    a_voter_with_a_later_promise
    who_is_refused
    reconnecting_follower
    versions_of_the_first_configuration
    zookeeper_1697_a_state_takes_its_time
    zookeeper_1343_epoch_of_late_reports
    zookeeper_2959_non_voters_do_not_count
    zookeeper_3104_newleader_comes_last
    zookeeper_3240_dangling_connection
    zookeeper_4685_acknowledgements_in_any_order
    zookeeper_4643_acknowledgement_without_the_epoch
}
