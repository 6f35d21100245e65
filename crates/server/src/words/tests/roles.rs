//! What members of an ensemble say, by their part in it.

use rookeeper_proto::ids::ServerId;

use super::{
    mntr::{ADDED, Recording, said as monitored, sorted},
    sample::{VERSION, leader},
};
use crate::{
    config::Settings,
    metrics::{PacketView, Sizes, Tally},
    words::{
        Bucket, Configuration, Leadership, Needs, Report, Role, ServerPart, Word, answer, needs,
    },
};

macro_rules! golden {
    ($file:literal) => {
        include_str!(concat!("../../../../../testdata/words/", $file))
    };
}

const FOLLOWING: Role = Role::Following { quorum_size: 3 };
const OBSERVING: Role = Role::Observing {
    quorum_size: 3,
    master: ServerId(3),
};

fn said(word: Word, report: &Report) -> String {
    String::from_utf8(answer(word, report, b"").bytes).expect("words are text")
}

/// The recorded member of this part, with the packets it had seen.
fn member(role: Role, received: u64, sent: u64, latency: Tally) -> Report {
    let leader = leader();
    Report {
        role,
        version: VERSION.to_owned(),
        server: ServerPart {
            packets: PacketView {
                received,
                sent,
                latency,
                ..PacketView::default()
            },
            ..leader.server.clone()
        },
        ..leader
    }
}

fn follower() -> Report {
    member(FOLLOWING, 18, 18, Tally::of(1, 25, 9, 59))
}

fn observer() -> Report {
    member(OBSERVING, 14, 13, Tally::of(1, 9, 5, 19))
}

#[test]
fn learners_name_their_part_and_show_no_proposals() {
    assert_eq!(said(Word::Srvr, &follower()), golden!("follower/srvr.txt"));
    assert_eq!(said(Word::Srvr, &observer()), golden!("observer/srvr.txt"));
    for report in [leader(), follower(), observer()] {
        assert_eq!(said(Word::Isro, &report), "rw");
        assert_eq!(said(Word::Ruok, &report), "imok");
    }
}

/// A learner knows which sessions there are, its leader when they end.
#[test]
fn a_learner_shows_sessions_without_their_ends() {
    let mut report = follower();
    let sessions = &mut report.sessions;
    let minute = sessions.buckets[0].ends_ms - 42_000;
    let connection = |second: i64, port: u16, session| Bucket {
        ends_ms: minute + 1000 * second,
        members: vec![(([127, 0, 0, 1], port).into(), session)],
    };
    sessions.connections = vec![
        connection(30, 57986, None),
        connection(50, 32934, Some(0x0100_0010_e519_0000)),
    ];
    assert_eq!(said(Word::Dump, &report), golden!("follower/dump.txt"));
}

/// The settings of the recorded members, as they stood in their files.
fn configuration(me: u16) -> Configuration {
    let member = |n: u16, role: &str| {
        format!("server.{n}=127.0.0.1:2611{n}:2612{n}:{role};127.0.0.1:2610{n}\n")
    };
    let members: String = [1, 2, 3].map(|n| member(n, "participant")).concat();
    let text = format!(
        "dataDir=/var/lib/zookeeper{me}\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n{members}{}",
        member(4, "observer")
    );
    let loaded = Settings::of_member(&text, &[], &me.to_string()).expect("a member");
    let port = loaded.settings.client.listen.as_ref().map(|at| at.port);
    Configuration::of(&loaded.settings, port)
}

#[test]
fn settings_of_members_become_configuration() {
    for (me, role, expected) in [
        (3, leader().role, golden!("leader/conf.txt")),
        (1, FOLLOWING, golden!("follower/conf.txt")),
        (4, OBSERVING, golden!("observer/conf.txt")),
    ] {
        let report = Report {
            role,
            configuration: configuration(me),
            ..leader()
        };
        // The recorded ensemble could change its members and so had agreed on a version.
        let expected = expected.replace("version=100000000", "version=0");
        assert_eq!(said(Word::Conf, &report), expected, "member {me}");
    }
}

/// Per-learner queues that Rookeeper does not have.
const NOT_COUNTED: &str = "_learner_handler_qp_";

#[track_caller]
fn check_monitor(recorded: &'static str, report: Report, added: &[&str]) {
    let recording = Recording::of(recorded);
    let mut report = recording.report(report);
    report.server.packets.responses = Some(Sizes {
        last: recording.number("last_client_response_size"),
        min: recording.number("min_client_response_size"),
        max: recording.number("max_client_response_size"),
    });
    let monitored = monitored(&report);
    let expected = recorded.lines().filter(|line| !line.contains(NOT_COUNTED));
    // Both began with the role; Java measures them one after the other.
    let uptime = format!("zk_leader_uptime\t{}", report.monitor.uptime_ms);
    let expected = expected.map(|line| match line.starts_with("zk_leader_uptime") {
        true => uptime.as_str(),
        false => line,
    });
    let expected = expected.chain([ADDED]).chain(added.iter().copied());
    assert_eq!(sorted(monitored.lines()), sorted(expected));
}

#[test]
fn members_say_what_the_recorded_ones_said() {
    check_monitor(golden!("leader/mntr.txt"), leader(), &["zk_followers\t2"]);
    check_monitor(golden!("follower/mntr.txt"), follower(), &[]);
    check_monitor(golden!("observer/mntr.txt"), observer(), &[]);
}

/// Exporters know the keys of 3.4 in one order, those of a leader behind the others (operations, 2.3 and 3.7).
#[test]
fn the_header_and_the_keys_of_3_4_come_first() {
    let keys = |report: &Report| -> Vec<String> {
        let key = |line: &str| Some(line.split_once('\t')?.0.to_owned());
        monitored(report).lines().filter_map(key).collect()
    };
    let header = ["zk_version", "zk_server_state", "zk_peer_state"];
    let leader = keys(&leader());
    assert_eq!(leader[..3], header);
    let old = [
        "zk_fsync_threshold_exceed_count",
        "zk_followers",
        "zk_synced_followers",
        "zk_pending_syncs",
        "zk_last_proposal_size",
        "zk_max_proposal_size",
        "zk_min_proposal_size",
    ];
    assert_eq!(leader[16..16 + old.len()], old);
    let observer = keys(&observer());
    assert_eq!(observer[..3], header);
    assert_eq!(observer[3], "zk_observer_master_id");
}

#[test]
fn a_leader_without_learners_or_proposals() {
    let mut report = leader();
    report.server.proposals = None;
    report.role = Role::Leading(Leadership::default());
    let said = monitored(&report);
    for line in [
        "zk_followers\t0",
        "zk_learners\t0",
        "zk_last_proposal_size\t-1",
        "zk_min_proposal_size\t-1",
    ] {
        assert!(said.contains(&format!("{line}\n")), "{line}");
    }
}

/// While there is no leader nobody needs to ask the member for anything: it may be loading its database.
#[test]
fn nothing_is_collected_for_a_server_that_looks() {
    for word in Word::ALL {
        let asked = needs(word, Role::Looking);
        let expected = match word {
            Word::Envi => needs(word, Role::Standalone),
            _ => Needs::NONE,
        };
        assert_eq!(asked, expected, "{}", word.name());
    }
}
