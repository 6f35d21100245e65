//! Whole configurations through both stages.

use std::{fs, path::Path, time::Duration};

use super::{
    keys::{self, Key, Kind, Place, Standing},
    *,
};

const MINIMAL: &str = "dataDir=/d\nclientPort=2181\n";

#[track_caller]
fn loaded(text: &str, words: &[&str]) -> Loaded {
    Settings::from_text(text, words).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn settings(extra: &str) -> Settings {
    loaded(&format!("{MINIMAL}{extra}\n"), &[]).settings
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(Warning::to_string).collect()
}

/// Exactly one warning, which contains the text.
#[track_caller]
fn warns(extra: &str, words: &[&str], text: &str) -> Settings {
    let loaded = loaded(&format!("{MINIMAL}{extra}\n"), words);
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 1, "{extra} {words:?}: {warnings:?}");
    assert!(warnings[0].contains(text), "{extra}: {warnings:?}");
    loaded.settings
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|&word| word.to_owned()).collect()
}

// ---- No key in silence ----

/// A value that differs from the default and that a careful reader would notice.
fn other_value(key: &Key) -> String {
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

// ---- What the settings mean ----

#[test]
fn the_sample_starts_a_server_of_its_own() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/zoo_sample.cfg");
    let sample = fs::read_to_string(path).expect("the sample");
    let loaded = loaded(&sample.replace("/tmp/zookeeper", "/var/lib/zookeeper"), &[]);
    let settings = &loaded.settings;
    assert_eq!(warnings(&loaded), Vec::<String>::new());
    assert_eq!(settings.data_dir, Path::new("/var/lib/zookeeper"));
    assert_eq!(
        settings.client.listen,
        Some(ListenAddress {
            host: None,
            port: 2181
        })
    );
    assert_eq!(settings.tick_time, Duration::from_secs(2));
    assert_eq!(
        (settings.init_limit, settings.sync_limit),
        (Some(10), Some(5))
    );
}

#[test]
fn commented_settings_of_the_sample_can_be_switched_on() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/zoo_sample.cfg");
    let sample = fs::read_to_string(path).expect("the sample");
    for line in sample.lines().filter_map(|line| line.strip_prefix('#')) {
        if let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.contains(' ')) {
            assert!(keys::find(name).is_some(), "{name}");
            let loaded = loaded(&format!("{MINIMAL}{name}={value}\n"), &[]);
            assert!(
                loaded.warnings.iter().all(|warning| warning.key == name),
                "{name}"
            );
        }
    }
}

#[test]
fn defaults() {
    let settings = settings("");
    assert_eq!(settings.data_log_dir, settings.data_dir);
    assert_eq!(settings.tick_time, Duration::from_secs(3));
    assert_eq!(settings.min_session_timeout, Duration::from_secs(6));
    assert_eq!(settings.max_session_timeout, Duration::from_secs(60));
    assert_eq!(settings.client.max_connections_per_ip, Some(60));
    assert_eq!(settings.client.max_connections, None);
    assert_eq!(settings.client.backlog, None);
    assert_eq!(
        settings.client.words.to_string(),
        "conf,cons,envi,isro,mntr,ruok,srvr,stat"
    );
    let hour = Some(Duration::from_secs(3600));
    assert_eq!(
        settings.purge,
        PurgeSettings {
            retain_count: 3,
            interval: hour
        }
    );
    assert_eq!(settings.limits.max_buffer, 1_048_575);
    assert_eq!(settings.limits.max_buffer_extra, 1_048_575);
    assert_eq!(settings.limits.large_request_threshold, None);
    assert_eq!(settings.storage.log_preallocation, 64 * 1024 * 1024);
    assert_eq!(
        settings.storage.snap_log_size_limit,
        Some(4 * 1024 * 1024 * 1024)
    );
    assert_eq!(settings.storage.log_roll_size, None);
    assert!(settings.storage.force_sync && settings.storage.digest_enabled);
    assert!(!settings.reconfig_enabled && settings.standalone_enabled);
    let schemes: Vec<_> = settings
        .access
        .schemes
        .iter()
        .map(|scheme| scheme.name())
        .collect();
    assert_eq!(schemes, ["digest", "ip"]);
    assert_eq!(
        settings.log,
        LogSettings {
            format: LogFormat::Text,
            level: LogLevel::Info
        }
    );
}

