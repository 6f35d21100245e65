//! Second stage: from what was written to what it means. No file is touched here.

use std::{path::PathBuf, time::Duration};

use super::{
    access,
    classes::{METRICS_PROVIDERS, NETTY_FACTORY, NIO_FACTORY},
    ensemble,
    error::{Refusal, SettingsError, Warning},
    keys::{Kind, Standing},
    membership::{self, Company, MemberLine, ONE_SERVER},
    my_id::MyId,
    reader::{
        ANY_INT, ANY_LONG, NOT_NEGATIVE, POSITIVE, Reader, interval, kib, millis, small,
        strict_bool, strict_int,
    },
    settings::{
        ClientSettings, ContainerSettings, LimitSettings, ListenAddress, LogFormat, LogLevel,
        LogSettings, PurgeSettings, Settings, SnapshotCompression, StorageSettings,
    },
    words::WordList,
    written::{Entry, Written},
};

/// Snapshots that are always kept.
const RETAIN_COUNT_LEAST: i64 = 3;
/// Ticks of the shortest session timeout unless it is set.
const MIN_SESSION_TICKS: u32 = 2;
/// Ticks of the longest session timeout unless it is set.
const MAX_SESSION_TICKS: u32 = 20;
/// Transactions between snapshots at least.
const SNAP_COUNT_LEAST: i64 = 2;
/// Extra room for log records at least.
const EXTRA_SIZE_LEAST: i64 = 1024;
/// Ports there are; 0 means none or any.
const PORTS: std::ops::RangeInclusive<i64> = 0..=65_535;
/// Session timeouts and the backlog use -1 for "the default".
const MINUS_ONE_OR_MORE: std::ops::RangeInclusive<i64> = -1..=i32::MAX as i64;

/// Says what a configuration means, or why it cannot be.
pub(super) fn interpret(written: Written) -> Result<(Settings, Vec<Warning>), SettingsError> {
    let dynamic_was_read = written.dynamic.is_some();
    let written = membership::with_dynamic_lines(written)?;
    let (chosen, warnings) = written.choose();
    let mut reader = Reader::new(&chosen, warnings);
    check_strict_values(&reader)?;
    check_choices(&reader)?;
    if let (false, Some(entry)) = (dynamic_was_read, reader.entry("dynamicConfigFile")) {
        return Err(entry.refuse(Refusal::MembershipFileNotRead));
    }
    let standalone_enabled = reader.strict_flag("standaloneEnabled")?;
    let company = membership::company(&reader, standalone_enabled)?;
    judge_standings(&mut reader, matches!(company, Company::Ensemble(_)))?;
    let mut settings = settings(&mut reader, company, &written.my_id)?;
    settings.config_file = written.config_file;
    warn_of_relative_paths(&mut reader);
    warn_of_bold_choices(&mut reader, &settings);
    Ok((settings, reader.warnings))
}

/// Even keys that do nothing here must hold a possible value: the same file may serve a Java server.
fn check_strict_values(reader: &Reader<'_>) -> Result<(), SettingsError> {
    for entry in reader.all().filter(|entry| entry.key.strict) {
        match entry.key.kind {
            Kind::Number(_) | Kind::NumberOr(_) => drop(strict_int(entry)?),
            Kind::Flag(_) => drop(strict_bool(entry)?),
            _ => {}
        }
    }
    Ok(())
}

/// Values out of a closed set, and keys that need other keys.
fn check_choices(reader: &Reader<'_>) -> Result<(), SettingsError> {
    if let Some(entry) = reader.entry("peerType") {
        membership::role(entry, &entry.value)?;
    }
    if let Some(entry) = reader.entry("metricsProvider.className")
        && !METRICS_PROVIDERS.contains(&entry.value.as_str())
    {
        return Err(entry.refuse(Refusal::MetricsProvider));
    }
    if let Some(entry) = reader.entry("serverCnxnFactory")
        && ![NIO_FACTORY, NETTY_FACTORY].contains(&entry.value.as_str())
    {
        return Err(entry.refuse(Refusal::UnknownConnectionFactory));
    }
    check_sasl_demands(reader)?;
    let secure = reader.strict_number("secureClientPort", PORTS)?;
    match reader.entry("secureClientPortAddress") {
        Some(entry) if secure == 0 => Err(entry.refuse(Refusal::Needs {
            key: "secureClientPortAddress",
            needs: "secureClientPort",
        })),
        _ => Ok(()),
    }
}

