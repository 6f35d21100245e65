//! What the settings mean for the parts of a server.

use std::time::Duration;

use rookeeper_database::database::DatabaseOptions;
use rookeeper_database::history::LogUse;
use rookeeper_database::image_file::SnapshotFormat;
use rookeeper_database::recovery::RecoveryOptions;
use rookeeper_node::ensemble::MemberConfig;
use rookeeper_node::ensemble::holding_back::ObserverWaits;
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_proto::ids::ServerId;
use rookeeper_quorum::election::round::Pace;
use rookeeper_quorum::epoch;
use rookeeper_storage::dirs::Compression;
use rookeeper_storage::log_writer::LogOptions;
use rookeeper_storage::recover::Policy;
use rookeeper_tree::auth::{self, AuthConfig};
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::TreeOptions;
use tracing::warn;

use crate::clock::millis;
use crate::config::{AuthScheme, DigestAlgorithm, EnsembleSettings, Settings, SnapshotCompression};
use crate::quorum_port::QuorumPortLimits;
use crate::snapshots::SnapshotPace;

/// Ticks of the member per tick of the configuration.
const TICKS_PER_TICK: u32 = 4;
/// Longest time between two ticks of the member.
const MAX_TICK_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest time between two ticks of the member.
const MIN_TICK_INTERVAL: Duration = Duration::from_millis(5);

pub(super) fn tick_interval(settings: &Settings) -> Duration {
    (settings.tick_time / TICKS_PER_TICK).clamp(MIN_TICK_INTERVAL, MAX_TICK_INTERVAL)
}

pub(super) const fn snapshot_pace(settings: &Settings) -> SnapshotPace {
    SnapshotPace {
        count: settings.storage.snap_count,
        log_bytes: settings.storage.snap_log_size_limit,
    }
}

pub(super) fn tree_options(settings: &Settings, hash_seed: u64) -> TreeOptions {
    TreeOptions {
        extended_types: settings.extended_types_enabled,
        hash_seed,
        max_images: settings.ensemble.as_ref().map(max_images),
    }
}

/// The own snapshot, what a leader sends to as many learners as may be, and what it sends to voters, which it never makes wait.
fn max_images(ensemble: &EnsembleSettings) -> usize {
    let voters = ensemble.membership.voters().count();
    ensemble.sync_limits.states.saturating_add(voters + 1)
}

pub(super) fn database_options(settings: &Settings, hash_seed: u64) -> DatabaseOptions {
    let storage = &settings.storage;
    DatabaseOptions {
        recovery: RecoveryOptions {
            policy: Policy {
                trust_empty: storage.trust_empty_snapshot,
                autocreate: storage.db_autocreate,
            },
            tree: tree_options(settings, hash_seed),
            format: SnapshotFormat {
                compression: match storage.snapshot_compression {
                    SnapshotCompression::None => Compression::None,
                    SnapshotCompression::Gzip => Compression::Gzip,
                    SnapshotCompression::Snappy => Compression::Snappy,
                },
                digest: storage.digest_enabled,
                last_zxid: storage.serialize_last_processed_zxid,
            },
            remembered: settings
                .ensemble
                .as_ref()
                .map_or(0, |ensemble| ensemble.commit_log_count),
        },
        log: LogOptions {
            prealloc_bytes: storage.log_preallocation,
            size_limit: storage.log_roll_size,
            force_sync: storage.force_sync,
        },
        log_use: log_use(settings),
    }
}

/// How a member of an ensemble behaves.
pub(super) fn member_config(ensemble: &EnsembleSettings, proposer: ProposerConfig) -> MemberConfig {
    MemberConfig {
        vocation: ensemble.vocation,
        membership: ensemble.membership.clone(),
        pace: Pace {
            min_interval: millis(ensemble.min_notification),
            max_interval: millis(ensemble.max_notification),
            ..Pace::default()
        },
        init_limit: i64::from(ensemble.init_limit),
        sync_limit: i64::from(ensemble.sync_limit),
        force_snapshot: ensemble.force_snapshot_sync,
        sync_limits: ensemble.sync_limits,
        observer_waits: ObserverWaits {
            look: millis(ensemble.observer_election_delay),
            connect: millis(ensemble.observer_reconnect_delay),
        },
        last_counter: epoch::LAST_COUNTER,
        proposer,
    }
}