#[test]
fn separate_log_directory() {
    let loaded = loaded(
        "clientPort=2181\ndataDir=/data\ndataLogDir=/datalog\ntickTime=2000\n",
        &[],
    );
    assert_eq!(loaded.settings.data_dir, Path::new("/data"));
    assert_eq!(loaded.settings.data_log_dir, Path::new("/datalog"));
    assert_eq!(warnings(&loaded), Vec::<String>::new());
}

#[test]
fn purging() {
    assert_eq!(settings("autopurge.purgeInterval=0").purge.interval, None);
    let purge = settings("autopurge.purgeInterval=36\nautopurge.snapRetainCount=5").purge;
    let interval = Some(Duration::from_secs(36 * 3600));
    assert_eq!(
        purge,
        PurgeSettings {
            retain_count: 5,
            interval
        }
    );
    assert_eq!(
        settings("autopurge.purgeInterval=90s").purge.interval,
        Some(Duration::from_secs(90))
    );
    let text = "Invalid autopurge.snapRetainCount: 1. Defaulting to 3";
    assert_eq!(
        warns("autopurge.snapRetainCount=1", &[], text)
            .purge
            .retain_count,
        3
    );
}

#[test]
fn no_limit_of_connections() {
    assert_eq!(
        settings("maxClientCnxns=0").client.max_connections_per_ip,
        None
    );
    assert_eq!(
        settings("maxClientCnxns=7").client.max_connections_per_ip,
        Some(7)
    );
    assert_eq!(settings("maxCnxns=9").client.max_connections, Some(9));
}

#[test]
fn bad_values_of_properties_mean_the_default() {
    assert_eq!(
        warns("snapCount=many", &[], "100000 is used")
            .storage
            .snap_count,
        100_000
    );
    assert_eq!(warns("snapCount=1", &[], "2 is used").storage.snap_count, 2);
    assert!(
        !warns("digest.enabled=on", &[], "means false")
            .storage
            .digest_enabled
    );
    assert!(
        warns("forceSync=NO", &[], "neither yes nor no")
            .storage
            .force_sync
    );
    assert!(
        !warns("skipACL=true", &[], "neither yes nor no")
            .access
            .skip_acl
    );
    assert_eq!(
        warns("flushDelay=-1", &[], "0 is used").storage.flush_delay,
        Duration::ZERO
    );
    let method = warns(
        "snapshot.compression.method=zip",
        &[],
        "neither gz nor snappy",
    );
    assert_eq!(
        method.storage.snapshot_compression,
        SnapshotCompression::None
    );
    warns(
        "4lw.commands.whitelist=ruok,nope",
        &[],
        "no four-letter words: nope",
    );
}

#[test]
fn bold_choices_are_named_at_every_start() {
    assert!(
        !warns("forceSync=no", &[], "lose acknowledged writes")
            .storage
            .force_sync
    );
    assert!(
        warns("skipACL=yes", &[], "nobody checks ACLs")
            .access
            .skip_acl
    );
    let without = loaded("dataDir=/d\n", &[]);
    assert_eq!(
        warnings(&without),
        ["clientPort is not set: the server runs without clients"]
    );
}

#[test]
fn the_largest_request_understands_java_prefixes() {
    let limits = loaded(MINIMAL, &["-Djute.maxbuffer=0x400000"])
        .settings
        .limits;
    assert_eq!(
        (limits.max_buffer, limits.max_buffer_extra),
        (4_194_304, 4_194_304)
    );
    let bad = warns("", &["-Djute.maxbuffer=4M"], "1048575 is used");
    assert_eq!(bad.limits.max_buffer, 1_048_575);
    let in_file = warns(
        "jute.maxbuffer=4194304",
        &[],
        "other servers of a mixed ensemble ignore it",
    );
    assert_eq!(in_file.limits.max_buffer, 4_194_304);
    let small = warns("jute.maxbuffer.extrasize=10", &[], "1024 is used");
    assert_eq!(small.limits.max_buffer_extra, 1024);
}

#[test]
fn words_that_are_answered() {
    let words = |extra| settings(extra).client.words.to_string();
    assert_eq!(words("4lw.commands.whitelist=*"), ALL_WORDS.join(","));
    assert_eq!(words("4lw.commands.whitelist="), "srvr");
    let read_only = loaded(
        &format!("{MINIMAL}4lw.commands.whitelist=ruok\n"),
        &["-Dreadonlymode.enabled=true"],
    );
    assert_eq!(
        read_only.settings.client.words.to_string(),
        "isro,ruok,srvr"
    );
}

