//! Puts a server together from its settings, and takes it apart again.

mod options;
mod part;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use rookeeper_database::database::{Database, Opened};
use rookeeper_database::recovery::{Recovered, RecoveryError};
use rookeeper_storage::dirs::{DataDirs, DirError};
use rookeeper_storage::disk::Disk;
use rookeeper_storage::epoch_files::EpochError;
use rookeeper_storage::os_disk::OsDisk;
use rookeeper_tree::auth::AuthConfig;
use rookeeper_tree::tree::Tree;
use rookeeper_tree::watches::WatchTable;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{error, info};

use crate::client_port::{self, BindError};
use crate::clock::Clock;
use crate::config::Settings;
use crate::connections::{ConnectionLimits, Connections};
use crate::driver::{Digests, Driver, DriverError, Ended, Gauges, Part};
use crate::election_port::ElectionPortError;
use crate::inbox::{Inbox, Message};
use crate::io_threads::{IoThread, IoThreads};
use crate::large_requests::LargeRequests;
use crate::mailbox::Ending;
use crate::metrics::Metrics;
use crate::purge::PurgeTimer;
use crate::replica::{Replica, Watches};
use crate::service::{Service, ServiceLimits};
use crate::snapshots::Snapshots;
use crate::words::TraceMask;
use part::Beginnings;

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
    /// What this member has promised.
    #[error("Unable to run quorum server: {0}")]
    Epoch(#[from] EpochError),
    /// The client port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The port for elections.
    #[error(transparent)]
    Election(#[from] ElectionPortError),
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
            Self::Recovery(_)
            | Self::Epoch(_)
            | Self::Bind(_)
            | Self::Election(_)
            | Self::System(_) => 1,
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
    /// The port for elections could not be opened.
    ElectionFailed,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    address: Option<SocketAddr>,
    io: Option<IoThreads>,
    /// What speaks with the other servers of an ensemble.
    _peers: Option<IoThread>,
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
        let dirs = open_dirs(&*disk, &settings)?;
        let seed = entropy();
        let options = options::database_options(&settings, seed);
        let open = match settings.ensemble {
            None => Database::open,
            Some(_) => Database::open_member,
        };
        let opened = open(Arc::clone(&disk), dirs.clone(), options)?;
        Self::serve(settings, disk, dirs, opened, seed)
    }

    fn serve(
        settings: Settings,
        disk: Arc<dyn Disk>,
        dirs: DataDirs,
        opened: Opened,
        seed: u64,
    ) -> Result<Self, StartError> {
        let Opened {
            database,
            mut recovered,
            incomplete,
        } = opened;
        let mut first_snapshot = recovered.replayed > 0;
        if settings.ensemble.is_none() {
            first_snapshot |= remove_orphans(&mut recovered.tree);
        }
        let port = bind(&settings)?;
        let rules = options::rules(&settings);
        let proposer = options::proposer_config(&settings, rules.clone(), seed);
        let parts = Parts {
            disk,
            dirs,
            clock: Clock::start(),
            auth: rules.auth,
            seed,
        };
        let window = recovered.window.clone();
        let service = Arc::new(service(settings, parts, recovered));
        let (stop, stopping) = watch::channel(false);
        let io = IoThreads::start()?;
        let beginnings = Beginnings {
            database: &database,
            window,
            incomplete,
            proposer,
            hash_seed: seed,
        };
        let (part, peers) = part::of(&service, beginnings)?;
        let plan = DriverPlan {
            part,
            database,
            first_snapshot,
            seed,
        };
        let ended = Arc::new(EndedFlag::default());
        let driver = spawn_driver(&service, plan, Arc::clone(&ended))?;
        let address = port.as_ref().map(|(_, address)| *address);
        if let Some((listener, address)) = port {
            info!("binding to port {address}");
            let spawner = io.spawner().clone();
            let accepting = client_port::accept(Arc::clone(&service), listener, spawner, stopping);
            io.spawner().spawn(accepting);
        }
        let purge = PurgeTimer::start(&service);
        Ok(Self {
            service,
            address,
            io: Some(io),
            _peers: peers,
            stop,
            driver: Some(driver),
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

/// Removes ephemerals whose session is not there any more; true if there were any.
fn remove_orphans(tree: &mut Tree) -> bool {
    let orphans = tree.remove_orphans().len();
    if orphans > 0 {
        info!("removed {orphans} ephemerals of sessions that no longer exist");
    }
    orphans > 0
}

/// The client port, if there shall be one, and where it is.
fn bind(settings: &Settings) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = &settings.client.listen else {
        return Ok(None);
    };
    let listener = client_port::bind(address, settings.client.backlog)?;
    let address = listener.local_addr()?;
    Ok(Some((listener, address)))
}

/// What a service is made of, besides its settings and its data.
struct Parts {
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    clock: Clock,
    auth: AuthConfig,
    seed: u64,
}

fn service(settings: Settings, parts: Parts, recovered: Recovered) -> Service {
    let Parts {
        disk,
        dirs,
        clock,
        auth,
        seed,
    } = parts;
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
    let gauges = Gauges::default();
    gauges
        .digest_mismatches
        .store(recovered.digest_mismatches, Ordering::Relaxed);
    Service {
        replica: Arc::new(Replica {
            tree: RwLock::new(recovered.tree),
            watches,
            auth,
            fresh_until: AtomicI64::new(i64::MAX),
        }),
        inbox: Arc::default(),
        connections: Arc::new(Connections::new(connections)),
        clock,
        gauges: Arc::new(gauges),
        metrics: Arc::new(Metrics::new()),
        large_requests,
        trace_mask: AtomicI64::new(TraceMask::default().0),
        limits,
        deleting: Arc::default(),
        settings: Arc::new(settings),
        dirs,
        disk,
    }
}

/// What the driver begins with.
struct DriverPlan {
    part: Part,
    database: Database,
    /// The start read a log: a snapshot now makes the next start fast.
    first_snapshot: bool,
    seed: u64,
}

fn spawn_driver(
    service: &Arc<Service>,
    plan: DriverPlan,
    ended: Arc<EndedFlag>,
) -> io::Result<JoinHandle<()>> {
    let settings = &service.settings;
    let DriverPlan {
        part,
        mut database,
        first_snapshot,
        seed,
    } = plan;
    let mut snapshots = Snapshots::new(options::snapshot_pace(settings), seed);
    if first_snapshot {
        snapshots
            .begin(
                &mut database,
                &service.replica,
                &service.inbox,
                &service.gauges,
            )
            .map_err(io::Error::other)?;
    }
    let driver = Driver {
        part,
        replica: Arc::clone(&service.replica),
        database: Some(database),
        snapshots,
        inbox: Arc::clone(&service.inbox),
        connections: Arc::clone(&service.connections),
        clock: service.clock,
        gauges: Arc::clone(&service.gauges),
        metrics: Arc::clone(&service.metrics),
        tick_interval: options::tick_interval(settings),
        slow_sync: settings.storage.fsync_warning_threshold,
        digests: Digests::default(),
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
        Err(DriverError::Election(why)) => {
            error!(error = %why, "a member that nobody can reach is of no use to its ensemble");
            Outcome::ElectionFailed
        }
        Err(why) => {
            error!(error = %why, "the transaction log failed; nothing more can be acknowledged");
            Outcome::LogFailed
        }
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