fn check_sasl_demands(reader: &Reader<'_>) -> Result<(), SettingsError> {
    const ENABLE: &str = "quorum.auth.enableSasl";
    const LEARNER: &str = "quorum.auth.learnerRequireSasl";
    const SERVER: &str = "quorum.auth.serverRequireSasl";
    for (key, needs) in [(LEARNER, ENABLE), (SERVER, ENABLE), (SERVER, LEARNER)] {
        if reader.strict_flag(key)?
            && !reader.strict_flag(needs)?
            && let Some(entry) = reader.entry(key)
        {
            return Err(entry.refuse(Refusal::SaslDemand { key, needs }));
        }
    }
    Ok(())
}

/// Refuses protections this version lacks, and what a member of an ensemble may not lack, and names everything else that
/// will have no effect.
fn judge_standings(reader: &mut Reader<'_>, in_ensemble: bool) -> Result<(), SettingsError> {
    for entry in reader.all() {
        let is_default = entry.key.kind.is_default(&entry.value);
        match entry.key.standing {
            Standing::Honoured => {}
            Standing::NoEffect => reader.warn(entry, "has no effect here"),
            _ if is_default => {}
            Standing::Obsolete => return Err(entry.refuse(Refusal::ElectionAlg)),
            Standing::NotBuilt { protects: true } => {
                let what = entry.key.doc.trim_end_matches('.').to_owned();
                return Err(entry.refuse(Refusal::ProtectionNotBuilt(what)));
            }
            Standing::InEnsemble if in_ensemble => {}
            Standing::InEnsemble => reader.warn(entry, "has no effect on a server on its own"),
            Standing::NotBuiltInEnsemble if in_ensemble => {
                let what = entry.key.doc.trim_end_matches('.').to_owned();
                return Err(entry.refuse(Refusal::NotBuiltInEnsemble(what)));
            }
            Standing::NotBuilt { protects: false } | Standing::NotBuiltInEnsemble => {
                reader.warn(entry, "is not built in this version and has no effect");
            }
        }
    }
    Ok(())
}

fn settings(
    reader: &mut Reader<'_>,
    company: Company<'_>,
    my_id: &MyId,
) -> Result<Settings, SettingsError> {
    let data_dir = path(reader, "dataDir")
        .ok_or_else(|| SettingsError::about("dataDir", Refusal::NotSet("dataDir")))?;
    let own = own_listen_address(reader)?;
    let tick_time = tick_time(reader)?;
    let (listen, ensemble) = match company {
        Company::Alone(line) => (listen_address(reader, line, own)?, None),
        Company::Ensemble(lines) => {
            let (listen, ensemble) = ensemble::ensemble(reader, &lines, my_id, own)?;
            (listen, Some(ensemble))
        }
    };
    let (min_session_timeout, max_session_timeout) = session_timeouts(reader, tick_time)?;
    let read_only_mode_enabled = reader.flag("readonlymode.enabled");
    Ok(Settings {
        config_file: None,
        data_log_dir: path(reader, "dataLogDir").unwrap_or_else(|| data_dir.clone()),
        data_dir,
        tick_time,
        init_limit: reader
            .strict_optional_number("initLimit", NOT_NEGATIVE)?
            .map(small),
        sync_limit: reader
            .strict_optional_number("syncLimit", NOT_NEGATIVE)?
            .map(small),
        min_session_timeout,
        max_session_timeout,
        standalone_enabled: reader.strict_flag("standaloneEnabled")?,
        reconfig_enabled: reader.strict_flag("reconfigEnabled")?,
        read_only_mode_enabled,
        extended_types_enabled: reader.flag("extendedTypesEnabled"),
        client: client(reader, listen, read_only_mode_enabled)?,
        storage: storage(reader),
        purge: purge(reader)?,
        limits: limits(reader),
        containers: containers(reader),
        access: access::access(reader)?,
        log: log(reader)?,
        ensemble,
    })
}

fn path(reader: &Reader<'_>, name: &str) -> Option<PathBuf> {
    reader.text(name).map(PathBuf::from)
}