#[test]
fn addresses() {
    let listen = |extra| settings(extra).client.listen.expect("a port").to_string();
    assert_eq!(listen("clientPortAddress=127.0.0.1"), "127.0.0.1:2181");
    assert_eq!(listen("clientPortAddress=0.0.0.0"), "0.0.0.0:2181");
    assert_eq!(listen("clientPortAddress=::1"), "[::1]:2181");
    assert_eq!(listen("clientPortAddress=[::1]"), "[::1]:2181");
    assert_eq!(listen("clientPortAddress=zk1"), "zk1:2181");
    assert_eq!(loaded("dataDir=/d\n", &[]).settings.client.listen, None);
    assert_eq!(
        loaded("dataDir=/d\nclientPort=0\n", &[])
            .settings
            .client
            .listen,
        None
    );
}

#[test]
fn one_member_alone_is_standalone() {
    const TEXT: &str = "Invalid configuration, only one server specified (ignoring)";
    let listen = |lines: &str| {
        let loaded = loaded(&format!("dataDir=/d\n{lines}\n"), &[]);
        assert!(
            warnings(&loaded).iter().any(|text| text.contains(TEXT)),
            "{lines}"
        );
        loaded.settings.client.listen.map(|at| at.to_string())
    };
    assert_eq!(
        listen("server.1=zoo1:2888:3888;2181").as_deref(),
        Some("0.0.0.0:2181")
    );
    assert_eq!(
        listen("server.1=zoo1:2888:3888;127.0.0.1:2182").as_deref(),
        Some("127.0.0.1:2182")
    );
    assert_eq!(
        listen("server.1=[::1]:2888:3888:PARTICIPANT;[::1]:2182").as_deref(),
        Some("[::1]:2182")
    );
    assert_eq!(listen("server.1=zoo1:2888:3888").as_deref(), None);
    assert_eq!(
        listen("server.1=zoo1:2888:3888\nclientPort=2183").as_deref(),
        Some("0.0.0.0:2183")
    );
    assert_eq!(
        listen("server.1=zoo1:2888:3888;1.2.3.4:2183\nclientPort=2183").as_deref(),
        Some("1.2.3.4:2183")
    );
}

#[test]
fn access() {
    const CLASSES: &str = "org.apache.zookeeper.server.auth";
    let access = settings(&format!(
        "authProvider.1={CLASSES}.EnsembleAuthenticationProvider\nensembleAuthName=a, b\n\
         DigestAuthenticationProvider.enabled=false\nenforce.auth.enabled=true\n\
         enforce.auth.schemes=ip\nsuperUser=bob\nsuperUser.1=eve\nletAnySaslUserDoX=joe\n\
         X509AuthenticationProvider.superUser=CN=root\nskipACL=yes"
    ))
    .access;
    let schemes: Vec<_> = access.schemes.iter().map(|scheme| scheme.name()).collect();
    assert_eq!(schemes, ["ip", "ensemble"]);
    assert_eq!(access.enforce_auth_schemes, [AuthScheme::Ip]);
    assert_eq!(access.ensemble_names, ["a", "b"]);
    assert_eq!(access.sasl_super_users, ["bob", "eve"]);
    assert_eq!(access.any_sasl_user.as_deref(), Some("joe"));
    assert_eq!(access.x509_super_user.as_deref(), Some("CN=root"));
    assert!(access.skip_acl);
    let sasl = format!("authProvider.sasl={CLASSES}.SASLAuthenticationProvider");
    assert!(
        warns(&sasl, &[], "nobody can authenticate by 'sasl'")
            .access
            .schemes
            .contains(&AuthScheme::Sasl)
    );
    warns(
        "enforce.auth.schemes=digest",
        &[],
        "while enforce.auth.enabled is not true",
    );
}

#[test]
fn log_levels() {
    let level = |words: &[&str]| loaded(MINIMAL, words).settings.log.level;
    assert_eq!(
        level(&["-Dzookeeper.root.logger=DEBUG,CONSOLE"]),
        LogLevel::Debug
    );
    assert_eq!(
        level(&[
            "-Dzookeeper.root.logger=DEBUG,CONSOLE",
            "-Dzookeeper.console.threshold=WARN"
        ]),
        LogLevel::Warn
    );
    warns(
        "",
        &["-Dzookeeper.root.logger=INFO,ROLLINGFILE"],
        "console only",
    );
    warns("", &["-Dzookeeper.root.logger=LOUD"], "'LOUD' is no level");
    assert_eq!(settings("log.format=json").log.format, LogFormat::Json);
}

