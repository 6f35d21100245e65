//! Reports with the values that the recorded servers had.

use crate::{
    metrics::{PacketView, Sizes, Tally},
    words::{
        Bucket, Configuration, ConnectionEntry, DirectorySizes, EnsembleConfiguration, Environment,
        Interest, Leadership, Report, Role, ServerPart, SessionEntry, SessionsPart, WatchSummary,
    },
};

pub(super) const VERSION: &str =
    "3.9.3-c26634f34490bb0ea7a09cc51e05ede3b4e320ee, built on 2024-10-17 23:21 UTC";
const SESSION: i64 = 0x0100_000d_5381_001e;
/// Fri Nov 20 21:52:00 UTC 2026.
const MINUTE_MS: i64 = 1_795_211_520_000;

/// A connection that has just asked a word.
pub(super) fn asking(port: u16) -> ConnectionEntry {
    ConnectionEntry {
        peer: ([127, 0, 0, 1], port).into(),
        interest: Interest::Closing,
        queued: 0,
        received: 1,
        sent: 0,
        session: None,
    }
}

fn client() -> ConnectionEntry {
    ConnectionEntry {
        peer: ([127, 0, 0, 1], 42568).into(),
        interest: Interest::Reading,
        queued: 0,
        received: 9,
        sent: 9,
        session: Some(SessionEntry {
            id: SESSION,
            last_operation: "EXIS",
            established_ms: 1_795_211_528_336,
            timeout_ms: 30_000,
            last_cxid: Some(8),
            last_zxid: 0xb0,
            last_response_ms: 1_137_893,
            last_latency_ms: 0,
            latency: Tally::of(0, 1, 9, 2),
        }),
    }
}

fn latency() -> Tally {
    Tally::of(0, 65, 386, 548)
}

fn server() -> ServerPart {
    ServerPart {
        packets: PacketView {
            received: 396,
            sent: 414,
            outstanding: 0,
            latency: latency(),
            responses: Some(Sizes {
                last: 16,
                min: 16,
                max: 300,
            }),
        },
        connections: 2,
        zxid: 0xb0,
        node_count: 41,
        proposals: None,
    }
}

fn configuration() -> Configuration {
    let dir = || "/var/lib/zookeeper/version-2".to_owned();
    Configuration {
        client_port: Some(26001),
        data_dir: dir(),
        data_log_dir: dir(),
        tick_time_ms: 2000,
        max_client_cnxns: Some(60),
        min_session_timeout_ms: 4000,
        max_session_timeout_ms: 40_000,
        ..Configuration::default()
    }
}

fn environment() -> Environment {
    let text = str::to_owned;
    Environment {
        host_name: text("localhost"),
        os_name: text("Linux"),
        os_arch: text("amd64"),
        os_version: text("6.1.0-generic"),
        user_name: text("root"),
        user_home: text("/root"),
        user_dir: text("/opt/zookeeper"),
        memory_free: (217 << 20) + 1000,
        memory_max: 256 << 20,
        memory_total: (257 << 20) - 1,
    }
}

fn sessions() -> SessionsPart {
    let at = |second: i64| MINUTE_MS + 1000 * second;
    let connection = |port: u16, session| (([127, 0, 0, 1], port).into(), session);
    SessionsPart {
        buckets: vec![Bucket {
            ends_ms: at(38),
            members: vec![SESSION],
        }],
        global: Vec::new(),
        ephemerals: vec![(SESSION, vec!["/app/eph-standalone-0000000001".to_owned()])],
        connections: vec![
            Bucket {
                ends_ms: at(20),
                members: vec![connection(42590, None)],
            },
            Bucket {
                ends_ms: at(40),
                members: vec![connection(42568, Some(SESSION))],
            },
        ],
    }
}

