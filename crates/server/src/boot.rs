//! Puts a server together from its settings, and takes it apart again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use rookeeper_node::proposer::ProposerConfig;
use rookeeper_node::reaper::ReaperConfig;
use rookeeper_node::sessions::TimeoutBounds;
use rookeeper_node::standalone::Standalone;
use rookeeper_storage::dirs::{Compression, DataDirs, DirError};
use rookeeper_storage::disk::Disk;
use rookeeper_storage::log_writer::{LogOptions, LogWriter};
use rookeeper_storage::os_disk::OsDisk;
use rookeeper_storage::recover::Policy;
use rookeeper_tree::auth::{self, AuthConfig};
use rookeeper_tree::prep::Rules;
use rookeeper_tree::tree::{Tree, TreeOptions};
use rookeeper_tree::watches::WatchTable;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::client_port::{self, BindError};
use crate::clock::{Clock, millis};
use crate::config::{AuthScheme, DigestAlgorithm, Settings, SnapshotCompression};
use crate::connections::{ConnectionLimits, Connections};
use crate::driver::{Driver, Ended};
use crate::inbox::{Inbox, Message};
use crate::io_threads::IoThreads;
use crate::large_requests::LargeRequests;
use crate::mailbox::Ending;
use crate::metrics::Metrics;
use crate::purge::PurgeTimer;
use crate::recovery::{self, Recovered, RecoveryError};
use crate::replica::{Replica, Watches};
use crate::service::{Service, ServiceLimits};
use crate::snapshots::{SnapshotOptions, Snapshots};
use crate::words::TraceMask;

/// Ticks of the member per tick of the configuration.
const TICKS_PER_TICK: u32 = 4;
/// Longest time between two ticks of the member.
const MAX_TICK_INTERVAL: Duration = Duration::from_millis(500);
/// Shortest time between two ticks of the member.
const MIN_TICK_INTERVAL: Duration = Duration::from_millis(5);
/// How long a stop waits for connections to write out what is queued.
const STOP_PATIENCE: Duration = Duration::from_millis(300);
/// How often it looks whether they are done.
const STOP_STEP: Duration = Duration::from_millis(5);
/// File descriptors that are never given to connections: logs, snapshots, the runtime, and what an operator asks for.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The directories.
    #[error("Unable to access datadir, exiting abnormally: {0}")]
    Dirs(#[from] DirError),
    /// The database.
    #[error("Unable to load the database: {0}")]
    Recovery(#[from] RecoveryError),
    /// The client port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Threads or sockets.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// A setting that only the start can judge.
    #[error("{0}")]
    Setting(String),
}

impl StartError {
    /// The exit code of the process (operations 6.2).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Dirs(_) => 3,
            Self::Setting(_) => 2,
            Self::Recovery(_) | Self::Bind(_) | Self::System(_) => 1,
        }
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to stop.
    Stopped,
    /// The log failed: nothing more could be acknowledged.
    LogFailed,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    address: Option<SocketAddr>,
    io: Option<IoThreads>,
    stop: watch::Sender<bool>,
    driver: Option<JoinHandle<()>>,
    ended: Arc<EndedFlag>,
    _purge: Option<PurgeTimer>,
}

#[derive(Debug, Default)]
struct EndedFlag {
    outcome: Mutex<Option<Outcome>>,
    set: Condvar,
}