#[test]
fn secrets_are_never_shown() {
    const SECRET: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
    let text = format!(
        "{MINIMAL}DigestAuthenticationProvider.superDigest={SECRET}\nssl.keyStore.password={SECRET}\n"
    );
    let loaded = loaded(
        &text,
        &["-Djavax.net.ssl.keyStorePassword=super:D/InIHSb7yEEbrWz8b9l71RjZJU="],
    );
    let shown = format!(
        "{loaded:?} {:?} {:?}",
        loaded.settings.effective(),
        warnings(&loaded)
    );
    assert!(!shown.contains("InIHSb7"), "{shown}");
    let digest = loaded
        .settings
        .access
        .super_digest
        .as_ref()
        .map(Secret::reveal);
    assert_eq!(digest, Some(SECRET));
    assert!(
        warnings(&loaded)
            .iter()
            .any(|text| text.contains("ssl.keyStore.password"))
    );
}

#[test]
fn every_honoured_key_is_among_the_effective_settings_once() {
    // A membership line or file is reported as the port it leads to; the rest is folded into another row.
    const FOLDED: [&str; 6] = [
        "server.*",
        "dynamicConfigFile",
        "superUser.*",
        "authProvider.*",
        "serverCnxnFactory",
        "console.threshold",
    ];
    let rows = settings("").effective();
    for key in keys::all().filter(|key| key.standing == Standing::Honoured) {
        let found = rows.iter().filter(|(name, _)| name == key.name).count();
        assert_eq!(
            found,
            usize::from(!FOLDED.contains(&key.name)),
            "{}",
            key.name
        );
    }
    assert!(
        rows.iter().all(|(name, _)| keys::find(name).is_some()),
        "{rows:?}"
    );
}

#[test]
fn effective_settings_written_down_mean_the_same() {
    let extra = "tickTime=2000\nautopurge.purgeInterval=90m\nsnapCount=500\nmaxClientCnxns=0\n\
                 flushDelay=5\nforceSync=no\nskipACL=yes\nlog.format=json\nsnapSizeLimitInKb=0\n\
                 snapshot.compression.method=snappy\nenforceQuota=true\nclientPortAddress=::1\n";
    let before = settings(extra);
    // Schemes are reported by name, but written as Java classes.
    let text: String = before
        .effective()
        .into_iter()
        .filter(|(name, value)| name != "authProvider" && !value.is_empty())
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    assert_eq!(loaded(&text, &[]).settings, before, "{text}");
}

// ---- Sources ----

#[test]
fn the_file_wins_over_a_property_and_the_last_property_over_the_first() {
    let both = warns(
        "snapCount=7",
        &["-Dzookeeper.snapCount=8"],
        "snapCount is written twice",
    );
    assert_eq!(both.storage.snap_count, 7);
    let twice = warns(
        "",
        &["-Dzookeeper.snapCount=7", "-Dzookeeper.snapCount=8"],
        "twice",
    );
    assert_eq!(twice.storage.snap_count, 8);
    let repeated = warns("tickTime=1000\ntickTime=2000", &[], "line 3 is dropped");
    assert_eq!(repeated.tick_time, Duration::from_secs(2));
}

#[test]
fn without_arguments() {
    let zero = Settings::zero_config(&[]).expect("a start");
    assert_eq!(warnings(&zero), Vec::<String>::new());
    assert_eq!(zero.settings.data_dir, Path::new("./rookeeper-data"));
    assert_eq!(zero.settings.tick_time, Duration::from_secs(2));
    assert_eq!(
        zero.settings.client.listen,
        Some(ListenAddress {
            host: None,
            port: 2181
        })
    );
    let changed = Settings::zero_config(&["-Dzookeeper.clientPort=2182", "-Dzookeeper.dataDir=/d"]);
    let changed = changed.expect("a start");
    assert_eq!(warnings(&changed), Vec::<String>::new());
    assert_eq!(changed.settings.data_dir, Path::new("/d"));
    assert_eq!(
        changed.settings.client.listen,
        Some(ListenAddress {
            host: None,
            port: 2182
        })
    );
}