/// The recorded standalone server.
pub(super) fn standalone() -> Report {
    let paths = || vec!["/app/cfg".to_owned(), "/nope".to_owned()];
    Report {
        role: Role::Standalone,
        version: VERSION.to_owned(),
        server: server(),
        configuration: configuration(),
        directory_sizes: DirectorySizes {
            data: 67_109_358,
            log: 67_109_358,
        },
        environment: environment(),
        connections: vec![asking(42576), client()],
        sessions: sessions(),
        watch_summary: WatchSummary {
            connections: 1,
            paths: 2,
            watches: 2,
        },
        watches_by_session: vec![(SESSION, paths())],
        watches_by_path: paths()
            .into_iter()
            .map(|path| (path, vec![SESSION]))
            .collect(),
        digests: vec![(0x80, 68_801_678_241)],
        ..Report::default()
    }
}

fn leaders_client() -> ConnectionEntry {
    ConnectionEntry {
        peer: ([127, 0, 0, 1], 48852).into(),
        received: 5,
        sent: 6,
        session: Some(SessionEntry {
            id: 0x0300_0010_e538_0000,
            last_operation: "EXIS",
            established_ms: 1_795_211_530_681,
            timeout_ms: 30_000,
            last_cxid: Some(4),
            last_zxid: 0x1_0000_0009,
            last_response_ms: 1_140_382,
            last_latency_ms: 1,
            latency: Tally::of(0, 16, 5, 33),
        }),
        ..client()
    }
}

fn leaders_sessions() -> SessionsPart {
    let at = |second: i64| MINUTE_MS + 1000 * second;
    let ephemeral = |session, name: &str| (session, vec![format!("/app/eph-{name}")]);
    let peer = |port: u16| ([127, 0, 0, 1], port).into();
    let (one, two) = (0x0100_0010_e519_0000, 0x0200_0010_e517_0000);
    let (three, four) = (0x0300_0010_e538_0000, 0x0400_0010_e52a_0000);
    SessionsPart {
        buckets: vec![Bucket {
            ends_ms: at(42),
            members: vec![four, two, three, one],
        }],
        global: [one, two, three, four].map(|id| (id, 30_000)).into(),
        ephemerals: vec![
            ephemeral(two, "follower2-0000000002"),
            ephemeral(three, "leader-0000000003"),
            ephemeral(one, "follower1-0000000001"),
            ephemeral(four, "observer-0000000004"),
        ],
        connections: vec![
            Bucket {
                ends_ms: at(30),
                members: vec![(peer(35746), None)],
            },
            Bucket {
                ends_ms: at(50),
                members: vec![(peer(48852), Some(three))],
            },
        ],
    }
}

/// The recorded leader, as far as it shows more than a standalone server.
pub(super) fn leader() -> Report {
    let dir = || "/var/lib/zookeeper3/version-2".to_owned();
    let member = |n: u16, role: &str| {
        format!("server.{n}=127.0.0.1:2611{n}:2612{n}:{role};127.0.0.1:2610{n}")
    };
    Report {
        role: Role::Leading(Leadership {
            quorum_size: 3,
            learners: 3,
            synced_followers: 2,
            synced_observers: 1,
            ..Leadership::default()
        }),
        version: VERSION.to_owned(),
        server: ServerPart {
            packets: PacketView {
                received: 14,
                sent: 14,
                latency: Tally::of(1, 16, 1, 6),
                ..PacketView::default()
            },
            connections: 2,
            zxid: 0x1_0000_000a,
            node_count: 11,
            proposals: Some(Sizes {
                last: 113,
                min: 48,
                max: 114,
            }),
        },
        configuration: Configuration {
            client_port: Some(26103),
            data_dir: dir(),
            data_log_dir: dir(),
            server_id: 3,
            ensemble: Some(EnsembleConfiguration {
                init_limit: 10,
                sync_limit: 5,
                election_port: 26123,
                quorum_port: 26113,
                is_observer: false,
                servers: vec![
                    member(1, "participant"),
                    member(2, "participant"),
                    member(3, "participant"),
                    member(4, "observer"),
                ],
                version: 0x1_0000_0000,
            }),
            ..configuration()
        },
        directory_sizes: DirectorySizes {
            data: 67_109_602,
            log: 67_109_602,
        },
        connections: vec![asking(35736), leaders_client()],
        sessions: leaders_sessions(),
        ..Report::default()
    }
}
