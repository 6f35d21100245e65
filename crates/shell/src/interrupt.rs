//! Ctrl-C while a command runs: the command ends, the shell stays.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::failure::Failure;

/// Whether the running command shall end.
#[derive(Debug, Default)]
pub struct Interrupt {
    is_raised: AtomicBool,
    raised: Notify,
}

impl Interrupt {
    /// Asks the running command to end.
    pub fn raise(&self) {
        self.is_raised.store(true, Ordering::Relaxed);
        self.raised.notify_waiters();
    }

    /// Forgets: the next command begins.
    pub fn clear(&self) {
        self.is_raised.store(false, Ordering::Relaxed);
    }

    /// An error once it is raised: long commands ask between two steps, so that what they have done is whole.
    pub fn check(&self) -> Result<(), Failure> {
        match self.is_raised.load(Ordering::Relaxed) {
            true => Err(Failure::Interrupted),
            false => Ok(()),
        }
    }

    /// Returns when it is raised.
    pub async fn wait(&self) {
        loop {
            let raised = self.raised.notified();
            if self.check().is_err() {
                return;
            }
            // Looked at again: it may be forgotten by now.
            raised.await;
        }
    }
}
