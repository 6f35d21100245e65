//! Stories about one server and its elections: each file below `scripts/election` is one. Time is what the script says.
//!
//! Run with `UPDATE_GOLDENFILES=1` to record the answers anew, and review the difference.
//!
//! - `server ME voters=IDS [observers=IDS] [role=observer] [epoch=E] [zxid=HEX] [reconfig=off] [version=HEX] [groups=IDS,IDS
//!   weights=ID:N,...]`: begins its first round at time 0.
//! - `up IDS`, `gone IDS`: connections. `pass MS`: time passes.
//! - `hear ID STATE LEADER [epoch=E] [zxid=HEX] [round=N] [form=28|40|v1] [config=IDS version=HEX|config=nonsense]`.
//! - `again [epoch=E] [zxid=HEX]`: the leader is lost. `established E`. `agree voters=IDS version=HEX [next=IDS]`. `status`.
#![allow(clippy::expect_used, reason = "a test: a failure is its result")]

use std::fmt::Write;
use std::path::Path;

use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use rookeeper_proto::ballot::{Layout, Notification, PeerState};
use rookeeper_proto::ids::{ServerId, Zxid};
use rookeeper_quorum::election::effect::ElectionEffect;
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::election::{Election, ElectionConfig};
use rookeeper_quorum::membership::{Membership, Role};
use rookeeper_quorum::vote::{History, NOBODY, Vote};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Default)]
struct Story {
    now: i64,
    election: Option<Election>,
    effects: Vec<ElectionEffect>,
}

impl Story {
    fn election(&mut self) -> &mut Election {
        self.election.as_mut().expect("a server comes first")
    }

    /// Lets time pass, with a tick at each deadline.
    fn pass(&mut self, ms: i64) {
        let end = self.now + ms;
        while let Some(at) = self.election().deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            let mut effects = std::mem::take(&mut self.effects);
            self.election().tick(now, &mut effects);
            self.effects = effects;
        }
        self.now = end;
    }

    fn told(&mut self) -> String {
        let mut out = String::new();
        let mut last: Option<(String, String)> = None;
        for effect in std::mem::take(&mut self.effects) {
            let (to, line) = line(&effect);
            let sent = !to.is_empty();
            match &mut last {
                Some((ids, same))
                    if sent && *same == line && !ids.split(',').any(|id| id == to) =>
                {
                    *ids = format!("{ids},{to}")
                }
                _ => {
                    flush(&mut out, last.take());
                    last = Some((to, line));
                }
            }
        }
        flush(&mut out, last);
        out
    }
}

fn flush(out: &mut String, last: Option<(String, String)>) {
    if let Some((ids, line)) = last {
        let arrow = if ids.is_empty() {
            String::new()
        } else {
            format!("-> {ids}: ")
        };
        writeln!(out, "{arrow}{line}").expect("text can be written");
    }
}

fn vote(vote: &Vote) -> String {
    match vote.leader {
        NOBODY => "nobody".to_owned(),
        leader if vote.history == History::NONE => format!("{leader} (nothing)"),
        leader => format!("{leader} ({}, {})", vote.history.epoch, vote.history.last),
    }
}

fn line(effect: &ElectionEffect) -> (String, String) {
    match effect {
        ElectionEffect::Send {
            to,
            notification: n,
        } => {
            let history = History {
                epoch: n.peer_epoch,
                last: n.zxid,
            };
            let leader = n.leader;
            let text = vote(&Vote { history, leader });
            (
                to.to_string(),
                format!("{:?} {text} round {}", n.state, n.election_epoch),
            )
        }
        ElectionEffect::Decided(d) => {
            let by: Vec<_> = d.supporters.iter().map(ToString::to_string).collect();
            let text = vote(&d.vote);
            let by = by.join(",");
            (
                String::new(),
                format!("{:?} {text} round {}, by {by}", d.state, d.election_epoch),
            )
        }
        ElectionEffect::Adopt(config) => (String::new(), format!("adopt\n{config}")),
        ElectionEffect::Restart => (String::new(), "restart connections".to_owned()),
        ElectionEffect::StillLooking(from) => (String::new(), format!("{from} still looks")),
    }
}

fn ids(text: &str) -> Outcome<Vec<i64>> {
    let ids = text.split(',').filter(|id| !id.is_empty());
    ids.map(|id| Ok(id.parse()?)).collect()
}

fn hex(text: &str) -> Outcome<i64> {
    Ok(i64::from_str_radix(text, 16)?)
}

fn history(args: &mut ArgumentConsumer<'_>) -> Outcome<History> {
    let epoch = args.take_key("epoch").unwrap_or("0").parse()?;
    let last = match args.take_key("zxid") {
        Some("missing") => History::MISSING,
        text => Zxid(hex(text.unwrap_or("0"))?),
    };
    Ok(History { epoch, last })
}

fn config_text(voters: &str, observers: &str, version: &str) -> Outcome<String> {
    let mut text = String::new();
    for (list, role) in [(voters, "participant"), (observers, "observer")] {
        for id in ids(list)? {
            writeln!(text, "server.{id}=h{id}:2888:3888:{role}")?;
        }
    }
    write!(text, "version={version}")?;
    Ok(text)
}

