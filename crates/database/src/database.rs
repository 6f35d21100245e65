//! The files of one member, and what happens to its history as a whole.
//!
//! What lives here: opening, also after damage that others can make good; the epochs; ending the history where a leader says, and
//! loading what is left; snapshots and replacements. What does not: what a record says, and when any of this is due.
//!
//! Invariants:
//! - Every call is durable on return, except [`LogWriter::append`], which is when [`LogWriter::sync`] has returned.
//! - A member that may lack transactions which were durable here knows it ([`Opened::incomplete`]) until a whole state of a leader is
//!   durable.
//! - While the history is cut or replaced nobody else writes or deletes its files: no snapshot, no purging.

use std::sync::Arc;

use rookeeper_proto::ids::Zxid;
use rookeeper_storage::dirs::DataDirs;
use rookeeper_storage::disk::{Disk, DiskError};
use rookeeper_storage::epoch_files::EpochError;
use rookeeper_storage::epochs::Epochs;
use rookeeper_storage::incomplete::{self, SetAsideError};
use rookeeper_storage::install::InstallError;
use rookeeper_storage::log_writer::{LogError, LogOptions, LogWriter};
use rookeeper_storage::truncate::{self, TruncateError};
use rookeeper_tree::image::Image;
use thiserror::Error;
use tracing::{error, info};

use crate::history::{History, LogUse};
use crate::image_file::{Replacement, Snapshot, SnapshotFormat};
use crate::recovery::{self, Recovered, RecoveryError, RecoveryOptions};

/// Settings.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseOptions {
    /// How it is loaded.
    pub recovery: RecoveryOptions,
    /// How the log is written.
    pub log: LogOptions,
    /// How much of the log learners are sent.
    pub log_use: LogUse,
}

/// An opened database.
#[derive(Debug)]
pub struct Opened {
    /// The files.
    pub database: Database,
    /// What they hold.
    pub recovered: Recovered,
    /// Transactions that were durable here may be missing: this member must not vote for itself.
    pub incomplete: bool,
}

