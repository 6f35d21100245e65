//! Ensemble (operations, 1.6). None of it matters to a server on its own.

use super::{
    IN_ENSEMBLE, Key,
    Kind::{Flag, Number, YesNo},
    NO_EFFECT, NOT_BUILT, Place, bare, property,
};

pub(super) const KEYS: &[Key] = &[
    property(
        "leaderServes",
        YesNo(true),
        IN_ENSEMBLE,
        "Only `no` makes the leader close its client port.",
    ),
    property(
        "cnxTimeout",
        Number(5000),
        IN_ENSEMBLE,
        "Milliseconds to connect for an election.",
    ),
    property(
        "quorumCnxnTimeoutMs",
        Number(-1),
        IN_ENSEMBLE,
        "Milliseconds to wait for a message there; -1: `syncLimit`.",
    ),
    property(
        "tcpKeepAlive",
        Flag(false),
        IN_ENSEMBLE,
        "Keep-alive on sockets between servers.",
    ),
    property(
        "electionPortBindRetry",
        Number(3),
        IN_ENSEMBLE,
        "Tries to bind the election port; 0: for ever.",
    ),
    property(
        "fastleader.minNotificationInterval",
        Number(200),
        IN_ENSEMBLE,
        "Shortest pause between election messages, milliseconds.",
    ),
    property(
        "fastleader.maxNotificationInterval",
        Number(60_000),
        IN_ENSEMBLE,
        "Longest pause between election messages, milliseconds.",
    ),
    property(
        "leader.maxTimeToWaitForEpoch",
        Number(-1),
        NOT_BUILT,
        "Milliseconds before a leader gives up early.",
    ),
    property(
        "leader.maxConcurrentSnapSyncs",
        Number(10),
        IN_ENSEMBLE,
        "Learners that a leader feeds with its whole state at a time; more observers have to come again, followers never.",
    ),
    property(
        "leader.maxConcurrentSnapshots",
        Number(10),
        IN_ENSEMBLE,
        "Name of the same in 3.5; `leader.maxConcurrentSnapSyncs` goes before it.",
    ),
    property(
        "leader.maxConcurrentDiffSyncs",
        Number(100),
        IN_ENSEMBLE,
        "Same for learners that lack a part of the history, or have too much.",
    ),
    property(
        "leader.closeSocketAsync",
        Flag(false),
        NO_EFFECT,
        "Close sockets in a thread of its own.",
    )
    .at(Place::AnyForm),
    property(
        "learner.closeSocketAsync",
        Flag(false),
        NO_EFFECT,
        "Same, on learners.",
    )
    .at(Place::AnyForm),
    property(
        "learner.asyncSending",
        Flag(false),
        NO_EFFECT,
        "Send in a thread of its own.",
    )
    .at(Place::AnyForm),
    bare(
        "leader.nodelay",
        Flag(true),
        IN_ENSEMBLE,
        "No delay on the leader's sockets.",
    ),
    bare(
        "follower.nodelay",
        Flag(true),
        IN_ENSEMBLE,
        "No delay on a follower's sockets.",
    ),
    property(
        "leader.ackLoggingFrequency",
        Number(1000),
        NO_EFFECT,
        "Log one acknowledgement in so many.",
    ),
    property(
        "messageTracker.BufferSize",
        Number(10),
        NO_EFFECT,
        "Messages kept for a debug trace.",
    ),
    property(
        "messageTracker.Enabled",
        Flag(false),
        NO_EFFECT,
        "Keep that trace.",
    ),
    property(
        "leaderConnectDelayDuringRetryMs",
        Number(100),
        IN_ENSEMBLE,
        "Milliseconds between connects to the leader.",
    ),
    property(
        "observer.reconnectDelayMs",
        Number(0),
        IN_ENSEMBLE,
        "An observer waits for less than so many milliseconds, by chance, before it connects to a leader.",
    ),
    property(
        "observer.election.DelayMs",
        Number(200),
        IN_ENSEMBLE,
        "Same before it looks for a leader again.",
    ),
    property(
        "observerMaster.sizeLimit",
        Number(33_554_432),
        NOT_BUILT,
        "Bytes kept for observers.",
    ),
    property(
        "forward_learner_requests_to_commit_processor_disabled",
        Flag(false),
        NO_EFFECT,
        "Memory on the leader.",
    ),
    property(
        "follower.skipLearnerRequestToNextProcessor",
        Flag(false),
        NO_EFFECT,
        "Memory on a follower.",
    ),
    property(
        "controllerPort",
        Number(0),
        NO_EFFECT,
        "Fault injection for tests of the Java server.",
    ),
];