/// The client port: of the only membership line, else of its own keys. Both at once must agree.
fn listen_address(
    reader: &mut Reader<'_>,
    sole_member: Option<MemberLine<'_>>,
    own: Option<ListenAddress>,
) -> Result<Option<ListenAddress>, SettingsError> {
    let Some(line) = sole_member else {
        return Ok(own);
    };
    reader.warn(line.entry, ONE_SERVER);
    let client = line.listen();
    let (Some(member), Some(own)) = (&client, &own) else {
        return Ok(client.or(own));
    };
    let same_host = own.host.is_none() || own.host == member.host;
    if member.port == own.port && same_host {
        return Ok(client);
    }
    let (member, own) = (member.to_string(), own.to_string());
    Err(line
        .entry
        .refuse(Refusal::ClientPortConflict { member, own }))
}

fn own_listen_address(reader: &Reader<'_>) -> Result<Option<ListenAddress>, SettingsError> {
    let port = reader.strict_number("clientPort", PORTS)?;
    let port = u16::try_from(port).unwrap_or_default();
    let host = reader.entry("clientPortAddress");
    // As an argument 0 lets the system choose a port; in a file it is the same as no port.
    let chosen_by_system = reader.entry("clientPort").is_some_and(Entry::is_argument);
    if port == 0 && !chosen_by_system {
        return match host {
            None => Ok(None),
            Some(entry) => {
                let (key, needs) = ("clientPortAddress", "clientPort");
                Err(entry.refuse(Refusal::Needs { key, needs }))
            }
        };
    }
    let host = host.and_then(|entry| membership::specific_host(&entry.value));
    Ok(Some(ListenAddress { host, port }))
}

fn tick_time(reader: &Reader<'_>) -> Result<Duration, SettingsError> {
    let number = reader.strict_number("tickTime", ANY_INT)?;
    match (number, reader.entry("tickTime")) {
        (0, Some(entry)) => Err(entry.refuse(Refusal::NotSet("tickTime"))),
        (i64::MIN..0, Some(entry)) => {
            let (least, most) = POSITIVE.into_inner();
            Err(entry.refuse(Refusal::OutOfRange { least, most }))
        }
        _ => Ok(millis(number)),
    }
}

fn session_timeouts(
    reader: &Reader<'_>,
    tick_time: Duration,
) -> Result<(Duration, Duration), SettingsError> {
    let timeout = |name, ticks| {
        let number = reader.strict_number(name, MINUS_ONE_OR_MORE)?;
        Ok(if number < 0 {
            tick_time.saturating_mul(ticks)
        } else {
            millis(number)
        })
    };
    let min = timeout("minSessionTimeout", MIN_SESSION_TICKS)?;
    let max = timeout("maxSessionTimeout", MAX_SESSION_TICKS)?;
    if min <= max {
        return Ok((min, max));
    }
    let refusal = Refusal::MinAboveMax {
        min: min.as_millis(),
        max: max.as_millis(),
    };
    let entry = reader
        .entry("minSessionTimeout")
        .or_else(|| reader.entry("maxSessionTimeout"));
    Err(match entry {
        Some(entry) => entry.refuse(refusal),
        None => SettingsError::about("minSessionTimeout", refusal),
    })
}

fn client(
    reader: &mut Reader<'_>,
    listen: Option<ListenAddress>,
    read_only_mode: bool,
) -> Result<ClientSettings, SettingsError> {
    let per_ip = reader.strict_number("maxClientCnxns", ANY_INT)?;
    let backlog = reader.strict_number("clientPortListenBacklog", MINUS_ONE_OR_MORE)?;
    Ok(ClientSettings {
        listen,
        // A backlog of zero would refuse everybody on some systems; Java takes it for its default, too.
        backlog: some_above_zero(backlog),
        tcp_keep_alive: reader.flag("clientTcpKeepAlive"),
        max_connections_per_ip: some_above_zero(per_ip),
        max_connections: some_above_zero(reader.number("maxCnxns", ANY_INT)),
        sessionless_timeout: reader.millis("nio.sessionlessCnxnTimeout", POSITIVE),
        words: words(reader, read_only_mode),
    })
}

