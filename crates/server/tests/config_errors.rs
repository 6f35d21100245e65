//! Every configuration that a Java server refuses, as recorded, and what this server says to it.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot go on should say where"
)]

use rookeeper_server::config::Settings;

/// Configurations, the end of the log and the exit status of a Java server 3.9.3.
const RECORDED: &str = include_str!("../../../testdata/config/errors.txt");

/// How a recorded refusal turns out here.
enum Here {
    /// The same exit status; the message contains this text, which stands in the recorded log too.
    Same(&'static str),
    /// The same, of a server whose `myid` file begins with this line.
    OfMember(&'static str, &'static str),
    /// The recorded reason is no matter of the configuration's text; the settings are accepted.
    Accepted,
}

fn expectation(case: &str) -> Here {
    use Here::{Accepted, OfMember, Same};
    match case {
        "alg" => Same("Invalid electionAlg value. Only 3 is supported."),
        "badbool" => Same("Invalid option yes for syncEnabled. Choose 'true' or 'false.'"),
        "badid" => Same("For input string: \"x\""),
        "badint" => Same("For input string: \"abc\""),
        "badport" => Same("Address unresolved: 127.0.0.1:abc"),
        "badrole" | "peertype" => Same("Unrecognised peertype: foo"),
        "cpaddr" => Same("clientPortAddress is set but clientPort is not set"),
        "dyn" => Same("parameter: server.1 must be in a separate dynamic config file"),
        "metrics" => Same("metrics provider class was not found"),
        "minmax" => Same("minSessionTimeout must not be larger than maxSessionTimeout"),
        "multi" => Same(
            "Multiple address feature is disabled, but multiple addresses were specified for sid 1",
        ),
        "nodatadir" => Same("dataDir is not set"),
        "noelection" => Same("does not have the form server_config or server_config;client_config"),
        "obsonly" => Same("Observers w/o participants is an invalid configuration"),
        "sasl" => Same(
            "quorum.auth.enableSasl is disabled, so cannot enable quorum.auth.serverRequireSasl",
        ),
        "scpaddr" => Same("secureClientPortAddress is set but secureClientPort is not set"),
        "tick0" => Same("tickTime is not set"),
        "badmyid" => OfMember("abc", "serverid abc is not a number"),
        "noinit" => OfMember("1", "initLimit is not set"),
        "nosync" => OfMember("1", "syncLimit is not set"),
        "wrongmyid" => OfMember("9", "My id 9 not in the peer list"),
        // What this server says where there is no such file is a matter of files: `tests/sources.rs` of the configuration.
        "nomyid" => Accepted,
        "adminuse" | "autocreate" | "inuse" => Accepted,
        other => panic!("the recorded case {other} has no expectation"),
    }
}

/// One recorded case: its name, the configuration, the log, the exit status.
struct Case {
    name: &'static str,
    config: &'static str,
    log: &'static str,
    exit: u8,
}

fn cases() -> Vec<Case> {
    RECORDED.split("== ").skip(1).map(case).collect()
}

fn case(text: &'static str) -> Case {
    let (name, rest) = text.split_once("\n--- zoo.cfg\n").expect("a configuration");
    let (config, rest) = rest.split_once("\n--- log\n").expect("a log");
    let (log, exit) = rest.split_once("\n--- exit ").expect("an exit status");
    Case {
        name,
        config,
        log,
        exit: exit.trim().parse().expect("a number"),
    }
}

#[test]
fn every_recorded_refusal_is_answered() {
    let cases = cases();
    assert_eq!(cases.len(), 26, "cases in the recording");
    for Case {
        name,
        config,
        log,
        exit,
    } in cases
    {
        let expectation = expectation(name);
        let my_id = match expectation {
            Here::OfMember(my_id, _) => my_id,
            _ => "1",
        };
        match (expectation, Settings::of_member(config, &[], my_id)) {
            (Here::Accepted, found) => {
                drop(found.unwrap_or_else(|error| panic!("{name}: {error}")))
            }
            (Here::Same(text) | Here::OfMember(_, text), Err(error)) => {
                assert!(log.contains(text), "{name}: the recording has no '{text}'");
                assert!(error.to_string().contains(text), "{name}: {error}");
                assert_eq!(error.exit_code(), exit, "{name}");
            }
            (_, Ok(_)) => panic!("{name} was accepted"),
        }
    }
}

#[track_caller]
fn check(config: &str, exit: u8, message: &str) {
    let error = Settings::from_text(config, &[]).expect_err("a refusal");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.exit_code(), exit);
    assert!(!message.contains('\n'));
}

