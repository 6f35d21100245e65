//! The purge task: at start and then periodically, what recovery no longer needs is deleted.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};

use rookeeper_storage::purge;
use tracing::{error, info};

use crate::service::Service;

/// The running task; dropping it ends it.
#[derive(Debug)]
pub struct PurgeTimer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PurgeTimer {
    /// Starts the task if it is configured.
    pub fn start(service: &Arc<Service>) -> Option<Self> {
        let settings = service.settings.purge.clone();
        let Some(interval) = settings.interval else {
            info!("Purge task is not scheduled.");
            return None;
        };
        let (stop, stopped) = mpsc::channel();
        let (disk, dirs) = (Arc::clone(&service.disk), service.dirs.clone());
        let deleting = Arc::clone(&service.deleting);
        let thread = thread::Builder::new()
            .name("rookeeper-purge".to_owned())
            .spawn(move || {
                loop {
                    info!("Purge task started.");
                    let alone = deleting.lock();
                    match purge::purge(&*disk, &dirs, settings.retain_count as usize) {
                        Ok(removed) => {
                            removed
                                .iter()
                                .for_each(|path| info!("Removing file: {}", path.display()));
                        }
                        Err(error) => error!(%error, "the purge task failed; it tries again later"),
                    }
                    drop(alone);
                    info!("Purge task completed.");
                    if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            });
        Some(Self {
            stop: Some(stop),
            thread: thread.ok(),
        })
    }
}

impl Drop for PurgeTimer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the runtime already.
            let _ = thread.join();
        }
    }
}
