//! What happens to the history of a member as a whole, on a thread of its own: it may take seconds, and meanwhile elections of
//! others must go on.
//!
//! What lives here: the tasks, and how they end. What does not: when. While a task runs the driver has no database, so nothing can be
//! appended, and hands nothing to the member but ballots: what the member says of its history stays true.

use std::io;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rookeeper_database::database::{CutError, Database};
use rookeeper_database::image_file::Replacement;
use rookeeper_database::recovery::Recovered;
use rookeeper_node::ensemble::effect::MemberInput;
use rookeeper_proto::ids::Zxid;
use rookeeper_storage::disk::DiskError;
use rookeeper_storage::install::InstallError;
use rookeeper_storage::truncate::TruncateError;
use rookeeper_tree::tree::Tree;
use thiserror::Error;
use tracing::warn;

use crate::background;
use crate::inbox::{Inbox, Message};
use crate::replica::Replica;

/// Why a history is of no use any more.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// It could not be cut, or not be loaded afterwards.
    #[error("the history cannot be loaded again: {0}")]
    Cut(#[from] CutError),
    /// The leader's state could not be put in its place.
    #[error("the state of the leader cannot be kept: {0}")]
    Install(#[from] InstallError),
    /// The leader's state could not be written.
    #[error("the state of the leader cannot be written: {0}")]
    Disk(#[from] DiskError),
    /// A member appends while its history is being replaced.
    #[error("{0} was to be logged while the history is away")]
    Away(Zxid),
    /// The thread.
    #[error("no thread for the history: {0}")]
    Thread(#[from] io::Error),
    /// The thread ended without a word.
    #[error("the thread that works on the history panicked")]
    Panicked,
}

/// What to do.
#[derive(Debug)]
pub enum HistoryTask {
    /// End it here.
    Truncate(Zxid),
    /// Load what the disk has: the leader's state did not arrive.
    Reload,
    /// Replace it by what is in memory.
    Replace,
}

/// What was done.
#[derive(Debug)]
pub struct HistoryDone {
    /// The files, if they can be used.
    pub outcome: Result<(Database, Outcome), HistoryError>,
}

/// The history now.
#[derive(Debug)]
pub enum Outcome {
    /// It is another one.
    Loaded(Box<Recovered>, MemberInput),
    /// What is in memory stays.
    Kept(MemberInput),
}

/// Does it, and sends [`Message::History`].
pub fn start(
    task: HistoryTask,
    database: Database,
    replica: Arc<Replica>,
    inbox: Arc<Inbox>,
    deleting: Arc<Mutex<()>>,
) -> Result<(), HistoryError> {
    thread::Builder::new()
        .name("rookeeper-history".to_owned())
        .spawn(move || {
            let mut report = Report {
                inbox,
                done: Some(HistoryDone {
                    outcome: Err(HistoryError::Panicked),
                }),
            };
            // No purging meanwhile.
            let _alone = deleting.lock();
            report.done = Some(HistoryDone {
                outcome: perform(task, database, &replica),
            });
        })?;
    Ok(())
}

/// Tells the driver, whatever became of the thread.
struct Report {
    inbox: Arc<Inbox>,
    done: Option<HistoryDone>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            self.inbox.send(Message::History(Box::new(done)));
        }
    }
}

fn perform(
    task: HistoryTask,
    mut database: Database,
    replica: &Replica,
) -> Result<(Database, Outcome), HistoryError> {
    let outcome = match task {
        HistoryTask::Truncate(zxid) => match database.truncate(zxid) {
            Ok(recovered) => loaded(recovered, MemberInput::Truncated(true)),
            Err(CutError::Refused(why @ TruncateError::Refused(_))) => {
                warn!(error = %why, "asking the leader for its whole state instead");
                Outcome::Kept(MemberInput::Truncated(false))
            }
            Err(why) => return Err(why.into()),
        },
        HistoryTask::Reload => loaded(database.reload()?, MemberInput::ImageLoaded(false)),
        HistoryTask::Replace => {
            let zxid = replace(&mut database, replica)?;
            Outcome::Kept(MemberInput::ImageSaved(zxid))
        }
    };
    Ok((database, outcome))
}

fn loaded(recovered: Recovered, answer: MemberInput) -> Outcome {
    Outcome::Loaded(Box::new(recovered), answer)
}

fn replace(database: &mut Database, replica: &Replica) -> Result<Zxid, HistoryError> {
    background::give_way();
    // Those who keep images open are gone, or write snapshots, which were ended.
    let image = loop {
        if let Ok(image) = replica.tree.write().open_image() {
            break image;
        }
        thread::yield_now();
    };
    let mut replacement: Replacement = database.begin_replacement(image)?;
    while replacement.take(&replica.tree.read()) {
        replacement.write()?;
        background::pause();
    }
    replacement.write()?;
    let zxid = replacement.zxid();
    replacement.finish(&mut database.log)?;
    replica.tree.write().close_images();
    Ok(zxid)
}

/// Puts another tree in the place of the one that is there, which may take its time to go.
pub fn swap(replica: &Replica, tree: Tree) {
    let old = std::mem::replace(&mut *replica.tree.write(), tree);
    // Where there is no thread it goes here.
    let _ = thread::Builder::new()
        .name("rookeeper-forget".to_owned())
        .spawn(move || drop(old));
}