#[test]
fn a_comment_behind_a_value_is_explained() {
    check(
        "dataDir=/d\ntickTime=2000   #comment\n",
        2,
        "zoo.cfg, line 2: tickTime=2000   #comment: For input string: \"2000   #comment\": a whole \
         number is expected; comments need a line of their own",
    );
}

#[test]
fn messages_name_file_line_key_and_reason() {
    check("\nclientPort=2181\n", 2, "dataDir: dataDir is not set");
    check(
        "dataDir=/d\nclientPort=70000\n",
        2,
        "zoo.cfg, line 2: clientPort=70000: out of range, 0 to 65535 is possible",
    );
    check(
        "dataDir=/d\nserverCnxnFactory=com.example.Port\n",
        1,
        "zoo.cfg, line 2: serverCnxnFactory=com.example.Port: unknown connection factory class",
    );
    check(
        "dataDir=/d\nx=\\u12",
        2,
        "zoo.cfg, line 2: malformed \\uXXXX escape, four hexadecimal \
         digits must follow \\u",
    );
    check(
        "dataDir=/d\nsslQuorum=true\n",
        2,
        "zoo.cfg, line 2: sslQuorum=true: this version does not have this protection yet (TLS \
         between servers) and does not start without what you ask for; remove the setting if you \
         can do without",
    );
    check(
        "dataDir=/d\ntickTime=1\\n2\n",
        2,
        "zoo.cfg, line 2: tickTime=1\\n2: For input string: \"1\\n2\": a whole number is expected",
    );
}

#[test]
fn what_protects_and_is_not_built_is_refused() {
    for setting in [
        "secureClientPort=2182",
        "sslQuorum=true",
        "portUnification=TRUE",
        "client.portUnification=true",
        "sessionRequireClientSASLAuth=true",
        "quorum.auth.enableSasl=true",
        "java.security.auth.login.config=/etc/jaas.conf",
        "ssl.crl=true",
        "ssl.ocsp=true",
        "ssl.quorum.crl=true",
        "ssl.quorum.ocsp=true",
        "audit.enable=true",
        "admin.portUnification=true",
        "admin.forceHttps=true",
        "admin.needClientAuth=true",
        "metricsProvider.httpsPort=7001",
        "server.1=a:2888:3888;2181;2182",
    ] {
        let config = format!("dataDir=/d\nclientPort=2181\n{setting}\n");
        let error = Settings::from_text(&config, &[]).expect_err(setting);
        assert_eq!(error.exit_code(), 2, "{setting}");
        let message = error.to_string();
        assert!(
            message.contains("does not have this protection yet"),
            "{message}"
        );
        assert!(
            message.starts_with(&format!("zoo.cfg, line 3: {setting}: ")),
            "{message}"
        );
    }
}

#[test]
fn access_that_cannot_be_kept_is_refused() {
    for (settings, text) in [
        (
            "authProvider.1=com.example.Auth",
            "unknown authentication provider class",
        ),
        (
            "DigestAuthenticationProvider.digestAlg=MD5",
            "unknown digest algorithm",
        ),
        ("enforce.auth.enabled=true", "names no scheme"),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes= , ",
            "names no scheme",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=digest,sasl",
            "scheme 'sasl'",
        ),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=x509",
            "scheme 'x509'",
        ),
        (
            "DigestAuthenticationProvider.enabled=false\nenforce.auth.enabled=true\nenforce.auth.schemes=digest",
            "scheme 'digest'",
        ),
        ("log.format=xml", "unknown log format"),
        ("server.1=a:2888:3888;2181\nclientPort=2182", "differs from"),
        ("server.1=a:2888:2888", "does not have the form"),
        ("autopurge.purgeInterval=soon", "an interval is a number"),
        ("minSessionTimeout=-7", "out of range"),
        ("tickTime=", "a whole number is expected"),
    ] {
        let error = Settings::from_text(&format!("dataDir=/d\n{settings}\n"), &[]);
        let error = error.expect_err(settings);
        assert_eq!(error.exit_code(), 2, "{settings}");
        assert!(error.to_string().contains(text), "{settings}: {error}");
    }
}
