//! Storage and write path (operations, 1.4 and 1.9).

use super::{
    HONOURED, IN_ENSEMBLE, Key,
    Kind::{Flag, Number, NumberOr, Word, YesNo},
    NO_EFFECT, Place, bare, property,
};

pub(super) const KEYS: &[Key] = &[
    property(
        "preAllocSize",
        Number(65_536),
        HONOURED,
        "KiB by which a log file grows at a time.",
    ),
    property(
        "snapCount",
        Number(100_000),
        HONOURED,
        "Transactions between snapshots, half of it random; at least 2. More while writes come so fast that snapshots would take more than a quarter of the time.",
    ),
    property(
        "snapSizeLimitInKb",
        Number(4_194_304),
        HONOURED,
        "KiB of log between snapshots; 0 or less: no limit.",
    ),
    property(
        "txnLogSizeLimitInKb",
        Number(-1),
        HONOURED,
        "KiB after which a log file is followed by a new one; 0 or less: no limit.",
    ),
    property(
        "commitLogCount",
        Number(500),
        IN_ENSEMBLE,
        "Committed proposals kept in memory for learners; at least 500.",
    ),
    property(
        "snapshotSizeFactor",
        Word("0.33"),
        IN_ENSEMBLE,
        "Share of the snapshot up to which learners are fed from the log; 0 or less: never.",
    ),
    property(
        "fsync.warningthresholdms",
        Number(1000),
        HONOURED,
        "Milliseconds above which a sync of the log is worth a warning.",
    )
    .at(Place::AnyForm),
    property(
        "forceSync",
        YesNo(true),
        HONOURED,
        "Only `no` stops syncing the log: a power cut then loses acknowledged writes.",
    ),
    property(
        "flushDelay",
        Number(0),
        NO_EFFECT,
        "Java: wait for more writes before a sync. Here whatever arrives during a sync shares the next one.",
    ),
    property(
        "maxWriteQueuePollTime",
        NumberOr("flushDelay / 3"),
        NO_EFFECT,
        "Java: milliseconds of quiet that end the delay early.",
    ),
    property(
        "maxBatchSize",
        Number(1000),
        NO_EFFECT,
        "Java: transactions in one sync at most. Here a sync covers everything that waits.",
    ),
    property(
        "snapshot.compression.method",
        Word(""),
        HONOURED,
        "`gz`, `snappy` or nothing; all forms are always read.",
    ),
    property(
        "snapshot.trust.empty",
        Flag(false),
        HONOURED,
        "Accept logs without any snapshot.",
    ),
    property(
        "digest.enabled",
        Flag(true),
        HONOURED,
        "Digest of the tree in transactions and snapshots.",
    ),
    property(
        "serializeLastProcessedZxid.enabled",
        Flag(true),
        HONOURED,
        "Write the last zxid at the end of snapshots.",
    ),
    property(
        "closeSessionTxn.enabled",
        Flag(true),
        HONOURED,
        "Write removed ephemerals into the transaction that closes a session.",
    ),
    property(
        "datadir.autocreate",
        Flag(true),
        HONOURED,
        "Create missing data directories.",
    ),
    property(
        "db.autocreate",
        Flag(true),
        HONOURED,
        "Start with an empty database when there is none.",
    ),
    bare(
        "jute.maxbuffer",
        Number(1_048_575),
        HONOURED,
        "Bytes of the largest request; `0x` and `0` prefixes allowed. Same value on all servers and clients.",
    ),
    property(
        "jute.maxbuffer.extrasize",
        NumberOr("jute.maxbuffer"),
        HONOURED,
        "Extra bytes allowed in log records; at least 1024.",
    ),
    property(
        "forceSnapshotSync",
        Flag(false),
        IN_ENSEMBLE,
        "Always send snapshots to learners.",
    ),
    property(
        "intBufferStartingSizeBytes",
        Number(1024),
        NO_EFFECT,
        "First size of an internal buffer.",
    ),
];