/// Java's way of writing "no limit" is zero, and it takes negative numbers for the same.
fn some_above_zero(number: i64) -> Option<u32> {
    (number > 0).then(|| small(number))
}

fn words(reader: &mut Reader<'_>, read_only_mode: bool) -> WordList {
    const KEY: &str = "4lw.commands.whitelist";
    // An empty list is a list: it allows `srvr` alone. So the entry is asked for even when empty.
    let entry = reader.all().find(|entry| entry.name == KEY);
    let text = entry.map_or(super::words::DEFAULT, |entry| &entry.value);
    let (words, strangers) = WordList::parse(text, read_only_mode);
    if let (Some(entry), false) = (entry, strangers.is_empty()) {
        reader.warn(
            entry,
            &format!("no four-letter words: {}", strangers.join(", ")),
        );
    }
    words
}

fn storage(reader: &mut Reader<'_>) -> StorageSettings {
    StorageSettings {
        data_dir_autocreate: reader.flag("datadir.autocreate"),
        db_autocreate: reader.flag("db.autocreate"),
        log_preallocation: kib(reader.number("preAllocSize", ANY_INT)).unwrap_or_default(),
        snap_count: at_least(reader, "snapCount", SNAP_COUNT_LEAST),
        snap_log_size_limit: kib(reader.number("snapSizeLimitInKb", ANY_LONG)),
        log_roll_size: kib(reader.number("txnLogSizeLimitInKb", ANY_LONG)),
        fsync_warning_threshold: reader.millis("fsync.warningthresholdms", NOT_NEGATIVE),
        force_sync: reader.yes_no("forceSync"),
        snapshot_compression: compression(reader),
        trust_empty_snapshot: reader.flag("snapshot.trust.empty"),
        digest_enabled: reader.flag("digest.enabled"),
        serialize_last_processed_zxid: reader.flag("serializeLastProcessedZxid.enabled"),
        close_session_txn: reader.flag("closeSessionTxn.enabled"),
    }
}

pub(super) fn at_least(reader: &mut Reader<'_>, name: &str, least: i64) -> u32 {
    let number = reader.number(name, ANY_INT);
    if let (true, Some(entry)) = (number < least, reader.entry(name)) {
        reader.warn(entry, &format!("{number} is too small, {least} is used"));
    }
    small(number.max(least))
}

fn compression(reader: &mut Reader<'_>) -> SnapshotCompression {
    let Some(entry) = reader.entry("snapshot.compression.method") else {
        return SnapshotCompression::None;
    };
    match entry.value.as_str() {
        "gz" => SnapshotCompression::Gzip,
        "snappy" => SnapshotCompression::Snappy,
        other => {
            reader.warn(
                entry,
                &format!("'{other}' is neither gz nor snappy, nothing is compressed"),
            );
            SnapshotCompression::None
        }
    }
}

fn purge(reader: &mut Reader<'_>) -> Result<PurgeSettings, SettingsError> {
    const RETAIN: &str = "autopurge.snapRetainCount";
    let retain = reader.strict_number(RETAIN, ANY_INT)?;
    if let (true, Some(entry)) = (retain < RETAIN_COUNT_LEAST, reader.entry(RETAIN)) {
        let text = format!("Invalid {RETAIN}: {retain}. Defaulting to {RETAIN_COUNT_LEAST}");
        reader.warn(entry, &text);
    }
    let interval = match reader.entry("autopurge.purgeInterval") {
        Some(entry) => interval(entry)?,
        None => Some(DEFAULT_PURGE_INTERVAL),
    };
    Ok(PurgeSettings {
        retain_count: small(retain.max(RETAIN_COUNT_LEAST)),
        interval,
    })
}

/// On unless switched off: servers that never purge fill their disk (a deviation from ZooKeeper).
const DEFAULT_PURGE_INTERVAL: Duration = Duration::from_secs(3600);