fn server(args: &mut ArgumentConsumer<'_>) -> Outcome<(ElectionConfig, History)> {
    let me = args.next_pos().unwrap_or("1").parse()?;
    let voters = args.take_key("voters").unwrap_or("1,2,3");
    let observers = args.take_key("observers").unwrap_or("");
    let mut text = config_text(voters, observers, args.take_key("version").unwrap_or("0"))?;
    for (group, members) in args.take_key("groups").unwrap_or("").split('/').enumerate() {
        if !members.is_empty() {
            write!(text, "\ngroup.{group}={}", members.replace(',', ":"))?;
        }
    }
    for weight in args
        .take_key("weights")
        .unwrap_or("")
        .split(',')
        .filter(|w| !w.is_empty())
    {
        write!(text, "\nweight.{}", weight.replace(':', "="))?;
    }
    let config = ElectionConfig {
        me: ServerId(me),
        role: match args.take_key("role") {
            Some("observer") => Role::Observer,
            _ => Role::Participant,
        },
        membership: Membership::parse(&text)?,
        reconfig_enabled: args.take_key("reconfig") != Some("off"),
        pace: Pace::default(),
    };
    Ok((config, history(args)?))
}

fn notification(args: &mut ArgumentConsumer<'_>, own: &str) -> Outcome<(ServerId, Notification)> {
    let from = ServerId(args.next_pos().unwrap_or_default().parse()?);
    let state = match args.next_pos() {
        Some("looking") => PeerState::Looking,
        Some("following") => PeerState::Following,
        Some("leading") => PeerState::Leading,
        Some("observing") => PeerState::Observing,
        other => return Err(format!("no state {other:?}").into()),
    };
    let leader = match args.next_pos() {
        Some("nobody") => NOBODY,
        leader => ServerId(leader.unwrap_or_default().parse()?),
    };
    let history = history(args)?;
    let config = match args.take_key("config") {
        None => own.to_owned(),
        Some("nonsense") => "server.1=\u{fffd}".to_owned(),
        Some(voters) => config_text(voters, "", args.take_key("version").unwrap_or("0"))?,
    };
    let layout = match args.take_key("form") {
        Some("28") => Layout::Epochless,
        Some("40") => Layout::Unversioned,
        Some("v1") => Layout::V1,
        _ => Layout::V2 {
            config: config.into(),
        },
    };
    let notification = Notification {
        state,
        leader,
        zxid: history.last,
        election_epoch: args.take_key("round").unwrap_or("1").parse()?,
        peer_epoch: history.epoch,
        layout,
    };
    Ok((from, notification))
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        let now = self.now;
        let mut effects = std::mem::take(&mut self.effects);
        match command.name.as_str() {
            "server" => {
                let (config, durable) = server(&mut args)?;
                self.now = 0;
                self.election = Some(Election::start(config, durable, 0, &mut effects));
            }
            "up" => {
                for id in ids(args.next_pos().unwrap_or_default())? {
                    self.election().peer_connected(ServerId(id));
                }
            }
            "gone" => {
                for id in ids(args.next_pos().unwrap_or_default())? {
                    self.election().peer_gone(ServerId(id), now, &mut effects);
                }
            }
            "pass" => {
                let ms = args.next_pos().unwrap_or_default().parse()?;
                self.effects = std::mem::take(&mut effects);
                self.pass(ms);
                effects = std::mem::take(&mut self.effects);
            }
            "hear" => {
                let own = self.election().membership().to_string();
                let (from, notification) = notification(&mut args, &own)?;
                self.election()
                    .ballot(from, &notification, now, &mut effects);
            }
            "again" => {
                let durable = history(&mut args)?;
                self.election().start_round(durable, now, &mut effects);
            }
            "established" => {
                let epoch = args.next_pos().unwrap_or_default().parse()?;
                self.election().established(epoch);
            }
            "agree" => {
                let version = args.take_key("version").unwrap_or("0");
                let text = config_text(args.take_key("voters").unwrap_or(""), "", version)?;
                let committed = Membership::parse(&text)?;
                let next = args
                    .take_key("next")
                    .map(|voters| config_text(voters, "", "ffffffff"));
                let next = next
                    .transpose()?
                    .map(|text| Membership::parse(&text))
                    .transpose()?;
                self.election().reconfigure(committed, next.as_ref());
            }
            "status" => {
                let (election, at) = (self.election(), now);
                let status = format!(
                    "{:?} round {} ",
                    election.state(),
                    election.election_epoch()
                );
                let deadline = election.deadline();
                args.reject_next()?;
                self.effects = effects;
                return Ok(format!("{}{status}at {at}, next {deadline:?}", self.told()));
            }
            other => return Err(format!("unknown command {other}").into()),
        }
        args.reject_next()?;
        self.effects = effects;
        Ok(self.told())
    }
}

#[track_caller]
fn tell(name: &str) {
    let path = Path::new("tests/scripts/election").join(name);
    let told = goldenscript::run(&mut Story::default(), path);
    assert!(told.is_ok(), "{name}: {told:?}");
}

macro_rules! stories {
    ($($name:ident)*) => { $( #[test] fn $name() { tell(stringify!($name)); } )* };
}

stories! {
    first_contact
    pause_and_certainty
    a_supporter_that_settles_elsewhere
    late_joiner
    leader_loss
    votes_for_a_history_that_was_lost
    longer_history_wins
    five_votes_without_the_leader
    higher_round
    lower_round_is_answered
    nobody_answers
    observers
    weights_and_groups
    receiver_when_settled
    zookeeper_1732_votes_after_the_epoch_changed
    zookeeper_1783_version_zero_does_not_win
    zookeeper_1818_late_joiner_with_other_rounds
    zookeeper_2325_missing_data
    zookeeper_2959_observers_are_no_quorum
    zookeeper_3109_still_looking
    zookeeper_3537_old_releases_among_the_settled
    zookeeper_3829_other_members_elsewhere
    zookeeper_3769_nonsense_configuration
    zookeeper_764_observer_is_never_elected
    zookeeper_1514_followers_of_a_dead_leader
    reconfig_gossip
    reconfig_two_quorums
}
