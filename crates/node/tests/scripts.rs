//! Stories about a server and its clients: each file below `scripts` is one. Time and disk obey the script.
//!
//! Run with `UPDATE_GOLDENFILES=1` to record the answers anew, and review the difference.
//!
//! - `server [tick=MS] [interval=MS] [extended=1] [quota=1] [enforce=SCHEMES] [check=MS] [per-minute=N] [never-used=MS]`: begin
//!   anew.
//! - `connect NAME ...`, `NAME REQUEST ...`: see `stage/ask.rs`. `hangup NAME...`: the sockets are gone.
//! - `disk hold`, `disk sync`, `disk prompt`, `disk full`, `disk room`.
//! - `pass MS`: time passes with its ticks. `stall MS`: the process stands still, then ticks.
//! - `late NAME PATH`: a create that NAME handed in before it was closed reaches the member now.
//! - `cork`, `uncork`: what clients send in between reaches the server at once.
//! - `log on|off`, `tree`, `sessions`.

mod stage;

use std::path::Path;

use goldenscript::{ArgumentConsumer, Command, Context, Runner};
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_proto::ids::ServerId;
use rookeeper_tree::prep::Rules;

use stage::ask::Outcome;
use stage::{DiskMode, Stage};

struct Story(Stage);

fn config() -> ProposerConfig {
    ProposerConfig {
        server: ServerId::STANDALONE,
        tick_ms: 1000,
        tick_interval_ms: 500,
        timeouts: TimeoutBounds {
            min_ms: 2000,
            max_ms: 20_000,
        },
        rules: Rules::default(),
        reaper: ReaperConfig::default(),
        hash_seed: 1,
    }
}

impl Runner for Story {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Outcome<String> {
        let mut args = command.consume_args();
        let stage = &mut self.0;
        match command.name.as_str() {
            "server" => self.0 = Stage::new(settings(&mut args)?),
            "connect" => stage.connect(&mut args)?,
            "hangup" => {
                while let Some(name) = args.next_pos() {
                    stage.hang_up(name);
                }
            }
            "disk" => disk(stage, args.next_pos())?,
            "pass" => stage.pass(args.next_pos().unwrap_or_default().parse()?),
            "stall" => {
                stage.mono += args.next_pos().unwrap_or_default().parse::<i64>()?;
                stage.tick();
            }
            "cork" => stage.corked = true,
            "uncork" => {
                stage.corked = false;
                stage.settle();
            }
            "log" => stage.show_log = args.next_pos() == Some("on"),
            "late" => {
                let name = args.next_pos().unwrap_or_default();
                stage.late_create(name, args.next_pos().unwrap_or_default());
            }
            "tree" => stage.show_tree(),
            "sessions" => stage.show_sessions(),
            name => stage.ask(name, &mut args)?,
        }
        args.reject_next()?;
        Ok(std::mem::take(&mut self.0.output))
    }
}

fn settings(args: &mut ArgumentConsumer<'_>) -> Outcome<ProposerConfig> {
    let mut config = config();
    let set = |to: &mut i64, text: Option<&str>| {
        if let Some(text) = text {
            *to = text.parse()?;
        }
        Outcome::Ok(())
    };
    set(&mut config.tick_ms, args.take_key("tick"))?;
    set(&mut config.tick_interval_ms, args.take_key("interval"))?;
    set(&mut config.reaper.check_interval_ms, args.take_key("check"))?;
    set(
        &mut config.reaper.max_never_used_ms,
        args.take_key("never-used"),
    )?;
    if let Some(text) = args.take_key("per-minute") {
        config.reaper.max_per_minute = text.parse()?;
    }
    config.rules.extended_types = args.take_key("extended").is_some();
    config.rules.enforce_quota = args.take_key("quota").is_some();
    if let Some(schemes) = args.take_key("enforce") {
        config.rules.auth.enforce_schemes = schemes.split(',').map(Into::into).collect();
    }
    Ok(config)
}

fn disk(stage: &mut Stage, word: Option<&str>) -> Outcome<()> {
    match word {
        Some("hold") => stage.disk = DiskMode::Held,
        Some("sync") => {
            stage.sync();
            stage.settle();
        }
        Some("prompt") => {
            stage.disk = DiskMode::Prompt;
            stage.settle();
        }
        Some("full") => stage.disk_full(true),
        Some("room") => stage.disk_full(false),
        other => return Err(format!("the disk does not understand {other:?}").into()),
    }
    Ok(())
}

#[track_caller]
fn tell(name: &str) {
    let told = goldenscript::run(
        &mut Story(Stage::new(config())),
        Path::new("tests/scripts").join(name),
    );
    assert!(told.is_ok(), "{name}: {told:?}");
}

macro_rules! stories {
    ($($name:ident)*) => { $( #[test] fn $name() { tell(stringify!($name)); } )* };
}

stories! {
    sessions_begin_and_move
    sessions_expire
    sessions_close
    sessions_closing_drops_requests
    sessions_survive_a_stall
    disk_full_refuses_and_resumes
    disk_full_forgives_slow_ticks
    disk_full_keeps_the_order
    sessions_moved_leave_no_late_writes
    order_of_reads_and_writes
    order_of_reads_between_writes
    sync_waits_for_what_is_in_flight
    quotas_soft_and_hard
    order_of_events_and_replies
    auth_overtakes
    watches_fire_once
    watches_set_again
    watches_are_filtered_by_acl
    multi_results
    acl_errors
    unknown_operations_close
    malformed_bodies
    enforced_authentication
    reaper_containers
    reaper_ttl
    reaper_limits
}