/// Why the history was not ended, or not loaded again.
#[derive(Debug, Error)]
pub enum CutError {
    /// Nothing was touched.
    #[error(transparent)]
    Refused(#[from] TruncateError),
    /// The log cannot be closed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is there cannot be loaded.
    #[error(transparent)]
    Load(#[from] RecoveryError),
}

/// The files of one member.
#[derive(Debug)]
pub struct Database {
    /// Where records go.
    pub log: LogWriter,
    disk: Arc<dyn Disk>,
    dirs: DataDirs,
    options: DatabaseOptions,
    /// The end of what was loaded: durable before the log has its first record.
    loaded: Zxid,
}

/// An empty database, whatever the operator allows: it is not the only one.
fn begin_anew(
    disk: &Arc<dyn Disk>,
    dirs: &DataDirs,
    options: DatabaseOptions,
) -> Result<Recovered, RecoveryError> {
    let mut allowed = options.recovery;
    allowed.policy.autocreate = true;
    recovery::recover(disk, dirs, allowed)
}

impl Database {
    /// Opens what is there, for a server that has nobody else to ask: damage is an error.
    pub fn open(
        disk: Arc<dyn Disk>,
        dirs: DataDirs,
        options: DatabaseOptions,
    ) -> Result<Opened, RecoveryError> {
        let recovered = recovery::recover(&disk, &dirs, options.recovery)?;
        Ok(Self::opened(disk, dirs, options, recovered, false))
    }

    /// Opens what is there, for a member of an ensemble: what is damaged is set aside, and a database that may not be made here
    /// (`db.autocreate`) begins empty, since others have it.
    pub fn open_member(
        disk: Arc<dyn Disk>,
        dirs: DataDirs,
        options: DatabaseOptions,
    ) -> Result<Opened, RecoveryError> {
        let recovered = match recovery::recover(&disk, &dirs, options.recovery) {
            Err(RecoveryError::Replay(why)) if why.broken_at().is_some() => {
                error!(error = %why, "the log is damaged; what is behind the damage is fetched from the leader");
                if let Some((log, offset)) = why.broken_at() {
                    incomplete::set_aside_from(&*disk, &dirs, log, offset)?;
                }
                recovery::recover(&disk, &dirs, options.recovery)?
            }
            Err(why) if why.is_damaged_base() => {
                error!(error = %why, "the whole state is fetched from the leader");
                incomplete::set_all_aside(&*disk, &dirs)?;
                begin_anew(&disk, &dirs, options)?
            }
            Err(RecoveryError::NotAllowed) => {
                info!("no database here; it is fetched from the leader");
                incomplete::mark(&*disk, &dirs, Zxid::ZERO)?;
                begin_anew(&disk, &dirs, options)?
            }
            recovered => recovered?,
        };
        let incomplete = incomplete::read(&*disk, &dirs)?.is_some();
        Ok(Self::opened(disk, dirs, options, recovered, incomplete))
    }

    fn opened(
        disk: Arc<dyn Disk>,
        dirs: DataDirs,
        options: DatabaseOptions,
        recovered: Recovered,
        incomplete: bool,
    ) -> Opened {
        let log = LogWriter::new(Arc::clone(&disk), dirs.logs(), options.log);
        let database = Self {
            log,
            disk,
            dirs,
            options,
            loaded: recovered.tree.last_zxid(),
        };
        Opened {
            database,
            recovered,
            incomplete,
        }
    }

    /// Reads the epochs, or makes them of the end of the loaded history. Only members of ensembles have any.
    pub fn recover_epochs(&self) -> Result<Epochs, EpochError> {
        Epochs::recover(&*self.disk, &self.dirs, self.loaded)
    }

    /// Promises to follow no leader of a lower epoch.
    pub fn accept_epoch(&self, epochs: &mut Epochs, epoch: i64) -> Result<(), EpochError> {
        epochs.accept(&*self.disk, &self.dirs, epoch)
    }

    /// Takes note that the history of the leader of `epoch` is durable here.
    pub fn enter_epoch(&self, epochs: &mut Epochs, epoch: i64) -> Result<(), EpochError> {
        epochs.enter(&*self.disk, &self.dirs, epoch)
    }

    /// What the durable log can tell others.
    #[must_use]
    pub fn history(&self) -> History {
        let through = self.log.synced().unwrap_or(self.loaded);
        History::new(
            Arc::clone(&self.disk),
            self.dirs.clone(),
            through,
            self.options.log_use,
        )
    }

    /// Begins a snapshot. The log is rolled before the image is opened, so that older files can be purged some day.
    pub fn begin_snapshot(&self, image: Image) -> Result<Snapshot, DiskError> {
        let (disk, format) = (Arc::clone(&self.disk), self.format());
        Snapshot::begin(disk, &self.dirs, format, image)
    }

    /// Begins to write the tree as what will replace the history. [`Replacement::finish`] wants [`Self::log`].
    pub fn begin_replacement(&self, image: Image) -> Result<Replacement, InstallError> {
        let (disk, format) = (Arc::clone(&self.disk), self.format());
        Replacement::begin(disk, &self.dirs, format, image)
    }

    const fn format(&self) -> SnapshotFormat {
        self.options.recovery.format
    }

    /// Ends the history at `to`, and loads what is left.
    pub fn truncate(&mut self, to: Zxid) -> Result<Recovered, CutError> {
        truncate::truncate(&*self.disk, &self.dirs, &mut self.log, to)?;
        self.reload()
    }

    /// Loads the durable history again, after what is in memory has become useless.
    pub fn reload(&mut self) -> Result<Recovered, CutError> {
        self.log.roll()?;
        let recovered = recovery::recover(&self.disk, &self.dirs, self.options.recovery)?;
        self.loaded = recovered.tree.last_zxid();
        Ok(recovered)
    }
}

impl From<SetAsideError> for RecoveryError {
    fn from(error: SetAsideError) -> Self {
        match error {
            SetAsideError::Disk(error) => Self::Disk(error),
            SetAsideError::NotALog(path) => Self::NotSetAside(path),
        }
    }
}
