//! What the settings mean for the parts of a server.

use std::time::Duration;

use rookeeper_database::database::DatabaseOptions;
use rookeeper_database::history::LogUse;
use rookeeper_database::image_file::SnapshotFormat;
use rookeeper_database::recovery::RecoveryOptions;
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_quorum::committed::DEFAULT_COUNT;
use rookeeper_storage::dirs::Compression;
use rookeeper_storage::log_writer::LogOptions;
use rookeeper_storage::recover::Policy;
use rookeeper_tree::auth::{self, AuthConfig};
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::TreeOptions;
use tracing::warn;

use crate::clock::millis;
use crate::config::{AuthScheme, DigestAlgorithm, Settings, SnapshotCompression};
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

pub(super) fn database_options(settings: &Settings, hash_seed: u64) -> DatabaseOptions {
    let storage = &settings.storage;
    DatabaseOptions {
        recovery: RecoveryOptions {
            policy: Policy {
                trust_empty: storage.trust_empty_snapshot,
                autocreate: storage.db_autocreate,
            },
            tree: TreeOptions {
                extended_types: settings.extended_types_enabled,
                hash_seed,
            },
            format: SnapshotFormat {
                compression: match storage.snapshot_compression {
                    SnapshotCompression::None => Compression::None,
                    SnapshotCompression::Gzip => Compression::Gzip,
                    SnapshotCompression::Snappy => Compression::Snappy,
                },
                digest: storage.digest_enabled,
                last_zxid: storage.serialize_last_processed_zxid,
            },
            remembered: DEFAULT_COUNT,
        },
        log: LogOptions {
            prealloc_bytes: storage.log_preallocation,
            size_limit: storage.log_roll_size,
            force_sync: storage.force_sync,
        },
        log_use: LogUse::default(),
    }
}

pub(super) fn standalone_config(
    settings: &Settings,
    rules: Rules,
    hash_seed: u64,
) -> ProposerConfig {
    let ms = |duration: Duration| i32::try_from(millis(duration)).unwrap_or(i32::MAX);
    ProposerConfig {
        server: rookeeper_proto::ids::ServerId::STANDALONE,
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