fn limits(reader: &mut Reader<'_>) -> LimitSettings {
    let max_buffer = reader.number("jute.maxbuffer", POSITIVE);
    let extra = reader.number_or("jute.maxbuffer.extrasize", NOT_NEGATIVE, max_buffer);
    if let (true, Some(entry)) = (
        extra < EXTRA_SIZE_LEAST,
        reader.entry("jute.maxbuffer.extrasize"),
    ) {
        reader.warn(
            entry,
            &format!("{extra} is too small, {EXTRA_SIZE_LEAST} is used"),
        );
    }
    let largest_sum = reader.number("largeRequestMaxBytes", POSITIVE);
    LimitSettings {
        max_buffer: small(max_buffer),
        max_buffer_extra: small(extra.max(EXTRA_SIZE_LEAST)),
        global_outstanding: small(reader.number("globalOutstandingLimit", POSITIVE)),
        large_request_threshold: some_above_zero(reader.number("largeRequestThreshold", ANY_INT)),
        large_request_max_bytes: u64::from(small(largest_sum)),
        enforce_quota: reader.flag("enforceQuota"),
    }
}

fn containers(reader: &mut Reader<'_>) -> ContainerSettings {
    let never_used = reader.millis("znode.container.maxNeverUsedIntervalMs", NOT_NEGATIVE);
    ContainerSettings {
        check_interval: reader.millis("znode.container.checkIntervalMs", POSITIVE),
        max_per_minute: small(reader.number("znode.container.maxPerMinute", POSITIVE)),
        max_never_used: (!never_used.is_zero()).then_some(never_used),
    }
}

fn log(reader: &mut Reader<'_>) -> Result<LogSettings, SettingsError> {
    let format = match reader.entry("log.format") {
        None => LogFormat::Text,
        Some(entry) => match entry.value.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err(entry.refuse(Refusal::LogFormat)),
        },
    };
    let root = level(reader, "root.logger").unwrap_or(LogLevel::Info);
    let threshold = level(reader, "console.threshold").unwrap_or(LogLevel::Trace);
    Ok(LogSettings {
        format,
        level: root.max(threshold),
    })
}

/// The level in a text such as `DEBUG,CONSOLE`. What follows the level chose Java appenders.
fn level(reader: &mut Reader<'_>, name: &str) -> Option<LogLevel> {
    let entry = reader.entry(name)?;
    let mut words = entry.value.split(',').map(str::trim);
    let word = words.next().unwrap_or_default();
    if words.any(|appender| appender != "CONSOLE") {
        reader.warn(
            entry,
            "this version logs to the console only, other appenders are ignored",
        );
    }
    let level = match word.to_ascii_uppercase().as_str() {
        "ALL" | "TRACE" => LogLevel::Trace,
        "DEBUG" => LogLevel::Debug,
        "INFO" => LogLevel::Info,
        "WARN" => LogLevel::Warn,
        "ERROR" | "FATAL" => LogLevel::Error,
        "OFF" => LogLevel::Off,
        _ => {
            reader.warn(entry, &format!("'{word}' is no level and is ignored"));
            return None;
        }
    };
    Some(level)
}

/// A relative path depends on where the server was started; `./` says that this is meant.
fn warn_of_relative_paths(reader: &mut Reader<'_>) {
    let paths = ["dataDir", "dataLogDir", "dynamicConfigFile"].map(|name| reader.entry(name));
    for entry in paths.into_iter().flatten() {
        if is_carelessly_relative(&entry.value) {
            reader.warn(entry, &relative_path_text(&entry.value));
        }
    }
}

/// Allowed, but worth a line in the log of every start.
fn warn_of_bold_choices(reader: &mut Reader<'_>, settings: &Settings) {
    if settings.client.listen.is_none() {
        let text = "clientPort is not set: the server runs without clients".to_owned();
        reader.warnings.push(Warning::new("clientPort", text));
    }
    let choices = [
        (
            "forceSync",
            settings.storage.force_sync,
            "a power cut will lose acknowledged writes",
        ),
        (
            "skipACL",
            !settings.access.skip_acl,
            "nobody checks ACLs: everyone may do everything",
        ),
    ];
    for (name, careful, text) in choices {
        if let (false, Some(entry)) = (careful, reader.entry(name)) {
            reader.warn(entry, text);
        }
    }
}

/// Relative without saying so by a leading `./`.
pub(super) fn is_carelessly_relative(path: &str) -> bool {
    !path.starts_with('/') && !path.starts_with("./")
}

/// The warning of a careless relative path.
pub(super) fn relative_path_text(path: &str) -> String {
    format!("{path} is relative. Prepend ./ to indicate that you're sure!")
}
