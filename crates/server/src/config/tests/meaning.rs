//! What settings mean.

use std::{fs, path::Path, time::Duration};

use super::{MINIMAL, loaded, member_settings, settings, warnings, warns};
use crate::config::{
    ALL_WORDS, AuthScheme, ListenAddress, LogFormat, LogLevel, LogSettings, PurgeSettings, Secret,
    SnapshotCompression,
    keys::{self, Key, Standing},
};

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
    const FOLDED: [&str; 7] = [
        "server.*",
        "dynamicConfigFile",
        "superUser.*",
        "authProvider.*",
        "serverCnxnFactory",
        "console.threshold",
        "leader.maxConcurrentSnapshots",
    ];
    let (alone, member) = (settings("").effective(), member_settings().effective());
    let count = |rows: &[(String, String)], key: &Key| {
        rows.iter().filter(|(name, _)| name == key.name).count()
    };
    for key in keys::all() {
        let has_row = !FOLDED.contains(&key.name);
        let honoured = has_row && key.standing == Standing::Honoured;
        let in_ensemble = has_row && key.standing == Standing::InEnsemble;
        assert_eq!(count(&alone, key), usize::from(honoured), "{}", key.name);
        let expected = usize::from(honoured || in_ensemble);
        assert_eq!(count(&member, key), expected, "{}", key.name);
    }
    assert!(
        alone
            .iter()
            .chain(&member)
            .all(|(name, _)| keys::find(name).is_some()),
        "{member:?}"
    );
}

#[test]
fn effective_settings_written_down_mean_the_same() {
    let extra = "tickTime=2000\nautopurge.purgeInterval=90m\nsnapCount=500\nmaxClientCnxns=0\n\
                 fsync.warningthresholdms=5\nforceSync=no\nskipACL=yes\nlog.format=json\nsnapSizeLimitInKb=0\n\
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
