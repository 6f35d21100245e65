//! No key in silence: each changes the settings, or causes a warning, or refuses the start.

use super::{MINIMAL, loaded, settings, warnings, warns};
use crate::config::{
    Loaded, Settings, SettingsError,
    keys::{self, Key, Kind, Place, Standing},
};

/// A value that differs from the default and that a careful reader would notice.
pub(super) fn other_value(key: &Key) -> String {
    let special = match key.name {
        "tickTime" => "2500",
        "autopurge.snapRetainCount" => "7",
        "electionAlg" => "2",
        "peerType" => "observer",
        "serverCnxnFactory" => "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "metricsProvider.className" => {
            "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
        }
        "authProvider" | "authProvider.*" => {
            "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider"
        }
        "DigestAuthenticationProvider.digestAlg" => "SHA-256",
        "log.format" => "json",
        "root.logger" => "DEBUG",
        "console.threshold" => "WARN",
        "snapshot.compression.method" => "gz",
        "snapshotSizeFactor" => "0.5",
        "fastleader.maxNotificationInterval" => "60001",
        "enforce.auth.enabled" => "true",
        "4lw.commands.whitelist" => "ruok",
        "server.*" => "host:2888:3888",
        _ => "",
    };
    if !special.is_empty() {
        return special.to_owned();
    }
    match key.kind {
        Kind::Number(default) => (default.max(3000) + 1).to_string(),
        Kind::NumberOr(_) => "4321".into(),
        Kind::Flag(default) => (!default).to_string(),
        Kind::YesNo(default) => if default { "no" } else { "yes" }.into(),
        Kind::Interval(_) => "90m".into(),
        Kind::Path => "/somewhere/else".into(),
        Kind::Word(_) | Kind::List(_) | Kind::Secret | Kind::Member => "something:else".into(),
    }
}

fn has_effect(outcome: Result<Loaded, SettingsError>, key: &str) -> bool {
    let plain = loaded(MINIMAL, &[]).settings;
    match outcome {
        Ok(loaded) => {
            loaded.settings != plain
                || loaded
                    .warnings
                    .iter()
                    .any(|warning| warning.key.contains(key))
        }
        Err(_) => true,
    }
}

/// Keys of which two values mean the same, as their row says.
const SAME_MEANING: [&str; 1] = ["serverCnxnFactory"];

#[test]
fn no_key_of_the_table_is_silent_in_the_file() {
    for key in keys::all().filter(|key| !SAME_MEANING.contains(&key.name)) {
        let name = key.name.replace('*', "1");
        let text = format!("{MINIMAL}{name}={}\n", other_value(key));
        assert!(has_effect(Settings::from_text(&text, &[]), &name), "{text}");
    }
}

#[test]
fn no_key_of_the_table_is_silent_as_a_property() {
    for key in keys::all().filter(|key| !SAME_MEANING.contains(&key.name)) {
        let name = key.name.replace('*', "1");
        for prefix in ["", "zookeeper."] {
            let word = format!("-D{prefix}{name}={}", other_value(key));
            assert!(
                has_effect(Settings::from_text(MINIMAL, &[&word]), &name),
                "{word}"
            );
        }
    }
}

#[test]
fn the_file_and_the_property_mean_the_same() {
    let both = |key: &&Key| matches!(key.place, Place::FileAndProperty | Place::AnyForm);
    for key in keys::all()
        .filter(both)
        .filter(|key| key.standing == Standing::Honoured)
    {
        let (name, value) = (key.name.replace('*', "1"), other_value(key));
        let in_file = Settings::from_text(&format!("{MINIMAL}{name}={value}\n"), &[]);
        let word = format!("-Dzookeeper.{name}={value}");
        let as_property = Settings::from_text(MINIMAL, &[&word]);
        let settings = |outcome: Result<Loaded, _>| outcome.ok().map(|loaded| loaded.settings);
        assert_eq!(settings(in_file), settings(as_property), "{word}");
    }
}

#[test]
fn defaults_written_out_change_nothing_and_need_no_word() {
    let plain = settings("");
    for key in keys::all() {
        let default = key.kind.default_text();
        let literal = matches!(key.kind, Kind::Number(_) | Kind::Flag(_) | Kind::YesNo(_))
            || matches!(key.kind, Kind::Word(text) if !text.is_empty());
        let skipped = ["clientPort", "enforce.auth.schemes"].contains(&key.name)
            || key.standing == Standing::NoEffect
            || key.place == Place::Bare;
        if !literal || skipped {
            continue;
        }
        let loaded = loaded(&format!("{MINIMAL}{}={default}\n", key.name), &[]);
        assert_eq!(loaded.settings, plain, "{}", key.name);
        assert_eq!(warnings(&loaded), Vec::<String>::new(), "{}", key.name);
    }
}

#[test]
fn unknown_names_are_ignored_with_a_warning() {
    warns("dataDIR=/x", &[], "unknown setting dataDIR, ignored");
    warns(
        "",
        &["-Dzookeeper.nonsense=1"],
        "unknown setting zookeeper.nonsense, ignored",
    );
    warns(
        "zookeeper.snapCount=5",
        &[],
        "written without prefix: snapCount",
    );
    warns(
        "",
        &["-DsnapCount=5"],
        "needs its prefix: -Dzookeeper.snapCount",
    );
    warns(
        "",
        &["-Dzookeeper.jute.maxbuffer=5"],
        "has no prefix: -Djute.maxbuffer",
    );
    warns("", &["-Dzookeeper.tickTime=5"], "write tickTime there");
}

#[test]
fn words_for_a_java_machine_get_one_warning_for_all() {
    warns(
        "",
        &["-Xmx1g", "-XX:+UseG1GC", "-javaagent:x.jar"],
        "-Xmx1g -XX:+UseG1GC -javaagent:x.jar",
    );
}

#[test]
fn properties_of_java_itself_do_nothing_and_say_so() {
    warns(
        "",
        &["-Djava.net.preferIPv4Stack=true"],
        "java.net.preferIPv4Stack: has no effect here",
    );
    warns(
        "",
        &["-Dcom.sun.management.jmxremote"],
        "com.sun.management.jmxremote: has no effect",
    );
}