#[test]
fn port_and_directory_as_arguments() {
    let none = JvmVariables::default();
    let two = load(&words(&["0", "/d"]), none).expect("a start").settings;
    assert_eq!(
        two.client.listen,
        Some(ListenAddress {
            host: None,
            port: 0
        })
    );
    assert_eq!(
        (two.tick_time, two.client.max_connections_per_ip),
        (Duration::from_secs(3), None)
    );
    let four = load(&words(&["2182", "/d", "1000", "9"]), none)
        .expect("a start")
        .settings;
    assert_eq!(four.tick_time, Duration::from_secs(1));
    assert_eq!(four.client.max_connections_per_ip, Some(9));
    for bad in [
        &["x", "/d"][..],
        &["1", "/d", "3", "4", "5"],
        &["1", "/d", "0"],
    ] {
        let error = load(&words(bad), none).expect_err("a refusal");
        assert_eq!(error.exit_code(), 2, "{bad:?}");
    }
    let error = load(&words(&["x", "/d"]), none)
        .expect_err("a refusal")
        .to_string();
    assert!(error.starts_with("argument 1: clientPort=x: "), "{error}");
}

#[test]
fn variables_lose_against_the_call() {
    let variables = JvmVariables {
        server_jvmflags: Some("-Xmx1g -Dzookeeper.snapCount=5 -Dzookeeper.maxCnxns=5"),
        jvmflags: Some("-Dzookeeper.snapCount=6 -Dzookeeper.flushDelay=6"),
    };
    let call = words(&["-Dzookeeper.flushDelay=7", "2181", "/d"]);
    let loaded = load(&call, variables).expect("a start");
    assert_eq!(loaded.settings.client.max_connections, Some(5));
    assert_eq!(loaded.settings.storage.snap_count, 6);
    assert_eq!(
        loaded.settings.storage.flush_delay,
        Duration::from_millis(7)
    );
    assert!(warnings(&loaded).iter().any(|text| text.contains("-Xmx1g")));
}

// ---- Files ----

fn load_file(path: &Path) -> Result<Loaded, SettingsError> {
    load(
        &words(&[path.to_str().expect("a plain path")]),
        JvmVariables::default(),
    )
}

#[test]
fn a_file_is_read() {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("zoo.cfg");
    fs::write(&path, "dataDir=relative\nclientPort=2181\r\n").expect("a file");
    let loaded = load_file(&path).expect("a start");
    assert_eq!(loaded.settings.config_file.as_deref(), Some(path.as_path()));
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].ends_with("relative is relative. Prepend ./ to indicate that you're sure!")
    );
}

#[test]
fn a_membership_file_that_nobody_reads_is_refused() {
    for outcome in [
        Settings::from_text("dataDir=/d\ndynamicConfigFile=/x\n", &[]),
        Settings::zero_config(&["-Dzookeeper.dynamicConfigFile=/x"]),
    ] {
        let error = outcome.expect_err("a refusal");
        assert_eq!(*error.refusal(), Refusal::MembershipFileNotRead);
    }
}

#[test]
fn missing_and_monstrous_files_are_refused() {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("zoo.cfg");
    let error = load_file(&path).expect_err("no file");
    assert!(error.to_string().ends_with("file is missing"), "{error}");
    assert_eq!(error.exit_code(), 2);
    let size = usize::try_from(MAX_FILE_BYTES).expect("a size") + 1;
    fs::write(&path, vec![b'\n'; size]).expect("a file");
    let error = load_file(&path).expect_err("a large file");
    assert!(
        matches!(error.refusal(), Refusal::TooLarge { .. }),
        "{error}"
    );
    assert_eq!(
        load_file(room.path()).expect_err("a directory").exit_code(),
        2
    );
}

#[test]
fn a_membership_file_is_read() {
    let room = tempfile::tempdir().expect("a directory");
    let (path, dynamic) = (
        room.path().join("zoo.cfg"),
        room.path().join("zoo.cfg.dynamic"),
    );
    fs::write(
        &path,
        format!("dataDir=/d\ndynamicConfigFile={}\n", dynamic.display()),
    )
    .expect("a file");
    let with = |text: &str| {
        fs::write(&dynamic, text).expect("a file");
        load_file(&path)
    };
    let loaded = with("server.1=a:2888:3888;2189\n").expect("a start");
    assert_eq!(loaded.settings.client.listen.expect("a port").port, 2189);
    for (text, message) in [
        (
            "server.1=a:2888:3888\nserver.2=b:2888:3888\n",
            "this version runs standalone only",
        ),
        ("tickTime=2000\n", "Unrecognised parameter: tickTime"),
        (
            "version=100000000\n",
            "dynamic file shouldn't have version inside",
        ),
    ] {
        let error = with(text).expect_err(message).to_string();
        assert!(
            error.contains(message) && error.contains("zoo.cfg.dynamic, line "),
            "{error}"
        );
    }
    fs::remove_file(&dynamic).expect("removed");
    assert!(
        load_file(&path)
            .expect_err("no file")
            .to_string()
            .ends_with("file is missing")
    );
}