impl Server {
    /// Starts with `settings`: opens the directories, loads the database, begins to serve.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_on(Arc::new(OsDisk), settings)
    }

    /// The same over another disk than the system's, so that a test may cut its power.
    pub fn start_on(disk: Arc<dyn Disk>, settings: Settings) -> Result<Self, StartError> {
        if settings.ensemble.is_some() {
            return Err(StartError::Setting("ensembles are not wired yet".into()));
        }
        let dirs = open_dirs(&*disk, &settings)?;
        let seed = entropy();
        let snapshot = snapshot_options(&settings);
        let policy = Policy {
            trust_empty: settings.storage.trust_empty_snapshot,
            autocreate: settings.storage.db_autocreate,
        };
        let options = TreeOptions {
            extended_types: settings.extended_types_enabled,
            hash_seed: seed,
        };
        let recovered = recovery::recover(&disk, &dirs, policy, options, snapshot)?;
        Self::serve(settings, disk, dirs, recovered, seed)
    }

    fn serve(
        settings: Settings,
        disk: Arc<dyn Disk>,
        dirs: DataDirs,
        recovered: Recovered,
        seed: u64,
    ) -> Result<Self, StartError> {
        let Recovered {
            mut tree,
            replayed,
            digest_mismatches,
        } = recovered;
        let orphans = tree.remove_orphans();
        if !orphans.is_empty() {
            info!(
                "removed {} ephemerals of sessions that no longer exist",
                orphans.len()
            );
        }
        let listener = settings
            .client
            .listen
            .as_ref()
            .map(|address| client_port::bind(address, settings.client.backlog))
            .transpose()?;
        let address = listener
            .as_ref()
            .map(std::net::TcpListener::local_addr)
            .transpose()?;

        let clock = Clock::start();
        let rules = rules(&settings);
        let member = Standalone::new(
            standalone_config(&settings, rules.clone(), seed),
            &tree,
            clock.now(),
        );
        let service = Arc::new(service(settings, disk, dirs, tree, rules.auth, clock, seed));
        service
            .gauges
            .digest_mismatches
            .store(digest_mismatches, std::sync::atomic::Ordering::Relaxed);

        let (stop, stopping) = watch::channel(false);
        let io = IoThreads::start()?;
        let ended = Arc::new(EndedFlag::default());
        let first_snapshot = replayed > 0 || !orphans.is_empty();
        let driver = spawn_driver(&service, member, seed, first_snapshot, Arc::clone(&ended))?;
        if let (Some(listener), Some(address)) = (listener, address) {
            info!("binding to port {address}");
            let accepting = client_port::accept(
                Arc::clone(&service),
                listener,
                io.spawner().clone(),
                stopping,
            );
            io.spawner().spawn(accepting);
        }
        let purge = PurgeTimer::start(&service);
        let driver = Some(driver);
        Ok(Self {
            service,
            address,
            io: Some(io),
            stop,
            driver,
            ended,
            _purge: purge,
        })
    }

    /// Where clients connect; `None` without a client port.
    #[must_use]
    pub const fn client_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The parts of the running server.
    #[must_use]
    pub const fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Waits until the server ends by itself or is stopped by a [`Stopper`].
    pub fn wait(&self) -> Outcome {
        let mut outcome = self.ended.outcome.lock();
        loop {
            if let Some(outcome) = *outcome {
                return outcome;
            }
            self.ended.set.wait(&mut outcome);
        }
    }

    /// A handle that stops the server from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper {
            inbox: Arc::clone(&self.service.inbox),
        }
    }

    /// Stops: no new connection, everything in flight is finished, the log is closed, connections end. Sessions live on.
    pub fn stop(mut self) -> Outcome {
        self.shut_down();
        self.wait()
    }

    fn shut_down(&mut self) {
        let Some(driver) = self.driver.take() else {
            return;
        };
        // Every receiver may be gone.
        let _ = self.stop.send(true);
        self.service.inbox.send(Message::Stop);
        if driver.join().is_err() {
            error!("the driver panicked");
        }
        for connection in self.service.connections.open().values() {
            connection.mailbox.end(Ending::Stopping);
        }
        self.await_goodbyes();
        drop(self.io.take());
    }

    /// Clients may read their last frames; who does not is not waited for.
    fn await_goodbyes(&self) {
        let begun = Instant::now();
        while self.service.connections.sockets() > 0 && begun.elapsed() < STOP_PATIENCE {
            thread::sleep(STOP_STEP);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Stops a server from anywhere.
#[derive(Debug, Clone)]
pub struct Stopper {
    inbox: Arc<Inbox>,
}

impl Stopper {
    /// Asks the server to finish and end.
    pub fn stop(&self) {
        self.inbox.send(Message::Stop);
    }
}

fn open_dirs(disk: &dyn Disk, settings: &Settings) -> Result<DataDirs, DirError> {
    let log_dir =
        (settings.data_log_dir != settings.data_dir).then_some(settings.data_log_dir.as_path());
    DataDirs::open(
        disk,
        &settings.data_dir,
        log_dir,
        settings.storage.data_dir_autocreate,
    )
}

fn service(
    settings: Settings,
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    tree: Tree,
    auth: AuthConfig,
    clock: Clock,
    seed: u64,
) -> Service {
    let limits = ServiceLimits {
        frame: settings.limits.max_buffer as usize,
        outstanding: settings.limits.global_outstanding as usize,
        sessionless: settings.client.sessionless_timeout,
    };
    let connections = ConnectionLimits {
        per_address: settings.client.max_connections_per_ip,
        total: settings.client.max_connections,
        sockets: socket_limit(),
    };
    let large_requests = LargeRequests::new(
        settings.limits.large_request_threshold,
        settings.limits.large_request_max_bytes,
    );
    let watches = Watches(Mutex::new(WatchTable::new(seed)));
    Service {
        replica: Arc::new(Replica {
            tree: RwLock::new(tree),
            watches,
            auth,
        }),
        inbox: Arc::default(),
        connections: Arc::new(Connections::new(connections)),
        clock,
        gauges: Arc::default(),
        metrics: Arc::new(Metrics::new()),
        large_requests,
        trace_mask: AtomicI64::new(TraceMask::default().0),
        limits,
        settings: Arc::new(settings),
        dirs,
        disk,
    }
}

fn spawn_driver(
    service: &Arc<Service>,
    member: Standalone,
    seed: u64,
    first_snapshot: bool,
    ended: Arc<EndedFlag>,
) -> io::Result<JoinHandle<()>> {
    let settings = &service.settings;
    let log_options = LogOptions {
        prealloc_bytes: settings.storage.log_preallocation,
        size_limit: settings.storage.log_roll_size,
        force_sync: settings.storage.force_sync,
    };
    let log = LogWriter::new(Arc::clone(&service.disk), service.dirs.logs(), log_options);
    let options = snapshot_options(settings);
    let mut snapshots = Snapshots::new(
        options,
        Arc::clone(&service.disk),
        service.dirs.clone(),
        seed,
    );
    if first_snapshot {
        snapshots.begin(&service.replica, &service.inbox, &service.gauges);
    }
    let driver = Driver {
        member,
        replica: Arc::clone(&service.replica),
        log,
        snapshots,
        inbox: Arc::clone(&service.inbox),
        connections: Arc::clone(&service.connections),
        clock: service.clock,
        gauges: Arc::clone(&service.gauges),
        metrics: Arc::clone(&service.metrics),
        tick_interval: tick_interval(settings),
        slow_sync: settings.storage.fsync_warning_threshold,
    };
    thread::Builder::new()
        .name("rookeeper-driver".to_owned())
        .spawn(move || {
            let _announce = AnnounceEnd(ended.as_ref());
            let outcome = outcome_of(driver.run());
            *ended.outcome.lock() = Some(outcome);
        })
}

/// Tells the waiter that the driver ended, also when it panicked.
struct AnnounceEnd<'a>(&'a EndedFlag);

impl Drop for AnnounceEnd<'_> {
    fn drop(&mut self) {
        self.0.outcome.lock().get_or_insert(Outcome::LogFailed);
        self.0.set.notify_all();
    }
}

