//! Four-letter words, AdminServer, metrics, audit, log (operations, 1.2, 1.7, 6.1, 6.3).

use super::{
    GUARD_NOT_BUILT, HONOURED, Key,
    Kind::{Flag, List, Number, Word},
    NO_EFFECT, NOT_BUILT, Place, core_key, property,
};

pub(super) const KEYS: &[Key] = &[
    property(
        "4lw.commands.whitelist",
        List(super::super::words::DEFAULT),
        HONOURED,
        "Four-letter words that are answered; `*`: all. `srvr` always is. ZooKeeper's default is `srvr` alone.",
    ),
    property(
        "admin.enableServer",
        Flag(false),
        NOT_BUILT,
        "AdminServer. ZooKeeper's default is true.",
    ),
    property(
        "admin.serverAddress",
        Word("0.0.0.0"),
        NOT_BUILT,
        "Address of the AdminServer.",
    ),
    property(
        "admin.serverPort",
        Number(8080),
        NOT_BUILT,
        "Port of the AdminServer.",
    ),
    property(
        "admin.commandURL",
        Word("/commands"),
        NOT_BUILT,
        "Prefix of its commands.",
    ),
    property(
        "admin.idleTimeout",
        Number(30_000),
        NOT_BUILT,
        "Milliseconds before it closes an idle connection.",
    ),
    property("admin.httpVersion", Number(11), NO_EFFECT, "HTTP version."),
    property(
        "admin.portUnification",
        Flag(false),
        GUARD_NOT_BUILT,
        "AdminServer takes TLS and plain.",
    ),
    property(
        "admin.forceHttps",
        Flag(false),
        GUARD_NOT_BUILT,
        "AdminServer takes TLS only.",
    ),
    property(
        "admin.needClientAuth",
        Flag(false),
        GUARD_NOT_BUILT,
        "AdminServer asks for a client certificate.",
    ),
    property(
        "admin.rateLimiterIntervalInMS",
        Number(300_000),
        NOT_BUILT,
        "Milliseconds between snapshot or restore commands.",
    ),
    property(
        "admin.snapshot.enabled",
        Flag(true),
        NOT_BUILT,
        "Snapshot command.",
    ),
    property(
        "admin.restore.enabled",
        Flag(true),
        NOT_BUILT,
        "Restore command.",
    ),
    core_key(
        "metricsProvider.className",
        Word(super::super::classes::DEFAULT_METRICS),
        NOT_BUILT,
        "Java class of the metrics provider; unknown ones are refused. There is no exporter in this version.",
    ),
    core_key(
        "metricsProvider.httpHost",
        Word("0.0.0.0"),
        NOT_BUILT,
        "Address of the exporter.",
    ),
    core_key(
        "metricsProvider.httpPort",
        Number(7000),
        NOT_BUILT,
        "Port of the exporter.",
    ),
    core_key(
        "metricsProvider.exportJvmInfo",
        Flag(true),
        NOT_BUILT,
        "Export process metrics too.",
    ),
    core_key(
        "metricsProvider.numWorkerThreads",
        Number(1),
        NO_EFFECT,
        "Threads of the exporter.",
    ),
    core_key(
        "metricsProvider.maxQueueSize",
        Number(1_000_000),
        NO_EFFECT,
        "Queue of the exporter.",
    ),
    core_key(
        "metricsProvider.workerShutdownTimeoutMs",
        Number(1000),
        NO_EFFECT,
        "Milliseconds to stop the exporter.",
    ),
    core_key(
        "metricsProvider.httpsPort",
        Number(0),
        GUARD_NOT_BUILT,
        "Exporter with TLS.",
    ),
    core_key(
        "metricsProvider.*",
        Word(""),
        NOT_BUILT,
        "Other settings of the exporter, TLS stores among them.",
    ),
    property("audit.enable", Flag(false), GUARD_NOT_BUILT, "Audit log."),
    property(
        "audit.impl.class",
        Word("org.apache.zookeeper.audit.Slf4jAuditLogger"),
        NOT_BUILT,
        "Java class of the audit log.",
    ),
    property(
        "audit.file",
        Word(""),
        NOT_BUILT,
        "Rookeeper's own: file of the audit log; the normal log when absent.",
    ),
    property(
        "log.format",
        Word("text"),
        HONOURED,
        "Rookeeper's own: `text`, or `json` for one object per line.",
    )
    .at(Place::AnyForm),
    property(
        "root.logger",
        Word("INFO,CONSOLE"),
        HONOURED,
        "Level name of the log, then ignored appender names.",
    ),
    property(
        "console.threshold",
        Word(""),
        HONOURED,
        "Level name below which nothing is logged, whatever `root.logger` says.",
    ),
    property(
        "log.threshold",
        Word(""),
        NOT_BUILT,
        "Level of the log file.",
    ),
    property(
        "log.dir",
        Word(""),
        NOT_BUILT,
        "Directory of the log file; this version logs to the console.",
    ),
    property(
        "log.file",
        Word(""),
        NOT_BUILT,
        "Name of the log file; this version logs to the console.",
    ),
];