/// What connections between servers may weigh and take.
pub(super) fn quorum_limits(settings: &Settings, ensemble: &EnsembleSettings) -> QuorumPortLimits {
    let limits = &settings.limits;
    let ticks = |count: u32| settings.tick_time.saturating_mul(count);
    QuorumPortLimits {
        packet: (limits.max_buffer as usize).saturating_add(limits.max_buffer_extra as usize),
        connect: ticks(ensemble.connect_limit),
        image: ticks(ensemble.init_limit),
        pause: ensemble.leader_connect_pause,
        keep_alive: ensemble.tcp_keep_alive,
        nodelay: ensemble.follower_nodelay,
    }
}

fn log_use(settings: &Settings) -> LogUse {
    let Some(ensemble) = &settings.ensemble else {
        return LogUse::default();
    };
    let percent = (ensemble.snapshot_size_factor * 100.0).round();
    if percent > 0.0 {
        // At most 100: the configuration sees to that.
        LogUse::UpToPercent(percent as u64)
    } else {
        LogUse::Never
    }
}

pub(super) fn proposer_config(settings: &Settings, rules: Rules, hash_seed: u64) -> ProposerConfig {
    let ms = |duration: Duration| i32::try_from(millis(duration)).unwrap_or(i32::MAX);
    ProposerConfig {
        server: settings
            .ensemble
            .as_ref()
            .map_or(ServerId::STANDALONE, |ensemble| ensemble.me),
        tick_ms: millis(settings.tick_time).max(1),
        tick_interval_ms: millis(tick_interval(settings)),
        timeouts: TimeoutBounds {
            min_ms: ms(settings.min_session_timeout),
            max_ms: ms(settings.max_session_timeout),
        },
        rules,
        reaper: ReaperConfig {
            check_interval_ms: millis(settings.containers.check_interval),
            max_per_minute: settings.containers.max_per_minute,
            max_never_used_ms: settings.containers.max_never_used.map_or(0, millis),
        },
        hash_seed,
    }
}

pub(super) fn rules(settings: &Settings) -> Rules {
    let limits = &settings.limits;
    Rules {
        auth: auth_config(settings),
        extended_types: settings.extended_types_enabled,
        enforce_quota: limits.enforce_quota,
        digest: settings.storage.digest_enabled,
        close_session_paths: settings.storage.close_session_txn,
        reconfig: settings.reconfig_enabled,
        max_record_bytes: (limits.max_buffer as usize)
            .saturating_add(limits.max_buffer_extra as usize),
    }
}

pub(super) fn auth_config(settings: &Settings) -> AuthConfig {
    let access = &settings.access;
    if access.skip_acl {
        warn!("zookeeper.skipACL==\"yes\", ACL checks will be skipped");
    }
    AuthConfig {
        digest_enabled: access.schemes.contains(&AuthScheme::Digest),
        digest_algorithm: match access.digest_algorithm {
            DigestAlgorithm::Sha1 => auth::DigestAlgorithm::Sha1,
            DigestAlgorithm::Sha256 => auth::DigestAlgorithm::Sha256,
            DigestAlgorithm::Sha512 => auth::DigestAlgorithm::Sha512,
            DigestAlgorithm::Sha3_256 => auth::DigestAlgorithm::Sha3_256,
        },
        super_digest: access
            .super_digest
            .as_ref()
            .map(|secret| secret.reveal().to_owned()),
        x509_super_user: access.x509_super_user.clone(),
        sasl_any_user: access.any_sasl_user.clone(),
        x509_loaded: access.schemes.contains(&AuthScheme::X509),
        sasl_loaded: access.schemes.contains(&AuthScheme::Sasl),
        ensemble_names: access
            .schemes
            .contains(&AuthScheme::Ensemble)
            .then(|| access.ensemble_names.clone()),
        skip_acl: access.skip_acl,
        enforce_schemes: access
            .enforce_auth_schemes
            .iter()
            .map(|s| s.name().to_owned())
            .collect(),
        sasl_super_users: access.sasl_super_users.clone(),
    }
}
