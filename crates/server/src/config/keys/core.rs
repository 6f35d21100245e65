//! Keys with a meaning of their own in `zoo.cfg` (operations, 1.2 and 1.3).

use super::{
    GUARD_NOT_BUILT, HONOURED, IN_ENSEMBLE, Key,
    Kind::{Flag, Interval, Member, Number, NumberOr, Path, Word},
    NO_EFFECT, NOT_BUILT, NOT_BUILT_IN_ENSEMBLE, Place, Standing, core_key,
};

pub(super) const KEYS: &[Key] = &[
    core_key(
        "dataDir",
        Path,
        HONOURED,
        "Directory of snapshots, epochs and `myid`; must be set.",
    ),
    core_key(
        "dataLogDir",
        Path,
        HONOURED,
        "Directory of the transaction log; `dataDir` when absent.",
    ),
    core_key(
        "clientPort",
        Number(0),
        HONOURED,
        "Plain client port; 0 or absent: no clients.",
    ),
    core_key(
        "clientPortAddress",
        Word(""),
        HONOURED,
        "Address to bind the client port to; all when absent.",
    ),
    core_key(
        "secureClientPort",
        Number(0),
        GUARD_NOT_BUILT,
        "Client port with TLS.",
    ),
    core_key(
        "secureClientPortAddress",
        Word(""),
        NOT_BUILT,
        "Address to bind the TLS client port to.",
    ),
    core_key(
        "clientPortListenBacklog",
        Number(-1),
        HONOURED,
        "Backlog of the client port; -1: the most the system allows.",
    ),
    core_key(
        "observerMasterPort",
        Number(0),
        NOT_BUILT_IN_ENSEMBLE,
        "Port on which followers serve observers; 0: off.",
    ),
    core_key(
        "tickTime",
        Number(3000),
        HONOURED,
        "Milliseconds of a tick, the unit of all limits.",
    ),
    core_key(
        "initLimit",
        NumberOr("none"),
        HONOURED,
        "Ticks a learner may take to connect and sync; needed in an ensemble.",
    ),
    core_key(
        "syncLimit",
        NumberOr("none"),
        HONOURED,
        "Ticks a learner may lag behind; needed in an ensemble.",
    ),
    core_key(
        "connectToLearnerMasterLimit",
        Number(0),
        IN_ENSEMBLE,
        "Ticks a learner may take to connect; 0: `initLimit`.",
    )
    .at(Place::FileAndProperty),
    core_key(
        "maxClientCnxns",
        Number(60),
        HONOURED,
        "Connections of one client address; 0: no limit.",
    ),
    core_key(
        "minSessionTimeout",
        Number(-1),
        HONOURED,
        "Shortest session timeout in milliseconds; -1: 2 ticks.",
    ),
    core_key(
        "maxSessionTimeout",
        Number(-1),
        HONOURED,
        "Longest session timeout in milliseconds; -1: 20 ticks.",
    ),
    core_key(
        "electionAlg",
        Number(3),
        Standing::Obsolete,
        "Election algorithm; only 3 exists.",
    ),
    core_key(
        "peerType",
        Word("participant"),
        IN_ENSEMBLE,
        "`participant` or `observer`; the role in the own `server.N` goes before it.",
    ),
    core_key(
        "server.*",
        Member,
        HONOURED,
        "Member of an ensemble: `HOST:QUORUM:ELECTION[:ROLE][;[ADDR:]PORT]`; one alone is standalone. `myid` in `dataDir` holds the number of this server.",
    ),
    core_key(
        "group.*",
        Member,
        NOT_BUILT_IN_ENSEMBLE,
        "Group of a hierarchical quorum.",
    ),
    core_key(
        "weight.*",
        Member,
        NOT_BUILT_IN_ENSEMBLE,
        "Weight of a member in a hierarchical quorum.",
    ),
    core_key(
        "dynamicConfigFile",
        Path,
        HONOURED,
        "File with the membership lines; a hexadecimal last suffix of its name is their version.",
    ),
    core_key(
        "standaloneEnabled",
        Flag(true),
        HONOURED,
        "Whether a single participant runs standalone.",
    ),
    core_key(
        "reconfigEnabled",
        Flag(false),
        HONOURED,
        "Whether `reconfig` is answered at all; a member of an ensemble refuses `true`.",
    ),
    core_key(
        "quorumListenOnAllIPs",
        Flag(false),
        IN_ENSEMBLE,
        "Bind the ports between servers to all addresses.",
    ),
    core_key(
        "syncEnabled",
        Flag(true),
        NOT_BUILT,
        "Whether observers write log and snapshots.",
    ),
    core_key(
        "observer.syncEnabled",
        Flag(true),
        NOT_BUILT,
        "Property form of `syncEnabled`, which it overrides.",
    )
    .at(Place::FileAndProperty),
    core_key(
        "localSessionsEnabled",
        Flag(false),
        NOT_BUILT_IN_ENSEMBLE,
        "Sessions that exist on one server only.",
    ),
    core_key(
        "localSessionsUpgradingEnabled",
        Flag(false),
        NOT_BUILT_IN_ENSEMBLE,
        "Whether such a session becomes global on its first ephemeral.",
    ),
    core_key(
        "autopurge.snapRetainCount",
        Number(3),
        HONOURED,
        "Snapshots to keep; at least 3.",
    ),
    core_key(
        "autopurge.purgeInterval",
        Interval("1"),
        HONOURED,
        "Hours (or a number with `ms s m h d`) between purges; 0: never. ZooKeeper's default is 0.",
    ),
    core_key(
        "sslQuorum",
        Flag(false),
        GUARD_NOT_BUILT,
        "TLS between servers.",
    )
    .at(Place::FileAndProperty),
    core_key(
        "portUnification",
        Flag(false),
        GUARD_NOT_BUILT,
        "Ports between servers take TLS and plain.",
    ),
    core_key(
        "sslQuorumReloadCertFiles",
        Flag(false),
        NOT_BUILT,
        "Reload key and trust stores of the ports between servers.",
    ),
    core_key(
        "quorum.auth.enableSasl",
        Flag(false),
        GUARD_NOT_BUILT,
        "SASL between servers.",
    ),
    core_key(
        "quorum.auth.learnerRequireSasl",
        Flag(false),
        GUARD_NOT_BUILT,
        "Learners insist on SASL.",
    ),
    core_key(
        "quorum.auth.serverRequireSasl",
        Flag(false),
        GUARD_NOT_BUILT,
        "Servers insist on SASL from learners.",
    ),
    core_key(
        "quorum.auth.learner.saslLoginContext",
        Word("QuorumLearner"),
        NOT_BUILT,
        "Section of the login file for learners.",
    ),
    core_key(
        "quorum.auth.server.saslLoginContext",
        Word("QuorumServer"),
        NOT_BUILT,
        "Section of the login file for servers.",
    ),
    core_key(
        "quorum.auth.kerberos.servicePrincipal",
        Word("zkquorum/localhost"),
        NOT_BUILT,
        "Kerberos principal of the servers.",
    ),
    core_key(
        "quorum.cnxn.threads.size",
        Number(20),
        NO_EFFECT,
        "Threads of the connection manager.",
    ),
    core_key(
        "multiAddress.enabled",
        Flag(false),
        IN_ENSEMBLE,
        "Several addresses per member.",
    )
    .at(Place::FileAndProperty),
    core_key(
        "multiAddress.reachabilityCheckEnabled",
        Flag(true),
        NOT_BUILT,
        "Probe the addresses of a member.",
    )
    .at(Place::FileAndProperty),
    core_key(
        "multiAddress.reachabilityCheckTimeoutMs",
        Number(1000),
        NOT_BUILT,
        "Milliseconds of that probe.",
    )
    .at(Place::FileAndProperty),
    core_key(
        "jvm.pause.monitor",
        Flag(false),
        NO_EFFECT,
        "Watch for pauses of the garbage collector.",
    ),
    core_key(
        "jvm.pause.sleep.time.ms",
        Number(500),
        NO_EFFECT,
        "Sleep of that watch.",
    ),
    core_key(
        "jvm.pause.warn-threshold.ms",
        Number(10_000),
        NO_EFFECT,
        "Pause that is a warning.",
    ),
    core_key(
        "jvm.pause.info-threshold.ms",
        Number(1000),
        NO_EFFECT,
        "Pause that is a note.",
    ),
    core_key(
        "oraclePath",
        Path,
        NOT_BUILT_IN_ENSEMBLE,
        "File that decides in an ensemble of two.",
    ),
];
