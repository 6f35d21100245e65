//! Members of ensembles: who they are, what they need, what they are refused.

use std::time::Duration;

use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::membership::Role;

use super::{MINIMAL, warnings};
use crate::config::{
    EnsembleSettings, Loaded, Settings,
    keys::{self, Standing},
};

const LIMITS: &str = "initLimit=5\nsyncLimit=2\n";
const THREE: &str = "server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";

/// Member 1 of three, with more lines.
#[track_caller]
fn member(extra: &str) -> Loaded {
    let text = format!("{MINIMAL}{LIMITS}{THREE}{extra}\n");
    Settings::of_member(&text, &[], "1").unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn ensemble(extra: &str) -> EnsembleSettings {
    member(extra).settings.ensemble.expect("a member")
}

/// Exactly one warning, the one with the text.
#[track_caller]
fn warns(extra: &str, text: &str) -> EnsembleSettings {
    let loaded = member(extra);
    let found = warnings(&loaded);
    assert_eq!(found.len(), 1, "{extra}: {found:?}");
    assert!(found[0].contains(text), "{extra}: {found:?}");
    loaded.settings.ensemble.expect("a member")
}

#[test]
fn a_member_of_three() {
    let loaded = member("");
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    let client = loaded.settings.client.listen.expect("a client port");
    assert_eq!(client.to_string(), "0.0.0.0:2181");
    let found = loaded.settings.ensemble.expect("a member");
    assert_eq!(found.me, ServerId(1));
    assert_eq!(found.vocation, Role::Participant);
    let text = "server.1=a:2888:3888:participant\nserver.2=b:2888:3888:participant\n\
                server.3=c:2888:3888:participant\nversion=0";
    assert_eq!(found.membership.to_string(), text);
    let limits = (found.init_limit, found.sync_limit, found.connect_limit);
    assert_eq!(limits, (5, 2, 5));
}

#[test]
fn defaults_of_a_member() {
    let found = ensemble("");
    assert_eq!(found.connect_timeout, Duration::from_secs(5));
    // Two ticks of three seconds.
    assert_eq!(found.handshake_timeout, Duration::from_secs(6));
    assert_eq!(found.election_bind_retries, 3);
    assert!(!found.tcp_keep_alive && !found.listen_on_all_ips && !found.multi_address);
    assert!(found.leader_serves && found.leader_nodelay && found.follower_nodelay);
    let pauses = [
        (found.min_notification, 200),
        (found.max_notification, 60_000),
        (found.leader_connect_pause, 100),
        (found.observer_election_delay, 200),
        (found.observer_reconnect_delay, 0),
    ];
    for (found, expected) in pauses {
        assert_eq!(found.as_millis(), expected);
    }
    assert_eq!(found.commit_log_count, 500);
    let limits = (found.sync_limits.states, found.sync_limits.differences);
    assert_eq!(limits, (10, 100));
    assert!(!found.force_snapshot_sync);
    assert!((found.snapshot_size_factor - 0.33).abs() < f64::EPSILON);
}

#[test]
fn values_of_a_member() {
    assert_eq!(ensemble("connectToLearnerMasterLimit=9").connect_limit, 9);
    let timeout = ensemble("quorumCnxnTimeoutMs=1500").handshake_timeout;
    assert_eq!(timeout, Duration::from_millis(1500));
    assert_eq!(ensemble("electionPortBindRetry=0").election_bind_retries, 0);
    assert!(!ensemble("leaderServes=no").leader_serves);
    assert_eq!(ensemble("commitLogCount=501").commit_log_count, 501);
    let pauses = ensemble("observer.election.DelayMs=0\nobserver.reconnectDelayMs=700\n");
    assert_eq!(pauses.observer_election_delay, Duration::ZERO);
    let reconnect = pauses.observer_reconnect_delay;
    assert_eq!(reconnect, Duration::from_millis(700));
    let factor = |text| ensemble(&format!("snapshotSizeFactor={text}")).snapshot_size_factor;
    for (text, expected) in [("0.5", 0.5), ("1", 1.0), ("0", 0.0), ("-3", 0.0)] {
        assert!((factor(text) - expected).abs() < f64::EPSILON, "{text}");
    }
}

/// 3.5 knew the first limit by another name, and not the second.
#[test]
fn learners_that_are_synchronized_at_a_time() {
    const LATER: &str = "leader.maxConcurrentSnapSyncs";
    const BEFORE: &str = "leader.maxConcurrentSnapshots";
    let states = |extra: &str| ensemble(extra).sync_limits.states;
    assert_eq!(states(&format!("{LATER}=3")), 3);
    assert_eq!(states(&format!("{BEFORE}=4")), 4);
    assert_eq!(states(&format!("{BEFORE}=4\n{LATER}=3")), 3);
    let differences = ensemble("leader.maxConcurrentDiffSyncs=1").sync_limits;
    assert_eq!((differences.states, differences.differences), (10, 1));
    // Nobody would ever come in.
    for key in [LATER, BEFORE, "leader.maxConcurrentDiffSyncs"] {
        let found = warns(&format!("{key}=0"), "'0' is no possible number").sync_limits;
        assert_eq!((found.states, found.differences), (10, 100), "{key}");
    }
}

#[test]
fn values_that_cannot_be_mean_the_default_and_a_warning() {
    let few = warns("commitLogCount=7", "7 is too small, 500 is used");
    assert_eq!(few.commit_log_count, 500);
    for text in ["2", "x", "NaN", "inf"] {
        let line = format!("snapshotSizeFactor={text}");
        let factor = warns(&line, "is no number up to 1, 0.33 is used").snapshot_size_factor;
        assert!((factor - 0.33).abs() < f64::EPSILON, "{text}");
    }
    let retries = warns("electionPortBindRetry=-4", "no possible number, 3 is used");
    assert_eq!(retries.election_bind_retries, 3);
    let pauses = warns(
        "fastleader.maxNotificationInterval=100",
        "is shorter than fastleader.minNotificationInterval",
    );
    assert_eq!(pauses.max_notification, pauses.min_notification);
}

#[test]
fn numbers_of_servers() {
    const TOO_FEW: &str = "No server failure will be tolerated. You need at least 3 servers.";
    const EVEN: &str = "Non-optimal configuration, consider an odd number of servers.";
    let found = |servers: &str, extra: &str| {
        let text = format!("{MINIMAL}{LIMITS}{servers}{extra}");
        let loaded = Settings::of_member(&text, &[], "1").expect("a start");
        assert!(loaded.settings.ensemble.is_some(), "{text}");
        warnings(&loaded)
    };
    let two = "server.1=a:2888:3888\nserver.2=b:2888:3888\n";
    let one = "server.1=a:2888:3888\nstandaloneEnabled=false\n";
    let observer = "server.9=d:2888:3888:observer\n";
    let warning = |text| vec![format!("zoo.cfg, line 5: server.1: {text}")];
    assert_eq!(found(two, ""), warning(TOO_FEW));
    assert_eq!(found(two, observer), warning(TOO_FEW));
    assert_eq!(found(one, ""), warning(TOO_FEW));
    assert_eq!(found(one, observer), warning(TOO_FEW));
    assert_eq!(found(THREE, ""), Vec::<String>::new());
    assert_eq!(found(THREE, observer), Vec::<String>::new());
    assert_eq!(found(THREE, "server.4=d:2888:3888\n"), warning(EVEN));
}

#[test]
fn servers_at_one_address_are_told_of() {
    let found = |second: &str| {
        let servers = format!("server.1=a:2888:3888\nserver.2={second}\nserver.3=c:2888:3888\n");
        let text = format!("{MINIMAL}{LIMITS}{servers}");
        warnings(&Settings::of_member(&text, &[], "1").expect("a start"))
    };
    let warning = |what: &str, port: u16| {
        format!(
            "zoo.cfg, line 6: server.2: server.2 has as its {what} address a:{port}, which is one of server.1"
        )
    };
    assert_eq!(found("b:2888:3888"), Vec::<String>::new());
    assert_eq!(found("a:2889:3888"), [warning("election", 3888)]);
    assert_eq!(found("a:3888:2890"), [warning("quorum", 3888)]);
    let both = [warning("quorum", 2888), warning("election", 3888)];
    assert_eq!(found("a:2888:3888"), both);
}

#[test]
fn the_role_in_the_own_line_counts() {
    let role = |peer_type: &str, my_id| {
        let observer = "server.9=d:2888:3888:Observer\n";
        let text = format!("{MINIMAL}{LIMITS}{THREE}{observer}{peer_type}\n");
        let loaded = Settings::of_member(&text, &[], my_id).expect("a start");
        let warnings = warnings(&loaded);
        (
            loaded.settings.ensemble.expect("a member").vocation,
            warnings,
        )
    };
    let none = Vec::<String>::new();
    assert_eq!(role("", "1"), (Role::Participant, none.clone()));
    assert_eq!(role("peerType=observer", "9"), (Role::Observer, none));
    let text = "zoo.cfg, line 9: peerType: Peer type from servers list (PARTICIPANT) doesn't match \
                peerType (OBSERVER). Defaulting to servers list.";
    let wrong = role("peerType=observer", "1");
    assert_eq!(wrong, (Role::Participant, vec![text.to_owned()]));
    let text = "Peer type from servers list (OBSERVER) doesn't match peerType (PARTICIPANT). \
                Defaulting to servers list.";
    assert_eq!(role("", "9"), (Role::Observer, vec![text.to_owned()]));
}

#[test]
fn the_client_port_of_a_member() {
    let listen = |own: &str, client: &str| {
        let text = format!("dataDir=/d\n{LIMITS}{own}{THREE}server.4=d:2888:3888:observer{client}");
        let settings = Settings::of_member(&text, &[], "4").map(|loaded| loaded.settings);
        settings.map(|settings| settings.client.listen.map(|at| at.to_string()))
    };
    let port = "clientPort=2181\n";
    let address = "clientPort=2181\nclientPortAddress=10.0.0.1\n";
    let name = "clientPort=2181\nclientPortAddress=localhost\n";
    for (own, client, expected) in [
        ("", "", None),
        (port, "", Some("0.0.0.0:2181")),
        ("", ";2182", Some("0.0.0.0:2182")),
        ("", ";[::1]:2182", Some("[::1]:2182")),
        (port, ";2181", Some("0.0.0.0:2181")),
        (port, ";10.0.0.1:2181", Some("10.0.0.1:2181")),
        (address, ";10.0.0.1:2181", Some("10.0.0.1:2181")),
        (name, ";127.0.0.1:2181", Some("127.0.0.1:2181")),
    ] {
        let found = listen(own, client).expect("a start");
        assert_eq!(found.as_deref(), expected, "{own}{client}");
    }
    for (own, client, first, second) in [
        (port, ";2182", "0.0.0.0:2181", "0.0.0.0:2182"),
        (address, ";2181", "10.0.0.1:2181", "0.0.0.0:2181"),
        (address, ";10.0.0.2:2181", "10.0.0.1:2181", "10.0.0.2:2181"),
        (name, ";127.0.0.1:2182", "localhost:2181", "127.0.0.1:2182"),
    ] {
        let error = listen(own, client).expect_err("a conflict").to_string();
        let text = format!(
            "client address for this server (id = 4) in static config file is {first} is \
             different from client address found in dynamic file: {second}"
        );
        assert!(error.ends_with(&text), "{error}");
    }
}

/// What follows the line that is to blame, the line `myid` begins with, the blamed line (0: none) and the message.
#[test]
fn what_makes_no_member() {
    let checks = [
        (
            "server.4=d:2888:3888|e:2888:3888",
            "1",
            8,
            "Multiple address feature is disabled, but multiple addresses were specified for sid 4",
        ),
        ("server.01=d:2888:3888", "1", 8, "member 1 has two lines"),
        (
            "server.-1=d:2888:3888",
            "1",
            8,
            "out of range, 0 to 9223372036854775806 is possible",
        ),
        ("initLimit=0", "1", 8, "initLimit is not set"),
        (
            "syncLimit=-1",
            "1",
            8,
            "out of range, 0 to 2147483647 is possible",
        ),
        (
            "server.300=d:2888:3888\nextendedTypesEnabled=true",
            "300",
            9,
            "server 300 cannot have nodes with a time to live: its number must be 254 at most",
        ),
        (
            "",
            "7",
            0,
            "My id 7 not in the peer list: myid says so, and the members are 1, 2, 3",
        ),
        (
            "",
            "seven\u{1b}[31m",
            0,
            "serverid seven\\u{1b}[31m is not a number: it is the first line of myid, which must hold the \
             number of this server, one of 1, 2, 3",
        ),
        (
            "",
            "",
            0,
            "serverid  is not a number: it is the first line of myid, which must hold the number of this \
             server, one of 1, 2, 3",
        ),
    ];
    for (extra, my_id, line, message) in checks {
        let text = format!("{MINIMAL}{LIMITS}{THREE}{extra}\n");
        let error = Settings::of_member(&text, &[], my_id).expect_err(extra);
        let shown = error.to_string();
        assert!(shown.ends_with(message), "{shown}");
        let place = format!("zoo.cfg, line {line}: ");
        assert_eq!(shown.starts_with(&place), line > 0, "{shown}");
    }
}

#[test]
fn companies_that_cannot_be() {
    for (lines, key, message) in [
        (
            "server.1=a:2888:3888\nserver.2=b:2888:3888:observer",
            "server.2",
            "Observers w/o quorum is an invalid configuration",
        ),
        (
            "standaloneEnabled=false",
            "standaloneEnabled",
            "standaloneEnabled = false then number of participants should be >0",
        ),
        (
            "standaloneEnabled=false\nserver.2=b:2888:3888:observer",
            "standaloneEnabled",
            "standaloneEnabled = false then number of participants should be >0",
        ),
    ] {
        let text = format!("{MINIMAL}{LIMITS}{lines}\n");
        let error = Settings::of_member(&text, &[], "1").expect_err(lines);
        assert_eq!(error.key(), Some(key), "{error}");
        assert!(error.to_string().ends_with(message), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn several_addresses_where_they_are_allowed() {
    let text = "multiAddress.enabled=true\nserver.4=d:1:2|[::1]:3:4:observer|e:5:6";
    let error = format!("{MINIMAL}{LIMITS}{THREE}{text}\n");
    let error = Settings::of_member(&error, &[], "1").expect_err("two roles");
    assert!(
        error.to_string().contains("does not have the form"),
        "{error}"
    );
    let found = ensemble("multiAddress.enabled=true\nserver.4=d:1:2:observer|[::1]:3:4:observer");
    assert!(found.multi_address);
    let text = "server.4=d:1:2|[::1]:3:4:observer\n";
    assert!(found.membership.to_string().contains(text));
    let alone = format!("{MINIMAL}multiAddress.enabled=true\nserver.4=d:1:2|e:3:4\n");
    let alone = Settings::of_member(&alone, &[], "4").expect("a start");
    assert_eq!(alone.settings.ensemble, None);
}

#[test]
fn what_members_lack_is_refused() {
    for setting in [
        "reconfigEnabled=true",
        "readonlymode.enabled=true",
        "localSessionsEnabled=true",
        "localSessionsUpgradingEnabled=TRUE",
        "observerMasterPort=2191",
        "oraclePath=/o",
        "group.1=1:2:3",
        "weight.1=2",
    ] {
        let text = format!("{MINIMAL}{LIMITS}{THREE}{setting}\n");
        let error = Settings::of_member(&text, &[], "1").expect_err(setting);
        assert_eq!(error.exit_code(), 2, "{setting}");
        let (shown, place) = (error.to_string(), format!("zoo.cfg, line 8: {setting}: "));
        assert!(shown.starts_with(&place), "{shown}");
        assert!(
            shown.contains("a member of an ensemble cannot do this in this version yet"),
            "{shown}"
        );
        let alone = Settings::from_text(&format!("{MINIMAL}{setting}\n"), &[]);
        assert_eq!(alone.expect("a start").settings.ensemble, None, "{setting}");
    }
}

#[test]
fn a_server_on_its_own_minds_no_number() {
    let plain = Settings::from_text(MINIMAL, &[]).expect("a start");
    let found = Settings::of_member(MINIMAL, &[], "nobody").expect("a start");
    assert_eq!(found, plain);
    let text = format!("{MINIMAL}{LIMITS}{THREE}");
    let error = Settings::from_text(&text, &[]).expect_err("no number");
    assert_eq!(
        error.to_string(),
        "a member of an ensemble needs its number, and this configuration came without any"
    );
}

#[test]
fn every_key_of_ensembles_reaches_a_member_and_is_named_on_a_server_on_its_own() {
    let plain = member("").settings;
    let keys = keys::all().filter(|key| key.standing == Standing::InEnsemble);
    let mut seen = 0;
    for key in keys {
        let line = format!("{}={}", key.name, super::silence::other_value(key));
        let (changed, alone) = match key.name {
            // The role in the line goes before it, so that it is only named.
            "peerType" => (warnings(&member(&line)).len() == 1, &line),
            _ => (member(&line).settings != plain, &line),
        };
        assert!(changed, "{line}");
        let alone = super::loaded(&format!("{MINIMAL}{alone}\n"), &[]);
        let named = warnings(&alone)
            .iter()
            .any(|text| text.contains("has no effect on a server on its own"));
        assert!(named, "{line}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} keys");
}

#[test]
fn effective_settings_of_a_member_written_down_mean_the_same() {
    let before = member(
        "tickTime=2000\nserver.4=d:1:2:observer;10.0.0.1:7\nleaderServes=no\ncnxTimeout=700\n\
         snapshotSizeFactor=0.25\ncommitLogCount=600\nelectionPortBindRetry=0\n\
         leader.maxConcurrentSnapshots=2\nleader.maxConcurrentDiffSyncs=3\n\
         observer.election.DelayMs=5\nobserver.reconnectDelayMs=6\n",
    )
    .settings;
    let text: String = before
        .effective()
        .into_iter()
        .filter(|(name, value)| name != "authProvider" && !value.is_empty())
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let again = Settings::of_member(&text, &[], "1").expect("a start");
    assert_eq!(again.settings, before, "{text}");
}