fn outcome_of(ended: Ended) -> Outcome {
    match ended {
        Ok(()) => Outcome::Stopped,
        Err(why) => {
            error!(error = %why, "the transaction log failed; nothing more can be acknowledged");
            Outcome::LogFailed
        }
    }
}

fn tick_interval(settings: &Settings) -> Duration {
    (settings.tick_time / TICKS_PER_TICK).clamp(MIN_TICK_INTERVAL, MAX_TICK_INTERVAL)
}

fn snapshot_options(settings: &Settings) -> SnapshotOptions {
    SnapshotOptions {
        count: settings.storage.snap_count,
        log_bytes: settings.storage.snap_log_size_limit,
        compression: match settings.storage.snapshot_compression {
            SnapshotCompression::None => Compression::None,
            SnapshotCompression::Gzip => Compression::Gzip,
            SnapshotCompression::Snappy => Compression::Snappy,
        },
        digest: settings.storage.digest_enabled,
        last_zxid: settings.storage.serialize_last_processed_zxid,
    }
}

fn standalone_config(settings: &Settings, rules: Rules, hash_seed: u64) -> ProposerConfig {
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

fn rules(settings: &Settings) -> Rules {
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

fn auth_config(settings: &Settings) -> AuthConfig {
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

/// A process without descriptors cannot open its next log file, so connections must not take them all.
fn socket_limit() -> usize {
    let allowed = getrlimit(Resource::Nofile).current;
    allowed.map_or(usize::MAX, |n| {
        let left = n.saturating_sub(RESERVED_DESCRIPTORS).max(1);
        usize::try_from(left).unwrap_or(usize::MAX)
    })
}

/// A number nobody can guess, from the standard library's own source.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
